// The order store: lookups, fills once, events in order, slots reused under a new generation.
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
    order.amount = Fixed{amount, 0};
    return order;
}

Fill fill_of(const std::string& trade_id, std::int64_t amount) {
    Fill fill;
    CHECK(fill.trade_id.assign(trade_id));
    fill.price = Fixed{3, 0};
    fill.amount = Fixed{amount, 0};
    fill.quote = Fixed{amount * 3, 0};
    return fill;
}

std::vector<K> take_events(ClientOrderTracker& tracker, std::uint32_t slot) {
    std::vector<K> kinds;
    OrderEvent event;
    while (tracker.next_event(event)) {
        CHECK(event.slot == slot && event.generation == tracker.at(slot).generation);
        kinds.push_back(event.kind);
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
    CHECK(tracker.set_exchange_id(a, "77") && tracker.set_exchange_id(b, "77"));  // numbered apart by pair
    CHECK(tracker.find_exchange_id("77", btc) == a && tracker.find_exchange_id("77", eth) == b);
    CHECK(tracker.find_exchange_id("77") != ClientOrderTracker::kNone);
    CHECK(tracker.set_exchange_id(a, "78") && tracker.find_exchange_id("77", btc) == ClientOrderTracker::kNone);
    CHECK(tracker.find_exchange_id("78") == a);
    CHECK(!tracker.set_exchange_id(a, std::string(48, 'x')) && tracker.find_exchange_id("78") == a);
    CHECK(tracker.set_exchange_id(a, "") && tracker.find_exchange_id("") == ClientOrderTracker::kNone);
    CHECK(tracker.find(1) == a && tracker.find(2) == b && tracker.find(3) == ClientOrderTracker::kNone);
    CHECK(tracker.size() == 2);
}

void created_comes_first_and_the_end_comes_once() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    CHECK(tracker.process_fill(slot, fill_of("a", 4), 1) == Applied::changed);  // before any ack
    CHECK(tracker.process_state(slot, S::open, 9, Fixed{}, 2) == Applied::unchanged);
    CHECK(tracker.process_fill(slot, fill_of("a", 4), 3) == Applied::duplicate_fill);
    CHECK(tracker.process_fill(slot, fill_of("b", 6), 4) == Applied::changed);
    CHECK(tracker.process_state(slot, S::filled, 10, Fixed{10, 0}, 5) == Applied::terminal);
    CHECK(tracker.process_state(slot, S::canceled, 11, Fixed{}, 6) == Applied::terminal);
    CHECK((take_events(tracker, slot) == std::vector<K>{K::created, K::filled, K::filled, K::completed}));
    CHECK(tracker.at(slot).executed_quote == (Fixed{30, 0}));
    CHECK(tracker.at(slot).first_fill_ns == 1 && tracker.at(slot).done_ns == 4 && tracker.at(slot).acked_ns == 1);
    CHECK(tracker.applied_count(Applied::duplicate_fill) == 1 && tracker.applied_count(Applied::terminal) == 2);
}

void a_cancel_that_counts_more_waits_and_its_event_comes_last() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    CHECK(tracker.process_state(slot, S::canceled, 9, Fixed{4, 0}, 1) == Applied::changed);  // open: it lived
    CHECK((take_events(tracker, slot) == std::vector<K>{K::created}));
    CHECK(tracker.process_fill(slot, fill_of("a", 4), 2) == Applied::changed);
    CHECK((take_events(tracker, slot) == std::vector<K>{K::filled, K::cancelled}));
    CHECK(tracker.process_fill(slot, fill_of("b", 1), 3) == Applied::changed);
    CHECK((take_events(tracker, slot) == std::vector<K>{K::late_fill}));
    CHECK(tracker.at(slot).state == S::canceled && tracker.at(slot).executed_base == (Fixed{5, 0}));
}

void a_late_fill_of_a_failed_order_brings_no_created_after_the_end() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    tracker.process_state(slot, S::failed, 0, Fixed{}, 1);
    tracker.process_fill(slot, fill_of("a", 1), 2);
    CHECK((take_events(tracker, slot) == std::vector<K>{K::failed, K::late_fill}));
}

void the_same_trade_id_on_two_orders_is_two_fills() {
    ClientOrderTracker tracker;
    const std::uint32_t a = tracker.start_tracking(order_of(1));
    const std::uint32_t b = tracker.start_tracking(order_of(2));
    CHECK(tracker.process_fill(a, fill_of("t", 1), 1) == Applied::changed);
    CHECK(tracker.process_fill(b, fill_of("t", 1), 1) == Applied::changed);
    CHECK(tracker.process_fill(b, fill_of("t", 1), 1) == Applied::duplicate_fill);
    CHECK(tracker.process_fill(b, fill_of("u", 10), 1) == Applied::overfill);
    CHECK(tracker.at(b).fill_count == 1);
}

void a_released_slot_comes_back_clean_under_a_new_generation() {
    ClientOrderTracker tracker;
    const std::uint32_t slot = tracker.start_tracking(order_of(1));
    CHECK(tracker.set_exchange_id(slot, "x"));
    tracker.process_fill(slot, fill_of("t", 3), 1);
    const std::uint32_t generation = tracker.at(slot).generation;
    OrderEvent stale;
    CHECK(tracker.next_event(stale));
    tracker.release(slot);
    CHECK(tracker.find(1) == ClientOrderTracker::kNone && tracker.find_exchange_id("x") == ClientOrderTracker::kNone);
    CHECK(tracker.at(slot).generation != generation);
    const std::uint32_t again = tracker.start_tracking(order_of(1));  // the same id is free again
    CHECK(again == slot && tracker.at(again).generation != generation && stale.generation == generation);
    CHECK(tracker.at(again).fill_count == 0 && tracker.at(again).first_fill == kNoFill);
    CHECK(tracker.process_fill(again, fill_of("t", 3), 1) == Applied::changed);  // its history went with it
    tracker.restore_fill(again, fill_of("r", 2));
    CHECK(tracker.process_fill(again, fill_of("r", 2), 1) == Applied::duplicate_fill);
    CHECK(tracker.at(again).executed_base == (Fixed{3, 0}));
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
    ClientOrderTracker tracker;
    std::map<std::uint64_t, Known> model;
    std::uint64_t next_id = 1;
    OrderEvent event;
    for (int step = 0; step < 200000; ++step) {
        const auto action = rng() % 10;
        if (model.size() < 50 || (action < 3 && model.size() < 1500)) {
            const std::uint32_t slot = tracker.start_tracking(order_of(next_id, 100));
            CHECK(tracker.set_exchange_id(slot, "v" + std::to_string(next_id)));
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
                const std::string trade =
                    repeat ? known.trades[rng() % known.trades.size()] : std::to_string(rng() % 999);
                bool seen = false;
                for (const std::string& t : known.trades) {
                    seen = seen || t == trade;
                }
                const auto amount = static_cast<std::int64_t>(rng() % 20) + 1;
                const Applied applied = tracker.process_fill(known.slot, fill_of(trade, amount), step);
                if (seen) {
                    CHECK(applied == Applied::duplicate_fill);
                } else if (known.executed + amount > 100) {
                    CHECK(applied == Applied::overfill);
                } else {
                    CHECK(applied == Applied::changed);
                    known.executed += amount;
                    known.trades.push_back(trade);
                }
                CHECK(tracker.at(known.slot).executed_base == (Fixed{known.executed, 0}));
                CHECK(tracker.at(known.slot).fill_count == known.trades.size());
                std::size_t i = 0;
                for (auto f = tracker.at(known.slot).first_fill; f != kNoFill; f = tracker.fill(f).next) {
                    CHECK(tracker.fill(f).trade_id.view() == known.trades[i++]);
                }
                CHECK(i == known.trades.size());
            } else {
                while (tracker.next_event(event)) {
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
    the_same_trade_id_on_two_orders_is_two_fills();
    a_released_slot_comes_back_clean_under_a_new_generation();
    random_reuse_agrees_with_a_map();
    return 0;
}
