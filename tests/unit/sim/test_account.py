"""Money: positions, realised and unrealised profit, fees, funding, margin."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.sim.account import SimPosition, fee_of
from qtxconn.sim.model import Instrument, OrderType, Reject, RejectReason, Side

S = "BTCUSDT"
INSTRUMENT = Instrument(S, "BTC", "USDT", D("0.10"), D("0.001"))


def test_open_add_reduce_flip():
    position = SimPosition(INSTRUMENT)
    assert position.apply_fill(Side.BUY, 1000, 10) == 0
    assert position.apply_fill(Side.BUY, 2000, 10) == 0
    assert position.entry_price == D("150")
    # 5 lots of 0.001 sold 50 above the entry of 150
    assert position.apply_fill(Side.SELL, 2000, 5) == D("0.25")
    assert position.entry_price == D("150")
    # the rest of 15 closed at 100, 5 opened short there
    assert position.apply_fill(Side.SELL, 1000, 20) == D("-0.75")
    assert (position.amount, position.entry_price) == (-5, D("100"))
    assert position.unrealized_pnl(D("90")) == D("0.05")
    assert position.apply_fill(Side.BUY, 900, 5) == D("0.05")
    assert (position.amount, position.entry_price) == (0, 0)
    assert position.realized_pnl == D("-0.45")


fills = st.lists(
    st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 10**6), st.integers(1, 10**5)),
    max_size=40,
)


@given(fills)
def test_realised_and_unrealised_profit_add_up_to_the_cash_flow(sequence):
    position = SimPosition(INSTRUMENT)
    cash = D(0)
    for side, price, quantity in sequence:
        position.apply_fill(side, price, quantity)
        cash -= int(side) * INSTRUMENT.value(price * quantity)
    mark = D("4321.05")
    assert position.realized_pnl + position.unrealized_pnl(mark) == cash + mark * position.quantity
    assert position.realized_pnl % D("1e-8") == 0


@given(fills)
def test_closing_a_part_keeps_the_entry_price_to_the_last_digit_but_one(sequence):
    position = SimPosition(INSTRUMENT)
    for side, price, quantity in sequence:
        before, amount = position.entry_price, position.amount
        position.apply_fill(side, price, quantity)
        if amount * position.amount > 0 and abs(position.amount) < abs(amount):
            assert abs(position.entry_price - before) <= D("1.1e-5") / abs(position.amount) + D("1e-8")


def test_fees():
    assert fee_of(INSTRUMENT, 618002, 50, is_maker=True) == D("0.61800200")
    assert fee_of(INSTRUMENT, 618002, 50, is_maker=False) == D("1.54500500")


@pytest.fixture
def trader(venue):
    engine = venue.engine(S)
    engine.set_ambient(Side.BUY, 10000, 100_000, 0)
    engine.set_ambient(Side.SELL, 10001, 100_000, 0)
    return venue.open_account("k", "s", balance=D("1000"))


def test_wallet_after_a_round_trip(venue, trader):
    venue.place_order(trader, S, Side.BUY, OrderType.MARKET, D("1"))
    venue.place_order(trader, S, Side.SELL, OrderType.MARKET, D("1"))
    fees = (D("1000.1") + D("1000.0")) * D("0.0005")
    assert trader.fees_paid == fees
    assert trader.wallet_balance == D("1000") - D("0.1") - fees
    assert venue.available_balance(trader) == trader.wallet_balance


def test_margin_of_position_and_orders(venue, trader):
    venue.set_leverage(trader, S, 10)
    venue.set_mark_price(S, D("1000"))
    venue.place_order(trader, S, Side.BUY, OrderType.LIMIT, D("2"), D("990"))
    assert venue.initial_margin(trader) == D("198")
    # A sell of less than twice the bids needs nothing more: only one side can be filled into a position.
    venue.place_order(trader, S, Side.SELL, OrderType.LIMIT, D("1"), D("1010"))
    assert venue.initial_margin(trader) == D("198")
    assert venue.available_balance(trader) == D("802")
    venue.cancel_all(trader, S)
    assert venue.available_balance(trader) == D("1000")
    venue.place_order(trader, S, Side.BUY, OrderType.MARKET, D("1"))
    assert venue.initial_margin(trader) == D("100")
    assert venue.unrealized_pnl(trader) == D("-0.1")


def test_insufficient_margin_but_closing_always_passes(venue, trader):
    venue.set_leverage(trader, S, 1)
    with pytest.raises(Reject) as caught:
        venue.place_order(trader, S, Side.BUY, OrderType.MARKET, D("1"))
    assert caught.value.reason is RejectReason.INSUFFICIENT_MARGIN
    venue.place_order(trader, S, Side.BUY, OrderType.MARKET, D("0.99"))
    with pytest.raises(Reject):
        venue.place_order(trader, S, Side.BUY, OrderType.LIMIT, D("0.1"), D("999"))
    venue.place_order(trader, S, Side.SELL, OrderType.MARKET, D("0.99"))
    assert trader.position(venue.instrument(S)).amount == 0


@pytest.mark.parametrize("leverage", [0, 126, -1])
def test_leverage_range(venue, trader, leverage):
    with pytest.raises(Reject) as caught:
        venue.set_leverage(trader, S, leverage)
    assert caught.value.reason is RejectReason.LEVERAGE_RANGE


def test_funding_moves_money_from_longs_to_shorts(venue, trader, recorder):
    short = venue.open_account("short", "s")
    venue.place_order(trader, S, Side.BUY, OrderType.LIMIT, D("1"), D("1000.0"))
    venue.engine(S).set_ambient(Side.BUY, 10000, 0, 1)
    venue.place_order(short, S, Side.SELL, OrderType.MARKET, D("1"))
    venue.set_mark_price(S, D("1000"))
    before = trader.wallet_balance, short.wallet_balance
    venue.apply_funding(S, D("0.0001"))
    assert trader.wallet_balance - before[0] == D("-0.1")
    assert short.wallet_balance - before[1] == D("0.1")
    assert [entry[:2] for entry in recorder.accounts[-2:]] == [("k", "FUNDING_FEE"), ("short", "FUNDING_FEE")]
