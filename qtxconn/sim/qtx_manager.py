"""The venue's QTX order manager: takes orders from shared memory, answers with Binance WebSocket-API JSON.

From the eventfd to the answer there is no task and no await. A segment belongs to the account whose key was
registered last (mode 0). Whatever the segment holds is checked: other bytes than the protocol's get an error
answer, never an exception.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from typing import TYPE_CHECKING, Any

import orjson

from qtxconn.qtx.order_queue import (
    MODE_CANCEL,
    MODE_PLACE,
    MODE_REGISTER_KEY,
    OrderManagerQueue,
    QueuedRequest,
)
from qtxconn.sim.binance import trading
from qtxconn.sim.binance.errors import ApiError, bad_api_key, mandatory

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.venue import Venue

logger = logging.getLogger(__name__)

SIDES = {1: "BUY", -1: "SELL"}
TIMES_IN_FORCE = {0: "IOC", 1: "GTX", 2: "GTC", 3: "FOK"}
PRICE_MATCH_NONE = 0
POSITION_SIDE_BOTH = 0
# The queue's idle poller wakes this often: 0.1 ms of latency for a tenth of a core.
POLL_SLEEP_MAX_NS = 100_000


class QtxOrderManager:
    """Serves one shared-memory order queue at the venue."""

    def __init__(self, venue: Venue, name: str) -> None:
        """Creates the segment `name` ("/place_order_NAME"). Raises SegmentError when it exists already."""
        self._venue = venue
        self._clock = venue.clock
        self._account: Account | None = None
        self._queue = OrderManagerQueue.create(name, sleep_max_ns=POLL_SLEEP_MAX_NS)
        self.name = name
        self.answered = 0

    def start(self) -> None:
        """Begins to take orders. Needs a running loop."""
        self._queue.start()
        asyncio.get_running_loop().add_reader(self._queue.fileno(), self._on_orders)

    def stop(self) -> None:
        """Stops taking orders and removes the segment."""
        asyncio.get_running_loop().remove_reader(self._queue.fileno())
        self._queue.close()

    def _on_orders(self) -> None:
        for request in self._queue.take():
            message = self.answer(request)
            if self._queue.answer(request.slot, message, res_ts_ns=self._clock.now_ns()):
                self.answered += 1

    def answer(self, request: QueuedRequest) -> bytes:
        """Carries out one request; the answer is JSON text, far below the 9,999 bytes of a slot."""
        request_id = str(request.client_order_id)
        body: dict[str, Any]
        try:
            body = {"id": request_id, "status": 200, "result": self._carry_out(request)}
        except ApiError as error:
            body = {"id": request_id, "status": error.status, "error": error.to_wire()}
        except Exception:
            logger.exception("QTX order manager: %r failed", request)
            error = ApiError(-1000, "An unknown error occurred while processing the request.", status=500)
            body = {"id": request_id, "status": error.status, "error": error.to_wire()}
        return orjson.dumps(body)

    def _carry_out(self, request: QueuedRequest) -> dict[str, Any]:
        if request.mode == MODE_REGISTER_KEY:
            return self._register(request)
        if request.mode not in (MODE_PLACE, MODE_CANCEL):
            raise ApiError(-1020, "This operation is not supported.")
        if self._account is None:
            raise bad_api_key()
        if request.client_order_id == 0:
            raise mandatory("clientOrderId")
        if request.mode == MODE_CANCEL:
            return trading.cancel_order(
                self._venue,
                self._account,
                {"symbol": request.symbol, "origClientOrderId": str(request.client_order_id)},
            )
        return trading.place_order(self._venue, self._account, _order_params(request))

    def _register(self, request: QueuedRequest) -> dict[str, Any]:
        account = self._venue.account(request.api_key)
        secret = account.api_secret if account is not None else ""
        matches = hmac.compare_digest(secret.encode(), request.api_secret.encode())
        if account is None or not matches:
            raise bad_api_key()
        self._account = account
        return {"msg": "success"}


def _order_params(request: QueuedRequest) -> dict[str, str]:
    """A slot as Binance's order parameters. Raises ApiError for numbers that mean nothing."""
    side = SIDES.get(request.side)
    if side is None:
        raise ApiError(-1117, "Invalid side.")
    if request.pos_side != POSITION_SIDE_BOTH:
        raise ApiError(-4061, "Order's position side does not match user's setting.")
    if request.price_match != PRICE_MATCH_NONE:
        raise ApiError(-1014, "Unsupported order combination: priceMatch is not offered.")
    tif = TIMES_IN_FORCE.get(request.order_type)
    if tif is None:
        raise ApiError(-1116, "Invalid orderType.")
    return {
        "symbol": request.symbol,
        "side": side,
        "type": "LIMIT",
        "timeInForce": tif,
        "quantity": request.size,
        "price": request.price,
        "newClientOrderId": str(request.client_order_id),
        "newOrderRespType": "RESULT",
    }
