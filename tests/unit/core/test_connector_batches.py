"""Batches of orders and cancels, cancel_all where the venue empties a market at once, and what a venue has open."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.types import MarketEvent, OrderRequest, OrderState, OrderType, TradeType
from qtxconn.errors import (
    MessageError,
    NetworkError,
    OrderNotFoundError,
    OrderRejectedError,
    OrderValidationError,
    RequestTimeoutError,
)

D = Decimal
PAIR = "BTC-USDT"
GOOD = OrderRequest(PAIR, TradeType.BUY, D("0.5"), OrderType.LIMIT, D(60000))


@pytest.fixture
async def exchange(kit):
    """A connected exchange with batches of three, and a cancel-all."""

    class Batching(kit.exchange_class):
        batch_size_max, batch_cancel_size_max = 3, 2
        supports_cancel_all = supports_open_orders = True
        refused: dict[int, Exception] = {}

        async def _place_order_batch(self, orders, options):
            await self._enter("place_batch")
            self.batches.append([order.client_order_id for order in orders])
            results = []
            for i, order in enumerate(orders):
                if i in self.refused:
                    results.append(self.refused[i])
                else:
                    made = self.venue.accept(order.client_order_id, order.amount, order.price)
                    results.append((made["id"], made["time"]))
            await self._enter("place_batch_answer")
            return results[: self.answers_max]

        async def _place_cancel_batch(self, orders):
            await self._enter("cancel_batch")
            self.batches.append([order.client_order_id for order in orders])
            results: list[Any] = []
            for order in orders:
                if self.venue.orders[order.client_order_id]["state"].is_terminal:
                    results.append(OrderNotFoundError("Unknown order sent.", code=-2011))
                else:
                    self.venue.end(order.client_order_id)
                    results.append(self.venue.report(order.client_order_id))
            return results

        async def _place_cancel_all(self, trading_pair):
            await self._enter("cancel_all")
            for order_id, order in self.venue.orders.items():
                if not order["state"].is_terminal:
                    self.venue.end(order_id)
                    if self.streams:
                        self.stream(self.venue.report(order_id))

        async def _request_open_orders(self, trading_pair):
            await self._enter("open_orders")
            return [self.venue.report(i) for i, order in self.venue.orders.items() if not order["state"].is_terminal]

    connector = Batching(clock=kit.clock_class())
    connector.batches, connector.refused, connector.answers_max, connector.streams = [], {}, 9, True
    await connector.connect()
    yield connector
    connector.fail.clear()
    await connector.disconnect()


async def placed(exchange, kit, count: int) -> list[str]:
    ids = [result.order_id for result in exchange.batch_order_create([GOOD] * count)]
    await kit.settle(lambda: exchange.kinds().count("created") == count)
    exchange.batches.clear()
    return ids


async def test_a_batch_is_sent_in_as_few_requests_as_the_venue_takes(exchange, kit) -> None:
    results = exchange.batch_order_create([GOOD] * 7)
    ids = [result.order_id for result in results]
    assert list(exchange.in_flight_orders) == ids  # tracked before anything is sent
    assert exchange.batches == []
    await kit.settle(lambda: exchange.kinds().count("created") == 7)
    assert exchange.batches == [ids[:3], ids[3:6]]
    assert exchange.calls.count("place") == 1  # the seventh needs no batch
    await kit.settle(lambda: not exchange._placing)


async def test_a_bad_order_in_a_batch_is_refused_alone(exchange, kit) -> None:
    bad = GOOD._replace(amount=D("0.0001"))
    first, second, third = exchange.batch_order_create([GOOD, bad, GOOD._replace(trade_type=TradeType.SELL)])
    assert isinstance(second.error, OrderValidationError)
    assert second.order_id is None
    assert list(exchange.in_flight_orders) == [first.order_id, third.order_id]
    await kit.settle(lambda: exchange.kinds().count("created") == 2)


async def test_an_order_of_a_batch_that_cannot_even_be_read_keeps_no_other_from_being_sent(exchange, kit) -> None:
    results = exchange.batch_order_create([GOOD, GOOD._replace(options=None), GOOD])
    assert [type(result.error) for result in results] == [type(None), TypeError, type(None)]
    await kit.settle(lambda: len(exchange.events) == 2)
    assert exchange.batches == [[results[0].order_id, results[2].order_id]]


async def test_each_order_of_a_batch_has_its_own_result(exchange, kit) -> None:
    exchange.refused = {0: OrderRejectedError("no"), 2: RequestTimeoutError("backend")}
    ids = [result.order_id for result in exchange.batch_order_create([GOOD] * 3)]
    await kit.settle(lambda: exchange.order(ids[1]).exchange_order_id is not None)
    assert exchange.kinds(ids[0]) == ["failed"]
    assert exchange.kinds(ids[1]) == ["created"]
    assert exchange.order(ids[2]).current_state is OrderState.UNKNOWN
    await exchange._clock.advance(30)  # the venue never had it
    assert exchange.kinds(ids[2]) == ["failed"]


@pytest.mark.parametrize("answers_max", [9, 2], ids=["no answer", "too few answers"])
async def test_a_batch_without_an_answer_is_looked_up_order_by_order(exchange, kit, answers_max: int) -> None:
    exchange.answers_max = answers_max
    if answers_max == 9:
        exchange.fail["place_batch_answer"] = NetworkError("cable")
    ids = [result.order_id for result in exchange.batch_order_create([GOOD] * 3)]
    await kit.settle(lambda: exchange.kinds().count("created") == 3)
    assert exchange.calls.count("query") == 3
    assert all(exchange.order(order_id).current_state is OrderState.OPEN for order_id in ids)
    assert isinstance(exchange.alarms[0].error, NetworkError if answers_max == 9 else MessageError)


async def test_a_batch_of_cancels_says_who_was_asked(exchange, kit) -> None:
    ids = await placed(exchange, kit, 3)
    orders = [exchange.order(order_id) for order_id in ids]
    exchange.venue.end(ids[1])  # unseen: the batch answers "unknown"
    assert exchange.batch_order_cancel([*orders, orders[0]]) == [True, True, True, False]
    await kit.settle(lambda: not exchange.in_flight_orders)
    assert exchange.batches == [ids[:2]]
    assert all(exchange.kinds(order_id) == ["created", "cancelled"] for order_id in ids)


async def test_a_batch_of_cancels_that_fails_leaves_the_orders_as_they_are(exchange, kit) -> None:
    ids = await placed(exchange, kit, 2)
    exchange.fail["cancel_batch"] = NetworkError("cable")
    exchange.batch_order_cancel([exchange.order(order_id) for order_id in ids])
    await kit.settle(lambda: exchange.alarm_kinds() == ["cancel_failed"] * 2)
    assert all(exchange.order(order_id).current_state is OrderState.OPEN for order_id in ids)


@pytest.mark.parametrize("streams", [True, False], ids=["stream", "no stream"])
async def test_cancel_all_empties_the_pair_at_once(exchange, kit, streams: bool) -> None:
    ids = await placed(exchange, kit, 4)
    await exchange._clock.advance(2)  # the first poll of everything
    exchange.streams = streams
    call = asyncio.ensure_future(exchange.cancel_all(60.0))
    await kit.turns()
    await exchange._clock.advance(5)
    results = await call
    assert [(result.order_id, result.success) for result in results] == [(order_id, True) for order_id in ids]
    assert exchange.calls.count("cancel_all") == 1
    assert exchange.calls.count("cancel") == (0 if streams else 4)  # each is asked about where nothing is told
    assert all(exchange.kinds(order_id) == ["created", "cancelled"] for order_id in ids)


async def test_cancel_all_cancels_each_where_the_venue_fails_to(exchange, kit) -> None:
    await placed(exchange, kit, 3)
    exchange.fail["cancel_all"] = NetworkError("cable")
    assert all(result.success for result in await exchange.cancel_all(60.0))
    assert exchange.calls.count("cancel") == 3


async def test_cancel_all_tells_what_the_venue_still_has(exchange, kit) -> None:
    (order_id,) = await placed(exchange, kit, 1)
    exchange.venue.accept("by-hand", D("0.1"), D(50000))
    told: list[Any] = []
    exchange.add_listener(MarketEvent.OrphanOrder, told.append)
    results = await exchange.cancel_all(60.0)
    assert [tuple(result) for result in results] == [(order_id, True), ("by-hand", False)]
    await exchange._clock.advance(10)
    assert [event.order_update.client_order_id for event in told] == ["by-hand"]


async def test_cancel_all_says_that_it_could_not_look(exchange, kit) -> None:
    await placed(exchange, kit, 1)
    exchange.fail["open_orders"] = NetworkError("cable")
    assert [result.success for result in await exchange.cancel_all(60.0)] == [True]
    assert exchange.alarm_kinds() == ["open_orders"]


async def test_without_batches_orders_go_one_by_one(kit) -> None:
    exchange = kit.exchange_class(clock=kit.clock_class())
    async with exchange:
        ids = [result.order_id for result in exchange.batch_order_create([GOOD] * 3)]
        await kit.settle(lambda: exchange.kinds().count("created") == 3)
        assert exchange.calls.count("place") == 3
        assert exchange.batch_order_cancel([exchange.order(order_id) for order_id in ids]) == [True] * 3
        await kit.settle(lambda: not exchange.in_flight_orders)
        with pytest.raises(OrderValidationError, match="cannot list open orders"):
            await exchange.get_open_orders()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeinforce": "IOC"}, "did you mean time_in_force"),
        ({"colour": "red"}, "there is time_in_force, good_till_date, reduce_only"),
        ({"time_in_force": "GTX"}, "LIMIT_MAKER"),
        ({"time_in_force": "GTD"}, "go together"),
        ({"good_till_date": 1e12}, "go together"),
        ({"time_in_force": "GTD", "good_till_date": 5}, "at least 600 s from now"),
        ({"time_in_force": "GTD", "good_till_date": "tomorrow"}, "at least 600 s from now"),
        ({"time_in_force": "GTD", "good_till_date": float("nan")}, "at least 600 s from now"),
        ({"reduce_only": "yes"}, "must be True or False"),
    ],
)
async def test_bad_options_are_refused_before_anything_is_tracked(exchange, kit, options: Any, told: str) -> None:
    exchange.order_options = ("time_in_force", "good_till_date", "reduce_only")
    exchange.times_in_force, exchange.good_till_ahead_min_s = ("GTC", "IOC", "FOK", "GTD"), 600.0
    with pytest.raises(OrderValidationError, match=told):
        exchange.buy(PAIR, D("0.5"), OrderType.LIMIT, D(60000), **options)
    assert exchange.in_flight_orders == {}
    with pytest.raises(OrderValidationError, match="not MARKET"):
        exchange.buy(PAIR, D("0.5"), OrderType.MARKET, time_in_force="FOK")
    until = exchange.current_timestamp + 1000
    exchange.buy(PAIR, D("0.5"), OrderType.LIMIT, D(60000), time_in_force="GTD", good_till_date=until)
    await kit.settle(lambda: exchange.events)
