"""Binance's Algo service: conditional orders as text parameters, wire dicts and ALGO_UPDATE events.

Paths and fields: Binance USD-M "New Algo Order", "Query Algo Order" and the user-stream event ALGO_UPDATE.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.sim.binance import codec
from qtxconn.sim.binance.errors import ApiError, mandatory, not_required, reject_to_error
from qtxconn.sim.binance.params import (
    Params,
    parse_amount,
    parse_bool,
    parse_client_order_id,
    parse_good_till,
    parse_instrument,
    parse_int,
    parse_limit,
    parse_position_side,
    parse_price,
    parse_quantity,
    parse_self_trade,
    parse_side,
    parse_span,
    parse_word,
    required,
)
from qtxconn.sim.conditional import ConditionalOrder, ConditionalStatus, ConditionalType, WorkingType
from qtxconn.sim.model import Instrument, OrderType, Reject, TimeInForce

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.venue import Venue

ALGO_TYPES = frozenset(ConditionalType)
ROWS_DEFAULT, ROWS_MAX = 500, 1000
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")
_CANCELED = {"code": "200", "msg": "success"}


def place(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """POST /fapi/v1/algoOrder and algoOrder.place."""
    instrument = parse_instrument(venue, params)
    side = parse_side(params)
    if required(params, "algoType") != "CONDITIONAL":
        raise ApiError(-1116, "Invalid algoType.")
    required(params, "type")
    kind = parse_word(params, "type", ConditionalType, ConditionalType.STOP, ApiError(-1116, "Invalid orderType."))
    working = parse_word(params, "workingType", WorkingType, WorkingType.CONTRACT_PRICE)
    if params.get("priceMatch", "NONE") != "NONE":
        raise ApiError(-5038, "Price match is not supported for this order type.")
    if account.hedge_mode and params.get("reduceOnly"):
        raise not_required("reduceonly")
    close_position, reduce_only = parse_bool(params, "closePosition"), parse_bool(params, "reduceOnly")
    quantity = 0
    if close_position:
        if kind not in (ConditionalType.STOP_MARKET, ConditionalType.TAKE_PROFIT_MARKET):
            raise ApiError(-4136, "Target strategy invalid for orderType " + kind + ",closePosition true.")
        for name in ("quantity", "reduceOnly"):
            if params.get(name, "") not in ("", "false"):
                raise not_required(name)
    tif_text = params.get("timeInForce") or "GTC"
    if tif_text not in TIMES_IN_FORCE:
        raise ApiError(-1115, "Invalid timeInForce.")
    good_till_ms = parse_good_till(params, venue.clock.now_ms()) if tif_text == "GTD" else 0
    order_id = venue.next_record_id()
    try:
        if not close_position:
            quantity = instrument.quantity_to_lots(parse_quantity(instrument, params))
        order = ConditionalOrder(
            order_id,
            account,
            parse_client_order_id(params, "clientAlgoId") or f"a{order_id}",
            instrument.symbol,
            side,
            kind,
            TimeInForce(tif_text),
            quantity,
            instrument.price_to_ticks(parse_price(instrument, params)) if kind.has_limit else 0,
            working=working,
            position_side=parse_position_side(params),
            reduce_only=reduce_only,
            close_position=close_position,
            self_trade=parse_self_trade(params),
            good_till_ms=good_till_ms,
            price_protect=parse_bool(params, "priceProtect"),
        )
        if kind is ConditionalType.TRAILING_STOP_MARKET:
            order.callback_rate = parse_amount(params, "callbackRate")
            if params.get("activatePrice"):
                order.activation = instrument.price_to_ticks(parse_price(instrument, params, "activatePrice"))
        else:
            order.trigger = instrument.price_to_ticks(parse_price(instrument, params, "triggerPrice"))
        venue.conditional.place(order)
    except Reject as reject:
        raise reject_to_error(reject, instrument) from None
    answer = algo_order(instrument, order)
    for name in [name for name in answer if name.startswith(("actual", "tp", "sl"))]:
        del answer[name]  # a query's answer has them, the one to a placement does not
    return answer


def cancel(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """DELETE /fapi/v1/algoOrder and algoOrder.cancel. Unknown or finished: -2011."""
    order = _find(venue, account, params)
    if order is None or order.status is not ConditionalStatus.NEW:
        raise ApiError(-2011, "Unknown order sent.")
    venue.conditional.cancel(order)
    return {"algoId": order.conditional_id, "clientAlgoId": order.client_id} | _CANCELED


def cancel_all(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """DELETE /fapi/v1/algoOpenOrders."""
    for order in venue.conditional.open(account, parse_instrument(venue, params).symbol):
        venue.conditional.cancel(order)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def query(venue: Venue, account: Account, params: Params) -> dict[str, Any]:
    """GET /fapi/v1/algoOrder. Unknown: -2013."""
    order = _find(venue, account, params)
    if order is None:
        raise ApiError(-2013, "Order does not exist.")
    return algo_order(venue.instruments[order.symbol], order)


def open_orders(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/openAlgoOrders, oldest first."""
    symbol = parse_instrument(venue, params).symbol if params.get("symbol") else None
    algo_id = parse_int(params, "algoId")
    orders = venue.conditional.open(account, symbol)
    return [algo_order(venue.instruments[o.symbol], o) for o in orders if algo_id in (None, o.conditional_id)]


def all_orders(venue: Venue, account: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/allAlgoOrders, oldest first: from algoId or startTime on, else the latest `limit`."""
    instrument = parse_instrument(venue, params)
    limit = parse_limit(params, ROWS_DEFAULT, ROWS_MAX)
    from_id = parse_int(params, "algoId")
    first_ms, last_ms = parse_span(params, venue.clock.now_ms())
    found = [
        order
        for order in venue.conditional.all(account, instrument.symbol)
        if first_ms <= order.created_ms <= last_ms and (from_id is None or order.conditional_id >= from_id)
    ]
    latest = from_id is None and not params.get("startTime")
    return [algo_order(instrument, order) for order in (found[-limit:] if latest else found[:limit])]


def _find(venue: Venue, account: Account, params: Params) -> ConditionalOrder | None:
    algo_id, client_id = parse_int(params, "algoId"), params.get("clientAlgoId") or None
    if algo_id is None and client_id is None:
        raise mandatory("algoId")
    return venue.conditional.find(account, algo_id, client_id)


def algo_order(instrument: Instrument, order: ConditionalOrder) -> dict[str, Any]:
    """The algo order of answers and queries. `actual*` are of the order it placed, empty before."""
    placed = order.order
    trailing = order.type is ConditionalType.TRAILING_STOP_MARKET
    result: dict[str, Any] = {
        "algoId": order.conditional_id,
        "clientAlgoId": order.client_id,
        "algoType": "CONDITIONAL",
        "orderType": order.type,
        "symbol": order.symbol,
        "side": codec.SIDE_TEXT[order.side],
        "positionSide": order.position_side,
        "timeInForce": order.tif,
        "quantity": instrument.lots_to_text(order.quantity),
        "algoStatus": order.status,
        "actualOrderId": str(placed.order_id) if placed else "",
        "actualPrice": codec.plain_text(codec.average_price(instrument, placed)) if placed else "0.00000",
        "actualType": placed.type if placed else "",
        "actualQty": instrument.lots_to_text(placed.filled) if placed else "0",
        "triggerPrice": instrument.ticks_to_text(order.trigger),
        "price": instrument.ticks_to_text(order.price),
        "icebergQuantity": None,
        "tpTriggerPrice": "0.000",
        "tpPrice": "0.000",
        "slTriggerPrice": "0.000",
        "slPrice": "0.000",
        "tpOrderType": "",
        "selfTradePreventionMode": order.self_trade,
        "workingType": order.working,
        "priceMatch": "NONE",
        "closePosition": order.close_position,
        "priceProtect": order.price_protect,
        "reduceOnly": order.reduce_only,
        "createTime": order.created_ms,
        "updateTime": order.updated_ms,
        "triggerTime": order.triggered_ms,
        "goodTillDate": order.good_till_ms,
    }
    if trailing:
        result["activatePrice"] = instrument.ticks_to_text(order.activation)
        result["callbackRate"] = codec.plain_text(order.callback_rate)
    return result


def algo_update(instrument: Instrument, order: ConditionalOrder, now_ms: int) -> dict[str, Any]:
    """ALGO_UPDATE. `ai`, `ap`, `aq` and `act` are of the order it placed, `rm` says why that was refused."""
    placed = order.order
    body: dict[str, Any] = {
        "caid": order.client_id,
        "aid": order.conditional_id,
        "at": "CONDITIONAL",
        "o": order.type,
        "s": order.symbol,
        "S": codec.SIDE_TEXT[order.side],
        "ps": order.position_side,
        "f": order.tif,
        "q": instrument.lots_to_text(order.quantity),
        "X": order.status,
        "ai": str(placed.order_id) if placed else "",
    }
    if placed:
        # While it is only placed its fills are not told here: they are the order's own news.
        done = order.status is ConditionalStatus.FINISHED
        body |= {
            "ap": codec.plain_text(codec.average_price(instrument, placed) if done else Decimal(0)),
            "aq": instrument.lots_to_text(placed.filled if done else 0),
            "act": OrderType.LIMIT if order.price else OrderType.MARKET,
        }
    body |= {
        "tp": instrument.ticks_to_text(order.trigger),
        "p": instrument.ticks_to_text(order.price),
        "V": order.self_trade,
        "wt": order.working,
        "pm": "NONE",
        "cp": order.close_position,
        "pP": order.price_protect,
        "R": order.reduce_only,
        "tt": order.triggered_ms,
        "gtd": order.good_till_ms,
    }
    if order.refusal:
        body["rm"] = order.refusal
    return {"e": "ALGO_UPDATE", "T": order.updated_ms, "E": now_ms, "o": body}
