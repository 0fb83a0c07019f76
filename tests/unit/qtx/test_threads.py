"""The shared-memory ring, the feed, and the tracker with its journal between threads, under the thread sanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

COMPILER = shutil.which("g++") or shutil.which("clang++")


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    ("name", "arguments"), [("qtx_segment_test", ["2000"]), ("qtx_feed_test", []), ("order_threads_test", ["3000"])]
)
def test_no_data_race(root, tmp_path, name, arguments):
    program = tmp_path / name
    source = root / "tests" / "cpp" / f"{name}.cpp"
    flags = ["-std=c++17", "-O1", "-g", "-pthread", "-fsanitize=thread", f"-I{root / 'include'}"]
    done = subprocess.run([COMPILER, *flags, str(source), "-o", str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Not under `make sanitize`'s preloaded runtime: one program has one sanitizer.
    env = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run([str(program), *arguments], env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
