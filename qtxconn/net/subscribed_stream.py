"""A WebSocket of public data: subscribed whenever it is connected, and the books that it carries."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtxconn.net.websocket import OnMessage, WebSocketClient

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock
    from qtxconn.errors import QtxconnError
    from qtxconn.net.book_feed import BookFeed


class SubscribedStream(WebSocketClient):
    """Counts as live once the venue has confirmed the subscription of all `channels`; the `feeds` begin then, and are
    invalid from its break on.

    `build_subscription(request_id, channels)` gives the message; whoever handles messages says with `resolve()` what
    the answer to it is.
    """

    def __init__(
        self,
        url: str,
        channels: Sequence[str],
        build_subscription: Callable[[int, Sequence[str]], str],
        *,
        clock: Clock,
        on_message: OnMessage,
        feeds: Sequence[BookFeed] = (),
        name: str = "websocket",
        stale_after_s: float = 60.0,
        timeout_s: float = 10.0,
    ) -> None:
        super().__init__(
            url,
            clock=clock,
            name=name,
            on_message=on_message,
            on_connected=self._subscribe,
            on_disconnected=self._stop_feeds,
            stale_after_s=stale_after_s,
        )
        self._channels = list(channels)
        self._build_subscription = build_subscription
        self._feeds = list(feeds)
        self._timeout_s = timeout_s
        self._ids = itertools.count(1)

    async def _subscribe(self) -> None:
        request_id = next(self._ids)
        message = self._build_subscription(request_id, self._channels)
        await self.request(request_id, message, timeout_s=self._timeout_s)
        for feed in self._feeds:
            feed.start()

    def _stop_feeds(self, error: QtxconnError) -> None:
        for feed in self._feeds:
            feed.stop()
