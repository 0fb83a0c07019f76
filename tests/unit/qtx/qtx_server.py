"""A small QTX market-data server for tests, written from the protocol text alone."""

from __future__ import annotations

import asyncio
import struct

TICKER_BID, TICKER_ASK, DEPTH, TRADE_BUY, TRADE_SELL = 1, -1, 2, 3, -3


def header(kind: int, index: int, sn: int, event_ms: int = 1_700_000_000_123) -> bytes:
    return struct.pack("<iiqqqq", kind, index, event_ms - 1, event_ms, event_ms * 1_000_000, sn)


def single(kind: int, index: int, sn: int, price: float, size: float) -> bytes:
    return header(kind, index, sn) + struct.pack("<dd", price, size)


def depth(index: int, sn: int, asks: list[tuple[float, float]], bids: list[tuple[float, float]]) -> bytes:
    body = b"".join(struct.pack("<dd", *level) for level in [*asks, *bids])
    return header(DEPTH, index, sn) + struct.pack("<qq", len(asks), len(bids)) + body


class QtxServer(asyncio.DatagramProtocol):
    """Answers requests as told; tests send the data."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.sources: list[tuple[str, int]] = []
        self.index_of = {"binance-futures:btcusdt": 9, "binance-futures:ethusdt": 4}
        self.before_answer: list[bytes] = []
        self.after_answer: list[bytes] = []
        self.error_for = ""
        self.mute = 0  # requests to leave unanswered
        self.subscribers: dict[str, tuple[str, int]] = {}
        self.arrived = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        text = data.decode()
        self.requests.append(text)
        self.sources.append(source)
        self.arrived.set()
        if self.mute:
            self.mute -= 1
            return
        if text.startswith("-") or text == "ping":
            for datagram in self.before_answer:
                self.transport.sendto(datagram, source)
        if text.startswith("-"):
            self.transport.sendto(b"unsubscribed " + data[1:], source)
        elif text == self.error_for:
            self.transport.sendto(b"error: unknown symbol " + data, source)
        elif text == "ping":
            self.transport.sendto(b"pong", source)
        elif text in self.index_of:
            self.subscribers[text] = source
            for datagram in self.before_answer:
                self.transport.sendto(datagram, source)
            self.transport.sendto(b"%d:%s" % (self.index_of[text], data), source)
            for datagram in self.after_answer:
                self.transport.sendto(datagram, source)

    def send(self, datagram: bytes, symbol: str = "binance-futures:btcusdt") -> None:
        self.transport.sendto(datagram, self.subscribers[symbol])


async def start_server() -> QtxServer:
    _, server = await asyncio.get_running_loop().create_datagram_endpoint(QtxServer, local_addr=("127.0.0.1", 0))
    return server
