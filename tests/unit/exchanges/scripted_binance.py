"""A scripted stand-in for Binance on 127.0.0.1: answers what a test tells it to, records what is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import WSMsgType, web

KEY, SECRET = "scripted-key", "scripted-secret"
TIME_MS = 1_700_000_000_000
PLACE, CANCEL, QUERY = "POST /fapi/v1/order", "DELETE /fapi/v1/order", "GET /fapi/v1/order"

SYMBOL = {
    "symbol": "BTCUSDT",
    "contractType": "PERPETUAL",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "1000000", "tickSize": "0.1"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "5"},
    ],
    "orderTypes": ["LIMIT", "MARKET"],
}


class Refusal(Exception):
    """An error answer."""

    def __init__(self, code: int, message: str = "refused", status: int = 400) -> None:
        super().__init__(message)
        self.body, self.status = {"code": code, "msg": message}, status


class ScriptedBinance:
    """`answers["GET /fapi/v1/time"]` is the answer, or a function of the parameters giving or raising it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sockets: dict[str, list[web.WebSocketResponse]] = {"public": [], "market": [], "private": []}
        self.subscribed: list[list[str]] = []
        self.subscription_answer: dict[str, Any] = {"result": None}
        self.placed: dict[str, dict[str, str]] = {}  # client order id -> parameters
        self.url = ""
        self.counted = "1234"  # weight, as told with its time
        self.answers: dict[str, Any] = {
            "GET /fapi/v1/time": lambda _: {"serverTime": TIME_MS},
            "GET /fapi/v1/exchangeInfo": {"symbols": [SYMBOL]},
            "GET /fapi/v1/depth": {
                "lastUpdateId": 10,
                "E": TIME_MS,
                "T": TIME_MS,
                "bids": [["49999.9", "1.000"]],
                "asks": [["50000.1", "2.000"]],
            },
            "GET /fapi/v1/premiumIndex": {
                "symbol": "BTCUSDT",
                "markPrice": "50000.00",
                "indexPrice": "50001.00",
                "lastFundingRate": "0.0001",
                "nextFundingTime": TIME_MS,
            },
            "GET /fapi/v3/balance": [{"asset": "USDT", "balance": "1000", "availableBalance": "900"}],
            "GET /fapi/v2/positionRisk": [],
            "GET /fapi/v1/accountConfig": {"dualSidePosition": False, "multiAssetsMargin": False},
            "POST /fapi/v1/listenKey": {"listenKey": "listen-to-me"},
            "PUT /fapi/v1/listenKey": {},
            "GET /fapi/v1/userTrades": [],
            "GET /fapi/v1/income": [],
            "POST /fapi/v1/countdownCancelAll": {},
        }

    def asked(self, call: str) -> list[dict[str, str]]:
        return [params for name, params in self.requests if name == call]

    async def push(self, stream: str, event: dict[str, Any]) -> None:
        await self.sockets[stream][-1].send_str(orjson.dumps(event).decode())

    async def handle(self, request: web.Request) -> web.Response:
        call = f"{request.method} {request.path}"
        params = dict(request.query)
        self.requests.append((call, params))
        if "newClientOrderId" in params:
            self.placed[params["newClientOrderId"]] = params
        if "signature" in params:
            assert request.headers["X-MBX-APIKEY"] == KEY
        try:
            answer = self.answers[call]
            answer = answer(params) if callable(answer) else answer
            answer = await answer if asyncio.iscoroutine(answer) else answer
        except Refusal as refusal:
            return web.Response(status=refusal.status, body=orjson.dumps(refusal.body))
        headers = {"X-MBX-USED-WEIGHT-1M": self.counted} if call == "GET /fapi/v1/time" else {}
        return web.Response(body=orjson.dumps(answer), headers=headers)

    async def handle_socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if request.match_info["kind"] == "private":
            assert request.query["listenKey"] == "listen-to-me"
        self.sockets[request.match_info["kind"]].append(socket)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                ask = orjson.loads(message.data)
                self.subscribed.append(ask["params"])
                await socket.send_str(orjson.dumps(self.subscription_answer | {"id": ask["id"]}).decode())
        return socket

    def order(self, params: dict[str, str], status: str = "NEW", executed: str = "0", **more: Any) -> dict[str, Any]:
        """An order object that answers a request about an order."""
        client_order_id = params.get("newClientOrderId") or params["origClientOrderId"]
        placed = self.placed.get(client_order_id, {})
        return {
            "orderId": 77,
            "symbol": params["symbol"],
            "status": status,
            "clientOrderId": client_order_id,
            "price": placed.get("price", "0"),
            "origQty": placed.get("quantity", "0.002"),
            "executedQty": executed,
            "cumQuote": "0",
            "updateTime": TIME_MS,
        } | more

    def fill(self, client_order_id: str, trade_id: int, amount: str, total: str, status: str) -> dict[str, Any]:
        """An ORDER_TRADE_UPDATE of a fill at 50000."""
        placed = self.placed[client_order_id]
        order = {
            "s": "BTCUSDT",
            "c": client_order_id,
            "i": 77,
            "x": "TRADE",
            "X": status,
            "p": placed.get("price", "0"),
            "q": placed["quantity"],
            "z": total,
            "l": amount,
        }
        order |= {"L": "50000.0", "N": "USDT", "n": "0.01", "t": trade_id, "T": TIME_MS + trade_id, "m": True}
        return {"e": "ORDER_TRADE_UPDATE", "E": TIME_MS, "T": TIME_MS, "o": order}

    @staticmethod
    def user_trade(trade_id: int, amount: str) -> dict[str, Any]:
        quote = str(float(amount) * 50000)
        return {
            "id": trade_id,
            "orderId": 77,
            "price": "50000.0",
            "qty": amount,
            "quoteQty": quote,
            "commission": "0.01",
            "commissionAsset": "USDT",
            "time": TIME_MS + trade_id,
            "maker": True,
        }


@asynccontextmanager
async def scripted_binance() -> AsyncIterator[ScriptedBinance]:
    venue = ScriptedBinance()
    app = web.Application()
    app.router.add_route("GET", "/{kind:public|market|private}/ws", venue.handle_socket)
    app.router.add_route("*", "/fapi/{path:.*}", venue.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    venue.url = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield venue
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20.0):  # only reached when something is broken
        while not condition():  # noqa: ASYNC110 - there is no event for most of what tests await
            await asyncio.sleep(0.001)
