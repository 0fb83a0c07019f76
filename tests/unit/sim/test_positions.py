"""Hedge mode, isolated margin and leverage brackets at the venue."""

from __future__ import annotations

from decimal import Decimal as D
from itertools import pairwise

import pytest

from qtxconn.sim.model import MAJOR_BRACKETS, OrderType, PositionSide, Reject, RejectReason, Side

S = "BTCUSDT"
LONG, SHORT, BOTH = PositionSide.LONG, PositionSide.SHORT, PositionSide.BOTH


@pytest.fixture
def trader(venue):
    engine = venue.engine(S)
    engine.add_ambient(Side.BUY, 999_9, 50_000)
    engine.add_ambient(Side.SELL, 1000_1, 50_000)
    return venue.open_account("t", "secret-of-t", balance=D(10_000))


def market(venue, account, side, quantity, leg=BOTH, **more):
    return venue.place_order(account, S, side, OrderType.MARKET, D(quantity), position_side=leg, **more)


def reason_of(call, *args, **more) -> RejectReason:
    with pytest.raises(Reject) as caught:
        call(*args, **more)
    return caught.value.reason


def test_hedge_mode_holds_both_legs_and_closes_each_alone(venue, trader):
    venue.set_position_mode(trader, hedge=True)
    assert reason_of(venue.set_position_mode, trader, hedge=True) is RejectReason.NO_CHANGE
    assert reason_of(market, venue, trader, Side.BUY, "1") is RejectReason.POSITION_SIDE
    market(venue, trader, Side.BUY, "2", LONG)
    market(venue, trader, Side.SELL, "1", SHORT)
    long, short = trader.legs(venue.instrument(S))
    assert (long.amount, short.amount) == (2000, -1000)
    assert reason_of(market, venue, trader, Side.SELL, "2.1", LONG) is RejectReason.REDUCE_ONLY
    assert reason_of(market, venue, trader, Side.BUY, "1.1", SHORT) is RejectReason.REDUCE_ONLY
    market(venue, trader, Side.SELL, "2", LONG)
    assert (long.amount, short.amount) == (0, -1000)
    assert reason_of(venue.set_position_mode, trader, hedge=False) is RejectReason.OPEN_POSITION_EXISTS
    market(venue, trader, Side.BUY, "1", SHORT)
    venue.set_position_mode(trader, hedge=False)
    assert reason_of(market, venue, trader, Side.BUY, "1", LONG) is RejectReason.POSITION_SIDE


def test_reduce_only_has_no_place_in_hedge_mode(venue, trader):
    venue.set_position_mode(trader, hedge=True)
    refused = reason_of(market, venue, trader, Side.BUY, "1", LONG, reduce_only=True)
    assert refused is RejectReason.REDUCE_ONLY_IN_HEDGE_MODE


def test_a_closing_order_of_a_leg_ends_when_the_leg_shrinks_below_it(venue, trader):
    venue.set_position_mode(trader, hedge=True)
    market(venue, trader, Side.BUY, "2", LONG)
    closing = venue.place_order(trader, S, Side.SELL, OrderType.LIMIT, D(2), D("1001"), position_side=LONG)
    held = venue.available_balance(trader)
    market(venue, trader, Side.SELL, "1", LONG)
    assert (closing.status, closing.expire_reason) == ("EXPIRED", "REDUCE_ONLY")
    assert venue.available_balance(trader) > held  # the closing order held no margin, the closed lots did


def test_open_orders_keep_the_position_mode(venue, trader):
    venue.place_order(trader, S, Side.BUY, OrderType.LIMIT, D(1), D("990"))
    assert reason_of(venue.set_position_mode, trader, hedge=True) is RejectReason.OPEN_ORDERS_EXIST
    assert reason_of(venue.set_isolated, trader, S, True) is RejectReason.OPEN_ORDERS_EXIST


def test_isolated_margin_is_set_aside_and_comes_back(venue, trader):
    venue.set_mark_price(S, D("1000"))
    venue.set_leverage(trader, S, 10)
    venue.set_isolated(trader, S, True)
    market(venue, trader, Side.BUY, "10")
    position = trader.position(venue.instrument(S))
    assert position.isolated_wallet == D("1000.1")  # 10 * 1000.1 / 10
    assert trader.cross_wallet == trader.wallet_balance - D("1000.1")
    assert venue.available_balance(trader) == trader.cross_wallet
    market(venue, trader, Side.SELL, "4")
    assert position.isolated_wallet == D("600.06")
    market(venue, trader, Side.SELL, "10")  # flips: 6 closed, 4 opened short at 999.9
    assert (position.amount, position.isolated_wallet) == (-4000, D("399.96"))
    market(venue, trader, Side.BUY, "4")
    assert (position.isolated_wallet, trader.cross_wallet) == (0, trader.wallet_balance)


def test_margin_moves_into_and_out_of_an_isolated_position(venue, trader):
    assert reason_of(venue.move_margin, trader, S, BOTH, D(1)) is RejectReason.NOT_ISOLATED
    venue.set_mark_price(S, D("1000"))
    venue.set_isolated(trader, S, True)
    market(venue, trader, Side.BUY, "1")
    position = trader.position(venue.instrument(S))
    before = position.isolated_wallet
    venue.move_margin(trader, S, BOTH, D(100))
    assert position.isolated_wallet == before + 100
    assert reason_of(venue.move_margin, trader, S, BOTH, D(10**6)) is RejectReason.INSUFFICIENT_MARGIN
    assert reason_of(venue.move_margin, trader, S, BOTH, D(-101)) is RejectReason.ISOLATED_MARGIN_TOO_SMALL
    venue.move_margin(trader, S, BOTH, D(-99))
    assert [change.amount for change in trader.margin_changes] == [100, -99]


def test_brackets_join_without_a_jump(instrument):
    assert (MAJOR_BRACKETS[1].deduction, MAJOR_BRACKETS[2].deduction) == (300, 1500)
    for below, above in pairwise(MAJOR_BRACKETS):
        assert below.cap == above.floor
        edge = below.cap
        assert edge * below.maintenance_rate - below.deduction == edge * above.maintenance_rate - above.deduction
    assert instrument.max_notional(125) == 300_000
    assert instrument.max_notional(20) == 100_000_000
    assert instrument.maintenance_margin(D(100_000)) == 400


def test_leverage_bounds_the_position_and_the_position_the_leverage(venue, instrument):
    venue.engine(S).add_ambient(Side.SELL, 1000_1, 10**6)
    rich = venue.open_account("rich", "secret-of-rich", balance=D(10**8))
    venue.set_mark_price(S, D("1000"))
    venue.set_leverage(rich, S, 125)
    for _ in range(2):
        market(venue, rich, Side.BUY, "100")
    assert reason_of(market, venue, rich, Side.BUY, "110") is RejectReason.POSITION_TOO_LARGE
    venue.set_leverage(rich, S, 100)
    market(venue, rich, Side.BUY, "110")
    assert reason_of(venue.set_leverage, rich, S, 125) is RejectReason.LEVERAGE_TOO_HIGH
