// What limit programs measure with: clock, core, open-loop pacing, and the one line of JSON they print.
#pragma once

#include <sched.h>
#include <time.h>

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "qtxconn/latency_histogram.hpp"

namespace measure {

inline std::int64_t now_ns() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

// This thread runs on `cpu` from now on; a core that is not ours to use is left alone.
inline void pin(int cpu) noexcept {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    sched_setaffinity(0, sizeof set, &set);
}

// On `cpu`, before all ordinary processes where the system lets us. Keep it below 0.9 s: see bench.py, burst().
inline void burst(int cpu) noexcept {
    pin(cpu);
    sched_param parameters{};
    parameters.sched_priority = 10;
    sched_setscheduler(0, SCHED_RR, &parameters);
}

// The compiler must compute `value`.
template <class T>
inline void keep(const T& value) noexcept {
    asm volatile("" : : "m"(value) : "memory");
}

inline std::int64_t argument(int argc, char** argv, int i, std::int64_t fallback) {
    return i < argc ? std::strtoll(argv[i], nullptr, 10) : fallback;
}

// FNV-1a over 64-bit words: the same for whoever computed the same.
class Hash {
public:
    void add(std::uint64_t word) noexcept { value_ = (value_ ^ word) * 1099511628211ULL; }
    std::uint64_t value() const noexcept { return value_; }

private:
    std::uint64_t value_ = 14695981039346656037ULL;
};

// Open loop: the k-th event is due at start + k / rate, whatever happened to the ones before. Measure from the time
// that due() gives, so that a stall is charged to every event it delayed.
class Pacer {
public:
    explicit Pacer(double rate_per_s, std::int64_t start_ns = now_ns())
        : interval_ns_(1e9 / rate_per_s), start_ns_(start_ns) {}

    std::int64_t due() const noexcept {
        return start_ns_ + static_cast<std::int64_t>(interval_ns_ * static_cast<double>(count_));
    }
    void next() noexcept { ++count_; }

    // Spins until the next event is due; its intended time.
    std::int64_t wait() noexcept {
        const std::int64_t intended = due();
        while (now_ns() < intended) {
            relax();
        }
        next();
        return intended;
    }

private:
    double interval_ns_;
    std::int64_t start_ns_;
    std::int64_t count_ = 0;
};

// One repetition's outcome (benchmarks/harness/jobs.py, Sample).
class Result {
public:
    void value(double figure) { add("\"value\": " + number(figure)); }
    void checksum(std::uint64_t hash) {
        char text[32];
        std::snprintf(text, sizeof text, "\"checksum\": \"%016" PRIx64 "\"", hash);
        add(text);
    }
    void fact(const char* name, double figure) {
        facts_ += (facts_.empty() ? "\"" : ", \"") + std::string(name) + "\": " + number(figure);
    }
    void histogram(const qtxconn::LatencyHistogram& durations) {
        std::string text;
        for (std::size_t i = 0; i < qtxconn::LatencyHistogram::kBucketCount; ++i) {
            if (durations.bucket_values(i) != 0) {
                text += (text.empty() ? "[" : ", [") + std::to_string(durations.bucket_edge_ns(i)) + ", " +
                        std::to_string(durations.bucket_values(i)) + "]";
            }
        }
        add("\"histogram\": [" + text + "]");
    }
    void print() {
        add("\"facts\": {" + facts_ + "}");
        std::printf("{%s}\n", fields_.c_str());
        std::fflush(stdout);
    }

private:
    static std::string number(double figure) {
        char text[40];
        std::snprintf(text, sizeof text, "%.10g", figure);
        return text;
    }
    void add(const std::string& field) { fields_ += (fields_.empty() ? "" : ", ") + field; }

    std::string fields_;
    std::string facts_;
};

}  // namespace measure
