"""One WebSocket client on aiohttp: reconnect, resubscribe, staleness, request/answer pairing, clean close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import aiohttp

from qtxconn.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionClosedError,
    NetworkError,
    QtxconnError,
    RateLimitedError,
    RequestTimeoutError,
)
from qtxconn.net.backoff import Backoff
from qtxconn.net.rest import describe_connect_error, parse_retry_after

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock
    from qtxconn.net.throttler import Throttler

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0
REACH_ATTEMPTS = 3  # that a host cannot be reached is told after so many in a row
STABLE_AFTER_NS = 10 * 10**9  # a connection that lived this long starts the backoff anew
RATE_LIMIT_STATUSES = (418, 429)
DATA = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)

OnMessage = Callable[[str | bytes, int, int], None]
"""Takes a message, the wall time (ns) and the monotonic time (ns), both read right after it was received."""


class WebSocketClient:
    """A connection that is made again whenever it breaks, for as long as `run()` runs.

    `url` may be a coroutine function: it is then asked before every attempt (listen keys).
    `on_connected()` is awaited on every new connection, while messages are already handled: subscribe there.
        Only when it returns does the connection count as live. What it raises breaks the connection.
    `on_disconnected(error)` is told once for every live connection that broke.
    `throttler`: a handshake waits for it, spends `weights`, and a refused one's Retry-After pauses it.
    `heartbeat_s`: ping that often, break when the pong is late. `stale_after_s`: break when no message came.
    The client does not know the wire format. Where a message answers a request, the owner of `on_message`
    says so with `resolve(request_id, answer)`.
    """

    def __init__(
        self,
        url: str | Callable[[], Awaitable[str]],
        *,
        clock: Clock,
        on_message: OnMessage,
        on_connected: Callable[[], Awaitable[None]] | None = None,
        on_disconnected: Callable[[QtxconnError], None] | None = None,
        name: str = "websocket",
        heartbeat_s: float | None = 15.0,
        stale_after_s: float | None = None,
        connect_timeout_s: float = 10.0,
        message_bytes_max: int = 16 * 2**20,
        backoff: Backoff | None = None,
        throttler: Throttler | None = None,
        weights: Mapping[str, int] | None = None,
    ) -> None:
        self._url = url
        self._clock = clock
        self._on_message = on_message
        self._on_connected = on_connected
        self._on_disconnected = on_disconnected
        self._name = name
        self._heartbeat_s = heartbeat_s
        self._stale_after_s = stale_after_s
        self._connect_timeout_s = connect_timeout_s
        self._message_bytes_max = message_bytes_max
        self._backoff = backoff or Backoff()
        self._throttler = throttler
        self._weights = weights or {}
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._live = asyncio.Event()
        self._unreached = 0  # attempts in a row
        self._failed = asyncio.Event()  # trying again does not mend it, or run() has ended
        self._closing = asyncio.Event()
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._ended = False
        self._answers: dict[Any, asyncio.Future[Any]] = {}
        self._last_message_ns = 0
        self.last_error: QtxconnError | None = None
        self.connections = 0  # live connections so far
        self.handler_errors = 0  # messages that `on_message` raised on

    def __repr__(self) -> str:
        return f"WebSocketClient({self._name!r}, {'live' if self.is_live else 'down'})"

    @property
    def is_live(self) -> bool:
        """Connected, and `on_connected` has returned."""
        return self._live.is_set()

    async def run(self) -> None:
        """Connect, receive, reconnect. Returns after `close()`; cancelling it closes the connection too."""
        work = asyncio.ensure_future(self._run_connections())
        closing = asyncio.ensure_future(self._closing.wait())
        self._stopped.clear()
        try:
            await asyncio.wait((work, closing), return_when=asyncio.FIRST_COMPLETED)
            if work.done() and (bug := work.exception()) is not None:
                self.last_error = ConnectionClosedError(f"{self._name}: stopped by {type(bug).__name__}")
                raise bug
        finally:
            self._ended = True
            self._failed.set()
            work.cancel()
            closing.cancel()
            await asyncio.gather(work, closing, return_exceptions=True)
            self._stopped.set()

    async def wait_live(self, timeout_s: float) -> None:
        """Return once live. Raises RequestTimeoutError after `timeout_s`; at once what trying again does not mend,
        NetworkError where nobody takes the connection, and ConnectionClosedError when `run()` has ended."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._live, self._failed)]
        try:
            await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._live.is_set():
            return
        if self._failed.is_set():
            raise self.last_error or ConnectionClosedError(f"{self._name}: closed")
        cause = f": {self.last_error}" if self.last_error is not None else ""
        raise RequestTimeoutError(f"{self._name}: not connected after {timeout_s:g} s{cause}")

    async def send(self, message: str | bytes) -> None:
        """Send one message (str as text, bytes as binary). ConnectionClosedError when not connected."""
        ws = self._ws
        if ws is None or ws.closed:
            raise ConnectionClosedError(f"{self._name}: not connected")
        failure: str
        try:
            await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
            return
        except (ConnectionError, aiohttp.ClientError) as error:
            failure = type(error).__name__
        raise ConnectionClosedError(f"{self._name}: the connection closed while sending ({failure})")

    async def request(self, request_id: Any, message: str | bytes, *, timeout_s: float = 10.0) -> Any:
        """Send `message` and return what `resolve(request_id, ...)` is given.

        Raises RequestTimeoutError or ConnectionClosedError (it may have been carried out either way).
        """
        if request_id in self._answers:
            raise ConfigurationError(f"{self._name}: a request with the id {request_id!r} is already under way")
        answer = self._answers[request_id] = asyncio.get_running_loop().create_future()
        try:
            await self.send(message)
            done, _ = await asyncio.wait([answer], timeout=timeout_s)
            if not done:
                raise RequestTimeoutError(f"{self._name}: no answer within {timeout_s:g} s")
            return answer.result()
        finally:
            del self._answers[request_id]
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, should nobody have waited long enough
            answer.cancel()

    def resolve(self, request_id: Any, answer: Any) -> bool:
        """Hand the answer (an exception: raise it) to whoever waits; False if nobody does (late, unknown)."""
        waiting = self._answers.get(request_id)
        if waiting is None or waiting.done():
            return False
        if isinstance(answer, BaseException):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)
        return True

    def resolve_all(self, error: BaseException) -> None:
        """Raise `error` to everyone who waits for an answer."""
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(error)

    async def reconnect(self) -> None:
        """Break the connection; `run()` makes a new one."""
        if self._ws is not None:
            await _close(self._ws)

    async def close(self) -> None:
        """Close the connection for good; returns when `run()` has done so."""
        self._closing.set()
        await self._stopped.wait()

    # -- inside --------------------------------------------------------------------------------------------

    async def _run_connections(self) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                self.last_error = error = await self._run_connection(session)
                if self._ended:
                    return  # a TaskGroup whose child fails at that very moment takes the cancellation for its own
                if isinstance(error, AuthenticationError | ConfigurationError):
                    self._failed.set()
                wait_s = self._backoff.next_s()
                if isinstance(error, RateLimitedError):
                    wait_s = max(wait_s, error.retry_after or 0.0)
                logger.warning("%s; connecting again in %.2f s", error, wait_s)
                await self._clock.sleep(wait_s)

    async def _run_connection(self, session: aiohttp.ClientSession) -> QtxconnError:
        """One connection from its start to its end; returns why it ended."""
        try:
            self._ws = ws = await self._connect(session)
        except QtxconnError as error:
            return error
        self._last_message_ns = connected_ns = self._clock.monotonic_ns()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(ws), name=f"{self._name} receive")
                group.create_task(self._go_live(), name=f"{self._name} subscribe")
                if self._stale_after_s is not None:
                    group.create_task(self._watch(self._stale_after_s), name=f"{self._name} watch")
        except* QtxconnError as errors:
            error = _first(errors)
        finally:
            was_live = self._live.is_set()
            self._live.clear()
            self._ws = None
            self.resolve_all(ConnectionClosedError(f"{self._name}: the connection closed before the answer"))
            await _close(ws)
        if self._clock.monotonic_ns() - connected_ns >= STABLE_AFTER_NS:
            self._backoff.reset()
        if was_live and self._on_disconnected is not None:
            self._on_disconnected(error)
        return error

    async def _connect(self, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
        url = self._url if isinstance(self._url, str) else await self._url()
        if self._throttler is not None:
            await self._throttler.acquire(self._weights)
        unreached, self._unreached = self._unreached, 0
        failure: QtxconnError
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return await session.ws_connect(
                    url, heartbeat=self._heartbeat_s, max_msg_size=self._message_bytes_max, autoping=True
                )
        except TimeoutError:
            failure = RequestTimeoutError(f"{self._name}: no connection within {self._connect_timeout_s:g} s")
        except aiohttp.WSServerHandshakeError as error:
            text = f"{self._name}: the server refused the connection (HTTP {error.status})"
            failure = NetworkError(text)
            if error.status in RATE_LIMIT_STATUSES:
                retry_after = parse_retry_after(error.headers or {})
                failure = RateLimitedError(text, http_status=error.status, retry_after=retry_after)
                if self._throttler is not None:
                    self._throttler.pause_until(self._clock.monotonic_ns() + round(retry_after * 1e9))
        except aiohttp.ClientConnectorError as error:
            failure = NetworkError(f"{self._name}: {describe_connect_error(error)}")
            self._unreached = unreached + 1
            if self._unreached >= REACH_ATTEMPTS:
                self._failed.set()
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            failure = ConfigurationError(f"{self._name}: its URL does not begin with ws:// or wss://, or names no host")
        except (aiohttp.ClientError, ConnectionError) as error:
            failure = NetworkError(f"{self._name}: cannot connect ({type(error).__name__})")
        raise failure  # outside the handlers: aiohttp's exceptions quote the URL, which may hold a listen key

    async def _receive(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        clock = self._clock
        while True:
            message = await ws.receive()
            received_ns, monotonic_ns = clock.now_ns(), clock.monotonic_ns()
            if message.type not in DATA:
                break
            self._last_message_ns = monotonic_ns
            try:
                self._on_message(message.data, received_ns, monotonic_ns)
            except Exception:  # one bad message must not cost the stream
                self.handler_errors += 1
                logger.exception("%s: a message could not be handled", self._name)
        match message.type:
            case aiohttp.WSMsgType.ERROR:
                reason = type(message.data).__name__
            case aiohttp.WSMsgType.CLOSE:
                reason = f"code {message.data}"
            case _:
                reason = f"code {ws.close_code}"
        raise ConnectionClosedError(f"{self._name}: the connection closed ({reason})")

    async def _go_live(self) -> None:
        if self._on_connected is not None:
            try:
                await self._on_connected()
            except QtxconnError:
                raise
            except Exception as error:
                logger.exception("%s: could not subscribe", self._name)
                raise ConnectionClosedError(f"{self._name}: could not subscribe ({type(error).__name__})") from error
        self.connections += 1
        self._failed.clear()
        self._live.set()

    async def _watch(self, stale_after_s: float) -> None:
        while True:
            silent_s = (self._clock.monotonic_ns() - self._last_message_ns) / 1e9
            if silent_s >= stale_after_s:
                raise ConnectionClosedError(f"{self._name}: stale, no message for {silent_s:.1f} s")
            await self._clock.sleep(stale_after_s - silent_s)


async def _close(ws: aiohttp.ClientWebSocketResponse) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await ws.close()
    except TimeoutError:
        pass


def _first(errors: BaseExceptionGroup[QtxconnError]) -> QtxconnError:
    """The first of the errors: what broke the connection; the others followed."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, QtxconnError)
    return error
