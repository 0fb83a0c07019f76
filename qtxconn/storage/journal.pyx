"""The order journal as a file: opened by one process, read back, rolled when full, brought to the disk as asked."""

import contextlib
import fcntl
import hashlib
import logging
import os
import stat
import weakref
from pathlib import Path

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport make_unique, unique_ptr
from libcpp.string_view cimport string_view
from libcpp.vector cimport vector
from posix.mman cimport MAP_FAILED, MAP_POPULATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport close, fdatasync

from qtxconn.core.clock cimport Clock
from qtxconn.core.fixed cimport Fixed, fixed_to_decimal
from qtxconn.core.in_flight_order cimport state_to_python, text_of
from qtxconn.core.order_journal cimport OrderJournalBase
from qtxconn.core.order_store cimport OrderState
from qtxconn.storage.journal cimport (
    JournalFault,
    JournalFlusher,
    JournalHeader,
    JournalKind,
    JournalRecord,
    JournalScan,
    JournalWriter,
    check_journal_header,
    fixed_of,
    is_journal_record,
    kJournalCapacityMax,
    kJournalCapacityMin,
    kJournalRecordSize,
    kJournalVersion,
    kJournalVersionMin,
    make_journal_header,
    scan_journal,
)

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import ConfigurationError, JournalDamagedError, JournalError
from qtxconn.storage.recovery import restore_orders

DURABILITIES = ("process", "group", "power")
FLUSH_INTERVAL_NS = 1_000_000
# An order that ended this short a time ago stays when the file is rolled: late fills still find it after a restart.
KEEP_ENDED_NS = 60_000_000_000
cdef uint64_t TOUCHED_AHEAD = 4096      # records whose pages are made ready

_log = logging.getLogger("qtxconn.journal")
_open_journals = weakref.WeakSet()

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef string_view _view(str text) except *:
    cdef Py_ssize_t size = 0
    cdef const char* data = PyUnicode_AsUTF8AndSize(text, &size)
    return string_view(data, <size_t>size)


def account_tag(str account) -> int:
    """What the journal keeps of an account's name or key: 64 bits of its hash."""
    return int.from_bytes(hashlib.sha256(b"qtxconn journal\0" + account.encode()).digest()[:8], "little")


# -- files -----------------------------------------------------------------------------------------------------


cdef class JournalFile:
    """A journal file in memory."""

    def __cinit__(self):
        self.descriptor = -1

    def __dealloc__(self):
        if self._address != NULL:
            munmap(self._address, self._size)
        if self.descriptor >= 0:
            close(self.descriptor)

    cdef JournalHeader* header(self) noexcept:
        return <JournalHeader*>self._address

    cdef JournalRecord* records(self) noexcept:
        return <JournalRecord*>(self._address + kJournalRecordSize)

    cdef int map(self, bint writable) except -1:
        cdef int protection = PROT_READ | PROT_WRITE if writable else PROT_READ
        cdef void* address = mmap(NULL, self._size, protection, MAP_SHARED | MAP_POPULATE, self.descriptor, 0)
        if address == MAP_FAILED:
            raise JournalError(f"{self.path}: cannot be mapped into memory ({os.strerror(errno)})")
        self._address = <char*>address
        return 0


def _open_file(str path not None, bint writable):
    """Opens and checks an existing journal; None if there is no such file."""
    cdef JournalFile file = JournalFile()
    file.path = path
    try:
        file.descriptor = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(
            f"{path}: cannot be opened ({error.strerror}); it must be a file of yours, and no link"
        ) from None
    status = os.fstat(file.descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise JournalError(f"{path}: is no regular file; give the journal a path of its own")
    if writable and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
        raise JournalError(f"{path}: others may read or write it; make it yours alone: chmod 600 {path}")
    cdef uint64_t size = status.st_size
    if size < kJournalRecordSize:
        raise JournalError(
            f"{path}: has {size} bytes and is no journal; if no order of yours is open, remove it and start again"
        )
    file._size = size
    file.map(writable)
    cdef JournalFault fault = check_journal_header(file.header()[0], size)
    if fault == JournalFault.magic:
        raise JournalError(f"{path}: is no journal; give the journal a path of its own")
    if fault == JournalFault.version:
        raise JournalError(
            f"{path}: has format {file.header().version}, this version of qtxconn reads {kJournalVersionMin} to "
            f"{kJournalVersion}; end its orders with the version that wrote it, then remove it"
        )
    if fault == JournalFault.header:
        raise JournalDamagedError(_damage(path, 0), path=path, offset=0)
    if fault == JournalFault.size:
        raise JournalDamagedError(
            f"{path}: has {size} bytes, its header says {(file.header().capacity + 1) * kJournalRecordSize}: "
            f"it was cut or extended. {_REMEDY}", path=path, offset=size,
        )
    return file


_REMEDY = (
    "Compare the open orders and fills at the venue with your own records, then move the file away, or open it with "
    "skip_damaged=True to go on with what is whole"
)


def _damage(str path, offset) -> str:
    return f"{path}: damaged at byte {offset}. {_REMEDY}"


def _create_file(str path, uint64_t capacity, uint64_t first_sequence, uint64_t highest_client_id, int64_t now_ns):
    """A new, empty journal at `path`, every byte of it reserved on the disk. JournalError if there is no room."""
    cdef JournalFile file = JournalFile()
    file.path = path
    file._size = (capacity + 1) * kJournalRecordSize
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)     # of a process that was killed while it made one
    try:
        file.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.fchmod(file.descriptor, 0o600)
        os.posix_fallocate(file.descriptor, 0, file._size)
        file.map(True)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise JournalError(
            f"{path}: no room for a journal of {file._size} bytes ({error.strerror}); "
            "free some, or ask for a smaller capacity"
        ) from None
    make_journal_header(file.header()[0], capacity, first_sequence, highest_client_id, now_ns)
    return file


def _publish(JournalFile file, str path):
    """Puts a new file in the place of the journal: whoever is killed has the old one or the new one, whole."""
    os.fdatasync(file.descriptor)
    os.rename(file.path, path)
    file.path = path


def _sync_directory(str path not None):
    """Makes a rename survive a power loss."""
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


# -- reading ---------------------------------------------------------------------------------------------------


cdef dict _entry(const JournalRecord* source):
    """A record as Python values: Decimals, texts, times in ns."""
    cdef JournalRecord* record = <JournalRecord*>source
    entry = {"sequence": record.sequence, "client_id": record.client_id, "time_ns": record.time_ns}
    if record.kind == JournalKind.intent:
        entry |= {
            "kind": "intent",
            "client_order_id": text_of(record.intent.client_order_id.view()),
            "trading_pair": text_of(record.intent.trading_pair.view()),
            "trade_type": record.intent.trade_type,
            "order_type": record.intent.order_type,
            "position": record.intent.position,
            "price": fixed_to_decimal(fixed_of(record.intent.price)),
            "amount": fixed_to_decimal(fixed_of(record.intent.amount)),
            "trigger_price": fixed_to_decimal(fixed_of(record.intent.trigger)),
            "dead_after_ns": record.intent.dead_after_ns,
            "account": record.intent.account,
        }
    elif record.kind == JournalKind.submitted:
        entry["kind"] = "submitted"
    elif record.kind == JournalKind.unknown:
        entry["kind"] = "unknown"
    elif record.kind == JournalKind.ack:
        entry |= {
            "kind": "ack",
            "exchange_order_id": text_of(record.ack.exchange_order_id.view()),
            "venue_ns": record.ack.venue_ns,
        }
    elif record.kind == JournalKind.reject:
        entry |= {"kind": "reject", "reason": text_of(record.reject.reason.view())}
    elif record.kind == JournalKind.fill:
        entry |= {
            "kind": "fill",
            "trade_id": text_of(record.fill.trade_id.view()),
            "fee_asset": text_of(record.fill.fee_asset.view()),
            "price": fixed_to_decimal(fixed_of(record.fill.price)),
            "amount": fixed_to_decimal(fixed_of(record.fill.amount)),
            "quote": fixed_to_decimal(fixed_of(record.fill.quote)),
            "fee": fixed_to_decimal(fixed_of(record.fill.fee)),
            "more_fees": record.fill.more_fees,
            "is_taker": record.is_taker,
            "venue_ns": record.fill.venue_ns,
        }
    elif record.kind == JournalKind.fee:
        entry |= {
            "kind": "fee",
            "trade_id": text_of(record.fee.trade_id.view()),
            "asset": text_of(record.fee.asset.view()),
            "amount": fixed_to_decimal(fixed_of(record.fee.amount)),
        }
    elif record.kind == JournalKind.amend:
        entry |= {
            "kind": "amend",
            "price": fixed_to_decimal(fixed_of(record.amend.price)),
            "amount": fixed_to_decimal(fixed_of(record.amend.amount)),
        }
    else:
        entry |= {
            "kind": "end",
            "state": state_to_python(record.state),
            "executed_base": fixed_to_decimal(fixed_of(record.end.executed_base)),
            "executed_quote": fixed_to_decimal(fixed_of(record.end.executed_quote)),
        }
    return entry


cdef list _entries(JournalFile file, uint64_t used):
    cdef list found = []
    cdef uint64_t i
    for i in range(used):
        if is_journal_record(file.records()[i], file.header().first_sequence + i):
            found.append(_entry(&file.records()[i]))
    return found


def read_journal(path) -> list:
    """The records of a journal as dicts, oldest first, for looking at: also while its process runs, and without those
    that are damaged. Raises JournalError if it is no journal."""
    cdef JournalFile file = _open_file(os.path.abspath(os.fspath(path)), False)
    if file is None:
        raise JournalError(f"{path}: there is no such file")
    return _entries(file, file.header().capacity)


# -- the journal -----------------------------------------------------------------------------------------------


cdef class OrderJournal(OrderJournalBase):
    """Keeps a connector's orders in the file `path` (made, 0600, if it is not there), for one process at a time.

    `durability`: "process" survives any end of the process, "group" loses at most about a millisecond when the machine
    stops, "power" has an order on the disk before it is sent; see docs/durability.md. `capacity` is in records of 256
    bytes, 5 to 8 for a typical order; the file is rolled when it is full. `skip_damaged` goes on where records in the
    middle of the file are damaged. `history` (OrderHistory) is given the orders that have ended.

    Raises JournalError if the file cannot be used, JournalDamagedError if it is damaged in the middle.
    """

    def __cinit__(self, *args, **kwargs):
        self._lock = -1

    def __init__(
        self, path, *, str durability="process", capacity=65_536, bint skip_damaged=False, Clock clock=SYSTEM_CLOCK,
        history=None,
    ):
        if durability not in DURABILITIES:
            raise ConfigurationError(f"durability is {durability!r}; it must be one of {', '.join(DURABILITIES)}")
        if not <int>kJournalCapacityMin <= capacity <= <int>kJournalCapacityMax:
            raise ConfigurationError(
                f"capacity is {capacity}; a journal holds {kJournalCapacityMin} to {kJournalCapacityMax} records"
            )
        self.path = os.path.abspath(os.fspath(path))
        self.durability = durability
        self._capacity = capacity
        self._clock = clock
        self._history = history
        self._restored = []
        self._sync_before_send = durability == "power"
        self._writer = make_unique[JournalWriter]()
        try:
            self._open(skip_damaged)
        except BaseException:
            self.close()
            raise
        _open_journals.add(self)

    def __dealloc__(self):
        self._flusher.reset()
        if self._lock >= 0:
            close(self._lock)

    def __repr__(self):
        return f"OrderJournal({self.path!r}, durability={self.durability!r}, {self.records} of {self.capacity} records)"

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    cdef int _open(self, bint skip_damaged) except -1:
        try:
            Path(self.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path + ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(
                f"{self.path}: cannot be made ({error.strerror}); give a path that you may write"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(
                f"{self.path}: is in use by another process, or by another OrderJournal of this one; "
                "a journal has one writer"
            ) from None
        cdef JournalFile file = _open_file(self.path, True)
        cdef JournalScan scan
        if file is None:
            file = _create_file(self.path + ".new", self._capacity, 1, 0, self._clock.c_now_ns())
            try:
                _publish(file, self.path)
                _sync_directory(self.path)
            except OSError as error:
                raise JournalError(f"{self.path}: cannot be brought to the disk ({error.strerror})") from None
        else:
            scan = scan_journal(file.records(), file.header().capacity, file.header().first_sequence)
            if scan.damaged:
                offset = (scan.first_damaged + 1) * kJournalRecordSize
                if not skip_damaged:
                    raise JournalDamagedError(_damage(self.path, offset), path=self.path, offset=offset)
                _log.warning("%s: %d damaged records from byte %d on are skipped", self.path, scan.damaged, offset)
        self._file = file
        self._writer.get().reset(file.records(), file.header().capacity, scan.used, file.header().first_sequence)
        self.highest_client_id = file.header().highest_client_id
        cdef uint64_t i
        for i in range(scan.used):
            if is_journal_record(file.records()[i], file.header().first_sequence + i):
                self.highest_client_id = max(self.highest_client_id, file.records()[i].client_id)
        if self.durability != "process":
            self._flusher = make_unique[JournalFlusher]()
            self._flusher.get().start(file.descriptor, self._writer.get().written(), FLUSH_INTERVAL_NS)
        self._usable = True
        self._touch_ahead()
        self._renew()
        return 0

    def close(self) -> None:
        """Ends the use of the file; on the disk afterwards unless durability is "process". May be called twice."""
        self._usable = False
        self._refusal = f"{self.path}: the journal is closed; open it again to place orders"
        self._flusher.reset()
        if self._file is not None and self.durability != "process":
            fdatasync(self._file.descriptor)
        self._file = None
        if self._lock >= 0:
            close(self._lock)
            self._lock = -1

    def _leave_to_parent(self):
        # After a fork: the file, its lock and the flusher's thread are the parent's.
        self._usable = False
        self._refusal = f"{self.path}: belongs to the process that opened it; a forked child opens a journal of its own"
        self._flusher.release()

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def records(self) -> int:
        return self._writer.get().used()

    @property
    def capacity(self) -> int:
        return self._writer.get().capacity()

    @property
    def refusal(self):
        """Why new orders are refused, in one line, or None."""
        if self._refusal is None and self._flusher.get() != NULL and self._flusher.get().error() != 0:
            reason = os.strerror(self._flusher.get().error())
            self._refusal = (
                f"{self.path}: cannot be brought to the disk ({reason}); orders would not survive a power loss"
            )
        return self._refusal

    def entries(self) -> list:
        """All whole records as dicts, oldest first."""
        return [] if self._file is None else _entries(self._file, self._writer.get().used())

    def restore(self, connector) -> list:
        """Gives the orders in the file to the connector's tracker; -> those that had not ended, and on a later call
        those of them that still have not."""
        if not self._usable:
            raise JournalError(self._refusal)
        if self._connector is None:
            account = account_tag(connector._account_name())
            self._restored = restore_orders(connector, self.entries(), self.highest_client_id, account, self.path)
            self._account = account
            self._connector = weakref.ref(connector)
            if self._history is not None:
                self._history.attach(connector)
        elif self._connector() is not connector:
            raise ConfigurationError(f"{self.path}: this journal serves another connector; each has its own")
        return [order for order in self._restored if order.is_open]

    # -- writing -----------------------------------------------------------------------------------------------

    cdef JournalWriter* c_writer(self) except NULL:
        if self.refusal is not None:
            raise JournalError(self._refusal)
        if self._sync_before_send:
            raise ConfigurationError(
                f"{self.path}: durability 'power' waits for the disk at each order, which a loop without the GIL does "
                "not; use 'group' or 'process' for its journal"
            )
        return self._writer.get()

    cdef int c_intent(
        self, uint64_t client_id, str client_order_id, str trading_pair, uint8_t trade_type, uint8_t order_type,
        uint8_t position, Fixed price, Fixed amount, int64_t created_ns, int64_t dead_after_ns, Fixed trigger
    ) except -1:
        if self.refusal is not None:
            raise JournalError(self._refusal)
        cdef JournalWriter* writer = self._writer.get()
        if not writer.has_room_for_orders():
            self._roll()
        if not writer.intent(
            client_id, _view(client_order_id), _view(trading_pair), trade_type, order_type, position, price, amount,
            created_ns, dead_after_ns, self._account, trigger
        ):
            raise JournalError(
                f"{client_order_id} on {trading_pair}: ids and pairs of up to 47 bytes can be journalled"
            )
        if client_id > self.highest_client_id:
            self.highest_client_id = client_id
        if self._sync_before_send:
            self._sync(client_id, created_ns)
        return 0

    cdef int _sync(self, uint64_t client_id, int64_t now_ns) except -1:
        cdef int descriptor = self._file.descriptor
        cdef int failed
        with nogil:
            failed = fdatasync(descriptor)
        if failed:
            self._refusal = (
                f"{self.path}: cannot be brought to the disk ({os.strerror(errno)}); no order is sent without that"
            )
            self.c_reject(client_id, _view("JournalError"), now_ns)
            raise JournalError(self._refusal)
        return 0

    cdef void c_submitted(self, uint64_t client_id, int64_t now_ns) noexcept:
        self._count(self._has_room() and self._writer.get().mark(JournalKind.submitted, client_id, now_ns))

    cdef void c_unknown(self, uint64_t client_id, int64_t now_ns) noexcept:
        self._count(self._has_room() and self._writer.get().mark(JournalKind.unknown, client_id, now_ns))

    cdef void c_ack(self, uint64_t client_id, string_view exchange_order_id, int64_t venue_ns, int64_t now_ns) noexcept:
        self._count(self._has_room() and self._writer.get().ack(client_id, exchange_order_id, venue_ns, now_ns))

    cdef void c_reject(self, uint64_t client_id, string_view reason, int64_t now_ns) noexcept:
        self._count(self._has_room() and self._writer.get().reject(client_id, reason, now_ns))

    cdef void c_fill(
        self, uint64_t client_id, string_view trade_id, string_view fee_asset, Fixed price, Fixed amount, Fixed quote,
        Fixed fee, cbool is_taker, int64_t venue_ns, uint32_t more_fees, int64_t now_ns
    ) noexcept:
        self._count(self._has_room() and self._writer.get().fill(
            client_id, trade_id, fee_asset, price, amount, quote, fee, is_taker, venue_ns, now_ns, more_fees
        ))

    cdef void c_fee(
        self, uint64_t client_id, string_view trade_id, string_view asset, Fixed amount, int64_t now_ns
    ) noexcept:
        self._count(self._has_room() and self._writer.get().fee(client_id, trade_id, asset, amount, now_ns))

    cdef void c_end(
        self, uint64_t client_id, OrderState state, Fixed executed_base, Fixed executed_quote, int64_t now_ns
    ) noexcept:
        self._count(
            self._has_room() and self._writer.get().end(client_id, state, executed_base, executed_quote, now_ns)
        )

    cdef void c_amend(self, uint64_t client_id, Fixed price, Fixed amount, int64_t now_ns) noexcept:
        self._count(self._has_room() and self._writer.get().amend(client_id, price, amount, now_ns))

    cdef void _count(self, bint written) noexcept:
        if not written:
            self.dropped_records += 1

    # -- room --------------------------------------------------------------------------------------------------

    cdef bint _has_room(self) noexcept:
        if not self._usable:
            return False
        if not self._writer.get().is_full():
            return True
        try:
            self._roll()
        except Exception:
            return False
        return True

    cdef void _renew(self) noexcept:
        # Before anything is added to a file of an earlier version: whoever reads only that one is then told so.
        if self._file.header().version < kJournalVersion:
            with contextlib.suppress(JournalError):
                self._roll()

    cdef int _roll(self) except -1:
        """Copies the orders that have not ended, and those that just have, to a new file in place of this one. If that
        fails, new orders are refused until maintain() has made room."""
        cdef JournalFile old = self._file
        cdef JournalRecord* records = old.records()
        cdef uint64_t first = old.header().first_sequence
        cdef uint64_t used = self._writer.get().used()
        cdef int64_t now_ns = self._clock.c_now_ns()
        cdef vector[uint64_t] kept
        cdef uint64_t i
        cdef set known
        for keep_ns in (KEEP_ENDED_NS, -1):
            kept.clear()
            known = set()
            ended = set()
            for i in range(used):
                if not is_journal_record(records[i], first + i):
                    continue
                if records[i].kind == JournalKind.intent:
                    known.add(records[i].client_id)
                    self.highest_client_id = max(self.highest_client_id, records[i].client_id)
                elif ((records[i].kind == JournalKind.end or records[i].kind == JournalKind.reject)
                        and now_ns - records[i].time_ns > keep_ns):
                    ended.add(records[i].client_id)
            known -= ended
            for i in range(used):
                if records[i].client_id in known and is_journal_record(records[i], first + i):
                    kept.push_back(i)
            if kept.size() <= self._capacity // 2:
                break
        cdef uint64_t capacity = min(max(self._capacity, 2 * kept.size()), <uint64_t>kJournalCapacityMax)
        cdef JournalFile file
        cdef unique_ptr[JournalWriter] writer
        cdef uint64_t sequence = self._writer.get().next_sequence()
        try:
            file = _create_file(self.path + ".new", capacity, sequence, self.highest_client_id, now_ns)
            writer = make_unique[JournalWriter]()
            writer.get().reset(file.records(), capacity, 0, sequence)
            for i in kept:
                writer.get().copy(records[i])
            if not writer.get().has_room_for_orders():
                raise JournalError(f"{self.path}: {kept.size()} records of orders that have not ended fill it")
            _publish(file, self.path)
        except OSError as error:
            self._refusal = f"{self.path}: cannot be rolled ({error.strerror}); new orders are refused until it can"
            raise JournalError(self._refusal) from None
        except JournalError as error:
            self._refusal = f"{error}; new orders are refused until then"
            raise JournalError(self._refusal) from None
        if self._flusher.get() != NULL:
            self._flusher.get().replace(file.descriptor)
        self._file = file
        self._writer.get().reset(file.records(), capacity, writer.get().used(), sequence)
        self._refusal = None
        try:
            _sync_directory(self.path)
        except OSError as error:    # the new file is in its place all the same, and what follows is written to it
            if self.durability != "process":
                self._refusal = f"{self.path}: its directory cannot be brought to the disk ({error.strerror})"
        self.rolls += 1
        self._touch_ahead()
        return 0

    def maintain(self) -> None:
        """Rolls the file before it is full, tries again what had failed for want of room, and makes the next pages
        ready. A connector calls it about once a second."""
        cdef JournalWriter* writer = self._writer.get()
        if not self._usable:
            return
        if writer.used() > writer.capacity() - writer.capacity() // 4:
            with contextlib.suppress(JournalError):
                self._roll()
        self._renew()
        self._touch_ahead()

    cdef void _touch_ahead(self) noexcept:
        # The first store to a page faults, also after the kernel has written it out: not in an order's way.
        cdef JournalWriter* writer = self._writer.get()
        cdef uint64_t i
        cdef volatile char* byte
        for i in range(writer.used(), min(writer.used() + TOUCHED_AHEAD, writer.capacity()), 16):
            byte = <volatile char*>&self._file.records()[i]
            byte[0] = byte[0]


def _after_fork_in_child():
    for journal in list(_open_journals):
        journal._leave_to_parent()


os.register_at_fork(after_in_child=_after_fork_in_child)
