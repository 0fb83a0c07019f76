# What a strategy inside the receive loop needs: subclass Strategy and override c_on_book and c_on_trade, or give the feed
# a FeedHandler of C functions (UdpFeed.c_set_handler). The same in C++: include/qtxconn/qtx_strategy.hpp.
#
#     from qtxconn cimport FeedTrade, L2Book, Strategy
#
#     cdef class Taker(Strategy):
#         cdef void c_on_book(self, int symbol, const L2Book* book, int64_t received_ns) noexcept nogil: ...

from libc.stdint cimport int64_t
from libcpp cimport bool as cbool

from qtxconn.core.l2_book cimport L2Book
from qtxconn.core.order_book cimport OrderBook


cdef extern from "qtxconn/qtx_strategy.hpp" namespace "qtxconn::qtx" nogil:
    cdef cppclass FeedTrade:
        int symbol              # UdpFeed.symbol_number(trading_pair)
        cbool is_buy            # the taker's side
        int64_t price           # ticks
        int64_t size            # lots
        int64_t event_ms        # exchange event time
        int64_t received_ns     # kernel receive time, wall clock

    # Called by the thread that receives, without the GIL, between a datagram and the next, and by no two threads at a
    # time. The book may be read without its lock, orders submitted and the feed called; the GIL may be taken.
    # received_ns is 0 where a book has become invalid without a message: ask book.valid() before trusting it.
    cdef cppclass FeedHandler:
        FeedHandler() noexcept
        void* context
        void (*on_book)(void* context, int symbol, const L2Book* book, int64_t received_ns) noexcept nogil
        void (*on_trade)(void* context, const FeedTrade* trade) noexcept nogil


cdef class Strategy:
    cdef list _books                # OrderBook by symbol number
    cdef bint _wants_book           # a Python subclass overrides on_book
    cdef bint _wants_trade          # ... on_trade

    # Override these in Cython.
    cdef void c_on_book(self, int symbol, const L2Book* book, int64_t received_ns) noexcept nogil
    cdef void c_on_trade(self, const FeedTrade* trade) noexcept nogil

    # -- for the feed --
    cdef FeedHandler c_handler(self) noexcept
    cdef int c_add_book(self, int symbol, OrderBook book) except -1
