// What a taker would get from a book: exact sums over its levels, for a volume, an amount of quote or a price.
#pragma once

#include <cstdint>

#include "qtxconn/enums.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/l2_book.hpp"

namespace qtxconn {

// Levels from the best on. `lots` and `tick_lots` (ticks times lots: the amount of quote) are the sums over those that
// were taken whole. When the last one was enough, `complete` is set, and it is not in the sums: it trades at `price`
// and has `size` lots. Otherwise `price` is that of the last level in the sums.
struct BookQuery {
    int128 lots = 0;
    int128 tick_lots = 0;
    std::int64_t price = 0;  // ticks, 0 if no level was seen
    std::int64_t size = 0;   // lots
    bool complete = false;
    bool overflow = false;  // `tick_lots` does not fit and means nothing
};

namespace detail {

constexpr int128 kInt128Max = ((static_cast<int128>(1) << 126) - 1) * 2 + 1;

// Takes levels whole while `is_enough(lots, tick_lots, level)` says that one more is not too much.
template <typename IsEnough>
BookQuery take_levels(const L2Book& book, Side side, IsEnough is_enough) noexcept {
    BookQuery query;
    book.for_each(side, [&](const BookLevel& level) {
        const int128 quote = static_cast<int128>(level.price) * level.size;
        const int128 lots = query.lots + level.size;
        int128 tick_lots = 0;
        const bool overflow = __builtin_add_overflow(query.tick_lots, quote, &tick_lots);
        if (overflow) {
            tick_lots = kInt128Max;  // at least
        }
        query.complete = is_enough(lots, tick_lots, level);
        if (!query.complete) {
            query.lots = lots;
            query.tick_lots = tick_lots;
            query.overflow |= overflow;
        }
        query.price = level.price;
        query.size = level.size;
        return !query.complete;
    });
    return query;
}

}  // namespace detail

// Until `wanted` lots are there.
inline BookQuery take_lots(const L2Book& book, Side side, int128 wanted) noexcept {
    return detail::take_levels(book, side, [=](int128 lots, int128, const BookLevel&) { return lots >= wanted; });
}

// Until `wanted` ticks times lots are there.
inline BookQuery take_quote(const L2Book& book, Side side, int128 wanted) noexcept {
    return detail::take_levels(book, side,
                               [=](int128, int128 tick_lots, const BookLevel&) { return tick_lots >= wanted; });
}

// All levels at `limit` (ticks) or better.
inline BookQuery take_to_price(const L2Book& book, Side side, std::int64_t limit) noexcept {
    std::int64_t last = 0;
    BookQuery query = detail::take_levels(book, side, [&](int128, int128, const BookLevel& level) {
        const bool is_worse = side == Side::bid ? level.price < limit : level.price > limit;
        last = is_worse ? last : level.price;
        return is_worse;
    });
    query.price = last;
    query.complete = true;
    return query;
}

// 128 bits in two halves, for callers without such a type.
inline int128 join_int128(std::int64_t high, std::uint64_t low) noexcept {
    return static_cast<int128>((static_cast<int128>(high) * (static_cast<int128>(1) << 64)) + static_cast<int128>(low));
}
inline std::int64_t high_half(int128 value) noexcept { return static_cast<std::int64_t>(value >> 64); }
inline std::uint64_t low_half(int128 value) noexcept { return static_cast<std::uint64_t>(value); }

}  // namespace qtxconn
