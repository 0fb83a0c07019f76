"""Deterministic simulation of a connector and a venue: one seed is one schedule of orders, trades and faults.

    python -m qtxconn.testing.simulate --seed 7 --mode http --trace
    python -m qtxconn.testing.simulate --first 1 --count 5000

A schedule has three parts: orders under faults; healing, after which everything has to come to rest with both sides
the same; and a cancel_all(), after which nothing may be open.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import hashlib
import itertools
import logging
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import click

from qtxconn.core.connectors import ConnectorBase
from qtxconn.core.types import OrderType
from qtxconn.errors import NotReadyError, OrderValidationError, QtxconnError
from qtxconn.storage.journal import OrderJournal
from qtxconn.testing.faults import FaultPlan
from qtxconn.testing.http_world import HttpWorld
from qtxconn.testing.invariants import InvariantChecker, InvariantViolation
from qtxconn.testing.loop import SimLoop, SimulationError, run
from qtxconn.testing.market import PAIR
from qtxconn.testing.world import MemoryWorld, Mutate, World

MODES: dict[str, type[World]] = {"transport": MemoryWorld, "http": HttpWorld}
DURATIONS_S = (5.0, 15.0, 40.0)
ORDERS_MIN = 10
ORDERS_MAX = 18
STEPS_MAX = 300_000  # a schedule takes some thousand
CONNECTS_MAX = 6  # that fail in a row before the faults give way
PART = 50  # schedules that one process runs in a row
SETTLE_LOOK_S = 0.5
QUIET_S = 1.0  # nothing may change any more for so long


@dataclass(frozen=True)
class Result:
    """What one schedule came to. `violation` is None when every invariant held."""

    seed: int
    mode: str
    digest: str
    steps: int
    orders: int
    virtual_s: float
    violation: str | None = None

    @property
    def command(self) -> str:
        """Reproduces the schedule."""
        return f"python -m qtxconn.testing.simulate --seed {self.seed} --mode {self.mode}"


class Trace:
    """Every event with its virtual time, and printed where wanted."""

    def __init__(self, loop: SimLoop, show: Callable[[str], None] | None) -> None:
        self._loop = loop
        self._lines: list[str] = []
        self._show = show
        self._ended = False

    def record(self, kind: str, *what: object) -> None:
        if self._ended:
            return
        line = f"{self._loop.time():.9f} {kind} {' '.join(map(str, what))}\n"
        self._lines.append(line)
        if self._show is not None:
            self._show(line)

    def end(self) -> str:
        """Nothing is recorded any more; -> the digest."""
        self._ended = True
        return hashlib.blake2b("".join(self._lines).encode(), digest_size=16).hexdigest()


class Schedule:
    """One seed's run."""

    def __init__(
        self,
        seed: int,
        mode: str,
        mutate: Mutate | None,
        journal_class: type[OrderJournal],
        show: Callable[[str], None] | None,
    ) -> None:
        self.seed = seed
        self.mode = mode
        self._rng = random.Random(f"workload {seed}")
        self.duration_s = self._rng.choice(DURATIONS_S)
        self.plan = FaultPlan.draw(seed, self.duration_s)
        self.loop = SimLoop(seed, shuffled=self._rng.random() < 0.75, steps_max=STEPS_MAX)
        self.trace = Trace(self.loop, show)
        self.world: World = MODES[mode](
            self.loop, self.plan, random.Random(f"market {seed}"), self.trace.record, mutate, journal_class
        )
        self.checker = InvariantChecker(self.world.market, self.trace.record, live_books=self.world.live_books)
        self._connector: ConnectorBase | None = None
        self._connectors: list[ConnectorBase] = []  # also those whose process has died
        self._context = contextvars.copy_context()
        self._process = 0
        self._ids: list[str] = []

    # -- the client's process ----------------------------------------------------------------------------------

    async def _start_process(self) -> None:
        """Starts the client; again, should it die before it is connected."""
        while True:
            self._process, self._context = self.loop.new_process()
            connector = self._connector = self._context.run(self.world.start_client)
            self._connectors.append(connector)
            self.checker.watch(connector, remembers=self.plan.journal_records is not None)
            if await self._connect(connector):
                self.checker.on_connected()
                return

    async def _connect(self, connector: ConnectorBase) -> bool:
        """Tries until it is connected, as a supervisor would. False: the process died meanwhile."""
        dies = self.plan.started_s is not None and self._rng.random() < self.plan.kill_connecting
        for attempt in itertools.count():
            if attempt == CONNECTS_MAX:
                self.trace.record("faults pause")
                self.plan.pause()  # so many at once that no connect() would ever come through them
            connecting = self.loop.create_task(connector.connect(), name="connect", context=self._context)
            if dies:
                await asyncio.wait([connecting], timeout=self._rng.expovariate(1.0))
                if not connecting.done():
                    await self._kill()
                    return False
            try:
                await connecting
                self.plan.go_on()
                return True
            except QtxconnError as error:
                self.trace.record("connect failed", type(error).__name__)
                await self.loop.sleep(1.0)
        raise AssertionError("the loop above only returns")

    async def _kill(self) -> None:
        """The client dies between two instructions; what is left of it is the journal, where it has one."""
        self.trace.record("kill")
        self.loop.kill(self._process)
        self.world.kill(self._process)
        self.checker.on_dead()
        self._connector = None
        if self.plan.journal_records is None:
            self._ids.clear()
        await self.loop.sleep(self._rng.uniform(0.1, 3.0))

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return self._context.run(method, *args, **kwargs)

    # -- the user's part ---------------------------------------------------------------------------------------

    def _place(self) -> str | None:
        rng, connector, market = self._rng, self._connector, self.world.market
        assert connector is not None
        place = connector.buy if rng.random() < 0.5 else connector.sell
        sign = -1 if place == connector.buy else 1
        kind = rng.choices((OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET), (6, 2, 2))[0]
        # Mostly resting near the best price, sometimes crossing.
        ticks = market.mid_ticks() + sign * rng.randint(-15, 40)
        price = None if kind is OrderType.MARKET else market.instrument.ticks_to_price(ticks)
        amount = market.instrument.lots_to_quantity(rng.randint(1, 60))
        try:
            order_id = self._call(place, PAIR, amount, kind, price)
        except (NotReadyError, OrderValidationError) as error:
            self.trace.record("not placed", type(error).__name__)
            return None
        self.checker.on_intent(order_id)
        self._ids.append(order_id)
        return order_id

    def _cancel(self, order_id: str) -> None:
        assert self._connector is not None
        self.trace.record("cancel", order_id)
        try:
            self._call(self._connector.cancel, PAIR, order_id)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not come out
            self.checker.fail("L10", f"cancel of {order_id} raised {type(error).__name__}: {error}")

    def _amend(self, order_id: str) -> None:
        """Another price, another amount, or both: some are none, and some leave nothing to execute."""
        rng, connector, market = self._rng, self._connector, self.world.market
        assert connector is not None
        changes: dict[str, Decimal] = {}
        if rng.random() < 0.7:
            changes["price"] = market.instrument.ticks_to_price(market.mid_ticks() + rng.randint(-40, 40))
        if rng.random() < 0.5 or not changes:
            changes["amount"] = market.instrument.lots_to_quantity(rng.randint(1, 60))
        try:
            asked = self._call(connector.amend, PAIR, order_id, **changes)
        except (NotReadyError, OrderValidationError) as error:
            asked = type(error).__name__
        self.trace.record("amend", order_id, asked)

    def _cancel_unknown(self) -> None:
        """An order that never was: nothing may be sent for it."""
        assert self._connector is not None
        if self._call(self._connector.cancel, PAIR, "1"):
            self.checker.fail("L10", "cancel of an id that was never given returned True")

    def _act(self) -> None:
        rng = self._rng
        choice = rng.random()
        if choice < 0.45 or not self._ids:
            self._place()
        elif choice < 0.55:
            order_id = self._place()
            if order_id is not None:
                self._cancel(order_id)  # before any answer
        elif choice < 0.60:
            for _ in range(3):
                self._place()
        elif choice < 0.63:
            self.trace.record("by hand", self.world.market.cancel_by_hand())
        elif choice < 0.65:
            self._cancel_unknown()
        elif choice < 0.75:
            self._amend(rng.choice(self._ids[-4:]))
        elif choice < 0.92:
            self._cancel(rng.choice(self._ids[-6:]))
        else:
            order_id = rng.choice(self._ids)
            self._cancel(order_id)
            self._cancel(order_id)

    async def _use(self) -> None:
        """The user's orders and the others' trades, at random times, until enough has happened."""
        rng, loop = self._rng, self.loop
        wanted = rng.randint(ORDERS_MIN, ORDERS_MAX)
        pause_s = self.duration_s / (4 * wanted)
        steps = sorted(self.plan.clock_steps)
        end_s = loop.time() + self.duration_s
        start_s = loop.time()
        kills = list(self.plan.kills_s)
        placed = 0
        while loop.time() < end_s or placed < wanted:
            await self.loop.sleep(rng.expovariate(1.0) * pause_s)
            self._check()
            now_s = loop.time() - start_s
            while steps and steps[0][0] <= now_s:
                step_s = steps.pop(0)[1]
                self.trace.record("clock step", step_s)
                self.world.client_clock.step(step_s)
            if kills and kills[0] <= now_s:
                kills.pop(0)
                await self._kill()
                await self._start_process()
            if rng.random() < 0.5:
                self.trace.record("others", self.world.market.others_act())
            elif placed < wanted:
                before = len(self._ids)
                self._act()
                placed += max(1, len(self._ids) - before)
            if loop.time() > end_s + 600.0:
                break
        self.placed = placed

    # -- judging -----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        self.checker.check_book()
        self.checker.raise_if_violated()
        for failures in (self.loop.failures, self.world.failures()):
            if failures:
                raise InvariantViolation(f"unhandled: {failures[0]}")

    async def _settle(self, limit_s: float) -> None:
        """Until both sides are the same and stay so. What the limit is made of: world.settle_limit_s."""
        deadline_s = self.loop.time() + limit_s
        quiet_since_s: float | None = None
        while True:
            await self.loop.sleep(SETTLE_LOOK_S)
            self._check()
            now_s = self.loop.time()
            if quiet_since_s is not None and now_s - quiet_since_s < QUIET_S:
                continue  # they were the same when it began, and must be when it ends
            difference = next(self.checker.differences(), None)
            if difference is not None:
                quiet_since_s = None
                if now_s >= deadline_s:
                    raise InvariantViolation(f"{difference} (still, {limit_s:g} s after the last fault)")
            elif quiet_since_s is None:
                quiet_since_s = now_s
            else:
                return

    async def main(self) -> None:
        await self.world.start()
        self.trace.record("plan", self.plan)
        await self._start_process()
        self.plan.start(self.loop.time())
        await self._use()
        self.plan.heal()
        self.trace.record("heal")
        await self._settle(self.world.settle_limit_s)
        await self._end()

    async def _end(self) -> None:
        """Nothing fails any more, so cancel_all() must end everything."""
        connector = self._connector
        assert connector is not None
        await self.loop.sleep(self.world.silence_left_s())
        task = self.loop.create_task(connector.cancel_all(10.0), name="cancel_all", context=self._context)
        results = await task
        self._check()
        # Orders of a process that died without a journal are the venue's word only: listed, and left alone.
        left = [result.order_id for result in results if not result.success and self.checker.is_own(result.order_id)]
        if left:
            raise InvariantViolation(f"L6: cancel_all() without any fault left {left} open")
        await self._settle(5.0)

    async def clean_up(self) -> None:
        """Closes what is open, in killed processes too, so that nothing outlives the schedule."""
        self.plan.heal()
        self.loop.bury_the_dead()
        self.world.bury_the_dead()
        self.loop.steps = 0
        for connector in self._connectors:
            await connector.disconnect()
        await self.world.stop()


@contextmanager
def _quiet() -> Iterator[None]:
    """No log output, and no garbage collection in between."""
    logger = logging.getLogger("qtxconn")
    disabled, collects = logger.manager.disable, gc.isenabled()
    logging.disable(logging.CRITICAL)
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        logging.disable(disabled)


def run_schedule(
    seed: int,
    mode: str = "transport",
    *,
    mutate: Mutate | None = None,
    journal_class: type[OrderJournal] = OrderJournal,
    show: Callable[[str], None] | None = None,
) -> Result:
    """Runs one schedule. `mutate` and `journal_class` replace the connector class and the journal by subclasses (with a
    planted bug); `show` is given every line of the trace. Nothing is raised for a violation: it is in the result."""
    with _quiet():
        schedule = Schedule(seed, mode, mutate, journal_class, show)
        violation = None
        digest, steps, virtual_s = "", 0, 0.0

        async def judged() -> None:
            nonlocal violation, digest, steps, virtual_s
            try:
                await schedule.main()
            except Exception as error:  # noqa: BLE001 - any exception is a finding
                text = str(error) if isinstance(error, InvariantViolation) else f"{type(error).__name__}: {error}"
                violation = text
                schedule.trace.record("ended", text)
            # Before the clean-up, whose order means nothing.
            digest, steps, virtual_s = schedule.trace.end(), schedule.loop.steps, schedule.loop.time()
            await schedule.clean_up()

        try:
            with schedule.world.sealed():
                run(judged(), schedule.loop)
        except SimulationError as error:
            violation = f"L6: {error}"
        finally:
            schedule.world.dispose()
    return Result(seed, mode, digest, steps, schedule.checker.intents, virtual_s, violation)


def run_many(first: int, count: int, mode: str) -> tuple[int, str, list[Result]]:
    """(schedules run, digest of their digests, those that violated something)."""
    digest = hashlib.blake2b(digest_size=16)
    failed = []
    gc.freeze()  # what is there before the schedules need not be looked at again and again
    try:
        with _quiet():
            for seed in range(first, first + count):
                result = run_schedule(seed, mode)
                digest.update(result.digest.encode())
                if result.violation is not None:
                    failed.append(result)
                gc.collect(0)  # at once, while it is still in the cache: all that a schedule leaves behind is young
    finally:
        gc.unfreeze()
    return count, digest.hexdigest(), failed


@click.command()
@click.option("--seed", type=int, help="Run this one schedule.")
@click.option("--first", type=int, default=1, show_default=True, help="First seed of a range.")
@click.option("--count", type=int, default=100, show_default=True, help="Seeds in the range.")
@click.option("--mode", type=click.Choice(sorted(MODES)), default="transport", show_default=True)
@click.option("--processes", type=int, default=1, show_default=True)
@click.option("--trace", is_flag=True, help="With --seed: print every event.")
def main(seed: int | None, first: int, count: int, mode: str, processes: int, trace: bool) -> None:
    """Simulate orders, trades and faults, and check the invariants of the order life cycle."""
    if seed is not None:
        result = run_schedule(seed, mode, show=(lambda line: click.echo(line, nl=False)) if trace else None)
        click.echo(
            f"seed {seed} {mode}: {result.orders} orders, {result.steps} steps, {result.virtual_s:.1f} virtual s, "
            f"digest {result.digest}, python {platform.python_version()}"
        )
        if result.violation is not None:
            click.echo(f"VIOLATION {result.violation}")
            sys.exit(1)
        return
    started = time.perf_counter()
    # Parts of a size that does not depend on the processes, so that neither does the digest.
    parts = [(start, min(PART, first + count - start), mode) for start in range(first, first + count, PART)]
    digest = hashlib.blake2b(digest_size=16)
    failed: list[Result] = []
    with ProcessPoolExecutor(processes) as pool:
        for _, part_digest, part_failed in pool.map(run_many, *zip(*parts, strict=True)):
            digest.update(part_digest.encode())
            for result in part_failed:
                click.echo(f"seed {result.seed}: {result.violation}\n    {result.command}")
            failed += part_failed
    seconds = time.perf_counter() - started
    click.echo(
        f"{count} schedules ({mode}) in {seconds:.1f} s, {count / seconds:.0f}/s, {len(failed)} violations, "
        f"digest {digest.hexdigest()}"
    )
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
