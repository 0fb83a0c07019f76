"""The registry of exchanges."""

from __future__ import annotations

import pytest

from qtxconn.errors import ConfigurationError
from qtxconn.exchanges import EXCHANGES, exchange_class


@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_every_entry_names_a_class(name: str) -> None:
    assert exchange_class(name).__name__ == EXCHANGES[name][1]
    assert exchange_class(f" {name.upper()} ") is exchange_class(name)


def test_an_unknown_name_gets_the_valid_ones_and_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown exchange 'binanse'; there are: .*binance.*mean 'binance'"):
        exchange_class("binanse")
    with pytest.raises(ConfigurationError) as far:
        exchange_class("zzz")
    assert "mean" not in str(far.value)
