# The order book as Python sees it: exact Decimals over the C++ book.

from libc.stdint cimport int64_t, uint64_t
from libcpp.memory cimport unique_ptr
from libcpp.vector cimport vector

from qtxconn.core.clock cimport Clock
from qtxconn.core.fixed cimport Fixed, Rounding
from qtxconn.core.l2_book cimport BookLevel, L2Book, Side


cdef class OrderBook:
    cdef readonly str trading_pair
    cdef unique_ptr[L2Book] _book
    cdef Clock _clock
    cdef Fixed c_tick_size        # quote per base
    cdef Fixed c_lot_size         # base asset
    cdef object __weakref__

    cdef L2Book* c_book(self) noexcept nogil
    cdef object c_price(self, int64_t ticks)       # Decimal
    cdef object c_amount(self, int64_t lots)       # Decimal
    cdef int c_apply_levels(        # ticks and lots; 0 lots removes a level
        self, const BookLevel* bids, size_t bid_count, const BookLevel* asks, size_t ask_count, uint64_t update_id,
        int64_t timestamp_ns, bint snapshot
    ) except -1
    # -- private ---------------------------------------------------------------------------------------------
    cdef vector[BookLevel] _levels(self, Side side, Py_ssize_t depth) except *
    cdef list _entries(self, Side side, Py_ssize_t depth)
    cdef tuple _take(self, bint is_buy, object volume)
    cdef object _best(self, Side side, bint size)
    cdef int64_t _count(self, object value, Fixed increment, str what) except? -1
    cdef int _apply(self, object bids, object asks, object update_id, int64_t timestamp_ns, bint snapshot) except -1
