// The order state machine: every pair of states, in both directions, against a table written by hand.
#include <string_view>

#include "check.hpp"
#include "qtxconn/in_flight_order.hpp"

using namespace qtxconn;
using S = OrderState;

namespace {

constexpr S kAll[] = {S::pending_create, S::pending_submit, S::open,    S::partially_filled,
                      S::pending_cancel, S::pending_update, S::unknown, S::filled,
                      S::canceled,       S::failed,         S::expired};

// Rows and columns in the order of kAll. 'x' is a legal move.
constexpr std::string_view kLegal[] = {
    ".xxxx.xxxxx",  // pending_create
    "..xxx.xxxxx",  // pending_submit
    "...xxxxxxxx",  // open
    "....xxxxxxx",  // partially_filled
    ".xxx..xxxxx",  // pending_cancel
    "..xxx.xxxxx",  // pending_update
    "..xxx..xxxx",  // unknown
    "...........", "...........", "...........", "...........",
};

InFlightOrder order_in(S state) {
    InFlightOrder order;
    order.state = state;
    order.reported = is_terminal(state) ? state : S::pending_create;
    order.set_amount(Fixed{10, 0});
    if (state == S::partially_filled || state == S::filled) {
        order.executed_units = state == S::filled ? 10 : 4;
    }
    return order;
}

Fill fill_of(std::int64_t amount, std::int64_t venue_ns = 0) {
    Fill fill;
    fill.set_price(Fixed{2, 0});
    fill.set_amount(Fixed{amount, 0});
    fill.set_quote(Fixed{amount * 2, 0});
    fill.venue_ns = venue_ns;
    return fill;
}

void every_move_is_legal_exactly_where_the_table_says() {
    for (std::size_t from = 0; from < 11; ++from) {
        for (std::size_t to = 0; to < 11; ++to) {
            CHECK(can_move(kAll[from], kAll[to]) == (kLegal[from][to] == 'x'));
        }
        CHECK(is_terminal(kAll[from]) == (from >= 7));
        CHECK(is_order_state(static_cast<std::uint8_t>(kAll[from])));
    }
    for (int value = 0, known = 0; value < 256; ++value) {
        known += is_order_state(static_cast<std::uint8_t>(value)) ? 1 : 0;
        CHECK(value < 255 || known == 11);
    }
    CHECK(sizeof(kOrderStates) / sizeof(kOrderStates[0]) == 11);
    CHECK(sizeof(kStateEdges) / sizeof(kStateEdges[0]) == 11);
}

// Whatever is applied, the state only changes along an edge (a refused cancel or amend apart, which goes back).
void no_update_of_any_kind_leaves_the_table() {
    for (const S from : kAll) {
        for (const S next : kAll) {
            for (const std::int64_t executed : {0, 4, 10}) {
                for (const std::int64_t venue_ns : {0, 5, 50}) {
                    InFlightOrder order = order_in(from);
                    order.venue_ns = 10;
                    const Applied applied = apply_state(order, next, venue_ns, Fixed{executed, 0});
                    CHECK(order.state == from || can_move(from, order.state));
                    CHECK((applied == Applied::changed) == (order.state != from));
                    CHECK((applied == Applied::terminal) == is_terminal(from));
                    CHECK(order.venue_ns >= 10);
                }
            }
            InFlightOrder order = order_in(from);
            if (apply_fill(order, fill_of(3)) == Applied::changed) {
                CHECK(order.state == from || can_move(from, order.state));
            }
        }
    }
}

void nothing_leaves_a_terminal_state() {
    for (const S from : {S::filled, S::canceled, S::failed, S::expired}) {
        for (const S next : kAll) {
            InFlightOrder order = order_in(from);
            CHECK(apply_state(order, next, 1000, Fixed{10, 0}) == Applied::terminal && order.state == from);
            CHECK(revert_pending(order) == Applied::unchanged && order.state == from);
        }
        InFlightOrder order = order_in(from);
        if (from != S::filled) {
            CHECK(apply_fill(order, fill_of(10)) == Applied::changed && order.state == from);  // booked all the same
            CHECK(order.executed_base() == (Fixed{10, 0}));
        }
    }
}

void older_news_is_stale_unless_it_is_an_end_or_nothing_is_known() {
    InFlightOrder order = order_in(S::open);
    order.venue_ns = 100;
    CHECK(apply_state(order, S::partially_filled, 99) == Applied::stale);
    CHECK(apply_state(order, S::unknown, 0) == Applied::changed);
    CHECK(apply_state(order, S::open, 99) == Applied::changed && order.state == S::open && order.venue_ns == 100);
    CHECK(apply_state(order, S::canceled, 1) == Applied::changed && order.state == S::canceled);
}

void an_end_waits_for_the_fills_it_counts() {
    for (const S end : {S::canceled, S::expired}) {
        InFlightOrder order = order_in(S::open);
        CHECK(apply_state(order, end, 5, Fixed{7, 0}) == Applied::unchanged);
        CHECK(order.state == S::open && order.reported == end);
        CHECK(apply_fill(order, fill_of(3)) == Applied::changed && order.state == S::partially_filled);
        CHECK(apply_fill(order, fill_of(4)) == Applied::changed && order.state == end);
    }
    InFlightOrder order = order_in(S::open);
    CHECK(apply_state(order, S::filled, 5) == Applied::unchanged && order.state == S::open);
    CHECK(apply_fill(order, fill_of(10)) == Applied::changed && order.state == S::filled);
}

void a_fill_never_exceeds_the_order_and_is_a_magnitude() {
    InFlightOrder order = order_in(S::open);
    CHECK(apply_fill(order, fill_of(11)) == Applied::overfill && order.state == S::open);
    CHECK(apply_fill(order, fill_of(6)) == Applied::changed);
    CHECK(apply_fill(order, fill_of(5)) == Applied::overfill && order.executed_base() == (Fixed{6, 0}));
    for (const std::int64_t amount : {0, -3}) {
        CHECK(apply_fill(order, fill_of(amount)) == Applied::bad_amount);
    }
    Fill fill = fill_of(1);
    fill.price_units = -1;
    CHECK(apply_fill(order, fill) == Applied::bad_amount);
    fill = fill_of(1);
    fill.quote_units = -1;
    CHECK(apply_fill(order, fill) == Applied::bad_amount);
    fill = fill_of(1);
    fill.set_quote(Fixed{INT64_MAX, 0});
    CHECK(apply_fill(order, fill) == Applied::bad_amount && order.executed_base() == (Fixed{6, 0}));
}

void a_pending_cancel_survives_the_send_the_ack_and_a_partial_fill() {
    InFlightOrder order = order_in(S::pending_create);
    CHECK(apply_state(order, S::pending_cancel, 0) == Applied::changed);
    CHECK(apply_state(order, S::pending_submit, 0) == Applied::unchanged && order.state == S::pending_cancel);
    CHECK(order.resume == S::pending_submit);
    CHECK(apply_state(order, S::open, 5) == Applied::unchanged && order.state == S::pending_cancel);
    CHECK(apply_fill(order, fill_of(4)) == Applied::changed && order.state == S::pending_cancel);
    CHECK(revert_pending(order) == Applied::changed && order.state == S::partially_filled);
    CHECK(revert_pending(order) == Applied::unchanged);
}

void a_refused_cancel_goes_back_to_where_it_came_from() {
    for (const S from : {S::pending_submit, S::open, S::partially_filled, S::unknown}) {
        InFlightOrder order = order_in(from);
        CHECK(apply_state(order, S::pending_cancel, 0) == Applied::changed);
        CHECK(revert_pending(order) == Applied::changed && order.state == from);
    }
    InFlightOrder unsent = order_in(S::pending_create);
    CHECK(apply_state(unsent, S::pending_cancel, 0) == Applied::changed);
    CHECK(revert_pending(unsent) == Applied::changed && unsent.state == S::unknown);
}

}  // namespace

int main() {
    every_move_is_legal_exactly_where_the_table_says();
    no_update_of_any_kind_leaves_the_table();
    nothing_leaves_a_terminal_state();
    older_news_is_stale_unless_it_is_an_end_or_nothing_is_known();
    an_end_waits_for_the_fills_it_counts();
    a_fill_never_exceeds_the_order_and_is_a_magnitude();
    a_pending_cancel_survives_the_send_the_ack_and_a_partial_fill();
    a_refused_cancel_goes_back_to_where_it_came_from();
    return 0;
}
