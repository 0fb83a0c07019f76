"""A short soak: under faults the connector's books are the venue's over each order path, and a lie in them is found."""

from __future__ import annotations

import pytest

from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.testing.ledger import RULES
from qtxconn.testing.soak import SoakReport, SoakSettings, slope, soak

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


async def short(order_path: str) -> SoakReport:
    return await soak(SoakSettings(minutes=0.15, rate=150.0, seed=7, order_path=order_path, check_s=4.0))


@pytest.mark.parametrize("order_path", ["rest", "websocket"])
async def test_a_short_soak_finds_nothing(order_path: str) -> None:
    report = await short(order_path)
    assert report.ok, report.problems + report.texts
    assert all(report.checks[rule] for rule in RULES), report.checks
    assert report.counts["fills"] > 0
    assert sum(report.faults.values()) > 0
    assert report.limits["refusals"] == {"429": 0, "418": 0}


async def test_a_position_that_is_not_followed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qtxconn.testing.ledger.ACCOUNT_SETTLE_S", 1.0)
    monkeypatch.setattr(BinancePerpetual, "_on_account_update", lambda *_: None)
    report = await short("rest")
    assert report.violations["A1"]
    assert not report.ok


def test_a_slope_is_that_of_the_line_through_the_samples() -> None:
    assert slope([(0.0, 100), (1.0, 110), (2.0, 120)]) == 10.0
    assert slope([(0.0, 100)]) == 0.0
