// A thread that brings a journal to the disk shortly after it was written; the writer never waits for it.
#pragma once

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>

namespace qtxconn {

// Calls fdatasync about `interval_ns` after something new was written.
class JournalFlusher {
public:
    JournalFlusher() = default;
    JournalFlusher(const JournalFlusher&) = delete;
    JournalFlusher& operator=(const JournalFlusher&) = delete;
    ~JournalFlusher() { stop(); }

    // `written` counts up with every record and outlives the flusher. Throws std::system_error if no thread can start.
    void start(int descriptor, const std::atomic<std::uint64_t>& written, std::int64_t interval_ns) {
        descriptor_ = descriptor;
        stopping_.store(false, std::memory_order_relaxed);
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the program's own threads
        try {
            thread_ = std::thread([this, &written, interval_ns] { run(written, interval_ns); });
        } catch (...) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            throw;
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    // From here on the other file is flushed; waits for a flush of the earlier one that is under way.
    void replace(int descriptor) {
        const std::lock_guard<std::mutex> guard(mutex_);
        descriptor_ = descriptor;
    }

    void stop() {
        stopping_.store(true, std::memory_order_relaxed);
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    std::uint64_t flushed() const noexcept { return flushed_.load(std::memory_order_acquire); }
    int error() const noexcept { return error_.load(std::memory_order_relaxed); }  // errno of the first failure, or 0

private:
    void run(const std::atomic<std::uint64_t>& written, std::int64_t interval_ns) {
        const timespec pause{static_cast<time_t>(interval_ns / 1'000'000'000),
                             static_cast<long>(interval_ns % 1'000'000'000)};
        while (!stopping_.load(std::memory_order_relaxed)) {
            nanosleep(&pause, nullptr);
            const std::uint64_t newest = written.load(std::memory_order_acquire);
            if (newest == flushed()) {
                continue;
            }
            const std::lock_guard<std::mutex> guard(mutex_);
            if (fdatasync(descriptor_) == 0) {
                flushed_.store(newest, std::memory_order_release);
            } else if (error() == 0) {
                error_.store(errno, std::memory_order_relaxed);
            }
        }
    }

    std::mutex mutex_;  // guards the descriptor while it is flushed
    int descriptor_ = -1;
    std::thread thread_;
    std::atomic<bool> stopping_{false};
    std::atomic<std::uint64_t> flushed_{0};
    std::atomic<int> error_{0};
};

}  // namespace qtxconn
