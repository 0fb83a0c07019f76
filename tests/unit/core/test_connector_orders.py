"""Orders through a connector: what becomes of each when the venue accepts, refuses, is silent, or is overtaken."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.types import MarketEvent, OrderState, OrderType, OrderUpdate, PositionAction
from qtxconn.errors import (
    DuplicateOrderIdError,
    InsufficientBalanceError,
    NetworkError,
    NotReadyError,
    OrderNotFoundError,
    OrderRejectedError,
    OrderValidationError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestTimeoutError,
    ThrottledError,
    VenueError,
)

PAIR = "BTC-USDT"
SILENCES = [
    RequestTimeoutError("no answer in 5 s"),
    NetworkError("name resolution failed"),
    OutcomeUnknownError("Internal error; unable to process your request", code=-1001, http_status=503),
    RateLimitedError("Too many requests", http_status=429),
    OSError("connection reset"),
    TimeoutError(),
    DuplicateOrderIdError("Client order id is duplicated.", code=-4116),
]
by_name = {"ids": lambda error: type(error).__name__}


def buy(exchange: Any, amount: Any = "0.5", price: Any = "60000", **kwargs: Any) -> str:
    return exchange.buy(PAIR, amount, OrderType.LIMIT, price, **kwargs)


# -- submit ------------------------------------------------------------------------------------------------------


async def test_buy_returns_with_the_order_tracked_before_the_first_byte_leaves(exchange, kit) -> None:
    order_id = buy(exchange, "0.5009", "60000.19")
    order = exchange.in_flight_orders[order_id]
    assert "place" not in exchange.calls
    assert (order.current_state, order.amount, order.price) == (
        OrderState.PENDING_CREATE, Decimal("0.5"), Decimal("60000.1"),
    )  # fmt: skip
    assert order.client_id == int(order_id)
    await kit.settle(lambda: exchange.events)
    assert order.current_state is OrderState.OPEN
    assert order.exchange_order_id == "1"
    assert order.creation_timestamp_ns <= order.submitted_ns <= order.acked_ns
    assert exchange.kinds() == ["created"]


async def test_a_sell_rounds_its_price_up_and_is_created_as_a_sell(exchange, kit) -> None:
    order_id = exchange.sell(PAIR, "0.5", OrderType.LIMIT, "60000.11")
    assert exchange.order(order_id).price == Decimal("60000.2")
    await kit.settle(lambda: exchange.events)
    assert type(exchange.events[0]).__name__ == "SellOrderCreatedEvent"


async def test_options_of_buy_reach_the_hook_once(exchange, kit) -> None:
    buy(exchange, position_action=PositionAction.CLOSE, reduce_only=True)
    await kit.settle(lambda: exchange.options)
    assert exchange.options == [{"position_action": PositionAction.CLOSE, "reduce_only": True}]
    assert exchange._order_options == {}


@pytest.mark.parametrize(
    "error",
    [
        OrderRejectedError("no", code=-2010),
        InsufficientBalanceError("x", code=-2019),
        ThrottledError("not sent", retry_after=30.0),
    ],
    **by_name,
)
async def test_the_venues_refusal_fails_the_order_with_its_words(exchange, kit, error: VenueError) -> None:
    exchange.fail["place"] = error
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    await kit.turns()
    assert exchange.kinds() == ["failed"]
    event = exchange.events[0]
    assert (event.order_id, event.error_message, event.error_type) == (order_id, str(error), type(error).__name__)
    assert exchange.order(order_id).is_failure
    assert exchange.in_flight_orders == {}
    assert "query" not in exchange.calls


@pytest.mark.parametrize("error", SILENCES, **by_name)
async def test_silence_after_the_venue_accepted_finds_the_order_alive(exchange, kit, error: Exception) -> None:
    exchange.fail["place_answer"] = error  # flaw 4: reported as a failure while the order lives
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    assert exchange.order(order_id).current_state is OrderState.OPEN
    assert exchange.kinds() == ["created"]
    assert exchange.alarm_kinds() == ["outcome_unknown"]
    assert exchange.calls.count("place") == 1  # never sent again


@pytest.mark.parametrize("error", SILENCES, **by_name)
async def test_silence_without_an_order_ends_only_when_it_can_no_longer_be_accepted(exchange, kit, error) -> None:
    exchange.fail["place"] = error
    order_id = buy(exchange)
    await kit.settle(lambda: "query" in exchange.calls)
    await exchange._clock.advance(exchange.submit_dead_after_s - 0.1)
    order = exchange.order(order_id)
    assert order.current_state is OrderState.UNKNOWN
    assert order.is_open
    assert exchange.events == []
    await exchange._clock.advance(10)
    assert order.is_failure
    assert exchange.kinds() == ["failed"]
    assert exchange.events[0].error_type == "OrderNotFoundError"
    assert exchange.calls.count("place") == 1


async def test_errors_of_the_lookup_are_no_evidence_however_many(exchange, kit) -> None:
    exchange.fail["place_answer"] = RequestTimeoutError("no answer")
    exchange.fail["query"] = NetworkError("DNS failure")  # flaw 5: four DNS errors lost the order
    order_id = buy(exchange)
    await kit.settle(lambda: "query" in exchange.calls)
    await exchange._clock.advance(1800)
    assert exchange.calls.count("query") > 100
    assert exchange.order(order_id).current_state is OrderState.UNKNOWN
    del exchange.fail["query"]
    await exchange._clock.advance(10)
    assert exchange.order(order_id).current_state is OrderState.OPEN
    assert exchange.kinds() == ["created"]


async def test_a_wall_clock_that_jumps_ahead_ends_no_order(exchange, kit) -> None:
    exchange.fail["place"] = RequestTimeoutError("no answer")
    order_id = buy(exchange)
    exchange._clock.wall_offset_ns = 3600 * 10**9
    await kit.settle(lambda: "query" in exchange.calls)
    await kit.turns()
    assert exchange.order(order_id).current_state is OrderState.UNKNOWN


async def test_absence_counts_only_after_the_submit_has_come_back(exchange, kit) -> None:
    exchange.hold["place"] = asyncio.Event()  # waiting for a connection: nothing has been sent yet
    order_id = buy(exchange)
    await kit.settle(lambda: "place" in exchange.calls)
    await exchange._clock.advance(exchange.status_poll_interval_s + 1)
    assert "query" in exchange.calls
    await exchange._clock.advance(60)
    assert exchange.order(order_id).is_open
    exchange.hold["place"].set()
    await kit.settle(lambda: exchange.events)
    await exchange._clock.advance(10)
    assert exchange.order(order_id).current_state is OrderState.OPEN
    assert exchange.kinds() == ["created"]
    assert exchange.alarms == []


async def test_no_word_after_the_stream_has_shown_the_order_is_no_news(exchange, kit) -> None:
    exchange.hold["place_answer"] = asyncio.Event()
    exchange.fail["place_answer"] = RequestTimeoutError("no answer")
    order_id = buy(exchange)
    await kit.settle(lambda: "place_answer" in exchange.calls)
    exchange.stream(exchange.venue.report(order_id))
    exchange.hold["place_answer"].set()
    await kit.turns()
    assert exchange.order(order_id).current_state is OrderState.OPEN  # flaw 1: no step back
    assert exchange.alarms == []


async def test_a_hook_that_returns_nonsense_leaves_the_order_to_be_looked_up(exchange, kit, monkeypatch) -> None:
    async def place(order_id, trading_pair, amount, *rest: Any, **options: Any) -> tuple[int, float]:
        return int(exchange.venue.accept(order_id, amount)["id"]), 1.0

    monkeypatch.setattr(exchange, "_place_order", place, raising=False)
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    assert exchange.order(order_id).exchange_order_id == "1"
    assert exchange.alarm_kinds() == ["outcome_unknown"]
    assert "exchange order id as str" in exchange.alarms[0].message


async def test_a_late_sign_of_life_of_a_failed_order_is_an_alarm(exchange, kit) -> None:
    exchange.fail["place"] = OrderRejectedError("no")
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(OrderUpdate(PAIR, 5.0, OrderState.OPEN, order_id, "77"))
    exchange.stream(kit.trade_update(order_id, "t1", "0.5"))
    assert exchange.order(order_id).is_failure
    assert exchange.alarm_kinds() == ["life_after_end"]
    assert exchange.kinds(order_id) == ["failed"]  # the end stays as it was told
    assert exchange.kinds(f"external-{PAIR}-77") == ["created", "filled", "completed"]


# -- refused by us, at once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("BTC-USDC", "1", OrderType.LIMIT, "60000"), "does not trade 'BTC-USDC' here; trading pairs: BTC-USDT"),
        ((PAIR, 0.5, OrderType.LIMIT, "60000"), "amount: 0.5 is a float"),
        ((PAIR, "0.5", OrderType.LIMIT, 60000.0), "price: 60000.0 is a float"),
        ((PAIR, "half", OrderType.LIMIT, "60000"), "amount: 'half' is not a decimal number"),
        ((PAIR, Decimal("NaN"), OrderType.LIMIT, "60000"), "not a decimal number"),
        ((PAIR, None, OrderType.LIMIT, "60000"), "amount"),
        ((PAIR, "1", OrderType.LIMIT, None), "a LIMIT order needs a price"),
        ((PAIR, "1", OrderType.LIMIT, "0"), "price must be positive"),
        ((PAIR, "-1", OrderType.LIMIT, "60000"), "amount must be positive"),
        ((PAIR, "0.0009", OrderType.LIMIT, "60000"), "amount must be positive, not 0"),
        ((PAIR, "101", OrderType.LIMIT, "60000"), "above the maximum 100"),
        ((PAIR, "0.001", OrderType.LIMIT, "100"), "notional 0.1 is below the minimum 5"),
        ((PAIR, "100000000000000000", OrderType.LIMIT, "60000"), "above the maximum 100"),
        ((PAIR, "1", OrderType.LIMIT, "9000000000000000000"), "cannot be held exactly"),
        ((PAIR, "1", "LIMIT", "60000"), "order_type is 'LIMIT'; memory takes OrderType.LIMIT, OrderType.MARKET"),
    ],
)
async def test_an_order_that_breaks_the_rules_raises_and_leaves_no_trace(exchange, kit, arguments, told) -> None:
    for place in (exchange.buy, exchange.sell):
        with pytest.raises(OrderValidationError) as error:
            place(*arguments)
        assert told in str(error.value)
    await kit.turns()
    assert exchange.in_flight_orders == {}
    assert exchange.events == exchange.alarms == []
    assert "place" not in exchange.calls


async def test_a_position_action_that_is_none_is_refused(exchange) -> None:
    for action in ("OPEN", None, 1):
        with pytest.raises(OrderValidationError, match="position_action is a PositionAction"):
            buy(exchange, position_action=action)
    assert exchange.in_flight_orders == {}


async def test_order_types_the_pair_does_not_take_are_refused(kit) -> None:
    async with kit.exchange_class(["LTC-USDT"], clock=kit.clock_class()) as exchange:
        with pytest.raises(OrderValidationError, match="LTC-USDT takes no MARKET orders"):
            exchange.buy("LTC-USDT", "1", OrderType.MARKET)


@pytest.mark.parametrize("price", [{}, {"price": None}, {"price": Decimal("NaN")}])  # NaN: Hummingbot's default
async def test_a_market_order_needs_no_price_and_no_book(exchange, kit, price) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.MARKET, **price)  # flaw 15: stuck in PENDING_CREATE
    await kit.settle(lambda: exchange.events)
    assert exchange.order(order_id).price is None
    assert exchange.events[0].price is None


@pytest.mark.parametrize("error", [OrderRejectedError("queue full"), NotReadyError("no segment")], **by_name)
async def test_a_transport_that_refuses_at_once_leaves_no_phantom(exchange, monkeypatch, error: Exception) -> None:
    def submit(order: Any) -> None:
        raise error

    monkeypatch.setattr(exchange, "_submit_order", submit, raising=False)
    with pytest.raises(type(error)):
        buy(exchange, reduce_only=True)
    assert exchange.in_flight_orders == {}
    assert exchange._order_options == {}


async def test_a_transport_that_breaks_at_once_leaves_the_order_unknown(exchange, kit, monkeypatch) -> None:
    def submit(order: Any) -> None:
        exchange.venue.accept(order.client_order_id, order.amount)
        raise OSError("after the slot was published?")

    monkeypatch.setattr(exchange, "_submit_order", submit, raising=False)
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    assert exchange.order(order_id).current_state is OrderState.OPEN


async def test_outside_an_event_loop_buy_raises_and_nothing_is_tracked(exchange) -> None:
    def other_thread() -> None:
        with pytest.raises(NotReadyError, match="event loop"):
            buy(exchange)

    await asyncio.to_thread(other_thread)
    assert exchange.in_flight_orders == {}


# -- order of events -----------------------------------------------------------------------------------------------


async def test_created_comes_first_also_when_the_fill_overtakes_the_ack(exchange, kit) -> None:
    exchange.hold["place_answer"] = asyncio.Event()
    order_id = buy(exchange)
    await kit.settle(lambda: "place_answer" in exchange.calls)
    exchange.stream(exchange.venue.execute(order_id, "0.2"))
    assert exchange.kinds() == ["created", "filled"]  # flaw 3
    assert exchange.events[0].exchange_order_id == "1"
    exchange.hold["place_answer"].set()
    await kit.turns()
    order = exchange.order(order_id)
    assert order.current_state is OrderState.PARTIALLY_FILLED  # flaw 1: the ack does not set it back to OPEN
    exchange.stream(exchange.venue.execute(order_id, "0.3"))
    exchange.stream(exchange.venue.report(order_id))
    assert exchange.kinds() == ["created", "filled", "filled", "completed"]


async def test_a_full_fill_before_the_ack_completes_once(exchange, kit) -> None:
    exchange.hold["place_answer"] = asyncio.Event()
    order_id = buy(exchange)
    await kit.settle(lambda: "place_answer" in exchange.calls)
    exchange.stream(exchange.venue.execute(order_id, "0.5"))
    exchange.hold["place_answer"].set()
    await kit.turns()
    exchange.stream(exchange.venue.report(order_id))
    exchange.stream(exchange.venue.report(order_id))
    assert exchange.kinds() == ["created", "filled", "completed"]  # flaw 2: a second Completed
    assert exchange.order(order_id).is_filled


async def test_a_filled_report_before_the_fills_waits_for_them(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    fills = [exchange.venue.execute(order_id, "0.2"), exchange.venue.execute(order_id, "0.3")]
    exchange.stream(exchange.venue.report(order_id))
    order = exchange.order(order_id)
    assert order.is_open
    assert order.awaits_fills
    assert order.reported_state is OrderState.FILLED
    for fill in fills:
        exchange.stream(fill)
    assert exchange.kinds() == ["created", "filled", "filled", "completed"]
    assert exchange.events[-1].base_asset_amount == Decimal("0.5")  # flaw 8: Completed with zero amounts
    assert exchange.events[-1].quote_asset_amount == 30000


async def test_fills_that_the_stream_lost_are_fetched(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.venue.execute(order_id, "0.2")
    lost = exchange.venue.execute(order_id, "0.3")
    exchange.stream(lost)
    exchange.stream(exchange.venue.report(order_id))
    await exchange._clock.advance(1.5)
    assert exchange.kinds() == ["created", "filled", "filled", "completed"]
    assert exchange.order(order_id).executed_amount_base == Decimal("0.5")


async def test_a_status_without_an_executed_amount_still_fetches_the_fills(exchange, kit) -> None:
    order_id = buy(exchange, "5")
    await kit.settle(lambda: exchange.events)
    exchange.stream(exchange.venue.execute(order_id, "2"))
    exchange.venue.execute(order_id, "1")
    report = exchange.venue.report
    exchange.venue.report = lambda order_id: report(order_id)._replace(misc_updates=None)
    await exchange._clock.advance(exchange.status_poll_interval_s + 2)
    assert exchange.order(order_id).executed_amount_base == 3


async def test_a_cancel_report_that_counts_more_waits_for_the_late_fill(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    fill = exchange.venue.execute(order_id, "0.2")
    exchange.venue.end(order_id)
    exchange.stream(exchange.venue.report(order_id))
    assert exchange.kinds() == ["created"]
    exchange.stream(fill)
    assert exchange.kinds() == ["created", "filled", "cancelled"]
    assert exchange.order(order_id).is_cancelled


async def test_repeated_fills_and_ends_are_counted_and_told_once(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    fill = exchange.venue.execute(order_id, "0.2")
    for _ in range(3):
        exchange.stream(fill)
    exchange.venue.end(order_id)
    for _ in range(2):
        exchange.stream(exchange.venue.report(order_id))
        exchange.stream(OrderUpdate(PAIR, 1.0, OrderState.OPEN, order_id))
    assert exchange.kinds() == ["created", "filled", "cancelled"]  # flaw 2: two OrderCancelled
    assert exchange.order(order_id).executed_amount_base == Decimal("0.2")
    assert exchange._order_tracker.update_counts["duplicate_fill"] == 2
    assert exchange._order_tracker.update_counts["terminal"] == 3


async def test_an_expired_order_ends_as_expired(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.venue.end(order_id, OrderState.EXPIRED)
    exchange.stream(exchange.venue.report(order_id))
    assert exchange.kinds() == ["created", "expired"]


async def test_an_ended_order_is_no_longer_in_flight_when_the_listener_hears_of_it(exchange, kit) -> None:
    seen: list[tuple[dict, bool]] = []
    order_id = buy(exchange)
    exchange.add_listener(
        MarketEvent.BuyOrderCompleted,
        lambda event: seen.append((exchange.in_flight_orders, exchange.order(event.order_id).is_done)),
    )
    await kit.settle(lambda: exchange.events)
    exchange.stream(exchange.venue.execute(order_id, "0.5"))
    assert seen == [({}, True)]


async def test_a_listener_may_call_back_into_the_connector(exchange, kit) -> None:
    ids: list[str] = []

    def requote(event: Any) -> None:
        ids.append(buy(exchange))
        exchange.stream(OrderUpdate(PAIR, 1.0, OrderState.OPEN, ids[-1], "900"))  # overtakes everything
        exchange.cancel(PAIR, ids[-1])

    exchange.add_listener(MarketEvent.BuyOrderCompleted, requote)
    first = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(exchange.venue.execute(first, "0.5"))
    assert exchange.kinds() == ["created", "filled", "completed", "created"]
    assert exchange.kinds(first) == ["created", "filled", "completed"]
    await kit.settle(lambda: exchange.order(ids[0]).is_done)
    assert exchange.kinds(ids[0]) == ["created", "cancelled"]


async def test_a_listener_may_forget_the_order_it_hears_of(exchange, kit) -> None:
    exchange.add_listener(
        MarketEvent.OrderFilled, lambda event: exchange._order_tracker.stop_tracking_order(event.order_id)
    )
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(exchange.venue.execute(order_id, "0.5"))
    assert exchange.kinds() == ["created", "filled"]
    assert exchange.order(order_id) is None
    other = buy(exchange)  # takes over the record
    await kit.settle(lambda: exchange.kinds(other))
    assert exchange.kinds(other) == ["created"]


async def test_a_raising_listener_stops_neither_the_others_nor_the_order(exchange, kit, caplog) -> None:
    def bad(event: Any) -> None:
        raise ZeroDivisionError("in a strategy")

    for tag in (MarketEvent.BuyOrderCreated, MarketEvent.OrderFilled, MarketEvent.BuyOrderCompleted):
        exchange.add_listener(tag, bad)
    seen: list[Any] = []
    exchange.add_listener(MarketEvent.BuyOrderCompleted, seen.append)
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(exchange.venue.execute(order_id, "0.5"))
    assert len(seen) == 1
    assert exchange._pubsub.listener_errors == 3
    assert exchange.in_flight_orders == {}


async def test_a_listener_that_stops_the_program_loses_no_event_and_no_order(exchange, kit) -> None:
    def stop(event: Any) -> None:
        exchange.remove_listener(MarketEvent.OrderFilled, stop)
        raise KeyboardInterrupt

    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.add_listener(MarketEvent.OrderFilled, stop)
    with pytest.raises(KeyboardInterrupt):
        exchange.stream(exchange.venue.execute(order_id, "0.5"))
    exchange.stream(exchange.venue.report(order_id))
    assert exchange.kinds() == ["created", "filled", "completed"]
    assert exchange.in_flight_orders == {}


# -- what is not ours, or not possible -----------------------------------------------------------------------------


async def test_updates_without_ids_or_of_other_orders_touch_nothing(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.turns(1)
    tracker = exchange._order_tracker
    for update in (
        OrderUpdate(PAIR, 1.0, OrderState.CANCELED),  # flaw 10: None matched None
        OrderUpdate(PAIR, 1.0, OrderState.CANCELED, "", ""),
        OrderUpdate(PAIR, 1.0, OrderState.CANCELED, "12345", "888"),
        OrderUpdate("ETH-USDT", 1.0, OrderState.CANCELED, order_id),
        kit.trade_update(None, "t1", "0.1", exchange_id=None),
        kit.trade_update("12345", "t1", "0.1", exchange_id="888"),
        kit.trade_update(order_id, "t1", "0.1")._replace(trading_pair="ETH-USDT"),
    ):
        exchange.stream(update)
    counts = tracker.update_counts
    assert (counts["unknown_order"], counts["duplicate_fill"], counts["foreign"]) == (4, 1, 2)
    assert exchange.alarm_kinds() == ["foreign", "foreign"]
    assert exchange.order(order_id).is_open
    assert exchange.order(order_id).executed_amount_base == 0
    assert tracker.fetch_order() is tracker.fetch_order(None, None) is tracker.fetch_order("", "") is None


async def test_a_fill_that_names_only_the_venues_id_is_booked(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(exchange.venue.execute(order_id, "0.5")._replace(client_order_id=None))  # flaw 9
    assert exchange.kinds() == ["created", "filled", "completed"]


async def test_equal_venue_ids_of_two_pairs_are_two_orders(kit) -> None:
    exchange = kit.exchange_class([PAIR, "ETH-USDT"], clock=kit.clock_class())
    async with exchange:
        orders = [exchange.buy(pair, "0.5", OrderType.LIMIT, "60000") for pair in (PAIR, "ETH-USDT")]
        for pair, order_id in zip((PAIR, "ETH-USDT"), orders, strict=True):
            exchange.stream(OrderUpdate(pair, 1.0, OrderState.OPEN, order_id, "5"))
        exchange.stream(OrderUpdate("ETH-USDT", 2.0, OrderState.CANCELED, None, "5"))
        exchange.stream(OrderUpdate(PAIR, 2.0, OrderState.EXPIRED, None, "5"))
        states = [exchange.order(order_id).current_state for order_id in orders]
        assert states == [OrderState.EXPIRED, OrderState.CANCELED]
        await kit.turns()


@pytest.mark.parametrize(
    ("change", "alarm"),
    [
        ({"fill_base_amount": Decimal("0.6")}, "overfill"),
        ({"fill_base_amount": Decimal("-0.1")}, "bad_amount"),
        ({"fill_base_amount": Decimal(0)}, "bad_amount"),
        ({"fill_price": Decimal("-1")}, "bad_amount"),
        ({"fill_quote_amount": Decimal("-1")}, "bad_amount"),
        ({"fill_base_amount": Decimal("NaN")}, "bad_amount"),
        ({"fill_price": 0.5}, "bad_amount"),
        ({"trade_id": ""}, "bad_amount"),
        ({"trade_id": "x" * 72}, "bad_amount"),
    ],
)
async def test_an_impossible_fill_is_refused_with_an_alarm(exchange, kit, change, alarm) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(exchange.venue.execute(order_id, "0.5")._replace(**change))  # flaw 10: all were booked
    assert exchange.kinds() == ["created"]
    assert exchange.alarm_kinds() == [alarm]
    assert exchange.alarms[0].order_id == order_id
    assert exchange.order(order_id).executed_amount_base == 0
    assert exchange._order_tracker.update_counts[alarm] == 1


async def test_an_overfill_after_a_fill_is_refused_whole(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(kit.trade_update(order_id, "t1", "0.4"))
    exchange.stream(kit.trade_update(order_id, "t2", "0.2"))
    assert exchange.order(order_id).executed_amount_base == Decimal("0.4")  # never clipped
    assert exchange.alarm_kinds() == ["overfill"]
    exchange.stream(kit.trade_update(order_id, "t3", "0.1"))
    assert exchange.order(order_id).is_filled


@pytest.mark.parametrize("nearly", ["0.499999999999", "0.49999"])
async def test_nearly_filled_is_not_filled(exchange, kit, nearly: str) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(kit.trade_update(order_id, "t1", nearly))
    assert not exchange.order(order_id).is_done  # flaw 12: within 1e-9 counted as filled
    exchange.stream(kit.trade_update(order_id, "t2", str(Decimal("0.5") - Decimal(nearly))))
    assert exchange.order(order_id).is_filled


async def test_a_fee_that_cannot_be_kept_does_not_cost_the_fill(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    fill = kit.trade_update(order_id, "t1", "0.1")
    fee = fill.fee.flat_fees[0]
    for number, bad in enumerate(
        [
            type(fill.fee)(Decimal("0.001"), "USDT"),
            type(fill.fee)(flat_fees=[fee._replace(token="X" * 16)]),
            type(fill.fee)(flat_fees=[fee._replace(amount=0.1)]),
        ]
    ):
        exchange.stream(fill._replace(trade_id=f"t{number}", fee=bad))
    exchange.stream(fill._replace(trade_id="t9", fee=None))
    assert exchange.alarm_kinds() == ["fee", "fee", "fee"]
    assert exchange.order(order_id).executed_amount_base == Decimal("0.4")


async def test_an_executed_amount_that_cannot_be_read_does_not_cost_the_report(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(OrderUpdate(PAIR, 5e9, OrderState.CANCELED, order_id, None, {"cumulative_base": 0.25}))
    assert exchange.kinds() == ["created", "cancelled"]
    assert exchange.alarm_kinds() == ["bad_amount"]


async def test_a_changed_venue_id_is_followed(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.stream(OrderUpdate(PAIR, 5e9, OrderState.OPEN, order_id, "77"))  # flaw 11: frozen at the first
    assert exchange.order(order_id).exchange_order_id == "77"
    assert exchange._order_tracker.fetch_order(exchange_order_id="77") is exchange.order(order_id)
    assert exchange._order_tracker.fetch_order(exchange_order_id="1") is exchange.order(order_id)
    assert exchange.order(order_id).exchange_order_ids == ["1", "77"]


# -- cancel --------------------------------------------------------------------------------------------------------


async def test_a_cancel_ends_the_order_and_a_second_is_not_sent(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    assert exchange.cancel(PAIR, order_id)
    assert exchange.order(order_id).is_pending_cancel_confirmation
    assert not exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_done)
    assert not exchange.cancel(PAIR, order_id)
    assert not exchange.cancel(PAIR, "999")
    assert exchange.calls.count("cancel") == 1
    assert exchange.kinds() == ["created", "cancelled"]


async def test_unknown_order_on_cancel_that_was_filled_ends_filled(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.venue.execute(order_id, "0.5")  # the stream has not told yet
    exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_done)
    assert exchange.kinds() == ["created", "filled", "completed"]
    assert exchange.alarms == []


async def test_unknown_order_on_cancel_that_was_cancelled_ends_cancelled(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.venue.execute(order_id, "0.2")
    exchange.venue.end(order_id)
    exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_done)
    assert exchange.kinds() == ["created", "filled", "cancelled"]
    assert exchange.order(order_id).executed_amount_base == Decimal("0.2")


async def test_unknown_order_on_cancel_that_is_open_stays_open_and_is_told(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.fail["cancel"] = OrderNotFoundError("Unknown order sent.", code=-2011)
    exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.alarms)
    assert exchange.order(order_id).current_state is OrderState.OPEN
    assert exchange.alarm_kinds() == ["cancel_failed"]
    del exchange.fail["cancel"]
    assert exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_cancelled)


@pytest.mark.parametrize(
    "error", [RequestTimeoutError("no answer"), RateLimitedError("slow down"), ValueError("bug")], **by_name
)
async def test_a_cancel_without_an_answer_asks_what_became_of_it(exchange, kit, error: Exception) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.venue.end(order_id)  # it arrived; only the answer is lost
    exchange.fail["cancel"] = error
    exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_done)
    assert exchange.kinds() == ["created", "cancelled"]


@pytest.mark.parametrize(
    "error",
    [
        VenueError("not now", code=-1),
        RateLimitedError("slow down", http_status=429),
        ThrottledError("not sent", retry_after=30.0),
    ],
    **by_name,
)
async def test_a_refused_cancel_is_told_and_the_order_lives_on(exchange, kit, error: Exception) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.fail["cancel"] = exchange.fail["query"] = error
    exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.alarms)  # while the venue answers no question either
    del exchange.fail["query"]
    await kit.turns()
    assert exchange.order(order_id).current_state is OrderState.OPEN
    assert exchange.alarm_kinds() == ["cancel_failed"]


async def test_a_cancel_that_the_hook_does_not_confirm_can_be_repeated(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.cancel_answer = lambda order_id: exchange.venue.orders[order_id].update(state=OrderState.OPEN) or False
    exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.alarms)
    assert exchange.order(order_id).current_state is OrderState.OPEN
    exchange.cancel_answer = lambda order_id: True
    assert exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_cancelled)


async def test_a_cancel_right_after_buy_survives_the_send(exchange, kit) -> None:
    exchange.hold["cancel"] = asyncio.Event()
    order_id = buy(exchange)
    exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.events)
    assert exchange.order(order_id).is_pending_cancel_confirmation  # neither the send nor the ack undid it
    exchange.hold["cancel"].set()
    await kit.settle(lambda: exchange.order(order_id).is_done)
    assert exchange.kinds() == ["created", "cancelled"]


async def test_a_fill_that_wins_over_the_cancel_completes_the_order(exchange, kit) -> None:
    exchange.hold["cancel"] = asyncio.Event()
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.cancel(PAIR, order_id)
    exchange.stream(exchange.venue.execute(order_id, "0.5"))
    exchange.hold["cancel"].set()
    await kit.turns()
    assert exchange.kinds() == ["created", "filled", "completed"]
    assert exchange.alarms == []


async def test_the_answer_to_a_cancel_counts_a_fill_that_comes_later(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    fill = exchange.venue.execute(order_id, "0.2")
    exchange.cancel(PAIR, order_id)
    await kit.turns()
    assert exchange.order(order_id).is_open
    exchange.stream(fill)
    assert exchange.kinds() == ["created", "filled", "cancelled"]


async def test_a_late_fill_after_the_end_is_booked_and_told(exchange, kit) -> None:
    exchange.cancel_answer = lambda order_id: True  # a venue whose answer counts nothing
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    fill = exchange.venue.execute(order_id, "0.2")
    exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_done)
    exchange.stream(fill)
    assert exchange.kinds() == ["created", "cancelled", "filled"]
    assert exchange.alarm_kinds() == ["late_fill"]
    assert exchange.order(order_id).executed_amount_base == Decimal("0.2")


async def test_a_cancel_transport_that_raises_gives_the_order_back(exchange, kit, monkeypatch) -> None:
    def submit(order: Any) -> None:
        raise OSError("segment gone")

    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    monkeypatch.setattr(exchange, "_submit_cancel", submit, raising=False)
    with pytest.raises(OSError, match="segment gone"):
        exchange.cancel(PAIR, order_id)
    assert exchange.order(order_id).current_state is OrderState.OPEN


async def test_an_accepted_order_that_the_venue_keeps_denying_counts_as_cancelled(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    del exchange.venue.orders[order_id]
    exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: "query" in exchange.calls)
    await kit.turns()
    assert exchange.order(order_id).is_open  # one miss is not final
    await exchange._clock.advance(20)
    assert exchange.kinds() == ["created", "cancelled"]
    assert exchange.alarm_kinds() == ["order_vanished"]


async def test_cancel_all_cancels_everything_and_reports_each(exchange, kit) -> None:
    orders = [buy(exchange) for _ in range(5)]
    await kit.settle(lambda: len(exchange.events) == 5)
    exchange.stream(exchange.venue.execute(orders[0], "0.5"))
    results = await exchange.cancel_all(5)
    assert [(result.order_id, result.success) for result in results] == [(order_id, True) for order_id in orders[1:]]
    assert exchange.in_flight_orders == {}
    assert await exchange.cancel_all(5) == []


async def test_cancel_all_reports_what_did_not_end_in_time_and_leaves_no_task(exchange, kit) -> None:
    order_id = buy(exchange)
    await kit.settle(lambda: exchange.events)
    exchange.hold["cancel"] = asyncio.Event()
    before = asyncio.all_tasks()
    assert [result.success for result in await exchange.cancel_all(0)] == [False]
    call = asyncio.ensure_future(exchange.cancel_all(60))
    await kit.turns()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(asyncio.all_tasks() - before) == 1  # the held cancel itself
    assert exchange.order(order_id).is_pending_cancel_confirmation
