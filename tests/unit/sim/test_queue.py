"""The queue-position rule of `sim/book.py`, number by number, and what recorded words do to own orders."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.sim.book import Level
from qtxconn.sim.model import OrderType, Side, SimOrder, TimeInForce

S = "BTCUSDT"
BUY, SELL = Side.BUY, Side.SELL


@pytest.fixture
def engine(venue):
    engine = venue.engine(S)
    engine.set_ambient(BUY, 10000, 100, 1)
    engine.set_ambient(SELL, 10001, 100, 1)
    return engine


@pytest.fixture
def buy(venue):
    account = venue.open_account("k", "s")

    def place(quantity="0.010", price="1000.0"):
        return venue.place_order(account, S, BUY, OrderType.LIMIT, D(quantity), D(price))

    return place


def test_joins_behind_what_is_displayed_and_ahead_of_what_comes(engine, buy):
    first = buy()
    engine.set_ambient(BUY, 10000, 150, 2)
    second = buy()
    assert (first.ahead, second.ahead) == (100, 150)


def test_an_aggressor_consumes_from_the_front(engine, buy):
    first = buy()
    engine.set_ambient(BUY, 10000, 150, 2)
    second = buy()
    engine.background_order(SELL, 105, 10000)
    assert (first.filled, second.filled, second.ahead) == (5, 0, 50)
    engine.background_order(SELL, 5 + 50 + 3, 10000)
    assert (first.filled, second.filled) == (10, 3)


def test_a_cancellation_comes_from_all_over_the_queue(engine, buy):
    first = buy()
    engine.set_ambient(BUY, 10000, 200, 2)
    engine.cancel_ambient(BUY, 10000, 50)
    # 50 of 200 cancelled: a quarter of the 100 in front
    assert first.ahead == 75
    engine.set_ambient(BUY, 10000, 149, 3)
    # rounded against the order: 75 / 150 of one lot is none
    assert first.ahead == 75


def test_a_print_advances_the_queue_and_the_decrease_after_it_does_not(engine, buy):
    order = buy()
    engine.print_trade(SELL, 10000, 30, 5)
    assert order.ahead == 70
    engine.set_ambient(BUY, 10000, 70, 5)
    assert order.ahead == 70
    engine.print_trade(SELL, 10000, 75, 6)
    assert order.filled == 5


def test_a_decrease_advances_the_queue_and_the_print_after_it_does_not(engine, buy):
    order = buy()
    engine.set_ambient(BUY, 10000, 70, 5)
    assert order.ahead == 70
    engine.print_trade(SELL, 10000, 30, 5)
    assert order.ahead == 70
    # A print of a later time cannot be what that decrease was about.
    engine.print_trade(SELL, 10000, 30, 6)
    assert order.ahead == 40


def test_a_later_decrease_settles_what_was_printed_before(engine, buy):
    order = buy()
    engine.print_trade(SELL, 10000, 20, 5)
    engine.set_ambient(BUY, 10000, 40, 7)
    # of the 60 that are gone 20 were printed, the other 40 of 80 left: half of the 80 in front
    assert order.ahead == 40


def test_a_print_explains_no_decrease_beyond_the_first_word_of_a_later_time(engine, buy):
    order = buy()
    engine.print_trade(SELL, 10000, 20, 5)
    engine.set_ambient(BUY, 10000, 90, 7)
    assert order.ahead == 80
    engine.set_ambient(BUY, 10000, 80, 8)
    # 10 of 90 cancelled, so 8 of the 80 in front
    assert order.ahead == 72


def test_a_print_at_the_front_fills_even_when_the_decrease_came_first(engine, buy):
    order = buy()
    engine.background_order(SELL, 100, 10000)
    engine.set_ambient(BUY, 10000, 50, 4)
    assert order.ahead == 0
    engine.set_ambient(BUY, 10000, 45, 5)
    engine.print_trade(SELL, 10000, 5, 5)
    assert order.filled == 5


def test_a_late_print_does_not_meet_an_order_that_joined_behind_what_it_left(engine, buy):
    engine.set_ambient(BUY, 10000, 70, 5)
    order = buy()
    inside = buy("0.010", "999.9")
    engine.print_trade(SELL, 10000, 75, 4)
    engine.print_trade(SELL, 10000, 75, 5)
    engine.print_trade(SELL, 9980, 75, 5)
    assert (order.ahead, order.filled, inside.filled) == (70, 0, 0)
    engine.print_trade(SELL, 10000, 75, 6)
    assert order.filled == 5


def test_a_late_print_explains_no_decrease(engine, buy):
    engine.set_ambient(BUY, 10000, 70, 5)
    order = buy()
    engine.set_ambient(BUY, 10000, 140, 6)
    engine.print_trade(SELL, 10000, 30, 4)
    engine.set_ambient(BUY, 10000, 105, 7)
    # 35 of 140 cancelled, so 17 of the 70 in front
    assert order.ahead == 53


def test_a_print_behind_an_own_order_has_passed_the_ambient_lots_ahead_of_it(engine, buy):
    order = buy()
    engine.print_trade(SELL, 9990, 7, 5)
    assert (order.ahead, order.filled) == (0, 7)


def test_a_print_fills_better_own_orders_first_up_to_its_quantity(venue, engine, buy, recorder):
    engine.set_ambient(SELL, 10001, 0, 1)
    engine.set_ambient(SELL, 10005, 10, 1)
    better = buy("0.010", "1000.3")
    worse = buy("0.010", "1000.2")
    recorder.trades.clear()
    engine.print_trade(SELL, 10000, 16, 5)
    assert (better.filled, worse.filled) == (10, 6)
    assert [(t.price, t.quantity, t.buyer_is_maker) for t in recorder.trades] == [
        (10003, 10, True),
        (10002, 6, True),
    ]


def test_prints_keep_their_total_quantity(engine, buy, recorder):
    buy("0.010", "1000.0")
    engine.print_trade(SELL, 10000, 105, 5)
    assert [(t.price, t.quantity) for t in recorder.trades] == [(10000, 5), (10000, 100)]
    assert recorder.executions[0].trade_id == recorder.trades[0].trade_id


def test_a_recorded_price_through_an_own_order_fills_it_up_to_its_quantity(engine, buy):
    order = buy("0.010", "1000.0")
    engine.set_ambient(SELL, 9998, 6, 2)
    assert (order.filled, order.filled_quote) == (6, 6 * 10000)
    assert engine.bids.levels[10000].ambient == 0
    assert engine.asks.best == 10001
    engine.set_ambient(SELL, 9998, 6, 3)
    assert order.filled == 10
    assert engine.levels(SELL, 1) == [(9998, 2)]


def test_newer_ambient_wins_over_ambient_that_it_crosses(engine):
    engine.set_ambient(BUY, 10003, 7, 2)
    assert (engine.bids.best, engine.asks.best) == (10003, 0)


def test_ambient_touch_clears_what_is_better(engine):
    engine.set_ambient_touch(BUY, 9990, 5, 2)
    assert engine.levels(BUY, 9) == [(9990, 5)]


def test_an_own_aggressor_eats_ambient_until_the_recording_speaks_again(venue, engine, buy):
    buy("0.060", "1000.1")
    assert engine.levels(SELL, 1) == [(10001, 40)]
    engine.set_ambient(SELL, 10001, 100, 2)
    assert engine.levels(SELL, 1) == [(10001, 100)]


def order_of(number: int, quantity: int) -> SimOrder:
    return SimOrder(number, None, str(number), S, BUY, OrderType.LIMIT, TimeInForce.GTC, 1, quantity)


words = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 100), st.integers(0, 5)),
    st.tuples(st.just("print"), st.integers(1, 50), st.integers(0, 5)),
    st.tuples(st.just("join"), st.integers(1, 20), st.just(0)),
    st.tuples(st.just("cancel"), st.integers(0, 100), st.just(0)),
    st.tuples(st.just("leave"), st.integers(0, 5), st.just(0)),
)


@given(st.lists(words, max_size=40))
def test_places_stay_in_order_and_within_the_ambient_quantity(sequence):
    level = Level()
    now = 0
    for number, (word, value, passed) in enumerate(sequence):
        now += passed
        before = [o.ahead for o in level.orders.values()]
        if word == "set":
            level.set_ambient(value, now)
        elif word == "print" and level.orders:
            level.advance(level.unexplained(value, now), now)
        elif word == "join":
            level.join(order_of(number, value))
        elif word == "cancel":
            level.cancel_ambient(min(value, level.ambient))
        elif word == "leave" and level.orders:
            level.leave(list(level.orders.values())[value % len(level.orders)])
        ahead = [o.ahead for o in level.orders.values()]
        assert ahead == sorted(ahead)
        assert all(0 <= place <= level.ambient for place in ahead)
        assert level.own == sum(o.remaining for o in level.orders.values())
        if word in ("set", "print", "cancel"):
            assert all(after <= place for after, place in zip(ahead, before, strict=True))
