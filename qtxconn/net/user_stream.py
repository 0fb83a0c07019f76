"""The stream of an account's events: behind a key that runs out, made again when it ends, without a hole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from qtxconn.errors import QtxconnError
from qtxconn.net.websocket import OnMessage, WebSocketClient

if TYPE_CHECKING:
    from qtxconn.core.connector_base import ConnectorBase


class UserStream(WebSocketClient):
    """What it missed while it was down is read by the connector's _recover() before it counts as live again; a message
    that cannot be read has the venue asked, too.

    `request_url()` is asked before every connection, for the venue gives the live key there, or a new one.
    `renew_key()`, every `renewal_s`, keeps it alive; where that fails, the connection is made anew.
    """

    def __init__(
        self,
        connector: ConnectorBase,
        request_url: Callable[[], Awaitable[str]],
        *,
        on_event: OnMessage,
        renew_key: Callable[[], Awaitable[None]],
        renewal_s: float,
    ) -> None:
        super().__init__(
            request_url,
            clock=connector._clock,
            name=f"{connector.name} user stream",
            on_message=self._take,
            on_connected=self._catch_up,
            on_disconnected=lambda _: connector._set_connected(False),
        )
        self._connector = connector
        self._on_event = on_event
        self._renew_key = renew_key
        self._renewal_s = renewal_s

    async def start(self, timeout_s: float) -> None:
        """Runs until `close()`; returns once live, or raises what `wait_live` does."""
        self._connector._spawn(self.run(), "user stream")
        await self.wait_live(timeout_s)
        self._connector._spawn(self._keep_key(), "listen key")

    async def _catch_up(self) -> None:
        if self.connections:  # not the first one: something may have been missed
            await self._connector._recover()
            self._connector._set_connected(True)

    async def _keep_key(self) -> None:
        while True:
            await self._clock.sleep(self._renewal_s)
            try:
                await self._renew_key()
            except QtxconnError as error:
                self._connector.logger().warning("the listen key could not be renewed: %s; connecting anew", error)
                await self.reconnect()  # asks for the key again, and reads what was missed

    def _take(self, data: str | bytes, received_ns: int, monotonic_ns: int) -> None:
        self._connector.user_stream_received_ns = received_ns
        try:
            self._on_event(data, received_ns, monotonic_ns)
        except Exception as error:
            self._connector._user_stream_damaged(error)
            raise
