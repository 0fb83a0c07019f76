"""Measures a market by what it publishes: a recording and a synthetic market by the same rule."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, median, pstdev

from qtxconn.sim.model import (
    NS_PER_S,
    BookTicker,
    DepthUpdate,
    Market,
    MarketTrade,
    Side,
    SimClock,
    run_market,
)
from qtxconn.sim.venue import Venue

PROFILE_TICKS = (10, 100, 1000)


class MarketStatistics:
    """Listens to one symbol; `sample` is to be called once a second of the venue's clock."""

    def __init__(self, venue: Venue, symbol: str) -> None:
        self._engine = venue.engine(symbol)
        self._clock = venue.clock
        self._engine.listeners.append(self)
        self._start_ns = self._since_ns = venue.clock.now_ns()
        self._tickers = self._depths = self._trades = self._volume = self._depth_levels = 0
        self._tickers_at_sample = 0
        self._narrow_ns = self._wide_ns = 0
        self._spread = 0
        self._touch_sizes: list[int] = []
        self._trade_signs: list[tuple[int, int]] = []
        self._mids: list[float] = []
        self._per_second: list[int] = []
        self._profiles: dict[int, list[int]] = {ticks: [] for ticks in PROFILE_TICKS}

    def on_ticker(self, symbol: str, ticker: BookTicker) -> None:
        self._tickers += 1
        now_ns = self._clock.now_ns()
        if self._spread == 1:
            self._narrow_ns += now_ns - self._since_ns
        elif self._spread > 1:
            self._wide_ns += now_ns - self._since_ns
        self._since_ns = now_ns
        self._spread = ticker.ask - ticker.bid if ticker.bid and ticker.ask else 0

    def on_depth(self, symbol: str, update: DepthUpdate) -> None:
        self._depths += 1
        self._depth_levels += len(update.bids) + len(update.asks)

    def on_trade(self, symbol: str, trade: MarketTrade) -> None:
        self._trades += 1
        self._volume += trade.quantity
        self._trade_signs.append((trade.time_ms, -1 if trade.buyer_is_maker else 1))

    def sample(self) -> None:
        """Take the state of the book now."""
        engine = self._engine
        if not engine.bids.best or not engine.asks.best:
            return
        self._mids.append((engine.bids.best + engine.asks.best) / 2)
        self._per_second.append(self._tickers - self._tickers_at_sample)
        self._tickers_at_sample = self._tickers
        for side in (Side.BUY, Side.SELL):
            book = engine.side(side)
            self._touch_sizes.append(book.total_at(book.best))
            for ticks, sums in self._profiles.items():
                low, high = sorted((book.best, book.best - side * (ticks - 1)))
                sums.append(sum(book.levels[price].total for price in book.levels.irange(low, high)))

    def result(self) -> dict[str, float]:
        """Rates per second; sizes in lots; prices in ticks.

        `mid_change_sd`: standard deviation of the mid's change over a second. `depth_N`: mean quantity of
        the best N ticks of a side. `trade_sign_correlation`: between successive runs of prints of one ms
        and side. `burst_cv`: coefficient of variation of tickers per second.
        """
        seconds = (self._clock.now_ns() - self._start_ns) / NS_PER_S
        runs = [sign for before, (time, sign) in pairwise([(0, 0), *self._trade_signs]) if before != (time, sign)]
        mean_sign = fmean(runs)
        covariance = fmean((a - mean_sign) * (b - mean_sign) for a, b in pairwise(runs))
        return {
            "ticker_rate": self._tickers / seconds,
            "trade_rate": self._trades / seconds,
            "aggressor_rate": len(runs) / seconds,
            "depth_rate": self._depths / seconds,
            "depth_levels": self._depth_levels / self._depths,
            "volume_rate": self._volume / seconds,
            "narrow_share": self._narrow_ns / (self._narrow_ns + self._wide_ns),
            "touch_median": median(self._touch_sizes),
            "mid_change_sd": pstdev(after - before for before, after in pairwise(self._mids)),
            "trade_sign_correlation": covariance / (1 - mean_sign**2),
            "burst_cv": pstdev(self._per_second) / fmean(self._per_second),
            **{f"depth_{ticks}": fmean(sums) for ticks, sums in self._profiles.items()},
        }


def measure(venue: Venue, symbol: str, clock: SimClock, market: Market, seconds: int) -> dict[str, float]:
    """Run `market` for `seconds` of simulated time (or to its end) and measure it."""
    statistics = MarketStatistics(venue, symbol)
    for _ in range(seconds):
        run_market(market, clock, clock.now_ns() + NS_PER_S)
        statistics.sample()
        if market.next_event_ns() is None:
            break
    return statistics.result()
