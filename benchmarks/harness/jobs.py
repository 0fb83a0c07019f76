"""What a benchmark is made of: a job asks one question, its rows answer it, a sample is one repetition of a row."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from qtxconn.errors import QtxconnError
from qtxconn.perf.latency import LatencyRecorder

if TYPE_CHECKING:
    from benchmarks.harness.bench import Bench

Kind = Literal["limit", "peer", "ours"]


class BenchError(QtxconnError):
    """A benchmark could not be run, or its rows do not compute the same."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one repetition of a row measured.

    `value` is in the job's unit; without it the median of `histogram` counts (ns). `checksum` is of what was computed:
    all samples of a job that have one must agree. `facts` are further numbers: "lost", "achieved" (messages/s) ...
    """

    value: float | None = None
    checksum: int | str | None = None
    histogram: LatencyRecorder | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_durations(
        cls,
        durations_ns: Iterable[int],
        checksum: int | str | None = None,
        facts: Mapping[str, float] | None = None,
    ) -> Sample:
        """A sample whose figure is the median of `durations_ns`."""
        recorder = LatencyRecorder()
        for duration_ns in durations_ns:
            recorder.record(duration_ns)
        return cls(None, checksum, recorder, facts or {})

    @property
    def figure(self) -> float:
        if self.value is not None:
            return self.value
        if self.histogram is None or not self.histogram.count:
            raise BenchError("a sample has neither a value nor a histogram with values")
        return float(self.histogram.percentile(0.5))


@dataclass(frozen=True, slots=True)
class Row:
    """One way to do the job. `run` is one repetition; `needs` the module without which the row is left out.

    `load`: intended messages per second; rows of one name with different loads make a curve. `once`: slow by nature,
    one repetition is enough. `against`: the label of the row that the ratio in the tables refers to, if that is not the
    job's first limit of the same load.
    """

    kind: Kind
    name: str
    run: Callable[[], Sample]
    needs: str | None = None
    load: float | None = None
    once: bool = False
    against: str | None = None

    @classmethod
    def limit(cls, name: str, run: Callable[[], Sample], **options: object) -> Row:
        """A plain C or C++ program that does exactly this job and nothing else."""
        return cls("limit", name, run, **options)  # type: ignore[arg-type]

    @classmethod
    def peer(cls, name: str, run: Callable[[], Sample], **options: object) -> Row:
        """What others use, or would write."""
        return cls("peer", name, run, **options)  # type: ignore[arg-type]

    @classmethod
    def ours(cls, name: str, run: Callable[[], Sample], **options: object) -> Row:
        """qtxconn."""
        return cls("ours", name, run, **options)  # type: ignore[arg-type]

    @property
    def label(self) -> str:
        """The name, with the load where there is one; unique in a job."""
        return self.name if self.load is None else f"{self.name} @ {self.load:,.0f}/s"

    def missing(self) -> str | None:
        """Why the row cannot run here, or None."""
        if self.needs is None or importlib.util.find_spec(self.needs) is not None:
            return None
        return f"{self.needs} is not installed"


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row is to reach, as a ratio of its figure to that of row `than`; without `than`, absolutely.

    `at_most`, `at_least`: of figure(row) / figure(than). `faster`: the least figure(than) / figure(row). `of`: "value",
    a percentile of LatencyRecorder.summary() ("p99" ...), or the name of a fact. Rows are given by their labels.
    """

    row: str
    than: str | None = None
    at_most: float | None = None
    at_least: float | None = None
    faster: float | None = None
    of: str = "value"

    def __post_init__(self) -> None:
        if sum(bound is not None for bound in (self.at_most, self.at_least, self.faster)) != 1:
            raise BenchError(f"a goal of {self.row!r} needs one of at_most, at_least and faster")
        if self.faster is not None and self.than is None:
            raise BenchError(f"a goal of {self.row!r} says 'faster' but not than what")

    @property
    def text(self) -> str:
        """ "p99 <= 1.5 x C decode", ">= 400 x faster than asyncio", "lost <= 0"."""
        prefix = "" if self.of == "value" else f"{self.of} "
        if self.faster is not None:
            return f"{prefix}>= {self.faster:g} x faster than {self.than}"
        sign, bound = ("<=", self.at_most) if self.at_most is not None else (">=", self.at_least)
        return f"{prefix}{sign} {bound:g}" + (f" x {self.than}" if self.than is not None else "")

    def reached(self, ratio: float) -> bool:
        """`ratio`: figure(row) / figure(than), or the figure itself."""
        if self.faster is not None:
            return ratio * self.faster <= 1
        return ratio <= self.at_most if self.at_most is not None else ratio >= self.at_least  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Job:
    """One question with its rows. `rows(bench)` prepares what they need, yields them, and clears up after them.

    `unit` is that of the figures. `pinned`: rows run on the client's core with real-time priority, where that is
    allowed. Every row of one round runs before any row of the next.
    """

    name: str
    question: str
    unit: str
    rows: Callable[[Bench], AbstractContextManager[list[Row]]]
    goals: tuple[Goal, ...] = ()
    repetitions: int = 7
    pinned: bool = True
    higher_is_better: bool = False
