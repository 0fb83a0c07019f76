// One L2 order book in integer ticks and lots, with the rules that say when it may be trusted.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "qtxconn/enums.hpp"
#include "qtxconn/spin_lock.hpp"

namespace qtxconn {

struct BookLevel {
    std::int64_t price = 0;  // ticks
    std::int64_t size = 0;   // lots, > 0 while the level exists
};

// Why a book may not be used. A book is valid exactly when this is `none`.
enum class BookInvalid : std::uint8_t {
    none = 0,
    empty = 1,         // a side has no level (also: nothing received yet)
    crossed = 2,       // best bid >= best ask
    gap = 3,           // updates were lost; stays until the next snapshot
    disconnected = 4,  // the feed is down; stays until the next snapshot
};

struct LastTrade {
    std::int64_t price = 0;  // ticks, 0 before the first trade
    std::int64_t size = 0;   // lots
    std::int64_t time_ns = 0;
    Side taker_side = Side::bid;
};

// Sides are sorted arrays with the best level at the back, so that changes near the touch move few bytes. Apply the
// levels of one message, then commit() once: validity is judged on whole messages only. Not locked by itself: whoever
// shares a book between threads holds `lock` around reads and whole messages.
class L2Book {
public:
    static constexpr std::size_t kLevelsReserved = 4096;
    static constexpr std::size_t kLevelsMax = 65536;  // a side; beyond it the deepest level is dropped and counted

    L2Book() {
        side_[0].reserve(kLevelsReserved);
        side_[1].reserve(kLevelsReserved);
    }

    SpinLock lock;

    // -- writing ---------------------------------------------------------------------------------------------

    // Forgets everything and any gap: what follows until commit() is the whole book.
    void begin_snapshot() noexcept {
        side_[0].clear();
        side_[1].clear();
        broken_ = BookInvalid::none;
    }

    // Sets the size at a price; size 0 removes the level. Removing a level that is not there is normal.
    void set_level(Side side, std::int64_t price, std::int64_t size) {
        auto& levels = side_[index(side)];
        const auto at = find(levels, side, price);
        const bool exists = at != levels.end() && at->price == price;
        if (size <= 0) {
            if (exists) {
                levels.erase(at);
            }
        } else if (exists) {
            at->size = size;
        } else {
            levels.insert(at, BookLevel{price, size});
            if (levels.size() > kLevelsMax) {
                levels.erase(levels.begin());
                ++dropped_levels_;
            }
        }
    }

    // A ticker: the best level of a side is this one. Better levels of the side are gone, and so is what it crosses on
    // the other side. Size 0 empties the side's top level.
    void set_top(Side side, std::int64_t price, std::int64_t size) {
        auto& levels = side_[index(side)];
        if (size <= 0) {
            if (!levels.empty()) {
                levels.pop_back();
            }
            return;
        }
        while (!levels.empty() && better(side, levels.back().price, price)) {
            levels.pop_back();
        }
        auto& other = side_[index(opposite(side))];
        while (!other.empty() && crosses(side, price, other.back().price)) {
            other.pop_back();
        }
        set_level(side, price, size);
    }

    void set_trade(LastTrade trade) noexcept { last_trade_ = trade; }

    // Ends a message. `now_ns` is the local time at which it was applied.
    void commit(std::uint64_t update_id, std::int64_t now_ns) noexcept {
        last_update_id_ = update_id;
        last_update_ns_ = now_ns;
        ++revision_;
        judge(now_ns);
    }

    // The book lost touch with the venue; only a new snapshot makes it valid again.
    void invalidate(BookInvalid reason, std::int64_t now_ns) noexcept {
        broken_ = reason;
        ++revision_;
        judge(now_ns);
    }

    // -- reading ---------------------------------------------------------------------------------------------

    bool valid() const noexcept { return invalid_ == BookInvalid::none; }
    BookInvalid invalid_reason() const noexcept { return invalid_; }
    std::int64_t valid_since_ns() const noexcept { return valid() ? valid_since_ns_ : 0; }
    std::uint64_t last_update_id() const noexcept { return last_update_id_; }
    std::int64_t last_update_ns() const noexcept { return last_update_ns_; }
    std::uint64_t revision() const noexcept { return revision_; }  // grows with every message
    std::uint64_t dropped_levels() const noexcept { return dropped_levels_; }
    const LastTrade& last_trade() const noexcept { return last_trade_; }

    std::size_t depth(Side side) const noexcept { return side_[index(side)].size(); }

    // Level `i` from the touch, 0 the best; null beyond the depth.
    const BookLevel* level(Side side, std::size_t i) const noexcept {
        const auto& levels = side_[index(side)];
        return i < levels.size() ? &levels[levels.size() - 1 - i] : nullptr;
    }

    const BookLevel* best(Side side) const noexcept { return level(side, 0); }

private:
    using Levels = std::vector<BookLevel>;

    static std::size_t index(Side side) noexcept { return static_cast<std::size_t>(side); }

    static bool better(Side side, std::int64_t a, std::int64_t b) noexcept { return side == Side::bid ? a > b : a < b; }

    // Whether a level of `side` at `price` and one of the other side at `other` cannot both stand.
    static bool crosses(Side side, std::int64_t price, std::int64_t other) noexcept {
        return side == Side::bid ? price >= other : price <= other;
    }

    // First level that is not worse than `price`: its place, or where it would go. Searched from the back, because
    // most changes are near the touch, then by bisection.
    static Levels::iterator find(Levels& levels, Side side, std::int64_t price) noexcept {
        auto end = levels.end();
        constexpr std::ptrdiff_t kLinear = 8;
        const std::ptrdiff_t near = std::min<std::ptrdiff_t>(kLinear, end - levels.begin());
        for (std::ptrdiff_t i = 0; i < near; ++i) {
            if (better(side, price, (end - 1)->price)) {
                return end;
            }
            --end;
            if (end->price == price) {
                return end;
            }
        }
        return std::lower_bound(levels.begin(), end, price, [side](const BookLevel& level, std::int64_t wanted) {
            return better(side, wanted, level.price);
        });
    }

    void judge(std::int64_t now_ns) noexcept {
        BookInvalid reason = broken_;
        if (reason == BookInvalid::none) {
            const BookLevel* bid = best(Side::bid);
            const BookLevel* ask = best(Side::ask);
            if (bid == nullptr || ask == nullptr) {
                reason = BookInvalid::empty;
            } else if (bid->price >= ask->price) {
                reason = BookInvalid::crossed;
            }
        }
        if (reason == BookInvalid::none && invalid_ != BookInvalid::none) {
            valid_since_ns_ = now_ns;
        }
        invalid_ = reason;
    }

    Levels side_[2];
    LastTrade last_trade_;
    std::uint64_t last_update_id_ = 0;
    std::uint64_t revision_ = 0;
    std::uint64_t dropped_levels_ = 0;
    std::int64_t last_update_ns_ = 0;
    std::int64_t valid_since_ns_ = 0;
    BookInvalid broken_ = BookInvalid::none;  // sticky reason
    BookInvalid invalid_ = BookInvalid::empty;
};

}  // namespace qtxconn
