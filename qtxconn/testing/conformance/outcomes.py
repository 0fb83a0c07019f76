"""Cases 6xx: placements whose outcome nobody told. The venue is asked; nothing is assumed or sent twice."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtxconn.core.types import OrderState, OrderType
from qtxconn.sim.faults import RequestFault, StreamFault
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, same
from qtxconn.testing.conformance.target import Action, Refusal

MARKET = "order type MARKET"
OPEN = OrderState.OPEN
# Faults after which the order lives, and after which it does not, each a case of its own.
CARRIED_OUT: tuple[tuple[int, RequestFault, dict[str, Any]], ...] = (
    (601, RequestFault.ERROR_AFTER, {}),
    (602, RequestFault.RESET_AFTER, {}),
    (603, RequestFault.TORN, {}),
    (604, RequestFault.LATE, {"delay_s": 0.2}),
    (605, RequestFault.SLOW_ANSWER, {"delay_s": 0.2}),
    (606, RequestFault.LOST_ANSWER, {}),
    (607, RequestFault.UNKNOWN_FIELDS, {}),
    (608, RequestFault.RESET_THEN_LATE, {"delay_s": 0.3}),
)
NEVER_ARRIVED: tuple[tuple[int, RequestFault], ...] = (
    (609, RequestFault.ERROR_BEFORE),
    (610, RequestFault.RESET_BEFORE),
    (611, RequestFault.REFUSED),
    (612, RequestFault.HTML),
)


async def _lives(s: Session, fault: RequestFault, fields: dict[str, Any]) -> None:
    await s.venue.fault(fault, Action.PLACE, **fields)
    order = await s.rest()
    same("orders at the venue", [o.client_order_id for o in await s.venue.open_orders()], [order.client_order_id])
    check("cancel() is True", s.cancel(order))
    await s.state(order, OrderState.CANCELED)


async def _dies(s: Session, fault: RequestFault) -> None:
    await s.venue.fault(fault, Action.PLACE)
    with s.impatient():
        order = s.place()
        await s.until("the alarm", lambda: "outcome_unknown" in s.alarm_kinds())
        same("state", order.current_state, OrderState.UNKNOWN)
        await s.state(order, OrderState.FAILED)
    same("told", s.told(order), ["failed"])


def _register(number: int, fault: RequestFault, title: str, run: Any) -> None:
    run.__doc__, run.__module__ = title.format(fault.value), __name__
    case(number)(run)


for _number, _fault, _fields in CARRIED_OUT:
    _register(
        _number,
        _fault,
        'An order whose placement meets "{}" lives, once.',
        partial(_lives, fault=_fault, fields=_fields),
    )
for _number, _fault in NEVER_ARRIVED:
    _register(_number, _fault, 'An order whose placement meets "{}" fails, after asking.', partial(_dies, fault=_fault))


@case(613)
async def unheard(s: Session) -> None:
    """Neither answer nor stream tells of the order: asking the venue finds it open."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=True)
    order = await s.rest()
    same("told", s.told(order), ["created"])


@case(614, MARKET)
async def unheard_market(s: Session) -> None:
    """Neither answer nor stream tells of a market order: asking the venue finds it filled, with its fills."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT, count=5)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=True)
    order = s.place(BUY, kind=OrderType.MARKET)
    await s.state(order, OrderState.FILLED)
    same("told", s.told(order), ["created", "filled", "completed"])


@case(615)
async def unheard_and_filled(s: Session) -> None:
    """An order nobody told of is filled meanwhile: asking finds order and fill."""
    price = s.mid
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT, count=5)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=True)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.QUERY)
    order = s.place(SELL, price)
    await s.until("the alarm", lambda: "outcome_unknown" in s.alarm_kinds())
    same("the counterparty got", await s.venue.take(BUY, s.lot, price), s.lot)
    await s.state(order, OrderState.FILLED)


@case(616)
async def unheard_and_cancelled(s: Session) -> None:
    """An order nobody told of is cancelled by hand: asking finds it cancelled."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT, count=5)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=True)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.QUERY)
    order = s.place()
    await s.until("the alarm", lambda: "outcome_unknown" in s.alarm_kinds())
    await s.venue.cancel_by_hand(order.client_order_id)
    await s.state(order, OrderState.CANCELED)


@case(617)
async def no_such_order_at_first(s: Session) -> None:
    """The venue's queries do not know a new order yet: one "no such order" ends nothing."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=True)
    await s.venue.refuse(Refusal.NO_SUCH_ORDER, Action.QUERY, count=2)
    await s.rest()


@case(618)
async def asking_fails(s: Session) -> None:
    """Asking fails twice: it goes on until there is an answer."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=True)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.QUERY, count=2)
    await s.rest()


@case(619)
async def asking_meets_a_web_page(s: Session) -> None:
    """A web page in place of the answer to the question is no answer: it is asked again."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=True)
    await s.venue.fault(RequestFault.HTML, Action.QUERY)
    await s.rest()


@case(620)
async def asking_meets_a_bomb(s: Session) -> None:
    """64 MiB in a compressed answer are not unpacked: it is asked again."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=True)
    await s.venue.fault(RequestFault.GZIP_BOMB, Action.QUERY)
    await s.rest()


@case(621)
async def fills_fail(s: Session) -> None:
    """The query counts an execution and the list of fills fails at first: the fill is booked all the same, once."""
    await s.fresh()  # the failures of the cases before may have opened the connector's circuit breaker
    price = s.mid
    order = await s.rest(BUY, price)
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT, count=5)
    await s.venue.take(SELL, s.lot, price)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.FILLS)
    s.cancel(order)
    await s.state(order, OrderState.FILLED)


@case(622)
async def cancel_meanwhile(s: Session) -> None:
    """An order whose outcome is unknown can be cancelled."""
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=True)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.QUERY)
    order = s.place()
    await s.until("the alarm", lambda: "outcome_unknown" in s.alarm_kinds())
    check("cancel() is True", s.cancel(order))
    await s.state(order, OrderState.CANCELED)


@case(623)
async def five_at_once(s: Session) -> None:
    """Five orders at once, all unanswered, every second one carried out: each is found out for itself."""
    for carried_out in (True, False, True, False, True):
        await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE, carried_out=carried_out)
    with s.impatient():
        orders = [s.place() for _ in range(5)]
        await s.until("all are known", lambda: all(o.current_state is OPEN or o.is_done for o in orders))
    same("failed", sum(order.is_failure for order in orders), 2)
    same("open at the venue", len(await s.venue.open_orders()), 3)


@case(624)
async def never_twice(s: Session) -> None:
    """However an order's answer is lost, it is placed once: the position is one lot."""
    price = s.crossing(BUY)
    await s.venue.fault(RequestFault.RESET_AFTER, Action.PLACE)
    order = s.place(BUY, price)
    await s.state(order, OrderState.FILLED)
    same("position", await s.venue.position(), s.lot)
