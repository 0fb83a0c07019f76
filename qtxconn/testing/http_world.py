"""The full stack in one process: the real Binance connector on aiohttp, and the real Binance venue, with faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.sim.binance.fault_gate import RequestGate
from qtxconn.sim.binance.listen_keys import LIFETIME_MS
from qtxconn.sim.binance.server import BinanceServer
from qtxconn.sim.faults import FaultRule
from qtxconn.testing.faults import RETRY_AFTER_S, RequestFault, StreamFault
from qtxconn.testing.market import API_KEY, API_SECRET, PAIR, SYMBOL
from qtxconn.testing.network import HOST, HOST_NAME, SimNetwork, SimTransport
from qtxconn.testing.world import World

if TYPE_CHECKING:
    from qtxconn.core.connectors import ConnectorBase
    from qtxconn.storage.journal import OrderJournal

GIVEN_UP_S = 15.0  # longer than any client waits
ORDER_QUERY = ("GET", "/fapi/v1/order")
NO_SUCH_ORDER = b'{"code":-2013,"msg":"Order does not exist."}'
STREAM_EVENTS_FAULTY = ("ORDER_TRADE_UPDATE", "depthUpdate")


class HttpWorld(World):
    """Full HTTP level. Faults of requests happen in front of the venue's REST handler, those of the stream where its
    frames are written."""

    connector_class = BinancePerpetual
    live_books = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._network = SimNetwork(self.loop, self.plan, self.record)
        self._network.cut = self._cut
        life_ms = LIFETIME_MS if self.plan.listen_key_s is None else round(self.plan.listen_key_s * 1e3)
        self._server = BinanceServer(self.market.venue, listen_key_lifetime_ms=life_ms)
        self._act = self._server.rest.handle
        self._server.rest.handle = self._handle_faulty  # type: ignore[method-assign]
        self._push = self._server.streams._push
        self._server.streams._push = self._push_faulty  # type: ignore[method-assign]
        self._server.ws_api._gate = RequestGate(_DrawnFaults(self))  # type: ignore[arg-type]
        self._held: tuple[str, dict[str, Any]] | None = None
        self._cut_next = False
        self._connector: Any = None

    async def start(self) -> None:
        await super().start()
        await self._server.start()

    async def stop(self) -> None:
        await super().stop()
        await self._server.stop()

    @contextmanager
    def sealed(self) -> Iterator[None]:
        with self._network.sealed(0):
            yield

    def _make_connector(self, journal: OrderJournal | None) -> ConnectorBase:
        urls = {name: url.replace(HOST, HOST_NAME) for name, url in self._server.endpoints().items()}
        self._connector = connector = self._class(
            API_KEY,
            API_SECRET,
            [PAIR],
            rest_url=urls["rest"],
            ws_public_url=urls["ws_public"],
            ws_market_url=urls["ws_market"],
            ws_private_url=urls["ws_private"],
            ws_trade_url=urls["ws_trade"],
            order_path="websocket" if self.plan.order_stream else "rest",
            dead_mans_switch_s=self.plan.countdown_s,
            journal=journal,
        )
        return connector

    def kill(self, process: int) -> None:
        super().kill(process)
        self._network.kill(process)

    def bury_the_dead(self) -> None:
        self._network.bury_the_dead()

    def failures(self) -> list[str]:
        stream = getattr(self._connector, "_user_stream", None)
        broken = ["a message of the user stream could not be handled"] if stream and stream.handler_errors else []
        return super().failures() + broken

    # -- faults of requests --------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.Response:
        if (request.method, request.path) == ORDER_QUERY and self._is_too_new(request.query.get("origClientOrderId")):
            self.record("not yet")
            return web.Response(status=400, body=NO_SUCH_ORDER, content_type="application/json")
        response = await self._act(request)
        self.keep_dates()  # a countdown may have been set, or an order placed that has a date
        return response

    def _is_too_new(self, client_order_id: str | None) -> bool:
        """Queries are answered from a copy that lags: it does not have this order yet."""
        order = self.market.account.find(SYMBOL, None, client_order_id)
        return order is not None and self._venue_clock.now_ms() - order.created_ms < self.plan.read_lag_s * 1e3

    async def _handle_faulty(self, request: web.Request) -> web.Response:
        fault = self.plan.request_fault(self.loop.time())
        transport: Any = request.transport
        if transport is not None:
            self._check_silence(transport.peer)
        if fault is RequestFault.NONE:
            return await self._handle(request)
        self.record("fault", fault.value, request.method, request.path)
        if fault in (RequestFault.REFUSED, RequestFault.RESET_BEFORE):
            return self._reset(transport)
        if fault is RequestFault.LOST_REQUEST:
            await self.loop.sleep(GIVEN_UP_S)
            return self._reset(transport)
        if fault is RequestFault.ERROR_BEFORE:
            return web.Response(status=503, text="<html>unavailable</html>")
        if fault in RETRY_AFTER_S:
            transport.peer.silence_s = RETRY_AFTER_S[fault]
            headers = {"Retry-After": f"{RETRY_AFTER_S[fault]:.0f}"}
            status, body = (
                429 if fault is RequestFault.RATE_LIMITED else 418,
                b'{"code":-1003,"msg":"Too many requests."}',
            )
            return web.Response(status=status, body=body, headers=headers, content_type="application/json")
        await request.read()
        if fault is RequestFault.RESET_THEN_LATE:
            self._network.reset_connection(transport)
            await self.loop.sleep(self.plan.after_reset_s())
            return await self._handle(request)
        if fault is RequestFault.LATE:
            await self.loop.sleep(self.plan.late_s())
            return await self._handle(request)
        await self._handle(request)
        if fault is RequestFault.ERROR_AFTER:
            body = orjson.dumps({"code": -1007, "msg": "Timeout waiting for response from backend server."})
            return web.Response(status=503, body=body, content_type="application/json")
        if fault is RequestFault.LOST_ANSWER:
            await self.loop.sleep(GIVEN_UP_S)
        return self._reset(transport)

    def silence_left_s(self) -> float:
        ends_s = [until_s for _, _, until_s in self._network.silences]
        return max(0.0, max(ends_s, default=0.0) - self.loop.time())

    def _check_silence(self, client: SimTransport) -> None:
        """R1: nothing is sent between an answer with Retry-After and the end of that time."""
        for process, from_s, until_s in self._network.silences:
            if client.process == process and from_s + 1e-6 < client.sent_s < until_s - 1e-6:
                self.too_early(until_s - client.sent_s)

    def _reset(self, transport: SimTransport) -> web.Response:
        if transport is not None:
            self._network.reset_connection(transport)
        return web.Response(status=500)  # written to a connection that is gone

    # -- faults of the user stream -------------------------------------------------------------------------------

    def _push_faulty(self, name: str, event: dict[str, Any]) -> None:
        if event["e"] not in STREAM_EVENTS_FAULTY:
            self._push(name, event)
            return
        fault = self.plan.stream_fault(self.loop.time())
        if event["e"] == "depthUpdate" and fault is not StreamFault.BREAK:
            fault = StreamFault.NONE  # what a TCP connection does to market data: it breaks
        if fault is not StreamFault.NONE:
            self.record("fault", fault.value)
        if fault is StreamFault.REORDER and self._held is None:
            self._held = (name, event)
            self.loop.call_later(1.0, self._release)
            return
        if fault is StreamFault.BREAK:
            self._cut_next = True
        self._push(name, event)
        self._cut_next = False
        if fault is StreamFault.DUPLICATE:
            self._push(name, event)
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            (name, event), self._held = self._held, None
            self._push(name, event)

    def _cut(self, sender: SimTransport, data: bytes) -> bool:
        """Breaks off in the middle of a frame."""
        cut, self._cut_next = self._cut_next, False
        return cut


class _DrawnFaults:
    """A fault script that draws from the plan: of the requests over the WebSocket API."""

    spares_requests = False

    def __init__(self, world: HttpWorld) -> None:
        self._world = world

    def request(self, name: str) -> FaultRule | None:
        plan = self._world.plan
        fault = plan.request_fault(self._world.loop.time())
        if fault is RequestFault.NONE:
            return None
        self._world.record("fault", fault.value, name)
        late_s = plan.late_s() if fault is RequestFault.LATE else plan.after_reset_s()
        return FaultRule(fault, delay_s=late_s)
