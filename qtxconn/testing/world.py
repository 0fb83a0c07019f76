"""What a schedule runs in: a venue, a way to it, and the client's processes; one kind for each level."""

from __future__ import annotations

import asyncio
import contextvars
import os
import random
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from qtxconn.core.client_ids import ClientIds
from qtxconn.core.environment import Environment, use_environment
from qtxconn.storage.journal import OrderJournal
from qtxconn.testing.faults import RETRY_AFTER_S, FaultPlan, RequestFault
from qtxconn.testing.loop import SimLoop
from qtxconn.testing.market import SimMarket
from qtxconn.testing.memory import AccountState, MemoryLink, MemoryPerpetual, parse_execution, parse_order
from qtxconn.testing.scheduler import EPOCH_NS, SimClock

if TYPE_CHECKING:
    from qtxconn.core.connectors import PerpetualDerivativeBase
    from qtxconn.sim.account import Account
    from qtxconn.sim.model import Execution, ExecutionType, SimOrder

RECORD_BYTES = 256
FUNDING_NS = 1_700_006_400_000_000_000  # a time at which venues settle funding: midnight, 15 November 2023
HORIZON_S = 3_600.0
# Where a file system in memory is at hand, the files are there; nothing but speed depends on it.
MEMORY_FOLDER = "/dev/shm" if os.path.isdir("/dev/shm") else None
SIM_INSTANCE = 7  # of the client order ids: every process of the client takes it over from the one before


Mutate = Callable[[type["PerpetualDerivativeBase"]], type["PerpetualDerivativeBase"]]


class ClientProcess:
    """What one process of the client holds beside its memory: the leased ids and the journal, both files in `folder`.

    Made in the context of the process: what is made there afterwards uses this environment.
    """

    def __init__(
        self, folder: Path, clock: SimClock, plan: FaultPlan, rng: random.Random, journal_class: type[OrderJournal]
    ) -> None:
        self._rng = rng
        self._ids = ids = ClientIds(instance=SIM_INSTANCE, clock=clock, directory=folder)
        self.journal: OrderJournal | None = None
        if plan.journal_records is not None:
            self.journal = journal_class(folder / "orders.journal", capacity=plan.journal_records, clock=clock)
        use_environment(Environment(clock, rng.uniform, lambda name, bits: ids))

    def kill(self) -> bool:
        """The system takes back what it held. Perhaps it was about to write another record, and part of it is there:
        True."""
        self._ids.close()
        if self.journal is None:
            return False
        used, room = self.journal.records, self.journal.capacity - self.journal.records
        self.journal.close()
        if used and room and self._rng.random() < 0.5:
            with open(self.journal.path, "r+b") as file:
                file.seek(used * RECORD_BYTES)
                last = file.read(RECORD_BYTES)
                file.write(last[: self._rng.randrange(RECORD_BYTES)])
            return True
        return False

    def close(self) -> None:
        self._ids.close()
        if self.journal is not None:
            self.journal.close()


class World(ABC):
    """Everything but the user. `mutate` may replace the connector class by a subclass; so may `journal_class` the
    journal's."""

    connector_class: ClassVar[type[PerpetualDerivativeBase]]
    live_books: ClassVar[bool]  # whether market data is simulated

    def __init__(
        self,
        loop: SimLoop,
        plan: FaultPlan,
        rng: random.Random,
        record: Callable[..., None],
        mutate: Mutate | None,
        journal_class: type[OrderJournal],
    ) -> None:
        self.loop = loop
        self.plan = plan
        self.record = record
        epoch_ns = EPOCH_NS if plan.funding_s is None else FUNDING_NS - round(plan.funding_s * 1e9)
        self.client_clock = SimClock(loop, epoch_ns)
        self._venue_clock = SimClock(loop, epoch_ns)
        self.market = SimMarket(self._venue_clock, rng)
        self._due: asyncio.TimerHandle | None = None
        self._due_ms = 0
        # Half of the seeds never poll: the stream, its recovery and the look-ups must be enough.
        self.poll_interval_s = rng.choice((30.0, 100_000.0))
        self.client: ClientProcess | None = None
        self._world = contextvars.copy_context()  # of what goes on when the client dies
        self._failures: list[str] = []
        self._client_rng = random.Random(rng.random())
        self._folder = Path(tempfile.mkdtemp(prefix="qtxconn-simulation-", dir=MEMORY_FOLDER))
        base = self.connector_class
        self._class = mutate(base) if mutate is not None else base
        self._journal_class = journal_class

    @property
    def settle_limit_s(self) -> float:
        """How long after the last fault both sides may still differ: a request on its way may be accepted, then be
        looked up, and "no such order" is believed only after the dead time of a submit. A ban may be under way."""
        return 2 * self.connector_class.submit_dead_after_s + 40.0 + RETRY_AFTER_S[RequestFault.BANNED]

    async def start(self) -> None:
        """Opens the venue."""
        self.keep_dates()

    async def stop(self) -> None:
        """Closes it."""
        if self._due is not None:
            self._due.cancel()

    def keep_dates(self) -> None:
        """Has the venue do on time what time makes due: to be called when that may have changed. What is farther away
        than any schedule lasts is left alone, so that a wait without end is still found out."""
        due_ms = self.market.venue.next_due_ms()
        wait_s = (due_ms * 1_000_000 - self._venue_clock.now_ns()) / 1e9
        if due_ms == self._due_ms or wait_s > HORIZON_S:
            return
        if self._due is not None:
            self._due.cancel()
        self._due_ms = due_ms
        self._due = self.loop.call_later(wait_s, self._do_due, context=self._world)

    def _do_due(self) -> None:
        self.record("due")
        self._due_ms = 0
        self.market.venue.run_due()
        self.keep_dates()

    def dispose(self) -> None:
        """Removes the files, however the schedule has ended."""
        if self.client is not None:
            self.client.close()
        shutil.rmtree(self._folder)

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """Whatever libraries must not reach for is replaced meanwhile."""
        yield

    def start_client(self) -> PerpetualDerivativeBase:
        """A fresh connector, not connected; called in the context of the process it belongs to."""
        self.client = ClientProcess(self._folder, self.client_clock, self.plan, self._client_rng, self._journal_class)
        connector = self._make_connector(self.client.journal)
        connector.status_poll_interval_s = self.poll_interval_s
        return connector

    @abstractmethod
    def _make_connector(self, journal: OrderJournal | None) -> PerpetualDerivativeBase:
        """The connector at this venue."""

    def kill(self, process: int) -> None:
        """The process has died: its connections end, its locks are free."""
        assert self.client is not None
        if self.client.kill():
            self.record("torn record")

    def bury_the_dead(self) -> None:  # noqa: B027
        """Killed processes run again, to be disposed of."""

    def failures(self) -> list[str]:
        """What went wrong beside the orders."""
        return self._failures

    @abstractmethod
    def silence_left_s(self) -> float:
        """How long the client may not send anything yet."""

    def too_early(self, seconds: float) -> None:
        """A request was sent before a Retry-After had ended."""
        self._failures.append(f"R1: a request was sent {seconds:.6f} s before the venue's Retry-After had ended")


class MemoryWorld(World):
    """Transport level: the connector's hooks call the venue through a MemoryLink."""

    connector_class = MemoryPerpetual
    live_books = False

    async def start(self) -> None:
        await super().start()
        self._link: MemoryLink | None = None
        self.market.venue.add_account_listener(self)

    def _make_connector(self, journal: OrderJournal | None) -> PerpetualDerivativeBase:
        self._link = contextvars.Context().run(MemoryLink, self.loop, self.plan, self.market)
        self._link.on_fault = lambda text: self.record("fault", text)
        self._link.on_too_early = self.too_early
        connector = self._class(self.market, self._link, journal)
        connector.reports_funding_payments = self.plan.funding_s is not None  # spares the others the requests
        return connector

    def kill(self, process: int) -> None:
        super().kill(process)
        if self._link is not None:
            self._link.close_stream()

    def silence_left_s(self) -> float:
        return self._link.silence_left_s() if self._link is not None else 0.0

    # -- the venue's account listener: what its user stream carries ----------------------------------------------

    def on_order(
        self, account: Account, order: SimOrder, execution_type: ExecutionType, execution: Execution | None
    ) -> None:
        if account is self.market.account and self._link is not None:
            fill = parse_execution(execution, self.market) if execution is not None else None
            self._link.push(((fill, parse_order(order, self.market)), AccountState.of(self.market)))

    def on_account(self, account: Account, reason: str, assets: Any, positions: Any) -> None:
        """Goes with the order that is the cause, but for funding."""
        if account is self.market.account and reason == "FUNDING_FEE" and self._link is not None:
            self._link.push((None, AccountState.of(self.market)))
