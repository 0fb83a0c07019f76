"""Cases 5xx: amends, alone, against fills and cancels, and with answers that go wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from qtxconn.core.events import OrderAmendedEvent
from qtxconn.core.types import OrderState, OrderType
from qtxconn.errors import OrderValidationError
from qtxconn.sim.faults import RequestFault, StreamFault
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, refused, same
from qtxconn.testing.conformance.target import Action, Refusal

if TYPE_CHECKING:
    from qtxconn.core.in_flight_order import InFlightOrder

AMEND, MAKER = "amend", "order type LIMIT_MAKER"
OPEN = OrderState.OPEN


def _amend(s: Session, order: InFlightOrder, price: Decimal | None = None, amount: Decimal | None = None) -> bool:
    return s.connector.amend(s.pair, order.client_order_id, price=price, amount=amount)


async def _is(s: Session, order: InFlightOrder, price: Decimal, amount: Decimal) -> None:
    """The order has these, here and at the venue, and waits for nothing."""
    await s.until(f"price {price}, amount {amount}", lambda: (order.price, order.amount) == (price, amount))
    await s.until("the amend is settled", lambda: order.current_state is not OrderState.PENDING_UPDATE)
    truth = await s.venue.order(order.client_order_id)
    same("at the venue", truth and (truth.price, truth.amount), (price, amount))


@case(501, AMEND)
async def price(s: Session) -> None:
    """A new price is taken over and told once, with the old one."""
    order = await s.rest(BUY)
    old, new = order.price, s.far(BUY, 5)
    check("amend() is True", _amend(s, order, new))
    await _is(s, order, new, s.lot)
    same("told", s.told(order), ["created", "amended"])
    event = s.told_of(OrderAmendedEvent)[0]
    same("prices told", (event.old_price, event.new_price), (old, new))


@case(502, AMEND)
async def less(s: Session) -> None:
    """A smaller amount is taken over at the same price."""
    order = await s.rest(BUY, amount=s.lot * 3)
    _amend(s, order, amount=s.lot * 2)
    await _is(s, order, order.price, s.lot * 2)


@case(503, AMEND)
async def more(s: Session) -> None:
    """A larger amount is taken over."""
    order = await s.rest(SELL)
    _amend(s, order, amount=s.lot * 2)
    await _is(s, order, order.price, s.lot * 2)


@case(504, AMEND)
async def both(s: Session) -> None:
    """Price and amount change together, in one event."""
    order = await s.rest(SELL)
    new = s.far(SELL, 7)
    _amend(s, order, new, s.lot * 2)
    await _is(s, order, new, s.lot * 2)
    same("told", s.told(order), ["created", "amended"])


@case(505, AMEND)
async def off_the_grid(s: Session) -> None:
    """An amend off the grid is rounded as a new order is."""
    order = await s.rest(BUY)
    new = s.far(BUY, 4)
    _amend(s, order, new + s.tick / 2, s.lot * 2 + s.step / 2)
    await _is(s, order, new, s.lot * 2)


@case(506, AMEND)
async def no_change(s: Session) -> None:
    """An amend that changes nothing is refused before it is sent."""
    order = await s.rest()
    refused("same price", OrderValidationError, lambda: _amend(s, order, order.price))
    refused("nothing", OrderValidationError, lambda: _amend(s, order))
    same("told", s.told(order), ["created"])


@case(507, AMEND)
async def breaks_the_rules(s: Session) -> None:
    """An amend that breaks the rules is refused before it is sent."""
    order = await s.rest()
    refused("amount 0", OrderValidationError, lambda: _amend(s, order, amount=Decimal(0)))
    refused("price 0", OrderValidationError, lambda: _amend(s, order, Decimal(0)))
    same("state", order.current_state, OPEN)


@case(508, AMEND)
async def nothing_left(s: Session) -> None:
    """An amount that leaves nothing to execute is refused before it is sent."""
    at = s.mid
    order = await s.rest(BUY, at, s.lot * 2)
    await s.venue.take(SELL, s.lot, at)
    await s.state(order, OrderState.PARTIALLY_FILLED)
    refused("nothing left", OrderValidationError, lambda: _amend(s, order, amount=s.lot))


@case(509, AMEND)
async def not_open(s: Session) -> None:
    """An order that is unknown, not acknowledged, being cancelled or ended is not amended: False."""
    check("unknown", not s.connector.amend(s.pair, "no-such-order", price=s.mid))
    order = s.place()
    check("on its way", not _amend(s, order, s.far(BUY, 3)))
    await s.state(order, OPEN)
    s.cancel(order)
    check("being cancelled", not _amend(s, order, s.far(BUY, 3)))
    await s.state(order, OrderState.CANCELED)
    check("ended", not _amend(s, order, s.far(BUY, 3)))


@case(510, AMEND)
async def twice(s: Session) -> None:
    """A second amend before the first is answered is False; after it, it goes through."""
    order = await s.rest()
    first, second = s.far(BUY, 3), s.far(BUY, 6)
    same("amend() twice", [_amend(s, order, first), _amend(s, order, second)], [True, False])
    await _is(s, order, first, s.lot)
    check("amend() again", _amend(s, order, second))
    await _is(s, order, second, s.lot)


@case(511, AMEND)
async def partially_filled(s: Session) -> None:
    """A partially filled order keeps its fills when it is amended, and its amount counts them."""
    at = s.mid
    order = await s.rest(BUY, at, s.lot * 2)
    await s.venue.take(SELL, s.lot, at)
    await s.state(order, OrderState.PARTIALLY_FILLED)
    _amend(s, order, amount=s.lot * 4)
    await _is(s, order, at, s.lot * 4)
    same("executed", order.executed_amount_base, s.lot)
    same("state", order.current_state, OrderState.PARTIALLY_FILLED)


@case(512, AMEND)
async def into_the_market(s: Session) -> None:
    """An amend to a price that takes fills the order."""
    order = await s.rest(BUY)
    await s.venue.rest(SELL, s.lot, s.mid)
    await s.until("the offer", lambda: s.book.best_ask_size == s.lot)
    _amend(s, order, s.crossing(BUY))
    await s.state(order, OrderState.FILLED)


@case(513, AMEND)
async def filled_beyond_the_old_amount(s: Session) -> None:
    """An order that is amended upwards may be filled beyond its first amount, and that is no overfill."""
    at = s.mid
    order = await s.rest(SELL, at)
    _amend(s, order, amount=s.lot * 3)
    await _is(s, order, at, s.lot * 3)
    await s.venue.take(BUY, s.lot * 3, at)
    await s.state(order, OrderState.FILLED)
    same("executed", order.executed_amount_base, s.lot * 3)


@case(514, AMEND)
async def then_cancel(s: Session) -> None:
    """An amended order is cancelled under the same id."""
    order = await s.rest()
    _amend(s, order, s.far(BUY, 3))
    await _is(s, order, s.far(BUY, 3), s.lot)
    s.cancel(order)
    await s.state(order, OrderState.CANCELED)


@case(515, AMEND)
async def cancel_meanwhile(s: Session) -> None:
    """A cancel while the amend is on its way ends the order."""
    order = await s.rest()
    await s.venue.fault(RequestFault.SLOW_ANSWER, Action.AMEND, delay_s=0.2)
    _amend(s, order, s.far(BUY, 3))
    check("cancel() is True", s.cancel(order))
    await s.state(order, OrderState.CANCELED)


@case(516, AMEND, MAKER)
async def maker_would_take(s: Session) -> None:
    """A post-only order that would take by an amend stays as it was, and the refusal is told."""
    order = await s.rest(BUY, kind=OrderType.LIMIT_MAKER)
    before = order.price
    _amend(s, order, s.crossing(BUY))
    await s.until("the alarm", lambda: "amend_failed" in s.alarm_kinds())
    await _is(s, order, before, s.lot)


@case(517, AMEND)
async def is_refused(s: Session) -> None:
    """An amend that the venue refuses leaves the order as it was, and is told."""
    order = await s.rest()
    before = order.price
    await s.venue.refuse(Refusal.BALANCE, Action.AMEND)
    _amend(s, order, s.far(BUY, 3))
    await s.until("the alarm", lambda: "amend_failed" in s.alarm_kinds())
    await _is(s, order, before, s.lot)
    same("told", s.told(order), ["created"])


@case(518, AMEND)
async def done_but_not_said(s: Session) -> None:
    """An amend that is carried out and answered with an error is found out."""
    order = await s.rest()
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.AMEND, carried_out=True)
    _amend(s, order, s.far(BUY, 3))
    await _is(s, order, s.far(BUY, 3), s.lot)


@case(519, AMEND)
async def done_and_unheard(s: Session) -> None:
    """The same with the stream's word lost: asking the venue finds it."""
    order = await s.rest()
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.AMEND, carried_out=True)
    _amend(s, order, s.far(BUY, 3))
    await _is(s, order, s.far(BUY, 3), s.lot)


@case(520, AMEND)
async def not_done(s: Session) -> None:
    """An amend that never arrived leaves the order as it was, and may be repeated."""
    order = await s.rest()
    before = order.price
    await s.venue.fault(RequestFault.RESET_BEFORE, Action.AMEND)
    _amend(s, order, s.far(BUY, 3))
    await s.until("the alarm", lambda: "amend_unanswered" in s.alarm_kinds())
    await _is(s, order, before, s.lot)
    await s.until("amend() is True again", lambda: _amend(s, order, s.far(BUY, 3)))
    await _is(s, order, s.far(BUY, 3), s.lot)


@case(521, AMEND)
async def connection_breaks_after(s: Session) -> None:
    """The connection breaks after the amend was carried out: taken over."""
    order = await s.rest()
    await s.venue.fault(RequestFault.RESET_AFTER, Action.AMEND)
    _amend(s, order, amount=s.lot * 2)
    await _is(s, order, order.price, s.lot * 2)


@case(522, AMEND)
async def only_the_answer(s: Session) -> None:
    """The stream's word of the amend is lost: the answer's is taken."""
    order = await s.rest()
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    _amend(s, order, s.far(BUY, 3))
    await _is(s, order, s.far(BUY, 3), s.lot)


@case(523, AMEND)
async def told_twice(s: Session) -> None:
    """The stream says the amend twice: it is told once."""
    order = await s.rest()
    await s.venue.fault(StreamFault.DUPLICATE, Action.ORDER_EVENT)
    _amend(s, order, s.far(BUY, 3))
    await _is(s, order, s.far(BUY, 3), s.lot)
    same("told", s.told(order), ["created", "amended"])


@case(524)
async def by_hand(s: Session) -> None:
    """An order amended at the venue's page is taken over and told."""
    order = await s.rest()
    await s.venue.amend_by_hand(order.client_order_id, s.far(BUY, 3), s.lot * 2)
    await _is(s, order, s.far(BUY, 3), s.lot * 2)
    same("told", s.told(order), ["created", "amended"])


@case(525, AMEND)
async def against_a_fill(s: Session) -> None:
    """An amend that comes after the fill changes nothing: the order is filled, once."""
    at = s.mid
    order = await s.rest(BUY, at)
    await s.venue.fault(RequestFault.LATE, Action.AMEND, delay_s=0.2)
    _amend(s, order, s.far(BUY, 3))
    await s.venue.take(SELL, s.lot, at)
    await s.state(order, OrderState.FILLED)
    same("told", s.told(order), ["created", "filled", "completed"])
