"""Cases 11xx: rate limits. What the venue asks for is obeyed to the second."""

from __future__ import annotations

import time

from qtxconn.core.types import OrderState
from qtxconn.sim.faults import RequestFault
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import Session, check, same
from qtxconn.testing.conformance.target import Action

EARLY_S = 0.05  # clocks of two processes


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
