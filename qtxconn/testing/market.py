"""The venue of a simulation: one instrument, the account under test, and others who quote and trade against it."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING

from qtxconn.sim.model import Instrument, Side
from qtxconn.sim.venue import Venue

if TYPE_CHECKING:
    from qtxconn.sim.model import VenueClock

SYMBOL, PAIR = "BTCUSDT", "BTC-USDT"
API_KEY, API_SECRET = "simulated-key", "simulated-secret"
MID_TICKS = 600_000  # 60,000.0
LEVELS = 5
LEVEL_SPACING_TICKS = 12
WALL_TICKS, WALL_LOTS = 300, 1_000_000  # so far away there is always somebody: no side runs empty
REACH_TICKS = 3_000  # how far somebody else's order goes


class SimMarket:
    """A real Venue. What the others do is drawn from `rng`; they are the venue's background, which has no account."""

    def __init__(self, clock: VenueClock, rng: random.Random) -> None:
        self._rng = rng
        self.instrument = Instrument(SYMBOL, "BTC", "USDT", Decimal("0.1"), Decimal("0.001"), min_notional=Decimal(5))
        self.venue = Venue([self.instrument], clock)
        self.account = self.venue.open_account(API_KEY, API_SECRET, balance=Decimal(1_000_000))
        self._engine = self.venue.engine(SYMBOL)
        for level in range(1, LEVELS + 1):
            self._engine.add_ambient(Side.BUY, MID_TICKS - level * LEVEL_SPACING_TICKS, 20 * level)
            self._engine.add_ambient(Side.SELL, MID_TICKS + level * LEVEL_SPACING_TICKS, 20 * level)
        for side in Side:
            self._engine.add_ambient(side, MID_TICKS - int(side) * WALL_TICKS, WALL_LOTS)
        self._engine.publish()

    def mid_ticks(self) -> int:
        bid, ask = self._engine.bids.best, self._engine.asks.best
        return (bid + ask) // 2 if bid and ask else bid or ask or MID_TICKS

    def others_act(self) -> str:
        """One action of somebody else: a new quote, or an order that takes a few levels. Says what it was."""
        rng = self._rng
        side = rng.choice((Side.BUY, Side.SELL))
        mid_ticks = self.mid_ticks()
        if rng.random() < 0.5:
            lots = rng.randint(1, 60)
            self._engine.add_ambient(side, mid_ticks - int(side) * rng.randint(1, LEVELS * LEVEL_SPACING_TICKS), lots)
            what = "quote"
        else:
            lots = rng.randint(1, 80)
            self._engine.background_order(side, lots, mid_ticks + int(side) * REACH_TICKS)
            what = "take"
        self._engine.publish()
        return f"{what} {side.name} {lots}"

    def cancel_by_hand(self) -> str:
        """The account's owner cancels one of its orders at the venue's web page. Says which."""
        if not self.account.open_orders:
            return "nothing"
        order = self._rng.choice(list(self.account.open_orders.values()))
        self.venue.cancel_order(self.account, SYMBOL, order.order_id, None)
        return order.client_order_id
