"""The order book in Python: exact Decimals, and never valid when it should not be."""

from __future__ import annotations

import gc
import itertools
import threading
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.core.book_types import LEVEL_DTYPE
from qtxconn.core.order_book import OrderBook
from qtxconn.errors import ConfigurationError, MessageError

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
    [("100.500000000000000001", "1"), ("100.5", "1e18"),
     ("-1", "1"), ("100", "-1"), ("abc", "1"), ("100", "NaN"), (100.5, "1"),
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


def test_an_older_diff_changes_nothing_and_does_not_move_the_id_back(book: OrderBook) -> None:
    assert book.apply_diffs([("100.5", "9")], [], 12)
    revision = book.revision
    assert not book.apply_diffs([("100.5", "1")], [], 11)
    assert (book.best_bid_size, book.last_update_id, book.revision) == (Decimal(9), 12, revision)
    assert book.apply_diffs([("100.5", "2")], [], 12)  # venues number by time, too: equal is not older
    assert book.best_bid_size == 2
    book.apply_snapshot(BIDS, ASKS, 3)  # a snapshot begins anew
    assert book.last_update_id == 3


def test_a_price_off_the_tick_makes_the_book_finer_and_loses_nothing(book: OrderBook) -> None:
    book.apply_trade("100.6", "0.3", True)
    book.apply_diffs([("100.55", "1")], [("100.7", "0.0005")], 11)
    assert book.bid_entries() == [(Decimal("100.55"), Decimal(1)), *((Decimal(p), Decimal(a)) for p, a in BIDS)]
    assert book.ask_entries(1) == [(Decimal("100.7"), Decimal("0.0005"))]
    assert (book.tick_size, book.lot_size) == (Decimal("0.1"), Decimal("0.1"))
    assert (book.price_step, book.size_step) == (Decimal("0.01"), Decimal("0.0001"))
    assert (book.last_trade_price, book.touch) == (Decimal("100.6"), (100.55, 100.7))
    half = OrderBook("A-B", "0.5", "1")
    half.apply_snapshot([("100.5", "1")], [("101.3", "1")], 1)
    assert (half.price_step, half.best_bid, half.best_ask) == (Decimal("0.1"), Decimal("100.5"), Decimal("101.3"))


def test_without_a_tick_the_book_takes_the_step_from_the_numbers() -> None:
    book = OrderBook("A-B", None, None)
    assert book.tick_size is book.lot_size is None
    book.apply_snapshot([("0.0000012345", "1000000000")], [("0.00000124", "0.5")], 1)
    assert (book.price_step, book.size_step) == (Decimal("1E-10"), Decimal("0.1"))
    assert book.bid_entries() == [(Decimal("0.0000012345"), Decimal(10**9))]
    assert book.ask_entries() == [(Decimal("0.00000124"), Decimal("0.5"))]
    with pytest.raises(MessageError, match="amount 1 at price 9999999999 is too much"):
        book.apply_diffs([("9999999999", "1")], [], 2)
    with pytest.raises(MessageError, match="cannot be counted in steps"):
        book.apply_diffs([("1", "0.00000000000001")], [], 2)
    assert book.last_update_id == 1
    assert book.valid


def test_the_touch_is_there_as_floats(book: OrderBook) -> None:
    assert book.touch == (100.5, 100.7)
    book.apply_diffs([(price, "0") for price, _ in BIDS], [], 11)
    assert book.touch == (None, 100.7)
    assert OrderBook("A-B", "0.0000000001", "1").touch == (None, None)


def test_the_live_touch_is_a_view_on_the_book(book: OrderBook) -> None:
    view = book.live_touch()
    assert (view["bid_price"], view["bid_size"], view["ask_price"], view["ask_size"]) == (1005, 12, 1007, 5)
    assert (view["last_update_id"], view["last_update_ns"], view["invalid"]) == (10, 1000, 0)
    before = int(view["sequence"]), int(view["revision"])
    assert before[0] % 2 == 0
    book.apply_diffs([("100.6", "2")], [], 11, 2000)
    assert (view["bid_price"], view["bid_size"], view["last_update_id"]) == (1006, 20, 11)
    assert view["sequence"] > before[0]
    assert view["sequence"] % 2 == 0
    assert view["revision"] == before[1] + 1 == book.revision
    book.invalidate("gap")
    assert view["invalid"] == 3
    with pytest.raises(ValueError, match="read-only"):
        view["bid_price"] = 0
    del book
    gc.collect()
    assert view["bid_price"] == 1006  # the view keeps the book's memory


def test_depth_goes_into_the_callers_arrays(book: OrderBook) -> None:
    bids, asks = np.zeros(2, LEVEL_DTYPE), np.zeros(4, LEVEL_DTYPE)
    assert book.depth_into(bids, asks) == (2, 2)
    assert bids.tolist() == [(1005, 12), (1004, 30)]
    assert asks.tolist() == [(1007, 5), (1009, 20), (0, 0), (0, 0)]
    assert book.depth_into(bids[:0], asks[:0]) == (0, 0)
    wrong = (np.zeros(2), np.zeros((2, 2), LEVEL_DTYPE), [1, 2], None)
    for array in wrong:
        with pytest.raises(ValueError, match="one-dimensional numpy arrays of LEVEL_DTYPE"):
            book.depth_into(bids, array)
    frozen = np.zeros(4, LEVEL_DTYPE)
    frozen.flags.writeable = False
    for refused in (frozen, np.zeros(8, LEVEL_DTYPE)[::2]):
        with pytest.raises((ValueError, BufferError)):
            book.depth_into(bids, refused)
        with pytest.raises((ValueError, BufferError)):
            book.depth_into(refused, asks)


def test_a_snapshot_is_a_copy_of_both_sides(book: OrderBook) -> None:
    taken = book.snapshot()
    book.apply_diffs([("100.6", "2")], [], 11, 2000)
    assert taken.bids.tolist() == [(1005, 12), (1004, 30), (1000, 1)]
    assert taken.asks.tolist() == [(1007, 5), (1009, 20)]
    assert (taken.last_update_id, taken.last_update_ns, taken.invalid_reason) == (10, 1000, None)
    assert book.snapshot(1).bids.tolist() == [(1006, 20)]
    empty = OrderBook("A-B", "1", "1").snapshot()
    assert (len(empty.bids), len(empty.asks), empty.invalid_reason) == (0, 0, "empty")


def test_reads_are_of_one_message_while_another_thread_writes() -> None:
    book = OrderBook("A-B", "1", "1")
    writing = threading.Event()
    writing.set()

    def write() -> None:
        for size in itertools.count(1):
            depth = 100 + size % 150  # more or fewer than there was room for
            bids, asks = ([(str(1000 + way * n), str(size)) for n in range(1, depth)] for way in (-1, 1))
            book.apply_snapshot(bids, asks, size)
            if not writing.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    bids, asks = np.zeros(300, LEVEL_DTYPE), np.zeros(300, LEVEL_DTYPE)
    try:
        for _ in range(500):
            taken = book.snapshot()
            assert {*taken.bids["size"].tolist(), *taken.asks["size"].tolist()} <= {taken.last_update_id}
            counts = book.depth_into(bids, asks)
            assert counts[0] == counts[1]
            assert (bids["size"][: counts[0]] == asks["size"][: counts[1]]).all()
            assert len({amount for _, amount in book.bid_entries(300)}) <= 1
    finally:
        writing.clear()
        writer.join()


def test_a_second_init_leaves_the_memory_that_views_point_at(book: OrderBook) -> None:
    view = book.live_touch()
    book.__init__("BTC-USDT", "0.1", "0.1")  # type: ignore[misc]
    book.apply_diffs([("100.6", "2")], [], 11)
    assert view["bid_price"] == 1006


def test_a_deep_book_reads_the_same_everywhere() -> None:
    """1,000 levels a side: a ring near the touch, an array behind it."""
    book = OrderBook("A-B", "0.1", "0.001")
    bids = [(Decimal(600000) - n * n * Decimal("0.1"), Decimal(n + 1) / 1000) for n in range(1000)]
    asks = [(Decimal("600000.1") + n * Decimal("0.2"), Decimal(n + 1) / 1000) for n in range(1000)]
    book.apply_snapshot(bids, asks, 1)
    assert (book.bid_entries(2000), book.ask_entries(2000)) == (bids, asks)
    levels = book.snapshot()
    assert [Decimal(int(p)) / 10 for p in levels.bids["price"]] == [price for price, _ in bids]
    assert [Decimal(int(s)) / 1000 for s in levels.asks["size"]] == [amount for _, amount in asks]


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
