// One symbol of the feed: its decimal grid, its sequences, and what was counted of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "qtxconn/fixed.hpp"
#include "qtxconn/l2_book.hpp"
#include "qtxconn/qtx_packet.hpp"
#include "qtxconn/single_writer.hpp"

namespace qtxconn::qtx {

// Whether a jump of sn_id is a loss depends on the venue.
enum class SequenceRule : std::uint8_t {
    contiguous = 0,  // sn_id grows by one: a jump is a loss
    monotonic = 1,   // sn_id grows: only the order can be checked
};

// Prices and sizes as doubles to whole ticks and lots: to the nearest, and only if it is near.
class Grid {
public:
    static constexpr int kCountBits = 40;  // a price is at most 2^40 ticks, a size less than 2^40 lots
    // Of an increment. A sender that computes in doubles is off by 3.7e-4 at 2^40, by rounding alone.
    static constexpr double kTolerance = 1e-3;

    Grid(Fixed tick, Fixed lot) noexcept : per_unit_{increments_per_unit(tick), increments_per_unit(lot)} {}

    // Converts `count` levels of the wire. False: some number is off the grid, negative, too large or none at all, or a
    // price is zero; has_sane_numbers() and is_on_grid() tell these cases apart.
    bool count_levels(const std::uint8_t* body, std::size_t count, BookLevel* out) const noexcept {
        Counts seen{0, 0};    // a bit from kCountBits on is a fault
        Counts is_off{0, 0};  // any bit is one
#pragma GCC unroll 4
        for (std::size_t i = 0; i < count; ++i) {
            Pair value;
            std::memcpy(&value, body + i * kLevelSize, sizeof value);
            const Pair exact = value * per_unit_;
            // In a double of 2^52 and more the last bit counts ones: the sum is rounded, its bits are the integer. What
            // is negative, too large, infinite or no number at all has bits that are far off.
            const Pair shifted = exact + kShift;
            const Pair off = exact - (shifted - kShift);
            const Counts whole = bits(shifted) - bits(kShift);
            is_off |= from_bits(bits(off) & kMagnitude) > Pair{kTolerance, kTolerance};
            is_off |= value < Pair{0.0, 0.0};  // also one so small that it rounds to nothing
            seen |= whole - Counts{1, 0};
            out[i] = {whole[0], whole[1]};
        }
        return ((seen[0] | seen[1]) >> kCountBits | is_off[0] | is_off[1]) == 0;
    }

    // As count_levels, but a level that says nothing is there, price and size zero, passes.
    bool is_on_grid(const std::uint8_t* body, std::size_t count) const noexcept {
        bool fits = true;
        for (std::size_t i = 0; i < count; ++i) {
            const Level level = {detail::load<double>(body + i * kLevelSize),
                                 detail::load<double>(body + i * kLevelSize + 8)};
            BookLevel ignored{};
            fits &= (level.price == 0.0 && level.size == 0.0) || count_levels(body + i * kLevelSize, 1, &ignored);
        }
        return fits;
    }

private:
    using Pair = double __attribute__((vector_size(16)));                  // price, size
    using Counts = std::int64_t __attribute__((vector_size(16)));          // ticks, lots
    static constexpr Pair kShift{6755399441055744.0, 6755399441055744.0};  // 2^52 + 2^51
    static constexpr Counts kMagnitude{INT64_MAX, INT64_MAX};              // all but the sign

    static Counts bits(Pair value) noexcept {
        Counts result;
        std::memcpy(&result, &value, sizeof result);
        return result;
    }

    static Pair from_bits(Counts value) noexcept {
        Pair result;
        std::memcpy(&result, &value, sizeof result);
        return result;
    }

    static double increments_per_unit(Fixed increment) noexcept {
        // 1 / 0.1 must be 10, not 10.000000000000002: take the exact quotient where there is one.
        const std::int64_t power = qtxconn::detail::kPow10[increment.scale];
        return increment.units > 0 && power % increment.units == 0 ? static_cast<double>(power / increment.units)
                                                                   : 1.0 / to_double(increment);
    }

    Pair per_unit_;
};

constexpr std::size_t kStreams = 5;   // sn_id counts for each of them apart
constexpr std::size_t kNoStream = 5;  // of what is no message type

inline std::size_t stream_of(MessageType type) noexcept {
    static constexpr std::uint8_t streams[7] = {4, kNoStream, 1, kNoStream, 0, 2, 3};  // of msg_type -3 to 3
    const std::uint32_t at = static_cast<std::uint32_t>(type) + 3;
    return at < sizeof streams ? streams[at] : kNoStream;
}

// The feed writes the book; the book belongs to the caller and outlives the feed. The thread that receives writes all
// of this; what others may read is Shared.
struct alignas(64) FeedSymbol {
    FeedSymbol(int number_, L2Book* book_, Fixed tick, Fixed lot, SequenceRule rule_) noexcept
        : grid(tick, lot), book(book_), number(number_), rule(rule_) {}

    Grid grid;
    L2Book* book;
    Shared<std::int64_t> received_ns;  // of the newest message, wall clock; 0 before the first
    int number;
    SequenceRule rule;
    std::uint8_t seen = 0;                // a bit a stream: last_sn means something
    Shared<bool> seen_full;               // this subscription's first depth message has come
    Shared<bool> synchronised;            // ... and nothing was lost since
    Shared<bool> wants_diffs;             // deliver each change of the book, not only that it has changed
    Shared<bool> missed_diffs;            // ... and one of them could not be
    std::int64_t last_sn[kStreams] = {};  // the tickers' are in the first cache line, with all above
    std::int64_t first_sn[kStreams] = {};
    Shared<std::uint64_t> lost;        // messages missing when a later one came
    Shared<std::uint64_t> duplicates;  // came before
    Shared<std::uint64_t> reorders;    // came after a later one: too late to be used
    Shared<std::uint64_t> queued;      // trades and diffs handed over for the event loop
    Shared<std::uint64_t> taken;       // ... and taken by it
};

// Which sequence numbers are missing, so that a late message can be told from a repeated one. Asked and told only when
// something is out of order. A bounded memory of the newest: what it has forgotten counts as a repeat.
class MissingNumbers {
public:
    static constexpr std::uint64_t kGapMax = 256;  // of a larger gap the newest are remembered

    void add(int symbol, std::size_t stream, std::int64_t first, std::uint64_t count) noexcept {
        const std::uint64_t skipped = count > kGapMax ? count - kGapMax : 0;
        for (std::uint64_t i = skipped; i < count; ++i) {
            const auto sn = static_cast<std::int64_t>(static_cast<std::uint64_t>(first) + i);
            Entry& oldest = set_of(symbol, stream, sn)[next_++ % kWays];
            oldest = {sn, key_of(symbol, stream)};
        }
    }

    // Whether the number was missing; it is not any more.
    bool take(int symbol, std::size_t stream, std::int64_t sn) noexcept {
        Entry* entries = set_of(symbol, stream, sn);
        for (std::size_t i = 0; i < kWays; ++i) {
            if (entries[i].key == key_of(symbol, stream) && entries[i].sn == sn) {
                entries[i].key = 0;
                return true;
            }
        }
        return false;
    }

private:
    static constexpr std::size_t kWays = 8;
    static constexpr std::size_t kSets = 1024;

    struct Entry {
        std::int64_t sn = 0;
        std::uint64_t key = 0;
    };

    static std::uint64_t key_of(int symbol, std::size_t stream) noexcept {
        return static_cast<std::uint64_t>(symbol) * kStreams + stream + 1;
    }

    Entry* set_of(int symbol, std::size_t stream, std::int64_t sn) noexcept {
        // Neighbouring numbers lie in neighbouring sets.
        const std::uint64_t place = key_of(symbol, stream) * 0x9E3779B97F4A7C15ULL + static_cast<std::uint64_t>(sn);
        return entries_.data() + place % kSets * kWays;
    }

    std::vector<Entry> entries_ = std::vector<Entry>(kSets * kWays);
    std::size_t next_ = 0;
};

}  // namespace qtxconn::qtx
