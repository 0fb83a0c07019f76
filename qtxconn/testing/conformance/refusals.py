"""Cases 3xx: refusals by reason. A refused order fails once, with the class of its reason, and nothing else breaks."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from qtxconn.core.types import OrderType, PositionAction, TradeType
from qtxconn.errors import (
    InsufficientBalanceError,
    OrderRejectedError,
    PostOnlyRejectedError,
    ReduceOnlyRejectedError,
)
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, same
from qtxconn.testing.conformance.target import Action, Refusal

if TYPE_CHECKING:
    from qtxconn.core.in_flight_order import InFlightOrder

MAKER = "order type LIMIT_MAKER"
FAR_OUTSIDE = Decimal("1.2")  # of the market: beyond any venue's band for prices
# Refusals of a placement that end the order, each a case of its own.
FINAL = (
    (311, Refusal.BALANCE),
    (312, Refusal.POST_ONLY),
    (313, Refusal.REDUCE_ONLY),
    (314, Refusal.TOO_MANY_ORDERS),
    (315, Refusal.FILTER),
    (316, Refusal.PARAMETER),
    (317, Refusal.PERMISSION),
    (318, Refusal.TIMESTAMP),
)


async def _fails(s: Session, order: InFlightOrder, error: type[Exception]) -> None:
    await s.until(f"{order.client_order_id} has failed", lambda: order.is_done)
    same("told", s.told(order), ["failed"])
    failure = s.failure(order)
    same("reason", failure.error_type, error.__name__)
    check("a text", failure.error_message)
    same("tracked orders", s.connector.in_flight_orders, {})


async def _would_take(s: Session, side: TradeType) -> None:
    await _fails(s, s.place(side, s.crossing(side), kind=OrderType.LIMIT_MAKER), PostOnlyRejectedError)
    same("position", await s.venue.position(), 0)


@case(301, MAKER)
async def maker_buy_would_take(s: Session) -> None:
    """A post-only buy that would take is refused as such."""
    await _would_take(s, BUY)


@case(302, MAKER)
async def maker_sell_would_take(s: Session) -> None:
    """A post-only sell that would take is refused as such."""
    await _would_take(s, SELL)


@case(303)
async def too_large_for_the_balance(s: Session) -> None:
    """An order beyond the margin is refused for the balance."""
    await _fails(s, s.place(amount=s.rule.max_order_size), InsufficientBalanceError)


@case(304)
async def close_without_position(s: Session) -> None:
    """Closing without a position is refused as reduce-only."""
    await _fails(s, s.place(position_action=PositionAction.CLOSE), ReduceOnlyRejectedError)


@case(305)
async def close_too_much(s: Session) -> None:
    """Closing more than the position never turns it around."""
    await s.filled(BUY)
    order = s.place(SELL, s.crossing(SELL), s.lot * 3, position_action=PositionAction.CLOSE)
    await s.until("it has ended", lambda: order.is_done)
    check(f"not short: {await s.venue.position()}", await s.venue.position() >= 0)


@case(306)
async def close_on_the_wrong_side(s: Session) -> None:
    """A closing order that would add to the position is refused as reduce-only."""
    await s.filled(BUY)
    order = s.place(BUY, position_action=PositionAction.CLOSE)
    await s.until("it has failed", lambda: order.is_done)
    same("reason", s.failure(order).error_type, ReduceOnlyRejectedError.__name__)


@case(307)
async def outside_the_band(s: Session) -> None:
    """A price far outside the venue's band is refused by its word."""
    price = s.connector.quantize_order_price(s.pair, s.mid * FAR_OUTSIDE)
    await _fails(s, s.place(BUY, price), OrderRejectedError)


async def _refused_for(s: Session, refusal: Refusal) -> None:
    await s.venue.refuse(refusal, Action.PLACE)
    await _fails(s, s.place(), s.venue.refusal_error(refusal))


def _final(number: int, refusal: Refusal) -> None:
    run = partial(_refused_for, refusal=refusal)
    run.__doc__ = f"A placement refused for {refusal.value} fails at once with the class of that reason."
    run.__module__ = __name__
    case(number)(run)


for _number, _refusal in FINAL:
    _final(_number, _refusal)


@case(321)
async def life_goes_on(s: Session) -> None:
    """After a refusal the next order goes through."""
    await s.venue.refuse(Refusal.BALANCE, Action.PLACE)
    await _fails(s, s.place(), InsufficientBalanceError)
    await s.rest()


@case(322)
async def one_of_many(s: Session) -> None:
    """Of five orders at once one is refused, and the other four are open."""
    await s.venue.refuse(Refusal.BALANCE, Action.PLACE)
    orders = [s.place() for _ in range(5)]
    await s.until("all have an answer", lambda: all(o.acked_ns or o.is_done for o in orders))
    same("failed", sum(order.is_failure for order in orders), 1)
    same("open at the venue", len(await s.venue.open_orders()), 4)


@case(323)
async def cancel_of_a_refused_order(s: Session) -> None:
    """A refused order can be cancelled no more: False, and nothing is told."""
    await s.venue.refuse(Refusal.BALANCE, Action.PLACE)
    order = s.place()
    await _fails(s, order, InsufficientBalanceError)
    check("cancel() is False", not s.cancel(order))


@case(324)
async def no_secret_in_errors(s: Session) -> None:
    """Neither the connector's text nor a failure's shows a key or a secret."""
    account = await s.venue.open_account()
    connector = s.make(account)
    await s.venue.refuse(Refusal.PERMISSION, Action.PLACE)
    order = s.place()
    await s.until("it has failed", lambda: order.is_failure)
    texts = [repr(connector), str(vars(connector)), s.failure(order).error_message or ""]
    check("nothing shows", not any(secret in text for text in texts for secret in (account.key, account.secret)))
