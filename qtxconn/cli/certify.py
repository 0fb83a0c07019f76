"""`qtxconn certify`: the conformance kit on an exchange's connector and the embedded venue, as a table."""

from __future__ import annotations

import asyncio
import logging

import click
import orjson
from rich.console import Console
from rich.table import Table

from qtxconn.testing.conformance.kit import SUBJECTS, Case, Outcome, Report, Result, certify, choose_cases
from qtxconn.testing.conformance.target import load_target

FAILED_STATUS = 1


@click.command(name="certify")
@click.argument("exchange", metavar="EXCHANGE")
@click.option("--order-path", help="How orders go to the venue, for example rest or websocket; else the first way.")
@click.option("--case", "numbers", type=int, multiple=True, metavar="N", help="Only this case; may be repeated.")
@click.option("--list", "only_list", is_flag=True, help="Show the cases and run none.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def certify_command(
    exchange: str, order_path: str | None, numbers: tuple[int, ...], only_list: bool, as_json: bool
) -> int | None:
    """Runs every case of the conformance kit on EXCHANGE's connector, against the embedded venue in its dialect.

    Exit status 1 when a case fails, or a declared capability is not shown by a case that passed.
    """
    target = load_target(exchange)
    cases = choose_cases(numbers)
    if only_list:
        _show_cases(cases)
        return None
    path = target.order_paths[0] if order_path is None else order_path
    if path not in target.order_paths:
        raise click.BadParameter(
            f"{path!r} is not one of: {', '.join(target.order_paths)}", param_hint="'--order-path'"
        )
    logging.getLogger("qtxconn").setLevel(logging.CRITICAL + 1)  # faults make connectors talk; the table says it all
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    report = asyncio.run(certify(target, path, cases, lambda result: _show_failure(console, result)))
    if as_json:
        click.echo(orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        _show_report(console, report)
    return None if report.ok else FAILED_STATUS


def _show_cases(cases: list[Case]) -> None:
    for case in cases:
        needs = f" [{', '.join(case.needs)}]" if case.needs else ""
        click.echo(f"{case.number:>5}  {case.subject:<10} {case.title}{needs}")


def _show_failure(console: Console, result: Result) -> None:
    if result.outcome is Outcome.FAILED:
        text = f"case {result.case.number} failed: {result.case.title}\n    {result.why}"
        console.print(text, markup=False)


def _show_report(console: Console, report: Report) -> None:
    table = Table(title=f"{report.target}, orders over {report.order_path}")
    table.add_column("subject")
    for outcome in Outcome:
        table.add_column(outcome.value, justify="right")
    table.add_column("seconds", justify="right")
    for subject in (*SUBJECTS, None):
        results = [result for result in report.results if subject in (None, result.case.subject)]
        if results:
            counts = [str(report.count(outcome, subject)) for outcome in Outcome]
            seconds = f"{sum(result.seconds for result in results):.1f}"
            table.add_row(subject or "all", *counts, seconds, style=None if subject else "bold")
    console.print(table)
    for result in report.results:
        if result.outcome is Outcome.SKIPPED:
            console.print(f"case {result.case.number} skipped: {result.why}", markup=False)
    for capability in report.unproven:
        console.print(f"declared and not proven by any case: {capability}", markup=False)
