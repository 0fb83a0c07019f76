"""`qtxconn demo`: a hybrid connector makes a market on the embedded venue, and the session is checked and reported."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.live import Live
from rich.table import Table

from qtxconn.cli.audit import Audit
from qtxconn.cli.market_maker import MarketMaker
from qtxconn.cli.venue_account import read_venue_account
from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.perf.report import latency_table
from qtxconn.qtx.hybrid import QtxPerpetualDerivative
from qtxconn.sim.launch import VenueProcess
from qtxconn.sim.recording import check_recording

PAIR, SYMBOL, ASSET = "BTC-USDT", "BTCUSDT", "USDT"
QUOTE_AMOUNT = Decimal("0.020")
POSITION_LIMIT = Decimal("0.060")
SYNTHETIC_SECONDS = 8.0
SETTLE_TIMEOUT_S = 5.0
PROGRESS_INTERVAL_S = 0.25
PLAIN_PROGRESS_INTERVAL_S = 2.0


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What to run: `seconds` of trading (None: 8 s, or the whole recording), on which market, by which driver."""

    seconds: float | None = None
    seed: int = 1
    recording: Path | None = None
    speed: float = 1.0
    driver: str = "asyncio"

    def venue_options(self) -> list[str]:
        options = ["--speak", "binance", "--seed", str(self.seed)]
        if self.recording is not None:
            options += ["--recording", str(self.recording), "--speed", str(self.speed)]
        return options

    def trading_seconds(self) -> float:
        if self.seconds is not None:
            return self.seconds
        if self.recording is None:
            return SYNTHETIC_SECONDS
        span = check_recording(self.recording)
        return (span.last_ns - span.first_ns) / 1e9 / self.speed


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(1, 86_400),
    help="How long to trade; without it 8 s, or the whole recording.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Of the market.")
@click.option("--recording", type=click.Path(path_type=Path), help="Trade on the replay of this recorded session.")
@click.option(
    "--speed",
    type=click.FloatRange(0, 1000, min_open=True),
    default=1.0,
    show_default=True,
    help="Replay this many times faster.",
)
@click.option(
    "--driver",
    type=click.Choice(["asyncio", "thread"]),
    default="asyncio",
    show_default=True,
    help="How packets are received: by the event loop, or by a busy-polling thread.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object, and nothing else.")
def demo(as_json: bool, **options: Any) -> int:
    """Trade on the embedded venue and report; exit status 0 only if everything agrees with the venue's account."""
    settings = DemoSettings(**options)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    console = Console(stderr=as_json)
    report = asyncio.run(run_demo(settings, Progress(console)))
    if as_json:
        click.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        print_report(report, console)
    return 0 if report["ok"] else 1


class Progress:
    """Shows how the session goes: a live table on a terminal, a plain line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)

    async def watch(self, seconds: float, rows: Callable[[], dict[str, str]]) -> None:
        """Shows `rows()` for `seconds`."""
        deadline_ns = SYSTEM_CLOCK.monotonic_ns() + int(seconds * 1e9)
        interactive = self._console.is_terminal
        interval_s = PROGRESS_INTERVAL_S if interactive else PLAIN_PROGRESS_INTERVAL_S
        live = Live(self._table(rows()), console=self._console, transient=True, auto_refresh=False)
        if interactive:
            live.start()
        try:
            while (left_ns := deadline_ns - SYSTEM_CLOCK.monotonic_ns()) > 0:
                await SYSTEM_CLOCK.sleep(min(interval_s, left_ns / 1e9))
                if interactive:
                    live.update(self._table(rows()), refresh=True)
                else:
                    self.say("  ".join(f"{name} {value}" for name, value in rows().items()))
        finally:
            if interactive:
                live.stop()

    @staticmethod
    def _table(rows: dict[str, str]) -> Table:
        table = Table(show_header=False, box=None, padding=(0, 2))
        for name, value in rows.items():
            table.add_row(name, value)
        return table


async def run_demo(settings: DemoSettings, progress: Progress) -> dict[str, Any]:
    """One session from the venue's start to its end. -> the report."""
    seconds = settings.trading_seconds()
    market = f"synthetic, seed {settings.seed}"
    if settings.recording is not None:
        market = f"{settings.recording} at {settings.speed:g}x"
    progress.say(f"starting the venue ({market}) ...")
    async with VenueProcess(settings.venue_options()) as venue:
        ends = venue.endpoints
        host, _, port = ends["qtx_udp"].rpartition(":")
        connector = QtxPerpetualDerivative(
            exchange_backend="binance",
            qtx_perpetual_host=host,
            qtx_perpetual_port=int(port),
            qtx_place_order_shared_memory_name=ends["qtx_shm"],
            exchange_api_key=ends["api_key"],
            exchange_api_secret=ends["api_secret"],
            trading_pairs=[PAIR],
            driver=settings.driver,
            rest_url=ends["rest"],
            ws_public_url=ends["ws_public"],
            ws_market_url=ends["ws_market"],
            ws_private_url=ends["ws_private"],
        )
        audit = Audit(connector)
        audit.start()
        async with connector:
            balance_before = connector.get_balance(ASSET)
            maker = MarketMaker(connector, PAIR, QUOTE_AMOUNT, POSITION_LIMIT)
            connector.set_order_event_listener(maker)
            connector.set_trade_event_listener(maker)
            connector.udp_manager.on_book = maker.on_book
            progress.say(f"connected: {connector!r}; trading {PAIR} for {seconds:.0f} s")
            maker.start()
            await progress.watch(seconds, lambda: _status(connector, maker, audit))
            progress.say("cancelling the quotes and flattening ...")
            await maker.stop()
            await _settled(connector, maker)
            account = await read_venue_account(ends["rest"], ends["api_key"], ends["api_secret"], SYMBOL, ASSET)
            return build_report(settings, connector, maker, audit, audit.compare(PAIR, account, balance_before, ASSET))


async def _settled(connector: Any, maker: MarketMaker) -> None:
    """Waits until the position that the account stream reports is the sum of the fills."""
    deadline_ns = SYSTEM_CLOCK.monotonic_ns() + int(SETTLE_TIMEOUT_S * 1e9)
    while connector.get_position_amount(PAIR) != maker.position and SYSTEM_CLOCK.monotonic_ns() < deadline_ns:
        await SYSTEM_CLOCK.sleep(0.01)


def _status(connector: Any, maker: MarketMaker, audit: Audit) -> dict[str, str]:
    book = connector.get_order_book(PAIR)
    statistics = connector.udp_manager.get_statistics()
    return {
        "book": f"{book.best_bid} / {book.best_ask}" + ("" if book.valid else f" ({book.invalid_reason})"),
        "packets": f"{statistics['total_messages']:,}",
        "orders": f"{audit.counts['accepted']} accepted, {audit.counts['filled']} filled",
        "fills": str(audit.counts["fills"]),
        "position": f"{maker.position} BTC",
    }


def build_report(
    settings: DemoSettings, connector: Any, maker: MarketMaker, audit: Audit, account: dict[str, Any]
) -> dict[str, Any]:
    """The report: `ok`, `market_data`, `orders`, `account`, `latency_ns`, `violations`. Durations in ns."""
    book = connector.get_order_book(PAIR)
    statistics = connector.udp_manager.get_statistics()
    latency = {
        "udp_to_book": statistics.pop("latency_ns"),
        "book_to_slot": connector.book_to_slot_latency.summary(),
        "slot_to_answer": connector.slot_to_answer_latency.summary(),
        "fill_to_event": audit.fill_to_event.summary(),
    }
    orders = connector._order_tracker.all_orders
    violations = list(audit.violations)
    if not book.valid:
        violations.append(f"the book ended invalid: {book.invalid_reason}")
    if statistics["total_messages"] == 0:
        violations.append("no market data came")
    if audit.counts["fills"] == 0:
        violations.append("no order was filled")
    return {
        "ok": not violations,
        "market": str(settings.recording) if settings.recording else "synthetic",
        "seed": settings.seed,
        "driver": settings.driver,
        "market_data": {
            **statistics,
            "book_valid": book.valid,
            "best_bid": str(book.best_bid),
            "best_ask": str(book.best_ask),
        },
        "orders": {
            "placed": len(orders),
            "accepted": audit.counts["accepted"],
            "filled": audit.counts["filled"],
            "cancelled": audit.counts["cancelled"],
            "expired": audit.counts["expired"],
            "rejected": audit.counts["rejected"],
            "rejected_post_only": maker.post_only_refusals,
            "crossings": maker.crossings,
            "updates": connector._order_tracker.update_counts,
        },
        "account": account,
        "latency_ns": latency,
        "violations": violations,
    }


def print_report(report: dict[str, Any], console: Console) -> None:
    """The report for people."""
    data, orders, account = report["market_data"], report["orders"], report["account"]
    table = Table(show_header=False, title="session", title_justify="left")
    table.add_row("packets", f"{data['total_messages']:,} ({data['message_rate']:,.0f}/s)")
    table.add_row("gaps, duplicates, kernel drops", f"{data['gaps']}, {data['duplicates']}, {data['kernel_drops']}")
    table.add_row("book", f"{data['best_bid']} / {data['best_ask']}, {'valid' if data['book_valid'] else 'INVALID'}")
    table.add_row("orders placed", str(orders["placed"]))
    table.add_row("filled, cancelled, expired", f"{orders['filled']}, {orders['cancelled']}, {orders['expired']}")
    table.add_row("rejected", f"{orders['rejected']} ({orders['rejected_post_only']} post-only at a moving touch)")
    table.add_row("fills here, at the venue", f"{account['fills']}, {account['venue_fills']}")
    table.add_row("position here, at the venue", f"{account['position']}, {account['venue_position']}")
    table.add_row("PnL here, at the venue", f"{account['realised_pnl']}, {account['venue_pnl']} {account['asset']}")
    table.add_row("of which fees", f"{account['fees']} {account['asset']}")
    console.print(table)
    names = {
        "udp_to_book": "UDP in -> book",
        "book_to_slot": "book -> order slot",
        "slot_to_answer": "slot -> answer",
        "fill_to_event": "fill -> event",
    }
    console.print(latency_table({names[leg]: summary for leg, summary in report["latency_ns"].items()}))
    for violation in report["violations"]:
        console.print(f"VIOLATION {violation}", style="bold red", highlight=False)
    console.print("ok: orders, fills and position equal the venue's" if report["ok"] else "NOT ok", style="bold")
