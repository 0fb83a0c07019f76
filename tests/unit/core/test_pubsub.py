"""Delivery of events: in order, to everybody, whatever a listener does."""

from __future__ import annotations

import logging

import pytest

from qtxconn.core.events import (
    EVENT_ROUTES,
    BuyOrderCreatedEvent,
    ErrorEvent,
    ErrorEventListener,
    EventListener,
    OrderCancelledEvent,
    OrderEventListener,
    OrderFilledEvent,
    TradeEventListener,
)
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import AccountEvent, MarketEvent

CANCELLED = OrderCancelledEvent(1.0, "a")


@pytest.fixture
def pubsub() -> PubSub:
    return PubSub(logging.getLogger("test.pubsub"))


def test_a_raising_listener_is_logged_and_counted_and_stops_nobody(
    pubsub: PubSub, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []

    def bad(event: object) -> None:
        raise RuntimeError("a strategy's bug")

    pubsub.add_listener(MarketEvent.OrderCancelled, bad)
    pubsub.add_listener(MarketEvent.OrderCancelled, seen.append)
    pubsub.publish(CANCELLED)
    assert seen == [CANCELLED]
    assert pubsub.listener_errors == 1
    assert "a strategy's bug" in caplog.text


@pytest.mark.parametrize("tag", ["OrderFilled", 107, None, OrderFilledEvent])
def test_a_listener_that_could_never_hear_anything_is_refused(pubsub: PubSub, tag: object) -> None:
    with pytest.raises(TypeError, match="must be a MarketEvent"):
        pubsub.add_listener(tag, print)
    with pytest.raises(TypeError, match="must be callable"):
        pubsub.add_listener(MarketEvent.OrderFilled, tag if tag is not OrderFilledEvent else object())
    assert pubsub.get_listeners(MarketEvent.OrderFilled) == []


def test_listeners_are_called_in_the_order_they_were_added_and_once(pubsub: PubSub) -> None:
    seen: list[str] = []
    first, second = (lambda event: seen.append("first")), (lambda event: seen.append("second"))
    for listener in (first, second, first):
        pubsub.add_listener(MarketEvent.OrderCancelled, listener)
    pubsub.publish(CANCELLED)
    assert seen == ["first", "second"]
    pubsub.remove_listener(MarketEvent.OrderCancelled, first)
    pubsub.remove_listener(MarketEvent.OrderCancelled, first)  # twice is harmless
    pubsub.publish(CANCELLED)
    assert seen == ["first", "second", "second"]
    assert pubsub.get_listeners(MarketEvent.OrderCancelled) == [second]


def test_a_listener_may_add_and_remove_listeners_while_called(pubsub: PubSub) -> None:
    seen: list[str] = []

    def once(event: object) -> None:
        seen.append("once")
        pubsub.remove_listener(MarketEvent.OrderCancelled, once)
        pubsub.add_listener(MarketEvent.OrderCancelled, lambda event: seen.append("new"))

    pubsub.add_listener(MarketEvent.OrderCancelled, once)
    pubsub.add_listener(MarketEvent.OrderCancelled, lambda event: seen.append("other"))
    pubsub.publish(CANCELLED)
    assert seen == ["once", "other"]
    pubsub.publish(CANCELLED)
    assert seen == ["once", "other", "other", "new"]


def test_typed_listeners_get_every_event_that_has_a_route(pubsub: PubSub) -> None:
    methods = {method for _, method in EVENT_ROUTES.values()}
    assert methods == {
        name for kind in (OrderEventListener, TradeEventListener) for name in vars(kind) if name.startswith("on_")
    }
    seen: list[str] = []

    class Orders(OrderEventListener):
        def on_order_cancelled(self, event: OrderCancelledEvent) -> None:
            seen.append("cancelled")

    class Trades(TradeEventListener):
        def on_order_filled(self, event: OrderFilledEvent) -> None:
            seen.append("filled")

    pubsub.set_order_event_listener(Orders())
    pubsub.set_trade_event_listener(Trades())
    pubsub.publish(CANCELLED)
    pubsub.publish(BuyOrderCreatedEvent(1.0, None, "A-B", 1, 1, "a", 1.0))
    pubsub.publish(OrderFilledEvent(1.0, "a", "A-B", None, None, 1, 1, None))
    assert seen == ["cancelled", "filled"]
    pubsub.set_order_event_listener(None)
    pubsub.publish(CANCELLED)
    assert seen == ["cancelled", "filled"]


def test_a_typed_listener_that_lacks_a_method_stops_nothing(pubsub: PubSub) -> None:
    class OnlyCancels:
        seen = 0

        def on_order_cancelled(self, event: object) -> None:
            self.seen += 1

    listener = OnlyCancels()
    pubsub.set_order_event_listener(listener)
    pubsub.set_error_event_listener(listener)
    pubsub.publish(BuyOrderCreatedEvent(1.0, None, "A-B", 1, 1, "a", 1.0))
    pubsub.publish(CANCELLED)
    pubsub.publish_error(ErrorEvent(1.0, "task", "no on_error here"))
    assert (listener.seen, pubsub.listener_errors) == (1, 0)


def test_alarms_are_logged_and_reach_the_error_listener(pubsub: PubSub, caplog: pytest.LogCaptureFixture) -> None:
    class Alarms(ErrorEventListener):
        def on_error(self, event: ErrorEvent) -> None:
            raise RuntimeError("even this listener may raise")

    pubsub.set_error_event_listener(Alarms())
    pubsub.publish_error(ErrorEvent(1.0, "overfill", "too much"))
    assert "overfill: too much" in caplog.text
    assert pubsub.listener_errors == 1


def test_events_with_only_a_tag_reach_the_listeners_of_the_tag(pubsub: PubSub) -> None:
    seen: list[object] = []
    pubsub.add_listener(AccountEvent.PositionUpdate, seen.append)
    pubsub.publish_to(AccountEvent.PositionUpdate, "position")
    pubsub.publish_to(AccountEvent.MarginCall, "call")
    assert seen == ["position"]


def test_event_listener_says_what_to_define() -> None:
    with pytest.raises(NotImplementedError, match="__call__"):
        EventListener()(object())
