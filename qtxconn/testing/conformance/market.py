"""Cases 10xx: books with their resync, trades, mark and index prices."""

from __future__ import annotations

from decimal import Decimal

from qtxconn.sim.faults import RequestFault, StreamFault
from qtxconn.testing.conformance.kit import case
from qtxconn.testing.conformance.session import BUY, SELL, Session, check, same
from qtxconn.testing.conformance.target import Action, Refusal


@case(1001)
async def book(s: Session) -> None:
    """The book is valid, not crossed, and the venue's."""
    check("valid", s.book.valid)
    check("not crossed", s.book.best_bid < s.book.best_ask)
    await s.book_is_true()


@case(1002)
async def book_moves(s: Session) -> None:
    """An order of somebody else appears in the book at its price and size, and goes."""
    exchange_order_id = await s.venue.rest(SELL, s.lot * 3, s.mid)
    price = s.mid
    await s.until("there", lambda: s.book.ask_entries(1) == [(price, s.lot * 3)])
    await s.venue.withdraw(exchange_order_id)
    await s.until("gone", lambda: s.book.best_ask > price)
    await s.book_is_true()


@case(1003)
async def own_order_shows(s: Session) -> None:
    """An own order is in the book like any other."""
    price = s.mid
    await s.rest(BUY, price)
    await s.until("there", lambda: s.book.bid_entries(1) == [(price, s.lot)])


@case(1004)
async def trades(s: Session) -> None:
    """A trade is heard with its price."""
    price = s.mid + s.tick * 3
    await s.venue.rest(SELL, s.lot, price)
    order = s.place(BUY, price)
    await s.until("filled", lambda: order.is_filled)
    await s.until("last price", lambda: s.book.last_trade_price == price)


@case(1005)
async def book_goes_on(s: Session) -> None:
    """Updates keep coming: the update id grows."""
    first = s.book.last_update_id
    await s.until("a later update", lambda: s.book.last_update_id > first)


@case(1006)
async def price_for_volume(s: Session) -> None:
    """The price for a volume walks the levels."""
    bids, asks = await s.venue.book()
    volume = asks[0][1] + s.lot
    same("buying", s.book.get_price_for_volume(True, volume).result_price, asks[1][0])
    same("selling", s.book.get_price_for_volume(False, bids[0][1] + s.lot).result_price, bids[1][0])


async def _resync(s: Session, fault: StreamFault, **fields: object) -> None:
    """The book is the venue's again after the fault, and follows."""
    await s.venue.fault(fault, Action.DEPTH_EVENT, **fields)
    await s.venue.rest(BUY, s.lot, s.mid)

    async def struck() -> None:
        while await s.venue.idle_faults():
            pass

    await struck()
    await s.until("valid", lambda: s.book.valid)
    await s.book_is_true()


@case(1007)
async def update_lost(s: Session) -> None:
    """An update is lost: the gap is seen, and a snapshot makes the book right."""
    await _resync(s, StreamFault.LOST)


@case(1008)
async def many_updates_lost(s: Session) -> None:
    """Three gaps in a row: the book is right in the end."""
    await _resync(s, StreamFault.LOST, count=3)


@case(1009)
async def update_twice(s: Session) -> None:
    """An update comes twice: the book stays right."""
    await _resync(s, StreamFault.DUPLICATE, count=3)


@case(1010)
async def updates_swapped(s: Session) -> None:
    """Two updates come in the wrong order: the book is right in the end."""
    await _resync(s, StreamFault.REORDER, delay_s=1.0)


@case(1011)
async def updates_stall(s: Session) -> None:
    """Updates stall for half a second: the book is right in the end."""
    await _resync(s, StreamFault.STALL, delay_s=0.5)


@case(1012)
async def stream_breaks(s: Session) -> None:
    """The stream breaks in the middle of an update: after the reconnect the book is right."""
    await s.fresh()
    await _resync(s, StreamFault.BREAK)
    await s.until("ready again", lambda: s.connector.is_ready)


@case(1013)
async def gap_is_told(s: Session) -> None:
    """While a book waits for its snapshot it is invalid, and is_ready says so."""
    await s.venue.fault(RequestFault.LATE, Action.SNAPSHOT, delay_s=0.4)
    await s.venue.fault(StreamFault.LOST, Action.DEPTH_EVENT)
    await s.until("not valid", lambda: not s.book.valid)
    check("not ready", not s.connector.is_ready)
    check(f"names the book: {s.connector.not_ready_reason}", s.pair in (s.connector.not_ready_reason or ""))
    await s.until("valid again", lambda: s.book.valid)


@case(1014)
async def snapshot_fails(s: Session) -> None:
    """The snapshot after a gap fails twice: it is asked again, and the book is right."""
    await s.venue.refuse(Refusal.OUTCOME_UNKNOWN, Action.SNAPSHOT, count=2)
    await s.venue.fault(StreamFault.LOST, Action.DEPTH_EVENT)
    await s.until("not valid", lambda: not s.book.valid)
    await s.until("valid again", lambda: s.book.valid)
    await s.book_is_true()


@case(1015)
async def snapshot_is_a_web_page(s: Session) -> None:
    """A web page in place of the snapshot is no book: it is asked again."""
    await s.venue.fault(RequestFault.HTML, Action.SNAPSHOT)
    await s.venue.fault(StreamFault.LOST, Action.DEPTH_EVENT)
    await s.until("not valid", lambda: not s.book.valid)
    await s.until("valid again", lambda: s.book.valid)
    await s.book_is_true()


@case(1016)
async def disconnected(s: Session) -> None:
    """When the streams are closed the book is invalid, never stale, and comes back."""
    await s.fresh()
    await s.venue.disconnect()
    await s.until("not valid", lambda: not s.book.valid)
    await s.until("ready again", lambda: s.connector.is_ready)
    await s.book_is_true()


@case(1017)
async def trades_stop_nothing(s: Session) -> None:
    """Lost and doubled trades do not disturb the book."""
    await s.venue.fault(StreamFault.LOST, Action.TRADE_EVENT)
    await s.venue.fault(StreamFault.DUPLICATE, Action.TRADE_EVENT, count=2)
    for _ in range(4):
        await s.filled(BUY)
        await s.filled(SELL)
    await s.book_is_true()


@case(1018)
async def mark_price(s: Session) -> None:
    """The mark price follows the venue's."""
    price = s.mid + s.tick * 20
    await s.venue.set_mark_price(price)
    await s.until("mark price", lambda: s.connector.get_mark_price(s.pair) == price)


@case(1019)
async def index_price(s: Session) -> None:
    """The index price is known and near the mark price."""
    mark, index = s.connector.get_mark_price(s.pair), s.connector.get_index_price(s.pair)
    check(f"near: {mark} and {index}", mark and index and abs(mark - index) < mark / Decimal(50))


@case(1020)
async def snapshot_of_the_book(s: Session) -> None:
    """Best prices, entries and mid price tell the same."""
    bid, ask = s.book.bid_entries(1)[0], s.book.ask_entries(1)[0]
    same("bid", (s.book.best_bid, s.book.best_bid_size), bid)
    same("ask", (s.book.best_ask, s.book.best_ask_size), ask)
    same("mid", s.book.mid_price, (bid[0] + ask[0]) / 2)
