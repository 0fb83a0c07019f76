// The order record and the order state machine: one table of legal moves, and the two things that move an order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qtxconn/enums.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/hash_chains.hpp"
#include "qtxconn/venue_ids.hpp"

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

constexpr std::int32_t kNoFill = -1;
constexpr std::int32_t kNoId = -1;
constexpr std::uint32_t kNoOrder = UINT32_MAX;
constexpr TradeType kAnySide = TradeType{};

// Assets are numbered by the tracker, from 1.
constexpr std::uint32_t kNoAsset = 0;
constexpr std::uint32_t kAssetsMax = 510;
constexpr std::uint32_t kSeveralFees = 511;

// What was charged for a fill in one asset; negative is a rebate.
struct Fee {
    std::uint32_t asset = kNoAsset;
    Fixed amount;
};

// One execution, in a cache line. Amounts are magnitudes; the order's side gives the direction.
struct Fill {
    VenueId trade_id = kNoVenueId;
    std::int64_t price_units = 0;
    std::int64_t amount_units = 0;
    std::int64_t quote_units = 0;
    std::int64_t fee_units = 0;  // with kSeveralFees: the number of the first in the tracker's list
    std::int64_t venue_ns = 0;   // the venue's clock
    // Set by the tracker: the order's slot, or a forgotten trade (see ClientOrderTracker), and links.
    std::uint32_t order = kNoOrder;
    std::int32_t next = kNoFill;  // next fill of the same order
    std::uint32_t next_by_trade_id = HashChains::kNone;
    std::uint32_t price_scale : 5;
    std::uint32_t amount_scale : 5;
    std::uint32_t quote_scale : 5;
    std::uint32_t fee_scale : 5;
    std::uint32_t fee_asset : 9;
    std::uint32_t is_taker : 1;
    std::uint32_t is_provisional : 1;  // inferred from a cumulative amount; real fills replace it

    Fill() noexcept
        : price_scale(0), amount_scale(0), quote_scale(0), fee_scale(0), fee_asset(0), is_taker(1), is_provisional(0) {}

    Fixed price() const noexcept { return scaled(price_units, price_scale); }     // quote per base
    Fixed amount() const noexcept { return scaled(amount_units, amount_scale); }  // base asset
    Fixed quote() const noexcept { return scaled(quote_units, quote_scale); }     // quote asset

    void set_price(Fixed value) noexcept {
        price_units = value.units;
        price_scale = static_cast<unsigned>(value.scale) & 31U;
    }
    void set_amount(Fixed value) noexcept {
        amount_units = value.units;
        amount_scale = static_cast<unsigned>(value.scale) & 31U;
    }
    void set_quote(Fixed value) noexcept {
        quote_units = value.units;
        quote_scale = static_cast<unsigned>(value.scale) & 31U;
    }
    Fee fee() const noexcept { return {fee_asset, scaled(fee_units, fee_scale)}; }  // unless kSeveralFees
    std::uint32_t& link() noexcept { return next_by_trade_id; }                     // of a record that is free
    // The first fee; the tracker takes any others together with the fill.
    void set_fee(Fee fee) noexcept {
        fee_units = fee.amount.units;
        fee_scale = static_cast<unsigned>(fee.amount.scale) & 31U;
        fee_asset = fee.asset & 511U;
    }

private:
    static Fixed scaled(std::int64_t units, unsigned scale) noexcept {
        return {units, static_cast<std::int32_t>(scale)};
    }
};
static_assert(sizeof(Fill) == 64);

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

constexpr std::uint32_t kTransitionsKept = 8;

// An order, in three cache lines: what every update touches comes first. Its base amounts share one scale, which
// becomes finer when the venue uses a finer one, and is never coarser than an amount needs: nothing is rounded.
struct InFlightOrder {
    std::uint64_t client_id = 0;
    VenueId exchange_id = kNoVenueId;  // the head of the chain: the newest
    std::int64_t amount_units = 0;     // base asset, > 0
    std::int64_t executed_units = 0;   // sum of the booked fills, base asset
    std::int64_t reported_units = 0;   // executed as the venue has reported; fills up to it may still be on their way
    std::int64_t quote_units = 0;      // sum of the booked fills, quote asset
    std::int64_t venue_ns = 0;         // the venue's clock at the newest update applied
    std::int64_t acked_ns = 0;         // local wall time of each step, 0 = not yet: first word of the venue
    std::int64_t first_fill_ns = 0;
    std::int64_t moved_ns = 0;     // newest move of the state
    std::uint64_t moves = 0;       // the newest in the lowest byte; see note_transition()
    std::uint32_t generation = 0;  // of the slot: a handle to an earlier use does not match
    std::uint32_t symbol = 0;      // index into the tracker's symbols
    std::int32_t first_fill = kNoFill;
    std::int32_t last_fill = kNoFill;
    std::uint32_t next_by_client_id = HashChains::kNone;
    std::uint32_t next_by_exchange_id = HashChains::kNone;
    std::int32_t past_id = kNoId;        // newest of the venue ids that it had before
    std::uint32_t transition_count = 0;  // ever; the newest kTransitionsKept are kept
    OrderState state = OrderState::pending_create;
    OrderState reported = OrderState::pending_create;  // what the venue said last
    std::uint8_t base_scale = 0;
    std::uint8_t quote_scale = 0;
    std::uint8_t price_scale = 0;
    OrderState resume : 5;  // where a refused cancel or amend goes back to
    PositionAction position : 2;
    bool has_provisional : 1;   // among its fills
    OrderState past_state : 5;  // from which the oldest move that is kept went
    bool created_sent : 1;      // the Created event went out
    bool terminal_sent : 1;     // the one terminal event went out
    bool is_external : 1;       // not placed here: adopted
    OrderType order_type : 5;
    TradeType trade_type : 2;
    bool ended_by_absence : 1;     // no word of the venue ended it: it may show life yet
    std::int64_t price_units = 0;  // quote per base; 0 for a market order without a price
    std::int64_t created_ns = 0;
    std::int64_t submitted_ns = 0;  // first byte left
    std::int64_t amended_ns = 0;    // the venue's clock at the newest amend applied
    std::uint16_t leverage = 1;
    std::uint16_t not_found_count = 0;              // times that the venue said "no such order"
    float move_gaps_ns[kTransitionsKept - 1] = {};  // time between a move and the one before it, the newest first

    InFlightOrder() noexcept
        : resume(OrderState::open),
          position(PositionAction::nil),
          has_provisional(false),
          past_state(OrderState::pending_create),
          created_sent(false),
          terminal_sent(false),
          is_external(false),
          order_type(OrderType::limit),
          trade_type(TradeType::buy),
          ended_by_absence(false) {}

    std::uint32_t& link() noexcept { return next_by_client_id; }  // of a record that is free

    Fixed price() const noexcept { return trimmed(price_units, price_scale); }
    Fixed amount() const noexcept { return trimmed(amount_units, base_scale); }
    Fixed executed_base() const noexcept { return trimmed(executed_units, base_scale); }
    Fixed reported_base() const noexcept { return trimmed(reported_units, base_scale); }
    Fixed executed_quote() const noexcept { return trimmed(quote_units, quote_scale); }

    void set_price(Fixed value) noexcept {
        price_units = value.units;
        price_scale = static_cast<std::uint8_t>(value.scale);
    }
    // Of an order that has no fills yet.
    void set_amount(Fixed value) noexcept {
        amount_units = value.units;
        base_scale = static_cast<std::uint8_t>(value.scale);
    }
    void set_executed_quote(Fixed value) noexcept {
        quote_units = value.units;
        quote_scale = static_cast<std::uint8_t>(value.scale);
    }

    // When it ended, by local wall time; 0 while it lives. A terminal state is never left, so it is the newest move.
    std::int64_t done_ns() const noexcept { return is_terminal(state) ? moved_ns : 0; }

    // Move `number` of those ever made, which must be one of the newest kTransitionsKept. The time of the newest is
    // exact; gaps between moves are kept to one part in 2^24, so to the nanosecond up to 16 ms.
    Transition transition(std::uint32_t number) const noexcept {
        const std::uint32_t age = transition_count - 1 - number;
        const bool oldest = number == 0 || age + 1 == kTransitionsKept;
        std::int64_t time_ns = moved_ns;
        for (std::uint32_t i = 0; i < age; ++i) {
            time_ns -= static_cast<std::int64_t>(move_gaps_ns[i]);
        }
        const auto move = static_cast<std::uint8_t>(moves >> 8 * age);
        const OrderState from = oldest ? past_state : target_of(static_cast<std::uint8_t>(moves >> 8 * (age + 1)));
        return {time_ns, from, target_of(move), static_cast<TransitionReason>(move >> 5)};
    }

    static OrderState target_of(std::uint8_t move) noexcept { return static_cast<OrderState>(move & 31U); }

private:
    static Fixed trimmed(std::int64_t units, std::int32_t scale) noexcept {
        for (; scale > 0 && units % 10 == 0; --scale) {
            units /= 10;
        }
        return {units, scale};
    }
};

static_assert(sizeof(InFlightOrder) == 192);

// Keeps a move: the new state in bits 0 to 4 of a byte, the reason in 5 to 7, and when it was. The old state is the
// new one of the move before.
inline void note_transition(InFlightOrder& order, TransitionReason reason, std::int64_t now_ns) noexcept {
    const auto oldest = static_cast<std::uint8_t>(order.moves >> 56);
    if (oldest != 0) {
        order.past_state = InFlightOrder::target_of(oldest);
    }
    order.moves = order.moves << 8 | static_cast<unsigned>(reason) << 5 | static_cast<unsigned>(order.state);
    std::memmove(order.move_gaps_ns + 1, order.move_gaps_ns, sizeof order.move_gaps_ns - sizeof *order.move_gaps_ns);
    order.move_gaps_ns[0] = static_cast<float>(now_ns - order.moved_ns);
    order.moved_ns = now_ns;
    ++order.transition_count;
}

// -- amounts ---------------------------------------------------------------------------------------------------

// Brings the base amounts to a finer scale; false, with nothing changed, if one would no longer fit.
[[gnu::noinline, gnu::cold]] inline bool refine_base(InFlightOrder& order, std::int32_t scale) noexcept {
    std::int64_t units[] = {order.amount_units, order.executed_units, order.reported_units};
    for (std::int64_t& value : units) {
        if (__builtin_mul_overflow(value, detail::kPow10[scale - order.base_scale], &value)) {
            return false;
        }
    }
    order.amount_units = units[0];
    order.executed_units = units[1];
    order.reported_units = units[2];
    order.base_scale = static_cast<std::uint8_t>(scale);
    return true;
}

// What became of an update. Everything from `stale` on changed nothing.
enum class Applied : std::uint8_t {
    changed = 0,
    unchanged = 1,  // nothing new in it (a duplicate)
    stale = 2,      // older than what is known, by the venue's clock
    terminal = 3,   // the order has ended
    illegal = 4,    // not a move of the table
    duplicate_fill = 5,
    overfill = 6,    // would execute more than is ordered
    bad_amount = 7,  // zero, negative, or not exact
    unknown_order = 8,
    foreign = 9,      // its ids, or its trade id, belong to another order
    superseded = 10,  // about a venue id that an amend or replacement has put into the past
};
constexpr std::size_t kAppliedCount = 11;

// `value` in the order's base units, which become finer if it needs that. bad_amount: it cannot be held exactly beside
// the others. overfill: it is larger than any amount the order could have.
inline Applied to_base_units(InFlightOrder& order, Fixed value, std::int64_t& units) noexcept {
    if (value.scale == order.base_scale) {
        units = value.units;
        return Applied::changed;
    }
    if (value.scale > order.base_scale && !refine_base(order, value.scale)) {
        return Applied::bad_amount;
    }
    const bool overflows = __builtin_mul_overflow(value.units, detail::kPow10[order.base_scale - value.scale], &units);
    return overflows ? Applied::overfill : Applied::changed;
}

// Adds an amount of another scale; the sum's becomes finer if `value` needs it, coarser if only that fits.
[[gnu::noinline]] inline bool add_quote_rescaled(InFlightOrder& order, Fixed value) noexcept {
    std::int64_t units = 0;
    if (value.scale <= order.quote_scale &&
        !__builtin_mul_overflow(value.units, detail::kPow10[order.quote_scale - value.scale], &units) &&
        !__builtin_add_overflow(units, order.quote_units, &units)) {
        order.quote_units = units;
        return true;
    }
    Fixed sum;
    if (add(Fixed{order.quote_units, order.quote_scale}, value, sum) != FixedError::ok) {
        return false;
    }
    order.set_executed_quote(sum);
    return true;
}

// Adds `value` to the executed quote amount; false, with nothing changed, if the sum cannot be held exactly.
inline bool add_quote(InFlightOrder& order, Fixed value) noexcept {
    std::int64_t units = 0;
    if (value.scale == order.quote_scale && !__builtin_add_overflow(value.units, order.quote_units, &units)) {
        order.quote_units = units;
        return true;
    }
    return add_quote_rescaled(order, value);
}

// -- moves -----------------------------------------------------------------------------------------------------

inline bool is_executed(const InFlightOrder& order) noexcept {
    return order.amount_units > 0 && order.executed_units >= order.amount_units;
}

// The live state an accepted order is in when nothing is pending.
inline OrderState live_state(const InFlightOrder& order) noexcept {
    return order.executed_units > 0 ? OrderState::partially_filled : OrderState::open;
}

// Whether the venue has reported the end and every fill it counted is booked.
inline bool is_end_due(const InFlightOrder& order) noexcept {
    if (order.reported == OrderState::filled) {
        return is_executed(order);
    }
    return is_terminal(order.reported) && order.executed_units >= order.reported_units;
}

constexpr std::uint32_t kWordsOfLife = state_set(OrderState::open, OrderState::partially_filled);
constexpr std::uint32_t kPendingRequests = state_set(OrderState::pending_cancel, OrderState::pending_update);

constexpr bool is_in(OrderState state, std::uint32_t set) noexcept { return (set & state_bit(state)) != 0; }

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
    if (executed.units > 0) {
        std::int64_t units = 0;
        if (to_base_units(order, executed, units) != Applied::changed) {
            return Applied::bad_amount;
        }
        order.reported_units = units > order.reported_units ? units : order.reported_units;
    }
    if (venue_ns > order.venue_ns) {
        order.venue_ns = venue_ns;
    }
    if (is_in(next, kWordsOfLife | kTerminalStates) && !is_terminal(order.reported)) {
        order.reported = next;
    }
    if (next != OrderState::failed && is_terminal(next) && !is_end_due(order)) {
        next = live_state(order);
    }
    if (is_in(next, kWordsOfLife)) {
        next = live_state(order);
        if (is_in(order.state, kPendingRequests)) {
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
    if (is_in(next, kPendingRequests)) {
        order.resume = order.state;
    }
    order.state = next;
    return Applied::changed;
}

// A cancel or amend was refused: back to where the order came from (or to where reports have since put it).
inline Applied revert_pending(InFlightOrder& order) noexcept {
    if (!is_in(order.state, kPendingRequests)) {
        return Applied::unchanged;
    }
    OrderState back = order.resume;
    if (is_in(back, kWordsOfLife)) {
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
    if (fill.amount_units <= 0 || fill.price_units < 0 || fill.quote_units < 0) {
        return Applied::bad_amount;
    }
    std::int64_t units = 0;
    const Applied exact = to_base_units(order, fill.amount(), units);
    if (exact != Applied::changed) {
        return exact;
    }
    if (units > order.amount_units - order.executed_units) {
        return Applied::overfill;
    }
    if (!add_quote(order, fill.quote())) {
        return Applied::bad_amount;
    }
    order.executed_units += units;
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
    } else if (is_in(order.state, kPendingRequests)) {
        order.resume = OrderState::partially_filled;
    } else {
        order.state = OrderState::partially_filled;
    }
    return Applied::changed;
}

// Applies the venue's word that the order now has this price and this amount (0: as before). It ends a pending amend;
// an order that has executed all of the new amount ends when the venue says how. `venue_ns` orders amends among each
// other only: fills that were reported before and happened later do not make one stale. 0: no time was given. Venues
// count milliseconds: what they say of the same instant as the newest amend is older than it once the end is known.
inline Applied apply_amend(InFlightOrder& order, Fixed price, Fixed amount, std::int64_t venue_ns) noexcept {
    if (is_terminal(order.state)) {
        return Applied::terminal;
    }
    if (venue_ns != 0 &&
        (venue_ns < order.amended_ns || (venue_ns == order.amended_ns && is_terminal(order.reported)))) {
        return Applied::stale;
    }
    if (price.units < 0 || amount.units < 0) {
        return Applied::bad_amount;
    }
    std::int64_t units = order.amount_units;
    if (amount.units > 0 && to_base_units(order, amount, units) != Applied::changed) {
        return Applied::bad_amount;
    }
    if (units < order.executed_units) {
        return Applied::overfill;
    }
    const bool same = units == order.amount_units && (price.units == 0 || price == order.price());
    order.amount_units = units;
    if (price.units > 0) {
        order.set_price(price);
    }
    if (venue_ns != 0) {
        order.amended_ns = venue_ns;
        order.venue_ns = venue_ns > order.venue_ns ? venue_ns : order.venue_ns;
    }
    const OrderState from = order.state;
    if (is_end_due(order)) {
        order.state = order.reported;
    } else if (from == OrderState::pending_update || !is_in(from, kPendingRequests)) {
        order.state = live_state(order);  // it lives: only a cancel can still be under way
    } else {
        order.resume = live_state(order);
    }
    return same && order.state == from ? Applied::unchanged : Applied::changed;
}

}  // namespace qtxconn
