"""Tick to trade, wire to wire: a ticker is due at the venue's process until the venue sees the order's slot.

The venue is a process of its own (limits/tick_to_trade_venue.cpp) that sends when a tick is due, whether or not the
last one was answered, and checks every order; each row is a client process on the other core.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Bench, BenchError, Goal, Job, Row, Sample
from benchmarks.harness.bench import ROOT, sample_from_json

C_SPIN, C_BLOCK = "C, spinning", "C, blocking"
HEADERS, CYTHON, STAMPED = "qtxconn, C++ headers", "qtxconn, Cython strategy", "qtxconn, Cython, stages stamped"
HOG, CALLBACK = "qtxconn, Cython beside a GIL hog", "qtxconn, Python callback"
PYTHON_SPIN, ASYNCIO, UVLOOP = "Python, spinning", "asyncio", "uvloop"
ARRIVALS = {"poisson": "at random", "bursts": "ten at once", "closed": "closed loop"}
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One repetition: `count` ticks at `rate` per second, after `warm_up` that are not counted.

    `arrivals`: "even", "poisson", "bursts" of ten, or "closed": the next tick when the last one was answered.
    """

    rate: float
    count: int
    warm_up: int
    arrivals: str = "even"


class Clients:
    """Starts the venue and one client, and collects what both print."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._segment = bench.name("tick_to_trade")
        self._venue = bench.compile("tick_to_trade_venue.cpp")
        self._plain = bench.compile("tick_to_trade_client.cpp")
        self._extension: Path | None = None

    def cpp(self, mode: str, trial: Trial) -> Sample:
        return self._run([str(self._plain), mode], trial)

    def python(self, mode: str, trial: Trial) -> Sample:
        if self._extension is None:
            self._extension = self._bench.compile_cython("tick_to_trade.pyx")
        return self._run([sys.executable, "-m", "benchmarks.strategies.tick_to_trade_client", mode], trial)

    def _run(self, client_command: list[str], trial: Trial) -> Sample:
        bench = self._bench
        path = os.pathsep.join(filter(None, [str(self._extension or ""), str(ROOT), os.environ.get("PYTHONPATH", "")]))
        load = (trial.arrivals, trial.rate, trial.count, trial.warm_up)
        venue = _start([str(word) for word in (self._venue, self._segment, *load, bench.venue_cpu)], {})
        client = None
        try:
            port = venue.stdout.readline().strip() if venue.stdout is not None else ""
            if port:
                client = _start([*client_command, port, self._segment, str(bench.client_cpu)], {"PYTHONPATH": path})
            told = _finish(venue)
            sample = sample_from_json(told)
            facts = sample_from_json(_finish(client)).facts if client is not None else {}
            return Sample(None, sample.checksum, sample.histogram, {**sample.facts, **facts})
        finally:
            for process in filter(None, (client, venue)):
                with process:  # waits, and closes its pipes
                    process.kill()
            Path(f"/dev/shm{self._segment}").unlink(missing_ok=True)


def _start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _finish(process: subprocess.Popen[str]) -> str:
    """What it printed. Raises BenchError when it failed."""
    name = " ".join(Path(word).name for word in process.args[:4])  # type: ignore[index]
    try:
        told, complaint = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{name}: not done after {PATIENCE_S:g} s") from None
    if process.returncode != 0:
        raise BenchError(f"{name}: status {process.returncode}: {complaint.strip()[-500:]}")
    return told


@contextmanager
def wire_to_wire(bench: Bench) -> Iterator[list[Row]]:
    clients = Clients(bench)
    trial = Trial(10_000, bench.scaled(5_000, quick=1_000), bench.scaled(1_000, quick=200))
    yield [
        Row.limit(C_SPIN, lambda: clients.cpp("spin", trial)),
        Row.limit(C_BLOCK, lambda: clients.cpp("block", trial)),
        Row.ours(HEADERS, lambda: clients.cpp("qtxconn", trial)),
        Row.ours(CYTHON, lambda: clients.python("cython", trial), needs="Cython"),
        Row.ours(STAMPED, lambda: clients.python("stamped", trial), needs="Cython"),
        Row.ours(HOG, lambda: clients.python("hog", trial), needs="Cython"),
        Row.ours(CALLBACK, lambda: clients.python("callback", trial)),
        Row.peer(PYTHON_SPIN, lambda: clients.python("spin", trial)),
        Row.peer(UVLOOP, lambda: clients.python("uvloop", trial), needs="uvloop"),
        Row.peer(ASYNCIO, lambda: clients.python("asyncio", trial)),
    ]


@contextmanager
def over_arrivals(bench: Bench) -> Iterator[list[Row]]:
    clients = Clients(bench)
    rows = []
    for arrivals, name in ARRIVALS.items():
        trial = Trial(10_000, bench.scaled(5_000, quick=500), bench.scaled(1_000, quick=100), arrivals)
        rows += [
            Row.limit(f"C, {name}", lambda trial=trial: clients.cpp("spin", trial), against=f"C, {name}"),
            Row.ours(
                f"Cython, {name}",
                lambda trial=trial: clients.python("cython", trial),
                needs="Cython",
                against=f"C, {name}",
            ),
        ]
    yield rows


@contextmanager
def after_silence(bench: Bench) -> Iterator[list[Row]]:
    clients = Clients(bench)
    trial = Trial(50, bench.scaled(40, quick=10), 2)  # 20 ms between ticks
    yield [
        Row.limit(C_SPIN, lambda: clients.cpp("spin", trial)),
        Row.limit(C_BLOCK, lambda: clients.cpp("block", trial)),
        Row.ours(CYTHON, lambda: clients.python("cython", trial), needs="Cython"),
        Row.ours(CALLBACK, lambda: clients.python("callback", trial)),
        Row.peer(UVLOOP, lambda: clients.python("uvloop", trial), needs="uvloop"),
    ]


@contextmanager
def over_load(bench: Bench) -> Iterator[list[Row]]:
    clients = Clients(bench)
    rates = (20_000,) if bench.quick else (1_000, 10_000, 50_000, 100_000, 200_000, 400_000)
    rows = []
    for rate in rates:
        trial = Trial(rate, int(rate * bench.scaled(400, quick=50) / 1000), int(rate * 0.05))
        rows += [
            Row.limit(C_SPIN, lambda trial=trial: clients.cpp("spin", trial), load=rate),
            Row.ours(CYTHON, lambda trial=trial: clients.python("cython", trial), load=rate, needs="Cython"),
            Row.ours(CALLBACK, lambda trial=trial: clients.python("callback", trial), load=rate),
            Row.peer(UVLOOP, lambda trial=trial: clients.python("uvloop", trial), load=rate, needs="uvloop"),
        ]
    yield rows


JOBS = (
    Job(
        "tick-to-trade",
        "A price changes at the venue: how long until the venue has our order?",
        "ns",
        wire_to_wire,
        goals=(
            Goal(CYTHON, C_SPIN, at_most=1.08),
            Goal(CYTHON, C_SPIN, at_most=1.5, of="p99"),
            Goal(CYTHON, UVLOOP, faster=5.5),
            Goal(CYTHON, ASYNCIO, faster=7),
            Goal(CALLBACK, C_SPIN, at_most=1.20),
            Goal(CALLBACK, UVLOOP, faster=5),
            Goal(CALLBACK, PYTHON_SPIN, faster=1.5),
            Goal(HOG, CYTHON, at_most=1.15),
            Goal(CYTHON, at_most=0, of="lost"),
        ),
        pinned=False,
    ),
    Job(
        "tick-to-trade-arrivals",
        "The same for ticks that come at random, or ten at once; and in a closed loop, to see what that hides",
        "ns",
        over_arrivals,
        goals=tuple(Goal(f"Cython, {name}", f"C, {name}", at_most=1.08) for name in ARRIVALS.values()),
        pinned=False,
    ),
    Job("tick-to-trade-idle", "The same after 20 ms of silence", "ns", after_silence, pinned=False),
    Job(
        "tick-to-trade-load",
        "The same at rising rates: where does each client stop keeping up?",
        "ns",
        over_load,
        repetitions=3,
        pinned=False,
    ),
)
