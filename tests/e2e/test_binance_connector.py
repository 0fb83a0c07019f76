"""The Binance connector trades on the embedded venue, two processes apart: REST, user stream, books, recovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from qtxconn.core.types import (
    AccountEvent,
    MarginType,
    MarketEvent,
    OrderRequest,
    OrderState,
    OrderType,
    PositionAction,
    PositionMode,
    PositionSide,
    TradeType,
)
from qtxconn.errors import AuthenticationError, ConfigurationError, OrderValidationError, VenueError
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


@pytest.fixture(params=["rest", "websocket"])
def order_path(request: pytest.FixtureRequest) -> str:
    return request.param


def connector(venue: VenueProcess, order_path: str, secret: str = SECRET, **options: Any) -> BinancePerpetual:
    urls = {
        f"{name}_url": venue.endpoints[name] for name in ("rest", "ws_public", "ws_market", "ws_private", "ws_trade")
    }
    return BinancePerpetual(KEY, secret, [PAIR], order_path=order_path, **urls, **options)


@asynccontextmanager
async def trading(
    venue: VenueProcess, order_path: str, **options: Any
) -> AsyncIterator[tuple[BinancePerpetual, list[Any]]]:
    exchange = connector(venue, order_path, **options)
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


async def test_connects_and_keeps_a_book(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, _):
        assert exchange.is_ready, exchange.not_ready_reason
        assert exchange.get_balance("USDT") == 50000
        assert exchange.get_position(PAIR) is None
        assert exchange._throttler.used("request weight") <= 20 + 21 + 7  # of 2,400 a minute
        book = exchange.get_order_book(PAIR)
        first = book.last_update_id
        await until(lambda: book.last_update_id > first)
        assert book.valid
        assert book.best_bid < book.best_ask
        await until(lambda: exchange.get_mark_price(PAIR) is not None)
        assert D(0) <= (await exchange.request_fee_rates(PAIR)).maker < (await exchange.request_fee_rates(PAIR)).taker


async def test_a_resting_order_is_created_queried_and_cancelled(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
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


async def test_market_orders_fill_and_flatten(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
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


async def test_post_only_that_would_cross_is_refused(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
        price = exchange.quantize_order_price(PAIR, exchange.get_order_book(PAIR).best_ask * D("1.01"))
        order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT_MAKER, price)
        await until(lambda: "MarketOrderFailureEvent" in of_order(events, order_id))
        failure = next(event for event in events if getattr(event, "order_id", None) == order_id)
        assert failure.error_type == "PostOnlyRejectedError"


async def test_an_order_that_vanished_behind_our_back_is_found_out_on_cancel(
    venue: VenueProcess, order_path: str
) -> None:
    async with trading(venue, order_path) as (exchange, events):
        order_id = exchange.sell(PAIR, LOT, OrderType.LIMIT, exchange.get_order_book(PAIR).best_ask * D("1.02"))
        order = exchange.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.OPEN)
        await exchange._stop_user_stream()  # deaf: only a query can tell
        await exchange._place_cancel_all(PAIR)
        exchange.cancel(PAIR, order_id)
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.CANCELED
        assert of_order(events, order_id) == ["SellOrderCreatedEvent", "OrderCancelledEvent"]


async def test_fills_during_a_break_of_the_user_stream_are_recovered(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
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


async def test_a_wrong_secret_is_told(venue: VenueProcess, order_path: str) -> None:
    with pytest.raises(AuthenticationError, match="signature"):
        await connector(venue, order_path, "not-the-secret").connect()


async def test_many_orders_at_once_all_end_as_the_venue_says(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
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


@pytest.mark.parametrize("is_up", [True, False], ids=["up", "down"])
async def test_orders_take_the_websocket_api_while_it_is_up_and_rest_meanwhile(
    venue: VenueProcess, is_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with trading(venue, "websocket") as (exchange, events):
        over_rest: list[str] = []
        request = exchange._rest.request

        async def noted(method: str, path: str, **options: Any) -> Any:
            over_rest.append(f"{method} {path}")
            return await request(method, path, **options)

        monkeypatch.setattr(exchange._rest, "request", noted)
        if not is_up:
            await exchange._order_stream.close()
        order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT, passive_price(exchange))
        order = exchange.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.OPEN)
        assert exchange.amend(PAIR, order_id, amount=2 * LOT)
        await until(lambda: order.amount == 2 * LOT)
        exchange.cancel(PAIR, order_id)
        await until(lambda: order.is_done)
        assert of_order(events, order_id) == ["BuyOrderCreatedEvent", "OrderAmendedEvent", "OrderCancelledEvent"]
        for method in ("POST", "PUT", "DELETE"):
            assert over_rest.count(f"{method} /fapi/v1/order") == (not is_up)


async def test_a_cancel_that_is_refused_for_its_timestamp_is_repeated(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, _):
        alarms: list[Any] = []
        exchange.set_error_event_listener(SimpleNamespace(on_error=alarms.append))
        order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT, passive_price(exchange))
        order = exchange.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.OPEN)
        where = "DELETE /fapi/v1/order" if order_path == "rest" else "ws order.cancel"
        await tell(venue, "/faults", fault="error before", where=where, count=1, status=400, code=-1021)
        assert exchange.cancel(PAIR, order_id)
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.CANCELED
        assert alarms == []


async def test_a_batch_has_a_result_for_each_order(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
        price = passive_price(exchange)
        crossing = exchange.quantize_order_price(PAIR, exchange.get_order_book(PAIR).best_ask * D("1.01"))
        good = OrderRequest(PAIR, TradeType.BUY, LOT, OrderType.LIMIT, price)
        bad = OrderRequest(PAIR, TradeType.BUY, LOT, OrderType.LIMIT_MAKER, crossing)
        results = exchange.batch_order_create([good] * 4 + [bad] + [good] * 3 + [good._replace(amount=D(0))])
        assert isinstance(results[-1].error, OrderValidationError)
        ids = [result.order_id for result in results[:-1]]
        living = ids[:4] + ids[5:]
        await until(lambda: all(of_order(events, order_id) for order_id in ids))
        failure = next(event for event in events if getattr(event, "order_id", None) == ids[4])
        assert failure.error_type == "PostOnlyRejectedError"
        assert [update.client_order_id for update in await exchange.get_open_orders()] == living
        assert exchange.batch_order_cancel([exchange.in_flight_orders[i] for i in living]) == [True] * 7
        await until(lambda: not exchange.in_flight_orders)
        for order_id in living:
            assert of_order(events, order_id) == ["BuyOrderCreatedEvent", "OrderCancelledEvent"]
        assert await exchange.get_open_orders(PAIR) == []


async def test_cancel_all_tells_of_an_order_that_was_placed_elsewhere(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, _), trading(venue, order_path) as (other, _):
        stranger = other.buy(PAIR, LOT, OrderType.LIMIT, passive_price(other))
        await until(lambda: other.in_flight_orders[stranger].current_state is OrderState.OPEN)
        order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT, passive_price(exchange))
        await until(lambda: exchange.in_flight_orders[order_id].current_state is OrderState.OPEN)
        assert [tuple(result) for result in await exchange.cancel_all()] == [(order_id, True), (stranger, False)]
        assert [tuple(result) for result in await other.cancel_all()] == [(stranger, True)]


async def test_times_in_force_and_reduce_only(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
        price, now = passive_price(exchange), exchange.current_timestamp
        ioc = exchange.buy(PAIR, LOT, OrderType.LIMIT, price, time_in_force="IOC")
        fok = exchange.buy(PAIR, LOT, OrderType.LIMIT, price, time_in_force="FOK")
        reducing = exchange.sell(PAIR, LOT, OrderType.MARKET, reduce_only=True)  # there is nothing to reduce
        await until(lambda: all(of_order(events, i)[-1:] for i in (ioc, fok, reducing)))
        await until(lambda: not exchange.in_flight_orders)
        assert of_order(events, ioc)[-1] == "OrderExpiredEvent"
        assert of_order(events, fok)[-1] in ("OrderExpiredEvent", "MarketOrderFailureEvent")
        failure = [event for event in events if getattr(event, "order_id", None) == reducing][-1]
        assert failure.error_type == "ReduceOnlyRejectedError"
        gtd = exchange.buy(PAIR, LOT, OrderType.LIMIT, price, time_in_force="GTD", good_till_date=now + 700)
        await until(lambda: exchange.in_flight_orders[gtd].current_state is OrderState.OPEN)
        for options in ({"time_in_force": "GTD"}, {"time_in_force": "GTX"}, {"iceberg": True}):
            with pytest.raises(OrderValidationError):
                exchange.buy(PAIR, LOT, OrderType.LIMIT, price, **options)
        assert list(exchange.in_flight_orders) == [gtd]


async def tell(venue: VenueProcess, path: str, **body: Any) -> None:
    """A request to the venue's control endpoint."""
    async with aiohttp.ClientSession() as session, session.post(venue.endpoints["control"] + path, json=body) as answer:
        assert answer.status == 200, await answer.text()


async def test_funding_is_booked_exactly_once_also_what_fell_into_a_break(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):

        def payments() -> list[Decimal]:
            return [event.amount for event in events if type(event).__name__ == "FundingPaymentCompletedEvent"]

        exchange.buy(PAIR, LOT, OrderType.MARKET)
        await until(lambda: exchange.get_position_amount(PAIR) == LOT)
        await tell(venue, "/funding", symbol="BTCUSDT", rate="0.001")
        await until(lambda: len(payments()) == 1)
        assert payments()[0] < 0  # a long position pays a positive rate
        payment = next(event for event in events if type(event).__name__ == "FundingPaymentCompletedEvent")
        assert (payment.trading_pair, payment.funding_rate) == (PAIR, D("0.001"))
        await exchange._user_stream.reconnect()
        await until(lambda: not exchange._user_stream.is_live)
        await tell(venue, "/funding", symbol="BTCUSDT", rate="-0.001")
        await until(lambda: len(payments()) == 2)
        assert payments()[1] > 0
        await exchange._update_funding_payments()
        assert len(payments()) == 2
    async with trading(venue, order_path) as (exchange, events):  # what was paid before is not ours to tell
        await exchange._update_funding_payments()
        assert not any(type(event).__name__ == "FundingPaymentCompletedEvent" for event in events)


async def test_hedge_mode_keeps_a_position_on_each_side(venue: VenueProcess, order_path: str) -> None:
    exchange = connector(venue, order_path)
    changes: list[Any] = []
    for tag in (AccountEvent.PositionModeChangeSucceeded, AccountEvent.PositionModeChangeFailed):
        exchange.add_listener(tag, changes.append)
    await exchange.initialize()
    await exchange.set_position_mode(PositionMode.HEDGE)
    await exchange.set_position_mode(PositionMode.HEDGE)  # no change is no error
    assert [(change.position_mode, change.message) for change in changes] == [(PositionMode.HEDGE, None)] * 2
    await exchange.disconnect()
    with pytest.raises(ConfigurationError, match=r"position_mode=PositionMode\.HEDGE"):
        await connector(venue, order_path).connect()
    async with connector(venue, order_path, position_mode=PositionMode.HEDGE) as exchange:
        with pytest.raises(OrderValidationError, match="OPEN or CLOSE"):
            exchange.buy(PAIR, LOT, OrderType.MARKET)
        exchange.buy(PAIR, 2 * LOT, OrderType.MARKET, position_action=PositionAction.OPEN)
        exchange.sell(PAIR, LOT, OrderType.MARKET, position_action=PositionAction.OPEN)
        await until(lambda: len(exchange.account_positions) == 2)
        assert exchange.get_position_amount(PAIR, PositionSide.LONG) == 2 * LOT
        assert exchange.get_position_amount(PAIR, PositionSide.SHORT) == -LOT
        assert exchange.get_position_amount(PAIR) == LOT
        with pytest.raises(VenueError):
            await exchange.set_position_mode(PositionMode.ONEWAY)  # not while there are positions
        assert exchange.position_mode is PositionMode.HEDGE
        sold = exchange.sell(PAIR, 2 * LOT, OrderType.MARKET, position_action=PositionAction.CLOSE, reduce_only=True)
        bought = exchange.buy(PAIR, LOT, OrderType.MARKET, position_action=PositionAction.CLOSE)
        await until(lambda: not {sold, bought} & set(exchange.in_flight_orders) and not exchange.account_positions)
        await exchange._update_positions()
        assert exchange.get_all_positions() == []


async def test_margin_type(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, _):
        for margin_type in (MarginType.ISOLATED, MarginType.ISOLATED, MarginType.CROSS):
            await exchange.set_margin_type(PAIR, margin_type)
        exchange.buy(PAIR, LOT, OrderType.MARKET)
        await until(lambda: exchange.get_position_amount(PAIR) == LOT)
        with pytest.raises(VenueError, match="position"):
            await exchange.set_margin_type(PAIR, MarginType.ISOLATED)


async def test_the_venue_cancels_when_nothing_is_heard_any_more(venue: VenueProcess, order_path: str) -> None:
    silent = connector(venue, order_path, dead_mans_switch_s=2.0, dead_mans_switch_interval_s=1.0)
    async with trading(venue, order_path, dead_mans_switch_s=0) as (watcher, _), silent as exchange:
        order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT, passive_price(exchange))
        order = exchange.in_flight_orders[order_id]
        await asyncio.sleep(4.0)  # longer than the countdown: it is renewed
        assert order.current_state is OrderState.OPEN
        switch = next(task for task in asyncio.all_tasks() if task.get_name().endswith("dead-man's switch"))
        switch.cancel()
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.CANCELED
        assert await watcher.get_open_orders() == []


@pytest.mark.parametrize("cancels", [True, False], ids=["cancelling", "leaving"])
async def test_orders_at_disconnect(venue: VenueProcess, cancels: bool) -> None:
    options = {"cancel_on_disconnect": cancels, "dead_mans_switch_s": 2.0, "dead_mans_switch_interval_s": 1.0}
    async with trading(venue, "rest") as (watcher, _):
        async with connector(venue, "rest", **options) as exchange:
            order_id = exchange.buy(PAIR, LOT, OrderType.LIMIT, passive_price(exchange))
            order = exchange.in_flight_orders[order_id]
            await until(lambda: order.current_state is OrderState.OPEN)
            await asyncio.sleep(1.5)  # the countdown runs
        assert order.current_state is (OrderState.CANCELED if cancels else OrderState.OPEN)
        await asyncio.sleep(2.5)  # and was called off
        assert [update.client_order_id for update in await watcher.get_open_orders()] == ([] if cancels else [order_id])
