"""The fault script at work on the Binance dialect: in front of REST, the WebSocket API and the streams."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from qtxconn.sim.binance.connections import Connection, text_frame
from qtxconn.sim.faults import FaultRule, FaultScript, RequestFault, StreamFault
from qtxconn.sim.model import NS_PER_MS

if TYPE_CHECKING:
    from qtxconn.sim.model import VenueClock

BOMB_BYTES = 64 * 1024 * 1024
LOST_S = 60.0
"""How long a request that gets no answer is held: longer than clients wait."""
_HTML = "<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway</body></html>"
_BEFORE = frozenset(
    {
        RequestFault.REFUSED,
        RequestFault.LOST_REQUEST,
        RequestFault.RESET_BEFORE,
        RequestFault.ERROR_BEFORE,
        RequestFault.RATE_LIMITED,
        RequestFault.BANNED,
        RequestFault.HTML,
        RequestFault.GZIP_BOMB,
    }
)
_RESETS = frozenset({RequestFault.REFUSED, RequestFault.RESET_BEFORE, RequestFault.RESET_AFTER})
_ERRORS = frozenset({RequestFault.ERROR_BEFORE, RequestFault.ERROR_AFTER})


class SkewedClock:
    """The venue's clock as requests are judged by it: off by what the script says."""

    def __init__(self, clock: VenueClock, script: FaultScript) -> None:
        self._clock = clock
        self._script = script

    def now_ns(self) -> int:
        return self._clock.now_ns() + self._script.skew_ns()

    def now_ms(self) -> int:
        return self.now_ns() // NS_PER_MS


class RequestGate:
    """Faults of requests."""

    def __init__(self, script: FaultScript) -> None:
        self._script = script

    async def rest(
        self, request: web.Request, handle: Callable[[web.Request], Awaitable[web.Response]]
    ) -> web.StreamResponse:
        """Serve `request` by `handle`, or not, as the script says."""
        if self._script.spares_requests:
            return await handle(request)
        rule = self._script.request(f"{request.method} {request.path}")
        if rule is None:
            return await handle(request)
        fault, answer = rule.fault, None
        if fault in (RequestFault.LATE, RequestFault.RESET_THEN_LATE):
            await request.read()
            if fault is RequestFault.RESET_THEN_LATE:
                _abort(request)
            await asyncio.sleep(rule.delay_s)
        if fault not in _BEFORE:
            answer = await handle(request)
        if fault is RequestFault.SLOW_ANSWER:
            await asyncio.sleep(rule.delay_s)
        if fault in (RequestFault.LOST_REQUEST, RequestFault.LOST_ANSWER):
            await asyncio.sleep(LOST_S)
        if fault in _RESETS or fault in (RequestFault.LOST_REQUEST, RequestFault.LOST_ANSWER):
            return _abort(request)
        if fault is RequestFault.TORN:
            return await _tear(request, answer)
        if fault is RequestFault.UNKNOWN_FIELDS and answer is not None:
            return web.Response(
                status=answer.status,
                body=_with_unknown_fields(answer.body),
                headers=answer.headers,
            )
        if fault is RequestFault.GZIP_BOMB:
            headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            return web.Response(body=_gzip_bomb(), headers=headers)
        if fault is RequestFault.HTML:
            return web.Response(text=_HTML, content_type="text/html")
        if fault is RequestFault.RATE_LIMITED or fault is RequestFault.BANNED:
            status, body = _limit_error(rule)
            return _error_response(status, body, {"Retry-After": str(rule.retry_after_s)})
        if fault in _ERRORS:
            return _error_response(rule.status, {"code": rule.code, "msg": rule.message}, {})
        return answer

    async def websocket(self, connection: Connection, data: str | bytes, answer: Callable[[], bytes]) -> None:
        """Serve one message of the WebSocket API: `answer` carries it out and gives the reply."""
        rule = None if self._script.spares_requests else self._script.request(_ws_name(data))
        if rule is None:
            connection.send(text_frame(answer()))
            return
        fault, reply = rule.fault, b""
        if fault is RequestFault.RESET_THEN_LATE:
            connection.abort()
        if fault in (RequestFault.LATE, RequestFault.RESET_THEN_LATE):
            await asyncio.sleep(rule.delay_s)
        if fault not in _BEFORE:
            reply = answer()
        if fault is RequestFault.SLOW_ANSWER:
            await asyncio.sleep(rule.delay_s)
        if fault in _RESETS:
            connection.abort()
        elif fault is RequestFault.TORN:
            connection.tear(text_frame(reply))
        elif fault is RequestFault.UNKNOWN_FIELDS:
            connection.send(text_frame(_with_unknown_fields(reply)))
        elif fault is RequestFault.HTML:
            connection.send(text_frame(_HTML.encode()))
        elif fault in (RequestFault.RATE_LIMITED, RequestFault.BANNED):
            status, body = _limit_error(rule)
            body["data"] = retry_data(self._script.time_ms, rule.retry_after_s)
            connection.send(text_frame(_ws_error(data, status, body)))
        elif fault in _ERRORS:
            body = {"code": rule.code, "msg": rule.message}
            connection.send(text_frame(_ws_error(data, rule.status, body)))
        elif fault in (RequestFault.LATE, RequestFault.SLOW_ANSWER):
            connection.send(text_frame(reply))
        # A lost request or answer, and a bomb, which only HTTP can carry: silence, and the connection lives on.


class StreamGate:
    """Faults of pushes. `deliver(name, event, torn)` sends one to everybody who listens."""

    def __init__(self, script: FaultScript, deliver: Callable[[str, Any, bool], None]) -> None:
        self._script = script
        self._deliver = deliver
        self._held: dict[str, Any] = {}  # overtaken by the next message of their stream
        self._stalled: dict[str, list[Any]] = {}

    def push(self, name: str, event: Any, is_private: bool) -> None:
        """Deliver `event` on the stream `name`, or not, twice, later, or torn."""
        if self._script.spares_messages and not self._held and not self._stalled:
            self._deliver(name, event, False)
            return
        if (waiting := self._stalled.get(name)) is not None:
            waiting.append(event)
            return
        kind = event["e"] if isinstance(event, dict) else "list"
        rule = self._script.message(f"user {kind}" if is_private else f"stream {name}")
        fault = rule.fault if rule else StreamFault.NONE
        if fault is StreamFault.LOST:
            return
        if rule and fault is StreamFault.STALL:
            self._stalled[name] = [event]
            asyncio.get_running_loop().call_later(rule.delay_s, self._resume, name)
            return
        if rule and fault is StreamFault.REORDER and name not in self._held:
            self._held[name] = event
            asyncio.get_running_loop().call_later(rule.delay_s, self._release, name, event)
            return
        self._deliver(name, event, fault is StreamFault.BREAK)
        if fault is StreamFault.DUPLICATE:
            self._deliver(name, event, False)
        if name in self._held:
            self._deliver(name, self._held.pop(name), False)

    def _release(self, name: str, event: Any) -> None:
        if self._held.get(name) is event:
            self._deliver(name, self._held.pop(name), False)

    def _resume(self, name: str) -> None:
        for event in self._stalled.pop(name):
            self._deliver(name, event, False)


def _ws_name(data: str | bytes) -> str:
    try:
        request = orjson.loads(data)
    except orjson.JSONDecodeError:
        return "ws"
    return f"ws {request.get('method')}" if isinstance(request, dict) else "ws"


def _with_unknown_fields(body: Any) -> bytes:
    """The JSON text `body` with a field nobody has heard of in its outermost objects."""
    value = orjson.loads(body)
    unknown = {"unheardOf": [{"of": 1}]}
    if isinstance(value, dict):
        value |= unknown
    elif isinstance(value, list):
        value = [row | unknown if isinstance(row, dict) else row for row in value]
    return orjson.dumps(value)


@cache
def _gzip_bomb() -> bytes:
    return gzip.compress(b" " * BOMB_BYTES)


def _limit_error(rule: FaultRule) -> tuple[int, dict[str, Any]]:
    if rule.fault is RequestFault.BANNED:
        return 418, {"code": -1003, "msg": "Way too many requests; IP banned."}
    return 429, {"code": -1003, "msg": "Too many requests."}


def retry_data(now_ms: int, retry_after_s: int) -> dict[str, int]:
    """What the WebSocket API says in place of HTTP's Retry-After, ms since 1970."""
    return {"serverTime": now_ms, "retryAfter": now_ms + retry_after_s * 1000}


def _ws_error(data: str | bytes, status: int, body: dict[str, Any]) -> bytes:
    try:
        request = orjson.loads(data)
    except orjson.JSONDecodeError:
        request = None
    request_id = request.get("id") if isinstance(request, dict) else None
    return orjson.dumps({"id": request_id, "status": status, "error": body})


def _error_response(status: int, body: dict[str, Any], headers: dict[str, str]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(body), headers=headers, content_type="application/json")


def _abort(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # written to a connection that is gone


async def _tear(request: web.Request, answer: web.Response | None) -> web.StreamResponse:
    """Half of the answer, then the end of the connection."""
    body = answer.body if answer is not None and isinstance(answer.body, bytes) else b"{}"
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(body))})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
