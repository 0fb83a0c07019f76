"""The venue's time, estimated from request round trips, with its uncertainty."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock

DRIFT_PPM = 100  # how far two quartz clocks may run apart: what an old sample loses in worth


class TimeSync:
    """Server time = monotonic clock + offset; a step of the local wall clock does not move it.

    Of the last samples the one with the least uncertainty counts: half its round trip, plus the resolution of
    the server's stamp, plus possible drift since. Without a sample the local wall clock is all there is. A sample that
    contradicts the others ends them: one of the clocks was set, or this machine was suspended.
    """

    def __init__(self, clock: Clock, *, samples_max: int = 16, resolution_ns: int = 1_000_000) -> None:
        self._clock = clock
        self._resolution_ns = resolution_ns
        self._samples: deque[tuple[int, int, int]] = deque(maxlen=samples_max)  # (monotonic ns, offset ns, rtt ns)

    def record(self, sent_ns: int, received_ns: int, server_ns: int) -> None:
        """One round trip: local monotonic ns before and after, the server's time in it (ns since 1970)."""
        if received_ns >= sent_ns:
            middle_ns = (sent_ns + received_ns) // 2
            sample = (received_ns, server_ns - middle_ns, received_ns - sent_ns)
            if self._samples:
                best = self._best(received_ns)
                margin_ns = self._uncertainty_ns(best, received_ns) + self._uncertainty_ns(sample, received_ns)
                if abs(sample[1] - best[1]) > margin_ns:
                    self._samples.clear()
            self._samples.append(sample)

    async def sync(self, request_server_ns: Callable[[], Awaitable[int]], rounds: int = 3) -> None:
        """Ask `rounds` times. Raises what the request raises; samples already taken are kept."""
        for _ in range(rounds):
            sent_ns = self._clock.monotonic_ns()
            server_ns = await request_server_ns()
            self.record(sent_ns, self._clock.monotonic_ns(), server_ns)

    def now_ns(self) -> int:
        """The server's time now, ns since 1970."""
        if not self._samples:
            return self._clock.now_ns()
        monotonic_ns = self._clock.monotonic_ns()
        return monotonic_ns + self._best(monotonic_ns)[1]

    def earliest_ns(self) -> int:
        """The same, rather too early than too late."""
        if not self._samples:
            return self._clock.now_ns()
        monotonic_ns = self._clock.monotonic_ns()
        best = self._best(monotonic_ns)
        return monotonic_ns + best[1] - self._uncertainty_ns(best, monotonic_ns)

    @property
    def offset_ns(self) -> int:
        """Server time minus local wall time, ns."""
        return self.now_ns() - self._clock.now_ns()

    @property
    def uncertainty_ns(self) -> int | None:
        """The true offset is within plus or minus this; None before the first sample."""
        if not self._samples:
            return None
        monotonic_ns = self._clock.monotonic_ns()
        return self._uncertainty_ns(self._best(monotonic_ns), monotonic_ns)

    def _best(self, monotonic_ns: int) -> tuple[int, int, int]:
        return min(self._samples, key=lambda sample: self._uncertainty_ns(sample, monotonic_ns))

    def _uncertainty_ns(self, sample: tuple[int, int, int], monotonic_ns: int) -> int:
        taken_ns, _, rtt_ns = sample
        return rtt_ns // 2 + self._resolution_ns + (monotonic_ns - taken_ns) * DRIFT_PPM // 1_000_000
