"""What a case has in its hands: a connector that is ready, all that it told, and the venue behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.core.events import ErrorEvent, ErrorEventListener, OrderAmendedEvent, OrderFilledEvent
from qtxconn.core.types import AccountEvent, MarketEvent, OrderState, OrderType, PositionMode, TradeType
from qtxconn.errors import QtxconnError

if TYPE_CHECKING:
    from qtxconn.core.connectors import PerpetualDerivativeBase
    from qtxconn.core.in_flight_order import InFlightOrder
    from qtxconn.core.order_book import OrderBook
    from qtxconn.core.order_journal import OrderJournalBase
    from qtxconn.core.trading_rule import TradingRule
    from qtxconn.testing.conformance.target import Account, Target, VenueHand

BUY, SELL = TradeType.BUY, TradeType.SELL
WAIT_S = 45.0  # only reached when something is broken
POLL_S = 0.002
DEAD_AFTER_S = 0.2
FAR = Decimal("0.015")  # so far from the touch an order rests for good
WORDS = {
    "BuyOrderCreatedEvent": "created",
    "SellOrderCreatedEvent": "created",
    "OrderFilledEvent": "filled",
    "BuyOrderCompletedEvent": "completed",
    "SellOrderCompletedEvent": "completed",
    "OrderCancelledEvent": "cancelled",
    "OrderExpiredEvent": "expired",
    "OrderAmendedEvent": "amended",
    "MarketOrderFailureEvent": "failed",
}
ENDS = {
    "completed": OrderState.FILLED,
    "cancelled": OrderState.CANCELED,
    "expired": OrderState.EXPIRED,
    "failed": OrderState.FAILED,
}


def check(what: str, holds: object) -> None:
    """Fails the case unless it holds."""
    if not holds:
        raise AssertionError(what)


def same(what: str, got: object, wanted: object) -> None:
    """Fails the case unless both are equal."""
    if got != wanted:
        raise AssertionError(f"{what}: {got!r} instead of {wanted!r}")


def refused(what: str, error: type[Exception], call: Callable[[], object]) -> str:
    """Fails the case unless the call raises that error; returns its text."""
    try:
        call()
    except error as refusal:
        return str(refusal)
    raise AssertionError(f"{what}: not refused with {error.__name__}")


class _Alarms(ErrorEventListener):
    def __init__(self, alarms: list[ErrorEvent]) -> None:
        self._alarms = alarms

    def on_error(self, event: ErrorEvent) -> None:
        self._alarms.append(event)


class Session:
    """One venue, and the connector of the moment. Cases share both; after each, orders and positions are gone."""

    def __init__(self, target: Target, hand: VenueHand, order_path: str, mode: PositionMode) -> None:
        self.mode = mode
        self.account: Account | None = None
        """The account under test; None for the venue's first."""
        self.target = target
        self.venue = hand
        self.pair = target.trading_pair
        self.asset = target.quote_asset
        self._order_path = order_path
        self._connector: PerpetualDerivativeBase | None = None
        self.made = 0
        """Connectors so far."""
        self.spoilt = False
        """A case has left the connector in no state for another: its limits are used up, for example."""
        self._watched: list[PerpetualDerivativeBase] = []
        self.events: list[Any] = []
        self.account_events: list[Any] = []
        self.alarms: list[ErrorEvent] = []
        self.orders: list[InFlightOrder] = []

    # -- life ------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """A connector that is ready and has nothing open."""
        if self.mode is PositionMode.HEDGE and self.account is None:
            self.account = await self.venue.open_account(hedge=True)
            await self.venue.use(self.account)
        if self._connector is not None and (self.spoilt or not self.target.has_order_path(self._connector)):
            await self.abandon()
        if self._connector is None:
            self._connector = self.make()
            await self._connector.connect()
        for told in (self.events, self.account_events, self.alarms, self.orders):
            told.clear()
        await self.until("ready before the case", lambda: self.connector.is_ready)

    async def fresh(self) -> None:
        """For cases that break connections: a connector that has not been waiting longer and longer to reconnect."""
        await self.abandon()
        await self.begin()

    async def clean(self) -> None:
        """Leave nothing behind for the next case."""
        await self.venue.clean()
        connector = self._connector
        if connector is None:
            return
        await self.until("every order has ended", lambda: not connector.in_flight_orders)
        await self.until("flat after the case", lambda: not connector.get_all_positions())
        await self.book_is_true()

    async def book_is_true(self) -> None:
        """Wait until the connector's book is the venue's, but for the market's heartbeat far away."""
        bids, asks = await self.venue.book()
        book = self.book
        await self.until(
            f"the book is the venue's: {bids[:3]} {asks[:3]}",
            lambda: (book.bid_entries(5), book.ask_entries(5)) == (bids[:5], asks[:5]),
        )

    async def abandon(self) -> None:
        """Give the connector up; the next case makes a new one."""
        try:
            await self.venue.clean()
        except (QtxconnError, OSError, ValueError):
            await self.venue.clean()  # a connection that a fault broke is made again
        for connector in self._watched:
            await connector.disconnect()
        self._watched.clear()
        self._connector = None
        self.spoilt = False

    async def close(self) -> None:
        for connector in self._watched:
            await connector.disconnect()

    # -- connectors ------------------------------------------------------------------------------------------

    @property
    def connector(self) -> PerpetualDerivativeBase:
        if self._connector is None:
            raise AssertionError("there is no connector")
        return self._connector

    def make(
        self,
        account: Account | None = None,
        journal: OrderJournalBase | None = None,
        trading_pairs: list[str] | None = None,
        **options: Any,
    ) -> PerpetualDerivativeBase:
        """A connector beside the shared one, or in its place; what it tells is heard. It is disconnected in the end."""
        account = account or self.account
        options = {"position_mode": self.mode} | options
        connector = self.target.make_connector(self.venue, self._order_path, account, journal, trading_pairs, **options)
        for tag in MarketEvent:
            connector.add_listener(tag, self.events.append)
        for account_tag in AccountEvent:
            connector.add_listener(account_tag, self.account_events.append)
        connector.set_error_event_listener(_Alarms(self.alarms))
        self._watched.append(connector)
        self.made += 1
        return connector

    @asynccontextmanager
    async def life(
        self, journal: OrderJournalBase | None = None, **options: Any
    ) -> AsyncIterator[PerpetualDerivativeBase]:
        """For restarts: the shared connector gives way to one that lives for this block."""
        if self._connector is not None:
            await self._connector.disconnect()
        self._connector = connector = self.make(journal=journal, **options)
        try:
            await connector.connect()
            yield connector
        finally:
            await connector.disconnect()
            self._connector = None

    # -- the market ------------------------------------------------------------------------------------------

    @property
    def rule(self) -> TradingRule:
        rule = self.connector.get_trading_rule(self.pair)
        if rule is None:
            raise AssertionError(f"no trading rule for {self.pair}")
        return rule

    @property
    def book(self) -> OrderBook:
        return self.connector.get_order_book(self.pair)

    @property
    def mid(self) -> Decimal:
        """A price between the best ones, where an order is alone."""
        middle = self.book.mid_price
        if middle is None:
            raise AssertionError("the book is empty")
        return self.connector.quantize_order_price(self.pair, middle)

    @property
    def tick(self) -> Decimal:
        return self.rule.min_price_increment

    @property
    def step(self) -> Decimal:
        return self.rule.min_base_amount_increment

    @property
    def lot(self) -> Decimal:
        """A small amount that is legal also for a far order."""
        least = max(self.rule.min_order_size, self.rule.min_notional_size / (self.mid * (1 - 2 * FAR)))
        return (least / self.step).to_integral_value(ROUND_CEILING) * self.step

    def far(self, side: TradeType, steps: int = 0) -> Decimal:
        """A price on `side` that nobody reaches, `steps` ticks farther."""
        sign = -1 if side is BUY else 1
        return self.connector.quantize_order_price(self.pair, self.mid * (1 + sign * FAR)) + sign * steps * self.tick

    def crossing(self, side: TradeType) -> Decimal:
        """A price that takes the best of the other side."""
        best = self.book.best_ask if side is BUY else self.book.best_bid
        if best is None:
            raise AssertionError("the book is empty")
        return best

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """For requests that certainly never arrive: "no such order" is final soon."""
        connector = self.connector
        connector.submit_dead_after_s = DEAD_AFTER_S
        try:
            yield
        finally:
            del connector.submit_dead_after_s

    # -- orders ----------------------------------------------------------------------------------------------

    def place(
        self,
        side: TradeType = BUY,
        price: Decimal | None = None,
        amount: Decimal | None = None,
        kind: OrderType = OrderType.LIMIT,
        **options: Any,
    ) -> InFlightOrder:
        """An order, tracked and on its way. By default one lot that rests far away."""
        connector = self.connector
        if price is None and kind.is_limit_type():
            price = self.far(side)
        method = connector.buy if side is BUY else connector.sell
        order_id = method(self.pair, self.lot if amount is None else amount, kind, price, **options)
        order = connector.in_flight_orders[order_id]
        self.orders.append(order)
        return order

    async def rest(self, *args: Any, **options: Any) -> InFlightOrder:
        """place(), and wait until it is open."""
        order = self.place(*args, **options)
        await self.state(order, OrderState.OPEN)
        return order

    async def filled(self, side: TradeType, amount: Decimal | None = None, **options: Any) -> InFlightOrder:
        """A market order, or what takes, and wait until it is filled."""
        connector = self.connector
        kind = connector.get_taker_order_type()
        price = None if kind is OrderType.MARKET else self.crossing(side)
        order = self.place(side, price, amount, kind, **options)
        await self.state(order, OrderState.FILLED)
        return order

    def cancel(self, order: InFlightOrder) -> bool:
        return self.connector.cancel(self.pair, order.client_order_id)

    async def state(self, order: InFlightOrder, state: OrderState) -> None:
        """Wait for the order's state; any other end fails the case at once."""
        await self.until(
            f"{order.client_order_id} is {state.name}", lambda: order.current_state is state or order.is_done
        )
        same(f"state of {order.client_order_id}", order.current_state, state)

    def told(self, order: InFlightOrder) -> list[str]:
        """What the listeners heard of an order, in order."""
        of_order = [e for e in self.events if getattr(e, "order_id", None) == order.client_order_id]
        return [WORDS[type(event).__name__] for event in of_order if type(event).__name__ in WORDS]

    def told_of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def alarm_kinds(self) -> list[str]:
        return [alarm.kind for alarm in self.alarms]

    def failure(self, order: InFlightOrder) -> Any:
        """The event that says why an order failed."""
        failures = [e for e in self.events if type(e).__name__ == "MarketOrderFailureEvent"]
        return next(event for event in failures if event.order_id == order.client_order_id)

    async def until(self, what: str, condition: Callable[[], object], wait_s: float | None = None) -> None:
        """Wait until the condition holds, or fail the case; WAIT_S unless told otherwise."""
        wait_s = WAIT_S if wait_s is None else wait_s
        try:
            async with asyncio.timeout(wait_s):
                while not condition():  # noqa: ASYNC110 - most of what is awaited has no event
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"not within {wait_s:g} s: {what}") from None

    # -- the audit of every case -----------------------------------------------------------------------------

    async def audit(self) -> None:
        """What holds for every order of every case: the venue's amounts and state, fills that add up, the right
        events once, nothing illegal. Open orders are compared as they are."""
        same("faults that never struck", await self.venue.idle_faults(), [])
        await self.venue.end_faults()
        for order in self.orders:
            await self._audit_order(order)
        bad = {"task", "overfill", "life_after_end", "bad_amount", "fee", "foreign"} & set(self.alarm_kinds())
        check(f"alarms that no fault excuses: {sorted(bad)}", not bad)

    async def _audit_order(self, order: InFlightOrder) -> None:
        name = order.client_order_id
        truth = await self.venue.order(name)
        if truth is None:
            await self.until(f"{name}, which the venue never took, has failed", lambda: order.is_failure)
        else:
            current = lambda: (order.current_state, order.executed_amount_base, order.exchange_order_id)  # noqa: E731
            wanted = (truth.state, truth.executed, truth.exchange_order_id)
            try:
                await self.until(name, lambda: current() == wanted)
            except AssertionError:
                same(f"{name} (state, executed, venue's id)", current(), wanted)
            same(f"amount of {name}", order.amount, truth.amount)
        fills = list(order.order_fills.values())
        same(f"sum of fills of {name}", sum(fill.fill_base_amount for fill in fills), order.executed_amount_base)
        if truth is not None:
            await self._audit_fills(order, truth.exchange_order_id)
        same(f"quote of fills of {name}", sum(fill.fill_quote_amount for fill in fills), order.executed_amount_quote)
        told = self.told(order)
        ends = [word for word in told if word in ENDS]
        same(f"ends of {name} that were told", [ENDS[word] for word in ends], [order.current_state] * order.is_done)
        check(f"{name}: nothing is told after the end: {told}", not ends or told[-1] == ends[0])
        wanted_created = int(truth is not None)
        same(f"{name}: how often it was created", told.count("created"), wanted_created)
        check(f"{name}: created is told first: {told}", not wanted_created or told[0] == "created")
        amounts = [e.amount for e in self.told_of(OrderFilledEvent) if e.order_id == name]
        same(f"fills of {name} that were told", sum(amounts), order.executed_amount_base)
        trade_ids = [e.exchange_trade_id for e in self.told_of(OrderFilledEvent) if e.order_id == name]
        same(f"fills of {name} that were told twice", len(trade_ids) - len(set(trade_ids)), 0)
        amended = [e for e in self.told_of(OrderAmendedEvent) if e.order_id == name]
        if amended:
            same(f"{name}: the last amend that was told", amended[-1].new_amount, order.amount)

    async def _audit_fills(self, order: InFlightOrder, exchange_order_id: str) -> None:
        """What was told of every execution is what the venue has on record: side, price, amount and fee."""
        name = order.client_order_id
        told = {
            e.exchange_trade_id: (e.trade_type, e.price, e.amount, sum(fee.amount for fee in e.trade_fee.flat_fees))
            for e in self.told_of(OrderFilledEvent)
            if e.order_id == name
        }
        fills = await self.venue.fills(exchange_order_id)
        same(f"fills of {name}", told, {f.trade_id: (f.side, f.price, f.amount, f.fee) for f in fills})
