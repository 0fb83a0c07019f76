"""ccxt, REST and WebSocket, through a full session on the venue. Skipped where ccxt is not installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("ccxt", reason="ccxt is not installed: pip install 'qtxconn[test,clients]'")

import ccxt.pro

from .conftest import KEY, SECRET, ServedVenue

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]

SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
async def exchange(venue: ServedVenue) -> AsyncIterator[Any]:
    rest, trade = venue.endpoints["rest"], venue.endpoints["ws_trade"]
    client = ccxt.pro.binanceusdm({"apiKey": KEY, "secret": SECRET, "options": {"fetchCurrencies": False}})
    api = client.urls["api"]
    for name, version in (("", "v1"), ("V2", "v2"), ("V3", "v3")):
        api[f"fapiPublic{name}"] = api[f"fapiPrivate{name}"] = f"{rest}/fapi/{version}"
    api["ws"]["linear"] = trade.replace("/ws-fapi/v1", "/ws")
    api["ws"]["ws-api"]["linear"] = trade
    try:
        yield client
    finally:
        await client.close()


async def resting_price(exchange: Any) -> float:
    """A bid two per cent below the book."""
    book = await exchange.fetch_order_book(SYMBOL, 5)
    return float(exchange.price_to_precision(SYMBOL, book["bids"][0][0] * 0.98))


async def test_markets_and_public_data(exchange) -> None:
    markets = await exchange.load_markets()
    assert {SYMBOL, "ETH/USDT:USDT"} <= set(markets)
    market = markets[SYMBOL]
    assert (market["precision"]["price"], market["precision"]["amount"], market["linear"]) == (0.1, 0.001, True)
    book = await exchange.fetch_order_book(SYMBOL, 20)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert len(book["bids"]) == 20
    while not (trades := await exchange.fetch_trades(SYMBOL)):  # noqa: ASYNC110 - the first trade is waited for
        await asyncio.sleep(0.1)
    assert trades[-1]["price"] > 0
    assert (await exchange.fetch_ticker(SYMBOL))["last"] > 0
    assert set(await exchange.fetch_tickers()) == {SYMBOL, "ETH/USDT:USDT"}
    assert (await exchange.fetch_ohlcv(SYMBOL, "1m"))[-1][4] > 0
    assert (await exchange.fetch_funding_rate(SYMBOL))["fundingRate"] == 0.0001
    assert await exchange.fetch_funding_rate_history(SYMBOL) == []
    assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 60_000
    assert (await exchange.fetch_bids_asks([SYMBOL]))[SYMBOL]["bid"] > 0
    assert (await exchange.fetch_open_interest(SYMBOL))["openInterestAmount"] == 0


async def test_orders_from_rest_to_fill(exchange) -> None:
    await exchange.load_markets()
    price = await resting_price(exchange)
    order = await exchange.create_order(SYMBOL, "limit", "buy", 0.01, price, {"clientOrderId": "first"})
    assert (order["status"], order["clientOrderId"]) == ("open", "first")
    assert [o["id"] for o in await exchange.fetch_open_orders(SYMBOL)] == [order["id"]]
    lower = float(exchange.price_to_precision(SYMBOL, price * 0.99))
    edited = await exchange.edit_order(order["id"], SYMBOL, "limit", "buy", 0.02, lower)
    assert (edited["price"], edited["amount"]) == (lower, 0.02)
    assert (await exchange.fetch_order(order["id"], SYMBOL))["price"] == lower
    assert (await exchange.cancel_order(order["id"], SYMBOL))["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        await exchange.cancel_order(order["id"], SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        await exchange.fetch_order("1", SYMBOL)
    with pytest.raises(ccxt.ExchangeError, match="-2019"):  # it knows the code's class by Binance's own host only
        await exchange.create_order(SYMBOL, "limit", "buy", 900, price)
    requests = [
        {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.01, "price": price},
        {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": 0.02, "price": price},
    ]
    batch = await exchange.create_orders(requests)
    assert [o["amount"] for o in batch] == [0.01, 0.02]
    await exchange.cancel_orders([batch[0]["id"]], SYMBOL)
    await exchange.cancel_all_orders(SYMBOL)
    assert await exchange.fetch_open_orders(SYMBOL) == []
    filled = await exchange.create_order(SYMBOL, "market", "buy", 0.01)
    filled = await exchange.fetch_order(filled["id"], SYMBOL)
    assert (filled["status"], filled["filled"]) == ("closed", 0.01)
    [position] = await exchange.fetch_positions([SYMBOL])
    assert (position["side"], position["contracts"]) == ("long", 0.01)
    trades = await exchange.fetch_my_trades(SYMBOL)
    assert sum(t["amount"] for t in trades) == pytest.approx(0.01)
    assert all(t["fee"]["cost"] > 0 for t in trades)
    balance = await exchange.fetch_balance()
    assert 99_000 < balance["USDT"]["total"] < 100_000
    assert balance["USDT"]["free"] < balance["USDT"]["total"]
    await exchange.create_order(SYMBOL, "market", "sell", 0.01, None, {"reduceOnly": True})
    assert not [p for p in await exchange.fetch_positions([SYMBOL]) if p["contracts"]]
    assert len(await exchange.fetch_orders(SYMBOL)) == 5


async def test_settings_stops_and_records(exchange, venue) -> None:
    await exchange.load_markets()
    await exchange.set_leverage(10, SYMBOL)
    assert (await exchange.fetch_leverage(SYMBOL))["longLeverage"] == 10
    await exchange.set_margin_mode("isolated", SYMBOL)
    assert (await exchange.fetch_margin_mode(SYMBOL))["marginMode"] == "isolated"
    await exchange.set_position_mode(True)
    assert (await exchange.fetch_position_mode(SYMBOL))["hedged"]
    await exchange.create_order(SYMBOL, "market", "buy", 0.01, None, {"positionSide": "LONG"})
    [position] = await exchange.fetch_positions([SYMBOL])
    assert (position["side"], position["hedged"], position["marginMode"]) == ("long", True, "isolated")
    assert position["liquidationPrice"] < position["markPrice"]
    tiers = await exchange.fetch_leverage_tiers([SYMBOL])
    assert tiers[SYMBOL][0]["maxLeverage"] == 125
    assert (await exchange.fetch_trading_fee(SYMBOL))["taker"] == 0.0005
    await exchange.add_margin(SYMBOL, 5, {"positionSide": "LONG"})
    price = await resting_price(exchange)
    stop = await exchange.create_order(
        SYMBOL, "market", "sell", 0.01, None, {"positionSide": "LONG", "stopLossPrice": price}
    )
    assert [o["id"] for o in await exchange.fetch_open_orders(SYMBOL, params={"trigger": True})] == [stop["id"]]
    await exchange.cancel_order(stop["id"], SYMBOL, {"trigger": True})
    venue.control("POST", "/funding", symbol="BTCUSDT")
    [payment] = await exchange.fetch_funding_history(SYMBOL)
    assert payment["amount"] < 0
    assert {entry["info"]["incomeType"] for entry in await exchange.fetch_ledger("USDT")} >= {"COMMISSION"}
    assert len(await exchange.fetch_funding_rate_history(SYMBOL)) == 1


async def test_streams(exchange) -> None:
    await exchange.load_markets()
    book = await exchange.watch_order_book(SYMBOL)
    for _ in range(3):
        book = await exchange.watch_order_book(SYMBOL)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert (await exchange.watch_trades(SYMBOL))[-1]["amount"] > 0
    assert (await exchange.watch_bids_asks([SYMBOL]))[SYMBOL]["ask"] > 0
    assert (await exchange.watch_ticker(SYMBOL))["last"] > 0
    assert (await exchange.watch_mark_price(SYMBOL))["markPrice"] > 0
    assert (await exchange.watch_ohlcv(SYMBOL, "1m"))[-1][4] > 0


async def test_private_streams_and_websocket_orders(exchange) -> None:
    await exchange.load_markets()
    price = await resting_price(exchange)
    orders = asyncio.create_task(exchange.watch_orders(SYMBOL))
    trades = asyncio.create_task(exchange.watch_my_trades(SYMBOL))
    assert await exchange.watch_positions([SYMBOL]) == []  # its first answer is the snapshot
    positions = asyncio.create_task(exchange.watch_positions([SYMBOL]))
    balance = asyncio.create_task(exchange.watch_balance())
    await asyncio.sleep(1.0)  # they subscribe
    order = await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.01, price, {"clientOrderId": "over-ws"})
    assert order["clientOrderId"] == "over-ws"
    [update] = await asyncio.wait_for(orders, 10)
    assert (update["id"], update["status"]) == (order["id"], "open")
    assert (await exchange.fetch_order_ws(order["id"], SYMBOL))["status"] == "open"
    assert (await exchange.cancel_order_ws(order["id"], SYMBOL))["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        await exchange.cancel_order_ws(order["id"], SYMBOL)
    await exchange.create_order_ws(SYMBOL, "market", "buy", 0.01)
    assert (await asyncio.wait_for(trades, 10))[0]["side"] == "buy"
    assert (await asyncio.wait_for(positions, 10))[0]["contracts"] > 0
    assert (await asyncio.wait_for(balance, 10))["USDT"]["total"] > 0
    assert (await exchange.fetch_balance_ws())["USDT"]["total"] < 100_000
    assert [p["contracts"] for p in await exchange.fetch_positions_ws([SYMBOL])] == [0.01]
    assert (await exchange.fetch_ticker_ws(SYMBOL))["bid"] > 0
