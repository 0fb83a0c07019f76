"""The throttler: limits hold in every window, FIFO, the reserved lane, pauses and corrections."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.errors import ConfigurationError, ThrottledError
from qtxconn.net.throttler import RateLimit, Throttler

from .clocks import FakeClock, settle

SECOND_NS = 1_000_000_000
POOLS = {"short": (7, 1.0), "long": (20, 5.0)}

requests = st.lists(
    st.tuples(
        st.floats(0, 0.9),  # seconds until it is asked for
        st.dictionaries(st.sampled_from(["short", "long"]), st.integers(1, 5), min_size=1),
        st.booleans(),  # priority
        st.booleans(),  # given up halfway
    ),
    min_size=1,
    max_size=40,
)


@given(requests)
def test_no_window_ever_holds_more_than_the_limit_and_nobody_starves(asked: list) -> None:
    async def scenario() -> list[tuple[int, dict[str, int]]]:
        clock = FakeClock()
        throttler = Throttler([RateLimit(k, limit, s, reserved=2) for k, (limit, s) in POOLS.items()], clock)
        granted: list[tuple[int, dict[str, int]]] = []

        async def ask(weights: dict[str, int], priority: bool) -> None:
            await throttler.acquire(weights, priority=priority)
            granted.append((clock.monotonic_ns(), weights))

        tasks = []
        for wait_s, weights, priority, give_up in asked:
            await clock.advance(wait_s)
            task = asyncio.create_task(ask(weights, priority))
            await settle()
            if give_up:
                task.cancel()
            else:
                tasks.append(task)
        await clock.advance(5.0 * len(asked))
        assert all(task.done() for task in tasks)
        assert throttler._alarm is None
        return granted

    granted = asyncio.run(scenario())
    for limit_id, (limit, interval_s) in POOLS.items():
        spent = [(at_ns, weights.get(limit_id, 0)) for at_ns, weights in granted]
        for start_ns, _ in spent:
            inside = sum(w for at_ns, w in spent if start_ns <= at_ns < start_ns + interval_s * SECOND_NS)
            assert inside <= limit


async def grants(throttler: Throttler, clock: FakeClock, order: list, name: str, *args: object, **kw: object) -> None:
    await throttler.acquire(*args, **kw)
    order.append((name, (clock.monotonic_ns() - SECOND_NS) / SECOND_NS))


async def test_first_come_first_served_even_if_a_later_one_would_fit() -> None:
    clock, order = FakeClock(), []
    throttler = Throttler([RateLimit("ip", 10, 1.0)], clock)
    tasks = [
        asyncio.create_task(grants(throttler, clock, order, name, {"ip": weight}))
        for name, weight in (("a", 8), ("b", 5), ("c", 1))
    ]
    await clock.advance(1.0)
    assert order == [("a", 0.0), ("b", 1.0), ("c", 1.0)]
    assert all(task.done() for task in tasks)


async def test_a_caller_of_another_pool_does_not_wait() -> None:
    clock, order = FakeClock(), []
    throttler = Throttler([RateLimit("ip", 1, 10.0), RateLimit("orders", 1, 1.0)], clock)
    for name, pools in (("a", ("ip",)), ("b", ("ip", "orders")), ("c", ("orders",))):
        task = asyncio.create_task(grants(throttler, clock, order, name, dict.fromkeys(pools, 1)))
    await clock.advance(9.0)
    assert order == [("a", 0.0)]  # c shares a pool with b, which is ahead
    await clock.advance(3.0)
    assert order == [("a", 0.0), ("b", 10.0), ("c", 11.0)]
    assert task.done()


async def test_the_reserved_share_is_for_cancels_only_and_they_go_first() -> None:
    clock, order = FakeClock(), []
    throttler = Throttler([RateLimit("ip", 10, 1.0, reserved=4)], clock)
    await throttler.acquire({"ip": 6})
    waiting = asyncio.create_task(grants(throttler, clock, order, "read", {"ip": 1}))
    await settle()
    cancel = asyncio.create_task(grants(throttler, clock, order, "cancel", {"ip": 4}, priority=True))
    late_cancel = asyncio.create_task(grants(throttler, clock, order, "late cancel", {"ip": 5}, priority=True))
    await clock.advance(2.0)
    assert order == [("cancel", 0.0), ("late cancel", 1.0), ("read", 1.0)]
    assert waiting.done()
    assert cancel.done()
    assert late_cancel.done()


async def test_a_more_urgent_caller_moves_the_alarm_forward() -> None:
    clock, order = FakeClock(), []
    throttler = Throttler([RateLimit("slow", 1, 60.0), RateLimit("fast", 1, 1.0)], clock)
    await throttler.acquire({"slow": 1, "fast": 1})
    slow = asyncio.create_task(grants(throttler, clock, order, "slow", {"slow": 1}))
    await settle()
    fast = asyncio.create_task(grants(throttler, clock, order, "fast", {"fast": 1}))
    await clock.advance(60.0)
    assert order == [("fast", 1.0), ("slow", 60.0)]
    assert slow.done()
    assert fast.done()


async def test_nothing_is_granted_during_a_pause_not_even_a_cancel() -> None:
    clock, order = FakeClock(), []
    throttler = Throttler([RateLimit("ip", 10, 1.0, reserved=1)], clock)
    throttler.pause_until(clock.monotonic_ns() + 3 * SECOND_NS)
    task = asyncio.create_task(grants(throttler, clock, order, "cancel", {"ip": 1}, priority=True))
    unweighted = asyncio.create_task(grants(throttler, clock, order, "free", {}))
    await clock.advance(1.0)
    throttler.pause_until(clock.monotonic_ns() + 4 * SECOND_NS)  # longer
    throttler.pause_until(clock.monotonic_ns() + 1 * SECOND_NS)  # a shorter one does not undo it
    await clock.advance(10.0)
    assert order == [("cancel", 5.0), ("free", 5.0)]
    assert task.done()
    assert unweighted.done()


async def test_the_venues_own_count_corrects_upwards_only() -> None:
    clock = FakeClock()
    throttler = Throttler([RateLimit("ip", 100, 60.0)], clock)
    await throttler.acquire({"ip": 10})
    throttler.observe_used({"ip": 3}, clock.monotonic_ns())
    assert throttler.used("ip") == 10
    throttler.observe_used({"ip": 95}, clock.monotonic_ns())
    assert throttler.used("ip") == 95
    await clock.advance(60.0)
    assert throttler.used("ip") == 0


async def test_what_others_spent_is_not_hidden_by_what_was_spent_before_the_venues_window() -> None:
    clock = FakeClock()  # at 1 s
    throttler = Throttler([RateLimit("ip", 100, 60.0, reserved=10)], clock, venue_ns=clock.monotonic_ns)
    await throttler.acquire({"ip": 50})
    await clock.advance(59.5)  # the venue counts anew since 60 s
    await throttler.acquire({"ip": 10})
    throttler.observe_used({"ip": 55}, clock.monotonic_ns())  # so 45 are by others, though it is less than our 60
    await clock.advance(1.0)
    assert throttler.used("ip") == 10
    order: list[object] = []
    calls = [asyncio.create_task(grants(throttler, clock, order, "call", {"ip": 7})) for _ in range(6)]
    await settle()
    assert len(order) == 5  # 55 + 5 * 7 are all but the reserve
    await grants(throttler, clock, order, "cancel", {"ip": 10}, priority=True)
    await clock.advance(59.0)
    assert order[5:] == [("cancel", 60.5), ("call", 119.0)]  # when the venue counts anew
    assert all(call.done() for call in calls)


async def test_the_newest_count_is_what_counts() -> None:
    clock = FakeClock()
    throttler = Throttler([RateLimit("ip", 100, 60.0)], clock, venue_ns=clock.monotonic_ns)
    throttler.observe_used({"ip": 30}, clock.monotonic_ns())
    await clock.advance(60.0)
    throttler.observe_used({"ip": 5}, clock.monotonic_ns())
    await throttler.acquire({"ip": 95}, wait_max_s=0.0)
    with pytest.raises(ThrottledError):
        await throttler.acquire({"ip": 1}, wait_max_s=58.9)


steps = st.lists(st.tuples(st.floats(0, 8), st.integers(1, 10), st.integers(0, 15)), min_size=1, max_size=40)


@given(steps)
def test_the_venue_counts_no_more_than_the_limit_and_what_it_has_not_told_yet(asked: list) -> None:
    """(seconds until then, our weight, what others spend just before): the venue counts from 0, 10, 20 s ... on."""

    async def scenario() -> None:
        clock = FakeClock()
        throttler = Throttler([RateLimit("ip", 20, 10.0)], clock, venue_ns=clock.monotonic_ns)
        counts: Counter[int] = Counter()  # by the number of the venue's window

        async def ask(weight: int, others: int) -> None:
            untold_in = clock.monotonic_ns() // (10 * SECOND_NS)
            counts[untold_in] += others
            await throttler.acquire({"ip": weight})
            window = clock.monotonic_ns() // (10 * SECOND_NS)
            counts[window] += weight
            assert counts[window] <= 20 + (others if window == untold_in else 0)
            throttler.observe_used({"ip": counts[window]}, clock.monotonic_ns())

        for wait_s, weight, others in asked:
            await clock.advance(wait_s)
            asking = asyncio.create_task(ask(weight, others))
            await settle()
            while not asking.done():
                await clock.advance(1.0)
            await asking

    asyncio.run(scenario())


async def test_a_count_of_the_window_before_says_nothing_of_this_one() -> None:
    clock = FakeClock()
    throttler = Throttler([RateLimit("ip", 100, 60.0)], clock, venue_ns=clock.monotonic_ns)
    await clock.advance(58.5)  # at 59.5 s
    sent_ns = clock.monotonic_ns()
    await throttler.acquire({"ip": 100})
    await clock.advance(0.6)
    throttler.observe_used({"ip": 100}, sent_ns)  # the answer comes when the venue counts anew
    await clock.advance(59.5)
    await throttler.acquire({"ip": 100}, wait_max_s=0.0)


async def test_too_long_a_wait_is_refused_and_does_not_hold_up_others() -> None:
    clock = FakeClock()
    throttler = Throttler([RateLimit("ip", 10, 60.0)], clock)
    await throttler.acquire({"ip": 9})
    with pytest.raises(ThrottledError, match=r"not sent.*60\.0 s") as refused:
        await throttler.acquire({"ip": 2}, wait_max_s=5.0)
    assert refused.value.retry_after == 60.0
    await throttler.acquire({"ip": 1}, wait_max_s=5.0)
    assert throttler.used("ip") == 10


async def test_a_cancelled_waiter_frees_its_place_at_once() -> None:
    clock, order = FakeClock(), []
    throttler = Throttler([RateLimit("ip", 10, 60.0)], clock)
    await throttler.acquire({"ip": 5})
    big = asyncio.create_task(throttler.acquire({"ip": 6}))
    await settle()
    small = asyncio.create_task(grants(throttler, clock, order, "small", {"ip": 5}))
    await settle()
    assert not order
    big.cancel()
    await settle()
    assert order == [("small", 0.0)]
    assert small.done()
    assert big.cancelled()


async def test_what_can_never_work_is_refused_on_entry() -> None:
    throttler = Throttler([RateLimit("ip", 10, 1.0, reserved=2)], FakeClock())
    with pytest.raises(ConfigurationError, match="never fits"):
        await throttler.acquire({"ip": 9})
    await throttler.acquire({"ip": 9}, priority=True)
    with pytest.raises(ConfigurationError, match="there are: ip"):
        await throttler.acquire({"uid": 1})
    with pytest.raises(ConfigurationError):
        Throttler([RateLimit("ip", 10, 1.0, reserved=10)], FakeClock())


async def test_waiting_does_not_poll() -> None:
    clock = FakeClock()
    sleeps: list[float] = []
    sleep = clock.sleep

    async def counted(seconds: float) -> None:
        sleeps.append(seconds)
        await sleep(seconds)

    clock.sleep = counted  # type: ignore[method-assign]
    throttler = Throttler([RateLimit("ip", 1, 10.0)], clock)
    tasks = [asyncio.create_task(throttler.acquire({"ip": 1})) for _ in range(3)]
    await clock.advance(20.0)
    assert all(task.done() for task in tasks)
    assert sleeps == [10.0, 10.0]
