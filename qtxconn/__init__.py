"""qtxconn: a compiled exchange-connector core. Public names; exchanges and extras load on first use."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public name -> module that defines it. Loaded on first access, so that `import qtxconn` stays cheap.
_EXPORTS = {
    "AccountEvent": "qtxconn.core.types",
    "ClientOrderTracker": "qtxconn.core.client_order_tracker",
    "ConnectorBase": "qtxconn.core.connectors",
    "InFlightOrder": "qtxconn.core.in_flight_order",
    "MarketEvent": "qtxconn.core.types",
    "OrderBook": "qtxconn.core.order_book",
    "OrderRequest": "qtxconn.core.types",
    "OrderState": "qtxconn.core.types",
    "OrderType": "qtxconn.core.types",
    "OrderUpdate": "qtxconn.core.types",
    "PerpetualDerivativeBase": "qtxconn.core.connectors",
    "PositionAction": "qtxconn.core.types",
    "PositionMode": "qtxconn.core.types",
    "PositionSide": "qtxconn.core.types",
    "PriceType": "qtxconn.core.types",
    "QtxPerpetualDerivative": "qtxconn.qtx.hybrid",
    "SpotExchangeBase": "qtxconn.core.connectors",
    "TradeType": "qtxconn.core.types",
    "TradeUpdate": "qtxconn.core.types",
    "TradingRule": "qtxconn.core.trading_rule",
}

__all__ = ["__version__", "get_include", *sorted(_EXPORTS)]


def get_include() -> str:
    """Directory to pass to the compiler (`-I`) for `#include <qtxconn/...>`."""
    from pathlib import Path

    package = Path(__file__).parent
    installed = package / "include"
    return str(installed if installed.is_dir() else package.parent / "include")


def __getattr__(name: str) -> Any:
    try:
        module = _EXPORTS[name]
    except KeyError:
        raise AttributeError(f"module 'qtxconn' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
