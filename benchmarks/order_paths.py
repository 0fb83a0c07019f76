"""The order paths of the Binance connector side by side: place and cancel on the embedded venue, in another process."""

from __future__ import annotations

import asyncio
import base64
import hmac
import importlib.util
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from benchmarks.harness import Bench, Goal, Job, Row, Sample
from benchmarks.harness.jobs import BenchError
from qtxconn.exchanges.binance import constants
from qtxconn.exchanges.binance.auth import BinanceAuth
from qtxconn.exchanges.binance.perpetual import BinancePerpetual
from qtxconn.net.rest import RestRequest
from qtxconn.sim.launch import VenueProcess

RAW, AIOHTTP = "REST, blocking socket", "REST, aiohttp and hmac.new"
REST, SIGNED, SESSION = "REST", "WebSocket, HMAC each", "WebSocket, Ed25519 session"
HMAC_NEW, HMAC_COPY, OURS = "hmac.new", "hmac copied", "qtxconn"
KEY, SECRET, SESSION_KEY = "bench-key", "bench-secret", "bench-session-key"
ORDER = {
    "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTX", "quantity": "0.002", "price": "58000.0",
    "newOrderRespType": "ACK",
}  # fmt: skip
PAYLOAD = b"&".join(f"{key}={value}".encode() for key, value in ORDER.items()) + b"&timestamp=1645423376532"
_HEADER_END = b"\r\n\r\n"


def params(number: int) -> tuple[dict[str, str], dict[str, str]]:
    """Of an order, and of its cancel."""
    client_id = f"bench-{time.monotonic_ns()}-{number}"
    return ORDER | {"newClientOrderId": client_id}, {"symbol": ORDER["symbol"], "origClientOrderId": client_id}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def over_socket(url: str, count: int) -> Sample:
    """What HTTP costs without a client library: one kept connection, no event loop."""
    address, auth, taken = urlsplit(url), BinanceAuth(KEY, SECRET, now_ms, 5_000), []
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask(method: str, query: dict[str, str]) -> Any:
            text = "&".join(f"{key}={value}" for key, value in query.items())
            signed = auth.sign(RestRequest(method, "/fapi/v1/order", text))
            head = (
                f"{method} {signed.path}?{signed.query} HTTP/1.1\r\nHost: {address.netloc}\r\nX-MBX-APIKEY: {KEY}\r\n"
            )
            connection.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
            answer = connection.recv(65_536)
            while _HEADER_END not in answer:
                answer += connection.recv(65_536)
            header, _, body = answer.partition(_HEADER_END)
            length = int(header.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            while len(body) < length:
                body += connection.recv(65_536)
            return checked(orjson.loads(body))

        for number in range(count):
            order, cancel = params(number)
            start = time.perf_counter_ns()
            ask("POST", order)
            ask("DELETE", cancel)
            taken.append(time.perf_counter_ns() - start)
    return Sample.of_durations(taken)


async def over_aiohttp(url: str, count: int) -> Sample:
    """What a user would write."""
    taken = []
    async with aiohttp.ClientSession(headers={"X-MBX-APIKEY": KEY}) as session:

        async def ask(method: str, query: dict[str, str]) -> Any:
            text = "&".join(f"{key}={value}" for key, value in query.items()) + f"&timestamp={now_ms()}"
            signature = hmac.new(SECRET.encode(), text.encode(), sha256).hexdigest()
            async with session.request(method, f"{url}/fapi/v1/order?{text}&signature={signature}") as answer:
                return checked(orjson.loads(await answer.read()))

        for number in range(count):
            order, cancel = params(number)
            start = time.perf_counter_ns()
            await ask("POST", order)
            await ask("DELETE", cancel)
            taken.append(time.perf_counter_ns() - start)
    return Sample.of_durations(taken)


def checked(answer: Any) -> Any:
    if "orderId" not in answer:
        raise BenchError(f"the venue refused: {answer}")
    return answer


async def over_connector(exchange: BinancePerpetual, count: int) -> Sample:
    """The connector's own way: throttler, circuit breaker, signature, answer read."""
    taken = []
    for number in range(count):
        order, cancel = params(number)
        start = time.perf_counter_ns()
        await exchange._request_order(constants.PLACE_ORDER, order)
        await exchange._request_order(constants.CANCEL_ORDER, cancel)
        taken.append(time.perf_counter_ns() - start)
    return Sample.of_durations(taken)


def make_private_key() -> tuple[str, str]:
    """An Ed25519 key as PEM, and its public half in base64."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes(form.Encoding.Raw, form.PublicFormat.Raw)
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    return pem.decode(), base64.b64encode(raw).decode()


@contextmanager
def order_paths(bench: Bench) -> Iterator[list[Row]]:
    count = bench.scaled(200, quick=10)
    accounts = ["--account", f"{KEY}:{SECRET}"]
    secrets = {REST: (KEY, SECRET), SIGNED: (KEY, SECRET)}
    if importlib.util.find_spec("cryptography") is not None:
        private, public = make_private_key()
        accounts += ["--account", f"{SESSION_KEY}:ed25519={public}"]
        secrets[SESSION] = SESSION_KEY, private
    # The venue allows a hundred times of what Binance does.
    limits = [rate._replace(limit=100 * rate.limit) for rate in constants.RATE_LIMITS]
    with asyncio.Runner() as runner:
        venue = VenueProcess(["--speak", "binance", *accounts])
        runner.run(venue.__aenter__())
        urls = {
            f"{name}_url": venue.endpoints[name]
            for name in ("rest", "ws_public", "ws_market", "ws_private", "ws_trade")
        }
        exchanges: dict[str, BinancePerpetual] = {}
        try:
            for name, (key, secret) in secrets.items():
                path = "rest" if name == REST else "websocket"
                exchanges[name] = BinancePerpetual(key, secret, [], order_path=path, rate_limits=limits, **urls)
                runner.run(exchanges[name].connect())

            def through(name: str) -> Callable[[], Sample]:
                return lambda: runner.run(over_connector(exchanges[name], count))

            rest_url = venue.endpoints["rest"]
            yield [
                Row.limit(RAW, lambda: over_socket(rest_url, count)),
                Row.peer(AIOHTTP, lambda: runner.run(over_aiohttp(rest_url, count))),
                Row.ours(REST, through(REST)),
                Row.ours(SIGNED, through(SIGNED), against=REST),
                Row.ours(SESSION, through(SESSION), against=REST, needs="cryptography"),
            ]
        finally:
            for exchange in exchanges.values():
                runner.run(exchange.disconnect())
            runner.run(venue.__aexit__(None, None, None))


@contextmanager
def signatures(bench: Bench) -> Iterator[list[Row]]:
    count, secret = bench.scaled(50_000, quick=1_000), SECRET.encode()
    keyed = hmac.new(secret, digestmod=sha256)

    def copied(payload: bytes) -> str:
        mac = keyed.copy()
        mac.update(payload)
        return mac.hexdigest()

    def timed(sign: Callable[[bytes], str]) -> Callable[[], Sample]:
        def run() -> Sample:
            start = time.perf_counter_ns()
            for _ in range(count):
                signature = sign(PAYLOAD)
            return Sample((time.perf_counter_ns() - start) / count, signature)

        return run

    auth = BinanceAuth(KEY, SECRET, now_ms, 5_000)
    yield [
        Row.peer(HMAC_NEW, timed(lambda payload: hmac.new(secret, payload, sha256).hexdigest())),
        Row.peer(HMAC_COPY, timed(copied)),
        Row.ours(OURS, timed(auth._signer)),
    ]


JOBS = (
    Job(
        "order-paths",
        "How long do placing and cancelling an order take, over REST and over the WebSocket API?",
        "ns/order",
        order_paths,
        goals=(Goal(REST, AIOHTTP, at_most=1.2), Goal(SIGNED, REST, at_most=1.0), Goal(SESSION, REST, at_most=1.0)),
    ),
    Job(
        "order-signature",
        "What does an HMAC signature cost?",
        "ns/signature",
        signatures,
        goals=(Goal(OURS, HMAC_NEW, faster=1.5),),
    ),
)
