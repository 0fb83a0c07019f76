"""Binance USD-M's REST interface: a table of calls, and a request's way through limits and signature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from qtxconn.sim.binance import account_calls, auth, conditional, trading
from qtxconn.sim.binance.errors import ApiError
from qtxconn.sim.binance.market_calls import by_symbol, depth_weight, klines_weight
from qtxconn.sim.binance.params import Params

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.binance.limits import RateCounter
    from qtxconn.sim.binance.listen_keys import ListenKeys
    from qtxconn.sim.binance.market_calls import MarketCalls
    from qtxconn.sim.model import VenueClock
    from qtxconn.sim.venue import Venue


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
    orders: int | Callable[[Params], int] = 0
    """What it counts in the order pools."""


class Rest:
    """The REST endpoint of a venue."""

    def __init__(
        self, venue: Venue, listen_keys: ListenKeys, rates: RateCounter, market: MarketCalls, clock: VenueClock
    ) -> None:
        """`clock` is what timestamps are judged by; it may run ahead of or behind the venue's."""
        self._venue = venue
        self._clock = clock
        self._rates = rates
        self.calls = (
            self._public_calls(market) | self._order_calls() | self._account_calls() | self._key_calls(listen_keys)
        )

    # Weights and paths: Binance USD-M REST documentation, request by request.

    def _public_calls(self, market: MarketCalls) -> dict[tuple[str, str], Call]:
        def public(run: Callable[[Params], Any], weight: int | Callable[[Params], int] = 1) -> Call:
            return Call(lambda _, params: run(params), Security.NONE, weight)

        return {
            ("GET", "/fapi/v1/ping"): Call(lambda *_: {}),
            ("GET", "/fapi/v1/time"): Call(lambda *_: {"serverTime": self._clock.now_ms()}),
            ("GET", "/fapi/v1/exchangeInfo"): public(market.exchange_info),
            ("GET", "/fapi/v1/depth"): public(market.depth, depth_weight),
            ("GET", "/fapi/v1/trades"): public(market.recent_trades, 5),
            ("GET", "/fapi/v1/historicalTrades"): Call(
                lambda _, params: market.historical_trades(params), Security.KEY, 20
            ),
            ("GET", "/fapi/v1/aggTrades"): public(market.aggregate_trades, 20),
            ("GET", "/fapi/v1/klines"): public(market.klines, klines_weight),
            ("GET", "/fapi/v1/continuousKlines"): public(market.continuous_klines, klines_weight),
            ("GET", "/fapi/v1/premiumIndex"): public(market.premium_index, by_symbol(1, 10)),
            ("GET", "/fapi/v1/fundingRate"): public(market.funding_rates),
            ("GET", "/fapi/v1/fundingInfo"): public(market.funding_info, 0),
            ("GET", "/fapi/v1/openInterest"): public(market.open_interest),
            ("GET", "/fapi/v1/ticker/24hr"): public(market.day_ticker, by_symbol(1, 40)),
            ("GET", "/fapi/v1/ticker/bookTicker"): public(market.book_ticker, by_symbol(2, 5)),
            ("GET", "/fapi/v1/ticker/price"): public(market.price, by_symbol(1, 2)),
            ("GET", "/fapi/v2/ticker/price"): public(market.price, by_symbol(1, 2)),
        }

    def _order_calls(self) -> dict[tuple[str, str], Call]:
        signed = self._signed
        return {
            ("POST", "/fapi/v1/order"): signed(trading.place_order, 0, 1),
            ("POST", "/fapi/v1/order/test"): signed(trading.check_order, 0),
            ("PUT", "/fapi/v1/order"): signed(trading.amend_order, 1, 1),
            ("DELETE", "/fapi/v1/order"): signed(trading.cancel_order),
            ("GET", "/fapi/v1/order"): signed(trading.query_order),
            ("POST", "/fapi/v1/batchOrders"): signed(trading.place_batch, 5, trading.batch_size),
            ("PUT", "/fapi/v1/batchOrders"): signed(trading.amend_batch, 5, trading.batch_size),
            ("DELETE", "/fapi/v1/batchOrders"): signed(trading.cancel_batch),
            ("GET", "/fapi/v1/openOrder"): signed(trading.query_open_order),
            ("GET", "/fapi/v1/openOrders"): signed(trading.open_orders, by_symbol(1, 40)),
            ("GET", "/fapi/v1/allOrders"): signed(trading.all_orders, 5),
            ("DELETE", "/fapi/v1/allOpenOrders"): signed(trading.cancel_all),
            ("POST", "/fapi/v1/countdownCancelAll"): signed(trading.countdown_cancel_all, 10),
            ("GET", "/fapi/v1/userTrades"): signed(trading.user_trades, 5),
            ("GET", "/fapi/v1/orderAmendment"): signed(trading.amendments),
            ("GET", "/fapi/v1/forceOrders"): signed(trading.forced_orders, by_symbol(20, 50)),
            ("POST", "/fapi/v1/algoOrder"): signed(conditional.place, 0, 1),
            ("DELETE", "/fapi/v1/algoOrder"): signed(conditional.cancel),
            ("GET", "/fapi/v1/algoOrder"): signed(conditional.query),
            ("DELETE", "/fapi/v1/algoOpenOrders"): signed(conditional.cancel_all),
            ("GET", "/fapi/v1/openAlgoOrders"): signed(conditional.open_orders, by_symbol(1, 40)),
            ("GET", "/fapi/v1/allAlgoOrders"): signed(conditional.all_orders, 5),
        }

    def _account_calls(self) -> dict[tuple[str, str], Call]:
        signed = self._signed
        return {
            ("GET", "/fapi/v2/account"): signed(account_calls.account(2), 5),
            ("GET", "/fapi/v3/account"): signed(account_calls.account(3), 5),
            ("GET", "/fapi/v2/balance"): signed(account_calls.balance, 5),
            ("GET", "/fapi/v3/balance"): signed(account_calls.balance, 5),
            ("GET", "/fapi/v2/positionRisk"): signed(account_calls.position_risk(2), 5),
            ("GET", "/fapi/v3/positionRisk"): signed(account_calls.position_risk(3), 5),
            ("GET", "/fapi/v1/accountConfig"): signed(account_calls.account_config, 5),
            ("GET", "/fapi/v1/symbolConfig"): signed(account_calls.symbol_config, 5),
            ("POST", "/fapi/v1/leverage"): signed(account_calls.set_leverage),
            ("POST", "/fapi/v1/marginType"): signed(account_calls.set_margin_type),
            ("POST", "/fapi/v1/positionMargin"): signed(account_calls.move_position_margin),
            ("GET", "/fapi/v1/positionMargin/history"): signed(account_calls.margin_changes),
            ("GET", "/fapi/v1/positionSide/dual"): signed(account_calls.position_mode, 30),
            ("POST", "/fapi/v1/positionSide/dual"): signed(account_calls.set_position_mode),
            ("GET", "/fapi/v1/multiAssetsMargin"): signed(account_calls.assets_mode, 30),
            ("POST", "/fapi/v1/multiAssetsMargin"): signed(account_calls.set_assets_mode),
            ("GET", "/fapi/v1/feeBurn"): signed(account_calls.fee_burn, 30),
            ("GET", "/fapi/v1/commissionRate"): signed(account_calls.commission_rate, 20),
            ("GET", "/fapi/v1/leverageBracket"): signed(account_calls.leverage_brackets),
            ("GET", "/fapi/v1/adlQuantile"): signed(account_calls.adl_quantile, 5),
            ("GET", "/fapi/v1/apiTradingStatus"): signed(account_calls.api_trading_status, by_symbol(1, 10)),
            ("GET", "/fapi/v1/income"): signed(account_calls.income, 30),
            ("GET", "/fapi/v1/rateLimit/order"): Call(lambda *_: self._order_limits(), Security.SIGNED),
        }

    @staticmethod
    def _key_calls(listen_keys: ListenKeys) -> dict[tuple[str, str], Call]:
        key = Security.KEY
        return {
            ("POST", "/fapi/v1/listenKey"): Call(lambda a, _: {"listenKey": listen_keys.start(a)}, key),
            ("PUT", "/fapi/v1/listenKey"): Call(lambda a, _: {"listenKey": listen_keys.renew(a)}, key),
            ("DELETE", "/fapi/v1/listenKey"): Call(lambda a, _: listen_keys.close(a) or {}, key),
        }

    def _signed(
        self,
        function: Callable[[Venue, Account, Params], Any],
        weight: int | Callable[[Params], int] = 1,
        orders: int | Callable[[Params], int] = 0,
    ) -> Call:
        return Call(lambda account, params: function(self._venue, account, params), Security.SIGNED, weight, orders)

    def _order_limits(self) -> list[dict[str, Any]]:
        """GET /fapi/v1/rateLimit/order."""
        return [limit for limit in self._rates.limits.to_wire() if limit["rateLimitType"] == "ORDERS"]

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
            payload = auth.without_signature(query) + auth.without_signature(body)
            auth.verify(account, payload, params, now_ms)
        for _ in range(call.orders if isinstance(call.orders, int) else call.orders(params)):
            in_ten_seconds, in_minute = self._rates.add_order(account.api_key, now_ms)
            headers["X-MBX-ORDER-COUNT-10S"] = str(in_ten_seconds)
            headers["X-MBX-ORDER-COUNT-1M"] = str(in_minute)
        return call.run(account, params)
