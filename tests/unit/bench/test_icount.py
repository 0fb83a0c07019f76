"""The instruction gate: reads callgrind's file, and notices what grew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.icount import icount

CALLGRIND = """\
version: 1
events: Ir
fn=(1) main
10 100
cfn=(2) icount::measured<run(long)::{lambda()#1}>(run(long)::{lambda()#1}&&)
calls=4 20
11 4000
fn=(2)
20 400
cfn=(3) operator new(unsigned long)
calls=6 0
21 600
cfn=(4) malloc
calls=1 0
21 60
fn=(3)
cfn=(4)
calls=6 0
30 300
cfn=(5) free
calls=7 0
totals: 5000
"""


def test_instructions_and_allocations_are_read_from_callgrind() -> None:
    assert icount.parse_callgrind(CALLGRIND) == (5000, 13)


def figure(instructions: float, allocations: float = 0.0) -> dict[str, float]:
    return {"instructions": instructions, "allocations": allocations}


def test_growth_is_noticed_beyond_the_tolerance() -> None:
    recorded = {"a": figure(100), "b": figure(100), "c": figure(100), "gone": figure(1)}
    now = {"a": figure(102), "b": figure(110), "c": figure(90, 0.1), "new": figure(1)}
    found = icount.problems(recorded, now)
    assert [line.partition(":")[0] for line in found] == ["b", "c", "gone is gone", "new is not on record"]


def test_everything_on_record_has_a_driver_and_allocates_nothing() -> None:
    record = json.loads(icount.RECORD.read_text())
    assert {job.partition("/")[0] for job in record["operations"]} == {path.stem for path in icount.HERE.glob("*.cpp")}
    assert all(row["allocations"] == 0 for row in record["operations"].values())


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_a_count_repeats(tmp_path: Path) -> None:
    programs = dict(icount.drivers(tmp_path, "decimal"))
    once, again = (icount.count(programs["decimal"], "format", 1000, tmp_path) for _ in range(2))
    assert once == again
    assert once[0] > 1000
