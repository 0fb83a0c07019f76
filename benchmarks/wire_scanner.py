"""Binance messages from their bytes to a tracked order and to a book, beside JSON parsers on the same bytes.

The parsers' rows only parse: simdjson into its own lazy document, orjson into dicts, msgspec into the typed fields
that the tracker or the book needs. The rows of qtxconn end in the tracker or the book: in C++, and from Python as a
connector calls it, with the events of the order; "generic path" is what it falls back to, orjson and messages.py.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from benchmarks.harness import Bench, Goal, Job, Row, Sample
from qtxconn.core.book_sync import BookSync, DepthSnapshot
from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.order_book import OrderBook
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import OrderType, TradeType
from qtxconn.exchanges.binance import messages
from qtxconn.exchanges.binance.scanner import MarketScanner, UserScanner

SIMDJSON, ORJSON, MSGSPEC = "simdjson, lazy parse", "orjson", "msgspec, typed"
SCAN, NATIVE, PYTHON, GENERIC = "qtxconn, scan only", "qtxconn, C++", "qtxconn, Python", "qtxconn, generic path"
PAIR, SYMBOL, PREFIX = "BTC-USDT", "BTCUSDT", "x-"
TICK, LOT = Decimal("0.1"), Decimal("0.001")
LEVELS = 20
# All keys of an order; those that differ from update to update are set in their places.
ORDER: dict[str, Any] = {
    "s": SYMBOL,
    "c": "",
    "S": "BUY",
    "o": "LIMIT",
    "f": "GTC",
    "q": "0.002",
    "p": "60000.10",
    "ap": "0",
    "sp": "0",
    "x": "NEW",
    "X": "NEW",
    "i": 0,
    "l": "0",
    "z": "0",
    "L": "0",
    "n": "0",
    "N": "USDT",
    "T": 0,
    "t": 0,
    "b": "0",
    "a": "0",
    "m": False,
    "R": False,
    "wt": "CONTRACT_PRICE",
    "ot": "LIMIT",
    "ps": "BOTH",
    "cp": False,
    "rp": "0",
    "pP": False,
    "si": 0,
    "ss": 0,
    "V": "EXPIRE_MAKER",
    "pm": "NONE",
    "gtd": 0,
}


def order_updates(orders: int) -> list[bytes]:
    """Accepted, half filled, filled: three messages an order, with all fields of the wire."""
    lines = []
    for number in range(1, orders + 1):
        for step, (execution, state, filled) in enumerate(
            (("NEW", "NEW", "0"), ("TRADE", "PARTIALLY_FILLED", "0.001"), ("TRADE", "FILLED", "0.002"))
        ):
            last = "0.001" if step else "0"
            when = 1_700_000_000_000 + 10 * number + step
            order = ORDER | {
                "c": f"{PREFIX}{10**15 + number}",
                "ap": "60000.10" if step else "0",
                "x": execution,
                "X": state,
                "i": 8_886_774_000 + number,
                "l": last,
                "z": filled,
                "L": "60000.10" if step else "0",
                "n": "0.01200000" if step else "0",
                "T": when,
                "t": 3 * number + step if step else 0,
                "m": step == 1,
            }
            lines.append(orjson.dumps({"e": "ORDER_TRADE_UPDATE", "T": when, "E": when, "o": order}))
    return lines


def depth_updates(count: int, seed: int) -> list[bytes]:
    """Diffs of 20 levels a side, of one chain, around a price that drifts; by price, as Binance sends them."""
    chance = random.Random(seed)
    middle, lines = 600_000, []
    for number in range(1, count + 1):
        middle += chance.choice((-1, 0, 1))

        def side(direction: int, best: int = middle) -> list[tuple[str, str]]:
            offsets = sorted(chance.sample(range(60), LEVELS))
            prices = [best + direction * (1 + offset) for offset in offsets]
            gone = [best + direction * -offset for offset in range(2)]  # what the price has moved over
            levels = [(price, chance.choice((0, chance.randrange(1, 9_999)))) for price in prices[2:]]
            changes = sorted([(price, 0) for price in gone] + levels)
            return [(f"{price / 10:.2f}", f"{lots / 1000:.3f}") for price, lots in changes]

        event = {"e": "depthUpdate", "E": number, "T": number, "s": SYMBOL, "U": number, "u": number, "pu": number - 1}
        lines.append(orjson.dumps(event | {"b": side(-1), "a": side(1)}))
    return lines


def write_lines(bench: Bench, name: str, lines: Iterable[bytes]) -> Path:
    path = bench.directory / name
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def parsed(parse: Callable[[bytes], Any], lines: list[bytes]) -> Sample:
    """ns a message of a parser alone."""
    begin = time.perf_counter_ns()
    for line in lines:
        parse(line)
    return Sample((time.perf_counter_ns() - begin) / len(lines))


def simdjson_parse(lines: list[bytes]) -> Sample:
    import simdjson

    return parsed(simdjson.Parser().parse, lines)


def msgspec_parse(fields: dict[str, Any], nested: dict[str, Any] | None, lines: list[bytes]) -> Sample:
    import msgspec

    if nested is not None:
        fields = {"o": msgspec.defstruct("Order", list(nested.items()))}
    return parsed(msgspec.json.Decoder(msgspec.defstruct("Event", list(fields.items()))).decode, lines)


# -- orders ----------------------------------------------------------------------------------------------------


def tracking(orders: int) -> ClientOrderTracker:
    tracker = ClientOrderTracker(
        PubSub(logging.getLogger("benchmark")), client_order_id_prefix=PREFIX, finished_orders_max=orders
    )
    for number in range(1, orders + 1):
        tracker.start_tracking_order(
            InFlightOrder(
                f"{PREFIX}{10**15 + number}",
                PAIR,
                OrderType.LIMIT,
                TradeType.BUY,
                Decimal("0.002"),
                1.7e9,
                Decimal("60000.1"),
            )
        )
    return tracker


def tracked_sum(tracker: ClientOrderTracker) -> str:
    """Fills that are booked and updates that changed something, as the C++ program writes them."""
    fills = sum(len(order.order_fills) for order in tracker.all_orders.values())
    return f"{tracker.update_counts['changed'] + fills * 1_000_000:016x}"


def apply_generic(tracker: ClientOrderTracker, line: bytes) -> None:
    update, trade = messages.parse_order_trade_update(orjson.loads(line), PAIR)
    if trade is not None:
        tracker.process_trade_update(trade)
    tracker.process_order_update(update)


def run_orders(scans: bool, lines: list[bytes]) -> Sample:
    tracker = tracking(len(lines) // 3)
    scanner = UserScanner(tracker, {SYMBOL: PAIR}.get)
    left_alone = 0
    begin = time.perf_counter_ns()
    for line in lines:
        if not scans or not scanner.process_message(line):
            left_alone += 1
            apply_generic(tracker, line)
    elapsed_ns = time.perf_counter_ns() - begin
    return Sample(elapsed_ns / len(lines), tracked_sum(tracker), facts={"left alone": left_alone})


@contextmanager
def orders(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("wire_scanner.cpp")
    lines = order_updates(bench.scaled(20_000, quick=3_000))
    path = write_lines(bench, "orders", lines)
    fields = dict.fromkeys("scXxzlLNn", str) | {"i": int, "T": int, "t": int, "m": bool}
    yield [
        Row.peer(SIMDJSON, lambda: simdjson_parse(lines), needs="simdjson"),
        Row.ours(SCAN, lambda: bench.run(program, "scan", path)),
        Row.ours(NATIVE, lambda: bench.run(program, "track", path)),
        Row.ours(PYTHON, lambda: run_orders(True, lines)),
        Row.ours(GENERIC, lambda: run_orders(False, lines)),
        Row.peer(ORJSON, lambda: parsed(orjson.loads, lines)),
        Row.peer(MSGSPEC, lambda: msgspec_parse({}, fields, lines), needs="msgspec"),
    ]


# -- the book --------------------------------------------------------------------------------------------------


def touch_sum(book: OrderBook) -> str:
    """The touch in ticks, as the C++ program writes it."""
    return f"{int(book.best_bid / TICK) * 1_000_000 + int(book.best_ask / TICK):016x}"


def run_book(scans: bool, lines: list[bytes]) -> Sample:
    book = OrderBook(PAIR, TICK, LOT)
    sync = BookSync(book)
    sync.process_snapshot(DepthSnapshot(0, [], [], 0))
    sync.process_diff(messages.parse_depth_diff(orjson.loads(lines[0])))
    scanner = MarketScanner()
    scanner.add_book(SYMBOL, SimpleNamespace(sync=sync, ask_if_needed=lambda: None))
    left_alone = 0
    begin = time.perf_counter_ns()
    for line in lines[1:]:
        if not scans or not scanner.process_message(line, 1):
            left_alone += 1
            sync.process_diff(messages.parse_depth_diff(orjson.loads(line), 1))
    elapsed_ns = time.perf_counter_ns() - begin
    return Sample(elapsed_ns / (len(lines) - 1), touch_sum(book), facts={"left alone": left_alone})


@contextmanager
def depth(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("wire_scanner.cpp")
    lines = depth_updates(bench.scaled(10_000, quick=1_500), bench.seed)
    path = write_lines(bench, "depth", lines)
    levels = list[tuple[str, str]]
    fields = {"s": str, "U": int, "u": int, "pu": int, "T": int, "b": levels, "a": levels}
    yield [
        Row.peer(SIMDJSON, lambda: simdjson_parse(lines), needs="simdjson"),
        Row.ours(SCAN, lambda: bench.run(program, "depth", path)),
        Row.ours(NATIVE, lambda: bench.run(program, "book", path)),
        Row.ours(PYTHON, lambda: run_book(True, lines)),
        Row.ours(GENERIC, lambda: run_book(False, lines)),
        Row.peer(ORJSON, lambda: parsed(orjson.loads, lines)),
        Row.peer(MSGSPEC, lambda: msgspec_parse(fields, None, lines), needs="msgspec"),
    ]


JOBS = (
    Job(
        "wire-orders",
        "How long from the bytes of an ORDER_TRADE_UPDATE to the tracked order?",
        unit="ns/message",
        rows=orders,
        goals=(
            Goal(NATIVE, SIMDJSON, at_most=1.0),
            Goal(NATIVE, ORJSON, faster=4),
            Goal(PYTHON, GENERIC, faster=2),
        ),
    ),
    Job(
        "wire-depth",
        "How long from the bytes of a 20x20 depthUpdate to the book?",
        unit="ns/message",
        rows=depth,
        goals=(
            Goal(NATIVE, SIMDJSON, at_most=1.25),
            Goal(PYTHON, SIMDJSON, at_most=1.25),
            Goal(PYTHON, ORJSON, faster=4),
            Goal(PYTHON, GENERIC, faster=15),
        ),
    ),
)
