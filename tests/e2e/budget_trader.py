"""A process of test_shared_rate_budget: places and cancels orders one after another, and tells what became of each.

Arguments: endpoints (JSON), API key, API secret, `rate_budget`, how many orders, the venue's limit of orders in 10 s.
"""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from typing import Any

import orjson

from qtxconn.core.types import MarketEvent, OrderState, OrderType
from qtxconn.exchanges.binance import constants
from qtxconn.exchanges.binance.perpetual import BinancePerpetual

PAIR = "BTC-USDT"


async def main(endpoints: dict[str, Any], key: str, secret: str, rate_budget: str, count: int, limit: int) -> None:
    urls = {f"{name}_url": endpoints[name] for name in ("rest", "ws_public", "ws_market", "ws_private", "ws_trade")}
    rate_limits = [
        rate._replace(limit=limit) if rate.limit_id == constants.ORDERS_10S else rate for rate in constants.RATE_LIMITS
    ]
    options = {"rate_limits": rate_limits, "rate_budget": rate_budget, "dead_mans_switch_s": 0.0}
    exchange = BinancePerpetual(key, secret, [PAIR], **options, **urls)
    failures: dict[str, str] = {}
    exchange.add_listener(
        MarketEvent.OrderFailure, lambda event: failures.update({event.order_id: event.error_message})
    )
    async with exchange:
        placed = 0
        while placed < count:
            order_id = exchange.buy(PAIR, Decimal("0.002"), OrderType.LIMIT_MAKER, Decimal("59000"))
            order = exchange.in_flight_orders[order_id]
            while not (order.is_done or order.current_state is OrderState.OPEN):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            failure = failures.get(order_id, "")
            if failure.startswith("not sent: the rate limit"):
                await asyncio.sleep(0.5)
                continue
            placed += 1
            print(failure or "placed", flush=True)
            exchange.cancel(PAIR, order_id)
            while not order.is_done:  # noqa: ASYNC110
                await asyncio.sleep(0.002)


if __name__ == "__main__":
    asyncio.run(
        main(orjson.loads(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
    )
