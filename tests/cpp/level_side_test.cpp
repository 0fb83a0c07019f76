// One side of a book against a std::map: drifts, jumps, deep levels, both sides' order, and memory that stops growing.
#include "qtxconn/level_side.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <new>
#include <random>
#include <vector>

#include "check.hpp"

using namespace qtxconn;

namespace {

std::size_t allocations = 0;

struct Model {
    explicit Model(Side side_) : side(side_) {}

    Side side;
    std::map<std::int64_t, std::int64_t> levels;

    void set(std::int64_t price, std::int64_t size) {
        if (size <= 0) {
            levels.erase(price);
        } else {
            levels[price] = size;
        }
    }

    BookLevel best() const {
        if (levels.empty()) {
            return {};
        }
        const auto& [price, size] = side == Side::bid ? *levels.rbegin() : *levels.begin();
        return {price, size};
    }

    std::vector<BookLevel> best_first() const {
        std::vector<BookLevel> all;
        for (const auto& [price, size] : levels) {
            all.insert(side == Side::bid ? all.begin() : all.end(), BookLevel{price, size});
        }
        return all;
    }
};

void check_best(const LevelSide& side, const Model& model) {
    const BookLevel best = model.best();
    CHECK(side.best().size == best.size && (best.size == 0 || side.best().price == best.price));
    CHECK(side.count() == model.levels.size());
}

void check_all(const LevelSide& side, const Model& model) {
    const std::vector<BookLevel> wanted = model.best_first();
    std::size_t i = 0;
    side.for_each([&](const BookLevel& level) {
        CHECK(i < wanted.size() && level.price == wanted[i].price && level.size == wanted[i].size);
        CHECK(side.size_at(level.price) == level.size);
        ++i;
        return true;
    });
    CHECK(i == wanted.size());
    for (const BookLevel& level : wanted) {
        const std::int64_t beside = level.price == INT64_MAX ? INT64_MIN : level.price + 1;
        const auto at = model.levels.find(beside);
        CHECK(side.size_at(beside) == (at == model.levels.end() ? 0 : at->second));
    }
}

struct Plan {
    double drift;         // ticks an operation, on average
    std::int64_t spread;  // levels are this far from the touch at most, but for the deep ones
    int jump_every;       // the touch jumps by up to 40,000 ticks
    int clear_every;
};

// What is far behind a drifting touch has to be found again when the touch comes back: nothing may be lost or doubled.
void drifting_levels_are_those_of_a_map(const Plan& plan, Side which, std::uint64_t seed) {
    std::mt19937_64 rng(seed);
    LevelSide side(which);
    Model model(which);
    const std::int64_t deeper = which == Side::bid ? -1 : 1;
    double touch = 1e6;
    double direction = plan.drift;
    for (int n = 1; n <= 5000; ++n) {
        touch += direction * static_cast<double>(rng() % 3);
        if (rng() % 1000 == 0) {
            direction = -direction;
        }
        if (rng() % static_cast<unsigned>(plan.jump_every) == 0) {
            touch += static_cast<double>(rng() % 80001) - 40000;
        }
        if (rng() % static_cast<unsigned>(plan.clear_every) == 0) {
            side.clear();
            model.levels.clear();
        }
        const auto kind = rng() % 100;
        const auto off = static_cast<std::int64_t>(rng() % (kind < 70   ? 8
                                                            : kind < 95 ? static_cast<std::uint64_t>(plan.spread)
                                                                        : 60000));
        const std::int64_t price = static_cast<std::int64_t>(touch) + deeper * off;
        const auto size = rng() % 10 < 4 ? 0 : static_cast<std::int64_t>(rng() % 1000) + 1;
        side.set(price, size);
        model.set(price, size);
        if (rng() % 60 == 0) {
            // A depth message: neighbours one after the other, the best first.
            auto at = static_cast<std::int64_t>(touch);
            for (auto named = rng() % 40; named > 0; --named) {
                const auto lots = rng() % 8 == 0 ? 0 : static_cast<std::int64_t>(rng() % 1000) + 1;
                side.set(at, lots);
                model.set(at, lots);
                check_best(side, model);
                at += deeper * static_cast<std::int64_t>(rng() % 10 == 0 ? 2 : 1);
            }
        }
        if (rng() % 40 == 0) {
            // A depth message as a whole: the best first or the best last, but for a step back now and then.
            auto at = static_cast<std::int64_t>(touch) - deeper * static_cast<std::int64_t>(rng() % 12);
            std::vector<BookLevel> message(rng() % 60);
            const bool keeps_all = rng() % 4 == 0;
            for (BookLevel& level : message) {
                level = {at, !keeps_all && rng() % 4 == 0 ? 0 : static_cast<std::int64_t>(rng() % 1000) + 1};
                at += rng() % 100 == 0 ? -3 * deeper : deeper * static_cast<std::int64_t>(rng() % 10 == 0 ? 4 : 1);
            }
            if (rng() % 2 == 0) {
                std::reverse(message.begin(), message.end());
            }
            for (const BookLevel& level : message) {
                model.set(level.price, level.size);
            }
            side.set_levels(message.data(), message.size());
            check_all(side, model);
        }
        if (rng() % 40 == 0) {
            // A ticker: better levels are gone.
            const std::int64_t best = static_cast<std::int64_t>(touch) + deeper * static_cast<std::int64_t>(rng() % 9);
            while (!model.levels.empty() && (model.best().price - best) * deeper < 0) {
                model.set(model.best().price, 0);
            }
            const auto lots = static_cast<std::int64_t>(rng() % 1000) + 1;
            model.set(best, lots);
            side.set_best(best, lots);
            check_best(side, model);
        }
        if (rng() % 50 == 0) {
            // A ticker or a trade that eats into the side: the best levels go.
            for (auto eaten = rng() % 30; eaten > 0 && !model.levels.empty(); --eaten) {
                CHECK(side.best().price == model.best().price);
                model.set(model.best().price, 0);
                side.remove_best();
            }
        }
        check_best(side, model);
        if (n % 197 == 0) {
            check_all(side, model);
        }
    }
    check_all(side, model);
}

void prices_at_the_ends_of_the_range_are_levels_like_others() {
    for (const Side which : {Side::bid, Side::ask}) {
        for (const unsigned crowded : {0U, 1U}) {
            LevelSide side(which);
            Model model(which);
            std::mt19937_64 rng(5);
            for (int n = 0; n < 5000; ++n) {
                const auto near = static_cast<std::int64_t>(rng() % 300);
                const std::int64_t ends[] = {INT64_MAX - near, INT64_MIN + near, -near, near};
                const std::int64_t price = ends[rng() % 20 < 18 ? crowded : rng() % 4];
                const auto size = static_cast<std::int64_t>(rng() % 3);
                side.set(price, size);
                model.set(price, size);
                check_best(side, model);
                if (n % 499 == 0) {
                    check_all(side, model);
                }
            }
            CHECK(side.has_ring() == (crowded == (which == Side::bid ? 0U : 1U)));
        }
    }
}

// Exactly as one after the other: what is repeated or out of order too, at both ends of the range, into any side.
void levels_set_together_are_those_set_one_after_the_other() {
    std::mt19937_64 rng(17);
    for (const Side which : {Side::bid, Side::ask}) {
        for (const std::uint64_t width : {6U, 40U, 400U, 4000U}) {
            LevelSide together(which);
            Model model(which);
            for (int n = 0; n < 3000; ++n) {
                std::vector<BookLevel> message(rng() % 12);
                const auto order = rng() % 8;
                const std::int64_t end = rng() % 3 == 0 ? INT64_MAX : rng() % 2 == 0 ? INT64_MIN : 0;
                for (BookLevel& level : message) {
                    const auto near = static_cast<std::int64_t>(rng() % width);
                    level = {end < 0 ? end + near : end - near, static_cast<std::int64_t>(rng() % 4) - 1};
                }
                if (order != 0) {
                    const bool best_first = order % 2 == 0;
                    std::sort(message.begin(), message.end(), [=](const BookLevel& a, const BookLevel& b) {
                        return (which == Side::bid) == best_first ? a.price > b.price : a.price < b.price;
                    });
                }
                for (const BookLevel& level : message) {
                    model.set(level.price, level.size);
                }
                together.set_levels(message.data(), message.size());
                check_best(together, model);
                check_all(together, model);
            }
        }
    }
}

// The deepest go, as when they come one by one.
void a_full_side_drops_the_deepest_of_a_message() {
    LevelSide side(Side::bid);
    std::vector<BookLevel> message(LevelSide::kLevelsMax);
    std::int64_t price = 0;
    for (BookLevel& level : message) {
        level = {price -= 100'000, 1};  // too far apart for a ring
    }
    side.set_levels(message.data(), message.size());
    CHECK(side.count() == LevelSide::kLevelsMax && side.dropped() == 0 && !side.has_ring());
    const BookLevel more[] = {{1, 1}, {0, 1}, {price - 1, 1}};
    side.set_levels(more, 3);
    CHECK(side.count() == LevelSide::kLevelsMax && side.dropped() == 3);
    CHECK(side.best().price == 1 && side.size_at(0) == 1 && side.size_at(price) == 0);
    CHECK(side.size_at(price + 200'000) == 1);
}

// Ticks that are one ring apart share a slot, if anything does.
void levels_one_ring_apart_are_not_mistaken_for_each_other() {
    constexpr auto kRing = static_cast<std::int64_t>(LevelSide::kRing);
    for (const Side which : {Side::bid, Side::ask}) {
        LevelSide side(which);
        Model model(which);
        for (std::int64_t i = 0; i < 200; ++i) {
            side.set(i, 1);
            model.set(i, 1);
        }
        CHECK(side.has_ring());
        for (const std::int64_t laps : {1, -1, 2, -3, 0, 50, -50, 1}) {
            for (std::int64_t i = 0; i < 200; i += 3) {
                side.set(i + laps * kRing, 7 + laps * laps);
                model.set(i + laps * kRing, 7 + laps * laps);
                side.set(i - laps * kRing, 0);
                model.set(i - laps * kRing, 0);
                check_best(side, model);
            }
            check_all(side, model);
        }
    }
}

void a_ring_is_taken_for_many_dense_levels_only() {
    LevelSide few(Side::bid), scattered(Side::bid), dense(Side::bid), late(Side::bid);
    for (std::int64_t i = 0; i < 500; ++i) {
        few.set(i % 50, 1);
        scattered.set(i * 100'000, 1);
        dense.set(i * 3, 1);
        late.set(i < 70 ? i * 100'000 : 10'000'000 + i, 1);  // scattered when it is first looked at
    }
    CHECK(!few.has_ring() && !scattered.has_ring() && dense.has_ring() && late.has_ring());
}

void a_finer_grid_keeps_every_level() {
    for (const std::int64_t spacing : {1, 1000}) {
        LevelSide side(Side::ask);
        Model model(Side::ask);
        for (std::int64_t i = 0; i < 300; ++i) {
            side.set(5000 + i * spacing, i + 1);
            model.set((5000 + i * spacing) * 100, (i + 1) * 10);
        }
        side.rescale(100, 10);
        check_best(side, model);
        check_all(side, model);
        side.set(500001, 4);
        model.set(500001, 4);
        check_all(side, model);
    }
    LevelSide empty(Side::bid);
    empty.rescale(10, 10);
    CHECK(empty.best().size == 0 && empty.count() == 0);
}

void a_warm_side_allocates_nothing() {
    LevelSide side(Side::bid);
    std::mt19937_64 rng(8);
    const auto play = [&] {
        double touch = 1e6;
        for (int n = 0; n < 40'000; ++n) {
            touch += static_cast<double>(rng() % 3) - (n < 20'000 ? 0.0 : 2.0);  // 20,000 ticks up, and back
            const std::int64_t price = static_cast<std::int64_t>(touch) - static_cast<std::int64_t>(rng() % 500);
            side.set(price, side.count() > 1000 ? 0 : 5);
            while (side.count() > 1000) {
                side.remove_best();
            }
        }
    };
    play();
    const std::size_t before = allocations;
    play();
    CHECK(allocations == before);
}

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

int main() {
    std::uint64_t seed = 1;
    for (const Side which : {Side::bid, Side::ask}) {
        for (const Plan& plan : {Plan{0.0, 400, 100'000, 100'000}, Plan{2.0, 1000, 1000, 2500},
                                 Plan{-5.0, 200, 500, 100'000}, Plan{20.0, 9000, 50, 5000}}) {
            drifting_levels_are_those_of_a_map(plan, which, seed++);
        }
    }
    prices_at_the_ends_of_the_range_are_levels_like_others();
    levels_one_ring_apart_are_not_mistaken_for_each_other();
    levels_set_together_are_those_set_one_after_the_other();
    a_full_side_drops_the_deepest_of_a_message();
    a_ring_is_taken_for_many_dense_levels_only();
    a_finer_grid_keeps_every_level();
    a_warm_side_allocates_nothing();
    return 0;
}
