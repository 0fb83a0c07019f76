"""Orders over the WebSocket API, each request signed by itself."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import orjson
import pytest


@pytest.fixture
async def call(server, session, venue):
    async with session.ws_connect(f"ws://127.0.0.1:{server.port}/ws-fapi/v1") as socket:

        async def request(method: Any, request_id: Any = "1", *, secret: str = "alice-secret", **params: Any) -> Any:
            params = {"apiKey": "alice-key", "timestamp": venue.clock.now_ms()} | params
            if "signature" not in params:
                payload = "&".join(f"{key}={params[key]}" for key in sorted(params))
                params["signature"] = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
            await socket.send_str(orjson.dumps({"id": request_id, "method": method, "params": params}).decode())
            return orjson.loads((await socket.receive(timeout=5)).data)

        request.socket = socket
        yield request


ORDER = dict(symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.010", price="59999.0")


@pytest.mark.parametrize("request_id", [1, "a-uuid", None])
async def test_an_order_from_place_to_cancel(call, request_id) -> None:
    placed = await call("order.place", request_id, newClientOrderId="9", **ORDER)
    assert (placed["id"], placed["status"]) == (request_id, 200)
    assert (placed["result"]["status"], placed["result"]["clientOrderId"]) == ("NEW", "9")
    status = await call("order.status", symbol="BTCUSDT", origClientOrderId="9")
    assert status["result"]["orderId"] == placed["result"]["orderId"]
    modified = await call(
        "order.modify", symbol="BTCUSDT", origClientOrderId="9", side="BUY", quantity="0.02", price="59998"
    )
    assert modified["result"]["price"] == "59998.0"
    cancelled = await call("order.cancel", symbol="BTCUSDT", orderId=placed["result"]["orderId"])
    assert cancelled["result"]["status"] == "CANCELED"
    again = await call("order.cancel", "x", symbol="BTCUSDT", origClientOrderId="9")
    assert again == {"id": "x", "status": 400, "error": {"code": -2011, "msg": "Unknown order sent."}}


async def test_numbers_and_booleans_may_be_json(call) -> None:
    placed = await call("order.place", **(ORDER | {"quantity": 0.01, "price": 59999, "reduceOnly": "false"}))
    assert placed["status"] == 200


async def test_account_methods(call) -> None:
    assert (await call("v2/account.balance"))["result"][0]["asset"] == "USDT"
    assert (await call("account.status"))["result"]["totalWalletBalance"] == "100000.00000000"
    assert (await call("v2/account.position"))["result"] == []
    key = (await call("userDataStream.start"))["result"]["listenKey"]
    assert (await call("userDataStream.ping"))["result"]["listenKey"] == key
    assert (await call("userDataStream.stop"))["result"] == {}


@pytest.mark.parametrize(
    ("method", "change", "status", "code"),
    [
        ("order.place", dict(secret="wrong"), 400, -1022),
        ("order.place", dict(apiKey="nobody"), 401, -2015),
        ("order.place", dict(apiKey=""), 401, -2014),
        ("order.place", dict(timestamp=1), 400, -1021),
        ("order.place", dict(signature=""), 400, -1102),
        ("order.place", dict(price="63001"), 400, -4016),
        ("session.logon", {}, 400, -4056),
        ("order.nothing", {}, 400, -1020),
        (7, {}, 400, -1102),
    ],
)
async def test_refusals(call, venue, method, change, status, code) -> None:
    answer = await call(method, 5, **(ORDER | change))
    assert (answer["id"], answer["status"], answer["error"]["code"]) == (5, status, code)
    assert venue.open_orders(venue.account("alice-key")) == []


@pytest.mark.parametrize("text", ["{", "[]", "1", '{"id":3,"method":"order.place","params":[]}'])
async def test_what_is_no_request_is_answered(call, text) -> None:
    await call.socket.send_str(text)
    answer = orjson.loads((await call.socket.receive(timeout=5)).data)
    assert answer["status"] == 400
    assert answer["error"]["code"] in (-1135, -1102)
