"""Binance's own SDK, REST, WebSocket API and streams, through a full session on the venue.

Skipped where binance-sdk-derivatives-trading-usds-futures is not installed.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytest.importorskip(
    "binance_sdk_derivatives_trading_usds_futures",
    reason="Binance's SDK is not installed: pip install 'qtxconn[test,clients]'",
)

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError
from binance_sdk_derivatives_trading_usds_futures import derivatives_trading_usds_futures as sdk

from .conftest import ED25519_KEY, KEY, SECRET, ServedVenue

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]


def make_client(venue: ServedVenue, *, ed25519: bool = False) -> sdk.DerivativesTradingUsdsFutures:
    secrets: dict[str, Any] = {"api_key": KEY, "api_secret": SECRET}
    if ed25519:
        secrets = {"api_key": ED25519_KEY, "private_key": venue.private_key_pem}
    base = venue.endpoints["rest"]
    return sdk.DerivativesTradingUsdsFutures(
        config_rest_api=ConfigurationRestAPI(base_path=base, timeout=10_000, retries=0, **secrets),
        config_ws_api=ConfigurationWebSocketAPI(stream_url=venue.endpoints["ws_trade"], **secrets),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=base.replace("http", "ws")),
    )


async def call(function: Any, **params: Any) -> Any:
    """A call of the blocking REST client; its answer as the SDK's model."""
    return (await asyncio.to_thread(function, **params)).data()


def below_the_book(book: Any) -> float:
    return round(float(book.bids[0][0]) * 0.98, 1)


async def test_rest_session(venue) -> None:
    rest = make_client(venue).rest_api
    info = await call(rest.exchange_information)
    assert [symbol.symbol for symbol in info.symbols] == ["BTCUSDT", "ETHUSDT"]
    assert abs((await call(rest.check_server_time)).server_time - time.time() * 1000) < 60_000
    book = await call(rest.order_book, symbol="BTCUSDT", limit=10)
    assert len(book.bids) == len(book.asks) == 10
    assert await call(rest.recent_trades_list, symbol="BTCUSDT") is not None
    price = below_the_book(book)
    limit = dict(symbol="BTCUSDT", side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01, price=price)
    order = await call(rest.new_order, **limit, new_client_order_id="sdk-1")
    assert (order.status, order.client_order_id) == ("NEW", "sdk-1")
    assert float((await call(rest.query_order, symbol="BTCUSDT", order_id=order.order_id)).price) == price
    amended = await call(
        rest.modify_order,
        symbol="BTCUSDT",
        side="BUY",
        quantity=0.02,
        price=price,
        order_id=order.order_id,
    )
    assert amended.orig_qty == "0.020"
    [change] = await call(rest.get_order_modify_history, symbol="BTCUSDT")
    assert (change.amendment.orig_qty.before, change.amendment.orig_qty.after) == ("0.010", "0.020")
    assert (await call(rest.cancel_order, symbol="BTCUSDT", order_id=order.order_id)).status == "CANCELED"
    with pytest.raises(BadRequestError, match="Unknown order sent"):
        await call(rest.cancel_order, symbol="BTCUSDT", order_id=order.order_id)
    market = dict(symbol="BTCUSDT", type="MARKET", quantity=0.01)
    filled = await call(rest.new_order, **market, side="BUY", new_order_resp_type="RESULT")
    assert (filled.status, filled.executed_qty) == ("FILLED", "0.010")
    [position] = await call(rest.position_information_v3, symbol="BTCUSDT")
    assert (position.position_amt, position.position_side) == ("0.01", "BOTH")
    [balance] = await call(rest.futures_account_balance_v3)
    assert float(balance.available_balance) < float(balance.balance) < 100_000
    account = await call(rest.account_information_v3)
    assert float(account.total_initial_margin) > 0
    trades = await call(rest.account_trade_list, symbol="BTCUSDT")
    assert sum(float(trade.qty) for trade in trades) == pytest.approx(0.01)
    incomes = await call(rest.get_income_history, symbol="BTCUSDT")
    assert {income.income_type for income in incomes} == {"COMMISSION"}
    assert (await call(rest.change_initial_leverage, symbol="BTCUSDT", leverage=7)).leverage == 7
    switch = await call(rest.auto_cancel_all_open_orders, symbol="BTCUSDT", countdown_time=60_000)
    assert switch.countdown_time == "60000"


async def test_batches_and_algo_orders(venue) -> None:
    rest = make_client(venue).rest_api
    price = below_the_book(await call(rest.order_book, symbol="BTCUSDT", limit=5))
    one = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": str(price)}
    good, bad = await call(
        rest.place_multiple_orders, batch_orders=[one | {"quantity": "0.01"}, one | {"quantity": "0"}]
    )
    assert (good.status, bad.code) == ("NEW", -4003)
    [cancelled] = await call(rest.cancel_multiple_orders, symbol="BTCUSDT", order_id_list=[good.order_id])
    assert cancelled.status == "CANCELED"
    stop = dict(algo_type="CONDITIONAL", symbol="BTCUSDT", side="SELL", type="STOP_MARKET", quantity=0.01)
    algo = await call(rest.new_algo_order, **stop, trigger_price=price, client_algo_id="stop-1")
    assert (algo.algo_status, algo.client_algo_id) == ("NEW", "stop-1")
    assert [o.algo_id for o in await call(rest.current_all_algo_open_orders, symbol="BTCUSDT")] == [algo.algo_id]
    assert (await call(rest.cancel_algo_order, algo_id=algo.algo_id)).algo_id == algo.algo_id
    assert (await call(rest.query_algo_order, algo_id=algo.algo_id)).algo_status == "CANCELED"


async def test_streams(venue) -> None:
    client = make_client(venue)
    streams, rest = client.websocket_streams, client.rest_api
    seen: dict[str, asyncio.Queue[Any]] = {}

    async def listen(name: str, handle: Any) -> None:
        seen[name] = queue = asyncio.Queue()
        handle.on("message", queue.put_nowait)

    await streams.create_connection()
    try:
        await listen("depth", await streams.diff_book_depth_streams(symbol="btcusdt"))
        await listen("trade", await streams.aggregate_trade_streams(symbol="btcusdt"))
        await listen("mark", await streams.mark_price_stream(symbol="btcusdt"))
        await listen("ticker", await streams.individual_symbol_book_ticker_streams(symbol="btcusdt"))
        key = (await call(rest.start_user_data_stream)).listen_key
        await listen("user", await streams.user_data(key))
        for name in ("depth", "trade", "mark", "ticker"):
            event = await asyncio.wait_for(seen[name].get(), 20)
            assert event.s == "BTCUSDT", name
        await call(rest.new_order, symbol="BTCUSDT", side="BUY", type="MARKET", quantity=0.01)
        events = set()
        while not {"OrderTradeUpdate", "AccountUpdate", "TradeLite"} <= events:
            event = await asyncio.wait_for(seen["user"].get(), 20)
            events.add(type(getattr(event, "actual_instance", event)).__name__)
    finally:
        await streams.close_connection()


@pytest.mark.parametrize("ed25519", [False, True])
async def test_websocket_orders(venue, ed25519) -> None:
    if ed25519:
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    client = make_client(venue, ed25519=ed25519)
    price = below_the_book(await call(client.rest_api.order_book, symbol="BTCUSDT", limit=5))
    api = client.websocket_api
    await api.create_connection()
    try:
        order = dict(symbol="BTCUSDT", side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01, price=price)
        answer = await api.new_order(**order, new_client_order_id="ws-1")
        placed = answer.data().result
        assert placed.client_order_id == "ws-1"
        assert {limit.rateLimitType for limit in answer.rate_limits} == {"ORDERS", "REQUEST_WEIGHT"}
        status = (await api.query_order(symbol="BTCUSDT", order_id=placed.order_id)).data().result
        assert status.status == "NEW"
        cancelled = (await api.cancel_order(symbol="BTCUSDT", order_id=placed.order_id)).data().result
        assert cancelled.status == "CANCELED"
        market = dict(symbol="BTCUSDT", type="MARKET", quantity=0.01)
        await api.new_order(**market, side="BUY")
        [position] = (await api.position_information_v2(symbol="BTCUSDT")).data().result
        assert position.position_amt == "0.01"
        book = (await api.order_book(symbol="BTCUSDT", limit=5)).data().result
        assert book.last_update_id > 0  # the SDK's model keeps no more of it
    finally:
        await api.close_connection()
