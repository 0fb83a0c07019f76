"""The tick-to-trade venue: it times every client alike, and a client that trades wrongly fails the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.harness import Bench, BenchError, Sample
from benchmarks.tick_to_trade import Clients, Trial

TRIAL = Trial(rate=2_000, count=200, warm_up=20)


@pytest.mark.parametrize("mode", ["spin", "block", "qtxconn"])
def test_a_cpp_client_answers_every_tick(bench: Bench, mode: str) -> None:
    check(Clients(bench).cpp(mode, TRIAL))


@pytest.mark.parametrize("mode", ["cython", "callback", "spin", "asyncio"])
def test_a_python_client_answers_every_tick(bench: Bench, mode: str) -> None:
    check(Clients(bench).python(mode, TRIAL))


def check(sample: Sample) -> None:
    assert sample.histogram is not None
    # On a machine that is busy with other things a client may fall behind and see two ticks as one.
    assert sample.histogram.count >= 0.5 * TRIAL.count
    assert sample.facts["lost"] <= 0.5 * TRIAL.count
    assert sample.histogram.percentile(0.0) > 0


def test_the_stages_are_reported(bench: Bench) -> None:
    facts = Clients(bench).python("stamped", TRIAL).facts
    assert facts["receive_to_book_p50_ns"] > 0
    assert facts["book_to_slot_p50_ns"] > 0


def test_a_client_that_does_not_come_is_an_error(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = Clients(bench)
    run: Callable[[list[str], Trial], Sample] = clients._run
    monkeypatch.setattr("benchmarks.tick_to_trade.PATIENCE_S", 1.0)
    with pytest.raises(BenchError, match="not done after 1 s"):
        run(["true"], TRIAL)
