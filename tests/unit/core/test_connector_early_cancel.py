"""Cancels that are asked for before the venue has said anything about the order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qtxconn.core.types import OrderType
from qtxconn.errors import OrderRejectedError, RequestTimeoutError

PAIR = "BTC-USDT"


def buy_and_cancel(exchange: Any) -> Any:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    assert exchange.cancel(PAIR, order_id)
    return exchange.order(order_id)


async def test_a_cancel_that_overtakes_its_order_is_sent_again_behind_it(exchange, kit) -> None:
    exchange.hold["place"] = asyncio.Event()
    order = buy_and_cancel(exchange)
    await kit.settle(lambda: "cancel" in exchange.calls)  # the venue knows no such order yet
    await kit.turns()
    assert order.is_pending_cancel_confirmation
    exchange.hold["place"].set()
    await kit.settle(lambda: order.is_done)
    assert exchange.kinds() == ["created", "cancelled"]
    assert exchange.calls.count("cancel") == 2
    assert exchange.alarms == []


async def test_a_venue_that_cancels_by_its_own_id_gets_the_cancel_after_the_acknowledgement(
    exchange, kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(exchange), "cancels_by_client_id", False)
    exchange.hold["place_answer"] = asyncio.Event()
    order = buy_and_cancel(exchange)
    await kit.settle(lambda: "place_answer" in exchange.calls)
    await kit.turns()
    assert "cancel" not in exchange.calls
    exchange.hold["place_answer"].set()
    await kit.settle(lambda: order.is_done)
    assert exchange.kinds() == ["created", "cancelled"]
    assert exchange.calls.count("cancel") == 1


@pytest.mark.parametrize("by_client_id", [True, False])
async def test_a_cancel_of_an_order_that_is_refused_ends_with_the_refusal(
    exchange, kit, monkeypatch: pytest.MonkeyPatch, by_client_id: bool
) -> None:
    monkeypatch.setattr(type(exchange), "cancels_by_client_id", by_client_id)
    exchange.fail["place"] = OrderRejectedError("no", code=-2010)
    order = buy_and_cancel(exchange)
    await kit.settle(lambda: order.is_done)
    await kit.turns()
    assert exchange.kinds() == ["failed"]
    assert exchange.alarms == []


async def test_a_cancel_of_an_order_whose_answer_was_lost_waits_for_what_the_venue_says(exchange, kit) -> None:
    exchange.hold["place"] = asyncio.Event()
    exchange.fail["place_answer"] = RequestTimeoutError("no answer")
    order = buy_and_cancel(exchange)
    await kit.settle(lambda: "cancel" in exchange.calls)
    exchange.hold["place"].set()
    await kit.settle(lambda: order.is_done)
    assert exchange.kinds() == ["created", "cancelled"]


async def test_a_cancel_that_waits_is_given_up_by_disconnect_and_can_be_repeated(
    exchange, kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(exchange), "cancels_by_client_id", False)
    exchange.hold["place"] = asyncio.Event()
    order = buy_and_cancel(exchange)
    await kit.settle(lambda: "place" in exchange.calls)
    await exchange.disconnect()
    assert not order.is_pending_cancel_confirmation
    assert order.is_open
    exchange.hold.clear()
    await exchange.connect()
    await exchange._clock.advance(exchange.submit_dead_after_s + 30)
    assert order.is_done  # it never arrived
    assert exchange.kinds() == ["failed"]
