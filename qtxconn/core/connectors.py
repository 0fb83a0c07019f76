"""The connector bases that exchanges subclass: thin Python classes over the compiled ones.

Compiled classes cannot be patched and cannot check their subclasses; these can. Cython code cimports the compiled
ones, and every connector is an instance of both.
"""

from __future__ import annotations

import inspect
from typing import Any

from qtxconn.core import connector_base, perpetual_derivative_base, spot_exchange_base

_COROUTINE_HOOKS = (
    "_start_network",
    "_stop_network",
    "_request_trading_rules",
    "_start_user_stream",
    "_stop_user_stream",
    "_update_balances",
    "_update_positions",
    "_update_account",
    "_start_market_data",
    "_stop_market_data",
    "_place_order",
    "_place_cancel",
    "_place_amend",
    "_place_order_batch",
    "_place_cancel_batch",
    "_place_cancel_all",
    "_place_countdown_cancel",
    "_request_open_orders",
    "_request_order_status",
    "_all_trade_updates_for_order",
    "_trade_updates_since",
    "_request_position_mode",
    "_set_trading_pair_leverage",
    "_place_position_mode",
    "_place_margin_type",
    "_request_funding_payments",
    "_request_settled_funding_rate",
)


class ConnectorBase(connector_base.ConnectorBase):
    """Base of every connector. A hook that is not a coroutine, or a class without a name, is refused at once."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for hook in _COROUTINE_HOOKS:
            defined = cls.__dict__.get(hook)
            if defined is not None and not inspect.iscoroutinefunction(defined):
                raise TypeError(f"{cls.__name__}.{hook} must be a coroutine: write 'async def {hook}(...)'")
        if not isinstance(cls.name, str) or not cls.name:
            raise TypeError(f"{cls.__name__}.name must be a non-empty text such as 'binance_perpetual'")


class SpotExchangeBase(spot_exchange_base.SpotExchangeBase, ConnectorBase):
    """Base of spot exchanges."""


class PerpetualDerivativeBase(perpetual_derivative_base.PerpetualDerivativeBase, ConnectorBase):
    """Base of perpetual-futures exchanges."""
