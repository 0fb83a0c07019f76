// The receiving half of the QTX market-data feed: its sockets and subscriptions, by poll or by a thread of its own.
#pragma once

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "qtxconn/clock.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/l2_book.hpp"
#include "qtxconn/latency_histogram.hpp"
#include "qtxconn/qtx_decoder.hpp"
#include "qtxconn/qtx_packet.hpp"
#include "qtxconn/qtx_segment.hpp"
#include "qtxconn/qtx_socket.hpp"
#include "qtxconn/qtx_strategy.hpp"
#include "qtxconn/qtx_symbol.hpp"
#include "qtxconn/qtx_watcher.hpp"
#include "qtxconn/record_ring.hpp"
#include "qtxconn/single_writer.hpp"

namespace qtxconn::qtx {

struct FeedStatistics {
    std::uint64_t datagrams = 0;
    std::uint64_t bytes = 0;
    std::uint64_t messages = 0;  // applied
    std::uint64_t rejects[kRejectCount] = {};
    std::uint64_t lost = 0;        // messages missing when a later one came
    std::uint64_t duplicates = 0;  // came before
    std::uint64_t reorders = 0;    // came after a later one
    std::uint64_t kernel_drops = 0;
    std::uint64_t foreign = 0;         // datagrams to a multicast group from somebody else
    std::uint64_t trades_dropped = 0;  // not delivered to the event loop: it was too far behind
    std::uint64_t texts_dropped = 0;
    std::uint64_t socket_errors = 0;  // for example: nobody listens at the server's port
    std::int64_t last_received_ns = 0;
};

struct SocketActivity {
    std::uint64_t bytes = 0;     // of any kind
    std::uint64_t messages = 0;  // applied
};

// Something the server has said.
struct FeedText {
    static constexpr std::size_t kSizeMax = 128;  // index, colon and a symbol of at most 64 bytes
    int socket = -1;
    int symbol = -1;     // whose subscription this confirms
    bool bound = false;  // ... and its index could be taken
    std::size_t size = 0;
    char data[kSizeMax] = {};
};

// Sockets, symbols, and what was received for them. One thread at a time receives, in poll(). Any thread may call the
// rest: what changes the feed is done by the thread that receives, between two datagrams, and has been done when the
// call returns (see SingleWriter). So nothing on the way from packet to book takes a lock but the book's own.
class Feed {
public:
    static constexpr std::size_t kTextBytes = std::size_t{1} << 16;
    static constexpr std::size_t kHeldBytesMax = std::size_t{1} << 20;

    explicit Feed(const FeedOptions& options)
        : decoder_(options), texts_(kTextBytes), epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
        watch(stop_event_.fd(), kStopMark);
    }

    Feed(const Feed&) = delete;
    Feed& operator=(const Feed&) = delete;
    ~Feed() {
        stop_thread();
        ::close(epoll_fd_);
    }

    // -- set-up ------------------------------------------------------------------------------------------------------

    // Opens a socket connected to an IPv4 address; its number, or -errno.
    int open_socket(const char* ip, std::uint16_t port, int receive_buffer_bytes) {
        const int fd = open_connected(ip, port, receive_buffer_bytes);
        return fd < 0 ? fd : add_socket(fd, nullptr);
    }

    // Joins a multicast group, in which only what `source_ip` sends counts; the socket's number, or -errno.
    int open_multicast(const char* group, std::uint16_t port, const char* interface_ip, const char* source_ip,
                       int receive_buffer_bytes) {
        in_addr source{};
        if (inet_pton(AF_INET, source_ip, &source) != 1) {
            return -EINVAL;
        }
        const int fd = open_member(group, port, interface_ip, receive_buffer_bytes);
        return fd < 0 ? fd : add_socket(fd, &source);
    }

    // Nothing more is received there. Its number may be used again.
    void close_socket(int socket) {
        writer_.call([&] {
            auto& closing = sockets_[static_cast<std::size_t>(socket)];
            forget([&](const Expected& entry) { return entry.socket == socket || entry.data_socket == socket; });
            drop_held(socket);
            epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, closing->fd, nullptr);
            closing->indices = IndexTable();
            if (receiving_) {
                closed_.push_back(std::move(closing));  // poll() may be reading from it: destroyed after its round
            }
            closing.reset();
        });
    }

    // Sends a request; 0 or errno. ENOTCONN: the socket has been closed since.
    int send_text(int socket, const char* text, std::size_t size) {
        int error = ENOTCONN;
        writer_.call([&] {
            const auto number = static_cast<std::size_t>(socket);
            if (number < sockets_.size() && sockets_[number] != nullptr) {
                error = send(sockets_[number]->fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
            }
        });
        return error;
    }

    // Numbers grow from 0 and are not used again.
    int add_symbol(L2Book* book, Fixed tick, Fixed lot, SequenceRule rule = SequenceRule::contiguous) {
        int number = -1;
        writer_.call([&] { number = decoder_.add_symbol(book, tick, lot, rule).number; });
        return number;
    }

    // When `socket` receives "INDEX:name", data with that index is for `symbol`. Bound by the receive loop itself, as
    // the first depth message may come in the same batch, or even before the answer: meanwhile data of indices that
    // nobody has had yet is held. `data_socket`: where the data comes, if not on `socket` as well.
    void expect_answer(int socket, const std::string& name, int symbol, int data_socket = -1) {
        writer_.call([&] {
            held_bytes_.reserve(kHeldBytesMax);
            expected_.push_back({socket, data_socket < 0 ? socket : data_socket, symbol, name});
        });
    }

    void forget_answer(int socket, int symbol) {
        writer_.call(
            [&] { forget([&](const Expected& entry) { return entry.socket == socket && entry.symbol == symbol; }); });
    }

    // No data reaches the symbol from now on; its book is invalid until a new subscription has brought a full depth.
    void unbind(int symbol, BookInvalid reason) {
        writer_.call([&] {
            FeedSymbol& gone = decoder_.symbol(symbol);
            for (const auto& socket : sockets_) {
                if (socket != nullptr) {
                    socket->indices.unbind(gone);
                }
            }
            decoder_.desynchronise(gone, reason, wall_ns());
        });
    }

    void set_handler(const FeedHandler& handler) {
        writer_.call([&] { decoder_.handler = handler; });
    }

    // Whether trades and changed books are kept for the event loop. Off: only the handler and the books see them.
    void set_delivery(bool on) {
        writer_.call([&] { decoder_.delivery = on; });
    }

    // Whether the feed stops receiving while the event loop is so far behind that news might be lost; the kernel then
    // keeps what comes, and drops and counts what it has no room for.
    void set_blocking(bool on) { blocking_.set(on); }

    // -- receiving: one thread at a time -----------------------------------------------------------------------------

    // Receives and applies up to about `max_count` datagrams that are there; how many. Never blocks. 0 as well if
    // another thread is receiving just now.
    int poll(int max_count) noexcept {
        if (!writer_.try_begin()) {
            return 0;
        }
        int done = 0;
        receiving_ = true;
        if (blocking_.get() && decoder_.news.room() < FeedDecoder::kNewsRoom) {
            // The event loop has to take some news first.
        } else if (sockets_.size() <= kAskedDirectly) {
            for (std::size_t i = 0; i < sockets_.size() && done < max_count; ++i) {
                if (sockets_[i] != nullptr) {
                    done += receive(*sockets_[i], max_count - done);
                }
            }
        } else {
            done = receive_from_ready(max_count);
        }
        if (told_) {
            told_ = false;
            if (notify_.load(std::memory_order_relaxed)) {
                event_.signal();
            }
        }
        receiving_ = false;
        closed_.clear();
        writer_.end();
        return done;
    }

    // Applies one datagram as if it had been received; for replays and tests.
    Reject apply(int socket, const std::uint8_t* bytes, std::size_t size, std::int64_t received_ns) {
        Reject result = Reject::none;
        writer_.call([&] {
            datagrams_.add(1);
            bytes_.add(size);
            result = apply_one(*sockets_[static_cast<std::size_t>(socket)], bytes, size, received_ns, wall_ns());
            messages_.add(result == Reject::none ? 1 : 0);
        });
        return result;
    }

    // Polls without end in a thread of its own, on `cpu` if that is not negative. When nothing comes it spins for
    // `spin_ns`, yields for `yield_ns`, then blocks until data comes. The event tells the event loop of news.
    bool start_thread(int cpu, std::int64_t spin_ns, std::int64_t yield_ns) noexcept {
        if (thread_.joinable()) {
            return true;
        }
        stopping_.store(false, std::memory_order_relaxed);
        notify_.store(true, std::memory_order_relaxed);
        return qtx::start_thread(thread_, [this, cpu, spin_ns, yield_ns] { run(cpu, spin_ns, yield_ns); });
    }

    // Not from the handler.
    void stop_thread() noexcept {
        if (thread_.joinable()) {
            stopping_.store(true, std::memory_order_relaxed);
            stop_event_.signal();
            thread_.join();
            stop_event_.clear();
            notify_.store(false, std::memory_order_relaxed);
        }
    }

    // -- reading: any thread -----------------------------------------------------------------------------------------

    // Readable while a socket is: for an event loop that calls poll().
    int fd() const noexcept { return epoll_fd_; }

    // Signalled when a thread that polls has news for the event loop.
    EventFd& event() noexcept { return event_; }

    FeedDecoder& decoder() noexcept { return decoder_; }
    FeedSymbol& symbol(int number) const noexcept { return decoder_.symbol(number); }

    // Trades and changes, and what the server said: for one thread, the event loop's.
    const FeedNews* next_news() noexcept { return static_cast<const FeedNews*>(decoder_.news.front()); }
    void pop_news() noexcept {
        symbol(next_news()->symbol).taken.add(1);
        decoder_.news.pop();
    }
    const FeedText* next_text() noexcept { return static_cast<const FeedText*>(texts_.front()); }
    void pop_text() noexcept { texts_.pop(); }

    // Symbols whose books have changed since the last call, at the end of `out`.
    void take_changed(std::vector<int>& out) {
        decoder_.take_changed([&out](int number) { out.push_back(number); });
    }

    void count_reject(Reject reason) {
        writer_.call([&] { reject(reason); });
    }

    // Each number is exact; they are not of one instant while another thread receives.
    FeedStatistics statistics() const noexcept {
        FeedStatistics result;
        result.datagrams = datagrams_.get();
        result.bytes = bytes_.get();
        result.messages = messages_.get();
        for (std::size_t i = 0; i < kRejectCount; ++i) {
            result.rejects[i] = rejects_[i].get();
        }
        result.lost = decoder_.lost.get();
        result.duplicates = decoder_.duplicates.get();
        result.reorders = decoder_.reorders.get();
        result.kernel_drops = kernel_drops_.get();
        result.foreign = foreign_.get();
        result.trades_dropped = decoder_.trades_dropped.get();
        result.texts_dropped = texts_dropped_.get();
        result.socket_errors = socket_errors_.get();
        result.last_received_ns = last_received_ns_.get();
        return result;
    }

    // What each socket, by number, has received so far; for a number without a socket, nothing.
    void read_activity(std::vector<SocketActivity>& out) {
        writer_.call([&] {
            out.assign(sockets_.size(), SocketActivity{});
            for (const auto& socket : sockets_) {
                if (socket != nullptr) {
                    out[static_cast<std::size_t>(socket->number)] = {socket->bytes, socket->messages};
                }
            }
        });
    }

    // Adds the durations from a datagram's kernel receive time until all that was read with it (at most 32 datagrams)
    // had been applied, and the strategy called, to `out`.
    void read_latency(LatencyHistogram& out) {
        writer_.call([&] { out.merge(latency_); });
    }

private:
    static constexpr std::size_t kAskedDirectly = 2;  // with more sockets it pays to ask first which are readable
    static constexpr std::size_t kReadyMax = 64;
    static constexpr std::uint32_t kStopMark = UINT32_MAX;
    static constexpr std::int64_t kPauseNs = kNsPerMs;

    struct Expected {
        int socket;
        int data_socket;
        int symbol;
        std::string name;
    };

    // A datagram for an index that nobody has had, while an answer is awaited.
    struct Held {
        int socket;
        std::int32_t index;
        std::size_t begin;
        std::size_t size;
        std::int64_t received_ns;
    };

    bool watch(int fd, std::uint32_t mark) noexcept {
        epoll_event wanted{};
        wanted.events = EPOLLIN;
        wanted.data.u32 = mark;
        return epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &wanted) == 0;
    }

    int add_socket(int fd, const in_addr* source) {
        int number = -1;
        writer_.call([&] {
            const auto free = std::find(sockets_.begin(), sockets_.end(), nullptr);
            number = static_cast<int>(free - sockets_.begin());
            auto made = std::make_unique<FeedSocket>(number, fd);
            if (source != nullptr) {
                made->is_multicast = true;
                made->source = *source;
            }
            if (!watch(fd, static_cast<std::uint32_t>(number))) {
                number = -errno;
            } else if (free == sockets_.end()) {
                sockets_.push_back(std::move(made));
            } else {
                *free = std::move(made);
            }
        });
        return number;
    }

    void run(int cpu, std::int64_t spin_ns, std::int64_t yield_ns) noexcept {
        if (cpu >= 0) {
            cpu_set_t cpus;
            CPU_ZERO(&cpus);
            CPU_SET(static_cast<std::size_t>(cpu), &cpus);
            sched_setaffinity(0, sizeof cpus, &cpus);
        }
        std::int64_t idle_since_ns = 0;
        while (!stopping_.load(std::memory_order_relaxed)) {
            if (poll(static_cast<int>(ReceiveBatch::kCount)) > 0) {
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

    // Until some socket has data, or the thread is to stop.
    void block() noexcept {
        if (blocking_.get() && decoder_.news.room() < FeedDecoder::kNewsRoom) {
            const timespec pause{0, kPauseNs};  // the sockets have data; the event loop has no room for it
            nanosleep(&pause, nullptr);
            return;
        }
        epoll_event ready;
        epoll_wait(epoll_fd_, &ready, 1, -1);
    }

    int receive_from_ready(int max_count) noexcept {
        epoll_event ready[kReadyMax];
        const int count = epoll_wait(epoll_fd_, ready, kReadyMax, 0);
        int done = 0;
        for (int i = 0; i < count && done < max_count; ++i) {
            const std::uint32_t number = ready[i].data.u32;
            if (number != kStopMark && sockets_[number] != nullptr) {
                done += receive(*sockets_[number], max_count - done);
            }
        }
        return done;
    }

    // Empties a socket, batch by batch. While it was empty before, the first datagram is taken alone: it is applied
    // before the kernel is asked for one that in all likelihood is not there.
    int receive(FeedSocket& socket, int max_count) noexcept {
        int done = 0;
        bool was_full = true;
        while (was_full && done < max_count) {
            const std::size_t wanted = std::min(static_cast<std::size_t>(max_count - done), socket.batch_size);
            const int got = batch_.receive(socket, wanted);
            was_full = got == static_cast<int>(wanted);
            socket.batch_size = was_full ? ReceiveBatch::kCount : 1;
            if (got > 0) {
                apply_batch(socket, static_cast<std::size_t>(got));
                done += got;
            } else if (got != -EAGAIN && got != -EINTR && got != 0) {
                socket_errors_.add(1);  // reading it has cleared it
            }
        }
        return done;
    }

    void apply_batch(FeedSocket& socket, std::size_t count) noexcept {
        const std::int64_t begin_ns = wall_ns();
        std::int64_t received_ns[ReceiveBatch::kCount];
        std::size_t applied = 0;
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < count; ++i) {
            std::uint32_t drops = socket.kernel_drops;
            const std::int64_t stamp_ns = batch_.finish(i, drops);
            if (drops != socket.kernel_drops) {
                on_kernel_drop(socket, drops - socket.kernel_drops, begin_ns);
                socket.kernel_drops = drops;
            }
            if (socket.is_multicast && !batch_.is_from(i, socket.source)) {
                foreign_.add(1);
                continue;
            }
            bytes += batch_.size(i);
            const std::int64_t came_ns = stamp_ns != 0 ? stamp_ns : begin_ns;
            if (apply_one(socket, batch_.bytes(i), batch_.size(i), came_ns, begin_ns) == Reject::none) {
                received_ns[applied++] = came_ns;
            }
            writer_.run_tasks();
        }
        told_ = true;
        datagrams_.add(count);
        messages_.add(applied);
        bytes_.add(bytes);
        socket.bytes += bytes;
        socket.messages += applied;
        last_received_ns_.set(begin_ns);
        const std::int64_t end_ns = wall_ns();
        for (std::size_t i = 0; i < applied; ++i) {
            latency_.record(end_ns - received_ns[i]);
        }
    }

    // Where the sequence cannot show what was lost, every book of the socket may lack something.
    void on_kernel_drop(FeedSocket& socket, std::uint32_t count, std::int64_t now_ns) noexcept {
        kernel_drops_.add(count);
        for (FeedSymbol* symbol : socket.indices.bound()) {
            if (symbol != nullptr && symbol->rule == SequenceRule::monotonic) {
                decoder_.desynchronise(*symbol, BookInvalid::gap, now_ns);
            }
        }
        told_ = true;
    }

    Reject reject(Reject reason) noexcept {
        rejects_[static_cast<std::size_t>(reason)].add(1);
        return reason;
    }

    // Reject::none: applied.
    Reject apply_one(FeedSocket& socket, const std::uint8_t* bytes, std::size_t size, std::int64_t received_ns,
                     std::int64_t now_ns) noexcept {
        const Reject result = decoder_.apply(socket.indices, bytes, size, received_ns, now_ns);
        return __builtin_expect(result == Reject::none, 1) ? result
                                                           : not_applied(socket, result, bytes, size, received_ns);
    }

    [[gnu::noinline]] Reject not_applied(FeedSocket& socket, Reject reason, const std::uint8_t* bytes, std::size_t size,
                                         std::int64_t received_ns) noexcept {
        const bool no_data = reason == Reject::too_short || reason == Reject::unknown_type;
        if (no_data && keep_text(socket, bytes, size)) {
            return Reject::text;
        }
        if (reason == Reject::unknown_index && hold(socket, bytes, size, received_ns)) {
            return Reject::held;
        }
        return reject(reason);
    }

    // -- subscriptions -----------------------------------------------------------------------------------------------

    template <class Match>
    void forget(Match&& is_it) {
        expected_.erase(std::remove_if(expected_.begin(), expected_.end(), is_it), expected_.end());
        if (expected_.empty()) {
            drop_held(-1);
        }
    }

    // A datagram may overtake the answer that explains its index: it waits, while there is room.
    bool hold(FeedSocket& socket, const std::uint8_t* bytes, std::size_t size, std::int64_t received_ns) noexcept {
        const auto index = detail::load<std::int32_t>(bytes + kIndexOffset);
        const auto is_here = [&](const Expected& entry) { return entry.data_socket == socket.number; };
        if (std::none_of(expected_.begin(), expected_.end(), is_here) || socket.indices.is_taken(index) ||
            held_bytes_.size() + size > held_bytes_.capacity()) {
            return false;
        }
        held_.push_back({socket.number, index, held_bytes_.size(), size, received_ns});
        held_bytes_.insert(held_bytes_.end(), bytes, bytes + size);
        return true;
    }

    // Applies what was held for an index that has just been bound.
    void apply_held(FeedSocket& socket, std::int32_t index) noexcept {
        for (std::size_t i = 0; i < held_.size(); ++i) {  // by place: a handler may empty the list
            if (held_[i].socket == socket.number && held_[i].index == index) {
                const Held entry = held_[i];
                held_[i].socket = -1;
                const std::uint8_t* bytes = held_bytes_.data() + entry.begin;
                const Reject result = apply_one(socket, bytes, entry.size, entry.received_ns, wall_ns());
                messages_.add(result == Reject::none ? 1 : 0);
            }
        }
    }

    // What was held for nothing, on one socket or (-1) on any, belongs to nobody.
    void drop_held(int socket) noexcept {
        for (Held& entry : held_) {
            if (entry.socket >= 0 && (socket < 0 || entry.socket == socket)) {
                entry.socket = -1;
                reject(Reject::unknown_index);
            }
        }
        if (expected_.empty()) {
            held_.clear();
            held_bytes_.clear();
        }
    }

    // A short run of printable characters is an answer to a request, for the event loop to read.
    bool keep_text(const FeedSocket& socket, const std::uint8_t* bytes, std::size_t size) noexcept {
        const auto is_printable = [](std::uint8_t byte) { return byte >= 0x20 && byte <= 0x7e; };
        if (size == 0 || size > FeedText::kSizeMax || !std::all_of(bytes, bytes + size, is_printable)) {
            return false;
        }
        FeedText text;
        text.socket = socket.number;
        text.size = size;
        std::memcpy(text.data, bytes, size);
        match_answer(text);
        if (void* room = texts_.claim(sizeof(FeedText))) {
            new (room) FeedText(text);
            texts_.publish();
        } else {
            texts_dropped_.add(1);
        }
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
        const auto is_it = [&](const Expected& entry) {
            return entry.socket == text.socket && answer.substr(colon + 1) == entry.name;
        };
        const auto found = std::find_if(expected_.begin(), expected_.end(), is_it);
        if (found == expected_.end()) {
            return;
        }
        FeedSymbol& symbol = decoder_.symbol(found->symbol);
        FeedSocket& socket = *sockets_[static_cast<std::size_t>(found->data_socket)];
        text.symbol = found->symbol;
        text.bound = socket.indices.bind(index, symbol);
        if (text.bound) {
            decoder_.restart(symbol);
            apply_held(socket, index);
        }
        forget([&](const Expected& entry) { return entry.socket == text.socket && entry.symbol == text.symbol; });
    }

    SingleWriter writer_;
    FeedDecoder decoder_;
    ReceiveBatch batch_;
    std::vector<std::unique_ptr<FeedSocket>> sockets_;
    std::vector<std::unique_ptr<FeedSocket>> closed_;
    std::vector<Expected> expected_;  // subscriptions without an answer
    std::vector<Held> held_;
    std::vector<std::uint8_t> held_bytes_;
    RecordRing texts_;  // FeedText
    LatencyHistogram latency_;
    bool receiving_ = false;  // within a round of poll()
    bool told_ = false;       // in this poll, something happened that the event loop may want to know
    Shared<std::uint64_t> datagrams_;
    Shared<std::uint64_t> bytes_;
    Shared<std::uint64_t> messages_;
    Shared<std::uint64_t> rejects_[kRejectCount];
    Shared<std::uint64_t> kernel_drops_;
    Shared<std::uint64_t> foreign_;
    Shared<std::uint64_t> texts_dropped_;
    Shared<std::uint64_t> socket_errors_;
    Shared<std::int64_t> last_received_ns_;
    Shared<bool> blocking_;
    int epoll_fd_;
    EventFd event_;
    EventFd stop_event_;
    std::thread thread_;
    std::atomic<bool> stopping_{false};
    std::atomic<bool> notify_{false};
};

}  // namespace qtxconn::qtx
