// How quiet the machine is: a spinning round trip through shared memory, and the time a spinning core is taken away.
//
//     canary VENUE_CPU CLIENT_CPU [ROUND_TRIPS]
//
// The figure is the median round trip, 0 on one core. The histogram holds the gaps between readings of the clock in an
// empty loop: what the machine adds to anything measured on it. Facts: "taken", the share of that time (0..1) in gaps
// of more than 2 us, "taken_max_us" the longest of them, "clock_ns" what a reading of the clock costs.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <new>

#include "measure.hpp"

namespace {

struct Board {
    alignas(128) std::atomic<std::uint64_t> ask{0};
    alignas(128) std::atomic<std::uint64_t> answer{0};
};

constexpr std::uint64_t kEnd = UINT64_MAX;
constexpr std::int64_t kGapNs = 2'000;
constexpr std::int64_t kSpinNs = 60'000'000;

void answer_until_end(Board& board) {
    std::uint64_t seen = 0;
    while (seen != kEnd) {
        const std::uint64_t ask = board.ask.load(std::memory_order_acquire);
        if (ask != seen) {
            seen = ask;
            board.answer.store(ask, std::memory_order_release);
        }
    }
}

qtxconn::LatencyHistogram round_trips(Board& board, std::uint64_t count) {
    qtxconn::LatencyHistogram durations;
    for (std::uint64_t i = 1; i <= count; ++i) {
        const std::int64_t begin = measure::now_ns();
        board.ask.store(i, std::memory_order_release);
        while (board.answer.load(std::memory_order_acquire) != i) {
        }
        durations.record(measure::now_ns() - begin);
    }
    board.ask.store(kEnd, std::memory_order_release);
    return durations;
}

void spin(measure::Result& result) {
    qtxconn::LatencyHistogram gaps;
    const std::int64_t start = measure::now_ns();
    std::int64_t last = start;
    std::int64_t taken = 0;
    std::int64_t taken_max = 0;
    std::int64_t readings = 0;
    while (last - start < kSpinNs) {
        const std::int64_t now = measure::now_ns();
        ++readings;
        gaps.record(now - last);
        if (now - last > kGapNs) {
            taken += now - last;
            taken_max = now - last > taken_max ? now - last : taken_max;
        }
        last = now;
    }
    result.histogram(gaps);
    result.fact("taken", static_cast<double>(taken) / static_cast<double>(last - start));
    result.fact("taken_max_us", static_cast<double>(taken_max) / 1e3);
    result.fact("clock_ns", static_cast<double>(last - start - taken) / static_cast<double>(readings));
}

}  // namespace

int main(int argc, char** argv) {
    const auto venue_cpu = static_cast<int>(measure::argument(argc, argv, 1, 0));
    const auto client_cpu = static_cast<int>(measure::argument(argc, argv, 2, 1));
    const auto count = static_cast<std::uint64_t>(measure::argument(argc, argv, 3, 50'000));
    void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return 1;
    }
    auto* board = new (memory) Board;
    const pid_t child = fork();
    if (child == 0) {
        measure::burst(venue_cpu);
        answer_until_end(*board);
        _exit(0);
    }
    measure::burst(client_cpu);
    measure::Result result;
    // On one core the two could only take turns of the scheduler's: nothing to learn from that.
    const std::uint64_t trips = venue_cpu != client_cpu ? count : 0;
    result.value(static_cast<double>(round_trips(*board, trips).percentile_ns(0.5)));
    spin(result);
    result.print();
    return child < 0 || waitpid(child, nullptr, 0) != child ? 1 : 0;
}
