"""Keeps a book right from snapshots and a stream of diffs with chained ids; a state machine without I/O."""

from collections import deque
from typing import NamedTuple

from libc.stdint cimport int64_t

from qtxconn.core.l2_book cimport BookInvalid, BookLevel
from qtxconn.core.order_book cimport OrderBook

from qtxconn.errors import QtxconnError


class DepthSnapshot(NamedTuple):
    """A book as of update `last_id`; `venue_ns` is by the venue's clock, `received_ns` by ours (0: now)."""

    last_id: int
    bids: list
    asks: list
    venue_ns: int
    received_ns: int = 0


class DepthDiff(NamedTuple):
    """Changes of the updates `first_id` to `last_id`; the diff before it ended with `prev_id`."""

    first_id: int
    last_id: int
    prev_id: int
    bids: list
    asks: list
    venue_ns: int
    received_ns: int = 0


cdef class BookSync:
    """Binance's rule, which every venue with chained ids shares.

    Diffs are kept until a snapshot is there. Those that end before it are dropped; the first one applied must
    reach over it (begin at or before, end at or after); from then on each must begin where the one before
    ended. Anything else is a gap: the book is invalid at once, and the diff that showed the gap is the first
    one kept for the next snapshot, so that nothing is missed in between.

    Source: developers.binance.com, USD-M futures, "How to manage a local order book correctly".
    """

    def __init__(self, OrderBook book not None, *, int kept_max=5_000):
        self.book = book
        self._kept = deque(maxlen=kept_max)     # when full, the oldest go
        self._last_id = NO_ID
        self._is_snapshot_only = False
        self.gaps = 0
        self.outdated = 0

    @property
    def needs_snapshot(self) -> bool:
        return self._last_id == NO_ID

    def process_diff(self, diff) -> bool:
        """Take the next diff. False: the book waits for a snapshot."""
        if self._last_id == NO_ID:
            self._keep(diff)
        elif diff.last_id < self._last_id or (diff.last_id == self._last_id and not self._is_snapshot_only):
            self.outdated += 1
        elif diff.prev_id == self._last_id or (self._is_snapshot_only and _reaches_over(diff, self._last_id)):
            self._apply(diff)
        else:
            self.gaps += 1
            self.reset("gap")
            self._keep(diff)
        return self._last_id != NO_ID

    cdef bint c_process_levels(
        self, int64_t last_id, int64_t prev_id, const BookLevel* bids, size_t bid_count, const BookLevel* asks,
        size_t ask_count, int64_t received_ns
    ) except -1:
        if self._is_snapshot_only or self._last_id == NO_ID or prev_id != self._last_id or last_id <= prev_id:
            return False
        self.book.c_apply_levels(bids, bid_count, asks, ask_count, last_id, received_ns, False)
        self._last_id = last_id
        self._check()
        return True

    def process_snapshot(self, snapshot) -> bool:
        """Take a snapshot. False: it does not meet the diffs that were kept; ask for another one."""
        while self._kept and self._kept[0].last_id < snapshot.last_id:
            self._kept.popleft()
        if self._kept and not _reaches_over(self._kept[0], snapshot.last_id):
            return False
        self.book.apply_snapshot(snapshot.bids, snapshot.asks, snapshot.last_id, snapshot.received_ns)
        self._last_id = snapshot.last_id
        self._is_snapshot_only = True
        self._check()
        kept = list(self._kept)
        self._kept.clear()
        for diff in kept:
            self.process_diff(diff)
        return self._last_id != NO_ID

    def reset(self, str reason not None):
        """Touch is lost ("gap", or "disconnected"): invalid until the next snapshot."""
        self.book.invalidate(reason)
        self._last_id = NO_ID
        self._kept.clear()

    # -- inside ----------------------------------------------------------------------------------------------

    cdef object _keep(self, object diff):
        if self._kept and diff.prev_id != self._kept[len(self._kept) - 1].last_id:
            self._kept.clear()      # a hole: what is kept must be one chain
            self.gaps += 1
        self._kept.append(diff)

    cdef object _apply(self, object diff):
        cdef int64_t last_id = diff.last_id
        try:
            self.book.apply_diffs(diff.bids, diff.asks, last_id, diff.received_ns)
        except QtxconnError:    # no number, off the grid: the book lacks this diff
            self.reset("gap")
            raise
        self._last_id = last_id
        self._is_snapshot_only = False
        self._check()

    cdef void _check(self) noexcept:
        if self.book.c_book().invalid_reason() == BookInvalid.crossed:  # with whole messages only a wrong book crosses
            self._last_id = NO_ID


cdef bint _reaches_over(object diff, int64_t snapshot_id) except -1:
    # Nothing is missing between the two. Ids count all symbols: unused ones may lie between.
    return min(diff.first_id, diff.prev_id) <= snapshot_id <= diff.last_id
