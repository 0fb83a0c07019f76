"""The WebSocket client against a real server on 127.0.0.1: reconnect, resubscribe, staleness, close."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import WSMsgType, web

from qtxconn.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionClosedError,
    NetworkError,
    RequestTimeoutError,
)
from qtxconn.net.backoff import Backoff
from qtxconn.net.websocket import WebSocketClient

from .clocks import FakeClock, SystemClock

TIMEOUT_S = 20.0  # only reached when something is broken


class Server:
    """Keeps its connections, records what arrives and answers {"id": n} with {"id": n, "result": "ok"}."""

    def __init__(self) -> None:
        self.connections: list[web.WebSocketResponse] = []
        self.received: list[str] = []
        self.answers = True
        self.refuse_with: int | None = None
        self.attempts = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.attempts += 1
        if self.refuse_with is not None:
            return web.Response(status=self.refuse_with)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.connections.append(ws)
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                self.received.append(message.data)
                if self.answers:
                    await ws.send_bytes(orjson.dumps({"id": orjson.loads(message.data)["id"], "result": "ok"}))
        return ws


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_get("/ws", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ws"
    try:
        yield server
    finally:
        await runner.cleanup()


def client(server: Server, on_message: Callable[..., None] = lambda *_: None, **options: object) -> WebSocketClient:
    options.setdefault("clock", SystemClock())
    options.setdefault("backoff", Backoff(uniform=lambda low, high: 0.0))
    options.setdefault("url", server.url)
    return WebSocketClient(on_message=on_message, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def running(ws: WebSocketClient, live: bool = True) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(ws.run())
    try:
        if live:
            await ws.wait_live(TIMEOUT_S)
        yield task
    finally:
        await ws.close()
        await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - the server has no event for most of what is awaited here
            await asyncio.sleep(0.001)


async def test_messages_come_as_sent_with_both_times(server: Server) -> None:
    clock = FakeClock()
    seen: list[tuple] = []
    async with running(client(server, lambda *message: seen.append(message), clock=clock)):
        await server.connections[0].send_str("text")
        await server.connections[0].send_bytes(b"bytes")
        await until(lambda: len(seen) == 2)
    assert seen == [
        ("text", clock.now_ns(), clock.monotonic_ns()),
        (b"bytes", clock.now_ns(), clock.monotonic_ns()),
    ]


async def test_after_a_break_it_connects_again_and_subscribes_again(server: Server) -> None:
    broke: list[Exception] = []
    ws = client(server, on_connected=lambda: ws.send('{"id": 1}'), on_disconnected=broke.append)
    async with running(ws):
        for n in range(1, 4):
            await until(lambda n=n: len(server.received) == n)
            await server.connections[-1].close(code=1001)
            await until(lambda n=n: ws.connections == n + 1)
    assert server.received[:4] == ['{"id": 1}'] * 4
    assert len(broke) == 3  # our own close is no break
    assert all(isinstance(error, ConnectionClosedError) for error in broke)
    assert "the connection closed (code 1" in str(broke[0])


async def test_an_abrupt_end_of_the_connection_is_noticed(server: Server) -> None:
    ws = client(server)
    async with running(ws):
        transport = server.connections[0]._req.transport  # type: ignore[union-attr]
        transport.abort()
        await until(lambda: ws.connections == 2)


async def test_the_url_is_asked_for_before_every_attempt(server: Server) -> None:
    asked = 0

    async def url() -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise NetworkError("no listen key")
        return server.url

    ws = client(server, url=url)
    async with running(ws):
        await ws.reconnect()
        await until(lambda: ws.connections == 2)
    assert asked == 3


async def test_a_refused_handshake_is_retried_and_told_without_the_url(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse_with = 503
    ws = client(server, url=server.url + "?listenKey=SECRET", backoff=Backoff(uniform=lambda low, high: 0.01))
    async with running(ws, live=False):
        await until(lambda: server.attempts >= 3)
        with pytest.raises(RequestTimeoutError, match=r"not connected after 0 s.*HTTP 503") as late:
            await ws.wait_live(0)
        server.refuse_with = None
        await ws.wait_live(TIMEOUT_S)
    assert "HTTP 503" in caplog.text
    assert "SECRET" not in caplog.text + str(late.value)
    assert ws.last_error is not None
    assert ws.last_error.__context__ is None


async def test_a_refused_key_is_told_at_once(server: Server) -> None:
    async def refused() -> str:
        raise AuthenticationError("bad key", code=-2015)

    ws = client(server, url=refused, backoff=Backoff(uniform=lambda low, high: high))
    async with running(ws, live=False):
        with pytest.raises(AuthenticationError):
            await ws.wait_live(TIMEOUT_S)


async def test_a_host_that_refuses_is_told_at_once_though_not_at_its_first_refusal(server: Server) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
        dead = f"ws://127.0.0.1:{nobody.getsockname()[1]}/"
        ws = client(server, url=dead)
        async with running(ws, live=False):
            with pytest.raises(NetworkError, match=r"cannot connect to 127\.0\.0\.1") as told:
                await ws.wait_live(TIMEOUT_S)
            assert type(told.value) is NetworkError
        urls = iter([dead, dead])

        async def url() -> str:
            return next(urls, server.url)

        async with running(client(server, url=url)):
            pass  # a moment's refusal is survived


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "stream.binance.com/ws", "ftp://127.0.0.1", "http://"])
async def test_a_url_without_its_scheme_is_told_at_once(server: Server, url: str) -> None:
    ws = client(server, url=url)
    async with running(ws, live=False):
        with pytest.raises(ConfigurationError, match="does not begin with ws://"):
            await ws.wait_live(TIMEOUT_S)


async def test_who_waits_is_told_when_run_has_ended(server: Server) -> None:
    async def broken() -> str:
        raise ValueError("a bug, with a listen key in its text")

    for url in (broken, server.url):
        ws = client(server, url=url)
        waiting = asyncio.create_task(ws.wait_live(TIMEOUT_S))
        await asyncio.sleep(0)
        running = asyncio.create_task(ws.run())
        if url is broken:
            with pytest.raises(ValueError, match="a bug"):
                await running
        else:
            await asyncio.sleep(0)
            running.cancel()
        with pytest.raises(ConnectionClosedError, match="stopped by ValueError$" if url is broken else "closed"):
            await waiting


async def test_a_failing_subscription_breaks_the_connection_before_it_is_live(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def subscribe() -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise KeyError("unexpected answer") if calls == 1 else NetworkError("no answer")

    ws = client(server, on_connected=subscribe)
    async with running(ws):
        assert ws.connections == 1
    assert calls == 3
    assert "could not subscribe" in caplog.text


async def test_silence_is_staleness(server: Server) -> None:
    clock = FakeClock()
    ws = client(server, clock=clock, stale_after_s=5.0, heartbeat_s=None)
    async with running(ws):
        seen = server.connections[0]
        await clock.advance(4.0)
        await seen.send_str("alive")
        await until(lambda: ws._last_message_ns == clock.monotonic_ns())
        await clock.advance(4.9)
        assert ws.is_live
        await clock.advance(0.1)
        await until(lambda: ws.last_error is not None)
        assert "stale, no message for 5.0 s" in str(ws.last_error)
        await clock.advance(0.0)
        await until(lambda: ws.connections == 2)


async def test_a_dead_peer_is_found_by_the_heartbeat() -> None:
    async def handshake_then_silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from base64 import b64encode
        from hashlib import sha1

        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line.split()[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = b64encode(sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(handshake_then_silence, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
    broke: list[Exception] = []
    ws = WebSocketClient(
        url, clock=SystemClock(), on_message=lambda *_: None, on_disconnected=broke.append, heartbeat_s=0.1
    )
    async with running(ws):
        await until(lambda: bool(broke))
    listener.close()
    assert isinstance(broke[0], ConnectionClosedError)


async def test_a_message_that_cannot_be_handled_costs_a_counter_only(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def on_message(data: str, *_: int) -> None:
        orjson.loads(data)
        seen.append(data)

    ws = client(server, on_message)
    async with running(ws):
        await server.connections[0].send_str("{not json")
        await server.connections[0].send_str("{}")
        await until(lambda: bool(seen))
        assert ws.connections == 1
    assert ws.handler_errors == 1
    assert "could not be handled" in caplog.text


async def test_requests_get_their_own_answers(server: Server) -> None:
    def on_message(data: bytes, *_: int) -> None:
        answer = orjson.loads(data)
        ws.resolve(answer["id"], answer["result"])

    ws = client(server, on_message)
    async with running(ws):
        assert (
            await asyncio.gather(*(ws.request(n, f'{{"id": {n}}}', timeout_s=TIMEOUT_S) for n in range(5)))
            == ["ok"] * 5
        )
        server.answers = False
        with pytest.raises(RequestTimeoutError, match=r"no answer within 0\.05 s"):
            await ws.request(9, '{"id": 9}', timeout_s=0.05)
        assert not ws.resolve(9, "too late")
        waiting = asyncio.create_task(ws.request(10, '{"id": 10}', timeout_s=TIMEOUT_S))
        await until(lambda: '{"id": 10}' in server.received)
        ws.resolve(10, NetworkError("said no"))
        with pytest.raises(NetworkError, match="said no"):
            await waiting


async def test_a_break_ends_the_requests_under_way(server: Server) -> None:
    server.answers = False
    ws = client(server)
    async with running(ws):
        waiting = asyncio.create_task(ws.request(1, '{"id": 1}', timeout_s=TIMEOUT_S))
        await until(lambda: bool(server.received))
        await server.connections[0].close()
        with pytest.raises(ConnectionClosedError, match="before the answer"):
            await waiting


async def test_without_a_connection_nothing_can_be_sent(server: Server) -> None:
    ws = client(server)
    with pytest.raises(ConnectionClosedError, match="not connected"):
        await ws.send("x")
    with pytest.raises(ConnectionClosedError):
        await ws.request(1, "x")


async def test_close_ends_run_even_during_a_backoff(server: Server) -> None:
    server.refuse_with = 500
    ws = client(server, backoff=Backoff(first_s=3600.0, max_s=3600.0, uniform=lambda low, high: high))
    async with asyncio.timeout(TIMEOUT_S), running(ws, live=False) as task:
        await until(lambda: server.attempts == 1 and ws.last_error is not None)
    assert task.done()


async def test_cancelling_run_closes_the_connection(server: Server) -> None:
    ws = client(server)
    task = asyncio.create_task(ws.run())
    await ws.wait_live(TIMEOUT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.connections[0].closed)
    assert not ws.is_live


async def test_the_backoff_starts_anew_only_after_a_stable_connection(server: Server) -> None:
    clock = FakeClock()
    backoff = Backoff(uniform=lambda low, high: 0.0)
    ws = client(server, clock=clock, backoff=backoff, heartbeat_s=None)
    async with running(ws):
        for n in (1, 2):
            await server.connections[-1].close()
            await until(lambda n=n: backoff.attempts == n)
            await clock.advance(0.0)
            await until(lambda n=n: ws.connections == n + 1)
        await clock.advance(11.0)
        await server.connections[-1].close()
        await until(lambda: backoff.attempts == 1)


async def test_close_ends_run_though_the_connection_takes_the_cancellation_for_its_own_end(server: Server) -> None:
    """As a TaskGroup does whose child fails in that very moment: found by the simulation."""
    ws = client(server, backoff=Backoff(first_s=3600.0, max_s=3600.0, uniform=lambda low, high: high))

    async def swallow_the_cancellation(session: object) -> ConnectionClosedError:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return ConnectionClosedError("broken")

    ws._run_connection = swallow_the_cancellation  # type: ignore[method-assign]
    async with asyncio.timeout(TIMEOUT_S):
        task = asyncio.create_task(ws.run())
        await asyncio.sleep(0.01)
        await ws.close()
        await task
