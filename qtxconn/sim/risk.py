"""Liquidation of the simulated venue, in simple form: margin calls, forced closing, deleveraging, insurance.

An account's cross positions are judged together against the cross wallet, an isolated position against its own. At
or below the maintenance margin (`Instrument.brackets`, Binance's formula: notional * rate - deduction):

1. open orders of the symbols concerned are cancelled, so that they do not open anew what is being closed;
2. each position is closed in the book as far as the percent-price bound reaches;
3. what is left is deleveraged: counterparties with the most profit times leverage give up theirs at mark price;
4. what nobody holds against it the venue takes over at mark price;
5. the liquidation fee goes to the insurance fund, and a wallet below 0 is filled up from it.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING

from qtxconn.sim.account import COST_UNIT, Account, SimPosition
from qtxconn.sim.model import IncomeType, Instrument

if TYPE_CHECKING:
    from qtxconn.sim.venue import Venue

LIQUIDATION_PREFIX = "autoclose-"
DELEVERAGING_PREFIX = "adl_autoclose-"
MARGIN_CALL_RATIO = Decimal("0.8")
"""Of maintenance margin to margin balance; above, the owner is warned once until it is below again."""
_ZERO = Decimal(0)


def margin_balance(account: Account, position: SimPosition, marks: dict[str, Decimal]) -> Decimal:
    """Quote that stands behind `position`: its isolated wallet, or the cross wallet, with unrealised profit."""
    if position.symbol in account.isolated:
        return position.isolated_wallet + position.unrealized_pnl(marks[position.symbol])
    return account.cross_wallet + account.cross_unrealized_pnl(marks)


def liquidation_price(account: Account, position: SimPosition, marks: dict[str, Decimal]) -> Decimal:
    """The mark price in quote at which `position` is liquidated, all else unchanged; 0 where there is none.

    Solves balance + (price - mark) * amount = |amount| * price * rate - deduction + the others' maintenance, with
    the bracket of today's notional.
    """
    if not position.amount:
        return _ZERO
    mark, amount = marks[position.symbol], position.quantity
    bracket = position.instrument.bracket(position.notional(mark))
    others = _ZERO
    if position.symbol not in account.isolated:
        others = account.maintenance_margin(marks) - position.maintenance_margin(mark)
    free = margin_balance(account, position, marks) - amount * mark + bracket.deduction - others
    price = free / (abs(amount) * bracket.maintenance_rate - amount)
    return max(_ZERO, price).quantize(COST_UNIT, ROUND_HALF_EVEN)


class RiskControl:
    """Watches every account of a venue."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._warned: set[str] = set()
        self.insurance_fund = _ZERO
        """Quote taken in fees, less what was paid for wallets below 0."""

    def run_due(self) -> None:
        """Judge every account that has a position at the mark prices of now."""
        venue = self._venue
        marks: dict[str, Decimal] = {}
        for account in venue.accounts:
            held = [position for position in account.positions.values() if position.amount]
            if not held:
                continue
            marks = marks or {symbol: venue.mark_price(symbol) for symbol in venue.instruments}
            for position in [p for p in held if p.symbol in account.isolated]:
                if margin_balance(account, position, marks) <= position.maintenance_margin(marks[position.symbol]):
                    self._liquidate(account, [position], marks)
            cross = [position for position in held if position.symbol not in account.isolated]
            if cross:
                self._judge_cross(account, cross, marks)

    def _judge_cross(self, account: Account, held: list[SimPosition], marks: dict[str, Decimal]) -> None:
        balance = account.cross_wallet + account.cross_unrealized_pnl(marks)
        maintenance = account.maintenance_margin(marks)
        if balance <= maintenance:
            self._liquidate(account, held, marks)
        elif maintenance < balance * MARGIN_CALL_RATIO:
            self._warned.discard(account.api_key)
        elif account.api_key not in self._warned:
            self._warned.add(account.api_key)
            for listener in self._venue.notice_listeners:
                listener.on_margin_call(account, held)

    def _liquidate(self, account: Account, held: list[SimPosition], marks: dict[str, Decimal]) -> None:
        venue = self._venue
        for position in held:
            instrument, mark = position.instrument, marks[position.symbol]
            venue.cancel_all(account, position.symbol)
            closed = position.amount
            venue.place_forced_order(position, account, LIQUIDATION_PREFIX)
            if position.amount:
                self._deleverage(account, position, mark)
            fee = (abs(instrument.lots_to_quantity(closed)) * mark * instrument.liquidation_fee).quantize(COST_UNIT)
            fee = max(_ZERO, min(fee, account.wallet_balance))
            self._settle(account, position.symbol, -fee)
        if not any(p.amount for p in account.positions.values()) and account.wallet_balance < 0:
            self._settle(account, "", -account.wallet_balance)

    def _settle(self, account: Account, symbol: str, amount: Decimal) -> None:
        if not amount:
            return
        venue = self._venue
        self.insurance_fund -= amount
        account.book_income(venue.next_record_id(), symbol, IncomeType.INSURANCE_CLEAR, amount, venue.clock.now_ms())
        venue.report_account(account, "INSURANCE_CLEAR")

    def _deleverage(self, account: Account, position: SimPosition, mark: Decimal) -> None:
        """Close what the book did not take at mark price, against counterparties first, then the venue."""
        venue, instrument = self._venue, position.instrument
        price = max(1, int((mark / instrument.tick_size).to_integral_value()))
        left = abs(position.amount)
        for other, counter in self.ranking(instrument, -position.amount):
            if other is account or left <= 0:
                continue
            part = min(left, abs(counter.amount))
            left -= part
            venue.cancel_all(other, instrument.symbol)
            venue.place_forced_order(counter, other, DELEVERAGING_PREFIX, price, part)
        venue.place_forced_order(position, account, LIQUIDATION_PREFIX, price)

    def ranking(self, instrument: Instrument, direction: int) -> list[tuple[Account, SimPosition]]:
        """Positions on the side of `direction` (its sign), the first to be deleveraged first."""
        mark = self._venue.mark_price(instrument.symbol)
        found = [
            (account, position)
            for account in self._venue.accounts
            for position in account.legs(instrument)
            if position.amount * direction > 0
        ]

        def score(entry: tuple[Account, SimPosition]) -> Decimal:
            holder, position = entry
            return position.unrealized_pnl(mark) / position.notional(mark) * holder.leverage_of(instrument.symbol)

        return sorted(found, key=score, reverse=True)

    def quantile(self, account: Account, position: SimPosition) -> int:
        """0 (last) to 4 (first) in the queue to be deleveraged; 0 without a position."""
        if not position.amount:
            return 0
        ranked = [entry[1] for entry in self.ranking(position.instrument, position.amount)]
        return 4 - ranked.index(position) * 5 // len(ranked)
