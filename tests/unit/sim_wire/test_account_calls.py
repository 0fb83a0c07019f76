"""Settings, margin, records and batches over REST: shapes, and Binance's codes for what is refused."""

from __future__ import annotations

import time
from decimal import Decimal

import orjson
import pytest


async def signed(client, method, path, **params):
    """The answer of a call that must succeed."""
    status, result, _ = await client.signed(method, f"/fapi/v1/{path}", **params)
    assert status == 200, result
    return result


async def code_of(client, method, path, **params) -> int:
    status, result, _ = await client.signed(method, f"/fapi/v1/{path}", **params)
    assert status == 400, result
    return result["code"]


ONE = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "59999.0"}


def batch(*orders: dict[str, str]) -> str:
    return orjson.dumps(orders).decode()


# -- batches ---------------------------------------------------------------------------------------------------


async def test_a_batch_has_a_result_per_order_and_goes_on_after_a_refusal(client, venue) -> None:
    orders = [ONE | {"quantity": "0.01"}, ONE | {"quantity": "9999"}, ONE | {"quantity": "0.02"}]
    results = await signed(client, "POST", "batchOrders", batchOrders=batch(*orders))
    assert [result.get("status", result.get("code")) for result in results] == ["NEW", -4005, "NEW"]
    ids = [results[0]["orderId"], results[2]["orderId"]]
    changes = [{"symbol": "BTCUSDT", "orderId": i, "side": "BUY", "quantity": "0.03", "price": "59998"} for i in ids]
    amended = await signed(client, "PUT", "batchOrders", batchOrders=batch(*changes))
    assert [result["origQty"] for result in amended] == ["0.030", "0.030"]
    cancelled = await signed(client, "DELETE", "batchOrders", symbol="BTCUSDT", orderIdList=f"[{ids[0]},1]")
    assert [result.get("status", result.get("code")) for result in cancelled] == ["CANCELED", -2011]
    assert len(venue.open_orders(venue.account("alice-key"))) == 1
    own = orjson.dumps([amended[1]["clientOrderId"]]).decode()
    [last] = await signed(client, "DELETE", "batchOrders", symbol="BTCUSDT", origclientorderidlist=own)
    assert last["status"] == "CANCELED"


@pytest.mark.parametrize(
    ("orders", "code"),
    [("[]", -1102), ("{}", -1102), ("x", -1102), ("[1]", -1102), (batch(*[ONE] * 6), -4082)],
)
async def test_malformed_batches(client, orders, code) -> None:
    assert await code_of(client, "POST", "batchOrders", batchOrders=orders) == code


async def test_a_batch_counts_each_order(client) -> None:
    orders = batch(*[ONE | {"quantity": "0.01"}] * 3)
    for _ in range(3):  # a new window may begin in between
        before = int((await client.signed("PUT", "/fapi/v1/order"))[2]["X-MBX-ORDER-COUNT-1M"])
        after = int(
            (await client.signed("POST", "/fapi/v1/batchOrders", batchOrders=orders))[2]["X-MBX-ORDER-COUNT-1M"]
        )
        if after - before == 3:
            return
    raise AssertionError("three orders did not count for three")


async def test_a_test_order_is_checked_and_not_placed(client, venue) -> None:
    assert (await signed(client, "POST", "order/test", **ONE, quantity="0.01"))["status"] == "NEW"
    assert await code_of(client, "POST", "order/test", **ONE, quantity="9999") == -4005
    assert venue.open_orders(venue.account("alice-key")) == []


# -- orders in Binance's finer points ---------------------------------------------------------------------------


async def test_amendments_are_on_record(client) -> None:
    order = await client.place()
    for quantity, price in (("0.02", "59999"), ("0.02", "59990")):
        await signed(
            client,
            "PUT",
            "order",
            symbol="BTCUSDT",
            orderId=order["orderId"],
            side="BUY",
            quantity=quantity,
            price=price,
        )
    second, first = await signed(client, "GET", "orderAmendment", symbol="BTCUSDT", orderId=order["orderId"])
    assert first["amendment"]["origQty"] == {"before": "0.010", "after": "0.020"}
    assert second["amendment"]["price"] == {"before": "59999.0", "after": "59990.0"}
    assert (first["amendment"]["count"], second["amendment"]["count"]) == (1, 2)


async def test_price_match_takes_its_price_from_the_book(client) -> None:
    for rule, price in (("QUEUE", "60000.0"), ("QUEUE_5", "59999.6"), ("OPPONENT", "60000.1")):
        order = await client.place(priceMatch=rule, price=None)
        assert (order["price"], order["priceMatch"]) == (price, rule)
    params = ONE | {"quantity": "0.01"}
    assert await code_of(client, "POST", "order", **params, priceMatch="QUEUE") == -1106
    del params["price"]
    assert await code_of(client, "POST", "order", **params, priceMatch="SOON") == -5037
    await signed(client, "POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1.5")
    assert await code_of(client, "POST", "order", **params, priceMatch="OPPONENT_20") == -5041


async def test_good_till_date(client) -> None:
    params = ONE | {"quantity": "0.01", "timeInForce": "GTD"}
    assert await code_of(client, "POST", "order", **params) == -1102
    soon = time.time_ns() // 1_000_000 + 60_000
    assert await code_of(client, "POST", "order", **params, goodTillDate=soon) == -5040
    order = await signed(client, "POST", "order", **params, goodTillDate=soon + 3_600_000)
    assert order["goodTillDate"] == (soon + 3_600_000) // 1000 * 1000


async def test_self_trade_prevention_shows_its_own_status(client) -> None:
    resting = await client.place(side="SELL", price="60001.0")
    taker = await client.place(price="60001.0", quantity="10.5", selfTradePreventionMode="EXPIRE_TAKER")
    assert (taker["status"], taker["executedQty"]) == ("EXPIRED_IN_MATCH", "10.000")
    assert resting["selfTradePreventionMode"] == "EXPIRE_MAKER"
    await client.place(price="60001.0", side="BUY")
    ended = await signed(client, "GET", "order", symbol="BTCUSDT", orderId=resting["orderId"])
    assert ended["status"] == "EXPIRED_IN_MATCH"
    params = ONE | {"quantity": "0.01", "selfTradePreventionMode": "MAYBE"}
    assert await code_of(client, "POST", "order", **params) == -5039


async def test_countdown(client, venue) -> None:
    answer = await signed(client, "POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=1)
    assert answer == {"symbol": "BTCUSDT", "countdownTime": "1"}
    await client.place()
    while venue.open_orders(venue.account("alice-key")):
        venue.run_due()
    assert await code_of(client, "POST", "countdownCancelAll", symbol="BTCUSDT") == -1102


# -- settings --------------------------------------------------------------------------------------------------


async def test_hedge_mode(client, bob) -> None:
    assert await signed(client, "GET", "positionSide/dual") == {"dualSidePosition": False}
    assert await code_of(client, "POST", "positionSide/dual", dualSidePosition="false") == -4059
    await client.place()
    assert await code_of(client, "POST", "positionSide/dual", dualSidePosition="true") == -4067
    await signed(client, "DELETE", "allOpenOrders", symbol="BTCUSDT")
    await signed(client, "POST", "positionSide/dual", dualSidePosition="true")
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    assert await code_of(client, "POST", "order", **market) == -4061
    assert await code_of(client, "POST", "order", **market, positionSide="LONG", reduceOnly="true") == -1106
    for side, leg in (("BUY", "LONG"), ("SELL", "SHORT")):
        await signed(client, "POST", "order", **market | {"side": side}, positionSide=leg)
    _, risks, _ = await client.signed("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")
    assert {(r["positionSide"], r["positionAmt"]) for r in risks} == {("LONG", "0.01"), ("SHORT", "-0.01")}
    assert await code_of(client, "POST", "positionSide/dual", dualSidePosition="false") == -4068
    [quantile] = [q for q in await signed(client, "GET", "adlQuantile") if q["symbol"] == "BTCUSDT"]
    assert quantile["adlQuantile"].keys() == {"LONG", "SHORT", "HEDGE"}


async def test_isolated_margin(client) -> None:
    assert await code_of(client, "POST", "marginType", symbol="BTCUSDT", marginType="CROSSED") == -4046
    await signed(client, "POST", "marginType", symbol="BTCUSDT", marginType="ISOLATED")
    await signed(client, "POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1")
    assert await code_of(client, "POST", "marginType", symbol="BTCUSDT", marginType="CROSSED") == -4048
    _, [risk], _ = await client.signed("GET", "/fapi/v2/positionRisk", symbol="BTCUSDT")
    assert (risk["marginType"], risk["isolatedWallet"]) == ("isolated", "3000.00500000")
    assert 56_000 < Decimal(risk["liquidationPrice"]) < 58_000
    moved = await signed(client, "POST", "positionMargin", symbol="BTCUSDT", amount="100.5", type=1)
    assert (moved["amount"], moved["type"]) == (100.5, 1)
    assert await code_of(client, "POST", "positionMargin", symbol="BTCUSDT", amount="999999", type=1) == -4050
    assert await code_of(client, "POST", "positionMargin", symbol="BTCUSDT", amount="200", type=2) == -4051
    [change] = await signed(client, "GET", "positionMargin/history", symbol="BTCUSDT")
    assert (change["amount"], change["type"]) == ("100.5", 1)
    [config] = await signed(client, "GET", "symbolConfig", symbol="BTCUSDT")
    assert config["marginType"] == "ISOLATED"


async def test_brackets_bound_leverage_and_position(client) -> None:
    [bracket] = await signed(client, "GET", "leverageBracket", symbol="BTCUSDT")
    first, second = bracket["brackets"][:2]
    assert (first["initialLeverage"], first["notionalCap"], first["maintMarginRatio"]) == (125, 300_000, 0.004)
    assert (second["notionalFloor"], second["cum"]) == (300_000, 300.0)
    answer = await signed(client, "POST", "leverage", symbol="BTCUSDT", leverage=125)
    assert answer["maxNotionalValue"] == "300000"
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
    assert await code_of(client, "POST", "order", **market, quantity="6") == -2027
    assert await code_of(client, "POST", "leverage", symbol="BTCUSDT", leverage=126) == -4028


async def test_what_one_quote_asset_means(client) -> None:
    assert await signed(client, "GET", "multiAssetsMargin") == {"multiAssetsMargin": False}
    assert await code_of(client, "POST", "multiAssetsMargin", multiAssetsMargin="true") == -4084
    assert await code_of(client, "POST", "multiAssetsMargin", multiAssetsMargin="false") == -4171
    assert (await signed(client, "GET", "apiTradingStatus"))["indicators"] == {}
    assert (await signed(client, "GET", "accountConfig"))["dualSidePosition"] is False
    assert (await signed(client, "GET", "feeBurn")) == {"feeBurn": False}
    assert {limit["interval"] for limit in await signed(client, "GET", "rateLimit/order")} == {"SECOND", "MINUTE"}


# -- records ---------------------------------------------------------------------------------------------------


async def test_income_tells_every_change_of_the_wallet(client, venue) -> None:
    for side in ("BUY", "SELL"):
        await signed(client, "POST", "order", symbol="BTCUSDT", side=side, type="MARKET", quantity="0.01")
    await signed(client, "POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.01")
    venue.apply_funding("BTCUSDT")
    records = await signed(client, "GET", "income")
    kinds = [record["incomeType"] for record in records]
    assert kinds == ["TRANSFER", "COMMISSION", "REALIZED_PNL", "COMMISSION", "COMMISSION", "FUNDING_FEE"]
    wallet = venue.account("alice-key").wallet_balance
    assert sum(Decimal(record["income"]) for record in records) == wallet
    assert [r["symbol"] for r in await signed(client, "GET", "income", incomeType="FUNDING_FEE")] == ["BTCUSDT"]
    assert len(await signed(client, "GET", "income", limit=2)) == 2
    assert (await signed(client, "GET", "income", limit=2, page=3))[0]["incomeType"] == "TRANSFER"
    trades = await signed(client, "GET", "userTrades", symbol="BTCUSDT")
    assert {r["tradeId"] for r in records if r["tradeId"]} == {str(trade["id"]) for trade in trades}
    [point] = await client.get("/fapi/v1/fundingRate", symbol="BTCUSDT")
    assert point["fundingRate"] == "0.00010000"


async def test_orders_by_time_and_page(client) -> None:
    ids = [(await client.place())["orderId"] for _ in range(5)]
    page = await signed(client, "GET", "allOrders", symbol="BTCUSDT", orderId=ids[1], limit=2)
    assert [order["orderId"] for order in page] == ids[1:3]
    assert await signed(client, "GET", "allOrders", symbol="BTCUSDT", startTime=1, endTime=2) == []
    assert len(await signed(client, "GET", "allOrders", symbol="BTCUSDT", startTime=1, limit=3)) == 3


async def test_liquidations_are_on_record(client, venue, bob) -> None:
    await signed(client, "POST", "order", symbol="BTCUSDT", side="BUY", type="MARKET", quantity="15")
    venue.set_mark_price("BTCUSDT", Decimal(50_000))
    venue.run_due()
    [forced] = await signed(client, "GET", "forceOrders", autoCloseType="LIQUIDATION")
    assert forced["clientOrderId"].startswith("autoclose-")
    assert await signed(client, "GET", "forceOrders", autoCloseType="ADL") == []
    assert await code_of(client, "GET", "forceOrders", autoCloseType="X") == -1102
