// The order store and tracker: finds an order by client id or venue id in O(1), applies updates, tells events.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qtxconn/fill_store.hpp"
#include "qtxconn/hash_chains.hpp"
#include "qtxconn/in_flight_order.hpp"
#include "qtxconn/order_events.hpp"
#include "qtxconn/slab.hpp"
#include "qtxconn/venue_ids.hpp"

namespace qtxconn {

// What became of a venue id that an update carries.
enum class VenueIdOutcome : std::uint8_t {
    head = 0,     // the order's id
    learned = 1,  // new: the head from now on
    past = 2,     // one that it had before
    taken = 3,    // another order's
};

// Records never move; a slot is used again under a new generation after release(). One thread at a time: Python callers
// are serialised by the GIL, a nogil strategy owns a tracker of its own.
class ClientOrderTracker {
public:
    static constexpr std::uint32_t kNone = UINT32_MAX;
    static constexpr std::size_t kForgottenFills = 4096;

    // The newest `forgotten_fills_max` fills of released orders stay known; see FillStore.
    explicit ClientOrderTracker(std::size_t forgotten_fills_max = kForgottenFills)
        : fills_(orders_, ids_, forgotten_fills_max) {}
    ClientOrderTracker(const ClientOrderTracker&) = delete;
    ClientOrderTracker& operator=(const ClientOrderTracker&) = delete;

    // -- names -------------------------------------------------------------------------------------------------

    // Number of a trading pair, given on first use. A connector has few pairs and looks them up once per order.
    std::uint32_t intern_symbol(std::string_view symbol) {
        const auto known = std::find(symbols_.begin(), symbols_.end(), symbol);
        if (known == symbols_.end()) {
            symbols_.emplace_back(symbol);
            scales_.emplace_back();
            return static_cast<std::uint32_t>(symbols_.size() - 1);
        }
        return static_cast<std::uint32_t>(known - symbols_.begin());
    }

    std::string_view symbol(std::uint32_t number) const noexcept { return symbols_[number]; }

    // Number of an asset in which fees are paid; kNoAsset for a new one when kAssetsMax are known.
    std::uint32_t intern_asset(std::string_view asset) { return fills_.intern_asset(asset); }
    std::string_view asset(std::uint32_t number) const noexcept { return fills_.asset(number); }

    // Ids of venue's orders and trades, from their text and back; see VenueIdTable.
    VenueIdTable& ids() noexcept { return ids_; }
    const VenueIdTable& ids() const noexcept { return ids_; }

    // -- orders ------------------------------------------------------------------------------------------------

    // Copies `order` into a slot and returns it; kNone if the client id is tracked already.
    std::uint32_t start_tracking(const InFlightOrder& order) {
        std::uint32_t& bucket = by_client_id_.bucket(order.client_id);
        if (find_client_id(bucket, order.client_id) != kNone) {
            return kNone;
        }
        const std::uint32_t slot = orders_.take();
        InFlightOrder& record = orders_.at(slot);
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
        by_client_id_.insert(bucket, slot, ClientLink{this},
                             [this](std::uint32_t other) { return orders_.at(other).client_id; });
        if (record.exchange_id != kNoVenueId) {
            ids_.keep(record.exchange_id);
            index_exchange_id(by_exchange_id_.bucket(record.exchange_id), slot);
        }
        return slot;
    }

    // Forgets an order. What is still queued about it is void.
    void release(std::uint32_t slot) {
        InFlightOrder& record = orders_.at(slot);
        by_client_id_.erase(record.client_id, slot, ClientLink{this});
        if (record.exchange_id != kNoVenueId) {
            by_exchange_id_.erase(record.exchange_id, slot, ExchangeLink{this});
            ids_.let_go(record.exchange_id);
        }
        if (record.past_id != kNoId) {
            drop_past_ids(record);
        }
        fills_.forget_all(record);
        keep_scales_of_symbol(record);
        record.client_id = 0;
        record.first_fill = record.last_fill = kNoFill;
        ++record.generation;
        orders_.put_back(slot);
    }

    std::uint32_t find(std::uint64_t client_id) const noexcept {
        return find_client_id(by_client_id_.bucket(client_id), client_id);
    }

    // The order that has this venue id, or had it before. `symbol` is the number of the trading pair, or kNone for any:
    // some venues number the orders of each pair apart.
    std::uint32_t find_exchange_id(VenueId id, std::uint32_t symbol = kNone) const noexcept {
        return id == kNoVenueId ? kNone : find_exchange_id(by_exchange_id_.bucket(id), id, symbol);
    }

    std::uint32_t find_exchange_id(std::string_view exchange_order_id, std::uint32_t symbol = kNone) const noexcept {
        return find_exchange_id(ids_.find(exchange_order_id), symbol);
    }

    // A fill with this trade id that was booked, or told as nobody's; kNoFill if it is new.
    std::int32_t find_trade(std::uint32_t symbol, VenueId trade_id, TradeType side = kAnySide) const noexcept {
        return fills_.find(fills_.bucket(symbol, trade_id), symbol, trade_id, side);
    }

    InFlightOrder& at(std::uint32_t slot) noexcept { return orders_.at(slot); }
    const InFlightOrder& at(std::uint32_t slot) const noexcept { return orders_.at(slot); }
    const Fill& fill(std::int32_t number) const noexcept { return fills_.at(number); }
    // Fee `number` of a fill, from 0; its asset is kNoAsset if there are fewer.
    Fee fee(const Fill& fill, std::size_t number) const noexcept { return fills_.fee(fill, number); }
    std::size_t size() const noexcept { return by_client_id_.size(); }
    // Of all orders that are remembered, and those of forgotten ones that still are.
    std::size_t fill_count() const noexcept { return fills_.size(); }

    // The id that the order had before `past` (a result of this, or the order's past_id).
    VenueId past_id(std::int32_t past) const noexcept { return past_ids_.at(number(past)).id; }
    std::int32_t next_past_id(std::int32_t past) const noexcept { return past_ids_.at(number(past)).next; }

    // -- updates -----------------------------------------------------------------------------------------------

    // `venue_ns` is the venue's clock, 0 for what we know ourselves; `executed` the base amount that the report says is
    // executed (0: it does not say); `now_ns` is local wall time.
    Applied process_state(std::uint32_t slot, OrderState next, std::int64_t venue_ns, Fixed executed,
                          std::int64_t now_ns, TransitionReason reason = TransitionReason::report) {
        InFlightOrder& order = orders_.at(slot);
        const Applied applied = count(apply_state(order, next, venue_ns, executed));
        if (applied == Applied::changed) {
            note_transition(order, reason, now_ns);
        }
        if (applied == Applied::changed || applied == Applied::unchanged) {
            if (next == OrderState::pending_submit && order.submitted_ns == 0) {
                order.submitted_ns = now_ns;
            }
            if (is_in(next, kWordsOfLife | kTerminalStates)) {
                note_word(order, slot, next != OrderState::failed, now_ns);
            }
            note_end(order, slot, now_ns);
        }
        return applied;
    }

    // Books a fill once. A real one takes the place of provisional ones: what they had told is not told again.
    // `more_fees` are those beyond the one in the fill.
    [[gnu::flatten]] Applied process_fill(std::uint32_t slot, const Fill& fill, std::int64_t now_ns,
                                          const Fee* more_fees = nullptr, std::size_t more_fees_count = 0) {
        InFlightOrder& order = orders_.at(slot);
        std::uint32_t& bucket = fills_.bucket(order.symbol, fill.trade_id);
        if (!fill.is_provisional) {
            const std::int32_t known = fills_.find(bucket, order.symbol, fill.trade_id, order.trade_type);
            if (known != kNoFill) {
                const Applied repeat = fills_.repeated(order, slot, known);
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
            const std::int32_t stored = note_fill(order, slot, fill, bucket, from, now_ns, more_fees, more_fees_count);
            queue_fill(order, slot, stored, from, now_ns).amount = fill.amount();
            note_end(order, slot, now_ns);
        } else if (applied == Applied::overfill) {
            queue(OrderEventKind::overfill, order, slot, kNoFill, now_ns);
            tell();
        }
        return applied;
    }

    // Puts back a fill that the order's sums already count (an order that is tracked again): no event, no move.
    void restore_fill(std::uint32_t slot, const Fill& fill, const Fee* more_fees = nullptr,
                      std::size_t more_fees_count = 0) {
        InFlightOrder& order = orders_.at(slot);
        fills_.unforget(order, fill.trade_id);
        const std::int32_t stored = fills_.append(order, slot, fill, fills_.bucket(order.symbol, fill.trade_id));
        if (more_fees_count != 0) {
            fills_.add_fees(fills_.at(stored), more_fees, more_fees_count);
        }
    }

    // Remembers a trade of no known order: it was told, and a repeat of it is none.
    void remember_trade(std::uint32_t symbol, VenueId trade_id) { fills_.remember(symbol, trade_id); }

    Applied process_revert(std::uint32_t slot, std::int64_t now_ns) noexcept {
        InFlightOrder& order = orders_.at(slot);
        const Applied applied = count(revert_pending(order));
        if (applied == Applied::changed) {
            note_transition(order, TransitionReason::refusal, now_ns);
        }
        return applied;
    }

    // Applies the venue's word that the order has this price and this amount now (0: as before). A new venue id comes
    // first, by process_exchange_id(). See apply_amend() for what is refused.
    Applied process_amend(std::uint32_t slot, Fixed price, Fixed amount, std::int64_t venue_ns, std::int64_t now_ns) {
        InFlightOrder& order = orders_.at(slot);
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
        note_word(order, slot, true, now_ns);
        if (applied == Applied::changed) {
            OrderEvent& event = queue(OrderEventKind::amended, order, slot, kNoFill, now_ns);
            event.price = price_before;
            event.amount = amount_before;
        }
        note_end(order, slot, now_ns);
        return applied;
    }

    // Takes the venue's id in. A new one becomes the head of the order's chain (amend, cancel-replace); by the ids that
    // it had before the order is still found.
    VenueIdOutcome process_exchange_id(std::uint32_t slot, VenueId id) {
        InFlightOrder& order = orders_.at(slot);
        if (id == kNoVenueId || order.exchange_id == id) {
            return VenueIdOutcome::head;
        }
        std::uint32_t& bucket = by_exchange_id_.bucket(id);
        const std::uint32_t owner = find_exchange_id(bucket, id, order.symbol);
        if (owner != kNone) {
            return owner == slot ? VenueIdOutcome::past : VenueIdOutcome::taken;
        }
        if (order.exchange_id != kNoVenueId) {
            by_exchange_id_.erase(order.exchange_id, slot, ExchangeLink{this});
            keep_past_id(order, slot);
        }
        order.exchange_id = id;
        ids_.keep(id);
        index_exchange_id(bucket, slot);
        return VenueIdOutcome::learned;
    }

    Applied count(Applied applied) noexcept {
        ++applied_[static_cast<std::size_t>(applied)];
        return applied;
    }

    std::uint64_t applied_count(Applied applied) const noexcept { return applied_[static_cast<std::size_t>(applied)]; }

    // -- events ------------------------------------------------------------------------------------------------

    // Listeners hear of events as they are made; see OrderListener.
    void add_listener(OrderListener listener) { events_.add_listener(listener); }
    void remove_listener(void* context) { events_.remove_listener(context); }

    // Events wait for next_event() until it takes them. With false they do not: for users who only listen.
    void keep_events(bool keep) noexcept { events_.keep(keep); }

    // The next event that waits, valid until the next update; null when there is none.
    const OrderEvent* next_event() noexcept { return events_.next(); }

private:
    static std::uint32_t number(std::int32_t past) noexcept { return static_cast<std::uint32_t>(past); }

    // The finest that the orders of a symbol have needed.
    struct Scales {
        std::uint8_t base = 0;
        std::uint8_t quote = 0;
    };

    struct PastId {
        VenueId id = kNoVenueId;
        std::uint32_t order = kNone;
        std::int32_t next = kNoId;  // the one before it
        std::uint32_t next_by_id = kNone;
        std::uint32_t& link() noexcept { return next_by_id; }
    };

    struct Replacement {
        Fixed base;
        Fixed quote;
    };

    struct ClientLink {
        ClientOrderTracker* tracker;
        std::uint32_t& operator()(std::uint32_t slot) const { return tracker->orders_.at(slot).next_by_client_id; }
    };
    struct ExchangeLink {
        ClientOrderTracker* tracker;
        std::uint32_t& operator()(std::uint32_t slot) const { return tracker->orders_.at(slot).next_by_exchange_id; }
    };
    struct PastIdLink {
        ClientOrderTracker* tracker;
        std::uint32_t& operator()(std::uint32_t past) const { return tracker->past_ids_.at(past).next_by_id; }
    };

    // -- slots and ids -----------------------------------------------------------------------------------------

    // An order begins at the scales that orders of its symbol have needed, so that they seldom change under way.
    void start_at_scales_of_symbol(InFlightOrder& order) noexcept {
        if (order.symbol >= scales_.size()) {
            return;
        }
        const Scales scales = scales_[order.symbol];
        std::int64_t amount = 0;
        if (order.base_scale < scales.base && order.executed_units == 0 && order.reported_units == 0 &&
            !__builtin_mul_overflow(order.amount_units, detail::kPow10[scales.base - order.base_scale], &amount)) {
            order.amount_units = amount;
            order.base_scale = scales.base;
        }
        if (order.quote_units == 0) {
            order.quote_scale = scales.quote;
        }
    }

    void keep_scales_of_symbol(const InFlightOrder& order) noexcept {
        if (order.symbol < scales_.size()) {
            Scales& scales = scales_[order.symbol];
            scales.base = std::max(scales.base, order.base_scale);
            scales.quote = std::max(scales.quote, order.quote_scale);
        }
    }

    bool is_on(std::uint32_t slot, std::uint32_t symbol) const noexcept {
        return symbol == kNone || orders_.at(slot).symbol == symbol;
    }

    std::uint32_t find_client_id(std::uint32_t bucket, std::uint64_t client_id) const noexcept {
        return HashChains::find(
            bucket, [this](std::uint32_t slot) { return orders_.at(slot).next_by_client_id; },
            [&](std::uint32_t slot) { return orders_.at(slot).client_id == client_id; });
    }

    std::uint32_t find_exchange_id(std::uint32_t bucket, VenueId id, std::uint32_t symbol) const noexcept {
        const std::uint32_t head = HashChains::find(
            bucket, [this](std::uint32_t slot) { return orders_.at(slot).next_by_exchange_id; },
            [&](std::uint32_t slot) { return orders_.at(slot).exchange_id == id && is_on(slot, symbol); });
        return head != kNone || by_past_id_.size() == 0 ? head : find_past_id(id, symbol);
    }

    void index_exchange_id(std::uint32_t& bucket, std::uint32_t slot) {
        by_exchange_id_.insert(bucket, slot, ExchangeLink{this},
                               [this](std::uint32_t other) { return orders_.at(other).exchange_id; });
    }

    [[gnu::noinline]] std::uint32_t find_past_id(VenueId id, std::uint32_t symbol) const noexcept {
        const std::uint32_t past = HashChains::find(
            by_past_id_.bucket(id), [this](std::uint32_t other) { return past_ids_.at(other).next_by_id; },
            [&](std::uint32_t other) {
                return past_ids_.at(other).id == id && is_on(past_ids_.at(other).order, symbol);
            });
        return past == kNone ? kNone : past_ids_.at(past).order;
    }

    [[gnu::noinline]] void keep_past_id(InFlightOrder& order, std::uint32_t slot) {
        const std::uint32_t past = past_ids_.take();
        past_ids_.at(past) = PastId{order.exchange_id, slot, order.past_id};
        by_past_id_.insert(by_past_id_.bucket(order.exchange_id), past, PastIdLink{this},
                           [this](std::uint32_t other) { return past_ids_.at(other).id; });
        order.past_id = static_cast<std::int32_t>(past);
    }

    [[gnu::noinline]] void drop_past_ids(InFlightOrder& order) {
        while (order.past_id != kNoId) {
            const std::uint32_t past = number(order.past_id);
            by_past_id_.erase(past_ids_.at(past).id, past, PastIdLink{this});
            ids_.let_go(past_ids_.at(past).id);
            order.past_id = past_ids_.at(past).next;
            past_ids_.put_back(past);
        }
    }

    // -- what follows from an update ---------------------------------------------------------------------------

    OrderEvent& queue(OrderEventKind kind, const InFlightOrder& order, std::uint32_t slot, std::int32_t fill,
                      std::int64_t now_ns) {
        return events_.push(kind, slot, order.generation, fill, now_ns);
    }

    OrderEvent& queue_fill(const InFlightOrder& order, std::uint32_t slot, std::int32_t fill, OrderState from,
                           std::int64_t now_ns) {
        const bool late = is_terminal(from);
        return queue(late ? OrderEventKind::late_fill : OrderEventKind::filled, order, slot, fill, now_ns);
    }

    void tell() {
        events_.tell(*this,
                     [this](const OrderEvent& event) { return orders_.at(event.slot).generation != event.generation; });
    }

    // The venue has spoken of the order: Created on the first sign of life, and not after the terminal event (a late
    // fill of an order that was believed never to have lived), so that Created is first.
    void note_word(InFlightOrder& order, std::uint32_t slot, bool lives, std::int64_t now_ns) {
        if (order.acked_ns == 0) {
            order.acked_ns = now_ns;
        }
        if (lives && !order.created_sent && !order.terminal_sent) {
            order.created_sent = true;
            queue(OrderEventKind::created, order, slot, kNoFill, now_ns);
        }
    }

    // The one terminal event, if it is due; then all that was queued is told.
    void note_end(InFlightOrder& order, std::uint32_t slot, std::int64_t now_ns) {
        if (is_terminal(order.state) && !order.terminal_sent) {
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
        tell();
    }

    // Stores a fill that apply_fill() has added; -> its number.
    std::int32_t note_fill(InFlightOrder& order, std::uint32_t slot, const Fill& fill, std::uint32_t& bucket,
                           OrderState from, std::int64_t now_ns, const Fee* more_fees, std::size_t more_fees_count) {
        const std::int32_t stored = fills_.append(order, slot, fill, bucket);
        if (more_fees_count != 0) {
            fills_.add_fees(fills_.at(stored), more_fees, more_fees_count);
        }
        if (order.first_fill_ns == 0) {
            order.first_fill_ns = now_ns;
        }
        if (order.state != from) {
            note_transition(order, TransitionReason::fill, now_ns);
        }
        note_word(order, slot, true, now_ns);
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
            const Fill& fill = fills_.at(number);
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
        const std::int32_t stored = note_fill(order, slot, fill, fills_.bucket(order.symbol, fill.trade_id),
                                              before.state, now_ns, more_fees, more_fees_count);
        queue(OrderEventKind::replaced, order, slot, stored, now_ns).amount = replaced.base;
        if (added.units > 0) {
            queue_fill(order, slot, stored, before.state, now_ns).amount = added;
        }
        note_end(order, slot, now_ns);
        return applied;
    }

    void drop_replaced(InFlightOrder& order, const Fill& real) {
        for_each_replaced(order, real, [&](std::int32_t number, const Replacement& taken) {
            Fill& fill = fills_.at(number);
            if (fill.amount() == taken.base) {
                fills_.remove_provisional(order, number);
                return;
            }
            Fixed rest;
            subtract(fill.amount(), taken.base, rest);
            fill.set_amount(rest);
            subtract(fill.quote(), taken.quote, rest);
            fill.set_quote(rest);
        });
        order.has_provisional = false;
        for (std::int32_t number = order.first_fill; number != kNoFill; number = fills_.at(number).next) {
            order.has_provisional = order.has_provisional || fills_.at(number).is_provisional;
        }
    }

    std::vector<std::string> symbols_;
    std::vector<Scales> scales_;  // by symbol
    VenueIdTable ids_;
    Slab<InFlightOrder> orders_;
    Slab<PastId> past_ids_;
    HashChains by_client_id_;
    HashChains by_exchange_id_;
    HashChains by_past_id_{16};
    FillStore fills_;
    OrderEventQueue events_;
    std::uint64_t applied_[kAppliedCount] = {};
};

}  // namespace qtxconn
