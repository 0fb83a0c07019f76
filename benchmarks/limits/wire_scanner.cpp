// Binance messages from their bytes to orders and to a book, without Python: what a C++ or nogil user pays.
//
//     wire_scanner scan|track FILE    ns per ORDER_TRADE_UPDATE: read only; or read and applied to tracked orders
//     wire_scanner depth|book FILE    ns per depthUpdate: read only; or read and applied to a book
//
// FILE has one message a line. An order is tracked before the clock starts; its client order id is "x-" and a number.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "measure.hpp"
#include "qtxconn/binance_wire.hpp"
#include "qtxconn/client_order_tracker.hpp"

namespace {

using namespace qtxconn;

constexpr Fixed kTick{1, 1};
constexpr Fixed kLot{1, 3};
constexpr std::int64_t kNow = 1;

std::uint64_t number_of(const binance::OrderTradeUpdate& update) {
    return parse_number_id(update.client_order_id.substr(2));
}

void track_orders(ClientOrderTracker& tracker, const std::vector<std::string>& messages) {
    binance::OrderTradeUpdate update;
    for (const std::string& message : messages) {
        if (binance::parse_order_trade_update(message, update) && tracker.find(number_of(update)) == tracker.kNone) {
            InFlightOrder order;
            order.client_id = number_of(update);
            order.symbol = tracker.intern_symbol(update.symbol);
            order.trade_type = update.trade_type;
            order.order_type = OrderType::limit;
            order.set_price(update.price);
            order.set_amount(update.amount);
            tracker.start_tracking(order);
        }
    }
    tracker.intern_asset("USDT");
    tracker.keep_events(false);
}

bool apply(ClientOrderTracker& tracker, const binance::OrderTradeUpdate& update) {
    const std::uint32_t slot = tracker.find(number_of(update));
    const std::int64_t venue_ns = update.transaction_ms * 1'000'000;
    if (slot == tracker.kNone) {
        return false;
    }
    tracker.process_exchange_id(slot, static_cast<VenueId>(update.exchange_order_id));
    if (update.is_fill) {
        Fill fill;
        Fixed quote;
        multiply(update.fill_price, update.fill_amount, quote);
        fill.trade_id = static_cast<VenueId>(update.trade_id);
        fill.venue_ns = venue_ns;
        fill.is_taker = !update.is_maker;
        fill.set_price(update.fill_price);
        fill.set_amount(update.fill_amount);
        fill.set_quote(quote);
        fill.set_fee(Fee{tracker.intern_asset(update.fee_asset), update.fee});
        tracker.process_fill(slot, fill, kNow);
    }
    tracker.process_state(slot, update.state, venue_ns, update.executed, kNow);
    return true;
}

template <typename Step>
void measure_all(const std::vector<std::string>& messages, measure::Result& result, Step step) {
    const std::int64_t begin = measure::now_ns();
    std::size_t taken = 0;
    for (const std::string& message : messages) {
        taken += step(message) ? 1U : 0U;
    }
    const std::int64_t end = measure::now_ns();
    result.value(static_cast<double>(end - begin) / static_cast<double>(messages.size()));
    result.fact("left alone", static_cast<double>(messages.size() - taken));
}

void measure_orders(const std::vector<std::string>& messages, bool tracks, measure::Result& result) {
    ClientOrderTracker tracker;
    track_orders(tracker, messages);
    binance::OrderTradeUpdate update;
    measure_all(messages, result, [&](const std::string& message) {
        const bool taken = binance::parse_order_trade_update(message, update);
        measure::keep(update);
        return taken && (!tracks || apply(tracker, update));
    });
    if (tracks) {
        result.checksum(tracker.applied_count(Applied::changed) + tracker.fill_count() * 1'000'000);
    }
}

void measure_book(const std::vector<std::string>& messages, bool applies, measure::Result& result) {
    L2Book book;
    const auto depth = std::make_unique<binance::DepthUpdate>();
    measure_all(messages, result, [&](const std::string& message) {
        const bool taken = binance::parse_depth_update(message, kTick, kLot, *depth);
        measure::keep(*depth);
        if (taken && applies) {
            book.lock.lock();
            book.set_levels(Side::bid, depth->bids, depth->bid_count);
            book.set_levels(Side::ask, depth->asks, depth->ask_count);
            book.commit(static_cast<std::uint64_t>(depth->last_id), kNow);
            book.lock.unlock();
        }
        return taken;
    });
    if (applies) {
        result.checksum(static_cast<std::uint64_t>(book.best_bid_ticks()) * 1'000'000 +
                        static_cast<std::uint64_t>(book.best_ask_ticks()));
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "wire_scanner scan|track|depth|book FILE\n");
        return 2;
    }
    const std::string_view mode = argv[1];
    std::ifstream file(argv[2]);
    std::vector<std::string> messages;
    for (std::string line; std::getline(file, line);) {
        messages.push_back(line);
    }
    measure::Result result;
    if (mode == "scan" || mode == "track") {
        measure_orders(messages, mode == "track", result);
    } else {
        measure_book(messages, mode == "book", result);
    }
    result.print();
    return 0;
}
