"""Orders over a long network outage: none is lost, none is ended by a guess, none is sent again."""

from __future__ import annotations

from decimal import Decimal

from qtxconn.core.types import OrderState, OrderType
from qtxconn.errors import NetworkError

PAIR = "BTC-USDT"


async def test_six_sells_accepted_just_before_half_an_hour_without_a_network_are_all_recovered(exchange, kit) -> None:
    """The story of Hummingbot issue 8457: a DNS outage turned six accepted sells into failures and a short position."""
    exchange.fail["place_answer"] = NetworkError("Temporary failure in name resolution")
    for hook in ("query", "trades", "cancel"):
        exchange.fail[hook] = NetworkError("Temporary failure in name resolution")
    sells = [exchange.sell(PAIR, "0.1", OrderType.LIMIT, "60000") for _ in range(6)]
    await kit.settle(lambda: exchange.calls.count("query") >= len(sells))
    exchange.venue.execute(sells[1], "0.1")  # the market goes on without us
    exchange.venue.execute(sells[2], "0.04")
    exchange.venue.end(sells[3])
    await exchange._clock.advance(1800)
    assert {exchange.order(sell).current_state for sell in sells} == {OrderState.UNKNOWN}
    assert exchange.events == []  # nothing was claimed about any of them

    exchange.fail.clear()
    await exchange._clock.advance(60)
    states = [exchange.order(sell).current_state for sell in sells]
    assert states == [
        OrderState.OPEN,
        OrderState.FILLED,
        OrderState.PARTIALLY_FILLED,
        OrderState.CANCELED,
        OrderState.OPEN,
        OrderState.OPEN,
    ]
    executed = [exchange.order(sell).executed_amount_base for sell in sells]
    assert executed == [Decimal(text) for text in ("0", "0.1", "0.04", "0", "0", "0")]
    assert exchange.kinds(sells[1]) == ["created", "filled", "completed"]
    assert exchange.kinds(sells[3]) == ["created", "cancelled"]
    assert "failed" not in exchange.kinds()
    assert exchange.calls.count("place") == len(sells)  # none was sent again
