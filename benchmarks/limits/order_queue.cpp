// Orders through shared memory: an order manager that spins, and clients in plain C and on qtxconn's headers.
//
//     order_queue manager SEGMENT CPU ORDERS              takes and answers ORDERS orders, then ends
//     order_queue plain|qtxconn SEGMENT CPU ORDERS        one order after the other to that manager: ns a round trip
//     order_queue cycle-plain|cycle-qtxconn ORDERS        both ends in one thread: ns an order
//
// The plain client is the limit of the job: it clears what the last use of a slot may have left, copies, publishes,
// spins, and looks at nothing else. Checksum: of what came back.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <system_error>

#include "measure.hpp"
#include "qtx_plain.hpp"
#include "qtxconn/qtx_order_client.hpp"

namespace qtx = qtxconn::qtx;

namespace {

constexpr std::int64_t kMinute = 60'000'000'000;
constexpr char kAnswer[] = R"({"id":"1","status":200,"result":{"orderId":1,"status":"NEW"}})";

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

plain::Queue* map(const char* name, int flags) {
    const int fd = shm_open(name, O_RDWR | flags, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(plain::Queue)) != 0) {
        fail(name);
    }
    void* memory = mmap(nullptr, sizeof(plain::Queue), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED) {
        fail("mmap");
    }
    close(fd);
    return static_cast<plain::Queue*>(memory);
}

// -- the order manager ---------------------------------------------------------------------------------------------

void answer_all(plain::Queue& queue) {
    std::int64_t from = queue.from_idx;
    while (from != plain::acquire(queue.to_idx)) {
        plain::Slot& slot = queue.slots[from];
        from = from + 1 == plain::kSlots ? 0 : from + 1;
        plain::release(queue.from_idx, from);
        std::memcpy(slot.res_msg, kAnswer, sizeof kAnswer);
        plain::release(slot.res_ts_ns, slot.client_order_id);
    }
}

void manage(const char* name, int cpu, std::int64_t orders) {
    plain::Queue& queue = *map(name, O_CREAT | O_EXCL);
    std::printf("ready\n");
    std::fflush(stdout);
    measure::burst(cpu);
    const std::int64_t deadline_ns = measure::now_ns() + kMinute;
    for (std::int64_t taken = 0; taken < orders;) {
        const std::int64_t before = queue.from_idx;
        answer_all(queue);
        taken += (queue.from_idx - before + plain::kSlots) % plain::kSlots;
        if (taken == 0 && measure::now_ns() > deadline_ns) {
            break;  // nobody came
        }
        measure::relax();
    }
    shm_unlink(name);
}

// -- the limit -----------------------------------------------------------------------------------------------------

class Plain {
public:
    explicit Plain(plain::Queue& queue) : queue_(queue), to_(queue.to_idx) {}

    std::int64_t publish(std::uint64_t id) noexcept {
        const std::int64_t at = to_;
        to_ = at + 1 == plain::kSlots ? 0 : at + 1;
        plain::Slot& slot = queue_.slots[at];
        std::memset(&slot, 0, offsetof(plain::Slot, api_key));
        slot.res_msg[0] = '\0';
        slot.mode = 1;
        slot.side = 1;
        slot.client_order_id = id;
        slot.order_type = 2;
        slot.place_ts_ns = id;
        std::memcpy(slot.size, "0.001", 6);
        std::memcpy(slot.price, "60000.1", 8);
        std::memcpy(slot.symbol, "BTCUSDT", 8);
        plain::release(queue_.to_idx, to_);
        return at;
    }

    std::uint64_t wait(std::int64_t at) noexcept {
        const plain::Slot& slot = queue_.slots[at];
        while (plain::acquire(slot.res_ts_ns) == 0) {
            measure::relax();
        }
        return slot.res_ts_ns + static_cast<unsigned char>(slot.res_msg[sizeof kAnswer - 2]);
    }

private:
    plain::Queue& queue_;
    std::int64_t to_;
};

// -- qtxconn -------------------------------------------------------------------------------------------------------

class Ours {
public:
    explicit Ours(qtx::Segment& segment) : producer_(segment, kMinute) {
        request_.side = qtx::kSideBuy;
        request_.order_type = qtx::kTypeGtc;
        request_.size.assign({"0.001", 5});
        request_.price.assign({"60000.1", 7});
        request_.symbol.assign({"BTCUSDT", 7});
    }

    std::int64_t publish(std::uint64_t id) noexcept {
        request_.client_order_id = id;
        request_.place_ts_ns = id;
        return producer_.publish(request_);
    }

    std::uint64_t wait(std::int64_t slot) noexcept {
        qtx::AnswerView answer;
        while (producer_.take(static_cast<int>(slot), answer) != qtx::QueueStatus::ok) {
            measure::relax();
        }
        const std::uint64_t seen =
            answer.res_ts_ns + static_cast<unsigned char>(answer.message.data[answer.message.size - 1]);
        producer_.release(answer);
        return seen;
    }

private:
    qtx::QueueProducer producer_;
    qtx::OrderRequest request_;
};

// -- measuring -----------------------------------------------------------------------------------------------------

template <class Client>
void round_trips(Client& client, int cpu, std::int64_t orders) {
    measure::burst(cpu);
    qtxconn::LatencyHistogram durations;
    measure::Hash hash;
    const std::int64_t warm_up = orders / 10;
    for (std::int64_t i = 1; i <= orders; ++i) {
        const std::int64_t begin_ns = measure::now_ns();
        const std::uint64_t seen = client.wait(client.publish(static_cast<std::uint64_t>(i)));
        const std::int64_t took_ns = measure::now_ns() - begin_ns;
        hash.add(seen);
        if (i > warm_up) {
            durations.record(took_ns);
        }
    }
    measure::Result result;
    result.checksum(hash.value());
    result.histogram(durations);
    result.print();
}

// Both ends in one thread, so that no core waits for another: what the work itself costs.
template <class Client>
void cycles(plain::Queue& queue, Client& client, std::int64_t orders) {
    constexpr std::int64_t kWarmUp = 1000;
    measure::Hash hash;
    std::int64_t begin_ns = 0;
    for (std::int64_t i = 1; i <= orders + kWarmUp; ++i) {
        if (i == kWarmUp + 1) {
            begin_ns = measure::now_ns();
        }
        const std::int64_t at = client.publish(static_cast<std::uint64_t>(i));
        answer_all(queue);
        hash.add(client.wait(at));
    }
    measure::Result result;
    result.value(static_cast<double>(measure::now_ns() - begin_ns) / static_cast<double>(orders));
    result.checksum(hash.value());
    result.print();
}

}  // namespace

int main(int argc, char** argv) {
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "cycle-plain" || mode == "cycle-qtxconn") {
        const std::int64_t orders = measure::argument(argc, argv, 2, 100'000);
        const auto segment = std::make_unique<qtx::Segment>();
        auto& queue = *reinterpret_cast<plain::Queue*>(segment.get());
        if (mode == "cycle-plain") {
            Plain client(queue);
            cycles(queue, client, orders);
        } else {
            Ours client(*segment);
            cycles(queue, client, orders);
        }
        return 0;
    }
    if (argc != 5) {
        return 2;
    }
    const auto cpu = static_cast<int>(measure::argument(argc, argv, 3, 0));
    const std::int64_t orders = measure::argument(argc, argv, 4, 0);
    if (mode == "manager") {
        manage(argv[2], cpu, orders);
    } else if (mode == "plain") {
        Plain client(*map(argv[2], 0));
        round_trips(client, cpu, orders);
    } else if (mode == "qtxconn") {
        qtx::SegmentMap segment;
        if (segment.attach(argv[2], false) != qtx::MapStatus::ok) {
            fail("attach");
        }
        Ours client(*segment.get());
        round_trips(client, cpu, orders);
    } else {
        return 2;
    }
    return 0;
}
