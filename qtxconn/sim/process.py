"""The venue process: one venue, its market, the Binance dialect and the QTX ends, until it is told to stop.

    await run_venue(VenueSettings(...), on_ready=lambda endpoints: ...)

Everything runs on one event loop. Drivers step the markets against the wall clock and do what has become due;
requests are served in between.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import ConfigurationError
from qtxconn.sim.binance.auth import parse_public_key
from qtxconn.sim.binance.server import BinanceServer
from qtxconn.sim.control import LOOPBACK, ControlServer
from qtxconn.sim.faults import FaultRule, FaultScript
from qtxconn.sim.flow_model import default_model
from qtxconn.sim.model import NS_PER_MS, NS_PER_S, Instrument, Market, VenueClock
from qtxconn.sim.qtx_feed import QtxFeed
from qtxconn.sim.qtx_manager import QtxOrderManager
from qtxconn.sim.recording import read_recording
from qtxconn.sim.replay import ReplayMarket
from qtxconn.sim.synthetic import SyntheticMarket
from qtxconn.sim.venue import Venue

logger = logging.getLogger(__name__)

DIALECTS = ("binance",)
DEFAULT_SYMBOL = "BTCUSDT"
DEFAULT_BALANCE = Decimal(100_000)
DEMO_API_KEY = "qtxconn-demo-key"
DEMO_API_SECRET = "qtxconn-demo-secret"  # no secret: it opens nothing but the embedded venue
INSTRUMENTS = {
    instrument.symbol: instrument
    for instrument in (
        Instrument("BTCUSDT", "BTC", "USDT", Decimal("0.10"), Decimal("0.001")),
        Instrument("ETHUSDT", "ETH", "USDT", Decimal("0.01"), Decimal("0.001"), min_notional=Decimal(20)),
    )
}
ED25519 = "ed25519="
# Start prices (ticks) and lots per lot of BTCUSDT of the synthetic markets: the one flow that was fitted, in the
# instrument's own steps. A lot of ETHUSDT is worth about a twentieth.
SYNTHETIC = {"BTCUSDT": None, "ETHUSDT": (265_000, 20.0)}
# How often things that time and price bring about are looked for.
DUE_INTERVAL_S = 0.02
# How much market time one step may play before requests get their turn.
STEP_MAX_NS = 5 * NS_PER_MS
LAG_REPORTED_NS = 250 * NS_PER_MS
LAG_REPORT_INTERVAL_NS = 5 * NS_PER_S


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """An account to open; `balance` in quote asset."""

    api_key: str
    api_secret: str = field(repr=False)
    """With the prefix ED25519, a public key in base64: requests are signed with its private half."""
    passphrase: str = field(default="", repr=False)
    balance: Decimal = DEFAULT_BALANCE


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """What to run. Ports of 0 take any free one; without accounts a demo account is opened."""

    speak: str = "binance"
    host: str = "127.0.0.1"
    port: int = 0
    recording: Path | None = None
    speed: float = 1.0
    """How many times faster the recording is played."""
    seed: int = 1
    """Of the synthetic markets."""
    symbols: tuple[str, ...] = ()
    """What is traded besides the recording's symbol; synthetic. Empty: the recording, or BTCUSDT."""
    faults: Path | None = None
    """A fault script (see faults.py) to start with."""
    control_port: int = 0
    accounts: tuple[AccountSettings, ...] = ()
    qtx_udp_port: int = 0
    qtx_shm: str = ""
    """Segment name; empty makes one from the process id."""
    exit_with_parent: bool = False


class WallClock:
    """The venue's time is the system's."""

    def now_ns(self) -> int:
        return SYSTEM_CLOCK.now_ns()

    def now_ms(self) -> int:
        return SYSTEM_CLOCK.now_ns() // NS_PER_MS


async def drive_market(market: Market, clock: VenueClock) -> None:
    """Steps `market` when its events are due, until it has no more.

    Events are due by the clock, so delays do not add up. Behind schedule it catches up in short steps
    with a turn for everybody else in between, and says how far behind it is, at most every five seconds.
    """
    reported_ns = 0
    while (due_ns := market.next_event_ns()) is not None:
        now_ns = clock.now_ns()
        if due_ns > now_ns:
            await asyncio.sleep((due_ns - now_ns) / NS_PER_S)
            continue
        lag_ns = now_ns - due_ns
        if lag_ns > LAG_REPORTED_NS and now_ns - reported_ns > LAG_REPORT_INTERVAL_NS:
            reported_ns = now_ns
            logger.warning("market is %d ms behind schedule; lower --speed", lag_ns // NS_PER_MS)
        market.step(min(now_ns, due_ns + STEP_MAX_NS))
        await asyncio.sleep(0)
    logger.info("market has ended; the last book stays")


async def drive_due(venue: Venue, server: BinanceServer) -> None:
    """Sees that the venue and its fault script do what time and price have made due."""
    while True:
        venue.run_due()
        await server.run_due_faults()
        await asyncio.sleep(DUE_INTERVAL_S)


async def run_venue(settings: VenueSettings, on_ready: Callable[[dict[str, Any]], None]) -> None:
    """Runs until SIGINT, SIGTERM, SIGHUP or, if so set, the end of standard input; leaves nothing behind.

    `on_ready` gets the endpoints once all of them serve. Raises ConfigurationError or SegmentError,
    saying what to do, when it cannot start.
    """
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(_stopping_signals(stop))
        if settings.exit_with_parent:
            stack.enter_context(_stopping_with_stdin(stop))
        script = read_fault_script(settings.faults)
        venue, markets = build_venue(settings, WallClock())
        for account in settings.accounts or (AccountSettings(DEMO_API_KEY, DEMO_API_SECRET),):
            open_account(venue, account)

        # The feed comes first, so that listeners hear of the market by UDP before anything is put into JSON.
        feed = QtxFeed(venue)
        with _port_errors("--qtx-udp", settings.host, settings.qtx_udp_port):
            feed.start(settings.host, settings.qtx_udp_port)
        stack.callback(feed.stop)
        server = BinanceServer(venue)
        with _port_errors("--port", settings.host, settings.port):
            await server.start(settings.host, settings.port)
        stack.push_async_callback(server.stop)
        control = ControlServer(venue, server)
        with _port_errors("--control-port", LOOPBACK, settings.control_port):
            await control.start(settings.control_port)
        stack.push_async_callback(control.stop)
        manager = QtxOrderManager(venue, settings.qtx_shm or f"/place_order_qtxconn_{os.getpid()}")
        stack.callback(manager.stop)
        manager.start()

        tasks = [asyncio.create_task(drive_market(market, venue.clock)) for market in markets]
        tasks.append(asyncio.create_task(drive_due(venue, server)))
        stack.push_async_callback(_cancel, tasks)
        host, port = feed.address
        endpoints: dict[str, Any] = {
            "venue": settings.speak,
            "pid": os.getpid(),
            **server.endpoints(),
            "control": control.url,
            "qtx_udp": f"{host}:{port}",
            "qtx_shm": manager.name,
            "symbols": list(venue.instruments),
            "qtx_symbols": feed.symbol_names,
        }
        if not settings.accounts:
            endpoints |= {"api_key": DEMO_API_KEY, "api_secret": DEMO_API_SECRET}
        if script is not None:
            seed, rules = script
            server.faults.load(rules, seed)
        on_ready(endpoints)
        await _until(stop, tasks)
        logger.info("stopping")


def build_venue(settings: VenueSettings, clock: VenueClock) -> tuple[Venue, list[Market]]:
    """The venue and its markets: the recording's symbol replayed, every other one synthetic.

    Raises ConfigurationError for a symbol without an entry here, and for a recording that is missing or cut off.
    """
    recorded = ""
    if settings.recording is not None:
        recorded = next((m.symbol for m in read_recording(settings.recording) if m.symbol), "")
        if recorded not in INSTRUMENTS:
            what = recorded or "no symbol"
            raise ConfigurationError(
                f"recording {settings.recording} is of {what}; the venue lists {', '.join(INSTRUMENTS)}"
            )
    synthetic = [symbol for symbol in dict.fromkeys(settings.symbols) if symbol != recorded]
    if unknown := [symbol for symbol in synthetic if symbol not in INSTRUMENTS]:
        raise ConfigurationError(f"there is no {unknown[0]}; the venue lists {', '.join(INSTRUMENTS)}")
    if not recorded and not synthetic:
        synthetic = [DEFAULT_SYMBOL]
    symbols = [recorded, *synthetic] if recorded else synthetic
    venue = Venue([INSTRUMENTS[symbol] for symbol in symbols], clock)
    markets: list[Market] = []
    if recorded and settings.recording is not None:
        markets.append(ReplayMarket(venue, settings.recording, settings.speed))
    for number, symbol in enumerate(synthetic):
        markets.append(_synthetic_market(venue, symbol, settings.seed + number))
    return venue, markets


def _synthetic_market(venue: Venue, symbol: str, seed: int) -> SyntheticMarket:
    instrument, model = INSTRUMENTS[symbol], default_model()
    if (scale := SYNTHETIC[symbol]) is not None:
        start_price, size_factor = scale
        model = model.rescaled(str(instrument.tick_size), str(instrument.lot_size), start_price, size_factor)
    return SyntheticMarket(venue, instrument, model, seed)


def open_account(venue: Venue, settings: AccountSettings) -> None:
    """Raises ConfigurationError for an Ed25519 key that is none, and where the extra for it is missing."""
    secret = settings.api_secret
    public_key = parse_public_key(secret.removeprefix(ED25519)) if secret.startswith(ED25519) else b""
    account = venue.open_account(settings.api_key, secret, settings.passphrase, settings.balance)
    account.public_key = public_key


def read_fault_script(path: Path | None) -> tuple[int, list[FaultRule]] | None:
    """Seed and rules. Raises ConfigurationError for a file that is missing or no fault script."""
    if path is None:
        return None
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the fault script {path}: {error.strerror}") from None
    return FaultScript.parse(text)


async def _until(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Waits for `stop`, or raises what a task failed with. A task that ends well is no reason to stop."""
    waiter = asyncio.create_task(stop.wait())
    pending: set[asyncio.Task[Any]] = {waiter, *tasks}
    try:
        while waiter in pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        waiter.cancel()


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def _stopping_signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


@contextmanager
def _stopping_with_stdin(stop: asyncio.Event) -> Iterator[None]:
    """Sets `stop` when whoever holds the other end of standard input closes it, by dying for example."""
    descriptor = sys.stdin.fileno()
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        raise ConfigurationError("--exit-with-parent needs a pipe as standard input, held open by the parent")
    loop = asyncio.get_running_loop()

    def on_readable() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stop.set()

    loop.add_reader(descriptor, on_readable)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)


@contextmanager
def _port_errors(option: str, host: str, port: int) -> Iterator[None]:
    """A port that cannot be bound, as one line that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} on {host} is taken; give {option} another port, or 0 for any free one"
        elif error.errno == errno.EACCES:
            text = f"no permission to use port {port} on {host}; give {option} a port above 1023"
        elif error.errno == errno.EADDRNOTAVAIL:
            text = f"{host} is not an address of this machine; use --host 127.0.0.1"
        else:
            text = f"cannot use port {port} on {host} ({option}): {os.strerror(error.errno or 0)}"
        raise ConfigurationError(text) from None
