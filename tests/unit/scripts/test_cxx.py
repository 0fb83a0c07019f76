"""The compiler's command: launchers and flags in CXX, and what is said where there is none."""

from __future__ import annotations

import sys

import pytest

from benchmarks.icount.icount import compiler_name
from scripts.cxx import cxx_command


def test_words_of_cxx_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", f"{sys.executable} g++ -m64")
    assert cxx_command() == [sys.executable, "g++", "-m64"]


def test_without_cxx_the_first_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: name if name == "clang++" else None)
    assert cxx_command() == ["clang++"]


@pytest.mark.parametrize("named", ["", "no-such-compiler -O2"])
def test_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("CXX", named)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(FileNotFoundError, match="'no-such-compiler'" if named else "no C\\+\\+ compiler"):
        cxx_command()


def test_a_launcher_and_flags_are_not_the_compiler_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiler_name(["env", "g++", "-m64"]) == compiler_name(["g++"])
