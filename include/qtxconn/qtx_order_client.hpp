// Both ends of the order queue with the thread that watches it: OrderClient and OrderManager.
#pragma once

#include <cstdint>

#include "qtxconn/qtx_order_consumer.hpp"
#include "qtxconn/qtx_order_producer.hpp"
#include "qtxconn/qtx_segment_map.hpp"
#include "qtxconn/qtx_wait.hpp"
#include "qtxconn/qtx_watcher.hpp"

namespace qtxconn::qtx {

// The producer's watcher: answers to take. Looks after the segment as well.
class AnswerSource {
public:
    AnswerSource(QueueProducer& producer, const SegmentMap& map) noexcept : producer_(producer), map_(map) {}

    // The end of the queue is news too, once.
    bool ready() noexcept {
        if (map_.lost()) {
            producer_.close(QueueStatus::replaced);
        }
        const QueueStatus closed = producer_.closed();
        const bool news = closed != announced_;
        announced_ = closed;
        return news || producer_.answer_ready();
    }

    bool quiet() const noexcept { return producer_.outstanding() == 0 && producer_.closed() == announced_; }
    std::uint64_t activity() const noexcept { return producer_.published_count(); }

    void heartbeat() noexcept {
        if (!map_.intact()) {
            producer_.close(QueueStatus::replaced);
        } else {
            producer_.inspect();
        }
    }

private:
    QueueProducer& producer_;
    const SegmentMap& map_;
    QueueStatus announced_ = QueueStatus::ok;  // the watcher's thread only
};

// The consumer's watcher: orders to take. The producer is another process, so there is nobody to call wake().
class RequestSource {
public:
    explicit RequestSource(const QueueConsumer& consumer) noexcept : consumer_(consumer) {}

    bool ready() noexcept { return consumer_.pending(); }
    bool quiet() const noexcept { return false; }
    std::uint64_t activity() const noexcept { return consumer_.taken_count(); }
    void heartbeat() noexcept {}

private:
    const QueueConsumer& consumer_;
};

// All of the client's end over a mapped segment. `submit` is what a strategy calls: from any thread, no allocation, no
// system call unless a watcher was started and sleeps.
class OrderClient {
public:
    OrderClient(const SegmentMap& map, std::int64_t stall_limit_ns, bool wipe_secrets,
                const WaitPolicy& policy) noexcept
        : producer(*map.get(), stall_limit_ns, wipe_secrets), source_(producer, map), watcher(source_, policy) {}

    // The slot (0..99), or a negative QueueStatus: then nothing was published.
    int submit(const OrderRequest& request) noexcept {
        const int slot = producer.publish(request);
        watcher.wake();
        return slot;
    }

    QueueProducer producer;

private:
    AnswerSource source_;

public:
    Watcher<AnswerSource> watcher;
};

// All of the order manager's end over a mapped segment.
class OrderManager {
public:
    OrderManager(const SegmentMap& map, const WaitPolicy& policy) noexcept
        : consumer(*map.get()), source_(consumer), watcher(source_, policy) {}

    QueueConsumer consumer;

private:
    RequestSource source_;

public:
    Watcher<RequestSource> watcher;
};

}  // namespace qtxconn::qtx
