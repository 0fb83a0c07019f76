"""Enumerations and plain values of the public surface, with Hummingbot's names and values where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple


class OrderType(Enum):
    """Type of an order. 1 to 3 are Hummingbot's values. The others are conditional: they wait at the venue until a
    trigger price is reached, and then become a market or a limit order."""

    MARKET = 1
    LIMIT = 2
    LIMIT_MAKER = 3
    STOP_MARKET = 20
    STOP_LIMIT = 21
    TAKE_PROFIT_MARKET = 22
    TAKE_PROFIT_LIMIT = 23
    TRAILING_STOP_MARKET = 24

    def is_limit_type(self) -> bool:
        return self._value_ in (2, 3, 21, 23)

    def is_conditional(self) -> bool:
        return self._value_ >= 20

    def triggers_on_rise(self, trade_type: TradeType) -> bool:
        """Whether the trigger is reached from below: by a buying stop, a selling take-profit, and the price from which
        a selling trailing stop follows."""
        return (self in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)) is (trade_type is TradeType.BUY)


class TradeType(Enum):
    BUY = 1
    SELL = 2

    @property
    def opposite(self) -> TradeType:
        return TradeType.SELL if self is TradeType.BUY else TradeType.BUY


class PositionAction(Enum):
    OPEN = "OPEN"
    CLOSE = "CLOSE"
    NIL = "NIL"


class PositionSide(Enum):
    LONG = "LONG"
    SHORT = "SHORT"
    BOTH = "BOTH"


class PositionMode(Enum):
    HEDGE = "HEDGE"
    ONEWAY = "ONEWAY"


class MarginType(Enum):
    CROSS = "CROSS"
    ISOLATED = "ISOLATED"


class PriceType(Enum):
    MidPrice = 1
    BestBid = 2
    BestAsk = 3
    LastTrade = 4
    LastOwnTrade = 5
    InventoryCost = 6
    Custom = 7


class ConnectorType(Enum):
    SPOT = "SPOT"
    DERIVATIVE_PERPETUAL = "DERIVATIVE_PERPETUAL"


class OrderState(Enum):
    """State of an order. 0 to 6 are Hummingbot's values; the legal moves are in include/qtxconn/in_flight_order.hpp."""

    PENDING_CREATE = 0
    OPEN = 1
    PENDING_CANCEL = 2
    CANCELED = 3
    PARTIALLY_FILLED = 4
    FILLED = 5
    FAILED = 6
    PENDING_SUBMIT = 20
    PENDING_UPDATE = 21
    UNKNOWN = 22
    EXPIRED = 23

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({OrderState.CANCELED, OrderState.FILLED, OrderState.FAILED, OrderState.EXPIRED})


class MarketEvent(Enum):
    BuyOrderCompleted = 102
    SellOrderCompleted = 103
    OrderCancelled = 106
    OrderFilled = 107
    OrderExpired = 108
    OrderUpdate = 109
    TradeUpdate = 110  # carries the TradeUpdate of a fill that took the place of provisional ones
    OrderFailure = 198
    BuyOrderCreated = 200
    SellOrderCreated = 201
    FundingPaymentCompleted = 202
    FundingInfo = 203
    OrphanFill = 501  # ours; Hummingbot has no such events
    OrphanOrder = 502
    OrderAmended = 503


class AccountEvent(Enum):
    PositionModeChangeSucceeded = 401
    PositionModeChangeFailed = 402
    BalanceEvent = 403
    PositionUpdate = 404
    MarginCall = 405
    LiquidationEvent = 406


class TokenAmount(NamedTuple):
    token: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class TradeFeeBase:
    """A fee as a fraction of the trade (`percent`, 0.0004 = 4 bp, charged in `percent_token`) and as flat amounts."""

    percent: Decimal = Decimal(0)
    percent_token: str | None = None
    flat_fees: list[TokenAmount] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "fee_type": _FEE_TYPES.get(type(self), ""),
            "percent": str(self.percent),
            "percent_token": self.percent_token,
            "flat_fees": [{"token": fee.token, "amount": str(fee.amount)} for fee in self.flat_fees],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> TradeFeeBase:
        kinds: dict[str, type[TradeFeeBase]] = {name: kind for kind, name in _FEE_TYPES.items()}
        return kinds.get(data["fee_type"], TradeFeeBase)(
            Decimal(data["percent"]),
            data["percent_token"],
            [TokenAmount(fee["token"], Decimal(fee["amount"])) for fee in data["flat_fees"]],
        )


class AddedToCostTradeFee(TradeFeeBase):
    """A fee paid on top of the traded amounts."""

    __slots__ = ()


class DeductedFromReturnsTradeFee(TradeFeeBase):
    """A fee taken out of what the trade returns."""

    __slots__ = ()


_FEE_TYPES: dict[type[TradeFeeBase], str] = {
    AddedToCostTradeFee: "AddedToCost",
    DeductedFromReturnsTradeFee: "DeductedFromReturns",
}


class OrderUpdate(NamedTuple):
    """What is newly known of an order's state. Either id may be missing, not both.

    `update_timestamp` is the venue's clock in seconds (kept to 1 us; 0 when the venue gave none). Keys of
    `misc_updates` that are understood: `error_message`, `error_type` (on FAILED), `cumulative_base`, the executed
    amount in base asset that the report counts (an end takes effect once the fills up to it are booked),
    `cumulative_quote`, the same in quote asset, and two pairs for what the order itself is: `price` (quote per base)
    and `amount` (base) as a report shows it, and on the venue's word on an amend only `amended_price` and
    `amended_amount`, what it has from now on.
    """

    trading_pair: str
    update_timestamp: float
    new_state: OrderState
    client_order_id: str | None = None
    exchange_order_id: str | None = None
    misc_updates: dict[str, Any] | None = None


# Before the trade id of a fill that was inferred from an executed amount, until the real ones come.
PROVISIONAL_TRADE_ID = "cum-"


class TradeUpdate(NamedTuple):
    """One execution. `fill_timestamp` is the venue's clock in seconds; amounts are magnitudes in base and quote."""

    trade_id: str
    client_order_id: str
    exchange_order_id: str
    trading_pair: str
    fill_timestamp: float
    fill_price: Decimal
    fill_base_amount: Decimal
    fill_quote_amount: Decimal
    fee: TradeFeeBase
    is_taker: bool = True

    def to_json(self) -> dict[str, Any]:
        return self._asdict() | {
            "fill_price": str(self.fill_price),
            "fill_base_amount": str(self.fill_base_amount),
            "fill_quote_amount": str(self.fill_quote_amount),
            "fee": self.fee.to_json(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TradeUpdate:
        numbers = {key: Decimal(data[key]) for key in ("fill_price", "fill_base_amount", "fill_quote_amount")}
        return cls(**(data | numbers | {"fee": TradeFeeBase.from_json(data["fee"])}))


class OrderRequest(NamedTuple):
    """One order of a batch: the arguments of buy() or sell(). `options` are the further keywords."""

    trading_pair: str
    trade_type: TradeType
    amount: Decimal | int | str
    order_type: OrderType = OrderType.LIMIT
    price: Decimal | int | str | None = None
    position_action: PositionAction = PositionAction.NIL
    options: Mapping[str, Any] = MappingProxyType({})


class OrderTransition(NamedTuple):
    """One move of an order's state; see InFlightOrder.transitions."""

    time_ns: int
    source: OrderState
    target: OrderState
    reason: str


class Position(NamedTuple):
    """A derivative position: `amount` in base asset, negative when short; `entry_price` in quote per base."""

    trading_pair: str
    position_side: PositionSide
    unrealized_pnl: Decimal
    entry_price: Decimal
    amount: Decimal
    leverage: Decimal


class FundingInfo(NamedTuple):
    """Prices in quote per base; `rate` per funding interval; `next_funding_utc_timestamp` in seconds."""

    trading_pair: str
    index_price: Decimal
    mark_price: Decimal
    next_funding_utc_timestamp: int
    rate: Decimal


class FeeRates(NamedTuple):
    """What an account pays on a pair, as fractions of the traded amount (0.0004 = 4 bp); negative: it is paid."""

    maker: Decimal
    taker: Decimal


class FundingPayment(NamedTuple):
    """A funding payment as the venue books it: `amount` in `asset`, negative when paid; `timestamp` in seconds."""

    payment_id: str
    trading_pair: str
    timestamp: float
    amount: Decimal
    asset: str
