"""Cases that other engines got wrong, where no other file has them; docs/order-cases.md lists all with their tests."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qtxconn.core.order_book import OrderBook
from qtxconn.core.types import AddedToCostTradeFee, OrderState, OrderType, OrderUpdate, TokenAmount, TradeType
from qtxconn.errors import OrderNotFoundError, OrderRejectedError, OrderValidationError, VenueError

PAIR = "BTC-USDT"


async def open_order(exchange: Any, kit: Any, amount: str = "0.5") -> str:
    order_id = exchange.buy(PAIR, amount, OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.kinds(order_id))
    return order_id


# -- Hummingbot's flaws --------------------------------------------------------------------------------------------


async def test_an_order_that_is_forgotten_can_no_longer_be_ended_and_nothing_raises(exchange, kit) -> None:
    order_id = await open_order(exchange, kit)
    tracker, order = exchange._order_tracker, exchange.order(order_id)
    exchange.stream(OrderUpdate(PAIR, exchange.venue.now(), OrderState.CANCELED, order_id))
    tracker.stop_tracking_order(order_id)
    assert not order.is_tracked
    told = exchange.kinds()
    tracker.mark_absent(order, OrderNotFoundError("no such order"))
    tracker.mark_failed(order, OrderRejectedError("too late"))
    assert exchange.kinds() == told == ["created", "cancelled"]
    assert order.is_cancelled


def test_an_order_fails_though_nothing_more_can_be_imported(root: Path) -> None:
    """Whatever an end needs is there from the start: no missing package can keep an order from failing."""
    program = """
import logging, sys
from decimal import Decimal
from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.connectors import PerpetualDerivativeBase
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import MarketEvent, OrderType, TradeType
from qtxconn.errors import OrderRejectedError
class Nothing:
    def find_spec(self, name, path=None, target=None):
        raise ImportError(f"{name} is not installed")
sys.meta_path.insert(0, Nothing())
pubsub = PubSub(logging.getLogger("test"))
pubsub.add_listener(MarketEvent.OrderFailure, lambda event: print("failed", event.order_id))
tracker = ClientOrderTracker(pubsub)
order = InFlightOrder("17", "BTC-USDT", OrderType.LIMIT, TradeType.BUY, Decimal(1), 1.0, Decimal(60000))
tracker.start_tracking_order(order)
tracker.mark_failed(order, OrderRejectedError("no"))
assert order.is_failure
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("failed 17\n", "")


def test_a_quote_volume_is_in_quote_and_a_volume_in_base() -> None:
    book = OrderBook(PAIR, "0.1", "0.001")
    book.apply_snapshot([("100", "2")], [("101", "3"), ("102", "1")], 1)
    assert book.get_volume_for_price(True, "102").result_volume == 4
    assert book.get_quote_volume_for_price(True, "102").result_volume == 3 * 101 + 102


# -- fills ---------------------------------------------------------------------------------------------------------


async def test_the_fills_of_a_sell_add_up_without_a_sign(exchange, kit) -> None:
    order_id = exchange.sell(PAIR, "0.5", OrderType.LIMIT, "60000")
    await kit.settle(lambda: exchange.kinds())
    for amount in ("0.1", "0.15", "0.25"):
        exchange.stream(exchange.venue.execute(order_id, amount))
    assert exchange.order(order_id).trade_type is TradeType.SELL
    assert exchange.order(order_id).executed_amount_base == Decimal("0.5")
    exchange.stream(exchange.venue.report(order_id))
    assert exchange.kinds() == ["created", "filled", "filled", "filled", "completed"]


async def test_fees_in_different_assets_are_kept_apart(exchange, kit) -> None:
    order_id = await open_order(exchange, kit)
    for amount, asset, fee in (("0.2", "BNB", "0.003"), ("0.3", "USDT", "1.5")):
        fees = AddedToCostTradeFee(flat_fees=[TokenAmount(asset, Decimal(fee))])
        exchange.stream(exchange.venue.execute(order_id, amount)._replace(fee=fees))
    order = exchange.order(order_id)
    assert order.cumulative_fee_paid("BNB") == Decimal("0.003")
    assert order.cumulative_fee_paid("USDT") == Decimal("1.5")
    assert order.cumulative_fee_paid("BTC") == 0


# -- cancels -------------------------------------------------------------------------------------------------------


async def test_a_refused_cancel_of_a_partly_filled_order_leaves_it_partly_filled(exchange, kit) -> None:
    order_id = await open_order(exchange, kit)
    exchange.stream(exchange.venue.execute(order_id, "0.2"))
    exchange.fail["cancel"] = VenueError("not now", code=-1)
    assert exchange.cancel(PAIR, order_id)
    assert exchange.order(order_id).current_state is OrderState.PENDING_CANCEL
    await kit.settle(lambda: exchange.alarms)
    await kit.turns()
    assert exchange.order(order_id).current_state is OrderState.PARTIALLY_FILLED
    assert exchange.order(order_id).executed_amount_base == Decimal("0.2")


@pytest.mark.parametrize("late", [OrderState.CANCELED, OrderState.EXPIRED, OrderState.OPEN, OrderState.FAILED])
async def test_a_late_report_changes_nothing_of_a_filled_order(exchange, kit, late: OrderState) -> None:
    order_id = await open_order(exchange, kit)
    exchange.stream(exchange.venue.execute(order_id, "0.5"))
    exchange.stream(exchange.venue.report(order_id))
    exchange.stream(OrderUpdate(PAIR, exchange.venue.now(), late, order_id))
    assert exchange.order(order_id).is_filled
    assert exchange.kinds() == ["created", "filled", "completed"]


async def test_an_order_placed_while_all_are_being_cancelled_is_left_alone(exchange, kit) -> None:
    first = await open_order(exchange, kit)
    exchange.hold["cancel"] = asyncio.Event()
    cancelling = asyncio.ensure_future(exchange.cancel_all(60.0))
    await kit.settle(lambda: "cancel" in exchange.calls)
    second = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "59000")
    exchange.hold.pop("cancel").set()
    assert [result.order_id for result in await cancelling] == [first]
    await kit.settle(lambda: exchange.kinds(second))
    assert exchange.order(first).is_cancelled
    assert exchange.order(second).current_state is OrderState.OPEN


# -- ids -----------------------------------------------------------------------------------------------------------


async def test_a_client_order_id_in_use_is_refused_and_the_order_under_it_stays(exchange, kit, monkeypatch) -> None:
    order_id = await open_order(exchange, kit)
    monkeypatch.setattr(exchange, "generate_client_order_id", lambda: order_id, raising=False)
    with pytest.raises(OrderValidationError):
        exchange.sell(PAIR, "0.3", OrderType.LIMIT, "61000")
    assert exchange.order(order_id).amount == Decimal("0.5")
    assert exchange.calls.count("place") == 1


async def test_the_order_that_was_tracked_at_buy_is_the_one_that_is_updated(exchange, kit) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    order = exchange.in_flight_orders[order_id]
    await kit.settle(lambda: exchange.kinds())
    exchange.stream(exchange.venue.execute(order_id, "0.5"))
    exchange.stream(exchange.venue.report(order_id))
    assert order.is_filled
    assert exchange.order(order_id) is order


async def test_a_venue_id_beyond_two_to_the_53rd_is_kept_to_the_digit(exchange, kit) -> None:
    order_id = exchange.buy(PAIR, "0.5", OrderType.LIMIT, "60000")
    number = 2**63 - 25
    exchange.stream(OrderUpdate(PAIR, exchange.venue.now(), OrderState.OPEN, order_id, str(number)))
    assert exchange._order_tracker.fetch_order(None, str(number)).client_order_id == order_id
    assert exchange._order_tracker.fetch_order(None, str(number + 1)) is None
    await kit.turns()
