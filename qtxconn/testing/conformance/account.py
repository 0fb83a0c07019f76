"""Cases 9xx: balances, positions, leverage, funding."""

from __future__ import annotations

from decimal import Decimal

from qtxconn.core.events import FundingPaymentCompletedEvent
from qtxconn.core.types import AccountEvent, MarginType, OrderState, PositionAction, PositionMode
from qtxconn.errors import OrderValidationError, VenueError
from qtxconn.sim.faults import RequestFault, StreamFault
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, same
from qtxconn.testing.conformance.target import Action, Refusal

FILLED = OrderState.FILLED


async def _balance_is_true(s: Session) -> None:
    balance = await s.venue.balance()
    await s.until(f"balance {balance}", lambda: s.connector.get_balance(s.asset) == balance)


async def _position_is(s: Session, amount: Decimal) -> None:
    await s.until(f"position {amount}", lambda: s.connector.get_position_amount(s.pair) == amount)
    same("at the venue", await s.venue.position(), amount)


@case(901)
async def balance(s: Session) -> None:
    """The balance is the venue's, and unknown assets have 0."""
    await _balance_is_true(s)
    same("unknown asset", s.connector.get_balance("NOSUCH"), 0)
    same("all balances", s.connector.get_all_balances()[s.asset], s.connector.get_balance(s.asset))


@case(902)
async def balance_after_a_trade(s: Session) -> None:
    """After a trade the balance is the venue's again, fee included."""
    before = s.connector.get_balance(s.asset)
    await s.filled(BUY)
    await s.until("it moved", lambda: s.connector.get_balance(s.asset) != before)
    await _balance_is_true(s)


@case(903)
async def balance_after_a_loss(s: Session) -> None:
    """After a round trip across the spread the balance has lost spread and fees, as at the venue."""
    before = await s.venue.balance()
    await s.filled(BUY)
    await s.filled(SELL, position_action=PositionAction.CLOSE)
    await _balance_is_true(s)
    check("it costs", s.connector.get_balance(s.asset) < before)


@case(904)
async def available(s: Session) -> None:
    """An open order takes from the available balance, and a cancel gives it back."""
    before = await s.venue.available()
    await s.until("as at the venue", lambda: s.connector.get_available_balance(s.asset) == before)
    order = await s.rest(BUY, amount=s.lot * 10)
    await s.until("less", lambda: s.connector.get_available_balance(s.asset) < before)
    held = await s.venue.available()
    await s.until("as at the venue", lambda: s.connector.get_available_balance(s.asset) == held)
    s.cancel(order)
    await s.until("as before", lambda: s.connector.get_available_balance(s.asset) == before)


@case(905)
async def long(s: Session) -> None:
    """A buy makes a long position with its entry price."""
    order = await s.filled(BUY)
    await _position_is(s, s.lot)
    position = s.connector.get_position(s.pair)
    same("entry price", position and position.entry_price, order.average_executed_price)


@case(906)
async def short(s: Session) -> None:
    """A sell makes a short position: its amount is negative."""
    await s.filled(SELL)
    await _position_is(s, -s.lot)


@case(907)
async def added_to(s: Session) -> None:
    """Two buys add up, and the entry price is their average."""
    await s.venue.rest(SELL, s.lot, s.mid)
    first = s.place(BUY, s.mid)
    await s.state(first, FILLED)
    await s.book_is_true()
    second = await s.filled(BUY)
    await _position_is(s, s.lot * 2)
    prices = [order.average_executed_price or Decimal(0) for order in (first, second)]
    position = s.connector.get_position(s.pair)
    same("entry price", position and position.entry_price, sum(prices) / 2)


@case(908)
async def reduced(s: Session) -> None:
    """Closing half leaves half."""
    await s.filled(BUY, s.lot * 2)
    await s.filled(SELL, s.lot, position_action=PositionAction.CLOSE)
    await _position_is(s, s.lot)


@case(909)
async def closed(s: Session) -> None:
    """A closed position is gone, not zero."""
    await s.filled(SELL)
    await _position_is(s, -s.lot)
    await s.filled(BUY, position_action=PositionAction.CLOSE)
    await s.until("gone", lambda: s.connector.get_position(s.pair) is None)
    same("all positions", s.connector.get_all_positions(), [])


@case(910)
async def turned(s: Session) -> None:
    """A sell of twice the long turns it around."""
    await s.filled(BUY)
    await s.filled(SELL, s.lot * 2)
    await _position_is(s, -s.lot)


@case(911)
async def told(s: Session) -> None:
    """A change of the position is told."""
    await s.filled(BUY)
    await s.until("position", lambda: s.connector.get_position_amount(s.pair) == s.lot)
    amounts = [event.amount for event in s.account_events if getattr(event, "trading_pair", "") == s.pair]
    check(f"{AccountEvent.PositionUpdate} with the new amount: {amounts}", s.lot in amounts)


@case(912)
async def position_of_before(s: Session) -> None:
    """A connector that connects into a position knows it, and its balance."""
    await s.filled(BUY)
    connector = s.make()
    await connector.connect()
    same("position", connector.get_position_amount(s.pair), s.lot)
    same("balance", connector.get_balance(s.asset), await s.venue.balance())
    await connector.disconnect()


@case(913)
async def account_event_lost(s: Session) -> None:
    """The account's message is lost: a reconnect brings the position right."""
    await s.fresh()
    await s.venue.fault(StreamFault.LOST, Action.ACCOUNT_EVENT, count=3)
    await s.filled(BUY)
    await s.venue.disconnect()
    await _position_is(s, s.lot)
    await s.until("ready again", lambda: s.connector.is_ready)


@case(914, "position mode ONEWAY")
async def one_way(s: Session) -> None:
    """The position mode is known."""
    same("mode", s.connector.position_mode, PositionMode.ONEWAY)


@case(915, "leverage")
async def leverage(s: Session) -> None:
    """Leverage is set at the venue and known here."""
    before = await s.venue.leverage()
    await s.connector.set_leverage(s.pair, 7)
    same("at the venue", await s.venue.leverage(), 7)
    same("here", s.connector.get_leverage(s.pair), 7)
    await s.filled(BUY)
    await s.until("position", lambda: s.connector.get_position(s.pair) is not None)
    position = s.connector.get_position(s.pair)
    same("of the position", position and position.leverage, 7)
    await s.connector.set_leverage(s.pair, before)


async def _leverage_refused(s: Session, value: int, error: type[Exception]) -> None:
    before = await s.venue.leverage()
    known = s.connector.get_leverage(s.pair)
    try:
        await s.connector.set_leverage(s.pair, value)
    except error:
        pass
    else:
        raise AssertionError(f"leverage {value} was taken")
    same("at the venue", await s.venue.leverage(), before)
    same("here", s.connector.get_leverage(s.pair), known)


@case(916, "leverage")
async def leverage_below_one(s: Session) -> None:
    """A leverage of 0 is refused before it is sent."""
    await _leverage_refused(s, 0, OrderValidationError)


@case(917, "leverage")
async def leverage_too_high(s: Session) -> None:
    """A leverage that the venue does not give is refused by its word, and nothing changes."""
    await _leverage_refused(s, 10_000, VenueError)


@case(918)
async def funding_info(s: Session) -> None:
    """Funding rate and next time are known after connect(), the time in the future."""
    info = s.connector.get_funding_info(s.pair)
    check("info", info)
    same("rate", s.connector.get_funding_rate(s.pair), info and info.rate)
    check("next time", info and info.next_funding_utc_timestamp > s.connector.current_timestamp)


async def _funding(s: Session, rate: Decimal) -> None:
    order = await s.filled(BUY)
    await _balance_is_true(s)
    before = await s.venue.balance()
    await s.venue.settle_funding(rate)
    after = await s.venue.balance()
    check(f"the venue booked it: {before} -> {after}", (after - before) * rate < 0)
    await _balance_is_true(s)
    same("executed", order.executed_amount_base, s.lot)


@case(919)
async def funding_paid(s: Session) -> None:
    """A long pays positive funding: the balance follows, and no order changes."""
    await _funding(s, Decimal("0.001"))


@case(920)
async def funding_received(s: Session) -> None:
    """A long receives negative funding: the balance follows, and no order changes."""
    await _funding(s, Decimal("-0.001"))


@case(921)
async def balances_fail(s: Session) -> None:
    """Reading balances fails once after a trade: it is tried again, and they are right in the end."""
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.BALANCES)
    await s.filled(BUY)
    await s.until("asked", lambda: s.connector.get_available_balance(s.asset))
    available = await s.venue.available()
    await s.until("available", lambda: s.connector.get_available_balance(s.asset) == available)


@case(922)
async def unknown_fields(s: Session) -> None:
    """Fields that nobody has heard of in balances and positions change nothing."""
    await s.venue.fault(RequestFault.UNKNOWN_FIELDS, Action.BALANCES)
    await s.venue.fault(RequestFault.UNKNOWN_FIELDS, Action.POSITIONS)
    async with s.life() as connector:
        check("ready", connector.is_ready)
        same("balance", connector.get_balance(s.asset), await s.venue.balance())


@case(923, "funding payments")
async def funding_told(s: Session) -> None:
    """A funding payment is told once, with its amount."""
    await s.filled(BUY)
    before = await s.venue.balance()
    await s.venue.settle_funding(Decimal("0.001"))
    paid = await s.venue.balance() - before
    await s.until("it is told", lambda: s.told_of(FundingPaymentCompletedEvent))
    same("amounts", [event.amount for event in s.told_of(FundingPaymentCompletedEvent)], [paid])


MARGIN_TYPE, FUNDING = "margin type", "funding payments"


@case(924, MARGIN_TYPE)
async def margin_types(s: Session) -> None:
    """The margin type is set at the venue, there and back; one that is set already is no error."""
    for margin_type in (MarginType.ISOLATED, MarginType.ISOLATED, MarginType.CROSS, MarginType.CROSS):
        await s.connector.set_margin_type(s.pair, margin_type)
        same("at the venue", await s.venue.margin_type(), margin_type)


@case(925, MARGIN_TYPE)
async def isolated_position(s: Session) -> None:
    """A position in isolated margin is known and closed like any other, and the balance is the venue's."""
    await s.connector.set_margin_type(s.pair, MarginType.ISOLATED)
    await s.filled(BUY)
    await _position_is(s, s.lot)
    await s.filled(SELL, position_action=PositionAction.CLOSE)
    await _position_is(s, Decimal(0))
    await _balance_is_true(s)
    await s.connector.set_margin_type(s.pair, MarginType.CROSS)


async def _margin_type_is_refused(s: Session) -> None:
    before = await s.venue.margin_type()
    try:
        await s.connector.set_margin_type(s.pair, MarginType.ISOLATED)
    except VenueError:
        pass
    else:
        raise AssertionError("the margin type was changed")
    same("at the venue", await s.venue.margin_type(), before)


@case(926, MARGIN_TYPE)
async def margin_type_with_orders(s: Session) -> None:
    """With an open order the margin type stays: refused by the venue's word, and the order lives."""
    order = await s.rest()
    await _margin_type_is_refused(s)
    same("state", order.current_state, OrderState.OPEN)


@case(927, MARGIN_TYPE)
async def margin_type_with_a_position(s: Session) -> None:
    """With a position the margin type stays: refused by the venue's word."""
    await s.filled(BUY)
    await _margin_type_is_refused(s)
    await _position_is(s, s.lot)


async def _funding_is_told_once(s: Session, before: Decimal) -> None:
    paid = await s.venue.balance() - before
    await s.until("it is told", lambda: s.told_of(FundingPaymentCompletedEvent))
    await _balance_is_true(s)
    events = s.told_of(FundingPaymentCompletedEvent)
    same("amounts", [event.amount for event in events], [paid])
    same("pairs", [event.trading_pair for event in events], [s.pair])


@case(928, FUNDING)
async def funding_of_a_gap(s: Session) -> None:
    """Funding that is paid while every stream is closed is told once they are back, once."""
    await s.fresh()
    await s.filled(BUY)
    before = await s.venue.balance()
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.USER_STREAM_KEY)
    await s.venue.disconnect()
    await s.until("the stream is down", lambda: not s.connector.is_ready)
    await s.venue.settle_funding(Decimal("0.001"))
    await _funding_is_told_once(s, before)


@case(929, FUNDING)
async def funding_twice_announced(s: Session) -> None:
    """Funding whose announcement comes twice is told once."""
    await s.filled(BUY)
    before = await s.venue.balance()
    await s.venue.fault(StreamFault.DUPLICATE, Action.ACCOUNT_EVENT)
    await s.venue.settle_funding(Decimal("0.001"))
    await _funding_is_told_once(s, before)


@case(930, FUNDING)
async def funding_read_late(s: Session) -> None:
    """The record of a funding payment cannot be read at first: it is read again, and told once."""
    await s.filled(BUY)
    before = await s.venue.balance()
    await s.venue.refuse(Refusal.PARAMETER, Action.FUNDING_PAYMENTS)
    await s.venue.settle_funding(Decimal("0.001"))
    await _funding_is_told_once(s, before)


@case(931, FUNDING)
async def two_fundings(s: Session) -> None:
    """Two payments, one made and one received, are two events with their own rates."""
    await s.filled(BUY)
    rates = [Decimal("0.001"), Decimal("-0.002")]
    for number, rate in enumerate(rates, 1):
        await s.venue.settle_funding(rate)
        await s.until("told", lambda: len(s.told_of(FundingPaymentCompletedEvent)) == number)  # noqa: B023
    events = s.told_of(FundingPaymentCompletedEvent)
    check(f"paid, then received: {events}", events[0].amount < 0 < events[1].amount)


@case(932, FUNDING)
async def funding_before(s: Session) -> None:
    """What was paid before a connector's first connect() is not told by it, and what is paid after it is."""
    await s.filled(BUY)
    await s.venue.settle_funding(Decimal("0.001"))
    async with s.life():
        s.events.clear()
        before = await s.venue.balance()
        await s.venue.settle_funding(Decimal("0.001"))
        await _funding_is_told_once(s, before)
        s.orders.clear()  # the former connector's
