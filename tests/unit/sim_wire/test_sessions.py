"""Ed25519 accounts: signed requests, and sessions of the WebSocket API. Skipped where cryptography is not installed."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest

pytest.importorskip("cryptography", reason="cryptography is not installed: pip install 'qtxconn[ed25519]'")

from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qtxconn.errors import ConfigurationError
from qtxconn.sim.binance.auth import parse_public_key
from qtxconn.sim.process import AccountSettings, open_account

ORDER = dict(symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.010", price="59999.0")


@pytest.fixture
def private_key(venue) -> Ed25519PrivateKey:
    private = Ed25519PrivateKey.generate()
    raw = private.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    open_account(venue, AccountSettings("ed-key", "ed25519=" + base64.b64encode(raw).decode()))
    return private


@pytest.fixture
async def call(server, session, venue, private_key):
    async with session.ws_connect(f"ws://127.0.0.1:{server.port}/ws-fapi/v1") as socket:

        async def request(method: str, *, sign: bool = False, **params: Any) -> Any:
            if sign:
                params |= {"apiKey": "ed-key", "timestamp": venue.clock.now_ms()}
                payload = "&".join(f"{key}={params[key]}" for key in sorted(params)).encode()
                params["signature"] = base64.b64encode(private_key.sign(payload)).decode()
            await socket.send_str(orjson.dumps({"id": 1, "method": method, "params": params}).decode())
            return orjson.loads((await socket.receive(timeout=5)).data)

        yield request


async def test_a_rest_request(client, venue, private_key) -> None:
    query = urlencode({"timestamp": venue.clock.now_ms()})
    signature = base64.b64encode(private_key.sign(query.encode())).decode()
    client.key = "ed-key"
    status, _, _ = await client.raw("GET", "/fapi/v1/openOrders", f"{query}&signature={quote(signature, safe='')}")
    assert status == 200
    for wrong in (quote(signature[::-1], safe=""), "ff", "%2F"):
        status, result, _ = await client.raw("GET", "/fapi/v1/openOrders", f"{query}&signature={wrong}")
        assert (status, result["code"]) == (400, -1022)


async def test_one_logon_stands_for_the_signatures_after_it(call, venue) -> None:
    before = await call("session.status")
    assert before["result"]["apiKey"] is None
    assert (await call("order.place", **ORDER))["error"]["code"] == -2014
    assert (await call("session.logon", sign=True))["result"]["apiKey"] == "ed-key"
    now_ms = venue.clock.now_ms()
    placed = await call("order.place", **ORDER, timestamp=now_ms)
    assert placed["result"]["status"] == "NEW"
    assert [limit["rateLimitType"] for limit in placed["rateLimits"]] == ["ORDERS", "ORDERS", "REQUEST_WEIGHT"]
    assert (await call("order.place", **ORDER))["error"]["code"] == -1102  # a timestamp is still wanted
    assert (await call("order.place", **ORDER, timestamp=1))["error"]["code"] == -1021
    quiet = await call("account.balance", timestamp=now_ms, returnRateLimits=False)
    assert "rateLimits" not in quiet
    assert (await call("session.logout"))["result"]["apiKey"] is None
    assert (await call("order.place", **ORDER, timestamp=now_ms))["error"]["code"] == -2014


async def test_a_signature_per_request_works_too(call) -> None:
    assert (await call("order.place", sign=True, **ORDER))["status"] == 200


async def test_market_data_needs_no_key(call) -> None:
    assert (await call("depth", symbol="BTCUSDT", limit=5))["result"]["bids"][0] == ["60000.0", "1.000"]
    assert (await call("ticker.book", symbol="BTCUSDT"))["result"]["askPrice"] == "60000.1"
    assert [row["symbol"] for row in (await call("ticker.price"))["result"]] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize("text", ["", "x", "AAAA", base64.b64encode(bytes(33)).decode()])
def test_what_is_no_public_key(text) -> None:
    with pytest.raises(ConfigurationError, match="Ed25519 public key"):
        parse_public_key(text)
