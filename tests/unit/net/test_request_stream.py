"""Requests over a WebSocket: limits, circuit breaker, sessions and refused handshakes, against a scripted server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import web

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import (
    AuthenticationError,
    CircuitOpenError,
    NotReadyError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestTimeoutError,
    TimestampError,
    VenueError,
)
from qtxconn.net.request_stream import RequestStream, StreamAnswer
from qtxconn.net.throttler import RateLimit, Throttler

ERRORS = {"auth": AuthenticationError, "time": TimestampError, "limit": RateLimitedError, "other": VenueError}
Handle = Callable[[dict[str, Any]], dict[str, Any] | str | None]


class Server:
    """Answers each request with what `handle` makes of it (None: not at all; a text: as it is); notes what it gets."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.handshakes: list[float] = []
        self.refusals = 0  # handshakes still to be refused, with a Retry-After of 1 s
        self.handle: Handle = lambda request: {"result": request["method"]}

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.handshakes.append(time.monotonic())
        if self.refusals:
            self.refusals -= 1
            return web.Response(status=429, headers={"Retry-After": "1"})
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            body = orjson.loads(message.data)
            self.requests.append(body)
            answer = self.handle(body)
            if isinstance(answer, str):
                await socket.send_str(answer)
            elif answer is not None:
                await socket.send_bytes(orjson.dumps({"id": body["id"]} | answer))
        return socket


def build(request_id: str, method: str, params: Any, in_session: bool) -> str:
    return orjson.dumps({"id": request_id, "method": method, "signed": not in_session}).decode()


def parse(data: str | bytes) -> StreamAnswer:
    answer = orjson.loads(data)
    result = ERRORS[answer["error"]]("no") if "error" in answer else answer["result"]
    return StreamAnswer(answer["id"], result, answer.get("used", {}))


@asynccontextmanager
async def running(server: Server, *, wait: bool = True, **options: Any) -> AsyncIterator[RequestStream]:
    app = web.Application()
    app.router.add_get("/", server.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    throttler = Throttler([RateLimit("pool", 100, 60.0)], SYSTEM_CLOCK)
    stream = RequestStream(
        f"ws://127.0.0.1:{runner.addresses[0][1]}/",
        clock=SYSTEM_CLOCK,
        build_request=build,
        parse_answer=parse,
        **{"throttler": throttler, "on_timestamp_error": _nothing} | options,
    )
    task = asyncio.create_task(stream.run())
    try:
        if wait:
            await stream.wait_live(10.0)
        yield stream
    finally:
        await stream.close()
        await task
        await runner.cleanup()


async def _nothing() -> None:
    pass


async def ask(stream: RequestStream, method: str = "place", **options: Any) -> Any:
    return await stream.request(method, {}, weights={"pool": 1}, **options)


async def test_handshake_logon_and_requests_are_counted() -> None:
    server, throttler = Server(), Throttler([RateLimit("pool", 100, 60.0)], SYSTEM_CLOCK)
    weights = {"handshake_weights": {"pool": 5}, "logon_weights": {"pool": 2}}
    async with running(server, throttler=throttler, logon_method="logon", **weights) as stream:
        assert await ask(stream) == "place"
        assert throttler.used("pool") == 8
        assert [(body["method"], body["signed"]) for body in server.requests] == [("logon", True), ("place", False)]


async def test_without_a_logon_each_request_is_signed() -> None:
    async with running(server := Server()) as stream:
        await ask(stream)
        server.handle = lambda _: {"error": "auth"}
        with pytest.raises(AuthenticationError):
            await ask(stream)
        assert [body["signed"] for body in server.requests] == [True, True]  # and not sent again


async def test_requests_that_find_the_session_ended_log_on_once_and_are_sent_again() -> None:
    sessions = 0

    def handle(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal sessions
        sessions += body["method"] == "logon"
        return {"result": body["method"]} if sessions != 1 or body["method"] == "logon" else {"error": "auth"}

    server = Server()
    server.handle = handle
    async with running(server, logon_method="logon") as stream:
        assert await asyncio.gather(*(ask(stream) for _ in range(4))) == ["place"] * 4
        assert sessions == stream.logons == 2


async def test_a_refused_logon_is_told_at_once() -> None:
    server = Server()
    server.handle = lambda _: {"error": "auth"}
    async with running(server, wait=False, logon_method="logon") as stream:
        with pytest.raises(AuthenticationError):
            await stream.wait_live(10.0)
        assert not stream.is_live
        with pytest.raises(NotReadyError):
            await ask(stream)
        assert {body["method"] for body in server.requests} == {"logon"}


async def test_a_stream_that_does_not_answer_is_left_alone_until_a_probe_is_due() -> None:
    server = Server()
    async with running(server, timeout_s=0.02) as stream:
        server.handle = lambda _: None
        for _ in range(8):
            with pytest.raises(RequestTimeoutError):
                await ask(stream)
        for priority in (False, True):  # who has another way takes it, cancels too
            with pytest.raises(CircuitOpenError):
                await ask(stream, priority=priority)
        assert len(server.requests) == 8


async def test_refusals_are_answers() -> None:
    server = Server()
    server.handle = lambda _: {"error": "other"}
    async with running(server) as stream:
        for _ in range(9):
            with pytest.raises(VenueError):
                await ask(stream)
        assert len(server.requests) == 9


async def test_time_is_synchronised_before_the_error_is_raised() -> None:
    synced: list[int] = []

    async def sync() -> None:
        synced.append(1)

    server, on_timestamp_error = Server(), sync
    server.handle = lambda _: {"error": "time"}
    async with running(server, on_timestamp_error=on_timestamp_error) as stream:
        with pytest.raises(TimestampError):
            await ask(stream)
        assert synced == [1]


@pytest.mark.parametrize("refusals", [1, 2])
async def test_a_cancel_that_is_refused_for_its_timestamp_is_repeated_once(refusals: int) -> None:
    told: list[str] = []

    async def sync() -> None:
        told.append("sync")

    def handle(body: dict[str, Any]) -> dict[str, Any]:
        told.append(body["method"])
        return {"error": "time"} if told.count("cancel") <= refusals else {"result": "done"}

    server = Server()
    server.handle = handle
    async with running(server, on_timestamp_error=sync) as stream:
        if refusals == 1:
            assert await ask(stream, "cancel", priority=True) == "done"
            assert told == ["cancel", "sync", "cancel"]
        else:
            with pytest.raises(TimestampError):
                await ask(stream, "cancel", priority=True)
            assert told == ["cancel", "sync"] * 2


async def test_a_rate_limit_answer_holds_back_everything_that_follows() -> None:
    throttler = Throttler([RateLimit("pool", 100, 60.0)], SYSTEM_CLOCK)
    server = Server()
    async with running(server, throttler=throttler, wait_max_s=5.0) as stream:
        server.handle = lambda _: {"error": "limit"}
        with pytest.raises(RateLimitedError):
            await ask(stream)
        server.handle = lambda body: {"result": body["method"]}
        refused_at = time.monotonic()
        await ask(stream, priority=True)
        assert time.monotonic() - refused_at >= 0.99  # the default, for it did not say how long


async def test_a_refused_handshake_is_repeated_after_its_retry_after_only() -> None:
    server = Server()
    server.refusals = 2
    async with running(server, handshake_weights={"pool": 5}) as stream:
        assert await ask(stream) == "place"
    first, second, third = server.handshakes
    assert second - first >= 0.99
    assert third - second >= 0.99


@pytest.mark.parametrize("frame", ["<html>", '{"id":null,"error":"other"}', "[]"], ids=["html", "no id", "list"])
async def test_an_answer_that_cannot_be_read_leaves_nobody_waiting(frame: str) -> None:
    server = Server()
    async with running(server, timeout_s=60.0) as stream:
        server.handle = lambda request: frame if request["method"] == "last" else None
        waiting = [asyncio.ensure_future(stream.request(name, {}, weights={})) for name in ("first", "last")]
        async with asyncio.timeout(20.0):
            answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [OutcomeUnknownError] * 2  # also of a refusal: whose was it?
        server.handle = lambda request: {"result": request["method"]}
        assert await stream.request("next", {}, weights={}) == "next"  # on the same connection
        assert len(server.handshakes) == 1
