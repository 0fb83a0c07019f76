"""Conditional orders of the simulated venue: stops, take-profits and trailing stops, waiting for a price.

A conditional order holds no margin and stands in no book. When the price it watches (last trade or mark) reaches
its trigger, it places an ordinary order under its own client id; that order may be refused, and ends on its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from qtxconn.sim.model import (
    OrderType,
    PositionSide,
    Reject,
    RejectReason,
    SelfTradePrevention,
    Side,
    SimOrder,
    TimeInForce,
)

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.venue import Venue

HISTORY_KEPT = 10_000
CALLBACK_RATE_MIN, CALLBACK_RATE_MAX = Decimal("0.1"), Decimal(10)
"""Percent."""


class ConditionalType(StrEnum):
    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"

    @property
    def has_limit(self) -> bool:
        return self in (ConditionalType.STOP, ConditionalType.TAKE_PROFIT)

    @property
    def takes_profit(self) -> bool:
        return self in (ConditionalType.TAKE_PROFIT, ConditionalType.TAKE_PROFIT_MARKET)


class ConditionalStatus(StrEnum):
    NEW = "NEW"
    TRIGGERING = "TRIGGERING"
    """The trigger is reached; the order is on its way to the book."""
    TRIGGERED = "TRIGGERED"
    """Its order was accepted."""
    FINISHED = "FINISHED"
    """Its order has ended."""
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    """Its order was refused."""


class WorkingType(StrEnum):
    """The price that a trigger watches."""

    CONTRACT_PRICE = "CONTRACT_PRICE"
    """The last trade."""
    MARK_PRICE = "MARK_PRICE"


@dataclass(slots=True, eq=False)
class ConditionalOrder:
    """Prices in ticks, quantity in lots."""

    conditional_id: int
    account: Account
    client_id: str
    symbol: str
    side: Side
    type: ConditionalType
    tif: TimeInForce = TimeInForce.GTC
    quantity: int = 0
    """0 with `close_position`."""
    price: int = 0
    """Limit; 0 for the MARKET types."""
    trigger: int = 0
    """0 for a trailing stop, which has no fixed one."""
    working: WorkingType = WorkingType.CONTRACT_PRICE
    position_side: PositionSide = PositionSide.BOTH
    reduce_only: bool = False
    close_position: bool = False
    activation: int = 0
    """A trailing stop starts to follow here; 0 at once."""
    callback_rate: Decimal = Decimal(0)
    """Percent that the price must come back from its extreme."""
    self_trade: SelfTradePrevention = SelfTradePrevention.EXPIRE_TAKER
    good_till_ms: int = 0
    price_protect: bool = False
    status: ConditionalStatus = ConditionalStatus.NEW
    created_ms: int = 0
    updated_ms: int = 0
    triggered_ms: int = 0
    order: SimOrder | None = None
    """What it placed."""
    refusal: str = ""
    extreme: Decimal = Decimal(0)
    """Best price since activation, in ticks; 0 while a trailing stop is not active."""

    def is_reached(self, price: Decimal) -> bool:
        """Whether `price` (ticks) is at or past the trigger; follows the price of a trailing stop."""
        if self.type is ConditionalType.TRAILING_STOP_MARKET:
            return self._follow(price)
        rises = (self.side is Side.BUY) is not self.type.takes_profit
        return price >= self.trigger if rises else price <= self.trigger

    def _follow(self, price: Decimal) -> bool:
        sign = int(self.side)
        if not self.extreme:
            if self.activation and (price - self.activation) * sign > 0:
                return False
            self.extreme = price
        if (price - self.extreme) * sign < 0:
            self.extreme = price
        return (price - self.extreme) * sign >= self.extreme * self.callback_rate / 100


class ConditionalOrders:
    """All conditional orders of a venue. Changes nothing but them, and places orders through the venue."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._open: dict[int, ConditionalOrder] = {}
        self._placed: dict[int, ConditionalOrder] = {}  # triggered, their order still open
        self._finished: deque[ConditionalOrder] = deque(maxlen=HISTORY_KEPT)

    # -- requests ----------------------------------------------------------------------------------------

    def place(self, order: ConditionalOrder) -> None:
        """Accept `order`, made by the caller with a fresh id. A Reject changes nothing.

        Raises Reject WOULD_TRIGGER, DUPLICATE_CLIENT_ID, CALLBACK_RATE, POSITION_SIDE, REDUCE_ONLY_IN_HEDGE_MODE,
        CLOSE_POSITION_EXISTS, or QTY_TOO_SMALL and QTY_TOO_LARGE.
        """
        account, instrument = order.account, self._venue.instrument(order.symbol)
        if (order.position_side is not PositionSide.BOTH) is not account.hedge_mode:
            raise Reject(RejectReason.POSITION_SIDE)
        if order.reduce_only and account.hedge_mode:
            raise Reject(RejectReason.REDUCE_ONLY_IN_HEDGE_MODE)
        if any(other.client_id == order.client_id for other in self.open(account)):
            raise Reject(RejectReason.DUPLICATE_CLIENT_ID)
        if order.close_position:
            same = (order.symbol, order.side, order.type, order.position_side)
            for other in self.open(account):
                if other.close_position and same == (other.symbol, other.side, other.type, other.position_side):
                    raise Reject(RejectReason.CLOSE_POSITION_EXISTS)
        elif order.quantity < instrument.min_qty:
            raise Reject(RejectReason.QTY_TOO_SMALL)
        elif order.quantity > (instrument.max_qty if order.price else instrument.market_max_qty):
            raise Reject(RejectReason.QTY_TOO_LARGE)
        trailing = order.type is ConditionalType.TRAILING_STOP_MARKET
        if trailing and not CALLBACK_RATE_MIN <= order.callback_rate <= CALLBACK_RATE_MAX:
            raise Reject(RejectReason.CALLBACK_RATE)
        price = self._watched(order)
        if price and order.is_reached(price):
            raise Reject(RejectReason.WOULD_TRIGGER)
        order.created_ms = order.updated_ms = self._venue.clock.now_ms()
        self._open[order.conditional_id] = order
        self._report(order)

    def cancel(self, order: ConditionalOrder) -> None:
        """End an open conditional order."""
        self._end(order, ConditionalStatus.CANCELED)

    def open(self, account: Account, symbol: str | None = None) -> list[ConditionalOrder]:
        """Waiting ones, oldest first."""
        return [o for o in self._open.values() if o.account is account and symbol in (None, o.symbol)]

    def all(self, account: Account, symbol: str | None = None) -> list[ConditionalOrder]:
        """Every one remembered, by id."""
        every = [*self._finished, *self._placed.values(), *self._open.values()]
        found = [o for o in every if o.account is account and symbol in (None, o.symbol)]
        return sorted(found, key=lambda order: order.conditional_id)

    def find(self, account: Account, conditional_id: int | None, client_id: str | None) -> ConditionalOrder | None:
        """By id, or the latest by client id where no id is given."""
        for order in reversed(self.all(account)):
            if conditional_id == order.conditional_id or (conditional_id is None and client_id == order.client_id):
                return order
        return None

    # -- time and price ----------------------------------------------------------------------------------

    def dates_ms(self) -> Iterator[int]:
        """When those with a date expire."""
        return (order.good_till_ms for order in self._open.values() if order.good_till_ms)

    def run_due(self) -> None:
        """Trigger what is reached, expire what is past its date, finish those whose order has ended."""
        now_ms = self._venue.clock.now_ms()
        for order in list(self._open.values()):
            if order.good_till_ms and order.good_till_ms <= now_ms:
                self._end(order, ConditionalStatus.EXPIRED)
            elif (price := self._watched(order)) and order.is_reached(price):
                self._trigger(order)
        for order in [o for o in self._placed.values() if o.order is None or not o.order.is_open]:
            del self._placed[order.conditional_id]
            self._finish(order, ConditionalStatus.FINISHED)

    def _watched(self, order: ConditionalOrder) -> Decimal:
        """The price it watches, in ticks; 0 while there is none."""
        engine = self._venue.engine(order.symbol)
        mark = self._venue.mark_price(order.symbol) / engine.instrument.tick_size
        if order.working is WorkingType.MARK_PRICE:
            return mark
        return Decimal(engine.last_trade_price) or mark

    def _trigger(self, order: ConditionalOrder) -> None:
        venue, account = self._venue, order.account
        instrument = venue.instrument(order.symbol)
        del self._open[order.conditional_id]
        order.status = ConditionalStatus.TRIGGERING
        order.triggered_ms = order.updated_ms = venue.clock.now_ms()
        self._report(order)
        lots = order.quantity
        if order.close_position:
            position = account.position(instrument, order.position_side)
            if position.amount * int(order.side) >= 0:
                self._finish(order, ConditionalStatus.EXPIRED)
                return
            lots = abs(position.amount)
        try:
            order.order = venue.place_order(
                account,
                order.symbol,
                order.side,
                OrderType.LIMIT if order.price else OrderType.MARKET,
                instrument.lots_to_quantity(lots),
                instrument.ticks_to_price(order.price) if order.price else None,
                order.tif,
                order.client_id,
                reduce_only=order.reduce_only or (order.close_position and not account.hedge_mode),
                position_side=order.position_side,
                self_trade=order.self_trade,
                good_till_ms=order.good_till_ms,
                close_position=order.close_position,
            )
        except Reject as reject:
            order.refusal = reject.reason
            self._finish(order, ConditionalStatus.REJECTED)
            return
        order.status = ConditionalStatus.TRIGGERED
        self._placed[order.conditional_id] = order
        self._report(order)

    def _end(self, order: ConditionalOrder, status: ConditionalStatus) -> None:
        del self._open[order.conditional_id]
        self._finish(order, status)

    def _finish(self, order: ConditionalOrder, status: ConditionalStatus) -> None:
        order.status = status
        order.updated_ms = self._venue.clock.now_ms()
        self._finished.append(order)
        self._report(order)

    def _report(self, order: ConditionalOrder) -> None:
        for listener in self._venue.notice_listeners:
            listener.on_conditional(order)
