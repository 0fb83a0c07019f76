"""`qtxconn demo`: the main job on the embedded venue, its report, and what it says of bad input."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LEGS = {"udp_to_book", "book_to_slot", "slot_to_answer", "fill_to_event"}


def run_demo(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run(
        [sys.executable, "-m", "qtxconn", "demo", *options],
        capture_output=True,
        text=True,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=100,
        check=False,
    )


def check_report(report: dict[str, Any]) -> None:
    assert report["violations"] == []
    assert report["ok"] is True
    assert report["market_data"]["total_messages"] > 0
    assert report["market_data"]["gaps"] == 0
    assert report["market_data"]["book_valid"] is True
    orders, account = report["orders"], report["account"]
    ended = orders["filled"] + orders["cancelled"] + orders["expired"] + orders["rejected"]
    assert orders["placed"] == ended > 0
    assert account["fills"] == account["venue_fills"] > 0
    assert account["position"] == account["venue_position"] == "0"
    assert float(account["realised_pnl"]) == float(account["venue_pnl"])
    assert set(report["latency_ns"]) == LEGS
    for leg in LEGS:
        summary = report["latency_ns"][leg]
        assert summary["count"] > 0
        assert 0 < summary["p50"] <= summary["p99"] <= summary["max"]


def segments() -> set[str]:
    return {entry.name for entry in Path("/dev/shm").iterdir() if "qtx" in entry.name and entry.is_file()}


@pytest.mark.parametrize("driver", ["asyncio", "thread"])
def test_a_session_ends_with_client_and_venue_in_agreement(root: Path, driver: str) -> None:
    before = segments()
    done = run_demo(root, "--json", "--seed", "3", "--seconds", "5", "--driver", driver)
    assert done.returncode == 0, done.stderr + done.stdout
    check_report(json.loads(done.stdout))
    assert segments() <= before


def test_without_a_terminal_progress_is_plain_lines_and_the_report_is_readable(root: Path) -> None:
    done = run_demo(root, "--seconds", "5")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "\x1b" not in done.stdout
    assert "position here, at the venue" in done.stdout
    assert "UDP in -> book" in done.stdout
    assert done.stdout.rstrip().endswith("ok: orders, fills and position equal the venue's")


@pytest.mark.recording
def test_it_trades_on_the_replay_of_a_recorded_session(root: Path, shared_dir: Path) -> None:
    recording = shared_dir / "data" / "binance-usdm" / "btcusdt_20240808.gz"
    done = run_demo(root, "--json", "--recording", str(recording), "--speed", "10", "--seconds", "6")
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert report["market"] == str(recording)
    check_report(report)


def test_bad_input_is_one_line_that_says_what_to_do(root: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.gz"
    text.write_text("no recording")
    empty = tmp_path / "empty.gz"
    empty.write_bytes(gzip.compress(b""))
    for options, expected in (
        (["--recording", str(tmp_path / "none.gz")], "does not exist"),
        (["--recording", str(text)], "not an intact gzip file"),
        (["--recording", str(empty)], "is empty"),
        (["--speed", "0"], "--speed"),
        (["--driver", "magic"], "--driver"),
        (["--sed", "1"], "--seed"),
    ):
        done = run_demo(root, "--json", *options)
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        assert done.returncode == 2, (options, done.stderr)
        assert len(lines) == 1, (options, done.stderr)
        assert expected in lines[0], options
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
