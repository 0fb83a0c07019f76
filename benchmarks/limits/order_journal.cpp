// Cost of a journal record, next to what it cannot be cheaper than: copying 256 bytes there and releasing a sequence.
//
//     order_journal copy|intent|fill FILE     FILE is made anew, reserved and mapped
//
// The figure is ns per record over batches of 64, without the clock; the histogram holds single records, with it.
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

#include "measure.hpp"

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
constexpr std::size_t kRounds = 4;
constexpr std::size_t kBatch = 64;
constexpr std::size_t kPerRound = kCapacity - kCapacity / 8;

// `begin` empties the file, `write(i)` writes record i. Rounds of single records and of batches alternate.
template <typename Begin, typename Write>
void time_records(measure::Result& result, Begin begin, Write write) {
    LatencyHistogram single;
    std::vector<std::int64_t> batches;
    batches.reserve(kRounds * kPerRound / kBatch);
    std::size_t allocated = 0;
    for (std::size_t round = 0; round < 2 * kRounds; ++round) {
        begin();
        const std::size_t before = allocations;
        if (round % 2 == 0) {
            for (std::size_t i = 0; i < kPerRound; ++i) {
                const std::int64_t start = measure::now_ns();
                write(i);
                single.record(measure::now_ns() - start);
            }
        } else {
            for (std::size_t i = 0; i + kBatch <= kPerRound; i += kBatch) {
                const std::int64_t start = measure::now_ns();
                for (std::size_t k = 0; k < kBatch; ++k) {
                    write(i + k);
                }
                batches.push_back(measure::now_ns() - start);
            }
        }
        allocated += allocations - before;
    }
    std::sort(batches.begin(), batches.end());
    result.value(static_cast<double>(batches[batches.size() / 2]) / kBatch);
    result.histogram(single);
    result.fact("allocations", static_cast<double>(allocated));
}

JournalRecord* map_records(const char* path) {
    const int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const std::size_t size = (kCapacity + 1) * kJournalRecordSize;
    if (file < 0 || posix_fallocate(file, 0, static_cast<off_t>(size)) != 0) {
        return nullptr;
    }
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (memory == MAP_FAILED) {
        return nullptr;
    }
    std::memset(memory, 0, size);
    return reinterpret_cast<JournalRecord*>(static_cast<char*>(memory) + kJournalRecordSize);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string mode = argc == 3 ? argv[1] : "";
    JournalRecord* records = mode.empty() ? nullptr : map_records(argv[2]);
    if (records == nullptr) {
        std::perror("order_journal MODE FILE");
        return 1;
    }
    const std::string id = "1234567890123456789";
    JournalRecord plain;
    std::memset(static_cast<void*>(&plain), 1, sizeof(plain));
    JournalWriter writer;
    const auto begin = [&] { writer.reset(records, kCapacity, 0, 1); };
    measure::Result result;
    if (mode == "copy") {
        time_records(
            result, [] {},
            [&](std::size_t i) {
                std::memcpy(reinterpret_cast<char*>(&records[i]) + 8, reinterpret_cast<const char*>(&plain) + 8,
                            kJournalRecordSize - 8);
                __atomic_store_n(&records[i].sequence, i + 1, __ATOMIC_RELEASE);
            });
    } else if (mode == "intent") {
        time_records(result, begin, [&](std::size_t i) {
            writer.intent(i + 1, id, "BTC-USDT", 1, 2, 0, Fixed{600001, 1}, Fixed{2, 3}, 1000, 2000, 77);
        });
    } else if (mode == "fill") {
        time_records(result, begin, [&](std::size_t i) {
            writer.fill(i + 1, id, "USDT", Fixed{600001, 1}, Fixed{2, 3}, Fixed{1200002, 4}, Fixed{1, 5}, true, 1, 2);
        });
    } else {
        return 2;
    }
    result.print();
    return 0;
}
