"""Enums and plain values: one meaning in C++, Python and Hummingbot, and nothing lost in JSON."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from qtxconn.core import types
from qtxconn.core.in_flight_order import legal_moves
from qtxconn.core.types import OrderState

HUMMINGBOT = {
    types.OrderType: {"MARKET": 1, "LIMIT": 2, "LIMIT_MAKER": 3},
    types.TradeType: {"BUY": 1, "SELL": 2},
    types.PositionAction: {"OPEN": "OPEN", "CLOSE": "CLOSE", "NIL": "NIL"},
    types.PositionSide: {"LONG": "LONG", "SHORT": "SHORT", "BOTH": "BOTH"},
    types.PositionMode: {"HEDGE": "HEDGE", "ONEWAY": "ONEWAY"},
    types.PriceType: {
        "MidPrice": 1, "BestBid": 2, "BestAsk": 3, "LastTrade": 4, "LastOwnTrade": 5, "InventoryCost": 6, "Custom": 7,
    },
    types.OrderState: {
        "PENDING_CREATE": 0, "OPEN": 1, "PENDING_CANCEL": 2, "CANCELED": 3, "PARTIALLY_FILLED": 4, "FILLED": 5,
        "FAILED": 6,
    },
    types.MarketEvent: {
        "BuyOrderCompleted": 102, "SellOrderCompleted": 103, "OrderCancelled": 106, "OrderFilled": 107,
        "OrderExpired": 108, "OrderUpdate": 109, "TradeUpdate": 110, "OrderFailure": 198, "BuyOrderCreated": 200,
        "SellOrderCreated": 201, "FundingPaymentCompleted": 202, "FundingInfo": 203,
    },
    types.AccountEvent: {
        "PositionModeChangeSucceeded": 401, "PositionModeChangeFailed": 402, "BalanceEvent": 403, "PositionUpdate": 404,
        "MarginCall": 405, "LiquidationEvent": 406,
    },
}  # fmt: skip


@pytest.mark.parametrize("enum", HUMMINGBOT, ids=lambda enum: enum.__name__)
def test_members_that_hummingbot_has_keep_its_values(enum: type) -> None:
    ours = {member.name: member.value for member in enum}
    assert {name: ours.get(name) for name in HUMMINGBOT[enum]} == HUMMINGBOT[enum]
    extra = set(ours) - set(HUMMINGBOT[enum])
    assert all(ours[name] >= 20 for name in extra), "our own members start at 20"


def cpp_enum(root: Path, name: str) -> dict[str, int]:
    text = (root / "include/qtxconn/enums.hpp").read_text()
    body = re.search(rf"enum class {name} : std::uint8_t \{{(.*?)\}};", text, re.S)
    assert body is not None
    return {key.upper(): int(value) for key, value in re.findall(r"(\w+) = (\d+)", body[1])}


@pytest.mark.parametrize("enum", [types.OrderType, types.TradeType, types.OrderState], ids=lambda enum: enum.__name__)
def test_python_and_cpp_enums_are_equal(enum: type, root: Path) -> None:
    assert {member.name: member.value for member in enum} == cpp_enum(root, enum.__name__)


def test_position_actions_are_the_same_in_cpp(root: Path) -> None:
    assert set(cpp_enum(root, "PositionAction")) == {member.name for member in types.PositionAction}


def test_every_state_has_its_moves_and_the_terminal_ones_have_none() -> None:
    moves = legal_moves()
    assert set(moves) == set(OrderState)
    for state, targets in moves.items():
        assert state not in targets
        assert (not targets) == state.is_terminal
        if not state.is_terminal:  # any live state can end, in any way
            assert targets >= {OrderState.FILLED, OrderState.CANCELED, OrderState.FAILED, OrderState.EXPIRED}
    # Once the venue has the order it is never again "not sent".
    assert OrderState.PENDING_SUBMIT not in moves[OrderState.OPEN] | moves[OrderState.UNKNOWN]
    assert all(OrderState.PENDING_CREATE not in targets for targets in moves.values())
    assert OrderState.PENDING_UPDATE not in moves[OrderState.PENDING_SUBMIT]


def test_limit_types_are_limit_types() -> None:
    assert [kind for kind in types.OrderType if kind.is_limit_type()] == [
        types.OrderType.LIMIT,
        types.OrderType.LIMIT_MAKER,
        types.OrderType.STOP_LIMIT,
        types.OrderType.TAKE_PROFIT_LIMIT,
    ]
    assert [kind.name for kind in types.OrderType if not kind.is_conditional()] == ["MARKET", "LIMIT", "LIMIT_MAKER"]
    assert types.TradeType.BUY.opposite is types.TradeType.SELL


@pytest.mark.parametrize("kind", [types.TradeFeeBase, types.AddedToCostTradeFee, types.DeductedFromReturnsTradeFee])
def test_a_trade_update_survives_json_with_its_role_and_kind_of_fee(kind: type[types.TradeFeeBase]) -> None:
    fee = kind(Decimal("0.0004"), "BNB", [types.TokenAmount("BNB", Decimal("-0.00000001"))])
    update = types.TradeUpdate(
        "t1",
        "c1",
        "e1",
        "BTC-USDT",
        1.25,
        Decimal("60000.1"),
        Decimal("0.001"),
        Decimal("60.0001"),
        fee,
        is_taker=False,
    )
    back = types.TradeUpdate.from_json(json.loads(json.dumps(update.to_json())))
    assert back == update
    assert type(back.fee) is kind
