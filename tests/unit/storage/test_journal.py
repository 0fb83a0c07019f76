"""The journal's file: who may open it, what is done about damage of every kind, full disks, rolling and forks."""

from __future__ import annotations

import logging
import os
import re
import resource
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtxconn.core.client_order_tracker import ClientOrderTracker
from qtxconn.core.clock import Clock
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
from qtxconn.errors import ConfigurationError, JournalDamagedError, JournalError, NotReadyError
from qtxconn.storage.journal import OrderJournal, account_tag, read_journal
from qtxconn.storage.recovery import fold

from .journals import RECORD, MemoryVenue, damage, patch, run, settle

D = Decimal
PAIR = "BTC-USDT"


class WallClock(Clock):
    """Wall time that only the test moves."""

    wall_ns = 1_800_000_000_000_000_000

    def now_ns(self) -> int:
        return self.wall_ns


class Log:
    """A tracker that writes to a journal, without a connector."""

    def __init__(self, path: Path, *, itemised_fills: bool = True, **options: object) -> None:
        self.clock = WallClock()
        self.journal = OrderJournal(path, clock=self.clock, **options)
        pubsub = PubSub(logging.getLogger("test"))
        self.tracker = ClientOrderTracker(pubsub, self.clock, itemised_fills=itemised_fills)
        self.tracker.journal = self.journal
        self.next_id = self.journal.highest_client_id

    def place(self) -> str:
        self.next_id += 1
        order_id = str(self.next_id)
        order = InFlightOrder(order_id, PAIR, OrderType.LIMIT, TradeType.BUY, D(1), self.clock.now_ns() / 1e9, D(100))
        self.journal.write_order(order, self.next_id, 10.0)
        self.tracker.start_tracking_order(order)
        return order_id

    def accept(self, order_id: str) -> None:
        update = OrderUpdate(PAIR, 1.0, OrderState.OPEN, order_id, f"v{order_id}")
        self.tracker.process_order_update(update)

    def cancel(self, order_id: str) -> None:
        self.tracker.process_order_update(OrderUpdate(PAIR, 2.0, OrderState.CANCELED, order_id))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.journal"


@contextmanager
def log(path: Path, **options: object) -> Iterator[Log]:
    writer = Log(path, **options)
    try:
        yield writer
    finally:
        writer.journal.close()


def three_orders(path: Path) -> None:
    with log(path, capacity=64) as writer:
        for _ in range(3):
            writer.place()


def ids(path: Path) -> list[int]:
    return [entry["client_id"] for entry in read_journal(path)]


# -- the file itself ---------------------------------------------------------------------------------------


def test_it_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        path = tmp_path / "new" / "orders.journal"
        with log(path, capacity=64):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
            assert stat.S_IMODE((tmp_path / "new" / "orders.journal.lock").stat().st_mode) == 0o600
            assert path.stat().st_size == 65 * RECORD
    finally:
        os.umask(previous)


def test_a_second_writer_is_refused(path: Path) -> None:
    with log(path), pytest.raises(JournalError, match="one writer"):
        OrderJournal(path)
    with log(path):  # and it is free again
        pass


def test_a_second_process_is_refused(path: Path) -> None:
    code = "import sys; from qtxconn.storage.journal import OrderJournal; OrderJournal(sys.argv[1])"
    with log(path):
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "in use by another process" in done.stderr


def test_the_lock_goes_with_its_process(path: Path) -> None:
    code = (
        "import os, signal, sys; from qtxconn.storage.journal import OrderJournal; journal = OrderJournal(sys.argv[1]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    with log(path):
        pass


def test_a_file_that_others_may_read_is_refused(path: Path) -> None:
    three_orders(path)
    path.chmod(0o640)
    with pytest.raises(JournalError, match="chmod 600"):
        OrderJournal(path)


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    three_orders(path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(JournalError, match="no link"):
        OrderJournal(tmp_path / "link")


def test_a_directory_is_no_journal(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match=re.escape(str(path))):
        OrderJournal(path)


def test_a_pipe_does_not_block(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(JournalError, match="no regular file"):
        OrderJournal(path)


def test_a_path_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match="give a path that you may write"):
        OrderJournal(tmp_path / "file" / "orders.journal")


def test_settings_out_of_range(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="process, group, power"):
        OrderJournal(path, durability="most")
    for capacity in (0, 15, 1 << 25):
        with pytest.raises(ConfigurationError, match="16 to 16777216"):
            OrderJournal(path, capacity=capacity)
    assert not path.exists()


def test_it_can_be_read_while_it_is_written(path: Path) -> None:
    with log(path, capacity=64) as writer:
        order_id = writer.place()
        assert [entry["client_order_id"] for entry in read_journal(path)] == [order_id]
        writer.accept(order_id)
        assert [entry["kind"] for entry in read_journal(path)] == ["intent", "ack"]
    with pytest.raises(JournalError, match="no such file"):
        read_journal(path.with_name("other"))


# -- damage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 255])
def test_too_short_to_be_one(path: Path, size: int) -> None:
    path.write_bytes(b"Q" * size)
    path.chmod(0o600)
    with pytest.raises(JournalError, match=f"has {size} bytes and is no journal"):
        OrderJournal(path)


def test_another_file_is_not_overwritten(path: Path) -> None:
    path.write_bytes(b"# my notes\n" * 100)
    path.chmod(0o600)
    with pytest.raises(JournalError, match="is no journal"):
        OrderJournal(path)
    assert path.read_bytes().startswith(b"# my notes")


def test_another_version_is_named(path: Path) -> None:
    three_orders(path)
    patch(path, 8, struct.pack("<I", 7))
    with pytest.raises(JournalError, match="has format 7, this version of qtxconn reads 1 to 2"):
        OrderJournal(path)


def crc32c(data: bytes) -> int:
    """Bit by bit (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def make_version_1(path: Path) -> None:
    three_orders(path)
    patch(path, 8, struct.pack("<I", 1))
    patch(path, 48, struct.pack("<I", crc32c(path.read_bytes()[:48])))


def version_of(path: Path) -> int:
    return struct.unpack("<I", path.read_bytes()[8:12])[0]


def test_a_journal_of_version_1_is_read_and_renewed(path: Path) -> None:
    make_version_1(path)
    assert (version_of(path), ids(path)) == (1, [1, 2, 3])
    with log(path) as writer:
        assert (version_of(path), ids(path)) == (2, [1, 2, 3])  # before anything is added that version 1 had not
        assert writer.place() == "4"
    assert ids(path) == [1, 2, 3, 4]


def test_a_journal_of_version_1_is_used_as_it_is_while_the_disk_is_full(path: Path) -> None:
    make_version_1(path)
    with file_size_limit(2 * RECORD), log(path) as writer:
        assert len(fold(writer.journal.entries())) == 3
        writer.tracker.start_tracking_order(fold(writer.journal.entries())[0].build())
        writer.cancel("1")  # what becomes of those that are out is still written
        with pytest.raises(JournalError, match="new orders are refused"):
            writer.place()
    assert (version_of(path), ids(path)) == (1, [1, 2, 3, 1, 1])
    with log(path) as writer:
        assert version_of(path) == 2
        writer.place()


@pytest.mark.parametrize("offset", [12, 16, 24, 32, 40, 48])
def test_a_damaged_header(path: Path, offset: int) -> None:
    three_orders(path)
    patch(path, offset, b"\xee")
    with pytest.raises(JournalDamagedError, match="damaged at byte 0") as caught:
        OrderJournal(path)
    assert (caught.value.path, caught.value.offset) == (str(path), 0)


@pytest.mark.parametrize("change", [-1, -RECORD, 1, RECORD])
def test_cut_or_extended(path: Path, change: int) -> None:
    three_orders(path)
    os.truncate(path, path.stat().st_size + change)
    with pytest.raises(JournalDamagedError, match="it was cut or extended"):
        OrderJournal(path)


@pytest.mark.parametrize("record", [0, 1])
def test_damage_in_the_middle_refuses_to_start(path: Path, record: int) -> None:
    three_orders(path)
    damage(path, record)
    with pytest.raises(JournalDamagedError, match="skip_damaged=True") as caught:
        OrderJournal(path)
    assert caught.value.offset == (record + 1) * RECORD
    assert f"damaged at byte {caught.value.offset}" in str(caught.value)
    with pytest.raises(JournalDamagedError):  # the lock was not left behind, nor anything changed
        OrderJournal(path)


def test_damage_in_the_middle_is_skipped_on_demand(path: Path) -> None:
    three_orders(path)
    damage(path, 1)
    with log(path, skip_damaged=True) as writer:
        assert [entry["client_id"] for entry in writer.journal.entries()] == [1, 3]
        writer.place()
    assert ids(path) == [1, 3, 4]


def test_a_torn_tail_is_ignored_and_written_over(path: Path) -> None:
    three_orders(path)
    patch(path, 4 * RECORD + 8, os.urandom(RECORD - 8))  # a body, and the sequence not yet stored
    with log(path) as writer:
        assert writer.journal.records == 3
        writer.place()
    assert ids(path) == [1, 2, 3, 4]


def test_several_torn_records_at_the_tail(path: Path) -> None:
    """After a power loss: pages beyond the last whole record came to the disk in any order."""
    three_orders(path)
    patch(path, 4 * RECORD, os.urandom(5 * RECORD))
    with log(path) as writer:
        assert writer.journal.records == 3
        for _ in range(6):
            writer.place()
    assert ids(path) == list(range(1, 10))


@settings(max_examples=150)
@given(data=st.binary(min_size=1, max_size=600), offset=st.integers(0, 5 * RECORD))
def test_whatever_is_in_the_file_is_read_or_refused(
    data: bytes, offset: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("hostile") / "orders.journal"
    three_orders(path)
    patch(path, offset, data[: path.stat().st_size - offset])
    try:
        with log(path) as writer:
            found = [entry["client_id"] for entry in writer.journal.entries()]
    except JournalError:
        return
    assert found == [1, 2, 3][: len(found)]  # a prefix: nothing invented, nothing left out in the middle


# -- there and back ----------------------------------------------------------------------------------------

amounts = st.decimals(min_value=D("0.000001"), max_value=D(100_000), places=6).filter(lambda value: value > 0)
texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=47)
fees = st.builds(TokenAmount, st.sampled_from(["USDT", "BNB", "a-name-of-15-by"]), st.decimals(-10, 10, places=8))


@settings(max_examples=100)
@given(
    side=st.sampled_from(TradeType),
    kind=st.sampled_from(OrderType),
    position=st.sampled_from(PositionAction),
    price=st.none() | amounts,
    fills=st.lists(st.tuples(amounts, st.lists(fees, max_size=4), st.booleans()), max_size=4),
    exchange_id=texts,
    ended=st.sampled_from([None, OrderState.CANCELED, OrderState.EXPIRED]),
)
def test_orders_come_back_as_they_were(
    side, kind, position, price, fills, exchange_id, ended, tmp_path_factory: pytest.TempPathFactory
) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("round") / "orders.journal"
    with log(path, capacity=64) as writer:
        amount = sum((base for base, _, _ in fills), D(1))
        order = InFlightOrder("77", PAIR, kind, side, amount, 1_700_000_000.123456, price, position=position)
        writer.journal.write_order(order, 77, 10.0)
        writer.tracker.start_tracking_order(order)
        writer.tracker.process_order_update(OrderUpdate(PAIR, 1.5, OrderState.OPEN, "77", exchange_id))
        for number, (base, flat_fees, is_taker) in enumerate(fills):
            fee = AddedToCostTradeFee(flat_fees=flat_fees)
            time_s, quote = 2.25 + number, base * 3
            writer.tracker.process_trade_update(
                TradeUpdate(f"t{number}", "77", exchange_id, PAIR, time_s, D(3), base, quote, fee, is_taker)
            )
        if ended is not None:
            writer.tracker.process_order_update(OrderUpdate(PAIR, 9.0, ended, "77"))
        before = order.to_json()
    (restored,) = fold(read_journal(path))
    after = restored.build().to_json()
    if ended is not None:
        before["last_update_timestamp"] = after["last_update_timestamp"]  # that of the end is not kept
    assert after == before


def test_fees_whose_fill_was_not_written_are_not_counted_with_those_that_came_again(path: Path) -> None:
    flat_fees = [TokenAmount("USDT", D("0.02")), TokenAmount("BNB", D("0.001")), TokenAmount("USDT", D("-0.01"))]
    fill = TradeUpdate("t1", "1", "v1", PAIR, 3.0, D(100), D("0.4"), D(40), AddedToCostTradeFee(flat_fees=flat_fees))
    for stop_before in ("fill", "second fee"):
        path.unlink(missing_ok=True)
        with log(path, capacity=64) as writer:
            writer.place()
            writer.accept("1")
            writer.tracker.process_trade_update(fill)
            assert [entry["kind"] for entry in writer.journal.entries()] == ["intent", "ack", "fee", "fee", "fill"]
        # Killed in between: what comes after is not there.
        kept = 4 if stop_before == "fill" else 3
        patch(path, (1 + kept) * RECORD, bytes((5 - kept) * RECORD))
        (restored,) = fold(read_journal(path))
        assert restored.build().order_fills == {}
        with log(path) as writer:  # the next process hears of the fill again
            writer.tracker.start_tracking_order(restored.build())
            writer.tracker.process_trade_update(fill)
        (restored,) = fold(read_journal(path))
        assert restored.build().order_fills["t1"].fee.flat_fees == flat_fees


def test_a_provisional_fill_and_the_real_one_that_replaced_it_come_back_as_one_execution(path: Path) -> None:
    real = TradeUpdate("t1", "1", "v1", PAIR, 3.0, D("99.5"), D("0.4"), D("39.8"), AddedToCostTradeFee())
    with log(path) as writer:
        writer.next_id = 0
        writer.place()
        writer.accept("1")
        misc = {"cumulative_base": D("0.4"), "cumulative_quote": D("40")}
        writer.tracker.process_order_update(OrderUpdate(PAIR, 2.0, OrderState.CANCELED, "1", "v1", misc))
        order = writer.tracker.fetch_order("1")
        assert order.awaits_fills
        writer.tracker.settle_with_provisional_fill(order)
        writer.tracker.process_trade_update(real)
        assert (order.executed_amount_base, order.executed_amount_quote) == (D("0.4"), D("39.8"))
    (restored,) = fold(read_journal(path))
    tracker = ClientOrderTracker(PubSub(logging.getLogger("test")))
    again = restored.build()
    tracker.start_tracking_order(again)
    tracker.process_trade_update(real)
    assert (again.executed_amount_base, again.executed_amount_quote) == (D("0.4"), D("39.8"))
    assert list(again.order_fills) == ["t1"]


@pytest.mark.parametrize("told", [["0.4"], ["0.25", "0.15"]])
@pytest.mark.parametrize("real", [["0.7"], ["0.4"], ["0.3"], ["0.1", "0.2", "0.3"], ["0.4", "0.6"], ["0.39", "0.02"]])
def test_real_fills_of_another_size_than_the_provisional_ones_are_not_counted_beside_them(
    path: Path, told: list[str], real: list[str]
) -> None:
    with log(path, itemised_fills=False) as writer:
        writer.next_id = 0
        writer.place()
        writer.accept("1")
        executed = D(0)
        for number, amount in enumerate(told):
            executed += D(amount)
            misc = {"cumulative_base": executed, "cumulative_quote": executed * 101}
            writer.tracker.process_order_update(
                OrderUpdate(PAIR, 2.0 + number, OrderState.PARTIALLY_FILLED, "1", "v1", misc)
            )
        for number, amount in enumerate(map(D, real)):
            writer.tracker.process_trade_update(
                TradeUpdate(f"t{number}", "1", "v1", PAIR, 5.0, D(100), amount, amount * 100, AddedToCostTradeFee())
            )
        before = writer.tracker.fetch_order("1")
        fills = {trade_id: fill.fill_base_amount for trade_id, fill in before.order_fills.items()}
        sums = (before.executed_amount_base, before.executed_amount_quote)
    assert sums[0] == max(executed, sum(map(D, real)))
    (restored,) = fold(read_journal(path))
    order = restored.build()
    assert (order.executed_amount_base, order.executed_amount_quote) == sums
    assert {trade_id: fill.fill_base_amount for trade_id, fill in order.order_fills.items()} == fills
    records = [entry["trade_id"] for entry in read_journal(path) if entry["kind"] == "fill"]
    assert len(records) == len(set(records)) == len(told) + len(real)


# -- room --------------------------------------------------------------------------------------------------


def test_rolling_keeps_what_has_not_ended(path: Path) -> None:
    with log(path, capacity=64) as writer:
        alive = writer.place()
        writer.accept(alive)
        for _ in range(200):
            order_id = writer.place()
            writer.accept(order_id)
            writer.cancel(order_id)
            writer.clock.wall_ns += 61_000_000_000
        assert writer.journal.rolls > 5
        assert writer.journal.capacity == 64
        assert path.stat().st_size == 65 * RECORD
        assert writer.journal.dropped_records == 0
        assert not path.with_name("orders.journal.new").exists()
        highest = writer.next_id
    orders = {order.intent["client_order_id"]: order for order in fold(read_journal(path))}
    assert orders[alive].state is OrderState.OPEN
    assert orders[alive].exchange_order_id == f"v{alive}"
    with log(path) as writer:
        assert writer.journal.highest_client_id == highest  # also of orders that are no longer in the file


def test_an_order_that_just_ended_stays_for_late_fills(path: Path) -> None:
    with log(path, capacity=64) as writer:
        for _ in range(60):
            order_id = writer.place()
            writer.cancel(order_id)
            writer.clock.wall_ns += 10_000_000_000
        assert writer.journal.rolls > 0
    ended = [order for order in fold(read_journal(path)) if order.state is OrderState.CANCELED]
    assert len(ended) >= 5


def test_the_file_grows_where_open_orders_need_it(path: Path) -> None:
    with log(path, capacity=64) as writer:
        for _ in range(300):
            writer.place()
        assert writer.journal.capacity > 300
    assert ids(path) == list(range(1, 301))


def test_maintaining_rolls_before_an_order_has_to_wait(path: Path) -> None:
    with log(path, capacity=64) as writer:
        while writer.journal.records <= 48:
            writer.cancel(writer.place())
        writer.clock.wall_ns += 61_000_000_000
        writer.journal.maintain()
        assert (writer.journal.rolls, writer.journal.records) == (1, 0)


def test_a_half_made_file_is_taken_away(path: Path) -> None:
    three_orders(path)
    path.with_name("orders.journal.new").write_bytes(b"killed while rolling")
    with log(path, capacity=64) as writer:
        for _ in range(80):
            writer.cancel(writer.place())
        assert writer.journal.rolls > 0


@pytest.mark.parametrize("durability", ["process", "group"])
def test_a_directory_that_cannot_be_synced(path: Path, durability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By then the new file is in its place: what follows must be written to it, not to the one that nobody finds."""
    with log(path, capacity=64, durability=durability) as writer:

        def fail(descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        refused = False
        for _ in range(80):
            try:
                order_id = writer.place()
            except JournalError:
                refused = True
                break
        assert writer.journal.rolls >= 1
        assert refused == (durability != "process")
        writer.accept(order_id)
    assert read_journal(path)[-1]["exchange_order_id"] == f"v{order_id}"


def test_a_file_that_cannot_be_synced_is_not_put_in_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with log(path, capacity=64) as writer:
        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(JournalError, match="cannot be rolled"):  # noqa: PT012 - until it is full
            for _ in range(80):
                writer.place()
        known = set(writer.tracker.active_orders)
    assert {str(number) for number in ids(path)} == known


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: reserving room fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_a_new_journal(path: Path) -> None:
    with file_size_limit(8 * RECORD), pytest.raises(JournalError, match="free some, or ask for a smaller capacity"):
        OrderJournal(path)
    assert not path.exists()
    assert not path.with_name("orders.journal.new").exists()


async def test_a_full_disk_refuses_orders_and_lets_cancels_through(path: Path) -> None:
    venue = MemoryVenue()
    async with run(path, venue, capacity=64) as life:
        exchange = life.exchange
        placed = []
        with file_size_limit(8 * RECORD):
            with pytest.raises(JournalError, match="no room for a journal"):  # noqa: PT012 - until it is full
                while len(placed) < 100:
                    placed.append(life.buy())
                    await settle(lambda: exchange.order(placed[-1]).exchange_order_id)
            tracked = len(exchange.in_flight_orders)
            with pytest.raises(NotReadyError, match="new orders are refused"):
                life.buy()
            assert len(exchange.in_flight_orders) == tracked == len(placed)
            assert exchange.calls.count("place") == len(placed)
            assert not exchange.is_ready
            assert "journal" in exchange.not_ready_reason
            assert exchange.cancel(PAIR, placed[0])
            await settle(lambda: exchange.kinds(placed[0])[-1] == "cancelled")
            life.journal.maintain()  # it tries, and there still is no room
            assert life.journal.refusal
        life.journal.maintain()
        assert life.journal.refusal is None
        placed.append(life.buy())
        await settle(lambda: exchange.order(placed[-1]).exchange_order_id)
        left = set(exchange.in_flight_orders)
    async with run(path, venue) as life:
        assert set(life.exchange.in_flight_orders) == left


async def test_when_not_even_an_end_has_room_it_is_counted_and_asked_again(path: Path) -> None:
    venue = MemoryVenue()
    async with run(path, venue, capacity=16) as life:
        exchange = life.exchange
        with file_size_limit(2 * RECORD):
            placed = [life.buy()]
            await settle(lambda: exchange.order(placed[0]).exchange_order_id)
            for _ in range(20):
                exchange.stream(venue.execute(placed[0], "0.0001"))
            exchange.cancel(PAIR, placed[0])
            await settle(lambda: exchange.kinds(placed[0])[-1] == "cancelled")
            assert exchange.order(placed[0]).executed_amount_base == D("0.002")
            assert life.journal.dropped_records == 8
    async with run(path, venue) as life:
        order = life.exchange.order(placed[0])
        assert (order.current_state, order.executed_amount_base) == (OrderState.CANCELED, D("0.002"))


# -- durability and processes ------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["process", "group", "power"])
async def test_every_durability_keeps_the_orders(path: Path, durability: str) -> None:
    venue = MemoryVenue()
    async with run(path, venue, durability=durability, capacity=64) as life:
        order_ids = set()
        for _ in range(30):  # through a roll
            order_id = life.buy()
            await settle(lambda order_id=order_id: life.exchange.order(order_id).exchange_order_id)
            order_ids.add(order_id)
        assert life.journal.rolls > 0
    async with run(path, venue, durability=durability) as life:
        assert set(life.exchange.in_flight_orders) == order_ids


def test_a_forked_child_does_not_write(path: Path) -> None:
    with log(path, capacity=64, durability="group") as writer:
        writer.place()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                writer.place()
            except JournalError as error:
                writer.journal.close()
                status = 0 if "belongs to the process that opened it" in str(error) else 2
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        writer.place()
    assert ids(path) == [1, 2]


def test_a_closed_journal_refuses_orders(path: Path) -> None:
    with log(path) as writer:
        order_id = writer.place()
    with pytest.raises(JournalError, match="is closed"):
        writer.place()
    writer.accept(order_id)  # nothing is written, nothing is touched
    assert writer.journal.entries() == []
    writer.journal.close()
    assert ids(path) == [1]


def test_texts_that_do_not_fit_are_refused(path: Path) -> None:
    with log(path) as writer:
        order = InFlightOrder("x" * 48, PAIR, OrderType.MARKET, TradeType.SELL, D(1), 1.0)
        with pytest.raises(JournalError, match="up to 47 bytes"):
            writer.journal.write_order(order, 5, 10.0)
        assert writer.journal.records == 0


def test_the_account_is_kept_as_a_hash(path: Path) -> None:
    assert account_tag("key") == account_tag("key") != account_tag("other")
    assert 0 <= account_tag("") < 1 << 64
