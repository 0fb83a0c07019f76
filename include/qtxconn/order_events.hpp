// What the tracker tells of orders, and the queue in which it waits: to be called out to listeners, or to be taken.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "qtxconn/fixed.hpp"

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
    replaced = 9,   // a real fill took the place of provisional ones that were told before
    amended = 10,   // the venue has changed the order's price or amount
};

struct OrderEvent {
    OrderEventKind kind = OrderEventKind::created;
    std::uint32_t slot = 0;
    std::uint32_t generation = 0;  // the event is void if the slot has another one by now
    std::int32_t fill = -1;        // its number, where the event is about one
    std::int64_t time_ns = 0;      // local wall time
    Fixed amount;                  // of a fill: what it adds to the executed amount; of an amend: the amount before
    Fixed price;                   // of an amend: the price before
};

class ClientOrderTracker;

// Called for each event, in their order, before the update that made it returns; also from threads without the GIL. It
// may call the tracker: what that makes is told after what is being told. It must not throw; the type does not say so,
// because a function written in Cython has no `noexcept`.
struct OrderListener {
    void* context = nullptr;
    void (*on_event)(void* context, ClientOrderTracker& tracker, const OrderEvent& event) = nullptr;
};

// Events are queued while an update is applied and told afterwards. They also wait to be taken with next(), unless
// keep(false) says that nobody takes them. Allocates only when more events wait than ever before.
class OrderEventQueue {
public:
    // The caller fills in `amount` and `price` where the kind has them.
    OrderEvent& push(OrderEventKind kind, std::uint32_t slot, std::uint32_t generation, std::int32_t fill,
                     std::int64_t time_ns) {
        if (end_ == limit_) {
            grow();
        }
        OrderEvent& event = *end_++;
        event.kind = kind;
        event.slot = slot;
        event.generation = generation;
        event.fill = fill;
        event.time_ns = time_ns;
        return event;
    }

    // The next event to be taken, valid until the next push(); null when there is none.
    const OrderEvent* next() noexcept {
        if (taken_ == end_) {
            return nullptr;
        }
        const OrderEvent* event = taken_++;
        if (taken_ == end_ && !telling_) {
            clear();
        }
        return event;
    }

    void keep(bool kept) noexcept { kept_ = kept; }

    // Listeners hear of an event in the order in which they were added.
    void add_listener(OrderListener listener) {
        if (listeners_.empty()) {
            told_ = end_;  // it hears of what comes
        }
        listeners_.push_back(listener);
    }

    void remove_listener(void* context) {
        const auto is_his = [context](const OrderListener& listener) { return listener.context == context; };
        listeners_.erase(std::remove_if(listeners_.begin(), listeners_.end(), is_his), listeners_.end());
    }

    // Tells what was pushed. `is_void` says of an event whether its order is no longer tracked.
    template <typename IsVoid>
    void tell(ClientOrderTracker& tracker, IsVoid is_void) {
        if (!listeners_.empty()) {
            tell_listeners(tracker, is_void);
        } else if (!kept_) {
            clear();
        }
    }

private:
    void clear() noexcept { taken_ = told_ = end_ = events_.get(); }

    [[gnu::noinline, gnu::cold]] void grow() {
        const auto size = static_cast<std::size_t>(limit_ - events_.get());
        const auto taken = taken_ - events_.get();
        const auto told = told_ - events_.get();
        auto larger = std::make_unique<OrderEvent[]>(size == 0 ? 64 : 2 * size);
        std::copy(events_.get(), limit_, larger.get());
        events_ = std::move(larger);
        taken_ = events_.get() + taken;
        told_ = events_.get() + told;
        end_ = events_.get() + size;
        limit_ = events_.get() + (size == 0 ? 64 : 2 * size);
    }

    template <typename IsVoid>
    [[gnu::noinline]] void tell_listeners(ClientOrderTracker& tracker, IsVoid is_void) {
        if (telling_) {
            return;  // called by a listener: the loop below goes on with what that has made
        }
        telling_ = true;
        while (told_ != end_) {
            const OrderEvent event = *told_++;  // a copy: a listener may make more, and the queue grow
            for (std::size_t i = 0; i < listeners_.size() && !is_void(event); ++i) {
                listeners_[i].on_event(listeners_[i].context, tracker, event);
            }
        }
        telling_ = false;
        if (!kept_ || taken_ == end_) {
            clear();
        }
    }

    std::unique_ptr<OrderEvent[]> events_;
    OrderEvent* taken_ = nullptr;  // up to here
    OrderEvent* told_ = nullptr;
    OrderEvent* end_ = nullptr;
    OrderEvent* limit_ = nullptr;
    std::vector<OrderListener> listeners_;
    bool telling_ = false;
    bool kept_ = true;
};

}  // namespace qtxconn
