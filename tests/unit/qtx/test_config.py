"""The hybrid's settings: defaults, ranges, one clear line for each mistake, no secret anywhere."""

from __future__ import annotations

from decimal import Decimal
from ipaddress import ip_address

import pytest

from qtxconn.errors import ConfigurationError
from qtxconn.qtx.config import QtxConnectorConfig

GOOD = {
    "exchange_backend": "binance",
    "qtx_perpetual_host": "172.30.2.221",
    "qtx_perpetual_port": 8080,
    "exchange_api_key": "canary-key",
    "exchange_api_secret": "canary-secret",
    "trading_pairs": ["BTC-USDT", "ETH-USDT"],
}


def test_documented_keys():
    config = QtxConnectorConfig.parse(**GOOD, qtx_place_order_shared_memory_name="/qtx_orders", trading_required=True)
    assert config.exchange_backend == "binance"
    assert config.qtx_place_order_shared_memory_name == "/qtx_orders"
    assert config.exchange_api_secret.get_secret_value() == "canary-secret"
    assert config.market_order_slippage == Decimal("0.005")


def test_friendly_forms():
    config = QtxConnectorConfig.parse(
        **{**GOOD, "exchange_backend": " Binance ", "qtx_perpetual_host": ip_address("10.0.0.1")},
        qtx_place_order_shared_memory_name="orders",
        exchange_passphrase=None,
    )
    assert config.exchange_backend == "binance"
    assert config.qtx_perpetual_host == "10.0.0.1"
    assert config.qtx_place_order_shared_memory_name == "/orders"


def test_keys_are_not_needed_for_market_data_alone():
    config = QtxConnectorConfig.parse(trading_pairs=["BTC-USDT"], trading_required=False)
    assert not config.trading_required


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"exchange_backend": "binanse"}, "exchange_backend: is 'binanse'; it must be one of binance; did you mean"),
        ({"qtx_perpetual_port": 0}, "qtx_perpetual_port: .*(allowed: 1 to 65535)"),
        ({"qtx_perpetual_port": 65536}, "qtx_perpetual_port: .*(allowed: 1 to 65535)"),
        ({"qtx_perpetual_port": "eighty"}, "qtx_perpetual_port: .*integer.*(allowed: 1 to 65535)"),
        ({"qtx_perpetual_host": ""}, "qtx_perpetual_host: is ''; it must be an IPv4 address or a host name"),
        ({"qtx_perpetual_host": "256.0.0.1"}, "qtx_perpetual_host: .*four numbers of 0 to 255"),
        ({"qtx_perpetual_host": "1.2.3"}, "qtx_perpetual_host: .*four numbers of 0 to 255"),
        ({"qtx_perpetual_host": "a b"}, "qtx_perpetual_host: "),
        ({"qtx_place_order_shared_memory_name": "/a/b"}, "qtx_place_order_shared_memory_name: is '/a/b'; it must be"),
        ({"exchange_api_key": None}, "exchange_api_key: is missing; trading needs it"),
        ({"exchange_api_secret": ""}, "exchange_api_secret: is missing; trading needs it"),
        ({"trading_pairs": None}, r"trading_pairs: is missing; for example \['BTC-USDT'\]"),
        ({"trading_pairs": []}, r"trading_pairs: is missing; for example \['BTC-USDT'\]"),
        ({"trading_pairs": ["BTCUSDT"]}, "trading_pairs: 'BTCUSDT' is no trading pair"),
        ({"trading_pairs": ["BTC-USDT"] * 2}, "trading_pairs: names BTC-USDT more than once"),
        ({"driver": "turbo"}, "driver: .*'asyncio' or 'thread'"),
        ({"market_order_slippage": "0.5"}, "market_order_slippage: .*(allowed: 0 to 0.2)"),
        ({"answer_timeout_s": 0}, "answer_timeout_s: .*(allowed: above 0 up to 300)"),
        ({"qtx_perpetual_hots": "x"}, "unknown setting 'qtx_perpetual_hots'; did you mean 'qtx_perpetual_host'"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(change, line):
    with pytest.raises(ConfigurationError, match=line) as caught:
        QtxConnectorConfig.parse(**{**GOOD, **change})
    assert "\n" not in str(caught.value)
    assert "canary" not in str(caught.value)


def test_secrets_are_never_shown():
    config = QtxConnectorConfig.parse(**GOOD)
    assert "canary" not in f"{config!r} {config} {config.model_dump()} {config.model_dump_json()}"
