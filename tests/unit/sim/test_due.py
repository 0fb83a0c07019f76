"""What time and price bring about: funding, dates, dead-man's switches, conditional orders; and self-trade rules."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from qtxconn.sim.conditional import ConditionalOrder, ConditionalStatus, ConditionalType, WorkingType
from qtxconn.sim.model import (
    NS_PER_MS,
    ExpireReason,
    IncomeType,
    OrderType,
    Reject,
    RejectReason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from qtxconn.sim.venue import FUNDING_INTERVAL_MS

S = "BTCUSDT"
BUY, SELL = Side.BUY, Side.SELL


@pytest.fixture
def trader(venue):
    engine = venue.engine(S)
    engine.set_ambient(BUY, 999_9, 50_000, 0)
    engine.set_ambient(SELL, 1000_1, 50_000, 0)
    return venue.open_account("t", "secret-of-t")


def wait(clock, milliseconds: int) -> None:
    clock.advance_to(clock.now_ns() + milliseconds * NS_PER_MS)


# -- time ------------------------------------------------------------------------------------------------------


def test_every_funding_time_is_settled_once_however_late(venue, clock, trader):
    venue.place_order(trader, S, BUY, OrderType.MARKET, D(1))
    first = venue.next_funding_ms(S)
    clock.advance_to((first - 1) * NS_PER_MS)
    venue.run_due()
    assert not venue.funding_history
    clock.advance_to((first + 2 * FUNDING_INTERVAL_MS + 5) * NS_PER_MS)
    for _ in range(3):
        venue.run_due()
    assert [point.time_ms for point in venue.funding_history] == [first + n * FUNDING_INTERVAL_MS for n in range(3)]
    paid = [record for record in trader.income if record.type is IncomeType.FUNDING_FEE]
    assert [record.amount for record in paid] == [D("-0.1")] * 3
    assert len({record.income_id for record in trader.income}) == len(trader.income)


def test_a_dated_order_expires_at_its_date(venue, clock, trader):
    now_ms = clock.now_ms()

    def place(good_till_ms: int):
        return venue.place_order(
            trader, S, BUY, OrderType.LIMIT, D(1), D(990), TimeInForce.GTD, good_till_ms=good_till_ms
        )

    with pytest.raises(Reject) as caught:
        place(now_ms)
    assert caught.value.reason is RejectReason.GOOD_TILL_DATE
    order, cancelled = place(now_ms + 600_000), place(now_ms + 600_000)
    venue.cancel_order(trader, S, cancelled.order_id)
    wait(clock, 599_999)
    venue.run_due()
    assert order.is_open
    wait(clock, 1)
    venue.run_due()
    assert (order.status, order.expire_reason) == ("EXPIRED", ExpireReason.GOOD_TILL_DATE)
    assert venue.available_balance(trader) == trader.wallet_balance


def test_a_dead_mans_switch_cancels_unless_it_is_told_again(venue, clock, trader):
    order = venue.place_order(trader, S, BUY, OrderType.LIMIT, D(1), D(990))
    venue.set_dead_mans_switch(trader, S, 1_000)
    for _ in range(3):
        wait(clock, 900)
        venue.run_due()
        venue.set_dead_mans_switch(trader, S, 1_000)
    assert order.is_open
    wait(clock, 1_000)
    venue.run_due()
    assert order.status == "CANCELED"
    late = venue.place_order(trader, S, BUY, OrderType.LIMIT, D(1), D(990))
    venue.set_dead_mans_switch(trader, S, 1_000)
    venue.set_dead_mans_switch(trader, S, 0)
    wait(clock, 5_000)
    venue.run_due()
    assert late.is_open


def test_the_venue_says_when_something_is_due_next(venue, clock, trader):
    funding_ms, now_ms = venue.next_funding_ms(S), clock.now_ms()
    assert venue.next_due_ms() == funding_ms
    conditional(venue, trader, BUY, ConditionalType.STOP_MARKET, 2000_0, good_till_ms=now_ms + 900_000)
    assert venue.next_due_ms() == now_ms + 900_000
    dated = venue.place_order(
        trader, S, BUY, OrderType.LIMIT, D(1), D(990), TimeInForce.GTD, good_till_ms=now_ms + 700_000
    )
    assert venue.next_due_ms() == now_ms + 700_000
    venue.set_dead_mans_switch(trader, S, 1_000)
    assert venue.next_due_ms() == now_ms + 1_000
    wait(clock, 1_000)
    venue.run_due()
    assert not dated.is_open
    assert venue.next_due_ms() == now_ms + 900_000
    wait(clock, 899_000)
    venue.run_due()
    assert venue.next_due_ms() == funding_ms


# -- conditional orders ----------------------------------------------------------------------------------------


def conditional(venue, account, side, kind, trigger=0, **more) -> ConditionalOrder:
    number = venue.next_record_id()
    values = {"quantity": 1_000, "working": WorkingType.MARK_PRICE} | more
    order = ConditionalOrder(number, account, f"c{number}", S, side, kind, trigger=trigger, **values)
    venue.conditional.place(order)
    return order


def mark(venue, price) -> None:
    venue.set_mark_price(S, D(price))
    venue.run_due()


@pytest.mark.parametrize(
    ("side", "kind", "trigger", "short_of", "reached"),
    [
        (BUY, ConditionalType.STOP_MARKET, 1010_0, "1009.9", "1010"),
        (SELL, ConditionalType.STOP_MARKET, 990_0, "990.1", "990"),
        (BUY, ConditionalType.TAKE_PROFIT_MARKET, 990_0, "990.1", "990"),
        (SELL, ConditionalType.TAKE_PROFIT_MARKET, 1010_0, "1009.9", "1010"),
    ],
)
def test_triggers(venue, trader, side, kind, trigger, short_of, reached):
    venue.set_mark_price(S, D(1000))
    order = conditional(venue, trader, side, kind, trigger)
    mark(venue, short_of)
    assert order.status is ConditionalStatus.NEW
    mark(venue, reached)
    assert order.status is ConditionalStatus.FINISHED
    assert (order.order.status, order.order.filled, order.order.client_order_id) == ("FILLED", 1_000, order.client_id)
    with pytest.raises(Reject) as caught:
        conditional(venue, trader, side, kind, trigger)
    assert caught.value.reason is RejectReason.WOULD_TRIGGER


def test_a_stop_with_a_limit_rests_and_finishes_with_its_order(venue, trader):
    venue.set_mark_price(S, D(1000))
    order = conditional(venue, trader, BUY, ConditionalType.STOP, 1005_0, price=980_0)
    mark(venue, "1006")
    assert (order.status, order.order.status) == (ConditionalStatus.TRIGGERED, "NEW")
    venue.cancel_order(trader, S, order.order.order_id)
    venue.run_due()
    assert order.status is ConditionalStatus.FINISHED


def test_a_trailing_stop_follows_the_price_from_its_activation(venue, trader):
    venue.set_mark_price(S, D(1000))
    order = conditional(
        venue, trader, SELL, ConditionalType.TRAILING_STOP_MARKET, activation=1020_0, callback_rate=D(1)
    )
    for price in (1010, 1000, 990, 1020, 1040, 1030):
        mark(venue, price)
        assert order.status is ConditionalStatus.NEW, price
    mark(venue, "1029.6")  # 1 % below 1040
    assert order.status is ConditionalStatus.FINISHED


def test_close_position_closes_what_there_is_or_expires(venue, trader):
    venue.set_mark_price(S, D(1000))
    venue.place_order(trader, S, BUY, OrderType.MARKET, D(3))
    stop = conditional(venue, trader, SELL, ConditionalType.STOP_MARKET, 990_0, quantity=0, close_position=True)
    with pytest.raises(Reject) as caught:
        conditional(venue, trader, SELL, ConditionalType.STOP_MARKET, 985_0, quantity=0, close_position=True)
    assert caught.value.reason is RejectReason.CLOSE_POSITION_EXISTS
    mark(venue, 990)
    assert (stop.status, stop.order.filled) == (ConditionalStatus.FINISHED, 3_000)
    venue.set_mark_price(S, D(1000))
    idle = conditional(venue, trader, SELL, ConditionalType.STOP_MARKET, 990_0, quantity=0, close_position=True)
    mark(venue, 990)
    assert (idle.status, idle.order) == (ConditionalStatus.EXPIRED, None)


def test_a_refused_order_rejects_its_conditional_order(venue, trader):
    venue.set_mark_price(S, D(1000))
    order = conditional(venue, trader, SELL, ConditionalType.STOP_MARKET, 990_0, reduce_only=True)
    mark(venue, 990)
    assert (order.status, order.refusal) == (ConditionalStatus.REJECTED, RejectReason.REDUCE_ONLY)


# -- self-trade prevention -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "maker", "taker"),
    [
        (SelfTradePrevention.NONE, "FILLED", "PARTIALLY_FILLED"),
        (SelfTradePrevention.EXPIRE_TAKER, "NEW", "EXPIRED"),
        (SelfTradePrevention.EXPIRE_MAKER, "EXPIRED", "NEW"),
        (SelfTradePrevention.EXPIRE_BOTH, "EXPIRED", "EXPIRED"),
    ],
)
def test_self_trade_rules(venue, rule, maker, taker):
    account = venue.open_account("s", "secret-of-s")
    resting = venue.place_order(account, S, SELL, OrderType.LIMIT, D("0.005"), D("1000"))
    order = venue.place_order(account, S, BUY, OrderType.LIMIT, D("0.010"), D("1000"), self_trade=rule)
    assert (resting.status, order.status) == (maker, taker)
    engine = venue.engine(S)
    assert engine.side(SELL).total_at(1000_0) == (5 if maker == "NEW" else 0)
    position = account.position(venue.instrument(S))
    assert position.amount == 0
    assert (position.open_bids > 0) == order.is_open
    assert (position.open_asks > 0) == resting.is_open


def test_an_expiring_maker_lets_the_taker_go_on(venue):
    account = venue.open_account("s", "secret-of-s")
    venue.place_order(account, S, SELL, OrderType.LIMIT, D("0.005"), D("1000"))
    venue.engine(S).add_ambient(SELL, 1000_0, 20)
    rule = SelfTradePrevention.EXPIRE_MAKER
    order = venue.place_order(account, S, BUY, OrderType.LIMIT, D("0.020"), D("1000"), TimeInForce.FOK, self_trade=rule)
    assert order.status == "FILLED"
    venue.place_order(account, S, SELL, OrderType.LIMIT, D("0.005"), D("1000"))
    with pytest.raises(Reject) as caught:
        venue.place_order(account, S, BUY, OrderType.LIMIT, D("0.005"), D("1000"), TimeInForce.FOK, self_trade=rule)
    assert caught.value.reason is RejectReason.FOK_NOT_FILLABLE
