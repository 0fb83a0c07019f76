# The L2 book in C++ (include/qtxconn/l2_book.hpp).

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libcpp cimport bool as cbool


cdef extern from "qtxconn/spin_lock.hpp" namespace "qtxconn" nogil:
    cdef cppclass SpinLock:
        void lock() noexcept
        cbool try_lock() noexcept
        void unlock() noexcept


cdef extern from "qtxconn/enums.hpp" namespace "qtxconn" nogil:
    cdef enum class Side(uint8_t):
        bid
        ask


cdef extern from "qtxconn/l2_book.hpp" namespace "qtxconn" nogil:
    cdef cppclass BookLevel:
        int64_t price      # ticks
        int64_t size       # lots

    cdef enum class BookInvalid(uint8_t):
        none
        empty
        crossed
        gap
        disconnected

    cdef cppclass LastTrade:
        int64_t price      # ticks
        int64_t size       # lots
        int64_t time_ns
        Side taker_side

    cdef cppclass L2Book:
        L2Book() except +
        SpinLock lock
        void begin_snapshot() noexcept
        void set_level(Side side, int64_t price, int64_t size) except +
        void set_top(Side side, int64_t price, int64_t size) except +
        void set_trade(LastTrade trade) noexcept
        void commit(uint64_t update_id, int64_t now_ns) noexcept
        void invalidate(BookInvalid reason, int64_t now_ns) noexcept
        cbool valid() noexcept
        BookInvalid invalid_reason() noexcept
        int64_t valid_since_ns() noexcept
        uint64_t last_update_id() noexcept
        int64_t last_update_ns() noexcept
        uint64_t revision() noexcept
        uint64_t dropped_levels() noexcept
        const LastTrade& last_trade() noexcept
        size_t depth(Side side) noexcept
        const BookLevel* level(Side side, size_t i) noexcept
        const BookLevel* best(Side side) noexcept
