// The QTX wire formats for limit programs, written a second time and in full: nothing of qtxconn's own is timed there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace plain {

// -- datagrams: int32 type, int32 index, int64 tx_ms, event_ms, local_ns, sn_id, then the body ---------------------

constexpr std::size_t kTickerSize = 56;

struct Ticker {
    std::int32_t type;
    std::int32_t index;
    std::int64_t tx_ms, event_ms, local_ns, sn_id;
    double price, size;
};
static_assert(sizeof(Ticker) == kTickerSize);

struct OneAskDepth {
    std::int32_t type;
    std::int32_t index;
    std::int64_t tx_ms, event_ms, local_ns, sn_id;
    std::int64_t asks, bids;
    double ask_price, ask_size;
};
static_assert(sizeof(OneAskDepth) == 72);

// -- the order queue -----------------------------------------------------------------------------------------------

constexpr std::int64_t kSlots = 100;

struct Slot {
    std::int64_t mode, side, pos_side;
    std::uint64_t client_order_id, order_type, price_match, place_ts_ns, res_ts_ns;
    char size[32], price[32], api_key[100], api_secret[100], symbol[100], res_msg[10000], padding[4];
};
static_assert(sizeof(Slot) == 10432);

struct Queue {
    std::int64_t from_idx;
    std::int64_t to_idx;
    Slot slots[kSlots];
};
static_assert(sizeof(Queue) == 1043216);

template <class T>
T acquire(const T& value) noexcept {
    return __atomic_load_n(&value, __ATOMIC_ACQUIRE);
}

template <class T>
void release(T& target, T value) noexcept {
    __atomic_store_n(&target, value, __ATOMIC_RELEASE);
}

// "60000.1" from 600001 tenths, with its terminator; the text's length.
inline std::size_t format_tenths(std::int64_t tenths, char* out) noexcept {
    char reversed[24];
    std::size_t count = 0;
    reversed[count++] = static_cast<char>('0' + tenths % 10);
    reversed[count++] = '.';
    for (std::int64_t rest = tenths / 10; rest != 0; rest /= 10) {
        reversed[count++] = static_cast<char>('0' + rest % 10);
    }
    for (std::size_t i = 0; i < count; ++i) {
        out[i] = reversed[count - 1 - i];
    }
    out[count] = '\0';
    return count;
}

}  // namespace plain
