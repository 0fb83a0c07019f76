"""Order updates from their bytes to the tracker: the same orders, events and counts as by the generic path."""

from __future__ import annotations

import copy
import logging
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.clock import Clock
from qtxconn.core.events import EVENT_ROUTES
from qtxconn.core.in_flight_order import InFlightOrder
from qtxconn.core.pubsub import PubSub
from qtxconn.core.types import OrderState, OrderType, TradeType
from qtxconn.errors import QtxconnError
from qtxconn.exchanges.binance import messages
from qtxconn.exchanges.binance.scanner import UserScanner

from .json_shapes import bad_texts, mangled, written

PAIRS = {"BTCUSDT": "BTC-USDT", "ETHUSDT": "ETH-USDT"}
D = Decimal


class StillClock(Clock):
    """Time stands still, so that the number of looks at it makes no difference."""

    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000

    def monotonic_ns(self) -> int:
        return 1_000


class Account:
    """A tracker with two orders and its two ways in: as the connector does it, or by the generic path alone."""

    def __init__(self, scanned: bool, **options: Any) -> None:
        self.events: list[Any] = []
        pubsub = PubSub(logging.getLogger("test"))
        for tag in {tag for tag, _ in EVENT_ROUTES.values()}:
            pubsub.add_listener(tag, self.events.append)
        pubsub.set_error_event_listener(SimpleNamespace(on_error=self.events.append))
        self.tracker = ClientOrderTracker(pubsub, StillClock(), client_order_id_prefix="x-", **options)
        self.scanner = UserScanner(self.tracker, PAIRS.get if scanned else lambda _: None)
        self.taken = 0
        for number, side in ((1, TradeType.BUY), (2, TradeType.SELL)):
            order = InFlightOrder(f"x-{number}", "BTC-USDT", OrderType.LIMIT, side, D("0.01"), 1.0, D("7000"))
            self.tracker.start_tracking_order(order)

    def process(self, raw: bytes | str) -> str | None:
        """Name of the error that the message ends in, if it does."""
        if self.scanner.process_message(raw):
            self.taken += 1
            return None
        try:
            event = orjson.loads(raw)
            event = event.get("data", event)
            if event.get("e") == "ORDER_TRADE_UPDATE" and (pair := PAIRS.get(event["o"]["s"])) is not None:
                order_update, trade_update = messages.parse_order_trade_update(event, pair)
                if trade_update is not None:
                    self.tracker.process_trade_update(trade_update)
                self.tracker.process_order_update(order_update)
        except (QtxconnError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return type(error).__name__
        return None

    def state(self) -> tuple[Any, ...]:
        orders = [
            (
                order.client_order_id,
                order.exchange_order_ids,
                (order.current_state, order.reported_state, order.awaits_fills, order.transitions),
                (order.executed_amount_base, order.executed_amount_quote, order.cumulative_fee_paid("USDT")),
                (order.last_update_timestamp, order.order_fills),
            )
            for order in self.tracker.all_orders.values()
        ]
        return orders, list(self.tracker.active_orders), self.tracker.update_counts, self.events


def same_end(raws: list[bytes | str], **options: Any) -> int:
    """Checks that both ways lead to the same orders and events; returns how many messages the scanner took."""
    scanned, generic = Account(True, **options), Account(False, **options)
    for raw in raws:
        assert scanned.process(raw) == generic.process(raw)
        assert scanned.state() == generic.state()
    assert generic.taken == 0
    return scanned.taken


def update(**fields: Any) -> dict[str, Any]:
    """An ORDER_TRADE_UPDATE with all of the wire's fields; by default the acceptance of order 1."""
    order = {
        "s": "BTCUSDT",
        "c": "x-1",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTC",
        "q": "0.010",
        "p": "7000",
        "ap": "0",
        "sp": None,
        "x": "NEW",
        "X": "NEW",
        "i": 8886774,
        "l": "0",
        "z": "0",
        "L": "0",
        "n": "0",
        "N": "USDT",
        "T": 1568879465651,
        "t": 0,
        "b": "0",
        "a": "9.91",
        "m": False,
        "R": False,
        "wt": "CONTRACT_PRICE",
        "ot": "LIMIT",
        "ps": "BOTH",
        "cp": False,
        "rp": "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": "NONE",
        "gtd": 0,
    }
    return {"e": "ORDER_TRADE_UPDATE", "T": 1568879465651, "E": 1568879465652, "o": order | fields}


def fill(trade_id: int, amount: str, executed: str, **fields: Any) -> dict[str, Any]:
    state = "FILLED" if D(executed) == D("0.01") else "PARTIALLY_FILLED"
    told = {"x": "TRADE", "X": state, "t": trade_id, "l": amount, "z": executed, "L": "7000.10", "n": "-0.0123"}
    return update(**(told | fields))


NO_FEE = {"N": None, "n": None}
ACCEPT, PART, REST = update(), fill(11, "0.004", "0.004", m=True), fill(12, "0.00600000", "0.010")


def test_an_order_lives_from_its_updates_bytes() -> None:
    account = Account(True)
    raws = [orjson.dumps(event) for event in (ACCEPT, PART, REST)]
    account.process(raws[0])
    order = account.tracker.fetch_order("x-1")
    assert (account.taken, order.current_state, order.exchange_order_id) == (1, OrderState.OPEN, "8886774")
    account.process(raws[1])  # the first fee in an asset goes the generic way
    account.process(raws[2])
    assert account.taken == 2
    assert order.current_state is OrderState.FILLED
    assert order.executed_amount_base == D("0.01")
    assert order.executed_amount_quote == D("70.001")
    assert order.cumulative_fee_paid("USDT") == D("-0.0246")
    first, second = order.order_fills.values()
    assert first.trade_id == "11"
    assert not first.is_taker
    assert second.fill_timestamp == 1568879465.651
    names = [type(event).__name__ for event in account.events]
    assert names == ["BuyOrderCreatedEvent", "OrderFilledEvent", "OrderFilledEvent", "BuyOrderCompletedEvent"]


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_bare_or_wrapped_bytes_or_text(wrap: bool, as_text: bool) -> None:
    raws: list[bytes | str] = []
    for event in (ACCEPT, PART, REST):
        raw = orjson.dumps({"stream": "listen", "data": event} if wrap else event)
        raws.append(raw.decode() if as_text else raw)
    assert same_end(raws) == 2


BIG = 2**53 + 1


@pytest.mark.parametrize(
    ("events", "taken"),
    [
        ([fill(11, "0.004", "0.004")], 0),  # a fee in a new asset
        ([fill(11, "0.004", "0.004", **NO_FEE)], 1),  # filled before it was accepted, and no fee
        ([fill(11, "0.004", "0.004", N=None, n="0.00")], 1),
        ([fill(11, "0.004", "0.004", N=None)], 0),  # a fee in no asset
        ([fill(11, "0.004", "0.004", N="")], 0),
        ([PART, fill(12, "0.001", "0.005", n=None)], 0),  # an asset without its fee
        ([update(N=None, n="0.1"), update(n=None)], 2),  # no fill, so no fee
        ([ACCEPT, ACCEPT], 2),
        ([PART, PART], 0),  # a repeated trade is the tracker's to judge
        ([PART, REST, fill(13, "0.001", "0.011")], 1),  # after the end
        ([PART, fill(12, "0.007", "0.011")], 1),  # more than was ordered
        ([ACCEPT, update(i=9)], 1),  # another venue id
        ([ACCEPT, update(c="x-2")], 1),  # the venue id of another order
        ([update(i=BIG), fill(BIG + 1, "0.001", "0.001", i=BIG, **NO_FEE)], 2),  # beyond a double
        ([update(i=2**63)], 0),
        ([update(i=0), fill(0, "0.001", "0.001")], 0),
        ([ACCEPT, update(X="CANCELED", x="CANCELED")], 2),
        (
            [ACCEPT, update(X="EXPIRED", x="EXPIRED", z="0.004"), fill(11, "0.004", "0.004", **NO_FEE)],
            3,
        ),  # end before fill
        ([update(X="REJECTED")], 0),
        ([update(X="FILLED", x="NEW", T=1), update(T=0)], 2),
        ([update(X="SOMETHING")], 0),
        ([update(x="AMENDMENT", p="7100", q="0.02")], 0),
        (
            [update(c="x-3"), update(c="y-1"), update(c="x-01"), update(c="x-"), update(c="")],
            0,
        ),  # not tracked, not ours
        ([update(s="ETHUSDT"), update(s="DOGEUSDT")], 0),  # on another pair, and one that is not traded
        ([fill(11, "0.004", "0.004", L="-1", **NO_FEE), fill(12, "-0.004", "0.004", **NO_FEE)], 1),
        ([fill(11, "0.004", "0.004", N="A" * 15), fill(12, "0.004", "0.008", N="A" * 16)], 0),
        ([fill(11, "0.0041", "0.0041", L="0.123456789012345678", **NO_FEE)], 0),  # the quote has no room
        ([ACCEPT, PART, update(T=1568879465650)], 2),  # older than what is known
    ],
)
def test_the_same_outcome(events: list[dict[str, Any]], taken: int) -> None:
    assert same_end([orjson.dumps(event) for event in events]) == taken


def test_parked_updates_follow_when_the_venue_id_becomes_known() -> None:
    parked = orjson.dumps(fill(11, "0.004", "0.004", c="", **NO_FEE))
    assert same_end([parked, orjson.dumps(ACCEPT)]) == 0


def test_what_was_parked_follows_before_the_state_that_came_with_a_fill() -> None:
    parked = orjson.dumps(update(c="x-3", i=100))
    assert same_end([parked, orjson.dumps(fill(1, "0.001", "0.001", i=100, T=ACCEPT["T"], **NO_FEE))]) == 0


def test_a_venue_that_reports_amounts_only_is_left_to_the_generic_path() -> None:
    assert same_end([orjson.dumps(event) for event in (ACCEPT, PART)], itemised_fills=False) == 0


def test_an_order_that_counts_as_gone_lives_on_by_the_generic_path() -> None:
    accounts = [Account(scanned) for scanned in (True, False)]
    for account in accounts:
        account.process(orjson.dumps(ACCEPT))
        account.tracker.mark_absent(account.tracker.fetch_order("x-1"), ValueError("no such order"))
        account.process(orjson.dumps(PART))
        account.process(orjson.dumps(REST))
    assert accounts[0].state() == accounts[1].state()
    assert accounts[0].taken == 1


@pytest.mark.parametrize("text", bad_texts())
@pytest.mark.parametrize("key", ["l", "z", "L", "n", "q", "p"])
def test_a_number_that_is_none_is_left_to_the_generic_path(key: str, text: str) -> None:
    warm = [orjson.dumps(event) for event in (ACCEPT, PART)]  # the asset is known
    raw = orjson.dumps(fill(12, "0.001", "0.005") | {"mark": 1})
    event = orjson.loads(raw)
    event["o"][key] = "@"
    raw = orjson.dumps(event).replace(b'"@"', f'"{text}"'.encode())
    taken = same_end([*warm, raw])
    assert taken == (2 if text == "-1" and key in ("l", "z", "n") else 1)  # another price or amount is an amend


@pytest.mark.parametrize("message", ["", b"", None, 7, [], "\ud800", '{"e":"ORDER_TRADE_UPDATE","o":{"s":"\u20ac"}}'])
def test_what_is_no_message_is_not_taken(message: Any) -> None:
    account = Account(True)
    before = copy.deepcopy(account.state()[1:])
    assert not account.scanner.process_message(message)
    assert account.state()[1:] == before


def test_every_cut_of_a_message_is_left_alone() -> None:
    account = Account(True)
    raw = orjson.dumps(ACCEPT)
    for size in range(len(raw)):
        assert not account.scanner.process_message(raw[:size])
    assert not account.events
    assert account.scanner.process_message(raw)


amounts = st.sampled_from(["0", "0.001", "0.002", "0.00300000", "0.01", "1e-3", "-0.001", "0.0000001", "x"])


@st.composite
def order_events(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Anything a venue may say about the two orders and a third that is not known, in any order, with repeats."""
    events = []
    for _ in range(draw(st.integers(1, 7))):
        number = draw(st.sampled_from([1, 1, 1, 2, 3]))
        fields = {
            "c": f"x-{number}",
            "S": "SELL" if number == 2 else "BUY",
            "i": draw(st.sampled_from([100 + number] * 6 + [100, 7])),
            "x": draw(st.sampled_from(["NEW", "TRADE", "TRADE", "TRADE", "CANCELED", "EXPIRED", "CALCULATED"])),
            "X": draw(st.sampled_from(["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "REJECTED"])),
            "t": draw(st.integers(0, 4)),
            "l": draw(amounts),
            "z": draw(amounts),
            "L": draw(st.sampled_from(["7000", "7000.10000", "0", "1e3"])),
            "N": draw(st.sampled_from(["USDT", "BNB", None, ""])),
            "n": draw(st.sampled_from(["0", "0.01000000", "-0.5", None])),
            "T": draw(st.integers(1568879465650, 1568879465653)),
            "m": draw(st.booleans()),
        }
        events.append(update(**fields))
    return events


@given(order_events())
def test_the_same_orders_whatever_happens(events: list[dict[str, Any]]) -> None:
    same_end([orjson.dumps(event) for event in events])


@given(order_events(), st.randoms(use_true_random=False), st.booleans())
def test_the_same_orders_in_any_spelling(events: list[dict[str, Any]], random: Any, wrap: bool) -> None:
    same_end([written({"stream": "x", "data": event} if wrap else event, random) for event in events])


@given(st.permutations([ACCEPT, PART, REST]), st.randoms(use_true_random=False))
def test_the_same_orders_from_damaged_bytes(events: list[dict[str, Any]], random: Any) -> None:
    same_end([mangled(orjson.dumps(event), random) for event in events])


def test_every_recorded_payload_leads_to_the_same_orders(shared_dir: Path) -> None:
    seen = taken = 0
    for path in sorted((shared_dir / "fixtures" / "binance").glob("*.json")):
        payload = orjson.loads(path.read_bytes())
        for sample in payload if isinstance(payload, list) else [payload]:
            event = sample.get("data", sample) if isinstance(sample, dict) else {}
            if not isinstance(event, dict) or event.get("e") != "ORDER_TRADE_UPDATE":
                continue
            seen += 1
            same_end([orjson.dumps(sample)])  # of an order that is not tracked
            ours = {"c": "x-1", "s": "BTCUSDT"}
            event["o"] |= (
                ours | {"q": "0.01", "p": "7000"} | ({"l": "0.001", "z": "0.001"} if D(event["o"]["l"]) else {})
            )
            event["o"] |= NO_FEE
            for option in (None, orjson.OPT_INDENT_2):
                taken += same_end([orjson.dumps(sample, option=option)])
    assert seen > 5
    assert taken == 2 * seen
