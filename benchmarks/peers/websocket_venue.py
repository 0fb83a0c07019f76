"""A venue that sends WebSocket frames when they are due, whether or not the client keeps up. Needs no package.

    python websocket_venue.py RATE COUNT CPU

It prints its port, serves one client, and ends when the client closes. Each message begins with the monotonic time (ns)
at which it was due.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import struct
import sys
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
START_NS = 100_000_000
MONOTONIC_DIGITS = 19
ORDER = {
    "s": "BTCUSDT", "c": "1234567890123456789", "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "0.002", "p": "60000.10",
    "ap": "60000.10", "sp": "0", "x": "TRADE", "X": "FILLED", "i": 8886774001, "l": "0.001", "z": "0.002",
    "L": "60000.10", "n": "0.01200000", "N": "USDT", "T": 1700000000012, "t": 12345, "b": "0", "a": "0", "m": False,
    "R": False, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH", "cp": False, "rp": "0", "pP": False, "si": 0,
    "ss": 0, "V": "EXPIRE_MAKER", "pm": "NONE", "gtd": 0,
}  # fmt: skip
MESSAGE = json.dumps({"e": "ORDER_TRADE_UPDATE", "T": 1700000000012, "E": 1700000000013, "o": ORDER}).encode()


def frame(due_ns: int) -> bytes:
    """One unmasked text frame (RFC 6455, 5.2)."""
    payload = b"%0*d" % (MONOTONIC_DIGITS, due_ns) + MESSAGE
    return struct.pack("!BBH", 0x81, 126, len(payload)) + payload


def shake_hands(connection: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += connection.recv(4096)
    key = re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", request)
    if key is None:
        raise SystemExit("websocket_venue: no WebSocket request")
    accept = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    connection.sendall(upgrade + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")


def main() -> None:
    rate, count, cpu = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    os.sched_setaffinity(0, {cpu})
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        connection, _ = server.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shake_hands(connection)
        begin_ns = time.monotonic_ns() + START_NS
        for number in range(count):
            due_ns = begin_ns + int(number * 1e9 / rate)
            ready = frame(due_ns)
            while time.monotonic_ns() < due_ns:
                pass
            connection.sendall(ready)
        connection.recv(4096)  # the client closes


if __name__ == "__main__":
    main()
