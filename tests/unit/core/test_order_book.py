"""The order book in Python: exact Decimals, and never valid when it should not be."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.core.order_book import OrderBook
from qtxconn.errors import AmountError, ConfigurationError, MessageError

BIDS = [("100.5", "1.2"), ("100.4", "3"), ("100", "0.1")]
ASKS = [("100.7", "0.5"), ("100.9", "2")]


@pytest.fixture
def book() -> OrderBook:
    book = OrderBook("BTC-USDT", "0.1", "0.1")
    book.apply_snapshot(BIDS, ASKS, 10, 1000)
    return book


def test_a_snapshot_is_read_back_exactly(book: OrderBook) -> None:
    assert book.bid_entries() == [(Decimal(price), Decimal(amount)) for price, amount in BIDS]
    assert book.ask_entries() == [(Decimal(price), Decimal(amount)) for price, amount in ASKS]
    assert book.bid_entries(1) == [(Decimal("100.5"), Decimal("1.2"))]
    assert book.bid_entries(0) == book.bid_entries(-1) == []
    assert (book.best_bid, book.best_ask) == (Decimal("100.5"), Decimal("100.7"))
    assert (book.best_bid_size, book.best_ask_size) == (Decimal("1.2"), Decimal("0.5"))
    assert book.mid_price == Decimal("100.6")
    assert (book.get_price(True), book.get_price(False)) == (book.best_ask, book.best_bid)
    assert (book.last_update_id, book.last_update_ns, book.valid_since_ns) == (10, 1000, 1000)
    assert book.valid
    assert book.invalid_reason is None
    assert (book.tick_size, book.lot_size) == (Decimal("0.1"), Decimal("0.1"))


def test_a_new_book_is_empty_and_says_so() -> None:
    book = OrderBook("BTC-USDT", "0.1", "0.1")
    assert (book.valid, book.invalid_reason, book.valid_since_ns) == (False, "empty", 0)
    assert book.best_bid is book.best_ask is book.best_bid_size is book.mid_price is book.last_trade_price is None
    assert book.get_price(True) is None
    assert book.bid_entries() == []
    book.apply_snapshot(BIDS, [], 1)
    assert (book.valid, book.invalid_reason, book.mid_price) == (False, "empty", None)


def test_diffs_set_and_remove_levels(book: OrderBook) -> None:
    revision = book.revision
    book.apply_diffs([("100.5", "0"), ("100.3", Decimal("7"))], [("100.6", "1")], 11, 2000)
    assert [price for price, _ in book.bid_entries()] == [Decimal("100.4"), Decimal("100.3"), Decimal(100)]
    assert book.best_ask == Decimal("100.6")
    assert (book.last_update_id, book.last_update_ns, book.valid_since_ns) == (11, 2000, 1000)
    assert book.revision == revision + 1


def test_a_crossed_book_is_invalid_until_it_is_uncrossed(book: OrderBook) -> None:
    book.apply_diffs([("100.7", "1")], [], 11, 2000)
    assert (book.valid, book.invalid_reason, book.valid_since_ns) == (False, "crossed", 0)
    book.apply_diffs([], [("100.7", "0")], 12, 3000)
    assert (book.valid, book.valid_since_ns) == (True, 3000)


@pytest.mark.parametrize("reason", ["gap", "disconnected"])
def test_a_book_that_lost_touch_needs_a_snapshot(book: OrderBook, reason: str) -> None:
    book.invalidate(reason)
    book.apply_diffs([("100.5", "2")], [("100.7", "2")], 11)
    assert (book.valid, book.invalid_reason) == (False, reason)
    assert reason in repr(book)
    book.apply_snapshot(BIDS, ASKS, 12, 5000)
    assert (book.valid, book.valid_since_ns) == (True, 5000)


def test_an_unknown_reason_is_refused(book: OrderBook) -> None:
    with pytest.raises(ValueError, match="none of"):
        book.invalidate("crossed")
    assert book.valid


@pytest.mark.parametrize(
    "level",
    [("100.55", "1"), ("100.5", "0.05"), ("-1", "1"), ("100", "-1"), ("abc", "1"), ("100", "NaN"), (100.5, "1"),
     ("100", None), ("1e18", "1"), ("", "1"), ("inf", "1")],
    ids=str,
)  # fmt: skip
def test_a_bad_level_is_a_message_error_and_changes_nothing(book: OrderBook, level: tuple[object, object]) -> None:
    before = (book.bid_entries(), book.ask_entries(), book.last_update_id, book.revision, book.valid)
    for bids, asks in (([("100.4", "9"), level], []), ([("100.4", "9")], [level])):
        with pytest.raises(MessageError, match=r"BTC-USDT: (price|amount)"):
            book.apply_diffs(bids, asks, 99)
        with pytest.raises(MessageError):
            book.apply_snapshot(bids, asks, 99)
    assert (book.bid_entries(), book.ask_entries(), book.last_update_id, book.revision, book.valid) == before


def test_depth_beyond_the_book_is_no_error(book: OrderBook) -> None:
    assert len(book.bid_entries(2**62)) == 3


def test_the_cost_of_a_volume_is_exact(book: OrderBook) -> None:
    assert book.get_price_for_volume(True, "0.5") == Decimal("100.7")
    assert book.get_price_for_volume(True, "0.51") == Decimal("100.9")  # rounded up to 0.6
    assert book.get_price_for_volume(True, "2.5") == Decimal("100.9")
    assert book.get_price_for_volume(True, "2.6") is book.get_vwap_for_volume(True, "2.6") is None
    assert book.get_price_for_volume(False, "4.3") == Decimal(100)
    assert book.get_vwap_for_volume(True, "0.5") == Decimal("100.7")
    assert book.get_vwap_for_volume(True, "1") == Decimal("100.8")
    assert book.get_volume_for_price(True, "100.6") == 0
    assert book.get_volume_for_price(True, "100.85") == Decimal("0.5")
    assert book.get_volume_for_price(False, "100.4") == Decimal("4.2")
    for volume in ("0", "-1"):
        with pytest.raises(AmountError, match="volume must be positive"):
            book.get_price_for_volume(True, volume)


def test_trades_are_noted(book: OrderBook) -> None:
    book.apply_trade("100.6", "0.3", True, 123)
    assert book.last_trade_price == Decimal("100.6")


@pytest.mark.parametrize(("tick", "lot"), [("0", "1"), ("1", "0"), ("-0.1", "1")])
def test_a_grid_must_be_positive(tick: str, lot: str) -> None:
    with pytest.raises(ConfigurationError, match="must be positive"):
        OrderBook("BTC-USDT", tick, lot)


levels = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), max_size=8)


@given(st.lists(st.tuples(st.booleans(), levels, levels), max_size=20))
def test_any_messages_give_the_book_of_two_dicts(messages: list[tuple[bool, list, list]]) -> None:
    book = OrderBook("A-B", "0.5", "0.01")
    sides: tuple[dict, dict] = ({}, {})
    for number, (snapshot, *changes) in enumerate(messages, 1):
        for side, entries in zip(sides, changes, strict=True):
            if snapshot:
                side.clear()
            for ticks, lots in entries:
                side.pop(ticks, None)
                if lots:
                    side[ticks] = lots
        texts = [[(str(t * Decimal("0.5")), str(n * Decimal("0.01"))) for t, n in entries] for entries in changes]
        (book.apply_snapshot if snapshot else book.apply_diffs)(*texts, number)
        bids = sorted(sides[0].items(), reverse=True)
        asks = sorted(sides[1].items())
        assert book.bid_entries(99) == [(t * Decimal("0.5"), n * Decimal("0.01")) for t, n in bids]
        assert book.ask_entries(99) == [(t * Decimal("0.5"), n * Decimal("0.01")) for t, n in asks]
        assert book.valid == (bool(bids and asks) and bids[0][0] < asks[0][0])
        assert (book.invalid_reason is None) == book.valid
