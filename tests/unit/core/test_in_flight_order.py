"""An order as Python sees it: a view while it is tracked, a copy afterwards, the same after JSON."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import pickle
from decimal import Decimal

import pytest

from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import MarketEvent, OrderState, OrderType, OrderUpdate, PositionAction, TradeType
from qtxconn.errors import AmountError, OrderValidationError


@pytest.fixture
def tracker() -> ClientOrderTracker:
    return ClientOrderTracker(PubSub(logging.getLogger("test")), finished_orders_max=2)


def make(order_id: str = "17", **changes: object) -> InFlightOrder:
    fields: dict = {
        "client_order_id": order_id, "trading_pair": "BTC-USDT", "order_type": OrderType.LIMIT,
        "trade_type": TradeType.BUY, "amount": Decimal("2"), "creation_timestamp": 1_700_000_000.25,
        "price": Decimal("60000.1"), "position": PositionAction.OPEN, "leverage": 3,
    }  # fmt: skip
    return InFlightOrder(**(fields | changes))


def report(state: OrderState, time: float, **changes: object) -> OrderUpdate:
    return OrderUpdate("BTC-USDT", time, state, **({"client_order_id": "17"} | changes))


def test_an_order_says_what_it_was_made_of() -> None:
    order = make()
    assert (order.client_order_id, order.trading_pair, order.base_asset, order.quote_asset) == (
        "17", "BTC-USDT", "BTC", "USDT",
    )  # fmt: skip
    assert (order.order_type, order.trade_type, order.position) == (OrderType.LIMIT, TradeType.BUY, PositionAction.OPEN)
    assert (order.amount, order.price, order.leverage) == (Decimal(2), Decimal("60000.1"), 3)
    assert order.creation_timestamp == order.last_update_timestamp == 1_700_000_000.25
    assert order.creation_timestamp_ns == 1_700_000_000_250_000_000
    assert (order.current_state, order.is_open, order.is_done, order.is_filled) == (
        OrderState.PENDING_CREATE, True, False, False,
    )  # fmt: skip
    assert order.is_pending_create
    assert not order.is_tracked
    assert order.exchange_order_id is order.average_executed_price is None
    assert order.order_fills == {}
    assert (order.client_id, order.executed_amount_base, order.executed_amount_quote) == (0, 0, 0)
    assert "17" in repr(order)
    assert "PENDING_CREATE" in repr(order)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("amount", 0, OrderValidationError),  # flaw 12: amount 0 was done and open
        ("amount", "-1", OrderValidationError),
        ("amount", 0.5, AmountError),
        ("amount", "1e21", AmountError),  # flaw 12: failed after the first fill had changed the sums
        ("amount", Decimal("NaN"), AmountError),
        ("price", 60000.0, AmountError),
        ("trading_pair", "BTCUSDT", OrderValidationError),
        ("trading_pair", "A-B-C", OrderValidationError),
        ("exchange_order_id", "x" * 72, OrderValidationError),
        ("position", "OPEN", OrderValidationError),
        ("position", None, OrderValidationError),
        ("client_order_id", None, TypeError),
        ("exchange_order_id", 123, TypeError),  # flaw 11: an int id was not found under its text
    ],
)
def test_an_order_that_makes_no_sense_is_not_made(field: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(**{field: value})


def test_a_market_order_has_no_price() -> None:
    assert make(order_type=OrderType.MARKET, price=None).price is None


def test_the_view_follows_the_tracker_and_stays_as_a_copy(tracker: ClientOrderTracker, kit) -> None:
    order = make()
    tracker.start_tracking_order(order)
    assert order.is_tracked
    assert order.client_id == 17
    tracker.process_order_update(report(OrderState.OPEN, 2.0, exchange_order_id="900"))
    tracker.process_trade_update(kit.trade_update("17", "t1", "0.5", "60000"))
    assert (order.current_state, order.exchange_order_id) == (OrderState.PARTIALLY_FILLED, "1")
    assert (order.executed_amount_base, order.executed_amount_quote) == (Decimal("0.5"), Decimal(30000))
    assert order.average_executed_price == 60000
    assert order.last_update_timestamp == 2.0
    assert 0 < order.acked_ns <= order.first_fill_ns
    assert order.done_ns == 0
    assert order.cumulative_fee_paid("USDT") == Decimal("0.01")
    assert order.cumulative_fee_paid("BNB") == 0
    fills = order.order_fills
    assert fills["t1"] == kit.trade_update("17", "t1", "0.5", "60000")
    tracker.stop_tracking_order("17")
    assert not order.is_tracked
    for number in range(100, 200):  # the slot is used again, by others
        tracker.start_tracking_order(make(str(number), amount=9))
    assert (order.client_order_id, order.amount, order.current_state) == (
        "17", Decimal(2), OrderState.PARTIALLY_FILLED,
    )  # fmt: skip
    assert order.order_fills == fills
    assert order.order_fills is not order.order_fills  # a caller cannot change it


def test_a_view_keeps_its_records_alive_after_the_tracker_is_dropped() -> None:
    orders = []
    for _ in range(20):
        tracker = ClientOrderTracker(PubSub(logging.getLogger("test")))
        for number in range(1, 50):
            order = make(str(number))
            tracker.start_tracking_order(order)
            orders.append(order)
    del tracker
    gc.collect()
    assert {order.amount for order in orders} == {Decimal(2)}
    assert all(order.is_tracked and str(order.client_id) == order.client_order_id for order in orders)
    del order, orders
    gc.collect()  # tracker and orders refer to each other: only the collector frees them


def test_an_order_has_one_tracker(tracker: ClientOrderTracker) -> None:
    other = ClientOrderTracker(PubSub(logging.getLogger("test")))
    order = make()
    tracker.start_tracking_order(order)
    for again in (tracker, other):
        with pytest.raises(OrderValidationError, match="tracked already"):
            again.start_tracking_order(order)
    assert other.all_orders == {}
    tracker.stop_tracking_order("17")
    other.start_tracking_order(order)
    assert other.fetch_order("17") is order


def test_an_order_tracked_again_brings_its_fills_along(tracker: ClientOrderTracker, kit) -> None:
    order = make()
    tracker.start_tracking_order(order)
    fill = kit.trade_update("17", "t1", "0.5")
    tracker.process_trade_update(fill)
    tracker.stop_tracking_order("17")
    tracker.start_tracking_order(order)
    tracker.process_trade_update(fill)
    assert order.executed_amount_base == Decimal("0.5")
    assert order.order_fills == {"t1": fill}
    assert tracker.update_counts["duplicate_fill"] == 1


@pytest.mark.parametrize("price", [Decimal("60000.1"), None])  # flaw 13: a price of None did not come back
def test_json_gives_the_same_order_back(tracker: ClientOrderTracker, price: Decimal | None, kit) -> None:
    events: list = []
    order = make(price=price, order_type=OrderType.LIMIT if price else OrderType.MARKET)
    tracker.start_tracking_order(order)
    tracker.process_order_update(report(OrderState.OPEN, 2.0, exchange_order_id="900"))
    fill = kit.trade_update("17", "t1", "0.5", exchange_id="900")._replace(is_taker=False)
    tracker.process_trade_update(fill)
    data = json.loads(json.dumps(order.to_json()))
    back = InFlightOrder.from_json(data)
    assert back.to_json() == order.to_json()
    assert back.price == price
    assert back.order_fills["t1"].is_taker is False
    pubsub = PubSub(logging.getLogger("test"))
    for tag in (MarketEvent.BuyOrderCreated, MarketEvent.OrderFilled, MarketEvent.BuyOrderCompleted):
        pubsub.add_listener(tag, events.append)
    later = ClientOrderTracker(pubsub)
    later.start_tracking_order(back)
    assert later.fetch_order(exchange_order_id="900") is back
    later.process_order_update(report(OrderState.OPEN, 3.0))
    later.process_trade_update(fill)
    assert events == []  # all of it was told before
    later.process_trade_update(kit.trade_update("17", "t2", "1.5", exchange_id="900"))
    assert [type(event).__name__ for event in events] == ["OrderFilledEvent", "BuyOrderCompletedEvent"]
    assert events[1].base_asset_amount == 2


def test_json_whose_sums_are_not_its_fills_is_refused(tracker: ClientOrderTracker, kit) -> None:
    order = make()
    tracker.start_tracking_order(order)
    tracker.process_trade_update(kit.trade_update("17", "t1", "0.5"))
    data = order.to_json()
    data["executed_amount_base"] = "1"
    with pytest.raises(AmountError, match="not the sums"):
        InFlightOrder.from_json(data)


def test_an_order_cannot_be_copied_behind_the_trackers_back() -> None:
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            duplicate(make())


@pytest.mark.parametrize("time", [float("nan"), float("inf"), -float("inf"), 1e300, -1e300])
def test_a_time_that_is_none_counts_as_no_time(tracker: ClientOrderTracker, time: float) -> None:
    order = make()
    tracker.start_tracking_order(order)
    tracker.process_order_update(report(OrderState.OPEN, time))
    assert order.current_state is OrderState.OPEN
    assert order.last_update_timestamp == order.creation_timestamp


def test_times_in_seconds_keep_their_microseconds(tracker: ClientOrderTracker) -> None:
    order = make()
    tracker.start_tracking_order(order)
    for micros in range(1_723_075_200_000_001, 1_723_075_200_000_500, 7):
        tracker.process_order_update(report(OrderState.OPEN, micros / 1e6))
        assert order.last_update_timestamp == micros / 1e6


async def test_waiting_ends_with_the_event_waited_for(tracker: ClientOrderTracker, kit) -> None:
    order = make()
    tracker.start_tracking_order(order)
    with pytest.raises(TimeoutError):
        await order.get_exchange_order_id(timeout=0)
    waits = [
        asyncio.ensure_future(wait)
        for wait in (order.get_exchange_order_id(), order.wait_until_processed_by_exchange(),
                     order.wait_until_completely_filled(), order.wait_until_done())
    ]  # fmt: skip
    await asyncio.sleep(0)
    tracker.process_order_update(report(OrderState.OPEN, 2.0, exchange_order_id="900"))
    assert await waits[0] == "900"
    await waits[1]
    assert not waits[2].done()
    assert not waits[3].done()
    tracker.process_trade_update(kit.trade_update("17", "t1", "2"))
    await asyncio.gather(*waits)
