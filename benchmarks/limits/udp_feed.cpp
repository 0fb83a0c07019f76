// The UDP feed beside plain C++ that does the least that the job allows, on the same bytes, alternating.
//
// Build: g++ -std=c++17 -O2 -march=x86-64-v2 -Iinclude -Ibenchmarks/limits benchmarks/limits/udp_feed.cpp -o udp_feed
// -pthread Run:   udp_feed bare|ours JOB [OPTION], which prints one line of JSON
//        decode SYMBOLS [KIND]  ns a packet from memory to book; also udp_feed exact (exact_book.hpp)
//        drain               ns a packet from a full socket buffer to book; also udp_feed stamped (kernel receive
//        times) blast               ns a packet from a sender at full speed, and how many were lost latency busy|epoll
//        one-way ns at 20,000 packets a second, from the intended send time allocations         (ours) allocations and
//        page faults in 1,000,000 packets, socket to strategy count N KIND        N times 5,000 packets (ticker, trade,
//        depth or mix), for callgrind
//
// The mix is 60 % ticker, 25 % trade, 15 % depth of 20 levels a side. The bare program checks length, index and
// sequence and stores the wire's doubles in flat arrays: it knows no ticks, no order of levels, no validity and no
// reader.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "exact_book.hpp"
#include "measure.hpp"
#include "qtxconn/clock.hpp"
#include "qtxconn/qtx_feed.hpp"

namespace {

std::atomic<std::uint64_t> allocations{0};
std::atomic<bool> counting{false};

void* counted(std::size_t size) {
    if (counting.load(std::memory_order_relaxed)) {
        allocations.fetch_add(1, std::memory_order_relaxed);
    }
    if (void* memory = std::malloc(size)) {
        return memory;
    }
    throw std::bad_alloc();
}

}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace qtxconn;
using namespace qtxconn::qtx;

constexpr Fixed kTick{1, 1};
constexpr Fixed kLot{1, 3};
constexpr std::size_t kDepth = 20;
constexpr int kRepetitions = 9;

// -- the packets ---------------------------------------------------------------------------------------------------

struct Packets {
    std::vector<std::uint8_t> bytes;
    std::vector<std::uint32_t> begin;  // and the end of the last
    std::size_t size() const { return begin.size() - 1; }
    const std::uint8_t* at(std::size_t i) const { return bytes.data() + begin[i]; }
    std::size_t size_at(std::size_t i) const { return begin[i + 1] - begin[i]; }

    // The packet as it comes the next time: later, and numbered on.
    void advance(std::size_t i) {
        std::uint8_t* packet = bytes.data() + begin[i];
        const auto add = [packet](std::size_t offset, std::int64_t more) {
            qtx::detail::store(packet + offset, qtx::detail::load<std::int64_t>(packet + offset) + more);
        };
        add(kEventMsOffset, 60'000);
        add(kSnIdOffset, in_stream[stream[i]]);
    }
    // For another pass, which leaves the opening out.
    void advance() {
        for (std::size_t i = opening; i < size(); ++i) {
            advance(i);
        }
    }

    std::size_t opening = 0;              // packets that only come once: each symbol's first depth
    std::vector<std::uint32_t> stream;    // of each packet
    std::vector<std::int64_t> in_stream;  // packets
};

constexpr std::int64_t kMiddle = 600'000;
constexpr std::int64_t kGone = 4;  // levels of a depth message that are deletions

// Every symbol begins with a depth message; the touch then wanders by a tick now and then, within two ticks.
Packets make_packets(std::size_t count, int symbols, const std::string& kind) {
    std::mt19937_64 random(1);
    std::vector<std::int64_t> mid(static_cast<std::size_t>(symbols), kMiddle);
    Packets packets;
    std::vector<std::int64_t>& sn = packets.in_stream;
    sn.resize(static_cast<std::size_t>(symbols) * kStreams);
    packets.begin.push_back(0);
    std::uint8_t bytes[kBodyOffset + 2 * kDepth * kLevelSize];
    const auto price = [](std::int64_t ticks) { return static_cast<double>(ticks) / 10; };
    const auto size = [&random] { return static_cast<double>(random() % 5000 + 1) / 1000; };
    for (std::size_t i = 0; i < count + static_cast<std::size_t>(symbols); ++i) {
        const bool first = i < static_cast<std::size_t>(symbols);
        const std::size_t symbol = first ? i : random() % static_cast<std::size_t>(symbols);
        std::int64_t& middle = mid[symbol];
        const auto roll = first || kind == "depth" ? 99 : kind == "ticker" ? 0 : kind == "trade" ? 60 : random() % 100;
        if (random() % 8 == 0) {
            middle = std::clamp<std::int64_t>(middle + (random() % 2 == 0 ? 1 : -1), kMiddle - 2, kMiddle + 2);
        }
        const bool up = random() % 2 == 0;
        PacketHeader header;
        header.index = static_cast<std::int32_t>(symbol) + 1;
        header.event_ms = 1'700'000'000'000 + static_cast<std::int64_t>(i / 20);
        const std::size_t stream = roll < 60 ? (up ? 0 : 1) : roll < 85 ? (up ? 3 : 4) : 2;
        header.sn_id = ++sn[symbol * kStreams + stream];
        packets.stream.push_back(static_cast<std::uint32_t>(symbol * kStreams + stream));
        std::size_t length;
        if (roll < 60) {
            length = build_ticker(bytes, header, up, {price(up ? middle : middle + 1), size()});
        } else if (roll < 85) {
            length = build_trade(bytes, header, up, {price(up ? middle + 1 : middle), size()});
        } else {
            Level asks[kDepth];
            Level bids[kDepth];
            for (std::size_t k = 0; k < kDepth; ++k) {
                const auto away = static_cast<std::int64_t>(k) - kGone;  // behind the touch: what has gone
                asks[k] = {price(middle + 1 + away), away < 0 ? 0.0 : size()};
                bids[k] = {price(middle - away), away < 0 ? 0.0 : size()};
            }
            length = build_depth(bytes, header, asks, kDepth, bids, kDepth);
        }
        packets.bytes.insert(packets.bytes.end(), bytes, bytes + length);
        packets.begin.push_back(static_cast<std::uint32_t>(packets.bytes.size()));
    }
    packets.opening = static_cast<std::size_t>(symbols);
    for (std::size_t symbol = 0; symbol < packets.opening; ++symbol) {
        --packets.in_stream[symbol * kStreams + stream_of(MessageType::depth)];
    }
    return packets;
}

// -- the limit -----------------------------------------------------------------------------------------------------

struct BareBook {
    std::int64_t sn[kStreams];
    Level bids[kDepth];
    Level asks[kDepth];
    Level trade;
    std::int64_t time_ms;
};

class Bare {
public:
    explicit Bare(int symbols) : books(static_cast<std::size_t>(symbols) + 1) {}

    // False: malformed, unknown or out of sequence.
    bool apply(const std::uint8_t* bytes, std::size_t size) noexcept {
        if (size < kBodyOffset) {
            return false;
        }
        const auto type = qtx::detail::load<std::int32_t>(bytes);
        const auto index = qtx::detail::load<std::uint32_t>(bytes + kIndexOffset);
        if (index >= books.size() || type < -3 || type > 3) {
            return false;
        }
        BareBook& book = books[index];
        const auto sn = qtx::detail::load<std::int64_t>(bytes + kSnIdOffset);
        std::int64_t& last = book.sn[stream_of(static_cast<MessageType>(type))];
        if (sn <= last) {
            return false;
        }
        last = sn;
        book.time_ms = qtx::detail::load<std::int64_t>(bytes + kEventMsOffset);
        if (type == 2) {
            const auto asks = qtx::detail::load<std::uint64_t>(bytes + kAsksLenOffset);
            const auto bids = qtx::detail::load<std::uint64_t>(bytes + kBidsLenOffset);
            if (asks > kDepth || bids > kDepth || size != kBodyOffset + (asks + bids) * kLevelSize) {
                return false;
            }
            std::memcpy(book.asks, bytes + kBodyOffset, asks * kLevelSize);
            std::memcpy(book.bids, bytes + kBodyOffset + asks * kLevelSize, bids * kLevelSize);
            return true;
        }
        if (size != kBodyOffset) {
            return false;
        }
        Level* to = type == 1 ? book.bids : type == -1 ? book.asks : &book.trade;
        std::memcpy(to, bytes + kPacketPriceOffset, sizeof *to);
        return true;
    }

    std::vector<BareBook> books;
};

// -- ours ----------------------------------------------------------------------------------------------------------

class Ours {
public:
    explicit Ours(int symbols) : decoder(FeedOptions{}) {
        decoder.delivery = false;
        for (int i = 0; i < symbols; ++i) {
            books.push_back(std::make_unique<L2Book>());
            indices.bind(i + 1, decoder.add_symbol(books.back().get(), kTick, kLot, SequenceRule::contiguous));
        }
    }

    std::vector<std::unique_ptr<L2Book>> books;
    FeedDecoder decoder;
    IndexTable indices;
};

template <class Decode>
double ns_per_packet(const Packets& packets, std::size_t from, Decode&& decode) {
    const std::int64_t begin_ns = monotonic_ns();
    std::size_t applied = 0;
    for (std::size_t i = from; i < packets.size(); ++i) {
        applied += decode(packets.at(i), packets.size_at(i)) ? 1 : 0;
    }
    const double elapsed = static_cast<double>(monotonic_ns() - begin_ns);
    if (applied != packets.size() - from) {
        std::fprintf(stderr, "%zu of %zu packets applied\n", applied, packets.size() - from);
        std::exit(1);
    }
    return elapsed / static_cast<double>(packets.size() - from);
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

std::size_t rss_kib() {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    unsigned long total = 0, resident = 0;
    if (file == nullptr || std::fscanf(file, "%lu %lu", &total, &resident) != 2) {
        std::exit(1);
    }
    std::fclose(file);
    return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) / 1024;
}

void print(double value, const std::string& facts, std::uint64_t checksum = 0) {
    std::printf("{\"value\": %.2f, \"checksum\": \"%llu\", \"facts\": {%s}}\n", value,
                static_cast<unsigned long long>(checksum), facts.c_str());
}

std::string fact(const char* name, double value) { return "\"" + std::string(name) + "\": " + std::to_string(value); }

// ns a packet, over passes that each go on where the last one ended.
template <class Decode>
double median_pass(Packets& packets, Decode&& decode) {
    ns_per_packet(packets, 0, decode);
    std::vector<double> passes;
    for (int i = 0; i < kRepetitions; ++i) {
        packets.advance();
        passes.push_back(ns_per_packet(packets, packets.opening, decode));
    }
    return median(passes);
}

// Checksum: the last trade of every symbol, in ticks.
void check_valid(bool valid) {
    if (!valid) {
        std::fprintf(stderr, "a book is not valid\n");
        std::exit(1);
    }
}

void decode(const std::string& who, int symbols, const std::string& kind) {
    Packets packets = make_packets(200'000, symbols, kind);
    std::uint64_t checksum = 0;
    if (who == "exact") {
        plain::ExactDecoder exact(symbols, kMiddle - plain::ExactDecoder::kTicks / 2, 10.0, 1000.0);
        const double ns =
            median_pass(packets, [&](const std::uint8_t* at, std::size_t size) { return exact.apply(at, size); });
        for (int i = 1; i <= symbols; ++i) {
            const auto& book = exact.books[static_cast<std::size_t>(i)];
            check_valid(book.valid);
            checksum = checksum * 31 + static_cast<std::uint64_t>(book.trade_price);
        }
        print(ns, "", checksum);
        return;
    }
    const std::size_t before_kib = rss_kib();
    if (who == "bare") {
        Bare bare(symbols);
        const double ns =
            median_pass(packets, [&](const std::uint8_t* at, std::size_t size) { return bare.apply(at, size); });
        for (int i = 1; i <= symbols; ++i) {
            const double price = bare.books[static_cast<std::size_t>(i)].trade.price;
            checksum = checksum * 31 + static_cast<std::uint64_t>(price * 10 + 0.5);
        }
        print(ns, "", checksum);
        return;
    }
    Ours ours(symbols);
    const double ns = median_pass(packets, [&](const std::uint8_t* at, std::size_t size) {
        return ours.decoder.apply(ours.indices, at, size, 1, 1) == Reject::none;
    });
    for (const auto& book : ours.books) {
        check_valid(book->valid());
        checksum = checksum * 31 + static_cast<std::uint64_t>(book->last_trade().price);
    }
    print(ns, fact("bytes_per_symbol", static_cast<double>(rss_kib() - before_kib) * 1024 / symbols), checksum);
}

// -- sockets -------------------------------------------------------------------------------------------------------

// A server's socket on loopback, and a client's that is connected to it.
struct Wire {
    Wire() : server(socket(AF_INET, SOCK_DGRAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (bind(server, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            getsockname(server, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
            std::exit(1);
        }
        port = ntohs(address.sin_port);
    }
    ~Wire() { close(server); }
    // Connects the server to whoever has just sent something.
    void accept() {
        char request[64];
        sockaddr_in client{};
        socklen_t size = sizeof client;
        if (recvfrom(server, request, sizeof request, 0, reinterpret_cast<sockaddr*>(&client), &size) < 0 ||
            connect(server, reinterpret_cast<sockaddr*>(&client), size) != 0) {
            std::exit(1);
        }
    }
    int server;
    std::uint16_t port = 0;
};

constexpr int kBufferBytes = 4 << 20;
constexpr int kSenderCpu = 0;
int receiver_cpu() { return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)) - 1; }

// What a C program would do: recvmmsg into fixed buffers, decode, and no control data. `stamped`: it asks the kernel
// for receive times and drop counts, as ours does.
class BareReceiver {
public:
    BareReceiver(std::uint16_t port, int symbols, bool stamped = false)
        : bare(symbols), fd(open_connected("127.0.0.1", port, kBufferBytes)), control_size(stamped ? kControlSize : 0) {
        const int on = stamped ? 1 : 0;
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
        for (std::size_t i = 0; i < kBatch; ++i) {
            parts[i] = {buffers[i], sizeof buffers[i]};
            messages[i].msg_hdr.msg_iov = &parts[i];
            messages[i].msg_hdr.msg_iovlen = 1;
            messages[i].msg_hdr.msg_control = control[i];
            messages[i].msg_hdr.msg_controllen = control_size;
        }
        if (send(fd, "hello", 5, 0) != 5) {
            std::exit(1);
        }
    }
    ~BareReceiver() { close(fd); }

    template <class Then>
    int poll(Then&& then) {
        const int got = recvmmsg(fd, messages, kBatch, MSG_DONTWAIT, nullptr);
        for (int i = 0; i < got; ++i) {
            if (control_size != 0) {
                if (const cmsghdr* item = CMSG_FIRSTHDR(&messages[i].msg_hdr)) {
                    std::memcpy(&stamp, CMSG_DATA(item), sizeof stamp);
                }
                messages[i].msg_hdr.msg_controllen = control_size;
            }
            bare.apply(buffers[i], messages[i].msg_len);
            then(buffers[i]);
        }
        return got < 0 ? 0 : got;
    }

    static constexpr std::size_t kBatch = 32;
    Bare bare;
    int fd;
    static constexpr std::size_t kControlSize = CMSG_SPACE(sizeof(timespec)) + CMSG_SPACE(sizeof(std::uint32_t));
    const std::size_t control_size;
    timespec stamp{};  // of the last packet
    alignas(cmsghdr) char control[kBatch][kControlSize];
    std::uint8_t buffers[kBatch][2048];
    iovec parts[kBatch];
    mmsghdr messages[kBatch] = {};
};

struct OurReceiver {
    OurReceiver(std::uint16_t port, int symbols) : feed(FeedOptions{}) {
        feed.set_delivery(false);
        socket = feed.open_socket("127.0.0.1", port, kBufferBytes);
        for (int i = 0; i < symbols; ++i) {
            books.push_back(std::make_unique<L2Book>());
            const int number = feed.add_symbol(books.back().get(), kTick, kLot, SequenceRule::contiguous);
            const std::string name = "x:s" + std::to_string(i);
            const std::string answer = std::to_string(i + 1) + ":" + name;
            feed.expect_answer(socket, name, number);
            feed.apply(socket, reinterpret_cast<const std::uint8_t*>(answer.data()), answer.size(), 1);
        }
        while (feed.next_text() != nullptr) {
            feed.pop_text();
        }
        if (feed.send_text(socket, "hello", 5) != 0) {
            std::exit(1);
        }
    }
    std::vector<std::unique_ptr<L2Book>> books;
    Feed feed;
    int socket;
};

constexpr int kSymbols = 100;

void send_all(int fd, const Packets& packets, std::size_t from, std::size_t count) {
    for (std::size_t i = from; i < from + count; ++i) {
        const std::size_t at = i % packets.size();
        while (send(fd, packets.at(at), packets.size_at(at), 0) < 0) {
        }
    }
}

constexpr std::size_t kFill = 2000;  // small packets take about 800 bytes of a socket's buffer

// `poll()` gives how many packets it has applied.
template <class Poll>
double drain_with(int server, const Packets& packets, Poll&& poll) {
    std::vector<double> rounds;
    for (std::size_t from = 0; from + kFill <= packets.size(); from += kFill) {
        send_all(server, packets, from, kFill);
        const std::int64_t begin_ns = monotonic_ns();
        for (std::size_t got = 0; got < kFill;) {
            got += static_cast<std::size_t>(poll());
        }
        rounds.push_back(static_cast<double>(monotonic_ns() - begin_ns) / kFill);
    }
    return median(rounds);
}

void drain(const std::string& who) {
    const Packets packets = make_packets(30 * kFill, kSymbols, "mix");
    Wire wire;
    if (who != "ours") {
        BareReceiver bare(wire.port, kSymbols, who == "stamped");
        wire.accept();
        print(drain_with(wire.server, packets, [&] { return bare.poll([](const std::uint8_t*) {}); }), "");
    } else {
        OurReceiver ours(wire.port, kSymbols);
        wire.accept();
        const double ns = drain_with(wire.server, packets, [&] { return ours.feed.poll(1024); });
        print(ns, fact("lost", static_cast<double>(ours.feed.statistics().lost)));
    }
}

// Sends all packets at full speed from a thread. -> ns a packet at the receiver, and how many never came.
template <class Poll>
std::pair<double, std::size_t> blast_once(int fd, const Packets& packets, Poll&& poll) {
    std::atomic<bool> sent{false};
    const std::int64_t begin_ns = monotonic_ns();
    measure::burst(receiver_cpu());
    std::thread sender([&] {
        measure::burst(kSenderCpu);
        send_all(fd, packets, 0, packets.size());
        sent.store(true, std::memory_order_release);
    });
    std::size_t got = 0;
    std::int64_t last_ns = begin_ns;
    while (true) {
        const bool over = sent.load(std::memory_order_acquire);
        const int now = poll();
        if (now > 0) {
            got += static_cast<std::size_t>(now);
            last_ns = monotonic_ns();
        } else if (over) {
            break;
        }
    }
    sender.join();
    return {static_cast<double>(last_ns - begin_ns) / static_cast<double>(got), packets.size() - got};
}

void blast(bool is_bare) {
    const Packets packets = make_packets(300'000 - kSymbols, kSymbols, "mix");
    Wire wire;
    std::pair<double, std::size_t> result;
    if (is_bare) {
        BareReceiver bare(wire.port, kSymbols);
        wire.accept();
        result = blast_once(wire.server, packets, [&] { return bare.poll([](const std::uint8_t*) {}); });
    } else {
        OurReceiver ours(wire.port, kSymbols);
        wire.accept();
        result = blast_once(wire.server, packets, [&] { return ours.feed.poll(1024); });
    }
    print(result.first, fact("lost", static_cast<double>(result.second)));
}

// -- latency -------------------------------------------------------------------------------------------------------

constexpr std::int64_t kIntervalNs = 50'000;
constexpr std::int64_t kCount = 16'000;  // 0.8 s

struct OneWay {
    std::vector<std::int64_t> intended_ns = std::vector<std::int64_t>(kCount + 2);
    std::vector<std::int64_t> latencies;
    void arrived(std::int64_t sn) { latencies.push_back(monotonic_ns() - intended_ns[static_cast<std::size_t>(sn)]); }
    double at(double share) {
        std::sort(latencies.begin(), latencies.end());
        return static_cast<double>(
            latencies[static_cast<std::size_t>(share * (static_cast<double>(latencies.size()) - 1))]);
    }
};

void send_paced(int fd, OneWay& record) {
    measure::burst(kSenderCpu);
    std::uint8_t bytes[64];
    PacketHeader header;
    header.index = 1;
    header.event_ms = 1'700'000'000'000;
    std::int64_t due_ns = monotonic_ns() + 1'000'000;
    for (std::int64_t sn = 1; sn <= kCount; ++sn, due_ns += kIntervalNs) {
        header.sn_id = sn;
        const std::size_t size = build_ticker(bytes, header, true, {60000.0, 1.0});
        while (monotonic_ns() < due_ns) {
        }
        record.intended_ns[static_cast<std::size_t>(sn)] = due_ns;
        send(fd, bytes, size, 0);
    }
}

void wait_readable(int epoll_fd, bool block) {
    if (block) {
        epoll_event event;
        epoll_wait(epoll_fd, &event, 1, 100);
    }
}

void latency(bool is_bare, bool block) {
    OneWay record;
    Wire wire;
    measure::burst(receiver_cpu());
    if (is_bare) {
        BareReceiver bare(wire.port, 1);
        wire.accept();
        const int epoll_fd = epoll_create1(0);
        epoll_event wanted{};
        wanted.events = EPOLLIN;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, bare.fd, &wanted);
        std::thread sender([&] { send_paced(wire.server, record); });
        for (std::int64_t got = 0; got < kCount;) {
            wait_readable(epoll_fd, block);
            got += bare.poll([&](const std::uint8_t* bytes) {
                record.arrived(qtx::detail::load<std::int64_t>(bytes + kSnIdOffset));
            });
        }
        sender.join();
        close(epoll_fd);
    } else {
        OurReceiver ours(wire.port, 1);
        wire.accept();
        FeedHandler handler;
        handler.context = &record;
        handler.on_book = [](void* context, int, const L2Book* book, std::int64_t) {
            static_cast<OneWay*>(context)->arrived(static_cast<std::int64_t>(book->last_update_id()));
        };
        ours.feed.set_handler(handler);
        std::thread sender([&] { send_paced(wire.server, record); });
        for (std::int64_t got = 0; got < kCount;) {
            wait_readable(ours.feed.fd(), block);
            got += ours.feed.poll(32);
        }
        sender.join();
    }
    const double p50 = record.at(0.5);
    print(p50, fact("p99", record.at(0.99)));
}

// -- allocations ---------------------------------------------------------------------------------------------------

void count_allocations() {
    constexpr std::size_t kRound = 1000;
    constexpr std::size_t kTotal = 1'000'000;
    Packets packets = make_packets(100'000, kSymbols, "mix");
    Wire wire;
    OurReceiver ours(wire.port, kSymbols);
    wire.accept();
    struct Seen {
        std::uint64_t books = 0, trades = 0;
    } seen;
    FeedHandler handler;
    handler.context = &seen;
    handler.on_book = [](void* to, int, const L2Book*, std::int64_t) { ++static_cast<Seen*>(to)->books; };
    handler.on_trade = [](void* to, const FeedTrade*) { ++static_cast<Seen*>(to)->trades; };
    ours.feed.set_handler(handler);
    rusage before{};
    for (std::size_t from = 0; from < 2 * kTotal; from += kRound) {
        if (from == kTotal) {  // warm
            getrusage(RUSAGE_THREAD, &before);
            counting.store(true);
        }
        for (std::size_t i = from; i < from + kRound; ++i) {
            const std::size_t later = i - packets.opening;  // the first pass begins with the opening
            const std::size_t at =
                i < packets.size() ? i : packets.opening + later % (packets.size() - packets.opening);
            if (i >= packets.size()) {
                packets.advance(at);
            }
            while (send(wire.server, packets.at(at), packets.size_at(at), 0) < 0) {
            }
        }
        for (std::size_t got = 0; got < kRound;) {
            got += static_cast<std::size_t>(ours.feed.poll(1024));
        }
    }
    counting.store(false);
    rusage after{};
    getrusage(RUSAGE_THREAD, &after);
    const auto applied = static_cast<double>(ours.feed.statistics().messages);
    if (applied != 2 * kTotal || seen.books + seen.trades != 2 * kTotal) {
        std::fprintf(stderr, "%.0f packets applied\n", applied);
        std::exit(1);
    }
    const auto faults = static_cast<double>(after.ru_minflt - before.ru_minflt);
    print(static_cast<double>(allocations.load()), fact("packets", kTotal) + ", " + fact("minor_faults", faults));
}

void repeat(const std::string& who, int times, const std::string& kind) {
    Packets packets = make_packets(5000, kSymbols, kind);
    const bool is_bare = who == "bare";
    const bool is_exact = who == "exact";
    Bare bare(kSymbols);
    plain::ExactDecoder exact(kSymbols, kMiddle - plain::ExactDecoder::kTicks / 2, 10.0, 1000.0);
    Ours ours(kSymbols);
    for (int i = 0; i < times; ++i) {
        if (i > 0) {
            packets.advance();
        }
        for (std::size_t k = i > 0 ? packets.opening : 0; k < packets.size(); ++k) {
            if (is_bare) {
                bare.apply(packets.at(k), packets.size_at(k));
            } else if (is_exact) {
                exact.apply(packets.at(k), packets.size_at(k));
            } else {
                ours.decoder.apply(ours.indices, packets.at(k), packets.size_at(k), 1, 1);
            }
        }
    }
}

}  // namespace

int main(int count, char** arguments) {
    const std::string who = count > 1 ? arguments[1] : "";
    const std::string job = count > 2 ? arguments[2] : "";
    const std::string option = count > 3 ? arguments[3] : "";
    const bool is_bare = who == "bare";
    if ((!is_bare && who != "ours" && who != "exact" && who != "stamped") || job.empty()) {
        std::fprintf(stderr,
                     "usage: udp_feed bare|exact|stamped|ours decode|drain|blast|latency|allocations|count [OPTION]\n");
        return 2;
    }
    if (job == "decode") {
        decode(who, option.empty() ? 100 : std::atoi(option.c_str()), count > 4 ? arguments[4] : "mix");
    } else if (job == "drain") {
        drain(who);
    } else if (job == "blast") {
        blast(is_bare);
    } else if (job == "latency") {
        latency(is_bare, option == "epoll");
    } else if (job == "allocations" && !is_bare) {
        count_allocations();
    } else if (job == "count") {
        repeat(who, std::atoi(option.c_str()), count > 4 ? arguments[4] : "mix");
    } else {
        return 2;
    }
    return 0;
}
