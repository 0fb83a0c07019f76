// libFuzzer target: any bytes to the Binance readers. What they accept must be within its bounds and inside the
// message.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "qtxconn/binance_wire.hpp"
#include "qtxconn/in_flight_order.hpp"

namespace {

using namespace qtxconn;

void demand(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void demand_inside(std::string_view part, std::string_view whole) {
    demand(part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size()));
    for (const char c : part) {
        demand(c >= 0x20 && c != '"' && c != '\\');
    }
}

void demand_exact(Fixed value) {
    demand(value.scale >= 0 && value.scale <= kFixedScaleMax);
    demand(value.scale == 0 || value.units % 10 != 0);  // equal values have equal fields
    char text[kFixedTextMax];
    Fixed again;
    demand(parse_fixed(text, format_fixed(value, text), again) == FixedError::ok && again == value);
}

void demand_counts(const BookLevel* levels, std::size_t count) {
    demand(count <= binance::kDepthLevelsMax);
    for (std::size_t i = 0; i < count; ++i) {
        demand(levels[i].price >= 0 && levels[i].size >= 0);
    }
}

void read_all(std::string_view text) {
    const binance::EventHead head = binance::peek_event(text);
    demand_inside(head.symbol, text);

    binance::OrderTradeUpdate order;
    if (binance::parse_order_trade_update(text, order)) {
        demand(head.kind == binance::EventKind::order_trade_update);
        demand_inside(order.symbol, text);
        demand_inside(order.client_order_id, text);
        demand_inside(order.fee_asset, text);
        demand(order.exchange_order_id >= 0 && order.trade_id >= 0 && order.transaction_ms >= 0);
        demand(is_order_state(static_cast<std::uint8_t>(order.state)));
        demand(!order.is_fill || order.fill_amount.units > 0);
        for (const Fixed value :
             {order.price, order.amount, order.executed, order.fill_price, order.fill_amount, order.fee}) {
            demand_exact(value);
        }
    }

    static const auto depth = std::make_unique<binance::DepthUpdate>();
    const Fixed ticks[] = {{1, 1}, {5, 4}, {1, 18}, {25, 0}};
    for (const Fixed tick : ticks) {
        if (binance::parse_depth_update(text, tick, Fixed{1, 3}, *depth)) {
            demand(head.kind == binance::EventKind::depth_update);
            demand_inside(depth->symbol, text);
            demand(depth->first_id >= 0 && depth->last_id >= 0 && depth->prev_id >= 0);
            demand_counts(depth->bids, depth->bid_count);
            demand_counts(depth->asks, depth->ask_count);
        }
        binance::PublicTrade trade;
        if (binance::parse_trade(text, tick, Fixed{1, 3}, trade)) {
            demand(head.kind == binance::EventKind::trade);
            demand_inside(trade.symbol, text);
            demand(trade.price >= 0 && trade.amount >= 0);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // A copy of exactly this size: a read beyond its end is seen by the sanitizer, whatever the driver's buffer is.
    const std::unique_ptr<char[]> copy(new char[size]);
    for (std::size_t i = 0; i < size; ++i) {
        copy[i] = static_cast<char>(data[i]);
    }
    read_all(std::string_view(copy.get(), size));
    return 0;
}
