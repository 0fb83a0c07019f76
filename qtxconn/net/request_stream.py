"""Requests and answers over one WebSocket connection: rate limits, a circuit breaker, a session logged on once."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from qtxconn.errors import AuthenticationError, NotReadyError, OutcomeUnknownError, RateLimitedError, TimestampError
from qtxconn.net.circuit import CircuitBreaker
from qtxconn.net.rest import RETRY_AFTER_DEFAULT_S
from qtxconn.net.websocket import WebSocketClient

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock
    from qtxconn.net.throttler import Throttler

logger = logging.getLogger(__name__)


class StreamAnswer(NamedTuple):
    """`result`, where it is a VenueError, is raised; `used`: the venue's counts by rate limit, where it tells them."""

    request_id: str | None
    result: Any
    used: Mapping[str, int] = MappingProxyType({})


class RequestStream:
    """Each request is sent once. Answers may come in any order.

    `build_request(request_id, method, params, in_session)` gives the message; one that is not in a session carries its
        own signature.
    `parse_answer(data)` gives the StreamAnswer. Where it raises, or finds no id, every request that waits has an
        unknown outcome at once: waiting on would bring nothing.
    `logon_method`: the request that opens a session on a new connection, before it counts as live; "" for none. When
        the venue has ended a session, which it says by an AuthenticationError, the session is opened anew on the same
        connection and the request, which the venue refused, is sent again.
    `on_timestamp_error()` is awaited before a TimestampError is raised (synchronise the time there).
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        throttler: Throttler,
        build_request: Callable[[str, str, Mapping[str, str], bool], str],
        parse_answer: Callable[[str | bytes], StreamAnswer],
        on_timestamp_error: Callable[[], Awaitable[None]],
        logon_method: str = "",
        handshake_weights: Mapping[str, int] | None = None,
        logon_weights: Mapping[str, int] | None = None,
        name: str = "request stream",
        timeout_s: float = 10.0,
        wait_max_s: float = 10.0,
    ) -> None:
        self._clock = clock
        self._throttler = throttler
        self._build_request = build_request
        self._parse_answer = parse_answer
        self._on_timestamp_error = on_timestamp_error
        self._logon_method = logon_method
        self._logon_weights = logon_weights or {}
        self._name = name
        self._timeout_s = timeout_s
        self._wait_max_s = wait_max_s
        self._ids = itertools.count(1)
        self._sent_ns: dict[str, int] = {}  # monotonic, of the requests that wait for their answer
        self._session = 0  # counts the logons
        self._logging_on = asyncio.Lock()
        self._circuit = CircuitBreaker(name, clock)
        self._client = WebSocketClient(
            url,
            clock=clock,
            name=name,
            on_message=self._on_message,
            on_connected=self._log_on if logon_method else None,
            throttler=throttler,
            weights=handshake_weights,
        )
        self.run = self._client.run
        self.wait_live = self._client.wait_live
        self.close = self._client.close
        self.reconnect = self._client.reconnect

    def __repr__(self) -> str:
        return f"RequestStream({self._name!r}, {'live' if self.is_live else 'down'})"

    @property
    def is_live(self) -> bool:
        """Connected and, where there is a logon, logged on."""
        return self._client.is_live

    @property
    def is_failing(self) -> bool:
        """Its requests have failed too often in a row: they are refused for a while."""
        return self._circuit.is_open

    @property
    def connections(self) -> int:
        """Live connections so far."""
        return self._client.connections

    @property
    def logons(self) -> int:
        """Sessions opened so far."""
        return self._session

    async def request(
        self, method: str, params: Mapping[str, str], *, weights: Mapping[str, int], priority: bool = False
    ) -> Any:
        """The result of one request.

        Raises what `parse_answer` made of an error answer, RequestTimeoutError or ConnectionClosedError (outcome
        unknown), ThrottledError when the rate limit keeps it from being sent in time; and, with nothing sent either,
        NotReadyError when the stream is down and CircuitOpenError when its requests have failed too often in a row. The
        last two are for priority requests too: whoever has another way takes that.

        A priority request (a cancel) that is refused for its timestamp is repeated once, when the time is synchronised.
        """
        send = partial(self._request, method, params, weights, priority)
        try:
            return await self._circuit.run(send)
        except TimestampError:
            if not priority:
                raise
        return await self._circuit.run(send)

    # -- inside --------------------------------------------------------------------------------------------

    async def _request(self, method: str, params: Mapping[str, str], weights: Mapping[str, int], priority: bool) -> Any:
        await self._throttler.acquire(weights, priority=priority, wait_max_s=self._wait_max_s)
        if not self.is_live:
            raise NotReadyError(f"{self._name}: not connected")
        session = self._session
        try:
            return await self._ask(method, params, bool(self._logon_method))
        except AuthenticationError:
            if not self._logon_method:
                raise
        async with self._logging_on:
            if self._session == session:  # the others that found it ended find it open again
                await self._log_on()
        await self._throttler.acquire(weights, priority=priority, wait_max_s=self._wait_max_s)
        return await self._ask(method, params, True)

    async def _log_on(self) -> None:
        await self._throttler.acquire(self._logon_weights, priority=True, wait_max_s=self._wait_max_s)
        await self._ask(self._logon_method, {}, False)
        self._session += 1

    async def _ask(self, method: str, params: Mapping[str, str], in_session: bool) -> Any:
        request_id = str(next(self._ids))
        message = self._build_request(request_id, method, params, in_session)
        self._sent_ns[request_id] = self._clock.monotonic_ns()
        try:
            return await self._client.request(request_id, message, timeout_s=self._timeout_s)
        except TimestampError:
            await self._on_timestamp_error()
            raise
        finally:
            del self._sent_ns[request_id]

    def _on_message(self, data: str | bytes, _received_ns: int, _monotonic_ns: int) -> None:
        try:
            request_id, result, used = self._parse_answer(data)
            self._throttler.observe_used(used, self._sent_ns.get(request_id, 0))
        except Exception:
            logger.exception("%s: an answer could not be read", self._name)
            request_id = result = None
        if request_id is None:  # whose answer it was cannot be told
            self._client.resolve_all(OutcomeUnknownError(f"{self._name}: an answer could not be read"))
        if isinstance(result, RateLimitedError):
            if result.retry_after is None:
                result.retry_after = RETRY_AFTER_DEFAULT_S
            self._throttler.pause_until(self._clock.monotonic_ns() + round(result.retry_after * 1e9))
        self._client.resolve(request_id, result)
