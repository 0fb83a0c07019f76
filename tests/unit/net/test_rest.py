"""The REST client against real servers on 127.0.0.1: typed errors, time-outs, who is retried, what leaks."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from qtxconn.errors import (
    ConfigurationError,
    ConnectionClosedError,
    MessageError,
    NetworkError,
    NotReadyError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestTimeoutError,
    ThrottledError,
    VenueError,
)
from qtxconn.net.backoff import Backoff
from qtxconn.net.rest import RestClient, RestRequest
from qtxconn.net.throttler import RateLimit, Throttler

from .clocks import FakeClock, SystemClock

SECRET = "do-not-show-me"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def parse_error(status: int, body: bytes) -> VenueError:
    kind = {503: OutcomeUnknownError, 429: RateLimitedError, 418: RateLimitedError}.get(status, VenueError)
    return kind(body.decode() or "no text", code=-1, http_status=status)


def sign(request: RestRequest) -> RestRequest:
    query = f"{request.query}&signature={SECRET}"
    return RestRequest(request.method, request.path, query, {"X-KEY": SECRET}, request.body)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that does as it likes with the bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def client(url: str, **options: object) -> RestClient:
    options.setdefault("clock", SystemClock())
    options.setdefault("parse_error", parse_error)
    options.setdefault("backoff", lambda: Backoff(uniform=lambda low, high: 0.0))
    return RestClient(url, **options)  # type: ignore[arg-type]


async def test_an_answer_is_decoded_and_the_query_goes_out_exactly_as_signed() -> None:
    async def echo(request: web.Request) -> web.Response:
        answer = {
            "query": request.raw_path,
            "body": (await request.read()).decode(),
            "key": request.headers["X-KEY"],
        }
        return web.Response(body=orjson.dumps(answer), headers={"X-Used": "7"})

    seen: list[str] = []
    async with (
        serving(echo) as url,
        client(url, on_headers=lambda headers, _: seen.append(headers["X-Used"])) as rest,
    ):
        answer = await rest.request("POST", "/a", params={"b": "x y+z/:", "a": "ü"}, json={"n": 1}, auth=sign)
    assert answer["query"] == f"/a?b=x+y%2Bz%2F%3A&a=%C3%BC&signature={SECRET}"
    assert answer["body"] == '{"n":1}'
    assert answer["key"] == SECRET
    assert seen == ["7"]


async def test_every_attempt_is_signed_anew() -> None:
    stamps: list[str] = []

    async def fail_twice(request: web.Request) -> web.Response:
        stamps.append(request.query["timestamp"])
        return web.Response(status=503 if len(stamps) < 3 else 200, body=b"{}")

    count = iter(range(10))

    def stamp(request: RestRequest) -> RestRequest:
        return RestRequest(request.method, request.path, f"timestamp={next(count)}")

    async with serving(fail_twice) as url, client(url) as rest:
        await rest.request("GET", "/", auth=stamp)
    assert stamps == ["0", "1", "2"]


@pytest.mark.parametrize(("method", "is_read", "sent"), [("GET", None, 4), ("POST", None, 1), ("POST", True, 4)])
async def test_reads_are_repeated_and_bounded_and_orders_are_sent_once(
    method: str, is_read: bool | None, sent: int
) -> None:
    calls = 0

    async def unavailable(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.Response(status=503, text="Unknown error")

    async with serving(unavailable) as url, client(url) as rest:
        with pytest.raises(OutcomeUnknownError) as error:
            await rest.request(method, "/order", is_read=is_read)
    assert calls == sent
    assert error.value.http_status == 503


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_an_order_is_not_repeated_when_a_kept_connection_turns_out_dead(method: str) -> None:
    requests = 0

    async def answer_then_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while await reader.readuntil(b"\r\n\r\n"):
            requests += 1
            if requests == 2:
                return  # closed after the order was received: it may have been carried out
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with raw_server(answer_then_hang_up) as url, client(url) as rest:
        await rest.request("POST", "/first")
        with pytest.raises(ConnectionClosedError):
            await rest.request(method, "/order", auth=sign)
    assert requests == 2


async def test_no_answer_ends_in_a_timeout() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client gives up

    async with raw_server(silent) as url, client(url) as rest:
        with pytest.raises(RequestTimeoutError, match=r"^POST /order: no answer within 0.2 s$"):
            await rest.request("POST", "/order", timeout_s=0.2)


async def test_half_an_answer_is_a_closed_connection() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"orderId"')
        await writer.drain()

    async with raw_server(half) as url, client(url) as rest:
        with pytest.raises(ConnectionClosedError):
            await rest.request("POST", "/order")


async def test_a_half_closed_connection_that_never_answers_times_out_or_closes() -> None:
    async def half_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        await reader.read()

    async with raw_server(half_close) as url, client(url) as rest:
        with pytest.raises(NetworkError):
            await rest.request("POST", "/order", timeout_s=1.0)


async def test_garbage_instead_of_http_is_a_network_error() -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\x01\x02 not http at all\r\n\r\n")
        await writer.drain()

    async with raw_server(garbage) as url, client(url) as rest:
        with pytest.raises(NetworkError) as error:
            await rest.request("POST", "/order", params={"a": "1"}, auth=sign)
    assert SECRET not in "".join(traceback.format_exception(error.value))


async def test_nobody_listening_names_host_and_port() -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with client(f"http://127.0.0.1:{port}") as rest:
        with pytest.raises(NetworkError, match=rf"cannot connect to 127\.0\.0\.1:{port}"):
            await rest.request("POST", "/order")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "fapi.binance.com", "", "ws://127.0.0.1"])
async def test_a_url_without_its_scheme_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"rest_url: .*must begin with http"):
        client(url)


async def test_a_certificate_that_cannot_be_verified_is_refused() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)  # speaks no TLS

    async with raw_server(plain) as url, client(url.replace("http:", "https:")) as rest:
        with pytest.raises(NetworkError):
            await rest.request("POST", "/order", timeout_s=1.0)


async def test_an_answer_that_is_not_json_is_a_message_error() -> None:
    async def html(request: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async with serving(html) as url, client(url) as rest:
        with pytest.raises(MessageError, match="not JSON"):
            await rest.request("GET", "/")


async def test_a_redirect_is_not_followed() -> None:
    async def away(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with serving(away) as url, client(url) as rest:
        with pytest.raises(VenueError) as error:
            await rest.request("GET", "/")
    assert error.value.http_status == 302


async def test_after_429_nothing_is_sent_before_retry_after() -> None:
    arrivals: list[int] = []
    clock = FakeClock()

    async def limited(request: web.Request) -> web.Response:
        arrivals.append(clock.monotonic_ns())
        if len(arrivals) == 1:
            return web.Response(status=429, text="slow down", headers={"Retry-After": "5"})
        return web.Response(body=b"{}")

    throttler = Throttler([RateLimit("ip", 100, 60.0)], clock)
    async with serving(limited) as url, client(url, clock=clock, throttler=throttler) as rest:
        with pytest.raises(RateLimitedError) as error:
            await rest.request("POST", "/order", weights={"ip": 1})
        assert error.value.retry_after == 5.0
        cancel = asyncio.create_task(rest.request("DELETE", "/order", weights={"ip": 1}, priority=True))
        await clock.advance(4.999)
        assert not cancel.done()
        await clock.advance(0.001)
        assert await cancel == {}
    assert arrivals[1] - arrivals[0] >= 5_000_000_000


async def test_during_a_long_ban_a_request_is_refused_not_queued() -> None:
    calls = 0

    async def banned(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        return web.Response(status=418, text="banned", headers={"Retry-After": "120"})

    clock = FakeClock()
    throttler = Throttler([RateLimit("ip", 100, 60.0)], clock)
    async with serving(banned) as url, client(url, clock=clock, throttler=throttler) as rest:
        with pytest.raises(RateLimitedError):
            await rest.request("GET", "/")  # a read, but nobody waits two minutes for it
        with pytest.raises(ThrottledError, match="not sent"):
            await rest.request("POST", "/order", weights={"ip": 1})
    assert calls == 1


async def test_a_read_waits_for_a_short_retry_after() -> None:
    calls = 0
    arrived = asyncio.Event()

    async def limited(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        arrived.set()
        return web.Response(status=429 if calls == 1 else 200, body=b"{}", headers={"Retry-After": "2"})

    clock = FakeClock()
    async with serving(limited) as url, client(url, clock=clock) as rest:
        read = asyncio.create_task(rest.request("GET", "/"))
        await arrived.wait()
        await clock.until_sleeping()
        await clock.advance(1.9)
        assert calls == 1
        await clock.advance(0.1)
        assert await read == {}


async def test_before_start_and_after_close_requests_say_so() -> None:
    rest = client("http://127.0.0.1:1")
    with pytest.raises(NotReadyError, match="connect first"):
        await rest.request("GET", "/x")
    await rest.start()
    await rest.close()
    await rest.close()
    with pytest.raises(NotReadyError):
        await rest.request("POST", "/x")


async def test_no_secret_in_any_repr_log_or_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def unavailable(request: web.Request) -> web.Response:
        return web.Response(status=503, text="busy")

    request = sign(RestRequest("POST", "/order", "price=1", body=SECRET.encode()))
    assert SECRET not in repr(request) + str(request)
    shown = []
    async with serving(unavailable) as url, client(url) as rest:
        for method in ("GET", "POST"):
            with pytest.raises(OutcomeUnknownError) as error:
                await rest.request(method, "/order", auth=sign)
            shown.append("".join(traceback.format_exception(error.value)))
    async with raw_server(lambda reader, writer: reader.readuntil(b"\r\n\r\n")) as url, client(url) as rest:
        with pytest.raises(NetworkError) as broken:
            await rest.request("POST", "/order", auth=sign)
    shown.append("".join(traceback.format_exception(broken.value)))
    assert broken.value.__context__ is None
    assert "trying again" in caplog.text
    assert SECRET not in "".join(shown) + caplog.text
