"""A weight-based throttler: exact rolling windows over linked pools, FIFO, a reserved lane for cancels."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

from qtxconn.errors import ConfigurationError, ThrottledError
from qtxconn.net.shared_budget import LOCK_RETRY_NS

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock
    from qtxconn.net.shared_budget import SharedBudget, SharedPool


class RateLimit(NamedTuple):
    """One pool: at most `limit` weight in any window of `time_interval` seconds.

    `reserved` of that weight is kept for priority callers (cancels): the others stop that much earlier. `scope` says
    whose limit it is, where processes share a budget: "address" or "account".
    """

    limit_id: str
    limit: int
    time_interval: float
    reserved: int = 0
    scope: str = "address"


class _Told(NamedTuple):
    """The newest count of the venue, and what was granted since."""

    until_ns: int  # monotonic: it begins anew
    used: int


class _Pool:
    """The weight spent in one pool over the last interval."""

    __slots__ = ("_spent", "interval_ns", "limit", "reserved", "used")

    def __init__(self, rate_limit: RateLimit) -> None:
        if not 0 <= rate_limit.reserved < rate_limit.limit or rate_limit.time_interval <= 0:
            raise ConfigurationError(f"not a rate limit: {rate_limit}")
        self.limit = rate_limit.limit
        self.reserved = rate_limit.reserved
        self.interval_ns = round(rate_limit.time_interval * 1e9)
        self.used = 0
        self._spent: deque[tuple[int, int]] = deque()  # (monotonic ns, weight), oldest first

    def capacity(self, priority: bool) -> int:
        return self.limit if priority else self.limit - self.reserved

    def refresh(self, now_ns: int) -> None:
        while self._spent and self._spent[0][0] + self.interval_ns <= now_ns:
            self.used -= self._spent.popleft()[1]

    def spend(self, now_ns: int, weight: int) -> None:
        self._spent.append((now_ns, weight))
        self.used += weight

    def free_at_ns(self, weight: int, priority: bool, now_ns: int) -> int:
        """When `weight` more fits, if nobody else spends any until then."""
        excess = self.used + weight - self.capacity(priority)
        if excess <= 0:
            return now_ns
        for spent_ns, spent in self._spent:
            excess -= spent
            if excess <= 0:
                return spent_ns + self.interval_ns
        raise AssertionError("a weight beyond the capacity is refused on entry")


class _Waiter(NamedTuple):
    weights: Mapping[str, int]
    priority: bool
    granted: asyncio.Future[None]


class Throttler:
    """Hands out weight in the order it was asked for, never more than a pool's limit in any of its windows.

    Priority callers go first and may use the reserved share. Callers whose pools do not overlap do not wait
    for each other. Nothing polls: one task sleeps until the next caller is due, and exists only meanwhile.
    With a `budget` the weights and pauses are those of all processes that share it; each keeps its own queue.
    `venue_ns()`: the venue's time, rather too early than too late, where its counters begin anew at every multiple of
    their interval.
    """

    def __init__(
        self,
        rate_limits: Iterable[RateLimit],
        clock: Clock,
        budget: SharedBudget | None = None,
        venue_ns: Callable[[], int] | None = None,
    ) -> None:
        self._clock = clock
        self._budget = budget
        self._venue_ns = venue_ns
        self._pools: dict[str, _Pool | SharedPool] = {}
        self._intervals_ns: dict[str, int] = {}
        self._told: dict[str, _Told] = {}
        for rate_limit in rate_limits:
            self._intervals_ns[rate_limit.limit_id] = round(rate_limit.time_interval * 1e9)
            pool = _Pool(rate_limit)
            self._pools[rate_limit.limit_id] = pool if budget is None else budget.pool(rate_limit)
        self._lanes: dict[bool, deque[_Waiter]] = {True: deque(), False: deque()}
        self._paused_until_ns = 0
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_ns = 0

    def used(self, limit_id: str) -> int:
        """Weight spent in the pool's current window."""
        pool = self._pool(limit_id)
        with self._budget.locked() if self._budget is not None else nullcontext():
            pool.refresh(self._clock.monotonic_ns())
        return pool.used

    async def acquire(
        self, weights: Mapping[str, int], *, priority: bool = False, wait_max_s: float | None = None
    ) -> None:
        """Return once `weights` (pool -> weight) may be spent, and spend them.

        Raises ThrottledError when that would take longer than `wait_max_s` (as far as can be told now), and
        ConfigurationError for an unknown pool or a weight that can never fit.
        """
        for limit_id, weight in weights.items():
            if weight > self._pool(limit_id).capacity(priority):
                raise ConfigurationError(f"weight {weight} never fits into the rate limit {limit_id!r}")
        waiter = _Waiter(weights, priority, asyncio.get_running_loop().create_future())
        lane = self._lanes[priority]
        lane.append(waiter)
        due_ns = self._grant()
        try:
            if wait_max_s is not None and not waiter.granted.done():
                self._refuse_late(waiter, wait_max_s)
            self._set_alarm(due_ns)
            await waiter.granted
            await self.pause_over(wait_max_s)  # one that began since the grant
        finally:
            if waiter in lane:  # refused or cancelled: those behind may be due sooner now
                lane.remove(waiter)
                self._set_alarm(self._grant())

    def observe_used(self, used: Mapping[str, int], sent_ns: int) -> None:
        """The venue counted so much in its own windows (pool -> weight): take over what others, or a former process,
        spent. `sent_ns` (monotonic): when the request left whose answer says so.

        Only ever raises the local count: what is still on its way is not yet in the venue's. And until the venue's
        window ends, its count and what is granted from now on fit into the limit, too: what we spent before the window
        began must not hide what others spent in it.
        """
        if not used:
            return
        now_ns = self._clock.monotonic_ns()
        venue_ns = self._venue_ns() if self._venue_ns is not None else None
        with self._budget.locked() if self._budget is not None else nullcontext():
            for limit_id, weight in used.items():
                pool = self._pool(limit_id)
                pool.refresh(now_ns)
                if weight > pool.used:
                    pool.spend(now_ns, weight - pool.used)
                if venue_ns is None:
                    continue
                began_ns = now_ns - venue_ns % self._intervals_ns[limit_id]
                if sent_ns >= began_ns:  # else it may be the count of the window before
                    self._told[limit_id] = _Told(began_ns + self._intervals_ns[limit_id], weight)

    def pause_until(self, monotonic_ns: int) -> None:
        """Grant nothing, to nobody, before this time (an answer's Retry-After)."""
        self._paused_until_ns = max(self._paused_until_ns, monotonic_ns)
        if self._budget is not None:
            with self._budget.locked():
                self._budget.pause_until(monotonic_ns, self._clock.monotonic_ns())

    @property
    def pause_s(self) -> float:
        """Seconds for which nothing is granted; 0 or less: no pause is in force."""
        now_ns = self._clock.monotonic_ns()
        if self._budget is not None:
            self._paused_until_ns = max(self._paused_until_ns, self._budget.paused_until_ns(now_ns))
        return (self._paused_until_ns - now_ns) / 1e9

    async def pause_over(self, wait_max_s: float | None = None) -> None:
        """Return once no pause is in force: for who was granted weight and then had to wait for something else.

        Raises ThrottledError when that would take longer than `wait_max_s`.
        """
        while True:
            wait_s = self.pause_s
            if wait_s <= 0:
                return
            if wait_max_s is not None and wait_s > wait_max_s:
                raise ThrottledError(
                    f"not sent: the venue wants silence for {wait_s:.1f} s (the most is {wait_max_s:g} s)",
                    retry_after=wait_s,
                )
            await self._clock.sleep(wait_s)

    # -- inside --------------------------------------------------------------------------------------------

    def _pool(self, limit_id: str) -> _Pool:
        try:
            return self._pools[limit_id]
        except KeyError:
            known = ", ".join(self._pools)
            raise ConfigurationError(f"unknown rate limit {limit_id!r}; there are: {known}") from None

    def _due_ns(self, waiter: _Waiter, now_ns: int) -> int:
        due_ns = max(now_ns, self._paused_until_ns)
        for limit_id, weight in waiter.weights.items():
            pool, told = self._pools[limit_id], self._told.get(limit_id)
            due_ns = max(due_ns, pool.free_at_ns(weight, waiter.priority, now_ns))
            if told is not None and told.used + weight > pool.capacity(waiter.priority):
                due_ns = max(due_ns, told.until_ns)
        return due_ns

    def _grant(self) -> int | None:
        """Let through everybody who may go now; return when the next one is due (None: nobody waits)."""
        if self._budget is None:
            return self._grant_from_pools()
        if not any(self._lanes.values()):
            return None
        with self._budget.locked() as may_look:
            now_ns = self._clock.monotonic_ns()
            if not may_look:
                return now_ns + LOCK_RETRY_NS
            self._paused_until_ns = max(self._paused_until_ns, self._budget.paused_until_ns(now_ns))
            return self._grant_from_pools()

    def _grant_from_pools(self) -> int | None:
        now_ns = self._clock.monotonic_ns()
        wanted = {limit_id for lane in self._lanes.values() for waiter in lane for limit_id in waiter.weights}
        for limit_id in wanted:
            self._pools[limit_id].refresh(now_ns)
        next_ns: int | None = None
        blocked: set[str] = set()  # pools that somebody further ahead waits for
        for priority in (True, False):
            still_waiting: deque[_Waiter] = deque()
            for waiter in self._lanes[priority]:
                if waiter.granted.done():  # cancelled
                    continue
                if blocked.isdisjoint(waiter.weights):
                    due_ns = self._due_ns(waiter, now_ns)
                    if due_ns <= now_ns:
                        self._spend(waiter.weights, now_ns)
                        waiter.granted.set_result(None)
                        continue
                    next_ns = due_ns if next_ns is None else min(next_ns, due_ns)
                blocked.update(waiter.weights)
                still_waiting.append(waiter)
            lane = self._lanes[priority]
            lane.clear()
            lane.extend(still_waiting)
        return next_ns

    def _spend(self, weights: Mapping[str, int], now_ns: int) -> None:
        for limit_id, weight in weights.items():
            self._pools[limit_id].spend(now_ns, weight)
            if (told := self._told.get(limit_id)) is not None:
                self._told[limit_id] = told._replace(used=told.used + weight)

    def _refuse_late(self, waiter: _Waiter, wait_max_s: float) -> None:
        now_ns = self._clock.monotonic_ns()
        wait_s = (self._due_ns(waiter, now_ns) - now_ns) / 1e9
        if wait_s > wait_max_s:
            raise ThrottledError(
                f"not sent: the rate limit leaves no room for {wait_s:.1f} s (the most is {wait_max_s:g} s)",
                retry_after=wait_s,
            )

    def _set_alarm(self, due_ns: int | None) -> None:
        if self._alarm is not None:
            if due_ns is not None and due_ns >= self._alarm_ns:
                return  # it looks again when it wakes
            self._alarm.cancel()
            self._alarm = None
        if due_ns is not None:
            self._alarm_ns = due_ns
            self._alarm = asyncio.get_running_loop().create_task(self._wake_when_due(), name="throttler")

    async def _wake_when_due(self) -> None:
        while True:
            now_ns = self._clock.monotonic_ns()
            if now_ns < self._alarm_ns:
                await self._clock.sleep((self._alarm_ns - now_ns) / 1e9)
            due_ns = self._grant()
            if due_ns is None:
                self._alarm = None
                return
            self._alarm_ns = due_ns
