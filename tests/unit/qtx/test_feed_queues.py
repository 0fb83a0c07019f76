"""The feed's messages as asyncio queues, and the three ways to overflow."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from feed_tools import BTC, FULL, deliver, new_book, until
from hypothesis import given
from hypothesis import strategies as st
from qtx_server import TICKER_BID, TRADE_BUY, depth, single

from qtxconn.errors import ConfigurationError
from qtxconn.qtx.feed_queues import DiffMessage, FeedQueue
from qtxconn.qtx.udp_feed import UdpFeed


def apply(known: dict[Decimal, Decimal], levels: list[tuple[Decimal, Decimal]]) -> None:
    for price, amount in levels:
        if amount:
            known[price] = amount
        else:
            known.pop(price, None)


class Reader:
    """A book kept from the diffs alone."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}

    def read(self, queue: asyncio.Queue) -> int:
        count = 0
        while not queue.empty():
            diff = queue.get_nowait()
            if diff.whole:
                self.bids, self.asks = {}, {}
            apply(self.bids, diff.bids)
            apply(self.asks, diff.asks)
            count += 1
        return count

    def equals(self, book) -> bool:
        return self.bids == dict(book.bid_entries(1000)) and self.asks == dict(book.ask_entries(1000))


async def with_queues(server, feed, **options):
    server.after_answer = [FULL]
    book = new_book()
    queues = await feed.subscribe_and_get_queues(BTC, book, **options)
    await until(lambda: book.valid)
    return book, queues


async def test_each_message_comes_once(server, driver):
    async with UdpFeed("127.0.0.1", server.port, driver=driver) as feed:
        book, queues = await with_queues(server, feed)
        assert set(queues) == {"diff", "trade"}
        await deliver(
            server,
            feed,
            single(TICKER_BID, 9, 1, 60000.0, 9.0),
            depth(9, 2, [(60000.2, 0.0)], [(59999.8, 1.0)]),
            single(TRADE_BUY, 9, 1, 60000.1, 0.25),
        )
        first, second = [await asyncio.wait_for(queues["diff"].get(), 10) for _ in range(2)]
        assert first == DiffMessage(
            "BTC-USDT",
            1,
            1_700_000_000.123,
            [(Decimal("60000.0"), 3), (Decimal("59999.9"), 4)],
            [(Decimal("60000.1"), 1), (Decimal("60000.2"), 2)],
            True,
        )
        assert second[3:] == ([(Decimal("59999.8"), 1)], [(Decimal("60000.2"), 0)], False)
        trade = await asyncio.wait_for(queues["trade"].get(), 10)
        assert trade == ("BTC-USDT", Decimal("60000.1"), Decimal("0.25"), True, 1_700_000_000.123)
        assert queues["diff"].dropped == queues["trade"].dropped == 0
        assert feed.get_statistics()["queue_depths"]["BTC-USDT"] <= 1
        assert book.best_bid_size == 9


async def test_conflated_diffs_still_make_the_book(server, driver):
    async with UdpFeed("127.0.0.1", server.port, driver=driver) as feed:
        book, queues = await with_queues(server, feed, maxsize=2, overflow="conflate")
        for number in range(2, 200):
            size = 0.0 if number % 3 == 0 else number / 1000
            server.send(depth(9, number, [(60000.1 + number % 7 / 10, size)], [(59999.9 - number % 5 / 10, 1.0)]))
            if number % 20 == 0:
                await asyncio.sleep(0.005)
        await until(lambda: book.last_update_id == 199 and queues["diff"].conflated == 197)
        reader = Reader()
        assert reader.read(queues["diff"]) == 2
        assert reader.equals(book)
        assert queues["diff"].dropped == 0


async def test_drop_oldest_begins_anew_with_a_whole_book(server, driver):
    async with UdpFeed("127.0.0.1", server.port, driver=driver) as feed:
        book, queues = await with_queues(server, feed, maxsize=2, overflow="drop_oldest")
        server.after_answer = [depth(9, 50, [(60005.0, 1.0)], [(60004.0, 1.0)])]
        await deliver(server, feed, *(depth(9, number, [(60000.3, 1.0)], []) for number in (2, 3)))
        await until(lambda: book.valid and book.best_ask == Decimal("60005.0"))
        reader = Reader()
        await until(lambda: reader.read(queues["diff"]) > 0)
        assert reader.equals(book)
        assert queues["diff"].dropped == 3
        assert server.requests.count(BTC) == 2


async def test_block_keeps_everything(server, driver):
    async with UdpFeed("127.0.0.1", server.port, driver=driver) as feed:
        book, queues = await with_queues(server, feed, maxsize=3, overflow="block")
        for number in range(2, 102):
            server.send(depth(9, number, [(60000.1, number / 1000)], []))
        await until(lambda: queues["diff"].full())
        seen = []
        while len(seen) < 101:
            seen.append((await asyncio.wait_for(queues["diff"].get(), 10)).update_id)
            assert queues["diff"].qsize() <= 3
        assert seen == list(range(1, 102))
        assert queues["diff"].dropped == queues["diff"].conflated == 0
        assert book.best_ask_size == Decimal("0.101")
        assert feed.get_statistics()["kernel_drops"] == 0


async def test_trades_drop_the_oldest_and_say_so(server):
    async with UdpFeed("127.0.0.1", server.port) as feed:
        _, queues = await with_queues(server, feed, maxsize=2, overflow="conflate")
        await deliver(server, feed, *(single(TRADE_BUY, 9, number, 60000.1, number / 1000) for number in range(1, 6)))
        await until(lambda: queues["trade"].dropped == 3)
        assert [queues["trade"].get_nowait().amount for _ in range(2)] == [Decimal("0.004"), Decimal("0.005")]


async def test_options_are_checked(server):
    async with UdpFeed("127.0.0.1", server.port) as feed:
        with pytest.raises(ConfigurationError, match="conflate, drop_oldest, block"):
            await feed.subscribe_and_get_queues(BTC, new_book(), overflow="grow")
        with pytest.raises(ConfigurationError, match="maxsize"):
            await feed.subscribe_and_get_queues(BTC, new_book(), maxsize=0)
        assert feed.trading_pairs == []


levels = st.lists(st.tuples(st.integers(1, 6).map(Decimal), st.integers(0, 3).map(Decimal)), max_size=4)
diffs = st.builds(
    lambda bids, asks, whole: DiffMessage("A-B", 1, 0.0, bids, asks, whole), levels, levels, st.booleans()
)


@given(st.lists(diffs, min_size=1, max_size=12), st.integers(1, 3), st.lists(st.booleans(), max_size=12))
def test_conflation_changes_no_book(messages, maxsize, reads):
    queue = FeedQueue(maxsize, "conflate", lambda: None)
    at_once, later = Reader(), Reader()
    for number, message in enumerate(messages):
        whole = message._replace(whole=message.whole or number == 0)
        one = FeedQueue(1, "conflate", lambda: None)
        one.put_diff(whole)
        at_once.read(one)
        queue.put_diff(whole)
        if number < len(reads) and reads[number]:
            later.read(queue)
    later.read(queue)
    assert (later.bids, later.asks) == (at_once.bids, at_once.asks)
