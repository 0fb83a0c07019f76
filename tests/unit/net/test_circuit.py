"""The circuit breaker: when it refuses, what closes it, and that cancels always pass."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from qtxconn.core.clock import Clock
from qtxconn.errors import CircuitOpenError, NetworkError, OutcomeUnknownError, VenueError
from qtxconn.net.circuit import CircuitBreaker
from qtxconn.net.rest import RestClient


class StepClock(Clock):
    def __init__(self) -> None:
        self.time_ns = 0

    def monotonic_ns(self) -> int:
        return self.time_ns

    async def sleep(self, seconds: float) -> None:
        self.time_ns += int(seconds * 1e9)


async def answered() -> str:
    return "answer"


async def unreachable() -> str:
    raise NetworkError("no")


async def fail(circuit: CircuitBreaker, times: int, *, priority: bool = False) -> None:
    for _ in range(times):
        with pytest.raises(NetworkError):
            await circuit.run(unreachable, priority=priority)


async def test_it_opens_after_failures_in_a_row_and_closes_by_a_probe() -> None:
    clock = StepClock()
    circuit = CircuitBreaker("write", clock, failures_max=3, open_s=2.0)
    await fail(circuit, 2)
    assert await circuit.run(answered) == "answer"  # in a row is what counts
    await fail(circuit, 3)
    with pytest.raises(CircuitOpenError, match=r"3 times in a row.*2\.0 s") as caught:
        await circuit.run(answered)
    assert caught.value.retry_after == 2.0
    clock.time_ns += 2_000_000_000
    await fail(circuit, 1)  # the probe
    with pytest.raises(CircuitOpenError):
        await circuit.run(answered)
    clock.time_ns += 2_000_000_000
    assert await circuit.run(answered) == "answer"
    assert not circuit.is_open


async def test_one_probe_at_a_time_and_one_that_was_given_up_says_nothing() -> None:
    clock = StepClock()
    circuit = CircuitBreaker("write", clock, failures_max=3, open_s=2.0)
    await fail(circuit, 3)
    clock.time_ns += 2_000_000_000
    probe = asyncio.create_task(circuit.run(asyncio.Event().wait))
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpenError):
        await circuit.run(answered)
    await circuit.run(answered, priority=True)  # its end is not the probe's
    with pytest.raises(CircuitOpenError):
        await circuit.run(answered)
    probe.cancel()
    await asyncio.wait([probe])
    assert circuit.is_open
    assert await circuit.run(answered) == "answer"


async def test_priority_requests_count_probe_and_always_pass() -> None:
    clock = StepClock()
    circuit = CircuitBreaker("write", clock, failures_max=3, open_s=2.0)
    await fail(circuit, 9, priority=True)
    with pytest.raises(CircuitOpenError):
        await circuit.run(answered)
    await circuit.run(answered, priority=True)
    assert circuit.is_open  # what closes it is an ordinary one, which is due at once
    await fail(circuit, 1)
    with pytest.raises(CircuitOpenError):
        await circuit.run(answered)
    await circuit.run(answered, priority=True)
    await circuit.run(answered)
    assert not circuit.is_open
    for _ in range(3):  # a cancel that works does not hide that orders fail
        await fail(circuit, 1)
        await circuit.run(answered, priority=True)
    assert circuit.is_open


async def test_a_failing_venue_gets_cancels_only_until_a_probe_succeeds() -> None:
    asked: list[str] = []
    status = 503

    async def answer(request: web.Request) -> web.Response:
        asked.append(f"{request.method} {request.path}")
        return web.json_response({}, status=status)

    def parse_error(http_status: int, _: bytes) -> VenueError:
        kind = OutcomeUnknownError if http_status >= 500 else VenueError
        return kind("no", http_status=http_status)

    app = web.Application()
    app.router.add_route("*", "/{path}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clock = StepClock()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with RestClient(url, clock=clock, parse_error=parse_error) as client:
            for _ in range(8):
                with pytest.raises(OutcomeUnknownError):
                    await client.request("POST", "/order")
            with pytest.raises(CircuitOpenError):
                await client.request("POST", "/order")
            assert len(asked) == 8
            with pytest.raises(OutcomeUnknownError):
                await client.request("DELETE", "/order", priority=True)
            assert asked[-1] == "DELETE /order"
            status = 200
            await client.request("GET", "/other")  # another class of requests
            clock.time_ns += 2_000_000_000
            assert await client.request("POST", "/order") == {}
            status = 400
            for _ in range(9):  # a refusal is an answer
                with pytest.raises(VenueError):
                    await client.request("POST", "/order")
            assert asked.count("POST /order") == 18
    finally:
        await runner.cleanup()


async def test_a_dead_host_opens_it_too() -> None:
    clock = StepClock()
    async with RestClient("http://127.0.0.1:1", clock=clock, parse_error=lambda *_: VenueError("no")) as client:
        for _ in range(8):
            with pytest.raises(NetworkError):
                await client.request("POST", "/order")
        with pytest.raises(CircuitOpenError):
            await client.request("POST", "/order")
