"""The headers by themselves: each compiles alone without a warning, and the C++ tests pass under the sanitizers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.cxx import cxx_command

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent.parent / "include"
HEADERS = sorted(INCLUDE.rglob("*.hpp"))
SOURCES = sorted(HERE.glob("*_test.cpp"))
WARNINGS = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
COMPILE_TIMEOUT_S, RUN_TIMEOUT_S = 110, 110


@pytest.fixture(scope="module")
def compiler() -> list[str]:
    return cxx_command()


def run(command: list[str], timeout_s: float, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=env)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_header_compiles_alone_without_a_warning(header: Path, compiler: list[str], tmp_path: Path) -> None:
    # Twice: the second shows that it guards against being included again.
    source = tmp_path / "alone.cpp"
    name = header.relative_to(INCLUDE)
    source.write_text(f'#include "{name}"\n#include "{name}"\n')
    run([*compiler, *WARNINGS, "-fsyntax-only", f"-I{INCLUDE}", str(source)], COMPILE_TIMEOUT_S)
    assert "Python.h" not in header.read_text()


def test_a_warning_would_be_found(compiler: list[str], tmp_path: Path) -> None:
    source = tmp_path / "narrows.cpp"
    source.write_text("int f(long long wide) { int narrow = wide; return narrow; }\n")
    with pytest.raises(AssertionError, match="conversion"):
        run([*compiler, *WARNINGS, "-fsyntax-only", str(source)], COMPILE_TIMEOUT_S)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_cpp(source: Path, compiler: list[str], tmp_path: Path) -> None:
    program = tmp_path / source.stem
    run(
        [*compiler, *WARNINGS, "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=all", f"-I{INCLUDE}", str(source), "-o", str(program), "-pthread"],
        COMPILE_TIMEOUT_S,
    )  # fmt: skip
    # The tests start without what a preloaded library or another sanitizer run may have left in the environment.
    env = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "ASAN_OPTIONS")}
    run([str(program)], RUN_TIMEOUT_S, env)
