"""A Retry-After is silence: nothing that was already under way here goes out before it ends; cancels never queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import RateLimitedError, RequestTimeoutError, ThrottledError
from qtxconn.net.rest import RestClient, RestRequest
from qtxconn.net.throttler import RateLimit, Throttler

RETRY_AFTER_S = 1


class Server:
    """The first request is refused with a Retry-After once `refuse` is set; `times` are when requests came."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.refuse = asyncio.Event()
        self.status = 429
        self.runner: web.AppRunner | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.times.append(time.monotonic())
        if len(self.times) > 1 and request.path != "/held":
            return web.json_response({})
        await self.refuse.wait()
        self.times[0] = time.monotonic()  # nothing may come from here on
        return web.json_response({}, status=self.status, headers={"Retry-After": str(RETRY_AFTER_S)})


@asynccontextmanager
async def client_of(server: Server, **options: object) -> AsyncIterator[RestClient]:
    app = web.Application()
    app.router.add_route("*", "/{path}", server.answer)
    runner = server.runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    throttler = Throttler([RateLimit("ip", 1_000, 60.0)], SYSTEM_CLOCK)
    try:
        async with RestClient(
            f"http://127.0.0.1:{runner.addresses[0][1]}",
            clock=SYSTEM_CLOCK,
            parse_error=lambda status, _: RateLimitedError("no", http_status=status),
            throttler=throttler,
            **options,
        ) as client:
            yield client
    finally:
        await runner.cleanup()


def assert_silence(server: Server, requests: int) -> None:
    refused, *later = server.times
    assert len(later) == requests
    assert min(later) - refused >= RETRY_AFTER_S - 0.01


@pytest.mark.parametrize("status", [429, 418])
async def test_requests_that_wait_for_a_connection_wait_for_the_retry_after_too(status: int) -> None:
    server = Server()
    server.status = status
    async with client_of(server, connections_max=1) as client:
        tasks = [asyncio.create_task(client.request("POST", "/order", weights={"ip": 1})) for _ in range(4)]
        while not server.times:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        server.refuse.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [RateLimitedError, dict, dict, dict]
    assert_silence(server, 3)


@pytest.fixture
def connecting(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Every connection but the first takes 0.2 s to be made. Set when that begins."""
    begun, are_slow = asyncio.Event(), False
    create = aiohttp.TCPConnector._create_connection

    async def slowly(*args: object) -> object:
        nonlocal are_slow
        if are_slow:
            begun.set()
            await asyncio.sleep(0.2)
        are_slow = True
        return await create(*args)

    monkeypatch.setattr(aiohttp.TCPConnector, "_create_connection", slowly)
    return begun


async def test_requests_whose_connection_is_being_made_wait_too(connecting: asyncio.Event) -> None:
    server = Server()
    async with client_of(server) as client:
        first = asyncio.create_task(client.request("POST", "/order"))
        while not server.times:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        cancel = asyncio.create_task(client.request("DELETE", "/order", priority=True))
        await connecting.wait()
        server.refuse.set()
        with pytest.raises(RateLimitedError):
            await first
        assert await cancel == {}
    assert_silence(server, 1)


async def test_a_connection_is_closed_whose_request_gives_up_during_the_silence(connecting: asyncio.Event) -> None:
    server = Server()
    async with client_of(server) as client:
        first = asyncio.create_task(client.request("POST", "/order"))
        while not server.times:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        second = asyncio.create_task(client.request("DELETE", "/order", priority=True, timeout_s=0.5))
        await connecting.wait()
        server.refuse.set()
        with pytest.raises(RateLimitedError):
            await first
        with pytest.raises(RequestTimeoutError):
            await second
        async with asyncio.timeout(10.0):  # less than the pool keeps the first one
            while len(server.runner.server.connections) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_silence_that_is_too_long_is_told_instead() -> None:
    server = Server()
    server.refuse.set()
    async with client_of(server, wait_max_s=0.2) as client:
        with pytest.raises(RateLimitedError):
            await client.request("POST", "/order")
        with pytest.raises(ThrottledError):
            await client.request("DELETE", "/order", priority=True)
    assert len(server.times) == 1


async def test_a_cancel_does_not_wait_for_a_connection() -> None:
    server = Server()
    async with client_of(server, connections_max=2, wait_max_s=0.3) as client:
        tasks = [asyncio.create_task(client.request("POST", "/held")) for _ in range(5)]
        while len(server.times) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert await client.request("DELETE", "/order", priority=True) == {}
        while sum(task.done() for task in tasks) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(result, ThrottledError) for result in results) == 3  # the others have waited long enough
        assert len(server.times) == 3


async def test_a_request_is_signed_when_it_is_sent() -> None:
    server, signed = Server(), []

    def sign(request: RestRequest) -> RestRequest:
        signed.append(request.path)
        return request

    async with client_of(server, connections_max=1) as client:
        held = asyncio.create_task(client.request("POST", "/held", auth=sign))
        waiting = asyncio.create_task(client.request("POST", "/order", auth=sign))
        while not server.times:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert await client.request("DELETE", "/order", auth=sign, priority=True) == {}
        assert signed == ["/held", "/order"]  # the cancel, not the order that waits
        held.cancel()
        assert await waiting == {}
        assert len(signed) == 3
