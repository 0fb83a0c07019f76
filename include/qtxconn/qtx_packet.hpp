// QTX market-data datagrams: named offsets, a view that never reads beyond the bytes, and builders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qtxconn::qtx {

// -- layout (little-endian, unaligned) ---------------------------------------------------------------------------
//
//   0       4       8               16              24              32              40
//   +-------+-------+---------------+---------------+---------------+---------------+
//   | type  | index | tx_ms         | event_ms      | local_ns      | sn_id         |   header_layout "sdk"
//   | type  | index | update_id     | timestamp_ns  | recv_ns       | send_ns       |   header_layout "legacy"
//   +-------+-------+---------------+---------------+---------------+---------------+
//   | float64 price | float64 size  |                  ticker (+1 bid, -1 ask), trade (+3 buy, -3 sell): 56 bytes
//   +---------------+---------------+
//   | int64 asks    | int64 bids    | asks, then bids, each float64 price, float64 size      depth (2)
//   +---------------+---------------+

constexpr std::size_t kTypeOffset = 0;
constexpr std::size_t kIndexOffset = 4;
constexpr std::size_t kTxMsOffset = 8;
constexpr std::size_t kEventMsOffset = 16;
constexpr std::size_t kLocalNsOffset = 24;
constexpr std::size_t kSnIdOffset = 32;
constexpr std::size_t kLegacyUpdateIdOffset = 8;
constexpr std::size_t kLegacyTimestampNsOffset = 16;
constexpr std::size_t kLegacyRecvNsOffset = 24;
constexpr std::size_t kHeaderSize = 40;
constexpr std::size_t kPacketPriceOffset = 40;
constexpr std::size_t kPacketSizeOffset = 48;
constexpr std::size_t kAsksLenOffset = 40;
constexpr std::size_t kBidsLenOffset = 48;
constexpr std::size_t kBodyOffset = 56;  // first level of a depth message; the end of the other messages
constexpr std::size_t kLevelSize = 16;
constexpr std::size_t kDatagramSizeMax = 65536;
constexpr std::size_t kLevelsMax = (kDatagramSizeMax - kBodyOffset) / kLevelSize;

enum class MessageType : std::int32_t {
    ticker_bid = 1,
    ticker_ask = -1,
    depth = 2,
    trade_buy = 3,
    trade_sell = -3,
};

enum class HeaderLayout : std::uint8_t { sdk = 0, legacy = 1 };

// Why a datagram was not applied. The first five are found by parse_packet, the rest by the feed.
enum class Reject : std::uint8_t {
    none = 0,
    too_short = 1,   // less than a header
    bad_length = 2,  // not exactly as long as its type and counts say
    bad_count = 3,   // negative, or more levels than a datagram can hold
    unknown_type = 4,
    bad_number = 5,     // NaN, infinite, negative, a price of zero with a size, a trade of nothing
    unknown_index = 6,  // no symbol of this socket has the index
    off_grid = 7,       // no multiple of the pair's tick or lot
    stale = 8,          // a repeat or a step back in the sequence
    unexpected_text = 9,
    text = 10,  // no fault: words for the event loop
    held = 11,  // no fault yet: the answer that explains its index may still come
};
constexpr std::size_t kRejectCount = 10;  // that are counted

struct Level {
    double price;
    double size;
};

namespace detail {

template <class T>
T load(const std::uint8_t* bytes) noexcept {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

template <class T>
void store(std::uint8_t* bytes, T value) noexcept {
    std::memcpy(bytes, &value, sizeof value);
}

// Anything larger is no price and no size; the comparison is false for NaN too.
constexpr double kNumberMax = 1e18;

inline bool is_sane(Level level) noexcept {
    return (level.price > 0.0 || (level.price == 0.0 && level.size == 0.0)) && level.price <= kNumberMax &&
           level.size >= 0.0 && level.size <= kNumberMax;
}

}  // namespace detail

// A datagram that parse_packet accepted; good while its bytes are.
struct PacketView {
    MessageType type = MessageType::depth;
    std::int32_t index = 0;
    std::int64_t tx_ms = 0;     // exchange transaction time, since the epoch
    std::int64_t event_ms = 0;  // exchange event time, since the epoch
    std::int64_t local_ns = 0;  // QTX's receive time, since the epoch
    std::int64_t sn_id = 0;     // sequence number, per symbol and type
    std::size_t ask_count = 0;  // depth only
    std::size_t bid_count = 0;  // depth only
    const std::uint8_t* body = nullptr;

    std::size_t level_count() const noexcept { return type == MessageType::depth ? ask_count + bid_count : 1; }

    // Ticker and trade: the one level; depth: i < ask_count + bid_count, asks first.
    Level level(std::size_t i) const noexcept {
        return {detail::load<double>(body + i * kLevelSize), detail::load<double>(body + i * kLevelSize + 8)};
    }
    Level ask(std::size_t i) const noexcept { return level(i); }
    Level bid(std::size_t i) const noexcept { return level(ask_count + i); }
};

inline bool is_message_type(std::int32_t type) noexcept {
    return type == 1 || type == -1 || type == 2 || type == 3 || type == -3;
}

// Reads all of a datagram but its prices and sizes. Reject::none: `view` is complete and its levels are in the bytes.
inline Reject parse_frame(const std::uint8_t* bytes, std::size_t size, HeaderLayout layout, PacketView& view) noexcept {
    if (size < kHeaderSize) {
        return Reject::too_short;
    }
    const auto type = detail::load<std::int32_t>(bytes + kTypeOffset);
    if (!is_message_type(type)) {
        return Reject::unknown_type;
    }
    view.type = static_cast<MessageType>(type);
    view.index = detail::load<std::int32_t>(bytes + kIndexOffset);
    if (layout == HeaderLayout::sdk) {
        view.tx_ms = detail::load<std::int64_t>(bytes + kTxMsOffset);
        view.event_ms = detail::load<std::int64_t>(bytes + kEventMsOffset);
        view.local_ns = detail::load<std::int64_t>(bytes + kLocalNsOffset);
        view.sn_id = detail::load<std::int64_t>(bytes + kSnIdOffset);
    } else {
        view.sn_id = detail::load<std::int64_t>(bytes + kLegacyUpdateIdOffset);
        view.event_ms = detail::load<std::int64_t>(bytes + kLegacyTimestampNsOffset) / 1'000'000;
        view.tx_ms = view.event_ms;
        view.local_ns = detail::load<std::int64_t>(bytes + kLegacyRecvNsOffset);
    }
    if (size < kBodyOffset) {
        return Reject::bad_length;
    }
    if (view.type == MessageType::depth) {
        const auto asks = detail::load<std::int64_t>(bytes + kAsksLenOffset);
        const auto bids = detail::load<std::int64_t>(bytes + kBidsLenOffset);
        // Each count is checked against the limit before any sum: no arithmetic here can overflow.
        constexpr auto limit = static_cast<std::int64_t>(kLevelsMax);
        if (asks < 0 || bids < 0 || asks > limit || bids > limit - asks) {
            return Reject::bad_count;
        }
        view.ask_count = static_cast<std::size_t>(asks);
        view.bid_count = static_cast<std::size_t>(bids);
        view.body = bytes + kBodyOffset;
        return size == kBodyOffset + view.level_count() * kLevelSize ? Reject::none : Reject::bad_length;
    }
    view.ask_count = 0;
    view.bid_count = 0;
    view.body = bytes + kPacketPriceOffset;
    return size == kBodyOffset ? Reject::none : Reject::bad_length;
}

// Whether every price and size is one: no NaN, nothing infinite or negative, no price of zero with a size.
inline bool has_sane_numbers(const PacketView& view) noexcept {
    const bool is_trade = view.type == MessageType::trade_buy || view.type == MessageType::trade_sell;
    bool sane = !is_trade || view.level(0).size > 0.0;
    for (std::size_t i = 0; i < view.level_count(); ++i) {
        sane &= detail::is_sane(view.level(i));
    }
    return sane;
}

// Reads a datagram of `size` bytes. Reject::none: `view` is complete and every number in it is sane.
inline Reject parse_packet(const std::uint8_t* bytes, std::size_t size, HeaderLayout layout,
                           PacketView& view) noexcept {
    const Reject malformed = parse_frame(bytes, size, layout, view);
    return malformed == Reject::none && !has_sane_numbers(view) ? Reject::bad_number : malformed;
}

// -- builders, for venues, tests and benchmarks ------------------------------------------------------------------

struct PacketHeader {
    std::int32_t index = 0;
    std::int64_t tx_ms = 0;
    std::int64_t event_ms = 0;
    std::int64_t local_ns = 0;
    std::int64_t sn_id = 0;
};

namespace detail {

inline void build_header(std::uint8_t* out, MessageType type, const PacketHeader& header) noexcept {
    store(out + kTypeOffset, static_cast<std::int32_t>(type));
    store(out + kIndexOffset, header.index);
    store(out + kTxMsOffset, header.tx_ms);
    store(out + kEventMsOffset, header.event_ms);
    store(out + kLocalNsOffset, header.local_ns);
    store(out + kSnIdOffset, header.sn_id);
}

inline std::size_t build_single(std::uint8_t* out, MessageType type, const PacketHeader& header, Level level) noexcept {
    build_header(out, type, header);
    store(out + kPacketPriceOffset, level.price);
    store(out + kPacketSizeOffset, level.size);
    return kBodyOffset;
}

}  // namespace detail

// Each writes a datagram in the "sdk" layout and returns its size; 56 bytes for these two.
inline std::size_t build_ticker(std::uint8_t* out, const PacketHeader& header, bool is_bid, Level level) noexcept {
    return detail::build_single(out, is_bid ? MessageType::ticker_bid : MessageType::ticker_ask, header, level);
}

inline std::size_t build_trade(std::uint8_t* out, const PacketHeader& header, bool is_buy, Level level) noexcept {
    return detail::build_single(out, is_buy ? MessageType::trade_buy : MessageType::trade_sell, header, level);
}

// `out` must hold kBodyOffset + (ask_count + bid_count) * kLevelSize bytes; the counts together at most kLevelsMax.
inline std::size_t build_depth(std::uint8_t* out, const PacketHeader& header, const Level* asks, std::size_t ask_count,
                               const Level* bids, std::size_t bid_count) noexcept {
    detail::build_header(out, MessageType::depth, header);
    detail::store(out + kAsksLenOffset, static_cast<std::int64_t>(ask_count));
    detail::store(out + kBidsLenOffset, static_cast<std::int64_t>(bid_count));
    std::uint8_t* at = out + kBodyOffset;
    for (std::size_t i = 0; i < ask_count + bid_count; ++i, at += kLevelSize) {
        const Level level = i < ask_count ? asks[i] : bids[i - ask_count];
        detail::store(at, level.price);
        detail::store(at + 8, level.size);
    }
    return static_cast<std::size_t>(at - out);
}

}  // namespace qtxconn::qtx
