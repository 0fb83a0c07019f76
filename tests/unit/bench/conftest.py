"""The benchmark tests' setting: a cache of their own, a small bench."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import Bench


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled programs of the tests go to one directory of this session, not to the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "bench_cache"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, quick=True)
