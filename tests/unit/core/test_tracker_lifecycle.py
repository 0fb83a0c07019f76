"""How an order moves: never back, one end, what each move was for, and fills that only a sum tells of."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.events import OrderFilledEvent
from qtxconn.core.in_flight_order import InFlightOrder, legal_moves
from qtxconn.core.types import (
    AddedToCostTradeFee,
    MarketEvent,
    OrderState,
    OrderType,
    TokenAmount,
    TradeType,
    TradeUpdate,
)
from qtxconn.errors import OrderRejectedError

PAIR = "BTC-USDT"
S = OrderState
LIVE = [state for state in S if not state.is_terminal]
ENDS = [state for state in S if state.is_terminal]


@pytest.fixture
def desk(desk: Any) -> Any:
    desk.order = desk.track()
    return desk


# -- the table -----------------------------------------------------------------------------------------------------


def test_every_live_state_can_end_in_every_way_and_no_end_moves_on() -> None:
    moves = legal_moves()
    assert all(moves[state] >= set(ENDS) for state in LIVE)
    assert not any(moves[state] for state in ENDS)


# -- monotone ------------------------------------------------------------------------------------------------------


def test_a_stale_report_takes_nothing_back(desk: Any) -> None:
    desk.fill("t1", "0.4")
    desk.report(S.PARTIALLY_FILLED, time=50.0)
    desk.report(S.OPEN, time=40.0)  # flaw 1: PARTIALLY_FILLED back to OPEN
    assert desk.order.current_state is S.PARTIALLY_FILLED
    assert desk.tracker.update_counts["stale"] == 1
    assert desk.order.last_update_timestamp == 50.0


@pytest.mark.parametrize("end", [S.CANCELED, S.EXPIRED])
@pytest.mark.parametrize("late", list(S), ids=lambda state: state.name)
def test_an_order_has_one_end_whatever_comes_after(desk: Any, end: OrderState, late: OrderState) -> None:
    desk.report(S.OPEN)
    desk.report(end)
    told = desk.words()
    desk.report(late)
    desk.report(end)  # flaw 2: two terminal events
    assert desk.order.current_state is end
    assert desk.words() == told
    assert desk.tracker.update_counts["terminal"] == 2


def test_two_acks_are_told_once(desk: Any) -> None:
    desk.report(S.OPEN)
    desk.report(S.OPEN)
    assert desk.words() == ["Created"]


def test_an_ack_after_the_end_still_brings_the_venue_id(desk: Any) -> None:
    fill = TradeUpdate("t1", "17", "", PAIR, 1.0, Decimal(60000), Decimal(1), Decimal(60000), AddedToCostTradeFee())
    desk.tracker.process_trade_update(fill)
    assert desk.order.exchange_order_id is None
    desk.report(S.OPEN)
    assert (desk.order.current_state, desk.order.exchange_order_id) == (S.FILLED, "900")
    assert desk.words() == ["Created", "Filled", "Completed"]


def test_a_late_ack_and_a_partial_fill_leave_a_cancel_pending(desk: Any) -> None:
    desk.tracker.mark_pending_cancel(desk.order)
    desk.report(S.OPEN)
    desk.fill("t1", "0.4")
    assert desk.order.is_pending_cancel_confirmation
    desk.tracker.revert_pending(desk.order)  # refused
    assert desk.order.current_state is S.PARTIALLY_FILLED
    assert desk.words() == ["Created", "Filled"]  # flaw 3: never created


def test_a_cancel_after_the_end_changes_nothing(desk: Any) -> None:
    desk.fill("t1", "1")
    desk.report(S.CANCELED)
    desk.report(S.EXPIRED)
    desk.tracker.mark_pending_cancel(desk.order)
    desk.tracker.revert_pending(desk.order)
    assert desk.words() == ["Created", "Filled", "Completed"]
    assert desk.order.is_filled


@pytest.mark.parametrize("order", list(itertools.permutations(["status", "t1", "t2"])), ids="-".join)
def test_split_streams_converge_in_any_order(desk: Any, order: tuple[str, ...]) -> None:
    for message in order:
        if message == "status":
            desk.report(S.FILLED, cumulative_base=Decimal(1))
        else:
            desk.fill(message, "0.5")
    assert desk.words() == ["Created", "Filled", "Filled", "Completed"]
    assert desk.told[-1].base_asset_amount == 1  # flaw 8: completed with zero amounts
    assert desk.told[-1].quote_asset_amount == 60000


def test_an_overfill_is_refused_and_reported_and_not_clipped(desk: Any) -> None:
    desk.fill("t1", "0.6")
    desk.fill("t2", "0.5")
    assert desk.order.executed_amount_base == Decimal("0.6")
    assert desk.kinds() == ["overfill"]


# -- the audit ring ------------------------------------------------------------------------------------------------


def test_the_transitions_say_when_from_where_and_why(desk: Any) -> None:
    desk.tracker.mark_submitted(desk.order)
    desk.report(S.OPEN)
    desk.report(S.OPEN)
    desk.tracker.mark_pending_cancel(desk.order)
    desk.tracker.revert_pending(desk.order)
    desk.fill("t1", "1")
    moves = desk.order.transitions
    assert [(move.source.name, move.target.name, move.reason) for move in moves] == [
        ("PENDING_CREATE", "PENDING_SUBMIT", "local"),
        ("PENDING_SUBMIT", "OPEN", "report"),
        ("OPEN", "PENDING_CANCEL", "local"),
        ("PENDING_CANCEL", "OPEN", "refusal"),
        ("OPEN", "FILLED", "fill"),
    ]
    times = [move.time_ns for move in moves]
    assert times == sorted(times)
    assert times[-1] == desk.order.done_ns
    desk.tracker.stop_tracking_order("17")
    assert desk.order.transitions == moves  # kept with the copy


def test_the_ring_keeps_the_newest(desk: Any) -> None:
    desk.report(S.OPEN)
    for _ in range(20):
        desk.tracker.mark_pending_cancel(desk.order)
        desk.tracker.revert_pending(desk.order)
    desk.report(S.CANCELED)
    moves = desk.order.transitions
    assert len(moves) == 8
    assert moves[-1].target is S.CANCELED
    assert all(after.source is before.target for before, after in itertools.pairwise(moves))


def test_what_was_ignored_is_counted_by_reason(desk: Any) -> None:
    desk.report(S.OPEN, time=50.0)
    desk.report(S.OPEN, time=51.0)
    desk.report(S.OPEN, time=40.0)
    desk.fill("t1", "0.5")
    desk.fill("t1", "0.5")
    desk.fill("t2", "5")
    desk.fill("t3", "0")
    desk.report(S.CANCELED, time=60.0)
    desk.report(S.CANCELED, time=61.0)
    counts = desk.tracker.update_counts
    reasons = ("unchanged", "stale", "duplicate_fill", "overfill", "bad_amount", "terminal")
    assert [counts[reason] for reason in reasons] == [1] * 6
    assert counts["changed"] == 3


# -- provisional fills ---------------------------------------------------------------------------------------------


@pytest.fixture
def sums(kit: Any) -> Any:
    """A venue that tells executed amounts and no executions."""
    sums = kit.desk_class(itemised_fills=False)
    sums.order = sums.track()
    return sums


def test_where_only_sums_are_told_they_become_fills(sums: Any) -> None:
    sums.report(S.PARTIALLY_FILLED, cumulative_base=Decimal("0.4"), cumulative_quote=Decimal("23996"))
    sums.report(S.PARTIALLY_FILLED, cumulative_base=Decimal("0.4"), cumulative_quote=Decimal("23996"))
    sums.report(S.FILLED, cumulative_base=Decimal(1), cumulative_quote=Decimal("59990"))
    assert sums.words() == ["Created", "Filled", "Filled", "Completed"]
    assert sums.told_amounts() == [Decimal("0.4"), Decimal("0.6")]
    assert [event.price for event in sums.told[1:3]] == [Decimal(59990), Decimal(59990)]
    assert sums.order.executed_amount_quote == Decimal(59990)
    assert len({event.exchange_trade_id for event in sums.told[1:3]}) == 2


def test_without_a_quote_sum_the_orders_price_stands_in(sums: Any) -> None:
    sums.report(S.CANCELED, cumulative_base=Decimal("0.4"))
    assert sums.words() == ["Created", "Filled", "Cancelled"]
    assert sums.order.executed_amount_quote == Decimal(24000)


@pytest.mark.parametrize(
    ("market", "told", "alarms"),
    [(None, "0", ["no_price"]), (Decimal(59000), "59000", [])],
    ids=["no market", "market"],
)
def test_of_a_market_order_the_market_stands_in(kit: Any, market: Decimal | None, told: str, alarms: list[str]) -> None:
    sums = kit.desk_class(itemised_fills=False)
    sums.tracker.market_price = {PAIR: market}.get
    order = InFlightOrder("17", PAIR, OrderType.MARKET, TradeType.BUY, Decimal(1), 1.7e9)
    sums.tracker.start_tracking_order(order)
    sums.report(S.PARTIALLY_FILLED, cumulative_base=Decimal("0.4"))
    assert (sums.told[-1].price, sums.kinds()) == (Decimal(told), alarms)
    sums.tracker.market_price = None
    sums.report(S.FILLED, cumulative_base=Decimal(1))  # the price of its other executions comes first
    assert order.executed_amount_quote == Decimal(told)


async def test_a_connector_knows_the_market(exchange: Any) -> None:
    assert exchange._order_tracker.market_price(PAIR) == 60000
    assert exchange._order_tracker.market_price("BTC-USDC") is None


def test_a_real_fill_replaces_what_was_inferred_and_is_not_told_again(sums: Any) -> None:
    sums.report(S.PARTIALLY_FILLED, cumulative_base=Decimal("0.4"))
    sums.fill("t1", "0.3", price="59000")
    sums.fill("t2", "0.1", price="59000")
    assert sums.told_amounts() == [Decimal("0.4")]
    assert list(sums.order.order_fills) == ["t1", "t2"]
    assert sums.order.executed_amount_quote == Decimal("23600")
    assert sums.kinds() == ["fill_replaced", "fill_replaced"]
    sums.fill("t1", "0.3", price="59000")
    assert sums.tracker.update_counts["duplicate_fill"] == 1


def test_a_real_fill_of_more_than_was_inferred_tells_the_rest(sums: Any) -> None:
    sums.report(S.PARTIALLY_FILLED, cumulative_base=Decimal("0.4"))
    sums.fill("t1", "1", price="59000")
    assert sums.told_amounts() == [Decimal("0.4"), Decimal("0.6")]
    assert sum(sums.told_amounts()) == sums.order.executed_amount_base == 1
    assert sums.words()[-1] == "Completed"
    assert sums.told[-1].quote_asset_amount == 59000


def test_a_real_fill_after_the_end_corrects_the_amounts_without_an_alarm_of_a_late_fill(sums: Any) -> None:
    sums.report(S.FILLED, cumulative_base=Decimal(1))
    sums.fill("t1", "1", price="59000")
    assert sums.words() == ["Created", "Filled", "Completed", "TradeUpdate"]
    assert sums.kinds() == ["fill_replaced"]
    assert sums.order.executed_amount_quote == 59000


@pytest.mark.parametrize("misc", [{"cumulative_base": Decimal(1)}, {}], ids=["counted", "not counted"])
def test_an_end_whose_fills_cannot_be_had_does_not_stay_open_for_ever(desk: Any, misc: dict[str, Decimal]) -> None:
    desk.fill("t1", "0.4")
    desk.report(S.FILLED, **misc)
    desk.tracker.settle_with_provisional_fill(desk.order, 30.0)
    assert desk.order.is_open  # too early
    desk.clock.elapsed_ns += 30 * 10**9
    desk.tracker.settle_with_provisional_fill(desk.order, 30.0)
    desk.tracker.settle_with_provisional_fill(desk.order, 30.0)
    assert desk.words() == ["Created", "Filled", "Filled", "Completed"]
    assert desk.told_amounts() == [Decimal("0.4"), Decimal("0.6")]


async def test_a_connector_that_asks_in_vain_ends_the_order_in_time(exchange: Any, kit: Any) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.events)
    exchange.venue.execute(order_id, "0.5")
    exchange.venue.orders[order_id]["trades"].clear()  # the venue has lost them
    exchange.stream(exchange.venue.report(order_id))
    await exchange._clock.advance(25)
    assert exchange.order(order_id).is_open
    await exchange._clock.advance(10)
    assert exchange.kinds() == ["created", "filled", "completed"]


def test_inferred_fills_survive_json(sums: Any) -> None:
    sums.report(S.PARTIALLY_FILLED, cumulative_base=Decimal("0.4"))
    sums.tracker.stop_tracking_order("17")
    back = InFlightOrder.from_json(sums.order.to_json())
    sums.tracker.start_tracking_order(back)
    sums.order = back
    sums.fill("t1", "0.4", price="59000")
    assert back.executed_amount_base == Decimal("0.4")
    assert list(back.order_fills) == ["t1"]


# -- events --------------------------------------------------------------------------------------------------------


def test_an_event_hands_on_the_amounts_and_the_fee_as_they_were_given(desk: Any) -> None:
    fees = AddedToCostTradeFee(flat_fees=[TokenAmount("USDT", Decimal("0.010")), TokenAmount("BNB", Decimal(1))])
    fill = TradeUpdate("t1", "17", "900", PAIR, 1.0, Decimal("60000.00"), Decimal("0.50"), Decimal(30000), fees)
    desk.tracker.process_trade_update(fill)
    event = desk.told[1]
    assert (event.price, event.amount, event.trade_fee) == (fill.fill_price, fill.fill_base_amount, fees)
    assert isinstance(event, OrderFilledEvent)
    assert event._fields == OrderFilledEvent._fields
    assert event == OrderFilledEvent(*event)


def test_fills_booked_by_a_listener_follow_in_order_with_their_own_amounts(desk: Any) -> None:
    def book_another(event: OrderFilledEvent) -> None:
        if event.exchange_trade_id == "t1":
            desk.fill("t2", "0.6")

    desk.pubsub.add_listener(MarketEvent.OrderFilled, book_another)
    desk.fill("t1", "0.4")
    assert desk.told_amounts() == [Decimal("0.4"), Decimal("0.6")]
    assert desk.words() == ["Created", "Filled", "Filled", "Completed"]


def test_a_refusal_carries_the_venues_words(desk: Any) -> None:
    desk.tracker.mark_failed(desk.order, OrderRejectedError("Margin is insufficient."))
    assert desk.words() == ["MarketOrderFailure"]
    assert (desk.told[0].error_message, desk.told[0].error_type) == ("Margin is insufficient.", "OrderRejectedError")
    assert desk.order.transitions[-1].reason == "local"
