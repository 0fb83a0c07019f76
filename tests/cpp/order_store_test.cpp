// Amends, scales, fees and listeners of the order store.
#include <string>
#include <vector>

#include "check.hpp"
#include "qtxconn/client_order_tracker.hpp"

using namespace qtxconn;
using S = OrderState;
using K = OrderEventKind;

namespace {

InFlightOrder order_of(std::uint64_t client_id, Fixed amount = Fixed{10, 0}) {
    InFlightOrder order;
    order.client_id = client_id;
    order.set_amount(amount);
    order.set_price(Fixed{3, 0});
    return order;
}

Fill fill_of(VenueId trade_id, Fixed amount, Fixed quote = Fixed{1, 0}) {
    Fill fill;
    fill.trade_id = trade_id;
    fill.set_price(Fixed{3, 0});
    fill.set_amount(amount);
    fill.set_quote(quote);
    return fill;
}

std::vector<K> take_events(ClientOrderTracker& tracker) {
    std::vector<K> kinds;
    while (const OrderEvent* event = tracker.next_event()) {
        kinds.push_back(event->kind);
    }
    return kinds;
}

// -- amends ----------------------------------------------------------------------------------------------------

void an_amend_changes_price_and_amount_and_tells_what_they_were() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    tracker.process_state(slot, S::open, 5, Fixed{}, 1);
    tracker.process_state(slot, S::pending_update, 0, Fixed{}, 2, TransitionReason::local);
    CHECK(tracker.process_state(slot, S::open, 6, Fixed{}, 3) == Applied::unchanged);  // no word on the amend
    CHECK(tracker.at(slot).state == S::pending_update);
    CHECK(tracker.process_amend(slot, Fixed{45, 1}, Fixed{125, 1}, 7, 4) == Applied::changed);
    const InFlightOrder& order = tracker.at(slot);
    CHECK(order.state == S::open && order.price() == (Fixed{45, 1}) && order.amount() == (Fixed{125, 1}));
    CHECK(tracker.next_event()->kind == K::created);
    const OrderEvent* event = tracker.next_event();
    CHECK(event->kind == K::amended && event->time_ns == 4);
    CHECK(event->price == (Fixed{3, 0}) && event->amount == (Fixed{10, 0}) && tracker.next_event() == nullptr);
    CHECK(order.transition(order.transition_count - 1).from == S::pending_update);
    CHECK(tracker.process_fill(slot, fill_of(1, Fixed{125, 1}), 5) == Applied::changed && order.state == S::filled);
    CHECK(tracker.process_amend(slot, Fixed{5, 0}, Fixed{20, 0}, 9, 6) == Applied::terminal);
}

void amends_are_ordered_among_each_other_by_the_venues_clock() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    Fill late = fill_of(1, Fixed{1, 0});
    late.venue_ns = 100;
    tracker.process_fill(slot, late, 1);  // happened after the amends, was heard of before
    CHECK(tracker.process_amend(slot, Fixed{}, Fixed{12, 0}, 60, 2) == Applied::changed);
    CHECK(tracker.process_amend(slot, Fixed{}, Fixed{11, 0}, 50, 3) == Applied::stale);
    CHECK(tracker.at(slot).amount() == (Fixed{12, 0}) && tracker.at(slot).venue_ns == 100);
    CHECK(tracker.process_amend(slot, Fixed{}, Fixed{13, 0}, 0, 4) == Applied::changed);  // no time given
    CHECK(tracker.process_amend(slot, Fixed{}, Fixed{13, 0}, 61, 5) == Applied::unchanged);
}

void an_amend_below_what_is_executed_is_refused_and_one_to_it_ends_as_the_venue_says() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    tracker.process_fill(slot, fill_of(1, Fixed{4, 0}), 1);
    tracker.process_state(slot, S::pending_update, 0, Fixed{}, 2, TransitionReason::local);
    CHECK(tracker.process_amend(slot, Fixed{}, Fixed{39, 1}, 7, 3) == Applied::overfill);
    CHECK(tracker.process_amend(slot, Fixed{}, Fixed{-1, 0}, 7, 3) == Applied::bad_amount);
    CHECK(tracker.process_amend(slot, Fixed{-1, 0}, Fixed{}, 7, 3) == Applied::bad_amount);
    CHECK(tracker.at(slot).state == S::pending_update && tracker.at(slot).amount() == (Fixed{10, 0}));
    CHECK(tracker.applied_count(Applied::overfill) == 1 && tracker.applied_count(Applied::bad_amount) == 2);
    take_events(tracker);
    CHECK(tracker.process_amend(slot, Fixed{}, Fixed{4, 0}, 7, 3) == Applied::changed);
    CHECK(tracker.at(slot).state == S::partially_filled);
    CHECK(tracker.process_state(slot, S::canceled, 8, Fixed{4, 0}, 4) == Applied::changed);
    CHECK((take_events(tracker) == std::vector<K>{K::amended, K::cancelled}));
    const std::uint32_t other = tracker.start_tracking(order_of(2));
    tracker.process_fill(other, fill_of(2, Fixed{4, 0}), 1);
    tracker.process_state(other, S::filled, 8, Fixed{4, 0}, 2);  // before the word that made it so
    CHECK(tracker.at(other).state == S::partially_filled);
    CHECK(tracker.process_amend(other, Fixed{}, Fixed{4, 0}, 7, 3) == Applied::changed);
    CHECK(tracker.at(other).state == S::filled && tracker.at(other).done_ns() == 3);
}

void an_amend_during_a_cancel_leaves_the_cancel_under_way() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    tracker.process_state(slot, S::open, 5, Fixed{}, 1);
    tracker.process_state(slot, S::pending_cancel, 0, Fixed{}, 2, TransitionReason::local);
    CHECK(tracker.process_amend(slot, Fixed{}, Fixed{8, 0}, 7, 3) == Applied::changed);
    CHECK(tracker.at(slot).state == S::pending_cancel && tracker.at(slot).amount() == (Fixed{8, 0}));
}

// -- scales ----------------------------------------------------------------------------------------------------

void finer_amounts_refine_the_order_exactly_or_are_refused() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1, Fixed{100, 0}));
    CHECK(tracker.process_fill(slot, fill_of(1, Fixed{1, 16}, Fixed{3, 16}), 1) == Applied::changed);
    CHECK(tracker.at(slot).executed_base() == (Fixed{1, 16}) && tracker.at(slot).amount() == (Fixed{100, 0}));
    CHECK(tracker.process_fill(slot, fill_of(2, Fixed{1, 18}), 1) == Applied::bad_amount);  // 20 digits beside 100
    CHECK(tracker.process_fill(slot, fill_of(3, Fixed{INT64_MAX, 0}), 1) == Applied::overfill);
    CHECK(tracker.process_state(slot, S::open, 1, Fixed{1, 18}, 1) == Applied::bad_amount);
    CHECK(tracker.process_fill(slot, fill_of(4, Fixed{50, 0}, Fixed{4'000'000'000'000, 0}), 1) == Applied::bad_amount);
    CHECK(tracker.process_fill(slot, fill_of(4, Fixed{50, 0}, Fixed{150, 0}), 1) == Applied::changed);
    CHECK(tracker.at(slot).executed_base() == (Fixed{500'000'000'000'000'001, 16}));
    CHECK(tracker.at(slot).executed_quote() == (Fixed{1'500'000'000'000'000'003, 16}));
    CHECK(tracker.fill(tracker.at(slot).first_fill).amount() == (Fixed{1, 16}));
}

void a_quote_sum_that_needs_a_coarser_scale_takes_it() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    CHECK(tracker.process_fill(slot, fill_of(1, Fixed{1, 0}, Fixed{5, 18}), 1) == Applied::changed);
    CHECK(tracker.process_fill(slot, fill_of(2, Fixed{1, 0}, Fixed{999'999'999'999'999'995, 18}), 1) ==
          Applied::changed);
    CHECK(tracker.at(slot).executed_quote() == (Fixed{1, 0}));
    CHECK(tracker.process_fill(slot, fill_of(3, Fixed{1, 0}, Fixed{INT64_MAX - 1, 0}), 1) == Applied::changed);
    CHECK(tracker.at(slot).executed_quote() == (Fixed{INT64_MAX, 0}));
}

void orders_begin_at_the_scale_that_their_symbol_has_needed() {
    ClientOrderTracker tracker;
    tracker.intern_symbol("BTC-USDT");
    const std::uint32_t first = tracker.start_tracking(order_of(1));
    tracker.process_fill(first, fill_of(1, Fixed{1, 4}), 1);
    tracker.release(first);
    const std::uint32_t second = tracker.start_tracking(order_of(2));
    CHECK(tracker.at(second).base_scale == 4 && tracker.at(second).amount() == (Fixed{10, 0}));
    const std::uint32_t large = tracker.start_tracking(order_of(3, Fixed{INT64_MAX, 0}));
    CHECK(tracker.at(large).base_scale == 0 && tracker.at(large).amount() == (Fixed{INT64_MAX, 0}));
}

// -- fees ------------------------------------------------------------------------------------------------------

void every_fee_of_a_fill_is_kept_and_their_records_are_used_again() {
    ClientOrderTracker tracker(0);
    const std::uint32_t usdt = tracker.intern_asset("USDT");
    const std::uint32_t bnb = tracker.intern_asset("BNB");
    CHECK(usdt == 1 && bnb == 2 && tracker.intern_asset("USDT") == usdt && tracker.asset(bnb) == "BNB");
    CHECK(tracker.asset(kNoAsset).empty() && tracker.asset(99).empty());
    for (std::uint64_t id = 1; id <= 3; ++id) {
        const std::uint32_t slot = tracker.start_tracking(order_of(id));
        Fill fill = fill_of(id, Fixed{1, 0});
        fill.set_fee({usdt, Fixed{5, 1}});
        const Fee more[] = {{bnb, Fixed{-7, 2}}, {usdt, Fixed{1, 0}}};
        CHECK(tracker.process_fill(slot, fill, 1, more, 2) == Applied::changed);
        const Fill& stored = tracker.fill(tracker.at(slot).last_fill);
        CHECK(tracker.fee(stored, 0).asset == usdt && tracker.fee(stored, 0).amount == (Fixed{5, 1}));
        CHECK(tracker.fee(stored, 1).asset == bnb && tracker.fee(stored, 1).amount == (Fixed{-7, 2}));
        CHECK(tracker.fee(stored, 2).amount == (Fixed{1, 0}) && tracker.fee(stored, 3).asset == kNoAsset);
        CHECK(tracker.process_fill(slot, fill, 1, more, 2) == Applied::duplicate_fill);
        tracker.process_fill(slot, fill_of(id + 100, Fixed{1, 0}), 1);
        CHECK(tracker.fee(tracker.fill(tracker.at(slot).last_fill), 0).asset == kNoAsset);
        tracker.release(slot);
    }
    for (std::uint32_t number = 3; number <= kAssetsMax; ++number) {
        CHECK(tracker.intern_asset("A" + std::to_string(number)) == number);
    }
    CHECK(tracker.intern_asset("one too many") == kNoAsset && tracker.intern_asset("BNB") == bnb);
}

// -- listeners -------------------------------------------------------------------------------------------------

struct Ear {
    std::vector<K> heard;
    std::vector<std::uint64_t> orders;
    bool reacts = false;

    static void on_event(void* context, ClientOrderTracker& tracker, const OrderEvent& event) noexcept {
        Ear& ear = *static_cast<Ear*>(context);
        ear.heard.push_back(event.kind);
        ear.orders.push_back(tracker.at(event.slot).client_id);
        if (ear.reacts && event.kind == K::created && tracker.at(event.slot).client_id == 1) {
            // A second order is placed, accepted and filled from within; what it tells comes after this order's fill.
            const std::uint32_t slot = tracker.start_tracking(order_of(2));
            tracker.process_state(slot, S::open, 1, Fixed{}, 1);
            tracker.process_fill(slot, fill_of(77, Fixed{10, 0}), 1);
            CHECK(ear.heard.size() == 1);
        }
    }
};

void listeners_hear_events_in_order_also_of_what_they_do_themselves() {
    ClientOrderTracker tracker;
    Ear first;
    Ear second;
    first.reacts = true;
    tracker.add_listener({&first, &Ear::on_event});
    tracker.add_listener({&second, &Ear::on_event});
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    tracker.process_fill(slot, fill_of(1, Fixed{10, 0}), 1);
    const std::vector<K> expected{K::created, K::filled, K::completed, K::created, K::filled, K::completed};
    CHECK(first.heard == expected && second.heard == expected);
    CHECK((first.orders == std::vector<std::uint64_t>{1, 1, 1, 2, 2, 2}));
    CHECK(take_events(tracker) == expected);  // they wait to be taken as well
    tracker.remove_listener(&first);
    tracker.process_state(tracker.start_tracking(order_of(3)), S::open, 1, Fixed{}, 1);
    CHECK(first.heard.size() == 6 && second.heard.size() == 7);
}

void without_keeping_only_listeners_hear() {
    ClientOrderTracker tracker;
    tracker.keep_events(false);
    Ear ear;
    tracker.process_state(tracker.start_tracking(order_of(1)), S::open, 1, Fixed{}, 1);
    tracker.add_listener({&ear, &Ear::on_event});
    tracker.process_state(tracker.start_tracking(order_of(2)), S::open, 1, Fixed{}, 1);
    CHECK(ear.orders == std::vector<std::uint64_t>{2} && take_events(tracker).empty());
}

void many_events_wait_in_order() {
    ClientOrderTracker tracker;
    for (std::uint64_t id = 1; id <= 500; ++id) {
        tracker.process_state(tracker.start_tracking(order_of(id)), S::open, 1, Fixed{}, static_cast<std::int64_t>(id));
    }
    for (std::int64_t id = 1; id <= 500; ++id) {
        CHECK(tracker.next_event()->time_ns == id);
    }
    CHECK(tracker.next_event() == nullptr);
}

void what_a_listener_releases_is_void() {
    struct Releaser {
        static void on_event(void* context, ClientOrderTracker& tracker, const OrderEvent& event) noexcept {
            ++*static_cast<int*>(context);
            tracker.release(event.slot);
        }
    };
    ClientOrderTracker tracker;
    int calls = 0;
    tracker.add_listener({&calls, &Releaser::on_event});
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    tracker.process_fill(slot, fill_of(1, Fixed{10, 0}), 1);  // three events
    CHECK(calls == 1 && tracker.size() == 0);
}

}  // namespace

int main() {
    an_amend_changes_price_and_amount_and_tells_what_they_were();
    amends_are_ordered_among_each_other_by_the_venues_clock();
    an_amend_below_what_is_executed_is_refused_and_one_to_it_ends_as_the_venue_says();
    an_amend_during_a_cancel_leaves_the_cancel_under_way();
    finer_amounts_refine_the_order_exactly_or_are_refused();
    a_quote_sum_that_needs_a_coarser_scale_takes_it();
    orders_begin_at_the_scale_that_their_symbol_has_needed();
    every_fee_of_a_fill_is_kept_and_their_records_are_used_again();
    listeners_hear_events_in_order_also_of_what_they_do_themselves();
    without_keeping_only_listeners_hear();
    many_events_wait_in_order();
    what_a_listener_releases_is_void();
    return 0;
}
