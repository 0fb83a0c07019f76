"""What the user stream tells besides orders: settings, funding, margin calls and liquidations."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qtxconn.sim.risk import liquidation_price


@pytest.fixture
async def user(client, connect):
    """The user stream of alice."""
    _, key, _ = await client.raw("POST", "/fapi/v1/listenKey")
    socket = await connect(f"/private/ws?listenKey={key['listenKey']}")
    await socket.ask({"method": "LIST_SUBSCRIPTIONS", "id": 0})
    return socket


async def until(socket, kind: str) -> dict:
    """The next event of `kind`."""
    while (event := await socket.next())["e"] != kind:
        pass
    return event


async def buy(client, quantity: str, **more: str) -> None:
    await client.place(type="MARKET", price=None, timeInForce=None, quantity=quantity, **more)


async def test_leverage(client, user) -> None:
    await client.signed("POST", "/fapi/v1/leverage", symbol="ETHUSDT", leverage=7)
    assert (await user.next())["ac"] == {"s": "ETHUSDT", "l": 7}


async def test_funding_of_a_cross_position_tells_of_the_balance_only(client, user, venue) -> None:
    await buy(client, "1")
    venue.apply_funding("BTCUSDT")
    while (update := (await until(user, "ACCOUNT_UPDATE"))["a"])["m"] != "FUNDING_FEE":
        pass
    assert (update["P"], update["B"][0]["bc"]) == ([], "-6.00001")


async def test_funding_of_an_isolated_position_tells_of_it_too(client, user, venue) -> None:
    await client.signed("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    await buy(client, "1")
    venue.apply_funding("BTCUSDT")
    while (update := (await until(user, "ACCOUNT_UPDATE"))["a"])["m"] != "FUNDING_FEE":
        pass
    [position] = update["P"]
    assert (position["mt"], position["iw"]) == ("isolated", "2994.00499000")
    assert update["B"][0]["cw"] != update["B"][0]["wb"]


async def test_the_leg_is_named_in_hedge_mode(client, user) -> None:
    await client.signed("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    await client.place(type="MARKET", side="SELL", price=None, timeInForce=None, positionSide="SHORT")
    assert (await until(user, "ORDER_TRADE_UPDATE"))["o"]["ps"] == "SHORT"
    [position] = (await until(user, "ACCOUNT_UPDATE"))["a"]["P"]
    assert (position["ps"], position["pa"]) == ("SHORT", "-0.01")


async def test_a_margin_call_then_a_liquidation(client, user, connect, venue) -> None:
    public = await connect("/market/ws/btcusdt@forceOrder")
    await public.ask({"method": "LIST_SUBSCRIPTIONS", "id": 0})
    await buy(client, "10")
    account, instrument = venue.account("alice-key"), venue.instrument("BTCUSDT")
    price = liquidation_price(account, account.position(instrument), {"BTCUSDT": venue.mark_price("BTCUSDT")})
    venue.set_mark_price("BTCUSDT", price + 50)
    venue.run_due()
    [position] = (await until(user, "MARGIN_CALL"))["p"]
    assert (position["s"], position["pa"], position["mt"]) == ("BTCUSDT", "10", "CROSSED")
    venue.set_mark_price("BTCUSDT", price - 1)
    venue.run_due()
    order = (await until(user, "ORDER_TRADE_UPDATE"))["o"]
    assert (order["x"], order["c"][:10], order["S"], order["R"]) == ("NEW", "autoclose-", "SELL", True)
    filled = Decimal(0)
    while order["X"] != "FILLED":
        order = (await until(user, "ORDER_TRADE_UPDATE"))["o"]
        assert order["x"] == "CALCULATED"
        filled += Decimal(order["l"])
    assert filled == 10
    while (await until(user, "ACCOUNT_UPDATE"))["a"]["m"] != "INSURANCE_CLEAR":
        pass
    forced = await until(public, "forceOrder")
    assert (forced["o"]["S"], forced["o"]["q"], forced["o"]["X"]) == ("SELL", "10.000", "FILLED")


async def test_a_resting_order_that_self_trade_prevention_ends(client, user) -> None:
    resting = await client.place(side="SELL", price="60000.1")
    await client.place(price="60000.1", quantity="1.005")
    while (order := (await until(user, "ORDER_TRADE_UPDATE"))["o"])["x"] != "EXPIRED":
        pass
    assert (order["i"], order["X"], order["V"]) == (resting["orderId"], "EXPIRED_IN_MATCH", "EXPIRE_MAKER")
