"""The native scanners beside the generic path: the same bytes end in the same book, whatever they are."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qtxconn.core.book_sync import BookSync, DepthSnapshot
from qtxconn.core.order_book import OrderBook
from qtxconn.core.types import TradeType
from qtxconn.errors import QtxconnError
from qtxconn.exchanges.binance import messages
from qtxconn.exchanges.binance.scanner import MarketScanner

from .json_shapes import bad_texts, mangled, written

SYMBOL = "BTCUSDT"


class Feed:
    """What the scanner needs of a BookFeed."""

    def __init__(self, sync: BookSync) -> None:
        self.sync = sync
        self.asked = 0

    def ask_if_needed(self) -> None:
        self.asked += self.sync.needs_snapshot


class Market:
    """One book and its two ways in: as the connector does it, or by the generic path alone."""

    def __init__(self, scanned: bool, tick: str = "0.1", lot: str = "0.001", snapshot_id: int | None = 100) -> None:
        self.book = OrderBook("BTC-USDT", Decimal(tick), Decimal(lot))
        self.feed = Feed(BookSync(self.book))
        self.scanner = MarketScanner()
        self.taken = 0
        if scanned:
            self.scanner.add_book(SYMBOL, self.feed)
        if snapshot_id is not None:
            levels = [["99.0", "1"], ["98.5", "2"]], [["101.0", "1"], ["101.5", "3"]]
            self.feed.sync.process_snapshot(DepthSnapshot(snapshot_id, *levels, 0, 1))

    def process(self, raw: bytes | str, received_ns: int = 7) -> str | None:
        """Name of the error that the message ends in, if it does."""
        if self.scanner.process_message(raw, received_ns):
            self.taken += 1
            return None
        try:
            event = orjson.loads(raw)
            event = event.get("data", event)
            if event["s"] == SYMBOL and event["e"] == "depthUpdate":
                self.feed.sync.process_diff(messages.parse_depth_diff(event, received_ns))
            elif event["s"] == SYMBOL and event["e"] == "trade":
                trade = messages.parse_trade(event)
                self.book.apply_trade(trade.price, trade.amount, trade.taker_side is TradeType.BUY, received_ns)
        except (QtxconnError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return type(error).__name__
        return None

    def state(self, depth: int = 100_000) -> tuple[Any, ...]:
        book, sync = self.book, self.feed.sync
        return (
            book.bid_entries(depth),
            book.ask_entries(depth),
            (book.last_update_id, book.last_update_ns, book.invalid_reason, book.last_trade_price, book.revision),
            (sync.needs_snapshot, sync.gaps, sync.outdated),
        )


def same_end(raws: list[bytes | str], tick: str = "0.1", lot: str = "0.001") -> int:
    """Checks that both ways lead to the same book; returns how many messages the scanner took."""
    scanned, generic = Market(True, tick, lot), Market(False, tick, lot)
    for raw in raws:
        assert scanned.process(raw) == generic.process(raw)
        assert scanned.state() == generic.state()
    return scanned.taken


def diff(first: int, last: int, prev: int, bids: Any = (), asks: Any = ()) -> dict[str, Any]:
    event = {"e": "depthUpdate", "E": 5, "T": 4, "s": SYMBOL, "U": first, "u": last, "pu": prev}
    return event | {"b": list(bids), "a": list(asks)}


TRADE = {"e": "trade", "E": 5, "T": 4, "s": SYMBOL, "t": 9, "p": "100.1", "q": "0.003", "X": "MARKET", "m": False}
FIRST = orjson.dumps(diff(101, 102, 100, [["99.0", "4"]]))  # reaches over the snapshot: BookSync's own


def test_a_diff_goes_from_its_bytes_to_the_book() -> None:
    market = Market(True)
    market.process(FIRST)
    assert market.taken == 0
    market.process(orjson.dumps(diff(103, 105, 102, [["99.0", "0.000"], ["98.50", "7.5"]], [["100.9", "0.001"]])), 77)
    assert market.taken == 1
    assert market.book.bid_entries() == [(Decimal("98.5"), Decimal("7.5"))]
    assert market.book.best_ask == Decimal("100.9")
    assert (market.book.last_update_id, market.book.last_update_ns, market.book.valid) == (105, 77, True)
    market.process(orjson.dumps(TRADE), 78)
    assert market.taken == 2
    assert market.book.last_trade_price == Decimal("100.1")


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_bare_or_wrapped_bytes_or_text(wrap: bool, as_text: bool) -> None:
    raws: list[bytes | str] = []
    for event in (orjson.loads(FIRST), diff(103, 105, 102, [["97", "1"]]), TRADE):
        raw = orjson.dumps({"stream": "btcusdt@depth", "data": event} if wrap else event)
        raws.append(raw.decode() if as_text else raw)
    assert same_end(raws) == 2


def test_what_breaks_the_chain_is_left_to_the_rule() -> None:
    raws = [
        FIRST,
        orjson.dumps(diff(100, 101, 99)),  # outdated
        orjson.dumps(diff(103, 104, 102, [["98", "1"]])),
        orjson.dumps(diff(103, 104, 102, [["98", "1"]])),  # repeated
        orjson.dumps(diff(109, 110, 108, [["97", "1"]])),  # a gap
        orjson.dumps(diff(111, 112, 110, [["96", "1"]])),  # kept for the snapshot
    ]
    assert same_end(raws) == 1


def test_a_diff_that_crosses_the_book_has_a_snapshot_fetched() -> None:
    market = Market(True)
    market.process(FIRST)
    market.process(orjson.dumps(diff(103, 104, 102, [["101.0", "1"]])))
    assert market.taken == 1
    assert market.book.invalid_reason == "crossed"
    assert market.feed.asked == 1


def test_books_can_be_removed_and_other_symbols_are_left_alone() -> None:
    market = Market(True)
    assert not market.scanner.process_message(orjson.dumps(TRADE | {"s": "ETHUSDT"}), 1)
    assert market.scanner.process_message(orjson.dumps(TRADE), 1)
    market.scanner.remove_books()
    assert not market.scanner.process_message(orjson.dumps(TRADE), 1)


@pytest.mark.parametrize("message", ["", b"", None, 7, bytearray(FIRST), "\ud800", '{"e":"trade","s":"BTC\u20ac"}'])
def test_what_is_no_message_is_not_taken(message: Any) -> None:
    market = Market(True)
    before = market.state()
    assert not market.scanner.process_message(message, 1)
    assert market.state() == before


@pytest.mark.parametrize("text", bad_texts())
def test_a_number_that_is_none_costs_nothing(text: str) -> None:
    level = f'[["{text}","1"]]'
    raw = orjson.dumps(diff(103, 104, 102)).replace(b'"b":[]', b'"b":' + level.encode())
    assert b'"b":[[' in raw
    assert same_end([FIRST, raw]) == 0
    assert same_end([FIRST, raw.replace(level.encode(), f'[["99.0","{text}"]]'.encode())]) == 0
    assert same_end([FIRST, orjson.dumps(TRADE).replace(b'"100.1"', f'"{text}"'.encode())]) == 0


def test_every_cut_of_a_message_is_left_alone() -> None:
    raw = orjson.dumps(diff(103, 104, 102, [["99.0", "1"]], [["101.0", "2"]]))
    market = Market(True)
    market.process(FIRST)
    before = market.state()
    for size in range(len(raw)):
        assert not market.scanner.process_message(raw[:size], 1)
    assert market.state() == before
    assert market.scanner.process_message(raw, 1)


def test_more_levels_than_it_has_room_for_go_the_generic_way() -> None:
    for count, taken in ((1024, 1), (1025, 0)):
        asks = [[f"{200 + n}.0", "1"] for n in range(count)]
        assert same_end([FIRST, orjson.dumps(diff(103, 104, 102, [], asks))]) == taken


prices = st.integers(1, 2000).map(lambda n: f"{n / 10}")
amounts = st.one_of(st.just("0"), st.integers(0, 10**7).map(lambda n: f"{n / 1000:.3f}"))
odd_texts = st.sampled_from(
    ["99.05", "1e1", "+1", " 1", "1_0", "-1", "0.10000000", "0100.0", "1234567890123456789", ""]
)
levels = st.lists(st.tuples(prices | odd_texts, amounts | odd_texts), max_size=4)


@st.composite
def market_events(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Diffs, mostly of one chain, and trades between them."""
    last, events = 102, []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.integers(0, 3)) == 0:
            trade = {"p": draw(prices | odd_texts), "q": draw(amounts | odd_texts), "m": draw(st.booleans())}
            events.append(TRADE | trade)
            continue
        prev = last + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
        last = prev + draw(st.integers(0, 3))
        events.append(diff(prev + 1, last, prev, draw(levels), draw(levels)))
    return events


@given(market_events(), st.randoms(use_true_random=False), st.booleans())
def test_the_same_book_in_any_spelling(events: list[dict[str, Any]], random: Any, wrap: bool) -> None:
    """Key order, blanks, unknown keys and the shape of the message make no difference."""
    same_end([FIRST, *(written({"stream": "x", "data": event} if wrap else event, random) for event in events)])


@given(market_events(), st.randoms(use_true_random=False))
@example([diff(103, 104, 102, [["99.0", "1"]])], None)
def test_the_same_book_from_damaged_bytes(events: list[dict[str, Any]], random: Any) -> None:
    raws = [orjson.dumps(event) for event in events]
    same_end([FIRST, *(raw if random is None else mangled(raw, random) for raw in raws)])


# -- recordings ----------------------------------------------------------------------------------------------


def recording(shared_dir: Path) -> Iterator[bytes]:
    path = shared_dir / "data" / "binance-usdm" / "btcusdt_20240808.gz"
    if not path.is_file():
        pytest.skip(f"the recording is not here: {path.name}")
    with gzip.open(path) as lines:
        for line in lines:
            yield line.partition(b" ")[2].strip()


def test_the_whole_recording_leads_to_the_same_book(shared_dir: Path) -> None:
    markets = scanned, generic = Market(True, snapshot_id=None), Market(False, snapshot_id=None)
    left = {"depthUpdate": 0, "bookTicker": 0, "lastUpdateId": 0}  # what the scanner leaves to the generic path
    count = 0
    for raw in recording(shared_dir):
        count += 1
        if raw.startswith(b'{"lastUpdateId"'):
            left["lastUpdateId"] += 1
            snapshot = messages.parse_depth_snapshot(orjson.loads(raw), 1)
            assert all(market.feed.sync.process_snapshot(snapshot) for market in markets)
            continue
        if b'"bookTicker"' in raw:
            left["bookTicker"] += 1
        elif b'"depthUpdate"' in raw and not left["lastUpdateId"]:
            left["depthUpdate"] += 1  # kept for the snapshot
        assert [market.process(raw) for market in markets] == [None, None]
        if b'"bookTicker"' not in raw:
            assert scanned.state(3) == generic.state(3)
            assert count % 10_000 or scanned.state() == generic.state()
    assert scanned.state() == generic.state()
    assert scanned.book.valid
    assert count > 90_000
    assert left["lastUpdateId"] == 1
    assert scanned.taken == count - sum(left.values())


def test_every_recorded_payload_leads_to_the_same_book(shared_dir: Path) -> None:
    taken = 0
    for path in sorted((shared_dir / "fixtures" / "binance").glob("*.json")):
        payload = orjson.loads(path.read_bytes())
        for sample in payload if isinstance(payload, list) else [payload]:
            if isinstance(sample, dict):
                for raw in (orjson.dumps(sample), orjson.dumps(sample, option=orjson.OPT_INDENT_2)):
                    taken += same_end([raw], "0.0001", "1")
    assert taken >= 2


def test_real_chains_are_taken(shared_dir: Path) -> None:
    """The two captures of whole sessions, from their own snapshots."""
    for symbol, tick in (("KEEPUSDT", "0.0001"), ("SUSHIUSDT", "0.001")):
        capture = orjson.loads((shared_dir / f"fixtures/binance/cf_capture_{symbol}_20210722.json").read_bytes())
        snapshot = messages.parse_depth_snapshot(capture["snapshots"][0]["body"])
        markets = [Market(scanned, tick, "1", None) for scanned in (True, False)]
        diffs = [entry["body"] for entry in capture["messages"] if "depth" in entry["body"]["stream"]]
        for market, (n, body) in itertools.product(markets, enumerate(diffs)):
            body["data"]["s"] = SYMBOL
            if n == len(diffs) // 2:
                market.feed.sync.process_snapshot(snapshot)
            market.process(orjson.dumps(body))
        assert markets[0].state() == markets[1].state()
