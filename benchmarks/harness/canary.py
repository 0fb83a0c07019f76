"""The canary: measures how quiet the machine is, before and after each job, and says which jobs it spoilt."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.bench import Bench
from qtxconn.perf.latency import LatencyRecorder

TAKEN_MAX = 0.02  # share of a core's time
APART_MAX = 1.30  # slower of the two round trips about a job, beside the faster


@dataclass(frozen=True, slots=True)
class Reading:
    """One look: median spinning round trip through shared memory, share of the core's time taken by others."""

    round_trip_ns: float
    taken: float
    taken_max_us: float
    clock_ns: float
    gaps: LatencyRecorder

    def to_dict(self) -> dict[str, float]:
        names = ("round_trip_ns", "taken", "taken_max_us", "clock_ns")
        return {name: round(getattr(self, name), 5) for name in names}


class Canary:
    """Takes a reading about every job. Two cores are needed for the round trip; with one it is 0 and judges nothing."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._program = bench.compile("canary.cpp")

    def read(self) -> Reading:
        sample = self._bench.run(
            self._program, self._bench.venue_cpu, self._bench.client_cpu, self._bench.scaled(50_000, quick=20_000)
        )
        facts = sample.facts
        assert sample.histogram is not None, "the canary prints one"
        return Reading(sample.figure, facts["taken"], facts["taken_max_us"], facts["clock_ns"], sample.histogram)

    def noise(self, before: Reading, after: Reading) -> str | None:
        """Why the figures between two readings do not count, or None.

        The readings are compared with each other only: a virtual machine that was moved between two jobs is slower or
        faster from then on, and each job's ratios are as good as before.
        """
        for reading in (before, after):
            if reading.taken > TAKEN_MAX:
                share = f"{reading.taken:.1%} of the core's time was taken by others"
                return f"{share}, up to {reading.taken_max_us:.0f} us at once"
        slow, fast = sorted((before.round_trip_ns, after.round_trip_ns), reverse=True)
        if slow > APART_MAX * fast:
            told = f"{before.round_trip_ns:.0f} ns before and {after.round_trip_ns:.0f} ns after"
            return f"a spinning round trip took {told}"
        return None
