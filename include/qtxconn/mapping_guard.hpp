// Shared mappings that another process may truncate: the fault costs the mapping, not the process.
#pragma once

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace qtxconn {

// Touching a page beyond the end of a truncated file raises SIGBUS, which ends the process. For a guarded mapping the
// handler puts private zeroed memory in the mapping's place and lets the access go on: what is written from then on
// reaches nobody, what is read is zero, and lost() says so. Faults elsewhere go to the handler that was there before.
//
// The handler is installed with the first guard of the process and stays. One that is installed later and does not
// chain with the fault's address (Python's faulthandler, when enabled after the first guard) takes its place.
class MappingGuard {
public:
    static constexpr int kGuardsMax = 64;

    MappingGuard() noexcept = default;
    MappingGuard(const MappingGuard&) = delete;
    MappingGuard& operator=(const MappingGuard&) = delete;
    ~MappingGuard() { release(); }

    // False: all guards of the process are in use, or the handler could not be installed.
    bool protect(void* memory, std::size_t size) noexcept {
        static const bool installed = install();
        for (int i = 0; installed && entry_ == nullptr && i < kGuardsMax; ++i) {
            std::uintptr_t unused = 0;
            if (entries_[i].begin.compare_exchange_strong(unused, kClaimed)) {
                entry_ = &entries_[i];
                entry_->size.store(size, std::memory_order_relaxed);
                entry_->lost.store(false, std::memory_order_relaxed);
                entry_->begin.store(reinterpret_cast<std::uintptr_t>(memory), std::memory_order_release);
            }
        }
        return entry_ != nullptr;
    }

    // Before the memory is unmapped.
    void release() noexcept {
        if (entry_ != nullptr) {
            entry_->begin.store(0, std::memory_order_release);
            entry_ = nullptr;
        }
    }

    bool lost() const noexcept { return entry_ != nullptr && entry_->lost.load(std::memory_order_acquire); }

private:
    static constexpr std::uintptr_t kClaimed = 1;  // taken, and not filled in yet

    struct Entry {                          // zero before any constructor runs
        std::atomic<std::uintptr_t> begin;  // 0: free
        std::atomic<std::size_t> size;
        std::atomic<bool> lost;
    };

    static bool install() noexcept {
        struct sigaction action{};
        action.sa_sigaction = &MappingGuard::on_sigbus;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        return sigaction(SIGBUS, &action, &previous_) == 0;
    }

    // In a signal handler: nothing here but atomics and system calls.
    static void on_sigbus(int number, siginfo_t* info, void* context) noexcept {
        const bool is_fault = info->si_code > 0;  // else somebody sent it
        if (is_fault && replace(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
            return;
        }
        if ((previous_.sa_flags & SA_SIGINFO) != 0) {
            previous_.sa_sigaction(number, info, context);
        } else if (previous_.sa_handler != SIG_DFL && previous_.sa_handler != SIG_IGN) {
            previous_.sa_handler(number);
        } else {
            sigaction(number, &previous_, nullptr);  // a fault repeats at once, and ends the process
            if (!is_fault) {
                raise(number);
            }
        }
    }

    static bool replace(std::uintptr_t address) noexcept {
        for (Entry& entry : entries_) {
            const std::uintptr_t begin = entry.begin.load(std::memory_order_acquire);
            const std::size_t size = entry.size.load(std::memory_order_relaxed);
            if (begin <= kClaimed || address < begin || address - begin >= size) {
                continue;
            }
            const int error = errno;
            void* memory = mmap(reinterpret_cast<void*>(begin), size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            madvise(memory, size, MADV_DONTDUMP);
            errno = error;
            if (memory == MAP_FAILED) {
                return false;
            }
            entry.lost.store(true, std::memory_order_release);
            return true;
        }
        return false;
    }

    static inline Entry entries_[kGuardsMax];
    static inline struct sigaction previous_{};
    Entry* entry_ = nullptr;
};

}  // namespace qtxconn
