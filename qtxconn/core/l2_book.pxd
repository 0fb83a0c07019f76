# The L2 book in C++ (include/qtxconn/l2_book.hpp) and what a taker would get from it (book_query.hpp).

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libcpp cimport bool as cbool


cdef extern from "qtxconn/sequence_lock.hpp" namespace "qtxconn" nogil:
    cdef cppclass SequenceLock:
        void lock() noexcept
        cbool try_lock() noexcept
        void unlock() noexcept
        uint64_t sequence() noexcept


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

    cdef cppclass BookLayout:      # byte offsets in a book
        size_t sequence, bid_price, bid_size, ask_price, ask_size
        size_t last_update_id, revision, last_update_ns, valid_since_ns, invalid

    cdef cppclass L2Book:
        L2Book() except +
        SequenceLock lock          # held around reads and whole messages, if threads share the book

        # writing: the levels of one message, then commit
        void begin_snapshot() noexcept
        void set_level(Side side, int64_t price, int64_t size) except +
        void set_levels(Side side, const BookLevel* levels, size_t count) except +    # fast where the best comes first
        cbool set_top(Side side, int64_t price, int64_t size, int64_t event_ms) except +
        void settle_depth(int64_t event_ms) except +
        void set_trade(LastTrade trade) noexcept
        void commit(uint64_t update_id, int64_t now_ns) noexcept
        void invalidate(BookInvalid reason, int64_t now_ns) noexcept
        cbool rescale(int64_t price_factor, int64_t size_factor) noexcept

        # reading
        cbool valid() noexcept
        BookInvalid invalid_reason() noexcept
        int64_t valid_since_ns() noexcept
        uint64_t last_update_id() noexcept
        int64_t last_update_ns() noexcept
        uint64_t revision() noexcept           # grows with every message
        uint64_t dropped_levels() noexcept
        const LastTrade& last_trade() noexcept
        int64_t best_bid_ticks() noexcept      # these four: inline, one load each; lots 0: the side is empty
        int64_t best_bid_lots() noexcept
        int64_t best_ask_ticks() noexcept
        int64_t best_ask_lots() noexcept
        const BookLevel* best(Side side) noexcept                  # or NULL
        size_t depth(Side side) noexcept
        int64_t size_at(Side side, int64_t price) noexcept         # 0: no level
        size_t copy_levels(Side side, BookLevel* out, size_t count) noexcept   # best first -> how many
        BookLayout layout() noexcept


cdef extern from "qtxconn/book_query.hpp" namespace "qtxconn" nogil:
    cdef cppclass int128:
        pass

    cdef cppclass BookQuery:
        int128 lots
        int128 tick_lots
        int64_t price      # ticks
        int64_t size       # lots
        cbool complete
        cbool overflow

    BookQuery take_lots(const L2Book& book, Side side, int128 wanted) noexcept
    BookQuery take_quote(const L2Book& book, Side side, int128 wanted) noexcept
    BookQuery take_to_price(const L2Book& book, Side side, int64_t limit) noexcept
    int128 join_int128(int64_t high, uint64_t low) noexcept
    int64_t high_half(int128 value) noexcept
    uint64_t low_half(int128 value) noexcept
