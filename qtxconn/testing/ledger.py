"""The books of a long run: every event of a connector, and every order it made, held against the venue's own records.

What both sides have closed alike is forgotten, so that the books stay as small as what is open, however long the run.
An event or a record of something forgotten is then one that nobody asked for, and is found as such.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.core.events import (
    BuyOrderCompletedEvent,
    BuyOrderCreatedEvent,
    ErrorEvent,
    ErrorEventListener,
    MarketOrderFailureEvent,
    OrderCancelledEvent,
    OrderExpiredEvent,
    OrderFilledEvent,
    OrphanFillEvent,
    OrphanOrderEvent,
    SellOrderCompletedEvent,
    SellOrderCreatedEvent,
)
from qtxconn.core.types import MarketEvent, OrderState, TradeType
from qtxconn.testing.invariants import ALARMS, CREATED, LEGAL_ID

if TYPE_CHECKING:
    from qtxconn.core.connectors import PerpetualDerivativeBase
    from qtxconn.core.in_flight_order import InFlightOrder
    from qtxconn.testing.conformance.binance import BinanceHand
    from qtxconn.testing.conformance.target import VenueFill, VenueOrder

RULES = ("L1", "L2", "L3", "L4", "L5", "L6", "L7", "L8", "L9", "L10", "A1")
"""The invariants of docs/simulation.md that can be seen from outside two processes."""
ENDS = {
    BuyOrderCompletedEvent: OrderState.FILLED,
    SellOrderCompletedEvent: OrderState.FILLED,
    OrderCancelledEvent: OrderState.CANCELED,
    OrderExpiredEvent: OrderState.EXPIRED,
    MarketOrderFailureEvent: OrderState.FAILED,
}
SETTLE_S = 90.0  # an order that has ended there must have ended here; what was never accepted must have failed
ACCOUNT_SETTLE_S = 30.0
VIOLATIONS_SHOWN = 50


@dataclass(slots=True)
class Entry:
    """One order from its intent until both sides have closed it."""

    order: InFlightOrder
    made_ns: int
    created: bool = False
    end: OrderState | None = None
    fills: dict[str, tuple[TradeType, Decimal, Decimal, Decimal]] = field(default_factory=dict)
    """What was told: {trade id: (side, price, amount, fee)}."""
    late_since_ns: int = 0
    """When it was first seen ended at the venue while it was open here."""


class Ledger(ErrorEventListener):
    """Listens to `connector`, and compares with the venue when `reconcile` is called. `checks` and `violations` are
    counted by rule; `texts` are the first violations in words."""

    def __init__(self, connector: PerpetualDerivativeBase, hand: BinanceHand, trading_pair: str, asset: str) -> None:
        self._connector = connector
        self._hand = hand
        self._pair, self._asset = trading_pair, asset
        self.entries: dict[str, Entry] = {}
        self.open: dict[str, InFlightOrder] = {}
        """Those of the entries that have not ended here, oldest first."""
        self.counts: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self.texts: list[str] = []
        self._highest_id = 0
        self._order_mark = 0  # the venue's orders below this id are compared
        self._trade_mark = 0
        self._compared: set[str] = set()  # exchange ids from the mark on
        self._fills: defaultdict[str, dict[str, VenueFill]] = defaultdict(dict)  # the venue's, by exchange order id
        for tag in MarketEvent:
            if tag is not MarketEvent.FundingInfo:
                connector.add_listener(tag, self._on_event)
        connector.set_error_event_listener(self)

    def check(self, rule: str, holds: object, text: str) -> None:
        self.checks[rule] += 1
        if not holds:
            self.violations[rule] += 1
            if len(self.texts) < VIOLATIONS_SHOWN:
                self.texts.append(f"{rule}: {text}")

    # -- what the connector says ---------------------------------------------------------------------------------

    def intent(self, order_id: str) -> InFlightOrder:
        """buy() or sell() has just returned this id."""
        self.counts["orders"] += 1
        order = self._connector.in_flight_orders.get(order_id)
        self.check("L3", order is not None, f"{order_id} is not tracked when buy() or sell() returns")
        # Ids of one process ascend, so that a larger one is a new one.
        is_new = LEGAL_ID.fullmatch(order_id) and int(order_id) > self._highest_id
        self.check("L5", is_new, f"client order id {order_id} is not legal, or not a new one")
        self._highest_id = max(self._highest_id, int(order_id))
        assert order is not None
        self.entries[order_id] = Entry(order, SYSTEM_CLOCK.monotonic_ns())
        self.open[order_id] = order
        return order

    def on_error(self, event: ErrorEvent) -> None:
        self.counts[f"alarm {event.kind}"] += 1
        self.check("L2" if event.kind in ("overfill", "fee") else "L4", event.kind not in ALARMS, event.message)

    def _on_event(self, event: Any) -> None:
        if isinstance(event, OrphanFillEvent | OrphanOrderEvent):
            self.check("L1", False, f"{type(event).__name__}: {event[1]}")
            return
        if not isinstance(event, (*CREATED, OrderFilledEvent, *ENDS)):
            return
        order_id, name = event.order_id, type(event).__name__
        entry = self.entries.get(order_id)
        self.check("L4", entry is not None and entry.end is None, f"{order_id}: {name} after its end, or unasked for")
        if entry is None:
            return
        if isinstance(event, BuyOrderCreatedEvent | SellOrderCreatedEvent):
            self.check("L9", not (entry.created or entry.fills), f"{order_id}: Created not once and first")
            entry.created = True
        elif isinstance(event, OrderFilledEvent):
            self._on_filled(order_id, entry, event)
        else:
            entry.end = ENDS[type(event)]
            del self.open[order_id]
            self.counts[entry.end.name.lower()] += 1
            is_in_order = entry.created or entry.end is OrderState.FAILED
            self.check("L9", is_in_order, f"{order_id}: {entry.end.name} before Created")
            told = sum((fill[2] for fill in entry.fills.values()), Decimal(0))
            executed = entry.order.executed_amount_base
            self.check("L2", told == executed, f"{order_id} ended with {executed} executed, told {told}")

    def _on_filled(self, order_id: str, entry: Entry, event: OrderFilledEvent) -> None:
        self.counts["fills"] += 1
        self.check("L9", entry.created, f"{order_id}: filled before Created")
        trade_id = event.exchange_trade_id
        self.check("L2", trade_id not in entry.fills, f"{order_id}: fill {trade_id} told twice")
        fee = sum((fee.amount for fee in event.trade_fee.flat_fees), Decimal(0))
        entry.fills[trade_id] = (event.trade_type, event.price, event.amount, fee)

    # -- what the venue says -------------------------------------------------------------------------------------

    async def reconcile(self) -> None:
        """Compares every order that has ended since the last time, and forgets those that are alike."""
        ended = {order_id for order_id, entry in self.entries.items() if entry.end is not None}
        rows: dict[str, VenueOrder] = {}
        for row in await self._hand.orders_from(self._order_mark):
            if row.exchange_order_id in self._compared:
                continue
            self.check("L7", row.client_order_id not in rows, f"{row.client_order_id} was accepted twice")
            rows[row.client_order_id] = row
            self._order_mark = max(self._order_mark, int(row.exchange_order_id) + 1)
        for fill in await self._hand.fills_from(self._trade_mark):
            self._fills[fill.exchange_order_id][fill.trade_id] = fill
            self._trade_mark = int(fill.trade_id) + 1
        for row in rows.values():
            self._compare(row, row.client_order_id in ended)
        now_ns = SYSTEM_CLOCK.monotonic_ns()
        for order_id in [order_id for order_id in self.entries if order_id not in rows]:
            self._compare_absent(order_id, order_id in ended, now_ns)
        waiting = [int(row.exchange_order_id) for row in rows.values() if row.exchange_order_id not in self._compared]
        self._order_mark = min([self._order_mark, *waiting])
        self._compared = {order_id for order_id in self._compared if int(order_id) >= self._order_mark}

    def _compare(self, row: VenueOrder, ended_here: bool) -> None:
        order_id = row.client_order_id
        entry = self.entries.get(order_id)
        self.check("L7", entry is not None, f"the venue has {order_id}, which failed here or which nobody asked for")
        if entry is None:
            self._compared.add(row.exchange_order_id)
            return
        if not row.state.is_terminal:
            self.check("L8", not ended_here, f"{order_id}: {entry.end} here, {row.state.name} at the venue")
        elif ended_here:
            self._compare_ended(row, entry)
            self._compared.add(row.exchange_order_id)
            del self.entries[order_id]
            self._fills.pop(row.exchange_order_id, None)
        else:
            now_ns = SYSTEM_CLOCK.monotonic_ns()
            entry.late_since_ns = entry.late_since_ns or now_ns
            state = entry.order.current_state.name
            is_late = now_ns - entry.late_since_ns > SETTLE_S * 1e9
            self.check("L6", not is_late, f"{order_id}: {row.state.name} at the venue, {state} here for {SETTLE_S:g} s")

    def _compare_ended(self, row: VenueOrder, entry: Entry) -> None:
        order, order_id = entry.order, row.client_order_id
        here = (entry.end, order.current_state, order.executed_amount_base, order.amount, order.exchange_order_id)
        there = (row.state, row.state, row.executed, row.amount, row.exchange_order_id)
        self.check("L1", here == there, f"{order_id} is {here} here, {there} at the venue")
        real = self._fills.get(row.exchange_order_id, {})
        fills = {fill.trade_id: (fill.side, fill.price, fill.amount, fill.fee) for fill in real.values()}
        self.check("L2", entry.fills == fills, f"{order_id} was told the fills {entry.fills}, really {fills}")
        same_keys = order.order_fills.keys() == fills.keys()
        self.check("L2", same_keys, f"{order_id} has the fills {sorted(order.order_fills)}, really {sorted(fills)}")

    def _compare_absent(self, order_id: str, ended_here: bool, now_ns: int) -> None:
        entry = self.entries[order_id]
        if ended_here:
            failed = entry.end is OrderState.FAILED
            self.check("L8", failed, f"{order_id}: {entry.end} here, and the venue never had it")
            del self.entries[order_id]
        elif entry.end is None:
            is_late = now_ns - entry.made_ns > SETTLE_S * 1e9
            state = entry.order.current_state.name
            self.check("L6", not is_late, f"{order_id}: {state} here for {SETTLE_S:g} s, and the venue never had it")

    async def settle_account(self) -> None:
        """Position and balance become the venue's while nothing is placed."""
        connector, hand = self._connector, self._hand
        deadline_ns = SYSTEM_CLOCK.monotonic_ns() + int(ACCOUNT_SETTLE_S * 1e9)
        while True:
            there = (await hand.position(), await hand.balance())
            here = (connector.get_position_amount(self._pair), connector.get_balance(self._asset))
            is_over = SYSTEM_CLOCK.monotonic_ns() >= deadline_ns
            if here == there or is_over:
                self.check("A1", here == there, f"(position, balance) is {here} here, {there} at the venue")
                return
            await asyncio.sleep(0.1)

    def end(self) -> None:
        """After the last `reconcile`: nothing may be left."""
        for order_id, entry in self.entries.items():
            self.check("L6", False, f"{order_id} is {entry.order.current_state.name} at the end")
