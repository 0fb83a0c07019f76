"""The QTX headers in C++: each compiles alone without a warning, and their own test programs pass, also sanitized."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
COMPILER = shutil.which("g++") or shutil.which("clang++")

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")


def compile_program(root: Path, source: Path, output: Path, *flags: str) -> None:
    command = [COMPILER, "-std=c++17", *WARNINGS, *flags, f"-I{root / 'include'}", str(source), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(program: Path, *arguments: str) -> None:
    done = subprocess.run([str(program), *arguments], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["qtx_wait", "qtx_segment", "qtx_watcher", "qtx_packet", "qtx_feed"])
def test_compiles_alone(root, tmp_path, name):
    source = tmp_path / "alone.cpp"
    source.write_text(f'#include "qtxconn/{name}.hpp"\n')
    compile_program(root, source, tmp_path / "alone.o", "-c", "-O1")


@pytest.mark.parametrize("name", ["test_qtx_packet", "test_qtx_segment", "test_qtx_feed"])
def test_program(root, tmp_path, name):
    program = tmp_path / name
    compile_program(root, root / "tests" / "cpp" / f"{name}.cpp", program, "-O2", "-pthread")
    run(program, f"/qtxconn_cpp_{uuid.uuid4().hex[:12]}")


@pytest.mark.parametrize(
    ("name", "sanitizer", "arguments"),
    [
        ("test_qtx_packet", "address,undefined", ()),
        ("test_qtx_feed", "address,undefined", ()),
        ("test_qtx_segment", "thread", ("2000",)),
        ("test_qtx_feed", "thread", ()),
    ],
)
def test_program_sanitized(root, tmp_path, name, sanitizer, arguments):
    program = tmp_path / name
    flags = ["-O1", "-g", "-pthread", f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all"]
    compile_program(root, root / "tests" / "cpp" / f"{name}.cpp", program, *flags)
    run(program, f"/qtxconn_cpp_{uuid.uuid4().hex[:12]}", *arguments)
