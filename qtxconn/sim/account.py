"""Money of one account: wallet, positions, realised and unrealised profit, margin. Linear contracts.

One-way mode has one position a symbol (BOTH), hedge mode a LONG and a SHORT one. A symbol's margin is cross, out
of the whole wallet, or isolated: then the position has a part of the wallet to itself.

All sums are exact. A position keeps its cost basis as an integer of `COST_UNIT` quote (1e-8, or one tick
times one lot where that is finer); closing a part takes the proportional share of it, rounded down, and
leaves the rest in the position, so that nothing is lost over the life of a position and every realised
profit is a whole number of units.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_EVEN, Decimal

from qtxconn.sim.model import (
    Amendment,
    Execution,
    Income,
    IncomeType,
    Instrument,
    MarginType,
    PositionSide,
    Side,
    SimOrder,
)

COST_UNIT = Decimal("1e-8")
DEFAULT_LEVERAGE = 20
HISTORY_LIMIT = 50_000
"""Finished orders and executions kept per account; older ones are forgotten (a query then finds nothing)."""
RECORDS_LIMIT = 10_000
"""Amendments, margin transfers and liquidations kept per account."""


def fee_of(instrument: Instrument, price: int, quantity: int, is_maker: bool) -> Decimal:
    """Fee in quote for `quantity` lots at `price` ticks, rounded half-even to 1e-8."""
    rate = instrument.maker_fee if is_maker else instrument.taker_fee
    return (instrument.value(price * quantity) * rate).quantize(COST_UNIT, ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class MarginChange:
    """Quote moved into (positive) or out of an isolated position by hand."""

    symbol: str
    position_side: PositionSide
    amount: Decimal
    time_ms: int


@dataclass(slots=True, eq=False)
class SimPosition:
    """Position of one account in one instrument. `amount` is signed lots."""

    instrument: Instrument
    position_side: PositionSide = PositionSide.BOTH
    amount: int = 0
    isolated_wallet: Decimal = Decimal(0)
    """Quote set aside for this position; 0 in cross margin."""
    realized_pnl: Decimal = Decimal(0)
    """Quote, before fees, since the account was opened."""
    open_bids: int = 0
    """Ticks times lots of resting buy orders that may add to the position (not reduce-only)."""
    open_asks: int = 0
    updated_ms: int = 0
    _cost: int = 0
    """Signed cost basis in `_unit`."""
    _scale: int = field(init=False)
    _unit: Decimal = field(init=False)

    def __post_init__(self) -> None:
        scale = self.instrument.tick_value / COST_UNIT
        exact = scale == scale.to_integral_value()
        self._scale = int(scale) if exact else 1
        self._unit = COST_UNIT if exact else self.instrument.tick_value

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    @property
    def quantity(self) -> Decimal:
        """Signed amount in base."""
        return self.instrument.lots_to_quantity(self.amount)

    @property
    def entry_price(self) -> Decimal:
        """Average entry in quote, rounded half-even to 1e-8; 0 when flat."""
        if self.amount == 0:
            return Decimal(0)
        return (self._cost * self._unit / self.quantity).quantize(COST_UNIT, ROUND_HALF_EVEN)

    def apply_fill(self, side: Side, price: int, quantity: int) -> Decimal:
        """Book a fill of `quantity` lots at `price` ticks.

        Returns the realised profit in quote, before fees.
        """
        signed = int(side) * quantity
        if self.amount * signed >= 0:
            self.amount += signed
            self._cost += signed * price * self._scale
            return Decimal(0)
        closed = min(quantity, abs(self.amount))
        share = abs(self._cost) * closed // abs(self.amount)
        basis = share if self._cost > 0 else -share
        profit = (-int(side) * closed * price * self._scale - basis) * self._unit
        self._cost -= basis
        self.amount += int(side) * closed
        if opened := quantity - closed:
            self.amount = int(side) * opened
            self._cost = int(side) * opened * price * self._scale
        self.realized_pnl += profit
        return profit

    def unrealized_pnl(self, mark_price: Decimal) -> Decimal:
        """Quote, at `mark_price` (quote)."""
        return mark_price * self.quantity - self._cost * self._unit

    def margin_notional(self, mark_price: Decimal, extra_bids: int = 0, extra_asks: int = 0) -> Decimal:
        """Notional in quote that margin is held for.

        The larger of position with all bids, position with all asks.
        """
        held = mark_price * self.quantity
        bids = self.instrument.value(self.open_bids + extra_bids)
        asks = self.instrument.value(self.open_asks + extra_asks)
        return max(abs(held + bids), abs(held - asks))

    def notional(self, mark_price: Decimal) -> Decimal:
        """Quote, positive."""
        return abs(mark_price * self.quantity)

    def maintenance_margin(self, mark_price: Decimal) -> Decimal:
        """Quote below which the position is liquidated."""
        return self.instrument.maintenance_margin(self.notional(mark_price))

    def move_isolated(self, before: int, price: int, quantity: int, leverage: int) -> None:
        """After a fill of `quantity` lots at `price` ticks on a position that had `before` signed lots: what was
        opened takes its initial margin from the wallet, what was closed gives its share back."""
        closed = quantity - max(0, abs(self.amount) - abs(before)) if before * self.amount >= 0 else abs(before)
        opened = quantity - closed
        if closed and before:
            share = self.isolated_wallet * closed / abs(before)
            self.isolated_wallet -= share.quantize(COST_UNIT, ROUND_DOWN)
        if opened:
            margin = self.instrument.value(price * opened) / leverage
            self.isolated_wallet += margin.quantize(COST_UNIT, ROUND_CEILING)
        if self.amount == 0:
            self.isolated_wallet = Decimal(0)

    def can_reduce(self, side: Side, quantity: int) -> bool:
        """Whether an order of `quantity` lots on `side` would only close."""
        return self.amount * int(side) < 0 and quantity <= abs(self.amount)


class Account:
    """One trading account. The venue changes it; dialects read it. The repr holds no secret."""

    def __init__(self, api_key: str, api_secret: str, passphrase: str, balance: Decimal, quote: str) -> None:
        self.api_key = api_key
        self.api_secret = api_secret
        self.passphrase = passphrase
        self.public_key = b""
        """Raw Ed25519 key that requests are signed with; empty: the secret signs."""
        self.is_key_revoked = False
        """The owner has deleted the API key: requests with it, and sessions that it opened, are refused."""
        self.quote = quote
        self.wallet_balance = balance
        """Quote: deposits plus realised profit, minus fees, plus funding."""
        self.fees_paid = Decimal(0)
        self.funding_received = Decimal(0)
        self.hedge_mode = False
        self.positions: dict[tuple[str, PositionSide], SimPosition] = {}
        self.leverage: dict[str, int] = {}
        self.isolated: set[str] = set()
        """Symbols with isolated margin."""
        self.open_orders: dict[int, SimOrder] = {}
        self._open_by_client_id: dict[tuple[str, str], SimOrder] = {}
        self._finished: dict[int, SimOrder] = {}
        self._finished_by_client_id: dict[tuple[str, str], SimOrder] = {}
        self.executions: deque[Execution] = deque(maxlen=HISTORY_LIMIT)
        """Oldest first, like all of these."""
        self.income: deque[Income] = deque(maxlen=HISTORY_LIMIT)
        self.amendments: deque[Amendment] = deque(maxlen=RECORDS_LIMIT)
        self.margin_changes: deque[MarginChange] = deque(maxlen=RECORDS_LIMIT)
        self.forced_orders: deque[SimOrder] = deque(maxlen=RECORDS_LIMIT)
        """Liquidations and deleveragings."""

    def __repr__(self) -> str:
        return f"Account({self.api_key!r}, wallet_balance={self.wallet_balance})"

    # -- positions and margin ----------------------------------------------------------------------------

    def position(self, instrument: Instrument, position_side: PositionSide = PositionSide.BOTH) -> SimPosition:
        """The position in `instrument`, flat if there never was one."""
        key = (instrument.symbol, position_side)
        found = self.positions.get(key)
        if found is None:
            found = self.positions[key] = SimPosition(instrument, position_side)
        return found

    def legs(self, instrument: Instrument) -> list[SimPosition]:
        """The positions that the account's position mode has in `instrument`."""
        sides = (PositionSide.LONG, PositionSide.SHORT) if self.hedge_mode else (PositionSide.BOTH,)
        return [self.position(instrument, side) for side in sides]

    def margin_type(self, symbol: str) -> MarginType:
        return MarginType.ISOLATED if symbol in self.isolated else MarginType.CROSS

    def leverage_of(self, symbol: str) -> int:
        return self.leverage.get(symbol, DEFAULT_LEVERAGE)

    @property
    def cross_wallet(self) -> Decimal:
        """Quote: the wallet without what isolated positions have to themselves."""
        return self.wallet_balance - sum((p.isolated_wallet for p in self.positions.values()), Decimal(0))

    def cross_positions(self) -> list[SimPosition]:
        return [p for p in self.positions.values() if p.symbol not in self.isolated]

    def unrealized_pnl(self, marks: dict[str, Decimal]) -> Decimal:
        """Quote, over all positions; `marks` gives the mark price per symbol."""
        return sum((p.unrealized_pnl(marks[p.symbol]) for p in self.positions.values() if p.amount), Decimal(0))

    def cross_unrealized_pnl(self, marks: dict[str, Decimal]) -> Decimal:
        """Quote, over the positions in cross margin."""
        return sum((p.unrealized_pnl(marks[p.symbol]) for p in self.cross_positions() if p.amount), Decimal(0))

    def position_margin(self, position: SimPosition, mark: Decimal) -> Decimal:
        """Initial margin of a position, quote."""
        return position.notional(mark) / self.leverage_of(position.symbol)

    def order_margin(self, position: SimPosition, mark: Decimal) -> Decimal:
        """Quote held for the open orders of a position, beyond the position's own margin."""
        more = position.margin_notional(mark) - position.notional(mark)
        return more / self.leverage_of(position.symbol)

    def initial_margin(self, marks: dict[str, Decimal]) -> Decimal:
        """Quote held for positions and open orders."""
        return sum(
            (p.margin_notional(marks[p.symbol]) / self.leverage_of(p.symbol) for p in self.positions.values()),
            Decimal(0),
        )

    def maintenance_margin(self, marks: dict[str, Decimal]) -> Decimal:
        """Quote that the positions in cross margin must keep."""
        return sum((p.maintenance_margin(marks[p.symbol]) for p in self.cross_positions()), Decimal(0))

    def available_balance(self, marks: dict[str, Decimal]) -> Decimal:
        """Quote that new orders may use: cross wallet plus its unrealised profit, minus the margin of cross
        positions and of all open orders; not below 0."""
        free = self.cross_wallet + self.cross_unrealized_pnl(marks)
        for position in self.positions.values():
            mark = marks[position.symbol]
            free -= self.order_margin(position, mark)
            if position.symbol not in self.isolated:
                free -= self.position_margin(position, mark)
        return max(Decimal(0), free)

    def book_income(
        self, income_id: int, symbol: str, type: IncomeType, amount: Decimal, time_ms: int, trade_id: int = 0
    ) -> None:
        """Change the wallet by `amount` quote, on record."""
        self.wallet_balance += amount
        self.income.append(Income(income_id, symbol, type, amount, self.quote, time_ms, trade_id))

    # -- orders ------------------------------------------------------------------------------------------

    def add_open(self, order: SimOrder) -> None:
        self.open_orders[order.order_id] = order
        self._open_by_client_id[order.symbol, order.client_order_id] = order

    def move_to_history(self, order: SimOrder) -> None:
        """The order has reached its end."""
        key = (order.symbol, order.client_order_id)
        self.open_orders.pop(order.order_id, None)
        self._open_by_client_id.pop(key, None)
        self._finished[order.order_id] = order
        self._finished_by_client_id[key] = order
        if len(self._finished) > HISTORY_LIMIT:
            oldest = self._finished.pop(next(iter(self._finished)))
            old_key = (oldest.symbol, oldest.client_order_id)
            if self._finished_by_client_id.get(old_key) is oldest:
                del self._finished_by_client_id[old_key]

    def find_open(self, symbol: str, order_id: int | None, client_order_id: str | None) -> SimOrder | None:
        """An open order by id, or by client id where no id is given."""
        if order_id is not None:
            order = self.open_orders.get(order_id)
            return order if order is not None and order.symbol == symbol else None
        return self._open_by_client_id.get((symbol, client_order_id or ""))

    def find(self, symbol: str, order_id: int | None, client_order_id: str | None) -> SimOrder | None:
        """Like `find_open`, then in the history.

        Of several finished orders with one client id, the latest.
        """
        order = self.find_open(symbol, order_id, client_order_id)
        if order is not None:
            return order
        if order_id is not None:
            order = self._finished.get(order_id)
            return order if order is not None and order.symbol == symbol else None
        return self._finished_by_client_id.get((symbol, client_order_id or ""))

    def orders(self, symbol: str) -> Iterator[SimOrder]:
        """Every order remembered in `symbol`: finished ones in order of ending, then open ones."""
        yield from (o for o in self._finished.values() if o.symbol == symbol)
        yield from (o for o in self.open_orders.values() if o.symbol == symbol)
