"""L2 order book: an update and the touch read after it, in C++ and beside other books; many symbols; reads from Python.

The updates: 80 % within ten ticks of the touch, 17 % within 500, 3 % as deep as 20,000; three of ten remove a level;
meanwhile the touch drifts by thousands of ticks up and back. Every row sees the same touch after every update, or the
run fails.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from sortedcontainers import SortedDict

from benchmarks.harness import Bench, Goal, Job, Row, Sample
from qtxconn.core.order_book import OrderBook

RING, VECTORS, MAPS, BOOK = "C++ tick ring", "C++ sorted vectors", "C++ std::map", "qtxconn"
SORTED, NAUTILUS = "SortedDict", "nautilus_trader"
FEW, MANY = "100 symbols", "10,000 symbols"
PYTHON_READ = "qtxconn, OrderBook.touch"
TICK, MIDDLE, WORD = 0.1, 600_000, 2**64 - 1
Update = tuple[int, int, int]  # side (0 bid, 1 ask), ticks, lots


def make_updates(count: int, seed: int) -> list[Update]:
    chance = random.Random(seed)
    updates: list[Update] = []
    levels: tuple[set[int], set[int]] = (set(), set())
    middle = MIDDLE  # the best ask; the best bid is one tick lower
    while len(updates) < count:
        moves = chance.random()
        if moves < 0.12:  # one tick, up in two of three cases, later down
            rises = moves < (0.08 if len(updates) < count // 2 else 0.04)
            side, price = (1, middle) if rises else (0, middle - 1)
            middle += 1 if rises else -1
            if price in levels[side]:  # what the touch moves over is gone
                levels[side].discard(price)
                updates.append((side, price, 0))
            continue
        side, band = chance.getrandbits(1), chance.random()
        if band < 0.80:
            away, grid = min(int(chance.expovariate(0.4)), 9), 1
        elif band < 0.97:
            away, grid = chance.randrange(10, 500), 5
        else:
            away, grid = chance.randrange(500, 20_000), 50
        price = (middle + away if side else middle - 1 - away) // grid * grid
        if side and price < middle:
            price += grid
        if chance.random() < 0.25:
            levels[side].discard(price)
            updates.append((side, price, 0))
        else:
            levels[side].add(price)
            updates.append((side, price, chance.randrange(1, 1000)))
    return updates


def checksum(touches: list[tuple[int, int]]) -> str:
    """As fold() in limits/order_book.cpp; an empty side counts as price 0."""
    value = 0
    for bid, ask in touches:
        value = ((value << 7 | value >> 57) & WORD) ^ (bid ^ ask << 32)
    return f"{value:016x}"


def run_sorted_dict(updates: list[Update]) -> Sample:
    sides = (SortedDict(), SortedDict())
    bids, asks = sides
    touches = []
    begin = time.perf_counter_ns()
    for side, price, size in updates:
        if size:
            sides[side][price] = size
        else:
            sides[side].pop(price, None)
        touches.append((bids.peekitem(-1)[0] if bids else 0, asks.peekitem(0)[0] if asks else 0))
    elapsed = time.perf_counter_ns() - begin
    return Sample(elapsed / len(updates), checksum(touches))


def make_nautilus(updates: list[Update]) -> Callable[[], Sample]:
    """nautilus_trader's L2 book; its delta objects are made beforehand."""
    from nautilus_trader.model.book import OrderBook as NautilusBook
    from nautilus_trader.model.data import BookOrder, OrderBookDelta
    from nautilus_trader.model.enums import BookAction, BookType, OrderSide
    from nautilus_trader.model.identifiers import InstrumentId
    from nautilus_trader.model.objects import Price, Quantity

    instrument = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
    sides, actions = (OrderSide.BUY, OrderSide.SELL), (BookAction.DELETE, BookAction.UPDATE)
    deltas = [
        OrderBookDelta(
            instrument,
            actions[size > 0],
            BookOrder(sides[side], Price(price * TICK, 1), Quantity(size / 1000, 3), price),
            0, number, number, number,
        )
        for number, (side, price, size) in enumerate(updates, 1)
    ]  # fmt: skip

    def run() -> Sample:
        book = NautilusBook(instrument, BookType.L2_MBP)
        touches = []
        begin = time.perf_counter_ns()
        for delta in deltas:
            book.apply_delta(delta)
            touches.append((book.best_bid_price(), book.best_ask_price()))
        elapsed = time.perf_counter_ns() - begin
        ticks = [tuple(round(float(price) / TICK) if price is not None else 0 for price in touch) for touch in touches]
        return Sample(elapsed / len(deltas), checksum(ticks))  # type: ignore[arg-type]

    return run


def write_updates(bench: Bench) -> tuple[Path, list[Update]]:
    updates = make_updates(bench.scaled(300_000, quick=50_000), bench.seed)
    path = bench.directory / "updates.bin"
    np.array(updates, "<i8").tofile(path)
    return path, updates


@contextmanager
def update_and_touch(bench: Bench) -> Iterator[list[Row]]:
    path, updates = write_updates(bench)
    program = bench.compile("order_book.cpp")
    rows = [
        Row.limit(RING, lambda: bench.run(program, "ring", path)),
        Row.ours(BOOK, lambda: bench.run(program, "book", path)),
        Row.peer(VECTORS, lambda: bench.run(program, "vectors", path)),
        Row.peer(MAPS, lambda: bench.run(program, "maps", path)),
        Row.peer(SORTED, lambda: run_sorted_dict(updates)),
    ]
    nautilus = Row.peer(NAUTILUS, lambda: Sample(), needs="nautilus_trader")
    if nautilus.missing() is None:
        nautilus = Row.peer(NAUTILUS, make_nautilus(updates))
    yield [*rows, nautilus]


@contextmanager
def unknown_tick(bench: Bench) -> Iterator[list[Row]]:
    path, _ = write_updates(bench)
    program = bench.compile("order_book.cpp")
    yield [
        Row.limit(VECTORS, lambda: bench.run(program, "vectors", path)),
        Row.ours(BOOK, lambda: bench.run(program, "book_array", path)),
    ]


@contextmanager
def many_symbols(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("order_book.cpp")
    yield [
        Row.ours(FEW, lambda: bench.run(program, "symbols", 100)),
        Row.ours(MANY, lambda: bench.run(program, "symbols", 10_000)),
    ]


@contextmanager
def touch_from_python(bench: Bench) -> Iterator[list[Row]]:
    count = bench.scaled(200_000, quick=20_000)
    book = OrderBook("BTC-USDT", "0.1", "0.001")
    levels = [[(f"{(MIDDLE + (n if side else -1 - n)) / 10}", "0.5") for n in range(100)] for side in (0, 1)]
    book.apply_snapshot(levels[0], levels[1], 1)
    bids = SortedDict({float(price): float(amount) for price, amount in levels[0]})
    asks = SortedDict({float(price): float(amount) for price, amount in levels[1]})

    def ours() -> Sample:
        begin = time.perf_counter_ns()
        for _ in range(count):
            seen = book.touch
        return Sample((time.perf_counter_ns() - begin) / count, str(seen))

    def sorted_dict() -> Sample:
        begin = time.perf_counter_ns()
        for _ in range(count):
            seen = (bids.peekitem(-1)[0], asks.peekitem(0)[0])
        return Sample((time.perf_counter_ns() - begin) / count, str(seen))

    yield [Row.ours(PYTHON_READ, ours), Row.peer(SORTED, sorted_dict)]


JOBS = (
    Job(
        "book",
        "How long does it take to change a level of the book and read the touch?",
        unit="ns/update",
        rows=update_and_touch,
        goals=(
            Goal(BOOK, RING, at_most=1.25),
            Goal(BOOK, NAUTILUS, faster=20),
            Goal(BOOK, SORTED, faster=90),
        ),
    ),
    Job(
        "book-unknown-tick",
        "And when the tick is unknown, or far finer than the levels are apart?",
        unit="ns/update",
        rows=unknown_tick,
        goals=(Goal(BOOK, VECTORS, at_most=1.1),),
    ),
    Job(
        "book-symbols",
        "What do 10,000 books cost, in time and in memory?",
        unit="ns/update",
        rows=many_symbols,
        goals=(Goal(MANY, FEW, at_most=1.4), Goal(MANY, at_most=1.2 * 1024, of="bytes_per_symbol")),
    ),
    Job(
        "book-touch",
        "How long does Python take to read both sides of the touch as floats?",
        unit="ns/read",
        rows=touch_from_python,
        goals=(Goal(PYTHON_READ, at_most=60), Goal(PYTHON_READ, SORTED, faster=5)),
    ),
)
