"""A trading process that is killed: restores its orders, says what it knows, then trades until somebody ends it.

Its one argument is JSON: endpoints, key, secret, journal, capacity, kill ("outside" or a point at which it kills
itself), after (how often that point is passed before), seed. It prints one line of JSON when ready and trades when told
to on standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.types import MarketEvent, OrderType, TradeType
from qtxconn.errors import NotReadyError
from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.storage.journal import OrderJournal

PAIR = "BTC-USDT"
LOT = Decimal("0.002")
ARGUMENTS = json.loads(sys.argv[1])
passed = 0


def at(point: str) -> None:
    """Ends the process if this is where it is to end."""
    global passed
    if ARGUMENTS["kill"] == point:
        passed += 1
        if passed > ARGUMENTS["after"]:
            os.kill(os.getpid(), signal.SIGKILL)


class Trader(BinancePerpetual):
    """The connector, with the points at which it may be killed."""

    # A local venue has had whatever was sent within this time.
    submit_dead_after_s = 1.0
    lookup_delays_s = (0.0, 0.1, 0.3)

    def _observe_used_weights(self, headers: Mapping[str, str], sent_ns: int) -> None:
        """A hundred processes a minute use more than Binance lets one address use; the venue here allows it."""

    def _submit_order(self, order: InFlightOrder) -> None:
        at("journalled and tracked, not sent")
        super()._submit_order(order)

    async def _place_order(self, *args: Any, **options: Any) -> tuple[str, float]:
        if ARGUMENTS["kill"] == "on its way":
            asyncio.get_running_loop().call_later(random.random() * 0.004, at, "on its way")
        answer = await super()._place_order(*args, **options)
        at("accepted, not heard")
        return answer

    async def _place_cancel(self, order_id: str, tracked_order: InFlightOrder) -> Any:
        answer = await super()._place_cancel(order_id, tracked_order)
        at("cancelled, not heard")
        return answer

    async def _request_order_status(self, tracked_order: InFlightOrder) -> Any:
        answer = await super()._request_order_status(tracked_order)
        at("asking")
        return answer


def known(exchange: Trader) -> list[list[str]]:
    orders = exchange._order_tracker.all_orders.values()
    return [
        [order.client_order_id, order.current_state.name, str(order.executed_amount_base), order.trade_type.name]
        for order in orders
    ]


async def main() -> None:
    chance = random.Random(ARGUMENTS["seed"])
    journal = OrderJournal(ARGUMENTS["journal"], capacity=ARGUMENTS["capacity"])
    urls = {f"{name}_url": ARGUMENTS["endpoints"][name] for name in ("ws_public", "ws_market", "ws_private")}
    exchange = Trader(
        ARGUMENTS["key"], ARGUMENTS["secret"], [PAIR], rest_url=ARGUMENTS["endpoints"]["rest"], journal=journal, **urls
    )
    for tag in (MarketEvent.BuyOrderCreated, MarketEvent.SellOrderCreated):
        exchange.add_listener(tag, lambda _: at("created"))
    exchange.add_listener(MarketEvent.OrderFilled, lambda _: at("filled"))
    await exchange.connect()
    print(json.dumps({"orders": known(exchange)}), flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        return  # whoever started it is gone
    book = exchange.get_order_book(PAIR)
    while True:
        await asyncio.sleep(chance.random() * 0.04)
        resting = list(exchange.in_flight_orders)
        deed = chance.random()
        try:
            if deed < 0.4 and resting:
                exchange.cancel(PAIR, chance.choice(resting))
            elif deed < 0.7:
                price = exchange.quantize_order_price(PAIR, book.best_bid * Decimal("0.97"), TradeType.BUY)
                exchange.buy(PAIR, LOT, OrderType.LIMIT_MAKER, price)
            else:
                act = exchange.buy if chance.random() < 0.5 else exchange.sell
                act(PAIR, LOT * chance.randint(1, 4), OrderType.MARKET)
        except NotReadyError:
            continue


asyncio.run(main())
