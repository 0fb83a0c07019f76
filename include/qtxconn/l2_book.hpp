// One L2 order book in integer ticks and lots, with the rules that say when it may be trusted.
#pragma once

#include <cstddef>
#include <cstdint>

#include "qtxconn/enums.hpp"
#include "qtxconn/level_side.hpp"
#include "qtxconn/sequence_lock.hpp"

namespace qtxconn {

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

// Where the fields of the touch are, in bytes from the beginning of a book: for views on its memory.
struct BookLayout {
    std::size_t sequence, bid_price, bid_size, ask_price, ask_size, last_update_id, revision, last_update_ns,
        valid_since_ns, invalid;
};

// Apply the levels of one message, then commit() once: validity is judged on whole messages only. Not locked by itself:
// whoever shares a book between threads holds `lock` around reads and whole messages.
class L2Book {
public:
    static constexpr std::size_t kLevelsMax = LevelSide::kLevelsMax;
    // Event times further apart than this come from a clock that is wrong, and decide nothing.
    static constexpr std::uint64_t kMergeMsMax = 5000;

    SequenceLock lock;

    // -- writing ---------------------------------------------------------------------------------------------

    // Forgets everything and any gap: what follows until commit() is the whole book.
    void begin_snapshot() noexcept {
        half_[0].levels.clear();
        half_[1].levels.clear();
        broken_ = BookInvalid::none;
    }

    // Sets the size at a price; size 0 removes the level. Removing a level that is not there is normal.
    void set_level(Side side, std::int64_t price, std::int64_t size) { half(side).levels.set(price, size); }

    // The same for one level after the other; much faster where they come the best first.
    void set_levels(Side side, const BookLevel* levels, std::size_t count) {
        half(side).levels.set_levels(levels, count);
    }

    // A ticker: the best level of a side is this one. Better levels of the side are gone, and so is what it crosses on
    // the other side. Size 0 empties the side's top level. `event_ms` is the venue's time, 0 if unknown. False: the
    // ticker is older than the depth that the book has, and changed nothing.
    bool set_top(Side side, std::int64_t price, std::int64_t size, std::int64_t event_ms = 0) {
        if (is_newer(depth_ms_, event_ms)) {
            return false;
        }
        half(side).ticker = Ticker{BookLevel{price, size}, size > 0 ? event_ms : 0};
        move_top(side, price, size);
        return true;
    }

    // To be called once the levels of a depth message are set: a top that a newer ticker has told is put back, since
    // the message did not know it yet.
    void settle_depth(std::int64_t event_ms) {
        depth_ms_ = event_ms;
        if (__builtin_expect(half_[0].ticker.event_ms > event_ms || half_[1].ticker.event_ms > event_ms, 0)) {
            restore_tops(event_ms);
        }
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

    // The grid of prices or sizes became finer: counts are multiplied. False: one would not fit, nothing changed.
    bool rescale(std::int64_t price_factor, std::int64_t size_factor) {
        bool fits = true;
        const auto check = [&](const BookLevel& level) {
            std::int64_t ignored = 0;
            fits = fits && !__builtin_mul_overflow(level.price, price_factor, &ignored) &&
                   !__builtin_mul_overflow(level.size, size_factor, &ignored);
            return fits;
        };
        for (const Side side : {Side::bid, Side::ask}) {
            half(side).levels.for_each(check);
            check(half(side).ticker.level);
        }
        check(BookLevel{last_trade_.price, last_trade_.size});
        if (!fits) {
            return false;
        }
        for (const Side side : {Side::bid, Side::ask}) {
            half(side).levels.rescale(price_factor, size_factor);
            half(side).ticker.level.price *= price_factor;
            half(side).ticker.level.size *= size_factor;
        }
        last_trade_.price *= price_factor;
        last_trade_.size *= size_factor;
        return true;
    }

    // -- reading ---------------------------------------------------------------------------------------------

    bool valid() const noexcept { return invalid_ == BookInvalid::none; }
    BookInvalid invalid_reason() const noexcept { return invalid_; }
    std::int64_t valid_since_ns() const noexcept { return valid() ? valid_since_ns_ : 0; }
    std::uint64_t last_update_id() const noexcept { return last_update_id_; }
    std::int64_t last_update_ns() const noexcept { return last_update_ns_; }
    std::uint64_t revision() const noexcept { return revision_; }  // grows with every message
    std::uint64_t dropped_levels() const noexcept { return half_[0].levels.dropped() + half_[1].levels.dropped(); }
    const LastTrade& last_trade() const noexcept { return last_trade_; }

    // The touch. Lots 0: the side is empty, and its ticks mean nothing.
    std::int64_t best_bid_ticks() const noexcept { return half_[0].levels.best().price; }
    std::int64_t best_bid_lots() const noexcept { return half_[0].levels.best().size; }
    std::int64_t best_ask_ticks() const noexcept { return half_[1].levels.best().price; }
    std::int64_t best_ask_lots() const noexcept { return half_[1].levels.best().size; }

    // The best level, or null.
    const BookLevel* best(Side side) const noexcept {
        const BookLevel& level = half(side).levels.best();
        return level.size > 0 ? &level : nullptr;
    }

    std::size_t depth(Side side) const noexcept { return half(side).levels.count(); }

    // Size at a price, 0 where there is no level.
    std::int64_t size_at(Side side, std::int64_t price) const noexcept { return half(side).levels.size_at(price); }

    // Calls visit(level) from the best level on, until it returns false.
    template <typename Visit>
    void for_each(Side side, Visit visit) const {
        half(side).levels.for_each(visit);
    }

    // Copies up to `count` levels, the best first; how many.
    std::size_t copy_levels(Side side, BookLevel* out, std::size_t count) const noexcept {
        std::size_t copied = 0;
        if (count > 0) {
            for_each(side, [&](const BookLevel& level) {
                out[copied++] = level;
                return copied < count;
            });
        }
        return copied;
    }

    BookLayout layout() const noexcept {
        const auto at = [this](const void* field) {
            return static_cast<std::size_t>(static_cast<const char*>(field) - reinterpret_cast<const char*>(this));
        };
        const BookLevel& bid = half_[0].levels.best();
        const BookLevel& ask = half_[1].levels.best();
        return BookLayout{at(&lock),      at(&bid.price),       at(&bid.size),
                          at(&ask.price), at(&ask.size),        at(&last_update_id_),
                          at(&revision_), at(&last_update_ns_), at(&valid_since_ns_),
                          at(&invalid_)};
    }

private:
    struct Ticker {
        BookLevel level;
        std::int64_t event_ms = 0;  // 0: none, or its time is unknown
    };

    struct Half {
        explicit Half(Side side) noexcept : levels(side) {}
        LevelSide levels;
        Ticker ticker;
    };

    Half& half(Side side) noexcept { return half_[static_cast<std::size_t>(side)]; }
    const Half& half(Side side) const noexcept { return half_[static_cast<std::size_t>(side)]; }

    static bool is_newer(std::int64_t event_ms, std::int64_t than_ms) noexcept {
        return __builtin_expect(event_ms > than_ms, 0) && event_ms != 0 && than_ms != 0 &&
               static_cast<std::uint64_t>(event_ms) - static_cast<std::uint64_t>(than_ms) <= kMergeMsMax;
    }

    [[gnu::noinline]] void restore_tops(std::int64_t event_ms) {
        const Side older = half_[0].ticker.event_ms <= half_[1].ticker.event_ms ? Side::bid : Side::ask;
        for (const Side side : {older, opposite(older)}) {
            const Ticker& ticker = half(side).ticker;
            if (is_newer(ticker.event_ms, event_ms)) {
                move_top(side, ticker.level.price, ticker.level.size);
            }
        }
    }

    void move_top(Side side, std::int64_t price, std::int64_t size) {
        LevelSide& mine = half(side).levels;
        if (size <= 0) {
            mine.remove_best();
            return;
        }
        LevelSide& met = half(opposite(side)).levels;
        if (__builtin_expect(mine.crosses(price, met), 0)) {
            uncross(mine, price, met);
        }
        mine.set_best(price, size);
    }

    [[gnu::noinline]] static void uncross(const LevelSide& mine, std::int64_t price, LevelSide& met) {
        do {
            met.remove_best();
        } while (mine.crosses(price, met));
    }

    void judge(std::int64_t now_ns) noexcept {
        const BookLevel& bid = half_[0].levels.best();
        const BookLevel& ask = half_[1].levels.best();
        const bool whole = (bid.size != 0) & (ask.size != 0);
        const BookInvalid reason = broken_ != BookInvalid::none                  ? broken_
                                   : !whole                                      ? BookInvalid::empty
                                   : __builtin_expect(bid.price >= ask.price, 0) ? BookInvalid::crossed
                                                                                 : BookInvalid::none;
        if (reason == invalid_) {
            return;
        }
        if (reason == BookInvalid::none) {
            valid_since_ns_ = now_ns;
        }
        invalid_ = reason;
    }

    Half half_[2] = {Half(Side::bid), Half(Side::ask)};
    std::uint64_t last_update_id_ = 0;
    std::uint64_t revision_ = 0;
    std::int64_t last_update_ns_ = 0;
    std::int64_t valid_since_ns_ = 0;
    BookInvalid broken_ = BookInvalid::none;  // sticky reason
    BookInvalid invalid_ = BookInvalid::empty;
    std::int64_t depth_ms_ = 0;  // event time of the newest depth message, 0: unknown
    LastTrade last_trade_;
};

}  // namespace qtxconn
