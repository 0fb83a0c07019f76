"""Strategies inside the receive loop: called for each message, in any thread, and free to call the feed."""

from __future__ import annotations

import asyncio
import math
import threading
import time

from feed_tools import FULL, deliver, new_book, subscribed, until
from qtx_server import TICKER_BID, TRADE_BUY, TRADE_SELL, depth, single

from qtxconn.qtx.strategy import Strategy
from qtxconn.qtx.udp_feed import UdpFeed


class Recorder(Strategy):
    def __init__(self) -> None:
        self.books: list[tuple[str, float, float]] = []
        self.trades: list[tuple[str, float, float, bool]] = []
        self.threads: set[int] = set()

    def on_book(self, book, bid, ask):
        self.books.append((book.trading_pair, bid, ask))
        self.threads.add(threading.get_ident())

    def on_trade(self, book, price, amount, is_buy):
        self.trades.append((book.trading_pair, price, amount, is_buy))


async def test_every_message_is_told_where_it_is_received(server, driver):
    async with UdpFeed("127.0.0.1", server.port, driver=driver) as feed:
        recorder = Recorder()
        feed.set_strategy(recorder)
        await subscribed(server, feed)
        await deliver(server, feed, *(single(TICKER_BID, 9, number, 60000.0, 0.1 * number) for number in range(1, 51)))
        await deliver(server, feed, single(TRADE_BUY, 9, 1, 60000.1, 0.25), single(TRADE_SELL, 9, 1, 60000.0, 0.5))
        await until(lambda: len(recorder.trades) == 2)
        assert recorder.books == [("BTC-USDT", 60000.0, 60000.1)] * 51
        assert recorder.trades == [("BTC-USDT", 60000.1, 0.25, True), ("BTC-USDT", 60000.0, 0.5, False)]
        assert (threading.get_ident() in recorder.threads) == (driver == "asyncio")


async def test_a_book_that_becomes_invalid_is_told(server, driver):
    async with UdpFeed("127.0.0.1", server.port, driver=driver) as feed:
        recorder = Recorder()
        await subscribed(server, feed)
        feed.set_strategy(recorder)  # knows the pairs that were there before
        server.after_answer = [FULL]
        await deliver(server, feed, depth(9, 7, [(60000.1, 1.0)], []))
        await until(lambda: len(recorder.books) >= 3)
        assert all(math.isnan(price) for price in recorder.books[0][1:])
        assert recorder.books[-1] == ("BTC-USDT", 60000.0, 60000.1)
        feed.set_strategy(None)
        told = len(recorder.books)
        await deliver(server, feed, depth(9, 2, [(60000.1, 1.0)], []))
        assert len(recorder.books) == told


async def test_what_it_raises_is_reported_and_not_in_the_way(server, driver, caplog):
    class Broken(Strategy):
        def on_book(self, book, bid, ask):
            raise RuntimeError("the user's mistake")

    async with UdpFeed("127.0.0.1", server.port, driver=driver) as feed:
        feed.set_strategy(Broken())
        book = await subscribed(server, feed)
        await deliver(server, feed, single(TICKER_BID, 9, 1, 60000.0, 9.0))
        assert book.best_bid_size == 9
        assert "on_book(BTC-USDT) failed" in caplog.text


async def test_it_may_call_the_feed(server, driver):
    class Caller(Strategy):
        def __init__(self, feed):
            self.feed = feed
            self.seen = []

        def on_trade(self, book, price, amount, is_buy):
            self.seen.append((self.feed.get_statistics()["kernel_drops"], self.feed.poll()))

        def on_book(self, book, bid, ask):
            if bid == 60000.0 and book.best_bid_size == 7:
                self.feed.unsubscribe(book.trading_pair)

    async with UdpFeed("127.0.0.1", server.port, driver=driver) as feed:
        caller = Caller(feed)
        feed.set_strategy(caller)
        book = await subscribed(server, feed)
        await deliver(server, feed, single(TRADE_BUY, 9, 1, 60000.1, 1.0))
        await until(lambda: caller.seen == [(0, 0)])
        await deliver(server, feed, single(TICKER_BID, 9, 1, 60000.0, 7.0))
        await until(lambda: not feed.trading_pairs)
        assert book.invalid_reason == "disconnected"
        server.send(single(TICKER_BID, 9, 2, 60000.0, 8.0))
        await asyncio.sleep(0.05)
        assert book.best_bid_size == 7


async def test_callers_that_hold_the_gil_and_a_strategy_that_wants_it(server):
    """The event loop asks the feed all the time while the receiving thread calls Python: neither waits for ever."""

    class Slow(Strategy):
        calls = 0

        def on_book(self, book, bid, ask):
            Slow.calls += 1
            deadline = time.perf_counter() + 0.0002
            while time.perf_counter() < deadline:
                pass

    async with UdpFeed("127.0.0.1", server.port, driver="thread") as feed:
        feed.set_strategy(Slow())
        await subscribed(server, feed)
        for number in range(1, 301):
            server.send(single(TICKER_BID, 9, number, 60000.0, 1.0))
            other = new_book(f"S{number}-USDT")
            server.index_of[f"x:s{number}"] = 100 + number
            feed.latency()
            if number % 30 == 0:
                await feed.subscribe(f"x:s{number}", other)
                feed.unsubscribe(other.trading_pair)
        await until(lambda: Slow.calls >= 301)


async def test_an_idle_strategy_costs_no_call(server):
    async with UdpFeed("127.0.0.1", server.port) as feed:
        feed.set_strategy(Strategy())
        book = await subscribed(server, feed)
        await deliver(server, feed, single(TICKER_BID, 9, 1, 60000.0, 9.0), single(TRADE_BUY, 9, 1, 60000.1, 1.0))
        assert book.best_bid_size == 9
