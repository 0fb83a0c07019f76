"""Orders at the venue: matching, time in force, filters, amendments, reduce-only, self-trades, reports."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from qtxconn.sim.model import (
    ExpireReason,
    Instrument,
    OrderStatus,
    OrderType,
    Reject,
    RejectReason,
    Side,
    TimeInForce,
)
from qtxconn.sim.venue import Venue

S = "BTCUSDT"
BUY, SELL = Side.BUY, Side.SELL


@pytest.fixture
def a(venue):
    return venue.open_account("a", "secret-of-a")


@pytest.fixture
def b(venue):
    return venue.open_account("b", "secret-of-b")


def limit(venue, account, side, quantity, price, tif=TimeInForce.GTC, client_id=None, **more):
    return venue.place_order(account, S, side, OrderType.LIMIT, D(quantity), D(price), tif, client_id, **more)


def market(venue, account, side, quantity, **more):
    return venue.place_order(account, S, side, OrderType.MARKET, D(quantity), **more)


def reason_of(call, *args, **more) -> RejectReason:
    with pytest.raises(Reject) as caught:
        call(*args, **more)
    return caught.value.reason


def ambient(venue, bid=(1000_0, 5000), ask=(1000_1, 5000)):
    engine = venue.engine(S)
    engine.set_ambient(BUY, *bid, 0)
    engine.set_ambient(SELL, *ask, 0)
    engine.publish()
    return engine


def test_price_time_priority_and_partial_fills(venue, a, b, recorder):
    first = limit(venue, a, BUY, "0.010", "1000.0", client_id="first")
    second = limit(venue, a, BUY, "0.010", "1000.0", client_id="second")
    better = limit(venue, a, BUY, "0.010", "1000.1", client_id="better")
    taker = market(venue, b, SELL, "0.025")
    assert (better.filled, first.filled, second.filled) == (10, 10, 5)
    assert (better.status, first.status, second.status) == ("FILLED", "FILLED", "PARTIALLY_FILLED")
    assert taker.status is OrderStatus.FILLED
    assert taker.filled_quote == 10 * 10001 + 15 * 10000
    assert taker.average_price_ticks * 25 == taker.filled_quote
    assert [e.order.client_order_id for e in recorder.executions if e.is_maker] == [
        "better",
        "first",
        "second",
    ]


def test_event_order_of_one_fill(venue, a, b, recorder):
    limit(venue, a, BUY, "0.010", "1000.0", client_id="maker")
    recorder.log.clear()
    limit(venue, b, SELL, "0.006", "1000.0", client_id="taker")
    assert [entry for entry in recorder.log if entry[0] != "depth"] == [
        ("order", "taker", "NEW", "NEW"),
        ("order", "maker", "TRADE", "PARTIALLY_FILLED"),
        ("account", "a", "ORDER"),
        ("order", "taker", "TRADE", "FILLED"),
        ("account", "b", "ORDER"),
        ("trade", 10000, 6),
        ("ticker", 10000, 4, 0, 0),
    ]
    assert recorder.log[-1][0] == "depth"


def test_ioc_remainder_expires_and_takes_ambient(venue, a, recorder):
    ambient(venue, ask=(10001, 7))
    order = limit(venue, a, BUY, "0.010", "1000.1", TimeInForce.IOC)
    assert (order.status, order.expire_reason, order.filled) == ("EXPIRED", ExpireReason.UNFILLED, 7)
    assert venue.engine(S).asks.best == 0
    assert venue.open_orders(a) == []


def test_market_order_without_liquidity_is_refused(venue, a):
    assert reason_of(market, venue, a, BUY, "0.010") is RejectReason.NO_LIQUIDITY


def test_market_order_reaches_only_as_far_as_percent_price(venue, a):
    engine = ambient(venue, ask=(10001, 5))
    engine.set_ambient(SELL, 12000, 50, 0)
    order = market(venue, a, BUY, "0.010")
    assert (order.filled, order.status) == (5, "EXPIRED")


def test_fok_fills_whole_or_is_refused_without_a_trace(venue, a, recorder):
    engine = ambient(venue, ask=(10001, 7))
    engine.set_ambient(SELL, 10002, 3, 0)
    recorder.log.clear()
    assert reason_of(limit, venue, a, BUY, "0.011", "1000.2", TimeInForce.FOK) is RejectReason.FOK_NOT_FILLABLE
    assert recorder.log == []
    assert limit(venue, a, BUY, "0.010", "1000.2", TimeInForce.FOK).status is OrderStatus.FILLED


def test_fok_does_not_count_what_lies_behind_an_own_order(venue, a, b):
    limit(venue, b, SELL, "0.005", "1000.1")
    limit(venue, a, SELL, "0.005", "1000.1")
    limit(venue, b, SELL, "0.005", "1000.1")
    assert reason_of(limit, venue, a, BUY, "0.006", "1000.1", TimeInForce.FOK) is RejectReason.FOK_NOT_FILLABLE
    assert limit(venue, a, BUY, "0.005", "1000.1", TimeInForce.FOK).status is OrderStatus.FILLED


def test_post_only_rests_or_is_refused(venue, a):
    ambient(venue)
    assert reason_of(limit, venue, a, BUY, "0.01", "1000.1", TimeInForce.GTX) is (RejectReason.POST_ONLY_WOULD_CROSS)
    assert limit(venue, a, BUY, "0.01", "1000.0", TimeInForce.GTX).status is OrderStatus.NEW


def test_self_trade_expires_the_taker(venue, a, b):
    limit(venue, b, SELL, "0.006", "1000.1")
    resting = limit(venue, a, SELL, "0.005", "1000.1")
    taker = limit(venue, a, BUY, "0.010", "1000.1")
    assert (taker.filled, taker.status, taker.expire_reason) == (6, "EXPIRED", ExpireReason.SELF_TRADE)
    assert resting.status is OrderStatus.NEW


@pytest.mark.parametrize(
    ("quantity", "price", "reason"),
    [
        ("0.0105", "1000.0", RejectReason.QTY_STEP),
        ("0", "1000.0", RejectReason.QTY_TOO_SMALL),
        ("-1", "1000.0", RejectReason.QTY_TOO_SMALL),
        ("NaN", "1000.0", RejectReason.QTY_TOO_SMALL),
        ("1000.001", "1000.0", RejectReason.QTY_TOO_LARGE),
        ("1e30", "1000.0", RejectReason.QTY_STEP),
        ("0.01", "1000.05", RejectReason.PRICE_TICK),
        ("0.01", "0", RejectReason.PRICE_NOT_POSITIVE),
        ("0.01", "Infinity", RejectReason.PRICE_NOT_POSITIVE),
        ("0.004", "1000.0", RejectReason.NOTIONAL_TOO_SMALL),
        ("0.01", "1100.0", RejectReason.PERCENT_PRICE),
    ],
)
def test_filters(venue, a, quantity, price, reason):
    ambient(venue)
    assert reason_of(limit, venue, a, BUY, quantity, price) is reason
    assert venue.open_orders(a) == []


def test_other_refusals(venue, a):
    ambient(venue)
    assert reason_of(venue.place_order, a, "X", BUY, OrderType.MARKET, D(1)) is RejectReason.UNKNOWN_SYMBOL
    assert reason_of(venue.place_order, a, S, BUY, OrderType.LIMIT, D(1)) is RejectReason.PRICE_MISSING
    assert reason_of(venue.place_order, a, S, BUY, OrderType.MARKET, D(1), D(1)) is RejectReason.INVALID_ORDER
    assert reason_of(limit, venue, a, BUY, "0.01", "1000", client_id="") is RejectReason.CLIENT_ID_INVALID
    assert reason_of(limit, venue, a, BUY, "0.01", "1000", client_id="x" * 37) is RejectReason.CLIENT_ID_INVALID
    assert reason_of(venue.cancel_order, a, S, 1) is RejectReason.UNKNOWN_ORDER
    assert reason_of(venue.query_order, a, S, None, "never") is RejectReason.NO_SUCH_ORDER


def test_too_many_orders(instrument, clock):
    few = Instrument(S, "BTC", "USDT", instrument.tick_size, instrument.lot_size, max_open_orders=2)
    venue = Venue([few], clock)
    account = venue.open_account("k", "s")
    for _ in range(2):
        limit(venue, account, BUY, "1", "1000")
    assert reason_of(limit, venue, account, BUY, "1", "1000") is RejectReason.TOO_MANY_ORDERS


def test_client_id_is_unique_among_open_orders_only(venue, a, b):
    first = limit(venue, a, BUY, "0.01", "1000", client_id="id")
    limit(venue, b, BUY, "0.01", "1000", client_id="id")
    assert reason_of(limit, venue, a, BUY, "0.01", "1000", client_id="id") is RejectReason.DUPLICATE_CLIENT_ID
    venue.cancel_order(a, S, client_order_id="id")
    second = limit(venue, a, BUY, "0.01", "1000", client_id="id")
    assert venue.query_order(a, S, client_order_id="id") is second
    assert venue.query_order(a, S, first.order_id) is first
    assert first.status is OrderStatus.CANCELED


def test_accounts_do_not_see_each_others_orders(venue, a, b):
    order = limit(venue, a, BUY, "0.01", "1000")
    assert reason_of(venue.query_order, b, S, order.order_id) is RejectReason.NO_SUCH_ORDER
    assert reason_of(venue.cancel_order, b, S, order.order_id) is RejectReason.UNKNOWN_ORDER
    assert order.is_open


def test_cancel_removes_from_the_book_and_a_second_cancel_is_unknown(venue, a, recorder):
    order = limit(venue, a, BUY, "0.01", "1000")
    assert venue.depth(S, 5)[0] == [(10000, 10)]
    assert venue.cancel_order(a, S, order.order_id) is order
    assert venue.depth(S, 5)[0] == []
    assert reason_of(venue.cancel_order, a, S, order.order_id) is RejectReason.UNKNOWN_ORDER
    assert recorder.orders[-1][1:] == ("CANCELED", "CANCELED")


def test_cancel_all(venue, a, b):
    mine = [limit(venue, a, BUY, "0.01", price) for price in ("999", "998")]
    other = limit(venue, b, BUY, "0.01", "999")
    assert venue.cancel_all(a, S) == mine
    assert venue.open_orders(a) == []
    assert other.is_open


def test_amend_keeps_or_loses_the_place(venue, a, b):
    first = limit(venue, a, BUY, "0.010", "1000")
    second = limit(venue, b, BUY, "0.010", "1000")
    venue.amend_order(a, S, first.order_id, quantity=D("0.008"))
    level = venue.engine(S).bids.levels[10000]
    assert list(level.orders.values()) == [first, second]
    venue.amend_order(a, S, first.order_id, quantity=D("0.009"))
    assert list(level.orders.values()) == [second, first]
    assert level.total == 19
    assert reason_of(venue.amend_order, a, S, first.order_id, quantity=D("0.009")) is RejectReason.AMEND_NO_CHANGE


def test_amend_to_a_crossing_price_takes(venue, a):
    ambient(venue)
    order = limit(venue, a, BUY, "0.010", "999")
    venue.amend_order(a, S, order.order_id, price=D("1000.1"))
    assert order.status is OrderStatus.FILLED
    assert a.position(venue.instrument(S)).open_bids == 0


def test_amend_refused_leaves_the_order_as_it_was(venue, a):
    ambient(venue)
    venue.set_leverage(a, S, 1)
    order = limit(venue, a, BUY, "0.010", "999", TimeInForce.GTX)
    assert reason_of(venue.amend_order, a, S, order.order_id, price=D("1000.1")) is (RejectReason.POST_ONLY_WOULD_CROSS)
    assert reason_of(venue.amend_order, a, S, order.order_id, quantity=D("900")) is (RejectReason.INSUFFICIENT_MARGIN)
    assert (order.price, order.quantity, order.status) == (9990, 10, "NEW")
    assert a.position(venue.instrument(S)).open_bids == 9990 * 10


def test_amend_below_the_filled_quantity_cancels(venue, a, b):
    order = limit(venue, a, BUY, "0.020", "1000")
    limit(venue, b, SELL, "0.010", "1000")
    venue.amend_order(a, S, order.order_id, quantity=D("0.010"))
    assert (order.status, order.filled) == ("CANCELED", 10)


def test_reduce_only(venue, a):
    ambient(venue)
    assert reason_of(market, venue, a, SELL, "0.01", reduce_only=True) is RejectReason.REDUCE_ONLY
    market(venue, a, BUY, "0.010")
    assert reason_of(market, venue, a, BUY, "0.005", reduce_only=True) is RejectReason.REDUCE_ONLY
    assert reason_of(market, venue, a, SELL, "0.011", reduce_only=True) is RejectReason.REDUCE_ONLY
    # Below the minimum notional, which reduce-only orders need not reach.
    assert market(venue, a, SELL, "0.001", reduce_only=True).status is OrderStatus.FILLED
    assert a.position(venue.instrument(S)).amount == 9


def test_resting_reduce_only_order_expires_with_the_position(venue, a, recorder):
    ambient(venue)
    market(venue, a, BUY, "0.010")
    kept = limit(venue, a, SELL, "0.004", "1001", reduce_only=True)
    too_much = limit(venue, a, SELL, "0.008", "1002", reduce_only=True)
    market(venue, a, SELL, "0.005")
    assert kept.is_open
    assert (too_much.status, too_much.expire_reason) == ("EXPIRED", ExpireReason.REDUCE_ONLY)
    assert [p for p, _ in venue.depth(S, 9)[1]] == [10001, 10010]


def test_executions_history(venue, a):
    ambient(venue)
    orders = [market(venue, a, BUY, "0.010") for _ in range(4)]
    ids = [e.trade_id for e in venue.executions(a, S)]
    assert ids == sorted(ids)
    assert len(ids) == 4
    assert [e.order for e in venue.executions(a, S, orders[1].order_id)] == [orders[1]]
    assert [e.trade_id for e in venue.executions(a, S, limit=2)] == ids[2:]
    assert [e.trade_id for e in venue.executions(a, S, from_id=ids[1], limit=2)] == ids[1:3]


def test_snapshot_is_straddled_by_the_next_depth_update(venue, a, recorder):
    ambient(venue)
    _, _, snapshot_id = venue.depth(S)
    limit(venue, a, BUY, "0.01", "999")
    update = recorder.depths[-1]
    assert update.first_id <= snapshot_id <= update.last_id
    assert update.prev_id == recorder.depths[-2].last_id


def test_ticker_only_on_a_change_of_the_top(venue, a, recorder):
    ambient(venue)
    before = len(recorder.tickers)
    limit(venue, a, BUY, "0.01", "999")
    assert len(recorder.tickers) == before
    limit(venue, a, BUY, "0.01", "1000")
    assert recorder.tickers[-1].bid_qty == 5010


def test_own_orders_are_visible_in_depth_beside_ambient(venue, a):
    ambient(venue)
    limit(venue, a, BUY, "0.010", "1000.0")
    assert venue.depth(S, 1)[0] == [(10000, 5010)]


def test_mark_index_funding(venue, clock):
    ambient(venue)
    assert venue.mark_price(S) == D("1000.05")
    assert venue.index_price(S) < venue.mark_price(S)
    assert venue.next_funding_ms(S) % (8 * 3_600_000) == 0
    assert 0 < venue.next_funding_ms(S) - clock.now_ms() <= 8 * 3_600_000
    venue.set_mark_price(S, D("990"))
    assert venue.mark_price(S) == D("990")
    venue.set_mark_price(S, None)
    assert venue.mark_price(S) == D("1000.05")


def test_two_symbols_and_a_taken_key(instrument, clock):
    other = Instrument("ETHUSDT", "ETH", "USDT", D("0.01"), D("0.001"))
    venue = Venue([instrument, other], clock)
    account = venue.open_account("k", "s")
    order = venue.place_order(account, "ETHUSDT", BUY, OrderType.LIMIT, D("1"), D("200.01"))
    assert venue.open_orders(account, S) == []
    assert venue.open_orders(account) == [order]
    assert reason_of(venue.query_order, account, S, order.order_id) is RejectReason.NO_SUCH_ORDER
    with pytest.raises(ValueError, match="already"):
        venue.open_account("k", "s")


def test_repr_of_an_account_hides_the_secret(venue, a):
    assert "secret" not in repr(a)


def test_executions_of_one_order_and_from_one_trade_on(venue, a):
    ambient(venue)
    orders = [market(venue, a, BUY, "0.2") for _ in range(5)]
    every = venue.executions(a, S)
    assert [execution.order for execution in every] == orders
    assert venue.executions(a, S, orders[1].order_id) == [every[1]]
    assert venue.executions(a, S, orders[1].order_id, every[2].trade_id) == []
    assert venue.executions(a, S, None, every[2].trade_id) == every[2:]
    assert venue.executions(a, S, None, every[2].trade_id, 1) == [every[2]]
    assert venue.executions(a, S, limit=2) == every[-2:]
    assert venue.executions(a, S, 12345) == []
