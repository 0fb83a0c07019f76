"""The account's events: applied once, whatever their order, and asked for where one could not be read."""

from __future__ import annotations

import itertools
import random
from decimal import Decimal
from typing import Any

import pytest

from qtxconn.core.types import AccountEvent, OrderState, PositionSide

from .scripted_binance import QUERY, TIME_MS, ScriptedBinance, until
from .test_binance_perpetual import PAIR, buy, connector, names, trading

D = Decimal
SOON_MS = TIME_MS + 30_000  # after every request of a test
POSITION = {"s": "BTCUSDT", "ep": "50000", "up": "3", "ps": "BOTH"}


def account_update(after_ms: int, balance: str, position: str) -> dict[str, Any]:
    account = {"m": "ORDER", "B": [{"a": "USDT", "wb": balance}], "P": [POSITION | {"pa": position}]}
    return {"e": "ACCOUNT_UPDATE", "E": SOON_MS + after_ms, "T": SOON_MS + after_ms, "a": account}


def leverage_update(after_ms: int, leverage: int) -> dict[str, Any]:
    ac = {"s": "BTCUSDT", "l": leverage}
    return {"e": "ACCOUNT_CONFIG_UPDATE", "E": SOON_MS + after_ms, "T": SOON_MS + after_ms, "ac": ac}


async def heard(exchange: Any, venue: ScriptedBinance) -> None:
    """Everything that was pushed so far is applied: the messages of a stream come in order."""
    told: list[Any] = []
    exchange.add_listener(AccountEvent.MarginCall, told.append)
    await venue.push("private", margin_call())
    await until(lambda: told)
    exchange.remove_listener(AccountEvent.MarginCall, told.append)


def margin_call(symbol: str = "BTCUSDT") -> dict[str, Any]:
    row = {
        "s": symbol,
        "ps": "BOTH",
        "pa": "-0.4",
        "mt": "CROSSED",
        "iw": "0",
        "mp": "61000.5",
        "up": "-4400",
        "mm": "99.5",
    }
    return {"e": "MARGIN_CALL", "E": SOON_MS, "cw": "100", "p": [row]}


async def test_a_margin_call_is_told_with_its_position(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        calls: list[Any] = []
        exchange.add_listener(AccountEvent.MarginCall, calls.append)
        await venue.push("private", margin_call("BTCUSDT_260327"))  # not a perpetual: nobody here trades it
        for _ in range(2):  # the venue repeats it while it holds
            await venue.push("private", margin_call())
        await until(lambda: len(calls) == 2)
        call = calls[0]
        assert (call.trading_pair, call.position_side, call.amount) == (PAIR, PositionSide.BOTH, D("-0.4"))
        assert (call.mark_price, call.unrealized_pnl, call.maintenance_margin) == (D("61000.5"), D(-4400), D("99.5"))
        assert exchange.get_position(PAIR) is None  # a warning, not a report


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_account_updates_in_any_order_leave_the_newest(venue: ScriptedBinance, order: tuple[int, ...]) -> None:
    updates = [account_update(10, "990", "0.1"), account_update(20, "980", "0.2"), account_update(30, "970", "0.3")]
    async with trading(venue) as (exchange, _):
        for number in (*order, *order):  # each twice
            await venue.push("private", updates[number])
        await heard(exchange, venue)
        assert exchange.get_position_amount(PAIR) == D("0.3")
        assert exchange.get_balance("USDT") == 970


async def test_a_closed_position_is_not_opened_by_a_late_update(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        for update in (
            account_update(10, "990", "0.1"),
            account_update(20, "980", "0"),
            account_update(10, "990", "0.1"),
        ):
            await venue.push("private", update)
        await heard(exchange, venue)
        assert exchange.get_position(PAIR) is None


async def test_an_answer_does_not_undo_what_was_streamed_after_its_request(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        await venue.push("private", account_update(0, "500", "0.7"))
        await heard(exchange, venue)
        await exchange._update_positions()  # asked at a venue time before the update's: it lists no position
        await exchange._update_balances()
        assert exchange.get_position_amount(PAIR) == D("0.7")
        assert exchange.get_balance("USDT") == 500


async def test_a_venues_clock_that_was_set_back_is_followed(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        await venue.push("private", account_update(3_600_000, "500", "0.7"))
        await venue.push("private", account_update(0, "400", "0.8"))
        await heard(exchange, venue)
        assert exchange.get_position_amount(PAIR) == D("0.8")
        assert exchange.get_balance("USDT") == 400


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_leverage_updates_in_any_order_leave_the_newest(venue: ScriptedBinance, order: tuple[int, ...]) -> None:
    updates = [leverage_update(10, 10), leverage_update(20, 20), leverage_update(30, 30)]
    async with trading(venue) as (exchange, _):
        await venue.push("private", account_update(0, "990", "0.1"))
        for number in (*order, *order):
            await venue.push("private", updates[number])
        await heard(exchange, venue)
        assert exchange.get_leverage(PAIR) == 30
        assert exchange.get_position(PAIR).leverage == 30  # of the position that was open before, too
        await venue.push("private", account_update(40, "990", "0.2"))
        await heard(exchange, venue)
        assert exchange.get_position(PAIR).leverage == 30


async def test_the_assets_mode_is_read_and_followed(venue: ScriptedBinance) -> None:
    async with trading(venue) as (exchange, _):
        assert not exchange.is_multi_assets_mode
        await venue.push("private", {"e": "ACCOUNT_CONFIG_UPDATE", "T": SOON_MS, "ai": {"j": True}})
        await heard(exchange, venue)
        assert exchange.is_multi_assets_mode
        assert exchange.get_leverage(PAIR) == 1


@pytest.mark.parametrize("seed", range(6))
async def test_fills_and_their_forerunners_in_any_order(venue: ScriptedBinance, seed: int) -> None:
    """TRADE_LITE, ORDER_TRADE_UPDATE and ACCOUNT_UPDATE of two fills, each twice, in a random order."""
    async with trading(venue) as (exchange, events):
        order = buy(exchange, "0.003")
        order_id = order.client_order_id
        await until(lambda: order.exchange_order_id == "77")
        lite = {"e": "TRADE_LITE", "s": "BTCUSDT", "c": order_id, "L": "50000", "i": 77, "q": "0.003", "p": "49999"}
        pushed = [
            lite | {"t": 1, "l": "0.001"},
            venue.fill(order_id, 1, "0.001", "0.001", "PARTIALLY_FILLED"),
            account_update(1, "999", "0.001"),
            lite | {"t": 2, "l": "0.002"},
            venue.fill(order_id, 2, "0.002", "0.003", "FILLED"),
            account_update(2, "998", "0.003"),
        ] * 2
        random.Random(seed).shuffle(pushed)
        for event in pushed:
            await venue.push("private", event)
        await until(lambda: order.is_done)
        await heard(exchange, venue)
        assert (order.current_state, order.executed_amount_base) == (OrderState.FILLED, D("0.003"))
        told = names(events)
        assert (told[0], told[-1]) == ("BuyOrderCreatedEvent", "BuyOrderCompletedEvent")
        assert told[1:-1] == ["OrderFilledEvent"] * 2
        assert exchange.get_position_amount(PAIR) == D("0.003")
        assert exchange.get_balance("USDT") == 998


@pytest.mark.parametrize(
    "frame", ["<html>", '{"e":"ORDER_TRADE_UPDATE","o":{"s":"BTCUSDT"}}', "[]"], ids=["html", "cut", "list"]
)
async def test_a_message_that_cannot_be_read_has_the_venue_asked_at_once(venue: ScriptedBinance, frame: str) -> None:
    async with trading(venue) as (exchange, events):
        order = buy(exchange, "0.003")
        await until(lambda: order.exchange_order_id == "77")
        venue.answers[QUERY] = lambda params: venue.order(params, "FILLED", "0.003", cumQuote="150")
        venue.answers["GET /fapi/v1/userTrades"] = [venue.user_trade(1, "0.001"), venue.user_trade(2, "0.002")]
        socket = venue.sockets["private"][-1]
        await socket.send_str(frame)
        await until(lambda: order.is_done)  # long before the poll
        assert order.executed_amount_base == D("0.003")
        assert names(events)[-1] == "BuyOrderCompletedEvent"
        assert not socket.closed


async def test_many_unreadable_messages_have_the_venue_asked_once(venue: ScriptedBinance) -> None:
    """At once for the first one; what came meanwhile waits for the next look, DAMAGE_INTERVAL_S later."""
    exchange = connector(venue)
    alarms: list[Any] = []

    class Alarms:
        def on_error(self, event: Any) -> None:
            alarms.append(event.kind)

    exchange.set_error_event_listener(Alarms())
    async with exchange:
        asked = len(venue.asked("GET /fapi/v2/positionRisk"))
        for _ in range(200):
            await venue.sockets["private"][-1].send_str("<html>")
        await until(lambda: len(venue.asked("GET /fapi/v2/positionRisk")) > asked)
        await heard(exchange, venue)
        assert len(venue.asked("GET /fapi/v2/positionRisk")) == asked + 1
        assert alarms.count("user_stream") <= 2
