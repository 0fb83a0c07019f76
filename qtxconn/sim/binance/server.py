"""The Binance dialect on one loopback port: REST, streams and the WebSocket API, told apart by path."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from qtxconn.sim.binance.connections import BACKLOG_MAX_BYTES
from qtxconn.sim.binance.fault_gate import RequestGate, SkewedClock
from qtxconn.sim.binance.limits import Limits, RateCounter
from qtxconn.sim.binance.listen_keys import LIFETIME_MS, ListenKeys
from qtxconn.sim.binance.market_calls import MarketCalls
from qtxconn.sim.binance.market_history import MarketHistory
from qtxconn.sim.binance.rest import Rest
from qtxconn.sim.binance.streams import Streams
from qtxconn.sim.binance.ws_api import WsApi
from qtxconn.sim.faults import FaultScript, TimedFault

if TYPE_CHECKING:
    from qtxconn.sim.venue import Venue

STREAM_HOSTS = ("", "/public", "/market", "/private")
BODY_MAX_BYTES = 64 * 1024


class BinanceServer:
    """Serves one venue in Binance's dialect. Raises OSError from `start` when the port cannot be bound.

    `faults` is the script of what goes wrong: load it at any time.
    """

    def __init__(
        self,
        venue: Venue,
        *,
        limits: Limits | None = None,
        listen_key_lifetime_ms: int = LIFETIME_MS,
        backlog_max: int = BACKLOG_MAX_BYTES,
    ) -> None:
        self.faults = FaultScript(venue.clock.now_ns)
        clock = SkewedClock(venue.clock, self.faults)
        self._gate = RequestGate(self.faults)
        self.rates = rates = RateCounter(limits or Limits())
        history = MarketHistory(venue)
        market = MarketCalls(venue, history, rates)
        self.listen_keys = ListenKeys(venue.clock, listen_key_lifetime_ms)
        self.rest = Rest(venue, self.listen_keys, rates, market, clock)
        self.streams = Streams(venue, self.listen_keys, history, self.faults, backlog_max)
        self.ws_api = WsApi(venue, self.listen_keys, rates, market, clock, self._gate)
        self._venue = venue
        self._runner: web.AppRunner | None = None
        self.host, self.port = "", 0

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens on `host:port`; port 0 takes a free one, found in `port` afterwards."""
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        for prefix in STREAM_HOSTS:
            for kind in ("ws", "stream"):
                app.router.add_get(f"{prefix}/{kind}", self.streams.handle)
                app.router.add_get(f"{prefix}/{kind}/{{names:.*}}", self.streams.handle)
        app.router.add_get("/ws-fapi/v1", self.ws_api.handle)
        app.router.add_route("*", "/{path:.*}", self._handle_rest)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            site = web.TCPSite(self._runner, host, port)
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self.host, self.port = host, self._runner.addresses[0][1]
        self.streams.start()

    async def stop(self) -> None:
        """Closes every connection and the port."""
        await self.streams.stop()
        await self.ws_api.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def run_due_faults(self) -> None:
        """Do what the fault script's timed rules have made due."""
        for rule in self.faults.due():
            if rule.fault is TimedFault.EXPIRE_LISTEN_KEYS:
                self.expire_listen_keys()
            else:
                await self.disconnect()

    def expire_listen_keys(self) -> None:
        """End every account's listen key now."""
        for account in self._venue.accounts:
            if self.listen_keys.key(account) is not None:
                self.listen_keys.close(account)

    def end_sessions(self) -> None:
        """Log every connection of the WebSocket API off, and leave it open."""
        self.ws_api.end_sessions()

    async def disconnect(self) -> None:
        """Close every WebSocket, as the venue does to each after 24 hours."""
        connections = [*self.streams.connections, *self.ws_api.connections]
        closing = (c.socket.close(code=1001, message=b"disconnected by the venue") for c in connections)
        await asyncio.gather(*closing, return_exceptions=True)

    async def _handle_rest(self, request: web.Request) -> web.StreamResponse:
        return await self._gate.rest(request, self.rest.handle)

    def endpoints(self) -> dict[str, str]:
        """Base addresses for clients."""
        address = f"{self.host}:{self.port}"
        return {
            "rest": f"http://{address}",
            "ws_public": f"ws://{address}/public",
            "ws_market": f"ws://{address}/market",
            "ws_private": f"ws://{address}/private",
            "ws_trade": f"ws://{address}/ws-fapi/v1",
        }
