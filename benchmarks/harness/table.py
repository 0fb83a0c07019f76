"""The report as text for a terminal: a table a job, its goals, the comparison with an older run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.harness.results import Change, saturation
from qtxconn.perf.report import format_duration

KIND_STYLE = {"limit": "cyan", "peer": "dim", "ours": "bold"}
VERDICT_STYLE = {"slower": "red", "faster": "green", "noisy": "yellow", "new": "dim", "same": ""}
PERCENTILE_COLUMNS = ("p90", "p99", "p99.9", "max")


def format_figure(value: float) -> str:
    """Three significant digits, thousands apart: "4.21", "12.8", "1,480", "935,000"."""
    if abs(value) >= 1000:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value, -digits):,.0f}"
    return f"{value:.3g}"


def format_ratio(value: float) -> str:
    return f"{value:,.0f} x" if value >= 100 else f"{value:.3g} x" if value >= 10 else f"{value:.2f} x"


def format_facts(facts: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {format_figure(value)}" for name, value in facts.items())


def ratio_title(job: Mapping[str, Any]) -> str:
    """What the ratios of a job's table refer to: its limit, or its first row where it has none."""
    return "x limit" if any(row["kind"] == "limit" for row in job["rows"]) else "x first"


def print_job(job: Mapping[str, Any], console: Console) -> None:
    console.print(f"\n[bold]{job['name']}[/]  {escape(job['question'])}", highlight=False)
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("row")
    table.add_column(escape(job["unit"]), justify="right")
    table.add_column("range", justify="right")
    has_percentiles = any("percentiles" in row for row in job["rows"])
    for column in PERCENTILE_COLUMNS if has_percentiles else ():
        table.add_column(column, justify="right")
    table.add_column(ratio_title(job), justify="right")
    table.add_column("facts")
    for row in job["rows"]:
        table.add_row(*_cells(row, has_percentiles), style=KIND_STYLE[row["kind"]])
    console.print(table, highlight=False)
    for name, load in saturation(job["rows"]).items():
        console.print(f"  {name}: kept up, without a loss, at {load:,.0f}/s", highlight=False)
    for goal in job["goals"]:
        console.print(_goal_line(goal), highlight=False, soft_wrap=True)
    if job["noise"]:
        console.print(f"  noisy: {job['noise']}", style="yellow", highlight=False, soft_wrap=True)
    if job["error"]:
        console.print(f"  FAILED: {job['error']}", style="bold red", highlight=False, markup=False, soft_wrap=True)


def _cells(row: Mapping[str, Any], has_percentiles: bool) -> list[str]:
    blank = [""] * (len(PERCENTILE_COLUMNS) if has_percentiles else 0)
    label = escape(row["label"])
    if "median" not in row:
        return [label, "-", "", *blank, "", row["missing"] or "not run"]
    figures = row["figures"]
    spread = f"{format_figure(min(figures))} .. {format_figure(max(figures))}" if len(figures) > 1 else ""
    if "percentiles" in row:
        blank = [format_duration(int(row["percentiles"][column])) for column in PERCENTILE_COLUMNS]
    ratio = format_ratio(statistics.median(row["ratios"])) if row.get("ratios") else ""
    return [label, format_figure(row["median"]), spread, *blank, ratio, format_facts(row["facts"])]


def _goal_line(goal: Mapping[str, Any]) -> str:
    mark = {True: "[green]reached[/]", False: "[red]missed[/] ", None: "[yellow]unknown[/]"}[goal["reached"]]
    if goal["ratio"] is None:
        got = "a row is missing"
    elif "faster" in goal["text"]:
        got = f"{format_ratio(1 / goal['ratio'])}" if goal["ratio"] > 0 else "no time at all"
    else:
        got = format_ratio(goal["ratio"]) if " x " in goal["text"] else format_figure(goal["ratio"])
    return f"  {mark} {escape(goal['row'])}: {escape(goal['text'])}: {got}"


def print_changes(changes: Sequence[Change], console: Console) -> None:
    table = Table(title="beside the older run, by the ratio to the limit", title_justify="left", show_edge=False)
    for column in ("job", "row", "then", "now", "x limit then", "x limit now", ""):
        table.add_column(column, justify="left" if column in ("job", "row", "") else "right")
    for change in changes:
        table.add_row(
            change.job,
            escape(change.label),
            "-" if change.old is None else f"{format_figure(change.old)} {escape(change.unit)}",
            f"{format_figure(change.new)} {escape(change.unit)}",
            "-" if change.old_ratio is None else format_ratio(change.old_ratio),
            "-" if change.new_ratio is None else format_ratio(change.new_ratio),
            change.verdict,
            style=VERDICT_STYLE[change.verdict],
        )
    console.print()
    console.print(table, highlight=False)


def print_environment(report: Mapping[str, Any], console: Console) -> None:
    block = report["environment"]
    console.print(
        f"{block['processor']}, {block['cores']} cores, Linux {block['kernel']}, load {block['load_average']}; "
        f"{block['compiler']}; {block['python']}; commit {block['commit']}",
        highlight=False,
        soft_wrap=True,
    )
    for text in report["warnings"]:
        console.print(f"note: {text}", style="yellow", highlight=False, soft_wrap=True)
