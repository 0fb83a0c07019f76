// What every driver shares: its jobs by name, and the function inside which callgrind counts.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace icount {

// A job runs `operations` operations, all of them inside measured().
struct Job {
    const char* name;
    void (*run)(long operations);
};

// Counting is on inside this function only, by its name. A loop in `work` spreads the call over its operations.
template <class Work>
[[gnu::noinline]] void measured(Work&& work) {
    work();
}

// The compiler must compute `value`.
template <class T>
inline void keep(const T& value) noexcept {
    asm volatile("" : : "m"(value) : "memory");
}

inline void require(bool condition) noexcept {
    if (!condition) {
        std::abort();
    }
}

// Without an argument: the names of the jobs.
template <std::size_t N>
int main(int argc, char** argv, const Job (&jobs)[N]) {
    for (const Job& job : jobs) {
        if (argc < 2) {
            std::printf("%s\n", job.name);
        } else if (std::strcmp(argv[1], job.name) == 0 && argc == 3) {
            job.run(std::atol(argv[2]));
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}

}  // namespace icount
