"""docs/order-cases.md, fault-cases.md and simulation.md: every test that they name is there, and every case has one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FLAWS = 19
CASES_MIN = {"order-cases.md": 60, "fault-cases.md": 30}
NAMED = re.compile(r"`([\w/]+\.(?:py|cpp))::(\w+)`")


def table(root: Path, page: str) -> list[list[str]]:
    lines = (root / "docs" / page).read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and "---" not in line]


def test_every_flaw_has_a_test(root: Path) -> None:
    numbered = [int(cells[0]) for cells in table(root, "order-cases.md") if cells[0].isdecimal()]
    assert numbered == list(range(1, FLAWS + 1))


@pytest.mark.parametrize("page", CASES_MIN)
def test_every_case_has_a_test(root: Path, page: str) -> None:
    rows = [cells for cells in table(root, page) if cells[-1] != "test"]
    assert len(rows) > CASES_MIN[page]
    assert not [cells for cells in rows if not NAMED.search(cells[-1])]


@pytest.mark.parametrize("page", [*CASES_MIN, "simulation.md"])
def test_every_test_that_is_named_is_there(root: Path, page: str) -> None:
    named = NAMED.findall((root / "docs" / page).read_text())
    assert named
    for path, name in named:
        text = next(place for place in (root / "tests" / "unit" / path, root / "tests" / path) if place.is_file())
        kind = r"(?:async )?def" if path.endswith(".py") else r"(?:\[\[\w+\]\] )?[\w:]+"
        assert re.search(rf"^ *(?:extern \"C\" )?{kind} {name}\(", text.read_text(), re.M), f"{path} has no {name}"
