"""Applies the Binance messages that come by the thousand from their bytes, without a Python object in between."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t
from libcpp.memory cimport make_unique
from libcpp.string_view cimport string_view

from qtxconn.core.book_sync cimport NO_ID, BookSync
from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.core.in_flight_order cimport text_of, view_of
from qtxconn.core.l2_book cimport L2Book, LastTrade, Side
from qtxconn.core.order_book cimport OrderBook
from qtxconn.core.order_reports cimport OrderReport, c_process_report
from qtxconn.core.order_store cimport VenueId, kNoVenueId, parse_number_id
from qtxconn.exchanges.binance.wire cimport (
    DepthUpdate,
    EventHead,
    EventKind,
    OrderTradeUpdate,
    PublicTrade,
    parse_depth_update,
    parse_order_trade_update,
    parse_trade,
    peek_event,
)


cdef extern from "Python.h":
    bint PyUnicode_CheckExact(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)


cdef string_view bytes_of(object message) noexcept:
    """The bytes of a WebSocket message where they lie; none of one that is not ASCII."""
    if PyUnicode_CheckExact(message) and PyUnicode_IS_COMPACT_ASCII(message):
        return string_view(<const char*>PyUnicode_DATA(message), <size_t>PyUnicode_GET_LENGTH(message))
    if PyBytes_CheckExact(message):
        return string_view(PyBytes_AS_STRING(message), <size_t>PyBytes_GET_SIZE(message))
    return string_view()


cdef class MarketScanner:
    """Depth diffs and trades, from their bytes to the books.

    Takes a diff only if it is well-formed, of a book that was added, on its grid, and the next one of its chain; all
    others are left to messages.py and BookSync, which know what to do about them.
    """

    def __init__(self):
        self._feeds = []
        self._syncs = []
        self._depth = make_unique[DepthUpdate]()

    def add_book(self, str symbol not None, feed):
        """Diffs and trades of the exchange's `symbol` go to the book of this BookFeed from now on."""
        cdef BookSync sync = feed.sync
        self._numbers.set(view_of(symbol), len(self._syncs))
        self._feeds.append(feed)
        self._syncs.append(sync)

    def remove_books(self):
        """Every message is left to others until books are added again."""
        self._numbers.clear()
        self._feeds.clear()
        self._syncs.clear()

    def process_message(self, message, int64_t received_ns) -> bool:
        """Applies the message (str or bytes) if it can. False: nothing was done, the message needs the generic path."""
        cdef string_view text = bytes_of(message)
        cdef EventHead head = peek_event(text)
        if head.kind != EventKind.depth_update and head.kind != EventKind.trade:
            return False
        cdef Py_ssize_t number = self._numbers.find(head.symbol)
        if number < 0:
            return False
        if head.kind == EventKind.trade:
            return self._process_trade(text, number, received_ns)
        return self._process_depth(text, number, received_ns)

    cdef bint _process_depth(self, string_view text, Py_ssize_t number, int64_t received_ns) except -1:
        cdef BookSync sync = <BookSync>self._syncs[number]
        cdef DepthUpdate* depth = self._depth.get()
        if not (
            parse_depth_update(text, sync.book.c_tick_size, sync.book.c_lot_size, depth[0])
            and sync.c_process_levels(
                depth.last_id, depth.prev_id, depth.bids, depth.bid_count, depth.asks, depth.ask_count, received_ns
            )
        ):
            return False
        if sync._last_id == NO_ID:      # it crossed the book
            self._feeds[number].ask_if_needed()
        return True

    cdef bint _process_trade(self, string_view text, Py_ssize_t number, int64_t received_ns) except -1:
        cdef OrderBook book = (<BookSync>self._syncs[number]).book
        cdef PublicTrade trade
        cdef LastTrade last
        if not parse_trade(text, book.c_tick_size, book.c_lot_size, trade):
            return False
        last.price = trade.price
        last.size = trade.amount
        last.time_ns = received_ns
        last.taker_side = Side.bid if trade.is_buy else Side.ask
        cdef L2Book* target = book.c_book()
        target.lock.lock()
        target.set_trade(last)
        target.lock.unlock()
        return True


cdef class UserScanner:
    """Order updates, from their bytes to the tracker.

    Takes an ORDER_TRADE_UPDATE only if it is well-formed and tells of an order that is tracked and in its plain course
    (order_reports.pxd); all others are left to messages.py and the tracker's `process_*`.
    """

    def __init__(self, ClientOrderTracker tracker not None, pair_of):
        self.tracker = tracker
        self._pair_of = pair_of

    def process_message(self, message) -> bool:
        """Applies the message (str or bytes) if it can. False: nothing was done, the message needs the generic path."""
        cdef OrderTradeUpdate update
        cdef OrderReport report
        cdef Py_ssize_t number
        if not parse_order_trade_update(bytes_of(message), update):
            return False
        cdef string_view prefix = view_of(self.tracker.client_order_id_prefix)
        if update.client_order_id.substr(0, prefix.size()) != prefix:
            return False
        report.client_id = parse_number_id(update.client_order_id.substr(prefix.size()))
        number = -1 if report.client_id == kNoVenueId else self._number_of(update.symbol)
        if number < 0 or (update.is_fill and update.trade_id == 0):
            return False
        report.symbol = <uint32_t>number
        report.exchange_id = <VenueId>update.exchange_order_id
        report.state = update.state
        report.venue_ns = update.transaction_ms * 1_000_000
        report.price = update.price
        report.amount = update.amount
        report.executed = update.executed
        report.trade_id = <VenueId>update.trade_id if update.is_fill else kNoVenueId
        report.fill_price = update.fill_price
        report.fill_amount = update.fill_amount
        report.fee = update.fee
        report.fee_asset = update.fee_asset
        report.is_taker = not update.is_maker
        return c_process_report(self.tracker, report)

    cdef Py_ssize_t _number_of(self, string_view symbol) except -2:
        """The tracker's number of a symbol's trading pair; -1 if it has none."""
        cdef Py_ssize_t number = self._numbers.find(symbol)
        if number < 0:
            pair = self._pair_of(text_of(symbol))
            if pair is not None:
                number = self.tracker.c_symbol(pair)
                self._numbers.set(symbol, <size_t>number)
        return number
