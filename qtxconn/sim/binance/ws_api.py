"""Binance's WebSocket API (`/ws-fapi/v1`): order entry with a signature in every request.

`session.logon` is not offered: at Binance it takes Ed25519 keys only, and the venue's keys are HMAC keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import WSMsgType, web

from qtxconn.sim.binance import auth, trading
from qtxconn.sim.binance.account_view import AccountView
from qtxconn.sim.binance.connections import Connection, text_frame
from qtxconn.sim.binance.errors import ApiError, mandatory

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.binance.limits import RateCounter
    from qtxconn.sim.binance.listen_keys import ListenKeys
    from qtxconn.sim.venue import Venue

HANDSHAKE_WEIGHT = 5
_ORDER_METHODS = frozenset({"order.place", "order.modify"})


class WsApi:
    """The WebSocket endpoint for requests. Answers leave in the order of the requests of a connection."""

    def __init__(self, venue: Venue, listen_keys: ListenKeys, rates: RateCounter) -> None:
        self._venue = venue
        self._clock = venue.clock
        self._rates = rates
        self._connections: set[Connection] = set()
        self._key_methods: dict[str, Callable[[Account], Any]] = {
            "userDataStream.start": lambda account: {"listenKey": listen_keys.start(account)},
            "userDataStream.ping": lambda account: {"listenKey": listen_keys.renew(account)},
            "userDataStream.stop": lambda account: listen_keys.close(account) or {},
        }
        self._signed_methods: dict[str, Callable[[Account, dict[str, str]], Any]] = {
            "order.place": lambda account, params: trading.place_order(venue, account, params),
            "order.modify": lambda account, params: trading.amend_order(venue, account, params),
            "order.cancel": lambda account, params: trading.cancel_order(venue, account, params),
            "order.status": lambda account, params: trading.query_order(venue, account, params),
            "account.balance": lambda account, _: self._view(account).balances(self._clock.now_ms()),
            "account.status": lambda account, _: self._view(account).account(2, self._clock.now_ms()),
            "account.position": lambda account, params: self._view(account).position_risk(2, params.get("symbol")),
            "v2/account.balance": lambda account, _: self._view(account).balances(self._clock.now_ms()),
            "v2/account.status": lambda account, _: self._view(account).account(3, self._clock.now_ms()),
            "v2/account.position": lambda account, params: self._view(account).position_risk(3, params.get("symbol")),
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection, from handshake to goodbye."""
        address = request.remote or ""
        try:
            self._rates.add_weight(address, HANDSHAKE_WEIGHT, self._clock.now_ms())
        except ApiError as error:
            return web.json_response(error.to_wire(), status=error.status)
        connection = await Connection.accept(request)
        self._connections.add(connection)
        try:
            async for message in connection.socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    connection.send(text_frame(self.answer(message.data, address)))
        finally:
            self._connections.discard(connection)
        return connection.socket

    async def stop(self) -> None:
        for connection in list(self._connections):
            await connection.socket.close(code=1001, message=b"venue stops")

    def answer(self, data: str | bytes, address: str) -> bytes:
        """The answer to one request, as JSON text."""
        request_id = None
        try:
            request = orjson.loads(data)
            if not isinstance(request, dict):
                raise ApiError(-1135, "Invalid JSON Request")
            request_id = request.get("id")
            body = {"id": request_id, "status": 200, "result": self._call(request, address)}
        except orjson.JSONDecodeError:
            error = ApiError(-1135, "Invalid JSON Request")
            body = {"id": request_id, "status": error.status, "error": error.to_wire()}
        except ApiError as error:
            body = {"id": request_id, "status": error.status, "error": error.to_wire()}
        return orjson.dumps(body)

    def _call(self, request: dict[str, Any], address: str) -> Any:
        method, raw = request.get("method"), request.get("params", {})
        if not isinstance(method, str):
            raise mandatory("method")
        if not isinstance(raw, dict):
            raise mandatory("params")
        now_ms = self._clock.now_ms()
        params = {name: auth.json_text(value) for name, value in raw.items()}
        if (key_call := self._key_methods.get(method)) is not None:
            self._rates.add_weight(address, 1, now_ms)
            return key_call(auth.find_account(self._venue, params.get("apiKey")))
        signed_call = self._signed_methods.get(method)
        if signed_call is None:
            raise ApiError(-1020, "This operation is not supported.")
        if method not in _ORDER_METHODS:
            self._rates.add_weight(address, 1, now_ms)
        account = auth.find_account(self._venue, params.get("apiKey"))
        auth.verify(account, auth.ws_api_payload(params), params.get("signature"), params, now_ms)
        if method in _ORDER_METHODS:
            self._rates.add_order(account.api_key, now_ms)
        return signed_call(account, params)

    def _view(self, account: Account) -> AccountView:
        return AccountView(self._venue, account)
