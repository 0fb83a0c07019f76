// A spin lock whose word counts: odd while held, and another number after every time it was held.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace qtxconn {

// Excludes like SpinLock. Whoever may only look at the memory (a numpy view) reads sequence(), then the data, then
// sequence() again: twice the same even number means that nothing was written in between.
class SequenceLock {
public:
    void lock() noexcept {
        if (__builtin_expect(!try_lock(), 0)) {
            wait_and_lock();
        }
    }

    bool try_lock() noexcept {
        std::uint64_t seen = sequence_.load(std::memory_order_relaxed);
        return seen % 2 == 0 &&
               sequence_.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire, std::memory_order_relaxed);
    }

    void unlock() noexcept {
        sequence_.store(sequence_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    }

    std::uint64_t sequence() const noexcept { return sequence_.load(std::memory_order_acquire); }

private:
    static constexpr int kSpinsBeforeYield = 256;

    [[gnu::noinline, gnu::cold]] void wait_and_lock() noexcept {
        for (int spins = 0; !try_lock(); ++spins) {
            // The holder may have lost its core: give it ours rather than burn a whole time slice.
            if (spins > kSpinsBeforeYield) {
                std::this_thread::yield();
            }
        }
    }

    std::atomic<std::uint64_t> sequence_{0};
};

static_assert(sizeof(SequenceLock) == sizeof(std::uint64_t));

}  // namespace qtxconn
