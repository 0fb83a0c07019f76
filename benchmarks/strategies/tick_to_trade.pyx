"""Buys at every new best bid, in Cython: called inside the receive loop, without the GIL.

Compiled by the benchmark itself, as an author of a strategy would (examples/cython_strategy).
"""

from libc.stdint cimport int64_t, uint64_t

from qtxconn cimport (
    AnswerView,
    BookLevel,
    FeedHandler,
    FeedTrade,
    Fixed,
    L2Book,
    LatencyRecorder,
    OrderBook,
    OrderQueue,
    QueueStatus,
    Side,
    TextView,
    UdpFeed,
    format_fixed,
    from_increments,
    import_qtxconn,
    monotonic_ns,
    wall_ns,
)

import_qtxconn()

cdef enum:
    BUY = 1
    TYPE_IOC = 0


cdef class TickToTrade:
    """`feed` is subscribed to `book`, with driver="manual". With `stamped` two more readings of the clock per tick
    fill `receive_to_book` (kernel's stamp to decision) and `book_to_slot` (decision to published slot)."""

    cdef:
        UdpFeed _feed
        OrderBook _book
        OrderQueue _queue
        readonly LatencyRecorder receive_to_book
        readonly LatencyRecorder book_to_slot
        TextView _symbol
        TextView _size
        bint _stamped
        bint _done
        int64_t _last_price
        Fixed _tick

    def __init__(self, UdpFeed feed not None, OrderBook book not None, OrderQueue queue not None, bint stamped=False):
        self._feed = feed
        self._book = book
        self._queue = queue
        self._stamped = stamped
        self._tick = book.c_tick_size
        self._symbol.data, self._symbol.size = b"BTCUSDT", 7
        self._size.data, self._size.size = b"0.002", 5
        self.receive_to_book = LatencyRecorder("kernel -> book")
        self.book_to_slot = LatencyRecorder("book -> slot")
        cdef FeedHandler handler
        handler.context = <void*> self
        handler.on_book = on_book
        handler.on_trade = on_trade
        feed.c_set_handler(handler)
        feed.c_feed().set_delivery(False)  # nobody takes changes and trades from the feed

    def run(self, double seconds):
        """Trades until a trade comes, or `seconds` are over; -> whether a trade came. Releases the GIL for good."""
        cdef int64_t deadline_ns = monotonic_ns() + <int64_t> (seconds * 1e9)
        cdef AnswerView answer
        with nogil:
            while not self._done:
                if self._feed.c_poll(64) == 0 and monotonic_ns() > deadline_ns:
                    break
                while self._queue.c_take_any(answer) == QueueStatus.ok:
                    self._queue.c_release(answer)
        return self._done

    cdef void _decide(self, const L2Book* book, int64_t received_ns) noexcept nogil:
        cdef char text[32]
        cdef Fixed exact
        cdef TextView price
        if not book.valid():
            return
        cdef const BookLevel* bid = book.best(Side.bid)
        if bid.price == self._last_price:
            return
        cdef int64_t now_ns = wall_ns()
        self._last_price = bid.price
        from_increments(bid.price, self._tick, exact)
        price.data = text
        price.size = format_fixed(exact, text)
        self._queue.c_submit_place(
            book.last_update_id(), self._symbol, BUY, self._size, price, TYPE_IOC, <uint64_t> now_ns
        )
        if self._stamped:
            self.receive_to_book.c_record(now_ns - received_ns)
            self.book_to_slot.c_record(wall_ns() - now_ns)


cdef void on_book(void* context, int symbol, const L2Book* book, int64_t received_ns) noexcept nogil:
    (<TickToTrade> context)._decide(book, received_ns)


cdef void on_trade(void* context, const FeedTrade* trade) noexcept nogil:
    (<TickToTrade> context)._done = True
