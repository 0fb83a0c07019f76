"""Orders through a real segment to the venue and back, and everything a segment should not hold."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtxconn.errors import SegmentError
from qtxconn.qtx.order_queue import OrderQueue, QueuedRequest
from qtxconn.sim.qtx_manager import QtxOrderManager

NAME = f"/place_order_test_{os.getpid()}"
WAIT_S = 5.0


class Producer:
    """The client's end, answers awaited one by one."""

    def __init__(self, queue: OrderQueue) -> None:
        self.queue = queue

    async def answer(self) -> dict:
        """The one answer that is due. The descriptor may be readable too early: ask again then."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(WAIT_S):
            while not (answers := self.queue.poll_answers()):
                ready = asyncio.Event()
                loop.add_reader(self.queue.fileno(), ready.set)
                await ready.wait()
                loop.remove_reader(self.queue.fileno())
        [answer] = answers
        return orjson.loads(answer.message)

    async def register(self, key: str = "alice-key", secret: str = "alice-secret") -> dict:
        self.queue.register_key(key, secret, place_ts_ns=1)
        return await self.answer()

    async def place(self, client_order_id: int, side: int = 1, **options) -> dict:
        values = dict(size="0.010", price="59999.0", order_type=2, symbol="BTCUSDT") | options
        self.queue.submit_place(
            client_order_id,
            values.pop("symbol"),
            side,
            values.pop("size"),
            values.pop("price"),
            values.pop("order_type"),
            place_ts_ns=1,
            **values,
        )
        return await self.answer()

    async def cancel(self, client_order_id: int, symbol: str = "BTCUSDT") -> dict:
        self.queue.submit_cancel(client_order_id, symbol, place_ts_ns=1)
        return await self.answer()


@pytest.fixture
async def manager(venue) -> AsyncIterator[QtxOrderManager]:
    manager = QtxOrderManager(venue, NAME)
    manager.start()
    yield manager
    manager.stop()
    assert NAME[1:] not in os.listdir("/dev/shm")


@pytest.fixture
async def producer(manager) -> AsyncIterator[Producer]:
    with OrderQueue.attach(NAME) as queue:
        queue.start()
        yield Producer(queue)


async def test_an_order_from_key_to_cancel(producer, venue) -> None:
    assert await producer.register() == {"id": "0", "status": 200, "result": {"msg": "success"}}
    big = 2**64 - 1
    placed = await producer.place(big)
    assert (placed["id"], placed["status"]) == (str(big), 200)
    result = placed["result"]
    assert (result["status"], result["clientOrderId"], result["price"]) == ("NEW", str(big), "59999.0")
    [order] = venue.open_orders(venue.account("alice-key"))
    assert (order.order_id, order.client_order_id) == (result["orderId"], str(big))
    cancelled = await producer.cancel(big)
    assert cancelled["result"]["status"] == "CANCELED"
    assert await producer.cancel(big) == {
        "id": str(big),
        "status": 400,
        "error": {"code": -2011, "msg": "Unknown order sent."},
    }


@pytest.mark.parametrize(
    ("order_type", "price", "status"),
    [
        (0, "60000.1", "FILLED"),
        (0, "59999", "EXPIRED"),
        (1, "59999", "NEW"),
        (2, "60000.1", "FILLED"),
        (3, "60000.1", "FILLED"),
    ],
)
async def test_order_types(producer, order_type, price, status) -> None:
    await producer.register()
    answer = await producer.place(5, order_type=order_type, price=price)
    assert answer["result"]["status"] == status
    assert answer["result"]["timeInForce"] == ("IOC", "GTX", "GTC", "FOK")[order_type]


async def test_before_a_key_nothing_is_served(producer, venue) -> None:
    assert (await producer.place(1))["error"]["code"] == -2015
    for key, secret in (("alice-key", "wrong"), ("nobody", "alice-secret"), ("nobody", ""), ("", "")):
        answer = await producer.register(key, secret)
        assert (answer["status"], answer["error"]["code"]) == (401, -2015)
        assert "secret" not in orjson.dumps(answer).decode()
    assert (await producer.place(1))["error"]["code"] == -2015
    assert venue.open_orders(venue.account("alice-key")) == []


async def test_another_key_takes_over(producer, venue) -> None:
    await producer.register()
    await producer.register("bob-key", "bob-secret")
    await producer.place(3)
    assert len(venue.open_orders(venue.account("bob-key"))) == 1
    assert (await producer.register("bob-key", "wrong"))["status"] == 401
    assert (await producer.place(4))["status"] == 200


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (dict(side=2), -1117),
        (dict(side=0), -1117),
        (dict(order_type=4), -1116),
        (dict(order_type=2**63), -1116),
        (dict(price_match=1), -1014),
        (dict(pos_side=1), -4061),
        (dict(symbol="NOUSDT"), -1121),
        (dict(symbol=""), -1102),
        (dict(size="abc"), -1100),
        (dict(size=""), -1102),
        (dict(size="NaN"), -1100),
        (dict(price="-5"), -1100),
        (dict(price="59999.05"), -4014),
        (dict(order_type=1, price="60000.1"), -5022),
    ],
)
async def test_refusals(producer, venue, options, code) -> None:
    await producer.register()
    answer = await producer.place(8, **options)
    assert (answer["status"], answer["error"]["code"]) == (400, code)
    assert venue.open_orders(venue.account("alice-key")) == []


async def test_id_zero_is_refused(producer) -> None:
    await producer.register()
    assert (await producer.place(0))["error"]["code"] == -1102


async def test_a_name_that_is_taken(manager, venue) -> None:
    with pytest.raises(SegmentError, match="exists already"):
        QtxOrderManager(venue, NAME)
    assert NAME[1:] in os.listdir("/dev/shm")


@pytest.fixture
def idle_manager(venue) -> Iterator[QtxOrderManager]:
    """A manager with a key registered that is asked directly."""
    manager = QtxOrderManager(venue, NAME)
    manager._account = venue.account("alice-key")
    yield manager
    manager._queue.close()


integers = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-1, 0, 1, 2])
naturals = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2, 3])
texts = st.text(max_size=100)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    slot=st.builds(
        QueuedRequest,
        slot=st.just(0),
        mode=integers,
        side=integers,
        pos_side=integers,
        client_order_id=naturals,
        order_type=naturals,
        price_match=naturals,
        place_ts_ns=naturals,
        size=texts | st.sampled_from(["0.01", "1"]),
        price=texts | st.sampled_from(["59999", "60000.1"]),
        symbol=texts | st.just("BTCUSDT"),
        api_key=texts | st.just("alice-key"),
        api_secret=texts | st.just("alice-secret"),
    )
)
def test_any_slot_gets_an_answer_that_fits(idle_manager, caplog, slot) -> None:
    answer = idle_manager.answer(slot)
    assert len(answer) < 10_000
    assert orjson.loads(answer)["status"] in (200, 400, 401)
    assert not caplog.records  # nothing fell through to the last resort
