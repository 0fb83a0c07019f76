// The book against two std::maps under random messages, tickers, snapshots and losses.
#include "qtxconn/l2_book.hpp"

#include <map>
#include <random>

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
    std::size_t i = 0;
    for (auto it = model.bids.rbegin(); it != model.bids.rend(); ++it, ++i) {
        CHECK(book.level(Side::bid, i)->price == it->first && book.level(Side::bid, i)->size == it->second);
    }
    i = 0;
    for (const auto& [price, size] : model.asks) {
        CHECK(book.level(Side::ask, i)->price == price && book.level(Side::ask, i)->size == size);
        ++i;
    }
    CHECK(book.level(Side::bid, model.bids.size()) == nullptr);
    CHECK(book.level(Side::ask, model.asks.size()) == nullptr);
}

void random_messages_give_the_same_book_as_two_maps() {
    std::mt19937_64 rng(99);
    for (int run = 0; run < 30; ++run) {
        L2Book book;
        Model model;
        std::int64_t valid_since = 0;
        CHECK(!book.valid() && book.invalid_reason() == BookInvalid::empty && book.valid_since_ns() == 0);
        for (std::int64_t now = 1; now <= 600; ++now) {
            const bool was_valid = book.valid();
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
                for (auto n = rng() % 12; n > 0; --n) {
                    const Side side = rng() % 2 == 0 ? Side::bid : Side::ask;
                    const auto spread = static_cast<std::int64_t>(rng() % 60) - 3;
                    const std::int64_t price = side == Side::bid ? 1000 - spread : 1001 + spread;
                    const auto size = static_cast<std::int64_t>(rng() % 4) - (rng() % 20 == 0 ? 1 : 0);
                    if (rng() % 6 == 0) {
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

void beyond_the_limit_the_deepest_level_goes() {
    L2Book book;
    const auto limit = static_cast<std::int64_t>(L2Book::kLevelsMax);
    for (std::int64_t i = 0; i < limit + 10; ++i) {
        book.set_level(Side::bid, 1000000 + i, 1);
        book.set_level(Side::ask, 3000000 - i, 1);
    }
    CHECK(book.depth(Side::bid) == L2Book::kLevelsMax && book.depth(Side::ask) == L2Book::kLevelsMax);
    CHECK(book.dropped_levels() == 20);
    CHECK(book.level(Side::bid, L2Book::kLevelsMax - 1)->price == 1000010);
    CHECK(book.level(Side::ask, L2Book::kLevelsMax - 1)->price == 3000000 - 10);
    CHECK(book.best(Side::bid)->price == 1000000 + limit + 9);
    book.set_trade(LastTrade{5, 2, 77, Side::ask});
    CHECK(book.last_trade().price == 5 && book.last_trade().taker_side == Side::ask);
}

}  // namespace

int main() {
    random_messages_give_the_same_book_as_two_maps();
    a_gap_lasts_until_the_next_snapshot();
    a_crossed_message_is_judged_whole_and_heals();
    beyond_the_limit_the_deepest_level_goes();
    return 0;
}
