// The order store and tracker: finds an order by client id or venue id in O(1), applies updates, queues events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
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
};

// Queued while an update is applied and delivered afterwards, so that a listener may call back into the tracker.
struct OrderEvent {
    OrderEventKind kind = OrderEventKind::created;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;
    std::int32_t fill = kNoFill;
    std::int64_t time_ns = 0;
};

// Records live in blocks that never move; a slot is reused under a new generation after release(). One thread at a
// time: Python callers are serialised by the GIL, a nogil strategy owns a tracker of its own.
class ClientOrderTracker {
public:
    static constexpr std::uint32_t kNone = FlatIndex::kNone;

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
        record.fill_count = 0;
        by_client_id_.insert(hash_number(record.client_id), slot);
        if (!record.exchange_order_id.empty()) {
            by_exchange_id_.insert(hash_text(record.exchange_order_id.view()), slot);
        }
        return slot;
    }

    // Forgets an order and its fills. Events about it that are still queued must have been taken before.
    void release(std::uint32_t slot) {
        InFlightOrder& record = at(slot);
        by_client_id_.erase(hash_number(record.client_id), slot);
        if (!record.exchange_order_id.empty()) {
            by_exchange_id_.erase(hash_text(record.exchange_order_id.view()), slot);
        }
        for (std::int32_t fill = record.first_fill; fill != kNoFill;) {
            const std::int32_t following = fills_[index(fill)].next;
            by_trade_id_.erase(trade_hash(record.client_id, fills_[index(fill)].trade_id.view()), number(fill));
            free_fills_.push_back(fill);
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

    // `symbol` is the number of the trading pair, or kNone for any: some venues number the orders of each pair apart.
    std::uint32_t find_exchange_id(std::string_view exchange_order_id, std::uint32_t symbol = kNone) const noexcept {
        return by_exchange_id_.find(hash_text(exchange_order_id), [&](std::uint32_t slot) {
            return at(slot).exchange_order_id.view() == exchange_order_id &&
                   (symbol == kNone || at(slot).symbol == symbol);
        });
    }

    InFlightOrder& at(std::uint32_t slot) noexcept { return blocks_[slot / kBlock][slot % kBlock]; }
    const InFlightOrder& at(std::uint32_t slot) const noexcept { return blocks_[slot / kBlock][slot % kBlock]; }
    const Fill& fill(std::int32_t number) const noexcept { return fills_[index(number)]; }
    std::size_t size() const noexcept { return by_client_id_.size(); }
    std::size_t fill_count() const noexcept { return by_trade_id_.size(); }  // of all orders that are remembered

    // -- updates -----------------------------------------------------------------------------------------------

    // `venue_ns` is the venue's clock, 0 for what we know ourselves; `executed` the base amount that the report says is
    // executed (0: it does not say); `now_ns` is local wall time.
    Applied process_state(std::uint32_t slot, OrderState next, std::int64_t venue_ns, Fixed executed,
                          std::int64_t now_ns) {
        InFlightOrder& order = at(slot);
        const Applied applied = count(apply_state(order, next, venue_ns, executed));
        if (applied == Applied::changed || applied == Applied::unchanged) {
            stamp(order, next, now_ns);
            queue_lifecycle(slot, next, now_ns);
        }
        return applied;
    }

    Applied process_fill(std::uint32_t slot, const Fill& fill, std::int64_t now_ns) {
        InFlightOrder& order = at(slot);
        const std::uint64_t hash = trade_hash(order.client_id, fill.trade_id.view());
        const std::uint32_t known = by_trade_id_.find(hash, [&](std::uint32_t candidate) {
            return fills_[candidate].trade_id.view() == fill.trade_id.view() && owns(order, candidate);
        });
        if (known != kNone) {
            return count(Applied::duplicate_fill);
        }
        const bool late = is_terminal(order.state);
        const Applied applied = count(apply_fill(order, fill));
        if (applied == Applied::overfill) {
            queue(OrderEventKind::overfill, slot, kNoFill, now_ns);
        }
        if (applied != Applied::changed) {
            return applied;
        }
        const std::int32_t stored = store_fill(order, fill);
        by_trade_id_.insert(hash, number(stored));
        if (order.first_fill_ns == 0) {
            order.first_fill_ns = now_ns;
        }
        stamp(order, order.state, now_ns);
        queue_created(slot, now_ns);
        queue(late ? OrderEventKind::late_fill : OrderEventKind::filled, slot, stored, now_ns);
        queue_lifecycle(slot, order.state, now_ns);
        return applied;
    }

    // Puts back a fill that the order's sums already count (an order that is tracked again): no event, no move.
    void restore_fill(std::uint32_t slot, const Fill& fill) {
        const std::uint64_t hash = trade_hash(at(slot).client_id, fill.trade_id.view());
        by_trade_id_.insert(hash, number(store_fill(at(slot), fill)));
    }

    Applied process_revert(std::uint32_t slot) { return count(revert_pending(at(slot))); }

    // Learns the venue's id; a later, different one replaces it as the head (amend, cancel-replace).
    bool set_exchange_id(std::uint32_t slot, std::string_view exchange_order_id) {
        InFlightOrder& order = at(slot);
        if (exchange_order_id.empty() || order.exchange_order_id.view() == exchange_order_id) {
            return true;
        }
        VenueOrderId text;
        if (!text.assign(exchange_order_id)) {
            return false;
        }
        if (!order.exchange_order_id.empty()) {
            by_exchange_id_.erase(hash_text(order.exchange_order_id.view()), slot);
        }
        order.exchange_order_id = text;
        by_exchange_id_.insert(hash_text(exchange_order_id), slot);
        return true;
    }

    Applied count(Applied applied) noexcept {
        ++applied_[static_cast<std::size_t>(applied)];
        return applied;
    }

    std::uint64_t applied_count(Applied applied) const noexcept { return applied_[static_cast<std::size_t>(applied)]; }

    // -- events ------------------------------------------------------------------------------------------------

    bool next_event(OrderEvent& out) {
        if (events_.empty()) {
            return false;
        }
        out = events_.front();
        events_.pop_front();
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

    static std::uint64_t trade_hash(std::uint64_t client_id, std::string_view trade_id) noexcept {
        return hash_text(trade_id, hash_number(client_id));
    }

    bool owns(const InFlightOrder& order, std::uint32_t candidate) const noexcept {
        for (std::int32_t fill = order.first_fill; fill != kNoFill; fill = fills_[index(fill)].next) {
            if (number(fill) == candidate) {
                return true;
            }
        }
        return false;
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

    std::int32_t store_fill(InFlightOrder& order, const Fill& fill) {
        std::int32_t stored = 0;
        if (free_fills_.empty()) {
            stored = static_cast<std::int32_t>(fills_.size());
            fills_.push_back(fill);
        } else {
            stored = free_fills_.back();
            free_fills_.pop_back();
            fills_[index(stored)] = fill;
        }
        fills_[index(stored)].next = kNoFill;
        if (order.last_fill == kNoFill) {
            order.first_fill = stored;
        } else {
            fills_[index(order.last_fill)].next = stored;
        }
        order.last_fill = stored;
        ++order.fill_count;
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

    void queue(OrderEventKind kind, std::uint32_t slot, std::int32_t fill, std::int64_t now_ns) {
        events_.push_back(OrderEvent{kind, slot, at(slot).generation, fill, now_ns});
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
    FlatIndex by_client_id_;
    FlatIndex by_exchange_id_;
    FlatIndex by_trade_id_;
    std::deque<OrderEvent> events_;
    std::uint64_t applied_[kAppliedCount] = {};
};

}  // namespace qtxconn
