// The QTX order queue's byte layout: a POSIX shared-memory ring of 100 orders, and what its two ends say of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qtxconn::qtx {

// -- layout (little-endian, LP64) --------------------------------------------------------------------------------
//
//   segment, 1,043,216 bytes                 one order slot, 10,432 bytes
//   +---------+------------------------+     +-------+-----------------------------------------------------------+
//   |       0 | from_idx  int64        |     |     0 | mode            int64   0 register key, 1 place, -1 cancel |
//   |       8 | to_idx    int64        |     |     8 | side            int64   1 buy, -1 sell                     |
//   +---------+------------------------+     |    16 | pos_side        int64   1 long, 0 both, -1 short           |
//   |      16 | slot[0]                |     |    24 | client_order_id uint64                                     |
//   |  10,448 | slot[1]                |     |    32 | order_type      uint64  0 IOC, 1 post-only, 2 GTC, 3 FOK   |
//   |     ... |                        |     |    40 | price_match     uint64                                     |
//   |1,032,784| slot[99]               |     |    48 | place_ts_ns     uint64  when the client placed it          |
//   +---------+------------------------+     |    56 | res_ts_ns       uint64  non-zero: the answer is complete   |
//                                            |    64 | size            char[32]   decimal text                    |
//   producer: fill slot[to_idx], then        |    96 | price           char[32]   decimal text                    |
//     release-store to_idx + 1 (mod 100)     |   128 | api_key         char[100]  mode 0 only                     |
//   consumer: acquire-load to_idx, read,     |   228 | api_secret      char[100]  mode 0 only                     |
//     release-store from_idx + 1; later      |   328 | symbol          char[100]                                  |
//     res_msg, then release-store res_ts_ns  |   428 | res_msg         char[10000]  the answer, text              |
//                                            |10,428 | padding to a multiple of 8                                 |
//                                            +-------+-----------------------------------------------------------+

constexpr std::int64_t kSlotCount = 100;
constexpr std::size_t kSlotSize = 10432;
constexpr std::size_t kSegmentSize = 1043216;

constexpr std::size_t kFromIdxOffset = 0;
constexpr std::size_t kToIdxOffset = 8;
constexpr std::size_t kSlotsOffset = 16;

constexpr std::size_t kModeOffset = 0;
constexpr std::size_t kSideOffset = 8;
constexpr std::size_t kPosSideOffset = 16;
constexpr std::size_t kClientOrderIdOffset = 24;
constexpr std::size_t kOrderTypeOffset = 32;
constexpr std::size_t kPriceMatchOffset = 40;
constexpr std::size_t kPlaceTsOffset = 48;
constexpr std::size_t kResTsOffset = 56;
constexpr std::size_t kSizeOffset = 64;
constexpr std::size_t kPriceOffset = 96;
constexpr std::size_t kApiKeyOffset = 128;
constexpr std::size_t kApiSecretOffset = 228;
constexpr std::size_t kSymbolOffset = 328;
constexpr std::size_t kResMsgOffset = 428;

constexpr std::size_t kDecimalTextSize = 32;
constexpr std::size_t kNameTextSize = 100;
constexpr std::size_t kResMsgSize = 10000;

struct OrderSlot {
    std::int64_t mode;
    std::int64_t side;
    std::int64_t pos_side;
    std::uint64_t client_order_id;
    std::uint64_t order_type;
    std::uint64_t price_match;
    std::uint64_t place_ts_ns;
    std::uint64_t res_ts_ns;
    char size[kDecimalTextSize];
    char price[kDecimalTextSize];
    char api_key[kNameTextSize];
    char api_secret[kNameTextSize];
    char symbol[kNameTextSize];
    char res_msg[kResMsgSize];
    char padding[4];
};

struct Segment {
    std::int64_t from_idx;
    std::int64_t to_idx;
    OrderSlot slots[kSlotCount];
};

static_assert(sizeof(OrderSlot) == kSlotSize);
static_assert(offsetof(OrderSlot, mode) == kModeOffset);
static_assert(offsetof(OrderSlot, side) == kSideOffset);
static_assert(offsetof(OrderSlot, pos_side) == kPosSideOffset);
static_assert(offsetof(OrderSlot, client_order_id) == kClientOrderIdOffset);
static_assert(offsetof(OrderSlot, order_type) == kOrderTypeOffset);
static_assert(offsetof(OrderSlot, price_match) == kPriceMatchOffset);
static_assert(offsetof(OrderSlot, place_ts_ns) == kPlaceTsOffset);
static_assert(offsetof(OrderSlot, res_ts_ns) == kResTsOffset);
static_assert(offsetof(OrderSlot, size) == kSizeOffset);
static_assert(offsetof(OrderSlot, price) == kPriceOffset);
static_assert(offsetof(OrderSlot, api_key) == kApiKeyOffset);
static_assert(offsetof(OrderSlot, api_secret) == kApiSecretOffset);
static_assert(offsetof(OrderSlot, symbol) == kSymbolOffset);
static_assert(offsetof(OrderSlot, res_msg) == kResMsgOffset);
static_assert(sizeof(Segment) == kSegmentSize);
static_assert(offsetof(Segment, from_idx) == kFromIdxOffset);
static_assert(offsetof(Segment, to_idx) == kToIdxOffset);
static_assert(offsetof(Segment, slots) == kSlotsOffset);

enum Mode : std::int64_t { kModeRegisterKey = 0, kModePlace = 1, kModeCancel = -1 };

// No order ever has this id: bit 63 of ours is 0 (order_id.hpp).
constexpr std::uint64_t kNoOrderId = UINT64_MAX;

enum WireSide : std::int64_t { kSideBuy = 1, kSideSell = -1 };
enum WireOrderType : std::uint64_t { kTypeIoc = 0, kTypePostOnly = 1, kTypeGtc = 2, kTypeFok = 3 };

// -- results -----------------------------------------------------------------------------------------------------

// Everything but `ok` is negative, so that a function can return a slot number or a status in one int.
enum class QueueStatus : int {
    ok = 0,
    full = -1,              // all 99 usable slots hold orders the consumer has not picked up, or the next slot's
                            // answer has not been taken; nothing was published
    stalled = -2,           // the consumer has not moved for the stall limit although orders wait; nothing published
    text_too_long = -3,     // a text does not fit its field with its terminator; nothing was published
    foreign_producer = -4,  // to_idx was moved by someone else: the queue is closed for good
    replaced = -5,          // the segment was unlinked, re-created, truncated or started anew: attach again
    closed = -6,
    corrupt = -7,          // an index is outside 0..99, or the order manager's moved back
    no_answer = -8,        // not (yet) answered
    not_outstanding = -9,  // no order of ours waits in this slot
    timed_out = -10,
    wrong_order = -11,  // the slot no longer holds the order it is said to hold
    unanswered = -12,   // too many slots hold orders that were never answered; nothing was published
};

inline const char* describe(QueueStatus status) noexcept {
    switch (status) {
        case QueueStatus::ok: return "ok";
        case QueueStatus::full: return "the order queue is full";
        case QueueStatus::stalled: return "the order manager does not take orders from the queue";
        case QueueStatus::text_too_long: return "a text is too long for its field";
        case QueueStatus::foreign_producer: return "another producer writes to this queue";
        case QueueStatus::replaced: return "the segment was replaced or truncated";
        case QueueStatus::closed: return "the queue is closed";
        case QueueStatus::corrupt: return "the segment's indices are out of range or moved back";
        case QueueStatus::no_answer: return "no answer yet";
        case QueueStatus::not_outstanding: return "no order is outstanding in this slot";
        case QueueStatus::timed_out: return "no answer in time";
        case QueueStatus::wrong_order: return "the slot holds another order";
        case QueueStatus::unanswered: return "too many orders were never answered";
    }
    return "unknown status";
}

enum class MapStatus : int {
    ok = 0,
    missing,        // no segment of this name
    exists,         // create: the name is taken
    denied,         // the system refuses access
    wrong_size,     // not exactly kSegmentSize bytes
    wrong_owner,    // belongs to another user
    shared_access,  // group or others may read or write it
    locked,         // another producer of ours is attached
    corrupt,        // an index is outside 0..99
    bad_name,       // not "/name" of at most 254 characters without another slash
    failed,         // see `error_number`
};

// -- bounded text ------------------------------------------------------------------------------------------------

struct TextView {
    const char* data = "";
    std::size_t size = 0;
};

// Length of a text field that its writer may have left without a terminator.
inline std::size_t bounded_length(const char* text, std::size_t capacity) noexcept {
    const void* end = std::memchr(text, 0, capacity);
    return end == nullptr ? capacity : static_cast<std::size_t>(static_cast<const char*>(end) - text);
}

inline TextView bounded_text(const char* text, std::size_t capacity) noexcept {
    return {text, bounded_length(text, capacity)};
}

// A text field of a slot, padded with zeros. A text that is too long leaves it without its terminator.
template <std::size_t N>
struct SlotText {
    char data[N] = {};

    void assign(TextView text) noexcept {
        std::memset(data, 0, N);
        const std::size_t size = text.size < N ? text.size : N;
        if (size >= 8 && size <= 16) {  // most numbers and symbols: two moves that overlap
            std::uint64_t head = 0;
            std::uint64_t tail = 0;
            std::memcpy(&head, text.data, 8);
            std::memcpy(&tail, text.data + size - 8, 8);
            std::memcpy(data, &head, 8);
            std::memcpy(data + size - 8, &tail, 8);
        } else {
            for (std::size_t i = 0; i < size; ++i) {
                data[i] = text.data[i];
            }
        }
    }
};

namespace detail {

template <class Number>
Number load_acquire(const Number& value) noexcept {
    return __atomic_load_n(&value, __ATOMIC_ACQUIRE);
}

template <class Number>
void store_release(Number& target, Number value) noexcept {
    __atomic_store_n(&target, value, __ATOMIC_RELEASE);
}

// memcpy of a fixed size in 16-byte moves, the last one overlapping: no call, and no choice left to the compiler.
template <std::size_t N>
[[gnu::always_inline]] inline void copy(void* to, const void* from) noexcept {
    static_assert(N >= 16);
    using Block = unsigned char __attribute__((vector_size(16)));
    auto* out = static_cast<unsigned char*>(to);
    const auto* in = static_cast<const unsigned char*>(from);
#pragma GCC unroll 8
    for (std::size_t at = 0; at < N; at += 16) {
        const std::size_t begin = at + 16 <= N ? at : N - 16;
        Block block;
        __builtin_memcpy(&block, in + begin, sizeof block);
        __builtin_memcpy(out + begin, &block, sizeof block);
    }
}

inline bool in_ring(std::int64_t idx) noexcept { return static_cast<std::uint64_t>(idx) < kSlotCount; }

inline std::int64_t next_idx(std::int64_t idx) noexcept { return idx + 1 == kSlotCount ? 0 : idx + 1; }

// How far `to` is ahead of `from` on the ring; both inside it.
inline std::int64_t distance(std::int64_t from, std::int64_t to) noexcept {
    const std::int64_t ahead = to - from;
    return ahead >= 0 ? ahead : ahead + kSlotCount;
}

}  // namespace detail

}  // namespace qtxconn::qtx
