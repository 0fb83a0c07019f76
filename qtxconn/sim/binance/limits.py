"""Binance's request limits: weight per address, orders per account, in clock-aligned windows."""

from __future__ import annotations

from dataclasses import dataclass, field

from qtxconn.sim.binance.errors import ApiError

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What the venue allows. Far above Binance's 2400 / 300 / 1200 by default, to let tests run at speed."""

    weight_1m: int = 240_000
    orders_10s: int = 30_000
    orders_1m: int = 120_000

    def to_wire(self) -> list[dict[str, str | int]]:
        """exchangeInfo.rateLimits."""
        return [
            _limit_to_wire("REQUEST_WEIGHT", "MINUTE", 1, self.weight_1m),
            _limit_to_wire("ORDERS", "SECOND", 10, self.orders_10s),
            _limit_to_wire("ORDERS", "MINUTE", 1, self.orders_1m),
        ]


def _limit_to_wire(kind: str, interval: str, number: int, limit: int) -> dict[str, str | int]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


@dataclass(slots=True)
class Window:
    """A counter that starts again at every multiple of `length_ms`."""

    length_ms: int
    started_ms: int = 0
    used: int = 0

    def add(self, amount: int, now_ms: int) -> int:
        """Counts `amount` at `now_ms` and returns what the current window holds."""
        start = now_ms - now_ms % self.length_ms
        if start != self.started_ms:
            self.started_ms, self.used = start, 0
        self.used += amount
        return self.used

    def seconds_left(self, now_ms: int) -> int:
        """Until the window ends, rounded up, at least 1."""
        return max(1, -(-(self.started_ms + self.length_ms - now_ms) // 1000))


@dataclass(slots=True)
class OrderCount:
    """Orders of one account in the two windows that Binance limits."""

    ten_seconds: Window = field(default_factory=lambda: Window(TEN_SECONDS_MS))
    minute: Window = field(default_factory=lambda: Window(MINUTE_MS))


class RateCounter:
    """Counts and enforces `limits`. Weight belongs to an address, orders to an API key.

    A refused request counts too, as at Binance: retrying without waiting does not help.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._weight: dict[str, Window] = {}
        self._orders: dict[str, OrderCount] = {}

    def add_weight(self, address: str, weight: int, now_ms: int) -> int:
        """The weight `address` has used this minute. Raises ApiError -1003 (HTTP 429) beyond the limit."""
        window = self._weight.setdefault(address, Window(MINUTE_MS))
        used = window.add(weight, now_ms)
        if used > self.limits.weight_1m:
            raise ApiError(
                -1003,
                f"Too many requests; current limit of IP({address}) is {self.limits.weight_1m} requests "
                "per minute. Please use the websocket for live updates to avoid polling the API.",
                status=429,
                retry_after_s=window.seconds_left(now_ms),
            )
        return used

    def add_order(self, api_key: str, now_ms: int) -> tuple[int, int]:
        """The orders `api_key` has sent in this 10 s and this minute. Raises ApiError -1015 (HTTP 429)."""
        count = self._orders.setdefault(api_key, OrderCount())
        used = count.ten_seconds.add(1, now_ms), count.minute.add(1, now_ms)
        for number, limit, window, interval in (
            (used[0], self.limits.orders_10s, count.ten_seconds, "10 SECONDS"),
            (used[1], self.limits.orders_1m, count.minute, "1 MINUTE"),
        ):
            if number > limit:
                raise ApiError(
                    -1015,
                    f"Too many new orders; current limit is {limit} orders per {interval}.",
                    status=429,
                    retry_after_s=window.seconds_left(now_ms),
                )
        return used
