"""The public calls of Binance USD-M, for REST and the WebSocket API alike: text parameters in, JSON values out."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.sim.binance import codec
from qtxconn.sim.binance.errors import ApiError
from qtxconn.sim.binance.market_history import INTERVALS_MS, DayFigures, kline
from qtxconn.sim.binance.params import (
    Params,
    parse_instrument,
    parse_int,
    parse_limit,
    parse_span,
    parse_symbols,
    required,
)
from qtxconn.sim.venue import FUNDING_INTERVAL_MS

if TYPE_CHECKING:
    from qtxconn.sim.binance.limits import RateCounter
    from qtxconn.sim.binance.market_history import MarketHistory
    from qtxconn.sim.venue import Venue

DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
DEPTH_DEFAULT = 500
TRADES_DEFAULT, TRADES_MAX = 500, 1000
KLINES_DEFAULT, KLINES_MAX = 500, 1500
FUNDING_DEFAULT, FUNDING_MAX = 100, 1000
HOUR_MS = 3_600_000


def by_symbol(with_symbol: int, without: int) -> Callable[[Params], int]:
    """The weight of a call that costs more for all symbols at once."""
    return lambda params: with_symbol if params.get("symbol") else without


def depth_weight(params: Params) -> int:
    text = params.get("limit", "")
    return DEPTH_WEIGHTS.get(int(text) if text.isdecimal() else DEPTH_DEFAULT, 20)


def klines_weight(params: Params) -> int:
    text = params.get("limit", "")
    limit = int(text[:9]) if text.isdecimal() else KLINES_DEFAULT
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


class MarketCalls:
    """Reads the venue's markets. Every method takes text parameters and raises ApiError."""

    def __init__(self, venue: Venue, history: MarketHistory, rates: RateCounter) -> None:
        self._venue = venue
        self._clock = venue.clock
        self._history = history
        self._rates = rates

    def _one_or_all(self, params: Params, build: Callable[[str], Any]) -> Any:
        values = [build(symbol) for symbol in parse_symbols(self._venue, params)]
        return values[0] if params.get("symbol") else values

    def exchange_info(self, _: Params) -> dict[str, Any]:
        """GET /fapi/v1/exchangeInfo."""
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

    def depth(self, params: Params) -> dict[str, Any]:
        """GET /fapi/v1/depth and depth."""
        instrument = parse_instrument(self._venue, params)
        limit = parse_int(params, "limit")
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

    def recent_trades(self, params: Params) -> list[dict[str, Any]]:
        """GET /fapi/v1/trades, oldest first."""
        instrument = parse_instrument(self._venue, params)
        trades = self._history.latest(instrument.symbol, parse_limit(params, TRADES_DEFAULT, TRADES_MAX))
        return [codec.recent_trade(instrument, trade) for trade in trades]

    def historical_trades(self, params: Params) -> list[dict[str, Any]]:
        """GET /fapi/v1/historicalTrades: from fromId on, else the latest; as far as the venue remembers."""
        from_id = parse_int(params, "fromId")
        if from_id is None:
            return self.recent_trades(params)
        instrument = parse_instrument(self._venue, params)
        limit = parse_limit(params, TRADES_DEFAULT, TRADES_MAX)
        return [codec.recent_trade(instrument, t) for t in self._history.since(instrument.symbol, from_id, limit)]

    def aggregate_trades(self, params: Params) -> list[dict[str, Any]]:
        """GET /fapi/v1/aggTrades: from fromId or startTime on, else the latest."""
        instrument = parse_instrument(self._venue, params)
        limit = parse_limit(params, TRADES_DEFAULT, TRADES_MAX)
        from_id = parse_int(params, "fromId")
        if from_id is not None:
            trades = self._history.since(instrument.symbol, from_id, limit)
        elif params.get("startTime") or params.get("endTime"):
            first_ms, last_ms = parse_span(params, self._clock.now_ms())
            every = self._history.since(instrument.symbol, 0, TRADES_MAX)
            trades = [trade for trade in every if first_ms <= trade.time_ms <= last_ms][:limit]
        else:
            trades = self._history.latest(instrument.symbol, limit)
        return [codec.aggregate_trade(instrument, trade) for trade in trades]

    def klines(self, params: Params) -> list[list[Any]]:
        """GET /fapi/v1/klines: from startTime on, else the latest. A span without a trade is left out."""
        return self._klines(parse_instrument(self._venue, params).symbol, params)

    def continuous_klines(self, params: Params) -> list[list[Any]]:
        """GET /fapi/v1/continuousKlines: those of the pair's perpetual."""
        if required(params, "contractType") != "PERPETUAL":
            raise ApiError(-4144, "Invalid pair.")
        symbol = required(params, "pair")
        if symbol not in self._venue.instruments:
            raise ApiError(-4144, "Invalid pair.")
        return self._klines(symbol, params)

    def _klines(self, symbol: str, params: Params) -> list[list[Any]]:
        interval = required(params, "interval")
        if interval not in INTERVALS_MS:
            raise ApiError(-1120, "Invalid interval.")
        limit = parse_limit(params, KLINES_DEFAULT, KLINES_MAX)
        first_ms, last_ms = parse_span(params, self._clock.now_ms())
        found = [c for c in self._history.candles(symbol, interval) if first_ms <= c.open_ms <= last_ms]
        chosen = found[:limit] if params.get("startTime") else found[-limit:]
        instrument = self._venue.instruments[symbol]
        return [kline(instrument, candle, INTERVALS_MS[interval]) for candle in chosen]

    def premium_index(self, params: Params) -> Any:
        """GET /fapi/v1/premiumIndex."""
        now_ms = self._clock.now_ms()
        return self._one_or_all(params, lambda symbol: codec.premium_index(self._venue, symbol, now_ms))

    def funding_rates(self, params: Params) -> list[dict[str, Any]]:
        """GET /fapi/v1/fundingRate: what was settled, oldest first; from startTime on, else the latest."""
        symbols = parse_symbols(self._venue, params)
        first_ms, last_ms = parse_span(params, self._clock.now_ms())
        found = [p for p in self._venue.funding_history if p.symbol in symbols and first_ms <= p.time_ms <= last_ms]
        limit = parse_limit(params, FUNDING_DEFAULT, FUNDING_MAX)
        return [
            {
                "symbol": point.symbol,
                "fundingTime": point.time_ms,
                "fundingRate": codec.amount_text(point.rate),
                "markPrice": codec.amount_text(point.mark_price),
            }
            for point in (found[:limit] if params.get("startTime") else found[-limit:])
        ]

    def funding_info(self, _: Params) -> list[dict[str, Any]]:
        """GET /fapi/v1/fundingInfo."""
        return [
            {
                "symbol": symbol,
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": FUNDING_INTERVAL_MS // HOUR_MS,
                "disclaimer": False,
            }
            for symbol in self._venue.instruments
        ]

    def open_interest(self, params: Params) -> dict[str, Any]:
        """GET /fapi/v1/openInterest: what the venue's accounts are long."""
        instrument = parse_instrument(self._venue, params)
        long = sum(max(0, leg.amount) for account in self._venue.accounts for leg in account.legs(instrument))
        return {
            "symbol": instrument.symbol,
            "openInterest": instrument.lots_to_text(long),
            "time": self._clock.now_ms(),
        }

    def book_ticker(self, params: Params) -> Any:
        """GET /fapi/v1/ticker/bookTicker and ticker.book."""
        return self._one_or_all(
            params,
            lambda symbol: codec.book_ticker(self._venue.instruments[symbol], self._venue.ticker(symbol)),
        )

    def price(self, params: Params) -> Any:
        """GET /fapi/v1|v2/ticker/price and ticker.price: the last trade, mark price before the first."""
        return self._one_or_all(params, self._last_price)

    def _last_price(self, symbol: str) -> dict[str, Any]:
        if trades := self._history.latest(symbol, 1):
            price = self._venue.instruments[symbol].ticks_to_text(trades[0].price)
            return {"symbol": symbol, "price": price, "time": trades[0].time_ms}
        mark: Decimal = self._venue.mark_price(symbol)
        return {"symbol": symbol, "price": codec.plain_text(mark), "time": self._clock.now_ms()}

    def day_ticker(self, params: Params) -> Any:
        """GET /fapi/v1/ticker/24hr."""
        now_ms = self._clock.now_ms()

        def build(symbol: str) -> dict[str, Any]:
            return DayFigures.of(self._history, self._venue.instruments[symbol], now_ms).to_rest(symbol)

        return self._one_or_all(params, build)
