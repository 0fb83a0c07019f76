// A client killed at any moment of publishing: the order manager sees whole orders only, and the next client attaches.
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "check.hpp"
#include "qtxconn/qtx_order_client.hpp"

using namespace qtxconn::qtx;

namespace {

constexpr std::int64_t kMinute = 60'000'000'000;

// Texts of a length that changes with the number, so that a mixture of two orders cannot pass for one.
TextView text_of(std::uint64_t number, char* buffer) {
    int size = std::snprintf(buffer, 32, "%llu", static_cast<unsigned long long>(number));
    const int wanted = 5 + static_cast<int>(number % 20);
    while (size < wanted) {
        buffer[size++] = static_cast<char>('a' + number % 26);
    }
    return {buffer, static_cast<std::size_t>(size)};
}

bool is(TextView text, std::uint64_t number) {
    char buffer[32];
    const TextView wanted = text_of(number, buffer);
    return text.size == wanted.size && std::memcmp(text.data, wanted.data, wanted.size) == 0;
}

[[noreturn]] void publish_until_killed(const char* name, std::uint64_t first) {
    SegmentMap map;
    CHECK(map.attach(name, false) == MapStatus::ok);
    QueueProducer producer(*map.get(), kMinute);
    for (std::uint64_t id = first;;) {
        char buffer[32];
        OrderRequest request;
        request.side = id % 2 == 0 ? kSideBuy : kSideSell;
        request.client_order_id = id;
        request.order_type = id % 4;
        request.price_match = id;
        request.place_ts_ns = id;
        request.size.assign(text_of(id, buffer));
        request.price = request.size;
        request.symbol.assign(text_of(id, buffer));
        id += producer.publish(request) >= 0 ? 1 : 0;
        AnswerView answer;
        while (producer.take_any(answer) == QueueStatus::ok) {
            producer.release(answer);
        }
    }
}

// Takes and answers what is there; returns the newest id.
std::uint64_t consume(QueueConsumer& consumer, std::uint64_t last) {
    int slot = 0;
    while (const OrderSlot* order = consumer.peek(slot)) {
        const std::uint64_t id = order->client_order_id;
        if (order->mode == kModeCancel) {  // the way past a slot that the killed client's order was never answered in
            CHECK(id == kNoOrderId);
        } else {
            CHECK(id > last && order->mode == kModePlace && order->side == (id % 2 == 0 ? kSideBuy : kSideSell));
            CHECK(order->order_type == id % 4 && order->price_match == id && order->place_ts_ns == id);
            CHECK(order->res_ts_ns == 0 && order->api_secret[0] == '\0');
            CHECK(is(bounded_text(order->size, kDecimalTextSize), id));
            CHECK(is(bounded_text(order->price, kDecimalTextSize), id));
            CHECK(is(bounded_text(order->symbol, kNameTextSize), id));
            last = id;
        }
        consumer.advance();
        CHECK(consumer.answer(slot, {"ok", 2}, 1) == QueueStatus::ok);
    }
    return last;
}

}  // namespace

int main(int argc, char** argv) {
    const int kills = argc > 1 ? std::atoi(argv[1]) : 200;
    char name[64];
    std::snprintf(name, sizeof name, "/qtxconn_kill_test_%d", static_cast<int>(getpid()));
    SegmentMap map;
    CHECK(map.create(name) == MapStatus::ok);
    QueueConsumer consumer(*map.get());
    std::uint64_t last = 0;
    std::uint64_t random = 12345;
    for (int kill_number = 0; kill_number < kills; ++kill_number) {
        const std::uint64_t before = last;
        const pid_t client = fork();
        CHECK(client >= 0);
        if (client == 0) {
            publish_until_killed(name, last + 1);
        }
        while (last == before) {  // until it is in the middle of it
            last = consume(consumer, last);
            int status = 0;
            CHECK(waitpid(client, &status, WNOHANG) == 0);
        }
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        const timespec delay{0, static_cast<long>((random >> 33) % 200'000)};
        nanosleep(&delay, nullptr);
        last = consume(consumer, last);
        CHECK(kill(client, SIGKILL) == 0 && waitpid(client, nullptr, 0) == client);
        last = consume(consumer, last);
    }
    CHECK(last > static_cast<std::uint64_t>(kills));
}
