// A QTX client from the headers alone: market data into a book, one order through shared memory, its answer.
//
//     QTX_API_KEY=... QTX_API_SECRET=... ./client HOST PORT FEED_SYMBOL SEGMENT VENUE_SYMBOL
//
// All arguments are in the JSON line that `qtxconn venue` prints. Exit status: 0 with an answer to the order, 1
// without, 2 for wrong arguments.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "qtxconn/client_order_tracker.hpp"
#include "qtxconn/clock.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/l2_book.hpp"
#include "qtxconn/order_id.hpp"
#include "qtxconn/qtx_feed.hpp"
#include "qtxconn/qtx_order_client.hpp"

namespace qx = qtxconn;
namespace qtx = qtxconn::qtx;

namespace {

constexpr std::int64_t kPatienceNs = 5 * qx::kNsPerSecond;
constexpr qx::Fixed kTick{1, 1};    // 0.1, quote per base
constexpr qx::Fixed kLot{1, 3};     // 0.001, base asset
constexpr qx::Fixed kAmount{2, 3};  // 0.002

qtx::TextView view(const std::string& text) { return {text.data(), text.size()}; }

// Counts what the receive loop reports; a strategy would decide here.
struct Counts {
    long books = 0;
    long trades = 0;

    static void on_book(void* self, int, const qx::L2Book*, std::int64_t) { ++static_cast<Counts*>(self)->books; }
    static void on_trade(void* self, const qtx::FeedTrade*) { ++static_cast<Counts*>(self)->trades; }
};

// Receives until the book is valid and `changes` messages have come.
bool follow(qtx::Feed& feed, const qx::L2Book& book, const Counts& counts, long changes) {
    const std::int64_t deadline_ns = qx::monotonic_ns() + kPatienceNs;
    while (!book.valid() || counts.books < changes) {
        feed.poll(64);
        if (qx::monotonic_ns() > deadline_ns) {
            return false;
        }
    }
    return true;
}

// Publishes a request and waits for its answer, which is printed. False: refused, or no answer in time.
bool ask(qtx::OrderClient& client, const qtx::OrderRequest& request, const char* what) {
    const int slot = client.submit(request);
    if (slot < 0) {
        std::fprintf(stderr, "%s: %s\n", what, qtx::describe(static_cast<qtx::QueueStatus>(slot)));
        return false;
    }
    qtx::AnswerView answer;
    const qtx::QueueStatus status = client.producer.wait(slot, qtx::WaitPolicy{}, kPatienceNs, answer);
    if (status != qtx::QueueStatus::ok) {
        std::fprintf(stderr, "%s: %s\n", what, qtx::describe(status));
        return false;
    }
    std::printf("%s: answered after %lld us: %.*s\n", what,
                static_cast<long long>(qx::wall_ns() - static_cast<std::int64_t>(request.place_ts_ns)) / 1000,
                static_cast<int>(answer.message.size), answer.message.data);
    client.producer.release(answer);
    return true;
}

// Buys at the best ask, immediate or cancel. The order is tracked before it is published.
bool buy(qtx::OrderClient& client, qx::ClientOrderTracker& tracker, const qx::BookLevel& ask_level,
         const std::string& symbol) {
    const std::int64_t now_ns = qx::wall_ns();
    qx::InFlightOrder order;
    const auto now_s = static_cast<std::uint64_t>(now_ns / qx::kNsPerSecond - qx::kOrderIdEpochS);
    qx::OrderIdSource ids(0, now_s);
    order.client_id = ids.next(now_s);
    order.symbol = tracker.intern_symbol(symbol);
    order.set_amount(kAmount);
    order.created_ns = now_ns;
    qx::Fixed order_price;
    if (qx::from_increments(ask_level.price, kTick, order_price) != qx::FixedError::ok) {
        return false;
    }
    order.set_price(order_price);
    const std::uint32_t tracked = tracker.start_tracking(order);
    tracker.process_state(tracked, qx::OrderState::pending_submit, 0, {}, now_ns);

    char price[qx::kFixedTextMax];
    char amount[qx::kFixedTextMax];
    qtx::OrderRequest request;
    request.mode = qtx::kModePlace;
    request.side = qtx::kSideBuy;
    request.client_order_id = order.client_id;
    request.order_type = qtx::kTypeIoc;
    request.place_ts_ns = static_cast<std::uint64_t>(now_ns);
    request.price.assign({price, qx::format_fixed(order_price, price)});
    request.size.assign({amount, qx::format_fixed(kAmount, amount)});
    request.symbol.assign(view(symbol));
    return ask(client, request, "order");
}

int run(const char* host, std::uint16_t port, const std::string& feed_symbol, const char* segment,
        const std::string& venue_symbol, const std::string& key, const std::string& secret) {
    qx::L2Book book;
    Counts counts;
    qtx::Feed feed(qtx::FeedOptions{});
    feed.set_delivery(false);  // nobody takes changes and trades from the feed: the handler sees them
    feed.set_handler({&counts, &Counts::on_book, &Counts::on_trade});
    const int socket = feed.open_socket(host, port, 1 << 20);
    if (socket < 0) {
        std::fprintf(stderr, "cannot open a socket to %s:%d: errno %d\n", host, port, -socket);
        return 1;
    }
    feed.expect_answer(socket, feed_symbol, feed.add_symbol(&book, kTick, kLot));
    feed.send_text(socket, feed_symbol.data(), feed_symbol.size());
    if (!follow(feed, book, counts, 20)) {
        std::fprintf(stderr, "no valid book of %s within 5 s\n", feed_symbol.c_str());
        return 1;
    }
    std::printf("book: %zu bids, %zu asks, %ld changes, %ld trades\n", book.depth(qx::Side::bid),
                book.depth(qx::Side::ask), counts.books, counts.trades);

    qtx::SegmentMap map;
    const qtx::MapStatus mapped = map.attach(segment, false);
    if (mapped != qtx::MapStatus::ok) {
        std::fprintf(stderr, "cannot attach to %s: status %d\n", segment, static_cast<int>(mapped));
        return 1;
    }
    qtx::OrderClient client(map, kPatienceNs, true, qtx::WaitPolicy{});
    qtx::OrderRequest registration;
    registration.mode = qtx::kModeRegisterKey;
    registration.place_ts_ns = static_cast<std::uint64_t>(qx::wall_ns());
    registration.api_key = view(key);
    registration.api_secret = view(secret);
    if (!ask(client, registration, "key")) {
        return 1;
    }
    feed.poll(1024);
    qx::ClientOrderTracker tracker;
    return book.valid() && buy(client, tracker, *book.best(qx::Side::ask), venue_symbol) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    const char* key = std::getenv("QTX_API_KEY");
    const char* secret = std::getenv("QTX_API_SECRET");
    const int port = argc == 6 ? std::atoi(argv[2]) : 0;
    if (port <= 0 || port > 65535 || key == nullptr || secret == nullptr) {
        std::fprintf(stderr,
                     "usage: QTX_API_KEY=... QTX_API_SECRET=... %s HOST PORT FEED_SYMBOL SEGMENT VENUE_SYMBOL\n",
                     argv[0]);
        return 2;
    }
    return run(argv[1], static_cast<std::uint16_t>(port), argv[3], argv[4], argv[5], key, secret);
}
