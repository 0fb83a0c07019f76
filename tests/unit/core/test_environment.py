"""The environment: what is made in a context draws from its sources, and nothing else does."""

from __future__ import annotations

import contextvars
from pathlib import Path

from qtxconn.core.client_ids import ClientIds
from qtxconn.core.clock import SYSTEM_CLOCK, Clock
from qtxconn.core.environment import Environment, environment, use_environment
from qtxconn.net.backoff import Backoff


class Noon(Clock):
    def now_ns(self) -> int:
        return 12 * 3600 * 10**9


def test_a_connector_and_what_waits_take_their_sources_from_the_context(kit, tmp_path: Path) -> None:
    ids = ClientIds(instance=9, directory=tmp_path)

    def inside() -> None:
        use_environment(Environment(Noon(), lambda low, high: high, lambda name, bits: ids))
        exchange = kit.exchange_class()
        assert exchange.current_timestamp == 12 * 3600.0
        assert exchange._client_ids is ids
        assert int(exchange.generate_client_order_id()) < ids.next()
        assert Backoff(1.0, 5.0).next_s() == 1.0

    contextvars.copy_context().run(inside)
    assert environment().clock is SYSTEM_CLOCK
    assert kit.exchange_class()._client_ids is not ids


def test_a_clock_that_is_given_goes_before_the_environments(kit) -> None:
    def inside() -> None:
        use_environment(Environment(clock=Noon()))
        assert kit.exchange_class(clock=SYSTEM_CLOCK)._clock is SYSTEM_CLOCK

    contextvars.copy_context().run(inside)
