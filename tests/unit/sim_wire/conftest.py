"""A served venue with a standing book, and a client that signs the way Binance documents it."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
import pytest

from qtxconn.sim.binance.limits import Limits
from qtxconn.sim.binance.server import BinanceServer
from qtxconn.sim.model import Instrument, Side
from qtxconn.sim.process import WallClock
from qtxconn.sim.venue import Venue

KEY, SECRET = "alice-key", "alice-secret"
BTC = Instrument("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))
ETH = Instrument("ETHUSDT", "ETH", "USDT", Decimal("0.01"), Decimal("0.001"), min_notional=Decimal("20"))


WAIT_S = 5.0


def make_venue(clock: Any = None) -> Venue:
    """BTCUSDT at 60000.0 x 60000.1, 20 levels of 1 BTC a side; ETHUSDT at 3000.00; alice and bob."""
    venue = Venue([BTC, ETH], clock or WallClock())
    for symbol, bid, size in (("BTCUSDT", 600_000, 1_000), ("ETHUSDT", 300_000, 5_000)):
        engine = venue.engine(symbol)
        for level in range(20):
            engine.add_ambient(Side.BUY, bid - level, size)
            engine.add_ambient(Side.SELL, bid + 1 + level, size)
        engine.publish()
    venue.open_account(KEY, SECRET)
    venue.open_account("bob-key", "bob-secret", balance=Decimal("50000"))
    return venue


@dataclass
class Client:
    """Signed requests, parameters in the query ("query"), the form body ("body") or in "both"."""

    session: aiohttp.ClientSession
    base: str
    key: str = KEY
    secret: str = SECRET

    async def signed(
        self,
        method: str,
        path: str,
        /,
        *,
        where: str = "query",
        timestamp: int | None = None,
        signature: str | None = None,
        **params: Any,
    ) -> tuple[int, Any, Any]:
        """(status, JSON, headers)."""
        params["timestamp"] = time.time_ns() // 1_000_000 if timestamp is None else timestamp
        pairs = list(params.items())
        cut = {"query": len(pairs), "body": 0, "both": 1}[where]
        query, body = urlencode(pairs[:cut]), urlencode(pairs[cut:])
        digest = hmac.new(self.secret.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
        tail = f"signature={signature or digest}"
        if where == "query":
            query = f"{query}&{tail}"
        else:
            body = f"{body}&{tail}"
        return await self.raw(method, path, query, body)

    async def raw(self, method: str, path: str, query: str = "", body: str = "") -> tuple[int, Any, Any]:
        import yarl

        url = yarl.URL(f"{self.base}{path}" + (f"?{query}" if query else ""), encoded=True)
        headers = {"X-MBX-APIKEY": self.key} if self.key else {}
        if body:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        async with self.session.request(method, url, data=body or None, headers=headers) as response:
            return response.status, orjson.loads(await response.read()), response.headers

    async def get(self, path: str, **params: Any) -> Any:
        """A public call that must succeed."""
        status, result, _ = await self.raw("GET", path, urlencode(params))
        assert status == 200, result
        return result

    async def place(self, **params: Any) -> dict[str, Any]:
        """A LIMIT GTC order of 0.010 BTC unless told otherwise; must be accepted."""
        values = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.010",
            "price": "59999.0",
            "newOrderRespType": "RESULT",
        } | params
        values = {name: value for name, value in values.items() if value is not None}
        status, result, _ = await self.signed("POST", "/fapi/v1/order", **values)
        assert status == 200, result
        return result


@pytest.fixture
def venue() -> Venue:
    return make_venue()


@pytest.fixture
def limits() -> Limits:
    return Limits()


@pytest.fixture
async def server(venue: Venue, limits: Limits) -> AsyncIterator[BinanceServer]:
    server = BinanceServer(venue, limits=limits)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
async def client(server: BinanceServer, session: aiohttp.ClientSession) -> Client:
    return Client(session, server.endpoints()["rest"])


@pytest.fixture
async def bob(client: Client) -> Client:
    return Client(client.session, client.base, "bob-key", "bob-secret")


class Socket:
    """A WebSocket client that gives JSON values."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self) -> Any:
        message = await self.socket.receive(timeout=WAIT_S)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return orjson.loads(message.data)

    async def ask(self, request: Any) -> Any:
        await self.socket.send_str(request if isinstance(request, str) else orjson.dumps(request).decode())
        return await self.next()

    async def subscribe(self, *names: str) -> None:
        assert await self.ask({"method": "SUBSCRIBE", "params": list(names), "id": 1}) == {
            "result": None,
            "id": 1,
        }

    async def is_silent(self) -> bool:
        """Nothing has been pushed up to a question asked now."""
        answer = await self.ask({"method": "LIST_SUBSCRIPTIONS", "id": "quiet?"})
        return answer.get("id") == "quiet?"


@pytest.fixture
async def connect(server: BinanceServer, session: aiohttp.ClientSession) -> AsyncIterator[Any]:
    async with contextlib.AsyncExitStack() as stack:

        async def open_socket(path: str, **options: Any) -> Socket:
            url = f"ws://127.0.0.1:{server.port}{path}"
            return Socket(await stack.enter_async_context(session.ws_connect(url, **options)))

        yield open_socket
