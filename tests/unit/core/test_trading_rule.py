"""A pair's rules: rounding that is named, limits that are told in one line."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qtxconn.core.trading_rule import TradingRule
from qtxconn.errors import AmountError, ConfigurationError


@pytest.fixture
def rule() -> TradingRule:
    return TradingRule(
        "BTC-USDT", "0.002", "10", "0.5", "0.001", "100", min_price="1", max_price="200000", exchange_symbol="BTCUSDT"
    )


def test_numbers_go_in_as_text_and_come_out_as_exact_decimals(rule: TradingRule) -> None:
    assert (rule.min_order_size, rule.max_order_size) == (Decimal("0.002"), Decimal(10))
    assert (rule.min_price_increment, rule.min_base_amount_increment) == (Decimal("0.5"), Decimal("0.001"))
    assert (rule.min_notional_size, rule.min_price, rule.max_price) == (Decimal(100), Decimal(1), Decimal(200000))
    assert (rule.trading_pair, rule.exchange_symbol) == ("BTC-USDT", "BTCUSDT")
    assert rule.buy_order_collateral_token == rule.sell_order_collateral_token == "USDT"
    assert "BTC-USDT" in repr(rule)


def test_rounding_goes_the_way_its_name_says(rule: TradingRule) -> None:
    assert rule.quantize_price_down("60000.7") == Decimal("60000.5")
    assert rule.quantize_price_up("60000.7") == Decimal("60001")
    assert rule.quantize_price_down("60000.5") == rule.quantize_price_up("60000.5") == Decimal("60000.5")
    assert rule.quantize_amount("0.0029999") == Decimal("0.002")
    assert rule.quantize_amount("0.0009") == 0


@pytest.mark.parametrize(
    ("price", "amount", "is_limit", "reason"),
    [
        ("60000", "0.002", True, None),
        ("60000", "10", True, None),
        ("60000", "0", True, "amount must be positive"),
        ("60000", "-1", True, "amount must be positive"),
        ("60000", "0.001", True, "below the minimum 0.002"),
        ("60000", "10.001", True, "above the maximum 10"),
        ("60000", "0.0025", True, "no multiple of 0.001"),
        ("0", "1", True, "price must be positive"),
        ("60000.3", "1", True, "no multiple of 0.5"),
        ("0.5", "1", True, "below the minimum 1"),
        ("200000.5", "1", True, "above the maximum 200000"),
        ("49999.5", "0.002", True, "notional 99.999 is below the minimum 100"),
        ("50000", "0.002", True, None),
        (None, "0.002", False, None),  # a market order without a reference price: no notional to check
        ("60000.3", "0.002", False, None),
        ("40000", "0.002", False, "notional 80 is below"),
    ],
)
def test_violation_says_what_the_venue_would_refuse(
    rule: TradingRule, price: str | None, amount: str, is_limit: bool, reason: str | None
) -> None:
    told = rule.violation(price, amount, is_limit)
    assert (told is None) if reason is None else (reason in told and told.startswith("BTC-USDT: ") and "\n" not in told)


def test_a_notional_too_long_to_hold_is_a_violation_not_a_wrap() -> None:
    rule = TradingRule("A-B", 0, 0, "0.000000000001", "0.000000000001", "1")
    assert "too many digits" in rule.violation("1.000000000001", "1.000000000001")


@pytest.mark.parametrize("pair", ["BTCUSDT", "", "A-B-C", "BTC-", "-USDT", "-"])
def test_a_name_that_is_no_pair_is_refused(pair: str) -> None:
    with pytest.raises(ConfigurationError, match="looks like BTC-USDT"):
        TradingRule(pair)


@pytest.mark.parametrize("tick", ["0", "-0.1"])
def test_an_increment_that_is_not_positive_is_refused(tick: str) -> None:
    with pytest.raises(ConfigurationError, match="increments must be positive"):
        TradingRule("BTC-USDT", min_price_increment=tick)
    with pytest.raises(ConfigurationError, match="increments must be positive"):
        TradingRule("BTC-USDT", min_base_amount_increment=tick)


def test_floats_are_refused(rule: TradingRule) -> None:
    with pytest.raises(AmountError, match="float"):
        TradingRule("BTC-USDT", min_order_size=0.001)
    with pytest.raises(AmountError, match="float"):
        rule.quantize_amount(0.1)
