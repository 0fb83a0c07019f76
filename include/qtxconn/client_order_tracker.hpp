// The order store and tracker: finds an order by client id or venue id in O(1), applies updates, tells events.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "qtxconn/hash_chains.hpp"
#include "qtxconn/in_flight_order.hpp"
#include "qtxconn/venue_ids.hpp"

namespace qtxconn {

enum class OrderEventKind : std::uint8_t {
    created = 1,    // the venue has the order (also inferred from a first fill): once, before all others
    filled = 2,     // one execution
    completed = 3,  // terminal: fully executed
    cancelled = 4,  // terminal
    failed = 5,     // terminal
    expired = 6,    // terminal
    overfill = 7,   // alarm: a fill that exceeds the order was refused
    late_fill = 8,  // a fill of an order that had already ended, booked all the same
    replaced = 9,   // a real fill took the place of provisional ones that were told before
    amended = 10,   // the venue has changed the order's price or amount
};

// Queued while an update is applied and told afterwards, so that a listener may call back into the tracker.
struct OrderEvent {
    OrderEventKind kind = OrderEventKind::created;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::int32_t fill = kNoFill;
    std::int64_t time_ns = 0;
    Fixed amount;  // of a fill: what it adds to the executed amount; of an amend: the amount before
    Fixed price;   // of an amend: the price before
};

class ClientOrderTracker;

// Called for each event, in their order, before the update that made it returns; also from threads without the GIL. It
// may call the tracker: what that makes is told after what is being told.
struct OrderListener {
    void* context = nullptr;
    void (*on_event)(void* context, ClientOrderTracker& tracker, const OrderEvent& event) noexcept = nullptr;
};

// What became of a venue id that an update carries.
enum class VenueIdOutcome : std::uint8_t {
    head = 0,     // the order's id
    learned = 1,  // new: the head from now on
    past = 2,     // one that it had before
    taken = 3,    // another order's
};

// Records live in blocks that never move; a slot is reused under a new generation after release(). Fills are keyed by
// (symbol, trade id, side) across the account: a trade with oneself has both sides under one id. The newest
// `forgotten_fills_max` fills of released orders stay known, so that a repeat of them is still told from a new fill.
// One thread at a time: Python callers are serialised by the GIL, a nogil strategy owns a tracker of its own.
class ClientOrderTracker {
public:
    static constexpr std::uint32_t kNone = UINT32_MAX;
    static constexpr std::size_t kForgottenFills = 4096;

    explicit ClientOrderTracker(std::size_t forgotten_fills_max = kForgottenFills) : forgotten_(forgotten_fills_max) {}

    // -- names -------------------------------------------------------------------------------------------------

    // Number of a trading pair, given on first use. A connector has few pairs and looks them up once per order.
    std::uint32_t intern_symbol(std::string_view symbol) {
        for (std::size_t i = 0; i < symbols_.size(); ++i) {
            if (symbols_[i].name == symbol) {
                return static_cast<std::uint32_t>(i);
            }
        }
        symbols_.push_back(Symbol{std::string(symbol)});
        return static_cast<std::uint32_t>(symbols_.size() - 1);
    }

    std::string_view symbol(std::uint32_t number) const noexcept { return symbols_[number].name; }

    // Number of an asset in which fees are paid; kNoAsset for a new one when kAssetsMax are known.
    std::uint32_t intern_asset(std::string_view asset) {
        const auto known = std::find(assets_.begin(), assets_.end(), asset);
        if (known == assets_.end()) {
            if (assets_.size() == kAssetsMax) {
                return kNoAsset;
            }
            assets_.emplace_back(asset);
            return static_cast<std::uint32_t>(assets_.size());
        }
        return static_cast<std::uint32_t>(known - assets_.begin()) + 1;
    }

    std::string_view asset(std::uint32_t number) const noexcept {
        return number == kNoAsset || number > assets_.size() ? std::string_view{} : assets_[number - 1];
    }

    // Ids of venue's orders and trades, from their text and back; see VenueIdTable.
    VenueIdTable& ids() noexcept { return ids_; }
    const VenueIdTable& ids() const noexcept { return ids_; }

    // -- orders ------------------------------------------------------------------------------------------------

    // Copies `order` into a slot and returns it; kNone if the client id is tracked already.
    std::uint32_t start_tracking(const InFlightOrder& order) {
        if (find(order.client_id) != kNone) {
            return kNone;
        }
        const std::uint32_t slot = take_slot();
        InFlightOrder& record = at(slot);
        const std::uint32_t generation = record.generation + 1;
        record = order;
        record.generation = generation;
        record.first_fill = record.last_fill = kNoFill;
        record.has_provisional = false;
        record.past_id = kNoId;
        if (record.transition_count == 0) {
            record.past_state = record.state;
        }
        start_at_scales_of_symbol(record);
        by_client_id_.insert(record.client_id, slot, ClientLink{this},
                             [this](std::uint32_t other) { return at(other).client_id; });
        if (record.exchange_id != kNoVenueId) {
            ids_.keep(record.exchange_id);
            index_exchange_id(record, slot);
        }
        return slot;
    }

    // Forgets an order. Events about it that are still queued are not told.
    void release(std::uint32_t slot) {
        InFlightOrder& record = at(slot);
        by_client_id_.erase(record.client_id, slot, ClientLink{this});
        if (record.exchange_id != kNoVenueId) {
            by_exchange_id_.erase(record.exchange_id, slot, ExchangeLink{this});
            ids_.let_go(record.exchange_id);
        }
        if (record.past_id != kNoId) {
            drop_past_ids(record);
        }
        for (std::int32_t number = record.first_fill; number != kNoFill;) {
            const std::int32_t following = fills_[index(number)].next;
            if (fills_[index(number)].is_provisional) {
                free_fill(number);
            } else {
                forget_fill(number, record.symbol, record.trade_type, record.client_id);
            }
            number = following;
        }
        keep_scales_of_symbol(record);
        record.client_id = 0;
        record.first_fill = record.last_fill = kNoFill;
        ++record.generation;
        free_slots_.push_back(slot);
    }

    std::uint32_t find(std::uint64_t client_id) const noexcept {
        return by_client_id_.find(
            client_id, [this](std::uint32_t slot) { return at(slot).next_by_client_id; },
            [&](std::uint32_t slot) { return at(slot).client_id == client_id; });
    }

    // The order that has this venue id, or had it before. `symbol` is the number of the trading pair, or kNone for any:
    // some venues number the orders of each pair apart.
    std::uint32_t find_exchange_id(VenueId id, std::uint32_t symbol = kNone) const noexcept {
        if (id == kNoVenueId) {
            return kNone;
        }
        const std::uint32_t head = by_exchange_id_.find(
            id, [this](std::uint32_t slot) { return at(slot).next_by_exchange_id; },
            [&](std::uint32_t slot) { return at(slot).exchange_id == id && is_on(slot, symbol); });
        return head != kNone || by_past_id_.size() == 0 ? head : find_past_id(id, symbol);
    }

    std::uint32_t find_exchange_id(std::string_view exchange_order_id, std::uint32_t symbol = kNone) const noexcept {
        return find_exchange_id(ids_.find(exchange_order_id), symbol);
    }

    // A fill with this trade id that was booked, or told as nobody's; kNoFill if it is new.
    std::int32_t find_trade(std::uint32_t symbol, VenueId trade_id, TradeType side = kAnySide) const noexcept {
        const std::uint32_t found = by_trade_id_.find(
            trade_key(symbol, trade_id), [this](std::uint32_t number) { return fills_[number].next_by_trade_id; },
            [&](std::uint32_t number) {
                return fills_[number].trade_id == trade_id && is_trade_of(number, symbol, side);
            });
        return found == kNone ? kNoFill : static_cast<std::int32_t>(found);
    }

    InFlightOrder& at(std::uint32_t slot) noexcept { return blocks_[slot / kBlock][slot % kBlock]; }
    const InFlightOrder& at(std::uint32_t slot) const noexcept { return blocks_[slot / kBlock][slot % kBlock]; }
    const Fill& fill(std::int32_t number) const noexcept { return fills_[index(number)]; }
    std::size_t size() const noexcept { return by_client_id_.size(); }
    // Of all orders that are remembered, and those of forgotten ones that still are.
    std::size_t fill_count() const noexcept { return by_trade_id_.size(); }

    // Calls `take(const Fee&)` for what was charged for a fill.
    template <typename Take>
    void for_each_fee(const Fill& fill, Take take) const {
        if (fill.fee_asset == kSeveralFees) {
            for (auto at_fee = static_cast<std::uint32_t>(fill.fee_units); at_fee != kNone;
                 at_fee = fees_[at_fee].next) {
                take(fees_[at_fee].fee);
            }
        } else if (fill.fee_asset != kNoAsset) {
            take(fill.fee());
        }
    }

    // The same one by one, for callers without closures; an asset of kNoAsset when there is no fee of this number.
    Fee fee(const Fill& fill, std::size_t number) const {
        Fee wanted;
        for_each_fee(fill, [&](const Fee& fee) {
            if (number-- == 0) {
                wanted = fee;
            }
        });
        return wanted;
    }

    // The id that the order had before `past` (a result of this, or the order's past_id).
    VenueId past_id(std::int32_t past) const noexcept { return past_ids_[index(past)].id; }
    std::int32_t next_past_id(std::int32_t past) const noexcept { return past_ids_[index(past)].next; }

    // -- updates -----------------------------------------------------------------------------------------------

    // `venue_ns` is the venue's clock, 0 for what we know ourselves; `executed` the base amount that the report says is
    // executed (0: it does not say); `now_ns` is local wall time.
    Applied process_state(std::uint32_t slot, OrderState next, std::int64_t venue_ns, Fixed executed,
                          std::int64_t now_ns, TransitionReason reason = TransitionReason::report) {
        InFlightOrder& order = at(slot);
        const Applied applied = count(apply_state(order, next, venue_ns, executed));
        if (applied == Applied::changed) {
            note_transition(order, reason, now_ns);
        }
        if (applied == Applied::changed || applied == Applied::unchanged) {
            stamp(order, next, now_ns);
            queue_lifecycle(order, slot, next, now_ns);
            tell();
        }
        return applied;
    }

    // Books a fill once. A real one takes the place of provisional ones: what they had told is not told again.
    // `more_fees` are those beyond the one in the fill.
    Applied process_fill(std::uint32_t slot, const Fill& fill, std::int64_t now_ns, const Fee* more_fees = nullptr,
                         std::size_t more_fees_count = 0) {
        InFlightOrder& order = at(slot);
        if (!fill.is_provisional) {
            const std::int32_t known = find_trade(order.symbol, fill.trade_id, order.trade_type);
            if (known != kNoFill) {
                const Applied repeat = repeated(order, slot, known);
                if (repeat != Applied::changed) {
                    return count(repeat);
                }
            }
            if (order.has_provisional) {
                return book_in_place(order, slot, fill, now_ns, more_fees, more_fees_count);
            }
        }
        const OrderState from = order.state;
        const Applied applied = count(apply_fill(order, fill));
        if (applied == Applied::changed) {
            const std::int32_t stored = note_fill(order, slot, fill, from, now_ns);
            if (more_fees_count != 0) {
                store_fees(fills_[index(stored)], more_fees, more_fees_count);
            }
            queue(is_terminal(from) ? OrderEventKind::late_fill : OrderEventKind::filled, order, slot, stored, now_ns)
                .amount = fill.amount();
            queue_lifecycle(order, slot, order.state, now_ns);
        } else if (applied == Applied::overfill) {
            queue(OrderEventKind::overfill, order, slot, kNoFill, now_ns);
        }
        tell();
        return applied;
    }

    // Puts back a fill that the order's sums already count (an order that is tracked again): no event, no move.
    void restore_fill(std::uint32_t slot, const Fill& fill, const Fee* more_fees = nullptr,
                      std::size_t more_fees_count = 0) {
        InFlightOrder& order = at(slot);
        const std::int32_t known = find_trade(order.symbol, fill.trade_id, order.trade_type);
        if (known != kNoFill && is_forgotten(fills_[index(known)])) {
            unindex_fill(known, order.symbol);
        }
        const std::int32_t stored = store_fill(order, slot, fill);
        if (more_fees_count != 0) {
            store_fees(fills_[index(stored)], more_fees, more_fees_count);
        }
    }

    // Remembers a trade of no known order: it was told, and a repeat of it is none.
    void remember_trade(std::uint32_t symbol, VenueId trade_id) {
        Fill fill;
        fill.trade_id = trade_id;
        const std::int32_t stored = take_fill(fill);
        ids_.keep(trade_id);
        index_trade(trade_key(symbol, trade_id), stored);
        forget_fill(stored, symbol, kAnySide, 0);
    }

    Applied process_revert(std::uint32_t slot, std::int64_t now_ns) noexcept {
        InFlightOrder& order = at(slot);
        const Applied applied = count(revert_pending(order));
        if (applied == Applied::changed) {
            note_transition(order, TransitionReason::refusal, now_ns);
        }
        return applied;
    }

    // Applies the venue's word that the order has this price and this amount now (0: as before). A new venue id comes
    // first, by process_exchange_id(). See apply_amend() for what is refused.
    Applied process_amend(std::uint32_t slot, Fixed price, Fixed amount, std::int64_t venue_ns, std::int64_t now_ns) {
        InFlightOrder& order = at(slot);
        const OrderState from = order.state;
        const Fixed price_before = order.price();
        const Fixed amount_before = order.amount();
        const Applied applied = count(apply_amend(order, price, amount, venue_ns));
        if (applied != Applied::changed && applied != Applied::unchanged) {
            return applied;
        }
        if (order.state != from) {
            note_transition(order, TransitionReason::report, now_ns);
        }
        stamp(order, OrderState::open, now_ns);
        queue_created(order, slot, now_ns);
        if (applied == Applied::changed) {
            OrderEvent& event = queue(OrderEventKind::amended, order, slot, kNoFill, now_ns);
            event.price = price_before;
            event.amount = amount_before;
        }
        queue_lifecycle(order, slot, order.state, now_ns);
        tell();
        return applied;
    }

    // Takes the venue's id in. A new one becomes the head of the order's chain (amend, cancel-replace); by the ids that
    // it had before the order is still found.
    VenueIdOutcome process_exchange_id(std::uint32_t slot, VenueId id) {
        InFlightOrder& order = at(slot);
        if (id == kNoVenueId || order.exchange_id == id) {
            return VenueIdOutcome::head;
        }
        const std::uint32_t owner = find_exchange_id(id, order.symbol);
        if (owner != kNone) {
            return owner == slot ? VenueIdOutcome::past : VenueIdOutcome::taken;
        }
        if (order.exchange_id != kNoVenueId) {
            by_exchange_id_.erase(order.exchange_id, slot, ExchangeLink{this});
            keep_past_id(order, slot);
        }
        order.exchange_id = id;
        ids_.keep(id);
        index_exchange_id(order, slot);
        return VenueIdOutcome::learned;
    }

    Applied count(Applied applied) noexcept {
        ++applied_[static_cast<std::size_t>(applied)];
        return applied;
    }

    std::uint64_t applied_count(Applied applied) const noexcept { return applied_[static_cast<std::size_t>(applied)]; }

    // -- events ------------------------------------------------------------------------------------------------

    // Events wait for next_event() also where listeners have heard them. Without `keep` they do not: for users who
    // only listen.
    void keep_events(bool keep) noexcept { keep_events_ = keep; }

    // Listeners hear of an event in the order in which they were added.
    void add_listener(OrderListener listener) {
        if (listeners_.empty()) {
            told_ = events_end_;  // it hears of what comes
        }
        listeners_.push_back(listener);
    }

    void remove_listener(void* context) {
        const auto is_his = [context](const OrderListener& listener) { return listener.context == context; };
        listeners_.erase(std::remove_if(listeners_.begin(), listeners_.end(), is_his), listeners_.end());
    }

    // The next event about an order that is still tracked; false when there is none.
    bool next_event(OrderEvent& out) noexcept {
        while (next_event_ != events_end_) {
            out = events_[next_event_++];
            if (at(out.slot).generation == out.generation) {
                return true;
            }
        }
        if (!telling_) {
            drop_events();
        }
        return false;
    }

private:
    static constexpr std::size_t kBlock = 1024;
    static constexpr std::uint32_t kForgotten = 1U << 31;  // in Fill::order: with the place in the ring of these

    static std::size_t index(std::int32_t number) noexcept { return static_cast<std::size_t>(number); }

    static std::uint64_t trade_key(std::uint32_t symbol, VenueId trade_id) noexcept {
        return trade_id + (static_cast<std::uint64_t>(symbol) << 40);
    }

    struct Symbol {
        std::string name;
        std::uint8_t base_scale = 0;  // the finest that its orders have needed
        std::uint8_t quote_scale = 0;
    };

    struct PastId {
        VenueId id = kNoVenueId;
        std::uint32_t order = kNoOrder;
        std::int32_t next = kNoId;  // the one before it
        std::uint32_t next_by_id = kNone;
    };

    // Whose a fill was that is kept only to know a repeat of it.
    struct ForgottenTrade {
        std::uint64_t client_id = 0;  // 0: of no order that was known
        std::int32_t fill = kNoFill;
        std::uint32_t symbol = 0;
        TradeType trade_type = kAnySide;
    };

    struct StoredFee {
        Fee fee;
        std::uint32_t next = kNone;
    };

    struct Replacement {
        Fixed base;
        Fixed quote;
    };

    struct ClientLink {
        ClientOrderTracker* tracker;
        std::uint32_t& operator()(std::uint32_t slot) const { return tracker->at(slot).next_by_client_id; }
    };
    struct ExchangeLink {
        ClientOrderTracker* tracker;
        std::uint32_t& operator()(std::uint32_t slot) const { return tracker->at(slot).next_by_exchange_id; }
    };
    struct TradeLink {
        ClientOrderTracker* tracker;
        std::uint32_t& operator()(std::uint32_t number) const { return tracker->fills_[number].next_by_trade_id; }
    };
    struct PastIdLink {
        ClientOrderTracker* tracker;
        std::uint32_t& operator()(std::uint32_t number) const { return tracker->past_ids_[number].next_by_id; }
    };

    // -- slots and ids -----------------------------------------------------------------------------------------

    std::uint32_t take_slot() {
        if (free_slots_.empty()) {
            add_block();
        }
        const std::uint32_t slot = free_slots_.back();
        free_slots_.pop_back();
        return slot;
    }

    [[gnu::noinline, gnu::cold]] void add_block() {
        const auto first = static_cast<std::uint32_t>(blocks_.size() * kBlock);
        blocks_.push_back(std::make_unique<InFlightOrder[]>(kBlock));
        free_slots_.reserve(blocks_.size() * kBlock);
        for (std::uint32_t i = kBlock; i > 0; --i) {
            free_slots_.push_back(first + i - 1);
        }
    }

    // An order begins at the scales that orders of its symbol have needed, so that they seldom change under way.
    void start_at_scales_of_symbol(InFlightOrder& order) noexcept {
        if (order.symbol >= symbols_.size()) {
            return;
        }
        const Symbol& symbol = symbols_[order.symbol];
        if (order.base_scale < symbol.base_scale) {
            refine_base(order, symbol.base_scale);  // or stays as it is, if that does not fit
        }
        if (order.quote_units == 0) {
            order.quote_scale = symbol.quote_scale;
        }
    }

    void keep_scales_of_symbol(const InFlightOrder& order) noexcept {
        if (order.symbol < symbols_.size()) {
            Symbol& symbol = symbols_[order.symbol];
            symbol.base_scale = std::max(symbol.base_scale, order.base_scale);
            symbol.quote_scale = std::max(symbol.quote_scale, order.quote_scale);
        }
    }

    bool is_on(std::uint32_t slot, std::uint32_t symbol) const noexcept {
        return symbol == kNone || at(slot).symbol == symbol;
    }

    void index_exchange_id(const InFlightOrder& order, std::uint32_t slot) {
        by_exchange_id_.insert(order.exchange_id, slot, ExchangeLink{this},
                               [this](std::uint32_t other) { return at(other).exchange_id; });
    }

    [[gnu::noinline]] std::uint32_t find_past_id(VenueId id, std::uint32_t symbol) const noexcept {
        const std::uint32_t past = by_past_id_.find(
            id, [this](std::uint32_t number) { return past_ids_[number].next_by_id; },
            [&](std::uint32_t number) { return past_ids_[number].id == id && is_on(past_ids_[number].order, symbol); });
        return past == kNone ? kNone : past_ids_[past].order;
    }

    [[gnu::noinline]] void keep_past_id(InFlightOrder& order, std::uint32_t slot) {
        std::int32_t stored = 0;
        if (free_past_ids_.empty()) {
            stored = static_cast<std::int32_t>(past_ids_.size());
            past_ids_.emplace_back();
        } else {
            stored = free_past_ids_.back();
            free_past_ids_.pop_back();
        }
        past_ids_[index(stored)] = PastId{order.exchange_id, slot, order.past_id};
        by_past_id_.insert(order.exchange_id, static_cast<std::uint32_t>(stored), PastIdLink{this},
                           [this](std::uint32_t number) { return past_ids_[number].id; });
        order.past_id = stored;
    }

    [[gnu::noinline]] void drop_past_ids(InFlightOrder& order) {
        while (order.past_id != kNoId) {
            const std::int32_t past = order.past_id;
            const VenueId id = past_ids_[index(past)].id;
            by_past_id_.erase(id, static_cast<std::uint32_t>(past), PastIdLink{this});
            ids_.let_go(id);
            order.past_id = past_ids_[index(past)].next;
            free_past_ids_.push_back(past);
        }
    }

    // -- fills -------------------------------------------------------------------------------------------------

    static bool is_forgotten(const Fill& fill) noexcept { return fill.order >= kForgotten; }
    const ForgottenTrade& forgotten(const Fill& fill) const noexcept { return forgotten_[fill.order & ~kForgotten]; }

    bool is_trade_of(std::uint32_t number, std::uint32_t symbol, TradeType side) const noexcept {
        const Fill& fill = fills_[number];
        const bool past = is_forgotten(fill);
        const TradeType traded = past ? forgotten(fill).trade_type : at(fill.order).trade_type;
        return (past ? forgotten(fill).symbol : at(fill.order).symbol) == symbol &&
               (traded == side || traded == kAnySide || side == kAnySide);
    }

    // What a fill is whose trade id is known; `changed` if it may be booked: its order is tracked anew.
    [[gnu::noinline]] Applied repeated(const InFlightOrder& order, std::uint32_t slot, std::int32_t known) {
        const Fill& other = fills_[index(known)];
        if (!is_forgotten(other)) {
            return other.order == slot ? Applied::duplicate_fill : Applied::foreign;
        }
        if (forgotten(other).client_id == order.client_id) {
            unindex_fill(known, order.symbol);
            return Applied::changed;
        }
        return forgotten(other).client_id == 0 ? Applied::duplicate_fill : Applied::foreign;
    }

    void index_trade(std::uint64_t key, std::int32_t number) {
        by_trade_id_.insert(key, static_cast<std::uint32_t>(number), TradeLink{this}, [this](std::uint32_t other) {
            const Fill& fill = fills_[other];
            return trade_key(is_forgotten(fill) ? forgotten(fill).symbol : at(fill.order).symbol, fill.trade_id);
        });
    }

    void unindex_fill(std::int32_t number, std::uint32_t symbol) {
        by_trade_id_.erase(trade_key(symbol, fills_[index(number)].trade_id), static_cast<std::uint32_t>(number),
                           TradeLink{this});
    }

    std::int32_t take_fill(const Fill& fill) {
        if (free_fills_.empty()) {
            add_fill();
        }
        const std::int32_t stored = free_fills_.back();
        free_fills_.pop_back();
        fills_[index(stored)] = fill;
        return stored;
    }

    [[gnu::noinline, gnu::cold]] void add_fill() {
        free_fills_.push_back(static_cast<std::int32_t>(fills_.size()));
        fills_.emplace_back();
    }

    std::int32_t store_fill(InFlightOrder& order, std::uint32_t slot, const Fill& fill) {
        const std::int32_t stored = take_fill(fill);
        Fill& mine = fills_[index(stored)];
        mine.next = kNoFill;
        mine.order = slot;
        (order.last_fill == kNoFill ? order.first_fill : fills_[index(order.last_fill)].next) = stored;
        order.last_fill = stored;
        ids_.keep(mine.trade_id);
        if (mine.is_provisional) {
            order.has_provisional = true;
        } else {
            index_trade(trade_key(order.symbol, mine.trade_id), stored);
        }
        return stored;
    }

    [[gnu::noinline]] void store_fees(Fill& fill, const Fee* more, std::size_t count_of_more) {
        std::uint32_t following = kNone;
        for (std::size_t i = count_of_more + 1; i > 0; --i) {
            std::uint32_t stored = 0;
            if (free_fees_.empty()) {
                stored = static_cast<std::uint32_t>(fees_.size());
                fees_.emplace_back();
            } else {
                stored = free_fees_.back();
                free_fees_.pop_back();
            }
            fees_[stored] = StoredFee{i == 1 ? fill.fee() : more[i - 2], following};
            following = stored;
        }
        fill.fee_asset = kSeveralFees;
        fill.fee_units = following;
    }

    // Frees the record of a fill that is in no index.
    void free_fill(std::int32_t number) {
        Fill& fill = fills_[index(number)];
        ids_.let_go(fill.trade_id);
        if (fill.fee_asset == kSeveralFees) {
            free_fees(fill);
        }
        free_fills_.push_back(number);
    }

    [[gnu::noinline]] void free_fees(Fill& fill) {
        for (auto fee = static_cast<std::uint32_t>(fill.fee_units); fee != kNone; fee = fees_[fee].next) {
            free_fees_.push_back(fee);
        }
        fill.fee_asset = kNoAsset;
    }

    // The fill stays findable as one of no order, until newer ones push it out.
    void forget_fill(std::int32_t number, std::uint32_t symbol, TradeType side, std::uint64_t client_id) {
        if (forgotten_.empty()) {
            unindex_fill(number, symbol);
            free_fill(number);
            return;
        }
        ForgottenTrade& place = forgotten_[next_forgotten_];
        if (place.fill != kNoFill) {
            unindex_fill(place.fill, place.symbol);
            free_fill(place.fill);
        }
        place = ForgottenTrade{client_id, number, symbol, side};
        fills_[index(number)].order = kForgotten | static_cast<std::uint32_t>(next_forgotten_);
        next_forgotten_ = next_forgotten_ + 1 == forgotten_.size() ? 0 : next_forgotten_ + 1;
    }

    // What is done with a fill that apply_fill() has added; -> its number.
    std::int32_t note_fill(InFlightOrder& order, std::uint32_t slot, const Fill& fill, OrderState from,
                           std::int64_t now_ns) {
        const std::int32_t stored = store_fill(order, slot, fill);
        if (order.first_fill_ns == 0) {
            order.first_fill_ns = now_ns;
        }
        if (order.state != from) {
            note_transition(order, TransitionReason::fill, now_ns);
        }
        stamp(order, order.state, now_ns);
        queue_created(order, slot, now_ns);
        return stored;
    }

    // -- provisional fills -------------------------------------------------------------------------------------

    // What `real` takes of one provisional fill of which `rest` is still to be replaced: its amount, and of its quote
    // the real one as long as it lasts; all that is left with the last of it. So nothing is divided or rounded.
    static Replacement share(const Fill& provisional, Fixed rest, Fixed rest_quote) noexcept {
        if (compare(rest, provisional.amount()) >= 0) {
            return Replacement{provisional.amount(), provisional.quote()};
        }
        return Replacement{rest, compare(rest_quote, provisional.quote()) < 0 ? rest_quote : provisional.quote()};
    }

    // Calls `take(fill number, share)` for the provisional fills that `real` replaces, oldest first.
    template <typename Take>
    void for_each_replaced(const InFlightOrder& order, const Fill& real, Take take) {
        Fixed rest = real.amount();
        Fixed rest_quote = real.quote();
        for (std::int32_t number = order.first_fill; number != kNoFill && rest.units > 0;) {
            const Fill& fill = fills_[index(number)];
            const std::int32_t following = fill.next;
            if (fill.is_provisional) {
                const Replacement taken = share(fill, rest, rest_quote);
                subtract(rest, taken.base, rest);
                subtract(rest_quote, compare(taken.quote, rest_quote) < 0 ? taken.quote : rest_quote, rest_quote);
                take(number, taken);
            }
            number = following;
        }
    }

    // Books a real fill of an order with provisional ones: it takes their place as far as it goes.
    [[gnu::noinline]] Applied book_in_place(InFlightOrder& order, std::uint32_t slot, const Fill& fill,
                                            std::int64_t now_ns, const Fee* more_fees, std::size_t more_fees_count) {
        Replacement replaced;
        if (fill.amount_units > 0) {
            for_each_replaced(order, fill, [&](std::int32_t, const Replacement& taken) {
                add(replaced.base, taken.base, replaced.base);
                add(replaced.quote, taken.quote, replaced.quote);
            });
        }
        const InFlightOrder before = order;
        std::int64_t replaced_units = 0;
        Fixed quote;
        to_base_units(order, replaced.base, replaced_units);  // its parts are in the order's sum already
        subtract(order.executed_quote(), replaced.quote, quote);
        order.executed_units -= replaced_units;
        order.set_executed_quote(quote);
        const Applied applied = count(apply_fill(order, fill));
        if (applied != Applied::changed) {
            order = before;
            if (applied == Applied::overfill) {
                queue(OrderEventKind::overfill, order, slot, kNoFill, now_ns);
            }
            tell();
            return applied;
        }
        Fixed added;
        subtract(order.executed_base(), before.executed_base(), added);
        drop_replaced(order, fill);
        const std::int32_t stored = note_fill(order, slot, fill, before.state, now_ns);
        if (more_fees_count != 0) {
            store_fees(fills_[index(stored)], more_fees, more_fees_count);
        }
        queue(OrderEventKind::replaced, order, slot, stored, now_ns).amount = replaced.base;
        if (added.units > 0) {
            const bool late = is_terminal(before.state);
            queue(late ? OrderEventKind::late_fill : OrderEventKind::filled, order, slot, stored, now_ns).amount =
                added;
        }
        queue_lifecycle(order, slot, order.state, now_ns);
        tell();
        return applied;
    }

    void drop_replaced(InFlightOrder& order, const Fill& real) {
        for_each_replaced(order, real, [&](std::int32_t number, const Replacement& taken) {
            Fill& fill = fills_[index(number)];
            if (fill.amount() == taken.base) {
                unlink_fill(order, number);
                free_fill(number);
                return;
            }
            Fixed rest;
            subtract(fill.amount(), taken.base, rest);
            fill.set_amount(rest);
            subtract(fill.quote(), taken.quote, rest);
            fill.set_quote(rest);
        });
        order.has_provisional = false;
        for (std::int32_t number = order.first_fill; number != kNoFill; number = fills_[index(number)].next) {
            order.has_provisional = order.has_provisional || fills_[index(number)].is_provisional;
        }
    }

    void unlink_fill(InFlightOrder& order, std::int32_t number) noexcept {
        std::int32_t before = kNoFill;
        for (std::int32_t at_fill = order.first_fill; at_fill != number; at_fill = fills_[index(at_fill)].next) {
            before = at_fill;
        }
        const std::int32_t after = fills_[index(number)].next;
        (before == kNoFill ? order.first_fill : fills_[index(before)].next) = after;
        if (order.last_fill == number) {
            order.last_fill = before;
        }
    }

    // -- events ------------------------------------------------------------------------------------------------

    static void stamp(InFlightOrder& order, OrderState reported, std::int64_t now_ns) noexcept {
        if (reported == OrderState::pending_submit && order.submitted_ns == 0) {
            order.submitted_ns = now_ns;
        }
        if (order.acked_ns == 0 && is_in(reported, kWordsOfLife | kTerminalStates)) {
            order.acked_ns = now_ns;
        }
    }

    OrderEvent& queue(OrderEventKind kind, const InFlightOrder& order, std::uint32_t slot, std::int32_t fill,
                      std::int64_t now_ns) {
        if (events_end_ == events_.size()) {
            add_event();
        }
        OrderEvent& event = events_[events_end_++];
        event.kind = kind;
        event.slot = slot;
        event.generation = order.generation;
        event.fill = fill;
        event.time_ns = now_ns;
        return event;
    }

    [[gnu::noinline, gnu::cold]] void add_event() { events_.resize(std::max<std::size_t>(64, 2 * events_.size())); }

    // Not after the terminal event (a late fill of an order that was believed never to have lived): Created is first.
    void queue_created(InFlightOrder& order, std::uint32_t slot, std::int64_t now_ns) {
        if (!order.created_sent && !order.terminal_sent) {
            order.created_sent = true;
            queue(OrderEventKind::created, order, slot, kNoFill, now_ns);
        }
    }

    // Created on the first sign of life at the venue, then the one terminal event.
    void queue_lifecycle(InFlightOrder& order, std::uint32_t slot, OrderState reported, std::int64_t now_ns) {
        constexpr std::uint32_t kLives =
            kWordsOfLife | state_set(OrderState::filled, OrderState::canceled, OrderState::expired);
        if (is_in(reported, kLives)) {
            queue_created(order, slot, now_ns);
        }
        if (!is_terminal(order.state) || order.terminal_sent) {
            return;
        }
        order.terminal_sent = true;
        OrderEventKind kind = OrderEventKind::failed;
        switch (order.state) {
            case OrderState::filled: kind = OrderEventKind::completed; break;
            case OrderState::canceled: kind = OrderEventKind::cancelled; break;
            case OrderState::expired: kind = OrderEventKind::expired; break;
            default: break;
        }
        queue(kind, order, slot, kNoFill, now_ns);
    }

    void tell() {
        if (!listeners_.empty()) {
            tell_listeners();
        } else if (!keep_events_) {
            drop_events();
        }
    }

    [[gnu::noinline]] void tell_listeners() {
        if (telling_) {
            return;  // from a listener: the loop below goes on with what it has made
        }
        telling_ = true;
        for (; told_ != events_end_; ++told_) {
            const OrderEvent event = events_[told_];  // a listener may make more, and the queue grow
            for (std::size_t i = 0; i < listeners_.size() && at(event.slot).generation == event.generation; ++i) {
                listeners_[i].on_event(listeners_[i].context, *this, event);
            }
        }
        telling_ = false;
        if (!keep_events_ || next_event_ == events_end_) {
            drop_events();
        }
    }

    void drop_events() noexcept { next_event_ = told_ = events_end_ = 0; }

    std::vector<Symbol> symbols_;
    std::vector<std::string> assets_;
    VenueIdTable ids_;
    std::vector<std::unique_ptr<InFlightOrder[]>> blocks_;
    std::vector<std::uint32_t> free_slots_;
    std::vector<Fill> fills_;
    std::vector<std::int32_t> free_fills_;
    std::vector<StoredFee> fees_;  // of fills with several
    std::vector<std::uint32_t> free_fees_;
    std::vector<PastId> past_ids_;
    std::vector<std::int32_t> free_past_ids_;
    std::vector<ForgottenTrade> forgotten_;  // a ring: fills of released orders, the oldest at next_forgotten_
    std::size_t next_forgotten_ = 0;
    HashChains by_client_id_;
    HashChains by_exchange_id_;
    HashChains by_past_id_{16};
    HashChains by_trade_id_;
    std::vector<OrderEvent> events_;  // those from next_event_ to events_end_ wait
    std::size_t next_event_ = 0;
    std::size_t told_ = 0;  // to listeners
    std::size_t events_end_ = 0;
    std::vector<OrderListener> listeners_;
    bool telling_ = false;
    bool keep_events_ = true;
    std::uint64_t applied_[kAppliedCount] = {};
};

}  // namespace qtxconn
