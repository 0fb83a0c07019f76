"""Event payloads, and the listener interfaces that receive them. Payload fields are Hummingbot's, in its order."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from qtxconn.core.types import (
    MarketEvent,
    OrderType,
    OrderUpdate,
    PositionMode,
    PositionSide,
    TradeFeeBase,
    TradeType,
    TradeUpdate,
)

# Timestamps of events are local wall time in seconds; creation_timestamp likewise.


@dataclass(slots=True)
class _OrderCreatedEvent:
    timestamp: float
    type: OrderType
    trading_pair: str
    amount: Decimal
    price: Decimal | None
    order_id: str
    creation_timestamp: float
    exchange_order_id: str | None = None
    leverage: int = 1
    position: str = "NIL"


class BuyOrderCreatedEvent(_OrderCreatedEvent):
    """The venue has accepted a buy order."""

    __slots__ = ()


class SellOrderCreatedEvent(_OrderCreatedEvent):
    """The venue has accepted a sell order."""

    __slots__ = ()


class OrderFilledEvent(NamedTuple):
    """One execution of an order: `price` in quote per base, `amount` in base."""

    timestamp: float
    order_id: str
    trading_pair: str
    trade_type: TradeType
    order_type: OrderType
    price: Decimal
    amount: Decimal
    trade_fee: TradeFeeBase
    exchange_trade_id: str = ""
    exchange_order_id: str = ""
    leverage: int = 1
    position: str = "NIL"


@dataclass(slots=True)
class _OrderCompletedEvent:
    timestamp: float
    order_id: str
    base_asset: str
    quote_asset: str
    base_asset_amount: Decimal
    quote_asset_amount: Decimal
    order_type: OrderType
    exchange_order_id: str | None = None


class BuyOrderCompletedEvent(_OrderCompletedEvent):
    """A buy order is fully executed; the amounts are the exact sums of its fills."""

    __slots__ = ()


class SellOrderCompletedEvent(_OrderCompletedEvent):
    """A sell order is fully executed; the amounts are the exact sums of its fills."""

    __slots__ = ()


@dataclass(slots=True)
class OrderCancelledEvent:
    timestamp: float
    order_id: str
    exchange_order_id: str | None = None


@dataclass(slots=True)
class OrderExpiredEvent:
    """The venue ended the order by its own rules: an IOC remainder, a good-till date, self-trade prevention."""

    timestamp: float
    order_id: str
    exchange_order_id: str | None = None


class OrderAmendedEvent(NamedTuple):
    """The venue has changed an open order: prices in quote per base (None without one), amounts in base."""

    timestamp: float
    order_id: str
    trading_pair: str
    old_price: Decimal | None
    new_price: Decimal | None
    old_amount: Decimal
    new_amount: Decimal
    exchange_order_id: str | None = None


class MarketOrderFailureEvent(NamedTuple):
    """The order never lived: refused by us before sending, or by the venue's word."""

    timestamp: float
    order_id: str
    order_type: OrderType
    error_message: str | None = None
    error_type: str | None = None


class OrphanFillEvent(NamedTuple):
    """An execution on the account of an order that is not tracked: placed elsewhere, or ended too long ago.

    It is delivered once for each trade, after the time in which the order could have become known.
    """

    timestamp: float
    trade_update: TradeUpdate


class OrphanOrderEvent(NamedTuple):
    """The venue shows a live order that is not tracked; `adopt_external_order` takes it in. May be repeated."""

    timestamp: float
    order_update: OrderUpdate


class FundingPaymentCompletedEvent(NamedTuple):
    """A funding payment was booked on the account; told exactly once. `amount` in the margin asset is negative when
    paid, `funding_rate` the settled one (None where the venue did not say). `timestamp` is the venue's, in seconds."""

    timestamp: float
    market: str
    trading_pair: str
    amount: Decimal
    funding_rate: Decimal | None


class MarginCallEvent(NamedTuple):
    """The venue warns that a position is near its liquidation; it may do so again and again. `amount` in base asset,
    negative when short; `mark_price` in quote per base; the others in the margin asset."""

    timestamp: float
    trading_pair: str
    position_side: PositionSide
    amount: Decimal
    mark_price: Decimal
    unrealized_pnl: Decimal
    maintenance_margin: Decimal


class PositionModeChangeEvent(NamedTuple):
    """The outcome of set_position_mode(), of all trading pairs; `message` says why where it failed."""

    timestamp: float
    position_mode: PositionMode
    message: str | None = None


class ErrorEvent(NamedTuple):
    """Something a strategy should know that is not an order's ordinary life.

    `kind` is one of `overfill`, `late_fill`, `bad_amount`, `amend` (one that was ignored), `fee`, `foreign` (its ids
    are another order's), `fill_replaced`, `life_after_end`, `order_vanished`, `cancel_failed`, `amend_failed`,
    `amend_unanswered`, `dead_mans_switch`, `open_orders`, `outcome_unknown`, `task`, `user_stream`, `market_data`.
    """

    timestamp: float
    kind: str
    message: str
    order_id: str | None = None
    error: BaseException | None = None


class EventListener:
    """Base of listeners added with `add_listener(event_tag, listener)`: subclass and define `__call__`."""

    def __call__(self, event: object) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, event)")


class OrderEventListener:
    """Receives every order event of a connector. Override what you need; calls come from the event loop's thread."""

    def on_order_created(self, event: BuyOrderCreatedEvent | SellOrderCreatedEvent) -> None: ...

    def on_order_completed(self, event: BuyOrderCompletedEvent | SellOrderCompletedEvent) -> None: ...

    def on_order_cancelled(self, event: OrderCancelledEvent) -> None: ...

    def on_order_expired(self, event: OrderExpiredEvent) -> None: ...

    def on_order_amended(self, event: OrderAmendedEvent) -> None: ...

    def on_order_failed(self, event: MarketOrderFailureEvent) -> None: ...

    def on_orphan_order(self, event: OrphanOrderEvent) -> None: ...


class TradeEventListener:
    """Receives every execution on the account."""

    def on_order_filled(self, event: OrderFilledEvent) -> None: ...

    def on_orphan_fill(self, event: OrphanFillEvent) -> None: ...


class ErrorEventListener:
    """Receives alarms."""

    def on_error(self, event: ErrorEvent) -> None: ...


# Where each event goes: its tag, and the method of the typed listener.
EVENT_ROUTES: dict[type, tuple[MarketEvent, str]] = {
    BuyOrderCreatedEvent: (MarketEvent.BuyOrderCreated, "on_order_created"),
    SellOrderCreatedEvent: (MarketEvent.SellOrderCreated, "on_order_created"),
    OrderFilledEvent: (MarketEvent.OrderFilled, "on_order_filled"),
    BuyOrderCompletedEvent: (MarketEvent.BuyOrderCompleted, "on_order_completed"),
    SellOrderCompletedEvent: (MarketEvent.SellOrderCompleted, "on_order_completed"),
    OrderCancelledEvent: (MarketEvent.OrderCancelled, "on_order_cancelled"),
    OrderExpiredEvent: (MarketEvent.OrderExpired, "on_order_expired"),
    OrderAmendedEvent: (MarketEvent.OrderAmended, "on_order_amended"),
    MarketOrderFailureEvent: (MarketEvent.OrderFailure, "on_order_failed"),
    OrphanFillEvent: (MarketEvent.OrphanFill, "on_orphan_fill"),
    OrphanOrderEvent: (MarketEvent.OrphanOrder, "on_orphan_order"),
}
