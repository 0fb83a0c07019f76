// Runs a fuzz target where there is no libFuzzer: seeds, mutations, and coverage by the compiler's own hooks.
//
//     TARGET SECONDS SEED WORK_DIRECTORY SEED_DIRECTORY...
//
// The target is compiled with -fsanitize-coverage=trace-pc, this file without it. SECONDS 0 only replays the seeds.
// Inputs that reach something new are kept in memory, mutated further, and written to WORK_DIRECTORY at the end; the
// one that a sanitizer, an abort or ten seconds without an end stopped is written there as "crash". The same SEED makes
// the same inputs in the same order.
#include <dirent.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kSizeMax = 8192;
constexpr unsigned kInputSecondsMax = 10;
constexpr std::size_t kKeptMax = 400;

// -- coverage: which edges of the target were taken ----------------------------------------------------------------

constexpr std::size_t kEdges = 1U << 16;
std::array<std::uint8_t, kEdges> taken{};       // by this input
std::array<std::uint8_t, kEdges> ever_taken{};  // by any
std::array<std::uint16_t, kEdges> touched{};    // the edges in `taken`
std::size_t touched_count = 0;
std::uintptr_t previous = 0;

// Whether this input took an edge that none before it took. Forgets the input's edges.
bool reached_something_new() {
    bool is_new = false;
    for (; touched_count > 0; --touched_count) {
        const std::size_t edge = touched[touched_count - 1];
        is_new |= ever_taken[edge] == 0;
        ever_taken[edge] = 1;
        taken[edge] = 0;
    }
    previous = 0;
    return is_new;
}

// -- one input -----------------------------------------------------------------------------------------------------

std::string crash_path;
const Bytes* current = nullptr;

void write_file(const std::string& path, const Bytes& bytes) {
    if (std::FILE* file = std::fopen(path.c_str(), "wb")) {
        std::fwrite(bytes.data(), 1, bytes.size(), file);
        std::fclose(file);
    }
}

void save_crash() {
    if (current != nullptr) {
        write_file(crash_path, *current);
        std::fprintf(stderr, "the input is in %s (%zu bytes)\n", crash_path.c_str(), current->size());
        current = nullptr;
    }
}

void on_signal(int number) {
    std::fprintf(stderr, number == SIGALRM ? "no end after %u s\n" : "aborted (%u)\n",
                 number == SIGALRM ? kInputSecondsMax : static_cast<unsigned>(number));
    save_crash();
    _exit(1);
}

bool run(const Bytes& input) {
    // A copy of exactly this size, so that AddressSanitizer sees a read beyond it.
    const Bytes exact(input.begin(), input.end());
    current = &exact;
    alarm(kInputSecondsMax);
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
    current = nullptr;
    return reached_something_new();
}

// -- mutations -----------------------------------------------------------------------------------------------------

class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed * 2 + 1) {}
    std::uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_ * 0x2545F4914F6CDD1DULL;
    }
    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : static_cast<std::size_t>(next() >> 16) % limit; }

private:
    std::uint64_t state_;
};

constexpr std::uint64_t kNumbers[] = {0,
                                      1,
                                      2,
                                      7,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x7fff,
                                      0x8000,
                                      0xffff,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      1ULL << 62,
                                      1ULL << 63,
                                      UINT64_MAX,
                                      UINT64_MAX >> 1,
                                      4095,
                                      4096,
                                      65536,
                                      1000000,
                                      0x7ff0000000000000ULL,
                                      0x7ff8000000000000ULL,
                                      0x3ff0000000000000ULL};
constexpr char kCharacters[] = "0123456789.-+eE\"{}[]:,\\ \n\0";

void overwrite_number(Bytes& input, Random& random) {
    const std::size_t width = std::size_t{1} << random.below(4);
    if (input.size() < width) {
        return;
    }
    std::size_t at = random.below(input.size() - width + 1);
    at -= random.below(2) == 0 ? at % width : 0;  // fields are mostly aligned
    std::uint64_t number = kNumbers[random.below(std::size(kNumbers))];
    if (random.below(3) == 0) {
        std::memcpy(&number, input.data() + at, width);
        number += random.below(33) - 16;
    }
    std::memcpy(input.data() + at, &number, width);
}

void mutate_once(Bytes& input, const std::vector<Bytes>& kept, Random& random) {
    const std::size_t at = random.below(input.size());
    switch (random.below(9)) {
        case 0:
            if (!input.empty()) {
                input[at] ^= static_cast<std::uint8_t>(1U << random.below(8));
            }
            break;
        case 1:
            if (!input.empty()) {
                input[at] = static_cast<std::uint8_t>(random.next());
            }
            break;
        case 2: overwrite_number(input, random); break;
        case 3: input.resize(random.below(input.size() + 1)); break;
        case 4: {
            const std::size_t length = std::min(random.below(input.size() - at + 1), std::size_t{64});
            input.erase(input.begin() + static_cast<std::ptrdiff_t>(at),
                        input.begin() + static_cast<std::ptrdiff_t>(at + length));
            break;
        }
        case 5: {  // a piece of it again, elsewhere
            const std::size_t length = std::min(input.size() - at, std::size_t{1} << random.below(9));
            const Bytes piece(input.begin() + static_cast<std::ptrdiff_t>(at),
                              input.begin() + static_cast<std::ptrdiff_t>(at + length));
            const auto to = input.begin() + static_cast<std::ptrdiff_t>(random.below(input.size() + 1));
            input.insert(to, piece.begin(), piece.end());
            break;
        }
        case 6: {  // the rest of another one
            const Bytes& other = kept[random.below(kept.size())];
            const std::size_t from = random.below(other.size());
            input.resize(at);
            input.insert(input.end(), other.begin() + static_cast<std::ptrdiff_t>(from), other.end());
            break;
        }
        case 7: {
            const char character = kCharacters[random.below(sizeof kCharacters - 1)];
            input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(character));
            break;
        }
        default: input.push_back(static_cast<std::uint8_t>(random.next())); break;
    }
    if (input.size() > kSizeMax) {
        input.resize(kSizeMax);
    }
}

// -- files ---------------------------------------------------------------------------------------------------------

std::vector<Bytes> read_directory(const std::string& path) {
    std::vector<std::string> names;
    if (DIR* directory = opendir(path.c_str())) {
        while (const dirent* entry = readdir(directory)) {
            names.push_back(path + "/" + entry->d_name);
        }
        closedir(directory);
    }
    std::sort(names.begin(), names.end());
    std::vector<Bytes> inputs;
    for (const std::string& name : names) {
        struct stat info{};
        std::FILE* file =
            stat(name.c_str(), &info) == 0 && S_ISREG(info.st_mode) ? std::fopen(name.c_str(), "rb") : nullptr;
        if (file != nullptr) {
            Bytes bytes(static_cast<std::size_t>(info.st_size));
            bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
            std::fclose(file);
            inputs.push_back(std::move(bytes));
        }
    }
    return inputs;
}

std::int64_t now_s() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

}  // namespace

// Called by the compiled target at every edge.
extern "C" void __sanitizer_cov_trace_pc() {
    // Relative to the target, so that it does not matter where the program was loaded.
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) -
                      reinterpret_cast<std::uintptr_t>(&LLVMFuzzerTestOneInput);
    const std::size_t edge = (here ^ (previous >> 1)) % kEdges;
    if (taken[edge] == 0) {
        taken[edge] = 1;
        touched[touched_count++] = static_cast<std::uint16_t>(edge);
    }
    previous = here;
}

int main(int argc, char** argv) {
    if (argc < 5) {
        std::fprintf(stderr, "usage: %s SECONDS SEED WORK_DIRECTORY SEED_DIRECTORY...\n", argv[0]);
        return 2;
    }
    const std::int64_t end_s = now_s() + std::atoll(argv[1]);
    const bool replay_only = std::atoll(argv[1]) == 0;
    Random random(std::strtoull(argv[2], nullptr, 10));
    const std::string work = argv[3];
    crash_path = work + "/crash";
    __sanitizer_set_death_callback(save_crash);
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);

    std::vector<Bytes> kept = {Bytes{}};
    std::uint64_t runs = 0;
    run(kept[0]);
    for (int i = 4; i < argc; ++i) {
        for (Bytes& seed : read_directory(argv[i])) {
            run(seed);
            kept.push_back(std::move(seed));
            ++runs;
        }
    }
    const std::size_t seeds = kept.size();
    while (!replay_only && (runs % 64 != 0 || now_s() < end_s)) {
        // Half of the time one of the newest: what they reach is least explored.
        const std::size_t newest = std::min(kept.size(), std::size_t{16});
        const std::size_t from = random.below(2) == 0 ? kept.size() - newest : 0;
        Bytes input = kept[from + random.below(kept.size() - from)];
        for (std::size_t i = 1 + random.below(8); i > 0; --i) {
            mutate_once(input, kept, random);
        }
        ++runs;
        if (run(input) && kept.size() < seeds + kKeptMax) {
            kept.push_back(std::move(input));
        }
    }
    alarm(0);
    for (std::size_t i = seeds; i < kept.size(); ++i) {
        char name[32];
        std::snprintf(name, sizeof name, "/new-%04zu", i - seeds);
        write_file(work + name, kept[i]);
    }
    std::printf("%llu inputs, %zu seeds, %zu found new paths, %td edges\n", static_cast<unsigned long long>(runs),
                seeds - 1, kept.size() - seeds, std::count(ever_taken.begin(), ever_taken.end(), 1));
    return 0;
}
