"""A deterministic asyncio event loop: virtual time, seeded scheduling, and no way out into the real world."""

from __future__ import annotations

import asyncio
from asyncio import base_events
from collections.abc import Callable, Coroutine
from typing import Any

from qtxconn.testing.scheduler import Scheduler, SimulationError

STEPS_MAX = 5_000_000


class SimLoop(Scheduler, base_events.BaseEventLoop):
    """Runs callbacks one after the other in an order that only `seed` decides; waiting costs no time.

    Callbacks that are ready together run in a shuffled order (`shuffled=False`: in the order they came). What must
    stay in order, such as the bytes of a connection, is kept so by its own queue (qtxconn.testing.network).
    When nothing is ready, time jumps to the next timer; when there is none either, everything waits for ever and
    SimulationError names the tasks. It is raised as well after `steps_max` callbacks.
    """

    def __init__(self, seed: int = 0, *, shuffled: bool = True, steps_max: int = STEPS_MAX) -> None:
        base_events.BaseEventLoop.__init__(self)
        Scheduler.__init__(self, seed, shuffled=shuffled, steps_max=steps_max)
        self.failures: list[str] = []  # exceptions that nobody caught
        self._network: Any = None
        self.set_exception_handler(self._on_exception)

    def _describe_tasks(self) -> str:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: getattr(task, "_number", 0))
        return "; ".join(f"{task.get_name()} in {_place(task)}" for task in tasks) or "no task is left"

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(f"{context['message']}: {type(error).__name__}: {error}" if error else context["message"])

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

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        raise SimulationError(f"there are no real sockets here; file {fd} would be one")

    def add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        raise SimulationError(f"there are no real sockets here; file {fd} would be one")

    def _process_events(self, event_list: object) -> None:
        raise SimulationError("there are no real events here")

    def _write_to_self(self) -> None:
        raise SimulationError("there is no real selector here")


def _place(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    return f"{frames[0].f_code.co_name}:{frames[0].f_lineno}" if frames else "no frame"


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
