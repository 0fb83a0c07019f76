// The order store: lookups, fills once, events in order, slots reused under a new generation.
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"
#include "qtxconn/client_order_tracker.hpp"

using namespace qtxconn;
using S = OrderState;
using K = OrderEventKind;

namespace {

InFlightOrder order_of(std::uint64_t client_id, std::int64_t amount = 10) {
    InFlightOrder order;
    order.client_id = client_id;
    order.set_amount(Fixed{amount, 0});
    return order;
}

VenueId id_of(ClientOrderTracker& tracker, const std::string& text) {
    const VenueId id = tracker.ids().intern(text);
    CHECK(id != kNoVenueId);
    return id;
}

Fill fill_of(ClientOrderTracker& tracker, const std::string& trade_id, std::int64_t amount) {
    Fill fill;
    fill.trade_id = id_of(tracker, trade_id);
    fill.set_price(Fixed{3, 0});
    fill.set_amount(Fixed{amount, 0});
    fill.set_quote(Fixed{amount * 3, 0});
    return fill;
}

std::size_t fills_of(const ClientOrderTracker& tracker, const InFlightOrder& order) {
    std::size_t count = 0;
    for (std::int32_t number = order.first_fill; number != kNoFill; number = tracker.fill(number).next) {
        ++count;
    }
    return count;
}

std::vector<K> take_events(ClientOrderTracker& tracker, std::uint32_t slot) {
    std::vector<K> kinds;
    while (const OrderEvent* event = tracker.next_event()) {
        CHECK(event->slot == slot && event->generation == tracker.at(slot).generation);
        kinds.push_back(event->kind);
    }
    return kinds;
}

void an_id_is_tracked_once_and_found_by_both_ids() {
    ClientOrderTracker tracker;
    const std::uint32_t btc = tracker.intern_symbol("BTC-USDT");
    const std::uint32_t eth = tracker.intern_symbol("ETH-USDT");
    CHECK(btc != eth && tracker.intern_symbol("BTC-USDT") == btc && tracker.symbol(eth) == "ETH-USDT");
    InFlightOrder order = order_of(1);
    order.symbol = btc;
    const std::uint32_t a = tracker.start_tracking(order);
    CHECK(tracker.start_tracking(order) == ClientOrderTracker::kNone);
    order.client_id = 2;
    order.symbol = eth;
    const std::uint32_t b = tracker.start_tracking(order);
    CHECK(tracker.process_exchange_id(a, id_of(tracker, "77")) == VenueIdOutcome::learned);
    CHECK(tracker.process_exchange_id(b, id_of(tracker, "77")) == VenueIdOutcome::learned);  // numbered apart by pair
    CHECK(tracker.find_exchange_id("77", btc) == a && tracker.find_exchange_id("77", eth) == b);
    CHECK(tracker.find_exchange_id("77") != ClientOrderTracker::kNone);
    CHECK(tracker.find_exchange_id("") == ClientOrderTracker::kNone);
    CHECK(tracker.find_exchange_id(std::string(72, 'x')) == ClientOrderTracker::kNone);
    CHECK(tracker.find(1) == a && tracker.find(2) == b && tracker.find(3) == ClientOrderTracker::kNone);
    CHECK(tracker.size() == 2);
}

void created_comes_first_and_the_end_comes_once() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    CHECK(tracker.process_fill(slot, fill_of(tracker, "a", 4), 1) == Applied::changed);  // before any ack
    CHECK(tracker.process_state(slot, S::open, 9, Fixed{}, 2) == Applied::unchanged);
    CHECK(tracker.process_fill(slot, fill_of(tracker, "a", 4), 3) == Applied::duplicate_fill);
    CHECK(tracker.process_fill(slot, fill_of(tracker, "b", 6), 4) == Applied::changed);
    CHECK(tracker.process_state(slot, S::filled, 10, Fixed{10, 0}, 5) == Applied::terminal);
    CHECK(tracker.process_state(slot, S::canceled, 11, Fixed{}, 6) == Applied::terminal);
    CHECK((take_events(tracker, slot) == std::vector<K>{K::created, K::filled, K::filled, K::completed}));
    CHECK(tracker.at(slot).executed_quote() == (Fixed{30, 0}));
    CHECK(tracker.at(slot).first_fill_ns == 1 && tracker.at(slot).done_ns() == 4 && tracker.at(slot).acked_ns == 1);
    CHECK(tracker.applied_count(Applied::duplicate_fill) == 1 && tracker.applied_count(Applied::terminal) == 2);
}

void a_cancel_that_counts_more_waits_and_its_event_comes_last() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    CHECK(tracker.process_state(slot, S::canceled, 9, Fixed{4, 0}, 1) == Applied::changed);  // open: it lived
    CHECK((take_events(tracker, slot) == std::vector<K>{K::created}));
    CHECK(tracker.process_fill(slot, fill_of(tracker, "a", 4), 2) == Applied::changed);
    CHECK((take_events(tracker, slot) == std::vector<K>{K::filled, K::cancelled}));
    CHECK(tracker.process_fill(slot, fill_of(tracker, "b", 1), 3) == Applied::changed);
    CHECK((take_events(tracker, slot) == std::vector<K>{K::late_fill}));
    CHECK(tracker.at(slot).state == S::canceled && tracker.at(slot).executed_base() == (Fixed{5, 0}));
}

void a_late_fill_of_a_failed_order_brings_no_created_after_the_end() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    tracker.process_state(slot, S::failed, 0, Fixed{}, 1);
    tracker.process_fill(slot, fill_of(tracker, "a", 1), 2);
    CHECK((take_events(tracker, slot) == std::vector<K>{K::failed, K::late_fill}));
}

void every_id_an_order_ever_had_finds_it_and_only_it() {
    ClientOrderTracker tracker;
    const std::uint32_t a = tracker.start_tracking(order_of(1));
    const std::uint32_t b = tracker.start_tracking(order_of(2));
    for (const char* id : {"77", "78", "79"}) {
        CHECK(tracker.process_exchange_id(a, id_of(tracker, id)) == VenueIdOutcome::learned);
    }
    CHECK(tracker.process_exchange_id(a, id_of(tracker, "79")) == VenueIdOutcome::head);
    CHECK(tracker.process_exchange_id(a, kNoVenueId) == VenueIdOutcome::head);
    CHECK(tracker.process_exchange_id(a, id_of(tracker, "77")) ==
          VenueIdOutcome::past);  // and does not become the head again
    CHECK(tracker.process_exchange_id(b, id_of(tracker, "78")) == VenueIdOutcome::taken);
    CHECK(tracker.at(a).exchange_id == id_of(tracker, "79") && tracker.at(b).exchange_id == kNoVenueId);
    for (const char* id : {"77", "78", "79"}) {
        CHECK(tracker.find_exchange_id(id) == a);
    }
    CHECK(tracker.past_id(tracker.at(a).past_id) == id_of(tracker, "78"));
    CHECK(tracker.past_id(tracker.next_past_id(tracker.at(a).past_id)) == id_of(tracker, "77"));
    tracker.release(a);
    for (const char* id : {"77", "78", "79"}) {
        CHECK(tracker.find_exchange_id(id) == ClientOrderTracker::kNone);
    }
    CHECK(tracker.process_exchange_id(b, id_of(tracker, "78")) == VenueIdOutcome::learned);
}

void a_trade_id_is_booked_once_in_the_account() {
    ClientOrderTracker tracker;
    InFlightOrder order = order_of(1);
    const std::uint32_t a = tracker.start_tracking(order);
    const std::uint32_t b = tracker.start_tracking(order_of(2));
    order = order_of(3);
    order.symbol = 7;
    const std::uint32_t elsewhere = tracker.start_tracking(order);
    order = order_of(4);
    order.trade_type = TradeType::sell;
    const std::uint32_t opposite = tracker.start_tracking(order);
    CHECK(tracker.process_fill(a, fill_of(tracker, "t", 1), 1) == Applied::changed);
    CHECK(tracker.process_fill(a, fill_of(tracker, "t", 1), 1) == Applied::duplicate_fill);
    CHECK(tracker.process_fill(b, fill_of(tracker, "t", 1), 1) == Applied::foreign);
    CHECK(tracker.process_fill(elsewhere, fill_of(tracker, "t", 1), 1) ==
          Applied::changed);  // trades are numbered by symbol
    CHECK(tracker.process_fill(opposite, fill_of(tracker, "t", 1), 1) == Applied::changed);  // a trade with oneself
    CHECK(tracker.process_fill(b, fill_of(tracker, "u", 11), 1) == Applied::overfill);
    CHECK(fills_of(tracker, tracker.at(b)) == 0 && tracker.at(b).executed_base() == Fixed{});
    tracker.release(a);
    CHECK(tracker.process_fill(b, fill_of(tracker, "t", 1), 1) ==
          Applied::foreign);                         // also once its order is forgotten
    tracker.remember_trade(0, id_of(tracker, "w"));  // told as nobody's
    CHECK(tracker.process_fill(b, fill_of(tracker, "w", 1), 1) == Applied::duplicate_fill);
    CHECK(tracker.find_trade(0, id_of(tracker, "w")) != kNoFill &&
          tracker.find_trade(1, id_of(tracker, "w")) == kNoFill);
}

void forgotten_fills_are_bounded() {
    ClientOrderTracker tracker(3);
    for (int i = 0; i < 10; ++i) {
        tracker.remember_trade(0, id_of(tracker, std::to_string(i)));
    }
    for (int i = 0; i < 10; ++i) {
        CHECK((tracker.find_trade(0, id_of(tracker, std::to_string(i))) != kNoFill) == (i >= 7));
    }
    ClientOrderTracker none(0);
    none.remember_trade(0, id_of(none, "a"));
    CHECK(none.find_trade(0, id_of(none, "a")) == kNoFill);
}

Fill provisional_of(ClientOrderTracker& tracker, const std::string& trade_id, std::int64_t amount, std::int64_t quote) {
    Fill fill = fill_of(tracker, trade_id, amount);
    fill.set_quote(Fixed{quote, 0});
    fill.is_provisional = true;
    return fill;
}

void real_fills_replace_provisional_ones_and_nothing_is_told_twice() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    CHECK(tracker.process_fill(slot, provisional_of(tracker, "cum-1", 4, 13), 1) == Applied::changed);
    CHECK(tracker.process_fill(slot, provisional_of(tracker, "cum-2", 2, 5), 1) == Applied::changed);
    CHECK((take_events(tracker, slot) == std::vector<K>{K::created, K::filled, K::filled}));
    CHECK(tracker.process_fill(slot, fill_of(tracker, "a", 3), 2) == Applied::changed);  // part of the first
    CHECK((take_events(tracker, slot) == std::vector<K>{K::replaced}));
    CHECK(tracker.at(slot).executed_base() == (Fixed{6, 0}) && fills_of(tracker, tracker.at(slot)) == 3);
    CHECK(tracker.process_fill(slot, fill_of(tracker, "b", 7), 3) == Applied::changed);  // the rest, and 4 that are new
    const OrderEvent* event = tracker.next_event();
    CHECK(event->kind == K::replaced && event->amount == (Fixed{3, 0}));
    event = tracker.next_event();
    CHECK(event->kind == K::filled && event->amount == (Fixed{4, 0}));
    CHECK(tracker.next_event()->kind == K::completed && tracker.next_event() == nullptr);
    const InFlightOrder& order = tracker.at(slot);
    CHECK(order.executed_base() == (Fixed{10, 0}) && order.executed_quote() == (Fixed{30, 0}));  // the real ones' sums
    CHECK(fills_of(tracker, order) == 2 && !order.has_provisional);
    CHECK(tracker.fill(order.first_fill).trade_id == id_of(tracker, "a") &&
          tracker.fill(order.last_fill).trade_id == id_of(tracker, "b"));
}

void a_refused_fill_leaves_provisional_ones_as_they_were() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    tracker.process_fill(slot, provisional_of(tracker, "cum-1", 4, 13), 1);
    CHECK(tracker.process_fill(slot, fill_of(tracker, "a", 11), 2) == Applied::overfill);
    CHECK(tracker.at(slot).executed_base() == (Fixed{4, 0}) && tracker.at(slot).executed_quote() == (Fixed{13, 0}));
    CHECK(tracker.at(slot).has_provisional && fills_of(tracker, tracker.at(slot)) == 1);
}

void the_audit_ring_says_how_the_order_moved() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    tracker.process_state(slot, S::pending_submit, 0, Fixed{}, 1, TransitionReason::local);
    tracker.process_state(slot, S::open, 5, Fixed{}, 2);
    tracker.process_state(slot, S::open, 6, Fixed{}, 3);  // no move
    tracker.process_fill(slot, fill_of(tracker, "a", 1), 4);
    tracker.process_state(slot, S::pending_cancel, 0, Fixed{}, 5, TransitionReason::local);
    tracker.process_revert(slot, 6);
    const InFlightOrder& order = tracker.at(slot);
    CHECK(order.transition_count == 5);
    const Transition fill = order.transition(2);
    CHECK(fill.time_ns == 4 && fill.from == S::open && fill.to == S::partially_filled);
    CHECK(fill.reason == TransitionReason::fill && order.transition(4).reason == TransitionReason::refusal);
    for (int i = 0; i < 10; ++i) {
        tracker.process_state(slot, S::pending_cancel, 0, Fixed{}, 7 + 2 * i, TransitionReason::local);
        tracker.process_revert(slot, 8 + 2 * i);
    }
    CHECK(order.transition_count == 25);
    for (std::uint32_t number = 25 - kTransitionsKept; number < 25; ++number) {
        const Transition move = order.transition(number);
        CHECK(move.time_ns == number + 2 && move.from == (number % 2 == 1 ? S::partially_filled : S::pending_cancel));
        CHECK(move.to == (number % 2 == 1 ? S::pending_cancel : S::partially_filled));
    }
}

// The newest move to the nanosecond, those before it by gaps of one part in 2^24, also when the clock was set back.
void the_audit_ring_keeps_times_of_any_distance() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    const std::int64_t times[] = {1'700'000'000'000'000'001, 1'700'000'000'016'777'216, 1'700'000'003'600'000'001,
                                  1'700'086'400'000'000'003, 1'700'086'400'000'000'004, 1'700'086'398'765'432'101};
    for (const std::int64_t time : times) {
        const S next = tracker.at(slot).state == S::pending_cancel ? S::open : S::pending_cancel;
        if (next == S::pending_cancel) {
            tracker.process_state(slot, next, 0, Fixed{}, time, TransitionReason::local);
        } else {
            tracker.process_revert(slot, time);
        }
    }
    const InFlightOrder& order = tracker.at(slot);
    CHECK(order.transition_count == 6 && order.transition(5).time_ns == times[5]);
    std::int64_t span_ns = 0;
    for (std::uint32_t number = 6; number-- > 0;) {
        const std::int64_t error = order.transition(number).time_ns - times[number];
        CHECK(error <= span_ns >> 24 && -error <= span_ns >> 24);
        if (number > 0) {
            span_ns += std::abs(times[number] - times[number - 1]);
        }
    }
}

void a_released_slot_comes_back_clean_under_a_new_generation() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    CHECK(tracker.process_exchange_id(slot, id_of(tracker, "x")) == VenueIdOutcome::learned);
    tracker.process_fill(slot, fill_of(tracker, "t", 3), 1);
    const std::uint32_t generation = tracker.at(slot).generation;
    const OrderEvent stale = *tracker.next_event();
    tracker.release(slot);
    CHECK(tracker.find(1) == ClientOrderTracker::kNone && tracker.find_exchange_id("x") == ClientOrderTracker::kNone);
    CHECK(tracker.at(slot).generation != generation);
    const std::uint32_t again = tracker.start_tracking(order_of(1));  // the same id is free again
    CHECK(again == slot && tracker.at(again).generation != generation && stale.generation == generation);
    CHECK(fills_of(tracker, tracker.at(again)) == 0 && tracker.at(again).first_fill == kNoFill);
    CHECK(tracker.process_fill(again, fill_of(tracker, "t", 3), 1) == Applied::changed);  // its history went with it
    tracker.restore_fill(again, fill_of(tracker, "r", 2));
    CHECK(tracker.process_fill(again, fill_of(tracker, "r", 2), 1) == Applied::duplicate_fill);
    CHECK(tracker.at(again).executed_base() == (Fixed{3, 0}));
}

// 60,000 orders through few slots: every lookup and every sum against std::map.
void random_reuse_agrees_with_a_map() {
    struct Known {
        std::uint32_t slot;
        std::uint32_t generation;
        std::int64_t executed;
        std::vector<std::string> trades;
    };
    std::mt19937_64 rng(3);
    ClientOrderTracker tracker(0);
    std::map<std::uint64_t, Known> model;
    std::uint64_t next_id = 1;
    for (int step = 0; step < 200000; ++step) {
        const auto action = rng() % 10;
        if (model.size() < 50 || (action < 3 && model.size() < 1500)) {
            const std::uint32_t slot = tracker.start_tracking(order_of(next_id, 100));
            CHECK(tracker.process_exchange_id(slot, id_of(tracker, "v" + std::to_string(next_id))) ==
                  VenueIdOutcome::learned);
            model[next_id++] = Known{slot, tracker.at(slot).generation, 0, {}};
        } else {
            auto it = model.lower_bound(rng() % next_id);
            it = it == model.end() ? model.begin() : it;
            Known& known = it->second;
            CHECK(tracker.find(it->first) == known.slot);
            CHECK(tracker.find_exchange_id("v" + std::to_string(it->first)) == known.slot);
            CHECK(tracker.at(known.slot).generation == known.generation);
            if (action < 8) {
                const bool repeat = !known.trades.empty() && rng() % 3 == 0;
                const std::string trade = repeat ? known.trades[rng() % known.trades.size()]
                                                 : std::to_string(it->first) + "-" + std::to_string(rng() % 999);
                bool seen = false;
                for (const std::string& t : known.trades) {
                    seen = seen || t == trade;
                }
                const auto amount = static_cast<std::int64_t>(rng() % 20) + 1;
                const Applied applied = tracker.process_fill(known.slot, fill_of(tracker, trade, amount), step);
                if (seen) {
                    CHECK(applied == Applied::duplicate_fill);
                } else if (known.executed + amount > 100) {
                    CHECK(applied == Applied::overfill);
                } else {
                    CHECK(applied == Applied::changed);
                    known.executed += amount;
                    known.trades.push_back(trade);
                }
                CHECK(tracker.at(known.slot).executed_base() == (Fixed{known.executed, 0}));
                CHECK(fills_of(tracker, tracker.at(known.slot)) == known.trades.size());
                std::size_t i = 0;
                char text[20];
                for (auto f = tracker.at(known.slot).first_fill; f != kNoFill; f = tracker.fill(f).next) {
                    CHECK(tracker.ids().text(tracker.fill(f).trade_id, text) == known.trades[i++]);
                }
                CHECK(i == known.trades.size());
            } else {
                while (tracker.next_event() != nullptr) {
                }
                tracker.release(known.slot);
                model.erase(it);
            }
        }
        CHECK(tracker.size() == model.size());
        if (step % 1000 == 0) {
            std::size_t fills = 0;
            for (const auto& [id, known] : model) {
                fills += known.trades.size();
            }
            CHECK(tracker.fill_count() == fills);  // a released order leaves none behind
        }
    }
}

}  // namespace

int main() {
    an_id_is_tracked_once_and_found_by_both_ids();
    created_comes_first_and_the_end_comes_once();
    a_cancel_that_counts_more_waits_and_its_event_comes_last();
    a_late_fill_of_a_failed_order_brings_no_created_after_the_end();
    every_id_an_order_ever_had_finds_it_and_only_it();
    a_trade_id_is_booked_once_in_the_account();
    forgotten_fills_are_bounded();
    real_fills_replace_provisional_ones_and_nothing_is_told_twice();
    a_refused_fill_leaves_provisional_ones_as_they_were();
    the_audit_ring_says_how_the_order_moved();
    the_audit_ring_keeps_times_of_any_distance();
    a_released_slot_comes_back_clean_under_a_new_generation();
    random_reuse_agrees_with_a_map();
    return 0;
}
