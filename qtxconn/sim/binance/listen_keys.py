"""Listen keys: one live key an account, 60 minutes from its last renewal."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtxconn.sim.binance.errors import ApiError

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.model import VenueClock

LIFETIME_MS = 60 * 60 * 1000


@dataclass(slots=True)
class ListenKey:
    key: str
    account: Account
    expires_ms: int


class ListenKeys:
    """Issues, renews, closes and expires listen keys. `on_expired(key)` hears of every key that ends."""

    def __init__(self, clock: VenueClock, lifetime_ms: int = LIFETIME_MS) -> None:
        self._clock = clock
        self._lifetime_ms = lifetime_ms
        self._by_api_key: dict[str, ListenKey] = {}
        self._by_key: dict[str, ListenKey] = {}
        self._issued = 0
        self.on_expired: Callable[[ListenKey], None] = lambda _: None

    def start(self, account: Account) -> str:
        """The account's live key, renewed, or a new one."""
        self.expire()
        entry = self._by_api_key.get(account.api_key)
        if entry is None:
            entry = ListenKey(self._new_key(account), account, 0)
            self._by_api_key[account.api_key] = self._by_key[entry.key] = entry
        entry.expires_ms = self._clock.now_ms() + self._lifetime_ms
        return entry.key

    def renew(self, account: Account) -> str:
        """Raises ApiError -1125 when the account has no live key."""
        self.expire()
        if account.api_key not in self._by_api_key:
            raise ApiError(-1125, "This listenKey does not exist.")
        return self.start(account)

    def close(self, account: Account) -> None:
        """Ends the account's key. Raises ApiError -1125 when there is none."""
        self.expire()
        entry = self._by_api_key.get(account.api_key)
        if entry is None:
            raise ApiError(-1125, "This listenKey does not exist.")
        self._end(entry)

    def account(self, key: str) -> Account | None:
        """Whose live key this is; None for any other text."""
        self.expire()
        entry = self._by_key.get(key)
        return entry.account if entry else None

    def key(self, account: Account) -> str | None:
        entry = self._by_api_key.get(account.api_key)
        return entry.key if entry else None

    def expire(self) -> None:
        """Ends every key whose time is up."""
        now_ms = self._clock.now_ms()
        for entry in [entry for entry in self._by_key.values() if entry.expires_ms <= now_ms]:
            self._end(entry)

    def _new_key(self, account: Account) -> str:
        """Unguessable without the account's secret, yet the same in every run with the same calls."""
        self._issued += 1
        payload = f"listenKey {self._issued} {self._clock.now_ns()}".encode()
        return hmac.new(account.api_secret.encode(), payload, hashlib.sha256).hexdigest()

    def _end(self, entry: ListenKey) -> None:
        del self._by_api_key[entry.account.api_key], self._by_key[entry.key]
        self.on_expired(entry)
