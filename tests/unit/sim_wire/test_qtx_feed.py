"""The QTX feed as a client sees it: a plain UDP socket and `struct`, nothing of ours."""

from __future__ import annotations

import asyncio
import math
import random
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from qtxconn.sim.model import Side
from qtxconn.sim.qtx_feed import BOOK_LEVELS_MAX, SUBSCRIBERS_MAX, QtxFeed

WAIT_S = 5.0


class Packet(NamedTuple):
    kind: int
    index: int
    tx_ms: int
    event_ms: int
    local_ns: int
    sn_id: int
    body: tuple[Any, ...]
    """(price, size), or (asks, bids) as lists of (price, size)."""


def unpack(data: bytes) -> Packet | str:
    """A datagram; text where it is none."""
    if len(data) < 56 or data[:1].isalnum() or data[:1] == b"-":
        return data.decode()
    header = struct.unpack_from("<iiqqqq", data)
    if header[0] == 2:
        asks, bids = struct.unpack_from("<qq", data, 40)
        assert len(data) == 56 + 16 * (asks + bids)
        numbers = struct.unpack_from(f"<{2 * (asks + bids)}d", data, 56)
        levels = list(zip(numbers[::2], numbers[1::2], strict=True))
        return Packet(*header, (levels[:asks], levels[asks:]))
    assert len(data) == 56
    return Packet(*header, struct.unpack_from("<dd", data, 40))


class UdpClient:
    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self.socket.bind(("127.0.0.1", 0))
        self.address = address

    def send(self, text: str) -> None:
        self.socket.sendto(text.encode(), self.address)

    async def next(self) -> Packet | str:
        loop = asyncio.get_running_loop()
        return unpack(await asyncio.wait_for(loop.sock_recv(self.socket, 65_536), WAIT_S))

    async def packet(self) -> Packet:
        packet = await self.next()
        assert isinstance(packet, Packet)
        return packet

    async def subscribe(self, name: str = "binance-futures:btcusdt") -> list[Packet]:
        """The first three packets: whole book, bid, ask."""
        self.send(name)
        answer = await self.next()
        assert isinstance(answer, str)
        assert answer.partition(":")[2] == name, answer
        return [await self.packet() for _ in range(3)]


@pytest.fixture
async def feed(venue) -> AsyncIterator[QtxFeed]:
    feed = QtxFeed(venue)
    feed.start()
    yield feed
    feed.stop()


@pytest.fixture
def make_client(feed):
    clients: list[UdpClient] = []

    def make() -> UdpClient:
        clients.append(UdpClient(feed.address))
        return clients[-1]

    yield make
    for client in clients:
        client.socket.close()


@pytest.fixture
def udp(make_client) -> UdpClient:
    return make_client()


async def test_ping_and_what_is_unknown(udp) -> None:
    for request, answer in (
        ("ping", "pong"),
        ("binance-futures:nousdt", "error: unknown symbol binance-futures:nousdt"),
        ("-binance-futures:btcusdt", "error: not subscribed"),
        ("", "error: unknown symbol "),
        ("x" * 500, "error: unknown symbol " + "x" * 64),
    ):
        udp.send(request)
        assert await udp.next() == answer


async def test_a_subscription_starts_with_the_whole_book_and_its_top(udp, venue) -> None:
    udp.send("binance-futures:ethusdt")
    assert await udp.next() == "2:binance-futures:ethusdt"
    book, bid, ask = [await udp.packet() for _ in range(3)]
    assert (book.kind, bid.kind, ask.kind) == (2, 1, -1)
    assert {packet.index for packet in (book, bid, ask)} == {2}
    asks, bids = book.body
    assert (len(asks), len(bids)) == (20, 20)
    assert (asks[0], bids[0]) == ((3000.01, 5.0), (3000.0, 5.0))
    assert bids[1] == (2999.99, 5.0)  # exactly the double of the decimal text
    assert (bid.body, ask.body) == ((3000.0, 5.0), (3000.01, 5.0))
    assert abs(book.local_ns - venue.clock.now_ns()) < 60_000_000_000
    assert abs(book.tx_ms - venue.clock.now_ms()) < 60_000


async def test_diffs_trades_and_tickers_follow_without_a_gap(udp, venue) -> None:
    book, bid, ask = await udp.subscribe()
    last = {book.kind: book.sn_id, bid.kind: bid.sn_id, ask.kind: ask.sn_id, 3: None, -3: None}
    engine = venue.engine("BTCUSDT")
    engine.background_order(Side.BUY, 1_000, 600_001)  # takes the whole best ask
    engine.publish()
    trade, new_ask, depth = [await udp.packet() for _ in range(3)]
    assert (trade.kind, trade.body) == (3, (60000.1, 1.0))
    assert (new_ask.kind, new_ask.body) == (-1, (60000.2, 1.0))
    assert (depth.kind, depth.body) == (2, ([(60000.1, 0.0)], []))
    assert depth.sn_id == last[2] + 1
    assert new_ask.sn_id == last[-1] + 1
    engine.background_order(Side.SELL, 10, 600_000)
    engine.publish()
    sold, new_bid, depth2 = [await udp.packet() for _ in range(3)]
    assert (sold.kind, new_bid.kind, new_bid.sn_id, depth2.sn_id) == (-3, 1, bid.sn_id + 1, depth.sn_id + 1)
    assert (new_bid.body, depth2.body) == ((60000.0, 0.99), ([], [(60000.0, 0.99)]))


async def test_an_empty_side_has_a_ticker_of_size_0(udp, venue) -> None:
    await udp.subscribe()
    engine = venue.engine("BTCUSDT")
    engine.background_order(Side.BUY, 20_000, 700_000)
    engine.publish()
    packets = [await udp.packet() for _ in range(22)]
    assert [p.body for p in packets if p.kind == -1] == [(0.0, 0.0)]
    udp.send("binance-futures:btcusdt")
    await udp.next()
    book, _, ask = [await udp.packet() for _ in range(3)]
    assert book.body[0] == []
    assert ask.body == (0.0, 0.0)


async def test_ids_are_per_subscriber_and_grow_over_resubscription(make_client, venue) -> None:
    first, second = make_client(), make_client()
    [book, *_] = await first.subscribe()
    [again, *_] = await first.subscribe()
    assert again.sn_id == book.sn_id + 1
    await second.subscribe()
    engine = venue.engine("BTCUSDT")
    engine.add_ambient(Side.BUY, 599_990, 7)
    engine.publish()
    assert (await first.packet()).sn_id == again.sn_id + 1
    first.send("-binance-futures:btcusdt")
    assert await first.next() == "-binance-futures:btcusdt"
    engine.add_ambient(Side.BUY, 599_990, 7)
    engine.publish()
    [back, *_] = await first.subscribe()
    assert back.sn_id > again.sn_id + 1
    assert [(await second.packet()).body for _ in range(2)] == [
        ([], [(59999.0, 1.007)]),
        ([], [(59999.0, 1.014)]),
    ]


async def test_the_first_book_is_the_nearest_2000_levels_in_one_datagram(udp, venue) -> None:
    engine = venue.engine("BTCUSDT")
    for level in range(3_000):
        engine.add_ambient(Side.BUY, 599_000 - level, 1)
        engine.add_ambient(Side.SELL, 601_000 + level, 1)
    engine.publish()
    [book, *_] = await udp.subscribe()
    asks, bids = book.body
    assert len(asks) == len(bids) == BOOK_LEVELS_MAX
    assert asks[0][0] == 60000.1
    assert bids[-1][0] == pytest.approx(59900.0 - 197.9)


async def test_a_large_update_goes_out_in_parts(udp, venue) -> None:
    await udp.subscribe()
    engine = venue.engine("BTCUSDT")
    for level in range(5_000):
        engine.add_ambient(Side.BUY, 599_000 - level, 1)
    engine.publish()
    parts = [await udp.packet() for _ in range(2)]
    assert [p.sn_id - parts[0].sn_id for p in parts] == [0, 1]
    assert sum(len(p.body[1]) for p in parts) == 5_000


@pytest.mark.parametrize("seed", range(3))
async def test_a_book_kept_from_the_packets_equals_the_venue_s(udp, venue, seed) -> None:
    rng = random.Random(seed)
    engine = venue.engine("BTCUSDT")
    [book, *_] = await udp.subscribe()
    sides = [dict(levels) for levels in book.body]
    last_sn_id = book.sn_id
    for _ in range(200):
        side = rng.choice((Side.BUY, Side.SELL))
        price = 600_000 - rng.randint(0, 30) if side is Side.BUY else 600_001 + rng.randint(0, 30)
        if rng.random() < 0.5:
            engine.add_ambient(side, price, rng.randint(1, 500))
        else:
            engine.cancel_ambient(side, price, rng.randint(1, 1_500))
        engine.add_ambient(Side.BUY, 1, 1)  # so that every publish has a depth update
        engine.publish()
        while (packet := await udp.packet()).kind != 2:
            pass
        assert packet.sn_id == last_sn_id + 1
        last_sn_id = packet.sn_id
        for levels, known in zip(packet.body, sides, strict=True):
            for level_price, size in levels:
                if size:
                    known[level_price] = size
                else:
                    known.pop(level_price, None)
    bids, asks, _ = venue.depth("BTCUSDT", 1_000)
    for known, levels in zip(sides, (asks, bids), strict=True):
        assert known == {float(f"{ticks / 10:.1f}"): float(f"{lots / 1000:.3f}") for ticks, lots in levels}


async def test_the_subscriber_heard_from_longest_ago_makes_room(feed, venue) -> None:
    feed.handle_request(b"binance-futures:btcusdt", ("127.0.0.1", 9))
    for port in range(10_000, 10_000 + SUBSCRIBERS_MAX - 1):
        feed.handle_request(b"binance-futures:btcusdt", ("127.0.0.1", port))
    feed.handle_request(b"ping", ("127.0.0.1", 9))  # still there
    feed.handle_request(b"binance-futures:btcusdt", ("127.0.0.1", 20_000))
    addresses = {port for _, port in feed._symbols["BTCUSDT"].subscribers}
    assert 10_000 not in addresses
    assert {9, 10_001, 20_000} <= addresses
    assert len(addresses) == SUBSCRIBERS_MAX


async def test_a_failed_send_is_counted_and_leaves_a_gap(feed, venue, udp) -> None:
    [book, *_] = await udp.subscribe()
    engine = venue.engine("BTCUSDT")

    class Refusing:
        def sendto(self, *_: Any) -> None:
            raise BlockingIOError

    real, feed._socket = feed._socket, Refusing()
    try:
        engine.add_ambient(Side.BUY, 599_990, 7)
        engine.publish()
    finally:
        feed._socket = real
    assert feed.send_failures == 1
    engine.add_ambient(Side.BUY, 599_990, 7)
    engine.publish()
    assert (await udp.packet()).sn_id == book.sn_id + 2


def test_prices_are_the_doubles_of_their_texts(venue) -> None:
    entry = QtxFeed(venue)._symbols["BTCUSDT"]
    for ticks in range(0, 2_000_000, 997):
        price, size = entry.price_size(ticks, ticks)
        assert price == float(f"{ticks // 10}.{ticks % 10}")
        assert size == float(f"{ticks // 1000}.{ticks % 1000:03}")
        assert not math.isnan(price)
