"""The jobs about orders: every row does what it says it does."""

from __future__ import annotations

from benchmarks.harness import Bench
from benchmarks.order_submit import BARE, JOURNALLED, TASK, submits
from benchmarks.order_tracker import INDEXED, TRACKER, memory, transitions
from qtxconn.storage.journal import OrderJournal


def test_buy_reaches_the_exchange_and_is_on_record(bench: Bench) -> None:
    with submits(bench) as rows:
        samples = {row.label: row.run() for row in rows}
    assert set(samples) == {TASK, BARE, JOURNALLED}
    assert all(sample.figure > 0 for sample in samples.values())
    with OrderJournal(bench.directory / "submit.journal") as journal:
        intents = sum(entry["kind"] == "intent" for entry in journal.entries())
    assert intents >= samples[JOURNALLED].histogram.count


def test_the_limits_book_the_fills_that_the_tracker_books(bench: Bench) -> None:
    with transitions(bench) as rows:
        samples = {row.label: row.run() for row in rows}
    assert {INDEXED, TRACKER} < set(samples)
    assert len({sample.checksum for sample in samples.values()}) == 1


def test_the_memory_of_an_order_and_its_growth_are_told(bench: Bench) -> None:
    with memory(bench) as (row,):
        sample = row.run()
    assert sample.figure == 320
    assert "rss_growth_kib" in sample.facts
