"""The invariants L1 to L10 and B1, positions and balances, checked against the simulated venue's own books."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.core.events import (
    BuyOrderCompletedEvent,
    BuyOrderCreatedEvent,
    ErrorEvent,
    FundingPaymentCompletedEvent,
    MarketOrderFailureEvent,
    OrderCancelledEvent,
    OrderExpiredEvent,
    OrderFilledEvent,
    SellOrderCompletedEvent,
    SellOrderCreatedEvent,
)
from qtxconn.core.types import MarketEvent, OrderState
from qtxconn.sim.model import ExecutionType, IncomeType, OrderStatus
from qtxconn.testing.book_model import BookModel
from qtxconn.testing.market import PAIR, SYMBOL

if TYPE_CHECKING:
    from qtxconn.core.connectors import PerpetualDerivativeBase
    from qtxconn.core.in_flight_order import InFlightOrder
    from qtxconn.sim.account import Account
    from qtxconn.sim.model import Execution, SimOrder
    from qtxconn.testing.market import SimMarket

ORDER_EVENTS = (
    MarketEvent.BuyOrderCreated,
    MarketEvent.SellOrderCreated,
    MarketEvent.OrderFilled,
    MarketEvent.BuyOrderCompleted,
    MarketEvent.SellOrderCompleted,
    MarketEvent.OrderCancelled,
    MarketEvent.OrderExpired,
    MarketEvent.OrderFailure,
)
CREATED = (BuyOrderCreatedEvent, SellOrderCreatedEvent)
ENDS: dict[type, tuple[OrderState, OrderStatus | None]] = {
    BuyOrderCompletedEvent: (OrderState.FILLED, OrderStatus.FILLED),
    SellOrderCompletedEvent: (OrderState.FILLED, OrderStatus.FILLED),
    OrderCancelledEvent: (OrderState.CANCELED, OrderStatus.CANCELED),
    OrderExpiredEvent: (OrderState.EXPIRED, OrderStatus.EXPIRED),
    MarketOrderFailureEvent: (OrderState.FAILED, None),
}
STATES = {
    OrderStatus.NEW: OrderState.OPEN,
    OrderStatus.PARTIALLY_FILLED: OrderState.PARTIALLY_FILLED,
    OrderStatus.FILLED: OrderState.FILLED,
    OrderStatus.CANCELED: OrderState.CANCELED,
    OrderStatus.EXPIRED: OrderState.EXPIRED,
}
LEGAL_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
# Alarms after which something is not as it must be, whatever the faults were.
ALARMS = {"task", "overfill", "life_after_end", "bad_amount", "fee"}


class InvariantViolation(AssertionError):
    """An invariant does not hold; the text begins with its number."""


@dataclass
class OrderHistory:
    """What the user has been told of one order."""

    created: bool = False
    end: OrderState | None = None
    fills: dict[str, Decimal] = field(default_factory=dict)
    sent_before: bool = False


class InvariantChecker:
    """Hears every event of the connectors and of the venue, and raises InvariantViolation for the first that is wrong.

    The connectors' own listeners must not raise, so the violation is kept in `violation` for the driver to raise.
    """

    def __init__(self, market: SimMarket, record: Callable[..., None], *, live_books: bool) -> None:
        self._market = market
        self._live_books = live_books  # the world carries market data
        self._book = BookModel(market, SYMBOL)
        self._book_seen = (0, -1)  # life and revision of the book that was looked at last
        self._record = record
        self._connector: PerpetualDerivativeBase | None = None
        self._orders: dict[str, OrderHistory] = defaultdict(OrderHistory)  # in all lives that are one to the user
        self._intents: dict[str, int] = {}  # client order id -> the life in which it was made
        self._accepted: dict[str, int] = {}  # client order id -> the venue's order id
        self._fills: dict[str, dict[str, Execution]] = defaultdict(dict)  # the venue's, by client order id
        self._life = 0
        self._first_life = 0  # orders of an earlier one are not the living connector's own
        self._connected = False
        self._funding_told: dict[float, Decimal] = {}  # by the venue's time, of the living connector
        self._funding_seen = 0  # payments when it was connected
        self._suspect: str | None = None  # the order that differed last
        self.violation: InvariantViolation | None = None
        market.venue.add_account_listener(self)

    @property
    def intents(self) -> int:
        """Orders that the user has placed."""
        return len(self._intents)

    def fail(self, rule: str, text: str) -> None:
        if self.violation is None:
            self.violation = InvariantViolation(f"{rule}: {text}")
            self._record("violation", rule, text)

    def raise_if_violated(self) -> None:
        if self.violation is not None:
            raise self.violation

    def watch(self, connector: PerpetualDerivativeBase, *, remembers: bool) -> None:
        """From now on this connector is the one that lives. One that `remembers` (with a journal) has the orders of
        those before it too, and must go on with them as if it had never died."""
        self._life += 1
        self._connector = connector
        self._connected = False
        if not remembers:
            self._first_life = self._life
            self._orders.clear()
        life = self._life
        for tag in ORDER_EVENTS:
            connector.add_listener(tag, lambda event: self._on_event(life, event))
        self._funding_told.clear()
        connector.add_listener(MarketEvent.FundingPaymentCompleted, lambda event: self._on_funding(life, event))
        connector.set_error_event_listener(_Alarms(lambda event: self._on_alarm(life, event)))

    def on_dead(self) -> None:
        """The connector's process has been killed."""
        self._connector = None
        self._connected = False

    def on_connected(self) -> None:
        """connect() has returned: every order that had not ended is known again."""
        self._connected = True
        self._funding_seen = len(self._funding())
        restored = 0
        for order_id, life in self._intents.items():
            if not self._is_own(life) or self._orders[order_id].end is not None:
                continue
            restored += 1
            if self._tracked(order_id) is None:
                self.fail("L1", f"{order_id} is not known any more after the restart")
        self._record("restored", restored)

    def _is_own(self, life: int) -> bool:
        return life >= self._first_life

    def is_own(self, order_id: str) -> bool:
        """Whether the living connector has made this order, or knows it from the journal of one before it."""
        return self._is_own(self._intents[order_id])

    # -- the user ----------------------------------------------------------------------------------------------

    def on_intent(self, order_id: str) -> None:
        """buy() or sell() has returned this id."""
        self._record("intent", order_id)
        if order_id in self._intents:
            self.fail("L5", f"client order id {order_id} was given twice")
        if not LEGAL_ID.fullmatch(order_id):
            self.fail("L5", f"client order id {order_id!r} is not legal at the venue")
        self._intents[order_id] = self._life
        if self._tracked(order_id) is None:
            self.fail("L3", f"{order_id} is not tracked when buy() or sell() returns")

    def _tracked(self, order_id: str) -> InFlightOrder | None:
        return self._connector._order_tracker.fetch_order(order_id) if self._connector is not None else None

    # -- the connector -----------------------------------------------------------------------------------------

    def _on_alarm(self, life: int, event: ErrorEvent) -> None:
        self._record("alarm", event.kind, event.order_id, event.message)
        if life == self._life and event.kind in ALARMS:
            self.fail("L1", f"alarm {event.kind}: {event.message}")

    def _on_event(self, life: int, event: Any) -> None:
        name = type(event).__name__
        self._record(name, event.order_id, getattr(event, "exchange_trade_id", ""), getattr(event, "amount", ""))
        if life != self._life:
            self.fail("L5", f"{name} of {event.order_id} from a connector that is dead")
            return
        order_id = event.order_id
        order = self._tracked(order_id)
        history = self._orders[order_id]
        if order is None:
            self.fail("L1", f"{name} for {order_id}, which is not tracked")
            return
        if isinstance(event, CREATED):
            if history.created or history.fills or history.end:
                self.fail("L9", f"{order_id}: Created is not the first event, or not the only one")
            history.created = True
            if order_id not in self._accepted:
                self.fail("L8", f"{order_id}: Created, but the venue never accepted it")
        elif isinstance(event, OrderFilledEvent):
            self._on_filled(order_id, history, event)
        else:
            self._on_end(order_id, history, order, event)
        self._check_sums(order_id, history, order)

    def _on_filled(self, order_id: str, history: OrderHistory, event: OrderFilledEvent) -> None:
        if not history.created:
            self.fail("L9", f"{order_id}: filled before Created")
        if history.end:
            self.fail("L9", f"{order_id}: fill {event.exchange_trade_id} after the end ({history.end.name})")
        if event.exchange_trade_id in history.fills:
            self.fail("L2", f"{order_id}: fill {event.exchange_trade_id} reported twice")
        history.fills[event.exchange_trade_id] = event.amount
        real = self._executions(order_id).get(event.exchange_trade_id)
        if real is None:
            self.fail("L2", f"{order_id}: the venue knows no fill {event.exchange_trade_id}")
            return
        instrument = self._market.instrument
        there = (instrument.ticks_to_price(real.price), instrument.lots_to_quantity(real.quantity), real.fee)
        fees = event.trade_fee.flat_fees if event.trade_fee is not None else []
        here = (event.price, event.amount, sum((fee.amount for fee in fees), Decimal(0)))
        if here != there:
            self.fail(
                "L2", f"{order_id}: fill {event.exchange_trade_id} is (price, amount, fee) {here}, really {there}"
            )

    def _on_end(self, order_id: str, history: OrderHistory, order: InFlightOrder, event: Any) -> None:
        state, status = ENDS[type(event)]
        if history.end is not None:
            self.fail("L4", f"{order_id}: {state.name} after it had ended as {history.end.name}")
        history.end = state
        there = self._venue_order(order_id)
        if status is None:
            if there is not None:
                self.fail("L8", f"{order_id}: FAILED, but the venue has accepted it and has it as {there.status}")
            return
        if not history.created:
            self.fail("L9", f"{order_id}: {state.name} before Created")
        if there is None or there.status is not status:
            really = there.status if there is not None else "unknown"
            self.fail("L8", f"{order_id}: {state.name}, but at the venue it is {really}")
        if order.current_state is not state:
            self.fail("L4", f"{order_id}: told as {state.name}, yet it is {order.current_state.name}")

    def _check_sums(self, order_id: str, history: OrderHistory, order: InFlightOrder) -> None:
        booked = sum(history.fills.values(), Decimal(0))
        # Fills that are booked already and not yet told of are still to come, so the order may be ahead.
        if booked > order.executed_amount_base or order.executed_amount_base > order.amount:
            self.fail("L2", f"{order_id}: told of {booked}, booked {order.executed_amount_base} of {order.amount}")
        if history.end is not None and order.current_state is not history.end:
            self.fail("L4", f"{order_id}: ended as {history.end.name} and now is {order.current_state.name}")

    def _on_funding(self, life: int, event: FundingPaymentCompletedEvent) -> None:
        self._record("funding", event.timestamp, event.amount)
        if life != self._life:
            return
        if event.timestamp in self._funding_told:
            self.fail("F1", f"the funding of {event.timestamp} was told twice")
        self._funding_told[event.timestamp] = event.amount
        if self._funding().get(event.timestamp) != event.amount:
            self.fail("F1", f"funding of {event.amount} at {event.timestamp} was told, really {self._funding()}")

    def _funding(self) -> dict[float, Decimal]:
        """The venue's payments, by time."""
        income = self._market.account.income
        return {record.time_ms / 1e3: record.amount for record in income if record.type is IncomeType.FUNDING_FEE}

    # -- the venue ---------------------------------------------------------------------------------------------

    def on_order(
        self, account: Account, order: SimOrder, execution_type: ExecutionType, execution: Execution | None
    ) -> None:
        if account is not self._market.account:
            return
        order_id = order.client_order_id
        self._record("venue", execution_type.value, order_id, order.order_id, order.filled, order.status.value)
        if execution is not None:
            self._fills[order_id][str(execution.trade_id)] = execution
        if execution_type is not ExecutionType.NEW:
            return
        if order_id in self._accepted:
            self.fail("L7", f"{order_id} was accepted twice: as {self._accepted[order_id]} and as {order.order_id}")
        self._accepted[order_id] = order.order_id
        if order_id not in self._intents:
            self.fail("L7", f"the venue accepted {order_id}, which nobody asked for")
        elif self._is_own(self._intents[order_id]):
            if self._connected and self._tracked(order_id) is None:
                self.fail("L3", f"{order_id} is at the venue and not tracked")
            if self._orders[order_id].end is not None:
                self.fail("L8", f"{order_id} ended as {self._orders[order_id].end} and was accepted later")

    def on_account(self, account: Account, reason: str, assets: Any, positions: Any) -> None:
        """Orders only."""

    def _venue_order(self, order_id: str) -> SimOrder | None:
        return self._market.account.find(SYMBOL, None, order_id)

    def _executions(self, order_id: str) -> dict[str, Execution]:
        return self._fills[order_id]

    # -- at any time -------------------------------------------------------------------------------------------

    def check_book(self) -> None:
        """B1: a book that is handed out as valid is the venue's, as of the update that it shows."""
        book = self._connector.order_books.get(PAIR) if self._connector is not None else None
        if book is None or not book.valid or self._book_seen == (self._life, book.revision):
            return
        self._book_seen = (self._life, book.revision)
        difference = self._book.difference(book)
        if difference is not None:
            self.fail("B1", f"the book counts as valid, and its {difference}")

    # -- when things are quiet ---------------------------------------------------------------------------------

    def _account_differences(self) -> Iterator[str]:
        connector, account = self._connector, self._market.account
        assert connector is not None
        position, balance = connector.get_position_amount(PAIR), connector.get_balance(account.quote)
        there = account.position(self._market.instrument).quantity
        if position != there:
            yield f"A1: the position is {position} here and {there} at the venue"
        if balance != account.wallet_balance:
            yield f"A1: the balance is {balance} here and {account.wallet_balance} at the venue"
        for time_s in list(self._funding())[self._funding_seen :]:
            if time_s not in self._funding_told:
                yield f"F1: the funding of {time_s} was never told"
        book = connector.order_books[PAIR]
        if self._live_books and (not book.valid or book.last_update_id < self._book.last_id):
            yield (f"B1: the book is at update {book.last_update_id} ({book.invalid_reason}), the venue's at "
                   f"{self._book.last_id}")  # fmt: skip

    def differences(self) -> Iterator[str]:
        """What the living connector lacks to be as the venue is, found as it is asked for."""
        yield from self._account_differences()
        # The one that differed when this was asked last probably still does: it comes first.
        suspects = [self._suspect] if self._suspect is not None else []
        for order_id in (*suspects, *self._intents):
            for difference in self._order_differences(order_id):
                self._suspect = order_id
                yield difference
        self._suspect = None

    def _order_differences(self, order_id: str) -> Iterator[str]:
        life = self._intents[order_id]
        if not self._is_own(life):
            return
        order, there = self._tracked(order_id), self._venue_order(order_id)
        if order is None:
            # A process need not remember what had ended before it was started: the journal has been rolled.
            if life == self._life or self._orders[order_id].end is None:
                yield f"L1: {order_id} is not tracked any more"
            return
        state = order.current_state
        if there is None:
            if state is not OrderState.FAILED:
                yield f"L6: {order_id} never came to the venue and is {state.name}"
            return
        wanted = STATES[there.status]
        if state is not wanted:
            yield f"L1: {order_id} is {state.name} here and {there.status} at the venue"
        instrument = self._market.instrument
        executed = instrument.lots_to_quantity(there.filled)
        if order.executed_amount_base != executed:
            yield f"L1: {order_id} has {order.executed_amount_base} executed here, {executed} at the venue"
        amount = instrument.lots_to_quantity(there.quantity)
        if order.amount != amount:
            yield f"L1: {order_id} has the amount {order.amount} here, {amount} at the venue"
        price = instrument.ticks_to_price(there.price)
        if order.order_type.is_limit_type() and order.price != price:
            yield f"L1: {order_id} has the price {order.price} here, {price} at the venue"
        history, executions = self._orders[order_id], self._executions(order_id)
        fills = order.order_fills
        if not fills.keys() == history.fills.keys() == executions.keys():
            yield (f"L2: {order_id} has other fills than the venue: {sorted(fills)}, "
                   f"told {sorted(history.fills)}, venue {sorted(executions)}")  # fmt: skip
        quote = self._market.account.quote
        fees = sum(fee.amount for fill in fills.values() for fee in fill.fee.flat_fees if fee.token == quote)
        paid = sum(execution.fee for execution in executions.values())
        if fees != paid:
            yield f"L2: {order_id} has fees of {fees} here, {paid} at the venue"
        if order.exchange_order_id != str(there.order_id):
            yield f"L1: {order_id} has exchange id {order.exchange_order_id}, not {there.order_id}"
        if not history.created:
            yield f"L9: {order_id} was accepted and never reported as created"
        if wanted.is_terminal and history.end is not wanted:
            yield f"L9: {order_id} ended as {wanted.name} and the user was told {history.end}"


class _Alarms:
    """The error listener's interface around a function."""

    def __init__(self, on_error: Callable[[ErrorEvent], None]) -> None:
        self.on_error = on_error
