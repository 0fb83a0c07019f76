"""Cases 13xx: what protects resting orders when the program behind them fails or leaves."""

from __future__ import annotations

import asyncio

from qtxconn.core.types import OrderState
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, same
from qtxconn.testing.conformance.target import Action, Refusal

COUNTDOWN = "countdown_cancel"
TIMEOUT_S = 3.0  # of the dead-man's switch; it is renewed each second
SWITCH = {"dead_mans_switch_s": TIMEOUT_S, "dead_mans_switch_interval_s": 1.0}
OFF = {"dead_mans_switch_s": 0.0}
OPEN, CANCELED = OrderState.OPEN, OrderState.CANCELED


async def _is_open_at_venue(s: Session) -> bool:
    return bool(await s.venue.open_orders())


@case(1301, COUNTDOWN)
async def renewed(s: Session) -> None:
    """The dead-man's switch is renewed: an order outlives its time by far."""
    async with s.life(**SWITCH):
        order = await s.rest()
        await asyncio.sleep(2 * TIMEOUT_S)
        same("state", order.current_state, OPEN)
        check("open at the venue", await _is_open_at_venue(s))
        s.cancel(order)
        await s.state(order, CANCELED)


@case(1302, COUNTDOWN)
async def fires(s: Session) -> None:
    """The network is lost: the venue ends the orders in time, and that is told when the way back is found."""
    async with s.life(**SWITCH):
        order = await s.rest()
        await asyncio.sleep(1.5)  # long enough for the first countdown to run
        await s.venue.cut()
        await asyncio.sleep(TIMEOUT_S + 1.0)
        await s.venue.end_faults()
        same("open at the venue", await s.venue.open_orders(), [])
        await s.state(order, CANCELED)


@case(1303, COUNTDOWN)
async def cannot_be_renewed(s: Session) -> None:
    """The venue refuses every renewal: told once, and what the venue then ends is told as cancelled."""
    async with s.life(**SWITCH):
        order = await s.rest()
        await asyncio.sleep(1.5)
        await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.COUNTDOWN, count=1000)
        await s.state(order, CANCELED)
        same("alarms", s.alarm_kinds().count("dead_mans_switch"), 1)
        await s.venue.end_faults()


@case(1304, COUNTDOWN)
async def comes_back(s: Session) -> None:
    """A renewal that fails twice is tried again, and no order is lost by it."""
    async with s.life(**{**SWITCH, "dead_mans_switch_s": 10.0}):
        order = await s.rest()
        await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.COUNTDOWN, count=2)
        await s.until("it failed", lambda: "dead_mans_switch" in s.alarm_kinds())
        await asyncio.sleep(4.0)
        same("state", order.current_state, OPEN)
        s.cancel(order)
        await s.state(order, CANCELED)


@case(1305, COUNTDOWN)
async def called_off(s: Session) -> None:
    """disconnect() calls the switch off: an order outlives the connector and its time."""
    async with s.life(**SWITCH) as connector:
        order = await s.rest()
        await asyncio.sleep(1.5)
        await connector.disconnect()
        await asyncio.sleep(TIMEOUT_S + 1.0)
        check("open at the venue", await _is_open_at_venue(s))
        await connector.connect()
        same("state", order.current_state, OPEN)
        s.cancel(order)
        await s.state(order, CANCELED)


@case(1306)
async def switched_off(s: Session) -> None:
    """Without the switch nothing is counted down: orders rest."""
    async with s.life(**OFF):
        order = await s.rest()
        await asyncio.sleep(TIMEOUT_S)
        same("state", order.current_state, OPEN)
        s.cancel(order)
        await s.state(order, CANCELED)


@case(1307)
async def cancels_when_leaving(s: Session) -> None:
    """With cancel_on_disconnect, disconnect() ends every order at the venue, and tells it."""
    async with s.life(cancel_on_disconnect=True) as connector:
        orders = [await s.rest(side) for side in (BUY, SELL)]
        await connector.disconnect()
        same("open at the venue", await s.venue.open_orders(), [])
        same("states", [order.current_state for order in orders], [CANCELED] * 2)


@case(1308)
async def stays_when_leaving(s: Session) -> None:
    """Without it, disconnect() leaves orders as they are."""
    async with s.life(**OFF) as connector:
        order = await s.rest()
        await connector.disconnect()
        check("open at the venue", await _is_open_at_venue(s))
        await connector.connect()
        s.cancel(order)
        await s.state(order, CANCELED)
