"""Binance USD-M's REST interface: a table of calls, and a request's way through limits and signature."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from qtxconn.sim.binance import auth, codec, trading
from qtxconn.sim.binance.account_view import AccountView, leverage_bracket
from qtxconn.sim.binance.errors import ApiError, mandatory, reject_to_error
from qtxconn.sim.model import Reject

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.binance.limits import RateCounter
    from qtxconn.sim.binance.listen_keys import ListenKeys
    from qtxconn.sim.model import BookTicker, DepthUpdate, Instrument, MarketTrade
    from qtxconn.sim.venue import Venue

Params = Mapping[str, str]

DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
DEPTH_DEFAULT = 500
TRADES_KEPT = 1000
TRADES_DEFAULT = 500


class Security(Enum):
    """What a call asks of its sender."""

    NONE = 0
    KEY = 1
    SIGNED = 2


@dataclass(frozen=True, slots=True)
class Call:
    """One REST call. `run(account, params)` gives the JSON value; the account is None for public calls."""

    run: Callable[[Any, Params], Any]
    security: Security = Security.NONE
    weight: int | Callable[[Params], int] = 1
    counts_as_order: bool = False


def _weight(with_symbol: int, without: int) -> Callable[[Params], int]:
    return lambda params: with_symbol if params.get("symbol") else without


def _depth_weight(params: Params) -> int:
    text = params.get("limit", "")
    return DEPTH_WEIGHTS.get(int(text) if text.isdecimal() else DEPTH_DEFAULT, 20)


class RecentTrades:
    """Market listener that keeps the latest public trades of each symbol for GET /fapi/v1/trades."""

    def __init__(self, venue: Venue) -> None:
        self._by_symbol: dict[str, deque[MarketTrade]] = {
            symbol: deque(maxlen=TRADES_KEPT) for symbol in venue.instruments
        }
        venue.add_market_listener(self)

    def on_trade(self, symbol: str, trade: MarketTrade) -> None:
        self._by_symbol[symbol].append(trade)

    def on_depth(self, symbol: str, update: DepthUpdate) -> None:
        """Not of interest here."""

    def on_ticker(self, symbol: str, ticker: BookTicker) -> None:
        """Not of interest here."""

    def latest(self, symbol: str, limit: int) -> list[MarketTrade]:
        """Oldest first."""
        trades = self._by_symbol[symbol]
        return list(trades)[max(0, len(trades) - limit) :]


class Rest:
    """The REST endpoint of a venue."""

    def __init__(self, venue: Venue, listen_keys: ListenKeys, rates: RateCounter) -> None:
        self._venue = venue
        self._clock = venue.clock
        self._listen_keys = listen_keys
        self._rates = rates
        self._trades = RecentTrades(venue)
        none, key, signed = Security.NONE, Security.KEY, Security.SIGNED
        order = dict(security=signed, weight=0, counts_as_order=True)
        # Weights: Binance USD-M REST documentation, request by request.
        self.calls: dict[tuple[str, str], Call] = {
            ("GET", "/fapi/v1/ping"): Call(lambda *_: {}),
            ("GET", "/fapi/v1/time"): Call(lambda *_: {"serverTime": self._clock.now_ms()}),
            ("GET", "/fapi/v1/exchangeInfo"): Call(self._exchange_info),
            ("GET", "/fapi/v1/depth"): Call(self._depth, none, _depth_weight),
            ("GET", "/fapi/v1/trades"): Call(self._recent_trades, none, 5),
            ("GET", "/fapi/v1/aggTrades"): Call(self._aggregate_trades, none, 20),
            ("GET", "/fapi/v1/premiumIndex"): Call(self._premium_index, none, _weight(1, 10)),
            ("GET", "/fapi/v1/ticker/bookTicker"): Call(self._book_ticker, none, _weight(2, 5)),
            ("GET", "/fapi/v1/ticker/price"): Call(self._price, none, _weight(1, 2)),
            ("GET", "/fapi/v2/ticker/price"): Call(self._price, none, _weight(1, 2)),
            ("POST", "/fapi/v1/order"): Call(self._of(trading.place_order), **order),
            ("PUT", "/fapi/v1/order"): Call(self._of(trading.amend_order), signed, 1, counts_as_order=True),
            ("DELETE", "/fapi/v1/order"): Call(self._of(trading.cancel_order), signed),
            ("GET", "/fapi/v1/order"): Call(self._of(trading.query_order), signed),
            ("GET", "/fapi/v1/openOrder"): Call(self._of(trading.query_open_order), signed),
            ("GET", "/fapi/v1/openOrders"): Call(self._of(trading.open_orders), signed, _weight(1, 40)),
            ("GET", "/fapi/v1/allOrders"): Call(self._of(trading.all_orders), signed, 5),
            ("DELETE", "/fapi/v1/allOpenOrders"): Call(self._of(trading.cancel_all), signed),
            ("GET", "/fapi/v1/userTrades"): Call(self._of(trading.user_trades), signed, 5),
            ("GET", "/fapi/v2/account"): Call(self._account(2), signed, 5),
            ("GET", "/fapi/v3/account"): Call(self._account(3), signed, 5),
            ("GET", "/fapi/v2/balance"): Call(self._balance, signed, 5),
            ("GET", "/fapi/v3/balance"): Call(self._balance, signed, 5),
            ("GET", "/fapi/v2/positionRisk"): Call(self._position_risk(2), signed, 5),
            ("GET", "/fapi/v3/positionRisk"): Call(self._position_risk(3), signed, 5),
            ("POST", "/fapi/v1/leverage"): Call(self._set_leverage, signed),
            ("POST", "/fapi/v1/marginType"): Call(self._set_margin_type, signed),
            ("GET", "/fapi/v1/positionSide/dual"): Call(lambda *_: {"dualSidePosition": False}, signed, 30),
            ("POST", "/fapi/v1/positionSide/dual"): Call(self._set_position_mode, signed),
            ("GET", "/fapi/v1/commissionRate"): Call(self._commission_rate, signed, 20),
            ("GET", "/fapi/v1/leverageBracket"): Call(self._leverage_bracket, signed),
            ("POST", "/fapi/v1/listenKey"): Call(lambda a, _: {"listenKey": listen_keys.start(a)}, key),
            ("PUT", "/fapi/v1/listenKey"): Call(lambda a, _: {"listenKey": listen_keys.renew(a)}, key),
            ("DELETE", "/fapi/v1/listenKey"): Call(lambda a, _: listen_keys.close(a) or {}, key),
        }

    async def handle(self, request: web.Request) -> web.Response:
        """Any HTTP request that is not a WebSocket handshake."""
        body = await request.read()
        headers: dict[str, str] = {}
        try:
            result, status = self._answer(request, body, headers), 200
        except ApiError as error:
            result, status = error.to_wire(), error.status
            if error.retry_after_s is not None:
                headers["Retry-After"] = str(error.retry_after_s)
        return web.Response(body=orjson.dumps(result), status=status, headers=headers, content_type="application/json")

    def _answer(self, request: web.Request, body: bytes, headers: dict[str, str]) -> Any:
        call = self.calls.get((request.method, request.path))
        if call is None:
            path = request.path[:128]
            raise ApiError(-5000, f"Path {path}, Method {request.method} is invalid", status=404)
        now_ms = self._clock.now_ms()
        # The raw query: a signature covers the bytes as they were sent.
        query = request.raw_path.partition("?")[2].partition("#")[0].encode(errors="surrogateescape")
        params = auth.parse_params(query, body)
        weight = call.weight if isinstance(call.weight, int) else call.weight(params)
        used = self._rates.add_weight(request.remote or "", weight, now_ms)
        headers["X-MBX-USED-WEIGHT-1M"] = str(used)
        if call.security is Security.NONE:
            return call.run(None, params)
        account = auth.find_account(self._venue, request.headers.get("X-MBX-APIKEY"))
        if call.security is Security.SIGNED:
            query_rest, query_signature = auth.split_signature(query)
            body_rest, body_signature = auth.split_signature(body)
            signature = query_signature if query_signature is not None else body_signature
            auth.verify(account, query_rest + body_rest, signature, params, now_ms)
        if call.counts_as_order:
            in_ten_seconds, in_minute = self._rates.add_order(account.api_key, now_ms)
            headers["X-MBX-ORDER-COUNT-10S"] = str(in_ten_seconds)
            headers["X-MBX-ORDER-COUNT-1M"] = str(in_minute)
        return call.run(account, params)

    def _of(self, function: Callable[[Venue, Account, Params], Any]) -> Callable[[Account, Params], Any]:
        return lambda account, params: function(self._venue, account, params)

    def _symbols(self, params: Params) -> list[str]:
        """The one symbol asked for, or all of them."""
        if params.get("symbol"):
            return [trading.parse_instrument(self._venue, params).symbol]
        return list(self._venue.instruments)

    def _one_or_all(self, params: Params, build: Callable[[str], Any]) -> Any:
        values = [build(symbol) for symbol in self._symbols(params)]
        return values[0] if params.get("symbol") else values

    # -- market ---------------------------------------------------------------------------------------------

    def _exchange_info(self, _: None, params: Params) -> dict[str, Any]:
        instruments = self._venue.instruments.values()
        return {
            "timezone": "UTC",
            "serverTime": self._clock.now_ms(),
            "futuresType": "U_MARGINED",
            "rateLimits": self._rates.limits.to_wire(),
            "exchangeFilters": [],
            "assets": [
                {"asset": asset, "marginAvailable": True, "autoAssetExchange": "-10000"}
                for asset in sorted({instrument.quote for instrument in instruments})
            ],
            "symbols": [codec.exchange_info_symbol(instrument) for instrument in instruments],
        }

    def _depth(self, _: None, params: Params) -> dict[str, Any]:
        instrument = trading.parse_instrument(self._venue, params)
        limit = trading.parse_int(params, "limit")
        limit = DEPTH_DEFAULT if limit is None else limit
        if limit not in DEPTH_WEIGHTS:
            raise ApiError(-4021, f"Depth limit {limit} is not valid.")
        bids, asks, last_update_id = self._venue.depth(instrument.symbol, limit)
        now_ms = self._clock.now_ms()
        return {
            "lastUpdateId": last_update_id,
            "E": now_ms,
            "T": now_ms,
            "bids": codec.levels_text(instrument, bids),
            "asks": codec.levels_text(instrument, asks),
        }

    def _latest_trades(self, params: Params) -> tuple[Instrument, list[MarketTrade]]:
        instrument = trading.parse_instrument(self._venue, params)
        limit = trading.parse_int(params, "limit")
        return instrument, self._trades.latest(instrument.symbol, TRADES_DEFAULT if limit is None else limit)

    def _recent_trades(self, _: None, params: Params) -> list[dict[str, Any]]:
        instrument, trades = self._latest_trades(params)
        return [codec.recent_trade(instrument, trade) for trade in trades]

    def _aggregate_trades(self, _: None, params: Params) -> list[dict[str, Any]]:
        instrument, trades = self._latest_trades(params)
        return [codec.aggregate_trade(instrument, trade) for trade in trades]

    def _premium_index(self, _: None, params: Params) -> Any:
        now_ms = self._clock.now_ms()
        return self._one_or_all(params, lambda symbol: codec.premium_index(self._venue, symbol, now_ms))

    def _book_ticker(self, _: None, params: Params) -> Any:
        return self._one_or_all(
            params,
            lambda symbol: codec.book_ticker(self._venue.instruments[symbol], self._venue.ticker(symbol)),
        )

    def _price(self, _: None, params: Params) -> Any:
        return self._one_or_all(params, self._last_price)

    def _last_price(self, symbol: str) -> dict[str, Any]:
        """The last trade's price, mark price before the first trade."""
        now_ms = self._clock.now_ms()
        if trades := self._trades.latest(symbol, 1):
            price = self._venue.instruments[symbol].ticks_to_text(trades[0].price)
            return {"symbol": symbol, "price": price, "time": trades[0].time_ms}
        return {"symbol": symbol, "price": codec.plain_text(self._venue.mark_price(symbol)), "time": now_ms}

    # -- account --------------------------------------------------------------------------------------------

    def _account(self, version: int) -> Callable[[Account, Params], Any]:
        return lambda account, _: AccountView(self._venue, account).account(version, self._clock.now_ms())

    def _balance(self, account: Account, _: Params) -> list[dict[str, Any]]:
        return AccountView(self._venue, account).balances(self._clock.now_ms())

    def _position_risk(self, version: int) -> Callable[[Account, Params], Any]:
        def run(account: Account, params: Params) -> list[dict[str, Any]]:
            symbol = trading.parse_instrument(self._venue, params).symbol if params.get("symbol") else None
            return AccountView(self._venue, account).position_risk(version, symbol)

        return run

    def _set_leverage(self, account: Account, params: Params) -> dict[str, Any]:
        instrument = trading.parse_instrument(self._venue, params)
        leverage = trading.parse_int(params, "leverage")
        if leverage is None:
            raise mandatory("leverage")
        try:
            account.set_leverage(instrument.symbol, leverage)
        except Reject as reject:
            raise reject_to_error(reject, instrument) from None
        cap = codec.plain_text(codec.BRACKET_CAP)
        return {"symbol": instrument.symbol, "leverage": leverage, "maxNotionalValue": cap}

    def _set_margin_type(self, _: Account, params: Params) -> dict[str, Any]:
        """Cross margin is all the venue has: asking for it changes nothing, ISOLATED is refused."""
        trading.parse_instrument(self._venue, params)
        margin_type = trading.required(params, "marginType")
        if margin_type == "CROSSED":
            raise ApiError(-4046, "No need to change margin type.")
        if margin_type == "ISOLATED":
            raise ApiError(-4084, "Method is not allowed currently. Upcoming soon.")
        raise ApiError(-1128, "Combination of optional parameters invalid.")

    def _set_position_mode(self, _: Account, params: Params) -> dict[str, Any]:
        """One-way mode is all the venue has."""
        trading.required(params, "dualSidePosition")
        if trading.parse_bool(params, "dualSidePosition"):
            raise ApiError(-4084, "Method is not allowed currently. Upcoming soon.")
        raise ApiError(-4059, "No need to change position side.")

    def _commission_rate(self, _: Account, params: Params) -> dict[str, Any]:
        instrument = trading.parse_instrument(self._venue, params)
        return {
            "symbol": instrument.symbol,
            "makerCommissionRate": codec.plain_text(instrument.maker_fee),
            "takerCommissionRate": codec.plain_text(instrument.taker_fee),
        }

    def _leverage_bracket(self, _: Account, params: Params) -> list[dict[str, Any]]:
        return [leverage_bracket(symbol) for symbol in self._symbols(params)]
