"""Latency reports: tables for people, one row a leg, and HdrHistogram's text format for its tools."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

COLUMNS = ("p50", "p90", "p99", "p99.9", "max", "count")
_TICKS_PER_HALF = 5  # lines of a percentile distribution for each halving of what is left above


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


def percentile_distribution(buckets: Sequence[tuple[int, int]]) -> Iterator[tuple[int, float, int]]:
    """(duration in ns, fraction that does not exceed it, how many values those are), from 0 to 1.

    `buckets`: LatencyRecorder.buckets(). The steps halve with the distance to 1, as HdrHistogram's do: every power of
    ten of "one in N" gets as many lines as the one before.
    """
    total = sum(times for _, times in buckets)
    wanted, seen = 0.0, 0
    for duration_ns, times in buckets:
        seen += times
        reached = seen / total
        while wanted <= reached < 1.0:
            yield duration_ns, wanted, seen
            ticks = _TICKS_PER_HALF * 2 ** (math.floor(math.log2(1.0 / (1.0 - wanted))) + 1)
            wanted += 1.0 / ticks
    if buckets:
        yield buckets[-1][0], 1.0, total


def hdr_text(buckets: Sequence[tuple[int, int]], unit_ns: float = 1000.0) -> str:
    """The percentile distribution in HdrHistogram's text format (".hgrm"), values in units of `unit_ns`.

    Format: HdrHistogram's outputPercentileDistribution, which its plotter and most latency tools read. Mean and
    standard deviation are those of the buckets' upper edges.
    """
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    for duration_ns, fraction, count in percentile_distribution(buckets):
        ratio = f"{1.0 / (1.0 - fraction):14.2f}" if fraction < 1.0 else f"{'inf':>14}"
        lines.append(f"{duration_ns / unit_ns:12.3f} {fraction:14.12f} {count:10d} {ratio}")
    total = sum(times for _, times in buckets)
    mean = sum(value * times for value, times in buckets) / total if total else 0.0
    variance = sum((value - mean) ** 2 * times for value, times in buckets) / total if total else 0.0
    largest = buckets[-1][0] if buckets else 0
    lines += [
        f"#[Mean    = {mean / unit_ns:12.3f}, StdDeviation   = {math.sqrt(variance) / unit_ns:12.3f}]",
        f"#[Max     = {largest / unit_ns:12.3f}, Total count    = {total:12d}]",
        f"#[Buckets = {57:12d}, SubBuckets     = {128:12d}]",
    ]
    return "\n".join(lines) + "\n"
