"""What the connector counts for each of its requests is what the venue, which has its own table, counts."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from qtxconn.errors import VenueError
from qtxconn.exchanges.binance import constants
from qtxconn.exchanges.binance.constants import IP, ORDERS_1M, ORDERS_10S, Endpoint
from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.sim.launch import VenueProcess

pytestmark = pytest.mark.e2e

KEY, SECRET = "weights-key", "weights-secret"
ENDPOINTS = {name: value for name, value in vars(constants).items() if isinstance(value, Endpoint)}
ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTX",
    "quantity": "0.002",
    "price": "50000",
}
PARAMS = {
    "DEPTH": {"limit": str(constants.DEPTH_LIMIT)},
    "PLACE_BATCH": {"batchOrders": orjson.dumps([ORDER] * constants.BATCH_SIZE_MAX).decode()},
}


async def test_every_request_costs_what_the_venue_counts() -> None:
    async with VenueProcess(["--speak", "binance", "--account", f"{KEY}:{SECRET}"]) as venue:
        exchange = BinancePerpetual(KEY, SECRET, [], rest_url=venue.endpoints["rest"])
        counted: dict[str, int] = {}

        def note(headers: Mapping[str, str], _: int) -> None:
            counted.clear()
            counted.update({limit: int(headers.get(name, "0")) for name, limit in constants.USED_HEADERS.items()})

        await exchange._rest.start()
        exchange._rest._on_headers = note
        try:
            await exchange._request(constants.SERVER_TIME)
            used = dict(counted)
            for name, endpoint in ENDPOINTS.items():
                try:
                    await exchange._request(endpoint, {"symbol": "BTCUSDT"} | PARAMS.get(name, {}))
                except VenueError:
                    pass  # it costs the same
                if counted[IP] < used[IP]:  # a minute has begun
                    used[IP] = 0
                assert counted[IP] - used[IP] == endpoint.weights.get(IP, 0), name
                used[IP] = counted[IP]
                for limit_id in (ORDERS_10S, ORDERS_1M):
                    if endpoint.weights.get(limit_id):
                        assert counted[limit_id] >= endpoint.weights[limit_id], name
                    else:
                        assert counted[limit_id] == 0, name
        finally:
            await exchange._rest.close()
