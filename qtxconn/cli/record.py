"""`qtxconn record`: an exchange's public streams into a file that the venue replays."""

from __future__ import annotations

import asyncio
import gzip
import signal
from pathlib import Path
from typing import BinaryIO

import click
import orjson
from rich.console import Console

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import ConfigurationError, QtxconnError
from qtxconn.exchanges.binance import constants
from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.net.websocket import WebSocketClient

CONNECT_TIMEOUT_S = 30.0
PROGRESS_INTERVAL_S = 5.0


@click.command()
@click.argument("exchange", type=click.Choice(["binance"]))
@click.argument("trading_pairs", nargs=-1, required=True, metavar="PAIR...")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="New .gz file.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="How long; without it until interrupted.")
@click.option("--rest-url", default=constants.REST_URL, show_default=True)
@click.option("--ws-url", default=constants.WS_PUBLIC_URL, show_default=True, help="Of the public streams.")
def record(
    exchange: str, trading_pairs: tuple[str, ...], out: Path, seconds: float | None, rest_url: str, ws_url: str
) -> int:
    """Record depth, best prices and trades of PAIR... (BTC-USDT); `qtxconn venue --recording FILE` replays them."""
    return asyncio.run(Recorder(trading_pairs, out, rest_url, ws_url, Console(stderr=True)).run(seconds))


class Recorder:
    """Writes each message as it came: a line is our receive time in ns, a space, and the venue's JSON.

    Whenever the streams are connected a depth snapshot of each symbol follows, with a key `symbol` beside Binance's
    own, so that a book can be built from there on.
    """

    def __init__(self, trading_pairs: tuple[str, ...], out: Path, rest_url: str, ws_url: str, console: Console) -> None:
        self._connector = BinancePerpetual(
            trading_pairs=list(trading_pairs), trading_required=False, rest_url=rest_url, ws_public_url=ws_url
        )
        self._out = out
        self._ws_url = ws_url
        self._console = console
        self._messages = 0

    async def run(self, seconds: float | None) -> int:
        """Until `seconds` have passed or the process is told to end. -> the exit status."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await self._connector.initialize()
        try:
            with self._create() as raw, gzip.GzipFile(fileobj=raw, mode="wb") as file:
                await self._record(file, stop, seconds)
        finally:
            await self._connector.disconnect()
        self._console.print(f"{self._messages:,} messages in {self._out}", highlight=False)
        return 0 if self._messages else 1

    def _create(self) -> BinaryIO:
        try:
            return open(self._out, "xb")
        except FileExistsError:
            raise ConfigurationError(f"{self._out} exists already; name a new file") from None
        except OSError as error:
            raise ConfigurationError(f"{self._out} cannot be written: {error.strerror}") from None

    async def _record(self, file: gzip.GzipFile, stop: asyncio.Event, seconds: float | None) -> None:
        def write(message: bytes, received_ns: int) -> None:
            file.write(b"%d %s\n" % (received_ns, message))
            self._messages += 1

        async def take_snapshots() -> None:
            for symbol in symbols:
                snapshot = await self._connector.request_raw_depth(symbol)
                write(orjson.dumps({"symbol": symbol} | snapshot), SYSTEM_CLOCK.now_ns())

        def on_message(data: str | bytes, received_ns: int, _monotonic_ns: int) -> None:
            write(data.encode() if isinstance(data, str) else data, received_ns)

        def on_disconnected(error: QtxconnError) -> None:
            self._console.print(f"disconnected: {error}; connecting anew", highlight=False)

        symbols = [self._connector.exchange_symbol_associated_to_pair(pair) for pair in self._connector.trading_pairs]
        names = [f"{symbol.lower()}@{stream}" for symbol in symbols for stream in ("depth@0ms", "bookTicker", "trade")]
        stream = WebSocketClient(
            f"{self._ws_url}/stream?streams={'/'.join(names)}",
            clock=SYSTEM_CLOCK,
            name="recorded streams",
            on_message=on_message,
            on_connected=take_snapshots,
            on_disconnected=on_disconnected,
            stale_after_s=60.0,
        )
        running = asyncio.ensure_future(stream.run())
        try:
            await stream.wait_live(CONNECT_TIMEOUT_S)
            self._console.print(f"recording {', '.join(names)} to {self._out}; Ctrl-C ends it", highlight=False)
            progress = asyncio.ensure_future(self._show_progress())
            try:
                await asyncio.wait_for(stop.wait(), seconds)
            except TimeoutError:
                pass
            finally:
                progress.cancel()
        finally:
            await stream.close()
            await running

    async def _show_progress(self) -> None:
        while True:
            await SYSTEM_CLOCK.sleep(PROGRESS_INTERVAL_S)
            self._console.print(f"{self._messages:,} messages", highlight=False)
