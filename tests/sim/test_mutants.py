"""The checker checked: every planted bug is found within 200 seeds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from qtxconn.testing.simulate import run_schedule

SEEDS_MAX = 200


def _load_mutants() -> list:
    # A module beside this one: with --import-mode=importlib the folder is not on the path.
    spec = importlib.util.spec_from_file_location("simulated_mutants", Path(__file__).with_name("mutants.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.MUTANTS


MUTANTS = _load_mutants()


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 50
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.mode}-{mutant.name}")
def test_the_planted_bug_is_found(mutant) -> None:
    for seed in range(1, SEEDS_MAX + 1):
        result = run_schedule(seed, mutant.mode, mutate=mutant.mutate, journal_class=mutant.journal_class)
        if result.violation is not None:
            assert run_schedule(seed, mutant.mode).violation is None, "it is not the planted bug that was found"
            return
    pytest.fail(f"{mutant.name} went unnoticed in {SEEDS_MAX} seeds")
