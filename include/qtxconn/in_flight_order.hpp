// The order record and the order state machine: one table of legal moves, and the two things that move an order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "qtxconn/enums.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/text.hpp"

namespace qtxconn {

// -- states ----------------------------------------------------------------------------------------------------

constexpr OrderState kOrderStates[] = {
    OrderState::pending_create, OrderState::pending_submit, OrderState::open,    OrderState::partially_filled,
    OrderState::pending_cancel, OrderState::pending_update, OrderState::unknown, OrderState::filled,
    OrderState::canceled,       OrderState::failed,         OrderState::expired,
};

constexpr std::uint32_t state_bit(OrderState state) noexcept { return 1U << static_cast<std::uint32_t>(state); }

template <typename... States>
constexpr std::uint32_t state_set(States... states) noexcept {
    return (0U | ... | state_bit(states));
}

constexpr std::uint32_t kTerminalStates =
    state_set(OrderState::filled, OrderState::canceled, OrderState::failed, OrderState::expired);

struct StateEdges {
    OrderState from;
    std::uint32_t to;  // set of states
};

// Every legal move of the public state. A terminal state has none. A pending cancel or amend that the venue refuses
// goes back to where it came from.
constexpr StateEdges kStateEdges[] = {
    {OrderState::pending_create, state_set(OrderState::pending_submit, OrderState::open, OrderState::partially_filled,
                                           OrderState::pending_cancel, OrderState::unknown) |
                                     kTerminalStates},
    {OrderState::pending_submit,
     state_set(OrderState::open, OrderState::partially_filled, OrderState::pending_cancel, OrderState::unknown) |
         kTerminalStates},
    {OrderState::open, state_set(OrderState::partially_filled, OrderState::pending_cancel, OrderState::pending_update,
                                 OrderState::unknown) |
                           kTerminalStates},
    {OrderState::partially_filled,
     state_set(OrderState::pending_cancel, OrderState::pending_update, OrderState::unknown) | kTerminalStates},
    {OrderState::pending_cancel,
     state_set(OrderState::pending_submit, OrderState::open, OrderState::partially_filled, OrderState::unknown) |
         kTerminalStates},
    {OrderState::pending_update,
     state_set(OrderState::open, OrderState::partially_filled, OrderState::pending_cancel, OrderState::unknown) |
         kTerminalStates},
    {OrderState::unknown,
     state_set(OrderState::open, OrderState::partially_filled, OrderState::pending_cancel) | kTerminalStates},
    {OrderState::filled, 0},
    {OrderState::canceled, 0},
    {OrderState::failed, 0},
    {OrderState::expired, 0},
};

constexpr bool is_terminal(OrderState state) noexcept { return (kTerminalStates & state_bit(state)) != 0; }

constexpr bool is_order_state(std::uint8_t value) noexcept {
    for (const OrderState state : kOrderStates) {
        if (static_cast<std::uint8_t>(state) == value) {
            return true;
        }
    }
    return false;
}

namespace detail {

constexpr std::array<std::uint32_t, 32> edges_by_state() noexcept {
    std::array<std::uint32_t, 32> table{};
    for (const StateEdges& edges : kStateEdges) {
        table[static_cast<std::size_t>(edges.from)] = edges.to;
    }
    return table;
}

constexpr std::array<std::uint32_t, 32> kEdgesByState = edges_by_state();

}  // namespace detail

constexpr bool can_move(OrderState from, OrderState to) noexcept {
    return (detail::kEdgesByState[static_cast<std::size_t>(from)] & state_bit(to)) != 0;
}

// -- records ---------------------------------------------------------------------------------------------------

using VenueOrderId = HashedText<48>;  // decimal numbers, UUIDs, hashes
using TradeId = HashedText<48>;
using AssetName = Text<16>;

constexpr std::int32_t kNoFill = -1;
constexpr std::int32_t kNoId = -1;
constexpr std::uint32_t kNoOrder = UINT32_MAX;
constexpr TradeType kAnySide = TradeType{};

// One execution. Amounts are magnitudes; the order's side gives the direction.
struct Fill {
    TradeId trade_id;
    AssetName fee_asset;
    Fixed price;                   // quote per base
    Fixed amount;                  // base asset
    Fixed quote;                   // quote asset
    Fixed fee;                     // fee_asset; negative is a rebate
    std::int64_t venue_ns = 0;     // the venue's clock
    std::int64_t received_ns = 0;  // ours
    std::int32_t next = kNoFill;   // next fill of the same order
    bool is_taker = true;
    bool is_provisional = false;  // inferred from a cumulative amount; real fills replace it
    // Set by the tracker: what the fill is keyed by, and whose it is.
    TradeType trade_type = kAnySide;
    std::uint32_t symbol = 0;
    std::uint32_t order = kNoOrder;  // slot; kNoOrder once the order is forgotten
    std::uint64_t client_id = 0;     // 0: of no order that was known
};

// Why the public state moved.
enum class TransitionReason : std::uint8_t {
    local = 1,    // what we do or know ourselves: submitting, cancelling, no answer, refused before sending
    report = 2,   // the venue reported a state
    fill = 3,     // a fill was booked
    refusal = 4,  // the venue refused a cancel or an amend
    absence = 5,  // the venue kept saying that there is no such order
};

struct Transition {
    std::int64_t time_ns = 0;  // local wall time
    OrderState from = OrderState::pending_create;
    OrderState to = OrderState::pending_create;
    TransitionReason reason = TransitionReason::local;
};

constexpr std::size_t kTransitionsKept = 8;

struct InFlightOrder {
    std::uint64_t client_id = 0;
    std::uint32_t generation = 0;  // of the slot: a handle to an earlier use does not match
    std::uint32_t symbol = 0;      // index into the tracker's symbols
    OrderState state = OrderState::pending_create;
    OrderState reported = OrderState::pending_create;  // what the venue said last
    OrderState resume = OrderState::open;              // where a refused cancel or amend goes back to
    TradeType trade_type = TradeType::buy;
    OrderType order_type = OrderType::limit;
    PositionAction position = PositionAction::nil;
    bool created_sent = false;      // the Created event went out
    bool terminal_sent = false;     // the one terminal event went out
    bool is_external = false;       // not placed here: adopted
    bool ended_by_absence = false;  // no word of the venue ended it: it may show life yet
    std::int32_t leverage = 1;
    Fixed price;          // quote per base; 0 for a market order without a price
    Fixed amount;         // base asset, > 0
    Fixed executed_base;  // sums of the booked fills
    Fixed executed_quote;
    Fixed reported_base;             // executed amount the venue has reported; fills up to it may still be on their way
    VenueOrderId exchange_order_id;  // the head of the chain: the newest
    std::int64_t created_ns = 0;     // local wall time of each step, 0 = not yet
    std::int64_t submitted_ns = 0;   // first byte left
    std::int64_t acked_ns = 0;       // first word of the venue
    std::int64_t first_fill_ns = 0;
    std::int64_t done_ns = 0;
    std::int64_t venue_ns = 0;  // the venue's clock at the newest update applied
    std::int32_t first_fill = kNoFill;
    std::int32_t last_fill = kNoFill;
    std::uint32_t fill_count = 0;
    std::uint32_t provisional_count = 0;  // of the fills
    std::int32_t past_id = kNoId;         // newest of the venue ids that it had before
    std::uint32_t transition_count = 0;   // ever; the newest kTransitionsKept are in the ring
    Transition transitions[kTransitionsKept];
};

inline void note_transition(InFlightOrder& order, OrderState from, TransitionReason reason,
                            std::int64_t now_ns) noexcept {
    order.transitions[order.transition_count++ % kTransitionsKept] = Transition{now_ns, from, order.state, reason};
}

// -- moves -----------------------------------------------------------------------------------------------------

// What became of an update. Everything from `stale` on changed nothing.
enum class Applied : std::uint8_t {
    changed = 0,
    unchanged = 1,  // nothing new in it (a duplicate)
    stale = 2,      // older than what is known, by the venue's clock
    terminal = 3,   // the order has ended
    illegal = 4,    // not a move of the table
    duplicate_fill = 5,
    overfill = 6,    // would execute more than was ordered
    bad_amount = 7,  // zero, negative, or not exact
    unknown_order = 8,
    foreign = 9,      // its ids, or its trade id, belong to another order
    superseded = 10,  // about a venue id that an amend or replacement has put into the past
};
constexpr std::size_t kAppliedCount = 11;

inline bool is_executed(const InFlightOrder& order) noexcept {
    return order.amount.units > 0 && compare(order.executed_base, order.amount) >= 0;
}

// The live state an accepted order is in when nothing is pending.
inline OrderState live_state(const InFlightOrder& order) noexcept {
    return order.executed_base.units > 0 ? OrderState::partially_filled : OrderState::open;
}

// Whether the venue has reported the end and every fill it counted is booked.
inline bool is_end_due(const InFlightOrder& order) noexcept {
    if (order.reported == OrderState::filled) {
        return is_executed(order);
    }
    return is_terminal(order.reported) && compare(order.executed_base, order.reported_base) >= 0;
}

// Applies a reported state. The public state only moves along kStateEdges:
//  - an accept or a fill report during a pending cancel or amend is noted, and the order stays pending;
//  - an end (FILLED, CANCELED, EXPIRED) takes effect once the fills that the venue counts are booked, because they may
//    come later, on another stream: until then the order stays live and the report is kept in `reported`. So fills
//    come before the terminal event, and its amounts are right.
// `executed` is the executed base amount the report carries, 0 where it carries none.
inline Applied apply_state(InFlightOrder& order, OrderState next, std::int64_t venue_ns,
                           Fixed executed = Fixed{}) noexcept {
    if (is_terminal(order.state)) {
        return Applied::terminal;
    }
    const bool local = venue_ns == 0;  // our own knowledge (submitting, cancelling, unknown) carries no venue time
    // An order of which nothing is known takes any word: the venue does not renew the time of an order that rests.
    if (!local && venue_ns < order.venue_ns && !is_terminal(next) && order.state != OrderState::unknown) {
        return Applied::stale;
    }
    if (!local && venue_ns > order.venue_ns) {
        order.venue_ns = venue_ns;
    }
    if (compare(executed, order.reported_base) > 0) {
        order.reported_base = executed;
    }
    const bool word = next == OrderState::open || next == OrderState::partially_filled || is_terminal(next);
    if (word && !is_terminal(order.reported)) {
        order.reported = next;
    }
    if (next != OrderState::failed && is_terminal(next) && !is_end_due(order)) {
        next = live_state(order);
    }
    if (next == OrderState::open || next == OrderState::partially_filled) {
        next = live_state(order);
        if (order.state == OrderState::pending_cancel || order.state == OrderState::pending_update) {
            order.resume = next;
            return Applied::unchanged;
        }
    }
    if (next == OrderState::pending_submit && order.state == OrderState::pending_cancel) {
        order.resume = next;  // cancelled before it was sent: it is sent all the same, and the cancel follows
        return Applied::unchanged;
    }
    if (next == order.state) {
        return Applied::unchanged;
    }
    if (!can_move(order.state, next)) {
        return Applied::illegal;
    }
    if (next == OrderState::pending_cancel || next == OrderState::pending_update) {
        order.resume = order.state;
    }
    order.state = next;
    return Applied::changed;
}

// A cancel or amend was refused: back to where the order came from (or to where reports have since put it).
inline Applied revert_pending(InFlightOrder& order) noexcept {
    if (order.state != OrderState::pending_cancel && order.state != OrderState::pending_update) {
        return Applied::unchanged;
    }
    OrderState back = order.resume;
    if (back == OrderState::open || back == OrderState::partially_filled) {
        back = live_state(order);
    } else if (!can_move(order.state, back)) {
        back = OrderState::unknown;
    }
    order.state = back;
    return Applied::changed;
}

// Adds a fill to the sums and moves the state with them; the caller has ruled out duplicates. A fill of an order that
// has ended is still added: the terminal state stays, the amounts are the truth.
inline Applied apply_fill(InFlightOrder& order, const Fill& fill) noexcept {
    if (fill.amount.units <= 0 || fill.price.units < 0 || fill.quote.units < 0) {
        return Applied::bad_amount;
    }
    Fixed base;
    Fixed quote;
    if (add(order.executed_base, fill.amount, base) != FixedError::ok ||
        add(order.executed_quote, fill.quote, quote) != FixedError::ok) {
        return Applied::bad_amount;
    }
    if (compare(base, order.amount) > 0) {
        return Applied::overfill;
    }
    order.executed_base = base;
    order.executed_quote = quote;
    if (fill.venue_ns > order.venue_ns) {
        order.venue_ns = fill.venue_ns;
    }
    if (is_terminal(order.state)) {
        return Applied::changed;
    }
    if (is_executed(order)) {
        order.state = OrderState::filled;
    } else if (is_end_due(order)) {
        order.state = order.reported;  // the last fill that a reported end was waiting for
    } else if (order.state == OrderState::pending_cancel || order.state == OrderState::pending_update) {
        order.resume = OrderState::partially_filled;
    } else {
        order.state = OrderState::partially_filled;
    }
    return Applied::changed;
}

}  // namespace qtxconn
