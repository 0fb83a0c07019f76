"""The control endpoint of a venue process: faults and events at run time, as JSON over HTTP on a loopback port.

    GET    /faults               the script in force, with what each rule has done
    PUT    /faults               replace it: {"seed": 7, "rules": [...]} (see faults.py)
    POST   /faults               add one rule
    DELETE /faults               no more faults
    POST   /disconnect           close every WebSocket
    POST   /listen-keys/expire   end every listen key
    POST   /sessions/end         log every connection of the WebSocket API off
    POST   /accounts/revoke      {"api_key"}: its key is refused from now on
    GET    /limits               the request limits, how far each was used, how often 429 and 418 were answered, and
                                 how many requests each address has sent
    PUT    /limits               change some: {"weight_1m": 2400, "orders_10s": 300, "orders_1m": 1200}
    POST   /mark-price           {"symbol", "price"}: fix the mark price; null lets it follow the book again
    POST   /good-till-dates      the date of every open GTD order has come
    POST   /funding              {"symbol"[, "rate"]}: settle funding now
    POST   /trade                {"symbol", "side", "quantity"[, "price"]}: somebody takes from the book
    POST   /accounts             {"api_key", "api_secret"[, "balance"]}: open an account

Every answer is a JSON object; a request that cannot be carried out gets status 400 and {"error": text}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from qtxconn.errors import ConfigurationError
from qtxconn.sim.faults import FaultRule, FaultScript
from qtxconn.sim.model import Reject, Side

if TYPE_CHECKING:
    from qtxconn.sim.binance.server import BinanceServer
    from qtxconn.sim.venue import Venue

BODY_MAX_BYTES = 1024 * 1024
DEFAULT_BALANCE = Decimal(100_000)
LOOPBACK = "127.0.0.1"
Handler = Callable[[bytes], Awaitable[dict[str, Any]]]


class ControlServer:
    """Serves the control endpoint of one venue and its dialect. Only this machine reaches it."""

    def __init__(self, venue: Venue, dialect: BinanceServer) -> None:
        self._venue = venue
        self._dialect = dialect
        self._faults: FaultScript = dialect.faults
        self._runner: web.AppRunner | None = None
        self.port = 0
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "/faults"): self._show_faults,
            ("PUT", "/faults"): self._load_faults,
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): self._clear_faults,
            ("POST", "/disconnect"): self._disconnect,
            ("POST", "/listen-keys/expire"): self._expire_listen_keys,
            ("POST", "/sessions/end"): self._end_sessions,
            ("POST", "/accounts/revoke"): self._revoke_key,
            ("GET", "/limits"): self._show_limits,
            ("PUT", "/limits"): self._set_limits,
            ("POST", "/mark-price"): self._set_mark_price,
            ("POST", "/good-till-dates"): self._expire_dated,
            ("POST", "/funding"): self._apply_funding,
            ("POST", "/trade"): self._trade,
            ("POST", "/accounts"): self._open_account,
        }

    async def start(self, port: int = 0) -> None:
        """Listens on the loopback port `port`, any free one for 0. Raises OSError when it is taken."""
        app = web.Application(client_max_size=BODY_MAX_BYTES)
        for (method, path), handler in self._routes.items():
            app.router.add_route(method, path, self._answering(handler))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, LOOPBACK, port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @staticmethod
    def _answering(handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            status = 200
            try:
                result = await handler(await request.read())
            except (ConfigurationError, Reject, ValueError) as error:
                status, result = 400, {"error": str(error)}
            return web.Response(body=orjson.dumps(result), status=status, content_type="application/json")

        return answer

    # -- faults ----------------------------------------------------------------------------------------------

    async def _show_faults(self, _: bytes) -> dict[str, Any]:
        return self._faults.to_wire()

    async def _load_faults(self, body: bytes) -> dict[str, Any]:
        seed, rules = FaultScript.parse(body)
        self._faults.load(rules, seed)
        return self._faults.to_wire()

    async def _add_fault(self, body: bytes) -> dict[str, Any]:
        self._faults.add(FaultRule.parse(_object(body)))
        return self._faults.to_wire()

    async def _clear_faults(self, _: bytes) -> dict[str, Any]:
        self._faults.clear()
        return self._faults.to_wire()

    async def _disconnect(self, _: bytes) -> dict[str, Any]:
        await self._dialect.disconnect()
        return {}

    async def _expire_listen_keys(self, _: bytes) -> dict[str, Any]:
        self._dialect.expire_listen_keys()
        return {}

    async def _end_sessions(self, _: bytes) -> dict[str, Any]:
        self._dialect.end_sessions()
        return {}

    async def _revoke_key(self, body: bytes) -> dict[str, Any]:
        api_key = _object(body).get("api_key")
        account = self._venue.account(api_key) if isinstance(api_key, str) else None
        if account is None:
            raise ConfigurationError("api_key: no account has it")
        account.is_key_revoked = True
        return {}

    # -- limits ----------------------------------------------------------------------------------------------

    async def _show_limits(self, _: bytes) -> dict[str, Any]:
        rates = self._dialect.rates
        refusals = {str(status): rates.refusals[status] for status in (429, 418)}
        counts = {"peaks": rates.peaks, "refusals": refusals, "requests": rates.requests}
        return {"limits": asdict(rates.limits), **counts}

    async def _set_limits(self, body: bytes) -> dict[str, Any]:
        changes = _object(body)
        rates = self._dialect.rates
        known = asdict(rates.limits)
        for name, value in changes.items():
            if name not in known or isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"a limit is one of {', '.join(known)}, and a number above 0")
        rates.limits = replace(rates.limits, **changes)
        return await self._show_limits(b"")

    # -- the market ------------------------------------------------------------------------------------------

    async def _set_mark_price(self, body: bytes) -> dict[str, Any]:
        request = _object(body)
        symbol, price = _text(request, "symbol"), request.get("price")
        self._venue.set_mark_price(symbol, None if price is None else _decimal(request, "price"))
        self._venue.run_due()
        return {"symbol": symbol, "markPrice": str(self._venue.mark_price(symbol))}

    async def _expire_dated(self, _: bytes) -> dict[str, Any]:
        self._venue.expire_dated()
        return {}

    async def _apply_funding(self, body: bytes) -> dict[str, Any]:
        request = _object(body)
        symbol = _text(request, "symbol")
        rate = None if request.get("rate") is None else _decimal(request, "rate", signed=True)
        self._venue.apply_funding(symbol, rate)
        return {"symbol": symbol}

    async def _trade(self, body: bytes) -> dict[str, Any]:
        request = _object(body)
        engine = self._venue.engine(_text(request, "symbol"))
        side_text = _text(request, "side")
        if side_text not in Side.__members__:
            raise ConfigurationError("side is BUY or SELL")
        side = Side[side_text]
        lots = engine.instrument.quantity_to_lots(_decimal(request, "quantity"))
        best = engine.side(side.opposite).best
        worst = 1 if side is Side.SELL else 2 * best
        limit = engine.instrument.price_to_ticks(_decimal(request, "price")) if "price" in request else worst
        left = engine.background_order(side, lots, limit)
        engine.publish()
        self._venue.run_due()
        return {"filled": engine.instrument.lots_to_text(lots - left)}

    async def _open_account(self, body: bytes) -> dict[str, Any]:
        request = _object(body)
        balance = _decimal(request, "balance") if "balance" in request else DEFAULT_BALANCE
        account = self._venue.open_account(_text(request, "api_key"), _text(request, "api_secret"), balance=balance)
        return {"api_key": account.api_key, "balance": str(account.wallet_balance)}


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError("expected a JSON object")
    return value


def _text(request: dict[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{name} is missing, or no text")
    return value


def _decimal(request: dict[str, Any], name: str, *, signed: bool = False) -> Decimal:
    """A number, as a JSON number or as text; above 0 unless `signed`."""
    value = request.get(name)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("nan")
    if isinstance(value, bool) or not number.is_finite() or not (signed or number > 0):
        raise ConfigurationError(f"{name} cannot be {value!r}")
    return number
