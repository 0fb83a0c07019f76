"""Cases 11xx: rate limits. What the venue asks for is obeyed to the second."""

from __future__ import annotations

import asyncio
import time

from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import OrderRequest, OrderState, OrderType
from qtxconn.sim.faults import RequestFault
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, Session, check, same
from qtxconn.testing.conformance.target import Action

EARLY_S = 0.05  # clocks of two processes
LONG_BAN_S = 5
ANSWER_S = 0.5  # the stream may show an order as open before the answer, which tells the count, is here


async def _is_obeyed(s: Session, fault: RequestFault) -> None:
    """The venue refuses a placement for the limit; the next request comes when that is over, and not before."""
    await s.venue.fault(fault, Action.PLACE, retry_after_s=1)
    with s.impatient():
        first = s.place()
        await s.until("an alarm or an end", lambda: s.alarms or first.is_done)
        started = time.perf_counter()
        second = s.place()
        await s.until("the second is open or refused here", lambda: second.acked_ns or second.is_done)
        if second.is_done:
            check("never sent", await s.venue.order(second.client_order_id) is None)
        else:
            check("not before the time", time.perf_counter() - started > 1.0 - EARLY_S)
        await s.until("the first has failed", lambda: first.is_failure)


@case(1101)
async def too_many_requests(s: Session) -> None:
    """After "too many requests" nothing is sent before the time it names."""
    await _is_obeyed(s, RequestFault.RATE_LIMITED)


@case(1102)
async def banned(s: Session) -> None:
    """After a ban nothing is sent before the time it names."""
    await _is_obeyed(s, RequestFault.BANNED)


@case(1103)
async def reads_too(s: Session) -> None:
    """A question that is refused for the limit is asked again in time, and answered."""
    order = await s.rest()
    await s.venue.fault(RequestFault.RESET_BEFORE, Action.CANCEL)
    await s.venue.fault(RequestFault.RATE_LIMITED, Action.QUERY, retry_after_s=1)
    s.cancel(order)
    await s.until("the question is settled", lambda: not order.is_pending_cancel_confirmation and s.alarms)
    same("state", order.current_state, OrderState.OPEN)


@case(1104)
async def a_burst(s: Session) -> None:
    """Sixty orders in one breath are all placed and all cancelled: within the limit nothing is held back."""
    orders = [s.place() for _ in range(60)]
    for order in orders:
        await s.state(order, OrderState.OPEN)
    results = await s.connector.cancel_all(10.0)
    same("successes", sum(result.success for result in results), len(orders))


@case(1105)
async def silent_under_a_ban(s: Session) -> None:
    """Under a ban not one request is sent, whatever wants to be: orders, cancels, questions; afterwards all goes on."""
    await s.fresh()
    resting = await s.rest()
    await s.venue.fault(RequestFault.BANNED, Action.PLACE, retry_after_s=LONG_BAN_S)
    with s.impatient():
        first = s.place()
        await s.until("an alarm or an end", lambda: s.alarms or first.is_done)
        seen = await s.venue.requests_seen()
        s.cancel(resting)
        s.place()
        reading = asyncio.create_task(s.connector._update_balances())
        await asyncio.sleep(LONG_BAN_S - 2.0)
        same("requests under the ban", await s.venue.requests_seen() - seen, 0)
        await s.state(resting, OrderState.CANCELED)
        await reading
        await s.until("the first has failed", lambda: first.is_failure)
        await s.until("the second has an answer", lambda: s.orders[-1].acked_ns or s.orders[-1].is_done)


async def _is_settled(s: Session, orders: list[InFlightOrder], refused_before: int) -> None:
    """Each of `orders` goes out when there is room, or is refused here and never sent; the venue refuses none."""
    await s.until("each is open or was refused here", lambda: all(o.acked_ns or o.is_done for o in orders))
    same("refusals of the venue", await s.venue.refusals(), refused_before)
    for order in orders:
        if order.is_failure:
            check("what was refused here was never sent", await s.venue.order(order.client_order_id) is None)


@case(1106)
async def orders_of_others(s: Session) -> None:
    """Another program has used up the account's orders but for ten: the venue's count is obeyed, none is refused."""
    await s.fresh()
    before = await s.venue.refusals()
    s.spoilt = True
    await s.venue.crowd(orders_left=11)
    await s.rest()
    await asyncio.sleep(ANSWER_S)
    await _is_settled(s, [s.place() for _ in range(20)], before)


@case(1107, "batch")
async def batches_count(s: Session) -> None:
    """The orders of a batch count one by one: with room for twelve, five batches of five bring no refusal."""
    await s.fresh()
    before = await s.venue.refusals()
    s.spoilt = True
    await s.venue.crowd(orders_left=13)
    await s.rest()
    await asyncio.sleep(ANSWER_S)
    requests = [OrderRequest(s.pair, BUY, s.lot, OrderType.LIMIT, s.far(BUY)) for _ in range(25)]
    for result in s.connector.batch_order_create(requests):
        s.orders.append(s.connector.in_flight_orders[result.order_id or ""])
    await _is_settled(s, s.orders[1:], before)


@case(1108)
async def requests_of_others(s: Session) -> None:
    """Another program has used up the address's requests but for a few: questions are held back, cancels are not."""
    before = await s.venue.refusals()
    s.spoilt = True
    orders = [await s.rest() for _ in range(3)]
    await s.venue.crowd(requests_left=40)
    await s.connector._update_balances()  # its answer tells the count
    seen = await s.venue.requests_seen()
    reading = [asyncio.create_task(s.connector._update_balances()) for _ in range(50)]
    await asyncio.sleep(1.0)
    sent = await s.venue.requests_seen() - seen
    check(f"{sent} questions went out with room for 35", sent <= 35)
    for order in orders:
        s.cancel(order)
    for order in orders:
        await s.state(order, OrderState.CANCELED)
    for task in reading:
        task.cancel()
    await asyncio.gather(*reading, return_exceptions=True)
    same("refusals of the venue", await s.venue.refusals(), before)
