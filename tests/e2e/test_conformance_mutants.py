"""The kit names the mistakes of connectors: for each planted one the case that is about it fails."""

from __future__ import annotations

import asyncio

import pytest

from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.testing.conformance.binance import BinanceTarget
from qtxconn.testing.conformance.kit import Outcome, certify, choose_cases

from .conformance_mutants import MUTANTS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

AT_ONCE = 4
WAIT_S = 8.0  # what is awaited never comes; it must be enough for what does come


class _Target(BinanceTarget):
    def __init__(self, connector_class: type[BinancePerpetual]) -> None:
        self.connector_class = connector_class


async def test_every_planted_mistake_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtxconn.testing.conformance.session.WAIT_S", WAIT_S)
    room = asyncio.Semaphore(AT_ONCE)

    async def is_named(number: int, mutant: type[BinancePerpetual]) -> bool:
        async with room:
            report = await certify(_Target(mutant), "rest", choose_cases([number]))
        return report.results[0].outcome is Outcome.FAILED

    named = await asyncio.gather(*(is_named(number, mutant) for number, mutant in MUTANTS))
    unnoticed = [(number, mutant.__name__) for (number, mutant), it_is in zip(MUTANTS, named, strict=True) if not it_is]
    assert not unnoticed
    assert len(MUTANTS) >= 10
