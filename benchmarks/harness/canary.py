"""The canary: measures how quiet the machine is, before and after each job, and says which jobs it spoilt."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.bench import Bench
from qtxconn.perf.latency import LatencyRecorder

TAKEN_MAX = 0.02  # share of a core's time
SLOWER_MAX = 1.30  # round trip beside the quietest of this run


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
        self.readings: list[Reading] = []

    def read(self) -> Reading:
        sample = self._bench.run(
            self._program, self._bench.venue_cpu, self._bench.client_cpu, self._bench.scaled(50_000, quick=20_000)
        )
        facts = sample.facts
        assert sample.histogram is not None, "the canary prints one"
        self.readings.append(
            Reading(sample.figure, facts["taken"], facts["taken_max_us"], facts["clock_ns"], sample.histogram)
        )
        return self.readings[-1]

    def noise(self, *around: Reading) -> str | None:
        """Why the figures between these readings do not count, or None. Compares with the whole run so far."""
        quietest = min(reading.round_trip_ns for reading in self.readings)
        for reading in around:
            if reading.taken > TAKEN_MAX:
                return (
                    f"{reading.taken:.1%} of the core's time was taken by others, up to {reading.taken_max_us:.0f} us"
                )
            if reading.round_trip_ns > SLOWER_MAX * quietest > 0:
                return f"a spinning round trip took {reading.round_trip_ns:.0f} ns, {quietest:.0f} ns at the quietest"
        return None
