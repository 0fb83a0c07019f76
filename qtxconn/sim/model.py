"""The vocabulary of the simulated venue: instruments, orders, executions, market events, reasons to refuse.

Free of any venue's dialect. Inside, a price is an int number of ticks and a quantity an int number of lots;
`Decimal` appears only at the facade (`venue.py`) and in money. Times are int nanoseconds or, where the name
says so, int milliseconds of the Unix epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from qtxconn.sim.account import Account

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Side(IntEnum):
    """Side of an order; the value is the sign of the position change of a fill."""

    BUY = 1
    SELL = -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class PositionSide(StrEnum):
    """The leg of a position. BOTH is the one leg of one-way mode; hedge mode has LONG and SHORT."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"


class MarginType(StrEnum):
    CROSS = "cross"
    ISOLATED = "isolated"


class SelfTradePrevention(StrEnum):
    """What happens when an aggressor would meet an order of its own account."""

    NONE = "NONE"
    """They trade."""
    EXPIRE_TAKER = "EXPIRE_TAKER"
    EXPIRE_MAKER = "EXPIRE_MAKER"
    EXPIRE_BOTH = "EXPIRE_BOTH"


class OrderType(StrEnum):
    LIMIT = "LIMIT"
    MARKET = "MARKET"


class TimeInForce(StrEnum):
    GTC = "GTC"
    """Rests until filled or cancelled."""
    IOC = "IOC"
    """Takes what is there; the remainder expires. MARKET orders carry it."""
    FOK = "FOK"
    """Fills completely at once or is refused (`FOK_NOT_FILLABLE`)."""
    GTX = "GTX"
    """Post-only: refused (`POST_ONLY_WOULD_CROSS`) when it would take."""
    GTD = "GTD"
    """Rests until filled, cancelled or expired at its date."""


class OrderStatus(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


OPEN_STATUSES = frozenset({OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED})


class ExecutionType(StrEnum):
    """What an `on_order` event reports."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    AMENDMENT = "AMENDMENT"


class ExpireReason(StrEnum):
    """Why the venue itself ended an order."""

    NONE = ""
    UNFILLED = "UNFILLED"
    """The remainder of an IOC or MARKET order."""
    SELF_TRADE = "SELF_TRADE"
    """The order would have met an order of the same account."""
    REDUCE_ONLY = "REDUCE_ONLY"
    """The position shrank below what the resting reduce-only order would still close."""
    GOOD_TILL_DATE = "GOOD_TILL_DATE"


class RejectReason(StrEnum):
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    PRICE_MISSING = "PRICE_MISSING"
    PRICE_TICK = "PRICE_TICK"
    PRICE_NOT_POSITIVE = "PRICE_NOT_POSITIVE"
    PERCENT_PRICE = "PERCENT_PRICE"
    QTY_STEP = "QTY_STEP"
    QTY_TOO_SMALL = "QTY_TOO_SMALL"
    QTY_TOO_LARGE = "QTY_TOO_LARGE"
    NOTIONAL_TOO_SMALL = "NOTIONAL_TOO_SMALL"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
    POST_ONLY_WOULD_CROSS = "POST_ONLY_WOULD_CROSS"
    FOK_NOT_FILLABLE = "FOK_NOT_FILLABLE"
    REDUCE_ONLY = "REDUCE_ONLY"
    NO_LIQUIDITY = "NO_LIQUIDITY"
    """A MARKET order met an empty opposite side."""
    DUPLICATE_CLIENT_ID = "DUPLICATE_CLIENT_ID"
    CLIENT_ID_INVALID = "CLIENT_ID_INVALID"
    TOO_MANY_ORDERS = "TOO_MANY_ORDERS"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    """Cancel or amend: no open order of that id (it may be finished)."""
    NO_SUCH_ORDER = "NO_SUCH_ORDER"
    """Query: the venue has no such order, open or in its history."""
    AMEND_NO_CHANGE = "AMEND_NO_CHANGE"
    INVALID_ORDER = "INVALID_ORDER"
    """Contradictory arguments, for example MARKET with a price."""
    LEVERAGE_RANGE = "LEVERAGE_RANGE"
    POSITION_TOO_LARGE = "POSITION_TOO_LARGE"
    """The position would exceed what the leverage bracket allows."""
    LEVERAGE_TOO_HIGH = "LEVERAGE_TOO_HIGH"
    """The present position exceeds what the new leverage would allow."""
    POSITION_SIDE = "POSITION_SIDE"
    """The leg named does not exist in the account's position mode."""
    REDUCE_ONLY_IN_HEDGE_MODE = "REDUCE_ONLY_IN_HEDGE_MODE"
    NO_CHANGE = "NO_CHANGE"
    """A setting is what was asked for already."""
    OPEN_ORDERS_EXIST = "OPEN_ORDERS_EXIST"
    OPEN_POSITION_EXISTS = "OPEN_POSITION_EXISTS"
    NOT_ISOLATED = "NOT_ISOLATED"
    ISOLATED_MARGIN_TOO_SMALL = "ISOLATED_MARGIN_TOO_SMALL"
    GOOD_TILL_DATE = "GOOD_TILL_DATE"
    WOULD_TRIGGER = "WOULD_TRIGGER"
    """The condition of a conditional order is met already."""
    CALLBACK_RATE = "CALLBACK_RATE"
    CLOSE_POSITION_EXISTS = "CLOSE_POSITION_EXISTS"


class Reject(Exception):
    """The venue refuses a request. Nothing has changed. `reason` is for the dialect to translate."""

    def __init__(self, reason: RejectReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Bracket:
    """One step of the position limits: notional in quote from `floor` (not included) to `cap`."""

    floor: Decimal
    cap: Decimal
    leverage: int
    """The highest that a position of this size may have."""
    maintenance_rate: Decimal
    deduction: Decimal
    """Maintenance margin = notional * rate - deduction: what the lower rates of the lower steps save."""


def make_brackets(*steps: tuple[int, int, str]) -> tuple[Bracket, ...]:
    """Brackets of (cap in quote, highest leverage, maintenance rate) steps, ascending."""
    brackets: list[Bracket] = []
    floor = rate_before = deduction = Decimal(0)
    for cap, leverage, rate_text in steps:
        rate = Decimal(rate_text)
        deduction += floor * (rate - rate_before)
        brackets.append(Bracket(floor, Decimal(cap), leverage, rate, deduction))
        floor, rate_before = Decimal(cap), rate
    return tuple(brackets)


MAJOR_BRACKETS = make_brackets(
    (300_000, 125, "0.004"),
    (800_000, 100, "0.005"),
    (3_000_000, 75, "0.0065"),
    (12_000_000, 50, "0.01"),
    (70_000_000, 25, "0.02"),
    (100_000_000, 20, "0.025"),
    (230_000_000, 10, "0.05"),
    (480_000_000, 5, "0.1"),
    (600_000_000, 4, "0.125"),
    (800_000_000, 3, "0.15"),
    (1_200_000_000, 2, "0.25"),
    (1_800_000_000, 1, "0.5"),
)
"""Steps of the size that large venues have for their most traded contracts."""


@dataclass(frozen=True)
class Instrument:
    """A linear perpetual. Sizes in lots, `min_notional` in quote, fees and `percent_price` as fractions."""

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    lot_size: Decimal
    min_qty: int = 1
    max_qty: int = 1_000_000
    market_max_qty: int = 120_000
    min_notional: Decimal = Decimal("100")
    max_open_orders: int = 200
    percent_price: Decimal = Decimal("0.05")
    """A limit price may be this fraction worse than mark (buy above, sell below).

    Also the reach of MARKET.
    """
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    liquidation_fee: Decimal = Decimal("0.0125")
    brackets: tuple[Bracket, ...] = MAJOR_BRACKETS

    @cached_property
    def price_decimals(self) -> int:
        return decimals_of(self.tick_size)

    @cached_property
    def quantity_decimals(self) -> int:
        return decimals_of(self.lot_size)

    @cached_property
    def tick_value(self) -> Decimal:
        """Quote value of one tick times one lot."""
        return self.tick_size * self.lot_size

    def price_to_ticks(self, price: Decimal) -> int:
        """Exact ticks of `price` (quote). Raises Reject PRICE_NOT_POSITIVE or PRICE_TICK."""
        if not price.is_finite() or price <= 0:
            raise Reject(RejectReason.PRICE_NOT_POSITIVE, str(price))
        return exact_multiple(price, self.tick_size, RejectReason.PRICE_TICK)

    def quantity_to_lots(self, quantity: Decimal) -> int:
        """Exact lots of `quantity` (base). Raises Reject QTY_TOO_SMALL (not above 0) or QTY_STEP."""
        if not quantity.is_finite() or quantity <= 0:
            raise Reject(RejectReason.QTY_TOO_SMALL, str(quantity))
        return exact_multiple(quantity, self.lot_size, RejectReason.QTY_STEP)

    def ticks_to_price(self, ticks: int) -> Decimal:
        """Price in quote."""
        return self.tick_size * ticks

    def lots_to_quantity(self, lots: int) -> Decimal:
        """Quantity in base."""
        return self.lot_size * lots

    def ticks_to_text(self, ticks: int) -> str:
        """The price as decimal text with the tick size's decimals."""
        return f"{self.tick_size * ticks:f}"

    def lots_to_text(self, lots: int) -> str:
        """The quantity as decimal text with the lot size's decimals."""
        return f"{self.lot_size * lots:f}"

    def value(self, ticks_lots: int) -> Decimal:
        """Quote value of an int amount of ticks times lots."""
        return self.tick_value * ticks_lots

    def bracket(self, notional: Decimal) -> Bracket:
        """The step that `notional` (quote) falls into; the last one for anything beyond."""
        return next((bracket for bracket in self.brackets if notional <= bracket.cap), self.brackets[-1])

    def maintenance_margin(self, notional: Decimal) -> Decimal:
        """Quote that a position of `notional` (quote, positive) must keep."""
        bracket = self.bracket(notional)
        return notional * bracket.maintenance_rate - bracket.deduction

    def max_notional(self, leverage: int) -> Decimal:
        """The largest position (quote) that `leverage` allows."""
        return next(bracket.cap for bracket in reversed(self.brackets) if bracket.leverage >= leverage)


def decimals_of(step: Decimal) -> int:
    """Number of decimals that `step` is written with."""
    exponent = step.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def exact_multiple(value: Decimal, step: Decimal, reason: RejectReason) -> int:
    """`value / step` as an int; raises Reject(reason) unless it divides exactly."""
    if value.adjusted() - step.adjusted() > 18:  # far beyond any book, and beyond Decimal's working precision
        raise Reject(reason, f"{value} is out of range")
    steps = int(value / step)
    if steps * step != value:
        raise Reject(reason, f"{value} is not a multiple of {step}")
    return steps


@dataclass(slots=True, eq=False)
class SimOrder:
    """An order at the venue; one object for its whole life. `account` is None for background orders."""

    order_id: int
    account: Account | None
    client_order_id: str
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    price: int
    """Limit in ticks; 0 for MARKET."""
    quantity: int
    """Lots, after amendments."""
    reduce_only: bool = False
    position_side: PositionSide = PositionSide.BOTH
    self_trade: SelfTradePrevention = SelfTradePrevention.EXPIRE_TAKER
    good_till_ms: int = 0
    """When a GTD order expires; 0 otherwise."""
    price_match: str = ""
    """The rule that the price was taken from, in the dialect's word; empty when the client named a price."""
    close_position: bool = False
    """Made by a conditional order to close whatever there is."""
    filled: int = 0
    """Lots."""
    filled_quote: int = 0
    """Sum of price times quantity over the fills, in ticks times lots."""
    status: OrderStatus = OrderStatus.NEW
    expire_reason: ExpireReason = ExpireReason.NONE
    created_ms: int = 0
    updated_ms: int = 0
    ahead: int = 0
    """Ambient lots in front of this order at its level (see `book.py`)."""
    joined_ms: int = 0
    """Transaction time of the newest recorded word when this order came to its place.

    0 where nothing is replayed.
    """

    @property
    def remaining(self) -> int:
        """Lots still to be filled."""
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_STATUSES

    @property
    def only_reduces(self) -> bool:
        """Whether it may do nothing but close: reduce-only, or against its leg in hedge mode."""
        return self.reduce_only or closes_leg(self.position_side, self.side)

    def add_fill(self, price: int, quantity: int, time_ms: int) -> None:
        """Book `quantity` lots at `price` ticks."""
        self.filled += quantity
        self.filled_quote += price * quantity
        self.status = OrderStatus.FILLED if self.filled == self.quantity else OrderStatus.PARTIALLY_FILLED
        self.updated_ms = time_ms

    @property
    def average_price_ticks(self) -> Decimal:
        """Average fill price in ticks (0 while unfilled); multiply by the tick size for quote."""
        return Decimal(self.filled_quote) / self.filled if self.filled else Decimal(0)


def closes_leg(position_side: PositionSide, side: Side) -> bool:
    """Whether an order on `side` can only close in that leg (hedge mode; never for BOTH)."""
    return position_side is (PositionSide.LONG if side is Side.SELL else PositionSide.SHORT)


@dataclass(frozen=True, slots=True)
class Amendment:
    """One change of a resting order. Prices in ticks, quantities in lots."""

    amendment_id: int
    order: SimOrder
    number: int
    """1 for the first change of the order."""
    price: tuple[int, int]
    """Before, after."""
    quantity: tuple[int, int]
    time_ms: int


class IncomeType(StrEnum):
    TRANSFER = "TRANSFER"
    REALIZED_PNL = "REALIZED_PNL"
    COMMISSION = "COMMISSION"
    FUNDING_FEE = "FUNDING_FEE"
    INSURANCE_CLEAR = "INSURANCE_CLEAR"


@dataclass(frozen=True, slots=True)
class Income:
    """One booking of the wallet. `amount` in `asset`, negative when the account pays."""

    income_id: int
    symbol: str
    """Empty for a transfer."""
    type: IncomeType
    amount: Decimal
    asset: str
    time_ms: int
    trade_id: int = 0
    """0 where no trade caused it."""


@dataclass(frozen=True, slots=True)
class FundingPoint:
    """Funding as it was settled."""

    symbol: str
    rate: Decimal
    mark_price: Decimal
    time_ms: int


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill of one order."""

    order: SimOrder
    trade_id: int
    price: int
    """Ticks."""
    quantity: int
    """Lots."""
    is_maker: bool
    fee: Decimal
    """In `fee_asset`; positive is paid by the account."""
    fee_asset: str
    realized_pnl: Decimal
    """Quote, before fees."""
    time_ms: int
    cumulative: int = 0
    """Lots of the order filled up to and including this fill."""


Levels = list[tuple[int, int]]
"""(price in ticks, quantity in lots), best first unless said otherwise."""


@dataclass(frozen=True, slots=True)
class DepthUpdate:
    """Changed levels with their new absolute quantity.

    0 removes. Ids chain: `prev_id` == previous `last_id`.
    """

    first_id: int
    last_id: int
    prev_id: int
    bids: Levels
    """Ascending by price."""
    asks: Levels
    event_ms: int
    transaction_ms: int


@dataclass(frozen=True, slots=True)
class BookTicker:
    """Best prices (ticks) and the quantity (lots) there; a side that is empty has price 0 and quantity 0."""

    update_id: int
    bid: int
    bid_qty: int
    ask: int
    ask_qty: int
    event_ms: int
    transaction_ms: int


@dataclass(frozen=True, slots=True)
class MarketTrade:
    trade_id: int
    price: int
    """Ticks."""
    quantity: int
    """Lots."""
    buyer_is_maker: bool
    time_ms: int


class VenueClock(Protocol):
    """The venue's time. A driver on real time wraps the system clock; a simulation passes `SimClock`."""

    def now_ns(self) -> int: ...
    def now_ms(self) -> int: ...


class Market(Protocol):
    """A source of background liquidity for one symbol, driven from outside; all times are the clock's ns."""

    finished: bool

    def next_event_ns(self) -> int | None: ...
    def step(self, until_ns: int) -> int: ...


@dataclass(slots=True)
class SimClock:
    """A clock that stands still until it is set."""

    ns: int = field(default=1_700_000_000 * NS_PER_S)

    def now_ns(self) -> int:
        return self.ns

    def now_ms(self) -> int:
        return self.ns // NS_PER_MS

    def advance_to(self, ns: int) -> None:
        """Set the time; it never goes back."""
        self.ns = max(self.ns, ns)


def run_market(market: Market, clock: SimClock, until_ns: int) -> int:
    """Step `market` event by event up to `until_ns`, each event at its own time; returns the event count."""
    events = 0
    while (due := market.next_event_ns()) is not None and due <= until_ns:
        clock.advance_to(due)
        events += market.step(due)
    clock.advance_to(until_ns)
    return events
