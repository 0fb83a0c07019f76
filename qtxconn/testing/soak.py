"""A long run over real sockets: a connector, a venue in another process, many orders a second and faults all the while.

    python -m qtxconn.testing.soak --minutes 30 --rate 200 --order-path websocket

Orders rest, fill, are amended and cancelled, alone and in batches, on a synthetic market. Every CHECK_S placing stops
for a moment, position and balance must become the venue's, and every order that has ended is compared with the venue's
record of it. At the end the faults stop, everything is cancelled, and nothing may be left. Exit status 1 for a
violation, a refusal for the rate limit, a ban, or memory that grows.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import click

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import OrderRequest, OrderState, OrderType, TradeType
from qtxconn.errors import OrderValidationError
from qtxconn.exchanges.binance.constants import IP, ORDERS_1M, ORDERS_10S
from qtxconn.exchanges.binance.perpetual import ORDER_PATHS, BinancePerpetual
from qtxconn.net.throttler import RateLimit
from qtxconn.perf.latency import LatencyRecorder
from qtxconn.sim.launch import VenueProcess
from qtxconn.storage.journal import OrderJournal
from qtxconn.testing.conformance.binance import HAND_ADDRESS, PAIR, QUOTE, TESTED, BinanceHand
from qtxconn.testing.ledger import RULES, Ledger

CHECK_S = 30.0
STEP_S = 0.005
BALANCE = 10_000_000
OPEN_MAX = 120
POSITION_MAX = Decimal("0.5")
BATCH_PLACE, BATCH_CANCEL = 5, 10
AMOUNTS = [Decimal(lots) / 1000 for lots in (2, 2, 3, 5)]
BEHIND_MAX_S = 1.0  # what a slow moment has left undone beyond this is not made up for
LAG_STEP_NS = 10_000_000
SAMPLE_S = 5.0
WARM_UP_S = 300.0  # caches fill: ended orders, the journal's pages, the connections' buffers
GROWTH_MAX = 0.05  # of resident memory, from the first quarter of the time after the warm-up to the last
END_S = 120.0
# An account of a higher tier: what the venue enforces is what the connector is told.
WEIGHT_1M, COUNT_10S, COUNT_1M = 40_000, 3_000, 15_000
RATE_LIMITS = (
    RateLimit(IP, WEIGHT_1M, 60.0, reserved=2_000),
    RateLimit(ORDERS_10S, COUNT_10S, 10.0, scope="account"),
    RateLimit(ORDERS_1M, COUNT_1M, 60.0, scope="account"),
)
# (fault, probability, fields) of every request that changes an order. Those that break the connection break it for
# all requests of the WebSocket API, so there they come less often.
REQUEST_FAULTS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("lost request", 0.0003, {}),
    ("lost answer", 0.0003, {}),
    ("late", 0.001, {"delay_s": 0.5}),
    ("slow answer", 0.002, {"delay_s": 0.3}),
    ("error before", 0.002, {"status": 503}),
    ("error after", 0.002, {"status": 503}),
    ("html", 0.0005, {}),
    ("unknown fields", 0.005, {}),
)
BREAKING_FAULTS: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("reset before", 0.001, {}),
    ("reset after", 0.001, {}),
    ("reset then late", 0.0005, {"delay_s": 0.5}),
    ("torn", 0.001, {}),
)
BREAKING_SHARE_WEBSOCKET = 0.02
READS = ("GET /fapi/v1/order", "GET /fapi/v1/userTrades", "GET /fapi/v?/balance", "GET /fapi/v1/depth")
STREAM_FAULTS: tuple[tuple[str, str, float, dict[str, Any]], ...] = (
    ("lost", "user ORDER_TRADE_UPDATE", 0.001, {}),
    ("duplicate", "user *", 0.01, {}),
    ("reorder", "user ORDER_TRADE_UPDATE", 0.01, {"delay_s": 0.2}),
    ("stall", "user *", 0.001, {"delay_s": 0.3}),
    ("break", "user *", 0.00005, {}),
    ("duplicate", "stream *@depth*", 0.01, {}),
    ("lost", "stream *@depth*", 0.002, {}),
    ("break", "stream *@depth*", 0.0005, {}),
)
TIMED_FAULTS = (("disconnect", 20.0, 60.0), ("expire listen keys", 45.0, 90.0))  # from_s, every_s


@dataclass(frozen=True, slots=True)
class SoakSettings:
    """What to run: `rate` orders a second, each placement, amend and cancel being one, for `minutes`."""

    minutes: float = 30.0
    rate: float = 200.0
    seed: int = 1
    order_path: str = "rest"
    check_s: float = CHECK_S


@dataclass(slots=True)
class SoakReport:
    """What came of it. `memory` are (seconds, resident bytes) from the end of the warm-up on."""

    settings: SoakSettings
    seconds: float
    operations: int
    counts: dict[str, int]
    checks: dict[str, int]
    violations: dict[str, int]
    texts: list[str]
    faults: dict[str, int]
    limits: dict[str, dict[str, int]]
    reconnects: int
    memory: list[tuple[float, int]]
    lag: dict[str, int]
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


def fault_rules(order_path: str) -> list[dict[str, Any]]:
    """The fault script: everything but refusals for the rate limit, which must not come at all."""
    requests = ["POST /fapi/v1/order", "DELETE /fapi/v1/order", "PUT /fapi/v1/order", "* /fapi/v1/batchOrders"]
    rules = [
        {"fault": fault, "where": where, "probability": probability} | more
        for where in requests
        for fault, probability, more in REQUEST_FAULTS + BREAKING_FAULTS
    ]
    if order_path == "websocket":
        for fault, probability, more in REQUEST_FAULTS:
            rules.append({"fault": fault, "where": "ws order.*", "probability": probability} | more)
        for fault, probability, more in BREAKING_FAULTS:
            share = probability * BREAKING_SHARE_WEBSOCKET
            rules.append({"fault": fault, "where": "ws order.*", "probability": share} | more)
    for where in READS:
        rules.append({"fault": "reset before", "where": where, "probability": 0.005})
        rules.append({"fault": "error before", "where": where, "probability": 0.005, "status": 502})
        rules.append({"fault": "slow answer", "where": where, "probability": 0.01, "delay_s": 0.3})
    rules += [{"fault": f, "where": where, "probability": p} | more for f, where, p, more in STREAM_FAULTS]
    rules += [{"fault": fault, "from_s": from_s, "every_s": every_s} for fault, from_s, every_s in TIMED_FAULTS]
    return rules


class Trader:
    """Places, amends and cancels at random, at a steady rate."""

    def __init__(self, connector: BinancePerpetual, ledger: Ledger, settings: SoakSettings) -> None:
        self._connector = connector
        self._ledger = ledger
        self._rng = random.Random(f"soak {settings.seed}")
        self._rate = settings.rate
        self._mid = Decimal(0)
        self.operations = 0

    async def trade(self, seconds: float) -> None:
        """Does `rate` operations a second for so long."""
        started_ns = SYSTEM_CLOCK.monotonic_ns()
        done = 0.0
        while (passed_s := (SYSTEM_CLOCK.monotonic_ns() - started_ns) / 1e9) < seconds:
            due = passed_s * self._rate
            done = max(done, due - BEHIND_MAX_S * self._rate)
            while done < due:
                count = self._act()
                self.operations += count
                done += count or 1  # nothing could be done: as many as may be open wait for the venue's word
            await asyncio.sleep(STEP_S)

    def _act(self) -> int:
        """One thing that a user does. -> how many orders it was about."""
        live = list(self._ledger.open.values())
        if len(live) >= OPEN_MAX:  # the oldest: no order lives for ever
            return next((1 for order in live if self._cancel(order)), 0)
        return self._choose(live) or self._place(OrderType.LIMIT)

    def _choose(self, live: list[InFlightOrder]) -> int:
        rng = self._rng
        choice = rng.random()
        if choice < 0.10:
            return self._place(OrderType.MARKET)
        if choice < 0.14:
            return self._place(OrderType.LIMIT, time_in_force=rng.choice(("IOC", "FOK")))
        if choice < 0.50 or len(live) < BATCH_CANCEL:
            return self._place(rng.choice((OrderType.LIMIT, OrderType.LIMIT, OrderType.LIMIT_MAKER)))
        if choice < 0.55:
            return self._place_batch()
        if choice < 0.57:
            return sum(self._connector.batch_order_cancel(rng.sample(live, BATCH_CANCEL)))
        if choice < 0.75:
            return self._amend(rng.choice(live))
        return self._cancel(rng.choice(live))

    def _mid_price(self) -> Decimal:
        book = self._connector.get_order_book(PAIR)
        if book.valid and book.mid_price is not None:
            self._mid = book.mid_price
        return self._mid

    def _request(self, kind: OrderType, **options: Any) -> OrderRequest:
        rng = self._rng
        side = rng.choice((TradeType.BUY, TradeType.SELL))
        position = self._connector.get_position_amount(PAIR)
        if abs(position) > POSITION_MAX and kind is OrderType.MARKET:
            side = TradeType.SELL if position > 0 else TradeType.BUY
        # In units of 0.001 %: mostly resting, some at the touch, and those that are to take across it.
        away = rng.choice((-2, 1, 2, 20, 60, 150, 300)) if "time_in_force" not in options else rng.choice((-10, 1))
        sign = -1 if side is TradeType.BUY else 1
        price = None if kind is OrderType.MARKET else self._mid_price() * (1 + Decimal(sign * away) / 100_000)
        return OrderRequest(PAIR, side, rng.choice(AMOUNTS), kind, price, options=options)

    def _place(self, kind: OrderType, **options: Any) -> int:
        request = self._request(kind, **options)
        method = self._connector.buy if request.trade_type is TradeType.BUY else self._connector.sell
        order_id = method(PAIR, request.amount, kind, request.price, **options)
        self._ledger.intent(order_id)
        return 1

    def _place_batch(self) -> int:
        requests = [self._request(OrderType.LIMIT) for _ in range(BATCH_PLACE)]
        for result in self._connector.batch_order_create(requests):
            assert result.order_id is not None, result.error
            self._ledger.intent(result.order_id)
        return BATCH_PLACE

    def _cancel(self, order: InFlightOrder) -> int:
        try:
            return int(self._connector.cancel(PAIR, order.client_order_id))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not come out
            self._ledger.check("L10", False, f"cancel raised {type(error).__name__}: {error}")
            return 0
        finally:
            self._ledger.check("L10", True, "")

    def _amend(self, order: InFlightOrder) -> int:
        if order.current_state not in (OrderState.OPEN, OrderState.PARTIALLY_FILLED):
            return 0
        rng = self._rng
        changes: dict[str, Decimal] = {"amount": rng.choice(AMOUNTS)}
        if rng.random() < 0.7:
            sign = -1 if order.trade_type is TradeType.BUY else 1
            changes["price"] = self._mid_price() * (1 + Decimal(sign * rng.choice((2, 20, 100))) / 100_000)
        try:
            return int(self._connector.amend(PAIR, order.client_order_id, **changes))
        except OrderValidationError:
            return 0  # no change, or nothing left to execute


def resident_bytes() -> int:
    """Memory of this process that is in RAM (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Samples memory, and how late the event loop wakes who sleeps."""

    def __init__(self) -> None:
        self.lag = LatencyRecorder("event loop lag")
        self.memory: list[tuple[float, int]] = []
        self._started_ns = SYSTEM_CLOCK.monotonic_ns()

    @property
    def seconds(self) -> float:
        return (SYSTEM_CLOCK.monotonic_ns() - self._started_ns) / 1e9

    async def run(self) -> None:
        sampled_s = -SAMPLE_S
        while True:
            before_ns = SYSTEM_CLOCK.monotonic_ns()
            await asyncio.sleep(LAG_STEP_NS / 1e9)
            self.lag.record(max(0, SYSTEM_CLOCK.monotonic_ns() - before_ns - LAG_STEP_NS))
            if self.seconds - sampled_s >= SAMPLE_S:
                sampled_s = self.seconds
                self.memory.append((sampled_s, resident_bytes()))

    def after_warm_up(self) -> list[tuple[float, int]]:
        return [sample for sample in self.memory if sample[0] >= WARM_UP_S]


def slope(samples: list[tuple[float, int]]) -> float:
    """Least squares, bytes a second; 0 for less than two samples."""
    if len(samples) < 2:
        return 0.0
    mean_s = sum(second for second, _ in samples) / len(samples)
    mean = sum(size for _, size in samples) / len(samples)
    spread = sum((second - mean_s) ** 2 for second, _ in samples)
    return sum((second - mean_s) * (size - mean) for second, size in samples) / spread


@asynccontextmanager
async def _venue(settings: SoakSettings) -> AsyncIterator[BinanceHand]:
    account = f"--account={TESTED.key}:{TESTED.secret}::{BALANCE}"
    # The hand asks from an address of its own, so that it does not count in the connector's limits.
    connector = aiohttp.TCPConnector(local_addr=(HAND_ADDRESS, 0))
    async with (
        VenueProcess(["--speak", "binance", "--seed", str(settings.seed), account]) as venue,
        aiohttp.ClientSession(connector=connector) as session,
    ):
        hand = BinanceHand(venue.endpoints, session, settings.order_path)
        await hand.set_limits(weight_1m=WEIGHT_1M, orders_10s=COUNT_10S, orders_1m=COUNT_1M)
        yield hand


async def soak(settings: SoakSettings, say: Callable[[str], None] = lambda _: None) -> SoakReport:
    """One run from the venue's start to its end; `say` hears a line at every check."""
    names = ("rest", "ws_public", "ws_market", "ws_private", "ws_trade")
    with tempfile.TemporaryDirectory() as directory:
        async with _venue(settings) as hand:
            connector = BinancePerpetual(
                TESTED.key,
                TESTED.secret,
                [PAIR],
                order_path=settings.order_path,
                rate_limits=RATE_LIMITS,
                journal=OrderJournal(Path(directory) / "journal"),
                **{f"{name}_url": hand.endpoints[name] for name in names},
            )
            ledger = Ledger(connector, hand, PAIR, QUOTE)
            async with connector:
                return await _run(settings, connector, hand, ledger, say)


async def _run(
    settings: SoakSettings, connector: BinancePerpetual, hand: BinanceHand, ledger: Ledger, say: Callable[[str], None]
) -> SoakReport:
    trader, watch = Trader(connector, ledger, settings), Watch()
    watching = asyncio.create_task(watch.run())
    shown = 0  # violations that were said
    try:
        await hand.load_faults(settings.seed, fault_rules(settings.order_path))
        while (left_s := settings.minutes * 60 - watch.seconds) > 0:
            await trader.trade(min(left_s, settings.check_s))
            await ledger.settle_account()
            await ledger.reconcile()
            say(_progress(watch, trader, ledger, connector))
            for text in ledger.texts[shown:]:
                say(f"VIOLATION {text}")
            shown = len(ledger.texts)
        seconds = watch.seconds
        faults = await hand.fault_counts()
        await _end(connector, hand, ledger)
    finally:
        watching.cancel()
    report = SoakReport(
        settings,
        seconds,
        trader.operations,
        dict(ledger.counts),
        {rule: ledger.checks[rule] for rule in RULES},
        {rule: ledger.violations[rule] for rule in RULES},
        ledger.texts,
        faults,
        await hand.limits(),
        _reconnects(connector),
        watch.after_warm_up(),
        watch.lag.summary(),
    )
    report.problems = judge(report)
    return report


async def _end(connector: BinancePerpetual, hand: BinanceHand, ledger: Ledger) -> None:
    """No more faults, no more orders: everything comes to its end, alike on both sides."""
    await hand.end_faults()
    for result in await connector.cancel_all(END_S):
        ledger.check("L6", result.success, f"cancel_all() left {result.order_id}")
    await ledger.settle_account()
    await ledger.reconcile()
    ledger.end()


def _reconnects(connector: BinancePerpetual) -> int:
    streams = [connector._user_stream, connector._order_stream, *connector._market.streams]
    return sum(stream.connections - 1 for stream in streams if stream is not None)


def judge(report: SoakReport) -> list[str]:
    """What is not as it must be."""
    problems = [f"{rule}: {count} violations" for rule, count in report.violations.items() if count]
    refusals, peaks, limits = (report.limits[name] for name in ("refusals", "peaks", "limits"))
    problems += [f"HTTP {status}: {count} times" for status, count in refusals.items() if count]
    problems += [f"{name}: used {used} of {limits[name]}" for name, used in peaks.items() if used > limits[name]]
    sizes = [size for _, size in report.memory]
    if quarter := len(sizes) // 4:
        first, last = sum(sizes[:quarter]) / quarter, sum(sizes[-quarter:]) / quarter
        if last > first * (1 + GROWTH_MAX):
            problems.append(f"memory grew from {first / 2**20:.1f} to {last / 2**20:.1f} MiB after the warm-up")
    return problems


def _progress(watch: Watch, trader: Trader, ledger: Ledger, connector: BinancePerpetual) -> str:
    minutes, seconds = divmod(int(watch.seconds), 60)
    lag = watch.lag
    return (
        f"{minutes:02d}:{seconds:02d}  {trader.operations:,} orders, {trader.operations / watch.seconds:.0f}/s; "
        f"{ledger.counts['fills']:,} fills, {len(connector.in_flight_orders)} open, "
        f"{ledger.counts['alarm outcome_unknown']} had no answer, {_reconnects(connector)} reconnects; "
        f"{resident_bytes() / 2**20:.1f} MiB; loop lag p50 {lag.percentile(0.5) / 1e6:.2f} "
        f"p99 {lag.percentile(0.99) / 1e6:.2f} ms; {ledger.violations.total()} violations"
    )


def report_lines(report: SoakReport) -> list[str]:
    """The report for people."""
    settings = report.settings
    refusals, peaks, limits = (report.limits[name] for name in ("refusals", "peaks", "limits"))
    lines = [
        f"{settings.order_path}, seed {settings.seed}: {report.operations:,} orders in {report.seconds:.0f} s "
        f"({report.operations / report.seconds:.0f}/s), {sum(report.faults.values()):,} faults, "
        f"{report.reconnects} reconnects",
        "orders: " + ", ".join(f"{name} {count:,}" for name, count in sorted(report.counts.items())),
        "faults: " + ", ".join(f"{name} {count:,}" for name, count in sorted(report.faults.items())),
        "checks (violations): "
        + ", ".join(f"{rule} {count:,} ({report.violations[rule]})" for rule, count in report.checks.items()),
        "limits, most used: " + ", ".join(f"{name} {used:,} of {limits[name]:,}" for name, used in peaks.items()),
        f"refused for the limit (429): {refusals['429']}, bans (418): {refusals['418']}",
        "event loop lag: "
        + ", ".join(f"{name} {ns / 1e6:.2f} ms" for name, ns in report.lag.items() if name != "count"),
    ]
    if report.memory:
        first, last = report.memory[0], report.memory[-1]
        lines.append(
            f"resident memory: {first[1] / 2**20:.1f} MiB at {first[0]:.0f} s, {last[1] / 2**20:.1f} MiB at "
            f"{last[0]:.0f} s, slope {slope(report.memory) * 60 / 1024:+.1f} KiB a minute"
        )
    lines += [f"VIOLATION {text}" for text in report.texts] + [f"NOT AS IT MUST BE {what}" for what in report.problems]
    return [*lines, "ok" if report.ok else "NOT ok"]


@click.command()
@click.option("--minutes", type=click.FloatRange(0.1, 1e5), default=30.0, show_default=True)
@click.option("--rate", type=click.FloatRange(1, 10_000), default=200.0, show_default=True, help="Orders a second.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the market, the orders and the faults.")
@click.option("--order-path", type=click.Choice(ORDER_PATHS), default="rest", show_default=True)
def main(minutes: float, rate: float, seed: int, order_path: str) -> None:
    """Trade against the embedded venue with faults for a long time, and hold every order against its books."""
    logging.getLogger("qtxconn").setLevel(logging.CRITICAL)  # faults make connectors talk; the books say it all
    gc.freeze()
    report = asyncio.run(soak(SoakSettings(minutes, rate, seed, order_path), lambda line: print(line, flush=True)))
    for line in report_lines(report):
        print(line, flush=True)
    if not report.ok:
        sys.exit(1)


if __name__ == "__main__":
    main()
