"""From submit to the answer read: no allocation and no page fault, over 100,000 orders."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

COMPILER = shutil.which("g++")


@pytest.mark.skipif(COMPILER is None, reason="no g++")
def test_the_way_of_an_order_allocates_nothing(root, tmp_path):
    program = tmp_path / "allocations"
    source = root / "tests" / "cpp" / "qtx_order_allocations.cpp"
    flags = ["-std=c++17", "-O2", "-pthread", f"-I{root / 'include'}"]
    done = subprocess.run([COMPILER, *flags, str(source), "-o", str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}  # a sanitizer's
    done = subprocess.run([str(program)], env=env, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "0 allocations, 0 minor faults\n"), done.stderr
