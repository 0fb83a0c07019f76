"""One WebSocket of the venue: frames written straight to the transport, a slow reader disconnected.

A push is encoded and framed once and the same bytes go to every connection that wants it. Writing needs
no task and no queue: the transport's own buffer is the queue, and its bound is checked at every push, so
a consumer that does not keep up is cut off and never misses a message in silence.
"""

from __future__ import annotations

import asyncio
import struct

from aiohttp import web

# Bytes that may wait for one connection before it is cut off.
BACKLOG_MAX_BYTES = 4 * 1024 * 1024
# The venue pings every three minutes and wants a pong (Binance: within ten).
HEARTBEAT_S = 180.0
# How long a client may take to answer a goodbye.
GOODBYE_S = 1.0
# A client has no reason to send more in one message.
MESSAGE_MAX_BYTES = 256 * 1024

_TEXT_FRAME = 0x81


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame (RFC 6455, section 5.2: what a server sends)."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT_FRAME, size)) + payload
    if size < 65_536:
        return struct.pack("!BBH", _TEXT_FRAME, 126, size) + payload
    return struct.pack("!BBQ", _TEXT_FRAME, 127, size) + payload


class Connection:
    """A prepared server-side WebSocket: `send` for pushes, `messages` for what the client says."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, backlog_max: int) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client went away during the handshake")
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._backlog_max = backlog_max
        self.socket = socket
        self.overflowed = False

    @classmethod
    async def accept(cls, request: web.Request, backlog_max: int = BACKLOG_MAX_BYTES) -> Connection:
        """Answers the handshake. Compression stays off: frames are shared between connections."""
        socket = web.WebSocketResponse(
            timeout=GOODBYE_S, heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_MAX_BYTES, compress=False
        )
        await socket.prepare(request)
        return cls(request, socket, backlog_max)

    def send(self, frame: bytes) -> None:
        """Writes one whole frame, or cuts the connection off when too much is waiting already."""
        transport = self._transport
        if transport.is_closing() or self.socket.closed:
            return
        if transport.get_write_buffer_size() + len(frame) > self._backlog_max:
            self.overflowed = True
            transport.abort()
            return
        transport.write(frame)

    def tear(self, frame: bytes) -> None:
        """Break the connection in the middle of `frame`."""
        if not self._transport.is_closing() and not self.socket.closed:
            self._transport.write(frame[: max(1, len(frame) // 2)])
            self._transport.close()

    def abort(self) -> None:
        """Break the connection without a word."""
        self._transport.abort()
