"""The UDP feed over real loopback sockets: subscriptions, books, sequences, recovery, hostile datagrams."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import time
from decimal import Decimal

import pytest
from feed_tools import BTC, ETH, FULL, deliver, new_book, subscribed, until
from qtx_server import (
    DEPTH,
    TICKER_ASK,
    TICKER_BID,
    TRADE_BUY,
    TRADE_SELL,
    depth,
    header,
    single,
)

from qtxconn.errors import ConfigurationError, NetworkError, RequestTimeoutError
from qtxconn.qtx.udp_feed import UdpFeed


@pytest.fixture
async def feed(server, driver):
    feed = UdpFeed("127.0.0.1", server.port, driver=driver, subscribe_timeout_s=0.2)
    await feed.start()
    yield feed
    await feed.stop()


@pytest.fixture
async def book(server, feed):
    """A subscribed book that has its first full depth."""
    return await subscribed(server, feed)


def messages(feed: UdpFeed) -> int:
    return feed.get_statistics()["datagrams"]


class TestSubscribing:
    async def test_the_first_depth_in_the_same_batch_as_the_answer_makes_the_book(self, server, feed):
        server.after_answer = [FULL]
        book = new_book()
        assert not book.valid
        await feed.subscribe(BTC, book)
        await until(lambda: book.valid)
        assert book.ask_entries() == [(Decimal("60000.1"), 1), (Decimal("60000.2"), 2)]
        assert book.bid_entries() == [(Decimal("60000.0"), 3), (Decimal("59999.9"), 4)]
        assert server.requests == [BTC]

    async def test_data_between_request_and_answer_is_applied_not_taken_for_the_answer(self, server, feed, book):
        server.before_answer = [single(TICKER_BID, 9, 1, 60000.0, 7.0), depth(9, 2, [(60000.3, 5.0)], [])]
        server.after_answer = [depth(4, 1, [(3000.1, 1.0)], [(3000.0, 1.0)])]
        other = new_book("ETH-USDT")
        await feed.subscribe(ETH, other)
        await until(lambda: other.valid and len(book.ask_entries()) == 3)
        assert book.best_bid_size == 7
        assert other.best_ask == Decimal("3000.1")
        assert feed.get_statistics()["sockets"] == 1

    async def test_a_lost_request_is_repeated(self, server, feed):
        server.mute = 2
        await feed.subscribe(BTC, new_book())
        assert server.requests == [BTC] * 3

    async def test_no_answer(self, server, feed):
        with pytest.raises(RequestTimeoutError, match="did not answer the subscription of binance-futures:nope"):
            await feed.subscribe("binance-futures:nope", new_book("NO-PE"))
        assert feed.trading_pairs == []

    async def test_a_refusal_is_passed_on_at_once(self, server, feed):
        server.error_for = "binance-futures:nope"
        with pytest.raises(NetworkError, match="refused binance-futures:nope: error: unknown symbol"):
            await feed.subscribe("binance-futures:nope", new_book("NO-PE"))
        assert len(server.requests) == 1

    async def test_nobody_listens_there(self, driver):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        async with UdpFeed("127.0.0.1", port, driver=driver, subscribe_timeout_s=0.05) as feed:
            with pytest.raises(RequestTimeoutError, match="check host and port"):
                await feed.subscribe(BTC, new_book())

    async def test_a_pair_is_subscribed_once(self, feed, book):
        with pytest.raises(ConfigurationError, match="subscribed already"):
            await feed.subscribe(BTC, new_book())

    async def test_unsubscribe_ends_it(self, server, feed, book):
        late = server.subscribers[BTC]
        feed.unsubscribe("BTC-USDT")
        assert book.invalid_reason == "disconnected"
        await until(lambda: server.requests[-1] == "-" + BTC)
        server.transport.sendto(single(TICKER_BID, 9, 1, 60000.0, 9.0), late)
        await asyncio.sleep(0.05)
        assert book.best_bid_size == 3

    async def test_a_full_depth_that_overtakes_its_answer_is_used(self, server, feed, book):
        server.before_answer = [depth(4, 1, [(3000.1, 1.0)], [(3000.0, 1.0)]), single(TICKER_BID, 4, 1, 3000.0, 5.0)]
        other = new_book("ETH-USDT")
        await feed.subscribe(ETH, other)
        await until(lambda: other.valid)
        assert (other.best_ask, other.best_bid_size) == (Decimal("3000.1"), 5)
        assert feed.get_statistics()["rejects"]["unknown_index"] == 0

    async def test_data_of_nobody_is_counted_once_the_answer_is_there(self, server, feed, book):
        server.before_answer = [single(TICKER_BID, 77, 1, 3000.0, 5.0)]
        await feed.subscribe(ETH, new_book("ETH-USDT"))
        assert feed.get_statistics()["rejects"]["unknown_index"] == 1

    async def test_many_at_once_and_one_that_fails(self, server, feed):
        server.index_of |= {f"x:s{number}": number for number in range(150)}
        books = {f"x:s{number}": new_book(f"S{number}-USDT") for number in range(150)}
        await feed.subscribe_many(books)
        assert len(feed.trading_pairs) == 150
        assert feed.get_statistics()["sockets"] == 2
        server.error_for = "x:nope"
        with pytest.raises(NetworkError, match="refused x:nope"):
            await feed.subscribe_many({"x:nope": new_book("NO-PE"), BTC: new_book()})
        assert len(feed.trading_pairs) == 150

    async def test_a_reused_index_never_meets_the_old_book(self, server, feed, book):
        server.after_answer = [depth(4, 1, [(3000.1, 1.0)], [(3000.0, 1.0)])]
        other = new_book("ETH-USDT")
        await feed.subscribe(ETH, other)
        old_address = server.subscribers[BTC]
        feed.unsubscribe("BTC-USDT")
        server.index_of["binance-futures:solusdt"] = 9  # the server uses BTC's index again
        server.after_answer = [depth(9, 1, [(150.1, 1.0)], [(150.0, 1.0)])]
        sol = new_book("SOL-USDT")
        await feed.subscribe("binance-futures:solusdt", sol)
        await until(lambda: sol.valid)
        server.transport.sendto(single(TICKER_BID, 9, 2, 60000.0, 9.0), old_address)  # BTC data, late
        # ... and what the server sent for SOL to the socket on which 9 was BTC.
        await until(lambda: feed.get_statistics()["rejects"]["unknown_index"] == 2)
        assert sol.best_bid == 150
        assert book.best_bid == 60000
        assert other.valid
        assert server.subscribers["binance-futures:solusdt"] != old_address

    async def test_many_symbols_take_several_sockets(self, server, driver):
        async with UdpFeed("127.0.0.1", server.port, driver=driver, symbols_per_socket=2) as feed:
            books = []
            for number in range(5):
                server.index_of[f"x:s{number}"] = number
                server.after_answer = [depth(number, 1, [(100.0 + number, 1.0)], [(99.0, 1.0)])]
                books.append(new_book(f"S{number}-USDT"))
                await feed.subscribe(f"x:s{number}", books[-1])
            await until(lambda: all(book.valid for book in books))
            assert [book.best_ask for book in books] == [100, 101, 102, 103, 104]
            assert feed.get_statistics()["sockets"] == 3

    async def test_ping(self, server, feed):
        assert await feed.ping()
        server.mute = 1
        assert not await feed.ping(timeout_s=0.05)

    async def test_what_comes_before_the_answer_to_a_ping_or_an_unsubscription_is_applied(self, server, feed, book):
        other = new_book("ETH-USDT")
        await feed.subscribe(ETH, other)
        server.before_answer = [single(TICKER_BID, 9, number, 60000.0, number / 1000) for number in range(1, 51)]
        assert await feed.ping()
        await until(lambda: book.best_bid_size == Decimal("0.05"))
        server.before_answer = [single(TICKER_BID, 9, number, 60000.0, number / 1000) for number in range(51, 101)]
        feed.unsubscribe("ETH-USDT")
        await until(lambda: book.best_bid_size == Decimal("0.1"))
        statistics = feed.get_statistics()
        assert (statistics["gaps"], statistics["duplicates"], statistics["reorders"]) == (0, 0, 0)
        assert book.valid

    async def test_the_rate_of_messages_is_told(self, server, feed, book):
        number = 0

        def send_and_look() -> bool:
            nonlocal number
            number += 1
            server.send(single(TICKER_BID, 9, number, 60000.0, 1.0))
            return feed.get_statistics()["message_rate"] > 1

        await until(send_and_look)
        total = feed.get_statistics()["total_messages"]
        assert 0 < feed.get_statistics()["message_rate"] <= total

    async def test_before_start(self, server):
        feed = UdpFeed("127.0.0.1", server.port)
        with pytest.raises(NetworkError, match="start"):
            await feed.subscribe(BTC, new_book())
        await feed.stop()


class TestBook:
    async def test_ticker_and_depth_merge(self, server, feed, book):
        await deliver(
            server,
            feed,
            single(TICKER_ASK, 9, 1, 60000.2, 1.5),  # 60000.1 is gone
            single(TICKER_BID, 9, 1, 60000.1, 0.5),
            depth(9, 2, [(60000.2, 0.0), (60000.4, 6.0)], [(59999.9, 0.0)]),
        )
        assert book.ask_entries() == [(Decimal("60000.4"), 6)]
        assert book.bid_entries() == [(Decimal("60000.1"), Decimal("0.5")), (Decimal("60000.0"), 3)]

    async def test_a_ticker_of_size_zero_empties_the_top(self, server, feed, book):
        await deliver(server, feed, single(TICKER_BID, 9, 1, 0.0, 0.0))
        assert book.best_bid == Decimal("59999.9")

    async def test_replace_semantics(self, server, driver):
        server.after_answer = [FULL]
        async with UdpFeed("127.0.0.1", server.port, driver=driver, depth_semantics="replace") as feed:
            book = new_book()
            await feed.subscribe(BTC, book)
            await until(lambda: book.valid)
            await deliver(server, feed, depth(9, 2, [(60001.0, 1.0)], [(60000.5, 1.0)]))
            assert (book.ask_entries(), book.bid_entries()) == (
                [(Decimal("60001.0"), 1)],
                [(Decimal("60000.5"), 1)],
            )
            # A loss heals with the next message, without a new subscription.
            await deliver(server, feed, depth(9, 9, [(60002.0, 1.0)], [(60001.5, 1.0)]))
            assert book.valid
            assert server.requests == [BTC]

    async def test_legacy_header(self, server, driver):
        body = struct.pack("<qq", 1, 1) + struct.pack("<dddd", 60000.1, 1.0, 60000.0, 1.0)
        server.after_answer = [struct.pack("<iiqqqq", 2, 9, 77, 1_700_000_000_123_000_000, 5, 6) + body]
        async with UdpFeed("127.0.0.1", server.port, driver=driver, header_layout="legacy") as feed:
            book = new_book()
            await feed.subscribe(BTC, book)
            await until(lambda: book.valid)
            assert book.last_update_id == 77

    async def test_a_crossed_book_is_not_valid(self, server, feed, book):
        await deliver(server, feed, depth(9, 2, [], [(60000.1, 1.0)]))
        assert book.invalid_reason == "crossed"

    async def test_latency_is_measured(self, server, feed, book):
        await deliver(server, feed, single(TICKER_BID, 9, 1, 60000.0, 9.0))
        latency = feed.get_statistics()["latency_ns"]
        assert latency["count"] == 2
        assert 0 < latency["p50"] <= latency["max"] < 5e9


class TestCallbacks:
    async def test_books_and_trades_reach_the_loop(self, server, feed, book):
        books, trades = [], []
        feed.on_book = books.append
        feed.on_trade = lambda *trade: trades.append(trade)
        await deliver(
            server,
            feed,
            single(TICKER_BID, 9, 1, 60000.0, 9.0),
            single(TRADE_BUY, 9, 1, 60000.1, 0.25),
            single(TRADE_SELL, 9, 1, 60000.0, 0.5),
        )
        await until(lambda: len(trades) == 2 and books)
        assert set(books) == {"BTC-USDT"}
        assert trades == [
            ("BTC-USDT", Decimal("60000.1"), Decimal("0.25"), True, 1_700_000_000.123),
            ("BTC-USDT", Decimal("60000.0"), Decimal("0.5"), False, 1_700_000_000.123),
        ]
        assert book.last_trade_price == Decimal("60000.0")

    async def test_a_callback_that_raises_is_reported_and_not_in_the_way(self, server, feed, book, caplog):
        trades = []

        def broken(pair: str) -> None:
            raise RuntimeError("user's mistake")

        feed.on_book = broken
        feed.on_trade = lambda *trade: trades.append(trade)
        await deliver(server, feed, single(TICKER_BID, 9, 1, 60000.0, 9.0), single(TRADE_BUY, 9, 1, 60000.1, 1.0))
        await until(lambda: trades)
        assert "on_book(BTC-USDT) failed" in caplog.text

    async def test_polling_within_a_callback(self, server, feed, book):
        trades = []
        feed.on_book = lambda pair: feed.poll()
        feed.on_trade = lambda *trade: trades.append(trade)
        for number in range(1, 21):
            server.send(single(TICKER_BID, 9, number, 60000.0, 9.0))
            server.send(single(TRADE_BUY, 9, number, 60000.1, 0.25))
        await until(lambda: len(trades) == 20)

    async def test_poll_by_hand(self, server):
        server.after_answer = [FULL]
        async with UdpFeed("127.0.0.1", server.port, driver="manual") as feed:
            book = new_book()
            request = asyncio.ensure_future(feed.subscribe(BTC, book))
            await until(lambda: feed.poll() > 0)
            await request
            await until(lambda: feed.poll() >= 0 and book.valid)


class TestSequence:
    async def test_repeats_and_steps_back_are_dropped(self, server, feed, book):
        await deliver(
            server,
            feed,
            single(TICKER_BID, 9, 5, 60000.0, 5.0),
            single(TICKER_BID, 9, 5, 60000.0, 6.0),
            single(TICKER_BID, 9, 4, 60000.0, 7.0),
        )
        statistics = feed.get_statistics()
        assert book.best_bid_size == 5
        assert (statistics["duplicates"], statistics["reorders"], statistics["gaps"]) == (1, 1, 0)
        assert statistics["rejects"]["stale"] == 2

    async def test_a_ticker_gap_is_counted_and_the_book_stays(self, server, feed, book):
        await deliver(server, feed, single(TICKER_BID, 9, 5, 60000.0, 5.0), single(TICKER_BID, 9, 9, 60000.0, 6.0))
        assert feed.get_statistics()["gaps"] == 3
        assert book.valid

    async def test_streams_are_counted_apart(self, server, feed, book):
        await deliver(server, feed, *(single(kind, 9, 7, 60000.0, 1.0) for kind in (TICKER_BID, TRADE_BUY, TRADE_SELL)))
        assert feed.get_statistics()["gaps"] == 0
        assert feed.get_statistics()["duplicates"] == 0

    async def test_a_depth_gap_invalidates_and_a_new_subscription_heals(self, server, feed, book):
        server.after_answer = [depth(9, 50, [(60005.0, 1.0)], [(60004.0, 1.0)])]
        first_address = server.subscribers[BTC]
        await deliver(server, feed, depth(9, 4, [(60000.5, 1.0)], []))
        assert not book.valid or book.best_ask == Decimal("60005.0")
        await until(lambda: book.valid)
        assert book.ask_entries() == [(Decimal("60005.0"), 1)]
        assert feed.get_statistics()["gaps"] == 2
        assert sorted(server.requests) == sorted([BTC, "-" + BTC, BTC])
        assert server.subscribers[BTC] != first_address
        await deliver(server, feed, depth(9, 51, [(60005.0, 2.0)], []))
        assert book.best_ask_size == 2
        assert book.valid

    async def test_a_gap_does_not_matter_where_ids_only_grow(self, server, driver):
        server.after_answer = [FULL]
        async with UdpFeed("127.0.0.1", server.port, driver=driver, sequence="monotonic") as feed:
            book = new_book()
            await feed.subscribe(BTC, book)
            await until(lambda: book.valid)
            await deliver(server, feed, depth(9, 400, [(60000.1, 9.0)], []), depth(9, 399, [(60000.1, 8.0)], []))
            assert book.valid
            assert book.best_ask_size == 9
            assert feed.get_statistics()["gaps"] == 0
            assert feed.get_statistics()["reorders"] == 1

    async def test_extreme_sequence_numbers(self, server, feed, book):
        await deliver(
            server,
            feed,
            single(TICKER_BID, 9, -(2**63), 60000.0, 5.0),
            single(TICKER_BID, 9, 2**63 - 1, 60000.0, 6.0),
        )
        assert feed.get_statistics()["gaps"] == 2**64 - 2
        assert book.best_bid_size == 6

    async def test_silence_makes_the_book_invalid_and_data_heals_it(self, server, driver):
        server.after_answer = [FULL]
        async with UdpFeed("127.0.0.1", server.port, driver=driver, stale_after_s=0.3, subscribe_timeout_s=0.1) as feed:
            book = new_book()
            await feed.subscribe(BTC, book)
            await until(lambda: book.valid)
            server.mute = 1_000_000
            await until(lambda: not book.valid)
            assert book.invalid_reason == "disconnected"
            server.mute = 0
            await until(lambda: book.valid)

    async def test_a_missing_first_depth_is_asked_for_again(self, server, feed):
        book = new_book()
        await feed.subscribe(BTC, book)
        server.after_answer = [FULL]
        await deliver(server, feed, single(TICKER_BID, 9, 1, 60000.0, 1.0), single(TICKER_ASK, 9, 1, 60000.1, 1.0))
        assert book.invalid_reason == "disconnected"
        await until(lambda: book.valid)


class TestHostile:
    @pytest.mark.parametrize(
        ("reason", "datagram"),
        [
            ("too_short", b"\x01"),
            ("too_short", header(TICKER_BID, 9, 1)[:39]),
            ("bad_length", header(TICKER_BID, 9, 1)),
            ("bad_length", single(TICKER_BID, 9, 1, 1.0, 1.0)[:-1]),
            ("bad_length", single(TRADE_BUY, 9, 1, 1.0, 1.0) + b"\0"),
            ("bad_length", depth(9, 2, [(60000.1, 1.0)], [])[:-1]),
            ("bad_length", header(DEPTH, 9, 2) + struct.pack("<qq", 1, 0)),
            ("bad_length", depth(9, 2, [(60000.1, 1.0)], []) + b"\0" * 16),
            ("bad_count", header(DEPTH, 9, 2) + struct.pack("<qq", -1, 1)),
            ("bad_count", header(DEPTH, 9, 2) + struct.pack("<qq", 2**60, 0)),
            ("bad_count", header(DEPTH, 9, 2) + struct.pack("<qq", 2**63 - 1, 2**63 - 1)),
            ("bad_count", header(DEPTH, 9, 2) + struct.pack("<qq", -(2**63), -(2**63))),
            ("unknown_type", header(0, 9, 1) + bytes(16)),
            ("unknown_type", header(-2, 9, 1) + bytes(16)),
            ("unknown_index", single(TICKER_BID, 8, 1, 60000.0, 1.0)),
            ("unknown_index", single(TICKER_BID, -1, 1, 60000.0, 1.0)),
            ("unknown_index", single(TICKER_BID, 2**31 - 1, 1, 60000.0, 1.0)),
            ("bad_number", single(TICKER_BID, 9, 1, math.nan, 1.0)),
            ("bad_number", single(TICKER_BID, 9, 1, 1.0, math.nan)),
            ("bad_number", single(TICKER_BID, 9, 1, math.inf, 1.0)),
            ("bad_number", single(TICKER_BID, 9, 1, 1.0, math.inf)),
            ("bad_number", single(TICKER_BID, 9, 1, -1.0, 1.0)),
            ("bad_number", single(TICKER_BID, 9, 1, 60000.0, -1.0)),
            ("bad_number", depth(9, 2, [(60000.1, 1.0), (60000.2, -2.2e-193)], [])),  # rounds to no lot at all
            ("bad_number", single(TICKER_BID, 9, 1, 0.0, 1.0)),
            ("bad_number", single(TRADE_BUY, 9, 1, 60000.0, 0.0)),
            ("bad_number", depth(9, 2, [(60000.1, 1.0), (math.nan, 1.0)], [])),
            ("off_grid", single(TRADE_BUY, 9, 1, 60000.05, 1.0)),
            ("off_grid", single(TRADE_BUY, 9, 1, 60000.0, 1e17)),
            ("unexpected_text", b"hello"),
            ("unexpected_text", b"9:binance-futures:other"),
            ("too_short", b"\xff" * 20),
        ],
    )
    async def test_costs_a_counter_and_nothing_else(self, server, feed, book, reason, datagram):
        before = book.revision, book.bid_entries(), book.ask_entries()
        server.send(datagram)
        await until(lambda: feed.get_statistics()["rejects"][reason] == 1)
        assert (book.revision, book.bid_entries(), book.ask_entries()) == before
        assert book.valid
        assert sum(feed.get_statistics()["rejects"].values()) == 1

    async def test_an_off_grid_level_changes_nothing_and_says_so(self, server, feed, book):
        server.after_answer = [FULL]
        server.send(depth(9, 2, [(60000.3, 1.0), (60000.35, 1.0)], []))
        await until(lambda: feed.get_statistics()["rejects"]["off_grid"] == 1)
        assert len(book.ask_entries()) == 2
        await until(lambda: book.valid)  # subscribed anew

    async def test_another_source_address_is_not_heard(self, server, feed, book):
        forged = single(TICKER_BID, 9, 1, 60000.0, 99.0)
        for source in ("127.0.0.2", "127.0.0.1"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind((source, 0))
                other.sendto(forged, server.subscribers[BTC])
        await deliver(server, feed, single(TICKER_BID, 9, 1, 60000.0, 5.0))
        assert messages(feed) == 3  # answer, full depth, ticker
        assert book.best_bid_size == 5

    async def test_noise_around_real_data(self, server, feed, book):
        wanted = messages(feed) + 600
        for number in range(1, 301):
            server.send(b"\x02\0\0\0" + bytes([number % 256]) * (number % 120))
            server.send(single(TICKER_BID, 9, number, 60000.0, number / 1000))
            if number % 50 == 0:
                await asyncio.sleep(0.01)
        await until(lambda: messages(feed) >= wanted)
        assert book.best_bid_size == Decimal("0.3")
        assert book.valid


class TestKernelDrops:
    async def test_drops_are_counted_and_books_of_growing_ids_are_renewed(self, server):
        server.after_answer = [FULL]
        feed = UdpFeed("127.0.0.1", server.port, driver="manual", sequence="monotonic", receive_buffer_bytes=4096)
        async with feed:
            book = new_book()
            request = asyncio.ensure_future(feed.subscribe(BTC, book))
            while not request.done():
                feed.poll()
                await asyncio.sleep(0.001)
            await until(lambda: feed.poll() >= 0 and book.valid)
            received = messages(feed)
            for number in range(1, 1001):
                server.send(single(TICKER_BID, 9, number, 60000.0, 1.0))
            while feed.poll():
                pass
            server.send(single(TICKER_BID, 9, 1001, 60000.0, 1.0))
            await until(lambda: feed.poll() > 0)
            drops = feed.get_statistics()["kernel_drops"]
            assert drops > 0
            assert drops == 1001 - (messages(feed) - received)
            assert book.invalid_reason == "gap"


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"port": 0}, r"1\.\.65535"),
            ({"port": 65536}, r"1\.\.65535"),
            ({"driver": "fast"}, "asyncio, thread, manual"),
            ({"header_layout": "x"}, "sdk, legacy"),
            ({"depth_semantics": "x"}, "merge, replace"),
            ({"sequence": "x"}, "contiguous, monotonic"),
            ({"cpu": 4096}, "cores"),
            ({"stale_after_s": 0}, "positive"),
        ],
    )
    def test_bad_ones_are_named(self, options, message):
        with pytest.raises(ConfigurationError, match=message):
            UdpFeed("127.0.0.1", **{"port": 8080, **options})

    async def test_a_host_that_does_not_exist(self):
        with pytest.raises(NetworkError, match="correct the host"):
            await UdpFeed("no-such-host.invalid", 8080).start()

    async def test_an_idle_thread_costs_next_to_nothing(self, server):
        async with UdpFeed("127.0.0.1", server.port, driver="thread", spin_ns=0, yield_ns=0):
            await asyncio.sleep(0.05)
            before = time.process_time()
            await asyncio.sleep(0.3)
            assert time.process_time() - before < 0.03
