"""Cases 14xx: conditional orders, from their wait at the venue over the trigger to the end of what it placed."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import OrderState, OrderType, TradeType
from qtxconn.errors import OrderValidationError
from qtxconn.sim.faults import RequestFault, StreamFault
from qtxconn.storage.journal import OrderJournal
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, refused, same
from qtxconn.testing.conformance.target import Action, Refusal

STOP, STOP_LIMIT = OrderType.STOP_MARKET, OrderType.STOP_LIMIT
TAKE, TAKE_LIMIT, TRAILING = (
    OrderType.TAKE_PROFIT_MARKET,
    OrderType.TAKE_PROFIT_LIMIT,
    OrderType.TRAILING_STOP_MARKET,
)
KINDS = {kind: f"order type {kind.name}" for kind in (STOP, STOP_LIMIT, TAKE, TAKE_LIMIT, TRAILING)}
OPEN, FILLED, CANCELED, FAILED = OrderState.OPEN, OrderState.FILLED, OrderState.CANCELED, OrderState.FAILED
MARK = "trigger source mark"
STEP = Decimal("0.01")  # from the middle to a trigger: out of reach until the mark price is moved


def _trigger(s: Session, side: TradeType, kind: OrderType) -> Decimal:
    """Where the mark price is not yet: above the middle for what is reached from below."""
    sign = 1 if kind.triggers_on_rise(side) else -1
    return s.connector.quantize_order_price(s.pair, s.mid * (1 + sign * STEP))


async def _waits(
    s: Session, side: TradeType, kind: OrderType, price: Decimal | None = None, **options: Any
) -> InFlightOrder:
    """A conditional order that the venue has taken; it watches the mark price."""
    options = {"trigger_price": _trigger(s, side, kind), "trigger_source": "mark"} | options
    return await s.rest(side, price, kind=kind, **options)


async def _reach(s: Session, order: InFlightOrder) -> None:
    await s.venue.set_mark_price(order.trigger_price)


async def _is_taken(s: Session, side: TradeType, kind: OrderType, **options: Any) -> None:
    order = await _waits(s, side, kind, **options)
    (there,) = await s.venue.waiting_orders()
    same("id", there.client_order_id, order.client_order_id)
    same("kind", there.kind, kind)
    same("trigger", there.trigger_price, order.trigger_price)
    check("it watches the mark price", there.watches_mark)
    same("in the book", await s.venue.open_orders(), [])
    same("told", s.told(order), ["created"])
    s.cancel(order)
    await s.state(order, CANCELED)
    same("told", s.told(order), ["created", "cancelled"])
    same("waiting", await s.venue.waiting_orders(), [])


async def _is_triggered(s: Session, side: TradeType, kind: OrderType, **options: Any) -> None:
    """It fills under its own id, told once from the beginning to the end."""
    order = await _waits(s, side, kind, **options)
    await _reach(s, order)
    await s.state(order, FILLED)
    same("told", s.told(order), ["created", "filled", "completed"])
    amount = s.lot if side is BUY else -s.lot
    await s.until("the position", lambda: s.connector.get_position_amount(s.pair) == amount)


@case(1401, KINDS[STOP], MARK)
async def stop_waits(s: Session) -> None:
    """A selling stop waits at the venue with its trigger, in no book, and is cancelled."""
    await _is_taken(s, SELL, STOP)


@case(1402, KINDS[STOP], MARK)
async def buying_stop_waits(s: Session) -> None:
    """A buying stop waits at the venue with its trigger, in no book, and is cancelled."""
    await _is_taken(s, BUY, STOP)


@case(1403, KINDS[STOP], MARK)
async def stop_is_triggered(s: Session) -> None:
    """A selling stop whose trigger is reached sells at the market, under its own id."""
    await _is_triggered(s, SELL, STOP)


@case(1404, KINDS[STOP], MARK)
async def buying_stop_is_triggered(s: Session) -> None:
    """A buying stop whose trigger is reached buys at the market, under its own id."""
    await _is_triggered(s, BUY, STOP)


@case(1405, KINDS[STOP_LIMIT], MARK)
async def stop_limit_fills(s: Session) -> None:
    """A stop limit whose price takes is filled once it is triggered."""
    await _is_triggered(s, SELL, STOP_LIMIT, price=s.crossing(SELL))


@case(1406, KINDS[STOP_LIMIT], MARK)
async def stop_limit_rests(s: Session) -> None:
    """A stop limit that does not take rests in the book once it is triggered, and is cancelled there."""
    order = await _waits(s, SELL, STOP_LIMIT, s.far(SELL))
    before = order.exchange_order_id
    await _reach(s, order)
    await s.until("the venue's new id", lambda: order.exchange_order_id != before)
    same("state", order.current_state, OPEN)
    same("in the book", [o.client_order_id for o in await s.venue.open_orders()], [order.client_order_id])
    s.cancel(order)
    await s.state(order, CANCELED)
    same("told", s.told(order), ["created", "cancelled"])


@case(1407, KINDS[TAKE], MARK)
async def take_profit(s: Session) -> None:
    """A selling take-profit waits for a higher price, and sells at the market there."""
    await _is_taken(s, SELL, TAKE)
    await _is_triggered(s, SELL, TAKE)


@case(1408, KINDS[TAKE_LIMIT], MARK)
async def take_profit_limit(s: Session) -> None:
    """A buying take-profit with a limit waits for a lower price, and buys within its limit there."""
    await _is_triggered(s, BUY, TAKE_LIMIT, price=s.crossing(BUY))


@case(1409, KINDS[TRAILING], MARK)
async def trailing(s: Session) -> None:
    """A trailing stop follows the price up, and sells when it has come back by its rate."""
    order = await s.rest(SELL, kind=TRAILING, callback_rate=1, trigger_source="mark")
    top = s.mid * (1 + STEP)
    await s.venue.set_mark_price(s.connector.quantize_order_price(s.pair, top))
    await s.book_is_true()
    same("state on the way up", order.current_state, OPEN)
    await s.venue.set_mark_price(s.connector.quantize_order_price(s.pair, top * (1 - STEP - STEP / 10)))
    await s.state(order, FILLED)


@case(1410, KINDS[STOP], MARK)
async def away(s: Session) -> None:
    """A price that moves away from the trigger, or nearly reaches it, triggers nothing."""
    order = await _waits(s, SELL, STOP)
    assert order.trigger_price is not None
    for price in (s.mid * (1 + STEP), order.trigger_price + s.tick):
        await s.venue.set_mark_price(s.connector.quantize_order_price(s.pair, price))
        await s.book_is_true()
        same("state", order.current_state, OPEN)


@case(1411, KINDS[STOP])
async def at_once(s: Session) -> None:
    """A stop whose trigger is reached already is refused by the venue: it fails, and was never open."""
    order = s.place(SELL, kind=STOP, trigger_price=s.mid * (1 + STEP))
    await s.until("it has ended", lambda: order.is_done)
    same("state", order.current_state, FAILED)
    same("told", s.told(order), ["failed"])


@case(1412, KINDS[STOP])
async def without_a_trigger(s: Session) -> None:
    """A stop without a trigger, or with one below 0, is refused before it is sent, and so is a limit with one."""
    refused("no trigger", OrderValidationError, lambda: s.place(SELL, kind=STOP))
    refused("below 0", OrderValidationError, lambda: s.place(SELL, kind=STOP, trigger_price=-s.mid))
    refused("of a limit", OrderValidationError, lambda: s.place(SELL, trigger_price=s.mid))
    same("waiting", await s.venue.waiting_orders(), [])


@case(1413, KINDS[STOP], MARK)
async def closes(s: Session) -> None:
    """A reduce-only stop closes the position, and no more."""
    await s.filled(BUY)
    order = await _waits(s, SELL, STOP, reduce_only=True)
    (there,) = await s.venue.waiting_orders()
    check("reduce-only at the venue", there.reduces_only)
    await _reach(s, order)
    await s.state(order, FILLED)
    await s.until("flat", lambda: not s.connector.get_all_positions())


@case(1414, KINDS[STOP], MARK)
async def refused_at_the_trigger(s: Session) -> None:
    """A reduce-only stop that finds nothing to reduce fails when it is triggered, and that is told."""
    order = await _waits(s, SELL, STOP, reduce_only=True)
    await _reach(s, order)
    await s.until("it has ended", lambda: order.is_done)
    same("state", order.current_state, FAILED)
    same("told", s.told(order), ["created", "failed"])
    same("position", await s.venue.position(), 0)


@case(1415, KINDS[STOP], MARK)
async def same_breath(s: Session) -> None:
    """A stop that is cancelled in the same breath is gone at the venue."""
    order = s.place(SELL, kind=STOP, trigger_price=_trigger(s, SELL, STOP), trigger_source="mark")
    check("asked", s.cancel(order))
    await s.state(order, CANCELED)
    same("waiting", await s.venue.waiting_orders(), [])


@case(1416, KINDS[STOP], MARK)
async def unanswered(s: Session) -> None:
    """A stop that is taken and answered with an error, its message lost, is found by asking: placed once."""
    await s.venue.fault(StreamFault.LOST, Action.STOP_EVENT)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.PLACE_STOP, carried_out=True)
    order = await _waits(s, SELL, STOP)
    same("waiting", [o.client_order_id for o in await s.venue.waiting_orders()], [order.client_order_id])


@case(1417, KINDS[STOP], MARK)
async def never_arrived(s: Session) -> None:
    """A stop that never arrived has failed once that is certain."""
    await s.venue.fault(RequestFault.RESET_BEFORE, Action.PLACE_STOP)
    with s.impatient():
        order = s.place(SELL, kind=STOP, trigger_price=_trigger(s, SELL, STOP), trigger_source="mark")
        await s.until("it has ended", lambda: order.is_done)
    same("state", order.current_state, FAILED)


@case(1418, KINDS[STOP], MARK)
async def unheard(s: Session) -> None:
    """The algo service's messages are lost when the trigger is reached: the fill is booked, once."""
    order = await _waits(s, SELL, STOP)
    await s.venue.fault(StreamFault.LOST, Action.STOP_EVENT, count=5)
    await _reach(s, order)
    await s.state(order, FILLED)
    same("told", s.told(order), ["created", "filled", "completed"])


@case(1419, KINDS[STOP], MARK)
async def triggered_meanwhile(s: Session) -> None:
    """Every stream is closed when the trigger is reached: order and fill are found on the way back."""
    await s.fresh()
    order = await _waits(s, SELL, STOP)
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.USER_STREAM_KEY)
    await s.venue.disconnect()
    await s.until("the stream is down", lambda: not s.connector.is_ready)
    await _reach(s, order)
    await s.state(order, FILLED)
    await s.until("ready again", lambda: s.connector.is_ready)
    same("told", s.told(order), ["created", "filled", "completed"])


@case(1420, KINDS[STOP], MARK)
async def restart(s: Session) -> None:
    """With a journal a new connector knows a waiting stop, with its trigger, and books its fill."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "orders.journal"
        with OrderJournal(path) as journal:
            async with s.life(journal):
                first = await _waits(s, SELL, STOP)
        s.orders.clear()
        with OrderJournal(path) as journal:
            async with s.life(journal) as connector:
                order = connector.in_flight_orders[first.client_order_id]
                same("kind, trigger", (order.order_type, order.trigger_price), (STOP, first.trigger_price))
                await _reach(s, order)
                await s.state(order, FILLED)
                same("told", s.told(order), ["created", "filled", "completed"])


@case(1421, KINDS[STOP], MARK)
async def cancel_all(s: Session) -> None:
    """cancel_all() ends waiting stops and resting orders alike."""
    orders = [await _waits(s, SELL, STOP), await _waits(s, BUY, STOP), await s.rest(), await s.rest(SELL)]
    results = await s.connector.cancel_all(10.0)
    same("successes", [result.success for result in results], [True] * 4)
    same("states", [order.current_state for order in orders], [CANCELED] * 4)
    same("waiting", await s.venue.waiting_orders(), [])


@case(1422, KINDS[STOP], MARK, "open_orders")
async def listed(s: Session) -> None:
    """The open orders that the connector reads have the waiting stops among them."""
    orders = [await _waits(s, SELL, STOP), await s.rest()]
    found = {update.client_order_id for update in await s.connector.get_open_orders(s.pair)}
    same("ids", found, {order.client_order_id for order in orders})


@case(1423, KINDS[STOP], "trigger source last")
async def last_price(s: Session) -> None:
    """A stop that watches the last trade is triggered by one, and not by the mark price."""
    await s.filled(BUY)
    order = s.place(SELL, kind=STOP, trigger_price=s.mid, trigger_source="last")
    await s.state(order, OPEN)
    await s.venue.set_mark_price(s.connector.quantize_order_price(s.pair, s.mid * (1 - STEP)))
    await s.book_is_true()
    same("after the mark price", order.current_state, OPEN)
    await s.venue.set_mark_price(None)
    await s.filled(SELL)
    await s.state(order, FILLED)
