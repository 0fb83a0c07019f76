"""A circuit breaker: after failures in a row requests of that class are refused here, until a probe gets through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from qtxconn.errors import CircuitOpenError, MessageError, NetworkError, OutcomeUnknownError, VenueError

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock

T = TypeVar("T")


class CircuitBreaker:
    """Closed: requests pass. After `failures_max` failures in a row it is open for `open_s`: none does. Then half-open:
    one request passes as a probe; its success closes the circuit, its failure opens it again.

    Priority requests (cancels, queries) are never refused. Their failures count as any other's. Their success makes the
    probe due at once but does not close the circuit: an overloaded venue answers cancels and refuses orders.
    """

    def __init__(self, name: str, clock: Clock, *, failures_max: int = 8, open_s: float = 2.0) -> None:
        self._name = name
        self._clock = clock
        self._failures_max = failures_max
        self._open_ns = int(open_s * 1e9)
        self._failures = 0
        self._until_ns = 0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether requests are refused, but for a probe that is due and priority requests."""
        return self._failures >= self._failures_max

    async def run(self, send: Callable[[], Awaitable[T]], *, priority: bool = False) -> T:
        """What `send()` returns or raises; a NetworkError or OutcomeUnknownError of it is a failure, another error of
        the venue's is an answer, and anything else says nothing. Raises CircuitOpenError, with `send` not called."""
        if not priority:
            self._enter()
        try:
            answer = await send()
        except (NetworkError, OutcomeUnknownError):
            self._failures += 1
            self._until_ns = self._clock.monotonic_ns() + self._open_ns
            raise
        except (VenueError, MessageError):
            self._answered(priority)
            raise
        finally:
            if not priority:
                self._probing = False
        self._answered(priority)
        return answer

    def _enter(self) -> None:
        if not self.is_open:
            return
        wait_ns = self._until_ns - self._clock.monotonic_ns()
        if wait_ns > 0 or self._probing:
            retry_after = max(0.0, wait_ns / 1e9)
            raise CircuitOpenError(
                f"{self._name} requests have failed {self._failures} times in a row; not sent, the next try is in "
                f"{retry_after:.1f} s",
                retry_after=retry_after,
            )
        self._probing = True

    def _answered(self, priority: bool) -> None:
        if priority:
            self._until_ns = min(self._until_ns, self._clock.monotonic_ns())
        else:
            self._failures = 0
