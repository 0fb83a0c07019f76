"""The fuzz targets hold on their corpora, and the mutator that runs them without libFuzzer finds a planted bug."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
TARGETS = sorted(path.stem for path in HERE.glob("*.cpp") if path.stem != "driver")
TIMEOUT_S = 110

# Behind two comparisons of bytes and one of a number, as bugs are: blind mutation would take hours.
PLANTED = """\
// A target with a bug.
#include <cstddef>
#include <cstdint>
#include <cstring>
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size >= 8 && data[0] == 'Q' && data[1] == 'T') {
        std::uint32_t count = 0;
        std::memcpy(&count, data + 4, sizeof count);
        if (count > 4096) {
            const std::uint8_t* bytes = data;
            volatile std::uint8_t past = bytes[size];
            (void)past;
        }
    }
    return 0;
}
"""

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is needed to compile the targets")


def run_fuzz(folder: Path, work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "fuzz.py"), *arguments, "--work", str(work)]
    env = os.environ | {"PYTHONPATH": str(HERE.parents[1])}  # for a copy of fuzz.py
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_holds_on_its_corpus(target: str, tmp_path: Path) -> None:
    done = run_fuzz(HERE, tmp_path, target, "--seconds", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((HERE / "corpus" / target).iterdir()), "a target needs seeds"


def test_a_planted_bug_is_found_and_can_be_shown_again(tmp_path: Path) -> None:
    folder = tmp_path / "fuzz"
    (folder / "corpus" / "planted").mkdir(parents=True)
    (folder / "corpus" / "planted" / "seed").write_bytes(b"abcdefgh")
    for name in ("fuzz.py", "driver.cpp"):
        shutil.copy(HERE / name, folder / name)
    (folder / "planted.cpp").write_text(PLANTED)
    done = run_fuzz(folder, tmp_path / "work", "planted", "--seconds", "60")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "planted FAILED" in done.stdout
    crash = next((tmp_path / "work" / "planted").glob("crash*"))
    assert crash.read_bytes().startswith(b"QT")
    assert "heap-buffer-overflow" in done.stdout


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    done = run_fuzz(HERE, tmp_path, "nothing")
    assert done.returncode == 1
    assert "there is no target nothing" in done.stderr
