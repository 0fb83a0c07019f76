"""Cases 7xx: the user stream's messages lost, doubled, late, out of order; other people's orders; breaks and gaps."""

from __future__ import annotations

import asyncio

from qtxconn.core.events import OrderFilledEvent, OrphanFillEvent, OrphanOrderEvent
from qtxconn.core.types import OrderState
from qtxconn.sim.faults import RequestFault, StreamFault
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, same
from qtxconn.testing.conformance.target import Action, Refusal

OPEN, FILLED, CANCELED = OrderState.OPEN, OrderState.FILLED, OrderState.CANCELED


@case(701)
async def doubled(s: Session) -> None:
    """Every message of an order comes twice: each thing is told once."""
    price = s.mid
    await s.venue.fault(StreamFault.DUPLICATE, Action.ORDER_EVENT, count=10)
    order = await s.rest(BUY, price, s.lot * 2)
    await s.venue.take(SELL, s.lot, price)
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, FILLED)
    same("told", s.told(order), ["created", "filled", "filled", "completed"])


@case(702)
async def swapped(s: Session) -> None:
    """Two fills come in the wrong order: both are booked, the order is filled."""
    price = s.mid
    order = await s.rest(BUY, price, s.lot * 2)
    await s.venue.fault(StreamFault.REORDER, Action.ORDER_EVENT, delay_s=1.0)
    await s.venue.take(SELL, s.lot, price)
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, FILLED)
    same("executed", order.executed_amount_base, s.lot * 2)


@case(703)
async def fill_before_new(s: Session) -> None:
    """The fill comes before the acknowledgement: created is told first all the same."""
    await s.venue.fault(StreamFault.REORDER, Action.ORDER_EVENT, delay_s=1.0)
    order = await s.filled(BUY)
    same("told", s.told(order), ["created", "filled", "completed"])


@case(704)
async def cancel_before_fill(s: Session) -> None:
    """The cancel comes before the fill it followed: the fill is not lost."""
    price = s.mid
    order = await s.rest(SELL, price, s.lot * 2)
    await s.venue.fault(StreamFault.REORDER, Action.ORDER_EVENT, delay_s=1.0)
    await s.venue.take(BUY, s.lot, price)
    await s.venue.cancel_by_hand(order.client_order_id)
    await s.state(order, CANCELED)
    same("executed", order.executed_amount_base, s.lot)


@case(705)
async def new_is_lost(s: Session) -> None:
    """The stream's acknowledgement is lost: the answer opens the order."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.rest()


@case(706)
async def answer_is_late(s: Session) -> None:
    """The stream is faster than the answer: the order opens at its word, and is told once."""
    await s.venue.fault(RequestFault.SLOW_ANSWER, Action.PLACE, delay_s=1.0)
    order = s.place()
    await s.until("open", lambda: order.current_state is OPEN, 0.9)
    await asyncio.sleep(1.05)
    same("told", s.told(order), ["created"])


@case(707)
async def end_before_answer(s: Session) -> None:
    """An order is filled and ended by the stream before its own answer comes: the answer changes nothing."""
    await s.venue.fault(RequestFault.SLOW_ANSWER, Action.PLACE, delay_s=0.3)
    order = await s.filled(SELL)
    await asyncio.sleep(0.35)
    same("told", s.told(order), ["created", "filled", "completed"])


@case(708)
async def cancelled_before_answer(s: Session) -> None:
    """An order is cancelled by hand before its own answer comes: the answer does not revive it."""
    await s.venue.fault(RequestFault.SLOW_ANSWER, Action.PLACE, delay_s=0.3)
    order = s.place()
    await s.until("open", lambda: order.current_state is OPEN)
    await s.venue.cancel_by_hand(order.client_order_id)
    await s.state(order, CANCELED)
    await asyncio.sleep(0.35)
    same("state", order.current_state, CANCELED)


@case(709)
async def one_fill_of_two_is_lost(s: Session) -> None:
    """The first of two fills is lost: the second shows that one is missing, and it is fetched."""
    price = s.mid
    order = await s.rest(BUY, price, s.lot * 2)
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.take(SELL, s.lot, price)
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, FILLED)
    same("executed", order.executed_amount_base, s.lot * 2)
    same("fills", len(order.order_fills), 2)


@case(710)
async def fill_before_a_cancel_is_lost(s: Session) -> None:
    """The fill before a cancel is lost: the cancel's total shows it, and it is fetched."""
    price = s.mid
    order = await s.rest(SELL, price, s.lot * 2)
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.take(BUY, s.lot, price)
    s.cancel(order)
    await s.state(order, CANCELED)
    same("executed", order.executed_amount_base, s.lot)


@case(711)
async def stalls(s: Session) -> None:
    """The order's messages stall for half a second: nothing is lost, nothing told twice."""
    await s.venue.fault(StreamFault.STALL, Action.ORDER_EVENT, delay_s=0.5)
    await s.filled(BUY)


@case(712)
async def breaks_in_a_message(s: Session) -> None:
    """The stream breaks in the middle of a fill: after the reconnect it is booked, once."""
    await s.fresh()
    price = s.mid
    order = await s.rest(BUY, price)
    await s.venue.fault(StreamFault.BREAK, Action.ORDER_EVENT)
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, FILLED)
    await s.until("ready again", lambda: s.connector.is_ready)


@case(713)
async def fill_while_away(s: Session) -> None:
    """Every stream is closed and an order is filled meanwhile: it is found on the way back, and is_ready says no."""
    await s.fresh()
    price = s.mid
    order = await s.rest(SELL, price)
    await s.venue.fault(RequestFault.LATE, Action.USER_STREAM_KEY, delay_s=0.3)
    await s.venue.disconnect()
    await s.until("not ready", lambda: not s.connector.is_ready)
    check("a reason", s.connector.not_ready_reason)
    await s.venue.take(BUY, s.lot, price)
    await s.state(order, FILLED)
    await s.until("ready again", lambda: s.connector.is_ready)


@case(714)
async def cancel_while_away(s: Session) -> None:
    """Every stream is closed and an order is cancelled by hand meanwhile: it is found on the way back."""
    await s.fresh()
    order = await s.rest()
    await s.venue.fault(RequestFault.LATE, Action.USER_STREAM_KEY, delay_s=0.3)
    await s.venue.disconnect()
    await s.until("not ready", lambda: not s.connector.is_ready)
    await s.venue.cancel_by_hand(order.client_order_id)
    await s.state(order, CANCELED)
    await s.until("ready again", lambda: s.connector.is_ready)


@case(715)
async def position_while_away(s: Session) -> None:
    """A position that changes while the stream is away is right when it is back."""
    await s.fresh()
    price = s.mid
    await s.rest(BUY, price)
    await s.venue.fault(RequestFault.LATE, Action.USER_STREAM_KEY, delay_s=0.3)
    await s.venue.disconnect()
    await s.until("not ready", lambda: not s.connector.is_ready)
    await s.venue.take(SELL, s.lot, price)
    await s.until("ready again", lambda: s.connector.is_ready)
    await s.until("position", lambda: s.connector.get_position_amount(s.pair) == s.lot)


@case(716)
async def order_while_away(s: Session) -> None:
    """Orders can be placed, and are tracked, while the user stream is away."""
    await s.fresh()
    await s.venue.fault(RequestFault.LATE, Action.USER_STREAM_KEY, delay_s=0.6)
    await s.venue.disconnect()
    await s.until("not ready", lambda: not s.connector.is_ready)
    await asyncio.sleep(0.2)  # a way for orders that was closed as well is known to be
    order = await s.rest()
    s.cancel(order)
    await s.state(order, CANCELED)
    await s.until("ready again", lambda: s.connector.is_ready)


@case(717)
async def key_expires(s: Session) -> None:
    """The user stream's key expires: a new one is taken, and fills are heard again."""
    await s.fresh()
    price = s.mid
    order = await s.rest(BUY, price)
    await s.venue.expire_user_stream()
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, FILLED)
    await s.until("ready again", lambda: s.connector.is_ready)
    await s.filled(SELL)


@case(718)
async def reconnecting_fails_at_first(s: Session) -> None:
    """The venue refuses the way back at first: it is tried again until it works."""
    await s.fresh()
    order = await s.rest()
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.USER_STREAM_KEY)
    await s.venue.disconnect()
    await s.until("not ready", lambda: not s.connector.is_ready)
    await s.until("ready again", lambda: s.connector.is_ready)
    same("state", order.current_state, OPEN)


@case(719)
async def others_order(s: Session) -> None:
    """An order placed at the venue's page is told as an orphan, and is not taken in by itself."""
    exchange_order_id = await s.venue.place_by_hand(BUY, s.lot, s.far(BUY))
    await s.until("the orphan", lambda: s.told_of(OrphanOrderEvent))
    event = s.told_of(OrphanOrderEvent)[0]
    same("its id", event.order_update.exchange_order_id, exchange_order_id)
    same("tracked orders", s.connector.in_flight_orders, {})


@case(720)
async def adopted(s: Session) -> None:
    """An orphan that is adopted is tracked, and can be cancelled."""
    price = s.far(BUY)
    exchange_order_id = await s.venue.place_by_hand(BUY, s.lot, price)
    order_id = s.connector.adopt_external_order(s.pair, exchange_order_id, BUY, s.lot, price=price)
    order = s.connector.in_flight_orders[order_id]
    await s.state(order, OPEN)
    check("cancel() is True", s.cancel(order))
    await s.state(order, CANCELED)
    same("open at the venue", await s.venue.open_orders(), [])


@case(721)
async def others_fill(s: Session) -> None:
    """A fill of an order that is not known here is told as an orphan fill, in time, and the position is right."""
    price = s.mid
    await s.venue.place_by_hand(BUY, s.lot, price)
    await s.venue.take(SELL, s.lot, price)
    await s.until("position", lambda: s.connector.get_position_amount(s.pair) == s.lot)
    same("fills of own orders", s.told_of(OrderFilledEvent), [])
    same("told too early", s.told_of(OrphanFillEvent), [])


@case(722)
async def account_event_twice(s: Session) -> None:
    """The account's message comes twice: the position is counted once."""
    await s.venue.fault(StreamFault.DUPLICATE, Action.ACCOUNT_EVENT, count=3)
    await s.filled(BUY)
    await s.until("position", lambda: s.connector.get_position_amount(s.pair) == s.lot)
    await asyncio.sleep(0.05)
    same("position", s.connector.get_position_amount(s.pair), await s.venue.position())


@case(723)
async def all_at_once(s: Session) -> None:
    """Twenty orders under lost, doubled and swapped messages and unanswered requests all end as at the venue."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT, probability=0.2, count=20)
    await s.venue.fault(StreamFault.DUPLICATE, Action.ORDER_EVENT, probability=0.2, count=20)
    await s.venue.fault(StreamFault.REORDER, Action.ORDER_EVENT, probability=0.3, count=20, delay_s=0.05)
    await s.venue.fault(RequestFault.RESET_AFTER, Action.PLACE, probability=0.3, count=5)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.CANCEL, carried_out=True, count=3)
    price = s.mid
    for n in range(20):
        order = s.place(BUY, price if n % 4 == 0 else None)
        await asyncio.sleep(0.005)
        if n % 4 == 0:
            await s.venue.take(SELL, s.lot, price)
        elif n % 2:
            s.cancel(order)
    await s.until("all are acknowledged", lambda: all(o.acked_ns or o.is_done for o in s.orders))
    for result in await s.connector.cancel_all(15.0):
        check(f"{result.order_id} has ended", result.success)
