"""Fetches a snapshot whenever a book needs one, until the book is right again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from qtxconn.core.book_sync import BookSync, DepthDiff, DepthSnapshot
from qtxconn.errors import QtxconnError
from qtxconn.net.backoff import Backoff

if TYPE_CHECKING:
    from qtxconn.core.clock import Clock

logger = logging.getLogger(__name__)


class BookFeed:
    """Drives one BookSync: diffs in, snapshots asked for. `run()` is supervised by the owner."""

    def __init__(
        self,
        sync: BookSync,
        request_snapshot: Callable[[], Awaitable[DepthSnapshot]],
        *,
        clock: Clock,
        name: str,
        backoff: Backoff | None = None,
    ) -> None:
        self.sync = sync
        self._request_snapshot = request_snapshot
        self._clock = clock
        self._name = name
        self._backoff = backoff or Backoff(first_s=0.1, max_s=10.0)
        self._streaming = False
        self._breaks = 0
        self._needed = asyncio.Event()

    def start(self) -> None:
        """The venue confirmed the subscription: a snapshot from now on meets the diffs without a hole."""
        self._streaming = True
        self._needed.set()

    def process_diff(self, diff: DepthDiff) -> None:
        """The stream's next diff."""
        try:
            self.sync.process_diff(diff)
        finally:
            self.ask_if_needed()

    def ask_if_needed(self) -> None:
        """Have a snapshot fetched if the book lost touch with what was last applied to it."""
        if self.sync.needs_snapshot and self._streaming:
            self._needed.set()

    def stop(self) -> None:
        """The stream broke: the book is invalid until `start()` and a snapshot."""
        self._streaming = False
        self._breaks += 1
        self._needed.clear()
        self.sync.reset("disconnected")

    async def run(self) -> None:
        """Fetch snapshots, for ever."""
        while True:
            await self._needed.wait()
            breaks = self._breaks
            try:
                snapshot = await self._request_snapshot()
                if breaks != self._breaks:
                    continue  # the stream broke meanwhile: this snapshot may lie before a hole
                if not self.sync.needs_snapshot or self.sync.process_snapshot(snapshot):
                    self._needed.clear()
                    self._backoff.reset()
                    continue
                logger.info("%s: the snapshot does not meet the stream; asking again", self._name)
            except Exception as error:
                unforeseen = None if isinstance(error, QtxconnError) else error
                logger.warning("%s: no snapshot: %s", self._name, error, exc_info=unforeseen)
            await self._clock.sleep(self._backoff.next_s())
