"""The figures of an order flow, as `fit.py` computes them from a recording and `synthetic.py` plays them.

Quantities are lots, prices and distances ticks, rates per second. A distribution is a list of bin means
over the fixed probability bins `BIN_EDGES` (finer in the upper tail), which keeps the mean of a heavy tail.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import orjson

from qtxconn.errors import ConfigurationError

FORMAT = 1
BIN_EDGES = (
    *(round(0.05 * k, 2) for k in range(1, 20)),
    0.96,
    0.97,
    0.98,
    0.99,
    0.993,
    0.996,
    0.999,
    1.0,
)
"""Upper ends of the probability bins."""
DISTANCE_EDGES = (1, 2, 3, 4, 5, 8, 13, 21, 41, 81, 161, 321, 641, 1281)
"""Bounds of the distance buckets behind the touch: bucket i holds distances EDGES[i] to EDGES[i+1] - 1."""

Distribution = list[float]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Levels at one range of distances behind the touch, both sides pooled."""

    occupied: float
    """Share of prices that hold an order."""
    size: Distribution
    """Lots where occupied."""
    changes: float
    """Level changes per second and side."""


@dataclass(frozen=True, slots=True)
class FlowModel:
    """One instrument's order flow."""

    source: dict[str, Any]
    """Name, digest and length of the recording."""
    tick_size: str
    lot_size: str
    start_price: int
    """Bid at the start, ticks."""
    # Orders that trade at the touch only, and the prints (one per resting order met) they are made of.
    aggressor_rate: float
    aggressor_cv2: float
    """Squared coefficient of variation of the times between them (1 = Poisson)."""
    aggressor_size: Distribution
    prints_factor: float
    """An aggressor of q lots makes max(1, factor * q ** power) prints on average."""
    prints_power: float
    sign_bias: float
    """The flow leans to one side: a sign is that side's with probability (1 + bias) / 2 ..."""
    sign_switch: float
    """... and the side changes with this probability per order."""
    # Changes of the settled price (between times when the spread is one tick).
    move_rate: float
    move_cv2: float
    move_size: Distribution
    sweep_share: float
    """Share of moves that trade through levels; the others are cancellations."""
    sweep_size: Distribution
    instant_share: float
    """Share of moves after which the spread is one tick at once."""
    closing_rate: float
    """Steps per second that narrow an open spread ..."""
    closing_share: float
    """... and the share of them that close it."""
    # Quantity changes at the touch that are not trades.
    touch_rate: float
    touch_size: Distribution
    touch_mean: float
    touch_add: Distribution
    touch_cancel: Distribution
    # Behind the touch.
    buckets: list[Bucket]
    depth_interval: Distribution
    """ms between depth updates."""
    # Bursts: a common factor exp(x) on all rates, x an Ornstein-Uhlenbeck process.
    activity_sigma: float
    activity_tau: float
    """Seconds."""
    statistics: dict[str, float]
    """What `MarketStatistics` measures on the recording itself (see `statistics.py`)."""

    def to_json(self) -> bytes:
        return orjson.dumps({"format": FORMAT, **asdict(self)}, option=orjson.OPT_INDENT_2) + b"\n"

    @classmethod
    def from_json(cls, text: bytes, name: str = "flow model") -> FlowModel:
        """Raises ConfigurationError where the text is no flow model of this format."""
        try:
            fields = orjson.loads(text)
            if fields.pop("format") != FORMAT:
                raise ValueError("other format number")
            fields["buckets"] = [Bucket(**bucket) for bucket in fields["buckets"]]
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{name} is not a flow model: {error}; fit it again") from None

    def rescaled(self, tick_size: str, lot_size: str, start_price: int, size_factor: float) -> FlowModel:
        """The same flow for another instrument: rates and distances in ticks stay, quantities become
        `size_factor` times as many lots."""

        def scaled(distribution: Distribution) -> Distribution:
            return [value * size_factor for value in distribution]

        return replace(
            self,
            tick_size=tick_size,
            lot_size=lot_size,
            start_price=start_price,
            aggressor_size=scaled(self.aggressor_size),
            prints_factor=self.prints_factor / size_factor**self.prints_power,
            sweep_size=scaled(self.sweep_size),
            touch_size=scaled(self.touch_size),
            touch_mean=self.touch_mean * size_factor,
            touch_add=scaled(self.touch_add),
            touch_cancel=scaled(self.touch_cancel),
            buckets=[replace(bucket, size=scaled(bucket.size)) for bucket in self.buckets],
        )

    @classmethod
    def load(cls, path: Path | str) -> FlowModel:
        return cls.from_json(Path(path).read_bytes(), str(path))


@cache
def default_model() -> FlowModel:
    """The committed figures of BTCUSDT."""
    return FlowModel.from_json(resources.files("qtxconn.sim").joinpath("flow_btcusdt.json").read_bytes())


class Sampler:
    """Draws from one seeded generator; everything random in the synthetic market goes through it."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.uniform = self._rng.random
        self.exponential = self._rng.expovariate
        self.normal = self._rng.normalvariate

    def size(self, distribution: Distribution, u: float | None = None) -> int:
        """A positive int; `u` in [0, 1) picks the quantile, so that two draws can be made to go together."""
        mean = distribution[bisect_right(BIN_EDGES, self.uniform() if u is None else u)]
        return max(1, int(mean * (0.8 + 0.4 * self.uniform()) + self.uniform()))

    def count(self, mean: float) -> int:
        """An int with the given mean: the whole part, and one more with the probability of the rest."""
        return int(mean + self.uniform())

    def below(self, bound: int) -> int:
        """Uniform in 0 .. bound - 1."""
        return int(self.uniform() * bound)

    def gap(self, rate: float, cv2: float) -> float:
        """Seconds to the next event of a renewal process.

        Hyper-exponential, two phases with balanced means.
        """
        if cv2 <= 1:
            return self.exponential(rate)
        share = (1 + ((cv2 - 1) / (cv2 + 1)) ** 0.5) / 2
        if self.uniform() >= share:
            share = 1 - share
        return self.exponential(2 * share * rate)
