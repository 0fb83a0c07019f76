"""A real recording rebuilds the book without a gap, and every diff ends at the touch that the venue's ticker tells."""

from __future__ import annotations

import gzip
from bisect import bisect_right
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from qtxconn.core.book_sync import BookSync, DepthDiff, DepthSnapshot
from qtxconn.core.order_book import OrderBook
from qtxconn.exchanges.binance import messages

Touch = tuple[Decimal, Decimal, Decimal, Decimal]  # bid, its size, ask, its size


@pytest.fixture(scope="module")
def recording(shared_dir: Path) -> tuple[list[DepthDiff], list[tuple[int, Touch]]]:
    """(diffs in order of arrival, tickers by update id) of 345 s of BTCUSDT."""
    diffs, tickers = [], []
    with gzip.open(shared_dir / "data" / "binance-usdm" / "btcusdt_20240808.gz") as lines:
        for line in lines:
            event: dict[str, Any] = orjson.loads(line.partition(b" ")[2]).get("data", {})
            if event.get("e") == "depthUpdate":
                diffs.append(messages.parse_depth_diff(event))
            elif event.get("e") == "bookTicker":
                bid, bid_size, ask, ask_size = (Decimal(event[key]) for key in "bBaA")
                tickers.append((event["u"], (bid, bid_size, ask, ask_size)))
    return diffs, sorted(tickers)


@pytest.mark.parametrize("tick", ["0.1", None])
def test_every_diff_ends_at_the_tickers_touch(
    recording: tuple[list[DepthDiff], list[tuple[int, Touch]]], tick: str | None
) -> None:
    diffs, tickers = recording
    ids = [update_id for update_id, _ in tickers]
    book = OrderBook("BTC-USDT", tick, None if tick is None else "0.001")
    sync = BookSync(book)
    # The recording starts in the middle: the book begins with what the first diff says.
    assert sync.process_snapshot(DepthSnapshot(diffs[0].prev_id, [], [], 0))
    levels: tuple[dict[str, str], dict[str, str]] = ({}, {})
    compared = 0
    for diff in diffs:
        assert sync.process_diff(diff)
        for side, entries in zip(levels, (diff.bids, diff.asks), strict=True):
            side.update((price, amount) for price, amount in entries)
        known = bisect_right(ids, diff.last_id)
        if known:
            touch = (book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size)
            assert touch == tickers[known - 1][1], f"after update {diff.last_id}"
            compared += 1
    assert (sync.gaps, sync.outdated, compared, book.valid) == (0, 0, 6550, True)
    for entries, side, is_bid in (
        (book.bid_entries(65536), levels[0], True),
        (book.ask_entries(65536), levels[1], False),
    ):
        wanted = {Decimal(price): Decimal(amount) for price, amount in side.items()}
        assert entries == sorted(((p, a) for p, a in wanted.items() if a), reverse=is_bid)
