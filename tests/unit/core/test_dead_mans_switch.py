"""The dead-man's switch: when its countdown is started, renewed, tried again and called off."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from qtxconn.core.types import OrderType
from qtxconn.errors import ConfigurationError, NetworkError

PAIR = "BTC-USDT"


@pytest.fixture
async def exchange(kit):
    """A connected exchange with a countdown of 60 s; `countdowns` is what the venue was told."""

    class Counting(kit.exchange_class):
        supports_countdown_cancel = True

        async def _place_countdown_cancel(self, trading_pair, timeout_s):
            await self._enter("countdown")
            self.countdowns.append((self._clock.elapsed_ns // 10**9, trading_pair, timeout_s))

    connector = Counting(clock=kit.clock_class(), dead_mans_switch_s=60.0)
    connector.countdowns = []
    await connector.connect()
    yield connector
    connector.fail.clear()
    await connector.disconnect()


def buy(exchange) -> str:
    return exchange.buy(PAIR, Decimal("0.5"), OrderType.LIMIT, Decimal(60000))


async def test_it_starts_with_the_first_order_and_goes_on(exchange, kit) -> None:
    await exchange._clock.advance(100)
    assert exchange.countdowns == []  # nobody quotes
    order_id = buy(exchange)
    await exchange._clock.advance(45)
    assert [pair for _, pair, timeout_s in exchange.countdowns if timeout_s == 60.0] == [PAIR] * 3
    times = [time for time, *_ in exchange.countdowns]
    assert times[0] <= 101
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 21
    exchange.cancel(PAIR, order_id)
    await exchange._clock.advance(45)
    assert len(exchange.countdowns) >= 4  # one left to run out would take the next order along
    await exchange.disconnect()
    assert exchange.countdowns[-1][1:] == (PAIR, 0.0)


async def test_a_renewal_that_fails_is_told_once_and_tried_again(exchange, kit) -> None:
    exchange.fail["countdown"] = NetworkError("cable")
    buy(exchange)
    await exchange._clock.advance(10)
    assert exchange.calls.count("countdown") >= 9
    assert exchange.alarm_kinds() == ["dead_mans_switch"]
    exchange.fail.clear()
    await exchange._clock.advance(2)
    assert len(exchange.countdowns) == 1


async def test_a_disconnect_does_not_fail_where_it_cannot_be_called_off(exchange, kit, caplog) -> None:
    buy(exchange)
    await exchange._clock.advance(2)
    exchange.fail["countdown"] = NetworkError("cable")
    await exchange.disconnect()
    assert "could not be called off" in caplog.text
    assert PAIR in caplog.text


async def test_off_is_off_and_settings_are_checked(kit) -> None:
    exchange = kit.exchange_class(clock=kit.clock_class())
    async with exchange:
        buy(exchange)
        await exchange._clock.advance(100)
    assert "countdown" not in exchange.calls
    with pytest.raises(ConfigurationError, match="has no countdown"):
        kit.exchange_class(dead_mans_switch_s=60.0)
    capable = type("Capable", (kit.exchange_class,), {"supports_countdown_cancel": True})
    for interval_s in (0.5, 31.0):
        with pytest.raises(ConfigurationError, match="between 1 and half"):
            capable(dead_mans_switch_s=60.0, dead_mans_switch_interval_s=interval_s)
