// Tick to trade, the venue's side: sends tickers when they are due and times each order that answers one.
//
//     tick_to_trade_venue SEGMENT even|poisson|bursts|closed RATE COUNT WARM_UP CPU
//
// Prints its UDP port, then waits for a subscription. When each tick is due is fixed before the first is sent, whatever
// happens to the others (open loop): at even distances, at random ones, or ten at once. "closed" alone sends a tick
// when the last one was answered; it is there to show what that hides. The order for a tick carries its number as
// client order id and its price as text. The histogram holds, per order, from when its tick was due to when its slot
// was seen here: both by this process's clock. A wrong price ends the program. Facts: "lost", ticks without an order;
// "achieved", orders a second; "first_ns", the very first order.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "measure.hpp"
#include "qtx_plain.hpp"

namespace {

constexpr std::int64_t kFirstTenths = 600000;
constexpr std::int64_t kPrices = 1000;
constexpr std::int64_t kPatienceNs = 300'000'000;   // for orders after the last tick
constexpr std::int64_t kGoodbyeNs = 5'000'000'000;  // for a client that is behind to see that it is over
constexpr std::size_t kBurst = 10;

std::int64_t tenths_of(std::int64_t tick) { return kFirstTenths + tick * 7 % kPrices; }

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

// The name goes with the program, however it ends.
struct Segment {
    explicit Segment(const char* name_) : name(name_) {
        const int fd = shm_open(name_, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd < 0 || ftruncate(fd, sizeof(plain::Queue)) != 0) {
            fail(name_);
        }
        void* memory = mmap(nullptr, sizeof(plain::Queue), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (memory == MAP_FAILED) {
            fail("mmap");
        }
        queue = static_cast<plain::Queue*>(memory);
        close(fd);
    }
    ~Segment() { shm_unlink(name.c_str()); }

    std::string name;
    plain::Queue* queue;
};

// Binds a socket, says where, and connects it to the first who subscribes.
int serve_one() {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const timeval patience{20, 0};
    if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        fail("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    char text[128];
    const ssize_t got = recvfrom(fd, text, sizeof text, 0, reinterpret_cast<sockaddr*>(&address), &size);
    if (got <= 0 || connect(fd, reinterpret_cast<sockaddr*>(&address), size) != 0) {
        fail("no subscription");
    }
    const std::string answer = "0:" + std::string(text, static_cast<std::size_t>(got));
    const plain::OneAskDepth depth{2, 0, 1, 1, 1, 1, 1, 0, 70000.0, 1.0};  // one-sided: no bid before the first tick
    if (send(fd, answer.data(), answer.size(), 0) < 0 || send(fd, &depth, sizeof depth, 0) < 0) {
        fail("send");
    }
    return fd;
}

// When each tick is due, relative to the start. The random distances are the same on every run.
std::vector<std::int64_t> arrivals(const std::string& pattern, double rate, std::size_t count) {
    std::vector<std::int64_t> due(count);
    std::mt19937_64 random(1);
    std::exponential_distribution<double> distance_ns(rate / 1e9);
    double at_ns = 0.0;
    for (std::size_t k = 0; k < count; ++k) {
        if (pattern == "poisson") {
            at_ns += distance_ns(random);
        } else {
            at_ns = static_cast<double>(pattern == "bursts" ? k / kBurst * kBurst : k) * 1e9 / rate;
        }
        due[k] = static_cast<std::int64_t>(at_ns);
    }
    return due;
}

class Trial {
public:
    Trial(int fd, plain::Queue& queue, std::int64_t warm_up, std::vector<std::int64_t> due_ns)
        : fd_(fd),
          queue_(queue),
          warm_up_(warm_up),
          total_(static_cast<std::int64_t>(due_ns.size())),
          due_ns_(std::move(due_ns)) {
        ticker_ = plain::Ticker{1, 0, 1, 1, 1, 0, 0.0, 1.0};
    }

    void run_open() {
        const std::int64_t start_ns = measure::now_ns() + 20'000'000;
        for (std::int64_t& due_ns : due_ns_) {
            due_ns += start_ns;
        }
        const std::int64_t end_ns = due_ns_.back() + kPatienceNs;
        while (seen_ < total_ && measure::now_ns() < end_ns) {
            if (sent_ < total_ && measure::now_ns() >= due_ns_[static_cast<std::size_t>(sent_)]) {
                send_tick();
            }
            take_orders();
        }
    }

    void run_closed() {
        for (std::int64_t& due_ns : due_ns_) {
            due_ns = measure::now_ns();
            send_tick();
            while (seen_ < sent_ && measure::now_ns() - due_ns < kPatienceNs) {
                take_orders();
            }
        }
    }

    // A trade: the client may go. Until it has gone, for one that is far behind has no room for what is sent at first.
    void say_goodbye() {
        plain::Ticker trade{3, 0, 1, 1, 1, 0, 60000.0, 1.0};
        const std::int64_t end_ns = measure::now_ns() + kGoodbyeNs;
        for (; measure::now_ns() < end_ns && send_datagram(trade); usleep(1000)) {
            ++trade.sn_id;
        }
    }

    void report(measure::Result& result) const {
        const auto measured = static_cast<double>(durations_.count());
        const double span_ns = static_cast<double>(last_seen_ns_ - due_ns_[static_cast<std::size_t>(warm_up_)]);
        result.histogram(durations_);
        result.fact("lost", static_cast<double>(total_ - seen_));
        result.fact("achieved", span_ns > 0 ? measured / span_ns * 1e9 : 0.0);
        result.fact("first_ns", static_cast<double>(first_ns_));
        if (seen_ == total_) {
            result.checksum(hash_.value());
        }
    }

private:
    void send_tick() {
        ticker_.price = static_cast<double>(tenths_of(sent_)) / 10.0;
        ticker_.sn_id = ++sent_;
        send_datagram(ticker_);
    }

    // Returns false if nobody listens there any more.
    bool send_datagram(const plain::Ticker& datagram) {
        if (send(fd_, &datagram, sizeof datagram, 0) >= 0) {
            return true;
        }
        if (errno != ECONNREFUSED) {
            fail("send");
        }
        return false;
    }

    void take_orders() {
        const std::int64_t to_idx = plain::acquire(queue_.to_idx);
        for (; from_idx_ != to_idx; from_idx_ = (from_idx_ + 1) % plain::kSlots) {
            const std::int64_t now_ns = measure::now_ns();
            plain::Slot& slot = queue_.slots[from_idx_];
            const auto tick = static_cast<std::int64_t>(slot.client_order_id) - 1;
            check(slot, tick);
            count(tick, now_ns);
            std::memcpy(slot.res_msg, "ok", 3);
            plain::release(slot.res_ts_ns, static_cast<std::uint64_t>(now_ns));
            plain::release(queue_.from_idx, (from_idx_ + 1) % plain::kSlots);
        }
    }

    void check(const plain::Slot& slot, std::int64_t tick) {
        char expected[24];
        if (tick >= 0 && tick < sent_) {
            plain::format_tenths(tenths_of(tick), expected);
        }
        // Decimal text may carry zeros or no point: "60000" is as good as "60000.0".
        if (slot.mode != 1 || tick < 0 || tick >= sent_ || std::atof(slot.price) != std::atof(expected) ||
            std::atof(slot.size) != 0.002) {
            throw std::runtime_error("the order for tick " + std::to_string(tick) + " is wrong: price " +
                                     std::string(slot.price, strnlen(slot.price, sizeof slot.price)));
        }
        hash_.add(static_cast<std::uint64_t>(tick));
    }

    void count(std::int64_t tick, std::int64_t now_ns) {
        const std::int64_t taken_ns = now_ns - due_ns_[static_cast<std::size_t>(tick)];
        first_ns_ = seen_ == 0 ? taken_ns : first_ns_;
        ++seen_;
        last_seen_ns_ = now_ns;
        if (tick >= warm_up_) {
            durations_.record(taken_ns);
        }
    }

    int fd_;
    plain::Queue& queue_;
    std::int64_t warm_up_, total_;
    std::int64_t sent_ = 0, seen_ = 0, from_idx_ = 0;
    std::int64_t first_ns_ = 0, last_seen_ns_ = 0;
    std::vector<std::int64_t> due_ns_;
    plain::Ticker ticker_;
    qtxconn::LatencyHistogram durations_;
    measure::Hash hash_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 7) {
        return 2;
    }
    const std::string pattern = argv[2];
    const std::int64_t count = measure::argument(argc, argv, 4, 0);
    const std::int64_t warm_up = measure::argument(argc, argv, 5, 0);
    try {
        Segment segment(argv[1]);
        const int fd = serve_one();
        usleep(50'000);  // until the client is in its loop
        measure::burst(static_cast<int>(measure::argument(argc, argv, 6, 0)));
        Trial trial(fd, *segment.queue, warm_up,
                    arrivals(pattern, std::atof(argv[3]), static_cast<std::size_t>(warm_up + count)));
        pattern == "closed" ? trial.run_closed() : trial.run_open();
        trial.say_goodbye();
        measure::Result result;
        trial.report(result);
        result.print();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
