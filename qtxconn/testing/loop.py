"""A deterministic asyncio event loop: virtual time, seeded scheduling, and no way out into the real world."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import math
import random
from asyncio import base_events
from collections.abc import Callable, Coroutine
from typing import Any

from qtxconn.core.clock import Clock

EPOCH_NS = 1_700_000_000_000_000_000  # virtual wall time at which every simulation starts
STEPS_MAX = 5_000_000

_process: contextvars.ContextVar[int] = contextvars.ContextVar("simulated process", default=0)


class SimulationError(Exception):
    """The simulation cannot go on: what runs in it is stuck, spins, or reached for the real world."""


class SimTask(asyncio.Task[Any]):
    """A task that is hashed by its number: sets of tasks are walked in the same order in every run."""

    _number = 0

    def __hash__(self) -> int:
        if not self._number:
            loop: Any = self.get_loop()
            loop.tasks_made += 1
            self._number = loop.tasks_made
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimFuture(asyncio.Future[Any]):
    """A future that is hashed by its number, for the same reason. Few ever are, so it is given one when it is."""

    _number = 0

    def __hash__(self) -> int:
        if not self._number:
            loop: Any = self.get_loop()
            loop.futures_hashed += 1
            self._number = loop.futures_hashed
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class SimHandle(asyncio.TimerHandle):
    """A callback to come, without what asyncio's own keeps for its debug mode: a loop makes many."""

    __slots__ = ()

    def __init__(self, when: float, callback: Any, args: Any, loop: SimLoop, context: Any) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._loop = loop
        self._context = contextvars.copy_context() if context is None else context
        self._cancelled = self._scheduled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        """A cancelled timer leaves the heap when it is due."""
        self._cancelled = True
        self._callback = self._args = None


class SimLoop(base_events.BaseEventLoop):
    """Runs callbacks one after the other in an order that only `seed` decides; waiting costs no time.

    Callbacks that are ready together run in a shuffled order (`shuffled=False`: in the order they came). What must
    stay in order, such as the bytes of a connection, is kept so by its own queue (qtxconn.testing.network).
    When nothing is ready, time jumps to the next timer; when there is none either, everything waits for ever and
    SimulationError names the tasks. It is raised as well after `steps_max` callbacks.
    """

    def __init__(self, seed: int = 0, *, shuffled: bool = True, steps_max: int = STEPS_MAX) -> None:
        super().__init__()
        self.elapsed_ns = 0
        self._elapsed_s = 0.0
        self.steps = 0
        self.tasks_made = 0
        self.futures_hashed = 0
        self.failures: list[str] = []  # exceptions that nobody caught
        self._timers: list[tuple[float, int, SimHandle]] = []  # a heap
        self._timers_made = 0
        self._rng = random.Random(f"loop {seed}")
        self._shuffled = shuffled
        self._steps_max = steps_max
        self._processes = 0
        self._dead: set[int] = set()
        self._of_the_dead: list[Any] = []  # what killed processes would have run
        self._network: Any = None
        self.set_exception_handler(self._on_exception)

    # -- time --------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds since the simulation began."""
        return self._elapsed_s

    # -- scheduling --------------------------------------------------------------------------------------------

    def create_task(self, coro: Any, *, name: object = None, context: Any = None) -> SimTask:
        self._check_closed()  # type: ignore[attr-defined]
        task = SimTask(coro, loop=self, context=context)
        number = hash(task)
        task.set_name(str(name) if name is not None else f"task {number}")
        return task

    def create_future(self) -> SimFuture:
        return SimFuture(loop=self)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = SimHandle(0.0, callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self._elapsed_s + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        timer = SimHandle(when, callback, args, self, context)
        self._timers_made += 1
        # Tuples: comparing them needs no Python code, and equal times keep their order.
        heapq.heappush(self._timers, (when, self._timers_made, timer))
        return timer

    def _run_once(self) -> None:
        """Rounds until the loop is stopped: the timers that are due, then everything that is ready. Replaces asyncio's
        own, which is private: tests/sim/test_loop.py holds it to account on every Python version."""
        ready: Any = self._ready  # type: ignore[attr-defined]
        timers, dead, pop = self._timers, self._dead, heapq.heappop
        while True:
            now = self._elapsed_s
            if not ready:
                while timers and timers[0][2]._cancelled:
                    pop(timers)
                if not timers:
                    raise SimulationError(f"everything waits for ever: {self._describe_tasks()}")
                now = max(now, timers[0][0])  # as given: its whole nanoseconds may lie a little before
                self.elapsed_ns = max(self.elapsed_ns, math.ceil(now * 1e9))  # up: a short wait must end
                self._elapsed_s = self.elapsed_ns / 1e9
            while timers and timers[0][0] <= now:
                timer = pop(timers)[2]
                if not timer._cancelled:
                    ready.append(timer)
            if len(ready) == 1:
                batch = (ready.popleft(),)
            else:
                batch = list(ready)
                ready.clear()
                if self._shuffled:
                    self._rng.shuffle(batch)
            self.steps += len(batch)
            if self.steps > self._steps_max:
                raise SimulationError(f"no end after {self._steps_max} steps: {self._describe_tasks()}")
            for handle in batch:
                if handle._cancelled:
                    continue
                if dead and handle._context.get(_process) in dead:
                    self._of_the_dead.append(handle)
                    continue
                try:
                    handle._context.run(handle._callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001 - as asyncio does
                    self.call_exception_handler({"message": "a callback failed", "exception": error})
            if self._stopping:  # type: ignore[attr-defined]
                return

    def _describe_tasks(self) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: getattr(task, "_number", 0))
        return "; ".join(f"{task.get_name()} in {_place(task)}" for task in tasks) or "no task is left"

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(f"{context['message']}: {type(error).__name__}: {error}" if error else context["message"])

    # -- processes ---------------------------------------------------------------------------------------------

    def new_process(self) -> tuple[int, contextvars.Context]:
        """The number and context of a simulated process: what is started in the context belongs to it, with all that
        it starts in its turn."""
        self._processes += 1
        context = contextvars.copy_context()
        context.run(_process.set, self._processes)
        return self._processes, context

    @staticmethod
    def current_process() -> int:
        """Number of the simulated process that is running; 0 outside of all."""
        return _process.get()

    def kill(self, process: int) -> None:
        """From here on nothing of the process runs, no `finally` either, as after SIGKILL."""
        self._dead.add(process)

    def bury_the_dead(self) -> None:
        """Lets what is left of killed processes run again, so that it can be cancelled and disposed of."""
        self._dead.clear()
        self._ready.extend(self._of_the_dead)  # type: ignore[attr-defined]
        self._of_the_dead.clear()

    # -- the world, in memory ----------------------------------------------------------------------------------

    def attach_network(self, network: Any) -> None:
        """Connections and servers are made by this SimNetwork."""
        self._network = network

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **kwargs: Any) -> Any:
        return await self._require_network().create_connection(protocol_factory, host, port, **kwargs)

    async def create_server(self, protocol_factory: Any, host: Any = None, port: Any = None, **kwargs: Any) -> Any:
        return await self._require_network().create_server(protocol_factory, host, port)

    async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> list[Any]:
        return self._require_network().getaddrinfo(host, port)

    def _require_network(self) -> Any:
        if self._network is None:
            raise SimulationError("this simulation has no network; attach_network() first")
        return self._network

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        raise SimulationError("a simulation has one thread; call_soon_threadsafe would bring in another")

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        raise SimulationError(f"a simulation has one thread; {getattr(func, '__name__', func)} would run in another")

    def _process_events(self, event_list: object) -> None:
        raise SimulationError("there are no real events here")

    def _write_to_self(self) -> None:
        raise SimulationError("there is no real selector here")


def _place(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    return f"{frames[0].f_code.co_name}:{frames[0].f_lineno}" if frames else "no frame"


class SimClock(Clock):
    """The clocks of one simulated host: monotonic time is the loop's, the wall clock may be stepped."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop
        self.wall_offset_ns = 0

    def now_ns(self) -> int:
        return EPOCH_NS + self._loop.elapsed_ns + self.wall_offset_ns

    def now_ms(self) -> int:
        """For venues, whose clock this may be."""
        return self.now_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        return self._loop.elapsed_ns

    def step(self, seconds: float) -> None:
        """Moves the wall clock, as an NTP client or an administrator does."""
        self.wall_offset_ns += round(seconds * 1e9)


def run(main: Coroutine[Any, Any, Any], loop: SimLoop) -> Any:
    """Runs `main` in the loop to its end, disposes of what is left, and closes the loop."""
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        try:
            _dispose(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _dispose(loop: SimLoop) -> None:
    loop.bury_the_dead()
    loop.steps = 0
    left = [task for task in asyncio.all_tasks(loop) if not task.done()]
    for task in sorted(left, key=lambda task: getattr(task, "_number", 0)):
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=60.0))
