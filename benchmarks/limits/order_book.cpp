// Updates of an L2 book, the touch read after each: a bare tick ring, sorted vectors, two std::maps, and qtxconn's
// book.
//
// Build: g++ -std=c++17 -O2 -march=x86-64-v2 -Iinclude benchmarks/limits/order_book.cpp -o order_book
// Run:   order_book compare FILE          ns an update of each, alternating; the touches must agree
//        order_book KIND FILE N           the first N updates of one kind only, for callgrind (count with N and 2N)
//        order_book symbols               10,000 books of 20 levels a side: bytes a symbol, and ns beside 100 books
//        KIND: none, ring, vectors, maps, book, book_array (a grid so fine that the book stays with its arrays)
//
// FILE holds updates of three int64 (side 0 or 1, ticks, lots; lots 0 removes), as benchmarks/order_book.py writes it.
// The bare ring is the limit of the job: 8,192 ticks and their occupancy bits a side, a std::map for what is deeper,
// and nothing else: no validity, no message numbers, no times, no bound on the levels.
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "qtxconn/l2_book.hpp"

namespace {

struct Update {
    std::int64_t side, price, size;
};

struct Touch {
    std::int64_t price, size;
};

// -- the limit -------------------------------------------------------------------------------------------------

template <bool kBid>
class BareSide {
public:
    BareSide() : sizes_(kTicks), bits_(kTicks / 64) {}

    void set(std::int64_t price, std::int64_t size) {
        const std::int64_t rank = kBid ? price : -price;  // greater is better
        if (rank >= base_ + kTicks) {
            if (size == 0) {
                return;
            }
            move(rank);
        } else if (rank < base_) {
            if (size == 0) {
                deep_.erase(rank);
            } else if (top_ < base_) {
                move(rank);
            } else {
                deep_[rank] = size;
            }
            if (rank < base_) {
                return;
            }
        }
        const std::size_t slot = slot_of(rank);
        sizes_[slot] = size;
        if (size != 0) {
            bits_[slot / 64] |= std::uint64_t{1} << slot % 64;
            top_ = std::max(top_, rank);
        } else {
            bits_[slot / 64] &= ~(std::uint64_t{1} << slot % 64);
            if (rank == top_) {
                next();
            }
        }
    }

    Touch best() const { return top_ < base_ ? Touch{0, 0} : Touch{kBid ? top_ : -top_, sizes_[slot_of(top_)]}; }

private:
    static constexpr std::int64_t kTicks = 8192;
    static std::size_t slot_of(std::int64_t rank) { return static_cast<std::size_t>(rank) & (kTicks - 1); }

    void next() {
        for (std::int64_t word = top_ & ~std::int64_t{63}; word >= base_; word -= 64) {
            const std::uint64_t bits = bits_[slot_of(word) / 64];
            if (bits != 0) {
                top_ = word + 63 - __builtin_clzll(bits);
                return;
            }
        }
        top_ = INT64_MIN;
        if (!deep_.empty()) {
            move(deep_.rbegin()->first);
        }
    }

    // Makes `rank`, better than all others, lie at three quarters of the ring.
    void move(std::int64_t rank) {
        const std::int64_t base = (rank - kTicks / 4 * 3) & ~std::int64_t{63};
        for (std::int64_t gone = base_; gone < std::min(base, base_ + kTicks); ++gone) {
            const std::size_t slot = slot_of(gone);
            if ((bits_[slot / 64] >> slot % 64 & 1) != 0) {
                deep_[gone] = sizes_[slot];
                bits_[slot / 64] &= ~(std::uint64_t{1} << slot % 64);
            }
        }
        base_ = base;
        while (!deep_.empty() && deep_.rbegin()->first >= base) {
            const auto last = std::prev(deep_.end());
            const std::size_t slot = slot_of(last->first);
            sizes_[slot] = last->second;
            bits_[slot / 64] |= std::uint64_t{1} << slot % 64;
            top_ = std::max(top_, last->first);
            deep_.erase(last);
        }
    }

    std::vector<std::int64_t> sizes_;
    std::vector<std::uint64_t> bits_;
    std::map<std::int64_t, std::int64_t> deep_;
    std::int64_t base_ = 0;
    std::int64_t top_ = INT64_MIN;
};

struct Ring {
    BareSide<true> bids;
    BareSide<false> asks;
    void set(const Update& update) {
        update.side == 0 ? bids.set(update.price, update.size) : asks.set(update.price, update.size);
    }
    Touch bid() const { return bids.best(); }
    Touch ask() const { return asks.best(); }
};

// -- peers in C++ ----------------------------------------------------------------------------------------------

struct Vectors {
    std::vector<Touch> sides[2];  // the best at the back
    void set(const Update& update) {
        std::vector<Touch>& levels = sides[update.side];
        const std::int64_t sign = update.side == 0 ? 1 : -1;
        const auto at =
            std::lower_bound(levels.begin(), levels.end(), update.price * sign,
                             [sign](const Touch& level, std::int64_t rank) { return level.price * sign < rank; });
        const bool exists = at != levels.end() && at->price == update.price;
        if (update.size == 0) {
            if (exists) {
                levels.erase(at);
            }
        } else if (exists) {
            at->size = update.size;
        } else {
            levels.insert(at, Touch{update.price, update.size});
        }
    }
    Touch bid() const { return sides[0].empty() ? Touch{0, 0} : sides[0].back(); }
    Touch ask() const { return sides[1].empty() ? Touch{0, 0} : sides[1].back(); }
};

struct Maps {
    std::map<std::int64_t, std::int64_t> bids, asks;
    void set(const Update& update) {
        auto& levels = update.side == 0 ? bids : asks;
        if (update.size == 0) {
            levels.erase(update.price);
        } else {
            levels[update.price] = update.size;
        }
    }
    Touch bid() const { return bids.empty() ? Touch{0, 0} : Touch{bids.rbegin()->first, bids.rbegin()->second}; }
    Touch ask() const { return asks.empty() ? Touch{0, 0} : Touch{asks.begin()->first, asks.begin()->second}; }
};

// -- qtxconn ---------------------------------------------------------------------------------------------------

// Every update is a message of its own: the dearest way to use the book.
template <std::int64_t kTick>
struct Book {
    qtxconn::L2Book book;
    std::uint64_t number = 0;
    void set(const Update& update) {
        book.set_level(static_cast<qtxconn::Side>(update.side), update.price * kTick, update.size);
        ++number;
        book.commit(number, static_cast<std::int64_t>(number));
    }
    Touch bid() const { return Touch{book.best_bid_ticks() / kTick, book.best_bid_lots()}; }
    Touch ask() const { return Touch{book.best_ask_ticks() / kTick, book.best_ask_lots()}; }
};

struct None {
    std::int64_t price = 0;
    void set(const Update& update) { price = update.price; }
    Touch bid() const { return Touch{price, 0}; }
    Touch ask() const { return Touch{price, 0}; }
};

// -- figures ---------------------------------------------------------------------------------------------------

double now_ns() { return static_cast<double>(std::chrono::steady_clock::now().time_since_epoch().count()); }

std::uint64_t fold(std::uint64_t digest, Touch bid, Touch ask) {
    const std::int64_t seen = (bid.price ^ bid.size << 20) + (ask.price ^ ask.size << 40);
    return (digest << 7 | digest >> 57) ^ static_cast<std::uint64_t>(seen);
}

template <typename Kind>
std::uint64_t play(const std::vector<Update>& updates, std::size_t count, double* ns = nullptr) {
    const auto kind = std::make_unique<Kind>();
    std::uint64_t digest = 0;
    const double begin = now_ns();
    for (std::size_t i = 0; i < count; ++i) {
        kind->set(updates[i]);
        digest = fold(digest, kind->bid(), kind->ask());
    }
    if (ns != nullptr) {
        *ns = (now_ns() - begin) / static_cast<double>(count);
    }
    return digest;
}

using Play = std::uint64_t (*)(const std::vector<Update>&, std::size_t, double*);
struct Row {
    const char* name;
    Play run;
};
const Row kRows[] = {{"ring", play<Ring>},
                     {"vectors", play<Vectors>},
                     {"maps", play<Maps>},
                     {"book", play<Book<1>>},
                     {"book_array", play<Book<10'000'000>>},
                     {"none", play<None>}};
constexpr std::size_t kCompared = 5;

std::vector<Update> load(const char* path) {
    std::vector<Update> updates;
    std::FILE* file = std::fopen(path, "rb");
    Update update;
    while (file != nullptr && std::fread(&update, sizeof update, 1, file) == 1) {
        updates.push_back(update);
    }
    if (updates.empty()) {
        std::fprintf(stderr, "%s: no updates\n", path);
        std::exit(1);
    }
    std::fclose(file);
    return updates;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

void compare(const std::vector<Update>& updates) {
    constexpr int kRepetitions = 15;
    std::vector<double> figures[kCompared];
    std::uint64_t digest = 0;
    for (int repetition = 0; repetition < kRepetitions; ++repetition) {
        for (std::size_t i = 0; i < kCompared; ++i) {
            double ns = 0;
            const std::uint64_t seen = kRows[i].run(updates, updates.size(), &ns);
            if (i == 0) {
                digest = seen;
            } else if (seen != digest) {
                std::fprintf(stderr, "%s shows another touch than the ring\n", kRows[i].name);
                std::exit(1);
            }
            figures[i].push_back(ns);
        }
    }
    std::printf("{");
    for (std::size_t i = 0; i < kCompared; ++i) {
        std::printf("\"%s_ns\": %.2f, ", kRows[i].name, median(figures[i]));
    }
    std::printf("\"book_to_ring\": %.2f, \"book_array_to_vectors\": %.2f, \"digest\": \"%016llx\"}\n",
                median(figures[3]) / median(figures[0]), median(figures[4]) / median(figures[1]),
                static_cast<unsigned long long>(digest));
}

constexpr std::int64_t kDepth = 20;

// One 20x20 book a symbol, then updates at the touch of symbols in a scrambled order.
double update_symbols(std::size_t symbols, double* bytes) {
    const std::size_t before = mallinfo2().uordblks;
    std::vector<std::unique_ptr<qtxconn::L2Book>> books;
    books.reserve(symbols);
    for (std::size_t i = 0; i < symbols; ++i) {
        books.push_back(std::make_unique<qtxconn::L2Book>());
        for (std::int64_t level = 0; level < kDepth; ++level) {
            books[i]->set_level(qtxconn::Side::bid, 100'000 - level, 1 + level);
            books[i]->set_level(qtxconn::Side::ask, 100'001 + level, 1 + level);
        }
        books[i]->commit(1, 1);
    }
    *bytes = static_cast<double>(mallinfo2().uordblks - before) / static_cast<double>(symbols);
    constexpr std::uint64_t kUpdates = 1'000'000;
    std::uint64_t digest = 0;
    const double begin = now_ns();
    for (std::uint64_t i = 0; i < kUpdates; ++i) {
        const std::uint64_t scrambled = i * 0x9E3779B97F4A7C15U;
        qtxconn::L2Book& book = *books[(scrambled >> 32) * symbols >> 32];
        const auto offset = static_cast<std::int64_t>(scrambled >> 28 & 7);
        const bool is_bid = (scrambled >> 27 & 1) != 0;
        book.set_level(is_bid ? qtxconn::Side::bid : qtxconn::Side::ask, is_bid ? 100'000 - offset : 100'001 + offset,
                       static_cast<std::int64_t>(scrambled >> 24 & 3));
        book.commit(i, static_cast<std::int64_t>(i));
        digest ^= static_cast<std::uint64_t>(book.best_bid_ticks() + book.best_ask_ticks());
    }
    const double ns = (now_ns() - begin) / static_cast<double>(kUpdates);
    return digest == 1 ? 0 : ns;  // the digest is used
}

void compare_symbols() {
    std::vector<double> few, many;
    double bytes = 0;
    for (int repetition = 0; repetition < 7; ++repetition) {
        few.push_back(update_symbols(100, &bytes));
        many.push_back(update_symbols(10'000, &bytes));
    }
    std::printf("{\"symbols_100_ns\": %.2f, \"symbols_10000_ns\": %.2f, \"ratio\": %.2f, \"book_bytes\": %.0f}\n",
                median(few), median(many), median(many) / median(few), bytes);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "symbols") {
        compare_symbols();
        return 0;
    }
    if (mode == "compare" && argc == 3) {
        compare(load(argv[2]));
        return 0;
    }
    for (const Row& row : kRows) {
        if (mode == row.name && argc == 4) {
            const std::vector<Update> updates = load(argv[2]);
            const std::size_t count = std::min<std::size_t>(std::strtoull(argv[3], nullptr, 10), updates.size());
            std::printf("%016llx\n", static_cast<unsigned long long>(row.run(updates, count, nullptr)));
            return 0;
        }
    }
    std::fprintf(stderr, "order_book compare FILE | order_book KIND FILE N | order_book symbols\n");
    return 2;
}
