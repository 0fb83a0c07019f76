"""Who goes on in spite of HTTP 429 is banned with HTTP 418, longer each time."""

from __future__ import annotations

import pytest

from qtxconn.sim.binance.errors import ApiError
from qtxconn.sim.binance.limits import Limits, RateCounter

NOW_MS = 1_700_000_000_000 - 1_700_000_000_000 % 60_000


def refusal(rates: RateCounter, now_ms: int, address: str = "here") -> tuple[int, int | None]:
    with pytest.raises(ApiError) as error:
        rates.add_weight(address, 1, now_ms)
    assert error.value.code == -1003
    return error.value.status, error.value.retry_after_s


def test_an_address_that_goes_on_is_banned_and_the_next_ban_is_longer() -> None:
    rates = RateCounter(Limits(weight_1m=10, refusals_before_ban=3))
    rates.add_weight("here", 10, NOW_MS)
    assert [refusal(rates, NOW_MS + 1000) for _ in range(4)] == [(429, 59)] * 3 + [(418, 120)]
    assert refusal(rates, NOW_MS + 61_500) == (418, 60)  # a new minute does not help
    rates.add_weight("there", 10, NOW_MS + 61_500)
    assert rates.add_weight("here", 10, NOW_MS + 121_000) == 10
    assert [refusal(rates, NOW_MS + 122_000)[0] for _ in range(3)] == [429] * 3
    assert refusal(rates, NOW_MS + 122_000) == (418, 240)


def test_who_waits_is_not_banned() -> None:
    rates = RateCounter(Limits(weight_1m=10, refusals_before_ban=3))
    for minute in range(20):
        now_ms = NOW_MS + minute * 60_000
        rates.add_weight("here", 10, now_ms)
        assert refusal(rates, now_ms) == (429, 60)
