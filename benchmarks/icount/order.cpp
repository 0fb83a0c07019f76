// Instructions of a step in an order's life: tracked, acknowledged, two fills, released, with 1,000 others live.
#include <cstdint>
#include <string>
#include <vector>

#include "driver.hpp"
#include "qtxconn/client_order_tracker.hpp"

namespace {

using namespace qtxconn;

constexpr std::size_t kLive = 1000;
constexpr std::size_t kWarmUp = 12'000;  // orders, after which the tables have their size
constexpr long kSteps = 5;

struct Message {
    VenueOrderId venue_id;
    Fill fills[2];
};

// What a wire parser has made of an order's messages.
std::vector<Message> make_messages(std::size_t orders) {
    std::vector<Message> messages(orders);
    std::uint64_t number = 8'000'000'000;
    for (Message& message : messages) {
        message.venue_id.assign(std::to_string(++number));
        for (int i = 0; i < 2; ++i) {
            Fill& fill = message.fills[i];
            fill.trade_id.assign(std::to_string(2 * number + static_cast<std::uint64_t>(i)));
            fill.fee_asset.assign("USDT");
            fill.price = Fixed{600001, 1};
            fill.amount = Fixed{i == 0 ? 4 : 6, 3};
            fill.quote = Fixed{i == 0 ? 2400004 : 3600006, 4};
            fill.fee = Fixed{96, 2};
        }
    }
    return messages;
}

std::uint32_t track(ClientOrderTracker& tracker, std::uint64_t id) {
    InFlightOrder order;
    order.client_id = id;
    order.amount = Fixed{1, 2};
    order.price = Fixed{600001, 1};
    return tracker.start_tracking(order);
}

void step(long operations) {
    ClientOrderTracker tracker;
    std::vector<std::uint32_t> live;
    std::uint64_t id = 0;
    while (live.size() < kLive) {
        live.push_back(track(tracker, ++id));
    }
    const std::vector<Message> messages = make_messages(kWarmUp + static_cast<std::size_t>(operations / kSteps));
    std::size_t oldest = 0;
    std::uint64_t events = 0;
    OrderEvent event;
    const auto run = [&](std::size_t from, std::size_t to) {
        for (; from < to; ++from) {
            const Message& message = messages[from];
            const auto now = static_cast<std::int64_t>(++id);
            const std::uint32_t slot = track(tracker, id);
            tracker.process_exchange_id(tracker.find(id), message.venue_id);
            tracker.process_state(tracker.find(id), OrderState::open, now, Fixed{}, now);
            for (const Fill& fill : message.fills) {
                tracker.process_fill(tracker.find(id), fill, now);
            }
            while (tracker.next_event(event)) {
                ++events;
            }
            tracker.release(live[oldest]);
            live[oldest] = slot;
            oldest = oldest + 1 == kLive ? 0 : oldest + 1;
        }
    };
    run(0, kWarmUp);
    icount::measured([&] { run(kWarmUp, messages.size()); });
    icount::require(events == 4 * messages.size());
}

constexpr icount::Job kJobs[] = {{"transition", step}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
