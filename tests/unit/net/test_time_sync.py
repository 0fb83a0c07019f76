"""Server time: the shortest round trip counts, the uncertainty holds, wall-clock steps do not matter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.errors import NetworkError
from qtxconn.net.backoff import Backoff
from qtxconn.net.time_sync import TimeSync

from .clocks import FakeClock

MS = 1_000_000


def test_without_a_sample_it_is_the_local_time() -> None:
    clock = FakeClock()
    sync = TimeSync(clock)
    assert sync.now_ns() == sync.earliest_ns() == clock.now_ns()
    assert sync.offset_ns == 0
    assert sync.uncertainty_ns is None


@given(
    st.integers(-(10**13), 10**13),
    st.lists(st.tuples(st.integers(0, 500 * MS), st.integers(0, 500 * MS)), min_size=1, max_size=30),
)
def test_the_true_time_is_within_the_uncertainty(skew_ns: int, trips: list[tuple[int, int]]) -> None:
    clock = FakeClock()
    sync = TimeSync(clock)
    for there_ns, back_ns in trips:
        sent_ns = clock.monotonic_ns()
        clock._ns += there_ns
        server_ns = (clock.now_ns() + skew_ns) // MS * MS  # a venue stamps whole milliseconds
        clock._ns += back_ns
        sync.record(sent_ns, clock.monotonic_ns(), server_ns)
    assert sync.uncertainty_ns is not None
    assert abs(sync.now_ns() - (clock.now_ns() + skew_ns)) <= sync.uncertainty_ns
    assert sync.earliest_ns() == sync.now_ns() - sync.uncertainty_ns <= clock.now_ns() + skew_ns
    assert sync.uncertainty_ns <= min(there + back for there, back in trips[-16:]) // 2 + 2 * MS


async def test_the_quickest_answer_counts_until_it_is_old() -> None:
    clock = FakeClock()
    sync = TimeSync(clock, resolution_ns=0)
    sync.record(clock.monotonic_ns(), clock.monotonic_ns(), clock.now_ns() + 5 * MS)
    await clock.advance(1.0)
    sync.record(clock.monotonic_ns() - 100 * MS, clock.monotonic_ns(), clock.now_ns())
    assert sync.offset_ns == 5 * MS
    await clock.advance(3600.0)
    assert sync.uncertainty_ns == 3601 * 100_000  # 100 ppm since it was taken
    sync.record(clock.monotonic_ns() - 2 * MS, clock.monotonic_ns(), clock.now_ns() + 6 * MS)
    assert sync.offset_ns == 7 * MS
    assert sync.uncertainty_ns == 1 * MS


async def test_a_clock_that_was_set_is_followed_at_once() -> None:
    clock = FakeClock()
    sync = TimeSync(clock)
    sync.record(clock.monotonic_ns(), clock.monotonic_ns(), clock.now_ns())
    await clock.advance(1.0)
    sync.record(clock.monotonic_ns() - 100 * MS, clock.monotonic_ns(), clock.now_ns() + 60_000 * MS)
    assert sync.offset_ns == 60_050 * MS  # though the older round trip was the shorter one


async def test_sync_asks_and_keeps_what_it_got_before_an_error() -> None:
    clock = FakeClock()
    sync = TimeSync(clock)
    asked = 0

    async def server_time() -> int:
        nonlocal asked
        asked += 1
        if asked == 3:
            raise NetworkError("down")
        return clock.now_ns() + 9 * MS

    with pytest.raises(NetworkError):
        await sync.sync(server_time)
    assert sync.offset_ns == 9 * MS


def test_backoff_grows_to_its_cap_with_full_jitter() -> None:
    asked: list[tuple[float, float]] = []
    backoff = Backoff(1.0, 5.0, uniform=lambda low, high: asked.append((low, high)) or high)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert all(low == 0.0 for low, _ in asked)
    backoff.reset()
    assert backoff.next_s() == 1.0
    for _ in range(5000):
        backoff.next_s()
