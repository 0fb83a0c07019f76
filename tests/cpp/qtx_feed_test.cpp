// The feed's receiving half: the handler inside the receive loop, exact grids, and sockets between two threads.
#include "qtxconn/qtx_feed.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"

using namespace qtxconn;
using namespace qtxconn::qtx;

namespace {

constexpr Fixed kTick{1, 1};  // 0.1
constexpr Fixed kLot{1, 3};   // 0.001

void grids() {
    std::mt19937_64 random(7);
    constexpr Fixed increments[] = {{1, 1}, {1, 2}, {5, 1}, {25, 2}, {1, 8}, {5, 0}, {1, 0}, {2, 5}, {3, 3}};
    BookLevel count{};
    const auto counts = [&](const Grid& grid, double price, double size) {
        const double level[2] = {price, size};
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(level);
        const bool good = grid.count_levels(bytes, 1, &count);
        BookLevel alone{};
        CHECK(grid.count_level(bytes, alone) == good && alone.price == count.price && alone.size == count.size);
        CHECK(grid.is_on_grid(bytes, 1) == (good || (price == 0.0 && size == 0.0)));
        return good;
    };
    for (const Fixed tick : increments) {
        const Grid grid(tick, kLot);
        for (int i = 0; i < 20'000; ++i) {
            const auto wanted = static_cast<std::int64_t>(random() % 10'000'000'000 + 1);
            Fixed exact;
            CHECK(from_increments(wanted, tick, exact) == FixedError::ok);
            CHECK(counts(grid, to_double(exact), 0.25) && count.price == wanted && count.size == 250);
            CHECK(!counts(grid, (static_cast<double>(wanted) + 0.25) * to_double(tick), 0.25));
        }
    }
    const Grid grid(kTick, kLot);
    const double inf = std::numeric_limits<double>::infinity();
    for (const double bad : {-1.0, -0.1, 1e18, 1e300, -1e300, 9e15, -9e15, 4.6e15, inf, -inf, std::nan("")}) {
        CHECK(!counts(grid, bad, 1.0) && !counts(grid, 1.0, bad));
    }
    CHECK(counts(grid, 1.0, 0.0) && count.size == 0);
    CHECK(!counts(grid, 0.0, 0.0) && !counts(grid, 0.0, 1.0));  // which of them passes is decided elsewhere
    const double most = std::ldexp(1.0, 40);                    // ticks; of lots it is the first too many
    CHECK(counts(grid, most / 10, 1.0) && !counts(grid, (most + 1) / 10, 1.0));
    CHECK(counts(grid, 1.0, (most - 1) / 1000) && !counts(grid, 1.0, most / 1000));
    const double wide[10] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0};
    for (std::size_t at = 0; at < 10; ++at) {  // every place of a message is checked
        for (const double bad : {-1.0, 1.0004, inf, 1e16}) {
            double levels[10];
            std::copy(wide, wide + 10, levels);
            levels[at] = bad;
            BookLevel ignored[5];
            CHECK(grid.count_levels(reinterpret_cast<const std::uint8_t*>(wide), 5, ignored));
            CHECK(!grid.count_levels(reinterpret_cast<const std::uint8_t*>(levels), 5, ignored));
        }
    }
    const double nothing[4] = {0.0, 0.0, 1.0, 1.0};
    CHECK(grid.is_on_grid(reinterpret_cast<const std::uint8_t*>(nothing), 2));
    // What count_levels is in doubt about: a zero with a sign, and many numbers that are each just near enough.
    double doubtful[10] = {1.0, -0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0};
    BookLevel out[5];
    CHECK(!grid.count_levels(reinterpret_cast<const std::uint8_t*>(doubtful), 5, out));
    CHECK(grid.is_on_grid(reinterpret_cast<const std::uint8_t*>(doubtful), 5) && out[0].price == 10 &&
          out[0].size == 0);
    for (double& number : doubtful) {
        number = 1.00009;
    }
    doubtful[1] = doubtful[3] = doubtful[5] = doubtful[7] = doubtful[9] = 1.0000009;
    CHECK(!grid.count_levels(reinterpret_cast<const std::uint8_t*>(doubtful), 5, out));
    CHECK(grid.is_on_grid(reinterpret_cast<const std::uint8_t*>(doubtful), 5) && out[4].price == 10);
}

// Loss, repeats and reordering in seeded plans, beside a model that remembers every number.
void sequence_counters() {
    const auto book = std::make_unique<L2Book>();
    for (unsigned seed = 0; seed < 1000; ++seed) {
        std::mt19937_64 random(seed);
        const double loss = static_cast<double>(random() % 51) / 100;
        const double repeat = static_cast<double>(random() % 51) / 100;
        const std::size_t window = random() % 100 + 1;
        std::vector<std::int64_t> sent;
        const auto base = static_cast<std::int64_t>(random() % 1'000'000);
        for (std::int64_t sn = base; sn < base + 400; ++sn) {
            const bool lost = static_cast<double>(random() % 1000) < loss * 1000;
            const bool twice = static_cast<double>(random() % 1000) < repeat * 1000;
            sent.insert(sent.end(), (lost ? 0 : 1) + (twice ? 1 : 0), sn);
        }
        for (std::size_t i = 0; i < sent.size(); ++i) {
            std::swap(sent[i], sent[std::min(sent.size() - 1, i + random() % window)]);
        }
        FeedDecoder decoder{FeedOptions{}};
        decoder.delivery = false;
        IndexTable indices;
        CHECK(indices.bind(7, decoder.add_symbol(book.get(), kTick, kLot, SequenceRule::contiguous)));
        std::set<std::int64_t> seen;
        std::uint64_t lost = 0, duplicates = 0, reorders = 0;
        std::int64_t last = 0;
        bool synchronised = false;
        std::uint8_t bytes[256];
        const Level asks[1] = {{100.2, 1.0}};
        const Level bids[1] = {{100.1, 2.0}};
        for (const std::int64_t sn : sent) {
            PacketHeader header;
            header.index = 7;
            header.sn_id = sn;
            const Reject result = decoder.apply(indices, bytes, build_depth(bytes, header, asks, 1, bids, 1), 1, 1);
            if (seen.empty()) {
                synchronised = true;
            } else if (sn > last) {
                lost += static_cast<std::uint64_t>(sn - last - 1);
                synchronised = synchronised && sn == last + 1;
            } else {
                ++(seen.insert(sn).second ? reorders : duplicates);
                CHECK(result == Reject::stale);
                continue;
            }
            CHECK(result == Reject::none);
            last = sn;
            seen.insert(sn);
            CHECK(book->valid() == synchronised);
        }
        CHECK(decoder.lost.get() == lost && decoder.duplicates.get() == duplicates);
        CHECK(decoder.reorders.get() == reorders);
    }
}

// Ten million packets for symbols that come, go and come again on sockets that are shared: each packet names its
// symbol in its size, and no book ever shows another's.
void generations() {
    constexpr int kSymbols = 8;
    std::mt19937_64 random(3);
    FeedDecoder decoder{FeedOptions{}};
    decoder.delivery = false;
    std::vector<std::unique_ptr<L2Book>> books;
    for (int i = 0; i < kSymbols; ++i) {
        books.push_back(std::make_unique<L2Book>());
        decoder.add_symbol(books.back().get(), kTick, kLot, SequenceRule::monotonic);
    }
    IndexTable indices;
    std::int32_t next_index = 0;
    std::int32_t index_of[kSymbols];
    for (int i = 0; i < kSymbols; ++i) {
        index_of[i] = next_index++;
        CHECK(indices.bind(index_of[i], decoder.symbol(i)));
    }
    std::uint8_t bytes[64];
    PacketHeader header;
    for (std::int64_t sn = 1; sn <= 10'000'000; ++sn) {
        const auto symbol = static_cast<int>(random() % kSymbols);
        if (random() % 1024 == 0) {
            indices.unbind(decoder.symbol(symbol));
            const int other = (symbol + 1) % kSymbols;
            CHECK(!indices.bind(index_of[symbol], decoder.symbol(other)));  // a server that uses the index again
            if (random() % 2 == 0) {
                index_of[symbol] = next_index = (next_index + 1) % 100'000;
                while (!indices.bind(index_of[symbol], decoder.symbol(symbol))) {
                    index_of[symbol] = next_index = (next_index + 1) % 100'000;
                }
                decoder.restart(decoder.symbol(symbol));
            }
        }
        header.index = index_of[symbol];
        header.sn_id = sn;
        decoder.apply(indices, bytes, build_ticker(bytes, header, true, {100.0, (symbol + 1) * 0.001}), 1, 1);
        if (sn % 1024 == 0) {
            for (int i = 0; i < kSymbols; ++i) {
                CHECK(books[static_cast<std::size_t>(i)]->best(Side::bid) == nullptr ||
                      books[static_cast<std::size_t>(i)]->best(Side::bid)->size == i + 1);
            }
        }
    }
}

struct Seen {
    int books = 0;
    int trades = 0;
    std::int64_t best_bid = 0;
    FeedTrade last;
};

// A server's socket on loopback that knows its one client.
struct Server {
    Server() : fd(socket(AF_INET, SOCK_DGRAM, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        CHECK(bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
        CHECK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
        port = ntohs(address.sin_port);
    }
    ~Server() { close(fd); }
    void accept() {
        char request[128];
        socklen_t size = sizeof client;
        CHECK(recvfrom(fd, request, sizeof request, 0, reinterpret_cast<sockaddr*>(&client), &size) > 0);
    }
    void send(const void* bytes, std::size_t size) {
        CHECK(sendto(fd, bytes, size, 0, reinterpret_cast<sockaddr*>(&client), sizeof client) ==
              static_cast<ssize_t>(size));
    }
    int fd;
    std::uint16_t port = 0;
    sockaddr_in client{};
};

void handler_and_poll(bool threaded) {
    Server server;
    const auto book = std::make_unique<L2Book>();
    Feed feed{FeedOptions{}};
    Seen seen;
    FeedHandler handler;
    handler.context = &seen;
    handler.on_book = [](void* context, int symbol, const L2Book* changed, std::int64_t received_ns) {
        CHECK(symbol == 0 && received_ns > 0);
        auto& to = *static_cast<Seen*>(context);
        ++to.books;
        to.best_bid = changed->best(Side::bid) != nullptr ? changed->best(Side::bid)->price : 0;
    };
    handler.on_trade = [](void* context, const FeedTrade* trade) {
        auto& to = *static_cast<Seen*>(context);
        ++to.trades;
        to.last = *trade;
    };
    feed.set_handler(handler);
    feed.set_delivery(false);
    const int socket = feed.open_socket("127.0.0.1", server.port, 1 << 20);
    CHECK(socket == 0);
    CHECK(feed.add_symbol(book.get(), kTick, kLot, SequenceRule::contiguous) == 0);
    feed.expect_answer(socket, "x:btcusdt", 0);
    CHECK(feed.send_text(socket, "x:btcusdt", 9) == 0);
    server.accept();

    std::uint8_t bytes[256];
    PacketHeader header;
    header.index = 5;
    header.sn_id = 1;
    const Level asks[1] = {{100.2, 1.0}};
    const Level bids[1] = {{100.1, 2.0}};
    server.send("5:x:btcusdt", 11);
    server.send(bytes, build_depth(bytes, header, asks, 1, bids, 1));
    if (threaded) {
        CHECK(feed.start_thread(-1, 1000, 1000));
    }
    constexpr int kCount = 2000;
    for (int i = 1; i <= kCount; ++i) {
        header.sn_id = i;
        server.send(bytes, build_ticker(bytes, header, true, {100.1, i / 1000.0}));
        server.send(bytes, build_trade(bytes, header, true, {100.2, 0.5}));
        if (i % 100 == 0) {
            const auto wanted = static_cast<std::uint64_t>(2 * i + 2);
            while (feed.statistics().datagrams < wanted) {
                if (!threaded) {
                    feed.poll(64);
                }
                std::this_thread::yield();
            }
        }
    }
    feed.stop_thread();
    CHECK(seen.books == kCount + 1 && seen.trades == kCount && seen.best_bid == 1001);
    CHECK(seen.last.price == 1002 && seen.last.size == 500 && seen.last.is_buy);
    CHECK(book->valid() && book->best(Side::bid)->size == kCount);
    const FeedStatistics counts = feed.statistics();
    CHECK(counts.lost == 0 && counts.kernel_drops == 0 && counts.messages == 2 * kCount + 1);
    LatencyHistogram latency;
    feed.read_latency(latency);
    CHECK(latency.count() == 2 * kCount + 1);
}

Reject say(Feed& feed, int socket, const char* text) {
    return feed.apply(socket, reinterpret_cast<const std::uint8_t*>(text), std::strlen(text), 1);
}

void subscriptions() {
    Server server;
    const auto book = std::make_unique<L2Book>();
    Feed feed{FeedOptions{}};
    const int socket = feed.open_socket("127.0.0.1", server.port, 1 << 16);
    feed.add_symbol(book.get(), kTick, kLot, SequenceRule::contiguous);
    std::uint8_t bytes[256];
    PacketHeader header;
    header.index = 3;
    const std::size_t size = build_ticker(bytes, header, true, {100.0, 1.0});
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::unknown_index);
    feed.expect_answer(socket, "x:y", 0);
    CHECK(say(feed, socket, "3:x:z") == Reject::text);
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::held);
    CHECK(feed.statistics().messages == 0);
    CHECK(say(feed, socket, "3:x:y") == Reject::text);
    CHECK(feed.statistics().messages == 1);  // what had overtaken the answer
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::stale);
    const FeedText* text = feed.next_text();
    CHECK(text != nullptr && text->symbol == -1);
    feed.pop_text();
    text = feed.next_text();
    CHECK(text != nullptr && text->symbol == 0 && text->bound);
    feed.pop_text();
    CHECK(feed.next_text() == nullptr);
    feed.unbind(0, BookInvalid::gap);
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::unknown_index);
    std::vector<int> changed;
    feed.take_changed(changed);
    CHECK(changed.size() == 1 && changed[0] == 0 && !book->valid());
    // The index was the first symbol's on this socket, so no other symbol gets it here.
    feed.add_symbol(book.get(), kTick, kLot, SequenceRule::contiguous);
    feed.expect_answer(socket, "x:w", 1);
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::unknown_index);  // late data of the first: not even held
    CHECK(say(feed, socket, "3:x:w") == Reject::text);
    CHECK(feed.next_text()->symbol == 1 && !feed.next_text()->bound);
    // Without an answer, what was held is no one's.
    feed.expect_answer(socket, "x:v", 1);
    header.index = 4;
    build_ticker(bytes, header, true, {100.0, 1.0});
    const std::uint64_t before = feed.statistics().rejects[static_cast<int>(Reject::unknown_index)];
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::held);
    feed.forget_answer(socket, 1);
    CHECK(feed.statistics().rejects[static_cast<int>(Reject::unknown_index)] == before + 1);
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::unknown_index);
    feed.close_socket(socket);
}

// A handler that asks the feed, gives up its symbol and closes the socket it is called from.
void the_handler_calls_the_feed() {
    struct Strategy {
        Feed* feed;
        int socket;
        int calls;
    };
    Server server;
    const auto book = std::make_unique<L2Book>();
    Feed feed{FeedOptions{}};
    Strategy strategy{&feed, -1, 0};
    FeedHandler handler;
    handler.context = &strategy;
    handler.on_book = [](void* context, int symbol, const L2Book* changed, std::int64_t received_ns) {
        auto& self = *static_cast<Strategy*>(context);
        if (received_ns == 0) {
            CHECK(!changed->valid());
            return;
        }
        ++self.calls;
        CHECK(self.feed->poll(1) == 0);  // already receiving
        if (self.calls == 2) {
            self.feed->unbind(symbol, BookInvalid::disconnected);
            self.feed->close_socket(self.socket);
        }
    };
    feed.set_handler(handler);
    strategy.socket = feed.open_socket("127.0.0.1", server.port, 1 << 20);
    feed.add_symbol(book.get(), kTick, kLot, SequenceRule::contiguous);
    feed.expect_answer(strategy.socket, "x:y", 0);
    CHECK(feed.send_text(strategy.socket, "x:y", 3) == 0);
    server.accept();
    server.send("5:x:y", 5);
    std::uint8_t bytes[256];
    PacketHeader header;
    header.index = 5;
    for (int i = 1; i <= 20; ++i) {
        header.sn_id = i;
        server.send(bytes, build_ticker(bytes, header, true, {100.0, 1.0}));
    }
    while (strategy.calls < 2) {
        feed.poll(64);
    }
    CHECK(feed.poll(64) == 0 && strategy.calls == 2);
}

// Threads that ask a feed which another thread receives for: everything asked is done, once, and in time.
void many_callers(bool threaded) {
    Server server;
    Feed feed{FeedOptions{}};
    const int socket = feed.open_socket("127.0.0.1", server.port, 1 << 20);
    if (threaded) {
        CHECK(feed.start_thread(-1, 1'000'000, 0));
    }
    constexpr int kThreads = 3;
    constexpr int kCalls = 300;
    std::vector<std::unique_ptr<L2Book>> books;
    for (int i = 0; i < kThreads * kCalls; ++i) {
        books.push_back(std::make_unique<L2Book>());
    }
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < kCalls; ++i) {
                const int symbol = feed.add_symbol(books[static_cast<std::size_t>(t * kCalls + i)].get(), kTick, kLot,
                                                   SequenceRule::contiguous);
                feed.expect_answer(socket, "x", symbol);
                feed.forget_answer(socket, symbol);
                feed.unbind(symbol, BookInvalid::gap);
                CHECK(feed.symbol(symbol).number == symbol);
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(feed.decoder().symbol_count() == kThreads * kCalls);
    bool thrown = false;
    try {
        SingleWriter writer;
        writer.call([] { throw std::runtime_error("work"); });
    } catch (const std::runtime_error&) {
        thrown = true;
    }
    CHECK(thrown);
}

void record_ring() {
    RecordRing ring(1 << 12);
    constexpr std::uint32_t kRecords = 200'000;
    std::thread producer([&ring] {
        std::mt19937 random(1);
        for (std::uint32_t i = 0; i < kRecords;) {
            const std::size_t words = random() % 100 + 1;
            auto* record = static_cast<std::uint32_t*>(ring.claim(4 * words));
            if (record == nullptr) {
                std::this_thread::yield();
                continue;
            }
            record[0] = i;
            record[words - 1] = words == 1 ? i : ~i;
            ring.publish();
            ++i;
        }
    });
    std::mt19937 random(1);
    for (std::uint32_t i = 0; i < kRecords;) {
        const auto* record = static_cast<const std::uint32_t*>(ring.front());
        if (record == nullptr) {
            std::this_thread::yield();
            continue;
        }
        CHECK(record[0] == i);
        ring.pop();
        ++i;
    }
    producer.join();
    CHECK(ring.front() == nullptr && ring.room() == 1 << 12);
    CHECK(ring.claim(1 << 12) == nullptr);
}

}  // namespace

int main() {
    grids();
    sequence_counters();
    generations();
    record_ring();
    subscriptions();
    the_handler_calls_the_feed();
    many_callers(false);
    many_callers(true);
    handler_and_poll(false);
    handler_and_poll(true);
}
