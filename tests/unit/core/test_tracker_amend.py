"""Amends by the venue's word, listeners in C, fees in several assets, ids of every kind, and counted misses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.events import OrderAmendedEvent
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import (
    OrderState,
    OrderType,
    OrderUpdate,
    TokenAmount,
    TradeType,
)
from qtxconn.errors import OrderNotFoundError, OrderValidationError
from qtxconn.perf.order_latency import OrderLatencySink

PAIR = "BTC-USDT"
S = OrderState


@pytest.fixture
def desk(desk: Any) -> Any:
    desk.order = desk.track()
    return desk


# -- amends --------------------------------------------------------------------------------------------------------


def test_an_amend_is_told_with_both_prices_and_amounts(desk: Any) -> None:
    desk.report(S.OPEN, time=1.0)
    desk.tracker.mark_pending_update(desk.order)
    assert desk.order.current_state is S.PENDING_UPDATE
    desk.report(S.OPEN, time=2.0)
    assert desk.order.current_state is S.PENDING_UPDATE  # no word on the amend
    desk.report(S.OPEN, time=3.0, venue_id="901", amended_price=Decimal("59999.5"), amended_amount="1.25")
    assert desk.order.current_state is S.OPEN
    assert (desk.order.price, desk.order.amount) == (Decimal("59999.5"), Decimal("1.25"))
    assert desk.order.exchange_order_ids == ["900", "901"]
    event = desk.told[-1]
    assert isinstance(event, OrderAmendedEvent)
    assert event[1:] == (
        "17", PAIR, Decimal(60000), Decimal("59999.5"), Decimal(1), Decimal("1.25"), "901",
    )  # fmt: skip
    desk.fill("1", "1.25", venue_id="901")
    assert desk.order.is_filled
    assert InFlightOrder.from_json(desk.order.to_json()).amount == Decimal("1.25")


def test_the_typed_listener_hears_of_an_amend(desk: Any) -> None:
    heard: list[Any] = []

    class Listener:
        def on_order_amended(self, event: OrderAmendedEvent) -> None:
            heard.append(event.new_price)

    desk.pubsub.set_order_event_listener(Listener())
    desk.report(S.OPEN, time=1.0, amended_price=Decimal(61000))
    assert heard == [Decimal(61000)]
    assert [type(event).__name__ for event in desk.told] == ["BuyOrderCreatedEvent", "OrderAmendedEvent"]


@pytest.mark.parametrize(
    ("misc", "counter"),
    [
        ({"amended_amount": Decimal("0.3")}, "overfill"),  # less than is executed
        ({"amended_amount": Decimal(-1)}, "bad_amount"),
        ({"amended_price": Decimal(-1)}, "bad_amount"),
        ({"amended_price": 0.5}, "bad_amount"),
    ],
)
def test_an_impossible_amend_changes_nothing_and_is_reported(desk: Any, misc: dict[str, Any], counter: str) -> None:
    desk.fill("1", "0.4")
    desk.tracker.mark_pending_update(desk.order)
    desk.tracker.process_order_update(OrderUpdate(PAIR, 3.0, S.PARTIALLY_FILLED, "17", None, misc))
    assert (desk.order.price, desk.order.amount) == (Decimal(60000), Decimal(1))
    assert desk.order.current_state is S.PENDING_UPDATE
    assert [alarm.kind for alarm in desk.alarms] == ["amend"]
    assert desk.tracker.update_counts[counter] == 1
    desk.tracker.revert_pending(desk.order)
    assert desk.order.current_state is S.PARTIALLY_FILLED


def test_an_amend_to_what_is_executed_ends_the_order_as_the_venue_says(desk: Any) -> None:
    desk.fill("1", "0.4")
    desk.report(S.FILLED, time=3.0, amended_amount=Decimal("0.4"), cumulative_base=Decimal("0.4"))
    assert desk.order.current_state is S.FILLED
    assert type(desk.told[-1]).__name__ == "BuyOrderCompletedEvent"
    assert desk.told[-1].base_asset_amount == Decimal("0.4")


def test_an_older_amend_does_not_undo_a_newer_one(desk: Any) -> None:
    desk.report(S.OPEN, time=3.0, amended_price=Decimal(3))
    desk.report(S.OPEN, time=2.0, amended_price=Decimal(2))
    assert desk.order.price == 3
    desk.tracker.stop_tracking_order("17")
    assert desk.order.price == 3


# -- listeners in C ------------------------------------------------------------------------------------------------


def test_a_sink_hears_every_event_without_python(desk: Any) -> None:
    sink = OrderLatencySink()
    desk.tracker.add_event_sink(sink)
    desk.tracker.add_event_sink(sink)  # once is enough
    desk.tracker.mark_submitted(desk.order)
    desk.report(S.OPEN, time=1.0)
    desk.fill("1", "0.4")
    desk.fill("2", "0.6")
    counts = [recorder.count for recorder in (sink.submit_to_ack, sink.submit_to_first_fill, sink.submit_to_end)]
    assert counts == [1, 1, 1]
    desk.tracker.remove_event_sink(sink)
    order = desk.track("18")
    desk.tracker.mark_submitted(order)
    desk.tracker.mark_failed(order, ValueError("refused"))
    assert sink.submit_to_end.count == 1


# -- fees and ids --------------------------------------------------------------------------------------------------


def test_every_flat_fee_of_a_fill_is_kept(desk: Any) -> None:
    fees = [
        TokenAmount("USDT", Decimal("0.02")),
        TokenAmount("BNB", Decimal("0.00001")),
        TokenAmount("USDT", Decimal("-0.01")),
    ]
    desk.fill("1", "0.4", fees=fees)
    desk.fill("2", "0.1", fees=[fees[1]])
    for tracked in (True, False):
        assert desk.order.is_tracked == tracked
        assert desk.order.order_fills["1"].fee.flat_fees == fees
        assert desk.order.cumulative_fee_paid("USDT") == Decimal("0.01")
        assert desk.order.cumulative_fee_paid("BNB") == Decimal("0.00002")
        desk.tracker.stop_tracking_order("17")
    desk.tracker = ClientOrderTracker(desk.pubsub)  # one that numbers assets anew
    desk.tracker.start_tracking_order(desk.order)
    assert desk.order.cumulative_fee_paid("BNB") == Decimal("0.00002")
    assert desk.alarms == []


def test_a_single_fee_keeps_its_asset_in_another_tracker(desk: Any, kit: Any) -> None:
    desk.fill("1", "0.4", fees=[TokenAmount("USDT", Decimal("0.02"))])
    desk.tracker.stop_tracking_order("17")
    other = kit.desk_class()
    other.track("18")
    other.fill("9", "0.1", order_id="18", venue_id="1", fees=[TokenAmount("BNB", Decimal(1))])
    other.tracker.start_tracking_order(desk.order)
    assert desk.order.cumulative_fee_paid("USDT") == Decimal("0.02")


@pytest.mark.parametrize(
    "venue_id",
    [
        "0", "007", "9223372036854775807", "9223372036854775808", "18446744073709551617",
        "0f9da948-a6fb-4c45-9edc-4685c3f3317d", "0x" + "ab" * 32, "Ünïcode", " 900",
    ],
)  # fmt: skip
def test_ids_of_every_kind_come_back_as_they_were(desk: Any, venue_id: str) -> None:
    desk.report(S.OPEN, time=1.0, venue_id=venue_id)
    desk.fill(venue_id, "0.4", venue_id=venue_id)
    desk.fill(venue_id, "0.4", venue_id=venue_id)
    assert desk.tracker.fetch_order(None, venue_id) is desk.order
    assert desk.tracker.update_counts["duplicate_fill"] == 1
    for _ in range(2):
        assert desk.order.exchange_order_id == venue_id
        assert list(desk.order.order_fills) == [venue_id]
        desk.tracker.stop_tracking_order("17")
    for number in range(200):  # the store's places are used again, by others
        desk.track(f"{1000 + number}", exchange_order_id=f"other-{number}")
    assert (desk.order.exchange_order_id, list(desk.order.order_fills)) == (venue_id, [venue_id])
    desk.tracker.start_tracking_order(desk.order)
    assert desk.tracker.fetch_order(None, venue_id) is desk.order


def test_a_client_id_that_is_known_is_refused_loudly_while_it_is_remembered(desk: Any) -> None:
    for end in (lambda: None, lambda: desk.report(S.CANCELED, time=1.0)):
        end()
        with pytest.raises(OrderValidationError, match="17 is already tracked; ids are used once"):
            desk.track("17")
    assert desk.tracker.fetch_order("17") is desk.order
    desk.track("017")  # another text, and another number
    desk.track("x-17")
    assert len(desk.tracker.all_orders) == 3


def test_numbers_that_are_one_number_cannot_be_two_orders(desk: Any) -> None:
    prefixed = ClientOrderTracker(desk.pubsub, client_order_id_prefix="q")
    first = InFlightOrder("q17", PAIR, OrderType.LIMIT, TradeType.BUY, Decimal(1), 1.0)
    prefixed.start_tracking_order(first)
    other = InFlightOrder("17", PAIR, OrderType.LIMIT, TradeType.BUY, Decimal(1), 1.0)
    prefixed.start_tracking_order(other)  # not ours: numbered above every id that is
    assert first.client_id == 17
    assert other.client_id > 2**63 - 1


# -- misses --------------------------------------------------------------------------------------------------------


async def test_misses_are_counted_on_the_order_and_end_nothing(exchange: Any, kit: Any) -> None:
    order_id = exchange.buy(PAIR, "0.5", price="60000")
    await kit.settle(lambda: exchange.events)
    order = exchange.order(order_id)
    assert order.not_found_count == 0
    exchange._cancel_failed(order_id, OrderNotFoundError("Unknown order sent."))
    assert order.not_found_count == 1
    await kit.settle(lambda: exchange.alarm_kinds() == ["cancel_failed"])
    assert order.is_open
