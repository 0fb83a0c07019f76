"""A seeded synthetic market: background order flow with the figures of a `FlowModel`, played into the engine.

A *settled* price F (bid F, ask F + 1) moves at the fitted times by the fitted sizes, and everything else
happens around it:

- a *move* sweeps or cancels the levels in its way; the side that is left behind follows at once or in
steps, and until then
  the spread is open;
- *aggressors* trade at the touch, leaning to one side for a while;
- the touch's quantity changes by additions and cancellations that pull it to its fitted mean;
- behind the touch, prices drawn by distance get a fresh quantity from the distribution of that distance, so
that the
  profile stays what was fitted; these changes become visible with the next depth update, as on the venue.

All rates share a common factor with the fitted bursts. The direction of a move is independent of the last
one, with a pull towards the start price that grows linearly and is complete at `REACH` (2 %): the price
neither runs away nor comes near 0. Background orders may not empty a side, and they meet own orders like
any others.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from decimal import Decimal
from itertools import accumulate, pairwise

from qtxconn.errors import ConfigurationError
from qtxconn.sim.flow_model import DISTANCE_EDGES, FlowModel, Sampler, default_model
from qtxconn.sim.model import NS_PER_MS, NS_PER_S, Instrument, Side
from qtxconn.sim.venue import Venue

REACH = 0.02
ACTIVITY_STEP_NS = 100 * NS_PER_MS
DEPTH_LIMIT = DISTANCE_EDGES[-1]
PRUNE_BEYOND = 2 * DEPTH_LIMIT
"""Ambient levels further behind the touch (ticks) are cancelled when the price has left them."""
NEVER = 1 << 62


class SyntheticMarket:
    """Endless background flow for one symbol. Same seed and same own orders: same events, to the last bit."""

    finished = False

    def __init__(self, venue: Venue, instrument: Instrument, model: FlowModel | None = None, seed: int = 1) -> None:
        """`instrument` must be one of the venue's; `model` defaults to the committed BTCUSDT figures.

        Raises ConfigurationError where the model was fitted with another tick or lot size.
        """
        self.symbol = instrument.symbol
        self._model = model = default_model() if model is None else model
        if (Decimal(model.tick_size), Decimal(model.lot_size)) != (instrument.tick_size, instrument.lot_size):
            raise ConfigurationError(
                f"the flow model has tick {model.tick_size} and lot {model.lot_size}, {self.symbol} has "
                f"{instrument.tick_size} and {instrument.lot_size}; fit one with python -m qtxconn.sim.fit"
            )
        self._engine = venue.engine(self.symbol)
        self._draw = Sampler(seed)
        self._anchor = self._settled = model.start_price
        self._lean = 1
        self._activity = 1.0
        self._log_activity = 0.0
        # A price in a bucket changes to a fresh draw; a draw of "empty" for an empty price is no change,
        # hence the factor.
        rates = [bucket.changes / (1 - (1 - bucket.occupied) ** 2) for bucket in model.buckets]
        self._bucket_bounds = list(accumulate(rates))
        now_ns = venue.clock.now_ns()
        self._last_depth_ns = now_ns
        # Due times in ns; ties are broken by this order.
        self._due = {
            "move": now_ns + self._gap_ns(model.move_rate, model.move_cv2),
            "closing": NEVER,
            "aggressor": now_ns + self._gap_ns(model.aggressor_rate, model.aggressor_cv2),
            "touch": now_ns + self._gap_ns(model.touch_rate, 1.0),
            "depth": now_ns + self._depth_gap_ns(),
            "activity": now_ns + ACTIVITY_STEP_NS,
        }
        self._actions = {
            "move": self._move,
            "closing": self._close,
            "aggressor": self._aggress,
            "touch": self._change_touch,
            "depth": self._publish_depth,
            "activity": self._change_activity,
        }
        self._build_book()

    def next_event_ns(self) -> int:
        """When the next background event is due (the clock's ns)."""
        return min(self._due.values())

    def step(self, until_ns: int) -> int:
        """Play every event due up to `until_ns`; returns their number."""
        events = 0
        while True:
            name = min(self._due, key=self._due.__getitem__)
            due_ns = self._due[name]
            if due_ns > until_ns:
                return events
            self._due[name] = due_ns + self._actions[name](due_ns)
            self._engine.publish_ticker()
            events += 1

    # -- timing ------------------------------------------------------------------------------------------

    def _gap_ns(self, rate: float, cv2: float) -> int:
        return 1 + int(self._draw.gap(rate * self._activity, cv2) * NS_PER_S)

    def _depth_gap_ns(self) -> int:
        return self._draw.size(self._model.depth_interval) * NS_PER_MS

    def _change_activity(self, now_ns: int) -> int:
        model = self._model
        keep = math.exp(-ACTIVITY_STEP_NS / NS_PER_S / model.activity_tau)
        noise = self._draw.normal(0.0, model.activity_sigma * math.sqrt(1 - keep * keep))
        self._log_activity = keep * self._log_activity + noise
        self._activity = math.exp(self._log_activity - model.activity_sigma**2 / 2)
        return ACTIVITY_STEP_NS

    # -- the price ---------------------------------------------------------------------------------------

    def _move(self, now_ns: int) -> int:
        model, draw = self._model, self._draw
        pull = (self._settled - self._anchor) / (REACH * self._anchor)
        side = Side.BUY if draw.uniform() < 0.5 - pull / 2 else Side.SELL
        quantile = draw.uniform()
        self._settled += side * draw.size(model.move_size, quantile)
        ahead = self._touch_price(side.opposite)
        last_in_way = ahead - side
        if draw.uniform() < model.sweep_share:
            self._trade(side, draw.size(model.sweep_size, quantile), last_in_way)
        self._clear(side.opposite, last_in_way)
        self._fill_touch(side.opposite)
        if draw.uniform() < model.instant_share:
            self._fill_touch(side)
        elif self._due["closing"] == NEVER:
            self._due["closing"] = now_ns + self._gap_ns(model.closing_rate, 1.0)
        self._prune()
        return self._gap_ns(model.move_rate, model.move_cv2)

    def _touch_price(self, side: Side) -> int:
        """Where the touch of `side` belongs."""
        return self._settled if side is Side.BUY else self._settled + 1

    def _clear(self, side: Side, limit: int) -> None:
        """Cancel the ambient lots of `side` at its best prices down to `limit` (ticks)."""
        engine = self._engine
        beyond = limit - 1 if side is Side.BUY else limit + 1
        for price in list(engine.side(side).prices_before(beyond)):
            engine.cancel_ambient(side, price, engine.side(side).levels[price].ambient)

    def _fill_touch(self, side: Side) -> None:
        """See that `side` has ambient lots at its touch; own orders beyond it are met on the way."""
        price = self._touch_price(side)
        if self._engine.ambient_at(side, price) == 0:
            self._engine.add_ambient(side, price, self._draw.size(self._model.touch_size))

    def _close(self, now_ns: int) -> int:
        """One step towards a spread of one tick: close it, or put lots somewhere into the gap."""
        draw, engine = self._draw, self._engine
        if draw.uniform() < self._model.closing_share:
            self._fill_touch(Side.BUY)
            self._fill_touch(Side.SELL)
        else:
            side = Side.BUY if engine.ambient_at(Side.BUY, self._settled) == 0 else Side.SELL
            gap = min(engine.asks.best - engine.bids.best - 1, DEPTH_LIMIT) if engine.bids.best else 0
            if gap > 1 and engine.ambient_at(side, self._touch_price(side)) == 0:
                price = self._touch_price(side) - side * (1 + draw.below(gap - 1))
                engine.add_ambient(side, price, draw.size(self._model.touch_add))
        if self._is_settled():
            return NEVER - now_ns
        return self._gap_ns(self._model.closing_rate, 1.0)

    def _is_settled(self) -> bool:
        engine = self._engine
        return all(engine.ambient_at(side, self._touch_price(side)) for side in (Side.BUY, Side.SELL))

    def _expect_closing(self, now_ns: int) -> None:
        if self._due["closing"] == NEVER and not self._is_settled():
            self._due["closing"] = now_ns + self._gap_ns(self._model.closing_rate, 1.0)

    # -- the touch ---------------------------------------------------------------------------------------

    def _aggress(self, now_ns: int) -> int:
        model, draw = self._model, self._draw
        if draw.uniform() < model.sign_switch:
            self._lean = -self._lean
        lean = self._lean if draw.uniform() < (1 + model.sign_bias) / 2 else -self._lean
        side = Side(lean)
        self._trade(side, draw.size(model.aggressor_size), self._engine.side(side.opposite).best)
        self._expect_closing(now_ns)
        return self._gap_ns(model.aggressor_rate, model.aggressor_cv2)

    def _trade(self, side: Side, quantity: int, limit: int) -> None:
        """An aggressor, as the prints of the resting orders that it meets."""
        model, draw = self._model, self._draw
        prints = max(1, draw.count(model.prints_factor * quantity**model.prints_power))
        for left in range(prints, 0, -1):
            part = quantity if left == 1 else draw.count(2 * draw.uniform() * quantity / left)
            part = min(quantity, max(1, part))
            quantity -= part
            if self._engine.background_order(side, part, limit) or not quantity:
                return

    def _change_touch(self, now_ns: int) -> int:
        model, draw, engine = self._model, self._draw, self._engine
        side = Side.BUY if draw.uniform() < 0.5 else Side.SELL
        price = self._touch_price(side)
        present = engine.ambient_at(side, price)
        if present:
            if draw.uniform() < model.touch_mean / (model.touch_mean + present):
                engine.add_ambient(side, price, draw.size(model.touch_add))
            else:
                engine.cancel_ambient(side, price, min(present - 1, draw.size(model.touch_cancel)))
        self._expect_closing(now_ns)
        return self._gap_ns(model.touch_rate, 1.0)

    # -- behind the touch --------------------------------------------------------------------------------

    def _publish_depth(self, now_ns: int) -> int:
        """Make the changes behind the touch since the last update, and publish."""
        seconds = (now_ns - self._last_depth_ns) / NS_PER_S * self._activity
        self._last_depth_ns = now_ns
        for side in (Side.BUY, Side.SELL):
            for _ in range(self._draw.count(self._bucket_bounds[-1] * seconds)):
                self._change_level(side)
        self._engine.publish()
        return self._depth_gap_ns()

    def _change_level(self, side: Side) -> None:
        draw = self._draw
        index = bisect_right(self._bucket_bounds, draw.uniform() * self._bucket_bounds[-1])
        low, high = DISTANCE_EDGES[index], DISTANCE_EDGES[index + 1]
        price = self._touch_price(side) - side * (low + draw.below(high - low))
        self._refresh(side, price, index)

    def _refresh(self, side: Side, price: int, index: int) -> None:
        """Give `price` a fresh quantity from bucket `index`."""
        bucket = self._model.buckets[index]
        engine, draw = self._engine, self._draw
        wanted = draw.size(bucket.size) if draw.uniform() < bucket.occupied else 0
        change = wanted - engine.ambient_at(side, price)
        if change > 0:
            engine.add_ambient(side, price, change)
        elif change < 0:
            engine.cancel_ambient(side, price, -change)

    def _build_book(self) -> None:
        for side in (Side.BUY, Side.SELL):
            self._fill_touch(side)
            for index, (low, high) in enumerate(pairwise(DISTANCE_EDGES)):
                for distance in range(low, high):
                    self._refresh(side, self._touch_price(side) - side * distance, index)
        self._engine.publish()

    def _prune(self) -> None:
        engine = self._engine
        for side in (Side.BUY, Side.SELL):
            limit = self._touch_price(side) - side * PRUNE_BEYOND
            for price in list(engine.side(side).prices_behind(limit)):
                engine.cancel_ambient(side, price, engine.side(side).levels[price].ambient)
