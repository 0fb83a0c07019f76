// Cost of a journal record, next to what it cannot be cheaper than: copying 256 bytes there and releasing a sequence.
//
//     order_journal FILE      mapped, made and reserved anew; prints one JSON object
#include "qtxconn/order_journal.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "qtxconn/clock.hpp"

namespace {

std::size_t allocations = 0;

}  // namespace

void* operator new(std::size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size)) {
        return memory;
    }
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace qtxconn;

constexpr std::size_t kCapacity = 65'536;
constexpr std::size_t kRounds = 20;
constexpr std::size_t kPerRound = kCapacity - kCapacity / 8;

struct Figures {
    double p50, p99, p999;
};

Figures figures(std::vector<std::int64_t>& samples) {
    std::sort(samples.begin(), samples.end());
    const auto at = [&](double share) {
        return static_cast<double>(samples[static_cast<std::size_t>(share * static_cast<double>(samples.size() - 1))]);
    };
    return {at(0.5), at(0.99), at(0.999)};
}

// Each call timed by itself, with the clock's own cost in it; `batch_ns` is the mean over batches of 64, without it.
template <typename Begin, typename Call>
void measure(const char* name, Begin&& begin, Call&& call, const char* more) {
    std::vector<std::int64_t> single;
    std::vector<std::int64_t> batches;
    single.reserve(kRounds * kPerRound);
    batches.reserve(kRounds * kPerRound / 64);
    std::size_t allocated = 0;
    for (std::size_t round = 0; round < 2 * kRounds; ++round) {
        begin();
        const std::size_t before = allocations;
        if (round % 2 == 0) {
            for (std::size_t i = 0; i < kPerRound; ++i) {
                const std::int64_t start = monotonic_ns();
                call(i);
                single.push_back(monotonic_ns() - start);
            }
        } else {
            for (std::size_t i = 0; i + 64 <= kPerRound; i += 64) {
                const std::int64_t start = monotonic_ns();
                for (std::size_t k = 0; k < 64; ++k) {
                    call(i + k);
                }
                batches.push_back(monotonic_ns() - start);
            }
        }
        allocated += allocations - before;
    }
    const Figures each = figures(single);
    const Figures batch = figures(batches);
    std::printf(
        "\"%s\": {\"p50_ns\": %.0f, \"p99_ns\": %.0f, \"p999_ns\": %.0f, \"batch_ns\": %.1f, \"allocations\": %zu}%s",
        name, each.p50, each.p99, each.p999, batch.p50 / 64, allocated, more);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2) {
        std::fprintf(stderr, "usage: order_journal FILE\n");
        return 2;
    }
    const int file = open(arguments[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const std::size_t size = (kCapacity + 1) * kJournalRecordSize;
    if (file < 0 || posix_fallocate(file, 0, static_cast<off_t>(size)) != 0) {
        std::perror(arguments[1]);
        return 1;
    }
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (memory == MAP_FAILED) {
        std::perror("mmap");
        return 1;
    }
    std::memset(memory, 0, size);
    auto* records = reinterpret_cast<JournalRecord*>(static_cast<char*>(memory) + kJournalRecordSize);

    std::printf("{");
    measure("clock", [] {}, [](std::size_t) {}, ", ");

    JournalRecord plain;
    std::memset(static_cast<void*>(&plain), 1, sizeof(plain));
    measure(
        "copy_and_release", [] {},
        [&](std::size_t i) {
            std::memcpy(reinterpret_cast<char*>(&records[i]) + 8, reinterpret_cast<const char*>(&plain) + 8,
                        kJournalRecordSize - 8);
            __atomic_store_n(&records[i].sequence, i + 1, __ATOMIC_RELEASE);
        },
        ", ");

    JournalWriter writer;
    const std::string id = "1234567890123456789";
    const auto begin = [&] { writer.reset(records, kCapacity, 0, 1); };
    measure(
        "intent", begin,
        [&](std::size_t i) {
            writer.intent(i + 1, id, "BTC-USDT", 1, 2, 0, Fixed{600001, 1}, Fixed{2, 3}, 1000, 2000, 77);
        },
        ", ");
    measure(
        "fill", begin,
        [&](std::size_t i) {
            writer.fill(i + 1, id, "USDT", Fixed{600001, 1}, Fixed{2, 3}, Fixed{1200002, 4}, Fixed{1, 5}, true, 1, 2);
        },
        "}\n");
    return 0;
}
