"""Binance's request limits: weight per address, orders per account, in clock-aligned windows; bans of who goes on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from qtxconn.sim.binance.errors import ApiError

MINUTE_MS = 60_000
TEN_SECONDS_MS = 10_000
BAN_MS = 2 * MINUTE_MS  # the first; each further one is twice as long
BAN_MAX_MS = 3 * 24 * 60 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Limits:
    """What the venue allows. Far above Binance's 2400 / 300 / 1200 by default, to let tests run at speed."""

    weight_1m: int = 240_000
    orders_10s: int = 30_000
    orders_1m: int = 120_000
    refusals_before_ban: int = 50  # of an address that goes on in spite of HTTP 429

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


@dataclass(slots=True)
class Address:
    """What one address has sent, and whether it is banned."""

    weight: Window = field(default_factory=lambda: Window(MINUTE_MS))
    requests: int = 0
    refusals: int = 0  # in a row
    bans: int = 0
    banned_until_ms: int = 0


class RateCounter:
    """Counts and enforces `limits`. Weight belongs to an address, orders to an API key.

    A refused request counts too, as at Binance: retrying without waiting does not help.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.refusals: Counter[int] = Counter()
        """How often 429 and 418 were answered, for all addresses and keys."""
        self.peaks: dict[str, int] = {"weight_1m": 0, "orders_10s": 0, "orders_1m": 0}
        """The most that one address or key has used of each limit in one window."""
        self._addresses: dict[str, Address] = {}
        self._orders: dict[str, OrderCount] = {}

    @property
    def requests(self) -> dict[str, int]:
        """How many requests each address has sent so far, refused ones included."""
        return {name: address.requests for name, address in self._addresses.items()}

    def add_weight(self, address: str, weight: int, now_ms: int) -> int:
        """The weight `address` has used this minute. Raises ApiError -1003: HTTP 429 beyond the limit, and HTTP 418
        while the address is banned, for it went on."""
        client = self._addresses.setdefault(address, Address())
        client.requests += 1
        if now_ms >= client.banned_until_ms:
            used = client.weight.add(weight, now_ms)
            self._note("weight_1m", used)
            if used <= self.limits.weight_1m:
                client.refusals = 0
                return used
            client.refusals += 1
            if client.refusals <= self.limits.refusals_before_ban:
                self.refusals[429] += 1
                raise ApiError(
                    -1003,
                    f"Too many requests; current limit of IP({address}) is {self.limits.weight_1m} requests "
                    "per minute. Please use the websocket for live updates to avoid polling the API.",
                    status=429,
                    retry_after_s=client.weight.seconds_left(now_ms),
                )
            client.banned_until_ms = now_ms + min(BAN_MS << client.bans, BAN_MAX_MS)
            client.bans += 1
            client.refusals = 0
        self.refusals[418] += 1
        raise ApiError(
            -1003,
            f"Way too many requests; IP({address}) banned until {client.banned_until_ms}. Please use the websocket for "
            "live updates to avoid bans.",
            status=418,
            retry_after_s=-(-(client.banned_until_ms - now_ms) // 1000),
        )

    def add_order(self, api_key: str, now_ms: int) -> tuple[int, int]:
        """The orders `api_key` has sent in this 10 s and this minute. Raises ApiError -1015 (HTTP 429)."""
        count = self._orders.setdefault(api_key, OrderCount())
        used = count.ten_seconds.add(1, now_ms), count.minute.add(1, now_ms)
        self._note("orders_10s", used[0])
        self._note("orders_1m", used[1])
        for number, limit, window, interval in (
            (used[0], self.limits.orders_10s, count.ten_seconds, "10 SECONDS"),
            (used[1], self.limits.orders_1m, count.minute, "1 MINUTE"),
        ):
            if number > limit:
                self.refusals[429] += 1
                raise ApiError(
                    -1015,
                    f"Too many new orders; current limit is {limit} orders per {interval}.",
                    status=429,
                    retry_after_s=window.seconds_left(now_ms),
                )
        return used

    def _note(self, limit: str, used: int) -> None:
        self.peaks[limit] = max(self.peaks[limit], used)
