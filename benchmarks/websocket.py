"""A message over a WebSocket, from when it was due until its handler runs: aiohttp, picows, and qtxconn on aiohttp.

The messages are order updates of 700 bytes. No handler looks into them: what that costs is in wire_scanner.py.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import aiohttp

from benchmarks.harness import Bench, BenchError, Goal, Job, Row, Sample
from benchmarks.peers.websocket_venue import MONOTONIC_DIGITS
from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.net.websocket import WebSocketClient
from qtxconn.perf.latency import LatencyRecorder

AIOHTTP, PICOWS, OURS, OURS_UVLOOP = "aiohttp", "picows", "qtxconn", "qtxconn on uvloop"
VENUE = Path(__file__).parent / "peers" / "websocket_venue.py"
RATE = 5_000.0
PATIENCE_S = 20.0


class Seen:
    """Takes each message when its handler is called; the first `warm_up` are not counted, but for the very first."""

    def __init__(self, count: int, warm_up: int) -> None:
        self._count, self._warm_up = count, warm_up
        self._recorder = LatencyRecorder()
        self._first_ns = self._number = self._last_due_ns = self._behind = 0
        self.done = asyncio.get_running_loop().create_future()

    def take(self, message: str | bytes) -> None:
        now_ns = time.monotonic_ns()
        due_ns = int(message[:MONOTONIC_DIGITS])
        self._number += 1
        if self._number == 1:
            self._first_ns = now_ns - due_ns
        elif self._number > self._warm_up:
            self._recorder.record(now_ns - due_ns)
        self._behind += due_ns <= self._last_due_ns
        self._last_due_ns = due_ns
        if self._number == self._count:
            self.done.set_result(None)

    def sample(self) -> Sample:
        if self._behind:
            raise BenchError(f"{self._behind} messages came out of order")
        facts = {"lost": self._count - self._number, "first_ns": self._first_ns}
        return Sample(None, self._number, self._recorder, facts)


async def by_aiohttp(url: str, seen: Seen) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as connection:
        async for message in connection:
            seen.take(message.data)
            if seen.done.done():
                return


async def by_picows(url: str, seen: Seen) -> None:
    import picows

    class Listener(picows.WSListener):
        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            seen.take(frame.get_payload_as_bytes())

    transport, _ = await picows.ws_connect(Listener, url)
    await seen.done
    transport.disconnect()
    await transport.wait_disconnected()


async def by_qtxconn(url: str, seen: Seen) -> None:
    async def address() -> str:
        return url

    client = WebSocketClient(address, clock=SYSTEM_CLOCK, on_message=lambda message, wall_ns, ns: seen.take(message))
    running = asyncio.ensure_future(client.run())
    await seen.done
    await client.close()
    await running


def receive(
    bench: Bench, client: Callable[[str, Seen], Awaitable[None]], count: int, warm_up: int, uvloop: bool = False
) -> Sample:
    """One repetition: a venue of its own, one client in this process."""

    async def run(port: int) -> Sample:
        seen = Seen(count, warm_up)
        await asyncio.wait_for(client(f"ws://127.0.0.1:{port}/ws", seen), PATIENCE_S)
        return seen.sample()

    factory = None
    if uvloop:
        import uvloop as fast

        factory = fast.new_event_loop
    command = [sys.executable, str(VENUE), str(RATE), str(count), str(bench.venue_cpu)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as venue:
        try:
            assert venue.stdout is not None
            port = venue.stdout.readline()
            if not port:
                raise BenchError("the WebSocket venue did not start")
            with asyncio.Runner(loop_factory=factory) as runner:
                return runner.run(run(int(port)))
        except TimeoutError:
            raise BenchError(f"not all messages came within {PATIENCE_S:g} s") from None
        finally:
            venue.kill()


@contextmanager
def one_way(bench: Bench) -> Iterator[list[Row]]:
    load = {"count": bench.scaled(2_500, quick=500), "warm_up": bench.scaled(500, quick=100)}
    yield [
        Row.peer(AIOHTTP, partial(receive, bench, by_aiohttp, **load)),
        Row.peer(PICOWS, partial(receive, bench, by_picows, **load), needs="picows"),
        Row.ours(OURS, partial(receive, bench, by_qtxconn, **load)),
        Row.ours(OURS_UVLOOP, partial(receive, bench, by_qtxconn, **load, uvloop=True), needs="uvloop"),
    ]


JOBS = (
    Job(
        "websocket",
        "A message is due at the venue: how long until its handler runs, over a WebSocket?",
        "ns",
        one_way,
        goals=(Goal(OURS, AIOHTTP, at_most=1.15), Goal(OURS, at_most=0, of="lost")),
    ),
)
