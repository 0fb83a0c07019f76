// The feed's receiving half: the handler inside the receive loop, exact grids, and sockets between two threads.
#include "qtxconn/qtx_feed.hpp"

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "check.hpp"

using namespace qtxconn;
using namespace qtxconn::qtx;

namespace {

constexpr Fixed kTick{1, 1};  // 0.1
constexpr Fixed kLot{1, 3};   // 0.001

void grids() {
    std::mt19937_64 random(7);
    constexpr Fixed increments[] = {{1, 1}, {1, 2}, {5, 1}, {25, 2}, {1, 8}, {5, 0}, {1, 0}, {2, 5}, {3, 3}};
    for (const Fixed increment : increments) {
        const Grid grid(increment);
        for (int i = 0; i < 20'000; ++i) {
            const auto wanted = static_cast<std::int64_t>(random() % 10'000'000'000);
            Fixed exact;
            CHECK(from_increments(wanted, increment, exact) == FixedError::ok);
            std::int64_t count = -1;
            CHECK(grid.count(to_double(exact), count) && count == wanted);
            CHECK(!grid.count((static_cast<double>(wanted) + 0.25) * to_double(increment), count));
        }
        std::int64_t count = 0;
        CHECK(!grid.count(1e18, count));
        CHECK(grid.count(0.0, count) && count == 0);
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
    CHECK(feed.add_symbol(book.get(), kTick, kLot) == 0);
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
    CHECK(latency.count() == kCount + 1);
}

void without_a_socket_in_between() {
    Server server;
    const auto book = std::make_unique<L2Book>();
    Feed feed{FeedOptions{}};
    const int socket = feed.open_socket("127.0.0.1", server.port, 1 << 16);
    feed.add_symbol(book.get(), kTick, kLot);
    std::uint8_t bytes[256];
    PacketHeader header;
    header.index = 3;
    const std::size_t size = build_ticker(bytes, header, true, {100.0, 1.0});
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::unknown_index);
    feed.expect_answer(socket, "x:y", 0);
    CHECK(feed.apply(socket, reinterpret_cast<const std::uint8_t*>("3:x:z"), 5, 1) == Reject::none);
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::unknown_index);
    CHECK(feed.apply(socket, reinterpret_cast<const std::uint8_t*>("3:x:y"), 5, 1) == Reject::none);
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::none);
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::stale);
    std::vector<FeedText> texts;
    feed.take_texts(texts);
    CHECK(texts.size() == 2 && texts[0].symbol == -1 && texts[1].symbol == 0 && texts[1].bound);
    feed.unbind(0, BookInvalid::gap);
    CHECK(feed.apply(socket, bytes, size, 1) == Reject::unknown_index);
    std::vector<int> changed;
    feed.take_changed(changed);
    CHECK(changed.size() == 1 && changed[0] == 0 && !book->valid());
    feed.close_socket(socket);
}

}  // namespace

int main() {
    grids();
    without_a_socket_in_between();
    handler_and_poll(false);
    handler_and_poll(true);
}
