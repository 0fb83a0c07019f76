"""Binance request signing: lower-case hex HMAC-SHA256 over the query exactly as it goes on the wire."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256

from qtxconn.net.rest import RestRequest


class BinanceAuth:
    """Signs with a key pair. The secret lives only inside the HMAC state; nothing shows either of the two."""

    __slots__ = ("_key", "_mac", "_now_ms", "_recv_window_ms", "key_digest")

    def __init__(self, api_key: str, api_secret: str, now_ms: Callable[[], int], recv_window_ms: int) -> None:
        self._key = api_key
        self.key_digest = sha256(api_key.encode()).hexdigest()  # tells accounts apart without giving the key away
        self._mac = hmac.new(api_secret.encode(), digestmod=sha256)
        self._now_ms = now_ms
        self._recv_window_ms = recv_window_ms

    def __repr__(self) -> str:
        return "BinanceAuth(key and secret hidden)"

    def signature(self, payload: str) -> str:
        """Hex signature of a query string (percent-encoded, without `signature`)."""
        mac = self._mac.copy()
        mac.update(payload.encode())
        return mac.hexdigest()

    def sign(self, request: RestRequest) -> RestRequest:
        """Adds recvWindow, the venue's time now, the signature and the key header."""
        stamp = f"recvWindow={self._recv_window_ms}&timestamp={self._now_ms()}"
        query = f"{request.query}&{stamp}" if request.query else stamp
        return replace(self.identify(request), query=f"{query}&signature={self.signature(query)}")

    def sign_params(self, params: Mapping[str, str]) -> dict[str, str]:
        """The parameters of a WebSocket-API request, with key, time and signature: sorted by name, not encoded."""
        signed = dict(params) | {
            "apiKey": self._key,
            "recvWindow": str(self._recv_window_ms),
            "timestamp": str(self._now_ms()),
        }
        signed["signature"] = self.signature("&".join(f"{name}={signed[name]}" for name in sorted(signed)))
        return signed

    def identify(self, request: RestRequest) -> RestRequest:
        """Adds the key header only (listen keys)."""
        return replace(request, headers={**request.headers, "X-MBX-APIKEY": self._key})
