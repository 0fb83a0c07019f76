"""The benchmark runner: rows alternate, wrong sums fail a job, missing peers are told, set-up is cleared up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.harness import Bench, BenchError, Goal, Job, Row, Sample
from benchmarks.harness.bench import burst
from benchmarks.harness.canary import Canary, Reading
from benchmarks.harness.runner import choose_jobs, find_jobs, run_jobs
from qtxconn.perf.latency import LatencyRecorder

from .small_jobs import make_job, sample


def run(job: Job, *, quick: bool = True) -> dict[str, Any]:
    shown: list[dict[str, Any]] = []
    report = run_jobs([job], quick=quick, say=lambda _text: None, show=shown.append)
    assert report["jobs"] == shown
    return shown[0]


def test_rows_alternate_after_a_warm_up_round() -> None:
    seen: list[str] = []

    def turn(name: str) -> Sample:
        seen.append(name)
        return sample(1.0)

    rows = (Row.limit("C", lambda: turn("C")), Row.ours("ours", lambda: turn("ours")))
    result = run(make_job(*rows, repetitions=3), quick=False)
    assert seen == ["C", "ours"] * 4
    assert [len(row["figures"]) for row in result["rows"]] == [3, 3]


def test_a_slow_row_runs_once() -> None:
    rows = (Row.limit("C", lambda: sample(1.0)), Row.peer("slow", lambda: sample(9.0), once=True))
    result = run(make_job(*rows))
    assert [len(row["figures"]) for row in result["rows"]] == [2, 1]
    assert result["rows"][1]["ratios"] == [9.0]


def test_rows_that_disagree_fail_the_job() -> None:
    rows = (Row.limit("C", lambda: sample(1.0, 17)), Row.ours("ours", lambda: sample(1.0, 18)))
    result = run(make_job(*rows, goals=(Goal("ours", "C", at_most=2.0),)))
    assert "17 by C" in result["error"]
    assert "18 by ours" in result["error"]
    assert result["goals"] == []


def test_a_row_that_disagrees_with_itself_fails_the_job() -> None:
    turns = iter(range(100))
    result = run(make_job(Row.ours("ours", lambda: sample(1.0, next(turns)))))
    assert "do not compute the same" in result["error"]


def test_rows_of_different_loads_have_different_sums() -> None:
    rows = (Row.ours("ours", lambda: sample(1.0, 1), load=10), Row.ours("ours", lambda: sample(1.0, 2), load=20))
    assert run(make_job(*rows))["error"] is None


def test_a_missing_peer_is_a_row_that_says_so() -> None:
    rows = (Row.limit("C", lambda: sample(1.0)), Row.peer("gone", lambda: sample(0.0), needs="no_such_module"))
    result = run(make_job(*rows, goals=(Goal("C", "gone", faster=5),)))
    assert result["error"] is None
    assert result["rows"][1] == {
        "label": "gone", "name": "gone", "kind": "peer", "load": None, "missing": "no_such_module is not installed",
    }  # fmt: skip
    assert result["goals"][0]["reached"] is None


def test_set_up_is_cleared_up_after_a_failure() -> None:
    cleared = []

    @contextmanager
    def prepared(_bench: Bench) -> Iterator[list[Row]]:
        try:
            yield [Row.ours("ours", fail)]
        finally:
            cleared.append(True)

    def fail() -> Sample:
        raise BenchError("the program fell over")

    result = run(Job("job", "What?", "ns", prepared))
    assert result["error"] == "the program fell over"
    assert cleared == [True]


def test_a_goal_that_names_no_row_is_an_error() -> None:
    result = run(make_job(Row.ours("ours", lambda: sample(1.0)), goals=(Goal("outs", at_most=1),)))
    assert "outs" in result["error"]


def test_the_runner_gives_back_its_cores_and_its_priority() -> None:
    cpus, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    with burst(max(cpus)):
        assert os.sched_getaffinity(0) == {max(cpus)}
    assert (os.sched_getaffinity(0), os.sched_getscheduler(0)) == (cpus, policy)


def test_every_job_of_the_checkout_is_well_formed() -> None:
    modules = find_jobs()
    assert {"order_tracker", "order_journal", "tick_to_trade", "machine"} <= set(modules)
    for job in choose_jobs([]):
        assert job.question
        assert job.repetitions >= 3 or job.repetitions == 1


def test_a_job_is_chosen_by_its_name_or_by_its_module() -> None:
    assert [job.name for job in choose_jobs(["cache-line", "order_journal"])] == [
        "cache-line", "journal-record", "journal-order",
    ]  # fmt: skip
    with pytest.raises(BenchError, match="there is no benchmark 'nothing'"):
        choose_jobs(["nothing"])


# -- programs ------------------------------------------------------------------------------------------------


def test_a_program_is_compiled_once(bench: Bench) -> None:
    program = bench.compile("canary.cpp")
    made_ns = program.stat().st_mtime_ns
    assert Bench(bench.directory).compile("canary.cpp") == program
    assert program.stat().st_mtime_ns == made_ns


def test_a_program_that_fails_says_why(bench: Bench) -> None:
    program = bench.compile("order_tracker.cpp")
    with pytest.raises(BenchError, match="order_tracker nothing: status 2"):
        bench.run(program, "nothing")


def test_without_a_compiler_the_error_says_what_to_do(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(BenchError, match="no 'no-such-compiler', which CXX names"):
        bench.compile("canary.cpp")


# -- canary --------------------------------------------------------------------------------------------------


def reading(round_trip_ns: float, taken: float = 0.0) -> Reading:
    return Reading(round_trip_ns, taken, 50.0, 20.0, LatencyRecorder())


def test_the_canary_reads_the_machine(bench: Bench) -> None:
    found = Canary(bench).read()
    assert found.clock_ns > 0
    assert 0 <= found.taken < 1
    assert found.gaps.count > 1000


def test_the_canary_rejects_a_noisy_job(bench: Bench) -> None:
    canary = Canary(bench)
    assert canary.noise(reading(400), reading(450)) is None
    assert "400 ns before and 600 ns after" in str(canary.noise(reading(400), reading(600)))
    assert "5.0% of the core's time" in str(canary.noise(reading(400), reading(400, taken=0.05)))
