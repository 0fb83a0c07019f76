"""Answers and events of Binance that are not what they should be: told as MessageError, and nobody else's loss."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from qtxconn.core.types import OrderRequest, OrderState, OrderType, TradeType
from qtxconn.errors import MessageError, RequestTimeoutError

from .scripted_binance import QUERY, ScriptedBinance, until
from .test_binance_perpetual import PAIR, buy, connector, trading

D = Decimal
POSITIONS, CONFIG, TRADES = "GET /fapi/v2/positionRisk", "GET /fapi/v1/accountConfig", "GET /fapi/v1/userTrades"


def alarms_of(exchange: Any) -> list[Any]:
    told: list[Any] = []
    exchange.set_error_event_listener(SimpleNamespace(on_error=told.append))
    return told


@pytest.mark.parametrize("damaged", [None, "none", [], 7, {}], ids=str)
async def test_an_unreadable_answer_of_a_batch_is_that_orders_alone(venue: ScriptedBinance, damaged: Any) -> None:
    def place(params: dict[str, str]) -> list[Any]:
        answers: list[Any] = []
        for number, one in enumerate(orjson.loads(params["batchOrders"])):
            venue.placed[one["newClientOrderId"]] = one
            answers.append(venue.order(one, orderId=100 + number))
        answers[1] = damaged
        return answers

    venue.answers["POST /fapi/v1/batchOrders"] = place
    venue.answers[QUERY] = lambda params: venue.order(params, orderId=101)
    async with trading(venue) as (exchange, _):
        request = OrderRequest(PAIR, TradeType.BUY, D("0.002"), OrderType.LIMIT, D("49999"))
        ids = [result.order_id for result in exchange.batch_order_create([request] * 3)]
        orders = [exchange.in_flight_orders[order_id] for order_id in ids]
        await until(lambda: all(order.current_state is OrderState.OPEN for order in orders))
        assert [order.exchange_order_id for order in orders] == ["100", "101", "102"]
        assert [asked["origClientOrderId"] for asked in venue.asked(QUERY)] == [ids[1]]


@pytest.mark.parametrize("answer", [{"code": 1}, "none", None], ids=str)
async def test_an_answer_that_is_no_batch_has_each_order_looked_up(venue: ScriptedBinance, answer: Any) -> None:
    venue.answers["POST /fapi/v1/batchOrders"] = lambda _: answer
    async with trading(venue) as (exchange, _):
        alarms = alarms_of(exchange)
        request = OrderRequest(PAIR, TradeType.BUY, D("0.002"), OrderType.LIMIT, D("49999"))
        exchange.batch_order_create([request] * 2)
        await until(lambda: len(venue.asked(QUERY)) >= 2)
        assert {type(alarm.error) for alarm in alarms if alarm.kind == "outcome_unknown"} == {MessageError}


@pytest.mark.parametrize("name", ["dualSidePosition", "multiAssetsMargin"])
@pytest.mark.parametrize("value", ["false", "true", None, 0, 1])
async def test_a_mode_that_is_no_flag_is_not_guessed(venue: ScriptedBinance, name: str, value: Any) -> None:
    venue.answers[CONFIG] = {"dualSidePosition": False, "multiAssetsMargin": False} | {name: value}
    with pytest.raises(MessageError, match="Binance accountConfig: TypeError: not a bool"):
        await connector(venue).connect()


@pytest.mark.parametrize(
    "event",
    [
        {"e": "ORDER_TRADE_UPDATE"},
        {"e": "ORDER_TRADE_UPDATE", "o": {"c": "1"}},
        {"e": "ORDER_TRADE_UPDATE", "o": {"s": None}},
        {"e": "ORDER_TRADE_UPDATE", "o": None},
        {"e": "ALGO_UPDATE", "o": {"caid": "1"}},
        {"e": "ACCOUNT_UPDATE", "T": 1},
        {"e": "ACCOUNT_CONFIG_UPDATE", "T": 1, "ac": {"s": "BTCUSDT"}},
        {"e": "ACCOUNT_CONFIG_UPDATE", "T": 1, "ac": {"s": "BTCUSDT", "l": "many"}},
        {"e": "ACCOUNT_CONFIG_UPDATE", "T": 1, "ai": {"j": "false"}},
        {"e": "MARGIN_CALL"},
        {"stream": "x", "data": None},
        [],
    ],
    ids=lambda event: orjson.dumps(event).decode(),
)
async def test_a_damaged_event_is_named_and_the_next_one_is_taken(venue: ScriptedBinance, event: Any) -> None:
    async with trading(venue) as (exchange, _):
        order = buy(exchange)
        await until(lambda: order.exchange_order_id)
        alarms = alarms_of(exchange)
        await venue.push("private", event)
        await venue.push("private", venue.fill(order.client_order_id, 1, "0.002", "0.002", "FILLED"))
        await until(lambda: order.is_done)
        assert [type(alarm.error) for alarm in alarms if alarm.kind == "user_stream"] == [MessageError]


@pytest.mark.parametrize(
    ("answer", "told"),
    [({"error": {"code": 2, "msg": "no such stream"}}, "no such stream"), ({"error": "no"}, "")],
    ids=str,
)
async def test_a_refused_subscription_is_what_connect_says(
    venue: ScriptedBinance, answer: dict[str, Any], told: str
) -> None:
    venue.subscription_answer = answer
    exchange = connector(venue)
    exchange._market._timeout_s = 0.5
    with pytest.raises(RequestTimeoutError, match=f"public stream: not connected after 0.5 s.*{told}"):
        await exchange.connect()
    assert exchange._market.streams == []
    assert exchange._market.feeds == {}
    venue.subscription_answer = {"result": None}
    exchange._market._timeout_s = 20.0
    async with exchange:
        assert exchange.is_ready


@pytest.mark.parametrize("count", ["", "-1", "1.5", "many", "9" * 5000])
async def test_a_count_that_is_none_is_left_out(venue: ScriptedBinance, count: str) -> None:
    venue.counted = count
    async with trading(venue) as (exchange, _):
        assert exchange._throttler.used("request weight") < 1_000


async def test_a_damaged_market_event_costs_nothing_else(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        damaged = [{"e": "trade"}, {"e": "trade", "s": None}, {"e": "bookTicker", "s": "BTCUSDT"}, {"id": 7}, []]
        for event in damaged:
            await venue.push("public", event)
        trade = {"e": "trade", "s": "BTCUSDT", "t": 1, "p": "50000.0", "q": "0.1", "m": False, "T": 1}
        await venue.push("public", trade)
        await until(lambda: exchange.get_order_book(PAIR).last_trade_price == 50000)
        assert exchange.get_order_book(PAIR).valid
        assert exchange._market.streams[0].handler_errors == len(damaged) - 1  # the answer to nothing is no error


async def test_a_damaged_answer_is_a_message_error(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        for answer in ([{"positionAmt": "1"}], [None], {"code": 1}):
            venue.answers[POSITIONS] = answer
            with pytest.raises(MessageError, match="Binance positionRisk"):
                await exchange._update_positions()
        for answer in ([{"income": "1"}], None):
            venue.answers["GET /fapi/v1/income"] = lambda _, answer=answer: answer
            with pytest.raises(MessageError, match="Binance income"):
                await exchange._request_funding_payments(1.0)
        for answer in ([{"rate": "1"}], [None]):
            venue.answers["GET /fapi/v1/fundingRate"] = answer
            with pytest.raises(MessageError, match="Binance fundingRate"):
                await exchange._request_settled_funding_rate(PAIR, 1.0)
        for answer in ([{"price": "1"}], [None], {}):
            venue.answers[TRADES] = answer
            with pytest.raises(MessageError, match="Binance userTrades"):
                await exchange._trade_updates_since(PAIR, 1.0)
        venue.answers["GET /fapi/v1/openAlgoOrders"] = []
        for answer in ([None], None):
            venue.answers["GET /fapi/v1/openOrders"] = lambda _, answer=answer: answer
            with pytest.raises(MessageError, match="Binance order"):
                await exchange._request_open_orders(PAIR)
        for answer in ({}, None, []):
            venue.answers["GET /fapi/v1/time"] = lambda _, answer=answer: answer
            with pytest.raises(MessageError, match="Binance time"):
                await exchange._request_server_ns()
            venue.answers["POST /fapi/v1/listenKey"] = lambda _, answer=answer: answer
            with pytest.raises(MessageError, match="Binance listenKey"):
                await exchange._request_user_stream_url()
