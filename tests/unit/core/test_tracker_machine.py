"""The tracker against a model in plain Python: any schedule of reports, fills, repeats and cancels."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.in_flight_order import InFlightOrder, legal_moves
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import (
    AddedToCostTradeFee,
    MarketEvent,
    OrderState,
    OrderType,
    OrderUpdate,
    TokenAmount,
    TradeType,
    TradeUpdate,
)

PAIRS = ("BTC-USDT", "ETH-USDT")
LIMIT = 6  # ended orders remembered
MOVES = legal_moves()
TERMINAL_WORDS = {"completed": OrderState.FILLED, "cancelled": OrderState.CANCELED, "expired": OrderState.EXPIRED,
                  "failed": OrderState.FAILED}  # fmt: skip
EVENT_WORDS = {
    MarketEvent.BuyOrderCreated: "created", MarketEvent.SellOrderCreated: "created", MarketEvent.OrderFilled: "filled",
    MarketEvent.BuyOrderCompleted: "completed", MarketEvent.SellOrderCompleted: "completed",
    MarketEvent.OrderCancelled: "cancelled", MarketEvent.OrderExpired: "expired", MarketEvent.OrderFailure: "failed",
}  # fmt: skip
REPORTS = [OrderState.OPEN, OrderState.PARTIALLY_FILLED, OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED,
           OrderState.FAILED]  # fmt: skip


@dataclass
class Model:
    """What must be true of one order: written from the invariants, not from the code."""

    view: InFlightOrder
    pair: str
    amount: Decimal
    fills: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)  # trade id -> (base, quote)
    words: list[str] = field(default_factory=list)
    end: OrderState | None = None
    counted: Decimal = Decimal(0)  # the most that the venue has said is executed
    reported_end: OrderState | None = None
    venue_ids: set[str] = field(default_factory=set)
    last_state: OrderState = OrderState.PENDING_CREATE

    @property
    def base(self) -> Decimal:
        return sum((base for base, _ in self.fills.values()), Decimal(0))

    def settle(self) -> None:
        """Ends the order when its fills say so, or the venue has and every fill that it counts is here."""
        if self.end is None:
            if self.base == self.amount:
                self.end = OrderState.FILLED
            elif self.reported_end not in (None, OrderState.FILLED) and self.base >= self.counted:
                self.end = self.reported_end


class Harness:
    """A tracker, its models, and the checks that hold after every step."""

    def __init__(self) -> None:
        pubsub = PubSub(logging.getLogger("test.machine"))
        self.tracker = ClientOrderTracker(pubsub, finished_orders_max=LIMIT)
        self.models: dict[str, Model] = {}
        self.ended: list[str] = []  # in the order in which they ended
        self.forgotten: set[str] = set()
        self.next_id = 1
        self.ignored = 0
        for tag, word in EVENT_WORDS.items():
            pubsub.add_listener(tag, lambda event, word=word: self.hear(word, event))

    def hear(self, word: str, event: Any) -> None:
        model = self.models[event.order_id]
        if word == "filled":
            base, quote = model.fills[event.exchange_trade_id]
            assert event.amount == base
            assert event.price * base == quote
        elif word == "completed":
            assert event.base_asset_amount == model.amount
            assert event.quote_asset_amount == sum(quote for _, quote in model.fills.values())
        model.words.append(word)

    def start(self, amount: Decimal, buy: bool, pair: str, foreign: bool) -> str:
        order_id = f"other-{self.next_id}" if foreign else str(self.next_id)
        self.next_id += 1
        view = InFlightOrder(
            order_id, pair, OrderType.LIMIT, TradeType.BUY if buy else TradeType.SELL, amount, 1.0, price=Decimal(2)
        )
        self.models[order_id] = Model(view, pair, amount)
        self.tracker.start_tracking_order(view)
        return order_id

    def report(self, order_id: str, state: OrderState, time: float, counted: Decimal | None, by_venue_id: bool) -> None:
        model = self.models[order_id]
        if model.end is OrderState.FAILED and state is not OrderState.FAILED:
            return  # life after the end makes an external order: see test_tracker_ids.py
        venue_id = f"v{order_id}"
        named = None if by_venue_id and venue_id in model.venue_ids else order_id
        misc = None if counted is None else {"cumulative_base": counted}
        if order_id not in self.forgotten and model.end is None:
            stale = time < model.view.last_update_timestamp and model.view.last_update_timestamp != 1.0
            if state.is_terminal or not stale or model.view.current_state is OrderState.UNKNOWN:
                model.counted = max(model.counted, counted or Decimal(0))
                if state is OrderState.FAILED:
                    model.end = OrderState.FAILED
                elif state.is_terminal and model.reported_end is None:
                    model.reported_end = state
                model.settle()
            model.venue_ids.add(venue_id)
        self.tracker.process_order_update(OrderUpdate(model.pair, time, state, named, venue_id, misc))
        self.note(order_id)

    def fill(self, order_id: str, trade_id: str, base: Decimal, price: Decimal, time: float, by_venue_id: bool) -> None:
        model = self.models[order_id]
        if model.end is OrderState.FAILED:
            return
        trade_id = f"{order_id}-{trade_id}"  # an account has each trade once
        venue_id = f"v{order_id}"
        named = None if by_venue_id and venue_id in model.venue_ids else order_id
        if order_id not in self.forgotten:
            model.venue_ids.add(venue_id)
            if trade_id not in model.fills and model.base + base <= model.amount:
                model.fills[trade_id] = (base, base * price)
                model.settle()
        fee = AddedToCostTradeFee(flat_fees=[TokenAmount("USDT", Decimal("0.1"))])
        self.tracker.process_trade_update(
            TradeUpdate(trade_id, named, venue_id, model.pair, time, price, base, base * price, fee)
        )
        self.note(order_id)

    def local(self, order_id: str, what: str) -> None:
        model = self.models[order_id]
        if what == "failed":
            if model.view.is_tracked and model.end is None:
                model.end = OrderState.FAILED
            self.tracker.mark_failed(model.view, ValueError("refused"))
        else:
            getattr(self.tracker, what)(model.view)
        self.note(order_id)

    def note(self, order_id: str) -> None:
        """Keeps the list of ended orders, and forgets the oldest as the tracker has to."""
        if self.models[order_id].end is not None and order_id not in self.ended and order_id not in self.forgotten:
            self.ended.append(order_id)
        while len(self.ended) > LIMIT:
            self.forgotten.add(self.ended.pop(0))
        self.check(order_id)

    def check(self, order_id: str) -> None:
        model = self.models[order_id]
        view = model.view
        # Amounts are the exact sums of the fills, each once.
        assert view.executed_amount_base == model.base <= model.amount
        assert view.executed_amount_quote == sum((quote for _, quote in model.fills.values()), Decimal(0))
        assert list(view.order_fills) == list(model.fills)
        # The state ends when and as it has to, and moves along the table until then.
        state = view.current_state
        assert view.is_done == (model.end is not None)
        if model.end is not None:
            assert state is model.end
        back = model.last_state in (OrderState.PENDING_CANCEL, OrderState.PENDING_UPDATE)
        assert state is model.last_state or state in MOVES[model.last_state] or back
        model.last_state = state
        # Created first and once, one terminal event, fills told as often as booked.
        words = model.words
        assert words.count("created") <= 1
        assert words.count("filled") == len(model.fills)
        ends = [word for word in words if word in TERMINAL_WORDS]
        assert len(ends) == (model.end is not None)
        if ends:
            assert TERMINAL_WORDS[ends[0]] is model.end
        if words:
            assert words[0] == "created" or words[0] == "failed"
        if model.end is OrderState.FILLED:
            assert words[-1] == "completed"
        # Found by either id for as long as it is remembered, and by nothing afterwards.
        known = order_id not in self.forgotten
        assert view.is_tracked == known
        assert (self.tracker.fetch_order(order_id) is view) == known
        for venue_id in model.venue_ids:
            assert (self.tracker.fetch_order(None, venue_id) is view) == known

    def check_pools(self) -> None:
        live = [order_id for order_id, model in self.models.items() if model.end is None]
        assert list(self.tracker.active_orders) == live
        assert list(self.tracker.cached_orders) == self.ended
        assert set(self.tracker.all_fillable_orders) == {*live, *self.ended}


amounts = st.integers(1, 8).map(lambda lots: Decimal(lots) / 10)
times = st.integers(2, 9).map(float)


class TrackerMachine(RuleBasedStateMachine):
    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.harness = Harness()

    @rule(target=orders, amount=amounts, buy=st.booleans(), pair=st.sampled_from(PAIRS), foreign=st.booleans())
    def start(self, amount: Decimal, buy: bool, pair: str, foreign: bool) -> str:
        return self.harness.start(amount, buy, pair, foreign)

    @rule(order=orders, state=st.sampled_from(REPORTS), time=times, counted=st.none() | amounts, by_venue=st.booleans())
    def report(self, order: str, state: OrderState, time: float, counted: Decimal | None, by_venue: bool) -> None:
        self.harness.report(order, state, time, counted, by_venue)

    @rule(
        order=orders, trade=st.integers(1, 6), base=amounts, price=st.integers(1, 9), time=times, by_venue=st.booleans()
    )
    def fill(self, order: str, trade: int, base: Decimal, price: int, time: float, by_venue: bool) -> None:
        self.harness.fill(order, f"t{trade}", base, Decimal(price), time, by_venue)

    @rule(
        order=orders,
        what=st.sampled_from(["mark_submitted", "mark_pending_cancel", "mark_unknown", "revert_pending", "failed"]),
    )
    def local(self, order: str, what: str) -> None:
        self.harness.local(order, what)

    @rule(order=consumes(orders))
    def forget(self, order: str) -> None:
        harness = self.harness
        harness.tracker.stop_tracking_order(order)
        harness.forgotten.add(order)
        harness.check(order)
        if order in harness.ended:
            harness.ended.remove(order)
        del harness.models[order]

    @invariant()
    def pools(self) -> None:
        self.harness.check_pools()


TestTrackerMachine = TrackerMachine.TestCase
TestTrackerMachine.settings = settings(max_examples=150, stateful_step_count=60)


def test_thirty_thousand_random_steps_agree_with_the_model() -> None:
    rng = random.Random(20240808)
    harness = Harness()
    for step in range(30_000):
        live = list(harness.tracker.active_orders)
        remembered = list(harness.tracker.cached_orders)
        if len(live) < 20 and rng.random() < 0.3:
            harness.start(Decimal(rng.randint(1, 50)) / 10, rng.random() < 0.5, rng.choice(PAIRS), rng.random() < 0.2)
            continue
        pool = live if live and rng.random() < 0.8 else remembered
        if not pool:
            continue
        order = rng.choice(pool)
        time = 2.0 + step / 100 + rng.uniform(-5, 1)
        kind = rng.random()
        if kind < 0.55:
            base = Decimal(rng.randint(1, 20)) / 10
            harness.fill(order, f"t{rng.randint(1, 9)}", base, Decimal(rng.randint(1, 99)), time, rng.random() < 0.3)
        elif kind < 0.85:
            weights = [6, 4, 2, 2, 1, 1]
            counted = None if rng.random() < 0.5 else Decimal(rng.randint(0, 50)) / 10
            harness.report(order, rng.choices(REPORTS, weights)[0], max(time, 2.0), counted, rng.random() < 0.3)
        else:
            what = rng.choice(["mark_submitted", "mark_pending_cancel", "mark_unknown", "revert_pending"])
            harness.local(order, what)
        if step % 50 == 0:
            harness.check_pools()
    counts = harness.tracker.update_counts
    assert len(harness.forgotten) > 1000
    for reason in ("changed", "unchanged", "stale", "terminal", "duplicate_fill", "overfill"):
        assert counts[reason] > 100, f"the run reached too little of {reason}: {counts}"
