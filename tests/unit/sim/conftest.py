"""A small venue and a recorder of everything it publishes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qtxconn.sim.model import (
    BookTicker,
    DepthUpdate,
    Execution,
    ExecutionType,
    Instrument,
    MarketTrade,
    SimClock,
    SimOrder,
)
from qtxconn.sim.venue import Venue


class Recorder:
    """Keeps all events, public and private, in the order in which they came."""

    def __init__(self, venue: Venue) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.depths: list[DepthUpdate] = []
        self.tickers: list[BookTicker] = []
        self.trades: list[MarketTrade] = []
        self.executions: list[Execution] = []
        self.orders: list[tuple[SimOrder, ExecutionType, str]] = []
        self.accounts: list[tuple[str, str, Decimal]] = []
        venue.add_market_listener(self)
        venue.add_account_listener(self)

    def on_depth(self, symbol: str, update: DepthUpdate) -> None:
        self.depths.append(update)
        self.log.append(("depth", update.last_id))

    def on_ticker(self, symbol: str, ticker: BookTicker) -> None:
        self.tickers.append(ticker)
        self.log.append(("ticker", ticker.bid, ticker.bid_qty, ticker.ask, ticker.ask_qty))

    def on_trade(self, symbol: str, trade: MarketTrade) -> None:
        self.trades.append(trade)
        self.log.append(("trade", trade.price, trade.quantity))

    def on_order(self, account, order, execution_type, execution) -> None:
        self.orders.append((order, execution_type, order.status.value))
        self.log.append(("order", order.client_order_id, execution_type.value, order.status.value))
        if execution is not None:
            self.executions.append(execution)

    def on_account(self, account, reason, assets, positions) -> None:
        self.accounts.append((account.api_key, reason, assets[0][1]))
        self.log.append(("account", account.api_key, reason))


@pytest.fixture(scope="session")
def recorder_type() -> type[Recorder]:
    """For tests that make their own venues, many times."""
    return Recorder


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture
def instrument() -> Instrument:
    return Instrument("BTCUSDT", "BTC", "USDT", Decimal("0.10"), Decimal("0.001"), min_notional=Decimal("5"))


@pytest.fixture
def venue(instrument: Instrument, clock: SimClock) -> Venue:
    return Venue([instrument], clock)


@pytest.fixture
def recorder(venue: Venue) -> Recorder:
    return Recorder(venue)
