"""Cases 12xx: hedge mode, a long and a short position side by side; the account of these cases is in it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from qtxconn.core.events import FundingPaymentCompletedEvent, OrderFilledEvent, PositionModeChangeEvent
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import OrderRequest, OrderState, PositionAction, PositionMode, PositionSide
from qtxconn.errors import ConfigurationError, OrderValidationError, VenueError
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, refused, same
from qtxconn.testing.conformance.target import Action, Refusal

HEDGE, SWITCH = "position mode HEDGE", "position mode switch"
LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
OPEN, CLOSE = PositionAction.OPEN, PositionAction.CLOSE
OPENING = {LONG: BUY, SHORT: SELL}


async def _positions_are(s: Session, long: Decimal, short: Decimal) -> None:
    """Both sides are these here and at the venue; amounts in base, a short one negative."""
    for side, amount in ((LONG, long), (SHORT, short)):
        await s.until(f"{side.name} {amount}", lambda: s.connector.get_position_amount(s.pair, side) == amount)  # noqa: B023
        same(f"{side.name} at the venue", await s.venue.position(side), amount)
    same("the net", s.connector.get_position_amount(s.pair), long + short)


async def _opened(s: Session, side: PositionSide, amount: Decimal | None = None) -> InFlightOrder:
    return await s.filled(OPENING[side], amount, position_action=OPEN)


async def _closed(s: Session, side: PositionSide, amount: Decimal | None = None) -> InFlightOrder:
    return await s.filled(OPENING[side].opposite, amount, position_action=CLOSE)


@case(1201, HEDGE)
async def mode(s: Session) -> None:
    """A connector for hedge mode becomes ready on an account that is in it."""
    same("mode", s.connector.position_mode, PositionMode.HEDGE)
    same("positions", s.connector.get_all_positions(), [])


@case(1202, HEDGE)
async def long_side(s: Session) -> None:
    """An opening buy makes a long position, and a closing sell ends it."""
    order = await _opened(s, LONG)
    await _positions_are(s, s.lot, Decimal(0))
    position = s.connector.get_position(s.pair, LONG)
    same("entry price", position and position.entry_price, order.average_executed_price)
    await _closed(s, LONG)
    await _positions_are(s, Decimal(0), Decimal(0))


@case(1203, HEDGE)
async def short_side(s: Session) -> None:
    """An opening sell makes a short position, and a closing buy ends it."""
    order = await _opened(s, SHORT)
    await _positions_are(s, Decimal(0), -s.lot)
    position = s.connector.get_position(s.pair, SHORT)
    same("entry price", position and position.entry_price, order.average_executed_price)
    await _closed(s, SHORT)
    await _positions_are(s, Decimal(0), Decimal(0))


@case(1204, HEDGE)
async def both_sides(s: Session) -> None:
    """A long and a short position are held at once, each with its own entry price and amount."""
    long = await _opened(s, LONG, s.lot * 2)
    await s.book_is_true()
    short = await _opened(s, SHORT)
    await _positions_are(s, s.lot * 2, -s.lot)
    for side, order in ((LONG, long), (SHORT, short)):
        position = s.connector.get_position(s.pair, side)
        same(f"entry price {side.name}", position and position.entry_price, order.average_executed_price)
    same("positions", {held.position_side for held in s.connector.get_all_positions()}, {LONG, SHORT})


@case(1205, HEDGE)
async def one_is_closed(s: Session) -> None:
    """Closing one side leaves the other as it is."""
    await _opened(s, LONG)
    await _opened(s, SHORT)
    await _positions_are(s, s.lot, -s.lot)
    await _closed(s, LONG)
    await _positions_are(s, Decimal(0), -s.lot)
    same("the closed one", s.connector.get_position(s.pair, LONG), None)


@case(1206, HEDGE)
async def part_is_closed(s: Session) -> None:
    """Closing half of a short leaves half, and its entry price."""
    order = await _opened(s, SHORT, s.lot * 2)
    await _closed(s, SHORT, s.lot)
    await _positions_are(s, Decimal(0), -s.lot)
    position = s.connector.get_position(s.pair, SHORT)
    same("entry price", position and position.entry_price, order.average_executed_price)


@case(1207, HEDGE)
async def names_its_side(s: Session) -> None:
    """An order that does not say whether it opens or closes is refused before it is sent, as is a vague question."""
    text = refused("no action", OrderValidationError, s.place)
    check(f"says which: {text}", "OPEN" in text and "CLOSE" in text)
    refused("no side", OrderValidationError, lambda: s.connector.get_position(s.pair))
    same("open at the venue", await s.venue.open_orders(), [])


async def _beyond(s: Session, amount: Decimal, side: PositionSide) -> None:
    """Closing that much of `side` is refused as reduce-only, and the positions stay."""
    before = [await s.venue.position(each) for each in (LONG, SHORT)]
    order = s.place(OPENING[side].opposite, amount=amount, position_action=CLOSE)
    await s.until("it is refused", lambda: order.is_done)
    check("failed", order.is_failure)
    same("why", s.failure(order).error_type, s.venue.refusal_error(Refusal.REDUCE_ONLY).__name__)
    same("positions", [await s.venue.position(each) for each in (LONG, SHORT)], before)


@case(1208, HEDGE)
async def closes_nothing(s: Session) -> None:
    """Closing a side that is flat is refused as reduce-only, though the other side is held."""
    await _opened(s, LONG)
    await _beyond(s, s.lot, SHORT)


@case(1209, HEDGE)
async def closes_too_much(s: Session) -> None:
    """Closing more than a side holds is refused as reduce-only: it never turns into the other side."""
    await _opened(s, SHORT)
    await _beyond(s, s.lot * 2, SHORT)


@case(1210, HEDGE)
async def resting_orders(s: Session) -> None:
    """A resting opening buy and a resting closing buy at one price fill the sides that they name."""
    await _opened(s, SHORT)
    price = s.mid
    opening = await s.rest(BUY, price, position_action=OPEN)
    closing = await s.rest(BUY, price, position_action=CLOSE)
    same("the counterparty got", await s.venue.take(SELL, s.lot * 2, price), s.lot * 2)
    for order in (opening, closing):
        await s.state(order, OrderState.FILLED)
    await _positions_are(s, s.lot, Decimal(0))


@case(1211, HEDGE)
async def fills_say_it(s: Session) -> None:
    """A fill says whether it opened or closed."""
    opening = await _opened(s, LONG)
    closing = await _closed(s, LONG)
    said = {event.order_id: event.position for event in s.told_of(OrderFilledEvent)}
    same("said", said, {opening.client_order_id: OPEN.value, closing.client_order_id: CLOSE.value})


@case(1212, HEDGE)
async def sides_are_told(s: Session) -> None:
    """A change of a position is told with its side, and of the other side nothing changes."""
    await _opened(s, LONG)
    await _opened(s, SHORT)
    await _positions_are(s, s.lot, -s.lot)
    told = {(event.position_side, event.amount) for event in s.account_events if hasattr(event, "position_side")}
    check(f"both sides: {told}", {(LONG, s.lot), (SHORT, -s.lot)} <= told)
    check(f"no other: {told}", {side for side, _ in told} == {LONG, SHORT})


@case(1213, HEDGE)
async def known_at_connect(s: Session) -> None:
    """A connector that connects into both positions knows both."""
    await _opened(s, LONG, s.lot * 2)
    await _opened(s, SHORT)
    connector = s.make()
    await connector.connect()
    sides = [connector.get_position_amount(s.pair, side) for side in (LONG, SHORT)]
    same("positions", sides, [s.lot * 2, -s.lot])
    await connector.disconnect()


@case(1214, HEDGE)
async def changed_meanwhile(s: Session) -> None:
    """Both sides change while every stream is closed: right when it is back."""
    await s.fresh()
    price = s.mid
    await _opened(s, SHORT)
    opening = await s.rest(BUY, price, position_action=OPEN)
    closing = await s.rest(BUY, price, position_action=CLOSE)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.USER_STREAM_KEY)
    await s.venue.disconnect()
    await s.until("the stream is down", lambda: not s.connector.is_ready)
    await s.venue.take(SELL, s.lot * 2, price)
    for order in (opening, closing):
        await s.state(order, OrderState.FILLED)
    await _positions_are(s, s.lot, Decimal(0))
    await s.until("ready again", lambda: s.connector.is_ready)


@case(1215, HEDGE)
async def reduce_only_word(s: Session) -> None:
    """`reduce_only` on a closing order is taken: closing is what reduces."""
    options: dict[str, Any] = {"position_action": CLOSE, "reduce_only": True}
    await _opened(s, LONG)
    order = s.place(SELL, s.crossing(SELL), **options)
    await s.state(order, OrderState.FILLED)
    await _positions_are(s, Decimal(0), Decimal(0))


async def _switch_is_refused(s: Session) -> None:
    try:
        await s.connector.set_position_mode(PositionMode.ONEWAY)
    except VenueError:
        pass
    else:
        raise AssertionError("the switch was taken")
    same("mode", s.connector.position_mode, PositionMode.HEDGE)
    (event,) = [event for event in s.account_events if isinstance(event, PositionModeChangeEvent)]
    check(f"told, with the reason: {event}", event.position_mode is PositionMode.ONEWAY and event.message)


@case(1216, HEDGE, SWITCH)
async def switch_with_orders(s: Session) -> None:
    """With an open order the switch to one-way is refused by the venue, told, and nothing changes."""
    order = await s.rest(position_action=OPEN)
    await _switch_is_refused(s)
    same("state", order.current_state, OrderState.OPEN)


@case(1217, HEDGE, SWITCH)
async def switch_with_a_position(s: Session) -> None:
    """With a position the switch to one-way is refused by the venue, told, and nothing changes."""
    await _opened(s, LONG)
    await _switch_is_refused(s)
    await _positions_are(s, s.lot, Decimal(0))


@case(1218, HEDGE, "position mode ONEWAY", SWITCH)
async def switch(s: Session) -> None:
    """Flat and without orders the account is switched to one-way and back, and trades in both."""
    await s.connector.set_position_mode(PositionMode.ONEWAY)
    same("mode", s.connector.position_mode, PositionMode.ONEWAY)
    await s.filled(BUY)
    await s.until("a position of one way", lambda: s.connector.get_position_amount(s.pair) == s.lot)
    check("it has no side", s.connector.get_position(s.pair))
    await s.filled(SELL, position_action=CLOSE)
    await s.until("flat", lambda: not s.connector.get_all_positions())
    await s.connector.set_position_mode(PositionMode.HEDGE)
    await _opened(s, SHORT)
    await _positions_are(s, Decimal(0), -s.lot)


@case(1219, HEDGE, SWITCH)
async def switch_to_what_it_is(s: Session) -> None:
    """Switching to the mode that the account is in is no error."""
    await s.connector.set_position_mode(PositionMode.HEDGE)
    same("mode", s.connector.position_mode, PositionMode.HEDGE)


@case(1220, HEDGE)
async def one_way_account(s: Session) -> None:
    """An account in one-way mode is refused by a connector for hedge mode before it is ready, with what to do."""
    connector = s.make(await s.venue.open_account())
    try:
        await connector.connect()
    except ConfigurationError as error:
        check(f"names both modes: {error}", "HEDGE" in str(error) and "ONEWAY" in str(error))
    else:
        raise AssertionError("connect() took an account in another mode")
    check("not connected", not connector.is_connected)


async def _round_trip(s: Session, side: PositionSide) -> None:
    await _opened(s, side)
    await s.book_is_true()
    await _closed(s, side)


@case(1221, HEDGE)
async def balance(s: Session) -> None:
    """After a round trip on each side the balance is the venue's."""
    for side in (LONG, SHORT):
        await _round_trip(s, side)
    balance = await s.venue.balance()
    await s.until(f"balance {balance}", lambda: s.connector.get_balance(s.asset) == balance)


@case(1222, HEDGE, "funding payments")
async def funding(s: Session) -> None:
    """Funding of both sides is two payments, each told once, and the short receives what the long pays."""
    await _opened(s, LONG)
    await _opened(s, SHORT)
    await s.venue.settle_funding(Decimal("0.001"))
    await s.until("both are told", lambda: len(s.told_of(FundingPaymentCompletedEvent)) >= 2)
    amounts = [event.amount for event in s.told_of(FundingPaymentCompletedEvent)]
    same("payments", (len(amounts), sum(amounts)), (2, 0))


@case(1223, HEDGE)
async def cancel_and_amend(s: Session) -> None:
    """Orders of both sides rest side by side and are cancelled each on its own."""
    orders: list[InFlightOrder] = []
    for side in (BUY, SELL):
        orders.append(await s.rest(side, position_action=OPEN))
    s.cancel(orders[0])
    await s.state(orders[0], OrderState.CANCELED)
    same("the other", orders[1].current_state, OrderState.OPEN)


@case(1224, HEDGE, "batch")
async def batch(s: Session) -> None:
    """A batch with an opening order for each side fills the side that each names."""
    kind = s.connector.get_taker_order_type()
    requests = [
        OrderRequest(s.pair, side, s.lot, kind, s.crossing(side) if kind.is_limit_type() else None, OPEN)
        for side in (BUY, SELL)
    ]
    for result in s.connector.batch_order_create(requests):
        s.orders.append(s.connector.in_flight_orders[result.order_id or ""])
    for order in s.orders:
        await s.state(order, OrderState.FILLED)
    await _positions_are(s, s.lot, -s.lot)
