"""The dead-man's switch: the venue cancels a pair's orders by itself when nothing is heard from here any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qtxconn.errors import ConfigurationError, QtxconnError

if TYPE_CHECKING:
    from qtxconn.core.connector_base import ConnectorBase

LOOK_S = 1.0  # how often new orders, and countdowns that are due, are looked for
RELEASE_TIMEOUT_S = 3.0


class DeadMansSwitch:
    """Keeps the venue's countdown running, of every pair that had an open order since connect().

    Each is started within LOOK_S of the pair's first order, and renewed every `interval_s` (by default a third of
    `timeout_s`) from then on: one left to run out would take later orders along. The venue cancels all orders of the
    pair, those placed elsewhere too. `release()` calls the countdowns off. A renewal that fails is tried again every
    LOOK_S and told once, as ErrorEvent `dead_mans_switch`.
    """

    def __init__(self, connector: ConnectorBase, timeout_s: float, interval_s: float | None = None) -> None:
        self._connector = connector
        self._timeout_s = timeout_s
        self._interval_s = timeout_s / 3 if interval_s is None else interval_s
        if not connector.supports_countdown_cancel:
            raise ConfigurationError(f"dead_mans_switch_s: {connector.name} has no countdown; 0 leaves it off")
        if not LOOK_S <= self._interval_s <= timeout_s / 2:
            raise ConfigurationError(
                f"dead_mans_switch_interval_s is {self._interval_s:g}; it must be between {LOOK_S:g} and half of "
                f"dead_mans_switch_s ({timeout_s:g})"
            )
        self._due_ns: dict[str, int] = {}  # by pair: monotonic time of the next renewal
        self._failing: set[str] = set()

    async def run(self) -> None:
        """Renews until cancelled."""
        clock = self._connector._clock
        while True:
            for order in self._connector.in_flight_orders.values():
                self._due_ns.setdefault(order.trading_pair, 0)
            now_ns = clock.monotonic_ns()
            await asyncio.gather(*(self._renew(pair, now_ns) for pair, due in self._due_ns.items() if due <= now_ns))
            await clock.sleep(LOOK_S)

    async def _renew(self, trading_pair: str, now_ns: int) -> None:
        connector = self._connector
        try:
            await connector._place_countdown_cancel(trading_pair, self._timeout_s)
        except QtxconnError as error:
            if trading_pair not in self._failing:
                self._failing.add(trading_pair)
                connector._alarm(
                    "dead_mans_switch",
                    f"{trading_pair}: the countdown could not be renewed ({error}); trying again. Without it the venue "
                    f"cancels the pair's orders within {self._timeout_s:g} s",
                    error=error,
                )
        else:
            self._failing.discard(trading_pair)
            self._due_ns[trading_pair] = now_ns + int(self._interval_s * 1e9)

    async def release(self) -> None:
        """Calls off what is running, so that orders may outlive the connection."""
        running, self._due_ns = self._due_ns, {}
        self._failing.clear()
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await asyncio.gather(*(self._connector._place_countdown_cancel(pair, 0.0) for pair in running))
        except (QtxconnError, TimeoutError) as error:
            self._connector.logger().warning(
                "the dead-man's switch could not be called off (%s: %s): the venue cancels the orders of %s",
                type(error).__name__,
                error,
                ", ".join(running),
            )
