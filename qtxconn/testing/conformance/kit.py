"""The cases, the run of them on one venue, and what came of it."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from qtxconn.core.connectors import PerpetualDerivativeBase
from qtxconn.core.types import PositionMode
from qtxconn.errors import ConfigurationError
from qtxconn.testing.conformance.session import Session

if TYPE_CHECKING:
    from qtxconn.testing.conformance.target import Target

SUBJECTS_AT_ONCE = 3
CONNECTORS_PER_VENUE = 10  # connecting is dear in the venue's weights: a new venue counts from 0
CASE_TIMEOUT_S = 120.0  # only reached when something is broken
# Modules of cases; the hundreds of a case's number are the place of its module here, from 1.
SUBJECTS = (
    "rules",
    "orders",
    "refusals",
    "cancels",
    "amends",
    "outcomes",
    "streams",
    "recovery",
    "account",
    "market",
    "limits",
    "hedge",
    "safety",
    "stops",
)
HEDGED = "hedge"  # the subject whose account is in hedge mode
# Optional hooks, and what writing one promises.
HOOKS = {
    "_place_position_mode": "position mode switch",
    "_place_margin_type": "margin type",
    "_set_trading_pair_leverage": "leverage",
}
Run = Callable[[Session], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One numbered demand. `needs` are capabilities: it is skipped where one is missing, and proves them by passing."""

    number: int
    subject: str
    title: str
    needs: tuple[str, ...]
    run: Run


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case; `why` is empty for one that passed."""

    case: Case
    outcome: Outcome
    why: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run. `unproven` are capabilities that are declared and that no passed case has shown."""

    target: str
    order_path: str
    results: list[Result]
    unproven: list[str]

    @property
    def ok(self) -> bool:
        return not self.unproven and all(result.outcome is not Outcome.FAILED for result in self.results)

    def count(self, outcome: Outcome, subject: str | None = None) -> int:
        return sum(r.outcome is outcome and subject in (None, r.case.subject) for r in self.results)

    def to_json(self) -> dict[str, Any]:
        return {
            "exchange": self.target,
            "order_path": self.order_path,
            "ok": self.ok,
            "unproven": self.unproven,
            "cases": [
                {
                    "number": result.case.number,
                    "subject": result.case.subject,
                    "title": result.case.title,
                    "outcome": result.outcome.value,
                    "why": result.why,
                    "seconds": round(result.seconds, 3),
                }
                for result in self.results
            ],
        }


_cases: dict[int, Case] = {}


def case(number: int, *needs: str) -> Callable[[Run], Run]:
    """Registers a case under its number; its docstring is the title."""

    def register(run: Run) -> Run:
        subject = run.__module__.rpartition(".")[2]
        if number in _cases or number // 100 != SUBJECTS.index(subject) + 1:
            raise ValueError(f"case {number} of {subject}: the number is taken, or not of this subject")
        _cases[number] = Case(number, subject, (run.__doc__ or "").strip().rstrip("."), needs, run)
        return run

    return register


def all_cases() -> list[Case]:
    """Every case, by number."""
    for subject in SUBJECTS:
        importlib.import_module(f"qtxconn.testing.conformance.{subject}")
    return [_cases[number] for number in sorted(_cases)]


def choose_cases(numbers: Iterable[int]) -> list[Case]:
    """Those of the numbers, all without any. Raises ConfigurationError for a number that is not used."""
    cases = {case.number: case for case in all_cases()}
    wanted = sorted(set(numbers))
    if unknown := [number for number in wanted if number not in cases]:
        raise ConfigurationError(f"there is no case {unknown[0]}; --list shows all")
    return [cases[number] for number in wanted] if wanted else list(cases.values())


def is_written(connector: type[PerpetualDerivativeBase], hook: str) -> bool:
    """Whether an exchange has written this hook, and does not leave it to the base, which refuses."""
    return getattr(connector, hook) is not getattr(PerpetualDerivativeBase, hook)


def declared_capabilities(connector: PerpetualDerivativeBase) -> set[str]:
    """What a connector says it can do: order types, times in force, batches, position modes, optional hooks that it
    has written, and each `supports_...` that is True."""
    kinds = {f"order type {kind.name}" for kind in connector.supported_order_types()}
    kinds |= {f"time in force {name}" for name in connector.times_in_force}
    if connector.batch_size_max > 1:
        kinds.add("batch")
    if connector.batch_cancel_size_max > 1:
        kinds.add("batch cancel")
    if connector.reports_funding_payments:
        kinds.add("funding payments")
    if any(kind.is_conditional() for kind in connector.supported_order_types()):
        kinds |= {f"trigger source {source}" for source in connector.trigger_sources}
    kinds |= {f"position mode {mode.name}" for mode in connector.supported_position_modes}
    kinds |= {name for hook, name in HOOKS.items() if is_written(type(connector), hook)}
    flags = [name for name in dir(type(connector)) if name.startswith("supports_")]
    return kinds | {name.removeprefix("supports_") for name in flags if getattr(connector, name) is True}


async def certify(
    target: Target, order_path: str, cases: list[Case], on_result: Callable[[Result], None] = lambda _: None
) -> Report:
    """Runs `cases`, each subject on a venue of its own, a few subjects at a time; `on_result` hears each at once.

    Unproven capabilities are only judged when all cases were chosen.
    """
    results: list[Result] = []
    declared: set[str] = set()
    room = asyncio.Semaphore(SUBJECTS_AT_ONCE)

    async def run_subject(chosen_cases: list[Case]) -> None:
        waiting = deque(chosen_cases)
        while waiting:
            async with room, target.venue(order_path) as hand:
                declared.update(declared_capabilities(target.make_connector(hand, order_path)))
                mode = PositionMode.HEDGE if chosen_cases[0].subject == HEDGED else PositionMode.ONEWAY
                session = Session(target, hand, order_path, mode)
                try:
                    while waiting and session.made < CONNECTORS_PER_VENUE:
                        results.append(await _run_or_skip(waiting.popleft(), session, declared))
                        on_result(results[-1])
                finally:
                    await session.close()

    async with asyncio.TaskGroup() as tasks:
        groups = [list(group) for _, group in itertools.groupby(cases, lambda chosen: chosen.subject)]
        for group in reversed(groups):  # the last subjects wait most, for countdowns and windows: they begin first
            tasks.create_task(run_subject(group))
    results.sort(key=lambda result: result.case.number)
    shown = {need for result in results if result.outcome is Outcome.PASSED for need in result.case.needs}
    judged = len(cases) == len(all_cases())
    return Report(target.name, order_path, results, sorted(declared - shown) if judged else [])


async def _run_or_skip(chosen: Case, session: Session, declared: set[str]) -> Result:
    missing = [need for need in chosen.needs if need not in declared]
    if missing:
        return Result(chosen, Outcome.SKIPPED, f"does not declare {', '.join(missing)}", 0.0)
    return await _run(chosen, session)


async def _run(chosen: Case, session: Session) -> Result:
    started = time.perf_counter()
    why = ""
    try:
        async with asyncio.timeout(CASE_TIMEOUT_S):
            await session.begin()
            await chosen.run(session)
            await session.audit()
            await session.clean()
    except Exception as error:  # noqa: BLE001 - whatever a case raises is its failure
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        why = f"{kind}{' '.join(str(error).split())}"
        await session.abandon()
    outcome = Outcome.FAILED if why else Outcome.PASSED
    return Result(chosen, outcome, why, time.perf_counter() - started)
