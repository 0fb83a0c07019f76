"""Types of the chained-id rule."""

from collections.abc import Sequence
from typing import NamedTuple

from qtxconn.core.order_book import OrderBook

class DepthSnapshot(NamedTuple):
    last_id: int
    bids: Sequence[Sequence[str]]
    asks: Sequence[Sequence[str]]
    venue_ns: int
    received_ns: int = 0

class DepthDiff(NamedTuple):
    first_id: int
    last_id: int
    prev_id: int
    bids: Sequence[Sequence[str]]
    asks: Sequence[Sequence[str]]
    venue_ns: int
    received_ns: int = 0

class BookSync:
    gaps: int
    outdated: int
    def __init__(self, book: OrderBook, *, kept_max: int = 5_000) -> None: ...
    @property
    def book(self) -> OrderBook: ...
    @property
    def needs_snapshot(self) -> bool: ...
    def process_diff(self, diff: DepthDiff) -> bool: ...
    def process_snapshot(self, snapshot: DepthSnapshot) -> bool: ...
    def reset(self, reason: str) -> None: ...
