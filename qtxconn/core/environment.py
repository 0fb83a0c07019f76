"""What connectors take from outside: time, chance and ids. A simulation puts its own in the place of the system's.

Sleeping is the clock's; connections are made by the event loop that runs; files are opened by the journal and the id
source only, under the paths they are given. So who owns the environment, the loop and a folder owns everything.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from qtxconn.core.client_ids import ClientIdSource, shared_client_ids
from qtxconn.core.clock import SYSTEM_CLOCK, Clock


@dataclass(frozen=True, slots=True)
class Environment:
    """The sources that everything made while it is in use draws from."""

    clock: Clock = SYSTEM_CLOCK
    uniform: Callable[[float, float], float] = random.uniform  # a random number between two
    client_ids: Callable[[str, int], ClientIdSource] = shared_client_ids  # of a venue's name and its ids' bits


SYSTEM_ENVIRONMENT = Environment()
_current: ContextVar[Environment] = ContextVar("environment", default=SYSTEM_ENVIRONMENT)


def environment() -> Environment:
    """The environment in use: the system's, unless use_environment() has put another in its place."""
    return _current.get()


def use_environment(replacement: Environment) -> None:
    """What is made from here on in this context (contextvars), and in tasks started from it, uses `replacement`."""
    _current.set(replacement)
