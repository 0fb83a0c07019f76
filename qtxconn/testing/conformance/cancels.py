"""Cases 4xx: cancels, alone, early, late, against fills, and with answers that go wrong."""

from __future__ import annotations

import asyncio
import time

from qtxconn.core.types import OrderState, OrderType
from qtxconn.sim.faults import RequestFault, StreamFault
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, same
from qtxconn.testing.conformance.target import Action, Refusal

MARKET = "order type MARKET"
CANCELED, OPEN, FILLED = OrderState.CANCELED, OrderState.OPEN, OrderState.FILLED


@case(401)
async def cancel(s: Session) -> None:
    """A cancelled order is gone at the venue, and told once."""
    order = await s.rest()
    check("cancel() is True", s.cancel(order))
    await s.state(order, CANCELED)
    same("told", s.told(order), ["created", "cancelled"])
    same("open at the venue", await s.venue.open_orders(), [])


@case(402)
async def unknown_id(s: Session) -> None:
    """Cancelling an id that is not known is False."""
    check("False", not s.connector.cancel(s.pair, "no-such-order"))


@case(403)
async def twice(s: Session) -> None:
    """A second cancel of the same order is False, and one cancel is told."""
    order = await s.rest()
    same("cancel() twice", [s.cancel(order), s.cancel(order)], [True, False])
    await s.state(order, CANCELED)


@case(404)
async def ended(s: Session) -> None:
    """Cancelling an order that has ended is False."""
    order = await s.filled(BUY)
    check("False", not s.cancel(order))


@case(405)
async def wrong_pair(s: Session) -> None:
    """Cancelling under another pair is False, and the order stays."""
    order = await s.rest()
    check("False", not s.connector.cancel("NOSUCH-COIN", order.client_order_id))
    same("state", order.current_state, OPEN)


@case(406)
async def early(s: Session) -> None:
    """A cancel in the same breath as its order ends it."""
    order = s.place()
    check("cancel() is True", s.cancel(order))
    await s.state(order, CANCELED)


@case(407)
async def early_many(s: Session) -> None:
    """Ten orders, each cancelled in the same breath, all end."""
    orders = [s.place() for _ in range(10)]
    for order in orders:
        s.cancel(order)
    for order in orders:
        await s.state(order, CANCELED)
    same("open at the venue", await s.venue.open_orders(), [])


@case(408)
async def early_and_slow(s: Session) -> None:
    """A cancel that overtakes a late order waits for it, and ends it."""
    await s.venue.fault(RequestFault.LATE, Action.PLACE, delay_s=0.2)
    order = s.place()
    s.cancel(order)
    await s.state(order, CANCELED)


@case(409, MARKET)
async def early_market(s: Session) -> None:
    """A market order cancelled in the same breath ends as the venue says."""
    order = s.place(BUY, kind=OrderType.MARKET)
    s.cancel(order)
    await s.until("it has ended", lambda: order.is_done)


@case(410)
async def early_and_refused(s: Session) -> None:
    """A cancel in the same breath as an order that is refused: the order fails, no cancel is told."""
    await s.venue.refuse(Refusal.BALANCE, Action.PLACE)
    order = s.place()
    s.cancel(order)
    await s.state(order, OrderState.FAILED)
    same("told", s.told(order), ["failed"])


@case(411)
async def loses_to_a_fill(s: Session) -> None:
    """A cancel that comes after the fill: the order is filled, and no cancel is told."""
    price = s.mid
    order = await s.rest(SELL, price)
    await s.venue.fault(RequestFault.LATE, Action.CANCEL, delay_s=0.3)
    s.cancel(order)
    await s.venue.take(BUY, s.lot, price)
    await s.state(order, FILLED)
    same("told", s.told(order), ["created", "filled", "completed"])


@case(412)
async def loses_to_a_fill_unheard(s: Session) -> None:
    """The same with the fill's message lost: "unknown order" on the cancel is resolved by asking, to filled."""
    price = s.mid
    order = await s.rest(BUY, price)
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT, count=5)
    await s.venue.take(SELL, s.lot, price)
    s.cancel(order)
    await s.state(order, FILLED)


@case(413)
async def loses_to_a_cancel_unheard(s: Session) -> None:
    """An order cancelled by hand, unheard: "unknown order" on the cancel is resolved by asking, to cancelled."""
    order = await s.rest()
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT, count=5)
    await s.venue.cancel_by_hand(order.client_order_id)
    s.cancel(order)
    await s.state(order, CANCELED)


@case(414)
async def against_a_partial_fill(s: Session) -> None:
    """A cancel that comes after a partial fill keeps what was executed."""
    price = s.mid
    order = await s.rest(BUY, price, s.lot * 2)
    await s.venue.fault(RequestFault.LATE, Action.CANCEL, delay_s=0.2)
    s.cancel(order)
    await s.venue.take(SELL, s.lot, price)
    await s.state(order, CANCELED)
    await s.until("the fill", lambda: order.executed_amount_base == s.lot)


@case(415)
async def by_hand(s: Session) -> None:
    """An order cancelled at the venue's page is told as cancelled."""
    order = await s.rest()
    await s.venue.cancel_by_hand(order.client_order_id)
    await s.state(order, CANCELED)
    same("told", s.told(order), ["created", "cancelled"])


@case(416)
async def done_but_not_said(s: Session) -> None:
    """A cancel that the venue carries out and answers with an error ends as cancelled."""
    order = await s.rest()
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.CANCEL, carried_out=True)
    s.cancel(order)
    await s.state(order, CANCELED)


@case(417)
async def not_done(s: Session) -> None:
    """A cancel that fails leaves the order open, says so, and may be repeated."""
    order = await s.rest()
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.CANCEL)
    s.cancel(order)
    await s.until("the alarm", lambda: "cancel_failed" in s.alarm_kinds())
    same("state", order.current_state, OPEN)
    check("cancel() is True again", s.cancel(order))
    await s.state(order, CANCELED)


@case(418)
async def refused(s: Session) -> None:
    """A cancel that is refused for permission leaves the order open and says so."""
    order = await s.rest()
    await s.venue.refuse(Refusal.PERMISSION, Action.CANCEL)
    s.cancel(order)
    await s.until("the alarm", lambda: "cancel_failed" in s.alarm_kinds())
    same("state", order.current_state, OPEN)


@case(419)
async def false_unknown_order(s: Session) -> None:
    """The word "unknown order" on a cancel of an order that lives is not believed: it stays open."""
    order = await s.rest()
    await s.venue.refuse(Refusal.UNKNOWN_ORDER, Action.CANCEL)
    s.cancel(order)
    await s.until("the question is settled", lambda: not order.is_pending_cancel_confirmation and s.alarms)
    same("state", order.current_state, OPEN)
    check("cancel() is True again", s.cancel(order))
    await s.state(order, CANCELED)


@case(420)
async def connection_breaks_before(s: Session) -> None:
    """The connection breaks before the cancel is carried out: nothing is assumed, a repeat ends the order."""
    order = await s.rest()
    await s.venue.fault(RequestFault.RESET_BEFORE, Action.CANCEL)
    s.cancel(order)
    await s.until("the question is settled", lambda: not order.is_pending_cancel_confirmation and s.alarms)
    same("state", order.current_state, OPEN)
    s.cancel(order)
    await s.state(order, CANCELED)


@case(421)
async def connection_breaks_after(s: Session) -> None:
    """The connection breaks after the cancel was carried out: cancelled."""
    order = await s.rest()
    await s.venue.fault(RequestFault.RESET_AFTER, Action.CANCEL)
    s.cancel(order)
    await s.state(order, CANCELED)


@case(422)
async def answer_is_torn(s: Session) -> None:
    """The connection breaks in the middle of the cancel's answer: cancelled."""
    order = await s.rest()
    await s.venue.fault(RequestFault.TORN, Action.CANCEL)
    s.cancel(order)
    await s.state(order, CANCELED)


@case(423)
async def answer_is_lost(s: Session) -> None:
    """The cancel's answer never comes: the stream's word ends the order at once."""
    order = await s.rest()
    await s.venue.fault(RequestFault.LOST_ANSWER, Action.CANCEL)
    s.cancel(order)
    await s.until("cancelled", lambda: order.current_state is CANCELED, 5.0)


@case(424)
async def only_the_answer(s: Session) -> None:
    """The stream's word of the cancel is lost: the answer's ends the order."""
    order = await s.rest()
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    s.cancel(order)
    await s.state(order, CANCELED)


@case(425)
async def unknown_fields(s: Session) -> None:
    """Fields that nobody has heard of in the answer of a cancel change nothing."""
    order = await s.rest()
    await s.venue.fault(RequestFault.UNKNOWN_FIELDS, Action.CANCEL)
    s.cancel(order)
    await s.state(order, CANCELED)


@case(426)
async def cancel_all(s: Session) -> None:
    """cancel_all() ends every order, with a result for each, in order."""
    orders = [await s.rest(BUY if n % 2 else SELL) for n in range(5)]
    results = await s.connector.cancel_all(10.0)
    same("results", [(r.order_id, r.success) for r in results], [(o.client_order_id, True) for o in orders])
    same("open at the venue", await s.venue.open_orders(), [])


@case(427)
async def cancel_all_of_nothing(s: Session) -> None:
    """cancel_all() without orders has no results."""
    same("results", await s.connector.cancel_all(1.0), [])


@case(428)
async def cancel_all_early(s: Session) -> None:
    """cancel_all() also ends orders that have not been acknowledged."""
    for _ in range(10):
        s.place()
    results = await s.connector.cancel_all(10.0)
    same("successes", [r.success for r in results], [True] * 10)
    same("open at the venue", await s.venue.open_orders(), [])


@case(429)
async def cancel_all_fails(s: Session) -> None:
    """cancel_all() says of an order that it could not end, and returns in time."""
    await s.rest()
    await s.venue.refuse(Refusal.PERMISSION, Action.CANCEL, count=100)
    started = time.perf_counter()
    results = await s.connector.cancel_all(0.5)
    check("in time", time.perf_counter() - started < 5.0)
    check(f"at least one is not ended: {results}", results and not all(r.success for r in results))
    same("open at the venue", len(await s.venue.open_orders()), 1)


@case(430)
async def place_and_cancel_in_turn(s: Session) -> None:
    """Twenty orders, placed and cancelled in turn while others are on their way, end as they should."""
    waiting = []
    for n in range(20):
        order = s.place(BUY if n % 2 else SELL)
        waiting.append(order)
        if n % 3 == 0:
            await asyncio.sleep(0)
        if len(waiting) > 3:
            s.cancel(waiting.pop(0))
    for order in waiting:
        s.cancel(order)
    for order in s.orders:
        await s.state(order, CANCELED)


@case(431, "cancel_all")
async def cancel_all_of_a_pair(s: Session) -> None:
    """cancel_all() of several orders empties the pair at the venue, of what was placed by hand too."""
    await s.venue.place_by_hand(SELL, s.lot, s.far(SELL))
    for _ in range(3):
        await s.rest()
    results = await s.connector.cancel_all(10.0)
    same("successes", [result.success for result in results], [True] * 3)
    same("open at the venue", await s.venue.open_orders(), [])


@case(432, "countdown_cancel")
async def countdown(s: Session) -> None:
    """The venue's countdown, once it has run out, has ended the pair's orders, and that is told."""
    order = await s.rest()
    await s.connector._place_countdown_cancel(s.pair, 0.5)
    await s.state(order, CANCELED)
