// Tick to trade, clients in C++: a plain one that spins or blocks, which is the limit, and qtxconn's headers.
//
//     tick_to_trade_client spin|block|qtxconn PORT SEGMENT CPU
//
// Each receives a ticker, decides to buy at its price, and publishes the order in shared memory. A trade ends it.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmath>
#include <string>

#include "measure.hpp"
#include "qtx_plain.hpp"
#include "qtxconn/clock.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/l2_book.hpp"
#include "qtxconn/qtx_feed.hpp"
#include "qtxconn/qtx_order_client.hpp"

namespace {

constexpr char kFeedSymbol[] = "binance-futures:btcusdt";
constexpr std::int64_t kPatienceNs = 10'000'000'000;

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::exit(1);
}

// -- the limit -----------------------------------------------------------------------------------------------------

class PlainClient {
public:
    PlainClient(std::uint16_t port, const char* segment) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        const int buffer = 4 << 20;
        fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        const int shm = shm_open(segment, O_RDWR, 0);
        void* memory = mmap(nullptr, sizeof(plain::Queue), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, shm, 0);
        if (memory == MAP_FAILED || connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
            send(fd_, kFeedSymbol, sizeof kFeedSymbol - 1, 0) < 0) {
            fail("set-up");
        }
        queue_ = static_cast<plain::Queue*>(memory);
    }

    void run(bool spin) {
        const std::int64_t deadline_ns = measure::now_ns() + kPatienceNs;
        const timeval patience{10, 0};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        for (;;) {
            plain::Ticker ticker;
            const ssize_t got = recv(fd_, &ticker, sizeof ticker, spin ? MSG_DONTWAIT : 0);
            if (got < 0) {
                if (!spin || measure::now_ns() > deadline_ns) {
                    fail("no tick");
                }
                continue;
            }
            if (got == sizeof ticker && ticker.type == 3) {
                return;
            }
            if (got != sizeof ticker || ticker.type != 1 || ticker.index != 0 || ticker.sn_id <= last_sn_) {
                continue;  // the answer to the subscription, the depth message
            }
            last_sn_ = ticker.sn_id;
            const std::int64_t tenths = std::llround(ticker.price * 10.0);
            if (tenths != last_tenths_) {
                last_tenths_ = tenths;
                publish(tenths, static_cast<std::uint64_t>(ticker.sn_id));
            }
        }
    }

private:
    void publish(std::int64_t tenths, std::uint64_t id) {
        const std::int64_t to_idx = queue_->to_idx;
        const std::int64_t next = (to_idx + 1) % plain::kSlots;
        plain::Slot& slot = queue_->slots[to_idx];
        if (next == plain::acquire(queue_->from_idx) ||
            (slot.place_ts_ns != 0 && plain::acquire(slot.res_ts_ns) == 0)) {
            return;  // full
        }
        timespec now{};
        clock_gettime(CLOCK_REALTIME, &now);
        slot.mode = 1;
        slot.side = 1;
        slot.pos_side = 0;
        slot.client_order_id = id;
        slot.order_type = 0;
        slot.price_match = 0;
        slot.place_ts_ns =
            static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
        slot.res_ts_ns = 0;
        slot.res_msg[0] = '\0';
        std::memcpy(slot.size, "0.002", 6);
        plain::format_tenths(tenths, slot.price);
        std::memcpy(slot.symbol, "BTCUSDT", 8);
        plain::release(queue_->to_idx, next);
    }

    int fd_ = -1;
    plain::Queue* queue_ = nullptr;
    std::int64_t last_sn_ = 0;
    std::int64_t last_tenths_ = 0;
};

// -- qtxconn -------------------------------------------------------------------------------------------------------

namespace qx = qtxconn;
namespace qtx = qtxconn::qtx;

struct Strategy {
    qtx::OrderClient& client;
    bool done = false;
    std::int64_t last_price = 0;

    static void on_book(void* self, int, const qx::L2Book* book, std::int64_t) {
        static_cast<Strategy*>(self)->decide(*book);
    }

    static void on_trade(void* self, const qtx::FeedTrade*) { static_cast<Strategy*>(self)->done = true; }

    void decide(const qx::L2Book& book) {
        const qx::BookLevel* bid = book.best(qx::Side::bid);
        if (!book.valid() || bid->price == last_price) {
            return;
        }
        last_price = bid->price;
        char price[qx::kFixedTextMax];
        qx::Fixed exact;
        qx::from_increments(bid->price, qx::Fixed{1, 1}, exact);
        qtx::OrderRequest request;
        request.mode = qtx::kModePlace;
        request.side = qtx::kSideBuy;
        request.client_order_id = book.last_update_id();
        request.order_type = qtx::kTypeIoc;
        request.place_ts_ns = static_cast<std::uint64_t>(qx::wall_ns());
        request.size.assign({"0.002", 5});
        request.price.assign({price, qx::format_fixed(exact, price)});
        request.symbol.assign({"BTCUSDT", 7});
        client.submit(request);
    }
};

void run_qtxconn(std::uint16_t port, const char* segment, int cpu) {
    qtx::SegmentMap map;
    if (map.attach(segment, false) != qtx::MapStatus::ok) {
        fail("attach");
    }
    qtx::OrderClient client(map, 5 * qx::kNsPerSecond, true, qtx::WaitPolicy{});
    qx::L2Book book;
    qtx::Feed feed(qtx::FeedOptions{});
    Strategy strategy{client};
    feed.set_delivery(false);
    feed.set_handler({&strategy, &Strategy::on_book, &Strategy::on_trade});
    const int socket = feed.open_socket("127.0.0.1", port, 4 << 20);
    feed.expect_answer(socket, kFeedSymbol, feed.add_symbol(&book, qx::Fixed{1, 1}, qx::Fixed{1, 3}));
    feed.send_text(socket, kFeedSymbol, sizeof kFeedSymbol - 1);
    measure::burst(cpu);
    const std::int64_t deadline_ns = measure::now_ns() + kPatienceNs;
    while (!strategy.done) {
        if (feed.poll(64) == 0 && measure::now_ns() > deadline_ns) {
            fail("no tick");
        }
        qtx::AnswerView answer;
        while (client.producer.take_any(answer) == qtx::QueueStatus::ok) {
            client.producer.release(answer);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        return 2;
    }
    const std::string mode = argv[1];
    const auto port = static_cast<std::uint16_t>(std::atoi(argv[2]));
    const int cpu = std::atoi(argv[4]);
    if (mode == "qtxconn") {
        run_qtxconn(port, argv[3], cpu);
    } else {
        PlainClient client(port, argv[3]);
        measure::burst(cpu);
        client.run(mode == "spin");
    }
    measure::Result result;
    result.print();
    return 0;
}
