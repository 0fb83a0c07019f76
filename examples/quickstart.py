"""Buys at market on the embedded venue through shared memory; prints the fills and the order."""

import asyncio
from decimal import Decimal

from qtxconn import MarketEvent, OrderType, QtxPerpetualDerivative
from qtxconn.sim.launch import VenueProcess


async def main() -> None:
    async with VenueProcess(["--speak", "binance"]) as venue:
        ends = venue.endpoints
        host, _, port = ends["qtx_udp"].partition(":")
        connector = QtxPerpetualDerivative(
            exchange_backend="binance",
            trading_pairs=["BTC-USDT"],
            exchange_api_key=ends["api_key"],
            exchange_api_secret=ends["api_secret"],
            qtx_perpetual_host=host,
            qtx_perpetual_port=int(port),
            qtx_place_order_shared_memory_name=ends["qtx_shm"],
            rest_url=ends["rest"],
            ws_public_url=ends["ws_public"],
            ws_market_url=ends["ws_market"],
            ws_private_url=ends["ws_private"],
        )
        connector.add_listener(MarketEvent.OrderFilled, print)
        async with connector:
            order_id = connector.buy("BTC-USDT", Decimal("0.002"), OrderType.MARKET)
            order = connector.in_flight_orders[order_id]
            await order.wait_until_done()
            print(order)


asyncio.run(main())
