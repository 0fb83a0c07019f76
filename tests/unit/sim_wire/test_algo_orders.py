"""Conditional orders in Binance's words: the Algo service over REST and the WebSocket API, and ALGO_UPDATE."""

from __future__ import annotations

from decimal import Decimal

import pytest

STOP = dict(algoType="CONDITIONAL", symbol="BTCUSDT", side="SELL", type="STOP_MARKET", quantity="0.010")


async def signed(client, method, path, expected=200, **params):
    status, result, _ = await client.signed(method, f"/fapi/v1/{path}", **params)
    assert status == expected, result
    return result


async def test_place_query_list_cancel(client) -> None:
    order = await signed(client, "POST", "algoOrder", **STOP, triggerPrice="59000", clientAlgoId="mine")
    assert (order["algoStatus"], order["clientAlgoId"], order["triggerPrice"]) == ("NEW", "mine", "59000.0")
    queried = await signed(client, "GET", "algoOrder", clientAlgoId="mine")
    assert (queried["algoId"], queried["actualOrderId"]) == (order["algoId"], "")
    assert "actualOrderId" not in order  # as at the venue: the answer to a placement says nothing of it
    assert [o["algoId"] for o in await signed(client, "GET", "openAlgoOrders")] == [order["algoId"]]
    cancelled = await signed(client, "DELETE", "algoOrder", algoId=order["algoId"])
    assert cancelled == {"algoId": order["algoId"], "clientAlgoId": "mine", "code": "200", "msg": "success"}
    assert (await signed(client, "DELETE", "algoOrder", 400, algoId=order["algoId"]))["code"] == -2011
    assert (await signed(client, "GET", "algoOrder", 400, algoId=1))["code"] == -2013
    for _ in range(2):
        await signed(client, "POST", "algoOrder", **STOP, triggerPrice="59000")
    await signed(client, "DELETE", "algoOpenOrders", symbol="BTCUSDT")
    assert await signed(client, "GET", "openAlgoOrders") == []
    assert len(await signed(client, "GET", "allAlgoOrders", symbol="BTCUSDT")) == 3


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (dict(triggerPrice="61000"), -2021),
        (dict(triggerPrice=""), -1102),
        (dict(triggerPrice="59000.05"), -4014),
        (dict(triggerPrice="59000", algoType="VP"), -1116),
        (dict(triggerPrice="59000", type="LIMIT"), -1116),
        (dict(triggerPrice="59000", type="STOP"), -1102),  # no price
        (dict(triggerPrice="59000", positionSide="LONG"), -4061),
        (dict(triggerPrice="59000", priceMatch="QUEUE"), -5038),
        (dict(triggerPrice="59000", closePosition="true"), -1106),  # with a quantity
        (dict(triggerPrice="59000", timeInForce="GTD"), -1102),
        (dict(triggerPrice="59000", quantity="9999"), -4005),
        (dict(type="TRAILING_STOP_MARKET", callbackRate="11"), -2007),
    ],
)
async def test_refusals(client, change, code) -> None:
    assert (await signed(client, "POST", "algoOrder", 400, **(STOP | change)))["code"] == code


async def test_plain_orders_send_stops_here(client) -> None:
    assert (await signed(client, "POST", "order", 400, **STOP, triggerPrice="59000"))["code"] == -4120


async def test_a_stop_tells_its_life_on_the_user_stream(client, venue, connect) -> None:
    _, key, _ = await client.raw("POST", "/fapi/v1/listenKey")
    socket = await connect(f"/private/ws?listenKey={key['listenKey']}")
    await signed(client, "POST", "algoOrder", **STOP, triggerPrice="59000", workingType="MARK_PRICE", clientAlgoId="s")
    venue.set_mark_price("BTCUSDT", Decimal(58_999))
    venue.run_due()
    seen = []
    while seen.count("ALGO_UPDATE") < 4:
        event = await socket.next()
        seen.append(event["e"])
        if event["e"] == "ALGO_UPDATE":
            last = event["o"]
            assert last["caid"] == "s"
        elif event["e"] == "ORDER_TRADE_UPDATE":
            assert event["o"]["c"] == "s"
    assert (last["X"], last["aq"], last["act"]) == ("FINISHED", "0.010", "MARKET")
    assert seen[:3] == ["ALGO_UPDATE", "ALGO_UPDATE", "ORDER_TRADE_UPDATE"]  # NEW, TRIGGERING, then the order
