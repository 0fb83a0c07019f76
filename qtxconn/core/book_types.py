"""What order books hand out: the answer to a query, a snapshot, and the layout of levels as numpy records."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

LEVEL_DTYPE = np.dtype([("price", "<i8"), ("size", "<i8")])
"""One level of a book: `price` in ticks (`OrderBook.price_step`), `size` in lots (`OrderBook.size_step`)."""


class OrderBookQueryResult(NamedTuple):
    """Answer to a question of a taker. What was not asked for, or is not known, is None; never NaN.

    Volumes are in base asset, or in quote asset where the method's name says quote volume. `complete` is False when
    the book is too thin: then `result_price` is None and `result_volume` is all that the book holds.
    """

    query_price: Decimal | None
    query_volume: Decimal | None
    result_price: Decimal | None
    result_volume: Decimal
    complete: bool = True


class BookTicker(NamedTuple):
    """The best prices, quote per base, and the amounts at them, base, as of the venue's update `update_id`."""

    update_id: int
    best_bid: Decimal
    best_bid_size: Decimal
    best_ask: Decimal
    best_ask_size: Decimal


class BookSnapshot(NamedTuple):
    """A copy of a book, both sides from the same moment: arrays of LEVEL_DTYPE, the best level first."""

    bids: npt.NDArray[Any]
    asks: npt.NDArray[Any]
    last_update_id: int
    last_update_ns: int
    revision: int
    invalid_reason: str | None
