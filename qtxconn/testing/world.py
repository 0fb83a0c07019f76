"""What a schedule runs in: a venue, a way to it, and the client's processes; one kind for each level."""

from __future__ import annotations

import asyncio
import contextvars
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from qtxconn.testing.faults import FaultPlan
from qtxconn.testing.loop import SimClock, SimLoop
from qtxconn.testing.market import SimMarket
from qtxconn.testing.memory import MemoryLink, MemoryPerpetual, parse_execution, parse_order

if TYPE_CHECKING:
    from qtxconn.core.connectors import ConnectorBase
    from qtxconn.sim.account import Account
    from qtxconn.sim.model import Execution, ExecutionType, SimOrder

FIRST_ORDER_ID = 1_000_000_000_000_000


class World(ABC):
    """Everything but the user. `mutate` may replace the connector class by a subclass."""

    connector_class: ClassVar[type[ConnectorBase]]

    def __init__(
        self,
        loop: SimLoop,
        plan: FaultPlan,
        rng: random.Random,
        record: Callable[..., None],
        mutate: Callable[[type[ConnectorBase]], type[ConnectorBase]] | None,
    ) -> None:
        self.loop = loop
        self.plan = plan
        self.record = record
        self.client_clock = SimClock(loop)
        self.market = SimMarket(SimClock(loop), rng)
        # Half of the seeds never poll: the stream, its recovery and the look-ups must be enough.
        self.poll_interval_s = rng.choice((30.0, 100_000.0))
        self._next_id = FIRST_ORDER_ID
        base = mutate(self.connector_class) if mutate is not None else self.connector_class
        self._class = type(base.__name__, (_SimIds, base), {"name": base.name, "simulated_world": self})

    def next_client_order_id(self) -> str:
        self._next_id += 1
        return str(self._next_id)

    @property
    def settle_limit_s(self) -> float:
        """How long after the last fault both sides may still differ: a request on its way may be accepted, then be
        looked up, and "no such order" is believed only after the dead time of a submit."""
        return 2 * self.connector_class.submit_dead_after_s + 40.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def start(self) -> None:  # noqa: B027 - a world in memory has nothing to open
        """Opens the venue."""

    async def stop(self) -> None:  # noqa: B027
        """Closes it."""

    @contextmanager
    def sealed(self) -> Iterator[None]:
        """Whatever libraries must not reach for is replaced meanwhile."""
        yield

    @abstractmethod
    def make_connector(self) -> ConnectorBase:
        """A fresh connector, not connected; called in the context of the process it belongs to."""

    @abstractmethod
    def kill(self, process: int) -> None:
        """The process has died: its connections end."""

    def bury_the_dead(self) -> None:  # noqa: B027
        """Killed processes run again, to be disposed of."""

    def failures(self) -> list[str]:
        """What went wrong in the world itself."""
        return []


class _SimIds:
    """Client order ids of a simulation: counted, so that every run has the same."""

    simulated_world: ClassVar[World]

    def generate_client_order_id(self) -> str:
        return self.simulated_world.next_client_order_id()


class MemoryWorld(World):
    """Transport level: the connector's hooks call the venue through a MemoryLink."""

    connector_class = MemoryPerpetual

    async def start(self) -> None:
        self._link: MemoryLink | None = None
        self.market.venue.add_account_listener(self)

    def make_connector(self) -> ConnectorBase:
        self._link = contextvars.Context().run(MemoryLink, self.loop, self.plan, self.market)
        self._link.on_fault = lambda text: self.record("fault", text)
        connector = self._class(self.market, self._link, self.client_clock)
        connector.status_poll_interval_s = self.poll_interval_s
        return connector

    def kill(self, process: int) -> None:
        if self._link is not None:
            self._link.close_stream()

    # -- the venue's account listener: what its user stream carries ----------------------------------------------

    def on_order(
        self, account: Account, order: SimOrder, execution_type: ExecutionType, execution: Execution | None
    ) -> None:
        if account is self.market.account and self._link is not None:
            fill = parse_execution(execution, self.market) if execution is not None else None
            self._link.push((fill, parse_order(order, self.market)))

    def on_account(self, account: Account, reason: str, assets: Any, positions: Any) -> None:
        """Balances and positions are not simulated at this level."""
