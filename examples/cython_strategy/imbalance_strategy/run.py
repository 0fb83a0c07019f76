"""Runs the strategy on the embedded venue and prints what it did: `python -m imbalance_strategy.run`."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from imbalance_strategy.strategy import ImbalanceStrategy
from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.core.order_book import OrderBook
from qtxconn.qtx.order_queue import OrderQueue
from qtxconn.qtx.udp_feed import UdpFeed
from qtxconn.storage.journal import OrderJournal
from qtxconn.storage.recovery import fold

ANSWER_TIMEOUT_NS = 5_000_000_000


@contextmanager
def venue(*options: str) -> Iterator[dict[str, Any]]:
    """The venue in a process of its own; gives the endpoints it prints once it is ready."""
    command = [sys.executable, "-m", "qtxconn", "venue", "--speak", "binance", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


async def subscribe(feed: UdpFeed, symbol: str, book: OrderBook) -> None:
    """With driver="manual" somebody has to receive the answer; from then on the strategy does."""
    subscribing = asyncio.ensure_future(feed.subscribe(symbol, book))
    while not (subscribing.done() and book.valid):
        feed.poll()
        await asyncio.sleep(0.001)
        if subscribing.done():
            subscribing.result()


def open_orders(journal: OrderJournal) -> int:
    """How many orders in the journal have not ended, as far as it knows. After a kill each of them is to be asked about
    at the venue before the next one is placed, as a connector does that is given the journal (docs/durability.md)."""
    return sum(not order.state.is_terminal for order in fold(journal.entries()))


async def trade(endpoints: dict[str, Any], journal: OrderJournal, seconds: float, orders: int) -> int:
    host, port = endpoints["qtx_udp"].rsplit(":", 1)
    book = OrderBook("BTC-USDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
    with OrderQueue.attach(endpoints["qtx_shm"]) as queue:
        slot = queue.register_key(endpoints["api_key"], endpoints["api_secret"], place_ts_ns=SYSTEM_CLOCK.now_ns())
        queue.wait_answer(slot, ANSWER_TIMEOUT_NS)
        async with UdpFeed(host, int(port), driver="manual") as feed:
            await subscribe(feed, endpoints["qtx_symbols"][0], book)
            symbol, account = endpoints["symbols"][0], endpoints["api_key"]
            strategy = ImbalanceStrategy(feed, book, queue, journal, symbol, Decimal("0.002"), account)
            report = await asyncio.to_thread(strategy.run, seconds, orders)
            print(f"book            {book!r}")
    for name, value in report._asdict().items():
        print(f"{name:<15} {value}")
    print(f"journal         {journal.records} records, {open_orders(journal)} orders have not ended")
    for latency in (strategy.decision_latency, strategy.answer_latency):
        print(f"{latency.name}: {latency.summary()} (ns)")
    return 0 if report.filled and not report.unanswered and not open_orders(journal) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--orders", type=int, default=20, help="stop after this many")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        OrderJournal(Path(directory) / "orders.journal") as journal,
        venue() as endpoints,
    ):
        return asyncio.run(trade(endpoints, journal, arguments.seconds, arguments.orders))


if __name__ == "__main__":
    sys.exit(main())
