# The feed in C++ (include/qtxconn/qtx_packet.hpp, qtx_feed.hpp, qtx_liveness.hpp).

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.vector cimport vector

from qtxconn.core.fixed cimport Fixed
from qtxconn.core.l2_book cimport BookInvalid, BookLevel, L2Book
from qtxconn.perf.latency cimport LatencyHistogram
from qtxconn.qtx.order_queue cimport EventFd
from qtxconn.qtx.strategy cimport FeedHandler, FeedTrade


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
        text
        held

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


cdef extern from "qtxconn/single_writer.hpp" namespace "qtxconn" nogil:
    cdef cppclass Shared[T]:
        T get() noexcept
        void set(T value) noexcept


cdef extern from "qtxconn/qtx_symbol.hpp" namespace "qtxconn::qtx" nogil:
    cdef enum class SequenceRule(uint8_t):
        contiguous
        monotonic

    cdef cppclass FeedSymbol:
        Shared[int64_t] received_ns
        Shared[cbool] seen_full
        Shared[cbool] synchronised
        Shared[cbool] wants_diffs
        Shared[cbool] missed_diffs
        Shared[uint64_t] lost
        Shared[uint64_t] duplicates
        Shared[uint64_t] reorders
        Shared[uint64_t] queued
        Shared[uint64_t] taken


cdef extern from "qtxconn/qtx_decoder.hpp" namespace "qtxconn::qtx" nogil:
    cdef enum class DepthSemantics(uint8_t):
        merge
        replace

    cdef cppclass FeedOptions:
        FeedOptions() noexcept
        HeaderLayout header_layout
        DepthSemantics depth_semantics

    cdef enum class NewsKind "qtxconn::qtx::FeedNews::Kind"(uint8_t):
        trade
        diff

    cdef cppclass FeedNews:
        NewsKind kind
        cbool whole
        FeedTrade trade
        int symbol
        uint32_t ask_count
        uint32_t bid_count
        int64_t sn_id
        int64_t event_ms
        int64_t received_ns
        const BookLevel* levels() noexcept

    cdef cppclass FeedDecoder:
        cbool is_changed(int number) noexcept
        size_t symbol_count() noexcept


cdef extern from "qtxconn/qtx_feed.hpp" namespace "qtxconn::qtx" nogil:
    cdef cppclass FeedStatistics:
        uint64_t datagrams
        uint64_t bytes
        uint64_t messages
        uint64_t* rejects
        uint64_t lost
        uint64_t duplicates
        uint64_t reorders
        uint64_t kernel_drops
        uint64_t foreign
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

    # Those that may have to wait for the thread that receives are called without the GIL: its strategy may want it.
    cdef cppclass Feed:
        Feed(const FeedOptions& options) except +
        int open_socket(const char* ip, uint16_t port, int receive_buffer_bytes) except +
        int open_multicast(
            const char* group, uint16_t port, const char* interface_ip, const char* source_ip,
            int receive_buffer_bytes) except +
        void close_socket(int socket) except +
        int send_text(int socket, const char* text, size_t size) noexcept
        int add_symbol(L2Book* book, Fixed tick, Fixed lot, SequenceRule rule) except +
        void expect_answer(int socket, const string& name, int symbol, int data_socket) except +
        void forget_answer(int socket, int symbol) except +
        void unbind(int symbol, BookInvalid reason) noexcept
        void set_handler(const FeedHandler& handler) noexcept
        void set_delivery(cbool on) noexcept
        void set_blocking(cbool on) noexcept
        int poll(int max_count) noexcept
        Reject apply(int socket, const uint8_t* bytes, size_t size, int64_t received_ns) noexcept
        cbool start_thread(int cpu, int64_t spin_ns, int64_t yield_ns) noexcept
        void stop_thread() noexcept
        int fd() noexcept
        EventFd& event() noexcept
        FeedDecoder& decoder() noexcept
        FeedSymbol& symbol(int number) noexcept
        const FeedNews* next_news() noexcept
        void pop_news() noexcept
        const FeedText* next_text() noexcept
        void pop_text() noexcept
        void take_changed(vector[int]& out) except +
        void count_reject(Reject reason) noexcept
        FeedStatistics statistics() noexcept
        void read_latency(LatencyHistogram& out) noexcept


cdef extern from "qtxconn/qtx_liveness.hpp" namespace "qtxconn::qtx" nogil:
    cdef enum class SymbolState(uint8_t):
        unsubscribed
        live
        stale
        dead

    cdef enum class Trouble(uint8_t):
        silence
        noise
        quiet
        no_full_depth
        loss

    cdef cppclass SymbolTrouble:
        int symbol
        Trouble trouble

    cdef cppclass LivenessLimits:
        int64_t stale_ns
        int64_t dead_ns
        int64_t full_depth_ns
        cbool heals_itself

    cdef cppclass Liveness:
        Liveness(const LivenessLimits& limits) except +
        void subscribed(const Feed& feed, int symbol, int socket, int64_t now_ns) except +
        void unsubscribed(int symbol) noexcept
        void look(Feed& feed, int64_t now_ns, vector[SymbolTrouble]& out) except +
        SymbolState state(int symbol) noexcept
