// Instructions from the bytes of a datagram to a changed book, by kind of message and for the usual mix.
#include <cstdint>
#include <vector>

#include "driver.hpp"
#include "qtxconn/l2_book.hpp"
#include "qtxconn/qtx_decoder.hpp"
#include "qtxconn/qtx_packet.hpp"

namespace {

using namespace qtxconn;
using namespace qtxconn::qtx;

constexpr std::size_t kLevels = 20;
constexpr long kKept = 512;  // messages made ahead, over and over with new sequence numbers

using Bytes = std::vector<std::uint8_t>;

double price_of(long i) { return 60000.0 + static_cast<double>(i * 7 % 50) / 10.0; }

Bytes ticker(long i) {
    Bytes bytes(kBodyOffset);
    build_ticker(bytes.data(), PacketHeader{0, 1, 1, 1, 0}, i % 2 == 0, {price_of(i) + (i % 2 == 0 ? 0.0 : 10.0), 1.5});
    return bytes;
}

Bytes trade(long i) {
    Bytes bytes(kBodyOffset);
    build_trade(bytes.data(), PacketHeader{0, 1, 1, 1, 0}, i % 2 == 0, {price_of(i), 0.25});
    return bytes;
}

Bytes depth(long i) {
    Level asks[kLevels];
    Level bids[kLevels];
    for (std::size_t k = 0; k < kLevels; ++k) {
        const double size = (i + static_cast<long>(k)) % 5 == 0 ? 0.0 : 1.0 + static_cast<double>(k) / 8.0;
        asks[k] = {60010.0 + static_cast<double>(k) / 10.0, size};
        bids[k] = {59990.0 - static_cast<double>(k) / 10.0, size};
    }
    Bytes bytes(kBodyOffset + 2 * kLevels * kLevelSize);
    build_depth(bytes.data(), PacketHeader{0, 1, 1, 1, 1}, asks, kLevels, bids, kLevels);
    return bytes;
}

// 60 % tickers, 25 % trades, 15 % depth messages of 20 levels a side.
Bytes mixed(long i) { return i % 20 < 12 ? ticker(i) : i % 20 < 17 ? trade(i) : depth(i); }

template <Bytes (*make)(long)>
void run(long operations) {
    FeedDecoder decoder{FeedOptions{}};
    L2Book book;
    IndexTable indices;
    decoder.delivery = false;
    indices.bind(0, decoder.add_symbol(&book, Fixed{1, 1}, Fixed{1, 3}, SequenceRule::contiguous));
    std::vector<Bytes> messages;
    for (long i = 0; i < kKept; ++i) {
        messages.push_back(make(i));
    }
    std::int64_t sequence[7] = {};  // by type, -3 to 3
    const Bytes whole = depth(1);
    long applied = 0;
    const auto apply = [&](const Bytes& bytes, std::int64_t now_ns) {
        applied += decoder.apply(indices, bytes.data(), bytes.size(), now_ns, now_ns) == Reject::none ? 1 : 0;
    };
    apply(whole, 1);
    sequence[2 + 3] = 1;
    const auto apply_next = [&](long i, bool counted) {
        Bytes& bytes = messages[static_cast<std::size_t>(i % kKept)];
        std::int32_t type = 0;
        std::memcpy(&type, bytes.data(), sizeof type);
        const std::int64_t sn_id = ++sequence[type + 3];
        std::memcpy(bytes.data() + kSnIdOffset, &sn_id, sizeof sn_id);
        const auto apply_it = [&] { apply(bytes, i + 1); };
        if (counted) {
            icount::measured(apply_it);
        } else {
            apply_it();
        }
    };
    for (long i = 0; i < kKept; ++i) {
        apply_next(i, false);
    }
    for (long i = 0; i < operations; ++i) {
        apply_next(i, true);
    }
    icount::require(applied == operations + kKept + 1);
}

constexpr icount::Job kJobs[] = {
    {"ticker", run<ticker>}, {"trade", run<trade>}, {"depth", run<depth>}, {"mix", run<mixed>}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
