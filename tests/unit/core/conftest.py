"""What the tests of the core stand on: a tracker with all that it tells, and a small exchange in memory."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.clock import Clock
from qtxconn.core.connectors import PerpetualDerivativeBase
from qtxconn.core.events import OrderFilledEvent
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.pubsub import PubSub
from qtxconn.core.trading_rule import TradingRule
from qtxconn.core.types import (
    AddedToCostTradeFee,
    MarketEvent,
    OrderState,
    OrderType,
    OrderUpdate,
    PositionMode,
    TokenAmount,
    TradeType,
    TradeUpdate,
)
from qtxconn.errors import OrderNotFoundError, OrderRejectedError

PAIR = "BTC-USDT"
ORDER_EVENTS = [
    MarketEvent.BuyOrderCreated,
    MarketEvent.SellOrderCreated,
    MarketEvent.OrderFilled,
    MarketEvent.BuyOrderCompleted,
    MarketEvent.SellOrderCompleted,
    MarketEvent.OrderCancelled,
    MarketEvent.OrderExpired,
    MarketEvent.OrderFailure,
    MarketEvent.OrderAmended,
]


class StepClock(Clock):
    """Monotonic time that only advance() moves; wall time is the system's plus `wall_offset_ns`."""

    def __init__(self) -> None:
        self.elapsed_ns = 0
        self.wall_offset_ns = 0
        self._sleepers: list[tuple[int, int, asyncio.Event]] = []
        self._numbers = itertools.count()

    def now_ns(self) -> int:
        return super().now_ns() + self.wall_offset_ns

    def monotonic_ns(self) -> int:
        return self.elapsed_ns

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.elapsed_ns + int(seconds * 1e9), next(self._numbers), woken))
        await woken.wait()

    async def advance(self, seconds: float) -> None:
        """Wakes the sleepers of the next `seconds` in their order, each with time to act before the next."""
        end_ns = self.elapsed_ns + int(seconds * 1e9)
        await turns()
        while self._sleepers and self._sleepers[0][0] <= end_ns:
            self.elapsed_ns, _, woken = heapq.heappop(self._sleepers)
            woken.set()
            await turns()
        self.elapsed_ns = end_ns


class HandClock(Clock):
    """Each look at it takes a nanosecond; more passes when told to."""

    def __init__(self) -> None:
        self.elapsed_ns = 0

    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000 + self.monotonic_ns()

    def monotonic_ns(self) -> int:
        self.elapsed_ns += 1
        return self.elapsed_ns


class Desk:
    """A tracker and everything that it tells, in order. Its orders are of 1 BTC at 60000."""

    order: InFlightOrder  # where the test is about one

    def __init__(self, **options: Any) -> None:
        self.clock = HandClock()
        self.pubsub = PubSub(logging.getLogger("test.desk"))
        self.tracker = ClientOrderTracker(self.pubsub, self.clock, **options)
        self.told: list[Any] = []
        self.alarms: list[Any] = []
        for tag in MarketEvent:
            self.pubsub.add_listener(tag, self.told.append)
        self.pubsub.set_error_event_listener(self)
        self.times = itertools.count(1)

    def on_error(self, event: Any) -> None:
        self.alarms.append(event)

    def track(
        self, order_id: str = "17", pair: str = PAIR, side: TradeType = TradeType.BUY, **more: Any
    ) -> InFlightOrder:
        order = InFlightOrder(order_id, pair, OrderType.LIMIT, side, Decimal(1), 1.7e9, Decimal(60000), **more)
        self.tracker.start_tracking_order(order)
        return order

    def report(
        self, state: OrderState, order_id: str | None = "17", venue_id: str | None = "900", pair: str = PAIR,
        time: float | None = None, **misc: Any,
    ) -> None:  # fmt: skip
        time = float(next(self.times)) if time is None else time
        self.tracker.process_order_update(OrderUpdate(pair, time, state, order_id, venue_id, misc or None))

    def fill(
        self, trade_id: str, amount: str, order_id: str | None = "17", venue_id: str | None = "900", pair: str = PAIR,
        price: str = "60000", fees: Sequence[TokenAmount] = (TokenAmount("USDT", Decimal("0.01")),),
    ) -> None:  # fmt: skip
        base, quote = Decimal(amount), Decimal(amount) * Decimal(price)
        fee = AddedToCostTradeFee(flat_fees=list(fees))
        time = float(next(self.times))
        self.tracker.process_trade_update(
            TradeUpdate(trade_id, order_id, venue_id, pair, time, Decimal(price), base, quote, fee)
        )

    def words(self) -> list[str]:
        return [
            type(event).__name__.removesuffix("Event").removeprefix("BuyOrder").removeprefix("Order")
            for event in self.told
        ]

    def told_amounts(self) -> list[Decimal]:
        return [event.amount for event in self.told if isinstance(event, OrderFilledEvent)]

    def kinds(self) -> list[str]:
        return [alarm.kind for alarm in self.alarms]

    def wait(self, seconds: float) -> None:
        self.clock.elapsed_ns += int(seconds * 1e9)
        self.tracker.expire()

    @property
    def counts(self) -> dict[str, int]:
        return self.tracker.update_counts


class MemoryVenue:
    """The other side: what it has accepted, executed and cancelled."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.numbers = itertools.count(1)
        self.time_s = 1_700_000_000.0

    def now(self) -> float:
        self.time_s += 0.001
        return self.time_s

    def accept(self, order_id: str, amount: Decimal, price: Decimal | None = None) -> dict[str, Any]:
        order = {
            "id": str(next(self.numbers)), "state": OrderState.OPEN, "amount": amount, "price": price,
            "done": Decimal(0), "trades": [], "time": self.now(),
        }  # fmt: skip
        self.orders[order_id] = order
        return order

    def execute(self, order_id: str, amount: str, price: str = "60000") -> TradeUpdate:
        """Executes a part; what it returns is the message the stream would carry."""
        order = self.orders[order_id]
        order["done"] += Decimal(amount)
        order["time"] = self.now()
        order["state"] = OrderState.FILLED if order["done"] == order["amount"] else OrderState.PARTIALLY_FILLED
        trade = trade_update(order_id, f"t{next(self.numbers)}", amount, price, order["id"], order["time"])
        order["trades"].append(trade)
        return trade

    def end(self, order_id: str, state: OrderState = OrderState.CANCELED) -> None:
        self.orders[order_id] |= {"state": state, "time": self.now()}

    def amend(self, order_id: str, price: Decimal, amount: Decimal) -> None:
        """Takes the new price and amount; as at Binance one that leaves nothing to execute cancels the order."""
        self.orders[order_id] |= {"price": price, "amount": amount, "time": self.now()}
        if amount <= self.orders[order_id]["done"]:
            self.end(order_id)

    def report(self, order_id: str) -> OrderUpdate:
        order = self.orders[order_id]
        misc = {"cumulative_base": order["done"], "amount": order["amount"]}
        if order["price"] is not None:
            misc["price"] = order["price"]
        return OrderUpdate(PAIR, order["time"], order["state"], order_id, order["id"], misc)


def trade_update(
    order_id: str | None, trade_id: str, amount: str, price: str = "60000", exchange_id: str = "1", time: float = 1.0
) -> TradeUpdate:
    base = Decimal(amount)
    return TradeUpdate(
        trade_id, order_id, exchange_id, PAIR, time, Decimal(price), base, base * Decimal(price),
        AddedToCostTradeFee(flat_fees=[TokenAmount("USDT", Decimal("0.01"))]),
    )  # fmt: skip


class MemoryExchange(PerpetualDerivativeBase):
    """An exchange subclass with every hook; `fail[hook]` raises instead, `hold[hook]` is awaited first."""

    name = "memory"
    lookup_delays_s = (0.0, 0.25, 1.0, 3.0)
    submit_dead_after_s = 5.0
    market_data_timeout_s = 0.2
    supports_amend = True

    def __init__(self, trading_pairs: list[str] | None = None, **kwargs: Any) -> None:
        super().__init__([PAIR] if trading_pairs is None else trading_pairs, **kwargs)
        self.venue = MemoryVenue()
        self.fail: dict[str, BaseException] = {}
        self.hold: dict[str, asyncio.Event] = {}
        self.calls: list[str] = []
        self.events: list[Any] = []
        self.alarms: list[Any] = []
        self.position_mode_at_venue = PositionMode.ONEWAY
        self.feeds_book = True
        self.cancel_answer: Callable[[str], Any] = self.venue.report
        self.options: list[dict[str, Any]] = []
        for tag in ORDER_EVENTS:
            self.add_listener(tag, self.events.append)
        self.set_error_event_listener(self)

    def on_error(self, event: Any) -> None:
        self.alarms.append(event)

    def kinds(self, order_id: str | None = None) -> list[str]:
        """The events so far, in words: created, filled, completed, cancelled, expired, failed."""
        words = {
            "BuyOrderCreatedEvent": "created", "SellOrderCreatedEvent": "created", "OrderFilledEvent": "filled",
            "BuyOrderCompletedEvent": "completed", "SellOrderCompletedEvent": "completed",
            "OrderAmendedEvent": "amended",
            "OrderCancelledEvent": "cancelled", "OrderExpiredEvent": "expired", "MarketOrderFailureEvent": "failed",
        }  # fmt: skip
        return [words[type(e).__name__] for e in self.events if order_id in (None, e.order_id)]

    def alarm_kinds(self) -> list[str]:
        return [alarm.kind for alarm in self.alarms]

    def order(self, order_id: str) -> InFlightOrder:
        return self._order_tracker.fetch_order(order_id)

    def stream(self, update: OrderUpdate | TradeUpdate) -> None:
        """A message of the user stream."""
        if isinstance(update, OrderUpdate):
            self._order_tracker.process_order_update(update)
        else:
            self._order_tracker.process_trade_update(update)

    async def _enter(self, hook: str) -> None:
        self.calls.append(hook)
        if hook in self.hold:
            await self.hold[hook].wait()
        await asyncio.sleep(0)
        if hook in self.fail:
            raise self.fail[hook]

    def supported_order_types(self) -> list[OrderType]:
        return [OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER]

    async def _start_network(self) -> None:
        await self._enter("start_network")

    async def _stop_network(self) -> None:
        await self._enter("stop_network")

    async def _request_trading_rules(self) -> list[TradingRule]:
        await self._enter("rules")
        return [
            TradingRule(
                pair, "0.001", "100", "0.1", "0.001", "5", exchange_symbol=pair.replace("-", ""),
                supports_market_orders=pair != "LTC-USDT",
            )
            for pair in (PAIR, "ETH-USDT", "LTC-USDT")
        ]  # fmt: skip

    async def _start_user_stream(self) -> None:
        await self._enter("start_user_stream")
        self._spawn(asyncio.Event().wait(), "user stream")

    async def _stop_user_stream(self) -> None:
        await self._enter("stop_user_stream")

    async def _update_balances(self) -> None:
        await self._enter("balances")
        self._set_balance("USDT", Decimal(1000), Decimal(900))

    async def _update_positions(self) -> None:
        await self._enter("positions")

    async def _request_position_mode(self) -> PositionMode:
        await self._enter("position_mode")
        return self.position_mode_at_venue

    async def _set_trading_pair_leverage(self, trading_pair: str, leverage: int) -> None:
        await self._enter("leverage")

    async def _start_market_data(self) -> None:
        await self._enter("start_market_data")
        if self.feeds_book:
            for book in self._order_books.values():
                book.apply_snapshot([("59999.9", "1")], [("60000.1", "2")], 1)

    async def _stop_market_data(self) -> None:
        await self._enter("stop_market_data")

    async def _place_order(
        self, order_id, trading_pair, amount, trade_type, order_type, price, **options
    ) -> tuple[str, float]:  # fmt: skip
        self.options.append(options)
        await self._enter("place")
        order = self.venue.accept(order_id, amount, price)
        await self._enter("place_answer")
        return order["id"], order["time"]

    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> Any:
        await self._enter("cancel")
        order = self.venue.orders.get(order_id)
        if order is None or order["state"].is_terminal:
            raise OrderNotFoundError("Unknown order sent.", code=-2011)
        self.venue.end(order_id)
        return self.cancel_answer(order_id)

    async def _place_amend(
        self, order_id: str, tracked_order: InFlightOrder, price: Decimal, amount: Decimal
    ) -> OrderUpdate:
        await self._enter("amend")
        order = self.venue.orders.get(order_id)
        if order is None or order["state"].is_terminal:
            raise OrderNotFoundError("Unknown order sent.", code=-2013)
        self.venue.amend(order_id, price, amount)
        await self._enter("amend_answer")
        return self.venue.report(order_id)

    async def _request_order_status(self, tracked_order: InFlightOrder) -> OrderUpdate:
        await self._enter("query")
        if tracked_order.client_order_id not in self.venue.orders:
            raise OrderNotFoundError("Order does not exist.", code=-2013)
        return self.venue.report(tracked_order.client_order_id)

    async def _all_trade_updates_for_order(self, order: InFlightOrder) -> list[TradeUpdate]:
        await self._enter("trades")
        return list(self.venue.orders[order.client_order_id]["trades"])

    async def _trade_updates_since(self, trading_pair: str, since_s: float) -> list[TradeUpdate]:
        await self._enter("trades")
        return [trade for order in self.venue.orders.values() for trade in order["trades"]]

    def parse_error(self, code: Any, message: str, http_status: int | None = None) -> OrderRejectedError:
        return OrderRejectedError(message, code=code, http_status=http_status)


async def settle(condition: Callable[[], Any], turns: int = 20_000) -> None:
    """Lets the event loop run until the condition holds; the number of turns, not time, bounds it."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("the condition did not come true")


async def turns(number: int = 30) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _state_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # Leases of client order ids belong to the test run, not to the user.
    monkeypatch.setenv("QTXCONN_STATE_DIR", str(tmp_path_factory.getbasetemp() / "state"))


class Kit:
    """What the tests use of this file (conftest modules cannot be imported by name)."""

    pair = PAIR
    exchange_class = MemoryExchange
    clock_class = StepClock
    desk_class = Desk
    settle = staticmethod(settle)
    turns = staticmethod(turns)
    trade_update = staticmethod(trade_update)


@pytest.fixture
def kit() -> type[Kit]:
    return Kit


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
async def exchange(kit: type[Kit]):
    """A connected exchange; every test ends with a disconnect that leaves no task behind."""
    before = asyncio.all_tasks()
    connector = MemoryExchange(clock=StepClock())
    await connector.connect()
    yield connector
    connector.fail.clear()
    for event in connector.hold.values():
        event.set()
    await connector.disconnect()
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
