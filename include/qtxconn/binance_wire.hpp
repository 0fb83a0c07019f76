// Stream messages of Binance USD-M futures, read from their bytes: order updates, depth diffs and trades.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "qtxconn/enums.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/json_scanner.hpp"
#include "qtxconn/l2_book.hpp"

// Readers for the shapes that a trading connector lives on, bare (`{"e":...}`) or wrapped in a combined stream's
// `{"stream":...,"data":{...}}`. Keys may come in any order, and unknown ones are skipped. False means "not mine": a
// message of another kind, a malformed one, one that lacks or repeats a key, or has a value outside of what JsonScanner
// and Fixed take. The caller then gives the bytes to the generic path, which reads it or says what is wrong with it.
// `out` is unspecified after a false. Texts are views into the message.
//
// Source: developers.binance.com, USD-M futures, "User Data Streams" and "WebSocket Market Streams".
namespace qtxconn::binance {

enum class EventKind : std::uint8_t { other = 0, order_trade_update = 1, depth_update = 2, trade = 3 };

// What a message is, before it is read: the kind, and of market data the symbol, which says how prices are counted.
struct EventHead {
    EventKind kind = EventKind::other;
    std::string_view symbol;  // empty for an order update
};

// ORDER_TRADE_UPDATE: the order's new state, and the execution if there was one.
struct OrderTradeUpdate {
    std::string_view symbol;                // s
    std::string_view client_order_id;       // c
    std::string_view fee_asset;             // N; empty: no fee was told
    std::int64_t exchange_order_id = 0;     // i
    std::int64_t trade_id = 0;              // t
    std::int64_t transaction_ms = 0;        // T of the order
    Fixed price;                            // p: of the order, 0 for a market order
    Fixed amount;                           // q: of the order, base asset
    Fixed executed;                         // z: so far, base asset
    Fixed fill_price;                       // L
    Fixed fill_amount;                      // l: base asset
    Fixed fee;                              // n: of the execution; negative is a rebate
    OrderState state = OrderState::open;    // X
    TradeType trade_type = TradeType::buy;  // S
    bool is_maker = false;                  // m
    bool is_fill = false;                   // x is an execution, and of more than nothing
};

constexpr std::size_t kDepthLevelsMax = 1024;  // of a side; a message with more goes the generic path

// depthUpdate: changes of the updates first_id to last_id; the diff before it ended with prev_id.
struct DepthUpdate {
    std::string_view symbol;          // s
    std::int64_t first_id = 0;        // U
    std::int64_t last_id = 0;         // u
    std::int64_t prev_id = 0;         // pu
    std::int64_t transaction_ms = 0;  // T
    std::size_t bid_count = 0;
    std::size_t ask_count = 0;
    BookLevel bids[kDepthLevelsMax];  // b: ticks and lots; 0 lots removes the level
    BookLevel asks[kDepthLevelsMax];  // a
};

// trade: one public trade.
struct PublicTrade {
    std::string_view symbol;          // s
    std::int64_t trade_id = 0;        // t
    std::int64_t transaction_ms = 0;  // T
    std::int64_t price = 0;           // p, ticks
    std::int64_t amount = 0;          // q, lots
    bool is_buy = false;              // the taker's side: not m
};

namespace detail {

// -- keys: all but one that matter are single letters ----------------------------------------------------------

constexpr std::uint64_t letter_bit(char letter) noexcept { return 1ULL << (letter - 'A'); }
constexpr std::uint64_t kPrevIdBit = 1ULL << 63;

constexpr std::uint64_t letters(std::string_view wanted) noexcept {
    std::uint64_t set = 0;
    for (const char letter : wanted) {
        set |= letter_bit(letter);
    }
    return set;
}

constexpr std::uint64_t key_bit(std::string_view key) noexcept {
    if (key.size() == 1 && key[0] >= 'A' && key[0] <= 'z') {
        return letter_bit(key[0]);
    }
    return key == "pu" ? kPrevIdBit : 0;
}

// The keys of one object: which were seen, and that none comes twice.
class Keys {
public:
    // Whether `key` is one of `wanted` (a set of bits).
    bool note(std::string_view key, std::uint64_t wanted) noexcept {
        const std::uint64_t bit = key_bit(key) & wanted;
        repeated_ = repeated_ || (seen_ & bit) != 0;
        seen_ |= bit;
        return bit != 0;
    }

    bool any() const noexcept { return seen_ != 0; }
    bool have(std::uint64_t wanted) const noexcept { return !repeated_ && (seen_ & wanted) == wanted; }

private:
    std::uint64_t seen_ = 0;
    bool repeated_ = false;
};

// Calls `member(key)` for the members of the event in a message that is bare or wrapped. What stands around the data of
// a wrapped one is skipped, as the generic path does.
template <typename Member>
bool read_event(JsonScanner& json, const Keys& keys, Member member) noexcept {
    bool wrapped = false;
    return json.object([&](std::string_view key) {
        if (wrapped) {
            return key != "data" && json.skip();
        }
        if (key != "data") {
            return member(key);
        }
        wrapped = true;
        return !keys.any() && json.object(member);
    });
}

inline EventKind event_kind(std::string_view name) noexcept {
    if (name == "depthUpdate") {
        return EventKind::depth_update;
    }
    if (name == "trade") {
        return EventKind::trade;
    }
    return name == "ORDER_TRADE_UPDATE" ? EventKind::order_trade_update : EventKind::other;
}

inline bool read_kind(JsonScanner& json, EventKind wanted) noexcept {
    std::string_view name;
    return json.string(name) && event_kind(name) == wanted;
}

// A time in ms, of the next 200 years: it still fits when it is told in ns.
inline bool read_time(JsonScanner& json, std::int64_t& out_ms) noexcept {
    return json.integer(out_ms) && out_ms < 9'000'000'000'000;
}

inline bool read_state(JsonScanner& json, OrderState& out) noexcept {
    std::string_view name;
    if (!json.string(name)) {
        return false;
    }
    if (name == "NEW") {
        out = OrderState::open;
    } else if (name == "PARTIALLY_FILLED") {
        out = OrderState::partially_filled;
    } else if (name == "FILLED") {
        out = OrderState::filled;
    } else if (name == "CANCELED") {
        out = OrderState::canceled;
    } else if (name == "EXPIRED" || name == "EXPIRED_IN_MATCH") {
        out = OrderState::expired;
    } else if (name == "REJECTED") {
        out = OrderState::failed;
    } else {
        return false;
    }
    return true;
}

// An amendment is left to the generic path: it changes the order itself.
inline bool read_execution(JsonScanner& json, bool& is_fill) noexcept {
    std::string_view name;
    if (!json.string(name)) {
        return false;
    }
    is_fill = name == "TRADE" || name == "CALCULATED";
    return is_fill || name == "NEW" || name == "CANCELED" || name == "EXPIRED";
}

inline bool read_side(JsonScanner& json, TradeType& out) noexcept {
    std::string_view name;
    if (!json.string(name)) {
        return false;
    }
    out = name == "SELL" ? TradeType::sell : TradeType::buy;
    return name == "SELL" || name == "BUY";
}

[[gnu::flatten]] inline bool read_order(JsonScanner& json, OrderTradeUpdate& out) noexcept {
    constexpr std::uint64_t kNeeded = letters("scSqpxXilzLTtm");
    constexpr std::uint64_t kWanted = kNeeded | letters("Nn");
    Keys keys;
    bool has_fee = false;
    const bool complete = json.object([&](std::string_view key) {
        if (!keys.note(key, kWanted)) {
            return json.skip();
        }
        switch (key[0]) {
            case 's': return json.string(out.symbol);
            case 'c': return json.string(out.client_order_id);
            case 'S': return read_side(json, out.trade_type);
            case 'q': return json.decimal(out.amount);
            case 'p': return json.decimal(out.price);
            case 'x': return read_execution(json, out.is_fill);
            case 'X': return read_state(json, out.state);
            case 'i': return json.integer(out.exchange_order_id);
            case 'l': return json.decimal(out.fill_amount);
            case 'z': return json.decimal(out.executed);
            case 'L': return json.decimal(out.fill_price);
            case 'N': return json.null() || json.string(out.fee_asset);
            case 'n': return json.null() || (has_fee = json.decimal(out.fee));
            case 'T': return read_time(json, out.transaction_ms);
            case 't': return json.integer(out.trade_id);
            default: return json.boolean(out.is_maker);
        }
    });
    out.is_fill = out.is_fill && out.fill_amount.units > 0;
    // A fee in no asset, or an asset without its fee: the generic path says what is wrong.
    const bool is_half_told = out.is_fill && (out.fee_asset.empty() ? out.fee.units != 0 : !has_fee);
    return complete && !is_half_told && keys.have(kNeeded);
}

[[gnu::flatten]] inline bool read_levels(JsonScanner& json, Fixed tick, Fixed lot, BookLevel* out,
                                         std::size_t& count) noexcept {
    JsonScanner::Column price(tick);
    JsonScanner::Column size(lot);
    count = 0;
    return json.array([&] {
        if (count == kDepthLevelsMax) {
            return false;
        }
        BookLevel& level = out[count++];
        return json.increments_pair(price, size, level.price, level.size);
    });
}

}  // namespace detail

// Looks at as much of a message as is needed to say what it is. EventKind::other: leave it to the generic path.
inline EventHead peek_event(std::string_view text) noexcept {
    EventHead head;
    JsonScanner json(text);
    detail::Keys keys;
    std::string_view name;
    detail::read_event(json, keys, [&](std::string_view key) {
        if (!keys.note(key, detail::letters("es"))) {
            return json.skip();
        }
        if (key == "s") {
            return json.string(head.symbol) && name.empty();
        }
        if (!json.string(name)) {
            return false;
        }
        head.kind = detail::event_kind(name);
        const bool is_market = head.kind == EventKind::depth_update || head.kind == EventKind::trade;
        return is_market && head.symbol.empty();  // on to the symbol
    });
    return head;
}

inline bool parse_order_trade_update(std::string_view text, OrderTradeUpdate& out) noexcept {
    constexpr std::uint64_t kNeeded = detail::letters("eo");
    out = OrderTradeUpdate{};
    JsonScanner json(text);
    detail::Keys keys;
    const bool complete = detail::read_event(json, keys, [&](std::string_view key) {
        if (!keys.note(key, kNeeded)) {
            return json.skip();
        }
        return key == "o" ? detail::read_order(json, out) : detail::read_kind(json, EventKind::order_trade_update);
    });
    return complete && json.end() && keys.have(kNeeded);
}

// `tick` and `lot` are what a count of one is worth: every price and amount must be a multiple of them.
inline bool parse_depth_update(std::string_view text, Fixed tick, Fixed lot, DepthUpdate& out) noexcept {
    constexpr std::uint64_t kNeeded = detail::letters("esUubaT") | detail::kPrevIdBit;
    JsonScanner json(text);
    detail::Keys keys;
    const bool complete = detail::read_event(json, keys, [&](std::string_view key) {
        if (!keys.note(key, kNeeded)) {
            return json.skip();
        }
        switch (key[0]) {
            case 'e': return detail::read_kind(json, EventKind::depth_update);
            case 's': return json.string(out.symbol);
            case 'U': return json.integer(out.first_id);
            case 'u': return json.integer(out.last_id);
            case 'p': return json.integer(out.prev_id);
            case 'b': return detail::read_levels(json, tick, lot, out.bids, out.bid_count);
            case 'a': return detail::read_levels(json, tick, lot, out.asks, out.ask_count);
            default: return detail::read_time(json, out.transaction_ms);
        }
    });
    return complete && json.end() && keys.have(kNeeded);
}

inline bool parse_trade(std::string_view text, Fixed tick, Fixed lot, PublicTrade& out) noexcept {
    constexpr std::uint64_t kNeeded = detail::letters("estTpqm");
    JsonScanner json(text);
    detail::Keys keys;
    const bool complete = detail::read_event(json, keys, [&](std::string_view key) {
        if (!keys.note(key, kNeeded)) {
            return json.skip();
        }
        bool is_maker_buyer = false;
        switch (key[0]) {
            case 'e': return detail::read_kind(json, EventKind::trade);
            case 's': return json.string(out.symbol);
            case 't': return json.integer(out.trade_id);
            case 'T': return detail::read_time(json, out.transaction_ms);
            case 'p': return json.increments(tick, out.price);
            case 'q': return json.increments(lot, out.amount);
            default:
                if (!json.boolean(is_maker_buyer)) {
                    return false;
                }
                out.is_buy = !is_maker_buyer;
                return true;
        }
    });
    return complete && json.end() && keys.have(kNeeded);
}

}  // namespace qtxconn::binance
