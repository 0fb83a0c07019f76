"""A network in memory for the deterministic loop: connections that carry real aiohttp on both sides, and break."""

from __future__ import annotations

import asyncio
import contextvars
import random
import socket
import types
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import aiohttp.client
import aiohttp.connector
import aiohttp.web_response
from aiohttp._websocket.writer import WebSocketWriter

from qtxconn.testing.faults import FaultPlan
from qtxconn.testing.loop import SimLoop, SimulationError

HOST, HOST_NAME = "127.0.0.1", "venue.simulated"
FIRST_PORT = 20_000
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"  # of every answer
# asyncio runs what received data has woken before it tells of the end; protocols rely on that.
LOST_DELAY_S = 1e-6


def _date() -> str:
    return DATE


class SimTransport(asyncio.Transport):
    """One end of a connection. What is written arrives at the other end later, in order, perhaps in pieces."""

    def __init__(self, network: SimNetwork, protocol: asyncio.Protocol, number: int, local: Any, remote: Any) -> None:
        super().__init__({"sockname": local, "peername": remote})
        self._network = network
        self._loop = network.loop
        self._protocol = protocol
        self._context = contextvars.copy_context()
        self.number = number
        self.process = SimLoop.current_process()
        self.peer: SimTransport | None = None
        self._incoming: deque[bytes | None] = deque()  # arrived or on its way; None is the end
        self._due_s = 0.0  # when the last of it arrives
        self._arrived = 0
        self._reading = True
        self._closing = False
        self._lost = False
        self._fed_ns = -1  # when data was given to the protocol last
        self.sent_s = 0.0  # when this end began to send its last request; the first one by making the connection
        self.silence_s: float | None = None  # what arrives at this end next says Retry-After

    # -- what protocols call -------------------------------------------------------------------------------------

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:  # protocols also ask for it when they had not paused
            self._reading = True
            self._loop.call_soon(self._hand_over, context=self._context)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Writing never waits here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self.peer is None or not data:
            return
        if self._fed_ns >= 0:
            self.sent_s = self._loop.time()
        self._network.carry(self, bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self.peer is not None:
            self.peer.receive(None, self._network.plan.delay_s())
        self._loop.call_later(LOST_DELAY_S, self._connection_lost, None, context=self._context)

    def abort(self) -> None:
        self.close()

    # -- what the network calls ----------------------------------------------------------------------------------

    def receive(self, data: bytes | None, delay_s: float) -> None:
        """Something is on its way to this end; nothing overtakes what was sent before."""
        self._due_s = max(self._due_s, self._loop.time() + delay_s)
        self._incoming.append(data)
        self._loop.call_at(self._due_s, self._arrive, context=self._context)

    def _arrive(self) -> None:
        self._arrived += 1
        self._hand_over()

    def _hand_over(self) -> None:
        while self._arrived and self._reading and not self._lost:
            data = self._incoming.popleft()
            self._arrived -= 1
            if data is None:
                self._closing = True
                self._connection_lost(None)
            elif not self._closing:
                self._fed_ns = self._loop.elapsed_ns
                self._protocol.data_received(data)
                if self.silence_s is not None and not self._incoming:
                    now_s, wait_s, self.silence_s = self._loop.time(), self.silence_s, None
                    self._network.silences.append((self.process, now_s, now_s + wait_s))

    def reset(self) -> None:
        """The connection breaks for this end."""
        if not self._closing:
            self._closing = True
            error = ConnectionResetError("reset")
            self._loop.call_later(LOST_DELAY_S, self._connection_lost, error, context=self._context)

    def _connection_lost(self, error: Exception | None) -> None:
        if self._fed_ns == self._loop.elapsed_ns:
            self._loop.call_later(LOST_DELAY_S, self._connection_lost, error, context=self._context)
        elif not self._lost:
            self._lost = True
            self._network.forget(self)
            self._protocol.connection_lost(error)


class _Listener:
    """What asyncio calls a socket and a server, as far as anybody looks."""

    def __init__(self, network: SimNetwork, port: int, factory: Callable[[], Any]) -> None:
        self._network = network
        self._port = port
        self.factory = factory
        self.context = contextvars.copy_context()
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return HOST, self._port

    def is_serving(self) -> bool:
        return self._port in self._network.listeners

    def close(self) -> None:
        self._network.listeners.pop(self._port, None)

    async def wait_closed(self) -> None:
        """Connections are closed by their protocols."""


class SimNetwork:
    """All connections of a simulation. `plan` says how long things take and in how many pieces they arrive."""

    def __init__(self, loop: SimLoop, plan: FaultPlan, record: Callable[..., None]) -> None:
        self.loop = loop
        self.plan = plan
        self.listeners: dict[int, _Listener] = {}
        self._record = record
        self._transports: dict[int, SimTransport] = {}
        self._killed: list[SimTransport] = []
        self._made = 0
        self.silences: list[tuple[int, float, float]] = []  # process, from when until when it was told to be silent
        self.refuses: Callable[[], bool] = lambda: plan.in_outage(loop.time())
        self.cut: Callable[[SimTransport, bytes], bool] = lambda sender, data: (
            False
        )  # whether the server's bytes break off in the middle
        loop.attach_network(self)

    def getaddrinfo(self, host: str, port: int) -> list[Any]:
        if self.refuses():
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if host not in (HOST, HOST_NAME):
            raise socket.gaierror(socket.EAI_NONAME, "this name is not in the simulation")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOST, port))]

    async def create_server(self, factory: Callable[[], Any], host: Any, port: int) -> _Listener:
        port = port or FIRST_PORT + len(self.listeners)
        if port in self.listeners:
            raise OSError(f"port {port} is in use")
        listener = self.listeners[port] = _Listener(self, port, factory)
        return listener

    async def connect(self, *, addr_infos: Any, **kwargs: Any) -> Any:
        """Stands in for aiohappyeyeballs.start_connection: the address is all that is needed of the socket."""
        return addr_infos[0][-1]

    async def create_connection(self, factory: Callable[[], Any], host: Any, port: Any, **kwargs: Any) -> Any:
        if kwargs.get("ssl"):
            raise SimulationError("there is no TLS in the simulation: use http and ws addresses")
        address = kwargs.get("sock") or (host, port)
        began_s = self.loop.time()
        await self.loop.sleep(self.plan.delay_s())
        listener = self.listeners.get(address[1])
        if listener is None or self.refuses():
            raise ConnectionRefusedError(111, "Connection refused")
        self._made += 2
        number = self._made - 1  # odd; the server's end is the even one after it
        here = (HOST, 50_000 + number % 10_000)
        client_protocol = factory()
        client = SimTransport(self, client_protocol, number, here, address)
        server_protocol = listener.context.run(listener.factory)
        server = listener.context.copy().run(SimTransport, self, server_protocol, number + 1, address, here)
        client.peer, server.peer = server, client
        client.sent_s = began_s
        for end in (client, server):
            self._transports[end.number] = end
        server._context.run(server_protocol.connection_made, server)
        client_protocol.connection_made(client)
        return client, client_protocol

    def carry(self, sender: SimTransport, data: bytes) -> None:
        """Takes what one end wrote to the other end."""
        plan, receiver = self.plan, sender.peer
        assert receiver is not None
        self._record("wire", sender.number, len(data), zlib.crc32(data))
        if sender.number % 2 == 0 and self.cut(sender, data):
            receiver.receive(data[: plan.rng.randrange(len(data))], plan.delay_s())
            self.loop.call_at(receiver._due_s, receiver.reset, context=receiver._context)
            self.loop.call_soon(sender.reset, context=sender._context)
            return
        if plan.chunked and len(data) > 1 and plan.rng.random() < 0.5:
            middle = plan.rng.randrange(1, len(data))
            receiver.receive(data[:middle], plan.delay_s())
            data = data[middle:]
        receiver.receive(data, plan.delay_s())

    def forget(self, transport: SimTransport) -> None:
        self._transports.pop(transport.number, None)

    def kill(self, process: int) -> None:
        """The process has died: the system closes its connections."""
        for transport in [end for end in self._transports.values() if end.process == process]:
            transport._closing = transport._lost = True
            self.forget(transport)
            self._killed.append(transport)
            if transport.peer is not None:
                transport.peer.receive(None, self.plan.delay_s())

    def bury_the_dead(self) -> None:
        """Tells killed processes, which may run again to be disposed of, that their connections are gone."""
        for transport in self._killed:
            transport._lost = False
            self.loop.call_soon(transport._connection_lost, None, context=transport._context)
        self._killed.clear()

    def reset_connection(self, transport: SimTransport) -> None:
        """Breaks a connection for both ends."""
        for end in (transport, transport.peer):
            if end is not None:
                self.loop.call_soon(end.reset, context=end._context)

    @contextmanager
    def sealed(self, seed: int) -> Iterator[None]:
        """aiohttp's own sources of time and chance, replaced while the simulation runs."""
        rng = random.Random(f"aiohttp {seed}")
        client_os = types.SimpleNamespace(urandom=rng.randbytes)
        with (
            mock.patch.object(aiohttp.connector.aiohappyeyeballs, "start_connection", self.connect),
            mock.patch.object(aiohttp.connector, "monotonic", self.loop.time),
            mock.patch.object(aiohttp.connector, "DefaultResolver", aiohttp.ThreadedResolver),
            mock.patch.object(aiohttp.client, "os", client_os),
            mock.patch.object(aiohttp.web_response, "rfc822_formatted_time", _date),
            mock.patch.dict(WebSocketWriter.__init__.__kwdefaults__, random=rng),
        ):
            yield
