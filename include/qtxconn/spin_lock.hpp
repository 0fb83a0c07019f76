// A lock for a few instructions of work shared by a hot thread and a Python thread; never held across a callback.
#pragma once

#include <atomic>
#include <thread>

namespace qtxconn {

class SpinLock {
public:
    void lock() noexcept {
        for (int spins = 0; flag_.exchange(true, std::memory_order_acquire); ++spins) {
            while (flag_.load(std::memory_order_relaxed)) {
                // The holder may have lost its core: give it ours rather than burn a whole time slice.
                if (++spins > kSpinsBeforeYield) {
                    std::this_thread::yield();
                }
            }
        }
    }

    bool try_lock() noexcept { return !flag_.exchange(true, std::memory_order_acquire); }

    void unlock() noexcept { flag_.store(false, std::memory_order_release); }

private:
    static constexpr int kSpinsBeforeYield = 256;
    std::atomic<bool> flag_{false};
};

}  // namespace qtxconn
