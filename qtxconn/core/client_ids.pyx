"""Client order ids that are used once: numbers from include/qtxconn/order_id.hpp, with the instance leased on disk."""

import fcntl
import os
import struct
import tempfile
from pathlib import Path

from libc.stdint cimport uint64_t
from libcpp.memory cimport make_unique
from posix.unistd cimport close, getpid

from qtxconn.core.clock cimport Clock
from qtxconn.core.client_ids cimport (
    OrderIdSource,
    kOrderIdCounterBits,
    kOrderIdEpochS,
    kOrderIdInstanceBits,
    kOrderIdInstanceMax,
)

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import ConfigurationError

# Seconds are reserved on disk in blocks, so that the file is written once a minute and not once an order.
cdef uint64_t RESERVE_S = 60
cdef object _RECORD = struct.Struct("<Q")
cdef object _SECONDS_MAX = (1 << 32) - 3600     # the seconds part of an id has 32 bits


def default_lease_directory():
    """Per-user directory of the lease files; QTXCONN_STATE_DIR overrides it.

    It must outlive a reboot, so it lies in the user's state directory; only a user without a home that can be written
    to gets one among the temporary files.
    """
    override = os.environ.get("QTXCONN_STATE_DIR")
    if override:
        return Path(override)
    base = os.environ.get("XDG_STATE_HOME")
    directory = (Path(base) if base else Path(os.path.expanduser("~")) / ".local" / "state") / "qtxconn"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / f"qtxconn-{os.getuid()}"
    return directory


cdef class ClientIds:
    """Draws 64-bit client order ids that no other process of this host and no earlier run has drawn.

    Each process leases an instance number (0..1023) by locking a file, which also keeps the second up to which ids
    may have been used: a restart begins above it even if the clock went back. Across hosts give each process its own
    `instance`. After a fork the child leases another one by itself.
    """

    def __cinit__(self, *args, **kwargs):
        self._lease = -1

    def __init__(self, *, instance=None, Clock clock=SYSTEM_CLOCK, directory=None):
        if instance is not None and not 0 <= instance <= <int>kOrderIdInstanceMax:
            raise ConfigurationError(f"instance must be between 0 and {kOrderIdInstanceMax}, not {instance}")
        self._wanted = instance
        self._clock = clock
        self._directory = Path(directory) if directory is not None else default_lease_directory()
        self._acquire()

    def __dealloc__(self):
        self._let_go()

    cdef void _let_go(self) noexcept:
        if self._lease >= 0 and self._owner_pid == getpid():
            close(self._lease)
        self._lease = -1

    def close(self) -> None:
        """Gives the instance back; no id is drawn any more. May be called twice."""
        self._source.reset()
        self._let_go()

    cdef int _acquire(self) except -1:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot make {self._directory} for client order id leases ({error.strerror}); "
                "set QTXCONN_STATE_DIR to a directory you may write"
            ) from None
        candidates = range(<int>kOrderIdInstanceMax + 1) if self._wanted is None else [self._wanted]
        for number in candidates:
            path = self._directory / f"instance-{number}"
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise ConfigurationError(
                    f"cannot open {path} for client order id leases ({error.strerror}); "
                    "set QTXCONN_STATE_DIR to a directory you may write"
                ) from None
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            if self._lease >= 0:
                close(self._lease)      # inherited by a fork: the parent keeps its own
            self._lease = descriptor
            self._owner_pid = os.getpid()
            self.instance = number
            record = os.pread(descriptor, _RECORD.size, 0)
            used_until = _RECORD.unpack(record)[0] if len(record) == _RECORD.size else 0
            if len(record) not in (0, _RECORD.size) or used_until > _SECONDS_MAX:
                raise ConfigurationError(
                    f"{path} is damaged, so the ids used before are not known; remove it if no order made by this "
                    "instance is open, or set another QTXCONN_STATE_DIR"
                )
            first = max(self._now_s(), used_until + 1)
            self._source = make_unique[OrderIdSource](<unsigned int>number, <uint64_t>first)
            self._reserve(first)
            return 0
        if self._wanted is not None:
            raise ConfigurationError(f"instance {self._wanted} is used by another process; give each its own number")
        raise ConfigurationError(f"all {kOrderIdInstanceMax + 1} instances in {self._directory} are in use")

    def _now_s(self):
        return max(0, self._clock.now_ns() // 1_000_000_000 - <long long>kOrderIdEpochS)

    cdef int _reserve(self, uint64_t above_s) except -1:
        # Noted as reserved only once it is written: an id above it must not leave.
        cdef uint64_t until_s = above_s + RESERVE_S
        try:
            os.pwrite(self._lease, _RECORD.pack(until_s), 0)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the client order id lease in {self._directory} ({error.strerror}); no id is given out"
            ) from None
        self._reserved_until_s = until_s
        return 0

    cdef uint64_t c_next(self) except 0:
        if self._source.get() == NULL:
            raise ConfigurationError("these client order ids are closed; draw from a new ClientIds")
        if self._owner_pid != os.getpid():
            self._acquire()
        cdef uint64_t number = self._source.get().next(<uint64_t>self._now_s())
        if self._source.get().high_water_s() > self._reserved_until_s:
            self._reserve(self._source.get().high_water_s())
        return number

    def next(self) -> int:
        """A number that is never given again."""
        return self.c_next()

    def raise_above(self, uint64_t number) -> None:
        """Every id from here on is above `number`, an id used earlier (as a journal knows it)."""
        if self._source.get() == NULL:
            raise ConfigurationError("these client order ids are closed; make a new ClientIds")
        cdef uint64_t second = number >> (kOrderIdCounterBits + kOrderIdInstanceBits)
        if second > <uint64_t>max(_SECONDS_MAX, self._now_s()):
            raise ConfigurationError(f"client order id {number} leaves no room for ids above it")
        self._source.get().raise_above(number)


_shared = None


def shared_client_ids():
    """The process's own ClientIds, made on first use."""
    global _shared
    if _shared is None:
        _shared = ClientIds()
    return _shared
