"""What a connector says of prices, quanta and balances under Hummingbot's names: exact, of the pair's book and rule."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

import qtxconn
from qtxconn import OrderRequest, OrderType, PriceType, TradeType
from qtxconn.errors import OrderValidationError

from .conftest import PAIR

D = Decimal


def test_prices_are_the_books(exchange: Any) -> None:
    book = exchange.get_order_book(PAIR)
    book.apply_snapshot([("59999.9", "1")], [("60000.2", "2"), ("60000.4", "2")], 2)
    assert repr(exchange.get_mid_price(PAIR)) == "Decimal('60000.05')"
    assert exchange.get_price(PAIR, True) == exchange.get_price_by_type(PAIR, PriceType.BestAsk) == D("60000.2")
    assert exchange.get_price(PAIR, False) == exchange.get_price_by_type(PAIR, PriceType.BestBid) == D("59999.9")
    assert exchange.get_price_by_type(PAIR, PriceType.MidPrice) == D("60000.05")
    assert exchange.get_price_by_type(PAIR, PriceType.LastTrade) is None
    book.apply_trade("60000.1", "0.5", True)
    assert exchange.get_price_by_type(PAIR, PriceType.LastTrade) == D("60000.1")
    assert exchange.get_vwap_for_volume(PAIR, True, D(4)).result_price == D("60000.3")
    book.apply_snapshot([], [("60000.2", "2")], 3)
    assert exchange.get_mid_price(PAIR) is exchange.get_price(PAIR, False) is None


@pytest.mark.parametrize("price_type", [PriceType.InventoryCost, PriceType.Custom, PriceType.LastOwnTrade, 1, None])
def test_what_no_book_knows_is_refused(exchange: Any, price_type: Any) -> None:
    with pytest.raises(OrderValidationError, match=r"it has PriceType\.MidPrice"):
        exchange.get_price_by_type(PAIR, price_type)


def test_quanta_are_the_rules(exchange: Any) -> None:
    rule = exchange.get_trading_rule(PAIR)
    assert exchange.get_order_price_quantum(PAIR, D(60000)) == rule.min_price_increment
    assert exchange.get_order_size_quantum(PAIR, D(1)) == rule.min_base_amount_increment
    assert rule.min_price_increment != rule.min_base_amount_increment


@pytest.mark.parametrize("method", ["get_mid_price", "get_order_price_quantum", "get_order_size_quantum"])
def test_another_pair_is_refused(exchange: Any, method: str) -> None:
    with pytest.raises(OrderValidationError, match="does not trade 'X-Y' here"):
        getattr(exchange, method)("X-Y")


def test_available_balances(exchange: Any) -> None:
    exchange._set_balance("BNB", D(2), D(0))
    assert exchange.available_balances == {"USDT": D(900), "BNB": D(0)}


async def test_what_a_batch_needs_is_public(exchange: Any) -> None:
    assert {"OrderRequest", "PriceType"} <= set(qtxconn.__all__)
    request = OrderRequest(PAIR, TradeType.BUY, D("0.01"), OrderType.LIMIT, D(59000))
    (result,) = exchange.batch_order_create([request])
    assert result.order_id in exchange.in_flight_orders
