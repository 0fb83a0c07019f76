"""A rate budget that the processes of a host share: weights spent per time slice, in small files under a lock.

A file holds pools; a pool's window is cut into slices, and a slice's weight counts for the whole window after it and up
to two slices more, so that what the venue sees late still fits. What a process spent ages by itself: one that dies
holds nothing. The lock (flock) ends with its holder; one that is stopped while it holds the lock is waited for 0.1 s
and then passed over, which may lose an entry until the venue's own counters bring it back.

Files are read with pread, never mapped: a file that somebody truncates cannot end the process. What is in them is not
trusted: slices from the future do not count, no pause is longer than the venue's longest ban, and a file that is none
of ours is started anew.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from qtxconn.errors import ConfigurationError

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock
    from qtxconn.net.throttler import RateLimit

DEFAULT_DIRECTORY = Path("/dev/shm")
SLICES = 32  # kept; a window has two less
POOLS_MAX = 16
PAUSE_MAX_NS = 4 * 86_400 * 10**9  # Binance bans for three days at most
LOCK_ATTEMPTS = 20  # without giving way: others hold the lock for microseconds
LOCK_RETRY_NS = 500_000
LOCK_PATIENCE_NS = 100_000_000
_MAGIC = b"qtxrate1"
_HEADER = struct.Struct("<8sQQ")  # magic; paused until (monotonic ns), and its complement
_POOL = struct.Struct(f"<QQ{SLICES}Q")  # name, interval (ns), slices: number << 32 | weight
_WORD = struct.Struct("<Q")
_FILE_SIZE = _HEADER.size + POOLS_MAX * _POOL.size
_WORD_MAX = (1 << 64) - 1
_HALF_MAX = (1 << 32) - 1


class SharedBudget:
    """The budgets of one venue: one file for each scope of its limits, such as the address and the account.

    `identities`: scope -> whose budget it is. Names of files are digests of them and of the boot, so no key shows, and
    times of another boot are never read. Raises ConfigurationError where the files cannot be used.
    """

    def __init__(self, venue: str, identities: Mapping[str, str], clock: Clock, directory: Path) -> None:
        self._clock = clock
        self._files: dict[str, int] = {}
        try:
            for scope, identity in identities.items():
                self._files[scope] = _open(directory / f"qtxconn-rates-{_digest(venue, scope, identity)}")
        except BaseException:
            self.close()
            raise
        self._lock_file = next(iter(self._files.values()))
        self._waiting_since_ns = 0

    def close(self) -> None:
        """Let go of the files; what was spent stays spent. May be called twice."""
        while self._files:
            os.close(self._files.popitem()[1])

    def __del__(self) -> None:
        self.close()

    def pool(self, rate_limit: RateLimit) -> SharedPool:
        """The pool of a limit, in the file of its scope."""
        return SharedPool(self._files[rate_limit.scope], rate_limit)

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether the lock is held inside. False: try again in LOCK_RETRY_NS."""
        held = self._try_lock()
        now_ns = self._clock.monotonic_ns()
        if held:
            self._waiting_since_ns = 0
        elif not self._waiting_since_ns:
            self._waiting_since_ns = now_ns
        try:
            yield held or now_ns - self._waiting_since_ns >= LOCK_PATIENCE_NS
        finally:
            if held:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _try_lock(self) -> bool:
        for _ in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            return True
        return False

    def paused_until_ns(self, now_ns: int) -> int:
        """Monotonic ns before which nobody may send; 0 when that is over."""
        header = os.pread(self._lock_file, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return 0
        _, until_ns, complement = _HEADER.unpack(header)
        return until_ns if until_ns ^ complement == _WORD_MAX and now_ns < until_ns <= now_ns + PAUSE_MAX_NS else 0

    def pause_until(self, monotonic_ns: int, now_ns: int) -> None:
        """Hold everybody back until then, at least."""
        if self.paused_until_ns(now_ns) < monotonic_ns <= now_ns + PAUSE_MAX_NS:
            os.pwrite(self._lock_file, _HEADER.pack(_MAGIC, monotonic_ns, monotonic_ns ^ _WORD_MAX), 0)


def shared_budget(setting: str, venue: str, account: str, clock: Clock) -> SharedBudget | None:
    """What a connector's `rate_budget` asks for: "local" (None), "shared" by the processes of this host, or by those
    that see a directory, given by its absolute path. Raises ConfigurationError for anything else."""
    if setting == "local":
        return None
    if setting != "shared" and not setting.startswith("/"):
        raise ConfigurationError(f'rate_budget: is {setting!r}; it must be "local", "shared" or an absolute path')
    directory = DEFAULT_DIRECTORY if setting == "shared" else Path(setting)
    return SharedBudget(venue, {"address": "", "account": account}, clock, directory)


class SharedPool:
    """The weight that all processes have spent in one pool. Call it with the budget's lock held."""

    __slots__ = ("_file", "_interval_ns", "_name", "_offset", "_slice_ns", "_slices", "limit", "reserved", "used")

    def __init__(self, file: int, rate_limit: RateLimit) -> None:
        self.limit = rate_limit.limit
        self.reserved = rate_limit.reserved
        self.used = 0
        self._file = file
        self._interval_ns = round(rate_limit.time_interval * 1e9)
        self._slice_ns = max(1, -(-self._interval_ns // (SLICES - 2)))
        self._name = int.from_bytes(blake2b(rate_limit.limit_id.encode(), digest_size=8).digest(), "little") or 1
        self._offset = 0
        self._slices: tuple[int, ...] = ()

    def capacity(self, priority: bool) -> int:
        return self.limit if priority else self.limit - self.reserved

    def refresh(self, now_ns: int) -> None:
        """Read what everybody spent."""
        block = os.pread(self._file, _POOL.size, self._offset) if self._offset else b""
        if len(block) < _POOL.size or _POOL.unpack(block)[:2] != (self._name, self._interval_ns):
            block = self._find()
        newest = now_ns // self._slice_ns & _HALF_MAX
        self._slices = tuple(
            word for word in _POOL.unpack(block)[2:] if word and newest - SLICES < word >> 32 <= newest
        )
        self.used = sum(word & _HALF_MAX for word in self._slices)

    def spend(self, now_ns: int, weight: int) -> None:
        """Add to what refresh() read."""
        number = now_ns // self._slice_ns & _HALF_MAX
        place = self._offset + 16 + number % SLICES * _WORD.size
        spent = next((word & _HALF_MAX for word in self._slices if word >> 32 == number), 0)
        word = number << 32 | min(spent + weight, _HALF_MAX)
        os.pwrite(self._file, _WORD.pack(word), place)
        self._slices = (*(old for old in self._slices if old >> 32 != number), word)
        self.used += weight

    def free_at_ns(self, weight: int, priority: bool, now_ns: int) -> int:
        """When `weight` more fits, if nobody else spends any until then."""
        excess = self.used + weight - self.capacity(priority)
        if excess <= 0:
            return now_ns
        for word in sorted(self._slices):
            excess -= word & _HALF_MAX
            if excess <= 0:
                return ((word >> 32) + SLICES) * self._slice_ns
        raise AssertionError("a weight beyond the capacity is refused on entry")

    def _find(self) -> bytes:
        """This pool's block, or a free one that is now this pool's; in a file that is not ours, a new file's."""
        content = os.pread(self._file, _FILE_SIZE, 0)
        if content[:8] != _MAGIC:
            content = self._start_anew()
        content = content.ljust(_FILE_SIZE, b"\0")
        for start in range(_HEADER.size, _FILE_SIZE, _POOL.size):
            block = content[start : start + _POOL.size]
            name, interval_ns, *_ = _POOL.unpack(block)
            if name == 0:
                block = _POOL.pack(self._name, self._interval_ns, *(0,) * SLICES)
                os.pwrite(self._file, block, start)
            elif (name, interval_ns) != (self._name, self._interval_ns):
                continue
            self._offset = start
            return block
        self._start_anew()
        return self._find()

    def _start_anew(self) -> bytes:
        content = _HEADER.pack(_MAGIC, 0, _WORD_MAX).ljust(_FILE_SIZE, b"\0")
        os.pwrite(self._file, content, 0)
        return content


def _digest(*parts: str) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    return blake2b("\0".join((boot, *parts)).encode(), digest_size=16).hexdigest()


def _open(path: Path) -> int:
    """A file of this user's alone."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"rate_budget: {path} cannot be opened ({error.strerror}); name a directory that you may write"
        ) from None
    failure = ""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        failure = "is not a file of this user's alone (mode 0600); remove it"
    else:
        try:
            os.posix_fallocate(file, 0, _FILE_SIZE)  # no later write can find the disk full
        except OSError as error:
            failure = f"cannot be made {_FILE_SIZE} bytes long ({error.strerror})"
    if failure:
        os.close(file)
        raise ConfigurationError(f"rate_budget: {path} {failure}")
    return file
