"""Stories told over the full HTTP stack on virtual time: half an hour without a network, and orders with a date."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal as D
from typing import Any

import pytest

from qtxconn.core.types import OrderState, OrderType
from qtxconn.sim.model import Side
from qtxconn.storage.journal import OrderJournal
from qtxconn.testing.faults import FaultPlan, Outage
from qtxconn.testing.http_world import HttpWorld
from qtxconn.testing.invariants import InvariantChecker
from qtxconn.testing.loop import SimLoop, run
from qtxconn.testing.market import MID_TICKS, PAIR, SYMBOL


class Story:
    """A connected Binance connector, the venue, and a checker that hears both."""

    def __init__(self, countdown_s: float) -> None:
        self.loop = SimLoop(1)
        self.plan = FaultPlan(random.Random(1), countdown_s=countdown_s)
        self.lines: list[str] = []
        self.world = HttpWorld(self.loop, self.plan, random.Random(1), self.record, None, OrderJournal)
        self.market = self.world.market
        self.checker = InvariantChecker(self.market, self.record, live_books=True)

    def record(self, kind: str, *what: object) -> None:
        self.lines.append(f"{self.loop.time():.3f} {kind} {' '.join(map(str, what))}")

    def tell(self, story: Callable[[Story], Awaitable[None]]) -> None:
        async def main() -> None:
            await self.world.start()
            _, self.context = self.loop.new_process()
            self.connector: Any = self.context.run(self.world.start_client)
            self.checker.watch(self.connector, remembers=False)
            await self.loop.create_task(self.connector.connect(), context=self.context)
            self.checker.on_connected()
            try:
                await story(self)
                self.checker.raise_if_violated()
                assert not self.loop.failures + self.world.failures()
            finally:
                await self.connector.disconnect()
                await self.world.stop()

        try:
            with self.world.sealed():
                run(main(), self.loop)
        finally:
            self.world.dispose()

    def place(self, ticks: int, **options: Any) -> str:
        price = self.market.instrument.ticks_to_price(ticks)
        order_id = self.context.run(self.connector.buy, PAIR, D("0.01"), OrderType.LIMIT, price, **options)
        self.checker.on_intent(order_id)
        return order_id

    def states(self, ids: list[str]) -> list[OrderState]:
        return [self.connector._order_tracker.fetch_order(order_id).current_state for order_id in ids]

    async def agree(self, limit_s: float) -> None:
        """Until both sides are the same."""
        for _ in range(int(limit_s * 10)):
            if next(self.checker.differences(), None) is None:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(next(self.checker.differences()))


@pytest.mark.parametrize("countdown_s", [0.0, 60.0])
def test_six_accepted_orders_outlive_half_an_hour_without_a_network(countdown_s: float) -> None:
    """No name resolves and no connection holds: none of the six may be given up. One is filled and one is cancelled by
    hand meanwhile; with a dead-man's switch the venue itself cancels what is left after its countdown."""

    async def story(it: Story) -> None:
        ids = [it.place(MID_TICKS - 200 - number) for number in range(6)]
        await asyncio.sleep(5.0)
        assert it.states(ids) == [OrderState.OPEN] * 6
        it.plan.outages = (Outage(0.0, 1800.0),)
        it.plan.start(it.loop.time())
        await asyncio.sleep(30.0)
        it.market.venue.cancel_order(it.market.account, SYMBOL, None, ids[5])
        it.market.venue.engine(SYMBOL).background_order(Side.SELL, 10_000, MID_TICKS - 200)
        it.market.venue.engine(SYMBOL).publish()
        await asyncio.sleep(1760.0)
        states = it.states(ids)
        assert not any(state.is_terminal for state in states), states  # nobody has said anything
        await asyncio.sleep(10.0)
        await it.agree(60.0)
        rest = OrderState.CANCELED if countdown_s else OrderState.OPEN
        assert it.states(ids) == [OrderState.FILLED, *[rest] * 4, OrderState.CANCELED]

    Story(countdown_s).tell(story)


def test_an_order_with_a_date_expires_at_it() -> None:
    """Nothing but time happens: the venue ends the order, to the millisecond, and the stream tells of it."""

    async def story(it: Story) -> None:
        until_s = it.market.venue.clock.now_ms() // 1000 + 700
        order_id = it.place(MID_TICKS - 200, time_in_force="GTD", good_till_date=until_s)
        await asyncio.sleep(690.0)
        assert it.states([order_id]) == [OrderState.OPEN]
        await asyncio.sleep(15.0)
        assert it.states([order_id]) == [OrderState.EXPIRED]
        assert it.market.account.find(SYMBOL, None, order_id).updated_ms == until_s * 1000
        await it.agree(1.0)

    Story(0.0).tell(story)
