"""A connector's market data: the connections that carry it, and the snapshots that its books need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from qtxconn.core.book_sync import BookSync, DepthSnapshot
from qtxconn.net.book_feed import BookFeed
from qtxconn.net.subscribed_stream import SubscribedStream

if TYPE_CHECKING:
    from qtxconn.core.connector_base import ConnectorBase


class MarketStreams:
    """Everything here runs until `close()`, and may be started again after it.

    `request_snapshot(symbol)`: a book as the venue has it now, asked by the exchange's symbol.
    `build_subscription(request_id, channels)`: the message that asks for channels.
    `on_message(stream, data, received_ns)` takes every message; one that answers a subscription it gives to
        `stream.resolve(request_id, answer)`.
    """

    def __init__(
        self,
        connector: ConnectorBase,
        *,
        request_snapshot: Callable[[str], Awaitable[DepthSnapshot]],
        build_subscription: Callable[[int, Sequence[str]], str],
        on_message: Callable[[SubscribedStream, str | bytes, int], None],
        timeout_s: float = 10.0,
    ) -> None:
        self._connector = connector
        self._request_snapshot = request_snapshot
        self._build_subscription = build_subscription
        self._on_message = on_message
        self._timeout_s = timeout_s
        self.streams: list[SubscribedStream] = []
        self.feeds: dict[str, BookFeed] = {}  # by the exchange's symbol

    def start_books(self) -> dict[str, BookFeed]:
        """A feed for the book of each trading pair, by the exchange's symbol. The stream that carries it is told so
        (`connect`), and its diffs are given to the feed."""
        connector = self._connector
        for pair, book in connector.order_books.items():
            symbol = connector.exchange_symbol_associated_to_pair(pair)
            self.feeds[symbol] = feed = BookFeed(
                BookSync(book), partial(self._request_snapshot, symbol), clock=connector._clock, name=f"{pair} book"
            )
            connector._spawn(feed.run(), f"{pair} book")
        return self.feeds

    async def connect(self, url: str, name: str, channels: Sequence[str], feeds: Iterable[BookFeed] = ()) -> None:
        """One more connection, for these channels; `feeds` are the books it carries. Returns once it is live, or raises
        what `WebSocketClient.wait_live` does. Without channels there is none."""
        if not channels:
            return
        connector = self._connector
        stream = SubscribedStream(
            url,
            channels,
            self._build_subscription,
            clock=connector._clock,
            on_message=lambda data, received_ns, _: self._on_message(stream, data, received_ns),
            feeds=list(feeds),
            name=f"{connector.name} {name}",
            timeout_s=self._timeout_s,
        )
        self.streams.append(stream)
        connector._spawn(stream.run(), name)
        await stream.wait_live(self._timeout_s)

    async def close(self) -> None:
        """Ends them all; the books are invalid. May be called without a start, and twice."""
        for stream in self.streams:
            await stream.close()
        for feed in self.feeds.values():
            feed.stop()
        self.streams.clear()
        self.feeds.clear()
