"""The latency recorder's buckets, and the two forms of a report."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from qtxconn.perf.latency import LatencyRecorder
from qtxconn.perf.report import format_duration, hdr_text, percentile_distribution

DURATIONS = st.lists(st.integers(0, 2**62), min_size=1, max_size=200)


def recorder_of(values: list[int]) -> LatencyRecorder:
    recorder = LatencyRecorder()
    for value in values:
        recorder.record(value)
    return recorder


@given(DURATIONS)
def test_percentiles_are_within_0_8_percent_above_the_true_value(values: list[int]) -> None:
    recorder, ordered = recorder_of(values), sorted(values)
    for rank in range(1, len(values) + 1):
        true = ordered[rank - 1]
        assert true <= recorder.percentile((rank - 0.5) / len(values)) <= true * (1 + 1 / 128) + 1


@given(DURATIONS)
def test_buckets_make_an_equal_recorder(values: list[int]) -> None:
    original = recorder_of(values)
    copy = LatencyRecorder()
    for duration_ns, times in original.buckets():
        copy.record_many(duration_ns, times)
    assert copy.summary() == original.summary()
    assert sum(times for _, times in original.buckets()) == len(values)


def test_many_equal_durations_are_one_bucket() -> None:
    recorder = LatencyRecorder()
    recorder.record_many(100, 7)
    recorder.record_many(5_000, 0)
    recorder.record_many(-1, 3)
    assert recorder.buckets() == [(100, 7)]
    assert recorder.negative_count == 3


@given(DURATIONS)
def test_the_distribution_rises_to_the_maximum_and_the_count(values: list[int]) -> None:
    recorder = recorder_of(values)
    points = list(percentile_distribution(recorder.buckets()))
    assert points == sorted(points)
    assert points[-1] == (max(values), 1.0, len(values))
    for duration_ns, share, count in points:
        assert count >= share * len(values)
        assert recorder.percentile(share) == duration_ns or share == 0.0


def test_the_hdr_text_is_what_its_tools_read() -> None:
    recorder = recorder_of([*range(1_000, 101_000, 100), 5_000_000])
    lines = hdr_text(recorder.buckets()).splitlines()
    assert lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    row = re.compile(r"^ *\d+\.\d{3} +[01]\.\d{12} +\d+ +(\d+\.\d\d|inf)$")
    rows = [line for line in lines[2:] if not line.startswith("#")]
    assert rows
    assert all(map(row.match, rows))
    assert rows[-1].split() == ["5000.000", "1.000000000000", "1001", "inf"]
    assert lines[-2] == "#[Max     =     5000.000, Total count    =         1001]"


def test_an_empty_histogram_has_a_text_too() -> None:
    assert "Total count    =            0" in hdr_text([])


def test_durations_take_the_unit_that_fits() -> None:
    texts = [format_duration(value) for value in (0, 870, 12_340, 4_560_000, 1_200_000_000)]
    assert texts == ["0 ns", "870 ns", "12.3 us", "4.56 ms", "1.20 s"]
