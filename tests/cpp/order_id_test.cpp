// Order ids: never twice and never backwards, with ten threads and a clock that steps back. Also the lock and clocks.
#include "qtxconn/order_id.hpp"

#include <algorithm>
#include <thread>
#include <vector>

#include "check.hpp"
#include "qtxconn/clock.hpp"
#include "qtxconn/spin_lock.hpp"

using namespace qtxconn;

namespace {

constexpr int kThreads = 10;

void ten_threads_and_a_clock_that_steps_back_draw_no_id_twice() {
    OrderIdSource source(1023, 1000);
    std::vector<std::vector<std::uint64_t>> drawn(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 20000; ++i) {
                const std::uint64_t now = i % 7 == 0 ? 3 : 1000 + static_cast<std::uint64_t>(i / 100);
                drawn[static_cast<std::size_t>(t)].push_back(source.next(now));
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    std::vector<std::uint64_t> all;
    for (const auto& ids : drawn) {
        CHECK(std::is_sorted(ids.begin(), ids.end()));  // one thread sees them grow
        all.insert(all.end(), ids.begin(), ids.end());
    }
    std::sort(all.begin(), all.end());
    CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
    CHECK(all.size() == kThreads * 20000U);
}

void the_parts_stand_where_the_header_says() {
    OrderIdSource source(5, 42);
    const std::uint64_t first = source.next(0);
    CHECK(first >> 31 == 42 && ((first >> 21) & 1023) == 5 && (first & ((1U << 21) - 1)) == 0);
    CHECK(source.next(0) == first + 1);
    CHECK(source.next(100) >> 31 == 100);
    CHECK(source.next(50) >> 31 == 100);  // the clock went back: the seconds stand still
    CHECK(source.high_water_s() == 100);
    CHECK(OrderIdSource(0, (1ULL << 32) - 1).next(0) >> 63 == 0);  // positive to the last second
}

void more_ids_than_a_second_holds_run_ahead() {
    OrderIdSource source(1, 10);
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < (1ULL << 21) + 5; ++i) {
        const std::uint64_t id = source.next(10);
        CHECK(id > last);
        last = id;
    }
    CHECK(last >> 31 == 11 && source.high_water_s() == 11);
}

void a_later_run_of_the_instance_starts_above() {
    OrderIdSource first(7, 500);
    std::uint64_t last = 0;
    for (int i = 0; i < 100; ++i) {
        last = first.next(600);
    }
    OrderIdSource second(7, first.high_water_s() + 1);
    CHECK(second.next(0) > last);
    OrderIdSource other(8, 500);
    CHECK(((other.next(600) >> 21) & 1023) == 8);
}

void the_lock_lets_one_in_at_a_time() {
    SpinLock lock;
    long counter = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 20000; ++i) {
                lock.lock();
                ++counter;
                lock.unlock();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(counter == 80000);
    CHECK(lock.try_lock() && !lock.try_lock());
    lock.unlock();
    CHECK(lock.try_lock());
}

void clocks_are_in_nanoseconds() {
    const std::int64_t before = monotonic_ns();
    CHECK(monotonic_ns() >= before);
    CHECK(wall_ns() > 1'577'836'800 * kNsPerSecond);  // after 2020
    CHECK(wall_ns() < 7'258'118'400 * kNsPerSecond);  // before 2200
}

}  // namespace

int main() {
    ten_threads_and_a_clock_that_steps_back_draw_no_id_twice();
    the_parts_stand_where_the_header_says();
    more_ids_than_a_second_holds_run_ahead();
    a_later_run_of_the_instance_starts_above();
    the_lock_lets_one_in_at_a_time();
    clocks_are_in_nanoseconds();
    return 0;
}
