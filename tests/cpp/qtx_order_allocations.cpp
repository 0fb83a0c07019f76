// Counts what the way of an order through the queue asks of the allocator and of the kernel's pages: nothing. Not built
// with sanitizers, which bring an allocator of their own (tests/unit/qtx/test_order_allocations.py).
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <thread>

#include "check.hpp"
#include "qtxconn/qtx_answer.hpp"
#include "qtxconn/qtx_order_client.hpp"

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
}

namespace {

using namespace qtxconn::qtx;

std::atomic<std::uint64_t> allocations{0};  // of all threads, operator new included

constexpr std::uint64_t kOrders = 100'000;
constexpr std::uint64_t kWarmUp = 1'000;
constexpr char kPlaced[] = R"({"id":"1","status":200,"result":{"orderId":7,"status":"NEW","executedQty":"0"}})";

long minor_faults() {
    rusage usage{};
    CHECK(getrusage(RUSAGE_THREAD, &usage) == 0);
    return usage.ru_minflt;
}

void manage(QueueConsumer& consumer) {
    for (std::uint64_t taken = 0; taken < kOrders + kWarmUp;) {
        int slot = 0;
        if (consumer.peek(slot) == nullptr) {
            std::this_thread::yield();
            continue;
        }
        consumer.advance();
        CHECK(consumer.answer(slot, {kPlaced, sizeof kPlaced - 1}, 1) == QueueStatus::ok);
        ++taken;
    }
}

}  // namespace

void* operator new(std::size_t size) {
    allocations.fetch_add(1);
    return __libc_malloc(size);
}

extern "C" void* malloc(std::size_t size) {
    allocations.fetch_add(1);
    return __libc_malloc(size);
}

extern "C" void* calloc(std::size_t count, std::size_t size) {
    allocations.fetch_add(1);
    return __libc_calloc(count, size);
}

extern "C" void* realloc(void* memory, std::size_t size) {
    allocations.fetch_add(1);
    return __libc_realloc(memory, size);
}

int main() {
    char name[64];
    std::snprintf(name, sizeof name, "/qtxconn_alloc_test_%d", static_cast<int>(getpid()));
    SegmentMap manager_map;
    SegmentMap client_map;
    CHECK(manager_map.create(name) == MapStatus::ok && client_map.attach(name, false) == MapStatus::ok);
    QueueConsumer consumer(*manager_map.get());
    OrderClient client(client_map, 60'000'000'000, true, WaitPolicy{});
    CHECK(client.watcher.start());
    std::thread manager([&] { manage(consumer); });
    OrderRequest request;
    request.side = kSideBuy;
    request.place_ts_ns = 1;
    request.size.assign({"0.001", 5});
    request.symbol.assign({"BTCUSDT", 7});
    std::uint64_t allocations_before = 0;
    long faults_before = 0;
    for (std::uint64_t id = 1; id <= kOrders + kWarmUp; ++id) {
        if (id == kWarmUp) {
            allocations_before = allocations.load();
            faults_before = minor_faults();
        }
        request.client_order_id = id;
        request.price.assign({id % 2 == 0 ? "60000.1" : "60001", id % 2 == 0 ? 7U : 5U});
        const int slot = client.submit(request);
        CHECK(slot >= 0);
        AnswerView answer;
        CHECK(client.producer.wait(slot, WaitPolicy{}, 10'000'000'000, answer) == QueueStatus::ok);
        const ParsedAnswer parsed = parse_answer(answer.message.data, answer.message.size);
        CHECK(parsed.kind == AnswerKind::accepted && answer_field(parsed.payload, "orderId") == "7");
        client.producer.release(answer);
    }
    const std::uint64_t allocated = allocations.load() - allocations_before;
    const long faults = minor_faults() - faults_before;
    manager.join();
    std::printf("%llu allocations, %ld minor faults\n", static_cast<unsigned long long>(allocated), faults);
    return allocated == 0 && faults == 0 ? 0 : 1;
}
