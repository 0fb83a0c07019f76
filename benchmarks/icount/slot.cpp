// Instructions of an order's way into shared memory: price to text, slot filled and published, answer taken and
// released.
#include <cstdint>

#include "driver.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/qtx_order_consumer.hpp"
#include "qtxconn/qtx_order_producer.hpp"

namespace {

using namespace qtxconn;
using namespace qtxconn::qtx;

Segment segment;

enum class Count { publish, publish_with_price, take };

template <class Work>
void count_if(bool counted, Work work) {
    if (counted) {
        icount::measured(work);
    } else {
        work();
    }
}

// One order at a time, as a strategy sends them: a request is kept, and what differs is set.
template <Count count>
void run(long operations) {
    QueueProducer producer(segment, 1'000'000'000'000, true);
    QueueConsumer consumer(segment);
    OrderRequest request;
    request.side = kSideBuy;
    request.place_ts_ns = 1;
    request.size.assign({"0.002", 5});
    request.price.assign({"60000.1", 7});
    request.symbol.assign({"BTCUSDT", 7});
    for (long i = -kSlotCount; i < operations; ++i) {  // first once round the ring: each slot is cleared on first use
        count_if(i >= 0 && count != Count::take, [&] {
            request.client_order_id = static_cast<std::uint64_t>(i + kSlotCount + 1);
            if (count == Count::publish_with_price) {
                char price[kFixedTextMax];
                request.price.assign({price, format_fixed(Fixed{600010 + i % 9, 1}, price)});
            }
            icount::require(producer.publish(request) >= 0);
        });
        int slot = 0;
        icount::require(consumer.peek(slot) != nullptr);
        consumer.advance();
        consumer.answer(slot, {"ok", 2}, 1);
        count_if(i >= 0 && count == Count::take, [&] {
            AnswerView answer;
            icount::require(producer.take_any(answer) == QueueStatus::ok);
            producer.release(answer);
        });
    }
}

constexpr icount::Job kJobs[] = {{"publish", run<Count::publish>},
                                 {"publish-with-price", run<Count::publish_with_price>},
                                 {"take-answer", run<Count::take>}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
