// Tracker and journal with two threads: one tracker handed to and fro under a lock beside the journal's flusher, and
// two trackers that share nothing but the source of ids. Run under the thread sanitizer too
// (tests/unit/qtx/test_threads.py).

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "qtxconn/client_order_tracker.hpp"
#include "qtxconn/journal_flusher.hpp"
#include "qtxconn/order_id.hpp"
#include "qtxconn/order_journal.hpp"
#include "qtxconn/spin_lock.hpp"

using namespace qtxconn;

namespace {

struct Desk {
    ClientOrderTracker tracker;
    std::uint32_t symbol;
    std::uint64_t created = 0, filled = 0, completed = 0;

    Desk() : symbol(tracker.intern_symbol("BTC-USDT")) {
        tracker.keep_events(false);
        tracker.add_listener({this, [](void* context, ClientOrderTracker&, const OrderEvent& event) {
                                  auto& desk = *static_cast<Desk*>(context);
                                  desk.created += event.kind == OrderEventKind::created ? 1 : 0;
                                  desk.filled += event.kind == OrderEventKind::filled ? 1 : 0;
                                  desk.completed += event.kind == OrderEventKind::completed ? 1 : 0;
                              }});
    }

    std::uint32_t place(std::uint64_t id) {
        InFlightOrder order;
        order.client_id = id;
        order.symbol = symbol;
        order.set_price(Fixed{600001, 1});
        order.set_amount(Fixed{2, 0});
        const std::uint32_t slot = tracker.start_tracking(order);
        CHECK(slot != ClientOrderTracker::kNone);
        tracker.process_state(slot, OrderState::pending_submit, 0, Fixed{}, 1);
        return slot;
    }

    // The venue accepts and executes it in two parts; then it is forgotten.
    void execute(std::uint64_t id) {
        const std::uint32_t slot = tracker.find(id);
        CHECK(slot != ClientOrderTracker::kNone);
        tracker.process_exchange_id(slot, tracker.ids().intern("v" + std::to_string(id)));
        tracker.process_state(slot, OrderState::open, 1, Fixed{}, 2);
        for (std::uint64_t part = 0; part < 2; ++part) {
            Fill fill;
            fill.trade_id = 2 * id + part;
            fill.set_price(Fixed{600001, 1});
            fill.set_amount(Fixed{1, 0});
            fill.set_quote(Fixed{600001, 1});
            CHECK(tracker.process_fill(slot, fill, 3) == Applied::changed);
        }
        CHECK(tracker.at(slot).state == OrderState::filled);
        tracker.release(slot);
    }

    void check(std::uint64_t orders) const {
        CHECK(created == orders && filled == 2 * orders && completed == orders && tracker.size() == 0);
    }
};

void handed_over(std::uint64_t orders) {
    std::FILE* const scratch = std::tmpfile();
    CHECK(scratch != nullptr);
    const int file = fileno(scratch);
    std::vector<JournalRecord> records(4 * orders + 16);
    JournalWriter writer;
    writer.reset(records.data(), records.size(), 0, 1);
    JournalFlusher flusher;
    flusher.start(file, writer.written(), 10'000);

    Desk desk;
    SpinLock lock;
    std::deque<std::uint64_t> sent;  // under the lock, as desk and writer are
    std::thread venue([&] {
        for (std::uint64_t done = 0; done < orders;) {
            lock.lock();
            const bool some = !sent.empty();
            if (some) {
                desk.execute(sent.front());
                CHECK(writer.end(sent.front(), OrderState::filled, Fixed{2, 0}, Fixed{1200002, 1}, 3));
                sent.pop_front();
                ++done;
            }
            lock.unlock();
            if (!some) {
                std::this_thread::yield();
            }
        }
    });
    for (std::uint64_t id = 1; id <= orders; ++id) {
        lock.lock();
        CHECK(writer.intent(id, std::to_string(id), "BTC-USDT", 1, 2, 0, Fixed{600001, 1}, Fixed{2, 0}, 1, 2, 3));
        desk.place(id);
        sent.push_back(id);
        lock.unlock();
    }
    venue.join();
    flusher.stop();
    desk.check(orders);
    const JournalScan scan = scan_journal(records.data(), records.size(), 1);
    CHECK(scan.used == 2 * orders && scan.damaged == 0);
    CHECK(std::fclose(scratch) == 0);
}

void side_by_side(std::uint64_t orders) {
    OrderIdSource ids(1, 1000);
    const auto trade = [&ids, orders] {
        Desk desk;
        for (std::uint64_t i = 0; i < orders; ++i) {
            const std::uint64_t id = ids.next(1000);
            desk.place(id);
            desk.execute(id);
        }
        desk.check(orders);
    };
    std::thread other(trade);
    trade();
    other.join();
}

}  // namespace

int main(int argc, char** argv) {
    const std::uint64_t orders = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20'000;
    handed_over(orders);
    side_by_side(orders);
}
