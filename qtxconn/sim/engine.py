"""Price-time-priority matching of one symbol: own orders and ambient liquidity in one book.

Every method works to the end before it returns. Within one request events are published in this order: for
each fill the maker's, then the taker's private event, then the public trade; after the last fill the end of
the order, if it ends; then, when the caller publishes, the book ticker (only if the top has changed) and
the depth update. Update ids count level changes, so that a snapshot and the chain of depth updates can be
stitched.

Self-trade prevention is the aggressor's choice (`SelfTradePrevention`). Where it ends the aggressor, matching
stops with `expire_reason` set on it, and the caller expires the rest; a resting order that it ends leaves the
book at once and is reported to the sink.
"""

from __future__ import annotations

from itertools import islice
from typing import Protocol

from qtxconn.sim.book import BookSide
from qtxconn.sim.listeners import MarketListener
from qtxconn.sim.model import (
    BookTicker,
    DepthUpdate,
    ExpireReason,
    Instrument,
    Levels,
    MarketTrade,
    SelfTradePrevention,
    Side,
    SimOrder,
    VenueClock,
)


class FillSink(Protocol):
    """Who settles fills. The order already carries the fill when this is called."""

    def on_fill(self, order: SimOrder, price: int, quantity: int, is_maker: bool, trade_id: int) -> None: ...
    def on_expired(self, order: SimOrder, reason: ExpireReason) -> None: ...


class MatchingEngine:
    """The book of one instrument. Prices are ticks, quantities lots."""

    def __init__(self, instrument: Instrument, clock: VenueClock, sink: FillSink, first_id: int = 1) -> None:
        """`first_id` is where trade and update ids start."""
        self.instrument = instrument
        self.bids = BookSide(Side.BUY)
        self.asks = BookSide(Side.SELL)
        self.listeners: list[MarketListener] = []
        self.last_trade_price = 0
        """Ticks; 0 before the first trade."""
        self._clock = clock
        self._sink = sink
        self._update_id = first_id
        self._published_id = first_id
        self._trade_id = first_id
        self._top = (0, 0, 0, 0)
        self._recorded_ms = 0  # newest transaction time that a recording has named

    # -- reading -----------------------------------------------------------------------------------------

    def side(self, side: Side) -> BookSide:
        return self.bids if side is Side.BUY else self.asks

    def levels(self, side: Side, limit: int) -> Levels:
        """Best `limit` levels, best first."""
        book = self.side(side)
        return [(price, book.levels[price].total) for price in islice(book.prices(), limit)]

    def snapshot(self, limit: int) -> tuple[Levels, Levels, int]:
        """(bids, asks, update id), both best first.

        Taking a snapshot uses up an update id, so that the next depth update straddles it (first_id <= id
        <= last_id), as the stitching rules of venues require.
        """
        self._update_id += 1
        return self.levels(Side.BUY, limit), self.levels(Side.SELL, limit), self._update_id

    def ticker(self) -> BookTicker:
        """The best prices now."""
        now_ms = self._clock.now_ms()
        bids, asks = self.bids, self.asks
        return BookTicker(
            self._update_id,
            bids.best,
            bids.total_at(bids.best),
            asks.best,
            asks.total_at(asks.best),
            now_ms,
            now_ms,
        )

    def fillable(self, order: SimOrder) -> int:
        """Lots that `order` could take at once, given its limit and self-trade prevention."""
        book = self.side(order.side.opposite)
        found = 0
        for price in book.prices():
            if (price - order.price) * order.side > 0 or found >= order.quantity:
                break
            level = book.levels[price]
            own_before = prevented = 0
            for resting in level.orders.values():
                if resting.account is order.account and order.self_trade is not SelfTradePrevention.NONE:
                    if order.self_trade is not SelfTradePrevention.EXPIRE_MAKER:
                        return found + resting.ahead + own_before
                    prevented += resting.remaining
                else:
                    own_before += resting.remaining
            found += level.total - prevented
        return found

    # -- own orders --------------------------------------------------------------------------------------

    def match(self, order: SimOrder, limit: int) -> None:
        """Let `order` take what it can up to `limit` (ticks)."""
        self._take(self.side(order.side.opposite), order, limit, order.remaining)

    def fill_outside(self, order: SimOrder, price: int) -> None:
        """Fill the whole of `order` at `price` (ticks) past the book, as a trade of its own."""
        self._settle(order.side, price, order.remaining, None, order)

    def rest(self, order: SimOrder) -> None:
        """Put the remainder of `order` into the book, last in time at its price."""
        book = self.side(order.side)
        level = book.level(order.price)
        order.joined_ms = self._recorded_ms
        level.join(order)
        book.touched(order.price, level)
        self._update_id += 1

    def remove(self, order: SimOrder) -> None:
        """Take a resting order out of the book."""
        book = self.side(order.side)
        level = book.levels[order.price]
        level.leave(order)
        book.touched(order.price, level)
        self._update_id += 1

    def reduce(self, order: SimOrder, quantity: int) -> None:
        """Lower a resting order to `quantity` lots in total; it keeps its place."""
        book = self.side(order.side)
        level = book.levels[order.price]
        level.own -= order.quantity - quantity
        order.quantity = quantity
        book.touched(order.price, level)
        self._update_id += 1

    # -- ambient liquidity -------------------------------------------------------------------------------

    def set_ambient(self, side: Side, price: int, quantity: int, time_ms: int) -> None:
        """A recording says: `quantity` ambient lots at `price` as of transaction time `time_ms`.

        What it says last is right: ambient lots on the other side that it would cross are gone. Own orders
        that it would cross are filled by it first, at their own price, up to its quantity; only the rest is
        displayed.
        """
        if time_ms > self._recorded_ms:
            self._recorded_ms = time_ms
        book = self.side(side)
        level = book.levels.get(price)
        if quantity == 0:
            if level is None or level.ambient == 0:
                return
        else:
            other = self.side(side.opposite)
            if other.reaches(price):
                quantity = self._run_over(other, price, quantity, time_ms)
                level = book.levels.get(price)
            if level is None:
                if quantity == 0:
                    return
                level = book.level(price)
            elif level.ambient == quantity:
                if level.settled:
                    level.set_ambient(quantity, time_ms)
                return
        level.set_ambient(quantity, time_ms)
        book.touched(price, level)
        self._update_id += 1

    def set_ambient_touch(self, side: Side, price: int, quantity: int, time_ms: int) -> None:
        """A recording says: the best ambient price of `side` is `price`, with `quantity` lots."""
        book = self.side(side)
        for better in list(book.prices_before(price)):
            self.set_ambient(side, better, 0, time_ms)
        self.set_ambient(side, price, quantity, time_ms)

    def _run_over(self, other: BookSide, limit: int, quantity: int, time_ms: int) -> int:
        while other.reaches(limit):
            price = other.best
            level = other.levels[price]
            if level.ambient:
                level.set_ambient(0, time_ms)
                other.touched(price, level)
                self._update_id += 1
            if level.orders:
                quantity = self._take(other, None, price, quantity)
                if quantity == 0:
                    break
        return quantity

    def print_trade(self, aggressor: Side, price: int, quantity: int, time_ms: int) -> None:
        """A recorded trade of `quantity` lots at `price`, transaction time `time_ms`.

        It first fills own orders better than `price`, at their price; then it advances the queue at `price`
        and fills own orders that come to the front. The ambient quantity stays: the recorded depth governs
        it.
        """
        book = self.side(aggressor.opposite)
        left = quantity
        for own_price in [p for p in book.prices_before(price) if book.levels[p].orders]:
            left -= self._fill_front(book, own_price, left, time_ms, passed_over=True)
        level = book.levels.get(price)
        if left and level is not None and level.orders and level.head.joined_ms < time_ms:
            reach = level.unexplained(left, time_ms)
            left -= self._fill_front(book, price, reach, time_ms, passed_over=False)
        self._recorded_ms = max(self._recorded_ms, time_ms)
        if left:
            self._publish_trade(aggressor, price, left)

    def _fill_front(self, book: BookSide, price: int, reach: int, time_ms: int, passed_over: bool) -> int:
        """Advance the queue at `price` by `reach` lots; returns the lots of own orders filled on the way.

        A level that the print has `passed_over` has no ambient lots in front any more: else the print would
        be there.
        """
        filled = 0
        while reach and (level := book.levels.get(price)) is not None and level.orders:
            head = level.head
            if head.joined_ms >= time_ms:
                break
            if head.ahead:
                step = head.ahead if passed_over else min(reach, head.ahead)
                level.advance(step, time_ms)
                reach -= 0 if passed_over else step
            else:
                step = min(reach, head.remaining)
                self._fill_resting(book, price, head, None, step)
                filled += step
                reach -= step
        return filled

    def add_ambient(self, side: Side, price: int, quantity: int) -> None:
        """A background limit order: takes what it crosses, the rest joins the ambient lots at `price`."""
        left = self._take(self.side(side.opposite), None, price, quantity)
        if left:
            book = self.side(side)
            level = book.level(price)
            level.ambient += left
            book.touched(price, level)
            self._update_id += 1

    def cancel_ambient(self, side: Side, price: int, quantity: int) -> int:
        """Background orders at `price` are cancelled, `quantity` lots or what there is; returns the lots."""
        book = self.side(side)
        level = book.levels.get(price)
        if level is None or level.ambient == 0:
            return 0
        quantity = min(quantity, level.ambient)
        level.cancel_ambient(quantity)
        book.touched(price, level)
        self._update_id += 1
        return quantity

    def ambient_at(self, side: Side, price: int) -> int:
        """Ambient lots of `side` at `price`."""
        level = self.side(side).levels.get(price)
        return level.ambient if level is not None else 0

    def background_order(self, side: Side, quantity: int, limit: int) -> int:
        """A background aggressor takes up to `quantity` lots within `limit` (ticks).

        Returns the lots not filled.
        """
        return self._take(self.side(side.opposite), None, limit, quantity)

    # -- matching ----------------------------------------------------------------------------------------

    def _take(self, book: BookSide, taker: SimOrder | None, limit: int, quantity: int) -> int:
        """Consume `book` from the front; returns the lots not filled."""
        while quantity and book.reaches(limit):
            price = book.best
            level = book.levels[price]
            head = level.head if level.orders else None
            if head is None or head.ahead:
                step = min(quantity, level.ambient if head is None else head.ahead)
                level.consume_ambient(step)
                book.touched(price, level)
                self._update_id += 1
                self._settle(book.side.opposite, price, step, None, taker)
            elif taker is not None and head.account is taker.account and self._prevents(taker, head):
                if taker.expire_reason is ExpireReason.SELF_TRADE:
                    break
                continue
            else:
                step = min(quantity, head.remaining)
                self._fill_resting(book, price, head, taker, step)
            quantity -= step
        return quantity

    def _prevents(self, taker: SimOrder, maker: SimOrder) -> bool:
        """Two orders of one account meet: end whom the taker's rule ends. False where they may trade."""
        rule = taker.self_trade
        if rule in (SelfTradePrevention.EXPIRE_MAKER, SelfTradePrevention.EXPIRE_BOTH):
            self.remove(maker)
            self._sink.on_expired(maker, ExpireReason.SELF_TRADE)
        if rule in (SelfTradePrevention.EXPIRE_TAKER, SelfTradePrevention.EXPIRE_BOTH):
            taker.expire_reason = ExpireReason.SELF_TRADE
        return rule is not SelfTradePrevention.NONE

    def _fill_resting(self, book: BookSide, price: int, maker: SimOrder, taker: SimOrder | None, quantity: int) -> None:
        level = book.levels[price]
        if quantity == maker.remaining:
            level.leave(maker)
        else:
            level.own -= quantity
        book.touched(price, level)
        self._update_id += 1
        self._settle(book.side.opposite, price, quantity, maker, taker)

    def _settle(
        self, aggressor: Side, price: int, quantity: int, maker: SimOrder | None, taker: SimOrder | None
    ) -> None:
        trade_id = self._trade_id
        now_ms = self._clock.now_ms()
        for order, is_maker in ((maker, True), (taker, False)):
            if order is not None:
                order.add_fill(price, quantity, now_ms)
                self._sink.on_fill(order, price, quantity, is_maker, trade_id)
        self._publish_trade(aggressor, price, quantity)

    # -- publishing --------------------------------------------------------------------------------------

    def _publish_trade(self, aggressor: Side, price: int, quantity: int) -> None:
        trade = MarketTrade(self._trade_id, price, quantity, aggressor is Side.SELL, self._clock.now_ms())
        self._trade_id += 1
        self.last_trade_price = price
        for listener in self.listeners:
            listener.on_trade(self.instrument.symbol, trade)

    def publish_ticker(self) -> None:
        """Publish the book ticker if the top of the book has changed since the last one."""
        bids, asks = self.bids, self.asks
        top = (bids.best, bids.total_at(bids.best), asks.best, asks.total_at(asks.best))
        if top == self._top:
            return
        self._top = top
        now_ms = self._clock.now_ms()
        ticker = BookTicker(self._update_id, *top, now_ms, now_ms)
        for listener in self.listeners:
            listener.on_ticker(self.instrument.symbol, ticker)

    def publish_depth(self) -> None:
        """Publish the levels that have changed since the last depth update, if any."""
        bids, asks = self.bids, self.asks
        if not bids.changed and not asks.changed:
            return
        now_ms = self._clock.now_ms()
        update = DepthUpdate(
            self._published_id + 1,
            self._update_id,
            self._published_id,
            [(price, bids.total_at(price)) for price in sorted(bids.changed)],
            [(price, asks.total_at(price)) for price in sorted(asks.changed)],
            now_ms,
            now_ms,
        )
        self._published_id = self._update_id
        bids.changed.clear()
        asks.changed.clear()
        for listener in self.listeners:
            listener.on_depth(self.instrument.symbol, update)

    def publish(self) -> None:
        """Ticker, then depth."""
        self.publish_ticker()
        self.publish_depth()
