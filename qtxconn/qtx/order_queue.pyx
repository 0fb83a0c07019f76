"""Orders through QTX shared memory: `OrderQueue` is the client's end, `OrderManagerQueue` the order manager's."""

from cython.operator cimport dereference as deref
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8

import os
from typing import NamedTuple

from qtxconn.errors import ConfigurationError, QueueFullError, SegmentError

cdef extern from "<sched.h>" nogil:
    int sched_yield() noexcept

cdef extern from "qtxconn/clock.hpp" namespace "qtxconn" nogil:
    int64_t wall_ns() noexcept

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

MODE_REGISTER_KEY = 0
MODE_PLACE = 1
MODE_CANCEL = -1

SIDE_BUY = 1
SIDE_SELL = -1

TYPE_IOC = 0
TYPE_POST_ONLY = 1
TYPE_GTC = 2
TYPE_FOK = 3

# Of `OrderQueue.closed_reason`.
QUEUE_CLOSED = describe(QueueStatus.closed).decode()
QUEUE_REPLACED = describe(QueueStatus.replaced).decode()

SLOT_COUNT = kSlotCount
SEGMENT_SIZE = kSegmentSize


class QueueAnswer(NamedTuple):
    """One answer of the order manager. `late`: it came after `expire(slot)` or a timed-out wait."""

    slot: int
    mode: int
    client_order_id: int
    place_ts_ns: int
    res_ts_ns: int
    message: bytes
    late: bool


class QueuedRequest(NamedTuple):
    """One order as the order manager reads it. The texts are what the slot holds, undecodable bytes replaced."""

    slot: int
    mode: int
    side: int
    pos_side: int
    client_order_id: int
    order_type: int
    price_match: int
    place_ts_ns: int
    size: str
    price: str
    symbol: str
    api_key: str
    api_secret: str

    def __repr__(self) -> str:
        return (
            f"QueuedRequest(slot={self.slot}, mode={self.mode}, side={self.side}, "
            f"client_order_id={self.client_order_id}, order_type={self.order_type}, size={self.size!r}, "
            f"price={self.price!r}, symbol={self.symbol!r}, api_key='***', api_secret='***')"
        )


def _map_error(str name, MapStatus status, int error_number, int64_t actual_size) -> SegmentError:
    shm = f"shared-memory segment {name!r}"
    if status == MapStatus.missing:
        return SegmentError(f"{shm} does not exist: start the QTX order manager first, or correct the name")
    if status == MapStatus.exists:
        return SegmentError(
            f"{shm} exists already: stop the order manager that owns it, choose another name, or remove the "
            f"leftover with 'rm /dev/shm{name}'"
        )
    if status == MapStatus.denied:
        return SegmentError(f"no permission to open {shm}: run as the user who owns it")
    if status == MapStatus.wrong_size:
        return SegmentError(f"{shm} has {actual_size} bytes, not {kSegmentSize}: it is not a QTX order queue")
    if status == MapStatus.wrong_owner:
        return SegmentError(f"{shm} belongs to another user; pass allow_shared_access=True if that is intended")
    if status == MapStatus.shared_access:
        return SegmentError(
            f"{shm} may be read or written by other users, and API keys pass through it: "
            f"'chmod 600 /dev/shm{name}', or pass allow_shared_access=True if that is intended"
        )
    if status == MapStatus.locked:
        return SegmentError(f"{shm} has a producer already: a queue takes orders from one client at a time")
    if status == MapStatus.corrupt:
        return SegmentError(f"{shm} holds indices outside 0..{kSlotCount - 1}: restart the order manager")
    if status == MapStatus.bad_name:
        return SegmentError(f"{name!r} is no segment name: it is '/' and up to 254 characters without another '/'")
    return SegmentError(f"cannot map {shm}: {os.strerror(error_number)}")


cdef WaitPolicy _wait_policy(
    int64_t spin_ns, int64_t yield_ns, int64_t sleep_min_ns, int64_t sleep_max_ns, int64_t linger_ns
) except *:
    if min(spin_ns, yield_ns, linger_ns) < 0 or not 0 < sleep_min_ns <= sleep_max_ns:
        raise ConfigurationError(
            "wait policy: need spin_ns, yield_ns and linger_ns >= 0 and 0 < sleep_min_ns <= sleep_max_ns"
        )
    cdef WaitPolicy policy
    policy.spin_ns = spin_ns
    policy.yield_ns = yield_ns
    policy.sleep_min_ns = sleep_min_ns
    policy.sleep_max_ns = sleep_max_ns
    policy.linger_ns = linger_ns
    return policy


cdef inline TextView _view(str text) except *:
    """The text's own UTF-8 bytes; good while `text` lives."""
    cdef Py_ssize_t size = 0
    cdef TextView view
    view.data = PyUnicode_AsUTF8AndSize(text, &size)
    view.size = <size_t> size
    return view


cdef inline str _text(const char* field, size_t capacity):
    cdef TextView view = bounded_text(field, capacity)
    return PyUnicode_DecodeUTF8(view.data, <Py_ssize_t> view.size, "replace")


cdef object _answer(const AnswerView& answer):
    return QueueAnswer(
        answer.slot,
        answer.mode,
        answer.client_order_id,
        answer.place_ts_ns,
        answer.res_ts_ns,
        PyBytes_FromStringAndSize(answer.message.data, <Py_ssize_t> answer.message.size),
        answer.late,
    )


cdef class OrderQueue:
    """The client's end of a QTX order queue. Made by `attach`; a context manager.

    Any number of orders may be outstanding (99 fit the ring), answers come in any order. With `start()` a thread
    without the GIL watches for them and makes `fileno()` readable; without it, call `poll_answers` or `wait_answer`.
    An order that was given up on keeps its slot until the answer comes, which is delivered, marked `late`; when the
    ring has come round to it without one, the slot is passed over from then on.
    """

    @classmethod
    def attach(
        cls,
        str name not None,
        *,
        bint allow_shared_access=False,
        bint wipe_secrets=True,
        int64_t stall_limit_ns=5_000_000_000,
        int64_t spin_ns=20_000,
        int64_t yield_ns=1_000_000,
        int64_t sleep_min_ns=20_000,
        int64_t sleep_max_ns=1_000_000,
        int64_t linger_ns=200_000,
    ) -> OrderQueue:
        """Opens the segment `name` ("/place_order_NAME") made by the order manager.

        `stall_limit_ns`: refuse further orders when the oldest has waited that long to be picked up.
        `wipe_secrets`: clear key and secret from the segment once the registration was answered. The others say how
        to wait: spin, then yield, then sleep for sleep_min_ns doubling up to sleep_max_ns. With nothing outstanding
        for linger_ns the watching thread sleeps until the next order, whose submit then costs the call to wake it.
        Raises SegmentError (missing, wrong size, owner or mode, or in use by another producer).
        """
        cdef OrderQueue self = OrderQueue.__new__(cls)
        self._policy = _wait_policy(spin_ns, yield_ns, sleep_min_ns, sleep_max_ns, linger_ns)
        self.name = name
        self._map.reset(new SegmentMap())
        cdef bytes encoded = name.encode()
        cdef MapStatus status = deref(self._map).attach(encoded, allow_shared_access)
        if status != MapStatus.ok:
            raise _map_error(name, status, deref(self._map).error_number(), deref(self._map).actual_size())
        self._client.reset(new OrderClient(deref(self._map), stall_limit_ns, wipe_secrets, self._policy))
        return self

    def __init__(self):
        raise TypeError("use OrderQueue.attach(name)")

    def __dealloc__(self):
        # The watcher's thread never takes the GIL, so joining it here cannot deadlock.
        self._client.reset()
        self._map.reset()

    def __enter__(self) -> OrderQueue:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"OrderQueue({self.name!r}, {'closed' if self.closed else f'outstanding={self.outstanding}'})"

    cdef OrderClient* _open_client(self) except NULL:
        if self._client.get() == NULL:
            raise SegmentError(f"the order queue {self.name!r} is closed")
        return self._client.get()

    # -- submitting --------------------------------------------------------------------------------------------

    cdef int c_submit(self, const OrderRequest& request) noexcept nogil:
        if self._client.get() == NULL:
            return <int> QueueStatus.closed
        return deref(self._client).submit(request)

    cdef int c_submit_place(self, uint64_t client_order_id, TextView symbol, int64_t side, TextView size,
                            TextView price, uint64_t order_type, uint64_t place_ts_ns) noexcept nogil:
        cdef OrderRequest request
        request.mode = 1
        request.side = side
        request.client_order_id = client_order_id
        request.order_type = order_type
        request.place_ts_ns = place_ts_ns
        request.size.assign(size)
        request.price.assign(price)
        request.symbol.assign(symbol)
        return self.c_submit(request)

    cdef int c_submit_cancel(self, uint64_t client_order_id, TextView symbol, uint64_t place_ts_ns) noexcept nogil:
        cdef OrderRequest request
        request.mode = -1
        request.client_order_id = client_order_id
        request.place_ts_ns = place_ts_ns
        request.symbol.assign(symbol)
        return self.c_submit(request)

    def register_key(self, str api_key not None, str api_secret not None, *, uint64_t place_ts_ns) -> int:
        """Publishes the account's key, the first message of a connection; returns the slot. Any answer is success."""
        cdef OrderRequest request
        request.mode = 0
        request.place_ts_ns = place_ts_ns
        request.api_key = _view(api_key)
        request.api_secret = _view(api_secret)
        return self._published(self.c_submit(request))

    def submit_place(
        self,
        uint64_t client_order_id,
        str symbol not None,
        int64_t side,
        str size not None,
        str price not None,
        uint64_t order_type=2,
        *,
        uint64_t place_ts_ns,
        uint64_t price_match=0,
        int64_t pos_side=0,
    ) -> int:
        """Publishes an order and returns its slot. `side` 1 or -1; `size`, `price` decimal text; `order_type` TYPE_*.

        Raises QueueFullError when it was not published because the queue is full or stalled (a definite refusal),
        SegmentError when the queue cannot be used any more, ConfigurationError for a text that does not fit.
        """
        cdef OrderRequest request
        request.mode = 1
        request.side = side
        request.pos_side = pos_side
        request.client_order_id = client_order_id
        request.order_type = order_type
        request.price_match = price_match
        request.place_ts_ns = place_ts_ns
        request.size.assign(_view(size))
        request.price.assign(_view(price))
        request.symbol.assign(_view(symbol))
        return self._published(self.c_submit(request))

    def submit_cancel(self, uint64_t client_order_id, str symbol not None, *, uint64_t place_ts_ns) -> int:
        """Publishes a cancel and returns its slot. Raises as `submit_place`."""
        return self._published(self.c_submit_cancel(client_order_id, _view(symbol), place_ts_ns))

    def _published(self, int slot) -> int:
        if slot >= 0:
            return slot
        cdef QueueStatus status = <QueueStatus> slot
        text = f"order queue {self.name!r}: {describe(status).decode()}; the order was not published"
        if status == QueueStatus.full or status == QueueStatus.stalled:
            raise QueueFullError(text)
        if status == QueueStatus.unanswered:
            raise QueueFullError(f"{text}; restart the order manager")
        if status == QueueStatus.text_too_long:
            raise ConfigurationError(
                f"{text} (symbol and keys take up to {kNameTextSize - 1} bytes, size and price {kDecimalTextSize - 1})"
            )
        raise SegmentError(text)

    # -- answers -----------------------------------------------------------------------------------------------

    cdef QueueStatus c_take(self, int slot, AnswerView& answer) noexcept nogil:
        if self._client.get() == NULL or slot < 0 or slot >= kSlotCount:
            return QueueStatus.not_outstanding
        return deref(self._client).producer.take(slot, answer)

    cdef QueueStatus c_take_any(self, AnswerView& answer) noexcept nogil:
        if self._client.get() == NULL:
            return QueueStatus.no_answer
        return deref(self._client).producer.take_any(answer)

    cdef void c_release(self, const AnswerView& answer) noexcept nogil:
        deref(self._client).producer.release(answer)

    def start(self) -> None:
        """Starts the watching thread; `fileno()` then becomes readable when answers are there, or the queue broke."""
        if not self._open_client().watcher.start():
            raise SegmentError(f"order queue {self.name!r}: cannot start a thread")

    def stop(self) -> None:
        """Ends the watching thread."""
        cdef OrderClient* client = self._client.get()
        if client != NULL:
            with nogil:
                client.watcher.stop()

    def fileno(self) -> int:
        """A file descriptor for `loop.add_reader`; `poll_answers` clears it."""
        return self._open_client().watcher.event().fd()

    def poll_answers(self, int max_n=100) -> list:
        """Takes up to `max_n` answers that are there; never blocks."""
        cdef OrderClient* client = self._open_client()
        cdef AnswerView answer
        client.watcher.event().clear()
        answers = []
        while len(answers) < max_n and client.producer.take_any(answer) == QueueStatus.ok:
            try:
                answers.append(_answer(answer))
            finally:
                client.producer.release(answer)
        return answers

    def wait_answer(self, int slot, int64_t timeout_ns) -> QueueAnswer | None:
        """Waits for one slot's answer without the GIL. None: no answer in time, the slot is quarantined."""
        cdef OrderClient* client = self._open_client()
        cdef AnswerView answer
        cdef QueueStatus status
        if slot < 0 or slot >= kSlotCount:
            raise ConfigurationError(f"slot is {slot}; it must be 0..{kSlotCount - 1}")
        self._waiting += 1
        with nogil:
            status = client.producer.wait(slot, self._policy, timeout_ns, answer)
        self._waiting -= 1
        if status == QueueStatus.ok:
            try:
                return _answer(answer)
            finally:
                client.producer.release(answer)
        if status == QueueStatus.timed_out:
            client.producer.expire(slot)
            return None
        raise SegmentError(f"order queue {self.name!r}, slot {slot}: {describe(status).decode()}")

    def expire(self, int slot) -> bool:
        """Gives up on an answer. Should it come, it is marked `late`; the slot carries no other order until then.

        An order that the manager has not picked up is taken back: it cannot be placed any more, unless the manager
        was reading this very slot. True if that was so. The outcome is unknown either way: ask the venue.
        """
        if slot < 0 or slot >= kSlotCount:
            raise ConfigurationError(f"slot is {slot}; it must be 0..{kSlotCount - 1}")
        return self._open_client().producer.expire(slot)

    # -- state -------------------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """Orders published and not answered yet."""
        return 0 if self._client.get() == NULL else deref(self._client).producer.outstanding()

    @property
    def closed(self) -> bool:
        """No order can be published: closed here, or see `closed_reason`."""
        return self.closed_reason is not None

    @property
    def closed_reason(self) -> str | None:
        """Why the queue takes no orders, None while it does: QUEUE_CLOSED (by close()), QUEUE_REPLACED (attach again),
        or what is wrong."""
        if self._client.get() == NULL:
            return QUEUE_CLOSED
        cdef QueueStatus status = deref(self._client).producer.closed()
        return None if status == QueueStatus.ok else describe(status).decode()

    def check(self) -> bool:
        """Whether the segment is still the one attached to, in full, with indices that add up. One system call; the
        watcher asks each second."""
        if self._client.get() == NULL:
            return False
        if not deref(self._map).intact():
            deref(self._client).producer.close(QueueStatus.replaced)
        else:
            deref(self._client).producer.inspect()
        return not self.closed

    def get_statistics(self) -> dict:
        """Counts since `attach`: published, refused, expired (given up on) and of these withdrawn (taken back before
        they were picked up); and now: outstanding, retired_slots (never answered, passed over for good)."""
        cdef OrderClient* client = self._open_client()
        return {
            "published": client.producer.published_count(),
            "refused": client.producer.refused_count(),
            "expired": client.producer.expired_count(),
            "withdrawn": client.producer.withdrawn_count(),
            "outstanding": client.producer.outstanding(),
            "retired_slots": client.producer.retired_count(),
        }

    def close(self) -> None:
        """Ends the watcher, wipes what secrets are left and lets go of the segment. Orders already published stay."""
        cdef OrderClient* client = self._client.get()
        if client == NULL:
            return
        self.stop()
        client.producer.close(QueueStatus.closed)  # threads in wait_answer return
        while self._waiting > 0:
            with nogil:
                sched_yield()
        self._client.reset()
        deref(self._map).close()


cdef class OrderManagerQueue:
    """The order manager's end of a QTX order queue: takes orders, answers them. Made by `create`; owns the segment."""

    @classmethod
    def create(
        cls,
        str name not None,
        *,
        int64_t spin_ns=20_000,
        int64_t yield_ns=200_000,
        int64_t sleep_min_ns=20_000,
        int64_t sleep_max_ns=100_000,
    ) -> OrderManagerQueue:
        """Makes the segment `name`, mode 0600. Raises SegmentError, among others when the name is taken."""
        cdef OrderManagerQueue self = OrderManagerQueue.__new__(cls)
        cdef WaitPolicy policy = _wait_policy(spin_ns, yield_ns, sleep_min_ns, sleep_max_ns, 0)
        self.name = name
        self._map.reset(new SegmentMap())
        cdef bytes encoded = name.encode()
        cdef MapStatus status = deref(self._map).create(encoded)
        if status != MapStatus.ok:
            raise _map_error(name, status, deref(self._map).error_number(), deref(self._map).actual_size())
        self._manager.reset(new OrderManager(deref(self._map), policy))
        return self

    def __init__(self):
        raise TypeError("use OrderManagerQueue.create(name)")

    def __dealloc__(self):
        self._manager.reset()
        self._map.reset()

    def __enter__(self) -> OrderManagerQueue:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"OrderManagerQueue({self.name!r}{', closed' if self._manager.get() == NULL else ''})"

    cdef OrderManager* _open_manager(self) except NULL:
        if self._manager.get() == NULL:
            raise SegmentError(f"the order queue {self.name!r} is closed")
        return self._manager.get()

    def start(self) -> None:
        """Starts the polling thread; `fileno()` then becomes readable while orders wait to be taken."""
        if not self._open_manager().watcher.start():
            raise SegmentError(f"order queue {self.name!r}: cannot start a thread")

    def stop(self) -> None:
        """Ends the polling thread."""
        cdef OrderManager* manager = self._manager.get()
        if manager != NULL:
            with nogil:
                manager.watcher.stop()

    def fileno(self) -> int:
        """A file descriptor for `loop.add_reader`; `take` clears it."""
        return self._open_manager().watcher.event().fd()

    def take(self, int max_n=100) -> list:
        """Takes up to `max_n` waiting orders, oldest first, as QueuedRequest; never blocks."""
        cdef OrderManager* manager = self._open_manager()
        cdef const OrderSlot* order
        cdef int slot = 0
        manager.watcher.event().clear()
        requests = []
        while len(requests) < max_n:
            order = manager.consumer.peek(slot)
            if order == NULL:
                break
            requests.append(
                QueuedRequest(
                    slot,
                    order.mode,
                    order.side,
                    order.pos_side,
                    order.client_order_id,
                    order.order_type,
                    order.price_match,
                    order.place_ts_ns,
                    _text(order.size, kDecimalTextSize),
                    _text(order.price, kDecimalTextSize),
                    _text(order.symbol, kNameTextSize),
                    _text(order.api_key, kNameTextSize),
                    _text(order.api_secret, kNameTextSize),
                )
            )
            manager.consumer.advance()
        return requests

    def answer(self, int slot, bytes message not None, *, uint64_t res_ts_ns=0) -> bool:
        """Answers the order taken from `slot`. `res_ts_ns` is the wall time of the answer; 0 takes it now.

        False when there was nothing to answer: answered already, or the client has put another order there.
        A message longer than the field's 9,999 bytes is cut.
        """
        cdef TextView view
        view.data = message
        view.size = <size_t> len(message)
        if res_ts_ns == 0:
            res_ts_ns = <uint64_t> wall_ns()
        return self._open_manager().consumer.answer(slot, view, res_ts_ns) == QueueStatus.ok

    def close(self) -> None:
        """Ends the thread and removes the segment, if it is still the one made here."""
        self.stop()
        self._manager.reset()
        if self._map.get() != NULL:
            deref(self._map).close()
