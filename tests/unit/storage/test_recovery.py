"""Orders survive the end of the process: what the next one restores, asks the venue, and refuses until it knows."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from qtxconn.core.types import AddedToCostTradeFee, OrderState, OrderUpdate, TokenAmount, TradeType, TradeUpdate
from qtxconn.errors import ConfigurationError, NetworkError, NotReadyError, OrderRejectedError
from qtxconn.storage.journal import OrderJournal, read_journal
from qtxconn.storage.recovery import fold

from .journals import PAIR, RECORD, Account, MemoryVenue, StepClock, patch, run, settle, turns

D = Decimal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "orders.journal"


@pytest.fixture
def venue() -> MemoryVenue:
    return MemoryVenue()


def holds(path: Path, text: bytes) -> bool:
    return text in path.read_bytes()


def kinds(path: Path, order_id: str | None = None) -> list[str]:
    return [e["kind"] for e in read_journal(path) if order_id in (None, str(e["client_id"]))]


async def test_an_order_is_in_the_journal_before_it_is_sent(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue) as life:
        order_id = life.buy()
        assert kinds(path) == ["intent"]
        assert "place" not in life.exchange.calls
        assert life.exchange.in_flight_orders.keys() == {order_id}
        await settle(lambda: "place" in life.exchange.calls)
        assert kinds(path)[:2] == ["intent", "submitted"]


async def test_a_whole_life_is_written_down(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue) as life:
        order_id = life.buy("0.02")
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
        life.exchange.stream(venue.execute(order_id, "0.005", "58999.9"))
        life.exchange.stream(venue.execute(order_id, "0.015"))
        life.exchange.stream(venue.report(order_id))
    intent, submitted, ack, first, second, end = read_journal(path)
    assert intent["client_order_id"] == order_id == str(intent["client_id"])
    assert (intent["trading_pair"], intent["price"], intent["amount"]) == (PAIR, D(59000), D("0.02"))
    assert intent["dead_after_ns"] - intent["time_ns"] == 5_000_000_000
    assert submitted["kind"] == "submitted"
    assert (ack["kind"], ack["exchange_order_id"]) == ("ack", "1")
    assert (first["price"], first["amount"], first["fee"], first["fee_asset"]) == (
        D("58999.9"), D("0.005"), D("0.01"), "USDT",
    )  # fmt: skip
    assert second["quote"] == D("0.015") * 60000
    assert (end["kind"], end["state"], end["executed_base"]) == ("end", OrderState.FILLED, D("0.02"))


async def test_an_order_refused_by_the_venue_has_ended(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue) as life:
        life.exchange.fail["place"] = OrderRejectedError("the api-key-of-the-test is poor", code=-2019)
        order_id = life.buy()
        await settle(lambda: life.exchange.kinds(order_id) == ["failed"])
    assert kinds(path) == ["intent", "submitted", "reject"]
    assert read_journal(path)[-1]["reason"] == "OrderRejectedError"
    assert not holds(path, b"api-key-of-the-test")
    async with run(path, venue) as life:
        assert life.exchange.in_flight_orders == {}
        assert life.exchange.order(order_id).current_state is OrderState.FAILED
        assert life.exchange.kinds() == []


async def test_an_open_order_comes_back_with_its_state_ids_and_fills(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue) as life:
        order_id = life.buy("0.02")
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
        life.exchange.stream(venue.execute(order_id, "0.005"))
        before = life.exchange.order(order_id).to_json()
    venue.execute(order_id, "0.010")  # while nobody listened
    async with run(path, venue) as life:
        order = life.exchange.order(order_id)
        assert order.exchange_order_id == before["exchange_order_id"]
        assert order.creation_timestamp == before["creation_timestamp"]
        assert order.executed_amount_base == D("0.015")
        assert list(order.order_fills) == [trade.trade_id for trade in venue.orders[order_id]["trades"]]
        assert order.current_state is OrderState.PARTIALLY_FILLED
        assert life.exchange.kinds(order_id) == ["filled"]  # the one that is new; created and the first were told
        assert life.exchange.calls.count("place") == 0
        life.exchange.stream(venue.execute(order_id, "0.005"))
        assert life.exchange.kinds(order_id) == ["filled", "filled", "completed"]
        assert life.exchange.cancel(PAIR, order_id) is False


async def test_every_fee_of_a_fill_comes_back(path: Path, venue: MemoryVenue) -> None:
    fees = [TokenAmount("USDT", D("0.3")), TokenAmount("BNB", D("0.0001")), TokenAmount("USDT", D("-0.1"))]
    async with run(path, venue) as life:
        order_id = life.buy("0.02")
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
        fill = venue.execute(order_id, "0.005")
        life.exchange.stream(fill._replace(fee=AddedToCostTradeFee(flat_fees=fees)))
    async with run(path, venue) as life:
        order = life.exchange.order(order_id)
        assert order.order_fills[fill.trade_id].fee.flat_fees == fees
        assert order.cumulative_fee_paid("USDT") == D("0.2")


async def test_a_restored_order_can_be_cancelled(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue) as life:
        order_id = life.buy()
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
    async with run(path, venue) as life:
        assert life.exchange.cancel(PAIR, order_id)
        await settle(lambda: life.exchange.kinds(order_id) == ["cancelled"])
    assert kinds(path)[-1] == "end"


async def test_an_intent_that_arrived_is_found(path: Path, venue: MemoryVenue) -> None:
    """The process ended after the venue had accepted, before it heard so."""
    async with run(path, venue) as life:
        life.exchange.hold["place_answer"] = asyncio.Event()
        order_id = life.buy()
        await settle(lambda: order_id in venue.orders)
        life.journal.close()
    async with run(path, venue) as life:
        order = life.exchange.order(order_id)
        assert (order.current_state, order.exchange_order_id) == (OrderState.OPEN, "1")
        assert life.exchange.kinds(order_id) == ["created"]
    assert len(venue.orders) == 1


async def test_an_intent_that_never_arrived_ends_only_after_its_time(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue) as life:
        order_id = life.buy()
        life.journal.close()  # killed here: nothing was sent
    venue.orders.clear()
    async with run(path, venue, connect=False) as life:
        connecting = asyncio.ensure_future(life.exchange.connect())
        await settle(lambda: life.exchange.calls.count("query") == 1)
        await life.clock.advance(3.0)
        assert not connecting.done()
        assert life.exchange.in_flight_orders.keys() == {order_id}
        with pytest.raises(NotReadyError):
            life.buy()
        await life.clock.advance(10.0)
        await connecting
        assert life.exchange.kinds(order_id) == ["failed"]
        assert life.exchange.is_ready
        assert life.exchange.calls.count("place") == 0
    assert kinds(path)[-1] == "reject"


async def test_a_venue_that_does_not_answer_leaves_the_connector_not_ready(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue) as life:
        order_id = life.buy()
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
    async with run(path, venue, connect=False) as life:
        life.exchange.fail["query"] = NetworkError("no route")
        connecting = asyncio.ensure_future(life.exchange.connect())
        await turns()
        await life.clock.advance(60.0)
        with pytest.raises(NotReadyError, match=order_id):
            await connecting
        assert life.exchange.in_flight_orders.keys() == {order_id}
        life.exchange.fail.clear()
        await life.exchange.connect()  # tracked once, and asked about again
        assert life.exchange.order(order_id).current_state is OrderState.OPEN
        assert life.exchange.kinds() == []


async def test_ids_continue_above_the_journal(path: Path, venue: MemoryVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    async with run(path, venue) as life:
        first = int(life.buy())
        later = first + (1 << 40)  # as if a host with a clock ahead of ours had written it
        monkeypatch.setattr(life.exchange, "generate_client_order_id", lambda: str(later), raising=False)
        assert int(life.buy()) == later
        await settle(lambda: str(later) in venue.orders)
    monkeypatch.undo()
    async with run(path, venue) as life:
        assert life.journal.highest_client_id == later
        assert int(life.buy()) > later


async def test_another_account_s_orders_are_not_touched(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue) as life:
        order_id = life.buy()
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
    async with run(path, venue, connect=False) as life:
        life.exchange.account = "another key"
        with pytest.raises(ConfigurationError, match="another account"):
            await life.exchange.connect()
        assert life.exchange.in_flight_orders == {}


async def test_another_prefix_is_refused_while_orders_are_open(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue, client_order_id_prefix="x-") as life:
        order_id = life.buy()
        assert order_id.startswith("x-")
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
    async with run(path, venue, connect=False) as life:
        with pytest.raises(ConfigurationError, match="client_order_id_prefix"):
            await life.exchange.connect()
    async with run(path, venue, client_order_id_prefix="x-") as life:
        assert life.exchange.in_flight_orders.keys() == {order_id}


async def test_an_adopted_order_leaves_the_journal_and_its_ids_alone(path: Path, venue: MemoryVenue) -> None:
    """Its number is above those of placed orders: written down, it would leave no ids for the next process."""
    async with run(path, venue) as life:
        venue.accept("web_1", D("0.02"), D(59000))
        life.exchange.adopt_external_order(
            PAIR, venue.orders["web_1"]["id"], TradeType.BUY, "0.02", price="59000", client_order_id="web_1"
        )
        life.exchange.stream(venue.execute("web_1", "0.005"))
        assert life.exchange.order("web_1").executed_amount_base == D("0.005")
        order_id = life.buy()
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
    assert kinds(path) == ["intent", "submitted", "ack"]
    async with run(path, venue) as life:
        assert life.exchange.in_flight_orders.keys() == {order_id}
        assert int(life.buy()) > int(order_id)


async def test_a_journal_serves_one_connector(path: Path, venue: MemoryVenue) -> None:
    async with run(path, venue) as life:
        other = Account(clock=StepClock(), journal=life.journal)
        with pytest.raises(ConfigurationError, match="another connector"):
            await other.connect()


async def test_an_end_whose_fills_are_missing_is_asked_again(path: Path, venue: MemoryVenue) -> None:
    """A fill found no room in a full journal; the end that counts it did."""
    async with run(path, venue) as life:
        order_id = life.buy("0.02")
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
        life.exchange.stream(venue.execute(order_id, "0.02"))
    patch(path, (kinds(path).index("fill") + 1) * RECORD, bytes(RECORD))
    async with run(path, venue, skip_damaged=True) as life:
        order = life.exchange.order(order_id)
        assert (order.current_state, order.executed_amount_base) == (OrderState.FILLED, D("0.02"))
        assert life.exchange.kinds(order_id) == ["filled", "completed"]


async def test_restored_over_many_lives(path: Path, venue: MemoryVenue) -> None:
    """Each run buys, the last cancels all: no order is lost over any number of restarts."""
    placed = set()
    for _ in range(6):
        async with run(path, venue) as life:
            assert life.exchange.in_flight_orders.keys() == placed
            placed.add(life.buy())
            await settle(lambda life=life: all(o.exchange_order_id for o in life.exchange.in_flight_orders.values()))
    async with run(path, venue) as life:
        await life.exchange.cancel_all()
    assert {order["state"] for order in venue.orders.values()} == {OrderState.CANCELED}
    assert OrderJournal(path).records == len(read_journal(path))


# -- amends ------------------------------------------------------------------------------------------------


async def test_an_amended_order_comes_back_with_its_new_price_amount_and_id(path: Path, venue: MemoryVenue) -> None:
    """And with fills beyond the amount that it was placed with, which are no overfill."""
    async with run(path, venue) as life:
        order_id = life.buy("0.02")
        await settle(lambda: life.exchange.order(order_id).exchange_order_id)
        life.exchange.stream(
            OrderUpdate(
                PAIR, 5e9, OrderState.OPEN, order_id, "77",
                {"amended_price": D("59001.5"), "amended_amount": D("0.05")},
            )
        )  # fmt: skip
        life.exchange.stream(
            TradeUpdate("t1", order_id, "77", PAIR, 5e9, D("59001.5"), D("0.03"), D("1770.045"), AddedToCostTradeFee())
        )
    assert kinds(path)[2:] == ["ack", "ack", "amend", "fill"]
    (restored,) = fold(read_journal(path))
    order = restored.build()
    assert (order.price, order.amount, order.exchange_order_id) == (D("59001.5"), D("0.05"), "77")
    assert order.executed_amount_base == D("0.03")
