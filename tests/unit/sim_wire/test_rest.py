"""The REST calls: shapes, figures that agree with the engine, refusals with Binance's codes and texts."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qtxconn.sim.binance.errors import REJECTS
from qtxconn.sim.binance.limits import Limits
from qtxconn.sim.model import RejectReason


def test_every_reason_to_refuse_has_a_code() -> None:
    assert set(REJECTS) == set(RejectReason)


async def test_ping_time_and_unknown_paths(client, venue) -> None:
    assert await client.get("/fapi/v1/ping") == {}
    server_time = (await client.get("/fapi/v1/time"))["serverTime"]
    assert abs(server_time - venue.clock.now_ms()) < 60_000
    for method, path in (("GET", "/fapi/v1/nothing"), ("PUT", "/fapi/v1/ping"), ("GET", "/")):
        status, result, _ = await client.raw(method, path)
        assert (status, result) == (404, {"code": -5000, "msg": f"Path {path}, Method {method} is invalid"})


async def test_exchange_info(client) -> None:
    info = await client.get("/fapi/v1/exchangeInfo")
    assert [s["symbol"] for s in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]
    btc = info["symbols"][0]
    filters = {f["filterType"]: f for f in btc["filters"]}
    assert (btc["contractType"], btc["status"], btc["marginAsset"]) == ("PERPETUAL", "TRADING", "USDT")
    assert (btc["pricePrecision"], filters["PRICE_FILTER"]["tickSize"]) == (2, "0.1")
    assert (filters["LOT_SIZE"]["stepSize"], filters["LOT_SIZE"]["minQty"]) == ("0.001", "0.001")
    assert filters["MIN_NOTIONAL"]["notional"] == "100"
    assert filters["PERCENT_PRICE"]["multiplierUp"] == "1.05"
    assert {limit["rateLimitType"] for limit in info["rateLimits"]} == {"REQUEST_WEIGHT", "ORDERS"}


async def test_depth(client, venue) -> None:
    depth = await client.get("/fapi/v1/depth", symbol="BTCUSDT", limit=5)
    assert depth["bids"][:2] == [["60000.0", "1.000"], ["59999.9", "1.000"]]
    assert depth["asks"][0] == ["60000.1", "1.000"]
    assert len(depth["bids"]) == len(depth["asks"]) == 5
    later = await client.get("/fapi/v1/depth", symbol="BTCUSDT")
    assert len(later["bids"]) == 20
    assert later["lastUpdateId"] > depth["lastUpdateId"]
    status, result, _ = await client.raw("GET", "/fapi/v1/depth", "symbol=BTCUSDT&limit=7")
    assert (status, result["code"]) == (400, -4021)


async def test_weight_is_counted_by_call(client) -> None:
    def used(headers) -> int:
        return int(headers["X-MBX-USED-WEIGHT-1M"])

    before = used((await client.raw("GET", "/fapi/v1/ping"))[2])
    after = used((await client.raw("GET", "/fapi/v1/depth", "symbol=BTCUSDT&limit=1000"))[2])
    assert after - before in (20, 20 - before)  # a new minute may have begun in between


async def test_tickers_trades_and_premium(client) -> None:
    assert await client.get("/fapi/v1/trades", symbol="BTCUSDT") == []
    price = await client.get("/fapi/v1/ticker/price", symbol="BTCUSDT")
    assert price["price"] == "60000.05"  # mark, before the first trade
    await client.place(type="MARKET", timeInForce=None, price=None, quantity="0.02")
    [trade] = await client.get("/fapi/v1/trades", symbol="BTCUSDT")
    assert (trade["price"], trade["qty"], trade["isBuyerMaker"]) == ("60000.1", "0.020", False)
    assert trade["quoteQty"] == "1200.002"
    [aggregate] = await client.get("/fapi/v1/aggTrades", symbol="BTCUSDT")
    assert (aggregate["a"], aggregate["p"], aggregate["f"]) == (trade["id"], "60000.1", trade["id"])
    assert (await client.get("/fapi/v1/ticker/price", symbol="BTCUSDT"))["price"] == "60000.1"
    ticker = await client.get("/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")
    assert (ticker["bidPrice"], ticker["askPrice"], ticker["askQty"]) == ("60000.0", "60000.1", "0.980")
    assert [t["symbol"] for t in await client.get("/fapi/v1/ticker/bookTicker")] == ["BTCUSDT", "ETHUSDT"]
    premium = await client.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")
    assert premium["markPrice"] == "60000.05000000"
    assert premium["nextFundingTime"] % (8 * 3_600_000) == 0


async def test_a_resting_order_from_place_to_cancel(client) -> None:
    placed = await client.place(newClientOrderId="42")
    assert placed["status"] == "NEW"
    assert "time" not in placed
    by_id = (await client.signed("GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=placed["orderId"]))[1]
    by_client_id = (await client.signed("GET", "/fapi/v1/openOrder", symbol="BTCUSDT", origClientOrderId="42"))[1]
    assert by_id == by_client_id == placed | {"time": by_id["time"]}
    assert (await client.signed("GET", "/fapi/v1/openOrders"))[1] == [by_id]
    status, cancelled, _ = await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="42")
    assert (status, cancelled["status"]) == (200, "CANCELED")
    again = await client.signed("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="42")
    assert again[:2] == (400, {"code": -2011, "msg": "Unknown order sent."})
    assert (await client.signed("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId="42"))[1][
        "status"
    ] == "CANCELED"
    gone = await client.signed("GET", "/fapi/v1/openOrder", symbol="BTCUSDT", origClientOrderId="42")
    assert gone[:2] == (400, {"code": -2013, "msg": "Order does not exist."})


async def test_ack_shows_the_order_before_its_fills(client) -> None:
    order = await client.place(price="60000.1", newOrderRespType="ACK")
    assert (order["status"], order["executedQty"], order["avgPrice"]) == ("NEW", "0.000", "0.00000")
    now = (await client.signed("GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=order["orderId"]))[1]
    assert (now["status"], now["executedQty"], now["avgPrice"]) == ("FILLED", "0.010", "60000.10000")


async def test_amend(client) -> None:
    order = await client.place()
    amended = (
        await client.signed(
            "PUT",
            "/fapi/v1/order",
            symbol="BTCUSDT",
            orderId=order["orderId"],
            side="BUY",
            quantity="0.02",
            price="59998",
        )
    )[1]
    assert (amended["price"], amended["origQty"], amended["orderId"]) == (
        "59998.0",
        "0.020",
        order["orderId"],
    )
    same = await client.signed(
        "PUT",
        "/fapi/v1/order",
        symbol="BTCUSDT",
        orderId=order["orderId"],
        side="BUY",
        quantity="0.02",
        price="59998",
    )
    assert same[1]["code"] == -5027
    other_side = await client.signed(
        "PUT",
        "/fapi/v1/order",
        symbol="BTCUSDT",
        orderId=order["orderId"],
        side="SELL",
        quantity="0.03",
        price="59998",
    )
    assert other_side[1]["code"] == -1117


async def test_cancel_all(client) -> None:
    for price in ("59990", "59991", "59992"):
        await client.place(price=price)
    status, result, _ = await client.signed("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    assert (status, result) == (200, {"code": 200, "msg": "The operation of cancel all open order is done."})
    assert (await client.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT"))[1] == []


async def test_all_orders_open_and_finished(client) -> None:
    ids = [(await client.place(price=price))["orderId"] for price in ("59990", "60000.1", "59991")]
    orders = (await client.signed("GET", "/fapi/v1/allOrders", symbol="BTCUSDT"))[1]
    assert [(o["orderId"], o["status"]) for o in orders] == list(zip(ids, ("NEW", "FILLED", "NEW"), strict=True))
    later = (await client.signed("GET", "/fapi/v1/allOrders", symbol="BTCUSDT", orderId=ids[1]))[1]
    assert [o["orderId"] for o in later] == ids[1:]
    latest = (await client.signed("GET", "/fapi/v1/allOrders", symbol="BTCUSDT", limit=1))[1]
    assert [o["orderId"] for o in latest] == ids[2:]


async def test_two_accounts_trade_with_each_other(client, bob) -> None:
    await client.place(side="SELL", price="60000.0", timeInForce="IOC", quantity="1.000")  # clear the best bid
    await client.place(side="BUY", price="60000.0", quantity="0.5", newClientOrderId="rest")
    taken = await bob.place(side="SELL", price="60000.0", quantity="0.2")
    assert (taken["status"], taken["executedQty"], taken["cumQuote"]) == ("FILLED", "0.200", "12000.00000000")
    [mine] = (await client.signed("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", limit=1))[1]
    [his] = (await bob.signed("GET", "/fapi/v1/userTrades", symbol="BTCUSDT"))[1]
    assert mine["id"] == his["id"]
    assert (mine["maker"], mine["buyer"], his["maker"], his["buyer"]) == (True, True, False, False)
    assert (mine["commission"], his["commission"]) == ("2.4", "6")


async def test_account_figures_agree(client, venue) -> None:
    await client.place(type="MARKET", timeInForce=None, price=None, quantity="0.1")
    await client.place(quantity="0.1", price="59000")
    account = (await client.signed("GET", "/fapi/v2/account"))[1]
    fee = Decimal("0.1") * Decimal("60000.1") * Decimal("0.0005")
    assert Decimal(account["totalWalletBalance"]) == 100_000 - fee
    assert account["assets"][0]["walletBalance"] == account["totalWalletBalance"]
    parts = Decimal(account["totalPositionInitialMargin"]) + Decimal(account["totalOpenOrderInitialMargin"])
    assert parts == Decimal(account["totalInitialMargin"])
    free = Decimal(account["totalMarginBalance"]) - Decimal(account["totalInitialMargin"])
    assert Decimal(account["availableBalance"]) == free
    [btc, eth] = account["positions"]
    assert (btc["positionAmt"], btc["entryPrice"], btc["leverage"]) == ("0.1", "60000.1", "20")
    assert (eth["symbol"], eth["positionAmt"]) == ("ETHUSDT", "0")
    v3 = (await client.signed("GET", "/fapi/v3/account"))[1]
    assert [p["symbol"] for p in v3["positions"]] == ["BTCUSDT"]
    assert "leverage" not in v3["positions"][0]
    [risk] = (await client.signed("GET", "/fapi/v3/positionRisk"))[1]
    assert (risk["positionAmt"], risk["unRealizedProfit"]) == ("0.1", "-0.00500000")
    assert "leverage" not in risk
    risks = (await client.signed("GET", "/fapi/v2/positionRisk"))[1]
    assert [r["leverage"] for r in risks] == ["20", "20"]
    [balance] = (await client.signed("GET", "/fapi/v3/balance"))[1]
    assert balance["availableBalance"] == account["availableBalance"]


async def test_settings(client) -> None:
    async def call(method, path, **params):
        return (await client.signed(method, path, **params))[:2]

    assert (await call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=5))[1]["leverage"] == 5
    assert (await call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=126))[1]["code"] == -4028
    assert (await call("GET", "/fapi/v2/positionRisk", symbol="BTCUSDT"))[1][0]["leverage"] == "5"
    assert await call("GET", "/fapi/v1/positionSide/dual") == (200, {"dualSidePosition": False})
    assert (await call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false"))[1]["code"] == -4059
    assert (await call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="CROSSED"))[1]["code"] == -4046
    rate = (await call("GET", "/fapi/v1/commissionRate", symbol="BTCUSDT"))[1]
    assert (rate["makerCommissionRate"], rate["takerCommissionRate"]) == ("0.0002", "0.0005")
    [bracket] = (await call("GET", "/fapi/v1/leverageBracket", symbol="BTCUSDT"))[1]
    assert bracket["brackets"][0]["initialLeverage"] == 125


async def test_listen_keys(client) -> None:
    key = (await client.raw("POST", "/fapi/v1/listenKey"))[1]["listenKey"]
    assert (await client.raw("POST", "/fapi/v1/listenKey"))[1]["listenKey"] == key
    assert (await client.raw("PUT", "/fapi/v1/listenKey"))[:2] == (200, {"listenKey": key})
    assert (await client.raw("DELETE", "/fapi/v1/listenKey"))[:2] == (200, {})
    status, result, _ = await client.raw("PUT", "/fapi/v1/listenKey")
    assert (status, result["code"]) == (400, -1125)
    assert (await client.raw("POST", "/fapi/v1/listenKey"))[1]["listenKey"] != key


REFUSED = [
    (dict(symbol="NOUSDT"), -1121, "Invalid symbol."),
    (dict(symbol=None), -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."),
    (dict(side="UP"), -1117, "Invalid side."),
    (dict(type="FOO"), -1116, "Invalid orderType."),
    (
        dict(type="STOP_MARKET"),
        -4120,
        "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    ),
    (dict(timeInForce="DAY"), -1115, "Invalid timeInForce."),
    (dict(timeInForce=None), -1102, None),
    (dict(price=None), -1102, "Mandatory parameter 'price' was not sent, was empty/null, or malformed."),
    (dict(price="59999.05"), -4014, "Price not increased by tick size."),
    (dict(price="59999.001"), -1111, "Precision is over the maximum defined for this asset."),
    (dict(price="0"), -4001, "Price less than 0."),
    (dict(price="-1"), -1100, None),
    (dict(price="1e5"), -1100, None),
    (dict(price="63001"), -4016, "Limit price can't be higher than 63000.0."),
    (dict(side="SELL", price="56999"), -4024, None),
    (dict(quantity="0.0101"), -1111, "Precision is over the maximum defined for this asset."),
    (dict(quantity="0"), -4003, "Quantity less than or equal to zero."),
    (dict(quantity="1001"), -4005, "Quantity greater than max quantity."),
    (
        dict(quantity="0.001"),
        -4164,
        "Order's notional must be no smaller than 100 (unless you choose reduce only).",
    ),
    (dict(quantity="100"), -2019, "Margin is insufficient."),
    (dict(timeInForce="GTX", price="60000.1"), -5022, None),
    (dict(timeInForce="FOK", price="60000.1", quantity="1.5"), -5021, None),
    (dict(reduceOnly="true"), -2022, "ReduceOnly Order is rejected."),
    (dict(reduceOnly="maybe"), -1102, None),
    (dict(newClientOrderId="x" * 37), -4015, "Client order id length should be less than 36 chars"),
    (dict(newClientOrderId="a b"), -1100, None),
    (dict(positionSide="LONG"), -4061, "Order's position side does not match user's setting."),
    (dict(type="MARKET"), -1106, "Parameter 'timeInForce' sent when not required."),
]


@pytest.mark.parametrize(("change", "code", "text"), REFUSED, ids=[str(case[0]) for case in REFUSED])
async def test_refused_orders(client, venue, change, code, text) -> None:
    order = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.010",
        "price": "59999.0",
    } | change
    params = {name: value for name, value in order.items() if value is not None}
    status, result, _ = await client.signed("POST", "/fapi/v1/order", **params)
    assert (status, result["code"]) == (400, code), result
    if text is not None:
        assert result["msg"] == text
    assert venue.open_orders(venue.account("alice-key")) == []


async def test_duplicate_client_id_among_open_orders(client) -> None:
    await client.place(newClientOrderId="twice")
    params = dict(symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price="59000")
    status, result, _ = await client.signed("POST", "/fapi/v1/order", newClientOrderId="twice", **params)
    assert (status, result) == (400, {"code": -4116, "msg": "ClientOrderId is duplicated."})
    await client.signed("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
    await client.place(newClientOrderId="twice")


class TestLimits:
    @pytest.fixture
    def limits(self) -> Limits:
        return Limits(weight_1m=50, orders_10s=3, orders_1m=1000)

    async def test_weight(self, client) -> None:
        statuses = []
        for _ in range(12):  # at least twice the limit, in case a minute ends in between
            status, result, headers = await client.raw("GET", "/fapi/v1/depth", "symbol=BTCUSDT&limit=500")
            statuses.append(status)
            if status == 429:
                assert result["code"] == -1003
                assert 1 <= int(headers["Retry-After"]) <= 60
        assert set(statuses) == {200, 429}

    async def test_orders(self, client) -> None:
        params = dict(symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price="59000")
        answers = [await client.signed("POST", "/fapi/v1/order", **params) for _ in range(8)]
        refused = [answer for answer in answers if answer[0] == 429]
        assert refused
        assert refused[0][1]["code"] == -1015
        assert 1 <= int(refused[0][2]["Retry-After"]) <= 10
        assert answers[0][2]["X-MBX-ORDER-COUNT-10S"] == "1"
