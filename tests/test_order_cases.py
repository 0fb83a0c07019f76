"""docs/order-cases.md and docs/simulation.md: every test that they name is there, and every flaw has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FLAWS = 19


def table(root: Path) -> list[list[str]]:
    lines = (root / "docs" / "order-cases.md").read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and "---" not in line]


def test_every_flaw_has_a_test(root: Path) -> None:
    numbered = [int(cells[0]) for cells in table(root) if cells[0].isdecimal()]
    assert numbered == list(range(1, FLAWS + 1))


def test_every_case_has_a_test(root: Path) -> None:
    rows = [cells for cells in table(root) if cells[-1] != "test"]
    assert len(rows) > 60
    assert not [cells for cells in rows if "::test_" not in cells[-1]]


@pytest.mark.parametrize("page", ["order-cases.md", "simulation.md"])
def test_every_test_that_is_named_is_there(root: Path, page: str) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (root / "docs" / page).read_text())
    assert named
    for path, name in named:
        text = (root / "tests" / "unit" / path).read_text()
        assert re.search(rf"^(?:async )?def {name}\(", text, re.M), f"{path} has no {name}"
