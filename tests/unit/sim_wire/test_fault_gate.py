"""Every fault of the script on real sockets: what the client sees, and whether the venue has carried it out."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import time

import aiohttp
import orjson
import pytest

from qtxconn.sim.binance import fault_gate
from qtxconn.sim.control import ControlServer
from qtxconn.sim.faults import FaultRule

ORDER = dict(symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.010", price="59999.0")


@pytest.fixture
def fault(server, monkeypatch):
    monkeypatch.setattr(fault_gate, "LOST_S", 0.05)

    def add(name: str, where: str, **more) -> None:
        server.faults.load([FaultRule.parse({"fault": name, "where": where, **more})])

    return add


@pytest.mark.parametrize(
    ("name", "options", "status", "carried_out"),
    [
        ("refused", {}, None, False),
        ("lost request", {}, None, False),
        ("lost answer", {}, None, True),
        ("reset before", {}, None, False),
        ("reset after", {}, None, True),
        ("torn", {}, None, True),
        ("reset then late", {"delay_s": 0.0}, None, True),
        ("late", {"delay_s": 0.05}, 200, True),
        ("slow answer", {"delay_s": 0.05}, 200, True),
        ("error before", {"status": 500, "code": -1001}, 500, False),
        ("error after", {}, 503, True),
        ("rate limited", {"retry_after_s": 3}, 429, False),
        ("banned", {"retry_after_s": 120}, 418, False),
    ],
)
async def test_faults_of_rest_requests(client, venue, fault, name, options, status, carried_out) -> None:
    fault(name, "POST /fapi/v1/order", count=1, **options)
    started = time.monotonic()
    try:
        seen, result, headers = await client.signed("POST", "/fapi/v1/order", **ORDER)
    except aiohttp.ClientError:
        seen = None
    assert seen == status
    if name == "reset then late":
        await asyncio.sleep(0.05)
    assert bool(venue.open_orders(venue.account("alice-key"))) is carried_out
    if seen in (418, 429):
        assert (headers["Retry-After"], result["code"]) == (str(options["retry_after_s"]), -1003)
    if seen in (500, 503):
        assert result["code"] == options.get("code", -1007)
    if options.get("delay_s"):
        assert time.monotonic() - started >= options["delay_s"]
    assert (await client.place(newClientOrderId="next"))["status"] == "NEW"  # it happens once


async def test_a_web_page_with_status_200(client, session, fault, server) -> None:
    fault("html", "GET *")
    async with session.get(f"{client.base}/fapi/v1/time") as response:
        assert (response.status, response.content_type) == (200, "text/html")


async def test_unknown_fields(client, fault) -> None:
    fault("unknown fields", "*")
    _, order, headers = await client.signed("POST", "/fapi/v1/order", **ORDER)
    assert (order["status"], "unheardOf" in order) == ("NEW", True)
    assert headers["X-MBX-ORDER-COUNT-1M"]
    _, [listed], _ = await client.signed("GET", "/fapi/v1/openOrders")
    assert (listed["orderId"], "unheardOf" in listed) == (order["orderId"], True)


async def test_a_gzip_bomb_is_small_until_it_is_opened(client, session, fault) -> None:
    fault("gzip bomb", "GET *")
    async with session.get(f"{client.base}/fapi/v1/time", auto_decompress=False) as response:
        body = await response.read()
    assert (response.headers["Content-Encoding"], len(body) < 100_000) == ("gzip", True)
    assert len(gzip.decompress(body)) == fault_gate.BOMB_BYTES


@pytest.mark.parametrize(
    ("name", "status", "carried_out"),
    [
        ("lost request", None, False),
        ("lost answer", None, True),
        ("reset before", "closed", False),
        ("reset after", "closed", True),
        ("torn", "closed", True),
        ("error after", 503, True),
        ("rate limited", 429, False),
        ("late", 200, True),
    ],
)
async def test_faults_of_websocket_requests(session, server, venue, client, fault, name, status, carried_out) -> None:
    fault(name, "ws order.place", delay_s=0.01)
    async with session.ws_connect(f"ws://127.0.0.1:{server.port}/ws-fapi/v1") as socket:
        params = {"apiKey": "alice-key", "timestamp": venue.clock.now_ms()} | ORDER
        payload = "&".join(f"{key}={params[key]}" for key in sorted(params)).encode()
        params["signature"] = hmac.new(b"alice-secret", payload, hashlib.sha256).hexdigest()
        await socket.send_str(orjson.dumps({"id": 1, "method": "order.place", "params": params}).decode())
        await socket.send_str('{"id": 2, "method": "ping"}')
        message = await socket.receive(timeout=5)
        if status == "closed":
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)
        else:
            answer = orjson.loads(message.data)
            assert (answer["id"], answer["status"]) == ((1, status) if status else (2, 200))
    assert bool(venue.open_orders(venue.account("alice-key"))) is carried_out


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("lost", [2, 3]),
        ("duplicate", [1, 1, 2, 3]),
        ("reorder", [2, 1, 3]),
        ("stall", [1, 2, 3]),
    ],
)
async def test_faults_of_stream_messages(connect, server, fault, name, ids) -> None:
    socket = await connect("/public/ws/btcusdt@trade")
    await socket.ask({"method": "LIST_SUBSCRIPTIONS", "id": 0})
    fault(name, "stream btcusdt@trade", count=1, delay_s=0.05)
    for number in (1, 2, 3):
        server.streams._push("btcusdt@trade", {"e": "trade", "t": number})
    assert [(await socket.next())["t"] for _ in ids] == ids
    assert await socket.is_silent()


async def test_a_broken_message_breaks_the_connection(connect, server, fault) -> None:
    socket = await connect("/public/ws/btcusdt@trade")
    await socket.ask({"method": "LIST_SUBSCRIPTIONS", "id": 0})
    fault("break", "stream *@trade")
    server.streams._push("btcusdt@trade", {"e": "trade", "t": 1})
    message = await socket.socket.receive(timeout=5)
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.ERROR)


async def test_user_events_are_named_by_their_type(client, connect, fault) -> None:
    _, key, _ = await client.raw("POST", "/fapi/v1/listenKey")
    socket = await connect(f"/private/ws?listenKey={key['listenKey']}")
    await socket.ask({"method": "LIST_SUBSCRIPTIONS", "id": 0})
    fault("lost", "user ORDER_TRADE_UPDATE")
    await client.place(type="MARKET", price=None, timeInForce=None)
    assert [(await socket.next())["e"] for _ in range(2)] == ["TRADE_LITE", "ACCOUNT_UPDATE"]


async def test_a_skewed_clock_refuses_honest_timestamps(client, fault) -> None:
    fault("clock skew", "*", skew_s=-5)
    status, result, _ = await client.signed("GET", "/fapi/v1/openOrders")
    assert (status, result["code"]) == (400, -1021)
    server_ms = (await client.get("/fapi/v1/time"))["serverTime"]
    status, _, _ = await client.signed("GET", "/fapi/v1/openOrders", timestamp=server_ms)
    assert status == 200


async def test_listen_keys_end_and_sockets_close(client, connect, server, fault) -> None:
    _, key, _ = await client.raw("POST", "/fapi/v1/listenKey")
    socket = await connect(f"/private/ws?listenKey={key['listenKey']}")
    fault("expire listen keys", "*")
    await server.run_due_faults()
    assert (await socket.next())["e"] == "listenKeyExpired"
    assert (await client.raw("PUT", "/fapi/v1/listenKey"))[1]["code"] == -1125
    fault("disconnect", "*")
    await server.run_due_faults()
    assert (await socket.socket.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE


# -- the control endpoint --------------------------------------------------------------------------------------


@pytest.fixture
async def control(venue, server, session):
    endpoint = ControlServer(venue, server)
    await endpoint.start()

    async def call(method: str, path: str, body: object = None) -> tuple[int, dict]:
        data = None if body is None else orjson.dumps(body)
        async with session.request(method, endpoint.url + path, data=data) as response:
            return response.status, orjson.loads(await response.read())

    yield call
    await endpoint.stop()


async def test_faults_at_run_time(control, client) -> None:
    script = {"seed": 3, "rules": [{"fault": "error before", "where": "GET *"}]}
    assert (await control("PUT", "/faults", script))[1]["seed"] == 3
    assert (await client.raw("GET", "/fapi/v1/time"))[0] == 503
    await control("POST", "/faults", {"fault": "banned", "where": "PUT *"})
    rules = (await control("GET", "/faults"))[1]["rules"]
    assert [(rule["fault"], rule["fired"]) for rule in rules] == [("error before", 1), ("banned", 0)]
    await control("DELETE", "/faults")
    assert (await client.raw("GET", "/fapi/v1/time"))[0] == 200


async def test_the_market_at_run_time(control, client, venue) -> None:
    assert (await control("POST", "/mark-price", {"symbol": "BTCUSDT", "price": "61000"}))[1]["markPrice"] == "61000"
    assert (await client.get("/fapi/v1/premiumIndex", symbol="BTCUSDT"))["markPrice"] == "61000.00000000"
    await control("POST", "/mark-price", {"symbol": "BTCUSDT", "price": None})
    order = await client.place(price="60000.0")
    assert await control("POST", "/trade", {"symbol": "BTCUSDT", "side": "SELL", "quantity": 1.01}) == (
        200,
        {"filled": "1.010"},
    )
    assert venue.query_order(venue.account("alice-key"), "BTCUSDT", order["orderId"]).status == "FILLED"
    await control("POST", "/funding", {"symbol": "BTCUSDT", "rate": "-0.01"})
    assert venue.account("alice-key").funding_received > 5  # shorts pay a hundredth of 0.01 BTC
    assert (await control("POST", "/accounts", {"api_key": "carol", "api_secret": "x", "balance": 5}))[0] == 200
    assert venue.account("carol").wallet_balance == 5


async def test_the_limits_at_run_time(control, client) -> None:
    before = (await control("GET", "/limits"))[1]
    changed = {"weight_1m": 100_000, "orders_10s": 2, "orders_1m": 50, "refusals_before_ban": 7}
    assert (await control("PUT", "/limits", changed))[1]["limits"] == changed
    await client.place()
    await client.place()
    status, answer, _ = await client.signed("POST", "/fapi/v1/order")
    assert (status, answer["code"]) == (429, -1015)
    after = (await control("GET", "/limits"))[1]
    assert after["peaks"]["orders_10s"] == 3
    assert after["refusals"] == {"429": 1, "418": 0}
    assert after["requests"]["127.0.0.1"] == before["requests"].get("127.0.0.1", 0) + 3
    for wrong in ({"weight": 1}, {"orders_1m": 0}, {"orders_1m": "many"}, {"orders_1m": True}):
        assert (await control("PUT", "/limits", wrong))[0] == 400
    assert (await control("GET", "/limits"))[1]["limits"] == changed


async def test_the_dates_of_dated_orders_come_when_they_are_told_to(control, client) -> None:
    date_ms = (await client.get("/fapi/v1/time"))["serverTime"] + 700_000
    dated = await client.place(timeInForce="GTD", goodTillDate=date_ms - date_ms % 1000)
    other = await client.place()
    await control("POST", "/good-till-dates")
    path = "/fapi/v1/allOrders"
    orders = {row["orderId"]: row["status"] for row in (await client.signed("GET", path, symbol="BTCUSDT"))[1]}
    assert orders == {dated["orderId"]: "EXPIRED", other["orderId"]: "NEW"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"fault": "melted"}),
        ("/faults", []),
        ("/mark-price", {"symbol": "XRPUSDT", "price": 1}),
        ("/mark-price", {"symbol": "BTCUSDT", "price": -1}),
        ("/trade", {"symbol": "BTCUSDT", "side": "UP", "quantity": 1}),
        ("/trade", {"symbol": "BTCUSDT", "side": "BUY", "quantity": "x"}),
        ("/accounts", {"api_key": "alice-key", "api_secret": "x"}),
        ("/accounts", {}),
    ],
)
async def test_what_cannot_be_carried_out_says_why(control, path, body) -> None:
    status, answer = await control("POST", path, body)
    assert status == 400
    assert answer["error"]
