"""The demo's audit: it finds every way in which client and venue can disagree."""

from __future__ import annotations

import logging
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from qtxconn.cli.audit import Audit, VenueAccount
from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.events import BuyOrderCreatedEvent, OrderCancelledEvent, OrderFilledEvent
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import (
    AddedToCostTradeFee,
    OrderState,
    OrderType,
    OrderUpdate,
    TokenAmount,
    TradeType,
    TradeUpdate,
)

PAIR = "BTC-USDT"


class Session:
    """A tracker with one bought and one sold order, audited as the demo does, and the venue's record of the same."""

    def __init__(self) -> None:
        pubsub = PubSub(logging.getLogger("test"))
        self.tracker = ClientOrderTracker(pubsub)
        self.position = Decimal(0)
        connector: Any = SimpleNamespace(
            add_listener=pubsub.add_listener,
            current_timestamp_ns=lambda: 2_000,
            user_stream_received_ns=1_000,
            _order_tracker=self.tracker,
            get_position_amount=lambda pair: self.position,
        )
        self.audit = Audit(connector)
        self.audit.start()
        self._trade("11", TradeType.BUY, "100", "t1")
        self._trade("12", TradeType.SELL, "101", "t2")
        self.venue = VenueAccount(
            position=Decimal(0),
            wallet_balance=Decimal("1000.8"),
            open_order_ids=[],
            orders={
                "11": {"status": "FILLED", "executedQty": "1"},
                "12": {"status": "FILLED", "executedQty": "1"},
            },
            trades={
                "t1": {"price": "100", "qty": "1", "side": "BUY"},
                "t2": {"price": "101", "qty": "1", "side": "SELL"},
            },
        )

    def _trade(self, client_order_id: str, side: TradeType, price: str, trade_id: str) -> None:
        amount = Decimal(1)
        self.tracker.start_tracking_order(
            InFlightOrder(client_order_id, PAIR, OrderType.LIMIT, side, amount, 1.0, Decimal(price))
        )
        fee = AddedToCostTradeFee(flat_fees=[TokenAmount("USDT", Decimal("0.1"))])
        self.tracker.process_trade_update(
            TradeUpdate(
                trade_id, client_order_id, f"9{client_order_id}", PAIR, 2.0, Decimal(price), amount, Decimal(price), fee
            )
        )

    def violations(self, venue: VenueAccount | None = None) -> list[str]:
        self.audit.compare(PAIR, venue or self.venue, Decimal(1000), "USDT")
        return self.audit.violations


@pytest.fixture
def session() -> Session:
    return Session()


def test_a_session_that_agrees_has_no_violations(session: Session) -> None:
    assert session.violations() == []
    assert session.audit.counts == {"accepted": 2, "fills": 2, "filled": 2}
    assert session.audit.fill_to_event.summary()["max"] == 1_000


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"position": Decimal("0.001")}, "position 0 here, 0.001 at the venue"),
        ({"wallet_balance": Decimal("1000.7")}, "PnL 0.8 from the fills, 0.7 by the venue's wallet"),
        ({"open_order_ids": ["13"]}, "still open at the venue: 13"),
        ({"trades": {}}, "trade t1: booked here, unknown at the venue"),
        ({"orders": {}}, "11: FILLED here, unknown at the venue"),
    ],
)
def test_a_difference_in_the_account_is_a_violation(session: Session, change: dict[str, Any], expected: str) -> None:
    assert expected in session.violations(replace(session.venue, **change))


def test_a_difference_in_an_order_or_trade_is_a_violation(session: Session) -> None:
    session.venue.orders["11"]["status"] = "CANCELED"
    session.venue.orders["12"]["executedQty"] = "0.5"
    session.venue.orders["99"] = {"status": "NEW", "executedQty": "0"}
    session.venue.trades["t2"]["price"] = "102"
    session.venue.trades["t3"] = {"price": "1", "qty": "1", "side": "BUY"}
    text = "\n".join(session.violations())
    assert "11: FILLED here, CANCELED at the venue" in text
    assert "12: executed 1, 0.5 at the venue" in text
    assert "99: at the venue, unknown here" in text
    assert "trade t2: 1 @ 101 here" in text
    assert "trade t3: at the venue, not booked here" in text


def test_an_order_that_is_still_open_here_is_a_violation(session: Session) -> None:
    session.tracker.start_tracking_order(
        InFlightOrder("14", PAIR, OrderType.LIMIT, TradeType.BUY, Decimal(1), 1.0, Decimal(1))
    )
    session.tracker.process_order_update(OrderUpdate(PAIR, 3.0, OrderState.OPEN, "14"))
    assert "still open here: 14" in session.violations()


def test_events_out_of_order_are_violations(session: Session) -> None:
    fill = session.audit.fills["t1"]
    created = BuyOrderCreatedEvent(1.0, OrderType.LIMIT, PAIR, Decimal(1), Decimal(1), "20", 1.0)
    cancelled = OrderCancelledEvent(1.0, "20")
    early = OrderFilledEvent(*fill)._replace(order_id="20", exchange_trade_id="t9")
    for event in (early, created, created, cancelled, cancelled, early):
        session.audit._on_event(event)
    text = "\n".join(session.audit.violations)
    assert "20: filled before created" in text
    assert "20: created twice" in text
    assert "20: OrderCancelledEvent after its terminal event" in text
    assert "20: trade t9 reported twice" in text
    session.audit._on_event(OrderCancelledEvent(1.0, "21"))
    assert "21: OrderCancelledEvent without created" in session.audit.violations
