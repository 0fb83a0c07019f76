// The Binance readers: every field of the messages they take, and whole messages that they must leave alone.
#include "qtxconn/binance_wire.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "check.hpp"

using namespace qtxconn;
using namespace qtxconn::binance;

namespace {

const std::string kOrder =
    R"({"e":"ORDER_TRADE_UPDATE","T":1568879465652,"E":1568879465653,"o":{"s":"BTCUSDT","c":"x-1","S":"SELL",)"
    R"("o":"LIMIT","f":"GTC","q":"0.002","p":"7100.50","ap":"7100.50","sp":null,"x":"TRADE","X":"PARTIALLY_FILLED",)"
    R"("i":9007199254740993,"l":"0.00100000","z":"0.0015","L":"7100.50","N":"USDT","n":"-0.01000000",)"
    R"("T":1568879465651,"t":12345678,"b":"0","a":"0","m":true,"R":false,"ps":"BOTH","rp":"12.34"}})";
const std::string kDepth =
    R"({"e":"depthUpdate","E":3,"T":2,"s":"BTCUSDT","U":5123107832006,"u":5123107837557,"pu":5123107831937,)"
    R"("b":[["58710.20","0.014"],["1.1","0.000"]],"a":[["61800.30","3.330"]]})";
const std::string kTrade = R"({"e":"trade","E":3,"T":2,"s":"BTCUSDT","t":7,"p":"60000.1","q":"0.006","m":true})";

constexpr Fixed kTick{1, 1};
constexpr Fixed kLot{1, 3};

bool equal(Fixed value, std::int64_t units, std::int32_t scale) { return value.units == units && value.scale == scale; }

std::string with(std::string text, std::string_view part, std::string_view other) {
    const std::size_t at = text.find(part);
    CHECK(at != std::string::npos);
    return text.replace(at, part.size(), other);
}

std::string wrapped(const std::string& event) { return R"({"stream":"x","data":)" + event + "}"; }

bool takes_order(std::string_view text) {
    OrderTradeUpdate out;
    return parse_order_trade_update(text, out);
}

bool takes_depth(std::string_view text) {
    static const auto out = std::make_unique<DepthUpdate>();
    return parse_depth_update(text, kTick, kLot, *out);
}

void test_an_order_update() {
    for (const std::string& text : {kOrder, wrapped(kOrder)}) {
        OrderTradeUpdate order;
        CHECK(peek_event(text).kind == EventKind::order_trade_update);
        CHECK(parse_order_trade_update(text, order));
        CHECK(order.symbol == "BTCUSDT" && order.client_order_id == "x-1" && order.fee_asset == "USDT");
        CHECK(order.exchange_order_id == 9007199254740993 && order.trade_id == 12345678);
        CHECK(order.transaction_ms == 1568879465651);
        CHECK(equal(order.price, 71005, 1) && equal(order.amount, 2, 3) && equal(order.executed, 15, 4));
        CHECK(equal(order.fill_price, 71005, 1) && equal(order.fill_amount, 1, 3) && equal(order.fee, -1, 2));
        CHECK(order.state == OrderState::partially_filled && order.trade_type == TradeType::sell);
        CHECK(order.is_maker && order.is_fill);
    }
}

void test_variants_of_an_order_update() {
    OrderTradeUpdate order;
    CHECK(parse_order_trade_update(with(kOrder, R"("x":"TRADE")", R"("x":"NEW")"), order) && !order.is_fill);
    CHECK(parse_order_trade_update(with(kOrder, R"("l":"0.00100000")", R"("l":"0")"), order) && !order.is_fill);
    CHECK(parse_order_trade_update(with(kOrder, R"("x":"TRADE")", R"("x":"CALCULATED")"), order) && order.is_fill);
    for (const char* no_fee : {R"("N":null,"n":null,)", R"("N":null,"n":"0.00",)", R"("N":"","n":"-0",)", ""}) {
        CHECK(parse_order_trade_update(with(kOrder, R"("N":"USDT","n":"-0.01000000",)", no_fee), order));
        CHECK(order.fee_asset.empty() && order.fee.units == 0);
    }
    struct {
        const char* text;
        OrderState state;
    } const states[] = {{"NEW", OrderState::open},          {"FILLED", OrderState::filled},
                        {"CANCELED", OrderState::canceled}, {"EXPIRED_IN_MATCH", OrderState::expired},
                        {"EXPIRED", OrderState::expired},   {"REJECTED", OrderState::failed}};
    for (const auto& c : states) {
        CHECK(parse_order_trade_update(with(kOrder, "PARTIALLY_FILLED", c.text), order) && order.state == c.state);
    }
}

void test_order_updates_that_are_left_alone() {
    const char* const fee = R"("N":"USDT","n":"-0.01000000",)";
    for (const std::string& text : {with(kOrder, R"("x":"TRADE")", R"("x":"AMENDMENT")"),
                                    with(kOrder, fee, R"("N":"USDT",)"),
                                    with(kOrder, fee, R"("n":"-0.01000000",)"),
                                    with(kOrder, fee, R"("N":"USDT","n":null,)"),
                                    with(kOrder, fee, R"("N":null,"n":"0.01",)"),
                                    with(kOrder, fee, R"("N":"","n":"0.01",)"),
                                    with(kOrder, "PARTIALLY_FILLED", "SOMETHING"),
                                    with(kOrder, "SELL", "HOLD"),
                                    with(kOrder, R"("m":true)", R"("m":1)"),
                                    with(kOrder, "x-1", "x-\\u0031"),
                                    with(kOrder, R"("i":9007199254740993)", R"("i":"9007199254740993")"),
                                    with(kOrder, R"("i":9007199254740993)", R"("i":9223372036854775808)"),
                                    with(kOrder, R"("i":9007199254740993)", R"("i":9007199254740993.0)"),
                                    with(kOrder, R"("T":1568879465651)", R"("T":10000000000000000)"),
                                    with(kOrder, R"("z":"0.0015")", R"("z":"1.5e-3")"),
                                    with(kOrder, R"("z":"0.0015")", R"("z":0.0015)"),
                                    with(kOrder, R"("z":"0.0015",)", ""),
                                    with(kOrder, R"("m":true,)", ""),
                                    with(kOrder, R"("e":)", R"("f":)"),
                                    with(kOrder, R"("b":"0")", R"("z":"0.0015")"),
                                    with(kOrder, R"("E":1568879465653)", R"("o":{})"),
                                    with(kOrder, R"("E":1568879465653)", R"("data":{})"),
                                    kOrder + "x",
                                    kOrder + kOrder,
                                    kDepth,
                                    with(wrapped(kOrder), R"("stream":"x")", R"("e":"ORDER_TRADE_UPDATE")"),
                                    with(wrapped(kOrder), R"("stream":"x")", R"("data":null)"),
                                    wrapped(wrapped(kOrder))}) {
        CHECK(!takes_order(text));
    }
    for (std::size_t size = 0; size < kOrder.size(); ++size) {
        CHECK(!takes_order(std::string_view(kOrder).substr(0, size)));
    }
}

void test_a_depth_diff() {
    const auto depth = std::make_unique<DepthUpdate>();
    for (const std::string& text : {kDepth, wrapped(kDepth)}) {
        const EventHead head = peek_event(text);
        CHECK(head.kind == EventKind::depth_update && head.symbol == "BTCUSDT");
        CHECK(parse_depth_update(text, kTick, kLot, *depth));
        CHECK(depth->symbol == "BTCUSDT" && depth->transaction_ms == 2);
        CHECK(depth->first_id == 5123107832006 && depth->last_id == 5123107837557);
        CHECK(depth->prev_id == 5123107831937);
        CHECK(depth->bid_count == 2 && depth->ask_count == 1);
        CHECK(depth->bids[0].price == 587102 && depth->bids[0].size == 14);
        CHECK(depth->bids[1].price == 11 && depth->bids[1].size == 0);
        CHECK(depth->asks[0].price == 618003 && depth->asks[0].size == 3330);
    }
    CHECK(
        parse_depth_update(with(with(kDepth, R"("b":[["58710.20","0.014"],["1.1","0.000"]],)", ""), "}", R"(,"b":[]})"),
                           kTick, kLot, *depth));
    CHECK(depth->bid_count == 0 && depth->ask_count == 1);
}

void test_depth_diffs_that_are_left_alone() {
    for (const std::string& text :
         {with(kDepth, "58710.20", "58710.25"), with(kDepth, "58710.20", "-1.0"), with(kDepth, "0.014", "0.0145"),
          with(kDepth, R"("0.014")", "0.014"), with(kDepth, R"("0.014"])", R"("0.014","0"])"),
          with(kDepth, R"(["1.1","0.000"])", R"(["1.1"])"), with(kDepth, R"("pu":5123107831937,)", ""),
          with(kDepth, R"("E":3)", R"("b":[])"), with(kDepth, "5123107832006", "-1"), kOrder, kTrade}) {
        CHECK(!takes_depth(text));
    }
    for (std::size_t size = 0; size < kDepth.size(); ++size) {
        CHECK(!takes_depth(std::string_view(kDepth).substr(0, size)));
    }
}

void test_a_trade() {
    PublicTrade trade;
    CHECK(peek_event(kTrade).kind == EventKind::trade);
    CHECK(parse_trade(kTrade, kTick, kLot, trade));
    CHECK(trade.symbol == "BTCUSDT" && trade.trade_id == 7 && trade.transaction_ms == 2);
    CHECK(trade.price == 600001 && trade.amount == 6 && !trade.is_buy);
    CHECK(parse_trade(with(kTrade, "true", "false"), kTick, kLot, trade) && trade.is_buy);
    CHECK(!parse_trade(with(kTrade, "true", "null"), kTick, kLot, trade));
    CHECK(!parse_trade(kDepth, kTick, kLot, trade));
}

void test_a_look_at_the_kind() {
    for (const char* text : {"", "{}", "[]", R"({"e":"kline","s":"BTCUSDT"})", R"({"result":null,"id":1})",
                             R"({"e":5})", R"({"s":"BTCUSDT"})"}) {
        CHECK(peek_event(text).kind == EventKind::other);
    }
    CHECK(peek_event(R"({"s":"ETHUSDT","b":[[]],"e":"depthUpdate"})").symbol == "ETHUSDT");
}

}  // namespace

int main() {
    test_an_order_update();
    test_variants_of_an_order_update();
    test_order_updates_that_are_left_alone();
    test_a_depth_diff();
    test_depth_diffs_that_are_left_alone();
    test_a_trade();
    test_a_look_at_the_kind();
    return 0;
}
