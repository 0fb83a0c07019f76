// The receiving half of the QTX market-data feed: datagrams to books and trades, by poll or by a thread of its own.
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "qtxconn/clock.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/l2_book.hpp"
#include "qtxconn/latency_histogram.hpp"
#include "qtxconn/qtx_packet.hpp"
#include "qtxconn/qtx_segment.hpp"
#include "qtxconn/qtx_watcher.hpp"

namespace qtxconn::qtx {

enum class DepthSemantics : std::uint8_t {
    merge = 0,    // the first depth message makes the book, later ones set the levels they carry
    replace = 1,  // every depth message is the whole book
};

enum class SequenceRule : std::uint8_t {
    contiguous = 0,  // sn_id grows by one: a jump is a loss
    monotonic = 1,   // sn_id grows: only the order can be checked
};

struct FeedOptions {
    HeaderLayout header_layout = HeaderLayout::sdk;
    DepthSemantics depth_semantics = DepthSemantics::merge;
    SequenceRule sequence_rule = SequenceRule::contiguous;
};

struct FeedTrade {
    int symbol = -1;
    bool is_buy = false;           // the taker's side
    std::int64_t price = 0;        // ticks
    std::int64_t size = 0;         // lots
    std::int64_t event_ms = 0;     // exchange event time
    std::int64_t received_ns = 0;  // kernel receive time, wall clock
};

// What a strategy gives to be called inside the receive loop: without the GIL, in the thread that polls. It may read
// the book without its lock and submit orders. The feed's mutex is held meanwhile: it must not call the feed, nor wait
// for the GIL, whose holder may be waiting for that mutex.
struct FeedHandler {
    void* context = nullptr;
    void (*on_book)(void* context, int symbol, const L2Book* book, std::int64_t received_ns) = nullptr;
    void (*on_trade)(void* context, const FeedTrade* trade) = nullptr;
};

// Doubles to whole increments of a decimal grid: to the nearest, and only if it is near.
class Grid {
public:
    explicit Grid(Fixed increment) noexcept : per_unit_(1.0 / to_double(increment)) {
        // 1 / 0.1 must be 10, not 10.000000000000002: take the exact quotient where there is one.
        const std::int64_t power = qtxconn::detail::kPow10[increment.scale];
        if (increment.units > 0 && power % increment.units == 0) {
            per_unit_ = static_cast<double>(power / increment.units);
        }
    }

    // False: off the grid, or too many increments for a double to tell apart. `value` is sane (see parse_packet).
    bool count(double value, std::int64_t& out) const noexcept {
        const double exact = value * per_unit_;
        if (!(exact <= kCountMax)) {
            return false;
        }
        out = static_cast<std::int64_t>(exact + 0.5);
        const double off = exact - static_cast<double>(out);
        const double tolerance = kTolerance + exact * kRelativeError;
        return off <= tolerance && off >= -tolerance;
    }

private:
    static constexpr double kCountMax = 1e14;
    static constexpr double kTolerance = 1e-4;       // of an increment: noise of a sender that computes in doubles
    static constexpr double kRelativeError = 1e-15;  // of the doubles themselves
    double per_unit_;
};

// One symbol and its book. The feed writes the book; the book belongs to the caller and outlives the feed.
struct FeedSymbol {
    FeedSymbol(int number_, L2Book* book_, Fixed tick, Fixed lot) noexcept
        : number(number_), book(book_), ticks(tick), lots(lot) {}

    int number;
    L2Book* book;
    Grid ticks;
    Grid lots;
    bool seen_full = false;        // this subscription's first depth message has come
    bool synchronised = false;     // ... and nothing was lost since
    bool dirty = false;            // in Feed's list of changed books
    std::int64_t last_sn[5] = {};  // by stream; meaningful where seen[] is set
    bool seen[5] = {};
    std::uint64_t message_count = 0;
    std::uint64_t lost_count = 0;       // messages missing in the sequence
    std::uint64_t duplicate_count = 0;  // repeats of the newest
    std::uint64_t reorder_count = 0;    // steps back
    std::uint64_t undelivered_trades = 0;
    std::int64_t last_received_ns = 0;
};

struct FeedStatistics {
    std::uint64_t datagrams = 0;
    std::uint64_t bytes = 0;
    std::uint64_t messages = 0;  // applied
    std::uint64_t rejects[kRejectCount] = {};
    std::uint64_t lost = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t reorders = 0;
    std::uint64_t kernel_drops = 0;
    std::uint64_t trades_dropped = 0;  // not delivered to the event loop: its queue was full
    std::uint64_t texts_dropped = 0;
    std::uint64_t socket_errors = 0;  // for example: nobody listens at the server's port
    std::int64_t last_received_ns = 0;
};

struct FeedText {
    static constexpr std::size_t kSizeMax = 128;  // index, colon and a symbol of at most 64 bytes
    int socket = -1;
    int symbol = -1;     // whose subscription this confirms
    bool bound = false;  // ... and its index could be taken
    std::size_t size = 0;
    char data[kSizeMax] = {};
};

// One connected UDP socket: the kernel drops what does not come from the server's address. An index means one symbol
// for the socket's whole life, so a datagram that is late can never reach another symbol's book: a socket on which a
// symbol was given up takes no new one (see Feed::open_socket and UdpFeed).
struct FeedSocket {
    explicit FeedSocket(int fd_) noexcept : fd(fd_) {}
    FeedSocket(const FeedSocket&) = delete;
    FeedSocket& operator=(const FeedSocket&) = delete;
    ~FeedSocket() { ::close(fd); }

    int fd;
    std::uint32_t kernel_drops = 0;
    std::vector<FeedSymbol*> by_index;  // null: not, or no longer, subscribed here
};

// Sockets, symbols and what was received for them. poll() may run in one thread while others subscribe and read: the
// tables are guarded by one mutex, each book by its own lock.
class Feed {
public:
    static constexpr std::int32_t kIndexMax = 1 << 20;
    static constexpr std::size_t kBatch = 32;  // datagrams a system call
    static constexpr std::size_t kTradesMax = 16384;
    static constexpr std::size_t kTextsMax = 256;
    static constexpr int kBlockMs = 10;

    explicit Feed(const FeedOptions& options) : options_(options) {
        buffers_ = std::make_unique<std::uint8_t[]>(kBatch * kDatagramSizeMax);
        scratch_.resize(kLevelsMax);
        trades_.reserve(kTradesMax);
        texts_.reserve(kTextsMax);
    }

    Feed(const Feed&) = delete;
    Feed& operator=(const Feed&) = delete;
    ~Feed() { stop_thread(); }

    // -- set-up: any thread but the handler's ----------------------------------------------------------------------

    // Opens a socket connected to an IPv4 address; its number, or -errno.
    int open_socket(const char* ip, std::uint16_t port, int receive_buffer_bytes) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        if (inet_pton(AF_INET, ip, &address.sin_addr) != 1) {
            return -EINVAL;
        }
        const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            return -errno;
        }
        auto made = std::make_unique<FeedSocket>(fd);
        const int on = 1;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
        if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            return -errno;
        }
        const std::lock_guard<std::mutex> guard(mutex_);
        for (std::size_t i = 0; i < sockets_.size(); ++i) {
            if (sockets_[i] == nullptr) {
                sockets_[i] = std::move(made);
                return static_cast<int>(i);
            }
        }
        sockets_.push_back(std::move(made));
        waiting_.resize(sockets_.size());
        return static_cast<int>(sockets_.size() - 1);
    }

    void close_socket(int socket) {
        const std::lock_guard<std::mutex> guard(mutex_);
        sockets_[static_cast<std::size_t>(socket)].reset();
        const auto is_gone = [socket](const auto& entry) { return entry.socket == socket; };
        texts_.erase(std::remove_if(texts_.begin(), texts_.end(), is_gone), texts_.end());
        expected_.erase(std::remove_if(expected_.begin(), expected_.end(), is_gone), expected_.end());
    }

    int fd(int socket) const {
        const std::lock_guard<std::mutex> guard(mutex_);
        return sockets_[static_cast<std::size_t>(socket)]->fd;
    }

    // Sends a request; 0 or errno.
    int send_text(int socket, const char* text, std::size_t size) {
        return send(fd(socket), text, size, MSG_NOSIGNAL) < 0 ? errno : 0;
    }

    // Numbers grow from 0 and are not used again.
    int add_symbol(L2Book* book, Fixed tick, Fixed lot) {
        const std::lock_guard<std::mutex> guard(mutex_);
        const auto number = static_cast<int>(symbols_.size());
        symbols_.push_back(std::make_unique<FeedSymbol>(number, book, tick, lot));
        changed_.reserve(symbols_.size());
        desynchronise(*symbols_.back(), BookInvalid::disconnected, wall_ns());
        return number;
    }

    // When `socket` receives "INDEX:name", data with that index is for `symbol`. Bound by the receive loop itself: the
    // first depth message may come in the same batch as the answer.
    void expect_answer(int socket, const std::string& name, int symbol) {
        const std::lock_guard<std::mutex> guard(mutex_);
        expected_.push_back({socket, symbol, name});
    }

    void forget_answer(int socket, int symbol) {
        const std::lock_guard<std::mutex> guard(mutex_);
        const auto is_it = [=](const Expected& entry) { return entry.socket == socket && entry.symbol == symbol; };
        expected_.erase(std::remove_if(expected_.begin(), expected_.end(), is_it), expected_.end());
    }

    // No data reaches the symbol from now on; its book is invalid until a new subscription has brought a full depth.
    void unbind(int symbol, BookInvalid reason) {
        const std::lock_guard<std::mutex> guard(mutex_);
        FeedSymbol* gone = symbols_[static_cast<std::size_t>(symbol)].get();
        for (auto& socket : sockets_) {
            if (socket != nullptr) {
                for (FeedSymbol*& bound : socket->by_index) {
                    bound = bound == gone ? nullptr : bound;
                }
            }
        }
        desynchronise(*gone, reason, wall_ns());
    }

    void set_handler(const FeedHandler& handler) {
        const std::lock_guard<std::mutex> guard(mutex_);
        handler_ = handler;
    }

    // -- receiving: one thread at a time ---------------------------------------------------------------------------

    // Receives and applies up to about `max_count` datagrams that are there; how many. Never blocks.
    int poll(int max_count) noexcept {
        int done = 0;
        const std::lock_guard<std::mutex> guard(mutex_);
        for (std::size_t i = 0; i < sockets_.size() && done < max_count; ++i) {
            if (sockets_[i] != nullptr) {
                done += poll_locked(static_cast<int>(i), *sockets_[i], max_count - done);
            }
        }
        return done;
    }

    // Applies one datagram as if it had been received; for replays, simulations and benchmarks.
    Reject apply(int socket, const std::uint8_t* bytes, std::size_t size, std::int64_t received_ns) noexcept {
        const std::lock_guard<std::mutex> guard(mutex_);
        return apply_locked(socket, *sockets_[static_cast<std::size_t>(socket)], bytes, size, received_ns);
    }

    // Polls without end in a thread of its own, on `cpu` if that is not negative. When nothing comes it spins for
    // `spin_ns`, yields for `yield_ns`, then blocks until data comes. The event tells the event loop of news.
    bool start_thread(int cpu, std::int64_t spin_ns, std::int64_t yield_ns) noexcept {
        if (thread_.joinable()) {
            return true;
        }
        stopping_.store(false, std::memory_order_relaxed);
        notify_ = true;
        return qtx::start_thread(thread_, [this, cpu, spin_ns, yield_ns] { run(cpu, spin_ns, yield_ns); });
    }

    void stop_thread() noexcept {
        if (thread_.joinable()) {
            stopping_.store(true, std::memory_order_relaxed);
            thread_.join();
            notify_ = false;
        }
    }

    // -- reading: any thread -----------------------------------------------------------------------------------------

    EventFd& event() noexcept { return event_; }

    // Each moves what has come since the last call to the end of `out`.
    void take_changed(std::vector<int>& out) {
        const std::lock_guard<std::mutex> guard(mutex_);
        for (const int number : changed_) {
            symbols_[static_cast<std::size_t>(number)]->dirty = false;
        }
        out.insert(out.end(), changed_.begin(), changed_.end());
        changed_.clear();
    }

    void take_trades(std::vector<FeedTrade>& out) {
        const std::lock_guard<std::mutex> guard(mutex_);
        for (const FeedTrade& trade : trades_) {
            symbols_[static_cast<std::size_t>(trade.symbol)]->undelivered_trades = 0;
        }
        out.insert(out.end(), trades_.begin(), trades_.end());
        trades_.clear();
    }

    void take_texts(std::vector<FeedText>& out) {
        const std::lock_guard<std::mutex> guard(mutex_);
        out.insert(out.end(), texts_.begin(), texts_.end());
        texts_.clear();
    }

    void count_reject(Reject reason) {
        const std::lock_guard<std::mutex> guard(mutex_);
        ++statistics_.rejects[static_cast<std::size_t>(reason)];
    }

    // Whether trades and changed books are kept for the event loop. Off: only the handler and the books see them.
    void set_delivery(bool on) {
        const std::lock_guard<std::mutex> guard(mutex_);
        delivery_ = on;
    }

    FeedStatistics statistics() const {
        const std::lock_guard<std::mutex> guard(mutex_);
        return statistics_;
    }

    FeedSymbol symbol(int number) const {
        const std::lock_guard<std::mutex> guard(mutex_);
        return *symbols_[static_cast<std::size_t>(number)];
    }

    // Adds the durations from kernel receive time to applied book to `out`.
    void read_latency(LatencyHistogram& out) const noexcept {
        const std::lock_guard<std::mutex> guard(mutex_);
        out.merge(latency_);
    }

private:
    struct Expected {
        int socket;
        int symbol;
        std::string name;
    };

    struct LevelCount {
        std::int64_t price;  // ticks
        std::int64_t size;   // lots
    };

    static std::size_t stream_of(MessageType type) noexcept {
        switch (type) {
            case MessageType::ticker_bid: return 0;
            case MessageType::ticker_ask: return 1;
            case MessageType::depth: return 2;
            case MessageType::trade_buy: return 3;
            case MessageType::trade_sell: return 4;
        }
        return 2;
    }

    void run(int cpu, std::int64_t spin_ns, std::int64_t yield_ns) noexcept {
        if (cpu >= 0) {
            cpu_set_t cpus;
            CPU_ZERO(&cpus);
            CPU_SET(static_cast<std::size_t>(cpu), &cpus);
            sched_setaffinity(0, sizeof cpus, &cpus);
        }
        std::int64_t idle_since_ns = monotonic_ns();
        while (!stopping_.load(std::memory_order_relaxed)) {
            if (poll(static_cast<int>(kBatch)) > 0) {
                idle_since_ns = 0;
                continue;
            }
            const std::int64_t now_ns = monotonic_ns();
            if (idle_since_ns == 0) {
                idle_since_ns = now_ns;
            }
            if (now_ns - idle_since_ns < spin_ns) {
                detail::cpu_relax();
            } else if (now_ns - idle_since_ns - spin_ns < yield_ns) {
                sched_yield();
            } else {
                block();
                idle_since_ns = 0;
            }
        }
    }

    // Until some socket has data. New sockets and the end of the thread are seen after kBlockMs at the latest.
    void block() noexcept {
        nfds_t count = 0;
        {
            const std::lock_guard<std::mutex> guard(mutex_);
            for (const auto& socket : sockets_) {
                if (socket != nullptr) {
                    waiting_[count++] = {socket->fd, POLLIN, 0};
                }
            }
        }
        ::poll(waiting_.data(), count, kBlockMs);
    }

    int poll_locked(int number, FeedSocket& socket, int max_count) noexcept {
        constexpr std::size_t kControlSize =
            CMSG_SPACE(sizeof(timespec)) + CMSG_SPACE(sizeof(std::uint32_t)) + CMSG_SPACE(sizeof(int));
        alignas(cmsghdr) char control[kBatch][kControlSize];
        mmsghdr messages[kBatch];
        iovec parts[kBatch];
        int done = 0;
        while (done < max_count) {
            const auto wanted = static_cast<std::size_t>(max_count - done) < kBatch
                                    ? static_cast<std::size_t>(max_count - done)
                                    : kBatch;
            for (std::size_t i = 0; i < wanted; ++i) {
                parts[i] = {buffers_.get() + i * kDatagramSizeMax, kDatagramSizeMax};
                messages[i].msg_hdr = msghdr{};
                messages[i].msg_hdr.msg_iov = &parts[i];
                messages[i].msg_hdr.msg_iovlen = 1;
                messages[i].msg_hdr.msg_control = control[i];
                messages[i].msg_hdr.msg_controllen = kControlSize;
            }
            const int got = recvmmsg(socket.fd, messages, static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
            if (got <= 0) {
                if (got < 0 && errno != EAGAIN && errno != EINTR) {
                    ++statistics_.socket_errors;  // reading it has cleared it
                }
                break;
            }
            for (int i = 0; i < got; ++i) {
                const std::int64_t received_ns = read_control(socket, messages[i].msg_hdr);
                apply_locked(number, socket, static_cast<std::uint8_t*>(parts[i].iov_base), messages[i].msg_len,
                             received_ns);
            }
            done += got;
            if (static_cast<std::size_t>(got) < wanted) {
                break;
            }
        }
        return done;
    }

    // The kernel's receive time, or now; takes note of datagrams the kernel had to drop on this socket.
    std::int64_t read_control(FeedSocket& socket, msghdr& header) noexcept {
        std::int64_t received_ns = 0;
        for (cmsghdr* item = CMSG_FIRSTHDR(&header); item != nullptr; item = CMSG_NXTHDR(&header, item)) {
            if (item->cmsg_level != SOL_SOCKET) {
                continue;
            }
            if (item->cmsg_type == SCM_TIMESTAMPNS) {
                timespec stamp{};
                std::memcpy(&stamp, CMSG_DATA(item), sizeof stamp);
                received_ns = static_cast<std::int64_t>(stamp.tv_sec) * kNsPerSecond + stamp.tv_nsec;
            } else if (item->cmsg_type == SO_RXQ_OVFL) {
                std::uint32_t drops = 0;
                std::memcpy(&drops, CMSG_DATA(item), sizeof drops);
                if (drops != socket.kernel_drops) {
                    on_kernel_drop(socket, drops - socket.kernel_drops);
                    socket.kernel_drops = drops;
                }
            }
        }
        return received_ns != 0 ? received_ns : wall_ns();
    }

    // Where the sequence cannot show what was lost, every book of the socket may lack something.
    void on_kernel_drop(FeedSocket& socket, std::uint32_t count) noexcept {
        statistics_.kernel_drops += count;
        if (options_.sequence_rule == SequenceRule::monotonic) {
            for (FeedSymbol* symbol : socket.by_index) {
                if (symbol != nullptr) {
                    desynchronise(*symbol, BookInvalid::gap, wall_ns());
                }
            }
        }
    }

    Reject reject(Reject reason) noexcept {
        ++statistics_.rejects[static_cast<std::size_t>(reason)];
        return reason;
    }

    Reject apply_locked(int number, FeedSocket& socket, const std::uint8_t* bytes, std::size_t size,
                        std::int64_t received_ns) noexcept {
        ++statistics_.datagrams;
        statistics_.bytes += size;
        statistics_.last_received_ns = received_ns;
        PacketView packet;
        const Reject malformed = parse_packet(bytes, size, options_.header_layout, packet);
        if (malformed != Reject::none) {
            const bool no_data = malformed == Reject::too_short || malformed == Reject::unknown_type;
            return no_data && keep_text(number, bytes, size) ? Reject::none : reject(malformed);
        }
        if (packet.index < 0 || static_cast<std::size_t>(packet.index) >= socket.by_index.size() ||
            socket.by_index[static_cast<std::size_t>(packet.index)] == nullptr) {
            return reject(Reject::unknown_index);
        }
        FeedSymbol& symbol = *socket.by_index[static_cast<std::size_t>(packet.index)];
        if (!in_sequence(symbol, packet)) {
            return reject(Reject::stale);
        }
        symbol.last_received_ns = received_ns;
        const bool applied = apply_packet(symbol, packet, received_ns);
        if (!applied) {
            if (packet.type != MessageType::trade_buy && packet.type != MessageType::trade_sell) {
                desynchronise(symbol, BookInvalid::gap, wall_ns());  // the book now lacks what the message said
            }
            return reject(Reject::off_grid);
        }
        ++symbol.message_count;
        ++statistics_.messages;
        return Reject::none;
    }

    // A short run of printable characters is an answer to a request, for the event loop to read.
    bool keep_text(int number, const std::uint8_t* bytes, std::size_t size) noexcept {
        if (size == 0 || size > FeedText::kSizeMax) {
            return false;
        }
        for (std::size_t i = 0; i < size; ++i) {
            if (bytes[i] < 0x20 || bytes[i] > 0x7e) {
                return false;
            }
        }
        if (texts_.size() == kTextsMax) {
            ++statistics_.texts_dropped;
            return true;
        }
        texts_.emplace_back();
        texts_.back().socket = number;
        texts_.back().size = size;
        std::memcpy(texts_.back().data, bytes, size);
        match_answer(texts_.back());
        notify();
        return true;
    }

    void match_answer(FeedText& text) noexcept {
        const std::string_view answer(text.data, text.size);
        const std::size_t colon = answer.find(':');
        if (colon == std::string_view::npos || colon == 0 || colon > 7) {
            return;
        }
        std::int32_t index = 0;
        for (const char digit : answer.substr(0, colon)) {
            if (digit < '0' || digit > '9') {
                return;
            }
            index = index * 10 + (digit - '0');
        }
        for (std::size_t i = 0; i < expected_.size(); ++i) {
            if (expected_[i].socket == text.socket && answer.substr(colon + 1) == expected_[i].name) {
                text.symbol = expected_[i].symbol;
                text.bound = bind_index(*sockets_[static_cast<std::size_t>(text.socket)], index,
                                        *symbols_[static_cast<std::size_t>(text.symbol)]);
                expected_.erase(expected_.begin() + static_cast<std::ptrdiff_t>(i));
                return;
            }
        }
    }

    static bool bind_index(FeedSocket& socket, std::int32_t index, FeedSymbol& symbol) noexcept {
        const auto at = static_cast<std::size_t>(index);
        if (index >= kIndexMax || (at < socket.by_index.size() && socket.by_index[at] != nullptr)) {
            return false;
        }
        if (at >= socket.by_index.size()) {
            socket.by_index.resize(at + 1);
        }
        socket.by_index[at] = &symbol;
        symbol.seen_full = false;
        for (bool& seen : symbol.seen) {
            seen = false;
        }
        return true;
    }

    // Wakes the event loop, unless it is the event loop that polls.
    void notify() noexcept {
        if (notify_) {
            event_.signal();
        }
    }

    bool in_sequence(FeedSymbol& symbol, const PacketView& packet) noexcept {
        const std::size_t stream = stream_of(packet.type);
        std::int64_t& last = symbol.last_sn[stream];
        if (symbol.seen[stream]) {
            if (packet.sn_id <= last) {
                ++(packet.sn_id == last ? symbol.duplicate_count : symbol.reorder_count);
                ++(packet.sn_id == last ? statistics_.duplicates : statistics_.reorders);
                return false;
            }
            // Unsigned: the distance of any two int64 values fits.
            const std::uint64_t missing =
                static_cast<std::uint64_t>(packet.sn_id) - static_cast<std::uint64_t>(last) - 1;
            if (missing != 0 && options_.sequence_rule == SequenceRule::contiguous) {
                symbol.lost_count += missing;
                statistics_.lost += missing;
                if (packet.type == MessageType::depth) {
                    desynchronise(symbol, BookInvalid::gap, wall_ns());
                }
            }
        }
        symbol.seen[stream] = true;
        last = packet.sn_id;
        return true;
    }

    bool apply_packet(FeedSymbol& symbol, const PacketView& packet, std::int64_t received_ns) noexcept {
        switch (packet.type) {
            case MessageType::ticker_bid: return apply_ticker(symbol, packet, Side::bid, received_ns);
            case MessageType::ticker_ask: return apply_ticker(symbol, packet, Side::ask, received_ns);
            case MessageType::depth: return apply_depth(symbol, packet, received_ns);
            case MessageType::trade_buy: return apply_trade(symbol, packet, true, received_ns);
            case MessageType::trade_sell: return apply_trade(symbol, packet, false, received_ns);
        }
        return false;
    }

    bool apply_ticker(FeedSymbol& symbol, const PacketView& packet, Side side, std::int64_t received_ns) noexcept {
        LevelCount level{};
        if (!count_level(symbol, packet.level(0), level)) {
            return false;
        }
        symbol.book->lock.lock();
        symbol.book->set_top(side, level.price, level.size);
        commit(symbol, packet, received_ns);
        return true;
    }

    bool apply_depth(FeedSymbol& symbol, const PacketView& packet, std::int64_t received_ns) noexcept {
        const std::size_t count = packet.ask_count + packet.bid_count;
        for (std::size_t i = 0; i < count; ++i) {
            if (!count_level(symbol, packet.level(i), scratch_[i])) {
                return false;  // before the book was touched
            }
        }
        const bool whole = options_.depth_semantics == DepthSemantics::replace || !symbol.seen_full;
        symbol.book->lock.lock();
        if (whole) {
            symbol.book->begin_snapshot();
            symbol.synchronised = true;
            symbol.seen_full = true;
        }
        for (std::size_t i = 0; i < packet.ask_count; ++i) {
            symbol.book->set_level(Side::ask, scratch_[i].price, scratch_[i].size);
        }
        for (std::size_t i = packet.ask_count; i < count; ++i) {
            symbol.book->set_level(Side::bid, scratch_[i].price, scratch_[i].size);
        }
        commit(symbol, packet, received_ns);
        return true;
    }

    bool apply_trade(FeedSymbol& symbol, const PacketView& packet, bool is_buy, std::int64_t received_ns) noexcept {
        LevelCount level{};
        if (!count_level(symbol, packet.level(0), level)) {
            return false;
        }
        const FeedTrade trade{symbol.number, is_buy, level.price, level.size, packet.event_ms, received_ns};
        symbol.book->lock.lock();
        symbol.book->set_trade({level.price, level.size, packet.event_ms * kNsPerMs, is_buy ? Side::bid : Side::ask});
        symbol.book->lock.unlock();
        if (handler_.on_trade != nullptr) {
            handler_.on_trade(handler_.context, &trade);
        }
        if (delivery_) {
            if (trades_.size() < kTradesMax) {
                trades_.push_back(trade);
                ++symbol.undelivered_trades;
            } else {
                ++statistics_.trades_dropped;
            }
            notify();
        }
        return true;
    }

    static bool count_level(const FeedSymbol& symbol, Level level, LevelCount& out) noexcept {
        return symbol.ticks.count(level.price, out.price) && symbol.lots.count(level.size, out.size);
    }

    // Ends a message to the book, whose lock is held.
    void commit(FeedSymbol& symbol, const PacketView& packet, std::int64_t received_ns) noexcept {
        const std::int64_t now_ns = wall_ns();
        symbol.book->commit(static_cast<std::uint64_t>(packet.sn_id), now_ns);
        symbol.book->lock.unlock();
        latency_.record(now_ns - received_ns);
        if (handler_.on_book != nullptr) {
            handler_.on_book(handler_.context, symbol.number, symbol.book, received_ns);
        }
        mark_changed(symbol);
    }

    void mark_changed(FeedSymbol& symbol) noexcept {
        if (delivery_) {
            if (!symbol.dirty) {
                symbol.dirty = true;
                changed_.push_back(symbol.number);  // reserved by add_symbol
            }
            notify();
        }
    }

    // The book is not to be trusted before the next full depth message.
    void desynchronise(FeedSymbol& symbol, BookInvalid reason, std::int64_t now_ns) noexcept {
        symbol.synchronised = false;
        symbol.book->lock.lock();
        symbol.book->invalidate(reason, now_ns);
        symbol.book->lock.unlock();
        mark_changed(symbol);
    }

    const FeedOptions options_;
    mutable std::mutex mutex_;
    std::vector<std::unique_ptr<FeedSocket>> sockets_;
    std::vector<std::unique_ptr<FeedSymbol>> symbols_;
    std::unique_ptr<std::uint8_t[]> buffers_;
    std::vector<LevelCount> scratch_;
    std::vector<pollfd> waiting_;
    std::vector<int> changed_;
    std::vector<FeedTrade> trades_;
    std::vector<FeedText> texts_;
    std::vector<Expected> expected_;  // subscriptions without an answer
    FeedHandler handler_;
    FeedStatistics statistics_;
    LatencyHistogram latency_;
    EventFd event_;
    std::thread thread_;
    std::atomic<bool> stopping_{false};
    bool delivery_ = true;
    std::atomic<bool> notify_{false};
};

}  // namespace qtxconn::qtx
