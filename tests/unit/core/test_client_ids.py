"""Client order ids: no two alike, over processes, restarts, forks, and a clock that goes back."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from qtxconn.core.client_ids import (
    ClientIds,
    NumericClientIds,
    client_id_from_cloid,
    cloid_from_client_id,
    shared_client_ids,
)
from qtxconn.core.clock import Clock
from qtxconn.errors import ConfigurationError

EPOCH_S = 1_577_836_800


class SetClock(Clock):
    def __init__(self, seconds: int) -> None:
        self.seconds = EPOCH_S + seconds

    def now_ns(self) -> int:
        return self.seconds * 10**9


def draw_elsewhere(directory: Path, count: int, root: Path) -> subprocess.Popen[str]:
    """A process of its own that draws ids, prints them, and holds its lease until its input closes."""
    program = (
        "import sys\n"
        "from qtxconn.core.client_ids import ClientIds\n"
        f"ids = ClientIds(directory={str(directory)!r})\n"
        f"print(' '.join(str(ids.next()) for _ in range({count})), flush=True)\n"
        "sys.stdin.read()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    )


def test_two_processes_draw_no_id_twice(tmp_path: Path, root: Path) -> None:
    mine = ClientIds(directory=tmp_path)
    processes = [draw_elsewhere(tmp_path, 500, root) for _ in range(2)]
    drawn = [{mine.next() for _ in range(500)}]
    for process in processes:  # all hold their lease until every one has drawn
        assert process.stdout is not None
        drawn.append({int(word) for word in process.stdout.readline().split()})
    for process in processes:
        process.communicate(timeout=60)
    assert [len(ids) for ids in drawn] == [500, 500, 500]
    assert len(set.union(*drawn)) == 1500
    assert {(number >> 21) & 1023 for ids in drawn for number in ids} == {0, 1, 2}


def test_ids_grow_and_fit_a_signed_64_bit_number(tmp_path: Path) -> None:
    ids = ClientIds(directory=tmp_path)
    drawn = [ids.next() for _ in range(1000)]
    assert drawn == sorted(set(drawn))
    assert drawn[0] > 0
    assert drawn[-1] < 2**63


def test_a_restart_with_the_clock_gone_back_draws_above_the_run_before(tmp_path: Path) -> None:
    clock = SetClock(100_000)
    ids = ClientIds(clock=clock, directory=tmp_path)
    last = [ids.next() for _ in range(10)][-1]
    clock.seconds += 3600  # also after the reservation has been renewed
    last = max(last, ids.next())
    del ids
    for back in (50_000, 0, -EPOCH_S, 100_000):
        ids = ClientIds(clock=SetClock(back), directory=tmp_path)
        assert ids.instance == 0
        first = ids.next()
        assert first > last
        last = max(first, *(ids.next() for _ in range(100)))
        del ids


def test_a_clock_that_goes_back_while_running_changes_nothing(tmp_path: Path) -> None:
    clock = SetClock(1000)
    ids = ClientIds(clock=clock, directory=tmp_path)
    first = ids.next()
    clock.seconds = EPOCH_S
    assert ids.next() == first + 1


def test_a_fork_draws_ids_of_its_own(tmp_path: Path) -> None:
    ids = ClientIds(directory=tmp_path)
    mine = {ids.next() for _ in range(50)}
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # leaves without the parent's clean-up
        os.write(writing, b"".join(struct.pack("<Q", ids.next()) for _ in range(50)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        theirs = {number for (number,) in struct.iter_unpack("<Q", pipe.read())}
    assert os.waitpid(child, 0)[1] == 0
    mine |= {ids.next() for _ in range(50)}
    assert (len(mine), len(theirs), len(mine & theirs)) == (100, 50, 0)
    assert {(number >> 21) & 1023 for number in theirs} == {1}


def test_an_instance_in_use_is_refused_by_name(tmp_path: Path) -> None:
    holder = ClientIds(instance=7, directory=tmp_path)
    with pytest.raises(ConfigurationError, match="instance 7 is used by another process"):
        ClientIds(instance=7, directory=tmp_path)
    del holder
    assert ClientIds(instance=7, directory=tmp_path).instance == 7


@pytest.mark.parametrize("instance", [-1, 1024])
def test_an_instance_out_of_range_is_refused(instance: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1023"):
        ClientIds(instance=instance, directory=tmp_path)


def test_the_instance_after_the_last_is_refused_with_the_place_named(tmp_path: Path) -> None:
    # Each process may hold few files open: a child with all 1024 leases would be refused them, so they are made locked
    # by one open file each, in blocks.
    import fcntl
    import resource

    limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < 1200 and hard < 1200:
        pytest.skip(f"needs 1100 open files, {hard} are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, 1200), hard))
    held = []
    try:
        for number in range(1024):
            held.append(os.open(tmp_path / f"instance-{number}", os.O_RDWR | os.O_CREAT, 0o600))
            fcntl.flock(held[-1], fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match=f"all 1024 instances in {tmp_path} are in use"):
            ClientIds(directory=tmp_path)
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def test_a_directory_that_cannot_be_used_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("QTXCONN_STATE_DIR", str(place))
        with pytest.raises(ConfigurationError, match="set QTXCONN_STATE_DIR to a directory you may write"):
            ClientIds()
    (tmp_path / "instance-0").mkdir()  # there, but not to be opened
    monkeypatch.setenv("QTXCONN_STATE_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"cannot open .*instance-0.* set QTXCONN_STATE_DIR"):
        ClientIds()


@pytest.mark.parametrize("record", [b"\x01", b"\xff" * 8], ids=["cut off", "absurd"])
def test_a_damaged_lease_is_refused_rather_than_trusted(record: bytes, tmp_path: Path) -> None:
    (tmp_path / "instance-0").write_bytes(record)
    with pytest.raises(ConfigurationError, match="damaged"):
        ClientIds(directory=tmp_path)


def test_the_directory_comes_from_the_environment_and_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QTXCONN_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ids = ClientIds()
    lease = tmp_path / "qtxconn" / f"instance-{ids.instance}"
    assert lease.stat().st_mode & 0o777 == 0o600
    assert lease.parent.stat().st_mode & 0o777 == 0o700


def test_a_process_shares_one_source() -> None:
    assert shared_client_ids() is shared_client_ids()
    assert shared_client_ids("lighter", 48) is shared_client_ids("lighter", 48)
    assert shared_client_ids("lighter", 48) is not shared_client_ids("dydx", 32)


# -- small numbers ---------------------------------------------------------------------------------------------


DRAW_ONE = """
from qtxconn.core.client_ids import shared_client_ids
from qtxconn.errors import ConfigurationError
try:
    print(shared_client_ids().instance, shared_client_ids().next())
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize("instances", [("1", "2"), ("", "1023")])
def test_processes_of_two_hosts_draw_from_instances_of_their_own(
    tmp_path: Path, root: Path, instances: tuple[str, str]
) -> None:
    drawn = []
    for number, instance in enumerate(instances):
        host = {"QTXCONN_STATE_DIR": str(tmp_path / str(number)), "QTXCONN_INSTANCE": instance}
        words = subprocess.check_output([sys.executable, "-c", DRAW_ONE], env=os.environ | host, cwd=root, text=True)
        drawn.append([int(word) for word in words.split()])
    assert [instance for instance, _ in drawn] == [int(instance or "0") for instance in instances]
    assert [(number >> 21) & 1023 for _, number in drawn] == [int(instance or "0") for instance in instances]


@pytest.mark.parametrize("instance", ["-1", "1024", "a", "1.0"])
def test_an_instance_that_is_none_is_refused(tmp_path: Path, root: Path, instance: str) -> None:
    host = {"QTXCONN_STATE_DIR": str(tmp_path), "QTXCONN_INSTANCE": instance}
    said = subprocess.check_output([sys.executable, "-c", DRAW_ONE], env=os.environ | host, cwd=root, text=True)
    assert instance in said
    assert "instance" in said.lower()


@pytest.mark.parametrize("bits", [32, 48, 63])
def test_small_ids_have_at_most_their_bits_and_no_two_are_alike_over_restarts(bits: int, tmp_path: Path) -> None:
    drawn: list[int] = []
    for run in range(5):
        ids = NumericClientIds("venue", bits, directory=tmp_path)
        drawn += [ids.next() for _ in range(1 + 2000 * run)]  # below, at and above what is reserved ahead
        del ids
    assert drawn == sorted(set(drawn))
    assert drawn[0] > 0
    assert drawn[-1] < 2**bits


def test_a_million_small_ids_are_all_different(tmp_path: Path) -> None:
    ids = NumericClientIds("lighter", 48, directory=tmp_path)
    assert len({ids.next() for _ in range(1_000_000)}) == 1_000_000


def test_processes_and_venues_have_counters_of_their_own(tmp_path: Path) -> None:
    first, second = (NumericClientIds("lighter", 48, directory=tmp_path) for _ in range(2))
    assert not {first.next() for _ in range(100)} & {second.next() for _ in range(100)}
    assert NumericClientIds("dydx", 32, directory=tmp_path).next() == 1
    with pytest.raises(ConfigurationError, match="between 0 and 15"):
        NumericClientIds("dydx", 32, instance=16, directory=tmp_path)
    with pytest.raises(ConfigurationError, match="32 to 63 bits"):
        NumericClientIds("venue", 16, directory=tmp_path)


def test_small_ids_continue_above_what_a_journal_knows(tmp_path: Path) -> None:
    ids = NumericClientIds("lighter", 48, directory=tmp_path)
    ids.raise_above(1_000_000)
    ids.raise_above(10)
    ids.raise_above((3 << 38) + 5)  # another process's
    assert ids.next() == 1_000_001
    del ids
    assert NumericClientIds("lighter", 48, directory=tmp_path).next() > 1_000_001


def test_small_ids_that_run_out_begin_again(tmp_path: Path) -> None:
    ids = NumericClientIds("dydx", 32, directory=tmp_path)
    ids.raise_above(2**28 - 2)
    assert [ids.next() for _ in range(3)] == [2**28 - 1, 1, 2]
    del ids
    assert 2 < NumericClientIds("dydx", 32, directory=tmp_path).next() < 10_000


@pytest.mark.parametrize("number", [1, 2**31, 2**63 - 1])
def test_a_cloid_carries_the_client_order_id(number: int) -> None:
    cloid = cloid_from_client_id(number)
    assert len(cloid) == 34
    assert int(cloid, 16) >> 64
    assert client_id_from_cloid(cloid) == number


@pytest.mark.parametrize("cloid", ["", "0x" + "0" * 32, "0x" + "f" * 32, cloid_from_client_id(1)[:-1] + "g"])
def test_a_cloid_made_elsewhere_is_not_ours(cloid: str) -> None:
    assert client_id_from_cloid(cloid) is None
