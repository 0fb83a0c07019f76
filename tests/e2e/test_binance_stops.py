"""Conditional orders of the Binance connector on the embedded venue: the algo service, the trigger, and the races."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from qtxconn.core.types import OrderRequest, OrderState, OrderType, TradeType
from qtxconn.errors import OrderValidationError
from qtxconn.exchanges.binance.constants import OPEN_ALGOS, PLACE_ALGO
from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.sim.launch import VenueProcess
from qtxconn.storage.journal import OrderJournal

from .test_binance_connector import LOT, PAIR, D, of_order, order_path, passive_price, tell, trading, until

__all__ = ["order_path"]  # a fixture
pytestmark = pytest.mark.e2e


@pytest.fixture
async def venue() -> AsyncIterator[VenueProcess]:
    options = ["--speak", "binance", "--account", "e2e-key:e2e-secret::50000", "--seed", "7"]
    async with VenueProcess(options) as venue:
        yield venue


def beyond(exchange: BinancePerpetual, factor: str) -> Decimal:
    """A trigger at this factor of the mid price, off the tick."""
    book = exchange.get_order_book(PAIR)
    return (book.best_bid + book.best_ask) / 2 * D(factor) + D("0.01234")


async def mark(venue: VenueProcess, price: Decimal | None) -> None:
    await tell(venue, "/mark-price", symbol="BTCUSDT", price=None if price is None else str(price))


async def waiting_stop(exchange: BinancePerpetual, **options: Any) -> Any:
    """A selling stop below the market that watches the mark price; returns it once it waits at the venue."""
    options = {"trigger_price": beyond(exchange, "0.9"), "trigger_source": "mark"} | options
    order_id = exchange.sell(PAIR, LOT, OrderType.STOP_MARKET, **options)
    order = exchange.in_flight_orders[order_id]
    await until(lambda: order.current_state is OrderState.OPEN)
    return order


async def test_each_kind_waits_is_found_and_is_cancelled(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
        below, above = beyond(exchange, "0.9"), beyond(exchange, "1.1")
        limit = passive_price(exchange)
        ids = {
            exchange.sell(PAIR, LOT, OrderType.STOP_MARKET, trigger_price=below): ("STOP_MARKET", "CONTRACT_PRICE"),
            exchange.buy(PAIR, LOT, OrderType.STOP_LIMIT, limit, trigger_price=above, trigger_source="mark"): (
                "STOP",
                "MARK_PRICE",
            ),
            exchange.sell(PAIR, LOT, OrderType.TAKE_PROFIT_MARKET, trigger_price=above, reduce_only=True): (
                "TAKE_PROFIT_MARKET",
                "CONTRACT_PRICE",
            ),
            exchange.buy(PAIR, LOT, OrderType.TAKE_PROFIT_LIMIT, limit, trigger_price=below): (
                "TAKE_PROFIT",
                "CONTRACT_PRICE",
            ),
            exchange.sell(PAIR, LOT, OrderType.TRAILING_STOP_MARKET, trigger_price=above, callback_rate=D("1.5")): (
                "TRAILING_STOP_MARKET",
                "CONTRACT_PRICE",
            ),
            exchange.sell(PAIR, LOT, OrderType.TRAILING_STOP_MARKET, callback_rate=5): (
                "TRAILING_STOP_MARKET",
                "CONTRACT_PRICE",
            ),
        }
        orders = [exchange.in_flight_orders[order_id] for order_id in ids]
        await until(lambda: all(order.current_state is OrderState.OPEN for order in orders))
        rows = {row["clientAlgoId"]: row for row in await exchange._request(OPEN_ALGOS, {"symbol": "BTCUSDT"})}
        assert {order_id: (row["orderType"], row["workingType"]) for order_id, row in rows.items()} == ids
        stop, stop_limit, take, take_limit, trailing, at_once = orders
        # On the tick, on the side that is reached later.
        assert stop.trigger_price == exchange.get_trading_rule(PAIR).quantize_price_down(below)
        assert stop_limit.trigger_price == exchange.get_trading_rule(PAIR).quantize_price_up(above)
        assert take.trigger_price == exchange.get_trading_rule(PAIR).quantize_price_up(above)
        assert take_limit.trigger_price == exchange.get_trading_rule(PAIR).quantize_price_down(below)
        assert trailing.trigger_price == exchange.get_trading_rule(PAIR).quantize_price_up(above)
        assert at_once.trigger_price is None
        for order in orders[:4]:
            assert D(rows[order.client_order_id]["triggerPrice"]) == order.trigger_price
        assert D(rows[trailing.client_order_id]["activatePrice"]) == trailing.trigger_price
        assert D(rows[trailing.client_order_id]["callbackRate"]) == D("1.5")
        assert rows[take.client_order_id]["reduceOnly"] is True
        for order in orders:
            update = await exchange._request_order_status(order)
            assert (update.new_state, update.exchange_order_id) == (OrderState.OPEN, order.exchange_order_id)
        assert {update.client_order_id for update in await exchange.get_open_orders(PAIR)} == set(ids)
        assert exchange.cancel(PAIR, stop.client_order_id)
        await until(lambda: stop.is_done)
        assert of_order(events, stop.client_order_id) == ["SellOrderCreatedEvent", "OrderCancelledEvent"]
        plain = exchange.buy(PAIR, LOT, OrderType.LIMIT, limit)
        await until(lambda: exchange.in_flight_orders[plain].current_state is OrderState.OPEN)
        results = await exchange.cancel_all()
        assert {result.order_id for result in results} == {*ids, plain} - {stop.client_order_id}
        assert all(result.success for result in results)
        assert await exchange.get_open_orders() == []


async def test_what_the_venue_or_the_rules_refuse(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
        below = beyond(exchange, "0.9")
        for kind, price, options in (
            (OrderType.STOP_MARKET, None, {}),
            (OrderType.STOP_LIMIT, None, {"trigger_price": below}),
            (OrderType.STOP_MARKET, None, {"trigger_price": 0}),
            (OrderType.STOP_MARKET, None, {"trigger_price": 1.5}),
            (OrderType.STOP_MARKET, None, {"trigger_price": below, "trigger_source": "index"}),
            (OrderType.STOP_MARKET, None, {"trigger_price": below, "callback_rate": 1}),
            (OrderType.STOP_MARKET, None, {"trigger_price": below, "time_in_force": "IOC"}),
            (OrderType.TRAILING_STOP_MARKET, None, {}),
            (OrderType.TRAILING_STOP_MARKET, None, {"callback_rate": 0.5}),
            (OrderType.TRAILING_STOP_MARKET, None, {"callback_rate": "-1"}),
            (OrderType.LIMIT, below, {"trigger_price": below}),
        ):
            with pytest.raises(OrderValidationError):
                exchange.sell(PAIR, LOT, kind, price, **options)
        assert not exchange.in_flight_orders
        at_once = exchange.sell(PAIR, LOT, OrderType.STOP_MARKET, trigger_price=beyond(exchange, "1.1"))
        await until(lambda: "MarketOrderFailureEvent" in of_order(events, at_once))
        assert of_order(events, at_once) == ["MarketOrderFailureEvent"]
        order = await waiting_stop(exchange)
        with pytest.raises(OrderValidationError, match="only limits are amended"):
            exchange.amend(PAIR, order.client_order_id, amount=2 * LOT)


async def test_a_triggered_stop_fills_under_its_own_id(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
        order = await waiting_stop(exchange)
        algo_id = order.exchange_order_id
        assert algo_id.startswith("algo-")
        await mark(venue, order.trigger_price)
        await until(lambda: order.is_done)
        assert (order.current_state, order.executed_amount_base) == (OrderState.FILLED, LOT)
        seen = of_order(events, order.client_order_id)
        assert (seen[0], seen[-1]) == ("SellOrderCreatedEvent", "SellOrderCompletedEvent")
        assert set(seen[1:-1]) == {"OrderFilledEvent"}
        assert order.exchange_order_ids[0] == algo_id
        assert order.exchange_order_id.isdecimal()
        fills = await exchange._all_trade_updates_for_order(order)
        assert sum(fill.fill_base_amount for fill in fills) == LOT
        await until(lambda: exchange.get_position_amount(PAIR) == -LOT)


async def test_a_triggered_stop_limit_rests_and_is_cancelled(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
        trigger, limit = beyond(exchange, "0.9"), beyond(exchange, "1.02")
        order_id = exchange.sell(PAIR, LOT, OrderType.STOP_LIMIT, limit, trigger_price=trigger, trigger_source="mark")
        order = exchange.in_flight_orders[order_id]
        await until(lambda: order.current_state is OrderState.OPEN)
        await mark(venue, order.trigger_price)
        await until(lambda: order.exchange_order_id.isdecimal())
        assert order.current_state is OrderState.OPEN
        assert [update.client_order_id for update in await exchange.get_open_orders(PAIR)] == [order_id]
        assert exchange.cancel(PAIR, order_id)
        await until(lambda: order.is_done)
        assert of_order(events, order_id) == ["SellOrderCreatedEvent", "OrderCancelledEvent"]
        assert await exchange.get_open_orders() == []


async def test_an_order_that_is_refused_when_it_is_triggered_has_failed(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
        order = await waiting_stop(exchange, reduce_only=True)  # and there will be nothing to reduce
        await mark(venue, order.trigger_price)
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.FAILED
        assert of_order(events, order.client_order_id) == ["SellOrderCreatedEvent", "MarketOrderFailureEvent"]
        failure = [event for event in events if getattr(event, "order_id", None) == order.client_order_id][-1]
        assert "triggered" in failure.error_message


@pytest.mark.parametrize("deaf", [False, True], ids=["hearing", "deaf"])
async def test_a_cancel_that_races_the_trigger_ends_as_the_venue_says(
    venue: VenueProcess, order_path: str, deaf: bool
) -> None:
    async with trading(venue, order_path) as (exchange, events):
        market = await waiting_stop(exchange)
        limit_id = exchange.sell(
            PAIR,
            LOT,
            OrderType.STOP_LIMIT,
            beyond(exchange, "1.02"),
            trigger_price=market.trigger_price,
            trigger_source="mark",
        )
        limit = exchange.in_flight_orders[limit_id]
        await until(lambda: limit.current_state is OrderState.OPEN)
        if deaf:
            await exchange._stop_user_stream()  # the cancel finds out by itself
            await mark(venue, market.trigger_price)
        else:
            await asyncio.gather(mark(venue, market.trigger_price), asyncio.sleep(0.001))
        for order in (market, limit):
            exchange.cancel(PAIR, order.client_order_id)
        await until(lambda: market.is_done)
        if limit.is_open and not limit.is_pending_cancel_confirmation:
            exchange.cancel(PAIR, limit_id)  # the cancel met it between its trigger and the book
        await until(lambda: limit.is_done)
        assert limit.current_state is OrderState.CANCELED
        for order in (market, limit):
            seen = of_order(events, order.client_order_id)
            assert seen[0] == "SellOrderCreatedEvent"
            assert len([name for name in seen if name in ("SellOrderCompletedEvent", "OrderCancelledEvent")]) == 1
        if deaf:
            assert (market.current_state, market.executed_amount_base) == (OrderState.FILLED, LOT)
        await exchange._update_positions()
        assert exchange.get_position_amount(PAIR) == -market.executed_amount_base


async def test_a_trigger_during_a_break_of_the_user_stream_is_recovered(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, events):
        order = await waiting_stop(exchange)
        stream, gate = exchange._user_stream, asyncio.Event()
        url = stream._url

        async def held() -> str:
            await gate.wait()
            return await url()

        stream._url = held
        await stream.reconnect()
        await until(lambda: not stream.is_live)
        await mark(venue, order.trigger_price)
        await until(lambda: order.is_done or not gate.set())
        await until(lambda: order.is_done and exchange.is_ready)
        assert (order.current_state, order.executed_amount_base) == (OrderState.FILLED, LOT)
        assert of_order(events, order.client_order_id).count("SellOrderCompletedEvent") == 1


@pytest.mark.parametrize("triggered", [False, True], ids=["waiting", "triggered"])
async def test_a_restart_while_a_stop_waits(
    venue: VenueProcess, order_path: str, triggered: bool, tmp_path: Path
) -> None:
    path = tmp_path / "orders.journal"
    with OrderJournal(path) as journal:
        async with trading(venue, order_path, journal=journal) as (exchange, _):
            order = await waiting_stop(exchange)
    if triggered:
        await mark(venue, order.trigger_price)
    with OrderJournal(path) as journal:
        async with trading(venue, order_path, journal=journal) as (exchange, events):
            again = exchange._order_tracker.fetch_order(order.client_order_id)
            assert (again.order_type, again.trigger_price) == (OrderType.STOP_MARKET, order.trigger_price)
            assert again.exchange_order_ids[0] == order.exchange_order_id
            if not triggered:
                assert again.current_state is OrderState.OPEN
                await mark(venue, order.trigger_price)
            await until(lambda: again.is_done)
            assert (again.current_state, again.executed_amount_base) == (OrderState.FILLED, LOT)
            assert "SellOrderCreatedEvent" not in of_order(events, again.client_order_id)
            assert of_order(events, again.client_order_id)[-1] == "SellOrderCompletedEvent"


async def test_a_stop_from_elsewhere_is_adopted(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (other, _), trading(venue, order_path) as (exchange, _):
        order = await waiting_stop(other)
        update = (await exchange.get_open_orders(PAIR))[0]
        assert (update.client_order_id, update.exchange_order_id) == (order.client_order_id, order.exchange_order_id)
        order_id = exchange.adopt_external_order(
            PAIR, update.exchange_order_id, TradeType.SELL, LOT, OrderType.STOP_MARKET
        )
        adopted = exchange.in_flight_orders[order_id]
        await mark(venue, order.trigger_price)
        await until(lambda: adopted.is_done and order.is_done)
        assert (adopted.current_state, adopted.executed_amount_base) == (OrderState.FILLED, LOT)


async def test_a_stop_that_closes_the_position_whatever_it_is(venue: VenueProcess, order_path: str) -> None:
    """Placed from elsewhere, for an amount of 0: no amount until it is triggered, then the position's."""
    async with trading(venue, order_path) as (exchange, events):
        alarms: list[Any] = []
        exchange.set_error_event_listener(SimpleNamespace(on_error=alarms.append))
        exchange.buy(PAIR, LOT * 3, OrderType.MARKET)
        await until(lambda: exchange.get_position_amount(PAIR) == LOT * 3)
        trigger = exchange.get_trading_rule(PAIR).quantize_price_down(beyond(exchange, "0.9"))
        params = {"symbol": "BTCUSDT", "algoType": "CONDITIONAL", "side": "SELL", "type": "STOP_MARKET"}
        params |= {"closePosition": "true", "priceProtect": "true", "workingType": "MARK_PRICE"}
        await exchange._request(PLACE_ALGO, params | {"triggerPrice": str(trigger), "clientAlgoId": "elsewhere"})
        (found,) = await exchange.get_open_orders(PAIR)
        assert (found.client_order_id, found.new_state) == ("elsewhere", OrderState.OPEN)
        order_id = exchange.adopt_external_order(
            PAIR, found.exchange_order_id, TradeType.SELL, LOT * 3, OrderType.STOP_MARKET
        )
        adopted = exchange.in_flight_orders[order_id]
        await until(lambda: adopted.current_state is OrderState.OPEN)
        await exchange.get_open_orders(PAIR)
        assert adopted.amount == LOT * 3  # what it was adopted with: the venue names none
        await mark(venue, trigger)
        await until(lambda: adopted.is_done)
        assert (adopted.current_state, adopted.executed_amount_base) == (OrderState.FILLED, LOT * 3)
        await until(lambda: exchange.get_position_amount(PAIR) == 0)
        assert of_order(events, order_id) == ["SellOrderCreatedEvent", "OrderFilledEvent", "SellOrderCompletedEvent"]
        assert not alarms


async def test_stops_in_a_batch_go_alone(venue: VenueProcess, order_path: str) -> None:
    async with trading(venue, order_path) as (exchange, _):
        options = {"trigger_price": beyond(exchange, "0.9")}
        stop = OrderRequest(PAIR, TradeType.SELL, LOT, OrderType.STOP_MARKET, options=options)
        plain = OrderRequest(PAIR, TradeType.BUY, LOT, OrderType.LIMIT, passive_price(exchange))
        results = exchange.batch_order_create([stop, plain, stop, plain])
        orders = [exchange.in_flight_orders[result.order_id] for result in results]
        await until(lambda: all(order.current_state is OrderState.OPEN for order in orders))
        assert exchange.batch_order_cancel(orders) == [True] * 4
        await until(lambda: all(order.is_done for order in orders))
        assert {order.current_state for order in orders} == {OrderState.CANCELED}


@pytest.mark.parametrize(
    ("fault", "lives"), [("error after", True), ("error before", False), ("lost answer", True)], ids=str
)
async def test_no_word_on_a_stop_is_resolved_by_asking(
    venue: VenueProcess, fault: str, lives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BinancePerpetual, "submit_dead_after_s", 0.2)
    async with trading(venue, "rest") as (exchange, events):
        exchange._rest._timeout_s = 1.0
        details = {"status": 503, "code": -1007, "message": "execution status unknown"} if "error" in fault else {}
        await tell(venue, "/faults", fault=fault, where="POST /fapi/v1/algoOrder", count=1, **details)
        await tell(venue, "/faults", fault="lost", where="user ALGO_UPDATE", count=1)
        order_id = exchange.sell(PAIR, LOT, OrderType.STOP_MARKET, trigger_price=beyond(exchange, "0.9"))
        order = exchange.in_flight_orders[order_id]
        await until(lambda: order.current_state is (OrderState.OPEN if lives else OrderState.FAILED))
        assert of_order(events, order_id) == ["SellOrderCreatedEvent" if lives else "MarketOrderFailureEvent"]
        assert len(await exchange.get_open_orders(PAIR)) == lives


async def test_events_of_the_algo_service_may_be_lost_twice_there_or_late(venue: VenueProcess) -> None:
    """Whatever happens to the words of the algo service: one life, one end, the whole amount."""
    for fault in ("lost", "duplicate", "reorder", "stall"):
        async with trading(venue, "rest") as (exchange, events):
            for where in ("user ALGO_UPDATE", "user ORDER_TRADE_UPDATE", "user TRADE_LITE"):
                if fault != "lost" or where != "user ORDER_TRADE_UPDATE":
                    await tell(venue, "/faults", fault=fault, where=where, delay_s=0.2)
            order = await waiting_stop(exchange)
            await mark(venue, order.trigger_price)
            await until(lambda order=order: order.is_done)
            assert (order.current_state, order.executed_amount_base) == (OrderState.FILLED, LOT)
            seen = of_order(events, order.client_order_id)
            assert (seen[0], seen[-1]) == ("SellOrderCreatedEvent", "SellOrderCompletedEvent")
            assert set(seen[1:-1]) == {"OrderFilledEvent"}
            await mark(venue, None)
            await clear_faults(venue)


async def clear_faults(venue: VenueProcess) -> None:
    async with aiohttp.ClientSession() as session, session.delete(venue.endpoints["control"] + "/faults") as answer:
        assert answer.status == 200
