"""The machine itself: what an empty loop and a spinning round trip cost here. Every other figure rests on these."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.harness import Bench, Job, Row, Sample


def python_clock(count: int) -> Sample:
    """ns of one time.perf_counter_ns() in a Python loop: the probe of every Python row."""
    begin = time.perf_counter_ns()
    for _ in range(count):
        time.perf_counter_ns()
    return Sample((time.perf_counter_ns() - begin) / count)


@contextmanager
def probes(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("canary.cpp")
    looks = bench.scaled(1_000_000, quick=100_000)

    def clock() -> Sample:
        return Sample(bench.run(program, bench.venue_cpu, bench.client_cpu, 0).facts["clock_ns"])

    yield [Row.limit("C clock reading", clock), Row.peer("Python clock reading", lambda: python_clock(looks))]


@contextmanager
def round_trip(bench: Bench) -> Iterator[list[Row]]:
    program = bench.compile("canary.cpp")
    trips = bench.scaled(200_000, quick=20_000)

    def spin() -> Sample:
        return Sample(bench.run(program, bench.venue_cpu, bench.client_cpu, trips).figure)

    yield [Row.limit("C spin, two cores", spin)]


JOBS = (
    Job("probe", "What does looking at the clock cost, in C and in Python?", "ns", probes),
    Job("cache-line", "How long does a word take to another core and back?", "ns", round_trip),
)
