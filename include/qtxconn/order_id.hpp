// Client order ids: 64-bit numbers that are never used twice, across threads, restarts and processes.
#pragma once

#include <atomic>
#include <cstdint>

namespace qtxconn {

// bit 63: 0 | bits 62..31: seconds since 2020-01-01 | bits 30..21: instance | bits 20..0: counter
//
// Two processes differ in their instance (leased on one host, configured across hosts: see core/client_ids.py), two
// runs of one instance in the seconds, two orders of a run in the counter. When more than 2^21 ids are drawn in a
// second the seconds part runs ahead of the clock; when the clock steps back it stands still. It never goes back.
constexpr std::int64_t kOrderIdEpochS = 1'577'836'800;  // 2020-01-01T00:00:00Z
constexpr int kOrderIdCounterBits = 21;
constexpr int kOrderIdInstanceBits = 10;
constexpr std::uint32_t kOrderIdInstanceMax = (1U << kOrderIdInstanceBits) - 1;

class OrderIdSource {
public:
    // `first_second` (since kOrderIdEpochS) must lie above every second used by an earlier run of this instance.
    OrderIdSource(std::uint32_t instance, std::uint64_t first_second) noexcept
        : instance_(instance & kOrderIdInstanceMax), next_(first_second << kOrderIdCounterBits) {}

    // `now_s` is wall time in seconds since kOrderIdEpochS.
    std::uint64_t next(std::uint64_t now_s) noexcept {
        const std::uint64_t floor = now_s << kOrderIdCounterBits;
        std::uint64_t mine = next_.load(std::memory_order_relaxed);
        std::uint64_t chosen = 0;
        do {
            chosen = mine < floor ? floor : mine;
        } while (!next_.compare_exchange_weak(mine, chosen + 1, std::memory_order_relaxed));
        const std::uint64_t seconds = chosen >> kOrderIdCounterBits;
        const std::uint64_t counter = chosen & ((1ULL << kOrderIdCounterBits) - 1);
        return (seconds << (kOrderIdCounterBits + kOrderIdInstanceBits)) |
               (static_cast<std::uint64_t>(instance_) << kOrderIdCounterBits) | counter;
    }

    // The seconds part of the next id at the earliest: what a successor must start above.
    std::uint64_t high_water_s() const noexcept { return next_.load(std::memory_order_relaxed) >> kOrderIdCounterBits; }

private:
    std::uint32_t instance_;
    std::atomic<std::uint64_t> next_;  // seconds << kOrderIdCounterBits | counter
};

}  // namespace qtxconn
