"""The conformance kit passes over each order path, and fails when something is not as declared."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from qtxconn.cli.certify import certify_command
from qtxconn.core.types import OrderType
from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.testing.conformance.kit import Outcome, Report, all_cases, certify, choose_cases
from qtxconn.testing.conformance.session import Session
from qtxconn.testing.conformance.target import load_target

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

TIMEOUT_S = 240.0  # only reached when something is broken


async def _certified(order_path: str) -> tuple[int | None, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "qtxconn",
        "certify",
        "binance",
        "--order-path",
        order_path,
        "--json",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, orjson.loads(out)


async def test_binance_is_certified_over_both_order_paths() -> None:
    runs = await asyncio.gather(_certified("rest"), _certified("websocket"))
    for status, report in runs:
        failed = [(row["number"], row["why"]) for row in report["cases"] if row["outcome"] == Outcome.FAILED]
        assert not failed
        assert not report["unproven"]
        assert status == 0
        assert sum(row["outcome"] == Outcome.PASSED for row in report["cases"]) >= 120


async def _run(numbers: list[int]) -> Report:
    return await certify(load_target("binance"), "rest", choose_cases(numbers))


async def test_a_connector_that_breaks_a_rule_fails_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    place = BinancePerpetual._place_order

    async def closing_opens(self: Any, *args: Any, **options: Any) -> Any:
        options.pop("position_action")
        return await place(self, *args, **options)

    monkeypatch.setattr(BinancePerpetual, "_place_order", closing_opens)
    report = await _run([224, 225])
    assert [result.outcome for result in report.results] == [Outcome.FAILED, Outcome.PASSED]
    assert "reduce-only" in report.results[0].why
    assert not report.ok


async def test_what_is_not_declared_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BinancePerpetual, "supported_order_types", lambda self: [OrderType.LIMIT])
    report = await _run([201, 203])
    assert [result.outcome for result in report.results] == [Outcome.PASSED, Outcome.SKIPPED]
    assert report.ok


async def test_what_is_declared_and_shown_by_no_case_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def passes(*_: Any) -> None: ...

    monkeypatch.setattr(BinancePerpetual, "supports_telepathy", True, raising=False)
    for method in ("begin", "audit", "clean"):
        monkeypatch.setattr(Session, method, passes)
    cases = [case for case in all_cases() if case.number == 102]
    monkeypatch.setattr("qtxconn.testing.conformance.kit.all_cases", lambda: cases)
    report = await certify(load_target("binance"), "rest", cases)
    assert "telepathy" in report.unproven
    assert not report.ok


def test_the_list_names_every_case() -> None:
    result = CliRunner().invoke(certify_command, ["binance", "--list"])
    assert result.exit_code == 0
    assert [int(line.split()[0]) for line in result.output.splitlines()] == [case.number for case in all_cases()]


@pytest.mark.parametrize("arguments", [["nowhere"], ["binance", "--case", "99999"], ["binance", "--order-path", "x"]])
def test_what_cannot_be_run_is_said(arguments: list[str]) -> None:
    assert CliRunner().invoke(certify_command, arguments).exit_code != 0
