// The order ring between two threads: every order arrives once and whole, every answer reaches its order.
#include "qtxconn/qtx_segment.hpp"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>

#include "check.hpp"
#include "qtxconn/qtx_order_client.hpp"

using namespace qtxconn::qtx;

namespace {

constexpr std::int64_t kMinute = 60'000'000'000;

TextView text_of(std::uint64_t number, char* buffer) {
    return {buffer,
            static_cast<std::size_t>(std::snprintf(buffer, 24, "%llu", static_cast<unsigned long long>(number)))};
}

OrderRequest request_for(std::uint64_t id, char* buffer) {
    OrderRequest request;
    request.side = kSideBuy;
    request.client_order_id = id;
    request.order_type = kTypeGtc;
    request.place_ts_ns = id;
    request.size.assign(text_of(id, buffer));
    request.price = request.size;
    request.symbol.assign(text_of(id, buffer));
    return request;
}

bool is(TextView text, std::uint64_t number) {
    char buffer[24];
    const TextView wanted = text_of(number, buffer);
    return text.size == wanted.size && std::memcmp(text.data, wanted.data, wanted.size) == 0;
}

// Answers orders in groups, the last first.
void consume(QueueConsumer& consumer, std::uint64_t count) {
    int waiting[7];
    int held = 0;
    std::uint64_t next = 1;
    while (next <= count || held > 0) {
        int slot = 0;
        const OrderSlot* order = held < 7 ? consumer.peek(slot) : nullptr;
        if (order != nullptr) {
            CHECK(order->client_order_id == next && order->mode == kModePlace && order->side == kSideBuy);
            CHECK(is(bounded_text(order->size, kDecimalTextSize), next));
            CHECK(is(bounded_text(order->price, kDecimalTextSize), next));
            CHECK(is(bounded_text(order->symbol, kNameTextSize), next));
            CHECK(order->api_secret[0] == '\0');
            waiting[held++] = slot;
            consumer.advance();
            ++next;
            continue;
        }
        if (held == 0) {
            std::this_thread::yield();
        }
        while (held > 0) {
            char buffer[24];
            const int answered = waiting[--held];
            CHECK(consumer.answer(answered, text_of(static_cast<std::uint64_t>(answered), buffer), 1) ==
                  QueueStatus::ok);
        }
    }
}

void two_threads(std::uint64_t count) {
    const auto segment = std::make_unique<Segment>();
    QueueProducer producer(*segment, kMinute);
    QueueConsumer consumer(*segment);
    std::thread manager([&] { consume(consumer, count); });
    std::uint64_t published = 0;
    std::uint64_t answered = 0;
    std::uint64_t id_sum = 0;
    while (answered < count) {
        char buffer[24];
        if (published < count) {
            const int slot = producer.publish(request_for(published + 1, buffer));
            CHECK(slot >= 0 || slot == static_cast<int>(QueueStatus::full));
            published += slot >= 0 ? 1 : 0;
        }
        AnswerView answer;
        while (producer.take_any(answer) == QueueStatus::ok) {
            CHECK(is(answer.message, static_cast<std::uint64_t>(answer.slot)));
            CHECK((answer.client_order_id - 1) % kSlotCount == static_cast<std::uint64_t>(answer.slot));
            id_sum += answer.client_order_id;
            ++answered;
            producer.release(answer);
        }
    }
    manager.join();
    CHECK(id_sum == count * (count + 1) / 2);
    CHECK(producer.outstanding() == 0 && producer.closed() == QueueStatus::ok);
}

// Several threads publish and several take: each answer goes to exactly one of them.
void many_threads(std::uint64_t count_each) {
    const auto segment = std::make_unique<Segment>();
    QueueProducer producer(*segment, kMinute);
    QueueConsumer consumer(*segment);
    std::atomic<std::uint64_t> answered{0};
    const std::uint64_t total = 2 * count_each;
    const auto client = [&] {
        std::uint64_t published = 0;
        while (published < count_each || answered.load() < total) {
            char buffer[24];
            if (published < count_each && producer.publish(request_for(published + 1, buffer)) >= 0) {
                ++published;
            }
            AnswerView answer;
            if (producer.take_any(answer) == QueueStatus::ok) {
                producer.release(answer);
                answered.fetch_add(1);
            } else {
                std::this_thread::yield();
            }
        }
    };
    std::thread first(client);
    std::thread second(client);
    std::uint64_t taken = 0;
    while (taken < total) {
        int slot = 0;
        if (consumer.peek(slot) != nullptr) {
            consumer.advance();
            CHECK(consumer.answer(slot, {"ok", 2}, 1) == QueueStatus::ok);
            ++taken;
        } else {
            std::this_thread::yield();
        }
    }
    first.join();
    second.join();
    CHECK(answered.load() == total && producer.outstanding() == 0);
}

void waiting_and_watching() {
    char name[64];
    std::snprintf(name, sizeof name, "/qtxconn_cpp_test_%d", static_cast<int>(getpid()));
    SegmentMap manager_map;
    SegmentMap client_map;
    CHECK(manager_map.create(name) == MapStatus::ok);
    CHECK(client_map.create(name) == MapStatus::exists);
    CHECK(client_map.attach(name, false) == MapStatus::ok);
    OrderManager manager(manager_map, WaitPolicy{});
    OrderClient client(client_map, kMinute, true, WaitPolicy{});
    CHECK(client.watcher.start());
    char buffer[24];
    AnswerView answer;
    const int slot = client.submit(request_for(1, buffer));
    CHECK(slot == 0);
    CHECK(client.producer.wait(slot, WaitPolicy{}, 1'000'000, answer) == QueueStatus::timed_out);
    client.producer.expire(slot);
    int seen = -1;
    CHECK(manager.consumer.peek(seen) != nullptr && seen == 0);
    manager.consumer.advance();
    CHECK(manager.consumer.answer(0, {"late", 4}, 9) == QueueStatus::ok);
    CHECK(client.producer.wait(slot, WaitPolicy{}, kMinute, answer) == QueueStatus::ok);
    CHECK(answer.late && answer.res_ts_ns == 9 && answer.message.size == 4);
    client.producer.release(answer);
    CHECK(client.producer.take(slot, answer) == QueueStatus::not_outstanding);
}

}  // namespace

int main(int argc, char** argv) {
    const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 50'000;
    two_threads(count);
    many_threads(count / 10);
    waiting_and_watching();
}
