"""Order tracking: C++ transitions beside a bare hash and slab, and the cycle of an order through the Python API.

One cycle is an order from being made to filled: track, acknowledge, two fills, the venue's FILLED report, with four
events delivered to a Python listener. The peer is the least that Python code could do for the same events: one dict,
no checks but the repeated trade id.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.harness import Bench, Goal, Job, Row, Sample
from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.events import BuyOrderCompletedEvent, BuyOrderCreatedEvent, OrderFilledEvent
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import (
    AddedToCostTradeFee,
    MarketEvent,
    OrderState,
    OrderType,
    OrderUpdate,
    TokenAmount,
    TradeType,
    TradeUpdate,
)

BARE, INDEXED = "C++ hash and slab", "C++ hashes of all ids, fills, events"
TRACKER, DICT = "qtxconn", "one dict of dicts"
GROWTH = f"{TRACKER}, all day"
PAIR = "BTC-USDT"
AMOUNT, PRICE = Decimal("0.5"), Decimal("60000.1")
HALF, HALF_QUOTE = Decimal("0.25"), Decimal("15000.025")
Messages = tuple[str, OrderUpdate, TradeUpdate, TradeUpdate, OrderUpdate]
_next_id = 10**18


def make_messages(orders: int) -> list[Messages]:
    """What a parser has made of each order's messages, built before the clock starts."""
    global _next_id
    messages = []
    for _ in range(orders):
        _next_id += 1
        order_id, venue_id, when = str(_next_id), str(_next_id - 10**18 + 8 * 10**9), 1.7e9 + _next_id % 10**6 / 1e3
        fee = AddedToCostTradeFee(flat_fees=[TokenAmount("USDT", Decimal("0.012"))])
        fills = [
            TradeUpdate(f"{venue_id}{n}", order_id, venue_id, PAIR, when + n, PRICE, HALF, HALF_QUOTE, fee)
            for n in (1, 2)
        ]
        filled = OrderUpdate(PAIR, when + 3, OrderState.FILLED, order_id, venue_id, {"cumulative_base": AMOUNT})
        messages.append((order_id, OrderUpdate(PAIR, when, OrderState.OPEN, order_id, venue_id), *fills, filled))
    return messages


class Listener:
    def __init__(self) -> None:
        self.events = 0

    def __call__(self, event: object) -> None:
        self.events += 1


def make_tracker(listener: Callable[[object], None], live: int = 0, finished: int = 0) -> ClientOrderTracker:
    pubsub = PubSub(logging.getLogger("benchmark"))
    tracker = ClientOrderTracker(pubsub)
    run_tracker(tracker, make_messages(finished))
    for order_id, acknowledged, *_ in make_messages(live):
        tracker.start_tracking_order(make_order(order_id))
        tracker.process_order_update(acknowledged)
    for tag in (MarketEvent.BuyOrderCreated, MarketEvent.OrderFilled, MarketEvent.BuyOrderCompleted):
        pubsub.add_listener(tag, listener)
    return tracker


def make_order(order_id: str) -> InFlightOrder:
    return InFlightOrder(order_id, PAIR, OrderType.LIMIT, TradeType.BUY, AMOUNT, 1.7e9, PRICE)


def run_tracker(tracker: ClientOrderTracker, messages: list[Messages]) -> None:
    for order_id, acknowledged, first, second, filled in messages:
        tracker.start_tracking_order(make_order(order_id))
        tracker.process_order_update(acknowledged)
        tracker.process_trade_update(first)
        tracker.process_trade_update(second)
        tracker.process_order_update(filled)


def run_peer(listener: Callable[[object], None], messages: list[Messages]) -> None:
    """The same events from one dict of dicts."""
    orders: dict[str, dict[str, Any]] = {}
    for order_id, acknowledged, first, second, filled in messages:
        orders[order_id] = order = {"done": Decimal(0), "quote": Decimal(0), "trades": set(), "state": "new"}
        order["venue_id"], order["state"] = acknowledged.exchange_order_id, "open"
        listener(
            BuyOrderCreatedEvent(
                time.time(), OrderType.LIMIT, PAIR, AMOUNT, PRICE, order_id, 1.7e9, order["venue_id"], 1, "NIL"
            )
        )
        for fill in (first, second):
            order = orders[fill.client_order_id]
            if fill.trade_id in order["trades"]:
                continue
            order["trades"].add(fill.trade_id)
            order["done"] += fill.fill_base_amount
            order["quote"] += fill.fill_quote_amount
            listener(
                OrderFilledEvent(
                    time.time(),
                    order_id,
                    PAIR,
                    TradeType.BUY,
                    OrderType.LIMIT,
                    fill.fill_price,
                    fill.fill_base_amount,
                    fill.fee,
                    fill.trade_id,
                    fill.exchange_order_id,
                )
            )
        order = orders.pop(filled.client_order_id)
        base, quote = PAIR.split("-")
        listener(
            BuyOrderCompletedEvent(
                time.time(), order_id, base, quote, order["done"], order["quote"], OrderType.LIMIT, order["venue_id"]
            )
        )


def timed(run: Callable[[Listener, list[Messages]], None], orders: int) -> Sample:
    """us a cycle; the checksum is the number of events."""
    messages = make_messages(orders)
    listener = Listener()
    begin = time.perf_counter_ns()
    run(listener, messages)
    return Sample((time.perf_counter_ns() - begin) / orders / 1e3, listener.events)


def run_fresh(listener: Listener, messages: list[Messages]) -> None:
    run_tracker(make_tracker(listener), messages)


@contextmanager
def transitions(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("order_tracker.cpp")
    orders = bench.scaled(50_000, quick=10_000)
    yield [
        Row.limit(BARE, lambda: bench.run(program, "bare", orders)),
        Row.limit(INDEXED, lambda: bench.run(program, "indexed", orders)),
        Row.ours(TRACKER, lambda: bench.run(program, "tracker", orders)),
    ]


@contextmanager
def cycles(bench: Bench) -> Iterator[list[Row]]:
    orders = bench.scaled(3_000, quick=500)
    listeners: list[Listener] = [Listener()]
    loaded = make_tracker(lambda event: listeners[0](event), live=1000, finished=1000)

    def run_loaded(listener: Listener, messages: list[Messages]) -> None:
        listeners[0] = listener
        run_tracker(loaded, messages)

    yield [
        Row.peer(DICT, lambda: timed(run_peer, orders)),
        Row.ours(TRACKER, lambda: timed(run_fresh, orders)),
        Row.ours(f"{TRACKER}, 1,000 live and 1,000 finished", lambda: timed(run_loaded, orders)),
    ]


def soak(batches: int) -> Sample:
    """KiB of resident memory gained after the first batches of 10,000 orders, with 1,000 others live all the time."""
    tracker = make_tracker(Listener(), live=1000)
    before = 0
    for count in range(batches):
        run_tracker(tracker, make_messages(10_000))
        if count == 1:
            before = rss_kib()  # as many ended orders as are remembered have been forgotten
    return Sample(max(rss_kib() - before, 0))


def rss_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@contextmanager
def memory(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("order_tracker.cpp")
    yield [Row.ours(TRACKER, lambda: bench.run(program, "memory"), once=True)]


@contextmanager
def growth(bench: Bench) -> Iterator[list[Row]]:
    batches = bench.scaled(100, quick=10)
    yield [Row.ours(GROWTH, lambda: soak(batches), once=True)]


JOBS = (
    Job(
        "order-transition",
        "What does a step in an order's life cost in C++, beside a bare hash and slab?",
        "ns/transition",
        transitions,
        goals=(Goal(TRACKER, BARE, at_most=1.8),),
    ),
    Job(
        "order-cycle",
        "What does an order cost in Python from being made to filled, with its four events?",
        "us/order",
        cycles,
    ),
    Job(
        "order-memory",
        "How much memory does a live order with two fills take, and does it grow with 1,000,000 orders in C++?",
        "bytes",
        memory,
        goals=(Goal(TRACKER, at_most=192), Goal(TRACKER, at_most=1024, of="rss_growth_kib")),
    ),
    Job(
        "order-growth",
        "Does memory grow with the orders of a day in Python, 1,000 of them live?",
        "KiB",
        growth,
        goals=(Goal(GROWTH, at_most=1024),),
        pinned=False,
    ),
)
