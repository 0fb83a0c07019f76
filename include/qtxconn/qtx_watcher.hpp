// A thread that watches memory written by another process and makes an eventfd readable when there is work.
#pragma once

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>

#include "qtxconn/clock.hpp"
#include "qtxconn/qtx_wait.hpp"

namespace qtxconn::qtx {

// A counter that an event loop can watch; many signals before one clear() are one wake-up.
class EventFd {
public:
    EventFd() noexcept : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
    EventFd(const EventFd&) = delete;
    EventFd& operator=(const EventFd&) = delete;
    ~EventFd() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
    }

    int fd() const noexcept { return fd_; }  // -1: none could be had

    // From any thread. Only the first signal since the last clear() costs a system call.
    void signal() noexcept {
        if (!signalled_.exchange(true, std::memory_order_acq_rel)) {
            const std::uint64_t one = 1;
            [[maybe_unused]] const ssize_t written = write(fd_, &one, sizeof one);
        }
    }

    bool signalled() const noexcept { return signalled_.load(std::memory_order_acquire); }

    // Call before looking at the work, so that work which arrives later signals again.
    void clear() noexcept {
        std::uint64_t count = 0;
        [[maybe_unused]] const ssize_t got = read(fd_, &count, sizeof count);
        signalled_.store(false, std::memory_order_release);
    }

private:
    int fd_;
    std::atomic<bool> signalled_{false};
};

// Starts `body` in a thread that takes no signals but those of its own faults: they belong to the interpreter's main
// thread.
template <class Body>
bool start_thread(std::thread& thread, Body body) noexcept {
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    for (const int fault : {SIGBUS, SIGSEGV, SIGFPE, SIGILL}) {
        sigdelset(&blocked, fault);
    }
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    bool started = true;
    try {
        thread = std::thread(body);
    } catch (const std::system_error&) {
        started = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return started;
}

// Source:
//   bool ready() noexcept                    there is work for the event loop
//   bool quiet() const noexcept              nothing can become ready before wake() is called
//   std::uint64_t activity() const noexcept  changes when work is expected soon: spin again
//   void heartbeat() noexcept                called about every kHeartbeatNs
// When it has been quiet for the policy's `linger_ns` the thread sleeps in the kernel and costs nothing; wake() is then
// one system call (some 2 us, or 30 where an idle core has to be woken through a hypervisor), else one load.
template <class Source>
class Watcher {
public:
    static constexpr std::int64_t kHeartbeatNs = kNsPerSecond;

    Watcher(Source& source, const WaitPolicy& policy) noexcept : source_(source), policy_(policy) {}
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;
    ~Watcher() { stop(); }

    bool start() noexcept {
        if (thread_.joinable()) {
            return true;
        }
        stopping_.store(false, std::memory_order_relaxed);
        return start_thread(thread_, [this] { run(); });
    }

    void stop() noexcept {
        if (thread_.joinable()) {
            stopping_.store(true, std::memory_order_seq_cst);
            wake();
            thread_.join();
        }
    }

    // After the source has stopped being quiet. The change must be sequentially consistent.
    void wake() noexcept {
        if (parked_.load(std::memory_order_seq_cst) != 0) {
            parked_.store(0, std::memory_order_seq_cst);
            syscall(SYS_futex, &parked_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
        }
    }

    EventFd& event() noexcept { return event_; }

private:
    static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
    static constexpr std::int64_t kBusy = -1;

    void run() noexcept {
        prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // short sleeps that are short
        Backoff backoff(policy_);
        std::uint64_t activity = source_.activity();
        std::int64_t heartbeat_ns = monotonic_ns() + kHeartbeatNs;
        std::int64_t quiet_since_ns = kBusy;
        std::int64_t now_ns = 0;
        while (!stopping_.load(std::memory_order_relaxed)) {
            if (source_.ready()) {
                event_.signal();
            }
            if (activity != source_.activity()) {
                activity = source_.activity();
                backoff.reset();
            }
            now_ns = backoff.pause(heartbeat_ns);
            if (!source_.quiet()) {
                quiet_since_ns = kBusy;
            } else if (quiet_since_ns == kBusy) {
                quiet_since_ns = now_ns;
            } else if (now_ns - quiet_since_ns >= policy_.linger_ns) {
                park();
                backoff.reset();
                now_ns = monotonic_ns();
            }
            if (now_ns >= heartbeat_ns) {
                source_.heartbeat();
                heartbeat_ns = now_ns + kHeartbeatNs;
            }
        }
    }

    void park() noexcept {
        parked_.store(1, std::memory_order_seq_cst);
        if (source_.quiet() && !stopping_.load(std::memory_order_seq_cst)) {
            const timespec limit{static_cast<time_t>(kHeartbeatNs / kNsPerSecond), 0};
            syscall(SYS_futex, &parked_, FUTEX_WAIT_PRIVATE, 1, &limit, nullptr, 0);
        }
        parked_.store(0, std::memory_order_seq_cst);
    }

    Source& source_;
    const WaitPolicy policy_;
    EventFd event_;
    std::thread thread_;
    std::atomic<bool> stopping_{false};
    std::atomic<std::uint32_t> parked_{0};
};

}  // namespace qtxconn::qtx
