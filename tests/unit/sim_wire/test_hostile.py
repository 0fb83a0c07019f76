"""Whatever a client sends, it gets one of the dialect's answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtxconn.sim.binance import account_calls, auth, conditional, trading
from qtxconn.sim.binance.errors import ApiError
from qtxconn.sim.binance.server import BinanceServer
from qtxconn.sim.binance.streams import StreamConnection
from qtxconn.sim.binance.ws_api import Session


def refusal(call: Callable[[], Any]) -> ApiError | None:
    """The dialect's refusal of `call`, None when it went through. Anything else raised fails the test."""
    try:
        call()
    except ApiError as error:
        return error
    return None


shared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

numbers = st.sampled_from(["0", "0.01", "1", "60000", "59999.9", "99999999999999999999", "0.00000000000000000001"])
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT", "btcusdt"]) | st.text(max_size=8),
        "side": st.sampled_from(["BUY", "SELL"]) | st.text(max_size=5),
        "type": st.sampled_from(["LIMIT", "MARKET", "STOP", "TRAILING_STOP_MARKET", "1"]) | st.text(max_size=5),
        "timeInForce": st.sampled_from(["GTC", "IOC", "FOK", "GTX", "GTD"]) | st.text(max_size=5),
        "goodTillDate": st.integers().map(str) | st.just("9999999999999"),
        "priceMatch": st.sampled_from(["NONE", "QUEUE", "OPPONENT_20"]) | st.text(max_size=5),
        "selfTradePreventionMode": st.sampled_from(["NONE", "EXPIRE_BOTH"]) | st.text(max_size=5),
        "positionSide": st.sampled_from(["BOTH", "LONG"]) | st.text(max_size=5),
        "algoType": st.just("CONDITIONAL"),
        "triggerPrice": numbers | st.text(max_size=12),
        "callbackRate": numbers | st.text(max_size=12),
        "closePosition": st.sampled_from(["true", "false"]) | st.text(max_size=5),
        "algoId": st.text(max_size=22) | st.integers().map(str),
        "batchOrders": st.sampled_from(["[{}]", "[1]", '[{"symbol":"BTCUSDT","side":null}]']) | st.text(max_size=12),
        "orderIdList": st.sampled_from(["[1]", '["x"]', "[[]]", "[null]"]) | st.text(max_size=12),
        "leverage": st.integers().map(str),
        "marginType": st.sampled_from(["CROSSED", "ISOLATED"]) | st.text(max_size=5),
        "amount": numbers | st.text(max_size=12),
        "dualSidePosition": st.sampled_from(["true", "false"]) | st.text(max_size=5),
        "countdownTime": st.integers().map(str) | st.text(max_size=5),
        "autoCloseType": st.sampled_from(["ADL", "LIQUIDATION"]) | st.text(max_size=5),
        "page": st.integers().map(str),
        "quantity": numbers | st.text(max_size=12),
        "price": numbers | st.text(max_size=12),
        "reduceOnly": st.sampled_from(["true", "false"]) | st.text(max_size=5),
        "newOrderRespType": st.sampled_from(["ACK", "RESULT"]) | st.text(max_size=5),
        "newClientOrderId": st.text(max_size=40),
        "orderId": st.text(max_size=22) | st.integers().map(str),
        "origClientOrderId": st.text(max_size=40),
        "limit": st.text(max_size=5) | st.integers().map(str),
        "startTime": st.integers().map(str),
        "fromId": st.text(max_size=5),
    },
)


@shared
@given(
    call=st.sampled_from(
        [
            trading.place_order,
            trading.amend_order,
            trading.cancel_order,
            trading.query_order,
            trading.open_orders,
            trading.cancel_all,
            trading.user_trades,
            trading.place_batch,
            trading.amend_batch,
            trading.cancel_batch,
            trading.amendments,
            trading.forced_orders,
            trading.countdown_cancel_all,
            conditional.place,
            conditional.cancel,
            conditional.all_orders,
            account_calls.income,
            account_calls.set_leverage,
            account_calls.set_margin_type,
            account_calls.move_position_margin,
            account_calls.set_position_mode,
            account_calls.margin_changes,
        ]
    ),
    params=PARAMS,
)
def test_any_parameters_get_an_answer_or_a_code(venue, call, params) -> None:
    error = refusal(lambda: orjson.dumps(call(venue, venue.account("alice-key"), params)))
    assert error is None or (error.status == 400 and error.code < 0)


@given(query=st.binary(max_size=60), body=st.binary(max_size=60))
def test_any_bytes_are_parameters_or_refused(query, body) -> None:
    error = refusal(lambda: auth.parse_params(query, body))
    assert error is None or error.code == -1100
    for part in (query, body):
        assert (auth.without_signature(part) == part) == (b"&signature=" not in b"&" + part)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
requests = st.binary(max_size=40) | st.fixed_dictionaries(
    {},
    optional={
        "id": json_values,
        "method": st.sampled_from(["SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "order.place", "account.status"])
        | json_values,
        "params": json_values
        | st.lists(st.text(max_size=20), max_size=3)
        | st.dictionaries(st.sampled_from(["apiKey", "timestamp", "signature", "symbol"]), json_values),
    },
).map(lambda value: json.dumps(value).encode())


class Deaf:
    """A connection that drops what is sent to it."""

    def send(self, frame: bytes) -> None:
        pass


@pytest.fixture
def idle_server(venue) -> BinanceServer:
    return BinanceServer(venue)


@shared
@given(data=requests)
def test_any_stream_request_is_answered(idle_server, data) -> None:
    client = StreamConnection(Deaf(), wrapped=False)  # type: ignore[arg-type]
    answer = idle_server.streams._answer(client, data)
    assert orjson.loads(orjson.dumps(answer)).keys() <= {"result", "error", "id"}


@shared
@given(data=requests)
def test_any_ws_api_request_is_answered(idle_server, data) -> None:
    answer = orjson.loads(idle_server.ws_api.answer(data, Session("127.0.0.1", 0)))
    assert answer["status"] in (400, 401)
