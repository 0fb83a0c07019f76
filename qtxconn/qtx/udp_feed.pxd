# The QTX market-data feed for Cython: cimport UdpFeed and give it a FeedHandler.

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector

from qtxconn.core.clock cimport Clock
from qtxconn.core.fixed cimport Fixed
from qtxconn.core.l2_book cimport BookInvalid, L2Book
from qtxconn.perf.latency cimport LatencyHistogram
from qtxconn.qtx.order_queue cimport EventFd


cdef extern from "qtxconn/qtx_packet.hpp" namespace "qtxconn::qtx" nogil:
    cdef enum class HeaderLayout(uint8_t):
        sdk
        legacy

    cdef enum class Reject(uint8_t):
        none
        too_short
        bad_length
        bad_count
        unknown_type
        bad_number
        unknown_index
        off_grid
        stale
        unexpected_text

    cdef enum class MessageType(int32_t):
        ticker_bid
        ticker_ask
        depth
        trade_buy
        trade_sell

    cdef cppclass Level:
        double price
        double size

    cdef cppclass PacketView:
        PacketView() noexcept
        MessageType type
        int32_t index
        int64_t tx_ms
        int64_t event_ms
        int64_t local_ns
        int64_t sn_id
        size_t ask_count
        size_t bid_count
        Level level(size_t i) noexcept
        Level ask(size_t i) noexcept
        Level bid(size_t i) noexcept

    Reject c_parse_packet "qtxconn::qtx::parse_packet"(
        const uint8_t* data, size_t size, HeaderLayout layout, PacketView& view) noexcept


cdef extern from "qtxconn/qtx_feed.hpp" namespace "qtxconn::qtx" nogil:
    cdef enum class DepthSemantics(uint8_t):
        merge
        replace

    cdef enum class SequenceRule(uint8_t):
        contiguous
        monotonic

    cdef cppclass FeedOptions:
        FeedOptions() noexcept
        HeaderLayout header_layout
        DepthSemantics depth_semantics
        SequenceRule sequence_rule

    cdef cppclass FeedTrade:
        int symbol
        cbool is_buy            # the taker's side
        int64_t price           # ticks
        int64_t size            # lots
        int64_t event_ms        # exchange event time
        int64_t received_ns     # kernel receive time

    # Called inside the receive loop, without the GIL. It must not call the feed, nor take the GIL.
    cdef cppclass FeedHandler:
        FeedHandler() noexcept
        void* context
        void (*on_book)(void* context, int symbol, const L2Book* book, int64_t received_ns) noexcept nogil
        void (*on_trade)(void* context, const FeedTrade* trade) noexcept nogil

    cdef cppclass FeedSymbol:
        cbool seen_full
        cbool synchronised
        cbool dirty
        uint64_t message_count
        uint64_t lost_count
        uint64_t duplicate_count
        uint64_t reorder_count
        uint64_t undelivered_trades
        int64_t last_received_ns

    cdef cppclass FeedStatistics:
        uint64_t datagrams
        uint64_t bytes
        uint64_t messages
        uint64_t* rejects
        uint64_t lost
        uint64_t duplicates
        uint64_t reorders
        uint64_t kernel_drops
        uint64_t trades_dropped
        uint64_t texts_dropped
        uint64_t socket_errors
        int64_t last_received_ns

    cdef cppclass FeedText:
        int socket
        int symbol
        cbool bound
        size_t size
        const char* data

    cdef cppclass Feed:
        Feed(const FeedOptions& options) except +
        int open_socket(const char* ip, uint16_t port, int receive_buffer_bytes) except +
        void close_socket(int socket) except +
        int fd(int socket) noexcept
        int send_text(int socket, const char* text, size_t size) noexcept
        int add_symbol(L2Book* book, Fixed tick, Fixed lot) except +
        void expect_answer(int socket, const string& name, int symbol) except +
        void forget_answer(int socket, int symbol) except +
        void unbind(int symbol, BookInvalid reason) noexcept
        void set_handler(const FeedHandler& handler) noexcept
        int poll(int max_count) noexcept
        Reject apply(int socket, const uint8_t* bytes, size_t size, int64_t received_ns) noexcept
        cbool start_thread(int cpu, int64_t spin_ns, int64_t yield_ns) noexcept
        void stop_thread() noexcept
        EventFd& event() noexcept
        void take_changed(vector[int]& out) except +
        void take_trades(vector[FeedTrade]& out) except +
        void take_texts(vector[FeedText]& out) except +
        void count_reject(Reject reason) noexcept
        void set_delivery(cbool on) noexcept
        FeedStatistics statistics() noexcept
        FeedSymbol symbol(int number) noexcept
        void read_latency(LatencyHistogram& out) noexcept


cdef class UdpFeed:
    cdef:
        readonly str host
        readonly int port
        readonly str driver
        public object on_book           # (trading_pair: str) -> None, on the event loop's thread
        public object on_trade          # (trading_pair, price: Decimal, size: Decimal, is_buy: bool, time_s: float)
        unique_ptr[Feed] _feed
        int64_t _spin_ns
        int64_t _yield_ns
        Clock _clock
        object _loop                    # the running loop between start() and stop()
        object _housekeeping            # asyncio.Task
        str _ip
        bint _merge                     # depth_semantics
        int _receive_buffer_bytes
        int _symbols_per_socket
        int _cpu
        double _subscribe_timeout_s
        double _stale_after_s
        dict _subscriptions             # trading pair -> _Subscription
        list _by_number                 # symbol number -> _Subscription, for ever
        dict _sockets                   # socket number -> _Socket
        set _left                       # symbols that were unsubscribed, whose confirmations may come
        list _pings                     # asyncio.Future
        bint _dispatching
        vector[int] _changed
        vector[FeedTrade] _trades
        vector[FeedText] _texts
        double _message_rate
        uint64_t _rate_messages
        int64_t _rate_since_ns

    # For strategies in Cython and C++: valid while this object lives.
    cdef Feed* c_feed(self) noexcept nogil
    cdef int c_poll(self, int max_n) noexcept nogil
    cdef void c_set_handler(self, FeedHandler handler) noexcept

    cdef int _dispatch(self) except -1
    cdef int _call_back(self) except -1
    cdef int _dispatch_texts(self) except -1
