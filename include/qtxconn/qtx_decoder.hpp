// Datagrams to books, trades and the strategy's calls: all that the feed does once it has the bytes, without a socket.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#include "qtxconn/clock.hpp"
#include "qtxconn/l2_book.hpp"
#include "qtxconn/qtx_packet.hpp"
#include "qtxconn/qtx_strategy.hpp"
#include "qtxconn/qtx_symbol.hpp"
#include "qtxconn/record_ring.hpp"
#include "qtxconn/single_writer.hpp"

namespace qtxconn::qtx {

enum class DepthSemantics : std::uint8_t {
    merge = 0,    // the first depth message makes the book, later ones set the levels they carry
    replace = 1,  // every depth message is the whole book
};

struct FeedOptions {
    HeaderLayout header_layout = HeaderLayout::sdk;
    DepthSemantics depth_semantics = DepthSemantics::merge;
};

// The symbols behind the indices of one socket, kept as a window over the indices in use. An index belongs to the
// symbol that had it first, for the socket's whole life: what is still under way for a symbol that was given up can
// never reach another one.
class IndexTable {
public:
    static constexpr std::int32_t kIndexMax = 1 << 20;

    // Null: no symbol is bound to the index.
    FeedSymbol* find(std::int32_t index) const noexcept {
        const std::uint32_t at = static_cast<std::uint32_t>(index) - first_;
        return at < bound_.size() ? bound_[at] : nullptr;
    }

    // Whether some symbol has, or once had, the index.
    bool is_taken(std::int32_t index) const noexcept {
        const std::uint32_t at = static_cast<std::uint32_t>(index) - first_;
        return at < owner_.size() && owner_[at] != nullptr;
    }

    // False: the index was another symbol's, or is absurd.
    bool bind(std::int32_t index, FeedSymbol& symbol) {
        if (index < 0 || index >= kIndexMax) {
            return false;
        }
        const auto wanted = static_cast<std::uint32_t>(index);
        if (bound_.empty()) {
            first_ = wanted;
        }
        if (wanted < first_) {
            bound_.insert(bound_.begin(), first_ - wanted, nullptr);
            owner_.insert(owner_.begin(), first_ - wanted, nullptr);
            first_ = wanted;
        }
        const std::uint32_t at = wanted - first_;
        if (at >= bound_.size()) {
            bound_.resize(at + std::size_t{1});
            owner_.resize(at + std::size_t{1});
        }
        if (owner_[at] != nullptr && owner_[at] != &symbol) {
            return false;
        }
        bound_[at] = &symbol;
        owner_[at] = &symbol;
        return true;
    }

    void unbind(const FeedSymbol& symbol) noexcept {
        for (FeedSymbol*& bound : bound_) {
            bound = bound == &symbol ? nullptr : bound;
        }
    }

    const std::vector<FeedSymbol*>& bound() const noexcept { return bound_; }

private:
    std::uint32_t first_ = 0;
    std::vector<FeedSymbol*> bound_;
    std::vector<const FeedSymbol*> owner_;
};

// What the receive loop hands over for the event loop: a trade, or a change of a book with its levels behind it.
struct FeedNews {
    enum class Kind : std::uint8_t { trade, diff };
    Kind kind;
    bool whole;  // a diff that is the whole book
    FeedTrade trade;
    int symbol;
    std::uint32_t ask_count;
    std::uint32_t bid_count;
    std::int64_t sn_id;
    std::int64_t event_ms;
    std::int64_t received_ns;

    const BookLevel* levels() const noexcept { return reinterpret_cast<const BookLevel*>(this + 1); }  // asks first
};
static_assert(sizeof(FeedNews) % alignof(BookLevel) == 0);

// All but the numbers that are Shared, symbol(), take_changed() and the ring's other end is for one thread at a time
// (see SingleWriter).
class FeedDecoder {
public:
    static constexpr std::size_t kNewsBytes = std::size_t{1} << 22;
    // Room that any one datagram's news fits in.
    static constexpr std::size_t kNewsRoom = 2 * (sizeof(FeedNews) + kLevelsMax * sizeof(BookLevel)) + 64;
    static constexpr std::size_t kSymbolsMax = std::size_t{1} << 18;

    explicit FeedDecoder(const FeedOptions& options, std::size_t news_bytes = kNewsBytes)
        : news(news_bytes), options_(options), scratch_(kLevelsMax) {}

    // Numbers grow from 0 and are not used again.
    FeedSymbol& add_symbol(L2Book* book, Fixed tick, Fixed lot, SequenceRule rule) {
        const std::size_t number = count_.load(std::memory_order_relaxed);
        if (number == kSymbolsMax) {
            throw std::bad_alloc();
        }
        auto& block = blocks_[number / kBlock];
        if (block == nullptr) {
            block = std::make_unique<Block>();
        }
        FeedSymbol* symbol =
            new (&(*block).symbols[number % kBlock]) FeedSymbol(static_cast<int>(number), book, tick, lot, rule);
        count_.store(number + 1, std::memory_order_release);
        desynchronise(*symbol, BookInvalid::disconnected, wall_ns());
        return *symbol;
    }

    // From any thread. `number` < symbol_count().
    FeedSymbol& symbol(int number) const noexcept {
        const auto at = static_cast<std::size_t>(number);
        return blocks_[at / kBlock]->symbols[at % kBlock];
    }
    std::size_t symbol_count() const noexcept { return count_.load(std::memory_order_acquire); }

    // The symbol's next message is the first of a new subscription.
    void restart(FeedSymbol& symbol) noexcept {
        symbol.seen = 0;
        symbol.seen_full.set(false);
    }

    // Applies one datagram. `now_ns`: wall time, for the book.
    Reject apply(const IndexTable& indices, const std::uint8_t* bytes, std::size_t size, std::int64_t received_ns,
                 std::int64_t now_ns) noexcept {
        return apply_next(indices, bytes, size, received_ns, now_ns)
                   ? Reject::none
                   : apply_any(indices, bytes, size, received_ns, now_ns);
    }

    // The book is not to be trusted before the next full depth message.
    void desynchronise(FeedSymbol& symbol, BookInvalid reason, std::int64_t now_ns) noexcept {
        symbol.synchronised.set(false);
        const bool was_valid = symbol.book->valid();
        symbol.book->lock.lock();
        symbol.book->invalidate(reason, now_ns);
        symbol.book->lock.unlock();
        if (was_valid) {
            tell(symbol, 0);
        }
    }

    Shared<std::uint64_t> lost;
    Shared<std::uint64_t> duplicates;
    Shared<std::uint64_t> reorders;
    Shared<std::uint64_t> trades_dropped;  // not delivered to the event loop: it was too far behind

    FeedHandler handler;
    bool delivery = true;  // keep trades and changes for the event loop
    RecordRing news;       // FeedNews; this thread produces, the event loop consumes

    // For the event loop: calls `visit(number)` for each symbol whose book has changed since the last call.
    template <class Visit>
    void take_changed(Visit&& visit) {
        const std::size_t words = (symbol_count() + 63) / 64;
        for (std::size_t i = 0; i < words; ++i) {
            auto& word = changed_[i];
            for (std::uint64_t bits = word.load(std::memory_order_relaxed) != 0 ? word.exchange(0) : 0; bits != 0;
                 bits &= bits - 1) {
                visit(static_cast<int>(i * 64) + __builtin_ctzll(bits));
            }
        }
    }

    bool is_changed(int number) const noexcept {
        return (changed_[static_cast<std::size_t>(number) / 64].load(std::memory_order_relaxed) >> (number % 64) & 1) !=
               0;
    }

private:
    static constexpr std::size_t kBlock = 256;

    // Places for symbols, made in order, which never move.
    struct Block {
        Block() noexcept {}
        ~Block() {}
        union {
            FeedSymbol symbols[kBlock];
        };
    };
    static_assert(std::is_trivially_destructible_v<FeedSymbol>);

    static constexpr std::size_t kAskStream = 1;    // as stream_of() numbers them: tickers
    static constexpr std::size_t kDepthStream = 2;  // ... and after it trades

    // What its levels come with.
    struct Message {
        std::int64_t sn_id;
        std::int64_t event_ms;
        std::int64_t received_ns;
        std::int64_t now_ns;
    };

    static std::int64_t following(std::int64_t sn) noexcept {
        return static_cast<std::int64_t>(static_cast<std::uint64_t>(sn) + 1);
    }

    // The ordinary datagram: of the "sdk" layout, nothing wrong with it, and the next in its sequence. False: it is
    // something else, and nothing has been done.
    [[gnu::always_inline]] bool apply_next(const IndexTable& indices, const std::uint8_t* bytes, std::size_t size,
                                           std::int64_t received_ns, std::int64_t now_ns) noexcept {
        if (size < kBodyOffset || options_.header_layout != HeaderLayout::sdk) {
            return false;
        }
        const auto type = detail::load<std::int32_t>(bytes + kTypeOffset);
        FeedSymbol* symbol = indices.find(detail::load<std::int32_t>(bytes + kIndexOffset));
        const std::size_t stream = stream_of(static_cast<MessageType>(type));
        if (symbol == nullptr || stream == kNoStream) {
            return false;
        }
        const auto sn_id = detail::load<std::int64_t>(bytes + kSnIdOffset);
        if (sn_id != following(symbol->last_sn[stream]) || (symbol->seen >> stream & 1) == 0) {
            return false;
        }
        const Message message{sn_id, detail::load<std::int64_t>(bytes + kEventMsOffset), received_ns, now_ns};
        if (stream == kDepthStream) {
            return apply_next_depth(*symbol, bytes, size, message);
        }
        BookLevel level;
        if (size != kBodyOffset || !symbol->grid.count_level(bytes + kPacketPriceOffset, level)) {
            return false;
        }
        if (stream < kDepthStream) {
            advance(*symbol, stream, message);
            set_top(*symbol, message, stream == kAskStream ? Side::ask : Side::bid, level);
            return true;
        }
        if (level.size == 0) {
            return false;
        }
        advance(*symbol, stream, message);
        set_trade(*symbol, message, type > 0, level);
        return true;
    }

    [[gnu::noinline]] bool apply_next_depth(FeedSymbol& symbol, const std::uint8_t* bytes, std::size_t size,
                                            const Message& message) noexcept {
        const auto asks = detail::load<std::uint64_t>(bytes + kAsksLenOffset);
        const auto bids = detail::load<std::uint64_t>(bytes + kBidsLenOffset);
        // Each count is checked against the limit before any sum: no arithmetic here can overflow.
        if (bids > kLevelsMax || asks > kLevelsMax - bids || size != kBodyOffset + (asks + bids) * kLevelSize ||
            !symbol.grid.count_levels(bytes + kBodyOffset, asks + bids, scratch_.data())) {
            return false;
        }
        advance(symbol, kDepthStream, message);
        set_levels(symbol, message, static_cast<std::uint32_t>(asks), static_cast<std::uint32_t>(bids));
        return true;
    }

    // Any datagram: as apply_next, and says what is wrong.
    [[gnu::noinline]] Reject apply_any(const IndexTable& indices, const std::uint8_t* bytes, std::size_t size,
                                       std::int64_t received_ns, std::int64_t now_ns) noexcept {
        PacketView packet;
        const Reject malformed = parse_frame(bytes, size, options_.header_layout, packet);
        if (malformed != Reject::none) {
            return malformed;
        }
        if (!has_sane_numbers(packet)) {
            return Reject::bad_number;
        }
        FeedSymbol* symbol = indices.find(packet.index);
        if (symbol == nullptr) {
            return Reject::unknown_index;
        }
        const std::size_t stream = stream_of(packet.type);
        if (!in_sequence(*symbol, packet, stream, now_ns)) {
            return Reject::stale;
        }
        const Message message{packet.sn_id, packet.event_ms, received_ns, now_ns};
        advance(*symbol, stream, message);
        const bool is_trade = stream > kDepthStream;
        const bool fits = symbol->grid.count_levels(packet.body, packet.level_count(), scratch_.data()) ||
                          symbol->grid.is_on_grid(packet.body, packet.level_count());
        if (!fits || (is_trade && scratch_[0].size == 0)) {
            if (!is_trade) {
                desynchronise(*symbol, BookInvalid::gap, now_ns);  // the book lacks what the message said
            }
            return Reject::off_grid;
        }
        if (is_trade) {
            set_trade(*symbol, message, packet.type == MessageType::trade_buy, scratch_[0]);
        } else if (stream == kDepthStream) {
            set_levels(*symbol, message, static_cast<std::uint32_t>(packet.ask_count),
                       static_cast<std::uint32_t>(packet.bid_count));
        } else {
            set_top(*symbol, message, stream == kAskStream ? Side::ask : Side::bid, scratch_[0]);
        }
        return Reject::none;
    }

    static void advance(FeedSymbol& symbol, std::size_t stream, const Message& message) noexcept {
        symbol.last_sn[stream] = message.sn_id;
        symbol.received_ns.set(message.received_ns);
    }

    // Unsigned, because the milliseconds are the sender's, and may be any number.
    static std::int64_t ns_of(std::int64_t ms) noexcept {
        return static_cast<std::int64_t>(static_cast<std::uint64_t>(ms) * static_cast<std::uint64_t>(kNsPerMs));
    }

    // Numbers between two. Unsigned: the distance of any two int64 values fits.
    static std::uint64_t between(std::int64_t low, std::int64_t high) noexcept {
        return static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) - 1;
    }

    // Of a number that is not above the last: whether it comes for the first time. Where numbers only grow, every one
    // below the last is taken to.
    bool is_late(FeedSymbol& symbol, std::int64_t sn, std::size_t stream) noexcept {
        if (symbol.rule == SequenceRule::monotonic) {
            return sn != symbol.last_sn[stream];
        }
        std::int64_t& first = symbol.first_sn[stream];
        if (sn >= first) {
            return missing_.take(symbol.number, stream, sn);
        }
        missing_.add(symbol.number, stream, following(sn), between(sn, first));
        first = sn;
        return true;
    }

    // The first message of a stream, or not the one that follows the last. False: it is not to be used.
    bool in_sequence(FeedSymbol& symbol, const PacketView& packet, std::size_t stream, std::int64_t now_ns) noexcept {
        const std::int64_t last = symbol.last_sn[stream];
        if ((symbol.seen >> stream & 1) == 0) {
            symbol.seen = static_cast<std::uint8_t>(symbol.seen | 1U << stream);
            symbol.first_sn[stream] = packet.sn_id;
            return true;
        }
        if (packet.sn_id == following(last)) {
            return true;
        }
        if (packet.sn_id <= last) {
            const bool late = is_late(symbol, packet.sn_id, stream);
            (late ? symbol.reorders : symbol.duplicates).add(1);
            (late ? reorders : duplicates).add(1);
            return false;
        }
        if (symbol.rule == SequenceRule::contiguous) {
            const std::uint64_t count = between(last, packet.sn_id);
            missing_.add(symbol.number, stream, following(last), count);
            symbol.lost.add(count);
            lost.add(count);
            if (packet.type == MessageType::depth) {
                desynchronise(symbol, BookInvalid::gap, now_ns);
            }
        }
        return true;
    }

    [[gnu::always_inline]] void set_top(FeedSymbol& symbol, const Message& message, Side side,
                                        BookLevel level) noexcept {
        L2Book& book = *symbol.book;
        book.lock.lock();
        const bool is_newest = book.set_top(side, level.price, level.size, message.event_ms);
        if (is_newest) {
            book.commit(static_cast<std::uint64_t>(message.sn_id), message.now_ns);
        }
        book.lock.unlock();
        if (is_newest) {
            tell(symbol, message.received_ns);
        }
    }

    // The levels are in scratch_.
    [[gnu::always_inline]] void set_levels(FeedSymbol& symbol, const Message& message, std::uint32_t asks,
                                           std::uint32_t bids) noexcept {
        const bool whole = options_.depth_semantics == DepthSemantics::replace || !symbol.seen_full.get();
        L2Book& book = *symbol.book;
        book.lock.lock();
        if (whole) {
            book.begin_snapshot();
            symbol.synchronised.set(true);
            symbol.seen_full.set(true);
        }
        book.set_levels(Side::ask, scratch_.data(), asks);
        book.set_levels(Side::bid, scratch_.data() + asks, bids);
        book.settle_depth(message.event_ms);
        book.commit(static_cast<std::uint64_t>(message.sn_id), message.now_ns);
        book.lock.unlock();
        if (symbol.wants_diffs.get()) {
            add_diff(symbol, message, asks, bids, whole);
        }
        tell(symbol, message.received_ns);
    }

    [[gnu::always_inline]] void set_trade(FeedSymbol& symbol, const Message& message, bool is_buy,
                                          BookLevel level) noexcept {
        L2Book& book = *symbol.book;
        book.lock.lock();
        book.set_trade({level.price, level.size, ns_of(message.event_ms), is_buy ? Side::bid : Side::ask});
        book.lock.unlock();
        if (handler.on_trade != nullptr || delivery) {
            report_trade(symbol, message, is_buy, level);
        }
    }

    [[gnu::noinline]] void report_trade(FeedSymbol& symbol, const Message& message, bool is_buy,
                                        BookLevel level) noexcept {
        const FeedTrade trade{symbol.number, is_buy, level.price, level.size, message.event_ms, message.received_ns};
        if (handler.on_trade != nullptr) {
            handler.on_trade(handler.context, &trade);
        }
        if (delivery) {
            if (void* room = news.claim(sizeof(FeedNews))) {
                new (room) FeedNews{FeedNews::Kind::trade, false, trade, symbol.number, 0, 0, 0, 0, 0};
                news.publish();
                symbol.queued.add(1);
            } else {
                trades_dropped.add(1);
            }
        }
    }

    void add_diff(FeedSymbol& symbol, const Message& message, std::uint32_t asks, std::uint32_t bids,
                  bool whole) noexcept {
        const std::size_t bytes = (std::size_t{asks} + bids) * sizeof(BookLevel);
        void* room = news.claim(sizeof(FeedNews) + bytes);
        if (room == nullptr) {
            symbol.missed_diffs.set(true);
            return;
        }
        auto* diff = new (room) FeedNews{};
        diff->kind = FeedNews::Kind::diff;
        diff->whole = whole;
        diff->symbol = symbol.number;
        diff->ask_count = asks;
        diff->bid_count = bids;
        diff->sn_id = message.sn_id;
        diff->event_ms = message.event_ms;
        diff->received_ns = message.received_ns;
        std::memcpy(static_cast<void*>(diff + 1), scratch_.data(), bytes);
        news.publish();
        symbol.queued.add(1);
    }

    // Ends a change of a book.
    void tell(FeedSymbol& symbol, std::int64_t received_ns) noexcept {
        if (handler.on_book != nullptr) {
            handler.on_book(handler.context, symbol.number, symbol.book, received_ns);
        }
        if (delivery) {
            // Always the full barrier: the event loop may just have taken the mark and be reading the book.
            const auto at = static_cast<std::size_t>(symbol.number);
            changed_[at / 64].fetch_or(std::uint64_t{1} << (at % 64));
        }
    }

    const FeedOptions options_;
    std::unique_ptr<Block> blocks_[kSymbolsMax / kBlock];
    std::atomic<std::size_t> count_{0};
    std::atomic<std::uint64_t> changed_[kSymbolsMax / 64] = {};
    std::vector<BookLevel> scratch_;
    MissingNumbers missing_;
};

}  // namespace qtxconn::qtx
