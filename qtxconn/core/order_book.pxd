# The order book as Python sees it, and what a Cython strategy uses of it: c_book() and the steps of its counts.
#
#     cdef L2Book* book = order_book.c_book()       # once; lives as long as the OrderBook
#     if book.valid() and book.best_ask_ticks() - book.best_bid_ticks() > 2: ...          # no GIL, about 1 ns
#     from_increments(book.best_bid_ticks(), order_book.c_tick_size, price)               # exact price, quote per base

from libc.stdint cimport int64_t, uint64_t
from libcpp.memory cimport unique_ptr
from libcpp.vector cimport vector

from qtxconn.core.clock cimport Clock
from qtxconn.core.fixed cimport Fixed
from qtxconn.core.l2_book cimport BookLevel, BookQuery, L2Book, Side


cdef struct ExactLevel:
    Fixed price        # quote per base
    Fixed size         # base asset


cdef class OrderBook:
    cdef readonly str trading_pair
    cdef readonly object tick_size     # Decimal or None, as told
    cdef readonly object lot_size      # Decimal or None, as told
    cdef unique_ptr[L2Book] _book
    cdef Clock _clock
    cdef Fixed c_tick_size             # what a count of one is worth: quote per base
    cdef Fixed c_lot_size              # base asset
    cdef double _tick_power            # 10^scale of the price step
    cdef bint _steps_fixed             # a writer counts by them: they stay
    cdef object __weakref__

    cdef L2Book* c_book(self) noexcept nogil
    cdef int c_fix_steps(self) except -1           # for a writer of counts: ConfigurationError if a step is unknown
    cdef object c_price(self, int64_t ticks)       # Decimal
    cdef object c_amount(self, int64_t lots)       # Decimal
    cdef int c_apply_levels(        # ticks and lots; 0 lots removes a level
        self, const BookLevel* bids, size_t bid_count, const BookLevel* asks, size_t ask_count, uint64_t update_id,
        int64_t timestamp_ns, bint snapshot
    ) except -1
    cdef double c_float_price(self, int64_t ticks) noexcept nogil
    # -- private ---------------------------------------------------------------------------------------------
    cdef bint _copy(self, Side side, Py_ssize_t depth, vector[BookLevel]& levels) noexcept
    cdef vector[BookLevel] _levels(self, Side side, Py_ssize_t depth) except *
    cdef list _entries(self, Side side, Py_ssize_t depth)
    cdef object _best(self, Side side, bint size)
    cdef Fixed _positive(self, object value, str what) except *
    cdef object _base(self, const BookQuery& query)
    cdef object _quote(self, const BookQuery& query)
    cdef tuple _take_volume(self, bint is_buy, object volume)
    cdef tuple _take_quote(self, bint is_buy, object quote)
    cdef BookQuery _take_price(self, bint is_buy, object price) except *
    cdef vector[ExactLevel] _read(self, object entries) except *
    cdef int _count(
        self, const vector[ExactLevel]& exact, vector[BookLevel]& counts, Fixed* tick, Fixed* lot
    ) except -1
    cdef int _refine(self, Fixed tick, Fixed lot) except -1
    cdef int _apply(self, object bids, object asks, object update_id, int64_t timestamp_ns, bint snapshot) except -1
