// How to wait for memory that another process writes: spin, then yield the core, then sleep ever longer.
#pragma once

#include <sched.h>
#include <time.h>

#include <cstdint>

#include "qtxconn/clock.hpp"

namespace qtxconn::qtx {

namespace detail {

inline void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

}  // namespace detail

struct WaitPolicy {
    std::int64_t spin_ns = 20'000;
    std::int64_t yield_ns = 200'000;     // after spinning
    std::int64_t sleep_min_ns = 20'000;  // first sleep; doubles up to sleep_max_ns
    std::int64_t sleep_max_ns = 1'000'000;
    std::int64_t linger_ns = 200'000;  // a watcher with nothing to wait for goes on so long before it sleeps for good
};

class Backoff {
public:
    explicit Backoff(const WaitPolicy& policy) noexcept : policy_(policy) { reset(); }

    void reset() noexcept {
        started_ns_ = monotonic_ns();
        sleep_ns_ = policy_.sleep_min_ns;
    }

    // One step of waiting; returns the monotonic time before it. Never sleeps beyond `deadline_ns`.
    std::int64_t pause(std::int64_t deadline_ns) noexcept {
        const std::int64_t now_ns = monotonic_ns();
        const std::int64_t waited_ns = now_ns - started_ns_;
        if (waited_ns < policy_.spin_ns) {
            detail::cpu_relax();
            return now_ns;
        }
        if (waited_ns < policy_.spin_ns + policy_.yield_ns) {
            sched_yield();
            return now_ns;
        }
        const std::int64_t left_ns = deadline_ns - now_ns;
        const std::int64_t sleep_ns = sleep_ns_ < left_ns ? sleep_ns_ : left_ns;
        if (sleep_ns > 0) {
            const timespec duration{static_cast<time_t>(sleep_ns / kNsPerSecond),
                                    static_cast<long>(sleep_ns % kNsPerSecond)};
            nanosleep(&duration, nullptr);
        }
        sleep_ns_ = sleep_ns_ * 2 < policy_.sleep_max_ns ? sleep_ns_ * 2 : policy_.sleep_max_ns;
        return now_ns;
    }

private:
    WaitPolicy policy_;
    std::int64_t started_ns_ = 0;
    std::int64_t sleep_ns_ = 0;
};

}  // namespace qtxconn::qtx
