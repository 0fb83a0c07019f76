"""Symbol names: known examples for every venue, round trips, errors that help."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.errors import ConfigurationError
from qtxconn.qtx.symbols import (
    VENUES,
    exchange_symbol,
    qtx_symbol,
    trading_pair_of_exchange_symbol,
    trading_pair_of_qtx_symbol,
)

KNOWN = [
    ("binance", "BTC-USDT", "BTCUSDT", "binance-futures:btcusdt"),
    ("okx", "BTC-USDT", "BTC-USDT-SWAP", "okx-futures:btcusdt"),
    ("bybit", "1000PEPE-USDT", "1000PEPEUSDT", "bybit-futures:1000pepeusdt"),
    ("bitget", "ETH-USDC", "ETHUSDC", "bitget-futures:ethusdc"),
    ("kucoin", "BTC-USDT", "XBTUSDTM", "kucoin-futures:XBTUSDTM"),
    ("kucoin", "ETH-USDT", "ETHUSDTM", "kucoin-futures:ETHUSDTM"),
    ("gate_io", "BTC-USDT", "BTC_USDT", "gate-io-futures:btcusdt"),
]


@pytest.mark.parametrize(("venue", "pair", "exchange", "qtx"), KNOWN)
def test_known_names(venue, pair, exchange, qtx):
    assert exchange_symbol(venue, pair) == exchange
    assert trading_pair_of_exchange_symbol(venue, exchange) == pair
    assert qtx_symbol(venue, pair) == qtx
    assert trading_pair_of_qtx_symbol(qtx) == (venue, pair)


def test_a_venue_may_be_named_by_its_feed_prefix():
    assert qtx_symbol("okx-futures", "BTC-USDT") == "okx-futures:btcusdt"


@given(
    venue=st.sampled_from(sorted(VENUES)),
    base=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=12).filter(lambda base: base != "XBT"),
    quote=st.sampled_from(["USDT", "USDC", "USD"]),
)
def test_every_pair_comes_back(venue, base, quote):
    pair = f"{base}-{quote}"
    assert trading_pair_of_exchange_symbol(venue, exchange_symbol(venue, pair)) == pair
    assert trading_pair_of_qtx_symbol(qtx_symbol(venue, pair)) == (venue, pair)


@given(venue=st.sampled_from(sorted(VENUES)), symbol=st.text(max_size=20))
def test_any_text_is_a_pair_or_an_error(venue, symbol):
    try:
        pair = trading_pair_of_exchange_symbol(venue, symbol)
    except ConfigurationError:
        return
    base, quote = pair.rsplit("-", 1)
    assert base
    assert quote in ("USDT", "USDC", "USD")


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("BTCUSDT", "BASE-QUOTE"),
        ("btc-usdt", "did you mean 'BTC-USDT'"),
        ("BTC-EUR", "quoted in USDT, USDC, USD, not EUR"),
        ("-USDT", "BASE-QUOTE"),
        ("BTC-USDT-SWAP", "BASE-QUOTE"),
        ("", "BASE-QUOTE"),
    ],
)
def test_pairs_of_another_form(pair, message):
    with pytest.raises(ConfigurationError, match=message):
        qtx_symbol("binance", pair)


def test_unknown_venue_names_the_valid_ones_and_the_nearest():
    with pytest.raises(
        ConfigurationError, match=r"binance, okx, bybit, bitget, kucoin, gate_io; did you mean 'binance'"
    ):
        exchange_symbol("binanse", "BTC-USDT")


@pytest.mark.parametrize("symbol", ["btcusdt", "kraken:btcusdt", "binance-futures:BTCUSDT", "binance-futures:", ":"])
def test_feed_symbols_of_another_form(symbol):
    with pytest.raises(ConfigurationError, match="no QTX symbol"):
        trading_pair_of_qtx_symbol(symbol)


def test_kucoin_bitcoin_has_one_name_only():
    with pytest.raises(ConfigurationError, match="write 'BTC-USDT'"):
        exchange_symbol("kucoin", "XBT-USDT")
    with pytest.raises(ConfigurationError, match="XBTUSDTM"):
        trading_pair_of_exchange_symbol("kucoin", "BTCUSDTM")
