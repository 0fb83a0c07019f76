"""The algorithm of the public QTX reference client, written anew: what qtxconn's users come from.

Its three habits are kept, as its protocol notes describe them: an object and a queue for every message, a slot written
through ctypes, and an answer that is looked for every 10 ms. Nothing else of it is here: no logging, no other features.
"""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HEADER = struct.Struct("<iiqqqq")
LEVEL = struct.Struct("<dd")
COUNTS = struct.Struct("<qq")
QUEUE_SIZE = 1000
POLL_INTERVAL_S = 0.01
SLOT_COUNT = 100


@dataclass
class BookMessage:
    """One message as the client hands it on: kind, symbol, content, time."""

    kind: str
    symbol: str
    content: dict[str, Any]
    timestamp: float
    received: float = field(default_factory=time.time)


class ReferenceFeed:
    """Datagrams to message objects in a queue per symbol, of 1,000; a full one loses its oldest.

    `drain()` is the consumer: it applies what is queued to one dict of prices per side.
    """

    def __init__(self, index_to_symbol: Mapping[int, str]) -> None:
        self._symbols = dict(index_to_symbol)
        self._queues: dict[str, asyncio.Queue[BookMessage]] = {
            symbol: asyncio.Queue(QUEUE_SIZE) for symbol in self._symbols.values()
        }
        self._books: dict[str, dict[str, dict[float, float]]] = {
            symbol: {"bids": {}, "asks": {}} for symbol in self._symbols.values()
        }
        self.dropped = 0

    def process_message(self, datagram: bytes) -> None:
        """Unpacks one datagram and queues what it says."""
        kind, index, tx_ms, event_ms, local_ns, sn_id = HEADER.unpack_from(datagram)
        symbol = self._symbols.get(index)
        if symbol is None:
            return
        content: dict[str, Any] = {"symbol": symbol, "update_id": sn_id, "tx_ms": tx_ms, "local_ns": local_ns}
        if kind == 2:
            asks, bids = COUNTS.unpack_from(datagram, HEADER.size)
            offset = HEADER.size + COUNTS.size
            levels = [LEVEL.unpack_from(datagram, offset + LEVEL.size * i) for i in range(asks + bids)]
            content["asks"], content["bids"] = levels[:asks], levels[asks:]
            self._queue(BookMessage("diff", symbol, content, event_ms / 1e3))
            return
        price, size = LEVEL.unpack_from(datagram, HEADER.size)
        if abs(kind) == 1:
            content["asks"], content["bids"] = ([], [(price, size)]) if kind > 0 else ([(price, size)], [])
            self._queue(BookMessage("diff", symbol, content, event_ms / 1e3))
        elif abs(kind) == 3:
            content |= {"price": price, "amount": size, "side": "buy" if kind > 0 else "sell"}
            self._queue(BookMessage("trade", symbol, content, event_ms / 1e3))

    def _queue(self, message: BookMessage) -> None:
        queue = self._queues[message.symbol]
        try:
            queue.put_nowait(message)
        except asyncio.QueueFull:
            queue.get_nowait()
            queue.put_nowait(message)
            self.dropped += 1

    def drain(self) -> int:
        """Empties all queues into the books. -> how many messages."""
        count = 0
        for symbol, queue in self._queues.items():
            book = self._books[symbol]
            while not queue.empty():
                message = queue.get_nowait()
                count += 1
                if message.kind != "diff":
                    continue
                for side in ("bids", "asks"):
                    for price, size in message.content[side]:
                        if size > 0:
                            book[side][price] = size
                        else:
                            book[side].pop(price, None)
        return count

    def top(self, symbol: str) -> tuple[float, float]:
        """Best bid and best ask; 0 and infinity where a side is empty."""
        book = self._books[symbol]
        return max(book["bids"], default=0.0), min(book["asks"], default=float("inf"))


class Slot(ctypes.Structure):
    """One order of the shared-memory ring, 10,432 bytes."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("mode", "side", "pos_side")),
        *(
            (name, ctypes.c_uint64)
            for name in ("client_order_id", "order_type", "price_match", "place_ts_ns", "res_ts_ns")
        ),
        ("size", ctypes.c_char * 32),
        ("price", ctypes.c_char * 32),
        ("api_key", ctypes.c_char * 100),
        ("api_secret", ctypes.c_char * 100),
        ("symbol", ctypes.c_char * 100),
        ("res_msg", ctypes.c_char * 10_000),
    ]


class Ring(ctypes.Structure):
    """The whole segment."""

    _fields_ = [("from_idx", ctypes.c_int64), ("to_idx", ctypes.c_int64), ("slots", Slot * SLOT_COUNT)]


class ReferenceOrders:
    """The producer of an order queue that exists. It never looks whether the ring is full."""

    def __init__(self, segment_name: str) -> None:
        with open(f"/dev/shm{segment_name}", "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), ctypes.sizeof(Ring))
        self._ring: Ring | None = Ring.from_buffer(self._memory)

    def close(self) -> None:
        self._ring = None
        self._memory.close()

    def publish(self, client_order_id: int, symbol: str, side: int, size: str, price: str) -> Slot:
        """Fills a slot and moves the producer's index. -> the slot."""
        assert self._ring is not None, "closed"
        slot = self._ring.slots[self._ring.to_idx]
        ctypes.memset(ctypes.addressof(slot), 0, ctypes.sizeof(Slot))
        slot.mode = 1
        slot.side = side
        slot.client_order_id = client_order_id
        slot.order_type = 2
        slot.place_ts_ns = time.time_ns()
        slot.size = size.encode()
        slot.price = price.encode()
        slot.symbol = symbol.encode()
        self._ring.to_idx = (self._ring.to_idx + 1) % SLOT_COUNT
        return slot

    async def place_order(self, client_order_id: int, symbol: str, side: int, size: str, price: str) -> str:
        """Publishes an order and waits for its answer, looking every 10 ms."""
        slot = self.publish(client_order_id, symbol, side, size, price)
        while not slot.res_ts_ns:  # noqa: ASYNC110 - that it sleeps and looks is the point
            await asyncio.sleep(POLL_INTERVAL_S)
        return slot.res_msg.decode(errors="replace")
