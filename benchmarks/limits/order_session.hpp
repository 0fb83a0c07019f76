// The life of orders on qtxconn's tracker, for the benchmark and for the instruction count: 1,000 live, five steps
// each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "qtxconn/client_order_tracker.hpp"

namespace order_session {

using qtxconn::Fill;
using qtxconn::Fixed;
using qtxconn::VenueId;

constexpr std::size_t kLive = 1000;
constexpr std::size_t kTransitions = 5;  // track, acknowledge, two fills, release

// What a wire parser has made of one order's messages before the tracker sees them.
struct Message {
    VenueId venue_id;
    Fill fills[2];
};

inline std::vector<Message> make_messages(std::size_t orders) {
    std::vector<Message> messages(orders);
    static std::uint64_t number = 8'000'000'000;
    for (Message& message : messages) {
        message.venue_id = number;
        for (int i = 0; i < 2; ++i) {
            Fill& fill = message.fills[i];
            fill.trade_id = 2 * number + static_cast<std::uint64_t>(i);
            fill.set_price(Fixed{600001, 1});
            fill.set_amount(Fixed{i == 0 ? 4 : 6, 3});
            fill.set_quote(Fixed{i == 0 ? 2400004 : 3600006, 4});
            fill.set_fee({1, Fixed{96, 2}});
        }
        ++number;
    }
    return messages;
}

struct Session {
    qtxconn::ClientOrderTracker tracker;
    std::vector<std::uint32_t> live;
    std::size_t next_live = 0;
    std::uint64_t next_id = 1;
    std::uint64_t events = 0;

    std::uint32_t track() {
        qtxconn::InFlightOrder order;
        order.client_id = next_id++;
        order.set_amount(Fixed{1, 2});
        order.set_price(Fixed{600001, 1});
        return tracker.start_tracking(order);
    }

    Session() {
        tracker.intern_symbol("BTC-USDT");
        tracker.intern_asset("USDT");
    }

    void run(const std::vector<Message>& messages) {
        while (live.size() < kLive) {
            live.push_back(track());
        }
        for (const Message& message : messages) {
            const auto now = static_cast<std::int64_t>(next_id);
            const std::uint64_t id = next_id;
            const std::uint32_t slot = track();
            std::uint32_t found = tracker.find(id);
            tracker.process_exchange_id(found, message.venue_id);
            tracker.process_state(found, qtxconn::OrderState::open, now, Fixed{}, now);
            for (const Fill& fill : message.fills) {
                found = tracker.find(id);
                tracker.process_fill(found, fill, now);
            }
            while (tracker.next_event() != nullptr) {
                ++events;
            }
            tracker.release(live[next_live]);
            live[next_live] = slot;
            next_live = (next_live + 1) % kLive;
        }
    }
};

}  // namespace order_session
