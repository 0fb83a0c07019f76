"""Faults of the network and the server: loss, repeats, silence, restarts, strangers, and 10,000 symbols."""

from __future__ import annotations

import asyncio
import random
import socket
from decimal import Decimal

import pytest
from feed_tools import BTC, ETH, FULL, deliver, new_book, subscribed, until
from qtx_server import TICKER_BID, depth, single, start_server

from qtxconn.errors import ConfigurationError
from qtxconn.qtx.udp_feed import UdpFeed
from qtxconn.sim.model import Instrument, Side
from qtxconn.sim.process import WallClock
from qtxconn.sim.qtx_feed import QtxFeed
from qtxconn.sim.venue import Venue


@pytest.mark.parametrize("seed", range(8))
async def test_loss_repeats_and_reordering_are_counted_exactly(server, seed):
    rng = random.Random(seed)
    loss, repeat, window = rng.uniform(0, 0.5), rng.uniform(0, 0.5), rng.randint(1, 100)
    plan = []
    for number in range(2, 302):
        plan += [number] * ((rng.random() >= loss) + (rng.random() < repeat))
    for at in range(len(plan)):
        other = min(len(plan) - 1, at + rng.randrange(window))
        plan[at], plan[other] = plan[other], plan[at]
    async with UdpFeed("127.0.0.1", server.port) as feed:
        book = await subscribed(server, feed)
        await deliver(server, feed, single(TICKER_BID, 9, 1, 60000.0, 1.0))
        gaps = duplicates = reorders = 0
        last, seen = 1, {1}
        for number in plan:
            if number > last:
                gaps, last = gaps + number - last - 1, number
            elif number in seen:
                duplicates += 1
            else:
                reorders += 1
            seen.add(number)
        await deliver(server, feed, *(single(TICKER_BID, 9, number, 60000.0, number / 1000) for number in plan))
        statistics = feed.get_statistics()
        assert (statistics["gaps"], statistics["duplicates"], statistics["reorders"]) == (gaps, duplicates, reorders)
        assert statistics["rejects"]["stale"] == duplicates + reorders
        assert book.best_bid_size == Decimal(last) / 1000


class TestLiveness:
    async def test_a_quiet_pair_is_stale_while_its_socket_lives_and_then_dead(self, server, driver):
        options = {"stale_after_s": 0.4, "dead_after_s": 1.2, "subscribe_timeout_s": 0.2}
        async with UdpFeed("127.0.0.1", server.port, driver=driver, **options) as feed:
            quiet = await subscribed(server, feed)
            server.after_answer = [depth(4, 1, [(3000.1, 1.0)], [(3000.0, 1.0)])]
            lively = new_book("ETH-USDT")
            await feed.subscribe(ETH, lively)
            assert feed.symbol_state("BTC-USDT") == "LIVE"
            server.after_answer = [FULL]
            states = []
            for number in range(1, 400):
                server.send(single(TICKER_BID, 4, number, 3000.0, number / 1000), ETH)
                state = feed.symbol_state("BTC-USDT")
                if not states or states[-1] != state:
                    states.append(state)
                    assert state != "STALE" or quiet.valid
                if server.requests.count(BTC) == 2 and quiet.valid:
                    break
                await asyncio.sleep(0.02)
            assert states[:2] == ["LIVE", "STALE"]
            assert server.requests.count(BTC) == 2
            assert server.requests.count(ETH) == 1
            assert lively.valid
            assert feed.state == "connected"

    async def test_bytes_that_nobody_understands_are_no_life(self, server, driver):
        async with UdpFeed("127.0.0.1", server.port, driver=driver, stale_after_s=0.4) as feed:
            book = await subscribed(server, feed)
            server.mute = 1_000_000
            for _ in range(200):
                server.send(b"\xff" * 60)
                await asyncio.sleep(0.01)
                if not book.valid:
                    break
            assert book.invalid_reason == "disconnected"

    async def test_states_are_counted(self, server):
        async with UdpFeed("127.0.0.1", server.port) as feed:
            await subscribed(server, feed)
            assert feed.get_statistics()["symbol_states"] == {"UNSUBSCRIBED": 0, "LIVE": 1, "STALE": 0, "DEAD": 0}
            assert feed.symbol_state("NO-PE") == "UNSUBSCRIBED"


async def test_housekeeping_does_not_ask_for_what_a_long_subscription_has_still_to_ask_for(server, driver):
    names = [f"x:s{number}" for number in range(40)]
    server.index_of |= {name: number for number, name in enumerate(names)}
    server.mute = 32  # the first window is asked for again, some ticks of housekeeping later
    async with UdpFeed("127.0.0.1", server.port, driver=driver, subscribe_timeout_s=0.5) as feed:
        await feed.subscribe_many({name: new_book(f"S{number}-USDT") for number, name in enumerate(names)})
        await asyncio.sleep(0.3)
        assert [server.requests.count(name) for name in names] == [2] * 32 + [1] * 8


async def test_a_server_that_comes_back_gets_all_pairs_again(driver):
    server = await start_server()
    server.index_of |= {f"x:s{number}": number for number in range(40)}
    options = {"stale_after_s": 0.3, "subscribe_timeout_s": 0.1, "symbols_per_socket": 10}
    async with UdpFeed("127.0.0.1", server.port, driver=driver, **options) as feed:
        await feed.subscribe_many({f"x:s{number}": new_book(f"S{number}-USDT") for number in range(40)})
        for number in range(40):
            server.send(depth(number, 1, [(60000.1, 1.0)], [(60000.0, 1.0)]), f"x:s{number}")
        await until(lambda: feed.get_statistics()["total_messages"] == 40)
        port = server.port
        server.transport.close()
        await until(lambda: feed.state == "reconnecting")
        assert feed.get_statistics()["symbol_states"]["LIVE"] == 0
        await asyncio.sleep(0.5)
        loop = asyncio.get_running_loop()
        _, again = await loop.create_datagram_endpoint(lambda: type(server)(), local_addr=("127.0.0.1", port))
        again.index_of |= {f"x:s{number}": 100 + number for number in range(40)}
        await until(lambda: feed.state == "connected" and len(again.subscribers) == 40)
        await until(lambda: feed.get_statistics()["symbol_states"]["UNSUBSCRIBED"] == 0)
        assert feed.get_statistics()["sockets"] == 4
        again.transport.close()


def make_venue(symbols: int) -> Venue:
    instruments = [Instrument(f"S{n}USDT", f"S{n}", "USDT", Decimal("0.1"), Decimal("0.001")) for n in range(symbols)]
    venue = Venue(instruments, WallClock())
    for instrument in instruments:
        engine = venue.engine(instrument.symbol)
        engine.add_ambient(Side.BUY, 1000, 5)
        engine.add_ambient(Side.SELL, 1001, 5)
        engine.publish()
    return venue


async def follow(feed: UdpFeed, venue: Venue, symbols: int) -> None:
    """Every book follows its own symbol of the venue."""
    books = {f"binance-futures:s{n}usdt": new_book(f"S{n}-USDT") for n in range(symbols)}
    await feed.subscribe_many(books)
    await until(lambda: all(book.valid for book in books.values()), 60)
    before = feed.get_statistics()
    every = list(books.values())
    # A hundred at a time, as a sender that heeds its receiver: loopback drops what a busy machine cannot queue.
    for first in range(0, symbols, 100):
        for n in range(first, min(first + 100, symbols)):
            engine = venue.engine(f"S{n}USDT")
            engine.add_ambient(Side.BUY, 900, n + 1)
            engine.publish()
        some = every[first : first + 100]
        await until(lambda some=some: all(len(book.bid_entries()) == 2 for book in some), 60)
    for n, book in enumerate(books.values()):
        assert book.bid_entries() == [(Decimal(100), Decimal("0.005")), (Decimal(90), Decimal(n + 1) / 1000)]
    after = feed.get_statistics()
    assert [after[name] - before[name] for name in ("gaps", "kernel_drops")] == [0, 0]


async def test_10_000_symbols_on_a_hundred_sockets(driver):
    venue = make_venue(10_000)
    source = QtxFeed(venue)
    source.start()
    try:
        async with UdpFeed(*source.address, driver=driver, stale_after_s=600, dead_after_s=600) as feed:
            await follow(feed, venue, 10_000)
            assert feed.get_statistics()["sockets"] >= 100
    finally:
        source.stop()


class TestMulticast:
    async def test_data_of_the_group_and_of_nobody_else(self, driver):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            group = ("239.192.77.1", free.getsockname()[1])
        venue = make_venue(3)
        source = QtxFeed(venue)
        source.start(multicast=group)
        options = {"multicast_group": f"{group[0]}:{group[1]}", "multicast_interface": "127.0.0.1"}
        try:
            async with UdpFeed(*source.address, driver=driver, **options) as feed:
                await follow(feed, venue, 3)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                    other.bind(("127.0.0.2", 0))
                    other.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
                    other.sendto(single(TICKER_BID, 1, 10**17, 1.0, 1.0), group)
                await until(lambda: feed.get_statistics()["foreign"] == 1)
                feed.unsubscribe("S0-USDT")
                await asyncio.sleep(0.05)
                assert feed.get_statistics()["symbol_states"]["LIVE"] == 2
        finally:
            source.stop()

    @pytest.mark.parametrize("group", ["239.1.2.3", "10.0.0.1:5000", "239.1.2.3:0", "239.1.2.3:x", "x:1"])
    def test_what_is_no_group_is_named(self, group):
        with pytest.raises(ConfigurationError, match="a group and a port"):
            UdpFeed("127.0.0.1", 8080, multicast_group=group)
