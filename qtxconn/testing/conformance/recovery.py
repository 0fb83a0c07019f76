"""Cases 8xx: connecting, leaving, coming back, and a restart with and without a journal."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qtxconn.core.events import OrphanOrderEvent
from qtxconn.core.types import OrderState
from qtxconn.errors import AuthenticationError, ConfigurationError, QtxconnError
from qtxconn.sim.faults import RequestFault, StreamFault
from qtxconn.storage.journal import OrderJournal
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, same
from qtxconn.testing.conformance.target import Account, Action, Refusal

OPEN, FILLED, CANCELED = OrderState.OPEN, OrderState.FILLED, OrderState.CANCELED
READY_WITHIN_S = 20.0  # under a second on an idle machine


@contextmanager
def _journal_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory) / "orders.journal"


@case(801)
async def connects(s: Session) -> None:
    """connect() returns ready: rules, books, balances and a live user stream."""
    connector = s.make()
    started = time.perf_counter()
    await connector.connect()
    check("soon", time.perf_counter() - started < READY_WITHIN_S)
    same("what is missing", [part for part, there in connector.status_dict.items() if not there], [])
    check("ready", connector.is_ready and connector.not_ready_reason is None)
    check("a balance", connector.get_balance(s.asset) > 0)
    await connector.disconnect()


@case(802)
async def connects_once(s: Session) -> None:
    """connect() and disconnect() may be called twice."""
    connector = s.make()
    await connector.connect()
    await connector.connect()
    check("ready", connector.is_ready)
    await connector.disconnect()
    await connector.disconnect()
    check("not ready", not connector.is_ready)
    check("a reason", connector.not_ready_reason)


@case(803)
async def wrong_secret(s: Session) -> None:
    """connect() with a wrong secret raises AuthenticationError, which shows neither key nor secret."""
    account = await s.venue.open_account()
    connector = s.make(Account(account.key, "not-the-secret"))
    try:
        await connector.connect()
    except AuthenticationError as error:
        check("nothing shows", account.key not in str(error) and "not-the-secret" not in str(error))
    else:
        raise AssertionError("connect() took a wrong secret")
    check("not connected", not connector.is_connected)


@case(804)
async def venue_is_down_at_first(s: Session) -> None:
    """connect() that meets an error leaves nothing behind, and works the next time."""
    connector = s.make()
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.RULES, count=10)
    try:
        await connector.connect()
    except QtxconnError:
        check("not connected", not connector.is_connected)
    else:
        raise AssertionError("connect() did without the rules")
    await s.venue.end_faults()
    await connector.connect()
    check("ready", connector.is_ready)
    await connector.disconnect()


@case(805)
async def snapshot_fails_at_first(s: Session) -> None:
    """The first snapshot of the book fails: connect() asks again and becomes ready."""
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.SNAPSHOT)
    async with s.life() as connector:
        check("ready", connector.is_ready)


@case(806)
async def clocks_differ(s: Session) -> None:
    """The venue's clock is 40 s ahead: requests carry its time, and orders go through."""
    await s.venue.skew_clock(40.0)
    async with s.life():
        order = await s.rest()
        s.cancel(order)
        await s.state(order, CANCELED)


@case(807)
async def clock_steps(s: Session) -> None:
    """The venue's clock steps while connected: a read is repeated after a time sync, and reads work again."""
    order = await s.rest()
    await s.venue.skew_clock(20.0)
    await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
    await s.venue.cancel_by_hand(order.client_order_id)
    s.cancel(order)
    await s.state(order, CANCELED)
    await s.venue.end_faults()
    await s.abandon()  # its clock is the skewed one
    s.orders.clear()


@case(808)
async def reconnects_by_hand(s: Session) -> None:
    """disconnect() and connect() of the same connector: its orders are known and right."""
    price, lot = s.mid, s.lot
    stays, goes, fills = await s.rest(SELL), await s.rest(BUY), await s.rest(BUY, price)
    await s.connector.disconnect()
    await s.venue.cancel_by_hand(goes.client_order_id)
    await s.venue.take(SELL, lot, price)
    await s.connector.connect()
    await s.state(goes, CANCELED)
    await s.state(fills, FILLED)
    same("the one that stays", stays.current_state, OPEN)


@case(809)
async def disconnect_with_an_order_on_its_way(s: Session) -> None:
    """disconnect() while an order is on its way: after connect() it is what the venue says."""
    await s.venue.fault(RequestFault.SLOW_ANSWER, Action.PLACE, delay_s=0.3)
    order = s.place()
    await s.until("sent", lambda: order.submitted_ns)
    await s.until("at the venue", lambda: order.acked_ns)
    await s.connector.disconnect()
    await s.connector.connect()
    await s.state(order, OPEN)


@case(810)
async def without_journal(s: Session) -> None:
    """A new connector without a journal does not know the orders of the old one, and trades."""
    async with s.life():
        order = await s.rest()
    s.orders.clear()
    async with s.life() as connector:
        check("it is not known", order.client_order_id not in connector.in_flight_orders)
        await s.rest()
        await s.venue.cancel_by_hand(order.client_order_id)
        await s.venue.clean()
        await s.until("all ended", lambda: not connector.in_flight_orders)
    s.orders.clear()


@case(811)
async def with_journal_open(s: Session) -> None:
    """With a journal a new connector knows the open orders of the old one, with ids, price and amount."""
    with _journal_path() as path:
        with OrderJournal(path) as journal:
            async with s.life(journal):
                before = await s.rest(SELL)
        s.orders.clear()
        s.events.clear()
        with OrderJournal(path) as journal:
            async with s.life(journal) as connector:
                order = connector.in_flight_orders[before.client_order_id]
                await s.state(order, OPEN)
                wanted = (before.exchange_order_id, before.price, before.amount)
                same("order", (order.exchange_order_id, order.price, order.amount), wanted)
                check("cancel() is True", s.cancel(order))
                await s.state(order, CANCELED)
                check("told", "cancelled" in s.told(order))


@case(812)
async def with_journal_filled(s: Session) -> None:
    """With a journal an order that was filled between two lives is filled, with its fill told once."""
    price, lot = s.mid, s.lot
    with _journal_path() as path:
        with OrderJournal(path) as journal:
            async with s.life(journal):
                before = await s.rest(BUY, price)
        s.orders.clear()
        s.events.clear()
        await s.venue.take(SELL, lot, price)
        with OrderJournal(path) as journal:
            async with s.life(journal) as connector:
                await s.until("ended", lambda: before.client_order_id not in connector.in_flight_orders)
                same("told", s.told(before).count("filled"), 1)
                same("told last", s.told(before)[-1], "completed")
                same("position", connector.get_position_amount(s.pair), s.lot)


@case(813)
async def with_journal_partial(s: Session) -> None:
    """With a journal a fill from before the restart is not told again, and one from between is told."""
    price, lot = s.mid, s.lot
    with _journal_path() as path:
        with OrderJournal(path) as journal:
            async with s.life(journal):
                before = await s.rest(BUY, price, s.lot * 3)
                await s.venue.take(SELL, s.lot, price)
                await s.state(before, OrderState.PARTIALLY_FILLED)
        s.orders.clear()
        s.events.clear()
        await s.venue.take(SELL, lot, price)
        with OrderJournal(path) as journal:
            async with s.life(journal) as connector:
                order = connector.in_flight_orders[before.client_order_id]
                await s.until("both fills", lambda: order.executed_amount_base == s.lot * 2)
                same("told now", s.told(order).count("filled"), 1)
                await s.venue.clean()
                await s.until("ended", lambda: order.is_done)


@case(814)
async def with_journal_cancelled(s: Session) -> None:
    """With a journal an order that was cancelled between two lives is told as cancelled."""
    with _journal_path() as path:
        with OrderJournal(path) as journal:
            async with s.life(journal):
                before = await s.rest()
        s.orders.clear()
        s.events.clear()
        await s.venue.cancel_by_hand(before.client_order_id)
        with OrderJournal(path) as journal:
            async with s.life(journal) as connector:
                await s.until("ended", lambda: before.client_order_id not in connector.in_flight_orders)
                same("told last", s.told(before)[-1:], ["cancelled"])


@case(815)
async def with_journal_unanswered(s: Session) -> None:
    """With a journal an order whose answer never came before the restart is found, and never sent twice."""
    with _journal_path() as path:
        with OrderJournal(path) as journal:
            async with s.life(journal):
                await s.venue.fault(StreamFault.LOST, Action.ORDER_EVENT)
                await s.venue.fault(RequestFault.LOST_ANSWER, Action.PLACE)
                before = s.place()
                await s.until("sent", lambda: before.submitted_ns)
                for _ in range(100):
                    if await s.venue.order(before.client_order_id) is not None:
                        break
        s.orders.clear()
        s.events.clear()
        with OrderJournal(path) as journal:
            async with s.life(journal) as connector:
                order = connector.in_flight_orders[before.client_order_id]
                await s.state(order, OPEN)
                same("at the venue", len(await s.venue.open_orders()), 1)
                s.cancel(order)
                await s.state(order, CANCELED)


@case(816)
async def ids_after_restart(s: Session) -> None:
    """A new connector never gives an id that an old one gave."""
    first = {s.connector.generate_client_order_id() for _ in range(500)}
    second = {s.make().generate_client_order_id() for _ in range(500)}
    same("ids in both", first & second, set())


@case(817)
async def hedge_account(s: Session) -> None:
    """An account in hedge mode is refused by a connector that is set to one-way, with what to do."""
    connector = s.make(await s.venue.open_account(hedge=True))
    try:
        await connector.connect()
    except ConfigurationError as error:
        check(f"names both modes: {error}", "HEDGE" in str(error) and "ONEWAY" in str(error))
    else:
        raise AssertionError("connect() took an account in another mode")
    check("not connected", not connector.is_connected)


@case(818)
async def orphan_after_restart(s: Session) -> None:
    """An order of an earlier life that is cancelled now does not disturb the new one."""
    async with s.life():
        old = await s.rest()
    s.orders.clear()
    s.events.clear()
    async with s.life():
        new = await s.rest()
        await s.venue.cancel_by_hand(old.client_order_id)
        s.cancel(new)
        await s.state(new, CANCELED)
        same("live orphans told", s.told_of(OrphanOrderEvent), [])
