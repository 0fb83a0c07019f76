"""Finding out what became of an order: defects of qtxconn that the simulation found, each as a story of its own."""

from __future__ import annotations

import asyncio

import pytest

from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import OrderState, OrderType, OrderUpdate, TradeType, TradeUpdate
from qtxconn.errors import InvalidRequestError, MessageError, OrderNotFoundError, RequestTimeoutError

PAIR = "BTC-USDT"


async def test_fills_of_an_order_of_which_a_query_is_the_first_word_are_read_at_once(kit) -> None:
    class FillsByVenueId(kit.exchange_class):
        async def _all_trade_updates_for_order(self, order: InFlightOrder) -> list[TradeUpdate]:
            return await super()._all_trade_updates_for_order(order) if order.exchange_order_id else []

    async with FillsByVenueId(clock=kit.clock_class()) as exchange:
        exchange.fail["place_answer"] = RequestTimeoutError("no answer")
        exchange.hold["query"] = asyncio.Event()
        order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
        await kit.settle(lambda: "query" in exchange.calls)
        exchange.venue.execute(order_id, "0.5")
        exchange.hold.pop("query").set()
        await kit.turns()
        assert exchange.kinds(order_id) == ["created", "filled", "completed"]
        assert exchange.calls.count("query") == 1


async def test_a_catch_up_query_that_fails_is_repeated_without_waiting_for_the_next_poll(exchange, kit) -> None:
    exchange.status_poll_interval_s = 1e6
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    await exchange._clock.advance(1.5)
    exchange._set_connected(False)
    exchange.venue.execute(order_id, "0.5")
    exchange.fail["query"] = RequestTimeoutError("no answer")
    exchange._set_connected(True)
    await exchange._clock.advance(1.5)
    assert exchange.order(order_id).is_open
    exchange.fail.clear()
    await exchange._clock.advance(10)
    assert exchange.kinds(order_id) == ["created", "filled", "completed"]


async def test_an_order_that_ends_while_it_is_asked_about_has_not_vanished(exchange, kit) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    del exchange.venue.orders[order_id]
    assert exchange.cancel(PAIR, order_id)
    await exchange._clock.advance(5)
    asked = exchange.calls.count("query")
    exchange.hold["query"] = asyncio.Event()
    await exchange._clock.advance(5)  # beyond the dead time: the next "no such order" would be evidence
    assert exchange.calls.count("query") == asked + 1
    exchange.stream(OrderUpdate(PAIR, exchange.venue.now(), OrderState.CANCELED, order_id))
    exchange.hold.pop("query").set()
    await exchange._clock.advance(10)
    assert exchange.kinds(order_id) == ["created", "cancelled"]
    assert "order_vanished" not in exchange.alarm_kinds()


async def test_a_denial_counts_only_from_the_last_sign_of_life(exchange, kit) -> None:
    """The stream showed the order while it was asked about; queries, from a copy that lags, did not see it yet."""
    exchange.fail["place_answer"] = RequestTimeoutError("no answer")
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.order(order_id).current_state is OrderState.UNKNOWN)
    order = exchange.venue.orders.pop(order_id)
    exchange.fail["query"] = OrderNotFoundError("Order does not exist.", code=-2013)
    await exchange._clock.advance(exchange.submit_dead_after_s - 0.5)
    exchange.venue.orders[order_id] = order
    exchange.stream(exchange.venue.report(order_id))
    exchange._order_tracker.mark_unknown(exchange.order(order_id))  # whatever made it doubtful again
    await exchange._clock.advance(3.0)
    assert exchange.order(order_id).is_open
    del exchange.fail["query"]
    await exchange._clock.advance(10.0)
    assert exchange.order(order_id).current_state is OrderState.OPEN
    assert exchange.kinds(order_id) == ["created"]


async def test_disconnect_ends_though_a_task_takes_the_cancellation_for_its_own_time_out(exchange, kit) -> None:
    cancelled = 0

    async def stubborn() -> None:
        nonlocal cancelled
        while cancelled < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1

    exchange._spawn(stubborn(), "stubborn")
    await kit.turns()
    await asyncio.wait_for(exchange.disconnect(), 30)
    assert cancelled == 2


async def test_a_fill_that_comes_while_the_venue_is_asked_does_not_hide_one_that_was_lost(exchange, kit) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    await exchange._clock.advance(1.5)
    exchange._set_connected(False)
    exchange.venue.execute(order_id, "0.1")  # lost with the stream
    answer = exchange.venue.report(order_id)
    exchange.hold["query"] = asyncio.Event()
    exchange._set_connected(True)
    await exchange._clock.advance(1.5)
    assert exchange.calls[-1] == "query"
    fill = exchange.venue.execute(order_id, "0.2")
    exchange.stream(fill)  # by now more is executed here than the answer on its way counts
    exchange.venue.report = lambda order_id: answer
    exchange.hold.pop("query").set()
    await kit.turns()
    assert exchange.order(order_id).executed_amount_base == exchange.venue.orders[order_id]["done"]


@pytest.mark.parametrize("hook", ["_request_order_status", "_trade_updates_since"])
async def test_an_answer_that_cannot_be_read_keeps_no_other_order_from_being_recovered(
    exchange, kit, monkeypatch, hook: str
) -> None:
    odd, plain = (exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000") for _ in range(2))
    await kit.settle(lambda: len(exchange.events) == 2)
    whole = getattr(exchange, hook)

    async def damaged(asked, *more):
        if hook == "_trade_updates_since" or asked.client_order_id == odd:
            raise MessageError("unknown order status 'WEIRD'")
        return await whole(asked, *more)

    monkeypatch.setattr(type(exchange), hook, lambda _, *asked: damaged(*asked))
    exchange.venue.execute(plain, "0.5")
    await exchange._recover_orders(0.0)
    await kit.settle(lambda: exchange.order(plain).is_done)
    assert exchange.order(odd).is_open
    await exchange._clock.advance(100)
    told = [alarm.order_id for alarm in exchange.alarms if alarm.kind == "lookup_failed"]
    assert told == ([odd] if hook == "_request_order_status" else [])  # once, though it is asked on
    monkeypatch.undo()
    exchange.venue.execute(odd, "0.5")
    await exchange._clock.advance(31)
    assert exchange.order(odd).current_state is OrderState.FILLED


async def test_an_adopted_order_whose_id_the_venue_calls_malformed_ends_with_an_alarm(exchange, kit) -> None:
    exchange.fail["query"] = InvalidRequestError("Illegal characters found in parameter 'orderId'.", code=-1100)
    ours = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    adopted = exchange.adopt_external_order(PAIR, "nonsense", TradeType.BUY, "1", price="60000")
    order = exchange.order(adopted)
    await exchange._clock.advance(60)
    assert order.current_state is OrderState.CANCELED
    assert [alarm.kind for alarm in exchange.alarms if alarm.order_id == adopted] == ["order_vanished"]
    assert exchange.order(ours).is_open  # of an id of our own it says nothing
