"""BookSync: the chained-id rule, loss-free recovery, and the two real captures."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.core.book_sync import BookSync, DepthDiff, DepthSnapshot
from qtxconn.core.order_book import OrderBook
from qtxconn.errors import MessageError


def book() -> OrderBook:
    return OrderBook("BTC-USDT", Decimal("0.1"), Decimal("0.001"))


def diff(first_id: int, last_id: int, prev_id: int, bid: str = "99.0", amount: str = "1") -> DepthDiff:
    return DepthDiff(first_id, last_id, prev_id, [[bid, amount]], [], 0)


def snapshot(last_id: int, bid: str = "98.0") -> DepthSnapshot:
    return DepthSnapshot(last_id, [[bid, "1"]], [["101.0", "1"]], 0)


def test_diffs_before_the_snapshot_are_dropped_and_the_one_over_it_is_applied() -> None:
    sync = BookSync(target := book())
    assert not sync.process_diff(diff(1, 5, 0, "97.1"))
    assert not sync.process_diff(diff(6, 10, 5, "97.2"))
    assert not sync.process_diff(diff(11, 15, 10, "97.3"))
    assert not target.valid
    assert sync.process_snapshot(snapshot(8))
    assert target.valid
    assert target.last_update_id == 15
    assert [str(price) for price, _ in target.bid_entries(9)] == ["98", "97.3", "97.2"]


def test_without_kept_diffs_the_snapshot_is_valid_and_the_next_diff_must_reach_over_it() -> None:
    for following, fits in (
        (diff(6, 12, 5), True),
        (diff(11, 12, 10), True),
        (diff(14, 15, 10), True),
        (diff(14, 15, 13), False),
    ):
        sync = BookSync(target := book())
        assert sync.process_snapshot(snapshot(10))
        assert target.valid
        assert sync.process_diff(following) is fits
        assert target.valid is fits


def test_diffs_older_than_the_snapshot_are_ignored_after_it_too() -> None:
    sync = BookSync(target := book())
    sync.process_snapshot(snapshot(10))
    assert sync.process_diff(diff(5, 9, 4))
    assert sync.process_diff(diff(10, 12, 9))
    assert sync.process_diff(diff(10, 12, 9))  # repeated
    assert sync.outdated == 2
    assert target.last_update_id == 12


def test_a_gap_invalidates_at_once_and_recovery_keeps_what_came_meanwhile() -> None:
    sync = BookSync(target := book())
    sync.process_snapshot(snapshot(10))
    sync.process_diff(diff(10, 12, 9))
    assert not sync.process_diff(diff(21, 25, 20, "97.0"))
    assert target.invalid_reason == "gap"
    assert sync.gaps == 1
    assert not sync.process_diff(diff(26, 30, 25, "96.0"))
    assert not sync.process_snapshot(snapshot(15))  # ends before what is kept begins
    assert sync.process_snapshot(snapshot(22))
    assert target.valid
    assert target.last_update_id == 30
    assert [str(price) for price, _ in target.bid_entries(9)] == ["98", "97", "96"]


def test_a_hole_among_the_kept_diffs_starts_the_chain_anew() -> None:
    sync = BookSync(target := book())
    sync.process_diff(diff(1, 5, 0))
    sync.process_diff(diff(8, 9, 7))
    assert not sync.process_snapshot(snapshot(3))
    assert target.invalid_reason == "empty"  # nothing was applied
    assert sync.process_snapshot(snapshot(8))
    assert target.last_update_id == 9


def test_what_is_kept_is_bounded() -> None:
    sync = BookSync(book(), kept_max=10)
    for n in range(1, 1001):
        sync.process_diff(diff(n, n, n - 1))
    assert not sync.process_snapshot(snapshot(500))
    assert sync.process_snapshot(snapshot(995))


def test_a_crossed_book_asks_for_a_snapshot() -> None:
    sync = BookSync(target := book())
    sync.process_snapshot(snapshot(10))
    assert not sync.process_diff(diff(11, 11, 10, bid="102.0"))
    assert target.invalid_reason == "crossed"
    assert sync.needs_snapshot
    assert not sync.process_snapshot(snapshot(11, bid="101.5"))  # crossed itself
    assert sync.process_snapshot(snapshot(11))
    assert target.valid


def test_a_side_that_runs_empty_is_no_gap() -> None:
    sync = BookSync(target := book())
    sync.process_snapshot(snapshot(10))
    assert sync.process_diff(diff(11, 11, 10, bid="98.0", amount="0"))
    assert target.invalid_reason == "empty"
    assert sync.process_diff(diff(12, 12, 11))
    assert target.valid


def test_a_diff_that_is_no_book_data_invalidates() -> None:
    sync = BookSync(target := book())
    sync.process_snapshot(snapshot(10))
    with pytest.raises(MessageError):
        sync.process_diff(diff(11, 11, 10, bid="99.x"))
    assert not target.valid
    assert sync.needs_snapshot


def test_reset_invalidates() -> None:
    sync = BookSync(target := book())
    sync.process_snapshot(snapshot(10))
    sync.reset("disconnected")
    assert target.invalid_reason == "disconnected"
    assert sync.needs_snapshot


@given(
    st.lists(st.tuples(st.integers(900, 999), st.integers(0, 3)), min_size=1, max_size=60),
    st.sets(st.integers(0, 59), max_size=6),
    st.lists(st.integers(0, 59), min_size=1, max_size=8),
)
def test_whenever_it_is_valid_it_equals_the_venues_book(
    levels: list[tuple[int, int]], lost: set[int], snapshot_times: list[int]
) -> None:
    """Bids change one level an update; some diffs get lost; snapshots come at any time, lagging or not."""
    states: list[dict[int, int]] = [{1: 1}]
    for price, amount in levels:
        states.append({**states[-1], price: amount})
    sync = BookSync(target := book())
    asks = [["200.0", "1"]]

    def venue_snapshot(update_id: int) -> DepthSnapshot:
        bids = [[f"{p / 10}", str(a)] for p, a in states[update_id].items() if a]
        return DepthSnapshot(update_id, bids, asks, 0)

    def check() -> None:
        if target.valid:
            have = {int(price * 10): int(amount) for price, amount in target.bid_entries(200)}
            assert have == {p: a for p, a in states[target.last_update_id].items() if a}

    for n, (price, amount) in enumerate(levels, start=1):
        if n not in lost:
            sync.process_diff(diff(n, n, n - 1, f"{price / 10}", str(amount)))
            check()
        if sync.needs_snapshot and n % 3 == 0:
            sync.process_snapshot(venue_snapshot(min(n, max(0, n - snapshot_times[n % len(snapshot_times)] % 5))))
            check()
    if sync.needs_snapshot:
        assert sync.process_snapshot(venue_snapshot(len(levels)))
        check()
    assert target.valid


@pytest.mark.parametrize(("symbol", "tick"), [("KEEPUSDT", "0.0001"), ("SUSHIUSDT", "0.001")])
def test_the_real_captures_rebuild_without_a_gap(shared_dir: Path, symbol: str, tick: str) -> None:
    from qtxconn.exchanges.binance import messages

    capture = orjson.loads((shared_dir / f"fixtures/binance/cf_capture_{symbol}_20210722.json").read_bytes())
    target = OrderBook(symbol.replace("USDT", "-USDT"), Decimal(tick), Decimal(1))
    sync = BookSync(target)
    arrivals: list[tuple[float, Any]] = [(entry["received"], entry["body"]) for entry in capture["snapshots"]]
    arrivals += [(e["received"], e["body"]["data"]) for e in capture["messages"] if "depth" in e["body"]["stream"]]
    applied = 0
    for _, body in sorted(arrivals, key=lambda arrival: arrival[0]):
        if "lastUpdateId" in body:
            assert sync.process_snapshot(messages.parse_depth_snapshot(body))
        else:
            applied += sync.process_diff(messages.parse_depth_diff(body))
    assert sync.gaps == 0
    assert target.valid
    assert applied > 30
    assert target.best_bid < target.best_ask
