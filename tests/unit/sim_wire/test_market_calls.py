"""Candles, 24-hour figures, histories and the streams that beat: what clients load besides the book."""

from __future__ import annotations

from qtxconn.sim.binance.market_history import MINUTE_MS, candle_of, merge
from qtxconn.sim.model import MarketTrade, Side


def trade(number: int, price: int, lots: int, minute: int, bought: bool = True) -> MarketTrade:
    return MarketTrade(number, price, lots, not bought, minute * MINUTE_MS + 1)


def test_candles_merge_into_longer_ones() -> None:
    trades = [trade(1, 100, 2, 0), trade(2, 103, 1, 1, bought=False), trade(3, 98, 4, 2), trade(4, 99, 1, 5)]
    first, second = merge([candle_of(t) for t in trades], 3 * MINUTE_MS)
    assert (first.open, first.high, first.low, first.close) == (100, 103, 98, 98)
    assert (first.volume, first.taker_volume, first.count) == (7, 6, 3)
    assert (first.quote, first.first_id, first.last_id) == (200 + 103 + 392, 1, 3)
    assert (second.open_ms, second.open, second.close) == (3 * MINUTE_MS, 99, 99)


async def test_before_any_trade(client) -> None:
    assert await client.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m") == []
    day = await client.get("/fapi/v1/ticker/24hr", symbol="BTCUSDT")
    assert (day["count"], day["lastPrice"], day["volume"]) == (0, "0.0", "0.000")


async def test_klines_and_day_figures(client, server, venue) -> None:
    engine = venue.engine("BTCUSDT")
    engine.background_order(Side.BUY, 2_000, 600_002)
    engine.background_order(Side.SELL, 500, 600_000)
    rows = await client.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1h")
    assert sum(row[8] for row in rows) == 3
    assert rows[0][1] == "60000.1"
    assert rows[-1][4] == "60000.0"
    same = await client.get("/fapi/v1/continuousKlines", pair="BTCUSDT", contractType="PERPETUAL", interval="1h")
    assert same == rows
    day = await client.get("/fapi/v1/ticker/24hr", symbol="BTCUSDT")
    assert (day["openPrice"], day["highPrice"], day["lastPrice"], day["volume"]) == (
        "60000.1",
        "60000.2",
        "60000.0",
        "2.500",
    )
    assert day["priceChange"] == "-0.1"
    assert len(await client.get("/fapi/v1/ticker/24hr")) == 2
    for query, code in (("symbol=BTCUSDT&interval=7m", -1120), ("symbol=BTCUSDT", -1102)):
        assert (await client.raw("GET", "/fapi/v1/klines", query))[1]["code"] == code


async def test_trades_from_an_id(client, server, venue) -> None:
    venue.engine("BTCUSDT").background_order(Side.BUY, 3_000, 600_003)
    latest = await client.get("/fapi/v1/trades", symbol="BTCUSDT", limit=2)
    assert len(latest) == 2
    older = await client.get("/fapi/v1/historicalTrades", symbol="BTCUSDT", fromId=latest[0]["id"] - 1, limit=2)
    assert older[1] == latest[0]
    aggregates = await client.get("/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=1)
    assert [a["a"] for a in aggregates] == [older[0]["id"], *(t["id"] for t in latest)]
    assert await client.get("/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=1, endTime=2) == []


async def test_open_interest_and_funding_info(client) -> None:
    await client.place(type="MARKET", price=None, timeInForce=None)
    assert (await client.get("/fapi/v1/openInterest", symbol="BTCUSDT"))["openInterest"] == "0.010"
    assert [i["fundingIntervalHours"] for i in await client.get("/fapi/v1/fundingInfo")] == [8, 8]


async def test_streams_that_beat(connect, server, venue) -> None:
    venue.engine("BTCUSDT").background_order(Side.BUY, 2_000, 600_002)
    names = ["btcusdt@kline_1m", "btcusdt@depth5@100ms", "btcusdt@ticker", "!miniTicker@arr", "!markPrice@arr@1s"]
    socket = await connect("/market/stream?streams=" + "/".join(names))
    seen = {}
    while len(seen) < len(names):
        event = await socket.next()
        seen[event["stream"]] = event["data"]
    assert seen["btcusdt@kline_1m"]["k"]["c"] == "60000.2"
    book = seen["btcusdt@depth5@100ms"]
    assert (book["e"], len(book["b"]), book["b"][0]) == ("depthUpdate", 5, ["60000.0", "1.000"])
    assert seen["btcusdt@ticker"]["c"] == "60000.2"
    assert [t["s"] for t in seen["!miniTicker@arr"]] == ["BTCUSDT", "ETHUSDT"]
    assert [t["e"] for t in seen["!markPrice@arr@1s"]] == ["markPriceUpdate"] * 2


async def test_a_stream_beats_once_however_often_it_is_subscribed(connect, server, venue) -> None:
    socket = await connect("/public/ws")
    for _ in range(5):
        await socket.ask({"method": "SUBSCRIBE", "params": ["btcusdt@ticker"], "id": 1})
        await socket.ask({"method": "UNSUBSCRIBE", "params": ["btcusdt@ticker"], "id": 2})
    assert len(server.streams._beating) == 1
