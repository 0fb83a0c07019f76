"""Binance USD-M wire formats: pure functions between payloads and values.

Prices and amounts are decimal text on the wire and exact Decimals here; times are ms on the wire, seconds
(order and trade updates) or ns (market data) here. A payload that breaks the contract raises MessageError.
https://developers.binance.com/docs/derivatives/usds-margined-futures
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal, InvalidOperation
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import orjson

from qtxconn.core.book_sync import DepthDiff, DepthSnapshot
from qtxconn.core.book_types import BookTicker
from qtxconn.core.trading_rule import TradingRule
from qtxconn.core.types import (
    AddedToCostTradeFee,
    FeeRates,
    FundingInfo,
    FundingPayment,
    OrderState,
    OrderType,
    OrderUpdate,
    Position,
    PositionAction,
    PositionMode,
    PositionSide,
    TokenAmount,
    TradeType,
    TradeUpdate,
)
from qtxconn.errors import (
    MessageError,
    OrderRejectedError,
    OutcomeUnknownError,
    QtxconnError,
    RateLimitedError,
    VenueError,
)
from qtxconn.exchanges.binance import constants
from qtxconn.net.request_stream import StreamAnswer

logger = logging.getLogger(__name__)

MS_NS = 1_000_000
ALGO_PREFIX = "algo-"  # before the ids of the algo service, which numbers its orders apart
EXACT = Context(prec=80)  # a product of two amounts must not be rounded
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
PairOf = Callable[[str], str | None]  # the trading pair of an exchange's symbol; None: not traded here


class Balance(NamedTuple):
    """`available` is None where the message does not say (ACCOUNT_UPDATE)."""

    asset: str
    total: Decimal
    available: Decimal | None


class AccountUpdate(NamedTuple):
    """What changed: `reason` is ORDER, FUNDING_FEE, ...; `venue_s` in s."""

    reason: str
    venue_s: float
    balances: list[Balance]
    positions: list[Position]


class AccountConfigUpdate(NamedTuple):
    """What was changed: `leverage` under the exchange's symbol, whether other assets than the quote's are margin."""

    venue_s: float
    leverage: tuple[str, int] | None
    is_multi_assets_mode: bool | None


class PublicTrade(NamedTuple):
    trade_id: int
    price: Decimal
    amount: Decimal
    taker_side: TradeType
    timestamp_ns: int


def wire(what: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Turns the errors of a parser that met something unexpected into MessageError."""

    def decorate(parse: Callable[P, R]) -> Callable[P, R]:
        @wraps(parse)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return parse(*args, **kwargs)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
                raise MessageError(f"Binance {what}: {type(error).__name__}: {error}") from error

        return checked

    return decorate


def amount(value: Any) -> Decimal:
    """A number of the wire: decimal text, or an integer. Floats, NaN and infinities are refused."""
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise TypeError(f"not decimal text: {value!r}")
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"not a finite number: {value!r}")
    return number


def whole(value: Any) -> int:
    """A number without decimals: an integer, or its digits."""
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and value.isdecimal())):
        raise TypeError(f"not a whole number: {value!r}")
    return int(value)


def exactly(kind: type[T], value: Any) -> T:
    """A value that must not be converted: "false" is no flag, None no id, and {} no list."""
    if type(value) is not kind:
        raise TypeError(f"not a {kind.__name__}: {value!r}")
    return value


@wire("message")
def parse_event(data: str | bytes) -> dict[str, Any]:
    """A message of a stream, bare or as a combined stream wraps it."""
    event = exactly(dict, orjson.loads(data))
    return exactly(dict, event.get("data", event))


@wire("symbol")
def parse_symbol(payload: Any, *path: str) -> str:
    """The exchange's symbol, where a message has it."""
    for name in path:
        payload = payload[name]
    return exactly(str, payload)


@wire("time")
def parse_server_time(payload: dict[str, Any]) -> int:
    """GET /fapi/v1/time, in ns."""
    return whole(payload["serverTime"]) * MS_NS


# -- rules -------------------------------------------------------------------------------------------------


@wire("exchangeInfo")
def parse_exchange_info(payload: dict[str, Any]) -> list[TradingRule]:
    """Rules of all perpetuals that trade (GET /fapi/v1/exchangeInfo).

    One symbol that cannot be understood is left out and logged: it must not keep the others from trading.
    """
    rules = []
    for symbol in exactly(list, payload["symbols"]):
        if symbol["status"] != "TRADING" or not symbol.get("contractType", "PERPETUAL").endswith("PERPETUAL"):
            continue
        try:
            rules.append(parse_trading_rule(symbol))
        except QtxconnError as error:
            logger.warning("left out of the trading rules: %s", error)
    return rules


@wire("symbol")
def parse_trading_rule(symbol: dict[str, Any]) -> TradingRule:
    """One entry of exchangeInfo's `symbols`. Tick and step come from the filters, not from the precisions."""
    filters = {exactly(str, entry["filterType"]): entry for entry in symbol["filters"]}
    price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    base, quote = exactly(str, symbol["baseAsset"]), exactly(str, symbol["quoteAsset"])
    margin_asset = exactly(str, symbol.get("marginAsset", quote))
    order_types = exactly(list, symbol["orderTypes"])
    return TradingRule(
        f"{base}-{quote}",
        min_order_size=amount(lot["minQty"]),
        max_order_size=amount(lot["maxQty"]),
        min_price_increment=amount(price["tickSize"]),
        min_base_amount_increment=amount(lot["stepSize"]),
        min_notional_size=amount(filters["MIN_NOTIONAL"]["notional"]) if "MIN_NOTIONAL" in filters else Decimal(0),
        min_price=amount(price["minPrice"]),
        max_price=amount(price["maxPrice"]),
        exchange_symbol=exactly(str, symbol["symbol"]),
        max_num_orders=whole(filters["MAX_NUM_ORDERS"]["limit"]) if "MAX_NUM_ORDERS" in filters else 0,
        supports_limit_orders="LIMIT" in order_types,
        supports_market_orders="MARKET" in order_types,
        buy_order_collateral_token=margin_asset,
        sell_order_collateral_token=margin_asset,
    )


# -- orders ------------------------------------------------------------------------------------------------


def build_order_params(
    order_id: str,
    symbol: str,
    order_amount: Decimal,
    trade_type: TradeType,
    order_type: OrderType,
    price: Decimal | None,
    position_action: PositionAction,
    is_hedged: bool = False,
    *,
    time_in_force: str = "GTC",
    good_till_date: float | None = None,
    reduce_only: bool = False,
    trigger_price: Decimal | None = None,
    trigger_source: str = "last",
    callback_rate: Decimal | None = None,
) -> dict[str, str]:
    """Parameters of POST /fapi/v1/order, or of /fapi/v1/algoOrder for a conditional order. In one-way mode closing is
    reduce-only; in hedge mode the side of the position that is opened or closed is named, and reduceOnly must not be
    sent. `good_till_date` in s since 1970, `callback_rate` in percent."""
    params = {
        "symbol": symbol,
        "side": trade_type.name,
        "type": constants.ORDER_TYPES[order_type],
        "quantity": f"{order_amount:f}",
    }
    if order_type.is_limit_type():
        if price is None:
            raise ValueError("a limit order needs a price")
        params["price"] = f"{price:f}"
        params["timeInForce"] = "GTX" if order_type is OrderType.LIMIT_MAKER else time_in_force
    if good_till_date is not None:
        params["goodTillDate"] = str(int(good_till_date) * 1_000)
    if is_hedged:
        opens = position_action is PositionAction.OPEN
        params["positionSide"] = "LONG" if (trade_type is TradeType.BUY) is opens else "SHORT"
    elif reduce_only or position_action is PositionAction.CLOSE:
        params["reduceOnly"] = "true"
    if not order_type.is_conditional():
        return params | {"newClientOrderId": order_id, "newOrderRespType": "RESULT"}
    params |= {"algoType": "CONDITIONAL", "workingType": constants.TRIGGER_SOURCES[trigger_source]}
    is_trailing = order_type is OrderType.TRAILING_STOP_MARKET
    if trigger_price is not None:
        params["activatePrice" if is_trailing else "triggerPrice"] = f"{trigger_price:f}"
    if callback_rate is not None:
        params["callbackRate"] = f"{Decimal(callback_rate):f}"
    return params | {"clientAlgoId": order_id}


def build_amend_params(trade_type: TradeType, price: Decimal, order_amount: Decimal) -> dict[str, str]:
    """Parameters of PUT /fapi/v1/order beside the order's id; `order_amount` is the whole order's, base asset."""
    return {"side": trade_type.name, "price": f"{price:f}", "quantity": f"{order_amount:f}"}


@wire("order")
def parse_order(payload: dict[str, Any], trading_pair: str) -> OrderUpdate:
    """An order object of the REST or WebSocket API."""
    return OrderUpdate(
        trading_pair,
        (whole(payload.get("updateTime", 0)) or whole(payload.get("time", 0))) / 1e3,
        _state(constants.ORDER_STATES, payload["status"]),
        exactly(str, payload["clientOrderId"]),
        str(whole(payload["orderId"])),
        {
            "cumulative_base": amount(payload["executedQty"]),
            "cumulative_quote": amount(payload["cumQuote"]),
            "price": amount(payload["price"]),
            "amount": amount(payload["origQty"]),
        },
    )


@wire("orders")
def parse_orders(payload: list[dict[str, Any]], trading_pair: str) -> list[OrderUpdate]:
    """GET /fapi/v1/openOrders of one symbol."""
    return [parse_order(row, trading_pair) for row in exactly(list, payload)]


def algo_id_of(exchange_order_id: str | None) -> str | None:
    """The algo service's id in an exchange order id; None if that is one of an ordinary order."""
    is_algo = exchange_order_id is not None and exchange_order_id.startswith(ALGO_PREFIX)
    return exchange_order_id[len(ALGO_PREFIX) :] if is_algo else None


@wire("algo order")
def parse_algo_order(payload: dict[str, Any], trading_pair: str) -> OrderUpdate:
    """An answer of the algo service; under the venue's id of the order that it has placed, once there is one."""
    state = _state(constants.ALGO_STATES, payload["algoStatus"])
    placed_id = payload.get("actualOrderId", "")  # the answer to a placement has none yet
    misc: dict[str, Any] = {"price": amount(payload.get("price", 0)), "amount": amount(payload["quantity"])}
    if state is OrderState.FAILED:
        reason = payload.get("refusal")
        misc["error_message"] = "refused when it was triggered" + (f": {reason}" if reason else "")
        misc["error_type"] = OrderRejectedError.__name__
    return OrderUpdate(
        trading_pair,
        whole(payload["updateTime"]) / 1e3,
        state,
        exactly(str, payload["clientAlgoId"]),
        str(whole(placed_id)) if placed_id not in ("", "0", 0) else f"{ALGO_PREFIX}{whole(payload['algoId'])}",
        misc,
    )


@wire("algo orders")
def parse_algo_orders(payload: list[dict[str, Any]], trading_pair: str) -> list[OrderUpdate]:
    """GET /fapi/v1/openAlgoOrders of one symbol."""
    return [parse_algo_order(row, trading_pair) for row in exactly(list, payload)]


@wire("ALGO_UPDATE")
def parse_algo_update(event: dict[str, Any], trading_pair: str) -> tuple[OrderUpdate, bool]:
    """An ALGO_UPDATE of the user stream: the order's new state, and whether the order that it placed has ended."""
    order = event["o"]
    payload = {name: order[short] for short, name in constants.ALGO_UPDATE_FIELDS.items()}
    payload |= {"updateTime": event["T"], "refusal": order.get("rm")}
    return parse_algo_order(payload, trading_pair), order["X"] == "FINISHED"


@wire("userTrades")
def parse_user_trades(payload: list[dict[str, Any]], trading_pair: str, client_order_id: str) -> list[TradeUpdate]:
    """GET /fapi/v1/userTrades. It names the order by the exchange's id only."""
    return [parse_user_trade(row, trading_pair, client_order_id) for row in exactly(list, payload)]


@wire("userTrades")
def parse_user_trade(payload: dict[str, Any], trading_pair: str, client_order_id: str) -> TradeUpdate:
    """One entry of GET /fapi/v1/userTrades."""
    return TradeUpdate(
        str(whole(payload["id"])),
        client_order_id,
        str(whole(payload["orderId"])),
        trading_pair,
        whole(payload["time"]) / 1e3,
        amount(payload["price"]),
        amount(payload["qty"]),
        amount(payload["quoteQty"]),
        _fee(payload["commissionAsset"], payload["commission"]),
        not exactly(bool, payload["maker"]),
    )


@wire("ORDER_TRADE_UPDATE")
def parse_order_trade_update(event: dict[str, Any], trading_pair: str) -> tuple[OrderUpdate, TradeUpdate | None]:
    """An ORDER_TRADE_UPDATE of the user stream: the order's new state, and the fill if there was one."""
    order = event["o"]
    client_order_id, exchange_order_id = exactly(str, order["c"]), str(whole(order["i"]))
    timestamp = whole(order["T"]) / 1e3
    misc = {"cumulative_base": amount(order["z"]), "price": amount(order["p"]), "amount": amount(order["q"])}
    update = OrderUpdate(
        trading_pair,
        timestamp,
        _state(constants.ORDER_STATES, order["X"]),
        client_order_id,
        exchange_order_id,
        misc,
    )
    filled = amount(order["l"])
    if exactly(str, order["x"]) not in ("TRADE", "CALCULATED") or filled <= 0:
        return update, None
    price = amount(order["L"])
    return update, TradeUpdate(
        str(whole(order["t"])),
        client_order_id,
        exchange_order_id,
        trading_pair,
        timestamp,
        price,
        filled,
        EXACT.multiply(price, filled),
        _fee(order.get("N"), order.get("n")),
        not exactly(bool, order["m"]),
    )


def _state(states: dict[str, OrderState], status: str) -> OrderState:
    try:
        return states[status]
    except KeyError:
        raise ValueError(f"unknown order status {status!r}") from None


def _fee(asset: str | None, fee: str | None) -> AddedToCostTradeFee:
    """Both are left out where there is none. A fee in no asset, or an asset without its fee, is not taken for that."""
    if asset not in (None, ""):
        return AddedToCostTradeFee(flat_fees=[TokenAmount(exactly(str, asset), amount(fee))])
    if fee is not None and amount(fee) != 0:
        raise ValueError(f"a fee of {fee} in no asset")
    return AddedToCostTradeFee()


@wire("batch")
def parse_batch(payload: list[Any], parse: Callable[[dict[str, Any]], T]) -> list[T | QtxconnError]:
    """What became of each order of a batch: what `parse` makes of its answer, or the error that it is or ends in; one
    that cannot be read is that order's alone."""
    results: list[T | QtxconnError] = []
    for answer in exactly(list, payload):
        try:
            error = parse_batch_error(answer)
            results.append(parse(answer) if error is None else error)
        except MessageError as error:
            results.append(error)
    return results


@wire("batch")
def parse_batch_error(answer: dict[str, Any]) -> VenueError | None:
    """The error of one order in the answer to a batch, `{"code", "msg"}`, if it is one."""
    return parse_error(int(answer["code"]), str(answer["msg"])) if "code" in exactly(dict, answer) else None


# -- account -----------------------------------------------------------------------------------------------


def _of_pairs(rows: Any, key: str, pair_of: PairOf) -> Iterator[tuple[dict[str, Any], str]]:
    """The rows of a list whose symbol, at `key`, trades here, each with its trading pair."""
    for row in exactly(list, rows):
        if (pair := pair_of(exactly(str, row[key]))) is not None:
            yield row, pair


@wire("balance")
def parse_balances(payload: list[dict[str, Any]]) -> list[Balance]:
    """GET /fapi/v2|v3/balance."""
    return [
        Balance(exactly(str, row["asset"]), amount(row["balance"]), amount(row["availableBalance"]))
        for row in exactly(list, payload)
    ]


@wire("accountConfig")
def parse_account_config(payload: dict[str, Any]) -> tuple[PositionMode, bool]:
    """GET /fapi/v1/accountConfig: the position mode, and whether other assets than the quote's are margin."""
    is_hedged = exactly(bool, payload["dualSidePosition"])
    return PositionMode.HEDGE if is_hedged else PositionMode.ONEWAY, exactly(bool, payload["multiAssetsMargin"])


@wire("positionRisk")
def parse_positions(payload: list[dict[str, Any]], pair_of: PairOf) -> list[Position]:
    """GET /fapi/v2/positionRisk, without what is no pair."""
    return [parse_position(row, pair) for row, pair in _of_pairs(payload, "symbol", pair_of)]


@wire("positionRisk")
def parse_position(payload: dict[str, Any], trading_pair: str) -> Position:
    """One entry of GET /fapi/v2/positionRisk."""
    return Position(
        trading_pair,
        PositionSide[payload["positionSide"]],
        amount(payload["unRealizedProfit"]),
        amount(payload["entryPrice"]),
        amount(payload["positionAmt"]),
        amount(payload["leverage"]),
    )


@wire("commissionRate")
def parse_fee_rates(payload: dict[str, Any]) -> FeeRates:
    """GET /fapi/v1/commissionRate."""
    return FeeRates(amount(payload["makerCommissionRate"]), amount(payload["takerCommissionRate"]))


@wire("fundingRate")
def parse_settled_rate(payload: list[dict[str, Any]]) -> Decimal | None:
    """GET /fapi/v1/fundingRate: the newest of the rates, if there is one."""
    return amount(payload[-1]["fundingRate"]) if exactly(list, payload) else None


@wire("income")
def parse_funding_payments(payload: list[dict[str, Any]], pair_of: PairOf) -> list[FundingPayment]:
    """GET /fapi/v1/income of the type FUNDING_FEE, without what is no pair."""
    return [parse_funding_payment(row, pair) for row, pair in _of_pairs(payload, "symbol", pair_of)]


@wire("income")
def parse_funding_payment(payload: dict[str, Any], trading_pair: str) -> FundingPayment:
    """One entry of GET /fapi/v1/income of the type FUNDING_FEE; tranId is unique for an account and income type."""
    time_s = whole(payload["time"]) / 1e3
    return FundingPayment(
        str(whole(payload["tranId"])), trading_pair, time_s, amount(payload["income"]), exactly(str, payload["asset"])
    )


@wire("ACCOUNT_UPDATE")
def parse_account_update(event: dict[str, Any], pair_of: PairOf) -> AccountUpdate:
    """An ACCOUNT_UPDATE of the user stream. It tells no available balance."""
    account = event["a"]
    positions = _of_pairs(account.get("P", []), "s", pair_of)
    return AccountUpdate(
        exactly(str, account["m"]),
        whole(event["T"]) / 1e3,
        [Balance(exactly(str, row["a"]), amount(row["wb"]), None) for row in exactly(list, account.get("B", []))],
        [parse_streamed_position(row, pair, amount(row["ep"])) for row, pair in positions],
    )


@wire("position")
def parse_streamed_position(row: dict[str, Any], trading_pair: str, entry_price: Decimal) -> Position:
    """A position as the user stream tells it: without its leverage (0 here)."""
    side = PositionSide[row["ps"]]
    return Position(trading_pair, side, amount(row["up"]), entry_price, amount(row["pa"]), Decimal(0))


@wire("ACCOUNT_CONFIG_UPDATE")
def parse_account_config_update(event: dict[str, Any]) -> AccountConfigUpdate:
    """An ACCOUNT_CONFIG_UPDATE of the user stream: a leverage, or the assets mode."""
    pair, account = event.get("ac"), event.get("ai")
    return AccountConfigUpdate(
        whole(event["T"]) / 1e3,
        None if pair is None else (exactly(str, pair["s"]), whole(pair["l"])),
        None if account is None else exactly(bool, account["j"]),
    )


@wire("listenKey")
def parse_listen_key(payload: dict[str, Any]) -> str:
    """POST /fapi/v1/listenKey."""
    return exactly(str, payload["listenKey"])


@wire("MARGIN_CALL")
def parse_margin_call(event: dict[str, Any], pair_of: PairOf) -> list[tuple[Position, Decimal, Decimal]]:
    """A MARGIN_CALL of the user stream: positions, without entry price, with mark price and maintenance margin."""
    return [
        (parse_streamed_position(row, pair, Decimal(0)), amount(row["mp"]), amount(row["mm"]))
        for row, pair in _of_pairs(event["p"], "s", pair_of)
    ]


# -- market data -------------------------------------------------------------------------------------------


def build_subscription(request_id: int, channels: Sequence[str]) -> str:
    """The request to push these streams on a connection."""
    return orjson.dumps({"method": "SUBSCRIBE", "params": channels, "id": request_id}).decode()


@wire("answer")
def parse_subscription_answer(answer: dict[str, Any]) -> tuple[Any, Any]:
    """The id of the request that it answers, and its result, or the VenueError that it is."""
    if "error" not in answer:
        return answer.get("id"), answer
    error = answer["error"]
    return answer.get("id"), parse_error(int(error["code"]), str(error["msg"]))


@wire("depth")
def parse_depth_snapshot(payload: dict[str, Any], received_ns: int = 0) -> DepthSnapshot:
    """GET /fapi/v1/depth; `T` is the transaction time."""
    return DepthSnapshot(
        whole(payload["lastUpdateId"]),
        exactly(list, payload["bids"]),
        exactly(list, payload["asks"]),
        whole(payload["T"]) * MS_NS,
        received_ns,
    )


@wire("depthUpdate")
def parse_depth_diff(event: dict[str, Any], received_ns: int = 0) -> DepthDiff:
    """A `<symbol>@depth` event; `T` is the transaction time."""
    return DepthDiff(
        whole(event["U"]),
        whole(event["u"]),
        whole(event["pu"]),
        exactly(list, event["b"]),
        exactly(list, event["a"]),
        whole(event["T"]) * MS_NS,
        received_ns,
    )


@wire("bookTicker")
def parse_book_ticker(event: dict[str, Any]) -> BookTicker:
    """A `<symbol>@bookTicker` event."""
    return BookTicker(
        whole(event["u"]),
        amount(event["b"]),
        amount(event["B"]),
        amount(event["a"]),
        amount(event["A"]),
    )


@wire("trade")
def parse_trade(event: dict[str, Any]) -> PublicTrade:
    """A `<symbol>@trade` event; `m`: the buyer was the maker, so the taker sold."""
    return PublicTrade(
        whole(event["t"]),
        amount(event["p"]),
        amount(event["q"]),
        TradeType.SELL if exactly(bool, event["m"]) else TradeType.BUY,
        whole(event["T"]) * MS_NS,
    )


@wire("premiumIndex")
def parse_premium_index(payload: dict[str, Any], trading_pair: str) -> FundingInfo:
    """GET /fapi/v1/premiumIndex of one symbol."""
    return FundingInfo(
        trading_pair,
        amount(payload["indexPrice"]),
        amount(payload["markPrice"]),
        whole(payload["nextFundingTime"]) // 1_000,
        amount(payload["lastFundingRate"]),
    )


@wire("markPriceUpdate")
def parse_mark_price(event: dict[str, Any], trading_pair: str) -> FundingInfo:
    """A `<symbol>@markPrice` event."""
    return FundingInfo(
        trading_pair, amount(event["i"]), amount(event["p"]), whole(event["T"]) // 1_000, amount(event["r"])
    )


# -- errors ------------------------------------------------------------------------------------------------


def parse_error(code: int | None, message: str, http_status: int | None = None) -> VenueError:
    """The error for a code of the venue, its text and the HTTP status where there was one."""
    kind: type[VenueError] | None = constants.ERRORS.get(code) if code is not None else None
    if kind is None and http_status is not None:
        kind = OutcomeUnknownError if http_status >= 500 else constants.HTTP_ERRORS.get(http_status)
    if kind is None and code is not None:
        kind = next((kind for first, last, kind in constants.ERROR_RANGES if first <= code <= last), None)
    hint = constants.ERROR_HINTS.get(code) if code is not None else None
    return (kind or VenueError)(f"{message}: {hint}" if hint else message, code=code, http_status=http_status)


def parse_error_body(http_status: int, body: bytes) -> VenueError:
    """The error for an answer that is not 2xx: `{"code", "msg"}`, or whatever a proxy put in its place."""
    code, message = None, f"HTTP {http_status}"
    try:
        payload = orjson.loads(body)
        code, message = int(payload["code"]), str(payload["msg"])
    except (ValueError, KeyError, TypeError):
        pass
    return parse_error(code, message, http_status)


@wire("answer")
def parse_ws_answer(data: str | bytes) -> StreamAnswer:
    """An answer of the WebSocket API, with its `rateLimits`."""
    answer = exactly(dict, orjson.loads(data))
    result = answer.get("result")
    used = {
        limit_id: whole(limit["count"])
        for limit in answer.get("rateLimits", ())
        if (limit_id := constants.USED_COUNTERS.get((limit["rateLimitType"], limit["intervalNum"], limit["interval"])))
    }
    return StreamAnswer(answer.get("id"), parse_ws_error(answer) if result is None else result, used)


def parse_ws_error(answer: dict[str, Any]) -> VenueError:
    """The error of a WebSocket-API answer: `{"status", "error": {"code", "msg", "data": {"serverTime", "retryAfter"}}}`
    (ms since 1970). One that cannot be read leaves the outcome unknown."""
    try:
        error = answer["error"]
        parsed = parse_error(int(error["code"]), str(error["msg"]), int(answer["status"]))
        if isinstance(parsed, RateLimitedError) and "data" in error:
            parsed.retry_after = max(0, int(error["data"]["retryAfter"]) - int(error["data"]["serverTime"])) / 1e3
    except (KeyError, TypeError, ValueError):
        return OutcomeUnknownError("the WebSocket API gave neither a result nor a readable error")
    return parsed
