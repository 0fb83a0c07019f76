"""The further keywords of buy() and sell(), checked against what a connector declares before anything is tracked."""

from __future__ import annotations

import difflib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qtxconn.core.types import OrderType
from qtxconn.errors import OrderValidationError

if TYPE_CHECKING:
    from qtxconn.core.connector_orders import ConnectorOrders


def check_order_options(connector: ConnectorOrders, order_type: OrderType, options: dict[str, Any]) -> None:
    """Raises OrderValidationError for an option that is unknown, has no such value, or contradicts another.

    `time_in_force`: one of the connector's `times_in_force`, of LIMIT orders. `good_till_date`: seconds since 1970,
    with GTD and only with it. `reduce_only`: True or False. Of conditional orders: `trigger_price` in quote per base
    (of a trailing stop the one from which it follows; without, at once), `trigger_source`: which price it watches, one
    of the connector's `trigger_sources`, and `callback_rate`, in percent, of a trailing stop.
    """
    _check_trigger(connector, order_type, options)
    known = connector.order_options
    if known is None:
        return
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there is {', '.join(known) or 'none'}"
            raise OrderValidationError(f"{connector.name} knows no order option {name}{hint}")
    time_in_force = options.get("time_in_force")
    if time_in_force is not None:
        _check_time_in_force(connector, order_type, time_in_force)
    good_till = options.get("good_till_date")
    if (time_in_force == "GTD") != (good_till is not None):
        raise OrderValidationError("time_in_force='GTD' and good_till_date (seconds since 1970) go together")
    if good_till is not None:
        ahead_s = float(good_till) - connector.current_timestamp if _is_number(good_till) else float("nan")
        if not connector.good_till_ahead_min_s <= ahead_s < 1e10:  # NaN fails too
            raise OrderValidationError(
                f"good_till_date is {good_till!r}; it must be in seconds since 1970 and at least "
                f"{connector.good_till_ahead_min_s:g} s from now"
            )
    if not isinstance(options.get("reduce_only", False), bool):
        raise OrderValidationError(f"reduce_only is {options['reduce_only']!r}; it must be True or False")


def _check_time_in_force(connector: ConnectorOrders, order_type: OrderType, time_in_force: Any) -> None:
    if time_in_force not in connector.times_in_force:
        valid = ", ".join(connector.times_in_force)
        hint = "; for post-only use OrderType.LIMIT_MAKER" if time_in_force in ("GTX", "PO") else ""
        raise OrderValidationError(f"time_in_force is {time_in_force!r}; it must be one of {valid}{hint}")
    if (order_type is OrderType.LIMIT_MAKER or not order_type.is_limit_type()) and time_in_force != "GTC":
        raise OrderValidationError(f"time_in_force {time_in_force} is for LIMIT orders, not {order_type.name}")


def _check_trigger(connector: ConnectorOrders, order_type: OrderType, options: dict[str, Any]) -> None:
    name, is_trailing = order_type.name, order_type is OrderType.TRAILING_STOP_MARKET
    if not order_type.is_conditional():
        for option in ("trigger_price", "trigger_source", "callback_rate"):
            if option in options:
                raise OrderValidationError(f"{option} is for conditional orders (STOP_MARKET, ...), not {name}")
        return
    if not is_trailing and options.get("trigger_price") is None:
        raise OrderValidationError(f"a {name} order needs a trigger_price (quote per base)")
    source = options.get("trigger_source")
    if source is not None and source not in connector.trigger_sources:
        raise OrderValidationError(
            f"trigger_source is {source!r}; it must be one of {', '.join(connector.trigger_sources)}"
        )
    if is_trailing is not ("callback_rate" in options):
        raise OrderValidationError(
            f"a {name} order {'needs a' if is_trailing else 'has no'} callback_rate (percent that the price comes back)"
        )
    if is_trailing:
        _check_percent(options["callback_rate"])


def _check_percent(value: Any) -> None:
    try:
        is_possible = not isinstance(value, bool | float) and 0 < Decimal(value) < 100
    except (ArithmeticError, TypeError, ValueError):
        is_possible = False
    if not is_possible:
        raise OrderValidationError(f"callback_rate is {value!r}; it must be a Decimal, int or text above 0, in percent")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
