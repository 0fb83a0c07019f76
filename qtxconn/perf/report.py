"""Latency tables for people: one row a leg, durations in the unit that fits."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

COLUMNS = ("p50", "p90", "p99", "p99.9", "max", "count")


def format_duration(duration_ns: int) -> str:
    """ "870 ns", "12.3 us", "4.56 ms", "1.20 s"."""
    for limit, divisor, unit in ((1_000, 1, "ns"), (1_000_000, 1_000, "us"), (1_000_000_000, 1_000_000, "ms")):
        if duration_ns < limit:
            return f"{duration_ns / divisor:.3g} {unit}" if divisor > 1 else f"{duration_ns} ns"
    return f"{duration_ns / 1e9:.2f} s"


def latency_table(legs: Mapping[str, Mapping[str, int]]) -> Table:
    """`legs`: name of the leg -> summary of its LatencyRecorder."""
    table = Table(title="latency", title_justify="left")
    table.add_column("leg")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for leg, summary in legs.items():
        cells = [format_duration(summary[column]) for column in COLUMNS[:-1]]
        table.add_row(leg, *cells, str(summary["count"]))
    return table
