// The packet views: every field, every reason for rejection, and that no byte beyond the datagram is read.
#include "qtxconn/qtx_packet.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "check.hpp"

using namespace qtxconn::qtx;

namespace {

constexpr PacketHeader kHeader{9, 1'700'000'000'122, 1'700'000'000'123, 1'700'000'000'123'456'789, 77};

// A copy of exactly `size` bytes at an odd address: a sanitizer sees any read outside, and any aligned access.
struct Datagram {
    explicit Datagram(const std::uint8_t* bytes, std::size_t size_)
        : memory(std::make_unique<std::uint8_t[]>(size_ + 1)), size(size_) {
        for (std::size_t i = 0; i < size; ++i) {
            memory[i + 1] = bytes[i];
        }
    }
    const std::uint8_t* bytes() const { return memory.get() + 1; }
    std::unique_ptr<std::uint8_t[]> memory;
    std::size_t size;
};

Reject parse(const std::uint8_t* bytes, std::size_t size, PacketView& view, HeaderLayout layout = HeaderLayout::sdk) {
    const Datagram datagram(bytes, size);
    const Reject reason = parse_packet(datagram.bytes(), datagram.size, layout, view);
    if (reason == Reject::none) {
        volatile double sum = 0;  // use what the view gives out
        const std::size_t count = view.type == MessageType::depth ? view.ask_count + view.bid_count : 1;
        for (std::size_t i = 0; i < count; ++i) {
            sum = sum + view.level(i).price + view.level(i).size;
        }
    }
    view.body = nullptr;
    return reason;
}

void fields() {
    std::uint8_t bytes[1024];
    PacketView view;
    CHECK(build_ticker(bytes, kHeader, true, {60000.1, 2.5}) == 56);
    CHECK(parse_packet(bytes, 56, HeaderLayout::sdk, view) == Reject::none);
    CHECK(view.type == MessageType::ticker_bid && view.index == 9 && view.tx_ms == kHeader.tx_ms);
    CHECK(view.event_ms == kHeader.event_ms && view.local_ns == kHeader.local_ns && view.sn_id == 77);
    CHECK(view.level(0).price == 60000.1 && view.level(0).size == 2.5);
    CHECK(parse_packet(bytes, 56, HeaderLayout::legacy, view) == Reject::none);
    CHECK(view.sn_id == kHeader.tx_ms && view.event_ms == kHeader.event_ms / 1'000'000);

    build_trade(bytes, kHeader, false, {1.5, 1.0});
    CHECK(parse_packet(bytes, 56, HeaderLayout::sdk, view) == Reject::none && view.type == MessageType::trade_sell);

    const Level asks[2] = {{10.0, 1.0}, {11.0, 2.0}};
    const Level bids[3] = {{9.0, 3.0}, {8.0, 4.0}, {7.0, 0.0}};
    const std::size_t size = build_depth(bytes, kHeader, asks, 2, bids, 3);
    CHECK(size == 56 + 16 * 5);
    CHECK(parse_packet(bytes, size, HeaderLayout::sdk, view) == Reject::none);
    CHECK(view.ask_count == 2 && view.bid_count == 3);
    CHECK(view.ask(1).price == 11.0 && view.bid(0).price == 9.0 && view.bid(2).size == 0.0);
    CHECK(build_depth(bytes, kHeader, nullptr, 0, nullptr, 0) == 56);
    CHECK(parse_packet(bytes, 56, HeaderLayout::sdk, view) == Reject::none);
}

void rejections() {
    std::uint8_t bytes[1024];
    PacketView view;
    const std::size_t size = build_ticker(bytes, kHeader, false, {10.0, 1.0});
    for (std::size_t cut = 0; cut < size; ++cut) {
        CHECK(parse(bytes, cut, view) == (cut < kHeaderSize ? Reject::too_short : Reject::bad_length));
    }
    CHECK(parse(bytes, size + 1, view) == Reject::bad_length);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    for (const Level level : {Level{nan, 1}, Level{1, nan}, Level{infinity, 1}, Level{1, infinity}, Level{-1, 1},
                              Level{1, -1}, Level{0, 1}, Level{1e300, 1}, Level{-infinity, 1}}) {
        build_ticker(bytes, kHeader, true, level);
        CHECK(parse(bytes, 56, view) == Reject::bad_number);
        build_depth(bytes, kHeader, &level, 1, nullptr, 0);
        CHECK(parse(bytes, 72, view) == Reject::bad_number);
    }
    build_ticker(bytes, kHeader, true, {0.0, 0.0});
    CHECK(parse(bytes, 56, view) == Reject::none);
    build_trade(bytes, kHeader, true, {1.0, 0.0});
    CHECK(parse(bytes, 56, view) == Reject::bad_number);

    constexpr std::int64_t big = std::numeric_limits<std::int64_t>::max();
    constexpr std::int64_t counts[] = {-1, 1, 4093, 4094, 1LL << 59, 1LL << 60, big, -big - 1};
    for (const std::int64_t ask_count : counts) {
        for (const std::int64_t bid_count : counts) {
            build_depth(bytes, kHeader, nullptr, 0, nullptr, 0);
            detail::store(bytes + kAsksLenOffset, ask_count);
            detail::store(bytes + kBidsLenOffset, bid_count);
            CHECK(parse(bytes, 56, view) != Reject::none);
        }
    }
    for (std::int32_t type = -1000; type <= 1000; ++type) {
        build_ticker(bytes, kHeader, true, {1.0, 1.0});
        detail::store(bytes, type);
        const Reject wanted = !is_message_type(type) ? Reject::unknown_type
                              : type == 2            ? Reject::bad_count  // 1.0 read as a count
                                                     : Reject::none;
        CHECK(parse(bytes, 56, view) == wanted);
    }
}

void random_bytes() {
    std::mt19937_64 random(20261121);
    std::vector<std::uint8_t> bytes(400);
    PacketView view;
    std::size_t accepted = 0;
    for (int i = 0; i < 300'000; ++i) {
        const std::size_t size = random() % bytes.size();
        for (auto& byte : bytes) {
            byte = static_cast<std::uint8_t>(random());
        }
        if (size >= 56) {
            constexpr std::int32_t types[] = {1, -1, 2, 3, -3, 7};
            detail::store(bytes.data(), types[random() % 6]);
            if (random() % 2 == 0) {
                detail::store(bytes.data() + kAsksLenOffset, static_cast<std::int64_t>((size - 56) / 16));
                detail::store(bytes.data() + kBidsLenOffset, std::int64_t{0});
            }
        }
        accepted += parse(bytes.data(), size, view) == Reject::none ? 1 : 0;
    }
    CHECK(accepted > 0);
}

}  // namespace

int main() {
    fields();
    rejections();
    random_bytes();
}
