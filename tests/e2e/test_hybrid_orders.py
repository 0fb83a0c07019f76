"""A hybrid connector on the embedded venue: orders of one life are known, and can be cancelled, in the next; closing
never opens the other side."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qtxconn import OrderState, OrderType, PositionAction, QtxPerpetualDerivative
from qtxconn.sim.launch import VenueProcess
from qtxconn.storage.journal import OrderJournal, read_journal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

PAIR = "BTC-USDT"


def hybrid(ends: dict[str, Any], journal: OrderJournal | None = None) -> QtxPerpetualDerivative:
    host, _, port = ends["qtx_udp"].rpartition(":")
    return QtxPerpetualDerivative(
        exchange_backend="binance",
        qtx_perpetual_host=host,
        qtx_perpetual_port=int(port),
        qtx_place_order_shared_memory_name=ends["qtx_shm"],
        exchange_api_key=ends["api_key"],
        exchange_api_secret=ends["api_secret"],
        trading_pairs=[PAIR],
        rest_url=ends["rest"],
        ws_public_url=ends["ws_public"],
        ws_market_url=ends["ws_market"],
        ws_private_url=ends["ws_private"],
        journal=journal,
    )


async def test_orders_through_shared_memory_survive_the_connector(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("QTXCONN_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "orders.journal"
    async with VenueProcess(["--speak", "binance"]) as venue:
        first = hybrid(venue.endpoints, OrderJournal(path))
        async with first:
            bid = first.get_order_book(PAIR).best_bid
            resting = first.buy(PAIR, Decimal("0.010"), OrderType.LIMIT_MAKER, bid - 100)
            taken = first.buy(PAIR, Decimal("0.010"), OrderType.MARKET)
            orders = first.in_flight_orders
            await orders[resting].wait_until_processed_by_exchange()
            await orders[taken].wait_until_done()
            secret = venue.endpoints["api_secret"].encode()
        first._journal.close()
        assert secret not in path.read_bytes()
        assert {entry["client_id"] for entry in read_journal(path)} == {int(resting), int(taken)}

        second = hybrid(venue.endpoints, OrderJournal(path))
        async with second:
            assert list(second.in_flight_orders) == [resting]
            order = second.in_flight_orders[resting]
            assert order.current_state is OrderState.OPEN
            assert order.price == bid - 100
            bought = second._order_tracker.fetch_order(taken)
            assert bought.executed_amount_base == Decimal("0.010")
            assert bought.current_state is OrderState.FILLED
            assert second.cancel(PAIR, resting)
            await order.wait_until_done()
            assert order.current_state is OrderState.CANCELED
        second._journal.close()


async def test_closing_never_opens_the_other_side() -> None:
    async with VenueProcess(["--speak", "binance"]) as venue, hybrid(venue.endpoints) as connector:

        async def ended(order_id: str) -> OrderState:
            order = connector.in_flight_orders[order_id]
            await order.wait_until_done()
            return order.current_state

        def close(amount: Decimal) -> str:
            return connector.sell(PAIR, amount, OrderType.MARKET, position_action=PositionAction.CLOSE)

        lot = Decimal("0.002")
        assert await ended(connector.buy(PAIR, lot, OrderType.MARKET)) is OrderState.FILLED
        assert await ended(close(2 * lot)) is OrderState.FAILED  # this venue refuses it, another fills a part
        assert await ended(close(lot)) is OrderState.FILLED
        assert await ended(close(lot)) is OrderState.FAILED
        await connector._update_positions()
        assert connector.get_position_amount(PAIR) == 0
