"""Binance payloads: recorded ones parse to exact values, broken ones are MessageErrors, codes are mapped."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.core.types import (
    AddedToCostTradeFee,
    OrderState,
    OrderType,
    PositionAction,
    PositionSide,
    TokenAmount,
    TradeType,
)
from qtxconn.errors import (
    AuthenticationError,
    DuplicateOrderIdError,
    InsufficientBalanceError,
    InvalidRequestError,
    MessageError,
    OrderNotFoundError,
    OrderRejectedError,
    OutcomeUnknownError,
    PostOnlyRejectedError,
    QtxconnError,
    RateLimitedError,
    ReduceOnlyRejectedError,
    TimestampError,
    VenueError,
)
from qtxconn.exchanges.binance import constants, messages

D = Decimal
PAIR = "BTC-USDT"


@pytest.fixture
def payload(shared_dir: Path) -> Any:
    def load(name: str) -> Any:
        return orjson.loads((shared_dir / "fixtures" / "binance" / f"{name}.json").read_bytes())

    return load


# -- rules -------------------------------------------------------------------------------------------------


def test_exchange_info_takes_grids_from_the_filters(payload: Any) -> None:
    info = payload("cf_exchangeInfo_trimmed_20210721")
    rules = {rule.trading_pair: rule for rule in messages.parse_exchange_info(info)}
    assert len(rules) == sum(s["contractType"] == "PERPETUAL" and s["status"] == "TRADING" for s in info["symbols"])
    btc, sushi = rules["BTC-USDT"], rules["SUSHI-USDT"]
    assert btc.exchange_symbol == "BTCUSDT"
    assert (btc.min_price_increment, btc.min_base_amount_increment) == (D("0.01"), D("0.001"))
    assert (btc.min_order_size, btc.max_order_size, btc.min_notional_size) == (D("0.001"), 1000, 5)
    assert (btc.min_price, btc.max_price, btc.max_num_orders) == (D("556.72"), 1000000, 200)
    assert btc.supports_limit_orders
    assert btc.supports_market_orders
    assert btc.buy_order_collateral_token == btc.sell_order_collateral_token == "USDT"
    assert sushi.min_price_increment == D("0.001")  # pricePrecision says 4 digits, the tick is coarser


def test_an_older_form_without_contract_type_and_notional(payload: Any) -> None:
    (rule,) = messages.parse_exchange_info(payload("ccxt_rest_fetch_markets_1"))
    assert rule.trading_pair == "BTC-USDT"
    assert rule.min_notional_size == 0


def test_one_bad_symbol_does_not_cost_the_others(payload: Any, caplog: pytest.LogCaptureFixture) -> None:
    info = payload("cf_exchangeInfo_trimmed_20210721")
    names = {rule.trading_pair for rule in messages.parse_exchange_info(info)}
    info["symbols"][0]["filters"] = []
    info["symbols"][1]["filters"][0]["tickSize"] = "0"
    assert {rule.trading_pair for rule in messages.parse_exchange_info(info)} == names - {
        "BTC-USDT",
        "SUSHI-USDT",
    }
    assert "PRICE_FILTER" in caplog.text
    info["symbols"][2]["status"] = "SETTLING"
    assert len(messages.parse_exchange_info(info)) <= len(names) - 2


# -- orders ------------------------------------------------------------------------------------------------


def test_the_stream_reports_a_partial_fill_with_its_fee(payload: Any) -> None:
    update, trade = messages.parse_order_trade_update(payload("order_update_trade_partial"), PAIR)
    assert update.new_state is OrderState.PARTIALLY_FILLED
    assert (update.client_order_id, update.exchange_order_id) == ("TEST", "8886774")
    assert update.update_timestamp == 1568879465.651
    assert update.misc_updates == {"cumulative_base": D("0.001"), "price": D("7100.50"), "amount": D("0.002")}
    assert trade is not None
    assert (trade.trade_id, trade.client_order_id, trade.exchange_order_id) == ("12345678", "TEST", "8886774")
    assert (trade.fill_price, trade.fill_base_amount) == (D("7100.50"), D("0.001"))
    assert trade.fill_quote_amount == D("7.1005")
    assert trade.fee == AddedToCostTradeFee(flat_fees=[TokenAmount("USDT", D("0.01000000"))])
    assert not trade.is_taker


@pytest.mark.parametrize(
    ("name", "state", "filled"),
    [
        ("order_update_new", OrderState.OPEN, None),
        ("order_update_calculated", OrderState.FILLED, "0.014"),
        ("order_update_calculated_pending", OrderState.OPEN, None),
        ("order_update_delivery", OrderState.FILLED, "1"),
        ("ws_futures_order_update_adl_filled", OrderState.FILLED, "1.000"),
        ("ws_futures_order_update_liquidation", OrderState.FILLED, "0.100"),
        ("ws_futures_order_update_liquidation_zero_qty", OrderState.FILLED, None),
        ("ws_futures_order_update_new_stop_limit_price_match", OrderState.OPEN, None),
    ],
)
def test_every_recorded_order_update(payload: Any, name: str, state: OrderState, filled: str | None) -> None:
    event = payload(name)
    event = event.get("data", event)
    update, trade = messages.parse_order_trade_update(event, PAIR)
    assert update.new_state is state
    assert update.client_order_id == event["o"]["c"]
    assert (trade and trade.fill_base_amount) == (D(filled) if filled else None)
    if trade is not None and "N" not in event["o"]:
        assert trade.fee.flat_fees == []


def test_a_fill_is_multiplied_exactly() -> None:
    event = order_event(x="TRADE", X="FILLED", L="123456789.123456789", l="987654321.987654321", t=1)
    _, trade = messages.parse_order_trade_update(event, PAIR)
    assert trade is not None
    assert trade.fill_quote_amount == D("121932631356500531.347203169112635269")


def order_event(**fields: Any) -> dict[str, Any]:
    order = {
        "s": "BTCUSDT",
        "c": "7",
        "i": 1,
        "x": "NEW",
        "X": "NEW",
        "p": "1",
        "q": "1",
        "z": "0",
        "l": "0",
        "L": "0",
        "T": 1,
        "t": 0,
    }
    return {"e": "ORDER_TRADE_UPDATE", "o": order | {"m": False} | fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"X": "SOMETHING_NEW"},
        {"z": "NaN"},
        {"z": None},
        {"x": "TRADE", "l": "1", "L": "Infinity", "t": 5},
        {"x": "TRADE", "l": 1.5, "L": "1", "t": 5},
        {"T": "yesterday"},
        {"T": 1.5},
        {"z": True},
        {"c": None},
        {"i": []},
        {"x": None},
        {"x": "TRADE", "l": "1", "L": "1", "t": 5, "m": "false"},
        {"x": "TRADE", "l": "1", "L": "1", "t": 5, "N": {}, "n": "1"},
        {"x": "TRADE", "l": "1", "L": "1", "t": 5, "n": "1"},
        {"x": "TRADE", "l": "1", "L": "1", "t": 5, "N": "", "n": "-0.01"},
        {"x": "TRADE", "l": "1", "L": "1", "t": 5, "N": None, "n": "x"},
        {"x": "TRADE", "l": "1", "L": "1", "t": 5, "N": "USDT"},
        {"x": "TRADE", "l": "1", "L": "1", "t": 5, "N": "USDT", "n": None},
    ],
)
def test_a_broken_order_update_is_a_message_error(fields: dict[str, Any]) -> None:
    with pytest.raises(MessageError, match="Binance ORDER_TRADE_UPDATE"):
        messages.parse_order_trade_update(order_event(**fields), PAIR)


@pytest.mark.parametrize("told", [{}, {"N": None, "n": None}, {"N": "", "n": "0"}, {"n": "0.00000000"}])
def test_a_fill_without_a_fee(told: dict[str, Any]) -> None:
    event = order_event(x="TRADE", l="1", L="1", t=5, **told)
    _, trade = messages.parse_order_trade_update(event, PAIR)
    assert trade is not None
    assert trade.fee.flat_fees == []


def test_rest_order_objects(payload: Any) -> None:
    names = ["ccxt_rest_parse_order_1", "ccxt_rest_parse_order_11", "ccxt_rest_edit_contract_order_1"]
    orders = [payload(name) for name in names] + payload("http_futures_account_orders")
    orders += [payload("ccxt_pro_handle_edit_order_ws_1")["result"], payload("ccxt_rest_fetch_orders_2")]
    for order in orders:
        order = order[0] if isinstance(order, list) else order
        update = messages.parse_order(order, PAIR)
        assert update.new_state is constants.ORDER_STATES[order["status"]]
        assert update.client_order_id == order["clientOrderId"]
        assert update.exchange_order_id == str(order["orderId"])
        assert update.update_timestamp == order["updateTime"] / 1e3
        assert update.misc_updates is not None
        assert update.misc_updates["cumulative_base"] == D(order["executedQty"])


def test_orders_of_other_markets_are_message_errors(payload: Any) -> None:
    others = [f"parse_order_{number}" for number in (3, 7, 9, 15, 17, 19, 21)]  # options, strategies, shares
    for name in [*others, "fetch_open_order_1"]:
        with pytest.raises(MessageError):
            messages.parse_order(payload(f"ccxt_rest_{name}"), PAIR)


def test_the_answer_to_an_algo_placement_names_no_order_yet() -> None:
    answer = {"algoId": 7, "clientAlgoId": "x", "algoStatus": "NEW", "quantity": "0.002", "updateTime": 1763458576201}
    for more in ({}, {"price": "102000.00"}, {"price": "102000.00", "actualOrderId": ""}):
        update = messages.parse_algo_order(answer | more, PAIR)
        assert (update.exchange_order_id, update.new_state) == ("algo-7", OrderState.OPEN)
    assert messages.parse_algo_order(answer | {"actualOrderId": "5"}, PAIR).exchange_order_id == "5"


def test_user_trades(payload: Any) -> None:
    sell, buy = (messages.parse_user_trade(row, "ETH-USDT", "9") for row in payload("http_futures_account_trades"))
    assert (sell.trade_id, sell.exchange_order_id, sell.client_order_id) == ("82357626", "831238666", "9")
    assert (sell.fill_price, sell.fill_base_amount, sell.fill_quote_amount) == (
        D("2778.35"),
        D("0.005"),
        D("13.89175"),
    )
    assert sell.fee.flat_fees == [TokenAmount("USDT", D("0.00555670"))]
    assert buy.is_taker
    assert buy.fill_timestamp == 1645930333.910


@pytest.mark.parametrize(
    ("order_type", "price", "action", "expected"),
    [
        (
            OrderType.LIMIT,
            D("5E+4"),
            PositionAction.OPEN,
            {"type": "LIMIT", "price": "50000", "timeInForce": "GTC"},
        ),
        (
            OrderType.LIMIT_MAKER,
            D("0.10"),
            PositionAction.NIL,
            {"type": "LIMIT", "price": "0.10", "timeInForce": "GTX"},
        ),
        (OrderType.MARKET, None, PositionAction.CLOSE, {"type": "MARKET", "reduceOnly": "true"}),
        (OrderType.MARKET, D(1), PositionAction.OPEN, {"type": "MARKET"}),
    ],
)
def test_order_parameters(
    order_type: OrderType, price: Decimal | None, action: PositionAction, expected: dict[str, str]
) -> None:
    params = messages.build_order_params("42", "BTCUSDT", D("1E-3"), TradeType.SELL, order_type, price, action)
    fixed = {
        "symbol": "BTCUSDT",
        "side": "SELL",
        "quantity": "0.001",
        "newClientOrderId": "42",
        "newOrderRespType": "RESULT",
    }
    assert params == fixed | expected


def test_a_limit_order_takes_another_time_in_force_and_needs_a_price() -> None:
    args = ("42", "BTCUSDT", D(1), TradeType.BUY, OrderType.LIMIT)
    assert messages.build_order_params(*args, D(5), PositionAction.NIL, time_in_force="IOC")["timeInForce"] == "IOC"
    with pytest.raises(ValueError, match="needs a price"):
        messages.build_order_params(*args, None, PositionAction.NIL)


# -- account -----------------------------------------------------------------------------------------------


def test_account_update(payload: Any) -> None:
    update = messages.parse_account_update(payload("account_update"), {"BTCUSDT": PAIR}.get)
    assert update.reason == "ORDER"
    assert update.balances == [messages.Balance("USDT", D("122624.12345678"), None)]
    assert [(p.trading_pair, p.position_side, p.amount) for p in update.positions] == [
        (PAIR, PositionSide.BOTH, 0),
        (PAIR, PositionSide.LONG, 20),
        (PAIR, PositionSide.SHORT, -10),
    ]
    assert update.positions[1].entry_price == D("6563.6")
    assert update.positions[1].unrealized_pnl == D("2850.21200")
    assert messages.parse_account_update(payload("account_update"), {}.get).positions == []


def test_balances_and_positions(payload: Any) -> None:
    assert messages.parse_balances(payload("balance")) == [
        messages.Balance("USDT", D("122.12345678"), D("122.12345678"))
    ]
    position = messages.parse_position(payload("position_risk")[0], PAIR)
    assert (position.amount, position.entry_price, position.leverage) == (D("0.001"), 50000, 20)
    assert position.position_side is PositionSide.BOTH
    assert position.unrealized_pnl == 1
    sides = [
        messages.parse_position(row, PAIR).position_side for row in payload("http_futures_account_positions_hedge")
    ]
    assert sides == [PositionSide.LONG, PositionSide.SHORT]


# -- market data -------------------------------------------------------------------------------------------


def test_market_data(payload: Any) -> None:
    diff = messages.parse_depth_diff(payload("depth_update_stream"), 5)
    assert (diff.first_id, diff.last_id, diff.prev_id) == (157, 160, 149)
    assert (diff.bids, diff.asks) == ([["0.0024", "10"]], [["0.0026", "100"]])
    assert (diff.venue_ns, diff.received_ns) == (123456788 * 10**6, 5)
    assert messages.parse_depth_diff(payload("ws_futures_depth_update")).prev_id == 390497794
    snapshot = messages.parse_depth_snapshot(payload("cf_capture_KEEPUSDT_20210722")["snapshots"][0]["body"])
    assert snapshot.last_id == 600859619434
    assert snapshot.bids[0] == ["0.2463", "631"]
    ticker = messages.parse_book_ticker(payload("book_ticker_stream"))
    assert (ticker.best_bid, ticker.best_ask_size) == (D("25.35190000"), D("40.66000000"))
    trade = messages.parse_trade(payload("trade_stream"))
    assert (trade.trade_id, trade.price, trade.amount) == (5933014, D("0.001"), 100)
    assert trade.taker_side is TradeType.SELL
    info = messages.parse_premium_index(payload("http_futures_market_premium_index"), PAIR)
    assert (info.mark_price, info.index_price) == (D("11793.63104562"), D("11781.80495970"))
    assert (info.rate, info.next_funding_utc_timestamp) == (D("0.00038246"), 1597392000)
    with pytest.raises(MessageError):  # a spot event: its ids do not chain
        messages.parse_depth_diff(payload("ccxt_pro_handle_order_book_1"))


@pytest.mark.parametrize("symbol", ["KEEPUSDT", "SUSHIUSDT"])
def test_every_event_of_the_real_captures_parses(payload: Any, symbol: str) -> None:
    parsed = dict.fromkeys(("depthUpdate", "bookTicker", "markPriceUpdate"), 0)
    for message in payload(f"cf_capture_{symbol}_20210722")["messages"]:
        event = message["body"]["data"]
        match event["e"]:
            case "depthUpdate":
                messages.parse_depth_diff(event)
            case "bookTicker":
                assert messages.parse_book_ticker(event).best_bid > 0
            case "markPriceUpdate":
                assert messages.parse_mark_price(event, PAIR).mark_price > 0
            case _:
                continue
        parsed[event["e"]] += 1
    assert parsed["depthUpdate"] > 10


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("eoasbBPlLzXcitTmNnUup"), inner),
    max_leaves=12,
)


@given(JSON)
def test_no_bytes_from_outside_raise_anything_but_a_message_error(value: Any) -> None:
    for parse in (
        lambda: messages.parse_order(value, PAIR),
        lambda: messages.parse_order_trade_update(value, PAIR),
        lambda: messages.parse_order_trade_update({"o": value}, PAIR),
        lambda: messages.parse_account_update({"a": value}, str),
        lambda: messages.parse_account_update(value, str),
        lambda: messages.parse_margin_call(value, str),
        lambda: messages.parse_margin_call({"p": [value]}, str),
        lambda: messages.parse_account_config_update(value),
        lambda: messages.parse_account_config_update({"T": 1, "ac": value, "ai": value}),
        lambda: messages.parse_subscription_answer(value),
        lambda: messages.parse_subscription_answer({"error": value}),
        lambda: messages.parse_exchange_info({"symbols": [value]}),
        lambda: messages.parse_balances([value]),
        lambda: messages.parse_position(value, PAIR),
        lambda: messages.parse_user_trade(value, PAIR, "1"),
        lambda: messages.parse_depth_diff(value),
        lambda: messages.parse_depth_snapshot(value),
        lambda: messages.parse_book_ticker(value),
        lambda: messages.parse_trade(value),
        lambda: messages.parse_mark_price(value, PAIR),
        lambda: messages.parse_premium_index(value, PAIR),
    ):
        try:
            parse()
        except MessageError:
            pass


@given(st.binary(max_size=60), st.integers(300, 599))
def test_any_error_body_makes_a_venue_error(body: bytes, status: int) -> None:
    error = messages.parse_error_body(status, body)
    assert isinstance(error, VenueError)
    assert error.http_status == status


# -- errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-2011, OrderNotFoundError),
        (-2013, OrderNotFoundError),
        (-1021, TimestampError),
        (-5028, TimestampError),
        (-5022, PostOnlyRejectedError),
        (-2018, InsufficientBalanceError),
        (-2019, InsufficientBalanceError),
        (-2027, InsufficientBalanceError),
        (-2022, ReduceOnlyRejectedError),
        (-4116, DuplicateOrderIdError),
        (-1003, RateLimitedError),
        (-1015, RateLimitedError),
        (-1006, OutcomeUnknownError),
        (-1007, OutcomeUnknownError),
        (-2014, AuthenticationError),
        (-2015, AuthenticationError),
        (-1022, AuthenticationError),
        (-1100, InvalidRequestError),
        (-1102, InvalidRequestError),
        (-1111, InvalidRequestError),
        (-1121, InvalidRequestError),
        (-1130, InvalidRequestError),
        (-4003, OrderRejectedError),
        (-4014, OrderRejectedError),
        (-4023, OrderRejectedError),
        (-4131, OrderRejectedError),
        (-4164, OrderRejectedError),
        (-5021, OrderRejectedError),
        (-2021, OrderRejectedError),
        (-9999, VenueError),
    ],
)
def test_codes_map_to_classes(code: int, kind: type[QtxconnError]) -> None:
    error = messages.parse_error_body(400, orjson.dumps({"code": code, "msg": "said so"}))
    assert type(error) is kind
    assert (error.code, error.http_status) == (code, 400)
    assert "said so" in error.venue_message
    assert type(messages.parse_error(code, "said so")) is kind  # from a transport without HTTP


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"Unknown error, please check your request or try again later.", OutcomeUnknownError),
        (502, b"<html>bad gateway</html>", OutcomeUnknownError),
        (500, b'{"code": -9999, "msg": "?"}', OutcomeUnknownError),
        (408, b"", OutcomeUnknownError),
        (429, b"", RateLimitedError),
        (418, b"", RateLimitedError),
        (403, b"<html>", RateLimitedError),
        (401, b"", AuthenticationError),
        (404, b"[]", VenueError),
    ],
)
def test_answers_without_a_known_code_go_by_the_http_status(status: int, body: bytes, kind: type[QtxconnError]) -> None:
    assert type(messages.parse_error_body(status, body)) is kind


def test_an_error_that_has_a_hint_shows_it() -> None:
    assert "synchronise this machine's clock" in str(messages.parse_error(-1021, "outside of the recvWindow."))


def test_a_websocket_refusal_is_the_same_error_as_over_rest_and_says_how_long_to_wait() -> None:
    answer = {"id": "1", "status": 400, "error": {"code": -2011, "msg": "Unknown order sent."}}
    assert type(messages.parse_ws_error(answer)) is OrderNotFoundError
    times = {"serverTime": 1_700_000_000_000, "retryAfter": 1_700_000_012_500}
    error = messages.parse_ws_error({"status": 429, "error": {"code": -1003, "msg": "slow down", "data": times}})
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == 12.5


@pytest.mark.parametrize("answer", [{}, {"error": None}, {"status": 400, "error": {"code": "x", "msg": ""}}], ids=str)
def test_a_websocket_answer_that_says_nothing_leaves_the_outcome_unknown(answer: dict[str, Any]) -> None:
    assert type(messages.parse_ws_error(answer)) is OutcomeUnknownError
