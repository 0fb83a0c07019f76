"""Exchange connectors, one package a venue; the classes load on first use."""

from __future__ import annotations

import importlib
from difflib import get_close_matches

from qtxconn.errors import ConfigurationError

EXCHANGES: dict[str, tuple[str, str]] = {
    "binance": ("qtxconn.exchanges.binance.perpetual", "BinancePerpetual"),
}
"""Name of an exchange -> (module, class) of its perpetual connector."""


def exchange_class(name: str) -> type:
    """The connector class of an exchange. ConfigurationError names the valid ones and the nearest."""
    key = name.strip().lower()
    if key not in EXCHANGES:
        near = get_close_matches(key, EXCHANGES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"unknown exchange {name!r}; there are: {', '.join(sorted(EXCHANGES))}.{hint}")
    module, class_name = EXCHANGES[key]
    return getattr(importlib.import_module(module), class_name)
