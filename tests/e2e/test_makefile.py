"""The Makefile on a machine that lacks something: one line that says what to do, status 2, nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

NO_HEADERS = """#!/bin/sh
grep -q Python.h && exit 1
exit 0
"""
NO_CPP17 = """#!/bin/sh
exit 1
"""


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A copy of what make looks at before it does anything."""
    for name in ("Makefile", "pyproject.toml", "setup.py"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "scripts", tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "include").mkdir()
    (tmp_path / "qtxconn").mkdir()
    return tmp_path


def fake(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def make(checkout: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key not in ("CXX", "MAKEFLAGS")}
    return subprocess.run(
        ["make", *arguments], cwd=checkout, env=clean | env, capture_output=True, text=True, timeout=60, check=False
    )


def files_of(checkout: Path) -> set[Path]:
    return {path for path in checkout.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.parametrize(
    ("compiler", "expected"),
    [(None, "no C++ compiler"), (NO_CPP17, "has no C++17"), (NO_HEADERS, "no Python headers")],
)
def test_a_missing_build_tool(checkout: Path, tmp_path: Path, compiler: str | None, expected: str) -> None:
    command = "no-such-compiler" if compiler is None else fake(tmp_path / "compiler", compiler)
    before = files_of(checkout)
    done = make(checkout, "demo", f"PYTHON={sys.executable}", CXX=command)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "install" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert files_of(checkout) == before


def test_a_missing_python(checkout: Path) -> None:
    before = files_of(checkout)
    done = make(checkout, "test", "PYTHON=no-such-python")
    assert done.returncode == 2
    assert "no-such-python not found" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert files_of(checkout) == before


def test_a_missing_venv_module(checkout: Path, tmp_path: Path) -> None:
    """As on a distribution that packages ensurepip apart."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "ensurepip.py").write_text("raise ImportError('not packaged')\n")
    before = files_of(checkout)
    done = make(checkout, "demo", f"PYTHON={sys.executable}", PYTHONPATH=str(hooks))
    assert done.returncode == 2
    assert "no venv module" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert files_of(checkout) == before


def test_setup_without_a_compiler(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=root,
        env=os.environ | {"CXX": "no-such-compiler"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if "no C++ compiler" in line]
