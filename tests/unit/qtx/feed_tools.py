"""What the tests of the feed share: books, waiting, and a feed with its first full depth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal

from qtx_server import QtxServer, depth

from qtxconn.core.order_book import OrderBook
from qtxconn.qtx.udp_feed import UdpFeed

BTC, ETH = "binance-futures:btcusdt", "binance-futures:ethusdt"
FULL = depth(9, 1, asks=[(60000.1, 1.0), (60000.2, 2.0)], bids=[(60000.0, 3.0), (59999.9, 4.0)])


def new_book(pair: str = "BTC-USDT") -> OrderBook:
    return OrderBook(pair, Decimal("0.1"), Decimal("0.001"))


async def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.002)


async def subscribed(server: QtxServer, feed: UdpFeed) -> OrderBook:
    """BTC-USDT with its first full depth."""
    server.after_answer = [FULL]
    book = new_book()
    await feed.subscribe(BTC, book)
    await until(lambda: book.valid)
    server.after_answer = []
    return book


async def deliver(server: QtxServer, feed: UdpFeed, *datagrams: bytes) -> None:
    """Sends datagrams and waits until the feed has seen them all."""
    wanted = feed.get_statistics()["datagrams"] + len(datagrams)
    for datagram in datagrams:
        server.send(datagram)
    await until(lambda: feed.get_statistics()["datagrams"] >= wanted)
