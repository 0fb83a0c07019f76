"""The order calls of Binance USD-M: text parameters in, wire dicts out, over the venue's facade.

REST, the WebSocket API and the QTX order manager all come through here, so that they cannot differ.
Every function raises ApiError with Binance's code and text; nothing has changed at the venue then.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.sim.account import HISTORY_LIMIT
from qtxconn.sim.binance import codec
from qtxconn.sim.binance.errors import (
    ApiError,
    bad_precision,
    illegal_characters,
    mandatory,
    not_required,
    reject_to_error,
)
from qtxconn.sim.model import Instrument, OrderType, Reject, RejectReason, Side, TimeInForce

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.venue import Venue

Params = Mapping[str, str]

# The legal ranges, as Binance prints them in error -1100.
DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
CLIENT_ID_RANGE = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_DECIMAL = re.compile(DECIMAL_RANGE)
_CLIENT_ID = re.compile(CLIENT_ID_RANGE)
CLIENT_ID_MAX = 36
TRADES_DEFAULT = 500
TRADES_MAX = 1000

SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
# Conditional types live in the Algo service since the end of 2025.
_ALGO_TYPES = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
_ALGO_TEXT = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."


# -- parameters --------------------------------------------------------------------------------------------


def required(params: Params, name: str) -> str:
    value = params.get(name, "")
    if not value:
        raise mandatory(name)
    return value


def parse_instrument(venue: Venue, params: Params) -> Instrument:
    instrument = venue.instruments.get(required(params, "symbol"))
    if instrument is None:
        raise ApiError(-1121, "Invalid symbol.")
    return instrument


def parse_int(params: Params, name: str) -> int | None:
    """A non-negative integer, None when it was not sent."""
    text = params.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise illegal_characters(name, "^[0-9]{1,20}$")
    return int(text)


def parse_decimal(params: Params, name: str, decimals: int) -> Decimal:
    """A decimal with at most `decimals` digits after the point, trailing zeros aside."""
    text = required(params, name)
    if not _DECIMAL.fullmatch(text):
        raise illegal_characters(name, DECIMAL_RANGE)
    if "." in text and len(text.partition(".")[2].rstrip("0")) > decimals:
        raise bad_precision()
    return Decimal(text)


def parse_client_order_id(params: Params, name: str) -> str | None:
    text = params.get(name, "")
    if not text:
        return None
    if len(text) > CLIENT_ID_MAX:
        raise ApiError(-4015, "Client order id length should be less than 36 chars")
    if not _CLIENT_ID.fullmatch(text):
        raise illegal_characters(name, CLIENT_ID_RANGE)
    return text


def parse_bool(params: Params, name: str) -> bool:
    text = params.get(name, "").lower()
    if text not in ("", "true", "false"):
        raise mandatory(name)
    return text == "true"


def parse_side(params: Params) -> Side:
    side = SIDES.get(required(params, "side"))
    if side is None:
        raise ApiError(-1117, "Invalid side.")
    return side


def _parse_position_side(params: Params) -> None:
    """This venue's accounts are in one-way mode, where only BOTH is meaningful."""
    if params.get("positionSide", "BOTH") != "BOTH":
        raise ApiError(-4061, "Order's position side does not match user's setting.")


def _parse_order_ids(params: Params) -> tuple[int | None, str | None]:
    order_id, client_order_id = parse_int(params, "orderId"), params.get("origClientOrderId") or None
    if order_id is None and client_order_id is None:
        raise mandatory("orderId")
    return order_id, client_order_id


def _parse_price(instrument: Instrument, params: Params) -> Decimal:
    price = parse_decimal(params, "price", codec.price_precision(instrument))
    if price <= 0:
        raise ApiError(-4001, "Price less than 0.")
    return price


def _parse_quantity(instrument: Instrument, params: Params) -> Decimal:
    quantity = parse_decimal(params, "quantity", codec.decimals(instrument.lot_size))
    if quantity <= 0:
        raise ApiError(-4003, "Quantity less than or equal to zero.")
    return quantity


def _order_error(instrument: Instrument, side: Side, is_limit: bool, reject: Reject) -> ApiError:
    """The refusal of an order; a limit price outside the PERCENT_PRICE band names the bound it broke."""
    if reject.reason is RejectReason.PERCENT_PRICE and is_limit:
        if side is Side.BUY:
            return ApiError(-4016, f"Limit price can't be higher than {reject.detail}.")
        return ApiError(-4024, f"Limit price can't be lower than {reject.detail}.")
    return reject_to_error(reject, instrument)


# -- calls -------------------------------------------------------------------------------------------------


def place_order(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """POST /fapi/v1/order and order.place. newOrderRespType ACK (default) shows the order unfilled."""
    instrument = parse_instrument(venue, params)
    side = parse_side(params)
    type_text = required(params, "type")
    if type_text in _ALGO_TYPES:
        raise ApiError(-4120, _ALGO_TEXT)
    if type_text not in codec.ORDER_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    _parse_position_side(params)
    response_type = params.get("newOrderRespType") or "ACK"
    if response_type not in ("ACK", "RESULT"):
        raise ApiError(-1136, "Invalid newOrderRespType")
    client_order_id = parse_client_order_id(params, "newClientOrderId")
    reduce_only = parse_bool(params, "reduceOnly")
    if type_text == "MARKET":
        for name in ("timeInForce", "price"):
            if params.get(name):
                raise not_required(name)
        price, tif = None, TimeInForce.IOC
    else:
        tif_text = required(params, "timeInForce")
        if tif_text not in codec.TIMES_IN_FORCE:
            raise ApiError(-1115, "Invalid timeInForce.")
        price, tif = _parse_price(instrument, params), TimeInForce(tif_text)
    quantity = _parse_quantity(instrument, params)
    try:
        order = venue.place_order(
            account,
            instrument.symbol,
            side,
            OrderType(type_text),
            quantity,
            price,
            tif,
            client_order_id,
            reduce_only=reduce_only,
        )
    except Reject as reject:
        raise _order_error(instrument, side, price is not None, reject) from None
    return codec.order_result(instrument, order, ack=response_type == "ACK")


def cancel_order(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """DELETE /fapi/v1/order and order.cancel. Unknown or finished: -2011."""
    instrument = parse_instrument(venue, params)
    order_id, client_order_id = _parse_order_ids(params)
    try:
        order = venue.cancel_order(account, instrument.symbol, order_id, client_order_id)
    except Reject as reject:
        raise reject_to_error(reject, instrument) from None
    return codec.order_result(instrument, order)


def amend_order(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """PUT /fapi/v1/order and order.modify. `side` must be the order's own."""
    instrument = parse_instrument(venue, params)
    order_id, client_order_id = _parse_order_ids(params)
    side = parse_side(params)
    quantity = _parse_quantity(instrument, params)
    price = _parse_price(instrument, params)
    try:
        if venue.query_order(account, instrument.symbol, order_id, client_order_id).side is not side:
            raise ApiError(-1117, "Invalid side.")
        order = venue.amend_order(account, instrument.symbol, order_id, client_order_id, quantity=quantity, price=price)
    except Reject as reject:
        raise _order_error(instrument, side, True, reject) from None
    return codec.order_result(instrument, order)


def query_order(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """GET /fapi/v1/order and order.status. Unknown: -2013."""
    instrument = parse_instrument(venue, params)
    order_id, client_order_id = _parse_order_ids(params)
    try:
        order = venue.query_order(account, instrument.symbol, order_id, client_order_id)
    except Reject as reject:
        raise reject_to_error(reject, instrument) from None
    return codec.order_result(instrument, order, with_time=True)


def query_open_order(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """GET /fapi/v1/openOrder: like a query, but a finished order does not exist here."""
    result = query_order(venue, account, params)
    if result["status"] not in ("NEW", "PARTIALLY_FILLED"):
        raise reject_to_error(Reject(RejectReason.NO_SUCH_ORDER))
    return result


def open_orders(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    symbol = parse_instrument(venue, params).symbol if params.get("symbol") else None
    return [
        codec.order_result(venue.instruments[order.symbol], order, with_time=True)
        for order in venue.open_orders(account, symbol)
    ]


def all_orders(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/allOrders, oldest first: from orderId on, else the latest `limit` (500, at most 1000)."""
    instrument = parse_instrument(venue, params)
    limit = min(parse_int(params, "limit") or TRADES_DEFAULT, TRADES_MAX)
    orders = venue.all_orders(account, instrument.symbol, parse_int(params, "orderId"), limit)
    return [codec.order_result(instrument, order, with_time=True) for order in orders]


def cancel_all(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    venue.cancel_all(account, parse_instrument(venue, params).symbol)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def user_trades(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/userTrades, oldest first; at most `limit` (500 unless told, 1000 at most).

    From fromId or startTime on if one is given, else the latest.
    """
    instrument = parse_instrument(venue, params)
    limit = min(parse_int(params, "limit") or TRADES_DEFAULT, TRADES_MAX)
    order_id, from_id = parse_int(params, "orderId"), parse_int(params, "fromId")
    start_ms, end_ms = parse_int(params, "startTime"), parse_int(params, "endTime")
    if start_ms is None and end_ms is None:
        executions = venue.executions(account, instrument.symbol, order_id, from_id, limit)
    else:
        first_ms, last_ms = start_ms or 0, end_ms if end_ms is not None else venue.clock.now_ms()
        every = venue.executions(account, instrument.symbol, order_id, from_id, HISTORY_LIMIT)
        executions = [e for e in every if first_ms <= e.time_ms <= last_ms][:limit]
    return [codec.user_trade(instrument, execution) for execution in executions]
