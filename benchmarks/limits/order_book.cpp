// Updates of an L2 book, the touch read after each: a bare tick ring, sorted vectors, two std::maps, and qtxconn's
// book.
//
// order_book KIND FILE       one repetition: ns an update, and a checksum of all touches
// order_book symbols N       ns an update over N books of 20 levels a side, and their bytes a symbol
//
// KIND: ring, vectors, maps, book, book_array (a grid so fine that the book stays with its arrays). FILE holds updates
// of three int64 (side 0 or 1, ticks, lots; lots 0 removes), as benchmarks/order_book.py writes it. The bare ring is
// the limit of the job: 8,192 ticks and their occupancy bits a side, a std::map for what is deeper, and nothing else:
// no validity, no message numbers, no times, no bound on the levels.
#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "measure.hpp"
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

// -- figures ---------------------------------------------------------------------------------------------------

std::uint64_t fold(std::uint64_t checksum, std::int64_t bid, std::int64_t ask) {
    return (checksum << 7 | checksum >> 57) ^ static_cast<std::uint64_t>(bid ^ ask << 32);
}

template <typename Kind>
void play(const std::vector<Update>& updates) {
    constexpr int kPasses = 5;
    std::vector<double> passes;
    std::uint64_t checksum = 0;
    for (int pass = 0; pass < kPasses; ++pass) {
        const auto kind = std::make_unique<Kind>();
        checksum = 0;
        const std::int64_t begin = measure::now_ns();
        for (const Update& update : updates) {
            kind->set(update);
            checksum = fold(checksum, kind->bid().price, kind->ask().price);
        }
        passes.push_back(static_cast<double>(measure::now_ns() - begin) / static_cast<double>(updates.size()));
    }
    std::sort(passes.begin(), passes.end());
    measure::Result result;
    result.value(passes[kPasses / 2]);
    result.checksum(checksum);
    result.print();
}

struct Kind {
    const char* name;
    void (*play)(const std::vector<Update>&);
};
constexpr Kind kKinds[] = {{"ring", play<Ring>},
                           {"vectors", play<Vectors>},
                           {"maps", play<Maps>},
                           {"book", play<Book<1>>},
                           {"book_array", play<Book<10'000'000>>}};

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

// One 20x20 book a symbol, then updates near the touch of symbols in a scrambled order.
void play_symbols(std::size_t symbols) {
    constexpr std::int64_t kDepth = 20;
    constexpr std::uint64_t kUpdates = 1'000'000;
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
    measure::Result result;
    result.fact("bytes_per_symbol", static_cast<double>(mallinfo2().uordblks - before) / static_cast<double>(symbols));
    std::int64_t sum = 0;
    const std::int64_t begin = measure::now_ns();
    for (std::uint64_t i = 0; i < kUpdates; ++i) {
        const std::uint64_t scrambled = i * 0x9E3779B97F4A7C15U;
        qtxconn::L2Book& book = *books[(scrambled >> 32) * symbols >> 32];
        const auto offset = static_cast<std::int64_t>(scrambled >> 28 & 7);
        const bool is_bid = (scrambled >> 27 & 1) != 0;
        book.set_level(is_bid ? qtxconn::Side::bid : qtxconn::Side::ask, is_bid ? 100'000 - offset : 100'001 + offset,
                       static_cast<std::int64_t>(scrambled >> 24 & 3));
        book.commit(i, static_cast<std::int64_t>(i));
        sum += book.best_bid_ticks() + book.best_ask_ticks();
    }
    result.value(static_cast<double>(measure::now_ns() - begin) / static_cast<double>(kUpdates));
    measure::keep(sum);
    result.print();
}

}  // namespace

int main(int argc, char** argv) {
    const std::string mode = argc == 3 ? argv[1] : "";
    if (mode == "symbols") {
        play_symbols(std::strtoull(argv[2], nullptr, 10));
        return 0;
    }
    for (const Kind& kind : kKinds) {
        if (mode == kind.name) {
            kind.play(load(argv[2]));
            return 0;
        }
    }
    std::fprintf(stderr, "order_book KIND FILE | order_book symbols N\n");
    return 2;
}
