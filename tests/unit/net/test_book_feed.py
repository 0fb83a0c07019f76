"""BookFeed: when snapshots are asked for, and which ones count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.book_sync import BookSync, DepthDiff, DepthSnapshot
from qtxconn.core.order_book import OrderBook
from qtxconn.errors import NetworkError
from qtxconn.net.backoff import Backoff
from qtxconn.net.book_feed import BookFeed

from .clocks import FakeClock, settle


class RecordingBook(OrderBook):
    """A book that notes which updates it was given."""

    def __init__(self) -> None:
        super().__init__("BTC-USDT", Decimal(1), Decimal(1))
        self.applied: list[int] = []

    def apply_snapshot(self, bids: Any, asks: Any, update_id: int, timestamp_ns: int = 0) -> None:
        super().apply_snapshot(bids, asks, update_id, timestamp_ns)
        self.applied = [update_id]

    def apply_diffs(self, bids: Any, asks: Any, update_id: int, timestamp_ns: int = 0) -> None:
        super().apply_diffs(bids, asks, update_id, timestamp_ns)
        self.applied.append(update_id)


class Snapshots:
    """Answers snapshot requests when told to."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[int]] = []

    async def request(self) -> DepthSnapshot:
        self.asked.append(asyncio.get_running_loop().create_future())
        return DepthSnapshot(await self.asked[-1], [["99", "1"]], [["101", "1"]], 0)


def diff(update_id: int) -> DepthDiff:
    return DepthDiff(update_id, update_id, update_id - 1, [], [], 0)


@asynccontextmanager
async def feeding() -> AsyncIterator[tuple[BookFeed, RecordingBook, Snapshots, FakeClock]]:
    book, snapshots, clock = RecordingBook(), Snapshots(), FakeClock()
    backoff = Backoff(1.0, 1.0, uniform=lambda low, high: high)
    feed = BookFeed(BookSync(book), snapshots.request, clock=clock, name="test", backoff=backoff)
    task = asyncio.create_task(feed.run())
    await settle()
    try:
        yield feed, book, snapshots, clock
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_no_snapshot_is_asked_for_before_the_subscription_stands() -> None:
    async with feeding() as (feed, book, snapshots, _):
        feed.process_diff(diff(1))
        await settle()
        assert not snapshots.asked
        feed.start()
        await settle()
        feed.process_diff(diff(2))
        snapshots.asked[0].set_result(1)
        await settle()
        assert book.applied == [1, 1, 2]
        assert len(snapshots.asked) == 1


async def test_a_snapshot_from_before_a_break_is_not_used_after_it() -> None:
    async with feeding() as (feed, book, snapshots, _):
        feed.start()
        await settle()
        feed.stop()
        feed.start()
        snapshots.asked[0].set_result(5)
        await settle()
        assert book.invalid_reason == "disconnected"
        snapshots.asked[1].set_result(9)
        await settle()
        assert book.applied == [9]
        assert book.invalid_reason is None


@pytest.mark.parametrize("error", [NetworkError("down"), KeyError("bids")], ids=repr)
async def test_errors_and_lagging_snapshots_are_asked_for_again_with_a_pause(error: Exception) -> None:
    async with feeding() as (feed, book, snapshots, clock):
        feed.process_diff(diff(10))
        feed.start()
        await settle()
        snapshots.asked[0].set_exception(error)
        await settle()
        assert len(snapshots.asked) == 1
        await clock.advance(1.0)
        snapshots.asked[1].set_result(7)  # older than the diffs: a lagging replica
        await settle()
        assert book.invalid_reason == "empty"
        await clock.advance(1.0)
        snapshots.asked[2].set_result(10)
        await settle()
        assert book.applied == [10, 10]


async def test_a_gap_asks_at_once() -> None:
    async with feeding() as (feed, book, snapshots, _):
        feed.start()
        await settle()
        snapshots.asked[0].set_result(5)
        await settle()
        feed.process_diff(diff(6))
        feed.process_diff(diff(8))
        assert book.invalid_reason == "gap"
        await settle()
        snapshots.asked[1].set_result(8)
        await settle()
        feed.process_diff(diff(9))
        assert book.applied == [8, 8, 9]
        assert len(snapshots.asked) == 2
