"""The account calls of Binance USD-M: settings, margin and records, over the venue's facade.

Every function takes (venue, account, params) and raises ApiError with Binance's code and text; nothing has changed
at the venue then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtxconn.sim.binance import codec
from qtxconn.sim.binance.account_view import AccountView, leverage_bracket
from qtxconn.sim.binance.errors import ApiError, mandatory, reject_to_error
from qtxconn.sim.binance.params import (
    Params,
    parse_amount,
    parse_bool,
    parse_instrument,
    parse_int,
    parse_limit,
    parse_position_side,
    parse_span,
    parse_symbols,
    required,
)
from qtxconn.sim.model import Reject, RejectReason

if TYPE_CHECKING:
    from qtxconn.sim.account import Account
    from qtxconn.sim.venue import Venue

INCOME_DEFAULT, INCOME_MAX = 100, 1000
MARGIN_CHANGES_DEFAULT = 500
_DONE = {"code": 200, "msg": "success"}
# What marginType and positionMargin say where positionSide/dual has other words for the same reason.
_MARGIN_TYPE_ERRORS = {
    RejectReason.NO_CHANGE: ApiError(-4046, "No need to change margin type."),
    RejectReason.OPEN_ORDERS_EXIST: ApiError(-4047, "Margin type cannot be changed if there exists open orders."),
    RejectReason.OPEN_POSITION_EXISTS: ApiError(-4048, "Margin type cannot be changed if there exists position."),
}
_POSITION_MARGIN_ERRORS = {RejectReason.INSUFFICIENT_MARGIN: ApiError(-4050, "Cross balance insufficient.")}


def account(version: int) -> Callable[[Venue, Account, Params], dict[str, Any]]:
    """GET /fapi/v{version}/account."""
    return lambda venue, owner, _: AccountView(venue, owner).account(version, venue.clock.now_ms())


def balance(venue: Venue, owner: Account, _: Params) -> list[dict[str, Any]]:
    """GET /fapi/v2|v3/balance."""
    return AccountView(venue, owner).balances(venue.clock.now_ms())


def position_risk(version: int) -> Callable[[Venue, Account, Params], list[dict[str, Any]]]:
    """GET /fapi/v{version}/positionRisk."""

    def run(venue: Venue, owner: Account, params: Params) -> list[dict[str, Any]]:
        symbol = parse_instrument(venue, params).symbol if params.get("symbol") else None
        return AccountView(venue, owner).position_risk(version, symbol)

    return run


def account_config(venue: Venue, owner: Account, _: Params) -> dict[str, Any]:
    """GET /fapi/v1/accountConfig."""
    return AccountView(venue, owner).config()


def symbol_config(venue: Venue, owner: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/symbolConfig."""
    view = AccountView(venue, owner)
    return [view.symbol_config(symbol) for symbol in parse_symbols(venue, params)]


def adl_quantile(venue: Venue, owner: Account, params: Params) -> Any:
    """GET /fapi/v1/adlQuantile."""
    view = AccountView(venue, owner)
    values = [view.adl_quantile(venue.instruments[symbol]) for symbol in parse_symbols(venue, params)]
    return values[0] if params.get("symbol") else values


def set_leverage(venue: Venue, owner: Account, params: Params) -> dict[str, Any]:
    """POST /fapi/v1/leverage."""
    instrument = parse_instrument(venue, params)
    leverage = parse_int(params, "leverage")
    if leverage is None:
        raise mandatory("leverage")
    try:
        venue.set_leverage(owner, instrument.symbol, leverage)
    except Reject as reject:
        raise reject_to_error(reject, instrument) from None
    cap = codec.plain_text(instrument.max_notional(leverage))
    return {"symbol": instrument.symbol, "leverage": leverage, "maxNotionalValue": cap}


def set_margin_type(venue: Venue, owner: Account, params: Params) -> dict[str, Any]:
    """POST /fapi/v1/marginType."""
    instrument = parse_instrument(venue, params)
    margin_type = required(params, "marginType")
    if margin_type not in ("CROSSED", "ISOLATED"):
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    try:
        venue.set_isolated(owner, instrument.symbol, margin_type == "ISOLATED")
    except Reject as reject:
        raise _MARGIN_TYPE_ERRORS.get(reject.reason) or reject_to_error(reject, instrument) from None
    return _DONE


def move_position_margin(venue: Venue, owner: Account, params: Params) -> dict[str, Any]:
    """POST /fapi/v1/positionMargin: type 1 adds, 2 takes out."""
    instrument = parse_instrument(venue, params)
    kind = parse_int(params, "type")
    if kind not in (1, 2):
        raise mandatory("type")
    amount = parse_amount(params, "amount")
    signed = amount if kind == 1 else -amount
    try:
        venue.move_margin(owner, instrument.symbol, parse_position_side(params), signed)
    except Reject as reject:
        raise _POSITION_MARGIN_ERRORS.get(reject.reason) or reject_to_error(reject, instrument) from None
    return {"amount": float(amount), "code": 200, "msg": "Successfully modify position margin.", "type": kind}


def margin_changes(venue: Venue, owner: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/positionMargin/history, oldest first."""
    instrument = parse_instrument(venue, params)
    kind = parse_int(params, "type")
    first_ms, last_ms = parse_span(params, venue.clock.now_ms())
    found = [
        {
            "symbol": change.symbol,
            "type": 1 if change.amount > 0 else 2,
            "deltaType": "USER_ADJUST",
            "amount": codec.plain_text(abs(change.amount)),
            "asset": instrument.quote,
            "time": change.time_ms,
            "positionSide": change.position_side,
        }
        for change in owner.margin_changes
        if change.symbol == instrument.symbol
        and first_ms <= change.time_ms <= last_ms
        and kind in (None, 1 if change.amount > 0 else 2)
    ]
    return found[-parse_limit(params, MARGIN_CHANGES_DEFAULT, MARGIN_CHANGES_DEFAULT) :]


def position_mode(_: Venue, owner: Account, params: Params) -> dict[str, Any]:
    """GET /fapi/v1/positionSide/dual."""
    return {"dualSidePosition": owner.hedge_mode}


def set_position_mode(venue: Venue, owner: Account, params: Params) -> dict[str, Any]:
    """POST /fapi/v1/positionSide/dual."""
    required(params, "dualSidePosition")
    try:
        venue.set_position_mode(owner, parse_bool(params, "dualSidePosition"))
    except Reject as reject:
        raise reject_to_error(reject) from None
    return _DONE


def assets_mode(_: Venue, owner: Account, params: Params) -> dict[str, Any]:
    """GET /fapi/v1/multiAssetsMargin."""
    return {"multiAssetsMargin": False}


def set_assets_mode(_: Venue, owner: Account, params: Params) -> dict[str, Any]:
    """POST /fapi/v1/multiAssetsMargin: the venue has one quote asset, so single-asset mode is all there is."""
    required(params, "multiAssetsMargin")
    if parse_bool(params, "multiAssetsMargin"):
        raise ApiError(-4084, "Method is not allowed currently. Upcoming soon.")
    raise ApiError(-4171, "No need to change multi-assets mode.")


def fee_burn(_: Venue, owner: Account, params: Params) -> dict[str, Any]:
    """GET /fapi/v1/feeBurn: fees are paid in the quote asset."""
    return {"feeBurn": False}


def commission_rate(venue: Venue, _: Account, params: Params) -> dict[str, Any]:
    """GET /fapi/v1/commissionRate."""
    instrument = parse_instrument(venue, params)
    return {
        "symbol": instrument.symbol,
        "makerCommissionRate": codec.plain_text(instrument.maker_fee),
        "takerCommissionRate": codec.plain_text(instrument.taker_fee),
    }


def leverage_brackets(venue: Venue, _: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/leverageBracket."""
    return [leverage_bracket(venue.instruments[symbol]) for symbol in parse_symbols(venue, params)]


def api_trading_status(venue: Venue, _: Account, params: Params) -> dict[str, Any]:
    """GET /fapi/v1/apiTradingStatus: no indicator of the quantitative rules is ever triggered here."""
    return {"indicators": {}, "updateTime": venue.clock.now_ms()}


def income(venue: Venue, owner: Account, params: Params) -> list[dict[str, Any]]:
    """GET /fapi/v1/income, oldest first; at most `limit` (100 unless told, 1000 at most).

    From startTime on if it is given, else the latest; `page` counts from 1.
    """
    symbol = parse_instrument(venue, params).symbol if params.get("symbol") else None
    kind = params.get("incomeType") or None
    limit = parse_limit(params, INCOME_DEFAULT, INCOME_MAX)
    first_ms, last_ms = parse_span(params, venue.clock.now_ms())
    found = [
        record
        for record in owner.income
        if symbol in (None, record.symbol) and kind in (None, record.type) and first_ms <= record.time_ms <= last_ms
    ]
    page = max(1, parse_int(params, "page") or 1)
    if params.get("startTime"):
        chosen = found[(page - 1) * limit : page * limit]
    else:
        end = len(found) - (page - 1) * limit
        chosen = found[max(0, end - limit) : max(0, end)]
    return [codec.income(record) for record in chosen]
