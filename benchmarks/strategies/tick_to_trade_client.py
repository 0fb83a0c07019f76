"""Tick to trade, clients in Python and Cython.

    python -m benchmarks.strategies.tick_to_trade_client MODE PORT SEGMENT CPU

Each buys at every new best bid until a trade comes, as limits/tick_to_trade_client.cpp does, and prints a JSON object.
MODE: cython, stamped (the same with two more clock readings), hog (the same beside a thread that never lets go of the
GIL), callback (a Python strategy in qtxconn's receive loop), spin (plain Python, busy), asyncio, uvloop.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import mmap
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness.bench import REAL_TIME_PRIORITY
from qtxconn.core.order_book import OrderBook
from qtxconn.errors import QueueFullError
from qtxconn.qtx.order_queue import SIDE_BUY, TYPE_IOC, OrderQueue
from qtxconn.qtx.strategy import Strategy
from qtxconn.qtx.udp_feed import UdpFeed

FEED_SYMBOL = "binance-futures:btcusdt"
TICK_SIZE = "0.1"
PATIENCE_S = 10.0
SLOTS, SLOT_SIZE, FIRST_SLOT = 100, 10_432, 16
TICKER = struct.Struct("<iiqqqqdd")
ORDER_HEAD = struct.Struct("<qqqQQQQQ32s32s")  # mode .. res_ts_ns, size, price
SYMBOL_OFFSET = 328


def burst(cpu: int) -> None:
    """This thread runs on `cpu` from now on, before ordinary work where that is allowed."""
    os.sched_setaffinity(0, {cpu})
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
    gc.collect()
    gc.disable()


# -- on qtxconn ----------------------------------------------------------------------------------------------------


@contextmanager
def subscribed(port: int, segment: str) -> Iterator[tuple[UdpFeed, OrderQueue]]:
    """A feed that receives in poll() only, subscribed to one book, and the order queue."""

    async def subscribe() -> None:
        await feed.start()
        request = asyncio.ensure_future(feed.subscribe(FEED_SYMBOL, book))
        while not request.done():
            feed.poll()
            await asyncio.sleep(0)
        request.result()

    feed = UdpFeed("127.0.0.1", port, driver="manual")
    book = OrderBook("BTC-USDT", TICK_SIZE, "0.001")
    loop = asyncio.new_event_loop()
    with OrderQueue.attach(segment) as queue:
        loop.run_until_complete(subscribe())
        yield feed, queue
        loop.run_until_complete(feed.stop())
    loop.close()


def run_cython(port: int, segment: str, cpu: int, stamped: bool) -> dict[str, float]:
    from tick_to_trade import TickToTrade  # compiled by the benchmark, found through PYTHONPATH

    with subscribed(port, segment) as (feed, queue):
        strategy = TickToTrade(queue, TICK_SIZE, stamped)
        feed.set_strategy(strategy)
        burst(cpu)
        if not strategy.run(feed, PATIENCE_S):
            sys.exit("no trade came")
    if not stamped:
        return {}
    return {
        "receive_to_book_p50_ns": strategy.receive_to_book.percentile(0.5),
        "book_to_slot_p50_ns": strategy.book_to_slot.percentile(0.5),
    }


def run_beside_hog(port: int, segment: str, cpu: int) -> dict[str, float]:
    turns = 0
    over = threading.Event()

    def hog() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1

    thread = threading.Thread(target=hog)
    thread.start()
    try:
        run_cython(port, segment, cpu, stamped=False)
    finally:
        over.set()
        thread.join()
    return {"hog_turns": turns}


class PythonStrategy(Strategy):
    """The same decision in Python, called by the feed for every message."""

    def __init__(self, queue: OrderQueue) -> None:
        self.queue = queue
        self.done = False
        self.last_bid = math.nan
        self.refused = 0

    def on_book(self, book: OrderBook, bid: float, _ask: float) -> None:
        if bid != self.last_bid and bid == bid:  # NaN: the book is not valid
            self.last_bid = bid
            price, now_ns = f"{bid:.1f}", time.time_ns()
            try:
                self.queue.submit_place(
                    book.last_update_id, "BTCUSDT", SIDE_BUY, "0.002", price, TYPE_IOC, place_ts_ns=now_ns
                )
            except QueueFullError:  # beyond saturation; the venue counts the tick as lost
                self.refused += 1

    def on_trade(self, *_details: object) -> None:
        self.done = True


def run_callback(port: int, segment: str, cpu: int) -> dict[str, float]:
    with subscribed(port, segment) as (feed, queue):
        strategy = PythonStrategy(queue)
        feed.set_strategy(strategy)
        burst(cpu)
        deadline = time.monotonic() + PATIENCE_S
        while not strategy.done:
            if feed.poll():
                queue.poll_answers()
            elif time.monotonic() > deadline:
                sys.exit("no trade came")
        return {"refused": strategy.refused}


# -- without it ----------------------------------------------------------------------------------------------------


class PlainStrategy:
    """The least that Python code could do: struct, one mapping, no checks but that the queue is not full."""

    def __init__(self, segment: str) -> None:
        with open(f"/dev/shm{segment}", "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), FIRST_SLOT + SLOTS * SLOT_SIZE)
        # Through a cast view a number is stored in one piece; struct's pack_into clears the bytes first.
        self.indices = memoryview(self.memory)[:FIRST_SLOT].cast("q")
        self.done = False
        self.last_price = 0.0
        self.to_idx = 0

    def on_datagram(self, data: bytes | memoryview) -> None:
        if len(data) != TICKER.size:
            return
        kind, _index, _tx_ms, _event_ms, _local_ns, sn_id, price, _size = TICKER.unpack_from(data)
        if kind == 3:
            self.done = True
        elif kind == 1 and price != self.last_price:
            self.last_price = price
            self.publish(sn_id, price)

    def publish(self, order_id: int, price: float) -> None:
        at = FIRST_SLOT + self.to_idx * SLOT_SIZE
        following = (self.to_idx + 1) % SLOTS
        if self.indices[0] == following:
            return
        ORDER_HEAD.pack_into(
            self.memory, at, 1, 1, 0, order_id, 0, 0, time.time_ns(), 0, b"0.002", f"{price:.1f}".encode()
        )
        self.memory[at + SYMBOL_OFFSET : at + SYMBOL_OFFSET + 8] = b"BTCUSDT\0"
        self.to_idx = following
        self.indices[1] = following


def run_spin(port: int, segment: str, cpu: int) -> dict[str, float]:
    strategy = PlainStrategy(segment)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        sock.send(FEED_SYMBOL.encode())
        buffer = bytearray(65_536)
        view = memoryview(buffer)
        burst(cpu)
        deadline = time.monotonic() + PATIENCE_S
        while not strategy.done:
            try:
                size = sock.recv_into(buffer)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    sys.exit("no trade came")
                continue
            strategy.on_datagram(view[:size])
    return {}


class Protocol(asyncio.DatagramProtocol):
    def __init__(self, strategy: PlainStrategy, done: asyncio.Future[None]) -> None:
        self.strategy = strategy
        self.done = done

    def datagram_received(self, data: bytes, _address: object) -> None:
        self.strategy.on_datagram(data)
        if self.strategy.done and not self.done.done():
            self.done.set_result(None)


async def run_protocol(port: int, segment: str, cpu: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Protocol(PlainStrategy(segment), done), remote_addr=("127.0.0.1", port)
    )
    transport.sendto(FEED_SYMBOL.encode())
    burst(cpu)
    async with asyncio.timeout(PATIENCE_S):
        await done
    transport.close()
    return {}


def run_uvloop(port: int, segment: str, cpu: int) -> dict[str, float]:
    import uvloop

    return uvloop.run(run_protocol(port, segment, cpu))


MODES = {
    "cython": lambda *where: run_cython(*where, stamped=False),
    "stamped": lambda *where: run_cython(*where, stamped=True),
    "hog": run_beside_hog,
    "callback": run_callback,
    "spin": run_spin,
    "asyncio": lambda *where: asyncio.run(run_protocol(*where)),
    "uvloop": run_uvloop,
}


def main() -> None:
    mode, port, segment, cpu = sys.argv[1:]
    print(json.dumps({"facts": MODES[mode](int(port), segment, int(cpu))}))


if __name__ == "__main__":
    main()
