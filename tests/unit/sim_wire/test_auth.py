"""Signatures over what was sent, timestamps, keys; published vectors."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from qtxconn.sim.binance import auth
from qtxconn.sim.binance.errors import ApiError

VECTORS = orjson.loads((Path(__file__).parent / "signing_vectors.json").read_bytes())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["note"][:30])
def test_published_vectors(vector: dict[str, str]) -> None:
    assert auth.sign(vector["secret"], vector["payload"].encode()) == vector["signature"]


def test_ws_api_payload_is_sorted_and_leaves_the_signature_out() -> None:
    vector = VECTORS[1]
    params = dict(pair.split("=") for pair in reversed(vector["payload"].split("&")))
    assert auth.ws_api_payload(params | {"signature": "x"}) == vector["payload"].encode()


@pytest.mark.parametrize(
    ("raw", "rest"),
    [
        (b"a=1&signature=ff", b"a=1"),
        (b"signature=ff&a=1", b"a=1"),
        (b"a=1&signature=ff&b=%2F", b"a=1&b=%2F"),
        (b"a=1&mysignature=2", b"a=1&mysignature=2"),
        (b"", b""),
    ],
)
def test_signature_is_stripped_by_name(raw: bytes, rest: bytes) -> None:
    assert auth.without_signature(raw) == rest


def test_query_wins_over_body() -> None:
    assert auth.parse_params(b"a=1&b=2", b"a=9&c=3") == {"a": "1", "b": "2", "c": "3"}


def test_bytes_that_are_not_text_are_refused() -> None:
    with pytest.raises(ApiError) as caught:
        auth.parse_params(b"a=%ff", b"")
    assert caught.value.code == -1100


@pytest.mark.parametrize("where", ["query", "body", "both"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_parameters_are_taken_from_anywhere(client, where, method) -> None:
    path = "/fapi/v1/openOrders" if method == "GET" else "/fapi/v1/order"
    extra = dict(
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        quantity="0.01",
        price="59000",
        newClientOrderId="a.b:c/d",
    )
    if method == "DELETE":
        await client.place(newClientOrderId="a.b:c/d")
        extra = dict(origClientOrderId="a.b:c/d")
    if method == "GET":
        extra = {}
    status, result, _ = await client.signed(method, path, where=where, symbol="BTCUSDT", **extra)
    assert status == 200, result


@pytest.mark.parametrize(
    ("change", "status", "code", "text"),
    [
        (dict(signature="0" * 64), 400, -1022, "Signature for this request is not valid."),
        (dict(timestamp=1), 400, -1021, "Timestamp for this request is outside of the recvWindow."),
        (
            dict(timestamp=9_999_999_999_999),
            400,
            -1021,
            "Timestamp for this request is outside of the recvWindow.",
        ),
        (dict(recvWindow=60_001), 400, -1131, "recvWindow must be less than 60000."),
        (
            dict(timestamp=""),
            400,
            -1102,
            "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.",
        ),
        (
            dict(recvWindow="x"),
            400,
            -1102,
            "Mandatory parameter 'recvWindow' was not sent, was empty/null, or malformed.",
        ),
    ],
)
async def test_refusals(client, change, status, code, text) -> None:
    got_status, result, _ = await client.signed("GET", "/fapi/v3/balance", **change)
    assert (got_status, result) == (status, {"code": code, "msg": text})


@pytest.mark.parametrize(("key", "code"), [("", -2014), ("nobody", -2015)])
async def test_unknown_keys_are_unauthorized(client, key, code) -> None:
    client.key = key
    status, result, _ = await client.signed("GET", "/fapi/v3/balance")
    assert (status, result["code"]) == (401, code)


async def test_missing_signature(client) -> None:
    status, result, _ = await client.raw("GET", "/fapi/v3/balance", "timestamp=1")
    assert status == 400
    assert result["msg"] == "Mandatory parameter 'signature' was not sent, was empty/null, or malformed."


async def test_a_skewed_client_is_let_in_within_its_window(client, venue) -> None:
    status, *_ = await client.signed(
        "GET", "/fapi/v3/balance", timestamp=venue.clock.now_ms() - 30_000, recvWindow=60_000
    )
    assert status == 200
