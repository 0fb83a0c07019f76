"""The clock: nanoseconds, and one that a simulation writes in Python reaches the compiled code."""

from __future__ import annotations

import time

from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.clock import SYSTEM_CLOCK, Clock
from qtxconn.core.order_book import OrderBook


class Fixed(Clock):
    def now_ns(self) -> int:
        return 42

    def monotonic_ns(self) -> int:
        return 43


class Shifted(Clock):
    def now_ns(self) -> int:
        return super().now_ns() + 10**18


def test_the_system_clock_reads_wall_and_monotonic_nanoseconds() -> None:
    before = time.time_ns()
    assert before <= SYSTEM_CLOCK.now_ns() <= time.time_ns()
    before = time.monotonic_ns()
    assert before <= SYSTEM_CLOCK.monotonic_ns() <= time.monotonic_ns()


def test_a_python_clock_gives_its_time_to_compiled_code() -> None:
    book = OrderBook("A-B", "1", "1", clock=Fixed())
    book.apply_snapshot([("1", "1")], [("2", "1")], 1)
    assert (book.last_update_ns, book.valid_since_ns) == (42, 42)
    assert Fixed().monotonic_ns() == 43
    assert ClientOrderTracker(None, Fixed()).clock.now_ns() == 42


def test_a_python_clock_may_build_on_the_systems() -> None:
    assert Shifted().now_ns() - SYSTEM_CLOCK.now_ns() > 10**18 - 10**11


async def test_sleep_suspends_only_the_caller() -> None:
    await SYSTEM_CLOCK.sleep(0)
