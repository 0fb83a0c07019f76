"""Market and user streams over real sockets: paths, wrapping, the SUBSCRIBE protocol, sync with GET depth."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import aiohttp
import orjson
import pytest

from qtxconn.sim.binance.connections import text_frame
from qtxconn.sim.binance.server import BinanceServer
from qtxconn.sim.model import Side

WAIT_S = 5.0


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
async def test_frames_of_every_length_are_understood(size, session) -> None:
    payload = b"x" * size

    async def handler(request: aiohttp.web.Request) -> aiohttp.web.WebSocketResponse:
        socket = aiohttp.web.WebSocketResponse()
        await socket.prepare(request)
        assert request.transport is not None
        request.transport.write(text_frame(payload))
        await socket.receive()
        return socket

    app = aiohttp.web.Application()
    app.router.add_get("/", handler)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with session.ws_connect(f"http://127.0.0.1:{runner.addresses[0][1]}/") as socket:
            assert (await socket.receive(timeout=WAIT_S)).data == payload.decode()
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("host", ["", "/public", "/market", "/private"])
@pytest.mark.parametrize("tail", ["/ws/btcusdt@bookTicker", "/ws/btcusdt@bookTicker/ethusdt@trade", "/ws/0", "/ws"])
async def test_raw_paths(connect, venue, host, tail) -> None:
    socket = await connect(host + tail)
    if tail in ("/ws", "/ws/0"):
        await socket.subscribe("btcusdt@bookTicker")
    assert "btcusdt@bookTicker" in (await socket.ask({"method": "LIST_SUBSCRIPTIONS", "id": 0}))["result"]
    engine = venue.engine("BTCUSDT")
    engine.add_ambient(Side.BUY, 600_000, 5)
    engine.publish()
    event = await socket.next()
    assert (event["e"], event["s"], event["b"], event["B"]) == ("bookTicker", "BTCUSDT", "60000.0", "1.005")


@pytest.mark.parametrize(
    "path", ["/stream?streams=btcusdt@trade", "/public/stream?streams=btcusdt@trade/ethusdt@trade"]
)
async def test_wrapped_paths(connect, client, path) -> None:
    socket = await connect(path)
    await socket.is_silent()
    await client.place(price="60000.1")
    event = await socket.next()
    assert event["stream"] == "btcusdt@trade"
    data = event["data"]
    assert (data["p"], data["q"], data["m"], data["X"]) == ("60000.1", "0.010", False, "MARKET")


async def test_a_bare_stream_wraps_what_is_subscribed_later(connect, client) -> None:
    socket = await connect("/market/stream")
    await socket.subscribe("btcusdt@aggTrade")
    await client.place(price="60000.1")
    event = await socket.next()
    assert event["stream"] == "btcusdt@aggTrade"
    assert event["data"]["f"] == event["data"]["l"] == event["data"]["a"]


@pytest.mark.parametrize("request_id", [1, "b6cbd1f5-9ee8", None, 1.5, [1], {"a": 1}, True])
async def test_any_id_is_echoed(connect, request_id) -> None:
    socket = await connect("/ws")
    answer = await socket.ask({"method": "SUBSCRIBE", "params": ["btcusdt@depth"], "id": request_id})
    assert answer == {"result": None, "id": request_id}
    answer = await socket.ask({"method": "UNSUBSCRIBE", "params": ["btcusdt@depth", "no@such"], "id": request_id})
    assert answer == {"result": None, "id": request_id}
    assert (await socket.ask({"method": "LIST_SUBSCRIPTIONS", "id": request_id})) == {
        "result": [],
        "id": request_id,
    }


@pytest.mark.parametrize(
    ("request_text", "code"),
    [
        ("{", 3),
        ("[]", 2),
        ('{"method":"FLY","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"btcusdt@trade","id":1}', 1),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 1),
        ('{"method":"SUBSCRIBE","params":[' + ",".join(f'"a@{i}"' for i in range(1025)) + '],"id":1}', 2),
    ],
)
async def test_what_makes_no_sense_is_answered(connect, request_text, code) -> None:
    socket = await connect("/ws")
    assert (await socket.ask(request_text))["error"]["code"] == code
    assert (await socket.ask({"method": "LIST_SUBSCRIPTIONS", "id": 2})) == {"result": [], "id": 2}


async def test_unsubscribed_streams_are_silent(connect, client) -> None:
    socket = await connect("/ws/btcusdt@trade")
    await socket.ask({"method": "UNSUBSCRIBE", "params": ["btcusdt@trade"], "id": 1})
    await client.place(price="60000.1")
    assert await socket.is_silent()


async def test_mark_price(connect) -> None:
    socket = await connect("/market/ws/btcusdt@markPrice@1s")
    event = await socket.next()
    assert (event["e"], event["p"], event["r"]) == ("markPriceUpdate", "60000.05000000", "0.00010000")


def churn(venue: Any, rng: random.Random) -> None:
    """A few random changes around the touch, as one published update."""
    engine = venue.engine("BTCUSDT")
    for _ in range(rng.randint(1, 6)):
        side = rng.choice((Side.BUY, Side.SELL))
        price = 600_000 - rng.randint(0, 30) if side is Side.BUY else 600_001 + rng.randint(0, 30)
        if rng.random() < 0.5:
            engine.add_ambient(side, price, rng.randint(1, 500))
        else:
            engine.cancel_ambient(side, price, rng.randint(1, 1_500))
    if rng.random() < 0.2:
        engine.background_order(rng.choice((Side.BUY, Side.SELL)), rng.randint(1, 200), 600_000)
    engine.publish()


class SyncedBook:
    """A book kept by Binance's published rule; texts only, to compare with GET depth."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}
        self.snapshot_id = snapshot["lastUpdateId"]
        self.last_id: int | None = None

    def apply(self, event: dict[str, Any]) -> None:
        if event["u"] < self.snapshot_id:
            return
        if self.last_id is None:
            assert event["U"] <= self.snapshot_id <= event["u"]
        else:
            assert event["pu"] == self.last_id
        self.last_id = event["u"]
        for key, side in self.sides.items():
            for price, quantity in event[key]:
                if float(quantity):
                    side[price] = quantity
                else:
                    side.pop(price, None)

    def state(self) -> tuple[list[Any], list[Any]]:
        bids = sorted(self.sides["b"].items(), key=lambda level: -float(level[0]))
        return [list(level) for level in bids], [
            list(level) for level in sorted(self.sides["a"].items(), key=lambda level: float(level[0]))
        ]


@pytest.mark.parametrize(
    ("suffix", "seed", "events"),
    [
        ("depth@0ms", 0, 60),
        ("depth@0ms", 1, 60),
        ("depth@100ms", 2, 5),
        ("depth", 3, 2),
        ("depth@500ms", 4, 1),
    ],
)
async def test_depth_stream_kept_by_the_rule_equals_get_depth(connect, client, venue, suffix, seed, events) -> None:
    rng = random.Random(seed)
    socket = await connect(f"/public/ws/btcusdt@{suffix}")
    await socket.is_silent()
    stop = asyncio.Event()

    async def trade() -> None:
        while not stop.is_set():
            churn(venue, rng)
            await asyncio.sleep(0.002)

    task = asyncio.create_task(trade())
    try:
        buffered = [await socket.next()]
        book = SyncedBook(await client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000))
        for event in buffered:
            book.apply(event)
        for _ in range(events):
            book.apply(await socket.next())
    finally:
        stop.set()
        await task
    final = await client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
    venue.engine("BTCUSDT").add_ambient(Side.BUY, 599_990, 1)
    venue.engine("BTCUSDT").publish()  # one more update, which straddles the snapshot's id
    while book.last_id is None or book.last_id < final["lastUpdateId"]:
        event = await socket.next()
        book.apply(event)
    final = await client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
    assert book.state() == (final["bids"], final["asks"])


HANDSHAKE = (
    b"GET /ws/btcusdt@depth@0ms HTTP/1.1\r\nHost: venue\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def test_a_client_that_never_answers_does_not_hold_up_the_end(venue) -> None:
    server = BinanceServer(venue)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(WAIT_S):
            await server.stop()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_slow_consumer_is_cut_off(venue) -> None:
    server = BinanceServer(venue, backlog_max=200_000)
    await server.start()
    name = "btcusdt@depth@0ms"
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    try:
        writer.write(HANDSHAKE)
        async with asyncio.timeout(WAIT_S):
            while not server.streams.disconnected_slow:  # nothing reads, so the buffers fill
                await asyncio.sleep(0)
                if name in server.streams._subscribers:
                    server.streams._push(name, {"e": "depthUpdate", "b": "x" * 100_000})
        assert name not in server.streams._subscribers
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await server.stop()


# -- user stream --------------------------------------------------------------------------------------------


async def listen_key(client: Any) -> str:
    return (await client.raw("POST", "/fapi/v1/listenKey"))[1]["listenKey"]


@pytest.mark.parametrize(
    "path",
    ["/private/ws?listenKey={key}", "/ws/{key}", "/private/stream?listenKey={key}", "/stream?streams={key}"],
)
async def test_user_stream_tells_a_fill(connect, client, path) -> None:
    key = await listen_key(client)
    socket = await connect(path.format(key=key))
    await socket.is_silent()
    order = await client.place(price="60000.1", newClientOrderId="7")
    events = [await socket.next() for _ in range(4)]
    if "stream" in path:
        assert {event["stream"] for event in events} == {key}
        events = [event["data"] for event in events]
    assert [event["e"] for event in events].count("ORDER_TRADE_UPDATE") == 2
    orders = [event["o"] for event in events if event["e"] == "ORDER_TRADE_UPDATE"]
    new, filled = orders
    assert (new["x"], new["X"], new["c"], new["i"], new["z"], new["t"]) == (
        "NEW",
        "NEW",
        "7",
        order["orderId"],
        "0.000",
        0,
    )
    assert "N" not in new
    assert (filled["x"], filled["X"], filled["l"], filled["z"]) == ("TRADE", "FILLED", "0.010", "0.010")
    assert (filled["L"], filled["ap"], filled["n"], filled["N"], filled["m"]) == (
        "60000.1",
        "60000.1",
        "0.3000005",
        "USDT",
        False,
    )
    [lite] = [event for event in events if event["e"] == "TRADE_LITE"]
    assert (lite["t"], lite["l"], lite["L"], lite["c"]) == (filled["t"], "0.010", "60000.1", "7")
    [account] = [event["a"] for event in events if event["e"] == "ACCOUNT_UPDATE"]
    assert account["m"] == "ORDER"
    assert account["B"] == [{"a": "USDT", "wb": "99999.69999950", "cw": "99999.69999950", "bc": "0"}]
    assert (account["P"][0]["pa"], account["P"][0]["ep"]) == ("0.01", "60000.1")


async def test_user_stream_tells_cancel_and_amendment(connect, client, bob) -> None:
    socket = await connect(f"/private/ws?listenKey={await listen_key(client)}")
    await socket.is_silent()
    order = await client.place()
    await client.signed(
        "PUT",
        "/fapi/v1/order",
        symbol="BTCUSDT",
        orderId=order["orderId"],
        side="BUY",
        quantity="0.02",
        price="59998",
    )
    await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", orderId=order["orderId"])
    await bob.place()  # another account's order stays unheard
    events = [(await socket.next())["o"] for _ in range(3)]
    assert [(e["x"], e["X"], e["q"]) for e in events] == [
        ("NEW", "NEW", "0.010"),
        ("AMENDMENT", "NEW", "0.020"),
        ("CANCELED", "CANCELED", "0.020"),
    ]
    assert await socket.is_silent()


async def test_events_may_be_limited(connect, client) -> None:
    socket = await connect(f"/private/ws?listenKey={await listen_key(client)}&events=TRADE_LITE/ACCOUNT_UPDATE")
    await socket.is_silent()
    await client.place(price="60000.1")
    assert {(await socket.next())["e"] for _ in range(2)} == {"TRADE_LITE", "ACCOUNT_UPDATE"}
    assert await socket.is_silent()


async def test_funding_is_told(connect, client, venue) -> None:
    await client.place(price="60000.1")
    socket = await connect(f"/private/ws?listenKey={await listen_key(client)}")
    await socket.is_silent()
    venue.apply_funding("BTCUSDT")
    event = (await socket.next())["a"]
    assert (event["m"], event["B"][0]["bc"]) == ("FUNDING_FEE", "-0.06000005")


async def test_a_closed_key_is_told_and_silent(connect, client) -> None:
    key = await listen_key(client)
    socket = await connect(f"/private/ws?listenKey={key}")
    await socket.is_silent()
    await client.raw("DELETE", "/fapi/v1/listenKey")
    event = await socket.next()
    assert (event["e"], event["listenKey"]) == ("listenKeyExpired", key)
    await client.place(price="60000.1")
    assert await socket.is_silent()


async def test_keys_expire(venue, session) -> None:
    server = BinanceServer(venue, listen_key_lifetime_ms=1)
    await server.start()
    try:
        key = server.listen_keys.start(venue.account("alice-key"))
        async with session.ws_connect(f"ws://127.0.0.1:{server.port}/private/ws?listenKey={key}") as raw:
            event = orjson.loads((await raw.receive(timeout=WAIT_S)).data)
            assert (event["e"], event["listenKey"]) == ("listenKeyExpired", key)
        assert server.listen_keys.account(key) is None
    finally:
        await server.stop()


async def test_stopping_says_goodbye(server, connect) -> None:
    socket = await connect("/ws/btcusdt@depth")
    await socket.is_silent()
    await server.stop()
    message = await socket.socket.receive(timeout=WAIT_S)
    assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert message.data == 1001
