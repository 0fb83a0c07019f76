"""The Binance connector over real sockets, against a venue that says exactly what the test wants."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from qtxconn.core.types import MarketEvent, OrderState, OrderType, PositionAction
from qtxconn.errors import (
    AuthenticationError,
    ConfigurationError,
    OrderValidationError,
)
from qtxconn.exchanges.binance import perpetual
from qtxconn.exchanges.binance.perpetual import BinancePerpetual

from .scripted_binance import (
    CANCEL,
    KEY,
    PLACE,
    QUERY,
    SECRET,
    SYMBOL,
    TIME_MS,
    Refusal,
    ScriptedBinance,
    until,
)

D = Decimal
PAIR = "BTC-USDT"


def connector(venue: ScriptedBinance, **options: Any) -> BinancePerpetual:
    urls = {f"ws_{kind}_url": f"ws://{venue.url}/{kind}" for kind in ("public", "market", "private")}
    return BinancePerpetual(KEY, SECRET, [PAIR], rest_url=f"http://{venue.url}", **urls | options)


def refusing(code: int, message: str = "refused", status: int = 400) -> Callable[[Any], Any]:
    """An answer that is an error."""

    def refuse(_: Any) -> None:
        raise Refusal(code, message, status)

    return refuse


@asynccontextmanager
async def trading(venue: ScriptedBinance) -> AsyncIterator[tuple[BinancePerpetual, list[Any]]]:
    """A connected connector and the list of its events."""
    exchange = connector(venue)
    events: list[Any] = []
    for tag in MarketEvent:
        exchange.add_listener(tag, events.append)
    async with exchange:
        yield exchange, events


def buy(exchange: BinancePerpetual, amount: str = "0.002") -> Any:
    """Places a limit order; returns it as tracked."""
    order_id = exchange.buy(PAIR, D(amount), OrderType.LIMIT, D("49999"))
    return exchange.in_flight_orders[order_id]


def names(events: list[Any]) -> list[str]:
    """Class names of the order events."""
    endings = ("CreatedEvent", "FilledEvent", "CompletedEvent", "CancelledEvent", "FailureEvent")
    return [name for name in (type(event).__name__ for event in events) if name.endswith(endings)]


async def test_connect_makes_everything_ready(venue: ScriptedBinance) -> None:
    venue.answers["GET /fapi/v2/positionRisk"] = [
        {"symbol": symbol, "positionAmt": "-0.5", "entryPrice": "50000", "unRealizedProfit": "1"}
        | {"leverage": "20", "positionSide": "BOTH"}
        for symbol in ("BTCUSDT", "BTCUSDT_260327")
    ]
    async with trading(venue) as (exchange, _):
        assert exchange.is_ready
        assert exchange.get_balance("USDT") == 1000
        assert exchange.get_available_balance("USDT") == 900
        assert exchange.get_position(PAIR).amount == D("-0.5")
        assert exchange.get_order_book(PAIR).best_bid == D("49999.9")
        assert exchange.get_mark_price(PAIR) == 50000
        assert exchange._throttler.used("request weight") >= 1234  # the venue's own count
        assert ["btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade"] in venue.subscribed
        signed = venue.asked("GET /fapi/v3/balance")[0]
        assert abs(int(signed["timestamp"]) - TIME_MS) < 60_000  # the venue's time, years from ours
        mark = {"e": "markPriceUpdate", "s": "BTCUSDT", "p": "50010", "i": "50011", "r": "0.0002", "T": 1000}
        await venue.push("market", mark)
        trade = {"e": "trade", "s": "BTCUSDT", "t": 1, "p": "50000.1", "q": "1", "T": 1, "m": False}
        await venue.push("public", trade)
        await until(lambda: exchange.get_mark_price(PAIR) == 50010 and exchange.get_order_book(PAIR).last_trade_price)
        assert exchange.get_funding_rate(PAIR) == D("0.0002")
    assert not exchange.is_connected
    assert exchange.order_books[PAIR].invalid_reason == "disconnected"
    await until(lambda: all(socket.closed for sockets in venue.sockets.values() for socket in sockets))


async def test_the_best_prices_are_those_of_the_newer_of_ticker_and_book(venue: ScriptedBinance) -> None:
    def ticker(update_id: int, bid: str) -> dict[str, Any]:
        return {"e": "bookTicker", "s": "BTCUSDT", "u": update_id, "b": bid, "B": "3", "a": "50000.1", "A": "2", "T": 1}

    async with trading(venue) as (exchange, _):
        from_book = exchange.get_book_ticker(PAIR)
        assert from_book == (10, D("49999.9"), D("1.000"), D("50000.1"), D("2.000"))
        for event in (ticker(12, "49999.8"), ticker(11, "49999.7"), ticker(10, "49999.6")):  # later, but older
            await venue.push("public", event)
        trade = {"e": "trade", "s": "BTCUSDT", "t": 1, "p": "50000.1", "q": "1", "T": 1, "m": False}
        await venue.push("public", trade)
        await until(lambda: exchange.get_order_book(PAIR).last_trade_price)  # all of them are in
        assert exchange.get_book_ticker(PAIR) == (12, D("49999.8"), D(3), D("50000.1"), D(2))
        assert exchange.get_order_book(PAIR).best_bid == D("49999.9")  # it changes by its own diffs only
        diff = {"e": "depthUpdate", "s": "BTCUSDT", "U": 10, "u": 13, "pu": 9, "b": [["50000.0", "4"]], "a": [], "T": 1}
        await venue.push("public", diff)
        await until(lambda: exchange.get_book_ticker(PAIR).update_id == 13)
        assert exchange.get_book_ticker(PAIR).best_bid == 50000
        await venue.push("public", ticker(1000, "49999.5"))
        await until(lambda: exchange.get_book_ticker(PAIR).best_bid == D("49999.5"))
        await venue.push("public", diff | {"U": 20, "u": 21, "pu": 19})  # a gap
        await until(lambda: exchange.get_book_ticker(PAIR) is None)
        venue.answers["GET /fapi/v1/depth"] |= {"lastUpdateId": 21}
        await until(lambda: exchange.get_book_ticker(PAIR))
        assert exchange.get_book_ticker(PAIR).update_id == 21  # a ticker from before the gap says nothing any more


async def test_it_is_not_ready_while_the_venue_wants_silence(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        exchange._throttler.pause_until(exchange._clock.monotonic_ns() + 5 * 10**9)
        assert exchange.is_ready  # an order waits for that
        exchange._throttler.pause_until(exchange._clock.monotonic_ns() + 60 * 10**9)
        assert exchange.not_ready_reason == "binance_perpetual is not ready: missing rate_limit"
        exchange._throttler._paused_until_ns = 0  # disconnect() need not wait for it


async def test_an_order_lives_and_fills_by_the_user_stream(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, events):
        order = buy(exchange)
        order_id = order.client_order_id
        await until(lambda: order.exchange_order_id == "77")
        lite = {"e": "TRADE_LITE", "s": "BTCUSDT", "c": order_id, "t": 1, "l": "0.001", "L": "50000", "i": 77}
        await venue.push("private", lite)
        await venue.push("private", venue.fill(order_id, 1, "0.001", "0.001", "PARTIALLY_FILLED"))
        await venue.push("private", {"stream": "x", "data": venue.fill(order_id, 2, "0.001", "0.002", "FILLED")})
        await until(lambda: order.is_done)
        assert order.executed_amount_base == D("0.002")
        fills = ["OrderFilledEvent"] * 2
        assert names(events) == ["BuyOrderCreatedEvent", *fills, "BuyOrderCompletedEvent"]
    sent = venue.asked(PLACE)
    assert len(sent) == 1
    assert sent[0]["newClientOrderId"] == order_id
    expected = {"side": "BUY", "type": "LIMIT", "quantity": "0.002", "price": "49999", "timeInForce": "GTC"}
    assert sent[0] | expected == sent[0]


async def test_options_and_closing(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        exchange.sell(PAIR, D("0.001"), OrderType.MARKET, position_action=PositionAction.CLOSE)
        exchange.sell(PAIR, D("0.001"), OrderType.LIMIT, D("50000"), time_in_force="IOC")
        with pytest.raises(OrderValidationError, match="did you mean reduce_only"):
            exchange.sell(PAIR, D("0.001"), OrderType.LIMIT, D("50000"), reduceonly=True)
        assert len(exchange.in_flight_orders) == 2
        await until(lambda: len(venue.asked(PLACE)) == 2)
    market, limit = sorted(venue.asked(PLACE), key=lambda params: params["type"], reverse=True)
    assert market["reduceOnly"] == "true"
    assert limit["timeInForce"] == "IOC"


async def test_a_cancel_ends_with_the_venues_word(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, events):
        order = buy(exchange)
        order_id = order.client_order_id
        await until(lambda: order.current_state is OrderState.OPEN)
        assert exchange.cancel(PAIR, order_id)
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.CANCELED
        assert names(events) == ["BuyOrderCreatedEvent", "OrderCancelledEvent"]
    assert venue.asked(CANCEL)[0]["origClientOrderId"] == order_id


async def test_an_unknown_order_on_cancel_is_resolved_by_a_query(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, events):
        order = buy(exchange)
        order_id = order.client_order_id
        await until(lambda: order.current_state is OrderState.OPEN)
        venue.answers[CANCEL] = refusing(-2011, "Unknown order sent.")
        venue.answers[QUERY] = lambda params: venue.order(params, "FILLED", "0.002")
        venue.answers["GET /fapi/v1/userTrades"] = [venue.user_trade(5, "0.002")]
        exchange.cancel(PAIR, order_id)
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.FILLED
        assert names(events) == ["BuyOrderCreatedEvent", "OrderFilledEvent", "BuyOrderCompletedEvent"]
    assert venue.asked("GET /fapi/v1/userTrades")[0]["orderId"] == "77"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-2019, "InsufficientBalanceError"),
        (-1111, "InvalidRequestError"),
        (-5022, "PostOnlyRejectedError"),
        (-1021, "TimestampError"),
    ],
)
async def test_a_refusal_ends_the_order(venue: ScriptedBinance, code: int, kind: str) -> None:
    venue.answers[PLACE] = refusing(code)
    async with trading(venue) as (exchange, events):
        order = buy(exchange)
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.FAILED
        assert names(events) == ["MarketOrderFailureEvent"]
        assert next(event.error_type for event in events if hasattr(event, "error_type")) == kind
    assert len(venue.asked(PLACE)) == 1
    assert not venue.asked(QUERY)


async def test_after_a_503_the_order_is_looked_up_and_never_sent_again(venue: ScriptedBinance) -> None:
    venue.answers[PLACE] = refusing(-1007, "Timeout waiting for response from backend server.", 503)
    async with trading(venue) as (exchange, events):
        order = buy(exchange)
        await until(lambda: order.current_state is OrderState.OPEN)
        assert order.exchange_order_id == "77"
        assert names(events) == ["BuyOrderCreatedEvent"]
    assert len(venue.asked(PLACE)) == 1


async def test_what_the_user_stream_missed_is_read_before_it_counts_as_live(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, events):
        order = buy(exchange, "0.003")
        order_id = order.client_order_id
        await until(lambda: order.current_state is OrderState.OPEN)
        await venue.push("private", venue.fill(order_id, 1, "0.001", "0.001", "PARTIALLY_FILLED"))
        await until(lambda: order.executed_amount_base == D("0.001"))
        venue.answers[QUERY] = lambda params: venue.order(params, "FILLED", "0.003")
        venue.answers["GET /fapi/v1/userTrades"] = [venue.user_trade(n, "0.001") for n in (1, 2, 3)]
        venue.answers["GET /fapi/v3/balance"] = [{"asset": "USDT", "balance": "1007", "availableBalance": "907"}]
        await venue.sockets["private"][-1].close()
        await until(lambda: order.is_done)
        await until(lambda: exchange.is_ready)
        assert order.executed_amount_base == D("0.003")
        assert names(events) == ["BuyOrderCreatedEvent", *["OrderFilledEvent"] * 3, "BuyOrderCompletedEvent"]
        assert exchange.get_balance("USDT") == 1007
    assert len(venue.asked("POST /fapi/v1/listenKey")) == 2


async def test_an_expired_listen_key_is_replaced(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        await venue.push("private", {"e": "listenKeyExpired", "listenKey": "listen-to-me"})
        await until(lambda: len(venue.sockets["private"]) == 2)
        await until(lambda: exchange.is_ready)


async def test_the_listen_key_is_renewed_and_replaced_if_that_fails(
    venue: ScriptedBinance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perpetual.constants, "LISTEN_KEY_RENEWAL_S", 0.01)
    async with trading(venue):
        await until(lambda: len(venue.asked("PUT /fapi/v1/listenKey")) >= 2)
        assert len(venue.sockets["private"]) == 1
        venue.answers["PUT /fapi/v1/listenKey"] = refusing(-1125, "This listenKey does not exist.")
        await until(lambda: len(venue.sockets["private"]) >= 2)


async def test_the_account_stream_moves_balances_and_positions(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        position = {"s": "BTCUSDT", "pa": "0.4", "ep": "50000", "up": "3", "ps": "BOTH"}
        await venue.push(
            "private", {"e": "ACCOUNT_CONFIG_UPDATE", "T": TIME_MS + 10**6, "ac": {"s": "BTCUSDT", "l": 25}}
        )
        positions = [position, position | {"ps": "LONG", "pa": "9"}]
        update = {"m": "ORDER", "B": [{"a": "USDT", "wb": "995"}], "P": positions}
        await venue.push("private", {"e": "ACCOUNT_UPDATE", "T": TIME_MS + 10**6, "a": update})
        await until(lambda: exchange.get_position_amount(PAIR) == D("0.4"))
        assert exchange.get_position(PAIR).leverage == 25
        assert exchange.get_balance("USDT") == 995
        asked = len(venue.asked("GET /fapi/v3/balance"))
        await until(lambda: len(venue.asked("GET /fapi/v3/balance")) > asked)  # what is available is read again
        closed = {"m": "ORDER", "P": [position | {"pa": "0"}]}
        await venue.push("private", {"e": "ACCOUNT_UPDATE", "T": TIME_MS + 2 * 10**6, "a": closed})
        await until(lambda: exchange.get_position(PAIR) is None)


async def test_a_gap_in_the_book_is_repaired_and_a_broken_stream_invalidates_it(
    venue: ScriptedBinance,
) -> None:
    def diff(first: int, last: int, prev: int, size: str) -> dict[str, Any]:
        event = {"e": "depthUpdate", "T": 1, "s": "BTCUSDT", "U": first, "u": last, "pu": prev}
        return event | {"b": [["49999.9", size]], "a": []}

    async with trading(venue) as (exchange, _):
        book = exchange.get_order_book(PAIR)
        await venue.push("public", diff(9, 12, 8, "3"))
        await until(lambda: book.best_bid_size == 3)
        hold = asyncio.Event()
        snapshot = venue.answers["GET /fapi/v1/depth"]

        async def held(_: Any) -> Any:
            await hold.wait()
            return snapshot | {"lastUpdateId": 31}

        venue.answers["GET /fapi/v1/depth"] = held
        await venue.push("public", diff(30, 32, 29, "4"))
        await until(lambda: not book.valid)
        assert book.invalid_reason == "gap"
        assert not exchange.is_ready
        assert "BTC-USDT gap" in exchange.not_ready_reason
        await venue.push("public", diff(33, 35, 32, "5"))
        hold.set()
        await until(lambda: book.valid)
        assert (book.last_update_id, book.best_bid_size) == (35, 5)
        hold.clear()
        await venue.sockets["public"][-1].close()
        await until(lambda: book.invalid_reason == "disconnected")
        hold.set()
        await until(lambda: book.valid)


async def test_a_wrong_clock_is_noticed_and_a_read_repeated(venue: ScriptedBinance) -> None:
    refusals = 0
    balances = venue.answers["GET /fapi/v3/balance"]

    def refuse_once(_: Any) -> Any:
        nonlocal refusals
        refusals += 1
        if refusals == 1:
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
        return balances

    venue.answers["GET /fapi/v3/balance"] = refuse_once
    async with trading(venue) as (exchange, _):
        assert exchange.get_balance("USDT") == 1000
    assert refusals == 2
    assert len(venue.asked("GET /fapi/v1/time")) == 6


@pytest.mark.parametrize("refusals", [1, 2])
async def test_a_cancel_that_is_refused_for_its_timestamp_is_repeated_once(
    venue: ScriptedBinance, refusals: int
) -> None:
    cancelled = venue.answers[CANCEL]

    def refuse(params: dict[str, str]) -> Any:
        if len(venue.asked(CANCEL)) <= refusals:
            raise Refusal(-1021, "Timestamp for this request is outside of the recvWindow.")
        return cancelled(params)

    venue.answers[CANCEL] = refuse
    async with trading(venue) as (exchange, _):
        order = buy(exchange)
        await until(lambda: order.current_state is OrderState.OPEN)
        syncs = len(venue.asked("GET /fapi/v1/time"))
        told: list[Any] = []
        exchange.set_error_event_listener(SimpleNamespace(on_error=told.append))
        while not exchange._rest._connections.locked():  # neither cancel nor time sync waits behind what is slow
            await exchange._rest._connections.acquire()
        exchange.cancel(PAIR, order.client_order_id)
        await until(lambda: order.is_done or told)
        assert order.is_done == (refusals == 1)
        assert [event.kind for event in told] == ([] if refusals == 1 else ["cancel_failed"])
    assert len(venue.asked(CANCEL)) == 2
    assert len(venue.asked("GET /fapi/v1/time")) == syncs + 3 * refusals


async def test_hedge_mode_says_how_to_fix_it(venue: ScriptedBinance) -> None:
    venue.answers["GET /fapi/v1/accountConfig"] = {"dualSidePosition": True, "multiAssetsMargin": False}
    with pytest.raises(ConfigurationError, match=r"HEDGE mode.*make it with position_mode=PositionMode\.HEDGE"):
        await connector(venue).connect()


async def test_a_refused_key_ends_connect_at_once(venue: ScriptedBinance) -> None:
    venue.answers["POST /fapi/v1/listenKey"] = refusing(-2015, "Invalid API-key, IP, or permissions.", 401)
    exchange = connector(venue)
    with pytest.raises(AuthenticationError, match="enable futures"):
        await exchange.connect()
    assert not exchange.is_connected


async def test_leverage_and_cancel_all_go_to_the_venue(venue: ScriptedBinance) -> None:
    venue.answers["POST /fapi/v1/leverage"] = lambda params: params
    for path in ("allOpenOrders", "algoOpenOrders"):
        venue.answers[f"DELETE /fapi/v1/{path}"] = {"code": 200, "msg": "done"}
    async with trading(venue) as (exchange, _):
        await exchange.set_leverage(PAIR, 7)
        assert exchange.get_leverage(PAIR) == 7
        await exchange._place_cancel_all(PAIR)
    assert venue.asked("POST /fapi/v1/leverage")[0]["leverage"] == "7"
    for path in ("allOpenOrders", "algoOpenOrders"):
        assert venue.asked(f"DELETE /fapi/v1/{path}")[0]["symbol"] == "BTCUSDT"


async def test_fills_beyond_one_page_are_all_read(venue: ScriptedBinance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perpetual.constants, "FILLS_PER_PAGE", 2)
    fills = [venue.user_trade(n, "0.001") for n in range(1, 6)]
    venue.answers["GET /fapi/v1/userTrades"] = lambda params: [
        fill for fill in fills if fill["id"] >= int(params.get("fromId", 0))
    ][:2]
    async with trading(venue) as (exchange, _):
        read = await exchange._request_fills(PAIR, {"startTime": "1"})
        assert [fill.trade_id for fill in read] == ["1", "2", "3", "4", "5"]
    pages = venue.asked("GET /fapi/v1/userTrades")
    assert [page.get("fromId") for page in pages] == [None, "3", "5"]
    assert ["startTime" in page for page in pages] == [True, False, False]


async def test_a_venue_that_does_not_heed_the_page_is_asked_no_further(
    venue: ScriptedBinance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perpetual.constants, "FILLS_PER_PAGE", 2)
    fills = [venue.user_trade(n, "0.001") for n in (1, 2)]
    venue.answers["GET /fapi/v1/userTrades"] = fills
    async with trading(venue) as (exchange, _):
        async with asyncio.timeout(20.0):
            read = await exchange._request_fills(PAIR, {"orderId": "77"})
        assert [fill.trade_id for fill in read] == ["1", "2"]
    assert len(venue.asked("GET /fapi/v1/userTrades")) == 2


async def test_without_trading_no_key_and_nothing_private(venue: ScriptedBinance) -> None:
    urls = {f"ws_{kind}_url": f"ws://{venue.url}/{kind}" for kind in ("public", "market", "private")}
    exchange = BinancePerpetual(trading_pairs=[PAIR], trading_required=False, rest_url=f"http://{venue.url}", **urls)
    async with exchange:
        assert exchange.is_ready
    assert not [call for call, params in venue.requests if "signature" in params or "listenKey" in call]


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigurationError, match="binance_perpetual_api_key is missing"):
        BinancePerpetual(trading_pairs=[PAIR])
    with pytest.raises(ConfigurationError, match="binance_perpetual_api_secret is missing"):
        BinancePerpetual("key", "", [PAIR])


async def test_neither_key_nor_secret_nor_signature_is_ever_shown(
    venue: ScriptedBinance, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    venue.answers[PLACE] = refusing(-1022)
    async with trading(venue) as (exchange, events):
        buy(exchange)
        await until(lambda: events)
        await venue.sockets["private"][-1].close()
        await until(lambda: len(venue.sockets["private"]) == 2)
        shown = f"{exchange!r} {exchange._rest!r} {exchange._auth!r} {exchange._user_stream!r} {events!r}"
    shown += caplog.text
    assert "user stream" in shown
    signatures = [params["signature"] for _, params in venue.requests if "signature" in params]
    for secret in (KEY, SECRET, "listen-to-me", *signatures):
        assert secret not in shown


async def test_a_pair_that_is_not_traded_gets_a_hint(venue: ScriptedBinance) -> None:
    symbols = [SYMBOL | {"status": "BREAK"}, SYMBOL | {"baseAsset": "BTCX"}]
    venue.answers["GET /fapi/v1/exchangeInfo"] = {"symbols": symbols}
    with pytest.raises(ConfigurationError, match=r"does not trade 'BTC-USDT'.*BTCX-USDT"):
        await connector(venue).connect()


async def test_validation_happens_before_anything_is_sent(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        with pytest.raises(OrderValidationError):
            exchange.buy(PAIR, D("0.0001"), OrderType.LIMIT, D("49999"))
    assert not venue.asked(PLACE)


async def test_it_connects_again_after_a_disconnect(venue: ScriptedBinance) -> None:
    exchange = connector(venue)
    for _ in range(2):
        async with exchange:
            assert exchange.is_ready
        assert not exchange.is_ready
    assert len(venue.sockets["private"]) == len(venue.sockets["public"]) == 2


async def test_an_order_the_rate_limit_has_no_room_for_is_refused_unsent(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, events):
        exchange._throttler.pause_until(exchange._clock.monotonic_ns() + 3600 * 10**9)
        order = buy(exchange)
        await until(lambda: order.is_done)
        assert order.current_state is OrderState.FAILED
        (failure,) = (event for event in events if hasattr(event, "error_message"))
        assert failure.error_type == "ThrottledError"
        assert "not sent" in failure.error_message
    assert not venue.asked(PLACE)
