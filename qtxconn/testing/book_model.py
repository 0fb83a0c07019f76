"""The venue's order book as it was at every update id, to hold a connector's book against (B1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtxconn.core.order_book import OrderBook
    from qtxconn.sim.model import BookTicker, DepthUpdate, MarketTrade
    from qtxconn.testing.market import SimMarket

LEVELS = 20  # compared on each side


class BookModel:
    """A market listener that keeps every update and replays them up to the id that is asked about."""

    def __init__(self, market: SimMarket, symbol: str) -> None:
        self._market = market
        self._symbol = symbol
        bids, asks, self._first_id = market.venue.depth(symbol)
        self._start = (dict(bids), dict(asks))
        self._updates: list[DepthUpdate] = []
        self._rewind()
        market.venue.add_market_listener(self)

    def on_depth(self, symbol: str, update: DepthUpdate) -> None:
        self._updates.append(update)

    def on_ticker(self, symbol: str, ticker: BookTicker) -> None:
        """Follows from the depth."""

    def on_trade(self, symbol: str, trade: MarketTrade) -> None:
        """Follows from the depth."""

    @property
    def last_id(self) -> int:
        return self._updates[-1].last_id if self._updates else self._first_id

    def _rewind(self) -> None:
        self._bids, self._asks = (dict(side) for side in self._start)
        self._applied = 0

    def _go_to(self, update_id: int) -> None:
        if self._applied and self._updates[self._applied - 1].last_id > update_id:
            self._rewind()
        while self._applied < len(self._updates) and self._updates[self._applied].last_id <= update_id:
            update = self._updates[self._applied]
            for side, changes in ((self._bids, update.bids), (self._asks, update.asks)):
                for price, quantity in changes:
                    if quantity:
                        side[price] = quantity
                    else:
                        side.pop(price, None)
            self._applied += 1

    def difference(self, book: OrderBook) -> str | None:
        """What is wrong with a book that is handed out as valid, as of the update that it says it shows."""
        self._go_to(book.last_update_id)
        instrument = self._market.instrument
        bids = sorted(self._bids.items(), reverse=True)[:LEVELS]
        asks = sorted(self._asks.items())[:LEVELS]
        for name, levels, entries in (
            ("bids", bids, book.bid_entries(LEVELS)),
            ("asks", asks, book.ask_entries(LEVELS)),
        ):
            real = [(instrument.ticks_to_price(price), instrument.lots_to_quantity(lots)) for price, lots in levels]
            if entries != real:
                return f"{name} at update {book.last_update_id} are {entries[:3]}, really {real[:3]}"
        return None
