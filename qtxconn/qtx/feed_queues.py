"""The feed's messages of one pair as asyncio queues, and what happens when nobody takes them in time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

OVERFLOWS = ("conflate", "drop_oldest", "block")

Levels = list[tuple[Decimal, Decimal]]


class DiffMessage(NamedTuple):
    """One depth message: (price, amount) in quote per base and base asset; amount 0 removes a level.

    `whole`: these levels are the whole book, and what was known before is void.
    """

    trading_pair: str
    update_id: int
    time_s: float  # exchange event time
    bids: Levels
    asks: Levels
    whole: bool

    def then(self, later: DiffMessage) -> DiffMessage:
        """The one message that has the effect of both."""
        if later.whole:
            return later
        sides = []
        for mine, theirs in ((self.bids, later.bids), (self.asks, later.asks)):
            levels = dict(mine) | dict(theirs)
            sides.append([(price, amount) for price, amount in levels.items() if amount or not self.whole])
        return later._replace(bids=sides[0], asks=sides[1], whole=self.whole)


class TradeMessage(NamedTuple):
    """A public trade: quote per base, base asset, the taker's side."""

    trading_pair: str
    price: Decimal
    amount: Decimal
    is_buy: bool
    time_s: float  # exchange event time


class FeedQueue(asyncio.Queue[Any]):
    """Messages of one pair, oldest first. `maxsize` messages wait at most; beyond that `overflow` decides:

    - "conflate": a diff is merged into the newest that waits, so the book that a reader keeps stays right; of trades
      the oldest is dropped.
    - "drop_oldest": what waits is dropped. For diffs that ends what the reader knows: the book is invalidated and
      subscribed anew, and the next message is a whole one.
    - "block": the feed receives nothing until there is room; the kernel keeps what comes, and counts what it cannot.

    `dropped` and `conflated` count what a reader did not see as it came.
    """

    def __init__(self, maxsize: int, overflow: str, on_room: Callable[[], None]) -> None:
        super().__init__(maxsize)
        self.overflow = overflow
        self.dropped = 0
        self.conflated = 0
        self._on_room = on_room
        self._waits_for_whole = False

    # These two are the places that asyncio.Queue leaves to subclasses.
    def _init(self, maxsize: int) -> None:
        self._messages: deque[Any] = deque()
        self._queue = self._messages  # the name under which the base class counts

    def _get(self) -> Any:
        message = self._messages.popleft()
        self._on_room()
        return message

    def put_diff(self, diff: DiffMessage) -> bool:
        """False: the reader has to begin with a new whole book (see "drop_oldest")."""
        if self._waits_for_whole and not diff.whole:
            self.dropped += 1
            return True
        self._waits_for_whole = False
        if not self.full():
            self.put_nowait(diff)
        elif self.overflow == "conflate":
            self._messages[-1] = self._messages[-1].then(diff)
            self.conflated += 1
        else:
            self.break_off()
            self.dropped += 1
            return False
        return True

    def put_trade(self, trade: TradeMessage) -> None:
        """A trade that finds no room drops the oldest."""
        if self.full():
            self._drop_oldest()
        self.put_nowait(trade)

    def break_off(self) -> None:
        """A diff is missing: drops those that wait, and all that come before the next whole one."""
        while self._messages:
            self._drop_oldest()
        self._waits_for_whole = True

    def _drop_oldest(self) -> None:
        self._messages.popleft()
        self.task_done()  # for whoever waits in join()
        self.dropped += 1
