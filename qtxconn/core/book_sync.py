"""Keeps a book right from snapshots and a stream of diffs with chained ids; a state machine without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from qtxconn.errors import QtxconnError

Levels = Sequence[Sequence[str]]
"""(price, amount) pairs as decimal text; amounts are absolute, 0 removes the level."""


class DepthSnapshot(NamedTuple):
    """A book as of update `last_id`; `venue_ns` is by the venue's clock, `received_ns` by ours (0: now)."""

    last_id: int
    bids: Levels
    asks: Levels
    venue_ns: int
    received_ns: int = 0


class DepthDiff(NamedTuple):
    """Changes of the updates `first_id` to `last_id`; the diff before it ended with `prev_id`."""

    first_id: int
    last_id: int
    prev_id: int
    bids: Levels
    asks: Levels
    venue_ns: int
    received_ns: int = 0


class Book(Protocol):
    """What is needed of an order book."""

    @property
    def invalid_reason(self) -> str | None: ...
    def apply_snapshot(self, bids: Levels, asks: Levels, update_id: int, timestamp_ns: int = 0) -> None: ...
    def apply_diffs(self, bids: Levels, asks: Levels, update_id: int, timestamp_ns: int = 0) -> None: ...
    def invalidate(self, reason: str) -> None: ...


class BookSync:
    """Binance's rule, which every venue with chained ids shares.

    Diffs are kept until a snapshot is there. Those that end before it are dropped; the first one applied must
    reach over it (begin at or before, end at or after); from then on each must begin where the one before
    ended. Anything else is a gap: the book is invalid at once, and the diff that showed the gap is the first
    one kept for the next snapshot, so that nothing is missed in between.

    Source: developers.binance.com, USD-M futures, "How to manage a local order book correctly".
    """

    def __init__(self, book: Book, *, kept_max: int = 5_000) -> None:
        self._book = book
        self._kept: deque[DepthDiff] = deque(maxlen=kept_max)  # when full, the oldest go
        self._last_id: int | None = None  # None: waits for a snapshot
        self._is_snapshot_only = False  # the first diff has yet to reach over the snapshot
        self.gaps = 0
        self.outdated = 0  # diffs that repeated what was known

    @property
    def needs_snapshot(self) -> bool:
        return self._last_id is None

    def process_diff(self, diff: DepthDiff) -> bool:
        """Take the next diff. False: the book waits for a snapshot."""
        if self._last_id is None:
            self._keep(diff)
        elif diff.last_id < self._last_id or (diff.last_id == self._last_id and not self._is_snapshot_only):
            self.outdated += 1
        elif diff.prev_id == self._last_id or (self._is_snapshot_only and self._reaches_over(diff, self._last_id)):
            self._apply(diff)
        else:
            self.gaps += 1
            self.reset("gap")
            self._keep(diff)
        return self._last_id is not None

    def process_snapshot(self, snapshot: DepthSnapshot) -> bool:
        """Take a snapshot. False: it does not meet the diffs that were kept; ask for another one."""
        while self._kept and self._kept[0].last_id < snapshot.last_id:
            self._kept.popleft()
        if self._kept and not self._reaches_over(self._kept[0], snapshot.last_id):
            return False
        self._book.apply_snapshot(snapshot.bids, snapshot.asks, snapshot.last_id, snapshot.received_ns)
        self._last_id = snapshot.last_id
        self._is_snapshot_only = True
        self._check()
        kept = list(self._kept)
        self._kept.clear()
        for diff in kept:
            self.process_diff(diff)
        return self._last_id is not None

    def reset(self, reason: str) -> None:
        """Touch is lost ("gap", or "disconnected"): invalid until the next snapshot."""
        self._book.invalidate(reason)
        self._last_id = None
        self._kept.clear()

    # -- inside --------------------------------------------------------------------------------------------

    def _keep(self, diff: DepthDiff) -> None:
        if self._kept and diff.prev_id != self._kept[-1].last_id:
            self._kept.clear()  # a hole: what is kept must be one chain
            self.gaps += 1
        self._kept.append(diff)

    def _apply(self, diff: DepthDiff) -> None:
        try:
            self._book.apply_diffs(diff.bids, diff.asks, diff.last_id, diff.received_ns)
        except QtxconnError:  # not on the grid, not a number: the book lacks this diff
            self.reset("gap")
            raise
        self._last_id = diff.last_id
        self._is_snapshot_only = False
        self._check()

    def _check(self) -> None:
        if self._book.invalid_reason == "crossed":  # with whole messages only a wrong book crosses
            self._last_id = None

    @staticmethod
    def _reaches_over(diff: DepthDiff, snapshot_id: int) -> bool:
        """Nothing is missing between the two. Ids count all symbols: unused ones may lie between."""
        return min(diff.first_id, diff.prev_id) <= snapshot_id <= diff.last_id
