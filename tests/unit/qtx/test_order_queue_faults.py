"""Faults of the order queue (docs/order-queue.md, "When something is wrong"): real segments, real processes."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from qtxconn.errors import QueueFullError, SegmentError
from qtxconn.qtx.order_queue import (
    MODE_CANCEL,
    MODE_PLACE,
    MODE_REGISTER_KEY,
    QUEUE_REPLACED,
    SEGMENT_SIZE,
    SLOT_COUNT,
    OrderManagerQueue,
    OrderQueue,
    QueuedRequest,
)

NOW_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
NO_ORDER_ID = 2**64 - 1
SLOT_SIZE, SLOTS_AT, RES_TS_AT, RES_MSG_AT = 10_432, 16, 56, 428


@pytest.fixture
def name() -> Iterator[str]:
    name = f"/qtxconn_test_{uuid.uuid4().hex[:12]}"
    yield name
    assert not os.path.exists("/dev/shm" + name)


@pytest.fixture
def manager(name: str) -> Iterator[OrderManagerQueue]:
    with OrderManagerQueue.create(name) as queue:
        yield queue


@pytest.fixture
def client(name: str, manager: OrderManagerQueue) -> Iterator[OrderQueue]:
    with OrderQueue.attach(name) as queue:
        yield queue


@pytest.fixture
def memory(name: str, manager: OrderManagerQueue) -> Iterator[mmap.mmap]:
    """The segment's bytes, as a foreign program sees them."""
    fd = os.open("/dev/shm" + name, os.O_RDWR)
    with mmap.mmap(fd, SEGMENT_SIZE) as memory:
        yield memory
    os.close(fd)


def place(client: OrderQueue, order_id: int, now_ns: int = NOW_NS) -> int:
    return client.submit_place(order_id, "BTCUSDT", 1, "0.001", "60000.1", place_ts_ns=now_ns)


def answer_raw(memory: mmap.mmap, slot: int, message: bytes) -> None:
    """An answer from an order manager that does not look whose slot it is."""
    at = SLOTS_AT + slot * SLOT_SIZE
    memory[at + RES_MSG_AT : at + RES_MSG_AT + len(message) + 1] = message + b"\0"
    memory[at + RES_TS_AT : at + RES_TS_AT + 8] = (1).to_bytes(8, "little")


def trade(client: OrderQueue, manager: OrderManagerQueue, order_id: int) -> list[QueuedRequest]:
    """One order, taken and answered; returns everything the manager was given."""
    slot = place(client, order_id)
    requests = manager.take()
    assert (requests[-1].slot, requests[-1].client_order_id) == (slot, order_id)
    for request in requests:
        manager.answer(request.slot, b"%d" % request.client_order_id)
    (answer,) = client.poll_answers()
    assert answer.message == b"%d" % order_id
    return requests


def run(program: str, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


class TestNeverAnswered:
    def test_the_queue_goes_past_the_slot_with_a_cancel_of_nothing(self, client, manager, memory):
        lost = place(client, 1)
        manager.take()
        client.expire(lost)
        for order_id in range(2, 101):
            assert len(trade(client, manager, order_id)) == 1
        filler, order = trade(client, manager, 101)
        assert (filler.slot, filler.mode, filler.client_order_id) == (lost, MODE_CANCEL, NO_ORDER_ID)
        assert (filler.symbol, filler.size, filler.price, filler.side) == ("BTCUSDT", "", "", 0)
        assert order.slot == 1
        assert client.get_statistics()["retired_slots"] == 1
        # The answer that never came comes: it reaches no order, now or when the ring is round again.
        answer_raw(memory, lost, b"success 1")
        assert client.poll_answers() == []
        for order_id in range(102, 200):
            assert len(trade(client, manager, order_id)) == 1
        filler, order = trade(client, manager, 200)
        assert (filler.slot, order.slot) == (lost, 1)
        assert client.get_statistics()["published"] == 200
        assert client.outstanding == 0

    def test_an_answer_before_the_ring_is_round_frees_the_slot(self, client, manager, memory):
        lost = place(client, 1)
        manager.take()
        client.expire(lost)
        for order_id in range(2, 101):
            trade(client, manager, order_id)
        answer_raw(memory, lost, b"late")
        with pytest.raises(QueueFullError):
            place(client, 101)  # until it was taken
        (answer,) = client.poll_answers()
        assert (answer.late, answer.client_order_id, answer.message) == (True, 1, b"late")
        assert place(client, 101) == lost
        assert client.get_statistics()["retired_slots"] == 0

    def test_an_order_manager_that_loses_many_answers_is_given_no_more_orders(self, client, manager):
        for order_id in range(1, 12):
            client.expire(place(client, order_id))
        manager.take()
        for order_id in range(12, 101):
            trade(client, manager, order_id)
        with pytest.raises(QueueFullError, match=r"too many orders were never answered.*restart the order manager"):
            place(client, 101)
        assert client.get_statistics()["retired_slots"] == 10

    def test_an_earlier_clients_order_is_waited_for_and_then_passed(self, name, manager):
        with OrderQueue.attach(name) as first:
            assert [place(first, order_id) for order_id in (1, 2)] == [0, 1]
        manager.take()
        with OrderQueue.attach(name, stall_limit_ns=5 * SECOND_NS) as second:
            for order_id in range(3, 101):
                trade(second, manager, order_id)
            with pytest.raises(QueueFullError):
                place(second, 101, NOW_NS + 5 * SECOND_NS)
            assert place(second, 101, NOW_NS + 5 * SECOND_NS + 1) == 2
            assert [request.client_order_id for request in manager.take()] == [NO_ORDER_ID, NO_ORDER_ID, 101]


class TestTakenBack:
    def test_an_order_given_up_on_before_it_was_picked_up_is_never_placed(self, client, manager):
        slot = place(client, 1)
        assert client.expire(slot)
        (request,) = manager.take()  # the manager goes on, much later
        assert (request.mode, request.client_order_id) == (MODE_CANCEL, 1)
        manager.answer(slot, b"error: code: -2011")
        (answer,) = client.poll_answers()
        assert (answer.late, answer.mode) == (True, MODE_PLACE)
        assert client.get_statistics()["withdrawn"] == 1

    def test_one_that_was_picked_up_cannot_be(self, client, manager):
        slot = place(client, 1)
        (request,) = manager.take()
        assert not client.expire(slot)
        assert request.mode == MODE_PLACE
        assert client.get_statistics()["withdrawn"] == 0

    def test_a_cancel_stays(self, client, manager):
        slot = client.submit_cancel(7, "BTCUSDT", place_ts_ns=NOW_NS)
        assert not client.expire(slot)
        assert manager.take()[0].mode == MODE_CANCEL

    def test_what_a_killed_process_left_is_picked_up_before_the_next_ones_registration(self, name, manager):
        """So once that is answered, the venue's "no such order" counts for what was left."""
        program = """
            import os, signal, sys
            from qtxconn.qtx.order_queue import OrderQueue
            queue = OrderQueue.attach(sys.argv[1])
            for order_id in (1, 2, 3):
                queue.submit_place(order_id, "BTCUSDT", 1, "1", "2", place_ts_ns=int(sys.argv[2]))
            os.kill(os.getpid(), signal.SIGKILL)
        """
        assert run(program, name, str(NOW_NS)).returncode == -signal.SIGKILL
        with OrderQueue.attach(name) as client:
            client.register_key("key", "secret", place_ts_ns=NOW_NS)
            requests = manager.take()
            assert [(request.mode, request.client_order_id) for request in requests] == [
                (MODE_PLACE, 1),
                (MODE_PLACE, 2),
                (MODE_PLACE, 3),
                (MODE_REGISTER_KEY, 0),
            ]
            for request in requests:
                manager.answer(request.slot, b"ok")
            assert [answer.mode for answer in client.poll_answers()] == [MODE_REGISTER_KEY]


class TestTruncation:
    """`ftruncate` by another process: without a guard the next touch of the segment ends the process (SIGBUS)."""

    PROGRAM = """
        import os, sys, time
        from qtxconn.errors import SegmentError
        from qtxconn.qtx.order_queue import OrderQueue
        queue = OrderQueue.attach(sys.argv[1])
        queue.submit_place(1, "BTCUSDT", 1, "1", "2", place_ts_ns=1)
        if sys.argv[3] == "watched":
            queue.start()
        os.truncate("/dev/shm" + sys.argv[1], int(sys.argv[2]))
        if sys.argv[3] == "watched":
            deadline = time.monotonic() + 20
            while not queue.closed and time.monotonic() < deadline:
                time.sleep(0.01)
        else:
            try:
                queue.submit_place(2, "BTCUSDT", 1, "1", "2", place_ts_ns=1)  # into the void: nobody will answer
            except SegmentError:
                pass  # the index was in the part that is gone
            assert queue.poll_answers() == []
            assert not queue.check()
        try:
            queue.submit_place(3, "BTCUSDT", 1, "1", "2", place_ts_ns=1)
        except SegmentError as error:
            print(queue.closed_reason)
        queue.close()
    """

    @pytest.mark.parametrize("watched", ["watched", "alone"])
    @pytest.mark.parametrize("size", [0, 4096])
    def test_the_client_lives_and_notices(self, name, manager, size, watched):
        done = run(self.PROGRAM, name, str(size), watched)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.strip() == QUEUE_REPLACED

    def test_the_order_manager_lives(self, name):
        program = """
            import os, sys
            from qtxconn.qtx.order_queue import OrderManagerQueue
            with OrderManagerQueue.create(sys.argv[1]) as manager:
                os.truncate("/dev/shm" + sys.argv[1], 0)
                assert manager.take() == []
        """
        done = run(program, name)
        assert (done.returncode, done.stderr) == (0, "")

    def test_a_fault_elsewhere_ends_the_process_as_ever(self, name, manager):
        program = """
            import ctypes, mmap, sys, tempfile
            from qtxconn.qtx.order_queue import OrderQueue
            queue = OrderQueue.attach(sys.argv[1])
            with tempfile.TemporaryFile() as file:
                file.truncate(4096)
                memory = mmap.mmap(file.fileno(), 4096)
                address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
                file.truncate(0)
                ctypes.string_at(address, 1)
        """
        assert run(program, name).returncode == -signal.SIGBUS

    def test_the_handler_that_was_there_hears_of_other_faults(self, name, manager):
        program = """
            import faulthandler, os, signal, sys
            faulthandler.enable()
            from qtxconn.qtx.order_queue import OrderQueue
            queue = OrderQueue.attach(sys.argv[1])
            os.kill(os.getpid(), signal.SIGBUS)
        """
        done = run(program, name)
        assert done.returncode == -signal.SIGBUS
        assert "Fatal Python error: Bus error" in done.stderr


class TestReplaced:
    def test_an_order_manager_that_starts_anew_in_the_same_segment(self, client, manager, memory):
        place(client, 1)
        manager.take()
        memory[:] = bytes(SEGMENT_SIZE)
        assert not client.check()
        assert client.closed_reason == QUEUE_REPLACED

    def test_an_index_that_moves_back(self, client, manager, memory):
        place(client, 1)
        manager.take()
        place(client, 2)
        memory[0:8] = bytes(8)  # it would place order 1 again
        with pytest.raises(SegmentError, match="moved back"):
            place(client, 3)

    def test_a_forked_child_does_not_remove_the_segment(self, name, manager):
        child = os.fork()
        if child == 0:
            manager.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        OrderQueue.attach(name).close()


class TestOtherProcesses:
    ATTACH = """
        import os, sys
        from qtxconn.errors import SegmentError
        from qtxconn.qtx.order_queue import OrderQueue
        if len(sys.argv) > 2:
            os.setuid(int(sys.argv[2]))
        try:
            OrderQueue.attach(sys.argv[1])
        except SegmentError as error:
            print(error)
    """

    def test_a_second_producer(self, name, client):
        assert "has a producer already" in run(self.ATTACH, name).stdout

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    def test_another_user(self, name, manager):
        assert "no permission to open" in run(self.ATTACH, name, "65534").stdout

    def test_the_lock_ends_with_its_process(self, name, manager):
        assert run(self.ATTACH, name).stdout == ""
        OrderQueue.attach(name).close()

    def test_an_order_manager_that_is_stopped(self, name):
        """SIGSTOP in the middle: refused after the stall limit, taken back, and harmless when it goes on."""
        program = """
            import sys
            from qtxconn.qtx.order_queue import OrderManagerQueue
            with OrderManagerQueue.create(sys.argv[1]) as manager:
                print("ready", flush=True)
                while not (requests := manager.take()):
                    pass
                print(requests[0].mode, requests[0].client_order_id, flush=True)
                sys.stdin.read()
        """
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            with OrderQueue.attach(name, stall_limit_ns=2 * SECOND_NS) as client:
                slot = place(client, 1, NOW_NS)
                with pytest.raises(QueueFullError, match="does not take orders"):
                    place(client, 2, NOW_NS + 2 * SECOND_NS + 1)
                assert client.wait_answer(slot, 1_000_000) is None
                process.send_signal(signal.SIGCONT)
                assert process.stdout.readline() == f"{MODE_CANCEL} 1\n"
            process.stdin.close()
            assert process.wait(20) == 0


class TestMemory:
    def test_kept_out_of_core_files_and_locked(self, client):
        """VmFlags of the mapping: dd = not dumped, lo = locked (where the limit allows)."""
        flags = {}
        with open("/proc/self/smaps") as smaps:
            for line in smaps:
                fields = line.split()
                if len(fields) == 6 and fields[5] == "/dev/shm" + client.name:
                    flags[fields[0]] = None
                elif line.startswith("VmFlags:") and flags and None in flags.values():
                    flags = {key: value or fields[1:] for key, value in flags.items()}
        assert flags
        wanted = {"dd"} if "libasan" in os.environ.get("LD_PRELOAD", "") else {"dd", "lo"}  # it lets mlock() do nothing
        assert any(wanted <= set(value) for value in flags.values())

    def test_the_guards_run_out_and_say_so(self, name):
        with ExitStack() as queues, pytest.raises(SegmentError, match="Too many open files"):
            _ = [queues.enter_context(OrderManagerQueue.create(f"{name}_{number}")) for number in range(65)]
        with OrderManagerQueue.create(f"{name}_again"):
            pass


def test_the_ring_is_as_long_as_the_protocol_says():
    assert SLOT_COUNT == 100
    assert ctypes.sizeof(ctypes.c_int64) * 2 + SLOT_COUNT * SLOT_SIZE == SEGMENT_SIZE


def test_an_idle_watcher_lingers_and_then_costs_nothing(name, manager):
    with OrderQueue.attach(name, linger_ns=20_000_000) as client:
        client.start()
        place(client, 1)
        manager.answer(manager.take()[0].slot, b"ok")
        assert len(client.poll_answers()) == 1
        time.sleep(0.5)
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.05
