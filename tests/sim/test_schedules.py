"""Some schedules of each mode on every run, what is in them, and the same digest in every process."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qtxconn.testing.simulate import run_many, run_schedule


@pytest.mark.parametrize(("mode", "count"), [("transport", 300), ("http", 40)])
def test_no_schedule_breaks_an_invariant(mode: str, count: int) -> None:
    _, _, failed = run_many(1, count, mode)
    assert not failed, "\n".join(f"{result.violation}\n{result.command}" for result in failed)


def test_processes_die_and_go_on_from_their_journal_in_these_schedules() -> None:
    """What the schedules above must contain to mean anything."""
    kills = restored = torn = 0
    for seed in range(1, 101):
        lines: list[str] = []
        run_schedule(seed, show=lines.append)
        trace = "".join(lines)
        kills += trace.count(" kill \n")
        restored += sum(int(count) for count in re.findall(r" restored (\d+)\n", trace))
        torn += trace.count(" torn record \n")
    assert kills > 20
    assert restored > 20
    assert torn > 5


@pytest.mark.parametrize(("mode", "count"), [("transport", 100), ("http", 100)])
def test_time_brings_something_about_in_these_schedules(mode: str, count: int) -> None:
    """Funding that is paid and told, and countdowns of the dead-man's switch that run out."""
    due = told = 0
    for seed in range(1, count + 1):
        lines: list[str] = []
        run_schedule(seed, mode, show=lines.append)
        due += sum(line.endswith(" due \n") for line in lines)
        told += sum(" funding " in line and " plan " not in line for line in lines)
    assert due > 5
    assert told > 1


@pytest.mark.parametrize("mode", ["transport", "http"])
def test_every_process_gives_the_same_digest(mode: str, root: Path) -> None:
    digests = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "qtxconn.testing.simulate", "--first", "1", "--count", "12", "--mode", mode],
            cwd=root, env=os.environ | {"PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        digests.add(done.stdout.split("digest")[1].strip())
    digests.add(run_many_digest(mode))
    assert len(digests) == 1


def run_many_digest(mode: str) -> str:
    """What the command prints for the same seeds, from this process, in which other schedules have run before."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(run_many(1, 12, mode)[1].encode())
    return digest.hexdigest()


def test_one_command_shows_a_schedule_again(root: Path) -> None:
    result = run_schedule(3)
    done = subprocess.run(
        [sys.executable, *result.command.split()[1:], "--trace"], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.digest in done.stdout
    assert "venue NEW" in done.stdout


def test_the_trace_of_a_failing_schedule_ends_with_the_violation() -> None:
    class Broken:
        def cancel(self, trading_pair: str, client_order_id: str) -> bool:
            raise ValueError("planted")

    lines: list[str] = []
    result = run_schedule(1, mutate=lambda base: type("Broken", (Broken, base), {"name": base.name}), show=lines.append)
    assert result.violation is not None
    assert "L10" in result.violation
    assert "planted" in result.violation
    assert "violation L10" in "".join(lines)


def test_a_schedule_that_gets_stuck_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:
        async def disconnect(self) -> None:
            await super().disconnect()
            await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("qtxconn.testing.world.MEMORY_FOLDER", str(tmp_path))
    result = run_schedule(1, mutate=lambda base: type("Stuck", (Stuck, base), {"name": base.name}))
    assert result.violation is not None
    assert "everything waits for ever" in result.violation
    assert list(tmp_path.iterdir()) == []
