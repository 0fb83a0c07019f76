"""The order calls of Binance USD-M: text parameters in, wire dicts out, over the venue's facade.

REST, the WebSocket API and the QTX order manager all come through here, so that they cannot differ.
Every function raises ApiError with Binance's code and text; nothing has changed at the venue then.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.sim.account import HISTORY_LIMIT
from qtxconn.sim.binance import codec
from qtxconn.sim.binance.conditional import ALGO_TYPES
from qtxconn.sim.binance.errors import ApiError, mandatory, not_required, reject_to_error
from qtxconn.sim.binance.params import (
    Params,
    parse_batch,
    parse_bool,
    parse_client_order_id,
    parse_good_till,
    parse_instrument,
    parse_int,
    parse_limit,
    parse_list,
    parse_order_ids,
    parse_position_side,
    parse_price,
    parse_quantity,
    parse_self_trade,
    parse_side,
    parse_span,
    required,
)
from qtxconn.sim.model import Instrument, OrderType, Reject, RejectReason, Side, TimeInForce
from qtxconn.sim.risk import DELEVERAGING_PREFIX, LIQUIDATION_PREFIX

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.venue import Venue

ROWS_DEFAULT, ROWS_MAX = 500, 1000
AMENDMENTS_DEFAULT, AMENDMENTS_MAX = 50, 100
BATCH_PLACE_MAX, BATCH_CANCEL_MAX = 5, 10
_ALGO_TEXT = "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
# priceMatch: which side of the book from the order's view, and how deep.
PRICE_MATCHES = {
    f"{word}{suffix}": (own, depth)
    for word, own in (("OPPONENT", False), ("QUEUE", True))
    for suffix, depth in (("", 1), ("_5", 5), ("_10", 10), ("_20", 20))
}


def _order_error(instrument: Instrument, side: Side, is_limit: bool, reject: Reject) -> ApiError:
    """The refusal of an order; a limit price outside the PERCENT_PRICE band names the bound it broke."""
    if reject.reason is RejectReason.PERCENT_PRICE and is_limit:
        if side is Side.BUY:
            return ApiError(-4016, f"Limit price can't be higher than {reject.detail}.")
        return ApiError(-4024, f"Limit price can't be lower than {reject.detail}.")
    return reject_to_error(reject, instrument)


def _matched_price(venue: Venue, instrument: Instrument, side: Side, rule: str) -> Decimal:
    """The price that a priceMatch rule gives now. Raises ApiError -5037 or, without such a level, -5041."""
    if rule not in PRICE_MATCHES:
        raise ApiError(-5037, "Invalid price match.")
    own, depth = PRICE_MATCHES[rule]
    levels = venue.engine(instrument.symbol).levels(side if own else side.opposite, depth)
    if len(levels) < depth:
        raise ApiError(-5041, "No depth matches this BBO order.")
    return instrument.ticks_to_price(levels[-1][0])


# -- calls -------------------------------------------------------------------------------------------------


def place_order(venue: Venue, account: Account, params: Params, *, dry_run: bool = False) -> dict[str, Any]:
    """POST /fapi/v1/order and order.place. newOrderRespType ACK (default) shows the order unfilled."""
    instrument = parse_instrument(venue, params)
    side = parse_side(params)
    type_text = required(params, "type")
    if type_text in ALGO_TYPES:
        raise ApiError(-4120, _ALGO_TEXT)
    if type_text not in codec.ORDER_TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    position_side = parse_position_side(params)
    response_type = params.get("newOrderRespType") or "ACK"
    if response_type not in ("ACK", "RESULT"):
        raise ApiError(-1136, "Invalid newOrderRespType")
    client_order_id = parse_client_order_id(params, "newClientOrderId")
    if account.hedge_mode and params.get("reduceOnly"):
        raise not_required("reduceonly")
    reduce_only = parse_bool(params, "reduceOnly")
    price_match = params.get("priceMatch", "NONE").replace("NONE", "")
    if type_text == "MARKET":
        for name in ("timeInForce", "price"):
            if params.get(name):
                raise not_required(name)
        price, tif = None, TimeInForce.IOC
    else:
        tif_text = required(params, "timeInForce")
        if tif_text not in codec.TIMES_IN_FORCE:
            raise ApiError(-1115, "Invalid timeInForce.")
        tif = TimeInForce(tif_text)
        if price_match and params.get("price"):
            raise not_required("price")
        price = _matched_price(venue, instrument, side, price_match) if price_match else parse_price(instrument, params)
    good_till_ms = parse_good_till(params, venue.clock.now_ms()) if tif is TimeInForce.GTD else 0
    quantity = parse_quantity(instrument, params)
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
            reduce_only,
            position_side=position_side,
            self_trade=parse_self_trade(params),
            good_till_ms=good_till_ms,
            price_match=price_match,
            dry_run=dry_run,
        )
    except Reject as reject:
        raise _order_error(instrument, side, price is not None, reject) from None
    return codec.order_result(instrument, order, ack=response_type == "ACK")


def check_order(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """POST /fapi/v1/order/test: every check, and no order."""
    return place_order(venue, account, params, dry_run=True)


def _each(requests: list[dict[str, str]], run: Callable[[dict[str, str]], dict[str, Any]]) -> list[dict[str, Any]]:
    """A batch: one result per request, an order or {code, msg}; a refusal does not stop the others."""
    results = []
    for request in requests:
        try:
            results.append(run(request))
        except ApiError as error:
            results.append(error.to_wire())
    return results


def place_batch(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """POST /fapi/v1/batchOrders: up to 5 orders, in their order."""
    requests = parse_batch(params, "batchOrders", BATCH_PLACE_MAX)
    return _each(requests, lambda request: place_order(venue, account, request))


def amend_batch(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """PUT /fapi/v1/batchOrders: up to 5 changes, in their order."""
    requests = parse_batch(params, "batchOrders", BATCH_PLACE_MAX)
    return _each(requests, lambda request: amend_order(venue, account, request))


def cancel_batch(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """DELETE /fapi/v1/batchOrders: up to 10 of one symbol, by orderIdList or origClientOrderIdList.

    Clients write these two names in lower case too.
    """
    symbol = parse_instrument(venue, params).symbol
    lists = {name.lower(): text for name, text in params.items() if text}
    for name, key in (("orderIdList", "orderId"), ("origClientOrderIdList", "origClientOrderId")):
        if name.lower() in lists:
            ids = parse_list({name: lists[name.lower()]}, name, BATCH_CANCEL_MAX)
            requests = [{"symbol": symbol, key: str(value)} for value in ids]
            return _each(requests, lambda request: cancel_order(venue, account, request))
    raise mandatory("orderIdList")


def batch_size(params: Params) -> int:
    """How many orders a batch counts for; 1 where it is malformed."""
    try:
        return len(parse_list(params, "batchOrders", BATCH_PLACE_MAX))
    except ApiError:
        return 1


def cancel_order(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """DELETE /fapi/v1/order and order.cancel. Unknown or finished: -2011."""
    instrument = parse_instrument(venue, params)
    order_id, client_order_id = parse_order_ids(params)
    try:
        order = venue.cancel_order(account, instrument.symbol, order_id, client_order_id)
    except Reject as reject:
        raise reject_to_error(reject, instrument) from None
    return codec.order_result(instrument, order)


def amend_order(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """PUT /fapi/v1/order and order.modify. `side` must be the order's own."""
    instrument = parse_instrument(venue, params)
    order_id, client_order_id = parse_order_ids(params)
    side = parse_side(params)
    quantity = parse_quantity(instrument, params)
    price = parse_price(instrument, params)
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
    order_id, client_order_id = parse_order_ids(params)
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
    """GET /fapi/v1/allOrders, oldest first; at most `limit` (500 unless told, 1000 at most).

    From orderId or startTime on if one is given, else the latest.
    """
    instrument = parse_instrument(venue, params)
    limit = parse_limit(params, ROWS_DEFAULT, ROWS_MAX)
    order_id = parse_int(params, "orderId")
    if order_id is None and (params.get("startTime") or params.get("endTime")):
        first_ms, last_ms = parse_span(params, venue.clock.now_ms())
        every = venue.all_orders(account, instrument.symbol, 0, HISTORY_LIMIT)
        orders = [order for order in every if first_ms <= order.created_ms <= last_ms][:limit]
    else:
        orders = venue.all_orders(account, instrument.symbol, order_id, limit)
    return [codec.order_result(instrument, order, with_time=True) for order in orders]


def cancel_all(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """DELETE /fapi/v1/allOpenOrders."""
    venue.cancel_all(account, parse_instrument(venue, params).symbol)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def countdown_cancel_all(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """POST /fapi/v1/countdownCancelAll: the symbol's orders go in `countdownTime` ms, unless this comes again."""
    instrument = parse_instrument(venue, params)
    countdown_ms = parse_int(params, "countdownTime")
    if countdown_ms is None:
        raise mandatory("countdownTime")
    venue.set_dead_mans_switch(account, instrument.symbol, countdown_ms)
    return {"symbol": instrument.symbol, "countdownTime": str(countdown_ms)}


def user_trades(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/userTrades, oldest first; at most `limit` (500 unless told, 1000 at most).

    From fromId or startTime on if one is given, else the latest.
    """
    instrument = parse_instrument(venue, params)
    limit = parse_limit(params, ROWS_DEFAULT, ROWS_MAX)
    order_id, from_id = parse_int(params, "orderId"), parse_int(params, "fromId")
    if params.get("startTime") or params.get("endTime"):
        first_ms, last_ms = parse_span(params, venue.clock.now_ms())
        every = venue.executions(account, instrument.symbol, order_id, from_id, HISTORY_LIMIT)
        executions = [e for e in every if first_ms <= e.time_ms <= last_ms][:limit]
    else:
        executions = venue.executions(account, instrument.symbol, order_id, from_id, limit)
    return [codec.user_trade(instrument, execution) for execution in executions]


def amendments(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/orderAmendment, newest first; at most `limit` (50 unless told, 100 at most)."""
    instrument = parse_instrument(venue, params)
    order_id, client_order_id = parse_int(params, "orderId"), params.get("origClientOrderId") or None
    first_ms, last_ms = parse_span(params, venue.clock.now_ms())
    found = [
        amendment
        for amendment in reversed(account.amendments)
        if amendment.order.symbol == instrument.symbol
        and order_id in (None, amendment.order.order_id)
        and client_order_id in (None, amendment.order.client_order_id)
        and first_ms <= amendment.time_ms <= last_ms
    ]
    limit = parse_limit(params, AMENDMENTS_DEFAULT, AMENDMENTS_MAX)
    return [codec.amendment(instrument, amendment) for amendment in found[:limit]]


def forced_orders(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/forceOrders: liquidations and deleveragings, newest first."""
    symbol = parse_instrument(venue, params).symbol if params.get("symbol") else None
    kind = params.get("autoCloseType", "")
    prefix = {"": "", "LIQUIDATION": LIQUIDATION_PREFIX, "ADL": DELEVERAGING_PREFIX}.get(kind)
    if prefix is None:
        raise mandatory("autoCloseType")
    first_ms, last_ms = parse_span(params, venue.clock.now_ms())
    found = [
        order
        for order in reversed(account.forced_orders)
        if symbol in (None, order.symbol)
        and order.client_order_id.startswith(prefix)
        and first_ms <= order.created_ms <= last_ms
    ][: parse_limit(params, AMENDMENTS_DEFAULT, AMENDMENTS_MAX)]
    return [codec.order_result(venue.instruments[order.symbol], order, with_time=True) for order in found]
