"""What a journal record costs, next to a bare copy and release store; and what an order's costs in Python."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from benchmarks.harness import Bench, Goal, Job, Row, Sample
from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import OrderType, TradeType
from qtxconn.storage.journal import DURABILITIES, OrderJournal

COPY, INTENT, FILL = "copy 248 B and release", "intent", "fill"


@contextmanager
def records(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("order_journal.cpp")
    path = bench.directory / "records.journal"
    yield [
        Row.limit(COPY, lambda: bench.run(program, "copy", path)),
        Row.ours(INTENT, lambda: bench.run(program, "intent", path)),
        Row.ours(FILL, lambda: bench.run(program, "fill", path)),
    ]


def write_orders(path: Path, durability: str, count: int) -> Sample:
    """Each `write_order` of an InFlightOrder that exists already."""
    taken = []
    path.unlink(missing_ok=True)
    with OrderJournal(path, durability=durability) as journal:
        for number in range(1, count + 1):
            order = InFlightOrder(
                str(number), "BTC-USDT", OrderType.LIMIT, TradeType.BUY, Decimal("0.01"), SYSTEM_CLOCK.now_ns() / 1e9,
                Decimal("60000.1"),
            )  # fmt: skip
            start = time.perf_counter_ns()
            journal.write_order(order, number, 10.0)
            taken.append(time.perf_counter_ns() - start)
    return Sample.of_durations(taken)


@contextmanager
def python_orders(bench: Bench) -> Iterator[list[Row]]:
    counts = {
        "process": bench.scaled(20_000, quick=2_000),
        "group": bench.scaled(20_000, quick=2_000),
        "power": bench.scaled(1_000, quick=50),
    }
    yield [
        Row.ours(
            f"durability {durability!r}",
            lambda durability=durability: write_orders(
                bench.directory / f"{durability}.journal", durability, counts[durability]
            ),
        )
        for durability in DURABILITIES
    ]


JOBS = (
    Job(
        "journal-record",
        "What does it cost to have an order on record before it leaves?",
        "ns/record",
        records,
        goals=(Goal(INTENT, at_most=0, of="allocations"), Goal(FILL, at_most=0, of="allocations")),
    ),
    Job(
        "journal-order",
        "What does that cost in Python, for each durability?",
        "ns/order",
        python_orders,
        pinned=False,  # the journal's own thread writes the file
    ),
)
