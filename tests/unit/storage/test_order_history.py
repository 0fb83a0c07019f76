"""The history of finished orders: exact amounts, queries, late fills, other files, and a disk that takes nothing."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import (
    AddedToCostTradeFee,
    OrderState,
    OrderType,
    OrderUpdate,
    PositionAction,
    TokenAmount,
    TradeType,
    TradeUpdate,
)
from qtxconn.storage import order_history
from qtxconn.storage.order_history import FinishedOrder, HistoryError, OrderHistory

from .journals import PAIR, MemoryVenue, run, settle

D = Decimal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite"


@pytest.fixture
def history(path: Path) -> Iterator[OrderHistory]:
    with OrderHistory(path) as history:
        yield history


def ended(order_id: str, created_s: float = 1_700_000_000.25, pair: str = PAIR, **options: object) -> InFlightOrder:
    options = {"price": D("0.00000001"), "initial_state": OrderState.CANCELED} | options
    return InFlightOrder(
        order_id, pair, OrderType.LIMIT, TradeType.SELL, D("123456789.123456789"), created_s, **options
    )


async def test_orders_are_recorded_when_they_end(tmp_path: Path, history: OrderHistory) -> None:
    venue = MemoryVenue()
    async with run(tmp_path / "orders.journal", venue, history=history) as life:
        exchange = life.exchange
        order_id, open_id = life.buy("0.02"), life.buy()
        await settle(lambda: all(order.exchange_order_id for order in exchange.in_flight_orders.values()))
        exchange.stream(venue.execute(order_id, "0.005", "58999.9"))
        exchange.stream(venue.execute(order_id, "0.015"))
        assert history.flush()
        (order,) = history.orders()
        assert order == FinishedOrder(
            "memory", order_id, "1", PAIR, TradeType.BUY, OrderType.LIMIT, PositionAction.NIL, D(59000), D("0.02"),
            D("0.02"), D("0.005") * D("58999.9") + D("0.015") * 60000, OrderState.FILLED,
            exchange.order(order_id).creation_timestamp_ns, exchange.order(order_id).done_ns,
        )  # fmt: skip
        newest, oldest = history.fills()
        assert (newest.base, oldest.base, oldest.price) == (D("0.015"), D("0.005"), D("58999.9"))
        assert (oldest.fees, oldest.trade_type) == ((TokenAmount("USDT", D("0.01")),), TradeType.BUY)
        assert sum(fill.quote for fill in history.fills(client_order_id=order_id)) == order.executed_quote
        assert history.orders(client_order_id=open_id) == []


async def test_a_late_fill_changes_what_is_recorded(tmp_path: Path, history: OrderHistory) -> None:
    venue = MemoryVenue()
    async with run(tmp_path / "orders.journal", venue, history=history) as life:
        order_id = life.buy("0.02")
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
        life.exchange.cancel(PAIR, order_id)
        await settle(lambda: "cancelled" in life.exchange.kinds(order_id))
        life.exchange.stream(venue.execute(order_id, "0.01"))
        assert history.flush()
    (order,) = history.orders()
    assert (order.state, order.executed_base) == (OrderState.CANCELED, D("0.01"))
    assert len(history.fills()) == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_real_fills_are_recorded_in_place_of_provisional_ones(history: OrderHistory, at_once: bool) -> None:
    tracker = ClientOrderTracker(PubSub(logging.getLogger("test")), itemised_fills=False)
    order = InFlightOrder("1", PAIR, OrderType.LIMIT, TradeType.BUY, D(1), 1.0, D(100))
    tracker.start_tracking_order(order)
    misc = {"cumulative_base": D("0.4"), "cumulative_quote": D(41)}
    tracker.process_order_update(OrderUpdate(PAIR, 2.0, OrderState.CANCELED, "1", "v1", misc))
    history.add("memory", order)
    assert at_once or history.flush()
    real = TradeUpdate("t1", "1", "v1", PAIR, 3.0, D(100), D("0.7"), D(70), AddedToCostTradeFee())
    tracker.process_trade_update(real)
    history.add("memory", order)
    assert history.flush()
    assert [(fill.trade_id, fill.base) for fill in history.fills()] == [("t1", D("0.7"))]
    assert [order.executed_quote for order in history.orders()] == [D(70)]


@pytest.mark.parametrize("base", ["0.4", "0.3"])
def test_a_real_fill_that_says_what_was_known_is_recorded_too(history: OrderHistory, base: str) -> None:
    pubsub = PubSub(logging.getLogger("test"))
    tracker = ClientOrderTracker(pubsub, itemised_fills=False)
    history.attach(SimpleNamespace(name="memory", _order_tracker=tracker, add_listener=pubsub.add_listener))
    tracker.start_tracking_order(InFlightOrder("1", PAIR, OrderType.LIMIT, TradeType.BUY, D(1), 1.0, D(100)))
    misc = {"cumulative_base": D("0.4"), "cumulative_quote": D(40)}
    tracker.process_order_update(OrderUpdate(PAIR, 2.0, OrderState.CANCELED, "1", "v1", misc))
    assert history.flush()
    fee = AddedToCostTradeFee(flat_fees=[TokenAmount("USDT", D("0.01"))])
    tracker.process_trade_update(TradeUpdate("t1", "1", "v1", PAIR, 3.0, D(100), D(base), D(base) * 100, fee))
    assert history.flush()
    fills = {fill.trade_id: fill for fill in history.fills()}
    assert (fills["t1"].base, fills["t1"].fees) == (D(base), (TokenAmount("USDT", D("0.01")),))
    assert sum(fill.base for fill in fills.values()) == D("0.4")


async def test_what_ended_before_a_kill_is_recorded_at_the_next_start(tmp_path: Path, history: OrderHistory) -> None:
    venue = MemoryVenue()
    async with run(tmp_path / "orders.journal", venue) as life:
        order_id = life.buy("0.02")
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
        life.exchange.stream(venue.execute(order_id, "0.02"))
    async with run(tmp_path / "orders.journal", venue, history=history):
        assert history.flush()
        assert [order.client_order_id for order in history.orders(state=OrderState.FILLED)] == [order_id]
        assert len(history.fills()) == 1


def test_numbers_are_exact(history: OrderHistory) -> None:
    history.add("x", ended("1"))
    assert history.flush()
    (order,) = history.orders()
    assert (order.price, order.amount) == (D("0.00000001"), D("123456789.123456789"))
    assert order.exchange_order_id is None


def test_queries(history: OrderHistory) -> None:
    for number in range(10):
        state = OrderState.FAILED if number % 2 else OrderState.EXPIRED
        history.add("x", ended(str(number), 1_000.0 + number, "ETH-USDT" if number < 3 else PAIR, initial_state=state))
    assert history.flush()

    def found(**conditions: object) -> list[str]:
        return [order.client_order_id for order in history.orders(**conditions)]

    assert found() == list("9876543210")
    assert found(limit=2) == ["9", "8"]
    assert found(trading_pair="ETH-USDT") == ["2", "1", "0"]
    assert found(trading_pair="ETH-USDT", state=OrderState.FAILED) == ["1"]
    assert found(since_ns=1_003_000_000_000, until_ns=1_005_000_000_000) == ["4", "3"]
    assert found(client_order_id="' OR 1=1 --") == []


def test_it_is_for_its_owner_alone_and_outlives_the_process(path: Path) -> None:
    previous = os.umask(0)
    try:
        with OrderHistory(path) as history:
            history.add("x", ended("1"))
            assert history.flush()
            for file in path.parent.iterdir():
                assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    finally:
        os.umask(previous)
    history.close()
    with OrderHistory(path) as history:
        assert len(history.orders()) == 1


def test_closing_writes_what_is_waiting(path: Path) -> None:
    with OrderHistory(path) as history:
        for number in range(3_000):
            history.add("x", ended(str(number)))
    with OrderHistory(path) as history:
        assert len(history.orders(limit=10_000)) == 3_000


def test_two_may_share_a_file(path: Path) -> None:
    with OrderHistory(path) as one, OrderHistory(path) as other:
        one.add("x", ended("1"))
        other.add("y", ended("1"))
        assert one.flush()
        assert other.flush()
        assert {order.connector for order in one.orders()} == {"x", "y"}


@pytest.mark.parametrize("content", [b"# notes\n" * 200, b"SQLite format 3\0" + bytes(5000)])
def test_another_file_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(HistoryError, match="move the file away"):
        OrderHistory(path)
    assert path.read_bytes() == content


def test_every_fee_is_kept(path: Path) -> None:
    fees = [TokenAmount("USDT", D("0.02")), TokenAmount("BNB", D("-0.00000001")), TokenAmount("USDT", D(1))]
    tracker = ClientOrderTracker(PubSub(logging.getLogger("test")))
    order = InFlightOrder("1", PAIR, OrderType.LIMIT, TradeType.BUY, D(2), 1_700_000_000.0, D(100))
    tracker.start_tracking_order(order)
    for trade_id, flat_fees in (("t1", fees), ("t2", []), ("t3", fees[:1])):
        fee = AddedToCostTradeFee(flat_fees=flat_fees)
        tracker.process_trade_update(TradeUpdate(trade_id, "1", "v1", PAIR, 3.0, D(100), D("0.1"), D(10), fee))
    with OrderHistory(path) as history:
        history.add("x", order)
        assert history.flush()
        assert {fill.trade_id: list(fill.fees) for fill in history.fills()} == {"t1": fees, "t2": [], "t3": fees[:1]}


def test_a_history_of_schema_1_is_taken_over(path: Path) -> None:
    """It had one fee of each fill."""
    path.parent.mkdir()
    fills = order_history._SCHEMA.replace("    fees TEXT NOT NULL,\n", "").replace(
        "    is_taker", "    fee TEXT NOT NULL,\n    fee_asset TEXT NOT NULL,\n    is_taker"
    )
    with closing(sqlite3.connect(path)) as database:
        database.executescript(fills)
        for trade_id, fee, asset in (("t1", "0.01", "USDT"), ("t2", "0", "")):
            row = ("x", "1", trade_id, PAIR, "SELL", "100", "1", "100", fee, asset, 1, 5)
            database.execute(f"INSERT INTO fills VALUES ({', '.join('?' * 12)})", row)
        database.execute("PRAGMA user_version = 1")
        database.commit()
    for _ in range(2):
        with OrderHistory(path) as history:
            newest, oldest = history.fills()
            assert (oldest.fees, newest.fees) == ((TokenAmount("USDT", D("0.01")),), ())
            assert (oldest.trade_id, oldest.quote, oldest.is_taker, oldest.venue_ns) == ("t1", D(100), True, 5)


def test_another_schema_is_named(path: Path) -> None:
    with OrderHistory(path):
        pass
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(HistoryError, match="has schema 9, this version of qtxconn knows 2"):
        OrderHistory(path)


def test_a_path_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HistoryError, match="give a path that you may write"):
        OrderHistory(tmp_path / "file" / "history.sqlite")


def test_what_a_busy_disk_refuses_is_written_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_history, "RETRY_S", 0.01)
    monkeypatch.setattr(order_history, "BUSY_TIMEOUT_S", 0.01)
    with OrderHistory(path) as history, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        history.add("x", ended("1"))
        assert not history.flush(0.1)
        other.execute("ROLLBACK")
        assert history.flush()
        assert len(history.orders()) == 1
        assert history.dropped_orders == 0


def test_the_backlog_is_bounded_and_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_history, "BACKLOG_MAX", 5)
    monkeypatch.setattr(order_history, "RETRY_S", 0.01)
    monkeypatch.setattr(order_history, "BUSY_TIMEOUT_S", 0.01)
    with OrderHistory(path) as history, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        history.add("x", ended("first"))
        assert not history.flush(0.2)  # the thread has taken it, and tries in vain from now on
        for number in range(20):
            history.add("x", ended(str(number)))
        assert history.dropped_orders >= 20 - 5
        other.execute("ROLLBACK")
        assert history.flush()
        assert len(history.orders()) == 21 - history.dropped_orders
