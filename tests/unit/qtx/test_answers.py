"""Answers of order managers: every dialect, and bytes that are none."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qtxconn.qtx.answers import Accepted, Refused, Unclear, parse_answer

PLACED = (
    b'{"id":"1","status":200,"result":{"orderId":9007199254740993,"symbol":"BTCUSDT","status":"NEW",'
    b'"clientOrderId":"42","price":"60000.10","executedQty":"0","updateTime":1700000000123}}'
)


def test_websocket_api_envelope():
    answer = parse_answer(PLACED)
    assert isinstance(answer, Accepted)
    assert answer.payload["orderId"] == 9007199254740993
    assert answer.payload["clientOrderId"] == "42"


@pytest.mark.parametrize(
    ("message", "code", "text", "status"),
    [
        (b'{"status":400,"error":{"code":-2011,"msg":"Unknown order sent."}}', -2011, "Unknown order sent.", 400),
        (b'{"code":-2019,"msg":"Margin is insufficient."}', -2019, "Margin is insufficient.", None),
        (b'{"code":"-2019","msg":"Margin is insufficient."}', -2019, "Margin is insufficient.", None),
        (b'{"status":200,"result":{"code":-1013,"msg":"Filter failure"}}', -1013, "Filter failure", 200),
        (b"error: cancel rejected, code: -2011, msg: Unknown order sent.", -2011, "code: -2011", None),
        (b'ERROR {"code":-1021,"msg":"late"}', -1021, "late", None),
        (b"error: no connection", None, "no connection", None),
        (b'{"error":"failed, code: -1003"}', -1003, "failed", None),
        (b'{"status":503}', None, "503", 503),
    ],
)
def test_refusals(message, code, text, status):
    answer = parse_answer(message)
    assert isinstance(answer, Refused)
    assert answer.code == code
    assert text in answer.message
    assert answer.http_status == status


@pytest.mark.parametrize(
    "message",
    [
        b"success",
        b"success: order placed",
        b"executed 0.001",
        b"cancelled",
        b"Canceled 42",
        b"OK\r\n",
        b"success\0\0",
        b"code: 0",
        b'{"code":200,"orderId":7}',
        b'{"orderId":7,"status":"NEW"}',
        b'{"status":200,"result":{}}',
    ],
)
def test_acceptances(message):
    assert isinstance(parse_answer(message), Accepted)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0\0\0",
        b"   ",
        b"{",
        b'{"status":200',
        b"{}",
        b"[]",
        b"null",
        b"maybe",
        b'{"status":200,"result":[1,2]}',
        b'{"a":' * 3000,
        b"\xff" * 10_000,
        b"not successful",
        b'{"status":true,"error":null}',
    ],
)
def test_neither(message):
    assert isinstance(parse_answer(message), Unclear)


def test_nothing_is_accepted_that_also_speaks_of_an_error():
    assert isinstance(parse_answer(b"success? error: timeout"), Refused)


@given(st.binary(max_size=300))
@example(b'{"status":' + b"9" * 5000 + b"}")
@example(b'{"error":{"code":1e400}}')
@example(b'{"error":{"code":' + b"-" + b"9" * 400 + b',"msg":5}}')
@example(b'{"result":{"orderId":"\\ud800"}}')
@example(b"code: -99999999999999999999")
@example(b"[" * 9999)
def test_any_bytes_give_a_bounded_printable_answer(message):
    answer = parse_answer(message)
    text = answer.message if isinstance(answer, Refused) else answer.text
    assert len(text) <= 330
    assert "\n" not in text
    assert text.isprintable()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5) | st.floats(allow_nan=False),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["status", "error", "result", "code", "msg", "orderId"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_gives_an_answer(value):
    assert isinstance(parse_answer(orjson.dumps(value)), Accepted | Refused | Unclear)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), values, max_size=6).filter(lambda order: "code" not in order))
def test_an_order_arrives_as_it_was_sent(order):
    """The scanner that cuts the order out of its envelope agrees with orjson about where JSON ends."""
    message = orjson.dumps({"id": 1, "status": 200, "result": order, "rateLimits": [[], {}]})
    answer = parse_answer(message)
    assert isinstance(answer, Accepted)
    assert answer.payload == orjson.loads(message)["result"]


@given(st.dictionaries(st.text(), values, max_size=3), st.integers(0, 300), st.binary(max_size=3))
@example({}, 2, b"\x80")
@example({}, 2, b"\xed\xa0\x80")
@example({}, 2, b"\xc0\xaf")
def test_what_is_not_json_is_never_an_acceptance(order, at, damage):
    message = orjson.dumps({"status": 200, "result": order})
    at = min(at, len(message) - 1)
    damaged = b"{" + message[1:at] + damage + message[at + 1 :]
    try:
        orjson.loads(damaged.strip(b"\0 \t\r\n"))
    except orjson.JSONDecodeError:
        assert isinstance(parse_answer(damaged), Unclear)


def test_escapes_in_a_message_are_undone():
    answer = parse_answer(b'{"status":400,"error":{"code":-1,"msg":"a \\"b\\" \\u00e9"}}')
    assert answer == Refused(-1, 'a "b" \u00e9', 400)
