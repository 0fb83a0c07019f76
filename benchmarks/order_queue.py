"""Orders through shared memory: the round trip to an order manager that spins, and what the work itself costs.

The order manager is a process of its own on the venue's core (limits/order_queue.cpp) and answers at once, so that what
is measured is the queue. The limit is a plain C client that checks nothing.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Bench, BenchError, Goal, Job, Row, Sample
from benchmarks.peers.reference_client import ReferenceOrders
from qtxconn.qtx.order_queue import SIDE_BUY, OrderManagerQueue, OrderQueue

C, HEADERS, PYTHON, ASYNCIO = "C, spinning", "qtxconn, C++ headers", "qtxconn, Python", "qtxconn, asyncio"
PLAIN_PYTHON, REFERENCE = "Python, spinning on a mapping", "reference algorithm (looks every 10 ms)"
SLOT_SIZE, FIRST_SLOT, RES_TS = 10_432, 16, 56
SYMBOL, SIZE, PRICE = "BTCUSDT", "0.001", "60000.1"
PATIENCE_NS = 10_000_000_000


class Managed:
    """Runs a client against a fresh order manager."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._program = bench.compile("order_queue.cpp")

    @contextmanager
    def manager(self, orders: int) -> Iterator[str]:
        name = self._bench.name("order_queue")
        command = [str(self._program), "manager", name, str(self._bench.venue_cpu), str(orders)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                if process.stdout is None or process.stdout.readline() != "ready\n":
                    raise BenchError("the order manager did not start")
                yield name
                process.wait(10)
            finally:
                process.kill()
                Path("/dev/shm" + name).unlink(missing_ok=True)

    def cpp(self, mode: str, orders: int) -> Sample:
        with self.manager(orders) as name:
            return self._bench.run(self._program, mode, name, self._bench.client_cpu, orders)

    def python(self, client: Callable[[str, int], list[int]], orders: int) -> Sample:
        with self.manager(orders) as name:
            return Sample.of_durations(client(name, orders)[orders // 10 :])


def blocking(name: str, orders: int) -> list[int]:
    """ns of each round trip with submit_place and wait_answer."""
    durations = []
    with OrderQueue.attach(name) as queue:
        for order_id in range(1, orders + 1):
            begin_ns = time.perf_counter_ns()
            slot = queue.submit_place(order_id, SYMBOL, SIDE_BUY, SIZE, PRICE, place_ts_ns=order_id)
            answer = queue.wait_answer(slot, PATIENCE_NS)
            durations.append(time.perf_counter_ns() - begin_ns)
            if answer is None or answer.client_order_id != order_id:
                raise BenchError(f"order {order_id} was answered with {answer}")
    return durations


def awaiting(name: str, orders: int) -> list[int]:
    """ns from submit_place to the answer in the event loop, with the watching thread between."""

    async def run() -> list[int]:
        loop = asyncio.get_running_loop()
        durations = []
        with OrderQueue.attach(name) as queue:
            queue.start()
            arrived = asyncio.Event()
            loop.add_reader(queue.fileno(), arrived.set)
            for order_id in range(1, orders + 1):
                begin_ns = time.perf_counter_ns()
                queue.submit_place(order_id, SYMBOL, SIDE_BUY, SIZE, PRICE, place_ts_ns=order_id)
                answers = []
                while not answers:
                    await arrived.wait()
                    arrived.clear()
                    answers = queue.poll_answers()
                durations.append(time.perf_counter_ns() - begin_ns)
                if answers[0].client_order_id != order_id:
                    raise BenchError(f"order {order_id} was answered with {answers[0]}")
            loop.remove_reader(queue.fileno())
        return durations

    return asyncio.run(run())


def spinning(name: str, orders: int) -> list[int]:
    """ns of each round trip in plain Python that writes and reads the mapping's bytes."""
    durations = []
    fd = os.open("/dev/shm" + name, os.O_RDWR)
    head = bytearray(128)
    head[0:8] = head[8:16] = (1).to_bytes(8, "little")
    head[64 : 64 + len(SIZE)], head[96 : 96 + len(PRICE)] = SIZE.encode(), PRICE.encode()
    symbol = SYMBOL.encode().ljust(100, b"\0")
    nothing = bytes(8)
    with mmap.mmap(fd, FIRST_SLOT + 100 * SLOT_SIZE) as memory:
        for order_id in range(1, orders + 1):
            begin_ns = time.perf_counter_ns()
            at = FIRST_SLOT + (order_id - 1) % 100 * SLOT_SIZE
            head[24:32] = order_id.to_bytes(8, "little")
            memory[at : at + 128] = head
            memory[at + 328 : at + 428] = symbol
            memory[8:16] = (order_id % 100).to_bytes(8, "little")
            while memory[at + RES_TS : at + RES_TS + 8] == nothing:
                pass
            durations.append(time.perf_counter_ns() - begin_ns)
    os.close(fd)
    return durations


def polling(name: str, orders: int) -> list[int]:
    """ns of each round trip with the reference's algorithm."""

    async def run() -> list[int]:
        durations = []
        client = ReferenceOrders(name)
        for order_id in range(1, orders + 1):
            begin_ns = time.perf_counter_ns()
            await client.place_order(order_id, SYMBOL, SIDE_BUY, SIZE, PRICE)
            durations.append(time.perf_counter_ns() - begin_ns)
        client.close()
        return durations

    return asyncio.run(run())


@contextmanager
def round_trips(bench: Bench) -> Iterator[list[Row]]:
    managed = Managed(bench)
    fast, slow = bench.scaled(200_000, quick=20_000), bench.scaled(20_000, quick=2_000)
    yield [
        Row.limit(C, lambda: managed.cpp("plain", fast)),
        Row.ours(HEADERS, lambda: managed.cpp("qtxconn", fast)),
        Row.ours(PYTHON, lambda: managed.python(blocking, slow)),
        Row.ours(ASYNCIO, lambda: managed.python(awaiting, slow)),
        Row.peer(PLAIN_PYTHON, lambda: managed.python(spinning, slow)),
        Row.peer(REFERENCE, lambda: managed.python(polling, 30), once=True),
    ]


@contextmanager
def work(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("order_queue.cpp")
    orders = bench.scaled(1_000_000, quick=200_000)
    yield [
        Row.limit(C, lambda: bench.run(program, "cycle-plain", orders)),
        Row.ours(HEADERS, lambda: bench.run(program, "cycle-qtxconn", orders)),
    ]


def time_submits(name: str, submit: Callable[[OrderQueue, int], object], orders: int) -> Sample:
    """ns of a submit alone, the clock's own time taken off; the answers between are not timed."""
    clock = time.perf_counter_ns
    took_ns = idle_ns = 0
    with OrderManagerQueue.create(name) as manager, OrderQueue.attach(name) as queue:
        for order_id in range(1, orders + 1):
            begin_ns = clock()
            submit(queue, order_id)
            took_ns += clock() - begin_ns
            begin_ns = clock()
            idle_ns += clock() - begin_ns
            for request in manager.take():
                manager.answer(request.slot, b"ok", res_ts_ns=1)
            queue.poll_answers()
    return Sample((took_ns - idle_ns) / orders)


def submit_place(queue: OrderQueue, order_id: int) -> None:
    queue.submit_place(order_id, SYMBOL, SIDE_BUY, SIZE, PRICE, place_ts_ns=order_id)


def publish_reference(name: str, orders: int) -> Sample:
    """The same with the reference's algorithm, on a segment of its own."""
    clock = time.perf_counter_ns
    took_ns = idle_ns = 0
    with OrderManagerQueue.create(name) as manager:
        client = ReferenceOrders(name)
        for order_id in range(1, orders + 1):
            begin_ns = clock()
            client.publish(order_id, SYMBOL, SIDE_BUY, SIZE, PRICE)
            took_ns += clock() - begin_ns
            begin_ns = clock()
            idle_ns += clock() - begin_ns
            manager.take()
        client.close()
    return Sample((took_ns - idle_ns) / orders)


@contextmanager
def from_python(bench: Bench) -> Iterator[list[Row]]:
    orders = bench.scaled(50_000, quick=5_000)
    yield [
        Row.ours(PYTHON, lambda: time_submits(bench.name("submit"), submit_place, orders)),
        Row.peer(REFERENCE, lambda: publish_reference(bench.name("reference"), orders)),
    ]


JOBS = (
    Job(
        "order-queue-round-trip",
        "How long does an order take to an order manager that spins, and its answer back?",
        "ns",
        round_trips,
        goals=(
            Goal(HEADERS, C, at_most=1.10),
            Goal(HEADERS, C, at_most=1.5, of="p99"),
            Goal(HEADERS, REFERENCE, faster=20_000),
            Goal(HEADERS, PLAIN_PYTHON, faster=2),
        ),
    ),
    Job(
        "order-queue-work",
        "What does an order cost from its slot to the released answer, both ends in one thread?",
        "ns/order",
        work,
    ),
    Job(
        "order-queue-submit",
        "What does publishing an order cost from Python?",
        "ns/order",
        from_python,
        goals=(Goal(PYTHON, at_most=220), Goal(PYTHON, REFERENCE, faster=12)),
    ),
)
