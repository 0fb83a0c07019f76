"""Buys at every new best bid, in Cython: called inside the receive loop, without the GIL.

Compiled by the benchmark itself, as an author of a strategy would (examples/cython_strategy).
"""

from libc.stdint cimport int64_t, uint64_t

from qtxconn cimport (
    AnswerView,
    BookLevel,
    FeedTrade,
    Fixed,
    L2Book,
    LatencyRecorder,
    OrderQueue,
    QueueStatus,
    Side,
    Strategy,
    TextView,
    UdpFeed,
    fixed_from,
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


cdef class TickToTrade(Strategy):
    """With `stamped` two more readings of the clock per tick fill `receive_to_book` (kernel's stamp to decision) and
    `book_to_slot` (decision to published slot)."""

    cdef:
        OrderQueue _queue
        readonly LatencyRecorder receive_to_book
        readonly LatencyRecorder book_to_slot
        TextView _symbol
        TextView _size
        bint _stamped
        bint _done
        int64_t _last_price
        Fixed _tick

    def __init__(self, OrderQueue queue not None, str tick_size not None, bint stamped=False):
        self._queue = queue
        self._stamped = stamped
        self._tick = fixed_from(tick_size)
        self._symbol.data, self._symbol.size = b"BTCUSDT", 7
        self._size.data, self._size.size = b"0.002", 5
        self.receive_to_book = LatencyRecorder("kernel -> book")
        self.book_to_slot = LatencyRecorder("book -> slot")

    def run(self, UdpFeed feed not None, double seconds):
        """Trades until a trade comes, or `seconds` are over; -> whether a trade came. Releases the GIL for good.

        `feed` has driver="manual" and this strategy.
        """
        cdef int64_t deadline_ns = monotonic_ns() + <int64_t> (seconds * 1e9)
        cdef AnswerView answer
        feed.c_feed().set_delivery(False)  # nobody takes changes and trades from the feed
        with nogil:
            while not self._done:
                if feed.c_poll(64) == 0 and monotonic_ns() > deadline_ns:
                    break
                while self._queue.c_take_any(answer) == QueueStatus.ok:
                    self._queue.c_release(answer)
        return self._done

    cdef void c_on_book(self, int symbol, const L2Book* book, int64_t received_ns) noexcept nogil:
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

    cdef void c_on_trade(self, const FeedTrade* trade) noexcept nogil:
        self._done = True
