"""Amends through a connector: accepted, refused, unanswered, raced by fills and cancels."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.types import OrderState, OrderType
from qtxconn.errors import (
    InvalidRequestError,
    NetworkError,
    NotReadyError,
    OrderRejectedError,
    OrderValidationError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestTimeoutError,
    ThrottledError,
)

PAIR = "BTC-USDT"
SILENCES = [
    RequestTimeoutError("no answer in 5 s"),
    NetworkError("name resolution failed"),
    OutcomeUnknownError("Internal error", code=-1001, http_status=503),
]
REFUSALS = [  # or never sent
    InvalidRequestError("No need to modify the order.", code=-5027),
    RateLimitedError("slow down", code=-1003, http_status=429),
    ThrottledError("not sent: the rate limit leaves no room for 30 s", retry_after=30.0),
]
by_name = {"ids": lambda error: type(error).__name__}


async def open_order(exchange: Any, kit: Any) -> Any:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.order(order_id).current_state is OrderState.OPEN)
    return exchange.order(order_id)


def amend(exchange: Any, order: Any, **changes: Any) -> bool:
    return exchange.amend(PAIR, order.client_order_id, **changes)


async def test_an_amend_changes_price_and_amount_and_is_told_once(exchange, kit) -> None:
    order = await open_order(exchange, kit)
    assert amend(exchange, order, price="60010.19", amount="0.7009")
    assert order.current_state is OrderState.PENDING_UPDATE
    await kit.settle(lambda: order.current_state is OrderState.OPEN)
    assert (order.price, order.amount) == (Decimal("60010.1"), Decimal("0.7"))
    assert exchange.kinds() == ["created", "amended"]
    event = exchange.events[-1]
    assert (event.old_price, event.new_price) == (Decimal("60000"), Decimal("60010.1"))
    assert (event.old_amount, event.new_amount) == (Decimal("0.5"), Decimal("0.7"))
    exchange.stream(exchange.venue.report(order.client_order_id))  # the stream says it again
    assert exchange.kinds() == ["created", "amended"]
    exchange.stream(exchange.venue.execute(order.client_order_id, "0.7"))
    assert exchange.kinds() == ["created", "amended", "filled", "completed"]


async def test_a_price_alone_leaves_the_amount_and_an_amount_alone_the_price(exchange, kit) -> None:
    order = await open_order(exchange, kit)
    assert amend(exchange, order, price="60001")
    await kit.settle(lambda: order.current_state is OrderState.OPEN)
    assert (order.price, order.amount) == (Decimal("60001"), Decimal("0.5"))
    assert amend(exchange, order, amount="0.4")
    await kit.settle(lambda: order.current_state is OrderState.OPEN)
    assert (order.price, order.amount) == (Decimal("60001"), Decimal("0.4"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "needs a price or an amount"),
        ({"price": 0}, "must be positive"),
        ({"amount": "0.0001"}, "must be positive"),
        ({"price": "60000", "amount": "0.5"}, "already"),
        ({"amount": "0.2"}, "cancel the order instead"),
        ({"amount": "0.1"}, "cancel the order instead"),
        ({"price": "nonsense"}, "price"),
    ],
    ids=str,
)
async def test_a_change_that_breaks_the_rules_raises_and_sends_nothing(exchange, kit, changes, told) -> None:
    order = await open_order(exchange, kit)
    exchange.stream(exchange.venue.execute(order.client_order_id, "0.2"))
    with pytest.raises(OrderValidationError, match=told):
        amend(exchange, order, **changes)
    assert order.current_state is OrderState.PARTIALLY_FILLED
    assert "amend" not in exchange.calls


@pytest.mark.parametrize("error", REFUSALS, **by_name)
async def test_a_refused_amend_gives_the_order_back_as_it_was(exchange, kit, error: Exception) -> None:
    order = await open_order(exchange, kit)
    exchange.fail["amend"] = error
    assert amend(exchange, order, price="60001")
    await kit.settle(lambda: exchange.alarms)
    assert exchange.alarm_kinds() == ["amend_failed"]
    await kit.turns()
    assert order.current_state is OrderState.OPEN
    assert order.price == Decimal("60000")
    assert exchange.kinds() == ["created"]


async def test_a_refused_amend_of_a_partly_filled_order_gives_it_back_partly_filled(exchange, kit) -> None:
    order = await open_order(exchange, kit)
    exchange.stream(exchange.venue.execute(order.client_order_id, "0.2"))
    exchange.fail["amend"] = OrderRejectedError("no", code=-2010)
    amend(exchange, order, price="60001")
    await kit.settle(lambda: exchange.alarms)
    assert order.current_state is OrderState.PARTIALLY_FILLED


@pytest.mark.parametrize("error", SILENCES, **by_name)
async def test_an_unanswered_amend_that_took_effect_is_found_by_asking(exchange, kit, error: Exception) -> None:
    order = await open_order(exchange, kit)
    exchange.fail["amend_answer"] = error
    amend(exchange, order, price="60001", amount="0.6")
    await kit.settle(lambda: exchange.kinds() == ["created", "amended"])
    assert exchange.alarm_kinds() == ["amend_unanswered"]
    assert (order.price, order.amount) == (Decimal("60001"), Decimal("0.6"))
    assert order.current_state is OrderState.OPEN
    assert exchange.calls.count("amend") == 1  # never sent again


@pytest.mark.parametrize("error", SILENCES, **by_name)
async def test_an_unanswered_amend_that_was_lost_leaves_the_order_as_it_was(exchange, kit, error: Exception) -> None:
    order = await open_order(exchange, kit)
    exchange.fail["amend"] = error
    amend(exchange, order, price="60001")
    await kit.settle(lambda: "query" in exchange.calls)
    await kit.turns()
    assert (order.current_state, order.price) == (OrderState.OPEN, Decimal("60000"))
    assert exchange.kinds() == ["created"]


async def test_an_amend_of_an_order_that_was_filled_meanwhile_ends_filled(exchange, kit) -> None:
    order = await open_order(exchange, kit)
    exchange.venue.execute(order.client_order_id, "0.5")  # the stream has not told it yet
    amend(exchange, order, price="60001")
    await kit.settle(lambda: order.is_done)
    assert exchange.kinds() == ["created", "filled", "completed"]


async def test_an_amend_below_what_was_filled_meanwhile_cancels_as_the_venue_does(exchange, kit) -> None:
    order = await open_order(exchange, kit)
    exchange.hold["amend"] = asyncio.Event()
    amend(exchange, order, amount="0.3")
    await kit.settle(lambda: "amend" in exchange.calls)
    fill = exchange.venue.execute(order.client_order_id, "0.4")
    exchange.hold["amend"].set()
    await kit.settle(lambda: exchange.venue.orders[order.client_order_id]["state"] is OrderState.CANCELED)
    exchange.stream(fill)
    await kit.settle(lambda: order.is_done)
    assert exchange.kinds() == ["created", "filled", "cancelled"]
    assert order.executed_amount_base == Decimal("0.4")


async def test_fills_during_the_amend_are_booked_and_the_order_stays_pending(exchange, kit) -> None:
    order = await open_order(exchange, kit)
    exchange.hold["amend"] = asyncio.Event()
    amend(exchange, order, price="60001")
    await kit.settle(lambda: "amend" in exchange.calls)
    exchange.stream(exchange.venue.execute(order.client_order_id, "0.1"))
    assert order.current_state is OrderState.PENDING_UPDATE
    exchange.hold["amend"].set()
    await kit.settle(lambda: order.current_state is OrderState.PARTIALLY_FILLED)
    assert order.price == Decimal("60001")


async def test_a_cancel_during_the_amend_ends_the_order_whatever_the_amend_brings(exchange, kit) -> None:
    order = await open_order(exchange, kit)
    exchange.hold["amend_answer"] = asyncio.Event()
    amend(exchange, order, price="60001")
    await kit.settle(lambda: "amend_answer" in exchange.calls)
    assert exchange.cancel(PAIR, order.client_order_id)
    await kit.settle(lambda: order.is_done)
    exchange.hold["amend_answer"].set()
    await kit.turns()
    assert order.current_state is OrderState.CANCELED
    assert exchange.kinds()[-1] == "cancelled"


async def test_while_something_is_pending_nothing_is_sent(exchange, kit) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    assert not exchange.amend(PAIR, order_id, price="60001")  # no word of it yet
    order = exchange.order(order_id)
    await kit.settle(lambda: order.current_state is OrderState.OPEN)
    assert amend(exchange, order, price="60001")
    assert not amend(exchange, order, price="60002")
    await kit.settle(lambda: order.current_state is OrderState.OPEN)
    assert exchange.cancel(PAIR, order_id)
    assert not amend(exchange, order, price="60003")
    await kit.settle(lambda: order.is_done)
    assert not amend(exchange, order, price="60004")
    assert not exchange.amend(PAIR, "nobody", price="60004")
    assert exchange.calls.count("amend") == 1


async def test_fills_beyond_the_old_amount_are_booked_when_the_amend_was_made_elsewhere(exchange, kit) -> None:
    order = await open_order(exchange, kit)
    exchange.venue.amend(order.client_order_id, Decimal("60000"), Decimal("0.9"))
    exchange.venue.execute(order.client_order_id, "0.8")  # neither was told by the stream
    await exchange._clock.advance(exchange.status_poll_interval_s + 1)
    assert order.executed_amount_base == Decimal("0.8")
    assert order.amount == Decimal("0.9")
    assert exchange.kinds() == ["created", "amended", "filled"]
    assert exchange.alarm_kinds() == []


@pytest.mark.parametrize("read_again", ["_refresh_order", "_recover_orders"])
async def test_an_amend_between_the_answers_about_order_and_fills_is_no_overfill(exchange, kit, read_again) -> None:
    order = await open_order(exchange, kit)
    exchange.venue.execute(order.client_order_id, "0.1")
    exchange.hold["trades"] = asyncio.Event()
    if read_again == "_recover_orders":
        reading = asyncio.ensure_future(exchange._recover_orders(0.0))
    else:
        reading = asyncio.ensure_future(exchange._clock.advance(exchange.status_poll_interval_s + 1))
    await kit.settle(lambda: "trades" in exchange.calls)  # the order has been read, its fills have not
    exchange.venue.amend(order.client_order_id, Decimal("60000"), Decimal("0.9"))
    exchange.venue.execute(order.client_order_id, "0.7")
    exchange.hold["trades"].set()
    await reading
    await kit.settle(lambda: order.executed_amount_base == Decimal("0.8"))
    assert order.amount == Decimal("0.9")
    assert exchange.kinds() == ["created", "amended", "filled", "filled"]
    assert exchange.alarm_kinds() == []


async def test_the_price_of_an_order_that_was_amended_and_filled_between_two_answers_is_the_new_one(exchange, kit):
    order = await open_order(exchange, kit)
    exchange.venue.execute(order.client_order_id, "0.1")
    exchange.hold["trades"] = asyncio.Event()
    reading = asyncio.ensure_future(exchange._clock.advance(exchange.status_poll_interval_s + 1))
    await kit.settle(lambda: "trades" in exchange.calls)
    exchange.venue.amend(order.client_order_id, Decimal("60000.5"), Decimal("0.5"))
    exchange.venue.execute(order.client_order_id, "0.4")
    exchange.hold["trades"].set()
    await reading
    await kit.settle(lambda: order.is_done)
    assert (order.current_state, order.price) == (OrderState.FILLED, Decimal("60000.5"))


async def test_a_report_of_the_amends_own_millisecond_is_older_than_the_end(exchange, kit) -> None:
    order = await open_order(exchange, kit)
    exchange.venue.execute(order.client_order_id, "0.1")
    trade = exchange.venue.orders[order.client_order_id]["trades"][0]
    before = exchange.venue.report(order.client_order_id)
    exchange.venue.amend(order.client_order_id, Decimal("60000.5"), Decimal("0.5"))
    exchange.venue.end(order.client_order_id, OrderState.EXPIRED)
    end = exchange.venue.report(order.client_order_id)
    before = before._replace(update_timestamp=end.update_timestamp)
    for report in (end, before):  # the stream turned them round
        exchange._process_amend(report)
        exchange.stream(report)
    assert (order.awaits_fills, order.price) == (True, Decimal("60000.5"))
    exchange.stream(trade)
    assert (order.current_state, order.price) == (OrderState.EXPIRED, Decimal("60000.5"))


async def test_market_orders_unconnected_and_unable_connectors_are_refused(exchange, kit, monkeypatch) -> None:
    market = exchange.order(exchange.buy(PAIR, "0.5", OrderType.MARKET))
    await kit.settle(lambda: market.current_state is OrderState.OPEN)
    with pytest.raises(OrderValidationError, match="only limits are amended"):
        amend(exchange, market, price="60001")
    order = await open_order(exchange, kit)
    monkeypatch.setattr(type(exchange), "supports_amend", False)
    with pytest.raises(OrderValidationError, match="does not amend orders"):
        amend(exchange, order, price="60001")
    monkeypatch.undo()
    await exchange.disconnect()
    with pytest.raises((NotReadyError, OrderValidationError)):
        amend(exchange, order, price="60001")
