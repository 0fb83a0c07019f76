"""Binance's WebSocket API (`/ws-fapi/v1`): orders, account and market data, request by request.

A request is signed on its own, or the connection logs on once (`session.logon`, Ed25519 keys only, as at Binance) and
later requests need neither key nor signature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import WSMsgType, web

from qtxconn.sim.binance import account_calls, auth, conditional, trading
from qtxconn.sim.binance.connections import Connection
from qtxconn.sim.binance.errors import ApiError, bad_api_key, mandatory
from qtxconn.sim.binance.market_calls import by_symbol, depth_weight
from qtxconn.sim.binance.params import Params

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.binance.fault_gate import RequestGate
    from qtxconn.sim.binance.limits import RateCounter
    from qtxconn.sim.binance.listen_keys import ListenKeys
    from qtxconn.sim.binance.market_calls import MarketCalls
    from qtxconn.sim.model import VenueClock
    from qtxconn.sim.venue import Venue

HANDSHAKE_WEIGHT = 5
# The windows of the weight counter and the order pools, in `rateLimits` blocks.
_WEIGHT_WINDOW = ("REQUEST_WEIGHT", "MINUTE", 1)
_ORDER_WINDOWS = (("ORDERS", "SECOND", 10), ("ORDERS", "MINUTE", 1))


@dataclass(slots=True, eq=False)
class Session:
    """One connection: who is logged on, if anybody."""

    address: str
    connected_ms: int
    account: Account | None = None
    authorized_ms: int = 0

    def status(self, now_ms: int) -> dict[str, Any]:
        """The result of the session.* methods."""
        account = self.account
        return {
            "apiKey": account.api_key if account else None,
            "authorizedSince": self.authorized_ms if account else None,
            "connectedSince": self.connected_ms,
            "returnRateLimits": True,
            "serverTime": now_ms,
        }


@dataclass(frozen=True, slots=True)
class Method:
    """One signed method and what it costs."""

    run: Callable[[Venue, Account, Params], Any]
    weight: int = 1
    orders: int = 0


SIGNED_METHODS = {
    "order.place": Method(trading.place_order, 0, 1),
    "order.modify": Method(trading.amend_order, 1, 1),
    "order.cancel": Method(trading.cancel_order),
    "order.status": Method(trading.query_order),
    "algoOrder.place": Method(conditional.place, 0, 1),
    "algoOrder.cancel": Method(conditional.cancel),
    "account.balance": Method(account_calls.balance, 5),
    "account.status": Method(account_calls.account(2), 5),
    "account.position": Method(account_calls.position_risk(2), 5),
    "v2/account.balance": Method(account_calls.balance, 5),
    "v2/account.status": Method(account_calls.account(3), 5),
    "v2/account.position": Method(account_calls.position_risk(3), 5),
}


class WsApi:
    """The WebSocket endpoint for requests. Answers leave in the order of the requests of a connection."""

    def __init__(
        self,
        venue: Venue,
        listen_keys: ListenKeys,
        rates: RateCounter,
        market: MarketCalls,
        clock: VenueClock,
        gate: RequestGate,
    ) -> None:
        """`clock` is what timestamps are judged by; it may run ahead of or behind the venue's."""
        self._venue = venue
        self._gate = gate
        self._clock = clock
        self._rates = rates
        self.connections: set[Connection] = set()
        self._sessions: set[Session] = set()
        self._key_methods: dict[str, Callable[[Account], Any]] = {
            "userDataStream.start": lambda account: {"listenKey": listen_keys.start(account)},
            "userDataStream.ping": lambda account: {"listenKey": listen_keys.renew(account)},
            "userDataStream.stop": lambda account: listen_keys.close(account) or {},
        }
        self._public_methods: dict[str, tuple[Callable[[Params], Any], Callable[[Params], int]]] = {
            "ping": (lambda _: {}, lambda _: 1),
            "time": (lambda _: {"serverTime": clock.now_ms()}, lambda _: 1),
            "depth": (market.depth, depth_weight),
            "ticker.price": (market.price, by_symbol(1, 2)),
            "ticker.book": (market.book_ticker, by_symbol(2, 5)),
        }
        self._session_methods: dict[str, Callable[[Session, Params], Any]] = {
            "session.logon": self._logon,
            "session.status": lambda session, _: session.status(clock.now_ms()),
            "session.logout": self._logout,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection, from handshake to goodbye."""
        session = Session(request.remote or "", self._clock.now_ms())
        try:
            self._rates.add_weight(session.address, HANDSHAKE_WEIGHT, session.connected_ms)
        except ApiError as error:
            return web.json_response(error.to_wire(), status=error.status)
        connection = await Connection.accept(request)
        self.connections.add(connection)
        self._sessions.add(session)
        try:
            async for message in connection.socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    data = message.data
                    await self._gate.websocket(connection, data, lambda data=data: self.answer(data, session))
        finally:
            self.connections.discard(connection)
            self._sessions.discard(session)
        return connection.socket

    async def stop(self) -> None:
        for connection in list(self.connections):
            await connection.socket.close(code=1001, message=b"venue stops")

    def end_sessions(self) -> None:
        """Log every connection off, and leave it open."""
        for session in self._sessions:
            session.account = None

    def answer(self, data: str | bytes, session: Session) -> bytes:
        """The answer to one request, as JSON text."""
        body: dict[str, Any] = {"id": None}
        try:
            request = orjson.loads(data)
            if not isinstance(request, dict):
                raise ApiError(-1135, "Invalid JSON Request")
            body["id"] = request.get("id")
            result, limits = self._call(request, session)
            body |= {"status": 200, "result": result}
            if request.get("params") is None or request["params"].get("returnRateLimits") is not False:
                body["rateLimits"] = limits
        except orjson.JSONDecodeError:
            error = ApiError(-1135, "Invalid JSON Request")
            body |= {"status": error.status, "error": error.to_wire()}
        except ApiError as error:
            body |= {"status": error.status, "error": self._error_to_wire(error)}
        return orjson.dumps(body)

    def _error_to_wire(self, error: ApiError) -> dict[str, Any]:
        """With the time from which on requests are taken again, where there is one."""
        if error.retry_after_s is None:
            return error.to_wire()
        now_ms = self._clock.now_ms()
        return error.to_wire() | {"data": {"serverTime": now_ms, "retryAfter": now_ms + error.retry_after_s * 1000}}

    def _call(self, request: dict[str, Any], session: Session) -> tuple[Any, list[dict[str, Any]]]:
        """Result and `rateLimits` of one request."""
        method, raw = request.get("method"), request.get("params")
        raw = {} if raw is None else raw
        if not isinstance(method, str):
            raise mandatory("method")
        if not isinstance(raw, dict):
            raise mandatory("params")
        params = {name: auth.json_text(value) for name, value in raw.items()}
        if (session_call := self._session_methods.get(method)) is not None:
            limits = self._count(session, 2)
            return session_call(session, params), limits
        if (public := self._public_methods.get(method)) is not None:
            limits = self._count(session, public[1](params))
            return public[0](params), limits
        if (key_call := self._key_methods.get(method)) is not None:
            limits = self._count(session, 1)
            if session.account is not None and "apiKey" not in params:
                return key_call(session.account), limits
            return key_call(auth.find_account(self._venue, params.get("apiKey"))), limits
        signed = SIGNED_METHODS.get(method)
        if signed is None:
            raise ApiError(-1020, "This operation is not supported.")
        limits = self._count(session, signed.weight)
        account = self._authenticate(session, params)
        if signed.orders:
            used = self._rates.add_order(account.api_key, self._clock.now_ms())
            orders = zip(_ORDER_WINDOWS, used, strict=True)
            windows = self._windows()
            limits = [windows[window] | {"count": count} for window, count in orders] + limits
        return signed.run(self._venue, account, params), limits

    # -- sessions ----------------------------------------------------------------------------------------------

    def _authenticate(self, session: Session, params: Params) -> Account:
        """The account of a request: of its own key and signature, or the one that is logged on."""
        if session.account is not None and "apiKey" not in params and "signature" not in params:
            if session.account.is_key_revoked:
                session.account = None
                raise bad_api_key()
            auth.check_window(params, self._clock.now_ms())
            return session.account
        account = auth.find_account(self._venue, params.get("apiKey"))
        auth.verify(account, auth.ws_api_payload(params), params, self._clock.now_ms())
        return account

    def _logon(self, session: Session, params: Params) -> dict[str, Any]:
        account = auth.find_account(self._venue, params.get("apiKey"))
        if not account.public_key:
            raise ApiError(-4056, "HMAC_SHA256 API key is not supported.")
        auth.verify(account, auth.ws_api_payload(params), params, self._clock.now_ms())
        session.account, session.authorized_ms = account, self._clock.now_ms()
        return session.status(session.authorized_ms)

    def _logout(self, session: Session, _: Params) -> dict[str, Any]:
        session.account = None
        return session.status(self._clock.now_ms())

    # -- limits ------------------------------------------------------------------------------------------------

    def _count(self, session: Session, weight: int) -> list[dict[str, Any]]:
        used = self._rates.add_weight(session.address, weight, self._clock.now_ms())
        return [self._windows()[_WEIGHT_WINDOW] | {"count": used}]

    def _windows(self) -> dict[tuple[str, str, int], dict[str, Any]]:
        """Each limit as it is now, by type and interval."""
        limits = self._rates.limits.to_wire()
        return {(limit["rateLimitType"], limit["interval"], limit["intervalNum"]): limit for limit in limits}
