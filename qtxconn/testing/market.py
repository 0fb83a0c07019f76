"""The venue of a simulation: one instrument, the account under test, and others who quote and trade against it."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import TYPE_CHECKING

from qtxconn.sim.model import Instrument, OrderType, Reject, Side
from qtxconn.sim.venue import Venue

if TYPE_CHECKING:
    from qtxconn.sim.model import VenueClock

SYMBOL, PAIR = "BTCUSDT", "BTC-USDT"
API_KEY, API_SECRET = "simulated-key", "simulated-secret"
MID_TICKS = 600_000  # 60,000.0
LEVELS = 5
LEVEL_SPACING_TICKS = 12


class SimMarket:
    """A real Venue. What the others do is drawn from `rng`; they never run out of money."""

    def __init__(self, clock: VenueClock, rng: random.Random) -> None:
        self._rng = rng
        self.instrument = Instrument(SYMBOL, "BTC", "USDT", Decimal("0.1"), Decimal("0.001"), min_notional=Decimal(5))
        self.venue = Venue([self.instrument], clock)
        self.account = self.venue.open_account(API_KEY, API_SECRET, balance=Decimal(1_000_000))
        self._others = self.venue.open_account("others", "others", balance=Decimal(10**12))
        for level in range(1, LEVELS + 1):
            self._quote(Side.BUY, MID_TICKS - level * LEVEL_SPACING_TICKS, 20 * level)
            self._quote(Side.SELL, MID_TICKS + level * LEVEL_SPACING_TICKS, 20 * level)

    def _quote(self, side: Side, ticks: int, lots: int) -> None:
        instrument = self.instrument
        price, quantity = instrument.ticks_to_price(ticks), instrument.lots_to_quantity(lots)
        try:
            self.venue.place_order(self._others, SYMBOL, side, OrderType.LIMIT, quantity, price)
        except Reject:
            pass  # too far from the mark price, or too many orders: they try something else next time

    def mid_ticks(self) -> int:
        ticker = self.venue.ticker(SYMBOL)
        return (ticker.bid + ticker.ask) // 2 if ticker.bid and ticker.ask else ticker.bid or ticker.ask or MID_TICKS

    def others_act(self) -> str:
        """One action of somebody else: a new quote, or an order that takes a few levels. Says what it was."""
        rng = self._rng
        side = rng.choice((Side.BUY, Side.SELL))
        if rng.random() < 0.5:
            offset = rng.randint(1, LEVELS * LEVEL_SPACING_TICKS)
            lots = rng.randint(1, 60)
            self._quote(side, self.mid_ticks() - int(side) * offset, lots)
            return f"quote {side.name} {lots}"
        lots = rng.randint(1, 80)
        try:
            self.venue.place_order(self._others, SYMBOL, side, OrderType.MARKET, self.instrument.lots_to_quantity(lots))
        except Reject as reject:
            return f"take {side.name} {lots}: {reject.reason}"
        return f"take {side.name} {lots}"

    def cancel_by_hand(self) -> str:
        """The account's owner cancels one of its orders at the venue's web page. Says which."""
        if not self.account.open_orders:
            return "nothing"
        order = self._rng.choice(list(self.account.open_orders.values()))
        self.venue.cancel_order(self.account, SYMBOL, order.order_id, None)
        return order.client_order_id
