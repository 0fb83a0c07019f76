"""From buy() to the exchange's own code: checked, rounded, on record, tracked, and handed over by the event loop.

The exchange answers at once and in memory, so that only the base's work is on the clock: from the call of buy() to the
first line of `_place_order`. The limit is what asyncio takes by itself to start a task.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, Goal, Job, Row, Sample
from qtxconn.core.client_ids import ClientIds
from qtxconn.core.connectors import SpotExchangeBase
from qtxconn.core.environment import Environment, use_environment
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.trading_rule import TradingRule
from qtxconn.core.types import OrderState, OrderType, OrderUpdate
from qtxconn.storage.journal import OrderJournal

TASK, BARE, JOURNALLED = "asyncio task", "buy()", "buy(), journal on"
PAIR = "BTC-USDT"


class InstantExchange(SpotExchangeBase):
    """Takes every order and notes when it was asked to."""

    name = "instant"

    def __init__(self, journal: OrderJournal | None) -> None:
        super().__init__([PAIR], journal=journal)
        self.entered_ns = 0
        self.numbers = itertools.count(1)

    def supported_order_types(self) -> list[OrderType]:
        return [OrderType.LIMIT]

    async def _request_trading_rules(self) -> list[TradingRule]:
        return [TradingRule(PAIR, "0.001", "100", "0.1", "0.001", "5", exchange_symbol="BTCUSDT")]

    async def _start_user_stream(self) -> None: ...

    async def _update_balances(self) -> None: ...

    async def _start_market_data(self) -> None:
        self.get_order_book(PAIR).apply_snapshot([("59999.9", "1")], [("60000.1", "1")], 1)

    async def _place_order(
        self, order_id: str, trading_pair: str, amount: Decimal, trade_type: Any, order_type: Any, price: Any,
        **options: Any,
    ) -> tuple[str, float]:  # fmt: skip
        self.entered_ns = time.perf_counter_ns()
        return str(next(self.numbers)), 1.7e9

    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> OrderUpdate:
        return self.end_of(order_id)

    async def _request_order_status(self, tracked_order: InFlightOrder) -> OrderUpdate:
        return self.end_of(tracked_order.client_order_id)

    async def _all_trade_updates_for_order(self, order: InFlightOrder) -> list[Any]:
        return []

    def end_of(self, order_id: str) -> OrderUpdate:
        return OrderUpdate(PAIR, 1.7e9 + 1, OrderState.CANCELED, order_id)

    async def submit(self, price: Decimal) -> int:
        """ns from the call to the hook; the order has ended when this returns."""
        begin_ns = time.perf_counter_ns()
        order_id = self.buy(PAIR, Decimal("0.01"), OrderType.LIMIT, price)
        await asyncio.sleep(0)  # the hook is entered, and answers
        taken_ns = self.entered_ns - begin_ns
        self._order_tracker.process_order_update(self.end_of(order_id))
        return taken_ns


async def submit_orders(path: Path | None, directory: Path, count: int) -> Sample:
    use_environment(Environment(client_ids=lambda name, bits: ClientIds(directory=directory)))
    journal = OrderJournal(path) if path is not None else None
    exchange = InstantExchange(journal)
    await exchange.connect()
    try:
        prices = [Decimal(50_000 + i) + Decimal("0.1") for i in range(100)]
        for i in range(200):
            await exchange.submit(prices[i % 100])
        return Sample.of_durations([await exchange.submit(prices[i % 100]) for i in range(count)])
    finally:
        await exchange.disconnect()
        if journal is not None:
            journal.close()


async def start_tasks(count: int) -> Sample:
    entered_ns = 0

    async def enter() -> None:
        nonlocal entered_ns
        entered_ns = time.perf_counter_ns()

    taken = []
    for _ in range(count):
        begin_ns = time.perf_counter_ns()
        task = asyncio.create_task(enter())
        await asyncio.sleep(0)
        taken.append(entered_ns - begin_ns)
        await task
    return Sample.of_durations(taken)


@contextmanager
def submits(bench: Bench) -> Iterator[list[Row]]:
    count = bench.scaled(5_000, quick=500)

    journal = bench.directory / "submit.journal"

    def journalled() -> Sample:
        journal.unlink(missing_ok=True)
        return asyncio.run(submit_orders(journal, bench.directory, count))

    yield [
        Row.peer(TASK, lambda: asyncio.run(start_tasks(count))),
        Row.ours(BARE, lambda: asyncio.run(submit_orders(None, bench.directory, count))),
        Row.ours(JOURNALLED, journalled),
    ]


JOBS = (
    Job(
        "order-submit",
        "How long from buy() until the exchange's own code has the order?",
        "ns/order",
        submits,
        goals=(Goal(JOURNALLED, at_most=8_000),),
        pinned=False,  # the journal's own thread writes the file
    ),
)
