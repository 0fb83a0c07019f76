"""A circuit breaker: after failures in a row requests of that class are refused here, until a probe gets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtxconn.errors import CircuitOpenError

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock


class CircuitBreaker:
    """Closed: requests pass. After `failures_max` failures in a row it is open for `open_s`: none does. Then half-open:
    one request passes as a probe; its success closes the circuit, its failure opens it again."""

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
        """Whether requests are refused, but for a probe that is due."""
        return self._failures >= self._failures_max

    def enter(self) -> None:
        """Before a request, which must end with succeeded(), failed() or abandoned(). Raises CircuitOpenError."""
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

    def succeeded(self) -> None:
        """The venue has answered, be it with a refusal."""
        self._failures = 0
        self._probing = False

    def failed(self) -> None:
        """The network failed, or the venue's own machinery (5xx)."""
        self._failures += 1
        self._probing = False
        self._until_ns = self._clock.monotonic_ns() + self._open_ns

    def abandoned(self) -> None:
        """The request was given up; that says nothing."""
        self._probing = False
