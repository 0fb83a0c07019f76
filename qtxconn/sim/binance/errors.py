"""Binance's error vocabulary: the dialect's API errors, and the venue's reject reasons in its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtxconn.sim.model import Reject, RejectReason

if TYPE_CHECKING:
    from qtxconn.sim.model import Instrument


class ApiError(Exception):
    """An answer `{"code": code, "msg": msg}` with HTTP status `status`."""

    def __init__(self, code: int, msg: str, *, status: int = 400, retry_after_s: int | None = None) -> None:
        super().__init__(f"{code} {msg}")
        self.code = code
        self.msg = msg
        self.status = status
        self.retry_after_s = retry_after_s

    def to_wire(self) -> dict[str, int | str]:
        return {"code": self.code, "msg": self.msg}


def mandatory(name: str) -> ApiError:
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def not_required(name: str) -> ApiError:
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def illegal_characters(name: str, legal: str) -> ApiError:
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def bad_precision() -> ApiError:
    return ApiError(-1111, "Precision is over the maximum defined for this asset.")


def bad_api_key() -> ApiError:
    return ApiError(-2015, "Invalid API-key, IP, or permissions for action.", status=401)


_MAKER_ONLY = (
    "Due to the order could not be executed as maker, the Post Only order will be rejected. "
    "The order will not be recorded in the order history"
)
_NO_PRICE_TO_MEET = "The counterparty's best price does not meet the PERCENT_PRICE filter limit."
_FILL_OR_KILL = (
    "Due to the order could not be filled immediately, the FOK order has been rejected. "
    "The order will not be recorded in the order history"
)

REJECTS: dict[RejectReason, tuple[int, str]] = {
    RejectReason.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    RejectReason.PRICE_MISSING: (
        -1102,
        "Mandatory parameter 'price' was not sent, was empty/null, or malformed.",
    ),
    RejectReason.PRICE_TICK: (-4014, "Price not increased by tick size."),
    RejectReason.PRICE_NOT_POSITIVE: (-4001, "Price less than 0."),
    RejectReason.PERCENT_PRICE: (-4131, _NO_PRICE_TO_MEET),
    RejectReason.QTY_STEP: (-4023, "Qty not increased by step size."),
    RejectReason.QTY_TOO_SMALL: (-4004, "Quantity less than min quantity."),
    RejectReason.QTY_TOO_LARGE: (-4005, "Quantity greater than max quantity."),
    RejectReason.NOTIONAL_TOO_SMALL: (
        -4164,
        "Order's notional must be no smaller than {min_notional} (unless you choose reduce only).",
    ),
    RejectReason.INSUFFICIENT_MARGIN: (-2019, "Margin is insufficient."),
    RejectReason.POST_ONLY_WOULD_CROSS: (-5022, _MAKER_ONLY),
    RejectReason.FOK_NOT_FILLABLE: (-5021, _FILL_OR_KILL),
    RejectReason.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    RejectReason.NO_LIQUIDITY: (-4131, _NO_PRICE_TO_MEET),
    RejectReason.DUPLICATE_CLIENT_ID: (-4116, "ClientOrderId is duplicated."),
    RejectReason.CLIENT_ID_INVALID: (-4015, "Client order id length should be less than 36 chars"),
    RejectReason.TOO_MANY_ORDERS: (-2025, "Reach max open order limit."),
    RejectReason.UNKNOWN_ORDER: (-2011, "Unknown order sent."),
    RejectReason.NO_SUCH_ORDER: (-2013, "Order does not exist."),
    RejectReason.AMEND_NO_CHANGE: (-5027, "No need to modify the order."),
    RejectReason.INVALID_ORDER: (-1014, "Unsupported order combination."),
    RejectReason.LEVERAGE_RANGE: (-4028, "Leverage is not valid"),
    RejectReason.POSITION_TOO_LARGE: (-2027, "Exceeded the maximum allowable position at current leverage."),
    RejectReason.LEVERAGE_TOO_HIGH: (-2028, "Leverage is smaller than permitted: insufficient margin balance."),
    RejectReason.POSITION_SIDE: (-4061, "Order's position side does not match user's setting."),
    RejectReason.REDUCE_ONLY_IN_HEDGE_MODE: (-1106, "Parameter 'reduceonly' sent when not required."),
    RejectReason.NO_CHANGE: (-4059, "No need to change position side."),
    RejectReason.OPEN_ORDERS_EXIST: (-4067, "Position side cannot be changed if there exists open orders."),
    RejectReason.OPEN_POSITION_EXISTS: (-4068, "Position side cannot be changed if there exists position."),
    RejectReason.NOT_ISOLATED: (-4053, "Auto add margin only support for isolated position."),
    RejectReason.ISOLATED_MARGIN_TOO_SMALL: (-4051, "Isolated balance insufficient."),
    RejectReason.GOOD_TILL_DATE: (
        -5040,
        "The goodTillDate timestamp must be greater than the current time plus 600 seconds and smaller than "
        "253402300799000.",
    ),
    RejectReason.WOULD_TRIGGER: (-2021, "Order would immediately trigger."),
    RejectReason.CALLBACK_RATE: (-2007, "Invalid callBack rate."),
    RejectReason.CLOSE_POSITION_EXISTS: (
        -4130,
        "An open stop or take profit order with GTE and closePosition in the direction is existing.",
    ),
}


def reject_to_error(reject: Reject, instrument: Instrument | None = None) -> ApiError:
    """The venue's refusal in Binance's code and text; `instrument` fills in the figures of its filters."""
    code, text = REJECTS[reject.reason]
    if instrument is not None:
        text = text.replace("{min_notional}", f"{instrument.min_notional.normalize():f}")
    return ApiError(code, text)
