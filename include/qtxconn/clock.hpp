// Time in int64 nanoseconds: wall time since the Unix epoch and a monotonic clock for durations.
#pragma once

#include <time.h>

#include <cstdint>

namespace qtxconn {

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kNsPerMs = 1'000'000;

inline std::int64_t read_clock_ns(clockid_t id) noexcept {
    timespec now{};
    clock_gettime(id, &now);
    return static_cast<std::int64_t>(now.tv_sec) * kNsPerSecond + now.tv_nsec;
}

inline std::int64_t wall_ns() noexcept { return read_clock_ns(CLOCK_REALTIME); }

inline std::int64_t monotonic_ns() noexcept { return read_clock_ns(CLOCK_MONOTONIC); }

}  // namespace qtxconn
