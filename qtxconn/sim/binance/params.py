"""Text parameters of Binance requests as values. Everything raises ApiError with Binance's code and text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from qtxconn.sim.binance import auth, codec
from qtxconn.sim.binance.errors import ApiError, bad_precision, illegal_characters, mandatory, reject_to_error
from qtxconn.sim.model import Instrument, PositionSide, Reject, RejectReason, SelfTradePrevention, Side

if TYPE_CHECKING:
    from qtxconn.sim.venue import Venue

Params = Mapping[str, str]
_Word = TypeVar("_Word", bound=StrEnum)

# The legal ranges, as Binance prints them in error -1100.
DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
CLIENT_ID_RANGE = r"^[\.A-Z\:/a-z0-9_-]{1,36}$"
_DECIMAL = re.compile(DECIMAL_RANGE)
_CLIENT_ID = re.compile(CLIENT_ID_RANGE)
CLIENT_ID_MAX = 36
GOOD_TILL_MIN_MS = 600_000
GOOD_TILL_END_MS = 253_402_300_799_000
SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}


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


def parse_symbols(venue: Venue, params: Params) -> list[str]:
    """The one symbol asked for, or all of them."""
    return [parse_instrument(venue, params).symbol] if params.get("symbol") else list(venue.instruments)


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


def parse_word(params: Params, name: str, words: type[_Word], default: _Word, error: ApiError | None = None) -> _Word:
    """One of an enumeration's words, `default` when it was not sent; else `error`, or -1102."""
    text = params.get(name) or default
    try:
        return words(text)
    except ValueError:
        raise error or mandatory(name) from None


def parse_position_side(params: Params) -> PositionSide:
    """BOTH when it was not sent."""
    error = ApiError(-1116, "Invalid positionSide.")
    return parse_word(params, "positionSide", PositionSide, PositionSide.BOTH, error)


def parse_self_trade(params: Params) -> SelfTradePrevention:
    """EXPIRE_MAKER when it was not sent, as at Binance."""
    error = ApiError(-5039, "Invalid self trade prevention mode.")
    default = SelfTradePrevention.EXPIRE_MAKER
    return parse_word(params, "selfTradePreventionMode", SelfTradePrevention, default, error)


def parse_good_till(params: Params, now_ms: int) -> int:
    """goodTillDate of a GTD order, in ms, cut to whole seconds. Less than 600 s from now: -5040."""
    good_till_ms = parse_int(params, "goodTillDate")
    if good_till_ms is None:
        raise mandatory("goodTillDate")
    if not now_ms + GOOD_TILL_MIN_MS <= good_till_ms < GOOD_TILL_END_MS:
        raise reject_to_error(Reject(RejectReason.GOOD_TILL_DATE))
    return good_till_ms // 1000 * 1000


def parse_amount(params: Params, name: str, decimals: int = 8) -> Decimal:
    """A decimal above 0."""
    amount = parse_decimal(params, name, decimals)
    if amount <= 0:
        raise mandatory(name)
    return amount


def parse_limit(params: Params, default: int, most: int) -> int:
    """`limit`, from 1 to `most`."""
    limit = parse_int(params, "limit")
    return default if limit is None else max(1, min(limit, most))


def parse_span(params: Params, now_ms: int) -> tuple[int, int]:
    """startTime and endTime, ms; open ends are 0 and now."""
    start_ms, end_ms = parse_int(params, "startTime"), parse_int(params, "endTime")
    return start_ms or 0, now_ms if end_ms is None else end_ms


def parse_list(params: Params, name: str, most: int) -> list[Any]:
    """A JSON list of 1 to `most` elements."""
    try:
        values = orjson.loads(required(params, name))
    except orjson.JSONDecodeError:
        raise mandatory(name) from None
    if not isinstance(values, list) or not values:
        raise mandatory(name)
    if len(values) > most:
        raise ApiError(-4082, "Invalid number of batch place orders.")
    return values


def parse_batch(params: Params, name: str, most: int) -> list[dict[str, str]]:
    """The parameters of each request of a batch."""
    values = parse_list(params, name, most)
    if not all(isinstance(value, dict) for value in values):
        raise mandatory(name)
    return [{key: auth.json_text(text) for key, text in value.items()} for value in values]


def parse_order_ids(params: Params) -> tuple[int | None, str | None]:
    order_id, client_order_id = parse_int(params, "orderId"), params.get("origClientOrderId") or None
    if order_id is None and client_order_id is None:
        raise mandatory("orderId")
    return order_id, client_order_id


def parse_price(instrument: Instrument, params: Params, name: str = "price") -> Decimal:
    price = parse_decimal(params, name, codec.price_precision(instrument))
    if price <= 0:
        raise ApiError(-4001, "Price less than 0.")
    return price


def parse_quantity(instrument: Instrument, params: Params) -> Decimal:
    quantity = parse_decimal(params, "quantity", codec.decimals(instrument.lot_size))
    if quantity <= 0:
        raise ApiError(-4003, "Quantity less than or equal to zero.")
    return quantity
