"""The Binance connector trades on the embedded venue, two processes apart: REST, user stream, books, recovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.types import MarketEvent, OrderState, OrderType, PositionAction
from qtxconn.errors import AuthenticationError
from qtxconn.exchanges.binance.constants import OPEN_ORDERS
from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.sim.launch import VenueProcess

pytestmark = pytest.mark.e2e

D = Decimal
PAIR = "BTC-USDT"
KEY, SECRET = "e2e-key", "e2e-secret"
LOT = D("0.002")  # above the smallest notional


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30.0):  # only reached when something is broken
        while not condition():  # noqa: ASYNC110 - most of what is awaited has no event
            await asyncio.sleep(0.002)


@pytest.fixture
async def venue() -> AsyncIterator[VenueProcess]:
    options = ["--speak", "binance", "--account", f"{KEY}:{SECRET}::50000", "--seed", "7"]
    async with VenueProcess(options) as venue:
        yield venue


def connector(venue: VenueProcess, secret: str = SECRET) -> BinancePerpetual:
    urls = {f"{name}_url": venue.endpoints[name] for name in ("ws_public", "ws_market", "ws_private")}
    return BinancePerpetual(KEY, secret, [PAIR], rest_url=venue.endpoints["rest"], **urls)


@asynccontextmanager
async def trading(venue: VenueProcess) -> AsyncIterator[tuple[BinancePerpetual, list[Any]]]:
    exchange = connector(venue)
    events: list[Any] = []
    for tag in MarketEvent:
        exchange.add_listener(tag, events.append)
    async with exchange:
        yield exchange, events


def of_order(events: list[Any], order_id: str) -> list[str]:
    return [type(event).__name__ for event in events if getattr(event, "order_id", None) == order_id]


def passive_price(exchange: BinancePerpetual) -> Decimal:
    """A price that rests: far below the market, yet within the venue's band."""
    return exchange.quantize_order_price(PAIR, exchange.get_order_book(PAIR).best_bid * D("0.97"))


async def test_connects_and_keeps_a_book(venue: VenueProcess) -> None:
    async with trading(venue) as (exchange, _):
        assert exchange.is_ready, exchange.not_ready_reason
        assert exchange.get_balance("USDT") == 50000
        assert exchange.get_position(PAIR) is None
        book = exchange.get_order_book(PAIR)
        first = book.last_update_id
        await until(lambda: book.last_update_id > first)
        assert book.valid
        assert book.best_bid < book.best_ask
        await until(lambda: exchange.get_mark_price(PAIR) is not None)


async def test_a_resting_order_is_created_queried_and_cancelled(venue: VenueProcess) -> None:
    async with trading(venue) as (exchange, events):
        order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT_MAKER, passive_price(exchange))
        order = exchange.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.OPEN)
        update = await exchange._request_order_status(order)
        assert update.new_state is OrderState.OPEN
        assert update.client_order_id == order_id
        assert update.exchange_order_id == order.exchange_order_id
        assert exchange.cancel(PAIR, order_id)
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.CANCELED
        assert of_order(events, order_id) == ["BuyOrderCreatedEvent", "OrderCancelledEvent"]


async def test_market_orders_fill_and_flatten(venue: VenueProcess) -> None:
    async with trading(venue) as (exchange, events):
        for place, action in ((exchange.buy, PositionAction.OPEN), (exchange.sell, PositionAction.CLOSE)):
            order_id = place(PAIR, LOT, OrderType.MARKET, position_action=action)
            order = exchange.in_flight_orders[order_id]
            await until(lambda order=order: order.is_done)
            assert order.current_state is OrderState.FILLED
            assert order.executed_amount_base == LOT
            seen = of_order(events, order_id)
            side = "Buy" if action is PositionAction.OPEN else "Sell"
            assert seen[0] == f"{side}OrderCreatedEvent"
            assert seen[-1] == f"{side}OrderCompletedEvent"
            assert set(seen[1:-1]) == {"OrderFilledEvent"}
            fills = await exchange._all_trade_updates_for_order(order)
            assert sum(fill.fill_base_amount for fill in fills) == LOT
            assert sum(fill.fill_quote_amount for fill in fills) == order.executed_amount_quote
            expected = LOT if action is PositionAction.OPEN else D(0)
            await until(lambda expected=expected: exchange.get_position_amount(PAIR) == expected)
        await exchange._update_positions()
        assert exchange.get_position(PAIR) is None
        await exchange._update_balances()
        assert exchange.get_balance("USDT") < 50000  # fees and spread


async def test_post_only_that_would_cross_is_refused(venue: VenueProcess) -> None:
    async with trading(venue) as (exchange, events):
        price = exchange.quantize_order_price(PAIR, exchange.get_order_book(PAIR).best_ask * D("1.01"))
        order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT_MAKER, price)
        await until(lambda: "MarketOrderFailureEvent" in of_order(events, order_id))
        failure = next(event for event in events if getattr(event, "order_id", None) == order_id)
        assert failure.error_type == "PostOnlyRejectedError"


async def test_an_order_that_vanished_behind_our_back_is_found_out_on_cancel(venue: VenueProcess) -> None:
    async with trading(venue) as (exchange, events):
        order_id = exchange.sell(PAIR, LOT, OrderType.LIMIT, exchange.get_order_book(PAIR).best_ask * D("1.02"))
        order = exchange.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.OPEN)
        await exchange._stop_user_stream()  # deaf: only a query can tell
        await exchange._place_cancel_all(PAIR)
        exchange.cancel(PAIR, order_id)
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.CANCELED
        assert of_order(events, order_id) == ["SellOrderCreatedEvent", "OrderCancelledEvent"]


async def test_fills_during_a_break_of_the_user_stream_are_recovered(venue: VenueProcess) -> None:
    async with trading(venue) as (exchange, events):
        resting_id = exchange.buy(PAIR, LOT, OrderType.LIMIT, passive_price(exchange))
        resting = exchange.in_flight_orders[resting_id]
        await until(lambda: resting.current_state is OrderState.OPEN)
        stream = exchange._user_stream
        url, gate = stream._url, asyncio.Event()

        async def held() -> str:
            await gate.wait()
            return await url()

        stream._url = held
        await stream.reconnect()
        await until(lambda: not stream.is_live)
        order_id = exchange.buy(PAIR, LOT, OrderType.MARKET)
        order = exchange.in_flight_orders[order_id]
        await until(lambda: order.exchange_order_id is not None)
        assert order.executed_amount_base == 0
        assert not exchange.is_ready
        gate.set()
        await until(lambda: order.is_done and exchange.is_ready)
        assert order.executed_amount_base == LOT
        assert of_order(events, order_id).count("BuyOrderCompletedEvent") == 1
        assert resting.is_open
        assert exchange.get_position_amount(PAIR) == LOT


async def test_a_wrong_secret_is_told(venue: VenueProcess) -> None:
    with pytest.raises(AuthenticationError, match="signature"):
        await connector(venue, "not-the-secret").connect()


async def test_many_orders_at_once_all_end_as_the_venue_says(venue: VenueProcess) -> None:
    async with trading(venue) as (exchange, events):
        price = passive_price(exchange)
        ids = [exchange.buy(PAIR, LOT, OrderType.LIMIT, price) for _ in range(50)]
        await until(lambda: all(exchange.in_flight_orders[i].current_state is OrderState.OPEN for i in ids))
        results = await exchange.cancel_all(30.0)
        assert [result.order_id for result in results] == ids
        assert all(result.success for result in results)
        for order_id in ids:
            assert of_order(events, order_id) == ["BuyOrderCreatedEvent", "OrderCancelledEvent"]
        symbol = exchange.exchange_symbol_associated_to_pair(PAIR)
        assert await exchange._request(OPEN_ORDERS, {"symbol": symbol}) == []
