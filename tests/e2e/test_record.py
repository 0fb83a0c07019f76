"""`qtxconn record` against the venue: what it writes can be read, stitched and replayed."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qtxconn.sim.launch import VenueProcess
from qtxconn.sim.recording import DEPTH, SNAPSHOT, TICKER, check_recording, read_recording

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def run(root: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.Popen(
        [sys.executable, "-m", "qtxconn", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def places(ends: dict[str, Any]) -> list[str]:
    return ["--rest-url", ends["rest"], "--ws-url", ends["ws_public"]]


async def test_a_recorded_market_can_be_stitched_and_traded_on(tmp_path: Path, root: Path) -> None:
    out = tmp_path / "market.gz"
    async with VenueProcess(["--speak", "binance"]) as venue:
        recorder = run(
            root, "record", "binance", "BTC-USDT", "--out", str(out), "--seconds", "6", *places(venue.endpoints)
        )
        _, told = recorder.communicate(timeout=60)
        assert recorder.returncode == 0, told
    messages = list(read_recording(out))
    assert check_recording(out).messages == len(messages)
    assert [m.receive_ns for m in messages] == sorted(m.receive_ns for m in messages)
    snapshot = next(m for m in messages if m.kind == SNAPSHOT)
    assert snapshot.symbol == "BTCUSDT"
    depth = [m.data for m in messages if m.kind == DEPTH]
    assert all(later["pu"] == earlier["u"] for earlier, later in itertools.pairwise(depth))
    assert any(d["U"] <= snapshot.data["lastUpdateId"] <= d["u"] for d in depth)
    assert sum(m.kind == TICKER for m in messages) > 10

    demo = run(root, "demo", "--recording", str(out), "--seconds", "4", "--json")
    told, problems = demo.communicate(timeout=100)
    assert demo.returncode in (0, 1), problems  # few trades in a short record: that nothing was filled is no failure
    assert '"gaps": 0' in told
    assert '"book_valid": true' in told


async def test_an_interrupt_leaves_a_whole_file(tmp_path: Path, root: Path) -> None:
    out = tmp_path / "market.gz"
    async with VenueProcess(["--speak", "binance"]) as venue:
        recorder = run(root, "record", "binance", "BTC-USDT", "--out", str(out), *places(venue.endpoints))
        assert recorder.stderr is not None
        assert "recording btcusdt@depth@0ms" in recorder.stderr.readline()
        recorder.send_signal(signal.SIGINT)
        recorder.communicate(timeout=60)
        assert recorder.returncode == 0
    assert check_recording(out).messages > 0


@pytest.mark.parametrize(
    ("pair", "told"), [("BTC-USD", "did you mean BTC-USDT"), ("BTC-USDT", "exists already; name a new file")]
)
async def test_bad_input_is_one_line_that_says_what_to_do(tmp_path: Path, root: Path, pair: str, told: str) -> None:
    out = tmp_path / "market.gz"
    if pair == "BTC-USDT":
        out.write_bytes(b"a recording of old")
    async with VenueProcess(["--speak", "binance"]) as venue:
        recorder = run(root, "record", "binance", pair, "--out", str(out), *places(venue.endpoints))
        _, problem = recorder.communicate(timeout=60)
    assert recorder.returncode == 2
    assert told in problem
    assert problem.count("\n") == 1
    assert not out.exists() or out.read_bytes() == b"a recording of old"
