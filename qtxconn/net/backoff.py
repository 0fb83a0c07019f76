"""Full-jitter exponential backoff (waits drawn from [0, cap], the cap doubling)."""

from __future__ import annotations

from collections.abc import Callable

from qtxconn.core.environment import environment


class Backoff:
    """Waits between attempts, in seconds. `uniform(low, high)`, by default the environment's, is the random source."""

    def __init__(
        self,
        first_s: float = 0.25,
        max_s: float = 30.0,
        *,
        uniform: Callable[[float, float], float] | None = None,
    ) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._uniform = uniform or environment().uniform
        self.attempts = 0

    def next_s(self) -> float:
        """The next wait; each call doubles the cap."""
        cap_s = min(self._max_s, self._first_s * 2.0 ** min(self.attempts, 62))
        self.attempts += 1
        return self._uniform(0.0, cap_s)

    def reset(self) -> None:
        """It worked: start small again."""
        self.attempts = 0
