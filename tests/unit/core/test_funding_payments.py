"""Funding payments: each is told once, however late it can be read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.events import FundingPaymentCompletedEvent, MarketEvent
from qtxconn.core.types import FundingPayment
from qtxconn.errors import NetworkError

PAIR = "BTC-USDT"


@pytest.fixture
async def exchange(kit: Any) -> Any:
    class Payer(kit.exchange_class):
        """`payments` is what the venue has on record; the first `failures` look-ups fail."""

        reports_funding_payments = True
        failures = 0

        def __init__(self) -> None:
            super().__init__(clock=kit.clock_class())
            self.payments: list[FundingPayment] = []
            self.told: list[FundingPaymentCompletedEvent] = []
            self.add_listener(MarketEvent.FundingPaymentCompleted, self.told.append)

        async def _request_funding_payments(self, since_s: float) -> list[FundingPayment]:
            self.calls.append("funding")
            if self.failures:
                self.failures -= 1
                raise NetworkError("no route")
            return [payment for payment in self.payments if payment.timestamp >= since_s]

        async def _request_settled_funding_rate(self, trading_pair: str, timestamp_s: float) -> Decimal | None:
            return Decimal("0.0001")

    payer = Payer()
    await payer.connect()
    yield payer
    await payer.disconnect()


def payment(exchange: Any, number: str) -> FundingPayment:
    return FundingPayment(number, PAIR, exchange.current_timestamp + 1, Decimal("-0.25"), "USDT")


async def test_a_payment_is_told_once_however_often_it_is_read(exchange) -> None:
    exchange.payments.append(payment(exchange, "1"))
    exchange._funding_paid()
    await exchange._clock.advance(60)
    assert exchange.calls.count("funding") > 1
    assert [(event.amount, event.funding_rate) for event in exchange.told] == [(Decimal("-0.25"), Decimal("0.0001"))]


async def test_a_record_that_comes_after_the_announcement_is_found(exchange) -> None:
    exchange._funding_paid()
    await exchange._clock.advance(3)
    exchange.payments.append(payment(exchange, "1"))
    await exchange._clock.advance(5)
    assert len(exchange.told) == 1


async def test_look_ups_that_fail_are_made_until_one_succeeds(exchange) -> None:
    exchange.failures = 20
    exchange.payments.append(payment(exchange, "1"))
    exchange._funding_paid()
    await exchange._clock.advance(120)
    assert exchange.told == []
    await exchange._clock.advance(120)
    assert len(exchange.told) == 1
