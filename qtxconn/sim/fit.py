"""Computes the figures of an order flow from a recording: `python -m qtxconn.sim.fit RECORDING --out FILE`.

Only figures leave the recording. What is measured, and how:

- *settled price*: the bid whenever the spread is one tick; a *move* is a change between two settled prices.
- *aggressors*: prints of the same transaction time (ms) and side make one; those of one price trade at the
touch,
  the others are sweeps.
- *touch*: tickers that change a quantity and no price, less the aggressors.
- *behind the touch*: the merged book of the replay, sampled once a second, and the levels that depth
updates name, by
  distance from the last ticker's touch.
- *bursts*: coefficient of variation and one-second autocorrelation of tickers per second.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from bisect import bisect_right
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np

from qtxconn.errors import ConfigurationError
from qtxconn.sim.flow_model import BIN_EDGES, DISTANCE_EDGES, Bucket, Distribution, FlowModel
from qtxconn.sim.model import NS_PER_S, Instrument, Side, SimClock, run_market
from qtxconn.sim.recording import DEPTH, TICKER, TRADE, read_recording, text_scaler
from qtxconn.sim.replay import ReplayMarket
from qtxconn.sim.statistics import MarketStatistics
from qtxconn.sim.venue import Venue

SIGN_LAGS = 20
MAX_LEVELS = 4000


def distribution(values: np.ndarray | list[float]) -> Distribution:
    """Means of the probability bins `BIN_EDGES`, rounded to 3 decimals."""
    ordered = np.sort(np.asarray(values, dtype=float))
    if len(ordered) == 0:
        return [1.0] * len(BIN_EDGES)
    bounds = [0, *(round(edge * len(ordered)) for edge in BIN_EDGES)]
    means = []
    for low, high in pairwise(bounds):
        low = min(low, len(ordered) - 1)
        means.append(round(float(ordered[low : max(high, low + 1)].mean()), 3))
    return means


def gap_cv2(times_ms: np.ndarray) -> float:
    gaps = np.diff(times_ms)
    return float(gaps.var() / gaps.mean() ** 2)


class RawFlow:
    """The recording's tickers, prints and depth changes as arrays."""

    def __init__(self, path: Path, symbol: str, tick_size: Decimal, lot_size: Decimal) -> None:
        ticks, lots = text_scaler(tick_size), text_scaler(lot_size)
        tickers, prints, depth_times = [], [], []
        self.level_changes = [0] * (len(DISTANCE_EDGES) - 1)
        touch = None
        for message in read_recording(path):
            data = message.data
            if message.symbol != symbol:
                continue
            if message.kind == TICKER:
                touch = (ticks(data["b"]), ticks(data["a"]))
                tickers.append((data["T"], touch[0], lots(data["B"]), touch[1], lots(data["A"])))
            elif message.kind == TRADE:
                prints.append((data["T"], ticks(data["p"]), lots(data["q"]), -1 if data["m"] else 1))
            elif message.kind == DEPTH:
                depth_times.append(data["T"])
                if touch is not None:
                    self._count(touch[0], [ticks(p) for p, _ in data["b"]], -1)
                    self._count(touch[1], [ticks(p) for p, _ in data["a"]], 1)
        if len(tickers) < 1000 or len(prints) < 100 or len(depth_times) < 100:
            raise ConfigurationError(f"recording {path} holds too little of {symbol} to fit a flow to")
        self.tickers = np.array(tickers)
        self.prints = np.array(prints)
        self.depth_times = np.array(depth_times)
        self.seconds = float(self.tickers[-1, 0] - self.tickers[0, 0]) / 1000

    def _count(self, touch: int, prices: list[int], direction: int) -> None:
        for price in prices:
            bucket = bisect_right(DISTANCE_EDGES, (price - touch) * direction) - 1
            if 0 <= bucket < len(self.level_changes):
                self.level_changes[bucket] += 1


class BookProfile:
    """Samples of a replayed book by distance behind the touch."""

    def __init__(self) -> None:
        self.sizes: list[list[int]] = [[] for _ in DISTANCE_EDGES[:-1]]
        self.samples = 0

    def sample(self, venue: Venue, symbol: str) -> None:
        engine = venue.engine(symbol)
        if engine.asks.best - engine.bids.best != 1:
            return
        for side in (Side.BUY, Side.SELL):
            self.samples += 1
            best = engine.side(side).best
            for price, quantity in engine.levels(side, MAX_LEVELS):
                bucket = bisect_right(DISTANCE_EDGES, (best - price) * side) - 1
                if 0 <= bucket < len(self.sizes):
                    self.sizes[bucket].append(quantity)

    def buckets(self, changes: list[int], seconds: float) -> list[Bucket]:
        return [
            Bucket(
                round(len(sizes) / (self.samples * (high - low)), 4),
                distribution(sizes),
                round(count / seconds / 2, 3),
            )
            for (low, high), sizes, count in zip(pairwise(DISTANCE_EDGES), self.sizes, changes, strict=True)
        ]


def aggressors(prints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(time ms, side, lots, prices, prints) per aggressor: of those at one price, and of all."""
    starts = np.flatnonzero((np.diff(prints[:, 0]) != 0) | (np.diff(prints[:, 3]) != 0)) + 1
    groups = np.split(prints, starts)
    rows = np.array([(g[0, 0], g[0, 3], g[:, 2].sum(), len(np.unique(g[:, 1])), len(g)) for g in groups])
    return rows[rows[:, 3] == 1], rows


def prints_of(every: np.ndarray) -> tuple[float, float]:
    """(factor, power) of prints = factor * lots ** power: slope of the logarithms, scaled to the mean."""
    lots, prints = every[:, 2].astype(float), every[:, 4].astype(float)
    power = float(np.polyfit(np.log(lots), np.log(prints), 1)[0])
    low, high = 0.0, float(prints.max())
    for _ in range(60):
        factor = (low + high) / 2
        if np.maximum(1.0, factor * lots**power).mean() < prints.mean():
            low = factor
        else:
            high = factor
    return factor, power


def sign_lean(signs: np.ndarray) -> tuple[float, float]:
    """(bias, switch).

    Autocorrelation bias^2 * (1 - 2 switch)^lag, fitted to the logarithms of lags 1 to 20.
    """
    centred = signs - signs.mean()
    lags = np.arange(1, SIGN_LAGS + 1)
    correlation = np.array([(centred[k:] * centred[:-k]).mean() for k in lags]) / centred.var()
    usable = correlation > 0
    if usable.sum() < 2:
        return 0.0, 0.5
    slope, level = np.polyfit(lags[usable], np.log(correlation[usable]), 1)
    return min(1.0, math.exp(level / 2)), min(0.5, max(1e-4, (1 - math.exp(min(slope, 0.0))) / 2))


def fit(path: Path, symbol: str, tick_size: Decimal, lot_size: Decimal) -> FlowModel:
    """All figures. Raises ConfigurationError where the recording is missing, broken or too short."""
    raw = RawFlow(path, symbol, tick_size, lot_size)
    clock = SimClock()
    venue = Venue([Instrument(symbol, symbol[:-4], symbol[-4:], tick_size, lot_size)], clock)
    market = ReplayMarket(venue, path)
    statistics, profile = MarketStatistics(venue, symbol), BookProfile()
    while market.next_event_ns() is not None:
        run_market(market, clock, clock.now_ns() + NS_PER_S)
        statistics.sample()
        profile.sample(venue, symbol)

    times, bid, bid_size, ask, ask_size = raw.tickers.T
    seconds = raw.seconds
    open_spread = ask - bid > 1
    settled = raw.tickers[~open_spread]
    moved = np.flatnonzero(np.diff(settled[:, 1]))
    moves = np.abs(np.diff(settled[:, 1]))[moved]
    starts = np.flatnonzero(np.diff(open_spread.astype(int)) == 1) + 1
    ends = np.flatnonzero(np.diff(open_spread.astype(int)) == -1) + 1
    ends = ends[ends > starts[0]]
    starts = starts[: len(ends)]
    open_tickers = int((ends - starts).sum())
    open_ms = float((times[ends] - times[starts]).sum())

    same_price = (np.diff(bid) == 0) & (np.diff(ask) == 0)
    changes = np.concatenate([np.diff(bid_size)[same_price], np.diff(ask_size)[same_price]])
    at_touch, every = aggressors(raw.prints)
    sweeps = every[every[:, 3] > 1]
    bias, switch = sign_lean(every[:, 1])
    prints_factor, prints_power = prints_of(every)

    per_second = np.bincount((times - times[0]) // 1000).astype(float)[:-1]
    centred = per_second - per_second.mean()
    burst_cv2 = per_second.var() / per_second.mean() ** 2
    memory = float((centred[1:] * centred[:-1]).mean() / centred.var())
    touch_sizes = np.concatenate([bid_size, ask_size])

    return FlowModel(
        source={
            "recording": path.name,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "recorded": datetime.fromtimestamp(market.first_event_ns / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "messages": market.messages,
            "seconds": round(seconds, 3),
            "note": "figures computed by python -m qtxconn.sim.fit; no data of the recording is contained",
        },
        tick_size=str(tick_size),
        lot_size=str(lot_size),
        start_price=int(bid[0]),
        aggressor_rate=round(len(at_touch) / seconds, 4),
        aggressor_cv2=round(gap_cv2(at_touch[:, 0]), 4),
        aggressor_size=distribution(at_touch[:, 2]),
        prints_factor=round(prints_factor, 5),
        prints_power=round(prints_power, 4),
        sign_bias=round(bias, 4),
        sign_switch=round(switch, 5),
        move_rate=round(len(moves) / seconds, 4),
        move_cv2=round(gap_cv2(settled[moved + 1, 0]), 4),
        move_size=distribution(moves),
        sweep_share=round(min(1.0, len(sweeps) / len(moves)), 4),
        sweep_size=distribution(sweeps[:, 2]),
        instant_share=round(max(0.0, 1 - len(starts) / len(moves)), 4),
        closing_rate=round(1000 * open_tickers / open_ms, 2),
        closing_share=round(len(starts) / open_tickers, 4),
        touch_rate=round((int(same_price.sum()) - len(at_touch)) / seconds, 4),
        touch_size=distribution(touch_sizes),
        touch_mean=round(float(touch_sizes.mean()), 2),
        touch_add=distribution(changes[changes > 0]),
        touch_cancel=distribution(-changes[changes < 0]),
        buckets=profile.buckets(raw.level_changes, seconds),
        depth_interval=distribution(np.diff(raw.depth_times)),
        activity_sigma=round(math.sqrt(math.log1p(burst_cv2)), 4),
        activity_tau=round(-1 / math.log(min(0.99, max(0.01, memory))), 4),
        statistics={key: round(value, 4) for key, value in statistics.result().items()},
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qtxconn.sim.fit", description="Fit an order flow to a recording.")
    parser.add_argument("recording", type=Path, help="gzip recording of Binance USD-M streams")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--symbol", default="BTCUSDT")
    parser.add_argument("--tick-size", type=Decimal, default=Decimal("0.10"))
    parser.add_argument("--lot-size", type=Decimal, default=Decimal("0.001"))
    options = parser.parse_args(arguments)
    try:
        model = fit(options.recording, options.symbol, options.tick_size, options.lot_size)
        options.out.write_bytes(model.to_json())
    except (ConfigurationError, OSError) as error:
        print(f"fit: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
