// The book against two std::maps under random messages, tickers, snapshots and losses.
#include "qtxconn/l2_book.hpp"

#include <cstring>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "check.hpp"

using namespace qtxconn;

namespace {

struct Model {
    std::map<std::int64_t, std::int64_t> bids, asks;
    BookInvalid broken = BookInvalid::none;

    auto& side(Side s) { return s == Side::bid ? bids : asks; }

    void set_level(Side s, std::int64_t price, std::int64_t size) {
        if (size <= 0) {
            side(s).erase(price);
        } else {
            side(s)[price] = size;
        }
    }

    void set_top(Side s, std::int64_t price, std::int64_t size) {
        if (size <= 0) {
            if (s == Side::bid && !bids.empty()) {
                bids.erase(std::prev(bids.end()));
            } else if (s == Side::ask && !asks.empty()) {
                asks.erase(asks.begin());
            }
            return;
        }
        if (s == Side::bid) {
            bids.erase(bids.upper_bound(price), bids.end());
            asks.erase(asks.begin(), asks.upper_bound(price));
        } else {
            asks.erase(asks.begin(), asks.lower_bound(price));
            bids.erase(bids.lower_bound(price), bids.end());
        }
        side(s)[price] = size;
    }

    BookInvalid verdict() const {
        if (broken != BookInvalid::none) {
            return broken;
        }
        if (bids.empty() || asks.empty()) {
            return BookInvalid::empty;
        }
        return bids.rbegin()->first >= asks.begin()->first ? BookInvalid::crossed : BookInvalid::none;
    }
};

void compare_books(const L2Book& book, const Model& model) {
    CHECK(book.depth(Side::bid) == model.bids.size());
    CHECK(book.depth(Side::ask) == model.asks.size());
    std::vector<BookLevel> levels(model.bids.size() + model.asks.size() + 1);
    CHECK(book.copy_levels(Side::bid, levels.data(), levels.size()) == model.bids.size());
    std::size_t i = 0;
    for (auto it = model.bids.rbegin(); it != model.bids.rend(); ++it, ++i) {
        CHECK(levels[i].price == it->first && levels[i].size == it->second);
    }
    CHECK(book.copy_levels(Side::ask, levels.data(), levels.size()) == model.asks.size());
    i = 0;
    for (const auto& [price, size] : model.asks) {
        CHECK(levels[i].price == price && levels[i].size == size);
        ++i;
    }
    const BookLevel* bid = book.best(Side::bid);
    const BookLevel* ask = book.best(Side::ask);
    CHECK((bid == nullptr) == model.bids.empty() && (ask == nullptr) == model.asks.empty());
    CHECK(book.best_bid_lots() == (bid == nullptr ? 0 : model.bids.rbegin()->second));
    CHECK(book.best_ask_lots() == (ask == nullptr ? 0 : model.asks.begin()->second));
    CHECK(bid == nullptr || (bid->price == model.bids.rbegin()->first && book.best_bid_ticks() == bid->price));
    CHECK(ask == nullptr || (ask->price == model.asks.begin()->first && book.best_ask_ticks() == ask->price));
}

void random_messages_give_the_same_book_as_two_maps() {
    std::mt19937_64 rng(99);
    for (int run = 0; run < 30; ++run) {
        L2Book book;
        Model model;
        const std::uint64_t width = run % 2 == 0 ? 60 : 5000;  // sorted arrays, or a ring and what lies behind it
        std::int64_t middle = 100'000;
        std::int64_t valid_since = 0;
        CHECK(!book.valid() && book.invalid_reason() == BookInvalid::empty && book.valid_since_ns() == 0);
        for (std::int64_t now = 1; now <= 600; ++now) {
            const bool was_valid = book.valid();
            if (width > 60) {
                middle += static_cast<std::int64_t>(rng() % 401) - 150;
            }
            const auto kind = rng() % 40;
            if (kind == 0) {
                const auto reason = rng() % 2 == 0 ? BookInvalid::gap : BookInvalid::disconnected;
                book.invalidate(reason, now);
                model.broken = reason;
            } else {
                if (kind == 1) {
                    book.begin_snapshot();
                    model = Model{};
                }
                for (auto n = rng() % (width / 5); n > 0; --n) {
                    const Side side = rng() % 2 == 0 ? Side::bid : Side::ask;
                    const auto spread = static_cast<std::int64_t>(rng() % width) - 3;
                    const std::int64_t price = side == Side::bid ? middle - spread : middle + 1 + spread;
                    const auto size = static_cast<std::int64_t>(rng() % 4) - (rng() % 20 == 0 ? 1 : 0);
                    if (rng() % (width / 10) == 0) {
                        book.set_top(side, price, size);
                        model.set_top(side, price, size);
                    } else {
                        book.set_level(side, price, size);
                        model.set_level(side, price, size);
                    }
                }
                const std::uint64_t revision = book.revision();
                book.commit(static_cast<std::uint64_t>(now) * 10, now);
                CHECK(book.last_update_id() == static_cast<std::uint64_t>(now) * 10);
                CHECK(book.last_update_ns() == now && book.revision() == revision + 1);
            }
            compare_books(book, model);
            CHECK(book.invalid_reason() == model.verdict());
            if (book.valid() && !was_valid) {
                valid_since = now;
            }
            CHECK(book.valid_since_ns() == (book.valid() ? valid_since : 0));
        }
    }
}

void a_gap_lasts_until_the_next_snapshot() {
    L2Book book;
    book.begin_snapshot();
    book.set_level(Side::bid, 10, 1);
    book.set_level(Side::ask, 11, 1);
    book.commit(1, 100);
    CHECK(book.valid() && book.valid_since_ns() == 100);
    book.invalidate(BookInvalid::gap, 200);
    book.set_level(Side::ask, 12, 1);
    book.commit(2, 300);
    CHECK(!book.valid() && book.invalid_reason() == BookInvalid::gap && book.valid_since_ns() == 0);
    book.begin_snapshot();
    book.set_level(Side::bid, 20, 1);
    book.set_level(Side::ask, 21, 1);
    book.commit(3, 400);
    CHECK(book.valid() && book.valid_since_ns() == 400 && book.best(Side::bid)->price == 20);
}

void a_crossed_message_is_judged_whole_and_heals() {
    L2Book book;
    book.set_level(Side::bid, 10, 1);
    book.set_level(Side::ask, 11, 1);
    book.commit(1, 1);
    book.set_level(Side::bid, 11, 1);  // crossed in the middle of a message that then removes the ask
    book.set_level(Side::ask, 11, 0);
    book.set_level(Side::ask, 12, 1);
    book.commit(2, 2);
    CHECK(book.valid() && book.valid_since_ns() == 1);
    book.set_level(Side::bid, 12, 1);  // locked: equal prices are crossed
    book.commit(3, 3);
    CHECK(book.invalid_reason() == BookInvalid::crossed);
    book.set_level(Side::bid, 12, 0);
    book.commit(4, 4);
    CHECK(book.valid() && book.valid_since_ns() == 4);
}

void a_ticker_and_a_depth_message_are_merged_by_the_venues_time() {
    L2Book book;
    const auto depth = [&](std::int64_t event_ms) {  // as the venue's book was at that time
        book.begin_snapshot();
        book.set_level(Side::bid, 10, 1);
        book.set_level(Side::bid, 9, 2);
        book.set_level(Side::ask, 11, 3);
        book.set_level(Side::ask, 12, 4);
        book.settle_depth(event_ms);
        book.commit(1, 1);
    };
    depth(1000);
    CHECK(book.set_top(Side::bid, 11, 5, 1010) && book.set_top(Side::ask, 12, 4, 1010));
    book.commit(2, 2);
    CHECK(book.valid() && book.best_bid_ticks() == 11 && book.best_ask_ticks() == 12 && book.depth(Side::ask) == 1);
    depth(1005);  // sent before the touch moved, received after
    CHECK(book.valid() && book.best_bid_ticks() == 11 && book.best_bid_lots() == 5 && book.best_ask_ticks() == 12);
    CHECK(book.size_at(Side::bid, 9) == 2);
    depth(1010);  // knows of it
    CHECK(book.best_bid_ticks() == 10 && book.best_ask_ticks() == 11);
    CHECK(!book.set_top(Side::ask, 15, 1, 1009) && book.best_ask_ticks() == 11);
    CHECK(book.set_top(Side::ask, 15, 1, 1010) && book.best_ask_ticks() == 15 && book.depth(Side::ask) == 1);
    // Both tops are newer than the depth and cross: the later one is right.
    depth(2000);
    CHECK(book.set_top(Side::ask, 12, 1, 2005) && book.set_top(Side::bid, 13, 1, 2010));
    depth(2001);
    CHECK(book.best_bid_ticks() == 13 && book.best(Side::ask) == nullptr);
    // A removed top is not brought back by the ticker that had told it.
    depth(3000);
    CHECK(book.set_top(Side::bid, 11, 1, 3001) && book.set_top(Side::bid, 11, 0, 3002));
    depth(3000);
    CHECK(book.best_bid_ticks() == 10);
    // Without times, or with absurd ones, the order of arrival decides.
    CHECK(book.set_top(Side::bid, 8, 1) && book.best_bid_ticks() == 8);
    depth(0);
    CHECK(book.best_bid_ticks() == 10);
    CHECK(book.set_top(Side::bid, 8, 1, INT64_MAX) && book.set_top(Side::ask, 9, 1, INT64_MIN));
    depth(1);
    CHECK(book.best_bid_ticks() == 10 && book.best_ask_ticks() == 11);
    depth(INT64_MAX);
    CHECK(book.set_top(Side::bid, 8, 1, 5000) && book.best_bid_ticks() == 8);
}

void a_finer_grid_is_taken_only_if_everything_fits() {
    L2Book book;
    book.set_level(Side::bid, 10, 1);
    book.set_level(Side::ask, 11, INT64_MAX / 10);
    book.set_trade(LastTrade{10, 3, 1, Side::bid});
    book.commit(1, 1);
    CHECK(!book.rescale(1, 100) && book.best_bid_ticks() == 10 && book.best_bid_lots() == 1);
    CHECK(!book.rescale(INT64_MAX / 5, 1) && book.best_bid_ticks() == 10);
    CHECK(book.rescale(1000, 10) && book.best_bid_ticks() == 10'000 && book.best_bid_lots() == 10);
    CHECK(book.best_ask_ticks() == 11'000 && book.last_trade().price == 10'000 && book.last_trade().size == 30);
}

void the_lock_counts_what_was_written() {
    L2Book book;
    CHECK(book.lock.sequence() == 0 && book.lock.try_lock() && book.lock.sequence() == 1 && !book.lock.try_lock());
    book.lock.unlock();
    CHECK(book.lock.sequence() == 2);
    std::int64_t shared = 0;
    const auto add = [&] {
        for (int i = 0; i < 50'000; ++i) {
            book.lock.lock();
            ++shared;
            book.lock.unlock();
        }
    };
    std::thread other(add);
    add();
    other.join();
    CHECK(shared == 100'000 && book.lock.sequence() == 200'002);
    const BookLayout layout = book.layout();
    book.set_level(Side::ask, 77, 5);
    std::int64_t read[2];
    std::memcpy(&read[0], reinterpret_cast<const char*>(&book) + layout.ask_price, sizeof read[0]);
    std::memcpy(&read[1], reinterpret_cast<const char*>(&book) + layout.ask_size, sizeof read[1]);
    CHECK(read[0] == 77 && read[1] == 5 && layout.sequence == 0 && layout.invalid < sizeof book);
}

void beyond_the_limit_the_deepest_level_goes() {
    L2Book book;
    const auto limit = static_cast<std::int64_t>(L2Book::kLevelsMax);
    for (std::int64_t i = 0; i < limit + 10; ++i) {
        book.set_level(Side::bid, 1000000 + i, 1);
        book.set_level(Side::ask, 3000000 - i, 1);
    }
    CHECK(book.depth(Side::bid) == L2Book::kLevelsMax && book.depth(Side::ask) == L2Book::kLevelsMax);
    CHECK(book.dropped_levels() == 20);
    std::vector<BookLevel> levels(L2Book::kLevelsMax + 1);
    CHECK(book.copy_levels(Side::bid, levels.data(), levels.size()) == L2Book::kLevelsMax);
    CHECK(levels[L2Book::kLevelsMax - 1].price == 1000010);
    CHECK(book.copy_levels(Side::ask, levels.data(), levels.size()) == L2Book::kLevelsMax);
    CHECK(levels[L2Book::kLevelsMax - 1].price == 3000000 - 10);
    book.set_level(Side::bid, 5, 1);  // deeper than all: itself the one that goes
    CHECK(book.dropped_levels() == 21 && book.size_at(Side::bid, 5) == 0 && book.size_at(Side::bid, 1000010) == 1);
    book.set_level(Side::bid, 1000010, 2);  // no new level
    CHECK(book.dropped_levels() == 21 && book.size_at(Side::bid, 1000010) == 2);
    CHECK(book.best(Side::bid)->price == 1000000 + limit + 9);
    book.set_trade(LastTrade{5, 2, 77, Side::ask});
    CHECK(book.last_trade().price == 5 && book.last_trade().taker_side == Side::ask);
}

}  // namespace

int main() {
    random_messages_give_the_same_book_as_two_maps();
    a_gap_lasts_until_the_next_snapshot();
    a_crossed_message_is_judged_whole_and_heals();
    a_ticker_and_a_depth_message_are_merged_by_the_venues_time();
    a_finer_grid_is_taken_only_if_everything_fits();
    the_lock_counts_what_was_written();
    beyond_the_limit_the_deepest_level_goes();
    return 0;
}
