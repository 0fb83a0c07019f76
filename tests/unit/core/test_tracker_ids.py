"""Whose update it is: chains of venue ids, updates that come too early, orders of others, life after the end."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.parked_updates import ParkedUpdates
from qtxconn.core.types import (
    OrderState,
    OrderType,
    OrderUpdate,
    TradeType,
)
from qtxconn.errors import OrderNotFoundError, OrderRejectedError, OrderValidationError

PAIR = "BTC-USDT"
S = OrderState


# -- the chain of venue ids ----------------------------------------------------------------------------------------


def test_every_id_that_an_order_ever_had_finds_it(desk: Any) -> None:
    order = desk.track()
    for venue_id in ("900", "901", "902"):  # flaw 11: frozen at the first
        desk.report(S.OPEN, venue_id=venue_id)
    assert order.exchange_order_id == "902"
    assert order.exchange_order_ids == ["900", "901", "902"]
    assert {desk.tracker.fetch_order(None, venue_id) for venue_id in order.exchange_order_ids} == {order}
    desk.tracker.stop_tracking_order("17")
    assert order.exchange_order_ids == ["900", "901", "902"]
    assert desk.tracker.fetch_order(None, "900") is None


def test_the_cancel_of_a_superseded_id_is_history(desk: Any) -> None:
    order = desk.track()
    desk.report(S.OPEN, venue_id="900")
    desk.report(S.OPEN, venue_id="901")  # cancel-replace: the venue now ends the old id
    desk.report(S.CANCELED, None, "900")
    desk.report(S.CANCELED, "17", "900")
    assert order.current_state is S.OPEN
    assert order.exchange_order_id == "901"
    assert desk.counts["superseded"] == 2
    desk.report(S.CANCELED, None, "901")
    assert order.is_cancelled


def test_a_fill_under_a_superseded_id_is_booked(desk: Any) -> None:
    order = desk.track()
    desk.report(S.OPEN, venue_id="900")
    desk.report(S.OPEN, venue_id="901")
    desk.fill("t1", "0.4", None, "900")
    desk.fill("t2", "0.6", None, "901")
    assert order.is_filled
    assert order.exchange_order_id == "901"


def test_an_update_that_names_two_orders_touches_neither(desk: Any) -> None:
    first, second = desk.track("17"), desk.track("18")
    desk.report(S.OPEN, "17", "900")
    desk.report(S.OPEN, "18", "901")
    desk.report(S.CANCELED, "17", "901")
    desk.fill("t1", "0.5", "18", "900")
    assert (first.is_open, second.is_open, second.executed_amount_base) == (True, True, 0)
    assert desk.counts["foreign"] == 2
    assert desk.kinds() == ["foreign", "foreign"]


def test_an_update_for_another_pair_is_refused_and_reported(desk: Any) -> None:
    order = desk.track()
    desk.report(S.CANCELED, pair="ETH-USDT")
    desk.fill("t1", "0.5", pair="ETH-USDT")  # flaw 10: accepted
    assert order.is_open
    assert order.executed_amount_base == 0
    assert desk.kinds() == ["foreign", "foreign"]
    assert desk.words() == []


def test_updates_with_no_id_match_no_order_without_one(desk: Any) -> None:
    order = desk.track()
    desk.report(S.CANCELED, None, None)  # flaw 10: None matched None
    desk.fill("t1", "0.5", None, None)
    assert order.is_open
    assert desk.words() == ["OrphanFill"]  # a fill is never dropped in silence
    assert desk.counts["parked"] == 0


# -- trades are booked once in the account -------------------------------------------------------------------------


def test_a_trade_id_on_another_order_of_the_pair_is_refused_and_reported(desk: Any) -> None:
    first, second = desk.track("17"), desk.track("18")
    desk.fill("t1", "0.5", "17", "900")
    desk.fill("t1", "0.5", "18", "901")
    assert (first.executed_amount_base, second.executed_amount_base) == (Decimal("0.5"), 0)
    assert desk.kinds() == ["foreign"]


def test_equal_trade_ids_of_two_pairs_and_of_a_trade_with_oneself_are_two_fills(desk: Any) -> None:
    orders = desk.track("17"), desk.track("18", "ETH-USDT"), desk.track("19", side=TradeType.SELL)
    desk.fill("t1", "0.5", "17", "900")
    desk.fill("t1", "0.5", "18", "900", "ETH-USDT")
    desk.fill("t1", "0.5", "19", "902")
    assert [order.executed_amount_base for order in orders] == [Decimal("0.5")] * 3
    assert desk.alarms == []


@pytest.mark.parametrize(("amount", "price"), [("0", "60000"), ("-1", "60000"), ("0.5", "-1")])
def test_an_impossible_fill_changes_nothing_and_is_reported(desk: Any, amount: str, price: str) -> None:
    order = desk.track()
    desk.fill("t1", amount, price=price)  # flaw 10: a fill of -3 accepted
    assert (order.executed_amount_base, order.current_state) == (0, S.PENDING_CREATE)
    assert desk.kinds() == ["bad_amount"]


# -- updates that come before the order is known --------------------------------------------------------------------


def test_updates_by_venue_id_wait_until_the_ack_brings_it(desk: Any) -> None:
    order = desk.track()
    desk.fill("t1", "0.4", None, "900")
    desk.report(S.PARTIALLY_FILLED, None, "900", cumulative_base=Decimal("0.4"))
    desk.fill("t2", "0.6", None, "900")
    assert desk.words() == []
    assert desk.counts["parked"] == 3
    desk.report(S.OPEN, "17", "900", time=0.5)  # _order_accepted
    assert desk.words() == ["Created", "Filled", "Filled", "Completed"]
    assert order.is_filled
    assert desk.counts["parked"] == desk.counts["orphan"] == 0


def test_updates_wait_until_the_order_is_tracked(desk: Any) -> None:
    desk.fill("t1", "0.4")
    order = desk.track()
    assert order.executed_amount_base == Decimal("0.4")
    desk.fill("t2", "0.1", "18", "901")
    back = desk.track("18", exchange_order_id="901")
    assert back.executed_amount_base == Decimal("0.1")


def test_a_fill_that_brings_the_venue_id_lets_the_others_in(desk: Any) -> None:
    order = desk.track()
    desk.fill("t1", "0.4", None, "900")
    desk.fill("t2", "0.6", "17", "900")
    assert order.is_filled
    assert [event.exchange_trade_id for event in desk.told[1:3]] == ["t2", "t1"]


def test_what_waits_too_long_is_told_as_an_orphan_once(desk: Any) -> None:
    desk.fill("t1", "0.4", "999", "900")
    desk.report(S.PARTIALLY_FILLED, "999", "900")
    desk.report(S.CANCELED, "999", "900")  # an end of nobody's order needs no one's attention
    desk.wait(4.9)
    assert desk.words() == []
    desk.wait(0.2)
    assert desk.words() == ["OrphanFill", "OrphanOrder"]
    assert desk.told[0].trade_update.fill_base_amount == Decimal("0.4")
    assert desk.told[1].order_update.client_order_id == "999"
    desk.fill("t1", "0.4", "999", "900")  # the poll brings it again
    desk.wait(10)
    assert desk.words() == ["OrphanFill", "OrphanOrder"]
    assert desk.counts["duplicate_fill"] == 1
    assert desk.track("999").executed_amount_base == 0  # too late to be matched: it was told


def test_waiting_is_bounded_by_count(kit: Any) -> None:
    desk = kit.desk_class(parked_updates_max=3)
    for number in range(5):
        desk.fill(f"t{number}", "0.1", None, str(number))
    assert [event.trade_update.trade_id for event in desk.told] == ["t0", "t1"]
    assert desk.counts["parked"] == 3


def test_parked_updates_are_found_by_either_id_and_only_on_their_pair() -> None:
    parked = ParkedUpdates(10, 100)
    updates = [OrderUpdate(PAIR, 1.0, S.OPEN, *ids) for ids in (("a", "1"), (None, "1"), ("a", None), ("b", "2"))]
    other = OrderUpdate("ETH-USDT", 1.0, S.OPEN, "a", "1")
    for update in (*updates, other):
        parked.park(update, 0)
    assert parked.take(PAIR, "a", None) == [updates[0], updates[2]]
    assert parked.take(PAIR, "a", "1") == [updates[1]]
    assert parked.take(PAIR, "c") == []
    assert parked.expire(99) == []
    assert parked.expire(100) == [updates[3], other]
    assert len(parked) == 0


# -- orders that ended long ago ------------------------------------------------------------------------------------


def test_a_late_fill_is_booked_as_long_as_the_order_is_remembered_and_an_orphan_after(kit: Any) -> None:
    desk = kit.desk_class(finished_orders_ttl_s=60)
    order = desk.track()
    desk.fill("t1", "0.4")
    desk.report(S.CANCELED)
    desk.wait(59)  # flaw 7: dropped in silence after 30 s
    desk.fill("t2", "0.1")
    assert (desk.kinds(), order.executed_amount_base) == (["late_fill"], Decimal("0.5"))
    desk.wait(2)
    assert not order.is_tracked
    desk.fill("t1", "0.4")  # a repeat is a repeat also when the order is forgotten
    desk.fill("t3", "0.1")
    desk.wait(6)
    assert desk.words()[-2:] == ["Filled", "OrphanFill"]
    assert desk.told[-1].trade_update.trade_id == "t3"
    assert desk.counts["duplicate_fill"] == 1


def test_ended_orders_are_bounded_by_count(kit: Any) -> None:
    desk = kit.desk_class(finished_orders_max=2)
    orders = [desk.track(str(number)) for number in range(1, 5)]
    for order in orders:
        desk.report(S.CANCELED, order.client_order_id, None)
    assert [order.is_tracked for order in orders] == [False, False, True, True]


# -- orders that were not placed here ------------------------------------------------------------------------------


def test_an_adopted_order_is_listed_filled_and_ended_like_others(desk: Any) -> None:
    tracker = desk.tracker
    order = tracker.adopt_external_order(PAIR, "900", TradeType.BUY, "1", OrderType.LIMIT, "60000")
    assert order.is_external
    assert tracker.active_orders == {"external-BTC-USDT-900": order}
    desk.fill("t1", "0.4", "web_abc", "900")  # the venue's own client id says nothing here
    desk.report(S.CANCELED, "web_abc", "900", cumulative_base=Decimal("0.4"))
    assert desk.words() == ["Created", "Filled", "Cancelled"]
    assert {event.order_id for event in desk.told} == {"external-BTC-USDT-900"}
    assert InFlightOrder.from_json(order.to_json()).is_external


def test_an_order_is_adopted_once(desk: Any) -> None:
    desk.tracker.adopt_external_order(PAIR, "900", TradeType.BUY, "1", OrderType.LIMIT, "60000", "web_abc")
    desk.track("17", exchange_order_id="901")
    for venue_id, order_id in (("900", None), ("902", "web_abc"), ("901", None)):
        with pytest.raises(OrderValidationError, match="tracked already"):
            desk.tracker.adopt_external_order(PAIR, venue_id, TradeType.BUY, "1", OrderType.LIMIT, "1", order_id)
    assert desk.counts["adopted"] == 1


async def test_a_connector_adopts_an_order_asks_for_it_and_cancels_it(exchange: Any, kit: Any) -> None:
    exchange.venue.accept("web_abc", Decimal("0.5"))
    exchange.venue.execute("web_abc", "0.2")
    order_id = exchange.adopt_external_order(PAIR, "1", TradeType.BUY, "0.5", price="60000", client_order_id="web_abc")
    assert order_id == "web_abc"
    await kit.settle(lambda: exchange.order(order_id).executed_amount_base == Decimal("0.2"))
    assert exchange.cancel(PAIR, order_id)
    await kit.settle(lambda: exchange.order(order_id).is_cancelled)
    assert exchange.kinds(order_id) == ["created", "filled", "cancelled"]


# -- life after the end --------------------------------------------------------------------------------------------


def end_rejected(desk: Any, order: InFlightOrder) -> None:
    desk.tracker.mark_failed(order, OrderRejectedError("no"))


def end_absent(desk: Any, order: InFlightOrder) -> None:
    desk.tracker.mark_absent(order, OrderNotFoundError("Order does not exist."))


@pytest.mark.parametrize("end", [end_rejected, end_absent])
def test_a_failed_order_that_the_venue_shows_alive_lives_on_as_an_external_one(
    desk: Any, end: Callable[[Any, InFlightOrder], None]
) -> None:
    order = desk.track()
    end(desk, order)
    desk.report(S.OPEN)  # flaw 4: nobody ever heard of it
    assert (order.current_state, desk.kinds()) == (S.FAILED, ["life_after_end"])
    (survivor,) = desk.tracker.active_orders.values()
    assert (survivor.client_order_id, survivor.exchange_order_id) == ("external-BTC-USDT-900", "900")
    assert survivor.is_external
    assert survivor.amount == order.amount
    desk.fill("t1", "0.4")  # names the client id of the order that has ended
    desk.report(S.FILLED, cumulative_base=Decimal(1))
    desk.fill("t2", "0.6", None, "900")
    assert desk.words() == ["MarketOrderFailure", "Created", "Filled", "Filled", "Completed"]
    assert (order.executed_amount_base, survivor.executed_amount_base) == (0, 1)
    assert desk.kinds() == ["life_after_end"]  # said once


def test_a_fill_can_be_the_first_sign_of_life(desk: Any) -> None:
    order = desk.track()
    end_absent(desk, order)
    desk.fill("t1", "0.4")  # flaw 6: booked somewhere, never completed
    desk.report(S.PARTIALLY_FILLED, cumulative_base=Decimal("0.4"))
    desk.report(S.CANCELED, cumulative_base=Decimal("0.4"))
    assert desk.words() == ["MarketOrderFailure", "Created", "Filled", "Cancelled"]
    assert order.is_failure


def test_without_a_venue_id_the_fill_is_booked_late_and_the_rest_is_adopted_when_it_is_known(desk: Any) -> None:
    order = desk.track()
    end_absent(desk, order)
    desk.fill("t1", "0.4", venue_id=None)
    assert desk.kinds() == ["life_after_end", "late_fill"]
    desk.report(S.OPEN)
    (survivor,) = desk.tracker.active_orders.values()
    assert survivor.amount == Decimal("0.6")
    desk.report(S.CANCELED, cumulative_base=Decimal("0.5"))  # counts the 0.4 too
    assert survivor.is_open
    desk.fill("t2", "0.1")
    assert survivor.is_cancelled
    assert (order.executed_amount_base, survivor.executed_amount_base) == (Decimal("0.4"), Decimal("0.1"))


def test_an_accepted_order_that_vanished_and_comes_back_lives_on_too(desk: Any) -> None:
    order = desk.track()
    desk.report(S.OPEN)
    end_absent(desk, order)
    assert order.is_cancelled
    assert order.transitions[-1].reason == "absence"
    desk.report(S.OPEN)
    assert order.is_cancelled
    assert [other.is_external for other in desk.tracker.active_orders.values()] == [True]


def test_a_late_report_of_a_cancelled_order_is_no_sign_of_life(desk: Any) -> None:
    desk.track()
    desk.report(S.CANCELED)
    desk.report(S.OPEN)
    desk.report(S.FAILED)
    assert desk.tracker.active_orders == {}
    assert desk.alarms == []
    assert desk.counts["terminal"] == 2


def test_the_end_of_a_failed_order_that_executed_nothing_is_no_news(desk: Any) -> None:
    order = desk.track()
    end_absent(desk, order)
    desk.report(S.CANCELED, cumulative_base=Decimal(0))
    assert desk.tracker.active_orders == {}
    assert order.is_failure
