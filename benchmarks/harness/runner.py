"""Runs jobs: rows alternate within rounds, checksums are compared, the canary looks before and after."""

from __future__ import annotations

import gc
import importlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness.bench import ROOT, Bench, burst
from benchmarks.harness.canary import Canary
from benchmarks.harness.environment import environment, warnings
from benchmarks.harness.jobs import BenchError, Job, Row, Sample
from benchmarks.harness.results import job_result

FORMAT = 1
QUICK_REPETITIONS = 2

Say = Callable[[str], None]


def find_jobs() -> dict[str, list[Job]]:
    """All jobs, by the module of benchmarks/ that declares them."""
    found: dict[str, list[Job]] = {}
    names: dict[str, str] = {}
    for path in sorted((ROOT / "benchmarks").glob("[!_]*.py")):
        found[path.stem] = list(importlib.import_module(f"benchmarks.{path.stem}").JOBS)
        for job in found[path.stem]:
            if job.name in names:
                raise BenchError(f"two jobs are named {job.name!r}: in {names[job.name]}.py and {path.stem}.py")
            names[job.name] = path.stem
    return found


def choose_jobs(wanted: Sequence[str]) -> list[Job]:
    """The jobs of these names, or of modules of these names; all if none is given."""
    modules = find_jobs()
    every = [job for jobs in modules.values() for job in jobs]
    for name in wanted:
        if name not in modules and name not in {job.name for job in every}:
            known = ", ".join(sorted({*modules, *(job.name for job in every)}))
            raise BenchError(f"there is no benchmark {name!r}; there are {known}")
    chosen = {name for name in wanted if name not in modules}
    chosen |= {job.name for name in wanted if name in modules for job in modules[name]}
    return [job for job in every if not wanted or job.name in chosen]


def run_jobs(
    jobs: Iterable[Job], *, quick: bool, say: Say, show: Callable[[dict[str, Any]], None], seed: int = 1
) -> dict[str, Any]:
    """Runs `jobs` in order; `show` gets each result as it is there. -> the report (docs/latency.md, "The JSON")."""
    with tempfile.TemporaryDirectory(prefix="qtxbench") as name:
        bench = Bench(Path(name), quick=quick, seed=seed)
        block = environment(bench)
        say("compiling the canary")
        canary = Canary(bench)
        canary.read()  # the first is cold
        results = []
        for job in jobs:
            bench.directory = Path(name) / job.name
            bench.directory.mkdir()
            results.append(_run_job(job, bench, canary, say))
            show(results[-1])
    return {
        "format": FORMAT,
        "quick": quick,
        "environment": block,
        "warnings": warnings(block),
        "jobs": results,
    }


def _run_job(job: Job, bench: Bench, canary: Canary, say: Say) -> dict[str, Any]:
    say(f"{job.name}: preparing")
    rows: list[Row] = []
    samples: dict[str, list[Sample]] = {}
    readings = []
    error = None
    try:
        with job.rows(bench) as rows:
            _check_labels(job, rows)
            readings.append(canary.read())
            _run_rounds(job, rows, bench, samples, say)
        readings.append(canary.read())
        _check_checksums(job, rows, samples)
    except BenchError as failure:
        error = str(failure)
    return job_result(job, rows, samples, readings, canary.noise(*readings) if len(readings) == 2 else None, error)


def _run_rounds(job: Job, rows: list[Row], bench: Bench, samples: dict[str, list[Sample]], say: Say) -> None:
    runnable = [row for row in rows if row.missing() is None]
    samples.update({row.label: [] for row in runnable})
    rounds = min(job.repetitions, QUICK_REPETITIONS) if bench.quick else job.repetitions
    for number in range(1 if bench.quick else 0, rounds + 1):
        for row in runnable:
            if row.once and number != 1:
                continue
            say(f"{job.name}: {f'round {number} of {rounds}' if number else 'warm-up'}: {row.label}")
            sample = _repeat(row, bench, job.pinned)
            if number or row.once:
                samples[row.label].append(sample)


def _repeat(row: Row, bench: Bench, pinned: bool) -> Sample:
    gc.collect()
    gc.freeze()  # what the program itself holds is not the row's work
    try:
        with burst(bench.client_cpu if pinned else None):
            return row.run()
    finally:
        gc.unfreeze()


def _check_labels(job: Job, rows: list[Row]) -> None:
    labels = [row.label for row in rows]
    unknown = {name for goal in job.goals for name in (goal.row, goal.than) if name is not None} - set(labels)
    if len(set(labels)) != len(labels) or unknown:
        what = f"goals name no row: {sorted(unknown)}" if unknown else f"two rows have one label: {labels}"
        raise BenchError(f"{job.name}: {what}")


def _check_checksums(job: Job, rows: list[Row], samples: dict[str, list[Sample]]) -> None:
    """A figure counts only if everybody computed the same; rows of different loads have different work."""
    sums: dict[tuple[float | None, str], set[str]] = {}
    for row in rows:
        for sample in samples.get(row.label, ()):
            if sample.checksum is not None:
                sums.setdefault((row.load, str(sample.checksum)), set()).add(row.label)
    if len({load for load, _ in sums}) != len(sums):
        told = "; ".join(f"{value} by {', '.join(sorted(labels))}" for (_, value), labels in sums.items())
        raise BenchError(f"{job.name}: the rows do not compute the same: checksum {told}")
