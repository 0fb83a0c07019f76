"""The binary interface is the recorded one: whoever changes it raises QTXCONN_ABI."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

RECORDED = Path(__file__).parent / "abi.json"


def changes(before: object, after: object, where: str = "") -> list[str]:
    """Lines that say what differs between two JSON values."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for key in sorted({*before, *after})
            for line in changes(before.get(key), after.get(key), f"{where}.{key}".lstrip("."))
        ]
    return [] if before == after else [f"{where}: {before} -> {after}"]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the recorded sizes are those of Linux on x86-64")
def test_the_binary_interface_is_the_recorded_one(root: Path) -> None:
    # In a process of its own: the numbers are those of the package in this checkout, whatever tests have imported.
    run = subprocess.run(
        [sys.executable, Path(__file__).parent / "layout.py"], cwd=root, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    recorded, current = json.loads(RECORDED.read_text()), json.loads(run.stdout)
    differences = changes(recorded, current)
    raised = current["abi"] > recorded["abi"]
    todo = "run 'make abi'" if raised else "raise QTXCONN_ABI in include/qtxconn/abi.hpp, then run 'make abi'"
    assert not differences, "\n".join([f"the binary interface has changed: {todo}", *differences])


def test_a_moved_field_is_noticed() -> None:
    before = {"abi": 1, "layouts": {"Fixed": {"sizeof": 16, "units": 0}}}
    after = {"abi": 1, "layouts": {"Fixed": {"sizeof": 24, "units": 8}}}
    assert changes(before, after) == ["layouts.Fixed.sizeof: 16 -> 24", "layouts.Fixed.units: 0 -> 8"]
