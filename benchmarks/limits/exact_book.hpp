// The decoder's job with exact numbers, as a plain program would do it for one market that it knows beforehand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "qtxconn/qtx_packet.hpp"
#include "qtxconn/qtx_symbol.hpp"

namespace plain {

// Length, index and sequence are checked as in the bare limit; besides, every number is converted to ticks and lots and
// refused if it is not near a whole one, levels are merged, the ticker moves the top, and the touch is judged. Known
// beforehand, and so without a branch or a search: the 64 ticks within which the market stays. No lock, no reader, no
// callback, no order between tickers and depth messages.
class ExactDecoder {
public:
    static constexpr std::int64_t kTicks = 64;
    static constexpr std::size_t kLevelsMax = 40;

    // `lowest`: the first of the market's ticks.
    ExactDecoder(int symbols, std::int64_t lowest, double ticks_per_unit, double lots_per_unit)
        : books(static_cast<std::size_t>(symbols) + 1), lowest_(lowest), per_unit_{ticks_per_unit, lots_per_unit} {}

    bool apply(const std::uint8_t* bytes, std::size_t size) noexcept {
        using namespace qtxconn::qtx;
        if (size < kBodyOffset) {
            return false;
        }
        const auto type = detail::load<std::int32_t>(bytes);
        const auto index = detail::load<std::uint32_t>(bytes + kIndexOffset);
        const std::size_t stream = stream_of(static_cast<MessageType>(type));
        if (index >= books.size() || stream == kNoStream) {
            return false;
        }
        Book& book = books[index];
        const auto sn = detail::load<std::int64_t>(bytes + kSnIdOffset);
        if (sn <= book.sn[stream]) {
            return false;
        }
        std::size_t asks = 0;
        std::size_t levels = 1;
        const std::uint8_t* body = bytes + kPacketPriceOffset;
        if (type == 2) {
            asks = detail::load<std::uint64_t>(bytes + kAsksLenOffset);
            const auto bids = detail::load<std::uint64_t>(bytes + kBidsLenOffset);
            if (asks > kLevelsMax || bids > kLevelsMax - asks) {
                return false;
            }
            levels = asks + bids;
            body = bytes + kBodyOffset;
        }
        Whole counts[kLevelsMax];
        if (bytes + size != body + levels * kLevelSize || !convert(body, levels, counts)) {
            return false;
        }
        book.sn[stream] = sn;
        book.time_ms = detail::load<std::int64_t>(bytes + kEventMsOffset);
        if (type == 2) {
            merge(book.asks, counts, asks);
            merge(book.bids, counts + asks, levels - asks);
        } else if (stream > 2) {
            book.trade_price = counts[0][0] + lowest_;
            book.trade_size = counts[0][1];
            return true;
        } else {
            const std::int64_t at = counts[0][0];
            const std::uint64_t above = ~std::uint64_t{1} << at;
            const std::uint64_t below = (std::uint64_t{1} << at) - 1;
            book.bids.levels &= ~(type == 1 ? above : above | std::uint64_t{1} << at);
            book.asks.levels &= ~(type == 1 ? below | std::uint64_t{1} << at : below);
            merge(type == 1 ? book.bids : book.asks, counts, 1);
        }
        const bool whole = book.bids.levels != 0 && book.asks.levels != 0;
        book.best_bid = whole ? 63 - __builtin_clzll(book.bids.levels) : 0;
        book.best_ask = whole ? __builtin_ctzll(book.asks.levels) : 0;
        book.valid = book.best_bid < book.best_ask;
        return true;
    }

    using Real [[gnu::vector_size(16)]] = double;         // price, size
    using Whole [[gnu::vector_size(16)]] = std::int64_t;  // ticks above the lowest, lots

    struct Side {
        std::uint64_t levels = 0;  // a bit a tick
        std::int64_t sizes[kTicks] = {};
    };
    struct Book {
        std::int64_t sn[5] = {};
        std::int64_t time_ms = 0;
        std::int64_t best_bid = 0, best_ask = 0;
        std::int64_t trade_price = 0, trade_size = 0;
        bool valid = false;
        Side bids, asks;
    };
    std::vector<Book> books;

private:
    bool convert(const std::uint8_t* body, std::size_t count, Whole* out) const noexcept {
        constexpr double kShift = 6755399441055744.0;  // 2^52 + 2^51: the sum's bits are the nearest integer
        constexpr std::int64_t kShiftBits = 0x4338000000000000;
        const Whole lowest = {kShiftBits + lowest_, kShiftBits};
        Real squares = {};
        Whole seen = {};
        Whole raw = {};
#pragma GCC unroll 4
        for (std::size_t i = 0; i < count; ++i) {
            Real value;
            Whole bits;
            std::memcpy(&value, body + 16 * i, sizeof value);
            const Real shifted = value * per_unit_ + kShift;
            const Real off = value * per_unit_ - (shifted - kShift);
            squares += off * off;
            std::memcpy(&bits, &value, sizeof bits);
            raw |= bits;
            std::memcpy(&bits, &shifted, sizeof bits);
            out[i] = bits - lowest;
            seen |= out[i];
        }
        return (static_cast<std::uint64_t>(seen[0]) >= kTicks) + (seen[1] >> 40 != 0) + (raw[0] < 0) + (raw[1] < 0) +
                   (squares[0] > 1e-6) + (squares[1] > 1e-6) ==
               0;
    }

    static void merge(Side& side, const Whole* counts, std::size_t count) noexcept {
        std::uint64_t levels = side.levels;
        for (std::size_t i = 0; i < count; ++i) {
            const std::int64_t at = counts[i][0];
            side.sizes[at] = counts[i][1];
            levels = (levels & ~(std::uint64_t{1} << at)) | std::uint64_t{counts[i][1] != 0} << at;
        }
        side.levels = levels;
    }

    std::int64_t lowest_;
    Real per_unit_;
};

}  // namespace plain
