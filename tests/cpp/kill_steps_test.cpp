// Killed after any one instruction of publishing an order, or of writing a record: what is left in the memory that
// outlives the process counts whole or not at all.
//
// The child is stepped through the call, instruction by instruction. What another process would find had the child been
// killed there is what the parent finds in the shared memory at each stop.
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

#include "check.hpp"
#include "qtxconn/order_journal.hpp"
#include "qtxconn/qtx_order_consumer.hpp"
#include "qtxconn/qtx_order_producer.hpp"

using namespace qtxconn;
using namespace qtxconn::qtx;

namespace {

constexpr std::int64_t kMinute = 60'000'000'000;
constexpr std::uint64_t kCapacity = 16;

void* shared(std::size_t size) {
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

// Runs `act` in a child between two stops and calls `look` after each of its instructions. Returns how many there were,
// or 0 where this process may trace none.
template <typename Act, typename Look>
std::uint64_t step_through(Act act, Look look) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
            _exit(1);
        }
        raise(SIGSTOP);
        act();
        raise(SIGSTOP);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status)) {
        return 0;
    }
    std::uint64_t steps = 0;
    for (bool done = false; !done; ++steps) {
        if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0) {
            CHECK(steps == 0 && (errno == EPERM || errno == EIO));  // a kernel that lets nobody trace
            done = true;
            break;
        }
        CHECK(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
        done = WSTOPSIG(status) == SIGSTOP;
        CHECK(done || WSTOPSIG(status) == SIGTRAP);
        look();
    }
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
    return steps;
}

OrderRequest request_for(std::uint64_t id, const char* price) {
    OrderRequest request;
    request.mode = kModePlace;
    request.side = kSideSell;
    request.client_order_id = id;
    request.order_type = 3;
    request.price_match = 4;
    request.place_ts_ns = id + 5;
    request.size.assign({"0.002", 5});
    request.price.assign({price, std::strlen(price)});
    request.symbol.assign({"BTCUSDT", 7});
    return request;
}

bool is(TextView text, const char* wanted) {
    return text.size == std::strlen(wanted) && std::memcmp(text.data, wanted, text.size) == 0;
}

// The slot has held a longer order before: a mixture of the two would show.
std::uint64_t publishing() {
    auto* segment = new (shared(sizeof(Segment))) Segment();
    QueueProducer producer(*segment, kMinute);
    QueueConsumer consumer(*segment);
    for (std::uint64_t id = 1; id <= kSlotCount; ++id) {
        const int slot = producer.publish(request_for(id, "59999.123456789"));
        CHECK(slot >= 0);
        int seen = -1;
        CHECK(consumer.peek(seen) != nullptr);
        consumer.advance();
        CHECK(consumer.answer(slot, {"a long answer", 13}, id) == QueueStatus::ok);
        AnswerView answer;
        CHECK(producer.take_any(answer) == QueueStatus::ok);
        producer.release(answer);
    }
    const std::uint64_t next = kSlotCount + 1;
    bool published = false;
    const std::uint64_t steps = step_through(
        [&] { CHECK(producer.publish(request_for(next, "60000.1")) == 0); },
        [&] {
            int slot = -1;
            const OrderSlot* order = consumer.peek(slot);
            CHECK(order != nullptr || !published);
            if (order == nullptr) {
                return;
            }
            published = true;
            CHECK(slot == 0 && order->mode == kModePlace && order->side == kSideSell && order->pos_side == 0);
            CHECK(order->client_order_id == next && order->order_type == 3 && order->price_match == 4);
            CHECK(order->place_ts_ns == next + 5 && order->res_ts_ns == 0 && order->res_msg[0] == '\0');
            CHECK(is(bounded_text(order->size, kDecimalTextSize), "0.002"));
            CHECK(is(bounded_text(order->price, kDecimalTextSize), "60000.1"));
            CHECK(is(bounded_text(order->symbol, kNameTextSize), "BTCUSDT"));
            CHECK(order->api_key[0] == '\0' && order->api_secret[0] == '\0');
        });
    CHECK(published == (steps > 0));
    CHECK(munmap(segment, sizeof(Segment)) == 0);
    return steps;
}

// The place holds a torn record, as an earlier process may have left it.
std::uint64_t journalling() {
    auto* records = static_cast<JournalRecord*>(shared(kCapacity * kJournalRecordSize));
    JournalWriter writer;
    writer.reset(records, kCapacity, 0, 1);
    CHECK(writer.intent(1, "1", "BTC-USDT", 1, 2, 0, Fixed{600001, 1}, Fixed{2, 3}, 1000, 2000, 77));
    std::memset(static_cast<void*>(&records[1]), 0xEE, sizeof records[1]);
    std::uint64_t used = 1;
    const std::uint64_t steps = step_through(
        [&] {
            CHECK(writer.fill(1, "t1", "USDT", Fixed{6, 0}, Fixed{1, 3}, Fixed{6, 3}, Fixed{-1, 2}, true, 998, 1004));
        },
        [&] {
            const JournalScan scan = scan_journal(records, kCapacity, 1);
            CHECK(scan.damaged == 0 && (scan.used == used || scan.used == used + 1));
            used = scan.used;
            if (used == 2) {
                CHECK(records[1].kind == JournalKind::fill && records[1].fill.trade_id.view() == "t1");
                CHECK(records[1].fill.fee.units == -1 && records[1].is_taker && records[1].time_ns == 1004);
            }
        });
    CHECK(used == (steps > 0 ? 2U : 1U));
    CHECK(munmap(records, kCapacity * kJournalRecordSize) == 0);
    return steps;
}

}  // namespace

int main() {
    const std::uint64_t publish_steps = publishing();
    const std::uint64_t journal_steps = journalling();
    CHECK((publish_steps == 0) == (journal_steps == 0));
    CHECK(publish_steps == 0 || (publish_steps > 50 && journal_steps > 50));
    std::printf("%llu and %llu instructions\n", static_cast<unsigned long long>(publish_steps),
                static_cast<unsigned long long>(journal_steps));
}
