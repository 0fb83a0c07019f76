"""docs/order-cases.md: every test that it names is there, and every flaw has one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FLAWS = 19


def table(root: Path) -> list[list[str]]:
    lines = (root / "docs" / "order-cases.md").read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ") and "---" not in line]


def test_every_flaw_has_a_test(root: Path) -> None:
    numbered = [int(cells[0]) for cells in table(root) if cells[0].isdecimal()]
    assert numbered == list(range(1, FLAWS + 1))


def test_every_test_that_is_named_is_there(root: Path) -> None:
    there: dict[str, set[str]] = {}
    rows = table(root)
    assert len(rows) > 60
    for cells in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", cells[-1])
        assert named or cells[-1] == "test", f"no test in {cells}"
        for path, name in named:
            if path not in there:
                tree = ast.parse((root / "tests" / "unit" / path).read_text())
                there[path] = {
                    node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                }
            assert name in there[path], f"{path} has no {name}"
