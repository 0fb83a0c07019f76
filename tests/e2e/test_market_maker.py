"""The demo's strategy ends flat, whatever it holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qtxconn import OrderType, QtxPerpetualDerivative
from qtxconn.cli.market_maker import MarketMaker
from qtxconn.sim.launch import VenueProcess

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

PAIR = "BTC-USDT"


async def take(connector: Any, place: Any, amount: str) -> None:
    client_order_id = place(PAIR, Decimal(amount), OrderType.MARKET)
    await connector.in_flight_orders[client_order_id].wait_until_done()


async def test_a_position_below_the_venues_minimum_is_closed_all_the_same() -> None:
    async with VenueProcess(["--speak", "binance"]) as venue:
        ends = venue.endpoints
        host, _, port = ends["qtx_udp"].rpartition(":")
        connector = QtxPerpetualDerivative(
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
        )
        async with connector:
            maker = MarketMaker(connector, PAIR, Decimal("0.020"), Decimal("0.060"))
            connector.set_order_event_listener(maker)
            connector.set_trade_event_listener(maker)
            await take(connector, connector.buy, "0.020")
            await take(connector, connector.sell, "0.019")
            assert maker.position == Decimal("0.001")  # about 60 USDT: no order of its own is that small
            await maker.stop()
            assert maker.position == 0
            assert connector.in_flight_orders == {}
