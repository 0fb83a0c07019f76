"""The inside of the deterministic loop: what is ready, what is due, and in which order it runs. Compiled: all a
simulation does goes through here."""

from asyncio import Future, Task, sleep
from contextvars import ContextVar, copy_context
from heapq import heappop, heappush
from random import Random

from cpython.contextvars cimport PyContext_Enter, PyContext_Exit
from libc.math cimport ceil, llround
from libc.stdint cimport int64_t

from qtxconn.core.clock cimport Clock

EPOCH_NS = 1_700_000_000_000_000_000     # virtual wall time at which every simulation starts
cdef object process = ContextVar("simulated process", default=0)


class SimulationError(Exception):
    """The simulation cannot go on: what runs in it is stuck, spins, or reached for the real world."""


class SimTask(Task):
    """A task that is hashed by its number: sets of tasks are walked in the same order in every run."""

    _number = 0

    def __hash__(self):
        return self._number or _number(self)

    def __eq__(self, other):
        return self is other


class SimFuture(Future):
    """A future that is hashed by its number, for the same reason. Few ever are, so each is given it only then."""

    _number = 0

    def __hash__(self):
        return self._number or _number(self)

    def __eq__(self, other):
        return self is other


def _number(future):
    cdef Scheduler loop = future.get_loop()
    loop._numbered += 1
    future._number = loop._numbered
    return loop._numbered


cdef class SimHandle:
    """A callback to come; what asyncio calls a Handle and a TimerHandle."""

    cdef object _callback
    cdef tuple _args
    cdef object _context
    cdef double _when
    cdef bint _cancelled

    def cancel(self):
        """A cancelled timer leaves the heap when it is due."""
        self._cancelled = True
        self._callback = self._args = None

    def cancelled(self):
        return self._cancelled

    def when(self):
        """Virtual seconds; 0 for what runs at once."""
        return self._when


cdef class Scheduler:
    """The part of an event loop that decides what runs next. Callbacks that are ready together run in a shuffled order
    (`shuffled=False`: in the order they came)."""

    cdef long long _numbered                # tasks and futures
    cdef readonly long long elapsed_ns      # virtual time since the simulation began
    cdef double _elapsed_s
    cdef public long long steps             # callbacks run so far
    cdef long long _steps_max
    cdef list _ready_now                    # of SimHandle
    cdef list _timers                       # a heap of (when, number, SimHandle)
    cdef long long _timers_made
    cdef object _random
    cdef bint _shuffled
    cdef long long _processes
    cdef set _dead
    cdef list _of_the_dead                  # what killed processes would have run

    def __init__(self, seed=0, *, bint shuffled=True, long long steps_max):
        self._steps_max = steps_max
        self._ready_now = []
        self._timers = []
        self._random = Random(f"loop {seed}").random
        self._shuffled = shuffled
        self._dead = set()
        self._of_the_dead = []

    def time(self):
        """Virtual seconds since the simulation began."""
        return self._elapsed_s

    def call_soon(self, callback, *args, context=None):
        cdef SimHandle handle = _handle(0.0, callback, args, context)
        self._ready_now.append(handle)
        return handle

    def call_later(self, double delay, callback, *args, context=None):
        return self._call_at(self._elapsed_s + delay, callback, args, context)

    def call_at(self, double when, callback, *args, context=None):
        return self._call_at(when, callback, args, context)

    cdef SimHandle _call_at(self, double when, callback, tuple args, context):
        cdef SimHandle timer = _handle(when, callback, args, context)
        self._timers_made += 1
        heappush(self._timers, (when, self._timers_made, timer))    # equal times keep their order
        return timer

    async def sleep(self, double delay):
        """asyncio.sleep() without looking up what loop is running: half of all that is waited for is this."""
        if delay <= 0:
            return await sleep(delay)
        future = SimFuture(loop=self)
        cdef SimHandle timer = self._call_at(self._elapsed_s + delay, _wake, (future,), None)
        try:
            await future
        finally:
            timer.cancel()

    def create_future(self):
        return SimFuture(loop=self)

    def create_task(self, coro, *, name=None, context=None):
        task = SimTask(coro, loop=self, context=context)
        number = hash(task)
        task.set_name(str(name) if name is not None else f"task {number}")
        return task

    def get_debug(self):
        return False

    # -- running ---------------------------------------------------------------------------------------------------

    def _run_once(self):
        """Rounds until the loop is stopped: the timers that are due, then everything that is ready. Replaces asyncio's
        own, which is private: tests/sim/test_loop.py holds it to account on every Python version."""
        cdef list batch
        cdef SimHandle handle
        while True:
            self._make_ready()
            batch, self._ready_now = self._ready_now, []
            if self._shuffled and len(batch) > 1:
                self._shuffle(batch)
            self.steps += len(batch)
            if self.steps > self._steps_max:
                raise SimulationError(f"no end after {self._steps_max} steps: {self._describe_tasks()}")
            for handle in batch:
                if handle._cancelled:
                    continue
                if self._dead and _process_of(handle) in self._dead:
                    self._of_the_dead.append(handle)
                    continue
                try:
                    _run(handle)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:      # as asyncio does
                    self.call_exception_handler({"message": "a callback failed", "exception": error})
            if self._stopping:
                return

    cdef int _make_ready(self) except -1:
        cdef list timers = self._timers
        cdef double now = self._elapsed_s
        cdef tuple first
        if not self._ready_now:
            while timers and (<SimHandle>(<tuple>timers[0])[2])._cancelled:
                heappop(timers)
            if not timers:
                raise SimulationError(f"everything waits for ever: {self._describe_tasks()}")
            first = <tuple>timers[0]
            now = max(now, <double>first[0])        # as given: its whole nanoseconds may lie a little before
            self.elapsed_ns = max(self.elapsed_ns, <long long>ceil(now * 1e9))      # up: a short wait must end
            self._elapsed_s = self.elapsed_ns / 1e9
        while timers:
            first = <tuple>timers[0]
            if <double>first[0] > now:
                return 0
            heappop(timers)
            if not (<SimHandle>first[2])._cancelled:
                self._ready_now.append(first[2])
        return 0

    cdef int _shuffle(self, list batch) except -1:
        cdef Py_ssize_t last, other
        for last in range(len(batch) - 1, 0, -1):
            other = <Py_ssize_t>(<double>self._random() * (last + 1))
            batch[last], batch[other] = batch[other], batch[last]
        return 0

    # -- processes -------------------------------------------------------------------------------------------------

    def new_process(self):
        """The number and context of a simulated process: what is started in the context belongs to it, with all that
        it starts in its turn."""
        self._processes += 1
        context = copy_context()
        context.run(process.set, self._processes)
        return self._processes, context

    @staticmethod
    def current_process():
        """Number of the simulated process that is running; 0 outside of all."""
        return process.get()

    def kill(self, number):
        """From here on nothing of the process runs, no `finally` either, as after SIGKILL."""
        self._dead.add(number)

    def bury_the_dead(self):
        """Lets what is left of killed processes run again, so that it can be cancelled and disposed of."""
        self._dead.clear()
        self._ready_now += self._of_the_dead
        self._of_the_dead = []


cdef class SimClock(Clock):
    """The clocks of one simulated host: monotonic time is the loop's, the wall clock may be stepped."""

    cdef Scheduler _loop
    cdef int64_t _epoch_ns

    def __init__(self, Scheduler loop not None, int64_t epoch_ns=EPOCH_NS):
        self._loop = loop
        self._epoch_ns = epoch_ns

    cdef int64_t c_now_ns(self) noexcept nogil:
        return self._epoch_ns + self._loop.elapsed_ns

    cdef int64_t c_monotonic_ns(self) noexcept nogil:
        return self._loop.elapsed_ns

    def sleep(self, double seconds):
        return self._loop.sleep(seconds)

    def now_ms(self) -> int:
        """For venues, whose clock this may be."""
        return self.c_now_ns() // 1_000_000

    def step(self, double seconds):
        """Moves the wall clock, as an NTP client or an administrator does."""
        self._epoch_ns += llround(seconds * 1e9)


def _wake(future):
    if not future.done():
        future.set_result(None)


cdef SimHandle _handle(double when, callback, tuple args, context):
    cdef SimHandle handle = SimHandle.__new__(SimHandle)
    handle._when = when
    handle._callback = callback
    handle._args = args
    handle._context = copy_context() if context is None else context
    return handle


cdef int _run(SimHandle handle) except -1:
    context = handle._context       # a callback may cancel its own handle
    PyContext_Enter(context)
    try:
        handle._callback(*handle._args)
    finally:
        PyContext_Exit(context)
    return 0


cdef object _process_of(SimHandle handle):
    return handle._context.get(process, 0)
