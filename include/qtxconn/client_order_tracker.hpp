// The order store and tracker: finds an order by client id or venue id in O(1), applies updates, queues events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "qtxconn/flat_index.hpp"
#include "qtxconn/in_flight_order.hpp"
#include "qtxconn/text.hpp"

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
};

// Queued while an update is applied and delivered afterwards, so that a listener may call back into the tracker.
struct OrderEvent {
    OrderEventKind kind = OrderEventKind::created;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::int32_t fill = kNoFill;
    std::int64_t time_ns = 0;
    Fixed amount;  // of a fill: what it adds to the executed amount
};

// What became of a venue id that an update carries.
enum class VenueId : std::uint8_t {
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
    static constexpr std::uint32_t kNone = FlatIndex::kNone;
    static constexpr std::size_t kForgottenFills = 4096;

    explicit ClientOrderTracker(std::size_t forgotten_fills_max = kForgottenFills)
        : forgotten_(forgotten_fills_max, kNoFill) {}

    // -- symbols -----------------------------------------------------------------------------------------------

    // Number of a trading pair, given on first use. A connector has few pairs and looks them up once per order.
    std::uint32_t intern_symbol(std::string_view symbol) {
        for (std::size_t i = 0; i < symbols_.size(); ++i) {
            if (symbols_[i] == symbol) {
                return static_cast<std::uint32_t>(i);
            }
        }
        symbols_.emplace_back(symbol);
        return static_cast<std::uint32_t>(symbols_.size() - 1);
    }

    std::string_view symbol(std::uint32_t number) const noexcept { return symbols_[number]; }

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
        record.fill_count = record.provisional_count = 0;
        record.past_id = kNoId;
        by_client_id_.insert(hash_number(record.client_id), slot);
        if (!record.exchange_order_id.empty()) {
            by_exchange_id_.insert(record.exchange_order_id.hash(), slot);
        }
        return slot;
    }

    // Forgets an order. Events about it that are still queued must have been taken before.
    void release(std::uint32_t slot) {
        InFlightOrder& record = at(slot);
        by_client_id_.erase(hash_number(record.client_id), slot);
        if (!record.exchange_order_id.empty()) {
            by_exchange_id_.erase(record.exchange_order_id.hash(), slot);
        }
        while (record.past_id != kNoId) {
            const std::int32_t past = record.past_id;
            by_past_id_.erase(past_ids_[index(past)].id.hash(), number(past));
            record.past_id = past_ids_[index(past)].next;
            free_past_ids_.push_back(past);
        }
        for (std::int32_t fill = record.first_fill; fill != kNoFill;) {
            const std::int32_t following = fills_[index(fill)].next;
            if (fills_[index(fill)].is_provisional) {
                free_fills_.push_back(fill);
            } else {
                forget_fill(fill);
            }
            fill = following;
        }
        record.client_id = 0;
        record.first_fill = record.last_fill = kNoFill;
        ++record.generation;
        free_slots_.push_back(slot);
    }

    std::uint32_t find(std::uint64_t client_id) const noexcept {
        return by_client_id_.find(hash_number(client_id),
                                  [&](std::uint32_t slot) { return at(slot).client_id == client_id; });
    }

    // The order that has this venue id, or had it before. `symbol` is the number of the trading pair, or kNone for any:
    // some venues number the orders of each pair apart.
    std::uint32_t find_exchange_id(const VenueOrderId& id, std::uint32_t symbol = kNone) const noexcept {
        const std::uint32_t head = by_exchange_id_.find(
            id.hash(), [&](std::uint32_t slot) { return at(slot).exchange_order_id == id && is_on(slot, symbol); });
        if (head != kNone) {
            return head;
        }
        const std::uint32_t past = by_past_id_.find(id.hash(), [&](std::uint32_t candidate) {
            return past_ids_[candidate].id == id && is_on(past_ids_[candidate].order, symbol);
        });
        return past == kNone ? kNone : past_ids_[past].order;
    }

    std::uint32_t find_exchange_id(std::string_view exchange_order_id, std::uint32_t symbol = kNone) const noexcept {
        VenueOrderId id;
        return id.assign(exchange_order_id) && !id.empty() ? find_exchange_id(id, symbol) : kNone;
    }

    // A fill with this trade id that was booked, or told as nobody's; kNoFill if it is new.
    std::int32_t find_trade(std::uint32_t symbol, const TradeId& trade_id, TradeType side = kAnySide) const noexcept {
        const std::uint32_t found = by_trade_id_.find(trade_key(symbol, trade_id), [&](std::uint32_t candidate) {
            const Fill& fill = fills_[candidate];
            return fill.trade_id == trade_id && fill.symbol == symbol &&
                   (fill.trade_type == side || fill.trade_type == kAnySide || side == kAnySide);
        });
        return found == kNone ? kNoFill : static_cast<std::int32_t>(found);
    }

    InFlightOrder& at(std::uint32_t slot) noexcept { return blocks_[slot / kBlock][slot % kBlock]; }
    const InFlightOrder& at(std::uint32_t slot) const noexcept { return blocks_[slot / kBlock][slot % kBlock]; }
    const Fill& fill(std::int32_t number) const noexcept { return fills_[index(number)]; }
    std::size_t size() const noexcept { return by_client_id_.size(); }
    // Of all orders that are remembered, and those of forgotten ones that still are.
    std::size_t fill_count() const noexcept { return by_trade_id_.size(); }

    // The id that the order had before `past` (a result of this, or the order's past_id).
    const VenueOrderId& past_id(std::int32_t past) const noexcept { return past_ids_[index(past)].id; }
    std::int32_t next_past_id(std::int32_t past) const noexcept { return past_ids_[index(past)].next; }

    // -- updates -----------------------------------------------------------------------------------------------

    // `venue_ns` is the venue's clock, 0 for what we know ourselves; `executed` the base amount that the report says is
    // executed (0: it does not say); `now_ns` is local wall time.
    Applied process_state(std::uint32_t slot, OrderState next, std::int64_t venue_ns, Fixed executed,
                          std::int64_t now_ns, TransitionReason reason = TransitionReason::report) {
        InFlightOrder& order = at(slot);
        const OrderState from = order.state;
        const Applied applied = count(apply_state(order, next, venue_ns, executed));
        if (applied == Applied::changed) {
            note_transition(order, from, reason, now_ns);
        }
        if (applied == Applied::changed || applied == Applied::unchanged) {
            stamp(order, next, now_ns);
            queue_lifecycle(slot, next, now_ns);
        }
        return applied;
    }

    // Books a fill once. A real one takes the place of provisional ones: what they had told is not told again.
    Applied process_fill(std::uint32_t slot, const Fill& fill, std::int64_t now_ns) {
        InFlightOrder& order = at(slot);
        if (!fill.is_provisional) {
            const std::int32_t known = find_trade(order.symbol, fill.trade_id, order.trade_type);
            if (known != kNoFill) {
                const Fill& other = fills_[index(known)];
                if (other.order == kNoOrder && other.client_id == order.client_id) {
                    by_trade_id_.erase(trade_key(other.symbol, other.trade_id), number(known));  // tracked anew
                } else {
                    const bool repeat = other.order == slot || other.client_id == 0;
                    return count(repeat ? Applied::duplicate_fill : Applied::foreign);
                }
            }
        }
        const Replacement replacement = fill.is_provisional ? Replacement{} : replaceable(order, fill);
        const Fixed base = order.executed_base;
        const Fixed quote = order.executed_quote;
        const OrderState from = order.state;
        const bool late = is_terminal(from);
        const bool replaces = replacement.base.units != 0;
        if (replaces) {
            subtract(base, replacement.base, order.executed_base);
            subtract(quote, replacement.quote, order.executed_quote);
        }
        const Applied applied = count(apply_fill(order, fill));
        if (applied != Applied::changed) {
            order.executed_base = base;
            order.executed_quote = quote;
            if (applied == Applied::overfill) {
                queue(OrderEventKind::overfill, slot, kNoFill, now_ns);
            }
            return applied;
        }
        Fixed added = fill.amount;
        if (replaces) {
            subtract(order.executed_base, base, added);
            drop_provisional(order, fill);
        }
        const std::int32_t stored = store_fill(slot, fill);
        if (order.first_fill_ns == 0) {
            order.first_fill_ns = now_ns;
        }
        if (order.state != from) {
            note_transition(order, from, TransitionReason::fill, now_ns);
        }
        stamp(order, order.state, now_ns);
        queue_created(slot, now_ns);
        if (replaces) {
            queue(OrderEventKind::replaced, slot, stored, now_ns, replacement.base);
        }
        if (added.units > 0) {
            queue(late ? OrderEventKind::late_fill : OrderEventKind::filled, slot, stored, now_ns, added);
        }
        queue_lifecycle(slot, order.state, now_ns);
        return applied;
    }

    // Puts back a fill that the order's sums already count (an order that is tracked again): no event, no move.
    void restore_fill(std::uint32_t slot, const Fill& fill) {
        const std::int32_t known = find_trade(at(slot).symbol, fill.trade_id, at(slot).trade_type);
        if (known != kNoFill && fills_[index(known)].order == kNoOrder) {
            by_trade_id_.erase(trade_key(at(slot).symbol, fill.trade_id), number(known));
        }
        store_fill(slot, fill);
    }

    // Remembers a trade of no known order: it was told, and a repeat of it is none.
    void remember_trade(std::uint32_t symbol, const TradeId& trade_id) {
        Fill fill;
        fill.trade_id = trade_id;
        fill.symbol = symbol;
        const std::int32_t stored = take_fill(fill);
        by_trade_id_.insert(trade_key(symbol, trade_id), number(stored));
        forget_fill(stored);
    }

    Applied process_revert(std::uint32_t slot, std::int64_t now_ns) {
        InFlightOrder& order = at(slot);
        const OrderState from = order.state;
        const Applied applied = count(revert_pending(order));
        if (applied == Applied::changed) {
            note_transition(order, from, TransitionReason::refusal, now_ns);
        }
        return applied;
    }

    // Takes the venue's id in. A new one becomes the head of the order's chain (amend, cancel-replace); by the ids that
    // it had before the order is still found.
    VenueId process_exchange_id(std::uint32_t slot, const VenueOrderId& id) {
        InFlightOrder& order = at(slot);
        if (id.empty() || order.exchange_order_id == id) {
            return VenueId::head;
        }
        const std::uint32_t owner = find_exchange_id(id, order.symbol);
        if (owner != kNone) {
            return owner == slot ? VenueId::past : VenueId::taken;
        }
        if (!order.exchange_order_id.empty()) {
            by_exchange_id_.erase(order.exchange_order_id.hash(), slot);
            keep_past_id(slot);
        }
        order.exchange_order_id = id;
        by_exchange_id_.insert(id.hash(), slot);
        return VenueId::learned;
    }

    Applied count(Applied applied) noexcept {
        ++applied_[static_cast<std::size_t>(applied)];
        return applied;
    }

    std::uint64_t applied_count(Applied applied) const noexcept { return applied_[static_cast<std::size_t>(applied)]; }

    // -- events ------------------------------------------------------------------------------------------------

    bool next_event(OrderEvent& out) {
        if (next_event_ == events_.size()) {
            return false;
        }
        out = events_[next_event_++];
        if (next_event_ == events_.size()) {
            events_.clear();  // keeps its memory
            next_event_ = 0;
        }
        return true;
    }

private:
    static constexpr std::size_t kBlock = 1024;

    static std::size_t index(std::int32_t number) noexcept { return static_cast<std::size_t>(number); }
    static std::uint32_t number(std::int32_t fill) noexcept { return static_cast<std::uint32_t>(fill); }

    static std::uint64_t hash_number(std::uint64_t value) noexcept {
        value ^= value >> 33;
        value *= 0xFF51AFD7ED558CCDULL;
        value ^= value >> 33;
        return value * 0xC4CEB9FE1A85EC53ULL;
    }

    static std::uint64_t trade_key(std::uint32_t symbol, const TradeId& trade_id) noexcept {
        return trade_id.hash() ^ (symbol * 0x9E3779B97F4A7C15ULL);
    }

    struct PastId {
        VenueOrderId id;
        std::uint32_t order = kNoOrder;
        std::int32_t next = kNoId;  // the one before it
    };

    struct Replacement {
        Fixed base;
        Fixed quote;
    };

    bool is_on(std::uint32_t slot, std::uint32_t symbol) const noexcept {
        return symbol == kNone || at(slot).symbol == symbol;
    }

    void keep_past_id(std::uint32_t slot) {
        std::int32_t stored = 0;
        if (free_past_ids_.empty()) {
            stored = static_cast<std::int32_t>(past_ids_.size());
            past_ids_.emplace_back();
        } else {
            stored = free_past_ids_.back();
            free_past_ids_.pop_back();
        }
        InFlightOrder& order = at(slot);
        past_ids_[index(stored)] = PastId{order.exchange_order_id, slot, order.past_id};
        by_past_id_.insert(order.exchange_order_id.hash(), number(stored));
        order.past_id = stored;
    }

    // What `real` takes of one provisional fill of which `rest` is still to be replaced: its amount, and of its quote
    // the real one as long as it lasts; all that is left with the last of it. So nothing is divided or rounded.
    static Replacement share(const Fill& provisional, Fixed rest, Fixed rest_quote) noexcept {
        if (compare(rest, provisional.amount) >= 0) {
            return Replacement{provisional.amount, provisional.quote};
        }
        return Replacement{rest, compare(rest_quote, provisional.quote) < 0 ? rest_quote : provisional.quote};
    }

    // Calls `take(fill number, share)` for the provisional fills that `real` replaces, oldest first.
    template <typename Take>
    void for_each_replaced(const InFlightOrder& order, const Fill& real, Take take) {
        Fixed rest = real.amount;
        Fixed rest_quote = real.quote;
        for (std::int32_t fill = order.first_fill; fill != kNoFill && rest.units > 0;) {
            const std::int32_t following = fills_[index(fill)].next;
            if (fills_[index(fill)].is_provisional) {
                const Replacement taken = share(fills_[index(fill)], rest, rest_quote);
                subtract(rest, taken.base, rest);
                subtract(rest_quote, compare(taken.quote, rest_quote) < 0 ? taken.quote : rest_quote, rest_quote);
                take(fill, taken);
            }
            fill = following;
        }
    }

    Replacement replaceable(const InFlightOrder& order, const Fill& real) {
        Replacement total;
        if (order.provisional_count != 0 && real.amount.units > 0) {
            for_each_replaced(order, real, [&](std::int32_t, const Replacement& taken) {
                add(total.base, taken.base, total.base);
                add(total.quote, taken.quote, total.quote);
            });
        }
        return total;
    }

    void drop_provisional(InFlightOrder& order, const Fill& real) {
        for_each_replaced(order, real, [&](std::int32_t number_of, const Replacement& taken) {
            Fill& fill = fills_[index(number_of)];
            if (fill.amount == taken.base) {
                unlink_fill(order, number_of);
                --order.provisional_count;
                free_fills_.push_back(number_of);
            } else {
                subtract(fill.amount, taken.base, fill.amount);
                subtract(fill.quote, taken.quote, fill.quote);
            }
        });
    }

    void unlink_fill(InFlightOrder& order, std::int32_t fill) noexcept {
        std::int32_t before = kNoFill;
        for (std::int32_t at_fill = order.first_fill; at_fill != fill; at_fill = fills_[index(at_fill)].next) {
            before = at_fill;
        }
        const std::int32_t after = fills_[index(fill)].next;
        (before == kNoFill ? order.first_fill : fills_[index(before)].next) = after;
        if (order.last_fill == fill) {
            order.last_fill = before;
        }
        --order.fill_count;
    }

    // The fill stays findable as one of no order, until newer ones push it out.
    void forget_fill(std::int32_t fill) {
        fills_[index(fill)].order = kNoOrder;
        if (forgotten_.empty()) {
            drop_fill(fill);
            return;
        }
        std::int32_t& cell = forgotten_[next_forgotten_];
        next_forgotten_ = (next_forgotten_ + 1) % forgotten_.size();
        if (cell != kNoFill) {
            drop_fill(cell);
        }
        cell = fill;
    }

    void drop_fill(std::int32_t fill) {
        by_trade_id_.erase(trade_key(fills_[index(fill)].symbol, fills_[index(fill)].trade_id), number(fill));
        free_fills_.push_back(fill);
    }

    std::uint32_t take_slot() {
        if (free_slots_.empty()) {
            const auto first = static_cast<std::uint32_t>(blocks_.size() * kBlock);
            blocks_.push_back(std::make_unique<InFlightOrder[]>(kBlock));
            for (std::uint32_t i = kBlock; i > 0; --i) {
                free_slots_.push_back(first + i - 1);
            }
        }
        const std::uint32_t slot = free_slots_.back();
        free_slots_.pop_back();
        return slot;
    }

    std::int32_t take_fill(const Fill& fill) {
        if (free_fills_.empty()) {
            fills_.push_back(fill);
            return static_cast<std::int32_t>(fills_.size() - 1);
        }
        const std::int32_t stored = free_fills_.back();
        free_fills_.pop_back();
        fills_[index(stored)] = fill;
        return stored;
    }

    std::int32_t store_fill(std::uint32_t slot, const Fill& fill) {
        InFlightOrder& order = at(slot);
        const std::int32_t stored = take_fill(fill);
        Fill& mine = fills_[index(stored)];
        mine.next = kNoFill;
        mine.symbol = order.symbol;
        mine.trade_type = order.trade_type;
        mine.order = slot;
        mine.client_id = order.client_id;
        (order.last_fill == kNoFill ? order.first_fill : fills_[index(order.last_fill)].next) = stored;
        order.last_fill = stored;
        ++order.fill_count;
        if (mine.is_provisional) {
            ++order.provisional_count;
        } else {
            by_trade_id_.insert(trade_key(mine.symbol, mine.trade_id), number(stored));
        }
        return stored;
    }

    static void stamp(InFlightOrder& order, OrderState reported, std::int64_t now_ns) noexcept {
        if (reported == OrderState::pending_submit && order.submitted_ns == 0) {
            order.submitted_ns = now_ns;
        }
        const bool word =
            reported == OrderState::open || reported == OrderState::partially_filled || is_terminal(reported);
        if (word && order.acked_ns == 0) {
            order.acked_ns = now_ns;
        }
        if (is_terminal(order.state) && order.done_ns == 0) {
            order.done_ns = now_ns;
        }
    }

    void queue(OrderEventKind kind, std::uint32_t slot, std::int32_t fill, std::int64_t now_ns, Fixed amount = {}) {
        events_.push_back(OrderEvent{kind, slot, at(slot).generation, fill, now_ns, amount});
    }

    // Not after the terminal event (a late fill of an order that was believed never to have lived): Created is first.
    void queue_created(std::uint32_t slot, std::int64_t now_ns) {
        if (!at(slot).created_sent && !at(slot).terminal_sent) {
            at(slot).created_sent = true;
            queue(OrderEventKind::created, slot, kNoFill, now_ns);
        }
    }

    // Created on the first sign of life at the venue, then the one terminal event.
    void queue_lifecycle(std::uint32_t slot, OrderState reported, std::int64_t now_ns) {
        InFlightOrder& order = at(slot);
        const bool lives = reported == OrderState::open || reported == OrderState::partially_filled ||
                           reported == OrderState::filled || reported == OrderState::canceled ||
                           reported == OrderState::expired;
        if (lives) {
            queue_created(slot, now_ns);
        }
        if (!is_terminal(order.state) || order.terminal_sent) {
            return;
        }
        order.terminal_sent = true;
        switch (order.state) {
            case OrderState::filled: queue(OrderEventKind::completed, slot, kNoFill, now_ns); break;
            case OrderState::canceled: queue(OrderEventKind::cancelled, slot, kNoFill, now_ns); break;
            case OrderState::expired: queue(OrderEventKind::expired, slot, kNoFill, now_ns); break;
            default: queue(OrderEventKind::failed, slot, kNoFill, now_ns); break;
        }
    }

    std::vector<std::string> symbols_;
    std::vector<std::unique_ptr<InFlightOrder[]>> blocks_;
    std::vector<std::uint32_t> free_slots_;
    std::vector<Fill> fills_;
    std::vector<std::int32_t> free_fills_;
    std::vector<PastId> past_ids_;
    std::vector<std::int32_t> free_past_ids_;
    std::vector<std::int32_t> forgotten_;  // a ring: fills of released orders, the oldest at next_forgotten_
    std::size_t next_forgotten_ = 0;
    FlatIndex by_client_id_;
    FlatIndex by_exchange_id_;
    FlatIndex by_past_id_{8};
    FlatIndex by_trade_id_;
    std::vector<OrderEvent> events_;
    std::size_t next_event_ = 0;
    std::uint64_t applied_[kAppliedCount] = {};
};

}  // namespace qtxconn
