// Instructions from the text of a Binance depthUpdate to the book.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "driver.hpp"
#include "qtxconn/binance_wire.hpp"
#include "qtxconn/l2_book.hpp"

namespace {

using namespace qtxconn;

constexpr long kKept = 512;  // messages made ahead, over and over
constexpr std::int64_t kLevels = 20;
constexpr std::int64_t kMiddle = 600'000;
constexpr Fixed kTick{1, 1};
constexpr Fixed kLot{1, 3};

// 20 of the 60 ticks behind the touch, by price as Binance tells them; half of them go.
std::string levels(bool is_bid, std::uint64_t& state) {
    std::string text;
    for (std::int64_t i = 0; i < kLevels; ++i) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        const auto chance = static_cast<std::int64_t>(state >> 33);
        const std::int64_t price = (is_bid ? kMiddle - 3 * kLevels : kMiddle + 1) + 3 * i + chance % 3;
        const std::int64_t lots = chance / 3 % 2 == 0 ? 0 : 1 + chance / 6 % 9'999;
        char level[64];
        std::snprintf(level, sizeof level, "%s[\"%.2f\",\"%.3f\"]", i == 0 ? "" : ",", static_cast<double>(price) / 10,
                      static_cast<double>(lots) / 1000);
        text += level;
    }
    return text;
}

void depth(long operations) {
    std::vector<std::string> messages;
    std::uint64_t state = 1;
    for (long i = 0; i < kKept; ++i) {
        std::string text = R"({"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":1,"u":1,"pu":0,"b":[)";
        text += levels(true, state) + R"(],"a":[)";
        messages.push_back(text + levels(false, state) + "]}");
    }
    L2Book book;
    const auto update = std::make_unique<binance::DepthUpdate>();
    const auto apply = [&](long i) {
        const std::string& text = messages[static_cast<std::size_t>(i % kKept)];
        icount::require(binance::parse_depth_update(text, kTick, kLot, *update));
        book.set_levels(Side::bid, update->bids, update->bid_count);
        book.set_levels(Side::ask, update->asks, update->ask_count);
        book.commit(static_cast<std::uint64_t>(update->last_id), i);
    };
    for (long i = 0; i < kKept; ++i) {
        apply(i);
    }
    icount::measured([&] {
        for (long i = 0; i < operations; ++i) {
            apply(i);
        }
    });
    icount::require(book.valid());
}

constexpr icount::Job kJobs[] = {{"depth", depth}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
