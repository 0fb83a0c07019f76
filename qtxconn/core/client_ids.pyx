"""Client order ids that are used once: numbers from include/qtxconn/order_id.hpp, with the instance leased on disk."""

import fcntl
import hashlib
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

# What may have been used is written ahead in blocks, so that the file is written once a minute and not once an order.
cdef uint64_t RESERVE_S = 60
cdef uint64_t RESERVE_NUMBERS = 4096
cdef object _RECORD = struct.Struct("<Q")
cdef object _SECONDS_MAX = (1 << 32) - 3600     # the seconds part of an id has 32 bits
# The first half of a cloid made here tells it from others'; the second is the client order id. blake2b of its name.
cdef object _CLOID_TAG = hashlib.blake2b(b"qtxconn cloid", digest_size=8).hexdigest()


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


cdef class ClientIdSource:
    """Draws client order ids, numbers that no other process of this host and no earlier run has drawn.

    Each process leases an instance number by locking a file, which also keeps how far ids may have been used: a
    restart begins above it. Across hosts give each process its own `instance`. After a fork the child leases another
    one by itself.
    """

    def __cinit__(self, *args, **kwargs):
        self._lease = -1

    def __dealloc__(self):
        self._let_go()

    cdef void _let_go(self) noexcept:
        if self._lease >= 0 and self._owner_pid == getpid():
            close(self._lease)
        self._lease = -1

    def close(self) -> None:
        """Gives the instance back; no id is drawn any more. May be called twice."""
        self._let_go()

    cdef int _lease_from(self, object directory, object instance, int instance_max, uint64_t used_max) except -1:
        if instance is not None and not 0 <= instance <= instance_max:
            raise ConfigurationError(f"instance must be between 0 and {instance_max}, not {instance}")
        self._directory = Path(directory) if directory is not None else default_lease_directory()
        self._wanted = instance
        self._instance_max = instance_max
        self._used_max = used_max
        return self._acquire()

    cdef int _acquire(self) except -1:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot make {self._directory} for client order id leases ({error.strerror}); "
                "set QTXCONN_STATE_DIR to a directory you may write"
            ) from None
        candidates = range(self._instance_max + 1) if self._wanted is None else [self._wanted]
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
            used = _RECORD.unpack(record)[0] if len(record) == _RECORD.size else 0
            if len(record) not in (0, _RECORD.size) or used > self._used_max:
                raise ConfigurationError(
                    f"{path} is damaged, so the ids used before are not known; remove it if no order made by this "
                    "instance is open, or set another QTXCONN_STATE_DIR"
                )
            return self._start_above(used)
        if self._wanted is not None:
            raise ConfigurationError(f"instance {self._wanted} is used by another process; give each its own number")
        raise ConfigurationError(f"all {self._instance_max + 1} instances in {self._directory} are in use")

    cdef int _hold_lease(self) except -1:
        """Before an id is drawn: a fork gets a lease of its own."""
        if self._lease < 0:
            raise ConfigurationError(f"this source of client order ids is closed; make a new {type(self).__name__}")
        if self._owner_pid != os.getpid():
            self._acquire()
        return 0

    cdef int _start_above(self, uint64_t used) except -1:
        raise NotImplementedError

    cdef int _reserve(self, uint64_t used) except -1:
        # Noted as reserved only once it is written: an id above it must not leave.
        try:
            os.pwrite(self._lease, _RECORD.pack(used), 0)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the client order id lease in {self._directory} ({error.strerror}); no id is given out"
            ) from None
        self._reserved = used
        return 0

    cdef uint64_t c_next(self) except 0:
        raise NotImplementedError

    def next(self) -> int:
        """A number that is never given again."""
        return self.c_next()

    def raise_above(self, uint64_t number) -> None:
        """Every id from here on is above `number`, an id used earlier (as a journal knows it)."""
        raise NotImplementedError


cdef class ClientIds(ClientIdSource):
    """63-bit ids that grow with time, so that none comes twice even where the lease directory is lost: what venues get
    whose client order ids are texts. Up to 1,024 processes of a host.
    """

    def __init__(self, *, instance=None, Clock clock=SYSTEM_CLOCK, directory=None):
        self._clock = clock
        self._lease_from(directory, instance, <int>kOrderIdInstanceMax, _SECONDS_MAX)

    cdef int _start_above(self, uint64_t used) except -1:
        cdef uint64_t first = max(self._now_s(), used + 1)
        self._source = make_unique[OrderIdSource](<unsigned int>self.instance, first)
        return self._reserve(first + RESERVE_S)

    def _now_s(self):
        return max(0, self._clock.now_ns() // 1_000_000_000 - <long long>kOrderIdEpochS)

    cdef uint64_t c_next(self) except 0:
        self._hold_lease()
        cdef uint64_t number = self._source.get().next(<uint64_t>self._now_s())
        if self._source.get().high_water_s() > self._reserved:
            self._reserve(self._source.get().high_water_s() + RESERVE_S)
        return number

    def raise_above(self, uint64_t number) -> None:
        self._hold_lease()
        cdef uint64_t second = number >> (kOrderIdCounterBits + kOrderIdInstanceBits)
        if second > <uint64_t>max(_SECONDS_MAX, self._now_s()):
            raise ConfigurationError(f"client order id {number} leaves no room for ids above it")
        self._source.get().raise_above(number)


cdef class NumericClientIds(ClientIdSource):
    """Ids of at most `bits` bits, for venues that take small numbers (Lighter 48, dYdX 32): a counter kept on disk.

    bits from the top: instance (10 of 48, 4 of 32: so many processes a host) | counter. A counter that has reached its
    end begins again at 1: whoever draws then asks whether an order with the number is still known.
    """

    def __init__(self, str name not None, int bits, *, instance=None, directory=None):
        if not 32 <= bits <= 63:
            raise ConfigurationError(f"client order ids of {name} must have 32 to 63 bits, not {bits}")
        cdef int instance_bits = 10 if bits >= 48 else 4
        self._counter_bits = bits - instance_bits
        base = Path(directory) if directory is not None else default_lease_directory()
        self._lease_from(base / name, instance, (1 << instance_bits) - 1, (<uint64_t>1 << self._counter_bits) - 1)

    cdef int _start_above(self, uint64_t used) except -1:
        self._counter = used
        return self._reserve(min(used + RESERVE_NUMBERS, self._used_max))

    cdef uint64_t c_next(self) except 0:
        self._hold_lease()
        if self._counter >= self._used_max:
            self._counter = 0
            self._reserve(RESERVE_NUMBERS)
        elif self._counter >= self._reserved:
            self._reserve(min(self._counter + RESERVE_NUMBERS, self._used_max))
        self._counter += 1
        return <uint64_t>self.instance << self._counter_bits | self._counter

    def raise_above(self, uint64_t number) -> None:
        self._hold_lease()
        cdef uint64_t counter = number & self._used_max
        if number >> self._counter_bits != <uint64_t>self.instance or counter <= self._counter:
            return      # another instance's, or known to be used
        self._counter = counter
        self._reserve(min(counter + RESERVE_NUMBERS, self._used_max))


cdef dict _shared = {}      # name -> ClientIdSource


def shared_client_ids(str name not None="", int bits=63):
    """The process's own source of client order ids, made on first use: one for all venues that take 63 bits, one for
    each that takes fewer. QTXCONN_INSTANCE gives it an instance of its own, where processes of several hosts (or
    containers, which do not see each other's leases) share an account."""
    key = "" if bits == 63 else name
    if key not in _shared:
        instance = _configured_instance()
        _shared[key] = ClientIds(instance=instance) if bits == 63 else NumericClientIds(name, bits, instance=instance)
    return _shared[key]


def _configured_instance():
    text = os.environ.get("QTXCONN_INSTANCE", "")
    if not text:
        return None
    if not text.isdecimal():
        raise ConfigurationError(f"QTXCONN_INSTANCE is {text!r}; give each process another number, from 0 on")
    return int(text)


def cloid_from_client_id(uint64_t client_id) -> str:
    """The 128-bit id ("0x" and 32 hexadecimal digits, as Hyperliquid takes them) of a client order id's number."""
    return f"0x{_CLOID_TAG}{client_id:016x}"


def client_id_from_cloid(str cloid not None):
    """The number that cloid_from_client_id() made this of; None for a cloid made elsewhere."""
    if len(cloid) != 34 or not cloid.startswith(f"0x{_CLOID_TAG}"):
        return None
    try:
        return int(cloid[18:], 16)
    except ValueError:
        return None
