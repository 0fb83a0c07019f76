// Instructions of an order's way into shared memory: price to text, slot filled and published, answer taken and
// released.
#include <cstdint>

#include "driver.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/qtx_segment.hpp"

namespace {

using namespace qtxconn;
using namespace qtxconn::qtx;

constexpr long kBatch = 90;  // of the 99 orders that may be outstanding
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

template <Count count>
void run(long operations) {
    QueueProducer producer(segment, 1'000'000'000'000, true);
    QueueConsumer consumer(segment);
    for (long done = 0; done < operations;) {
        const long end = operations - done < kBatch ? operations : done + kBatch;
        count_if(count != Count::take, [&] {
            for (long i = done; i < end; ++i) {
                char price[kFixedTextMax] = "60000.1";
                OrderRequest request;
                request.mode = kModePlace;
                request.side = kSideBuy;
                request.client_order_id = static_cast<std::uint64_t>(i + 1);
                request.place_ts_ns = 1;
                request.size = {"0.002", 5};
                request.price = {
                    price, count == Count::publish_with_price ? format_fixed(Fixed{600001 + i % 9, 1}, price) : 7};
                request.symbol = {"BTCUSDT", 7};
                icount::require(producer.publish(request) >= 0);
            }
        });
        int slot = 0;
        while (consumer.peek(slot) != nullptr) {
            consumer.advance();
            consumer.answer(slot, {"ok", 2}, 1);
        }
        count_if(count == Count::take, [&] {
            AnswerView answer;
            for (long i = done; i < end; ++i) {
                icount::require(producer.take_any(answer) == QueueStatus::ok);
                producer.release(answer);
            }
        });
        done = end;
    }
}

constexpr icount::Job kJobs[] = {{"publish", run<Count::publish>},
                                 {"publish-with-price", run<Count::publish_with_price>},
                                 {"take-answer", run<Count::take>}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
