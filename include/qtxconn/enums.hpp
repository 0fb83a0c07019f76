// Enumerations shared by the headers, the Cython core and Python; members that Hummingbot has keep its values.
#pragma once

#include <cstdint>

namespace qtxconn {

enum class Side : std::uint8_t { bid = 0, ask = 1 };

constexpr Side opposite(Side side) noexcept { return side == Side::bid ? Side::ask : Side::bid; }

enum class TradeType : std::uint8_t { buy = 1, sell = 2 };

// 1 to 3 are Hummingbot's. From 20 on an order waits at the venue for its trigger price, and only then goes to the
// book.
enum class OrderType : std::uint8_t {
    market = 1,
    limit = 2,
    limit_maker = 3,
    stop_market = 20,
    stop_limit = 21,
    take_profit_market = 22,
    take_profit_limit = 23,
    trailing_stop_market = 24,
};

constexpr bool is_order_type(std::uint8_t value) noexcept {
    return (value >= 1 && value <= 3) || (value >= 20 && value <= 24);
}

enum class PositionAction : std::uint8_t { nil = 0, open = 1, close = 2 };

// Values 0 to 6 are Hummingbot's; ours start at 20.
enum class OrderState : std::uint8_t {
    pending_create = 0,    // known here only
    open = 1,              // the venue has accepted it
    pending_cancel = 2,    // a cancel is under way
    canceled = 3,          // terminal
    partially_filled = 4,  // accepted, some of it executed
    filled = 5,            // terminal
    failed = 6,            // terminal: refused, by us before sending or by the venue's word
    pending_submit = 20,   // sent, no word yet
    pending_update = 21,   // an amend is under way
    unknown = 22,          // no answer: being resolved by asking; not terminal
    expired = 23,          // terminal: ended by the venue's rules (IOC remainder, GTD, ...)
};

}  // namespace qtxconn
