// The order manager's end of the order queue: takes orders and answers them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qtxconn/qtx_segment.hpp"

namespace qtxconn::qtx {

// The order manager's end. One thread takes and answers; pending() may be called from another.
class QueueConsumer {
public:
    explicit QueueConsumer(Segment& segment) noexcept
        : segment_(segment), from_idx_(detail::load_acquire(segment.from_idx)) {}

    QueueConsumer(const QueueConsumer&) = delete;
    QueueConsumer& operator=(const QueueConsumer&) = delete;

    bool pending() const noexcept {
        const std::int64_t to_idx = detail::load_acquire(segment_.to_idx);
        return detail::in_ring(to_idx) && to_idx != from_idx_.load(std::memory_order_acquire);
    }

    // The next order, which stays in place until advance(); null when there is none. Its texts come from another
    // process: read them with bounded_text().
    const OrderSlot* peek(int& slot) const noexcept {
        const std::int64_t to_idx = detail::load_acquire(segment_.to_idx);
        const std::int64_t from_idx = from_idx_.load(std::memory_order_relaxed);
        if (to_idx == from_idx || !detail::in_ring(to_idx)) {
            return nullptr;
        }
        slot = static_cast<int>(from_idx);
        return &segment_.slots[from_idx];
    }

    // The order of peek() has been read: remember which it was, and tell the producer.
    void advance() noexcept {
        const std::int64_t from_idx = from_idx_.load(std::memory_order_relaxed);
        taken_[from_idx] = {segment_.slots[from_idx].client_order_id, segment_.slots[from_idx].place_ts_ns, true};
        const std::int64_t next = detail::next_idx(from_idx);
        from_idx_.store(next, std::memory_order_release);
        taken_count_.fetch_add(1, std::memory_order_relaxed);
        detail::store_release(segment_.from_idx, next);
    }

    std::uint64_t taken_count() const noexcept { return taken_count_.load(std::memory_order_relaxed); }

    // Writes the answer, cut to what fits with its terminator, and completes it with the time. Refuses a slot that has
    // been answered, or that no longer holds the order taken from it.
    QueueStatus answer(int slot, TextView message, std::uint64_t res_ts_ns) noexcept {
        if (slot < 0 || slot >= kSlotCount || !taken_[slot].waiting) {
            return QueueStatus::not_outstanding;
        }
        Taken& taken = taken_[slot];
        OrderSlot& order = segment_.slots[slot];
        taken.waiting = false;
        if (order.client_order_id != taken.client_order_id || order.place_ts_ns != taken.place_ts_ns) {
            return QueueStatus::wrong_order;
        }
        const std::size_t size = message.size < kResMsgSize ? message.size : kResMsgSize - 1;
        std::memcpy(order.res_msg, message.data, size);
        order.res_msg[size] = '\0';
        detail::store_release(order.res_ts_ns, res_ts_ns);
        return QueueStatus::ok;
    }

private:
    struct Taken {
        std::uint64_t client_order_id = 0;
        std::uint64_t place_ts_ns = 0;
        bool waiting = false;
    };

    Segment& segment_;
    std::atomic<std::int64_t> from_idx_;
    std::atomic<std::uint64_t> taken_count_{0};
    Taken taken_[kSlotCount] = {};
};

}  // namespace qtxconn::qtx
