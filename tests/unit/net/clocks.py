"""A clock that tests move by hand; sleepers wake exactly on time, in order."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time

WALL_NS = 1_700_000_000_000_000_000


class FakeClock:
    def __init__(self) -> None:
        self._ns = 1_000_000_000
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def monotonic_ns(self) -> int:
        return self._ns

    def now_ns(self) -> int:
        return WALL_NS + self._ns

    async def sleep(self, seconds: float) -> None:
        wake = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._ns + max(0, round(seconds * 1e9)), next(self._order), wake))
        await wake

    async def until_sleeping(self) -> None:
        """Return once somebody sleeps (real I/O may have to come first)."""
        while not any(not wake.done() for *_, wake in self._sleepers):  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    async def advance(self, seconds: float) -> None:
        """Move time on, waking whoever is due on the way at exactly their time."""
        end_ns = self._ns + round(seconds * 1e9)
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end_ns:
            due_ns, _, wake = heapq.heappop(self._sleepers)
            if wake.done():
                continue
            self._ns = max(self._ns, due_ns)
            wake.set_result(None)
            await settle()
        self._ns = end_ns


async def settle() -> None:
    """Let everything that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


class SystemClock:
    """The real clock, as far as the clients need it."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def now_ns(self) -> int:
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
