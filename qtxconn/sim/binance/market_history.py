"""What the venue remembers of its markets for Binance's public calls: trades, candles, 24-hour figures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from qtxconn.sim.binance import codec

if TYPE_CHECKING:
    from qtxconn.sim.model import BookTicker, DepthUpdate, Instrument, MarketTrade
    from qtxconn.sim.venue import Venue

TRADES_KEPT = 1000
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
CANDLES_KEPT = 3_000
"""Candles of one minute: two days and two hours. Longer intervals are made of them."""
INTERVALS_MS = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": DAY_MS,
}


@dataclass(slots=True)
class Candle:
    """Trades of one span. Prices in ticks, volumes in lots, `quote` in ticks times lots."""

    open_ms: int
    open: int
    high: int
    low: int
    close: int
    first_id: int
    last_id: int
    count: int = 0
    volume: int = 0
    quote: int = 0
    taker_volume: int = 0
    """Lots bought by aggressors."""
    taker_quote: int = 0

    def add(self, other: Candle) -> None:
        """Append a later span."""
        self.high, self.low = max(self.high, other.high), min(self.low, other.low)
        self.close, self.last_id = other.close, other.last_id
        self.count += other.count
        self.volume += other.volume
        self.quote += other.quote
        self.taker_volume += other.taker_volume
        self.taker_quote += other.taker_quote


def candle_of(trade: MarketTrade) -> Candle:
    """The candle of one trade."""
    price, lots, bought = trade.price, trade.quantity, not trade.buyer_is_maker
    value = price * lots
    ids = trade.trade_id, trade.trade_id
    flow = (lots, value) if bought else (0, 0)
    return Candle(trade.time_ms // MINUTE_MS * MINUTE_MS, price, price, price, price, *ids, 1, lots, value, *flow)


def merge(candles: Iterable[Candle], interval_ms: int) -> list[Candle]:
    """Candles of `interval_ms` out of shorter ones, oldest first."""
    merged: list[Candle] = []
    for candle in candles:
        open_ms = candle.open_ms // interval_ms * interval_ms
        if merged and merged[-1].open_ms == open_ms:
            merged[-1].add(candle)
        else:
            whole = Candle(open_ms, candle.open, candle.high, candle.low, candle.open, candle.first_id, 0)
            whole.add(candle)
            merged.append(whole)
    return merged


class MarketHistory:
    """Market listener that remembers the latest trades and the candles of each symbol."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._trades: dict[str, deque[MarketTrade]] = {s: deque(maxlen=TRADES_KEPT) for s in venue.instruments}
        self._candles: dict[str, deque[Candle]] = {s: deque(maxlen=CANDLES_KEPT) for s in venue.instruments}
        venue.add_market_listener(self)

    def on_trade(self, symbol: str, trade: MarketTrade) -> None:
        self._trades[symbol].append(trade)
        candle, candles = candle_of(trade), self._candles[symbol]
        if candles and candles[-1].open_ms == candle.open_ms:
            candles[-1].add(candle)
        else:
            candles.append(candle)

    def on_depth(self, symbol: str, update: DepthUpdate) -> None:
        """Not of interest here."""

    def on_ticker(self, symbol: str, ticker: BookTicker) -> None:
        """Not of interest here."""

    def latest(self, symbol: str, limit: int) -> list[MarketTrade]:
        """The latest trades, oldest first."""
        trades = self._trades[symbol]
        return list(trades)[max(0, len(trades) - limit) :]

    def since(self, symbol: str, from_id: int, limit: int) -> list[MarketTrade]:
        """The first remembered trades from id `from_id` on."""
        return [trade for trade in self._trades[symbol] if trade.trade_id >= from_id][:limit]

    def candles(self, symbol: str, interval: str) -> list[Candle]:
        """Oldest first; a span without a trade has no candle. `interval` is a key of INTERVALS_MS."""
        return merge(self._candles[symbol], INTERVALS_MS[interval])

    def last_candle(self, symbol: str, interval: str) -> Candle | None:
        """The candle that is being made."""
        interval_ms = INTERVALS_MS[interval]
        kept = self._candles[symbol]
        if not kept:
            return None
        open_ms = kept[-1].open_ms // interval_ms * interval_ms
        span = list(takewhile(lambda candle: candle.open_ms >= open_ms, reversed(kept)))
        return merge(reversed(span), interval_ms)[0]

    def day(self, symbol: str) -> Candle | None:
        """The trades of the last 24 hours in one, None where there was none."""
        start_ms = self._venue.clock.now_ms() - DAY_MS
        found: Candle | None = None
        for candle in self._candles[symbol]:
            if candle.open_ms < start_ms:
                continue
            if found is None:
                found = Candle(candle.open_ms, candle.open, candle.high, candle.low, candle.open, candle.first_id, 0)
            found.add(candle)
        return found


# -- wire ---------------------------------------------------------------------------------------------------


def kline(instrument: Instrument, candle: Candle, interval_ms: int) -> list[Any]:
    """One row of GET /fapi/v1/klines."""
    price, lots, value = instrument.ticks_to_text, instrument.lots_to_text, instrument.value
    return [
        candle.open_ms,
        price(candle.open),
        price(candle.high),
        price(candle.low),
        price(candle.close),
        lots(candle.volume),
        candle.open_ms + interval_ms - 1,
        codec.plain_text(value(candle.quote)),
        candle.count,
        lots(candle.taker_volume),
        codec.plain_text(value(candle.taker_quote)),
        "0",
    ]


def kline_event(instrument: Instrument, candle: Candle, interval: str, now_ms: int) -> dict[str, Any]:
    """kline: the candle that is being made, or (x) has just been closed."""
    interval_ms = INTERVALS_MS[interval]
    row = kline(instrument, candle, interval_ms)
    return {
        "e": "kline",
        "E": now_ms,
        "s": instrument.symbol,
        "k": {
            "t": candle.open_ms,
            "T": row[6],
            "s": instrument.symbol,
            "i": interval,
            "f": candle.first_id,
            "L": candle.last_id,
            "o": row[1],
            "c": row[4],
            "h": row[2],
            "l": row[3],
            "v": row[5],
            "n": candle.count,
            "x": now_ms > row[6],
            "q": row[7],
            "V": row[9],
            "Q": row[10],
            "B": "0",
        },
    }


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The 24-hour figures of one symbol as text, zeros where nothing was traded."""

    change: str
    change_percent: str
    average: str
    last: str
    last_quantity: str
    open: str
    high: str
    low: str
    volume: str
    quote: str
    open_ms: int
    close_ms: int
    first_id: int
    last_id: int
    count: int

    @classmethod
    def of(cls, history: MarketHistory, instrument: Instrument, now_ms: int) -> DayFigures:
        day = history.day(instrument.symbol)
        price = instrument.ticks_to_text
        if day is None:
            zero = price(0)
            none = instrument.lots_to_text(0)
            first = now_ms - DAY_MS
            return cls(zero, "0.000", zero, zero, none, zero, zero, zero, none, "0", first, now_ms, 0, 0, 0)
        last_trade = history.latest(instrument.symbol, 1)[-1]
        average = Decimal(day.quote) / day.volume * instrument.tick_size
        return cls(
            price(day.close - day.open),
            f"{Decimal(100) * (day.close - day.open) / day.open:.3f}",
            f"{average:.{codec.price_precision(instrument)}f}",
            price(day.close),
            instrument.lots_to_text(last_trade.quantity),
            price(day.open),
            price(day.high),
            price(day.low),
            instrument.lots_to_text(day.volume),
            codec.plain_text(instrument.value(day.quote)),
            now_ms - DAY_MS,
            now_ms,
            day.first_id,
            day.last_id,
            day.count,
        )

    def to_rest(self, symbol: str) -> dict[str, Any]:
        """One entry of GET /fapi/v1/ticker/24hr."""
        return {
            "symbol": symbol,
            "priceChange": self.change,
            "priceChangePercent": self.change_percent,
            "weightedAvgPrice": self.average,
            "lastPrice": self.last,
            "lastQty": self.last_quantity,
            "openPrice": self.open,
            "highPrice": self.high,
            "lowPrice": self.low,
            "volume": self.volume,
            "quoteVolume": self.quote,
            "openTime": self.open_ms,
            "closeTime": self.close_ms,
            "firstId": self.first_id,
            "lastId": self.last_id,
            "count": self.count,
        }

    def to_event(self, symbol: str, now_ms: int) -> dict[str, Any]:
        """24hrTicker."""
        return {
            "e": "24hrTicker",
            "E": now_ms,
            "s": symbol,
            "p": self.change,
            "P": self.change_percent,
            "w": self.average,
            "c": self.last,
            "Q": self.last_quantity,
            "o": self.open,
            "h": self.high,
            "l": self.low,
            "v": self.volume,
            "q": self.quote,
            "O": self.open_ms,
            "C": self.close_ms,
            "F": self.first_id,
            "L": self.last_id,
            "n": self.count,
        }

    def to_mini_event(self, symbol: str, now_ms: int) -> dict[str, Any]:
        """24hrMiniTicker."""
        ticker = self.to_event(symbol, now_ms)
        return {"e": "24hrMiniTicker"} | {key: ticker[key] for key in ("E", "s", "c", "o", "h", "l", "v", "q")}
