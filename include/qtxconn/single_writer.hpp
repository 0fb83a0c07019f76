// One thread at a time owns some data; the others hand it work to do there, without a lock on the owner's path.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>

namespace qtxconn {

// The owner takes its turn with try_begin(), works, and calls run_tasks() now and then and in the end end(). Others use
// call(): the owner runs what it is given, or, when nobody owns the data just then, the caller takes a turn and runs it
// itself. Either way it has run when call() returns. The owner's own call() runs at once, so work that is done in a
// turn may ask for more. For the owner all this is one exchange a turn and one load a run_tasks().
class SingleWriter {
public:
    bool try_begin() noexcept {
        if (busy_.exchange(true, std::memory_order_acquire)) {
            return false;
        }
        owner_.store(self(), std::memory_order_relaxed);
        return true;
    }

    // A task that comes after the last look is run by its caller, who finds that nobody is busy.
    void end() noexcept {
        run_tasks();
        owner_.store(0, std::memory_order_relaxed);
        busy_.store(false, std::memory_order_release);
    }

    void run_tasks() noexcept {
        if (tasks_.load(std::memory_order_relaxed) != nullptr) {
            run_all();
        }
    }

    // `work()` may throw; it is thrown again here. A thread that holds Python's GIL must release it before.
    template <class Work>
    void call(Work&& work) {
        if (owner_.load(std::memory_order_relaxed) == self()) {
            work();
            return;
        }
        struct Given : Task {
            explicit Given(Work& work_) noexcept : wanted(work_) {}
            Work& wanted;
        } task(work);
        task.run = [](Task* given) { static_cast<Given*>(given)->wanted(); };
        task.next = tasks_.load(std::memory_order_relaxed);
        while (!tasks_.compare_exchange_weak(task.next, &task, std::memory_order_release, std::memory_order_relaxed)) {
        }
        while (!task.done.load(std::memory_order_acquire)) {
            if (try_begin()) {
                end();
            } else {
                std::this_thread::yield();
            }
        }
        if (task.error) {
            std::rethrow_exception(task.error);
        }
    }

private:
    struct Task {
        void (*run)(Task*) = nullptr;
        Task* next = nullptr;
        std::exception_ptr error;
        std::atomic<bool> done{false};
    };

    // Not a thread_local's address: each extension module would have one of its own.
    static std::uintptr_t self() noexcept { return static_cast<std::uintptr_t>(pthread_self()); }

    // In the order in which they were given.
    void run_all() noexcept {
        Task* newest = tasks_.exchange(nullptr, std::memory_order_acquire);
        Task* oldest = nullptr;
        while (newest != nullptr) {
            Task* before = newest->next;
            newest->next = oldest;
            oldest = newest;
            newest = before;
        }
        while (oldest != nullptr) {
            Task* next = oldest->next;  // the task is its caller's, and gone once it is done
            try {
                oldest->run(oldest);
            } catch (...) {
                oldest->error = std::current_exception();
            }
            oldest->done.store(true, std::memory_order_release);
            oldest = next;
        }
    }

    std::atomic<bool> busy_{false};
    std::atomic<std::uintptr_t> owner_{0};  // 0: nobody
    std::atomic<Task*> tasks_{nullptr};
};

// A number that one thread at a time writes and any may read.
template <class T>
class Shared {
public:
    Shared() noexcept = default;
    explicit Shared(T value) noexcept : value_(value) {}
    T get() const noexcept { return value_.load(std::memory_order_relaxed); }
    void set(T value) noexcept { value_.store(value, std::memory_order_relaxed); }
    void add(T more) noexcept { set(static_cast<T>(get() + more)); }

private:
    std::atomic<T> value_{};
};

}  // namespace qtxconn
