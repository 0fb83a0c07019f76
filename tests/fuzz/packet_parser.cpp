// Datagrams of a feed: whatever bytes come, no read beyond them, no wrong book, and each is applied or counted once.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "qtxconn/qtx_decoder.hpp"
#include "qtxconn/qtx_packet.hpp"

namespace {

using namespace qtxconn;
using namespace qtxconn::qtx;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

// Adds up all that the parser gave, so that no read of it can be left out.
double sum_of(const PacketView& packet) {
    double sum = static_cast<double>(packet.sn_id) + static_cast<double>(packet.event_ms);
    for (std::size_t i = 0; i < packet.level_count(); ++i) {
        const Level level = packet.level(i);
        require(std::isfinite(level.price) && level.price >= 0 && std::isfinite(level.size) && level.size >= 0);
        sum += level.price + level.size;
    }
    return sum;
}

bool is_right(const L2Book& book) {
    return !book.valid() || (book.best_bid_lots() > 0 && book.best_ask_lots() > 0 &&
                             book.best_bid_ticks() < book.best_ask_ticks() && book.best_bid_ticks() > 0);
}

volatile double consumed;

// A decoder is dear to make, and keeps nothing but counters from one input to the next: the symbols of each are new.
FeedDecoder& decoder_for(const FeedOptions& options, std::size_t which) {
    static std::unique_ptr<FeedDecoder> decoders[4];
    auto& decoder = decoders[which];
    if (decoder == nullptr || decoder->symbol_count() > 10'000) {
        decoder = std::make_unique<FeedDecoder>(options, std::size_t{1} << 16);
    }
    return *decoder;
}

}  // namespace

// The input: datagrams, each behind its length as two bytes. Their indices are taken modulo 4, so that most are known.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    for (const HeaderLayout layout : {HeaderLayout::sdk, HeaderLayout::legacy}) {
        FeedOptions options;
        options.header_layout = layout;
        options.depth_semantics = size % 2 == 0 ? DepthSemantics::merge : DepthSemantics::replace;
        FeedDecoder& decoder = decoder_for(options, size % 2 + (layout == HeaderLayout::sdk ? 0U : 2U));
        const auto first = static_cast<int>(decoder.symbol_count());
        std::vector<std::unique_ptr<L2Book>> books;
        IndexTable indices;
        for (int i = 0; i < 3; ++i) {
            books.push_back(std::make_unique<L2Book>());
            const SequenceRule rule = i == 0 ? SequenceRule::contiguous : SequenceRule::monotonic;
            require(indices.bind(i, decoder.add_symbol(books.back().get(), Fixed{1, 1}, Fixed{1, 3}, rule)));
            decoder.symbol(first + i).wants_diffs.set(i == 2);
        }
        std::size_t at = 0;
        while (at + 2 <= size) {
            const std::size_t length = std::min<std::size_t>(data[at] | data[at + 1] << 8, size - at - 2);
            std::vector<std::uint8_t> datagram(data + at + 2, data + at + 2 + length);  // its end is the sanitizer's
            at += 2 + length;
            if (datagram.size() > kIndexOffset) {
                datagram[kIndexOffset] &= 3;
                std::fill(datagram.begin() + kIndexOffset + 1,
                          datagram.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(length, 8)), 0);
            }
            PacketView packet;
            const Reject reason = parse_packet(datagram.data(), datagram.size(), layout, packet);
            if (reason == Reject::none) {
                consumed = sum_of(packet);
            }
            const Reject result = decoder.apply(indices, datagram.data(), datagram.size(), 1, 1);
            require(reason == Reject::none ? result == Reject::none || result >= Reject::unknown_index
                                           : result == reason);
            for (const auto& book : books) {
                require(is_right(*book));
            }
            while (const void* news = decoder.news.front()) {
                const auto* diff = static_cast<const FeedNews*>(news);
                if (diff->kind == FeedNews::Kind::diff) {
                    for (std::uint32_t i = 0; i < diff->ask_count + diff->bid_count; ++i) {
                        require(diff->levels()[i].price >= 0 && diff->levels()[i].size >= 0);
                    }
                }
                decoder.news.pop();
            }
        }
    }
    return 0;
}
