"""Jobs whose rows take no time, for the tests of the benchmark harness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.harness import Bench, Goal, Job, Row, Sample


def sample(value: float, checksum: int | None = 1, **facts: float) -> Sample:
    return Sample(value, checksum, None, facts)


def make_job(*rows: Row, goals: tuple[Goal, ...] = (), **options: Any) -> Job:
    @contextmanager
    def prepared(_bench: Bench) -> Iterator[list[Row]]:
        yield list(rows)

    return Job("job", "What?", "ns", prepared, goals, **options)
