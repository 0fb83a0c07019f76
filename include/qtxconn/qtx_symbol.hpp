// One symbol of the feed: its decimal grid, its sequences, and what was counted of it.
#pragma once

#include <cmath>
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

    // Converts `count` levels of the wire. True: each of them is a level. False: some number is off the grid, negative,
    // too large or none at all, or a price is zero, or it is close to it; has_sane_numbers() and is_on_grid() tell
    // these cases apart.
    [[gnu::always_inline]] bool count_levels(const std::uint8_t* body, std::size_t count,
                                             BookLevel* out) const noexcept {
#ifdef __AVX2__
        const Doubles<4> per_unit = {per_unit_[0], per_unit_[1], per_unit_[0], per_unit_[1]};
        Seen<4> wide;
#pragma GCC unroll 2
        for (; count >= 2; count -= 2, body += 2 * kLevelSize, out += 2) {
            convert<4>(body, per_unit, out, wide);
        }
        bool good = is_good(wide);
#else
        bool good = true;
#endif
        Seen<2> seen;
#pragma GCC unroll 4
        for (; count != 0; --count, body += kLevelSize, ++out) {
            convert<2>(body, per_unit_, out, seen);
        }
        return good & is_good(seen);
    }

    // The same for one level.
    bool count_level(const std::uint8_t* body, BookLevel& out) const noexcept {
        Seen<2> seen;
        convert<2>(body, per_unit_, &out, seen);
        return is_good(seen);
    }

    // Whether every level is one, or says that nothing is there by a price and a size of zero.
    bool is_on_grid(const std::uint8_t* body, std::size_t count) const noexcept {
        bool fits = true;
        for (std::size_t i = 0; i < count; ++i) {
            const auto price = detail::load<double>(body + i * kLevelSize);
            const auto size = detail::load<double>(body + i * kLevelSize + sizeof price);
            fits &=
                (price == 0.0 && size == 0.0) || (is_count(price, per_unit_[0], 1) && is_count(size, per_unit_[1], 0));
        }
        return fits;
    }

private:
    template <int kLanes>
    using Doubles [[gnu::vector_size(kLanes * 8)]] = double;  // price, size, price, size ...
    template <int kLanes>
    using Counts [[gnu::vector_size(kLanes * 8)]] = std::uint64_t;  // ticks, lots ...

    // Of all numbers converted so far. Each is judged by the worst, so that a loop over them has no branch.
    template <int kLanes>
    struct Seen {
        Doubles<kLanes> squares = {};  // sum of the squares of what each is off its count
        Counts<kLanes> counts = {};    // a bit from kCountBits on: too large, not finite, or a price of zero
        Counts<kLanes> raw = {};       // the uppermost bit: negative, or so small that it rounds to nothing
    };

    // In a double of 2^52 and more the last bit counts ones: the sum is rounded, its bits are the integer.
    static constexpr double kShift = 6755399441055744.0;  // 2^52 + 2^51
    static constexpr std::uint64_t kShiftBits = 0x4338000000000000;

    // What is negative, too large, infinite or no number at all gets a count that is far off; what is between two
    // counts is told by its distance.
    template <int kLanes>
    [[gnu::always_inline]] static void convert(const std::uint8_t* body, const Doubles<kLanes>& per_unit,
                                               BookLevel* out, Seen<kLanes>& seen) noexcept {
        Doubles<kLanes> value;
        Counts<kLanes> bits;
        Counts<kLanes> least;
        for (int i = 0; i < kLanes; ++i) {
            least[i] = i % 2 == 0 ? 1 : 0;  // of a price
        }
        std::memcpy(&value, body, sizeof value);
        const Doubles<kLanes> shifted = value * per_unit + kShift;
        const Doubles<kLanes> off = value * per_unit - (shifted - kShift);
        seen.squares += off * off;
        std::memcpy(&bits, &value, sizeof bits);
        seen.raw |= bits;
        std::memcpy(&bits, &shifted, sizeof bits);
        bits -= kShiftBits;
        seen.counts |= bits - least;
        std::memcpy(static_cast<void*>(out), &bits, sizeof bits);
    }

    template <int kLanes>
    [[gnu::always_inline]] static bool is_good(const Seen<kLanes>& seen) noexcept {
        const Counts<kLanes> bad = seen.counts >> kCountBits | seen.raw >> 63 |
                                   reinterpret_cast<Counts<kLanes>>(seen.squares > kTolerance * kTolerance);
        std::uint64_t any = 0;
        for (int i = 0; i < kLanes; ++i) {
            any |= bad[i];
        }
        return any == 0;
    }

    // The same judgement of one number by itself, without a bias against zeros.
    static bool is_count(double value, double per_unit, std::uint64_t least) noexcept {
        const double exact = value * per_unit;
        const double shifted = exact + kShift;
        std::uint64_t bits = 0;
        std::memcpy(&bits, &shifted, sizeof bits);
        return value >= 0.0 && std::abs(exact - (shifted - kShift)) <= kTolerance &&
               (bits - kShiftBits - least) >> kCountBits == 0;
    }

    static double increments_per_unit(Fixed increment) noexcept {
        // 1 / 0.1 must be 10, not 10.000000000000002: take the exact quotient where there is one.
        const std::int64_t power = qtxconn::detail::kPow10[increment.scale];
        return increment.units > 0 && power % increment.units == 0 ? static_cast<double>(power / increment.units)
                                                                   : 1.0 / to_double(increment);
    }

    Doubles<2> per_unit_;
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
