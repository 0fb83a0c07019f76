"""A venue's REST API as a table of endpoints: signed by the venue's clock, metered by its own counters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from qtxconn.errors import CircuitOpenError, NotReadyError, QtxconnError, TimestampError, VenueError
from qtxconn.net.rest import RestClient, logger

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock
    from qtxconn.net.request_stream import RequestStream
    from qtxconn.net.rest import RestRequest
    from qtxconn.net.throttler import Throttler
    from qtxconn.net.time_sync import TimeSync

TIME_SYNC_INTERVAL_S = 300.0
COUNT_DIGITS_MAX = 9


class Security(Enum):
    NONE = "none"
    KEY = "key"  # the key alone, no signature
    SIGNED = "signed"


class Endpoint(NamedTuple):
    """`weights` by rate limit; `priority`: a cancel, or a question about orders, which may use the reserved share of
    them and may be repeated; `ws_method`: its name in a WebSocket API that takes the same parameters."""

    method: str
    path: str
    weights: Mapping[str, int]
    security: Security = Security.SIGNED
    priority: bool = False
    ws_method: str = ""


class VenueRest(RestClient):
    """`authenticators` by Security; `used_headers`: the answers' headers that count what is used of a rate limit;
    `request_server_ns()` asks the venue for its time, through this client."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        throttler: Throttler,
        time: TimeSync,
        authenticators: Mapping[Security, Callable[[RestRequest], RestRequest]],
        parse_error: Callable[[int, bytes], VenueError],
        request_server_ns: Callable[[], Awaitable[int]],
        used_headers: Mapping[str, str],
    ) -> None:
        super().__init__(
            url, clock=clock, parse_error=parse_error, throttler=throttler, on_headers=self._observe_used_weights
        )
        self.time = time
        self._limits = throttler
        self._authenticators = authenticators
        self._request_server_ns = request_server_ns
        self._used_headers = used_headers

    async def call(self, endpoint: Endpoint, params: Mapping[str, str] | None = None) -> Any:
        """One request. A read or a cancel that is refused for its timestamp is repeated once, after a time sync; an
        order is not: it came too late."""
        for last_attempt in (endpoint.method != "GET" and not endpoint.priority, True):
            try:
                return await self.request(
                    endpoint.method,
                    endpoint.path,
                    params=params,
                    auth=self._authenticators.get(endpoint.security),
                    weights=endpoint.weights,
                    priority=endpoint.priority,
                )
            except TimestampError:
                await self.sync_time()
                if last_attempt:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def call_over(
        self, stream: RequestStream | None, endpoint: Endpoint, params: Mapping[str, str] | None = None
    ) -> Any:
        """The same request over a stream, while there is one and it is up and answering. Which way it goes is settled
        before anything is sent, so nothing goes out twice."""
        if stream is not None and stream.is_live:
            try:
                return await stream.request(
                    endpoint.ws_method, params or {}, weights=endpoint.weights, priority=endpoint.priority
                )
            except (CircuitOpenError, NotReadyError):
                pass  # nothing was sent
        return await self.call(endpoint, params)

    async def first_sync(self) -> None:
        """Asks for the venue's time; raises what the requests raise."""
        await self.time.sync(self._request_server_ns)

    async def sync_time(self) -> None:
        """The same, for a clock that was right before: a failure is logged."""
        try:
            await self.first_sync()
        except QtxconnError as error:
            logger.warning("the venue's time could not be read: %s", error)

    async def keep_time(self) -> None:
        """Asks again and again, for ever."""
        while True:
            await self._clock.sleep(TIME_SYNC_INTERVAL_S)
            await self.sync_time()

    def _observe_used_weights(self, headers: Mapping[str, str], sent_ns: int) -> None:
        used = {}
        for header, limit_id in self._used_headers.items():
            count = headers.get(header, "")
            if count.isdecimal() and len(count) <= COUNT_DIGITS_MAX:
                used[limit_id] = int(count)
        self._limits.observe_used(used, sent_ns)
