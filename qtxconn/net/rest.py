"""One REST client on aiohttp: always time-outs, typed errors, retries for reads only, signing by callable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from qtxconn.errors import (
    ConfigurationError,
    ConnectionClosedError,
    MessageError,
    NetworkError,
    NotReadyError,
    OutcomeUnknownError,
    QtxconnError,
    RateLimitedError,
    RequestTimeoutError,
    ThrottledError,
    VenueError,
)
from qtxconn.net.backoff import Backoff
from qtxconn.net.circuit import CircuitBreaker

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock
    from qtxconn.net.throttler import Throttler

logger = logging.getLogger(__name__)

RETRY_AFTER_DEFAULT_S = 1.0  # for a rate-limit answer that does not say how long


@dataclass(frozen=True, slots=True)
class RestRequest:
    """What is about to be sent. The repr leaves out what may hold keys and signatures."""

    method: str
    path: str
    query: str = field(default="", repr=False)  # percent-encoded exactly as it goes on the wire
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


Auth = Callable[[RestRequest], RestRequest]
"""Signs a request: returns it with what authentication adds. Called for every attempt, right before it."""


class RestClient:
    """Requests to one base URL.

    `parse_error(http_status, body)` turns an error answer into the VenueError to raise.
    `on_headers(headers, sent_ns)` sees the headers of every answer (used weights); its request left then (monotonic).
    `wait_max_s`: longer than this no request waits for the rate limit; it is refused with ThrottledError.
    `connections_max`: of requests without priority; those with it never wait for a connection.
    Raises ConfigurationError where `base_url` is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        parse_error: Callable[[int, bytes], VenueError],
        throttler: Throttler | None = None,
        on_headers: Callable[[Mapping[str, str], int], None] | None = None,
        connect_timeout_s: float = 5.0,
        timeout_s: float = 10.0,
        wait_max_s: float = 10.0,
        read_attempts: int = 4,
        backoff: Callable[[], Backoff] = Backoff,
        connections_max: int = 32,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"rest_url: is {base_url!r}; it must begin with http:// or https://")
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._parse_error = parse_error
        self._throttler = throttler
        self._on_headers = on_headers
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._wait_max_s = wait_max_s
        self._read_attempts = read_attempts
        self._backoff = backoff
        # Waited for here, not in aiohttp's pool: what waits there is sent whatever the venue has said meanwhile.
        self._connections = asyncio.Semaphore(connections_max)
        self._circuits = {kind: CircuitBreaker(kind, clock) for kind in ("read", "write")}
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"RestClient({self._base_url!r})"

    async def start(self) -> None:
        """Open the connection pool (connections themselves are made on first use)."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=self._make_traces(),
            )
            # By itself aiohttp sends GET, PUT and DELETE again when a kept connection turns out dead: cancels and
            # amends too, and past the throttler, into a Retry-After.
            self._session._retry_connection = False

    def _make_traces(self) -> list[aiohttp.TraceConfig]:
        """Nothing goes out over a connection that was being made when the venue asked for silence."""
        if self._throttler is None:
            return []
        throttler, trace = self._throttler, aiohttp.TraceConfig()

        async def connected(*_: object) -> None:
            await throttler.pause_over()

        trace.on_connection_create_end.append(connected)
        return [trace]

    async def close(self) -> None:
        """Close every connection; requests under way end with ConnectionClosedError."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> RestClient:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        weights: Mapping[str, int] | None = None,
        priority: bool = False,
        is_read: bool | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Send one request and return the decoded JSON answer.

        Reads (`is_read`, by default GET) are repeated after network errors, 5xx and short rate-limit pauses;
        anything else is sent exactly once, whatever happens.

        Raises RequestTimeoutError, ConnectionClosedError or NetworkError (outcome unknown), the VenueError
        that `parse_error` made of an error answer, MessageError when the answer is not JSON, ThrottledError
        when the rate limit keeps it from being sent in time, and CircuitOpenError, a ThrottledError, when reads or
        writes have failed too often in a row (with `priority` it is sent even then).
        """
        request = RestRequest(
            method,
            path,
            urlencode(params) if params else "",
            {**(headers or {}), **({"Content-Type": "application/json"} if json is not None else {})},
            orjson.dumps(json) if json is not None else None,
        )
        is_read = method == "GET" if is_read is None else is_read
        attempts = self._read_attempts if is_read else 1
        circuit = self._circuits["read" if is_read else "write"]

        async def send() -> Any:
            if self._throttler is not None:
                await self._throttler.acquire(weights or {}, priority=priority, wait_max_s=self._wait_max_s)
            async with nullcontext() if priority else self._connection():
                if self._throttler is not None:
                    await self._throttler.pause_over(self._wait_max_s)
                return await self._send(auth(request) if auth is not None else request, timeout_s)

        backoff = self._backoff()
        while True:
            try:
                return await circuit.run(send, priority=priority)
            except (NetworkError, OutcomeUnknownError, RateLimitedError) as error:
                attempts -= 1
                wait_s = backoff.next_s()
                if isinstance(error, RateLimitedError):
                    wait_s = max(wait_s, error.retry_after or 0.0)
                if attempts <= 0 or wait_s > self._wait_max_s:
                    raise
                logger.info("%s: %s; trying again in %.2f s", request, error, wait_s)
                await self._clock.sleep(wait_s)

    # -- inside --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._wait_max_s):
                await self._connections.acquire()
        except TimeoutError:
            raise ThrottledError("not sent: all connections are busy", retry_after=0.0) from None
        try:
            yield
        finally:
            self._connections.release()

    async def _send(self, request: RestRequest, timeout_s: float | None) -> Any:
        session = self._session
        if session is None:
            raise NotReadyError(f"{request}: the connection is not open; connect first")
        limit_s = timeout_s or self._timeout_s
        failure: QtxconnError
        sent_ns = self._clock.monotonic_ns()
        try:
            async with session.request(
                request.method,
                URL(
                    self._base_url + request.path + ("?" + request.query if request.query else ""),
                    encoded=True,
                ),
                data=request.body,
                headers=request.headers,
                allow_redirects=False,  # a redirect would carry the key to another host
                timeout=aiohttp.ClientTimeout(total=limit_s, sock_connect=min(self._connect_timeout_s, limit_s)),
            ) as response:
                body = await response.read()
        except TimeoutError:
            failure = RequestTimeoutError(f"{request}: no answer within {limit_s:g} s")
        except aiohttp.ClientConnectorError as error:
            failure = NetworkError(f"{request}: {describe_connect_error(error)}")
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError) as error:
            failure = ConnectionClosedError(f"{request}: the connection closed before the answer ({_kind(error)})")
        except aiohttp.ClientError as error:
            failure = NetworkError(f"{request}: not an HTTP answer ({_kind(error)})")
        else:
            if self._on_headers is not None:
                self._on_headers(response.headers, sent_ns)
            return self._read_answer(request, response.status, response.headers, body)
        # Raised here, outside the handlers: aiohttp's exceptions quote the URL with its signature, and a
        # chained exception would carry them into every traceback.
        raise failure

    def _read_answer(self, request: RestRequest, status: int, headers: Mapping[str, str], body: bytes) -> Any:
        if not 200 <= status < 300:
            error = self._parse_error(status, body)
            if isinstance(error, RateLimitedError):
                self._obey(error, headers)
            raise error
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise MessageError(f"{request}: the answer is not JSON: {error.msg}") from None

    def _obey(self, error: RateLimitedError, headers: Mapping[str, str]) -> None:
        if error.retry_after is None:
            error.retry_after = parse_retry_after(headers)
        if self._throttler is not None:
            self._throttler.pause_until(self._clock.monotonic_ns() + round(error.retry_after * 1e9))


def parse_retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a rate-limit answer asks to wait; a default where it does not say, or says it as a date."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 9 else RETRY_AFTER_DEFAULT_S


def _kind(error: BaseException) -> str:
    """The kind of a transport error. Never its text: that may quote the URL."""
    return type(error).__name__


def describe_connect_error(error: aiohttp.ClientConnectorError) -> str:
    """Host, port and reason; unlike aiohttp's own text it never quotes a URL."""
    reason = getattr(error, "certificate_error", None) or error.os_error  # certificate errors have no os_error
    return f"cannot connect to {error.host}:{error.port}: {reason}"
