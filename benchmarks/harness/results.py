"""From samples to the report: medians, ranges, paired ratios, goals; and the comparison of two reports."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.canary import Reading
from benchmarks.harness.jobs import Goal, Job, Row, Sample
from qtxconn.perf.latency import LatencyRecorder

CHANGE_MIN = 0.05  # a smaller change of a ratio is not reported as one


def merged(recorders: Iterable[LatencyRecorder]) -> LatencyRecorder:
    """One recorder with everything the others hold."""
    whole = LatencyRecorder()
    for recorder in recorders:
        whole.merge(recorder)
    return whole


def metric(sample: Sample, of: str) -> float | None:
    """`of`: "value", a column of LatencyRecorder.summary(), or the name of a fact. None: the sample has none."""
    if of == "value":
        return sample.figure
    if of in sample.facts:
        return float(sample.facts[of])
    if sample.histogram is not None:
        return sample.histogram.summary().get(of)
    return None


def ratios(own: Sequence[Sample], other: Sequence[Sample], of: str) -> list[float]:
    """own / other, round by round; against the other's median where the rounds do not pair."""
    mine = [value for sample in own if (value := metric(sample, of)) is not None]
    theirs = [value for sample in other if (value := metric(sample, of)) is not None]
    if not mine or not theirs:
        return []
    if len(mine) != len(theirs):
        theirs = [statistics.median(theirs)] * len(mine)
    return [a / b for a, b in zip(mine, theirs, strict=True) if b > 0]


def limit_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """The row that `row` names, else the job's first limit, or first row; of the same load where rows have loads."""
    if row.against is not None:
        return next((other for other in rows if other.label == row.against), None)
    same = [other for other in rows if other.load == row.load] or list(rows)
    return next((other for other in same if other.kind == "limit"), same[0] if same else None)


def row_result(row: Row, rows: Sequence[Row], samples: Mapping[str, Sequence[Sample]]) -> dict[str, Any]:
    """Everything about one row; `figures` in the job's unit, one a round; `percentiles` and `histogram` in ns."""
    taken = samples.get(row.label, [])
    result: dict[str, Any] = {
        "label": row.label,
        "name": row.name,
        "kind": row.kind,
        "load": row.load,
        "missing": row.missing(),
    }
    if not taken:
        return result
    figures = [sample.figure for sample in taken]
    result |= {"figures": figures, "median": statistics.median(figures)}
    recorders = [sample.histogram for sample in taken if sample.histogram is not None]
    if recorders:
        whole = merged(recorders)
        columns = recorders[0].summary()
        result["percentiles"] = {
            column: statistics.median(recorder.summary()[column] for recorder in recorders) for column in columns
        }
        result["p99_range"] = [pick(recorder.summary()["p99"] for recorder in recorders) for pick in (min, max)]
        result["histogram"] = whole.buckets()
    facts = {name for sample in taken for name in sample.facts}
    result["facts"] = {
        name: statistics.median(sample.facts[name] for sample in taken if name in sample.facts)
        for name in sorted(facts)
    }
    limit = limit_of(row, [other for other in rows if samples.get(other.label)])
    if limit is not None:
        result["limit"] = limit.label
        result["ratios"] = ratios(taken, samples[limit.label], "value")
    return result


def goal_result(goal: Goal, samples: Mapping[str, Sequence[Sample]], noise: str | None) -> dict[str, Any]:
    """`ratio`: the median of the rounds, or the worst of a fact. `reached`: None where it cannot be said."""
    result: dict[str, Any] = {"row": goal.row, "text": goal.text, "ratio": None, "reached": None}
    own = samples.get(goal.row, [])
    if goal.than is None:
        values = [value for sample in own if (value := metric(sample, goal.of)) is not None]
        if not values:
            return result
        result["ratio"] = max(values) if goal.at_most is not None else min(values)
        result["reached"] = goal.reached(result["ratio"])
        return result
    found = ratios(own, samples.get(goal.than, []), goal.of)
    if found:
        result["ratio"] = statistics.median(found)
        reached = goal.reached(result["ratio"])
        # Noise makes figures worse: a goal that is reached all the same stays reached.
        result["reached"] = None if noise is not None and not reached else reached
    return result


def job_result(
    job: Job,
    rows: Sequence[Row],
    samples: Mapping[str, Sequence[Sample]],
    readings: Sequence[Reading],
    noise: str | None,
    error: str | None,
) -> dict[str, Any]:
    return {
        "name": job.name,
        "question": job.question,
        "unit": job.unit,
        "higher_is_better": job.higher_is_better,
        "error": error,
        "noise": noise,
        "canary": [reading.to_dict() for reading in readings],
        "interruptions": merged(reading.gaps for reading in readings).buckets(),
        "rows": [row_result(row, rows, samples) for row in rows],
        "goals": [goal_result(goal, samples, noise) for goal in job.goals if error is None],
    }


def saturation(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Name of a row -> the highest load at which it lost nothing and kept up, of those that were tried."""
    kept: dict[str, float] = {}
    for row in rows:
        if row["load"] is None or "median" not in row:
            continue
        facts = row["facts"]
        if facts.get("lost", 0) == 0 and facts.get("achieved", row["load"]) >= 0.99 * row["load"]:
            kept[row["name"]] = max(kept.get(row["name"], 0.0), row["load"])
    return kept


@dataclass(frozen=True, slots=True)
class Change:
    """One row in two reports. `verdict`: "same", "faster", "slower", "noisy", or "new"."""

    job: str
    label: str
    unit: str
    old: float | None
    new: float
    old_ratio: float | None
    new_ratio: float | None
    verdict: str


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """What became of each row of `new`, by its ratio to the limit: the machine's mood is in both terms of a ratio.

    A change counts when it is more than 5 % and the rounds' ranges do not overlap.
    """
    before = {(job["name"], row["label"]): (job, row) for job in old["jobs"] for row in job["rows"]}
    changes = []
    for job in new["jobs"]:
        for row in job["rows"]:
            if "median" not in row:
                continue
            old_job, old_row = before.get((job["name"], row["label"]), (None, {}))
            sizes_differ = old["quick"] != new["quick"]
            verdict = "new" if "median" not in old_row else _verdict(job, old_job, row, old_row, sizes_differ)
            changes.append(
                Change(
                    job["name"],
                    row["label"],
                    job["unit"],
                    old_row.get("median"),
                    row["median"],
                    statistics.median(old_row["ratios"]) if old_row.get("ratios") else None,
                    statistics.median(row["ratios"]) if row.get("ratios") else None,
                    verdict,
                )
            )
    return changes


def _verdict(job: Any, old_job: Any, row: Any, old_row: Any, sizes_differ: bool) -> str:
    if job["noise"] or old_job["noise"] or sizes_differ:
        return "noisy"
    mine, theirs = row.get("ratios") or [1.0], old_row.get("ratios") or [1.0]
    growth = statistics.median(mine) / statistics.median(theirs) - 1
    apart = min(mine) > max(theirs) or max(mine) < min(theirs)
    if abs(growth) <= CHANGE_MIN or not apart:
        return "same"
    return "slower" if (growth > 0) != job["higher_is_better"] else "faster"
