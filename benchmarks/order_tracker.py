"""Order tracking: C++ transitions beside a bare hash and slab, and the cycle of an order through the Python API.

    python benchmarks/order_tracker.py [--orders N] [--soak]

One cycle is an order from being made to filled: track, acknowledge, two fills, the venue's FILLED report, with four
events delivered to a Python listener. The peer is the least that Python code could do for the same events: one dict,
no checks but the repeated trade id. All figures of a run come from alternating repetitions; quote the ratios.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

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

ROOT = Path(__file__).resolve().parent.parent
PAIR = "BTC-USDT"
AMOUNT, PRICE = Decimal("0.5"), Decimal("60000.1")
HALF, HALF_QUOTE = Decimal("0.25"), Decimal("15000.025")
REPETITIONS = 9
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


def timed(run: Callable[[list[Messages]], None], orders: int) -> float:
    """us a cycle."""
    messages = make_messages(orders)
    gc.collect()
    gc.freeze()  # the script itself is not the work
    begin = time.perf_counter_ns()
    run(messages)
    elapsed = time.perf_counter_ns() - begin
    gc.unfreeze()
    return elapsed / orders / 1e3


def cycles(orders: int) -> None:
    listener = Listener()
    alone = make_tracker(listener)
    loaded = make_tracker(listener, live=1000, finished=1000)
    runs: dict[str, Callable[[list[Messages]], None]] = {
        "dict peer": lambda messages: run_peer(listener, messages),
        "tracker": lambda messages: run_tracker(alone, messages),
        "tracker, 1,000 live and 1,000 finished": lambda messages: run_tracker(loaded, messages),
    }
    figures: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(REPETITIONS):
        for name, run in runs.items():
            figures[name].append(timed(run, orders))
    assert listener.events == 4 * orders * REPETITIONS * len(runs)
    peer = statistics.median(figures["dict peer"])
    for name, values in figures.items():
        middle = statistics.median(values)
        print(f"cycle, {name:42} {middle:6.2f} us (least {min(values):.2f})   {middle / peer:5.2f}x the peer")


def soak() -> None:
    listener = Listener()
    tracker = make_tracker(listener)

    def rss_kib() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

    for count in range(100):
        run_tracker(tracker, make_messages(10_000))
        if count == 2:
            before = rss_kib()  # 10,000 ended orders are remembered, and forgetting has set in
    print(f"RSS growth from 30,000 to 1,000,000 orders: {rss_kib() - before} KiB")


def limits() -> None:
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        print("no C++ compiler: the bare program is left out")
        return
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "order_tracker"
        source = ROOT / "benchmarks" / "limits" / "order_tracker.cpp"
        options = ["-std=c++17", "-O2", "-march=x86-64-v2", f"-I{ROOT / 'include'}"]
        subprocess.run([compiler, *options, source, "-o", program], check=True)
        for mode in ("compare", "memory"):
            answer = subprocess.run([program, mode], check=True, capture_output=True, text=True).stdout
            print("C++", ", ".join(f"{name} {value}" for name, value in json.loads(answer).items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--orders", type=int, default=3000, help="orders a repetition")
    parser.add_argument("--soak", action="store_true", help="also 1,000,000 orders, for the memory they leave behind")
    arguments = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.2f}")
    limits()
    cycles(arguments.orders)
    if arguments.soak:
        soak()


if __name__ == "__main__":
    main()
