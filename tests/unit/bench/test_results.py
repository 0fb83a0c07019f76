"""From samples to figures: paired ratios, goals, saturation, the comparison of two reports."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.harness import BenchError, Goal, Job, Row, Sample
from benchmarks.harness.results import compare, goal_result, job_result, ratios, saturation

from .small_jobs import make_job, sample


def result_of(samples: dict[str, list[Sample]], *goals: Goal, noise: str | None = None) -> dict[str, Any]:
    rows = [Row("limit" if name == "C" else "ours", name, lambda: sample(0.0)) for name in samples]
    return job_result(make_job(*rows, goals=goals), rows, samples, [], noise, None)


def test_a_ratio_is_taken_round_by_round() -> None:
    # The machine was twice as slow in the second round: that is in both terms.
    own, limit = [sample(11), sample(24), sample(12)], [sample(10), sample(20), sample(10)]
    assert ratios(own, limit, "value") == pytest.approx([1.1, 1.2, 1.2])
    assert ratios(own[:1], limit, "value") == pytest.approx([1.1])


def test_a_row_may_name_the_row_it_is_compared_with() -> None:
    rows = [Row.limit("C", lambda: sample(0)), Row.limit("C, slow", lambda: sample(0))]
    rows.append(Row.ours("ours", lambda: sample(0), against="C, slow"))
    samples = {"C": [sample(1)], "C, slow": [sample(10)], "ours": [sample(12)]}
    result = job_result(make_job(*rows), rows, samples, [], None, None)
    assert result["rows"][2]["limit"] == "C, slow"
    assert result["rows"][2]["ratios"] == pytest.approx([1.2])


def test_a_goal_is_judged_by_the_median_round() -> None:
    samples = {"C": [sample(10)] * 3, "ours": [sample(12), sample(13), sample(30)]}
    job = result_of(
        samples, Goal("ours", "C", at_most=1.4), Goal("ours", "C", at_most=1.2), Goal("C", "ours", faster=1.3)
    )
    assert [goal["reached"] for goal in job["goals"]] == [True, False, True]
    assert job["rows"][1]["median"] == 13
    assert job["rows"][1]["limit"] == "C"


def test_a_goal_of_a_fact_is_judged_by_the_worst_round() -> None:
    samples = {"ours": [sample(1, lost=0), sample(1, lost=3), sample(1, lost=0)]}
    found = goal_result(Goal("ours", at_most=0, of="lost"), samples, None)
    assert (found["ratio"], found["reached"]) == (3, False)


def test_a_goal_of_a_percentile() -> None:
    fast = Sample.of_durations([100] * 99 + [200])
    slow = Sample.of_durations([100] * 90 + [400] * 10)
    found = goal_result(Goal("ours", "C", at_most=1.5, of="p99"), {"C": [fast], "ours": [slow]}, None)
    assert found["ratio"] == pytest.approx(4.0, rel=0.02)
    assert found["reached"] is False


def test_noise_excuses_a_missed_goal_and_takes_none_away() -> None:
    samples = {"C": [sample(10)], "ours": [sample(12)]}
    job = result_of(samples, Goal("ours", "C", at_most=1.1), Goal("ours", "C", at_most=1.3), noise="others ran")
    assert [goal["reached"] for goal in job["goals"]] == [None, True]


@pytest.mark.parametrize("bounds", [{}, {"at_most": 1, "faster": 2}, {"faster": 2, "than": None}])
def test_a_goal_has_one_bound(bounds: dict[str, Any]) -> None:
    with pytest.raises(BenchError):
        Goal("ours", bounds.pop("than", "C"), **bounds)


def test_a_goal_says_what_it_is() -> None:
    assert Goal("ours", "C", at_most=1.5, of="p99").text == "p99 <= 1.5 x C"
    assert Goal("ours", "asyncio", faster=400).text == ">= 400 x faster than asyncio"
    assert Goal("ours", at_most=0, of="lost").text == "lost <= 0"


def test_percentiles_are_medians_of_the_rounds_and_the_histogram_holds_all() -> None:
    samples = {"ours": [Sample.of_durations([value] * 10) for value in (100, 120, 900)]}
    row = result_of(samples)["rows"][0]
    assert row["percentiles"]["p99"] == 120
    assert sum(times for _, times in row["histogram"]) == 30


def test_a_sample_without_a_figure_is_an_error() -> None:
    with pytest.raises(BenchError, match="neither a value nor a histogram"):
        _ = Sample().figure


def test_saturation_is_the_highest_load_without_loss() -> None:
    def row(load: float, lost: float, achieved: float) -> dict[str, Any]:
        return {"name": "ours", "load": load, "median": 1.0, "facts": {"lost": lost, "achieved": achieved}}

    tried = [row(1000, 0, 1000), row(2000, 0, 1995), row(4000, 0, 3000), row(8000, 5, 8000)]
    assert saturation(tried) == {"ours": 2000}


# -- comparison ----------------------------------------------------------------------------------------------


def report_of(own: list[float], *, noise: str | None = None, job: Job | None = None) -> dict[str, Any]:
    samples = {"C": [sample(10)] * len(own), "ours": [sample(value) for value in own]}
    return {"quick": False, "jobs": [result_of(samples, noise=noise)]}


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ([12, 12, 13], [12, 13, 13], "same"),
        ([12, 12, 13], [15, 16, 16], "slower"),
        ([15, 16, 16], [12, 12, 13], "faster"),
        ([12, 12, 20], [15, 16, 16], "same"),  # the ranges overlap
        ([100, 101, 102], [103, 103, 104], "same"),  # apart, but by less than 5 %
    ],
)
def test_a_change_counts_when_the_ranges_are_apart(old: list[float], new: list[float], verdict: str) -> None:
    changes = {change.label: change.verdict for change in compare(report_of(old), report_of(new))}
    assert changes == {"C": "same", "ours": verdict}


def test_noise_and_other_sizes_are_not_compared() -> None:
    old, new = report_of([12] * 3), report_of([20] * 3, noise="others ran")
    assert {change.verdict for change in compare(old, new)} == {"noisy"}
    assert {change.verdict for change in compare(old | {"quick": True}, report_of([20] * 3))} == {"noisy"}


def test_a_row_that_was_not_there_is_new() -> None:
    assert {change.verdict for change in compare({"quick": False, "jobs": []}, report_of([12] * 3))} == {"new"}
