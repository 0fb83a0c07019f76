"""Checking a session: the order of events as they come, and at the end every fill, order and figure with the venue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from qtxconn.core.connectors import PerpetualDerivativeBase
from qtxconn.core.events import (
    BuyOrderCompletedEvent,
    BuyOrderCreatedEvent,
    MarketOrderFailureEvent,
    OrderCancelledEvent,
    OrderExpiredEvent,
    OrderFilledEvent,
    SellOrderCompletedEvent,
    SellOrderCreatedEvent,
)
from qtxconn.core.types import MarketEvent, OrderState, TradeType
from qtxconn.perf.latency import LatencyRecorder

_CREATED = (BuyOrderCreatedEvent, SellOrderCreatedEvent)
_COMPLETED = (BuyOrderCompletedEvent, SellOrderCompletedEvent)
_TERMINAL = (*_COMPLETED, OrderCancelledEvent, OrderExpiredEvent, MarketOrderFailureEvent)
_NOT_OF_ORDERS = (MarketEvent.FundingInfo, MarketEvent.FundingPaymentCompleted, MarketEvent.TradeUpdate)


@dataclass(slots=True)
class _Seen:
    created: bool = False
    terminal: bool = False
    filled_base: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class VenueAccount:
    """The venue's own record of the account, read over its REST API. Amounts in base or quote asset."""

    position: Decimal
    wallet_balance: Decimal
    open_order_ids: list[str]
    orders: dict[str, dict[str, Any]]  # by client order id, as GET /fapi/v1/allOrders lists them
    trades: dict[str, dict[str, Any]]  # by trade id, as GET /fapi/v1/userTrades lists them


@dataclass(slots=True)
class Audit:
    """Listens to every event of a connector and collects what is not as it must be in `violations`."""

    connector: PerpetualDerivativeBase
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    fills: dict[str, OrderFilledEvent] = field(default_factory=dict)
    fill_to_event: LatencyRecorder = field(default_factory=lambda: LatencyRecorder("fill -> event"))
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def start(self) -> None:
        for tag in MarketEvent:
            if tag not in _NOT_OF_ORDERS:
                self.connector.add_listener(tag, self._on_event)

    def _on_event(self, event: Any) -> None:
        if isinstance(event, OrderFilledEvent):
            self.fill_to_event.record(self.connector.current_timestamp_ns() - self.connector.user_stream_received_ns)
        seen = self._seen.setdefault(event.order_id, _Seen())
        name = type(event).__name__
        if seen.terminal:
            self.violations.append(f"{event.order_id}: {name} after its terminal event")
        if isinstance(event, _CREATED):
            if seen.created:
                self.violations.append(f"{event.order_id}: created twice")
            seen.created = True
            self.counts["accepted"] += 1
        elif isinstance(event, OrderFilledEvent):
            if not seen.created:
                self.violations.append(f"{event.order_id}: filled before created")
            if event.exchange_trade_id in self.fills:
                self.violations.append(f"{event.order_id}: trade {event.exchange_trade_id} reported twice")
            self.fills[event.exchange_trade_id] = event
            seen.filled_base += event.amount
            self.counts["fills"] += 1
        elif isinstance(event, _TERMINAL):
            seen.terminal = True
            if not seen.created and not isinstance(event, MarketOrderFailureEvent):
                self.violations.append(f"{event.order_id}: {name} without created")
            if isinstance(event, _COMPLETED):
                self.counts["filled"] += 1
                if event.base_asset_amount != seen.filled_base:
                    self.violations.append(
                        f"{event.order_id}: completed with {event.base_asset_amount}, its fills are {seen.filled_base}"
                    )
            else:
                self.counts[
                    {"OrderCancelledEvent": "cancelled", "OrderExpiredEvent": "expired"}.get(name, "rejected")
                ] += 1

    def compare(self, trading_pair: str, venue: VenueAccount, balance_before: Decimal, asset: str) -> dict[str, Any]:
        """Holds what the client knows against the venue's record; differences become violations. -> the report's
        `account` part, amounts as decimal text."""
        tracker = self.connector._order_tracker
        if tracker.active_orders:
            self.violations.append(f"still open here: {', '.join(tracker.active_orders)}")
        if venue.open_order_ids:
            self.violations.append(f"still open at the venue: {', '.join(venue.open_order_ids)}")
        self._compare_orders(tracker.all_orders, venue)
        realised, fees = self._compare_fills(venue)

        position = self.connector.get_position_amount(trading_pair)
        if position != venue.position:
            self.violations.append(f"position {position} here, {venue.position} at the venue")
        pnl = realised - fees
        venue_pnl = venue.wallet_balance - balance_before
        if venue.position == 0 and pnl != venue_pnl:
            self.violations.append(f"PnL {pnl} from the fills, {venue_pnl} by the venue's wallet")
        return {
            "position": str(position),
            "venue_position": str(venue.position),
            "realised_pnl": str(pnl),
            "venue_pnl": str(venue_pnl),
            "fees": str(fees),
            "asset": asset,
            "fills": len(self.fills),
            "venue_fills": len(venue.trades),
        }

    def _compare_orders(self, orders: dict[str, Any], venue: VenueAccount) -> None:
        states = {
            "FILLED": OrderState.FILLED,
            "CANCELED": OrderState.CANCELED,
            "EXPIRED": OrderState.EXPIRED,
            "REJECTED": OrderState.FAILED,
        }
        for client_order_id, order in orders.items():
            known = venue.orders.get(client_order_id)
            if known is None:
                if order.current_state is not OrderState.FAILED:
                    self.violations.append(f"{client_order_id}: {order.current_state.name} here, unknown at the venue")
                continue
            if states.get(known["status"]) is not order.current_state:
                self.violations.append(
                    f"{client_order_id}: {order.current_state.name} here, {known['status']} at the venue"
                )
            if Decimal(known["executedQty"]) != order.executed_amount_base:
                self.violations.append(
                    f"{client_order_id}: executed {order.executed_amount_base}, {known['executedQty']} at the venue"
                )
        for client_order_id in venue.orders.keys() - orders.keys():
            self.violations.append(f"{client_order_id}: at the venue, unknown here")

    def _compare_fills(self, venue: VenueAccount) -> tuple[Decimal, Decimal]:
        cash = fees = Decimal(0)
        for trade_id, fill in self.fills.items():
            sign = 1 if fill.trade_type is TradeType.SELL else -1
            cash += sign * fill.price * fill.amount
            fees += sum((fee.amount for fee in fill.trade_fee.flat_fees), Decimal(0))
            known = venue.trades.get(trade_id)
            if known is None:
                self.violations.append(f"trade {trade_id}: booked here, unknown at the venue")
            elif (Decimal(known["price"]), Decimal(known["qty"]), known["side"]) != (
                fill.price,
                fill.amount,
                fill.trade_type.name,
            ):
                self.violations.append(f"trade {trade_id}: {fill.amount} @ {fill.price} here, {known} at the venue")
        for trade_id in venue.trades.keys() - self.fills.keys():
            self.violations.append(f"trade {trade_id}: at the venue, not booked here")
        return cash, fees
