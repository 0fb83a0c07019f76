"""Margin calls, liquidation, deleveraging and the insurance fund."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from qtxconn.sim.model import IncomeType, OrderType, Side
from qtxconn.sim.risk import DELEVERAGING_PREFIX, LIQUIDATION_PREFIX, liquidation_price

S = "BTCUSDT"


class Notices:
    """Keeps what owners are told."""

    def __init__(self, venue) -> None:
        self.margin_calls: list[str] = []
        self.forced: list[str] = []
        venue.add_notice_listener(self)

    def on_leverage(self, account, symbol, leverage) -> None: ...
    def on_conditional(self, order) -> None: ...

    def on_margin_call(self, account, positions) -> None:
        self.margin_calls.append(account.api_key)

    def on_forced_order(self, order) -> None:
        self.forced.append(order.client_order_id)


@pytest.fixture
def notices(venue) -> Notices:
    return Notices(venue)


def book(venue, bid_lots: int = 50_000, ask_lots: int = 50_000) -> None:
    engine = venue.engine(S)
    engine.set_ambient(Side.BUY, 999_9, bid_lots, 0)
    engine.set_ambient(Side.SELL, 1000_1, ask_lots, 0)
    engine.publish()


def long_of(venue, name: str, balance: int, quantity: str):
    account = venue.open_account(name, f"secret-of-{name}", balance=D(balance))
    venue.place_order(account, S, Side.BUY, OrderType.MARKET, D(quantity))
    return account


def test_a_margin_call_comes_once_and_again_only_after_recovery(venue, notices):
    book(venue)
    account = long_of(venue, "a", 1_000, "10")  # 10,000 at 20x: half of the wallet
    liquidated_at = liquidation_price(account, account.position(venue.instrument(S)), {S: D(1000)})
    for price in (1000, 1000, liquidated_at + D("0.5"), liquidated_at + D("0.4")):
        venue.set_mark_price(S, D(price))
        venue.run_due()
    assert notices.margin_calls == ["a"]
    for price in (1000, liquidated_at + D("0.5")):
        venue.set_mark_price(S, D(price))
        venue.run_due()
    assert notices.margin_calls == ["a", "a"]
    assert notices.forced == []


def test_liquidation_at_its_price_and_not_before(venue, notices):
    book(venue)
    account = long_of(venue, "a", 1_000, "10")
    position = account.position(venue.instrument(S))
    resting = venue.place_order(account, S, Side.BUY, OrderType.LIMIT, D(1), D(990))
    venue.set_mark_price(S, D(1000))
    price = liquidation_price(account, position, {S: D(1000)})
    assert 900 < price < 910
    venue.set_mark_price(S, price + D("0.01"))
    venue.run_due()
    assert position.amount == 10_000
    assert resting.is_open
    venue.set_mark_price(S, price - D("0.01"))
    venue.run_due()
    assert position.amount == 0
    assert resting.status == "CANCELED"
    [forced] = account.forced_orders
    assert notices.forced == [forced.client_order_id]
    assert forced.client_order_id.startswith(LIQUIDATION_PREFIX)
    assert (forced.status, forced.filled) == ("FILLED", 10_000)  # at the book's 999.9, far from bankruptcy
    fees = [record.amount for record in account.income if record.type is IncomeType.INSURANCE_CLEAR]
    assert venue.risk.insurance_fund == -sum(fees) > 0
    venue.run_due()
    assert len(account.forced_orders) == 1


def test_the_wallet_is_the_sum_of_its_income(venue):
    book(venue)
    account = long_of(venue, "a", 1_000, "10")
    venue.apply_funding(S)
    venue.set_mark_price(S, D(850))
    venue.run_due()
    assert account.wallet_balance == sum(record.amount for record in account.income)


def test_what_the_book_cannot_take_is_deleveraged_and_nothing_is_owed(venue, notices):
    book(venue, ask_lots=20_000)
    winner = venue.open_account("winner", "secret-of-winner", balance=D(10_000))
    venue.place_order(winner, S, Side.SELL, OrderType.MARKET, D(6))
    other = venue.open_account("other", "secret-of-other", balance=D(100_000))
    venue.set_leverage(other, S, 5)
    venue.place_order(other, S, Side.SELL, OrderType.MARKET, D(6))
    loser = long_of(venue, "loser", 1_000, "10")
    venue.engine(S).set_ambient(Side.BUY, 999_9, 0, 0)
    venue.engine(S).set_ambient(Side.BUY, 850_0, 1_000, 0)  # one lies within reach of a mark of 880
    venue.set_mark_price(S, D(880))
    venue.run_due()
    instrument = venue.instrument(S)
    assert loser.position(instrument).amount == 0
    assert loser.wallet_balance >= 0
    assert winner.position(instrument).amount == 0  # 20x before 5x: the first to go
    assert other.position(instrument).amount == -3_000  # 9 left over by the book, 6 of them the winner's
    kinds = [client_id.rstrip("0123456789") for client_id in notices.forced]
    assert kinds == [LIQUIDATION_PREFIX, DELEVERAGING_PREFIX, DELEVERAGING_PREFIX, LIQUIDATION_PREFIX]
    cleared = [record.amount for record in loser.income if record.type is IncomeType.INSURANCE_CLEAR]
    assert cleared[-1] > 0  # the fund paid for a wallet below 0


def test_an_isolated_position_falls_alone(venue):
    book(venue)
    account = venue.open_account("a", "secret-of-a", balance=D(100_000))
    venue.set_isolated(account, S, True)
    venue.place_order(account, S, Side.BUY, OrderType.MARKET, D(10))
    position = account.position(venue.instrument(S))
    venue.set_mark_price(S, D(1000))
    price = liquidation_price(account, position, {S: D(1000)})
    assert 950 < price < 960  # a twentieth of 1000 away, less the maintenance margin
    venue.set_mark_price(S, price - 1)
    venue.run_due()
    assert position.amount == 0
    assert account.wallet_balance > 99_000


def test_quantiles_rank_the_most_leveraged_profit_first(venue):
    book(venue)
    high, low = long_of(venue, "high", 10_000, "1"), long_of(venue, "low", 10_000, "1")
    venue.set_leverage(low, S, 2)
    venue.set_mark_price(S, D(1100))
    instrument = venue.instrument(S)
    assert venue.risk.quantile(high, high.position(instrument)) == 4
    assert venue.risk.quantile(low, low.position(instrument)) < 4
    idle = venue.open_account("idle", "secret-of-idle")
    assert venue.risk.quantile(idle, idle.position(instrument)) == 0
