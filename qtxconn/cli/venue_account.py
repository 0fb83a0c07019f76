"""Reading an account as the venue has it, over its own REST API and past the connector that is being checked."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from qtxconn.cli.audit import VenueAccount
from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.exchanges.binance import messages
from qtxconn.exchanges.binance.auth import BinanceAuth
from qtxconn.exchanges.binance.constants import RECV_WINDOW_MS
from qtxconn.net.rest import RestClient

_PAGE = 1000  # rows a call, the venue's maximum


async def read_venue_account(rest_url: str, api_key: str, api_secret: str, symbol: str, asset: str) -> VenueAccount:
    """Position, wallet balance, open orders, all orders and all trades of `symbol`. Raises as RestClient does."""
    auth = BinanceAuth(api_key, api_secret, lambda: SYSTEM_CLOCK.now_ns() // messages.MS_NS, RECV_WINDOW_MS)
    rest = RestClient(rest_url, clock=SYSTEM_CLOCK, parse_error=messages.parse_error_body)
    await rest.start()
    try:

        async def get(path: str, **params: str) -> Any:
            return await rest.request("GET", path, params=params, auth=auth.sign)

        async def all_rows(path: str, id_key: str, from_key: str, row_key: Callable[[dict[str, Any]], str]) -> dict:
            rows: dict[str, dict[str, Any]] = {}
            first = 0
            while page := await get(path, symbol=symbol, limit=str(_PAGE), **{from_key: str(first)}):
                rows |= {row_key(row): row for row in page}
                first = int(page[-1][id_key]) + 1
            return rows

        positions = await get("/fapi/v2/positionRisk", symbol=symbol)
        balances = await get("/fapi/v2/balance")
        return VenueAccount(
            position=sum((Decimal(row["positionAmt"]) for row in positions), Decimal(0)),
            wallet_balance=next(Decimal(row["balance"]) for row in balances if row["asset"] == asset),
            open_order_ids=[row["clientOrderId"] for row in await get("/fapi/v1/openOrders", symbol=symbol)],
            orders=await all_rows("/fapi/v1/allOrders", "orderId", "orderId", lambda row: row["clientOrderId"]),
            trades=await all_rows("/fapi/v1/userTrades", "id", "fromId", lambda row: str(row["id"])),
        )
    finally:
        await rest.close()
