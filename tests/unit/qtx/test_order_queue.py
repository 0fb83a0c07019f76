"""The shared-memory order queue: byte layout, both ends in two processes, refusals, late answers, secrets."""

from __future__ import annotations

import asyncio
import mmap
import os
import subprocess
import sys
import textwrap
import threading
import time
import uuid

import pytest

from qtxconn.errors import ConfigurationError, OrderRejectedError, QueueFullError, SegmentError
from qtxconn.qtx.order_queue import MODE_CANCEL, MODE_PLACE, MODE_REGISTER_KEY, OrderManagerQueue, OrderQueue

# Written down a second time, from the protocol text, so that the header and this test cannot share a mistake.
SEGMENT_SIZE = 1_043_216
SLOT_SIZE = 10_432
SLOTS_AT = 16
FIELDS = {
    "mode": (0, 8),
    "side": (8, 8),
    "pos_side": (16, 8),
    "client_order_id": (24, 8),
    "order_type": (32, 8),
    "price_match": (40, 8),
    "place_ts_ns": (48, 8),
    "res_ts_ns": (56, 8),
    "size": (64, 32),
    "price": (96, 32),
    "api_key": (128, 100),
    "api_secret": (228, 100),
    "symbol": (328, 100),
    "res_msg": (428, 10_000),
}
NOW_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


class RawSegment:
    """The segment as plain bytes, as a foreign program sees it."""

    def __init__(self, name: str) -> None:
        self._fd = os.open("/dev/shm" + name, os.O_RDWR)
        self.memory = mmap.mmap(self._fd, SEGMENT_SIZE)

    def close(self) -> None:
        self.memory.close()
        os.close(self._fd)

    def number(self, offset: int) -> int:
        return int.from_bytes(self.memory[offset : offset + 8], "little", signed=True)

    def set_number(self, offset: int, value: int) -> None:
        self.memory[offset : offset + 8] = value.to_bytes(8, "little", signed=True)

    def at(self, slot: int, field: str) -> int:
        return SLOTS_AT + slot * SLOT_SIZE + FIELDS[field][0]

    def field(self, slot: int, field: str) -> bytes:
        start = self.at(slot, field)
        return self.memory[start : start + FIELDS[field][1]]

    def answer(self, slot: int, message: bytes) -> None:
        start = self.at(slot, "res_msg")
        self.memory[start : start + len(message)] = message
        self.set_number(self.at(slot, "res_ts_ns"), NOW_NS + 1)


@pytest.fixture
def name():
    return f"/qtxconn_test_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def manager(name):
    with OrderManagerQueue.create(name) as queue:
        yield queue


@pytest.fixture
def client(name, manager):
    with OrderQueue.attach(name) as queue:
        yield queue


@pytest.fixture
def raw(name, manager):
    segment = RawSegment(name)
    yield segment
    segment.close()


def place(client: OrderQueue, order_id: int, now_ns: int = NOW_NS) -> int:
    return client.submit_place(order_id, "BTCUSDT", 1, "0.001", "60000.1", place_ts_ns=now_ns)


class TestLayout:
    def test_every_field_is_where_the_protocol_puts_it(self, client, raw):
        slot = client.submit_place(
            2**63 + 7, "BTCUSDT", -1, "0.001", "60000.1", 3, place_ts_ns=NOW_NS, price_match=4, pos_side=0
        )
        assert slot == 0
        assert len(raw.memory) == SEGMENT_SIZE
        assert raw.number(0) == 0
        assert raw.number(8) == 1
        assert raw.number(raw.at(0, "mode")) == 1
        assert raw.number(raw.at(0, "side")) == -1
        assert raw.number(raw.at(0, "pos_side")) == 0
        assert int.from_bytes(raw.field(0, "client_order_id"), "little") == 2**63 + 7
        assert raw.number(raw.at(0, "order_type")) == 3
        assert raw.number(raw.at(0, "price_match")) == 4
        assert raw.number(raw.at(0, "place_ts_ns")) == NOW_NS
        assert raw.number(raw.at(0, "res_ts_ns")) == 0
        assert raw.field(0, "size") == b"0.001".ljust(32, b"\0")
        assert raw.field(0, "price") == b"60000.1".ljust(32, b"\0")
        assert raw.field(0, "symbol") == b"BTCUSDT".ljust(100, b"\0")
        assert raw.field(0, "api_key") == raw.field(0, "api_secret") == bytes(100)

    def test_the_manager_reads_what_a_foreign_client_wrote(self, manager, raw):
        raw.memory[raw.at(0, "symbol") : raw.at(0, "symbol") + 100] = b"X" * 100  # no terminator
        raw.memory[raw.at(0, "size") : raw.at(0, "size") + 4] = b"\xff\xfe1\0"
        raw.set_number(raw.at(0, "mode"), -1)
        raw.set_number(raw.at(0, "client_order_id"), 42)
        raw.set_number(8, 1)
        (request,) = manager.take()
        assert request.mode == MODE_CANCEL
        assert request.client_order_id == 42
        assert request.symbol == "X" * 100
        assert request.size == "\ufffd\ufffd1"
        assert raw.number(0) == 1
        assert manager.answer(request.slot, b"cancelled", res_ts_ns=5)
        assert raw.field(0, "res_msg")[:10] == b"cancelled\0"
        assert raw.number(raw.at(0, "res_ts_ns")) == 5

    def test_an_index_out_of_range_is_no_order(self, manager, raw):
        raw.set_number(8, 10**15)
        assert manager.take() == []


class TestRoundTrip:
    def test_orders_outstanding_together_are_answered_in_any_order(self, client, manager):
        slots = {place(client, order_id): order_id for order_id in range(1, 11)}
        requests = manager.take()
        assert [request.client_order_id for request in requests] == list(range(1, 11))
        assert all(request.mode == MODE_PLACE for request in requests)
        for request in reversed(requests[5:]):
            manager.answer(request.slot, b"for %d" % request.client_order_id)
        answers = client.poll_answers()
        assert {(a.slot, a.client_order_id, a.message) for a in answers} == {
            (slot, order_id, b"for %d" % order_id) for slot, order_id in slots.items() if order_id > 5
        }
        assert client.outstanding == 5
        assert client.poll_answers() == []

    def test_poll_takes_no_more_than_asked(self, client, manager):
        for order_id in range(3):
            place(client, order_id)
        for request in manager.take(max_n=3):
            manager.answer(request.slot, b"ok")
        assert len(client.poll_answers(max_n=2)) == 2
        assert len(client.poll_answers()) == 1

    def test_the_ring_goes_round_many_times(self, client, manager):
        for order_id in range(1, 1001):
            slot = place(client, order_id)
            assert slot == (order_id - 1) % 100
            (request,) = manager.take()
            assert request.client_order_id == order_id
            assert manager.answer(request.slot, b"x" * (order_id % 50))
            (answer,) = client.poll_answers()
            assert answer.client_order_id == order_id
            assert answer.message == b"x" * (order_id % 50)

    def test_nothing_is_answered_twice(self, client, manager):
        place(client, 1)
        (request,) = manager.take()
        assert manager.answer(request.slot, b"ok")
        assert not manager.answer(request.slot, b"again")
        assert not manager.answer(7, b"never asked")
        assert client.poll_answers()[0].message == b"ok"

    def test_two_processes(self, name, manager):
        program = textwrap.dedent(
            f"""
            from qtxconn.qtx.order_queue import OrderQueue
            with OrderQueue.attach({name!r}) as queue:
                for order_id in range(1, 301):
                    slot = queue.submit_place(order_id, "BTCUSDT", 1, "1", "2", place_ts_ns=1)
                    answer = queue.wait_answer(slot, 20_000_000_000)
                    assert answer.client_order_id == order_id, answer
                    assert answer.message == b"id %d" % order_id, answer
                print("all answered")
            """
        )
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 30
            answered = 0
            while answered < 300 and time.monotonic() < deadline and child.poll() is None:
                for request in manager.take():
                    manager.answer(request.slot, b"id %d" % request.client_order_id)
                    answered += 1
            out, _ = child.communicate(timeout=20)
        finally:
            child.kill()
            child.wait()
        assert answered == 300
        assert out == "all answered\n"


class TestHostileAnswers:
    def test_an_answer_without_terminator_ends_with_its_field(self, client, manager, raw):
        slot = place(client, 1)
        manager.take()
        raw.set_number(raw.at(1, "mode"), 0x4141414141414141)  # what a strlen would run into
        raw.answer(slot, b"\xff" * 10_000)
        (answer,) = client.poll_answers()
        assert answer.message == b"\xff" * 10_000

    def test_a_long_answer_leaves_nothing_for_the_next_order_in_the_slot(self, client, manager, raw):
        place(client, 1)
        manager.take()
        raw.answer(0, b"y" * 500)
        client.poll_answers()
        for order_id in range(2, 101):
            place(client, order_id)
            manager.answer(manager.take()[0].slot, b"ok")
            client.poll_answers()
        assert place(client, 101) == 0
        manager.take()
        raw.answer(0, b"z")  # without a terminator
        assert client.poll_answers()[0].message == b"z"

    def test_an_oversized_answer_is_cut(self, client, manager):
        place(client, 1)
        manager.answer(manager.take()[0].slot, b"a" * 20_000)
        assert client.poll_answers()[0].message == b"a" * 9_999

    def test_a_slot_overwritten_by_someone_else_gives_no_answer_and_closes_the_queue(self, client, manager, raw):
        slot = place(client, 1)
        manager.take()
        raw.set_number(raw.at(slot, "client_order_id"), 999)
        raw.answer(slot, b"ok")
        assert client.poll_answers() == []
        assert client.closed_reason == "another producer writes to this queue"


class TestRefusals:
    def test_full_after_99_orders_nobody_took(self, client, raw):
        for order_id in range(99):
            place(client, order_id)
        with pytest.raises(QueueFullError, match="not published"):
            place(client, 99)
        assert issubclass(QueueFullError, OrderRejectedError)
        assert raw.number(8) == 99
        assert client.get_statistics() == {
            "published": 99,
            "refused": 1,
            "expired": 0,
            "withdrawn": 0,
            "outstanding": 99,
            "retired_slots": 0,
        }

    def test_a_slot_is_not_reused_before_its_answer_was_taken(self, client, manager):
        for order_id in range(100):
            if order_id == 99:
                manager.take()
            place(client, order_id)
        requests = manager.take()
        with pytest.raises(QueueFullError):
            place(client, 100)
        manager.answer(0, b"late but right")
        with pytest.raises(QueueFullError):
            place(client, 100)
        assert client.poll_answers()[0].client_order_id == 0
        assert place(client, 100) == 0
        assert [request.slot for request in requests] == [99]

    def test_a_manager_that_stopped_taking_orders_is_noticed(self, name, manager):
        with OrderQueue.attach(name, stall_limit_ns=2 * SECOND_NS) as client:
            place(client, 1, NOW_NS)
            place(client, 2, NOW_NS + 2 * SECOND_NS)
            with pytest.raises(QueueFullError, match="does not take orders"):
                place(client, 3, NOW_NS + 2 * SECOND_NS + 1)
            manager.take()
            place(client, 3, NOW_NS + 3 * SECOND_NS)

    def test_a_second_producer_that_knows_no_lock_closes_the_queue(self, client, raw):
        place(client, 1)
        raw.set_number(8, 5)
        with pytest.raises(SegmentError, match="another producer"):
            place(client, 2)
        raw.set_number(8, 1)
        with pytest.raises(SegmentError, match="another producer"):
            place(client, 2)

    def test_a_broken_index_closes_the_queue(self, client, raw):
        raw.set_number(0, -1)
        with pytest.raises(SegmentError, match="out of range"):
            place(client, 1)

    @pytest.mark.parametrize(
        ("symbol", "size", "price"), [("S" * 100, "1", "1"), ("S", "1" * 32, "1"), ("S", "1", "1" * 32)]
    )
    def test_text_that_does_not_fit(self, client, symbol, size, price):
        with pytest.raises(ConfigurationError, match="too long"):
            client.submit_place(1, symbol, 1, size, price, place_ts_ns=NOW_NS)
        assert client.outstanding == 0

    def test_text_that_just_fits(self, client, manager):
        client.submit_place(1, "S" * 99, 1, "1" * 31, "2" * 31, place_ts_ns=NOW_NS)
        (request,) = manager.take()
        assert (request.symbol, request.size, request.price) == ("S" * 99, "1" * 31, "2" * 31)

    def test_a_closed_queue(self, client):
        client.close()
        client.close()
        with pytest.raises(SegmentError, match="closed"):
            place(client, 1)
        with pytest.raises(SegmentError, match="closed"):
            client.poll_answers()


class TestAttach:
    def test_missing(self, name):
        with pytest.raises(SegmentError, match="does not exist: start the QTX order manager"):
            OrderQueue.attach(name)

    @pytest.mark.parametrize("bad", ["", "/", "name", "/a/b", "/" + "x" * 255])
    def test_bad_name(self, bad):
        with pytest.raises(SegmentError, match="segment name"):
            OrderQueue.attach(bad)

    @pytest.mark.parametrize("size", [0, 16, SEGMENT_SIZE - 1, SEGMENT_SIZE + 1])
    def test_wrong_size(self, name, size):
        path = "/dev/shm" + name
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(fd, size)
            with pytest.raises(SegmentError, match=f"has {size} bytes, not 1043216"):
                OrderQueue.attach(name)
        finally:
            os.close(fd)
            os.unlink(path)

    @pytest.mark.parametrize("mode", [0o640, 0o602, 0o666])
    def test_open_to_others(self, name, manager, mode):
        os.chmod("/dev/shm" + name, mode)
        with pytest.raises(SegmentError, match="chmod 600"):
            OrderQueue.attach(name)
        OrderQueue.attach(name, allow_shared_access=True).close()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_owned_by_another_user(self, name, manager):
        os.chown("/dev/shm" + name, 12345, -1)
        with pytest.raises(SegmentError, match="another user"):
            OrderQueue.attach(name)

    @pytest.mark.parametrize("at", [0, 8])
    @pytest.mark.parametrize("value", [-1, 100, 2**62])
    def test_indices_out_of_range(self, name, raw, at, value):
        raw.set_number(at, value)
        with pytest.raises(SegmentError, match="indices outside"):
            OrderQueue.attach(name)

    def test_a_second_producer_of_ours(self, name, client):
        with pytest.raises(SegmentError, match="has a producer already"):
            OrderQueue.attach(name)

    def test_the_name_is_taken(self, name, manager):
        with pytest.raises(SegmentError, match=f"rm /dev/shm{name}"):
            OrderManagerQueue.create(name)
        OrderQueue.attach(name).close()

    def test_created_for_our_user_alone_and_removed(self, name):
        before = os.umask(0)
        try:
            manager = OrderManagerQueue.create(name)
        finally:
            os.umask(before)
        assert os.stat("/dev/shm" + name).st_mode & 0o777 == 0o600
        manager.close()
        assert not os.path.exists("/dev/shm" + name)

    def test_someone_elses_segment_of_the_same_name_is_left_alone(self, name, manager):
        os.unlink("/dev/shm" + name)
        with OrderManagerQueue.create(name):
            manager.close()
            assert os.path.exists("/dev/shm" + name)

    def test_orders_of_an_earlier_client_are_not_touched(self, name, manager):
        with OrderQueue.attach(name) as first:
            for order_id in range(1, 6):
                place(first, order_id)
        with OrderQueue.attach(name) as second:
            assert second.outstanding == 0
            assert place(second, 6) == 5
            requests = manager.take()
            assert [request.client_order_id for request in requests] == [1, 2, 3, 4, 5, 6]
            manager.answer(requests[0].slot, b"ok")
            assert second.poll_answers() == []
            for order_id in range(7, 101):
                place(second, order_id)
                manager.take()
            place(second, 101)  # slot 0: the earlier client's order there has its answer
            with pytest.raises(QueueFullError):
                place(second, 102)  # slot 1: has not

    def test_a_replaced_segment_is_noticed(self, name, client, manager):
        assert client.check()
        os.unlink("/dev/shm" + name)
        assert not client.check()
        with pytest.raises(SegmentError, match="replaced or truncated"):
            place(client, 1)


class TestLateAnswers:
    def test_a_timed_out_slot_is_quarantined_until_its_answer(self, client, manager):
        slot = place(client, 1)
        assert client.wait_answer(slot, 1_000_000) is None
        assert client.outstanding == 1
        manager.answer(manager.take()[0].slot, b"at last")
        (answer,) = client.poll_answers()
        assert answer.late
        assert (answer.client_order_id, answer.message) == (1, b"at last")
        assert client.get_statistics()["expired"] == 1

    def test_waiting_where_nothing_is_outstanding(self, client):
        with pytest.raises(SegmentError, match="no order is outstanding"):
            client.wait_answer(3, 1_000_000)
        with pytest.raises(ConfigurationError, match=r"0\.\.99"):
            client.wait_answer(100, 1_000_000)

    def test_close_ends_a_wait_in_another_thread(self, client, manager):
        slot = place(client, 1)
        raised: list[BaseException] = []

        def wait() -> None:
            try:
                client.wait_answer(slot, 60 * SECOND_NS)
            except SegmentError as error:
                raised.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        client.close()
        thread.join(10)
        assert not thread.is_alive()
        assert "closed" in str(raised[0])


class TestSecrets:
    KEY, SECRET = "canary-key", "canary-secret"

    def register(self, client: OrderQueue) -> int:
        return client.register_key(self.KEY, self.SECRET, place_ts_ns=NOW_NS)

    def present(self, raw: RawSegment) -> bool:
        return self.SECRET.encode() in raw.memory[:] or self.KEY.encode() in raw.memory[:]

    def test_key_and_secret_arrive_and_are_wiped_with_the_answer(self, client, manager, raw):
        self.register(client)
        (request,) = manager.take()
        assert request.mode == MODE_REGISTER_KEY
        assert (request.api_key, request.api_secret) == (self.KEY, self.SECRET)
        assert self.present(raw)
        manager.answer(request.slot, b"whatever")
        client.poll_answers()
        assert not self.present(raw)

    def test_wiped_on_timeout_once_picked_up(self, client, manager, raw):
        slot = self.register(client)
        client.expire(slot)
        assert self.present(raw), "the manager has not read it yet"
        client.close()
        assert not self.present(raw)

    def test_wiped_on_timeout_after_pick_up(self, client, manager, raw):
        slot = self.register(client)
        manager.take()
        client.expire(slot)
        assert not self.present(raw)

    def test_wiping_can_be_switched_off(self, name, manager, raw):
        with OrderQueue.attach(name, wipe_secrets=False) as client:
            self.register(client)
            manager.answer(manager.take()[0].slot, b"ok")
            client.poll_answers()
        assert self.present(raw)

    def test_never_in_a_repr(self, client, manager):
        self.register(client)
        (request,) = manager.take()
        assert self.SECRET not in repr(request)
        assert self.KEY not in repr(request)
        assert self.SECRET not in repr([request])


class TestEventLoop:
    async def test_answers_reach_the_loop(self, client, manager):
        loop = asyncio.get_running_loop()
        got: asyncio.Queue = asyncio.Queue()
        client.start()
        manager.start()

        def on_requests() -> None:
            for request in manager.take():
                manager.answer(request.slot, b"id %d" % request.client_order_id)

        def on_answers() -> None:
            for answer in client.poll_answers():
                got.put_nowait(answer)

        loop.add_reader(manager.fileno(), on_requests)
        loop.add_reader(client.fileno(), on_answers)
        try:
            for order_id in range(200):
                place(client, order_id)
                answer = await asyncio.wait_for(got.get(), 10)
                assert answer.client_order_id == order_id
                assert answer.message == b"id %d" % order_id
                if order_id % 50 == 0:
                    await asyncio.sleep(0.01)  # let the watchers go to sleep
        finally:
            loop.remove_reader(manager.fileno())
            loop.remove_reader(client.fileno())

    async def test_a_replaced_segment_wakes_the_loop(self, name, client, manager):
        woken = asyncio.Event()
        client.start()
        asyncio.get_running_loop().add_reader(client.fileno(), woken.set)
        try:
            os.unlink("/dev/shm" + name)
            await asyncio.wait_for(woken.wait(), 10)
            client.poll_answers()
            assert client.closed_reason == "the segment was replaced or truncated"
        finally:
            asyncio.get_running_loop().remove_reader(client.fileno())

    def test_an_idle_watcher_costs_nothing(self, client):
        client.start()
        time.sleep(0.05)
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.02

    def test_start_and_stop_again_and_again(self, client, manager):
        for _ in range(20):
            client.start()
            client.start()
            client.stop()
        place(client, 1)
        manager.answer(manager.take()[0].slot, b"ok")
        assert len(client.poll_answers()) == 1

    def test_forgotten_objects_end_their_threads(self, name):
        before = threading.active_count(), len(os.listdir("/proc/self/task"))
        manager = OrderManagerQueue.create(name)
        client = OrderQueue.attach(name)
        manager.start()
        client.start()
        assert len(os.listdir("/proc/self/task")) == before[1] + 2
        del client, manager
        assert len(os.listdir("/proc/self/task")) == before[1]
        assert not os.path.exists("/dev/shm" + name)
