"""The further keywords of buy() and sell(), checked against what a connector declares before anything is tracked."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from qtxconn.core.types import OrderType
from qtxconn.errors import OrderValidationError

if TYPE_CHECKING:
    from qtxconn.core.connector_orders import ConnectorOrders


def check_order_options(connector: ConnectorOrders, order_type: OrderType, options: dict[str, Any]) -> None:
    """Raises OrderValidationError for an option that is unknown, has no such value, or contradicts another.

    `time_in_force`: one of the connector's `times_in_force`, of LIMIT orders. `good_till_date`: seconds since 1970,
    with GTD and only with it. `reduce_only`: True or False.
    """
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
    if order_type is not OrderType.LIMIT and time_in_force != "GTC":
        raise OrderValidationError(f"time_in_force {time_in_force} is for LIMIT orders, not {order_type.name}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
