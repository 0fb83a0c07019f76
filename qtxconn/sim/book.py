"""Price levels of one side of a simulated book, and the rule for an own order's place in the queue.

A level holds two kinds of liquidity in one time order: *ambient* lots, an anonymous quantity that a
recording or the synthetic flow governs, and *own* orders (orders of accounts), first in first out. Each own
order knows how many ambient lots stand in front of it (`SimOrder.ahead`); everything else follows from
these numbers:

1. An own order joins behind all ambient lots then at its price, and behind the own orders there.
2. Ambient lots that come later stand behind every own order then there.
3. An aggressor consumes from the front: ambient lots ahead of the first own order, that order, ambient lots
   between it and the next, and so on.
4. Ambient lots that vanish without a trade are cancellations. They come from all over the queue: of a
   decrease by d out of A ambient lots an order with `ahead` lots in front loses floor(d * ahead / A) of
   them.
5. A recording tells of a trade twice, as a trade print and as a smaller quantity, in either order. Both are
   matched at the level (`settled`, per transaction time), so that the queue moves once: a print advances
   the queue only by what an earlier decrease has not, and a decrease that a print announced cancels nothing
   more.
6. Prints arrive late. An order that came to its place when a recorded word of the print's time, or of a later
   one, was already known (`SimOrder.joined_ms`) is not met by it: what it joined behind reflects the print.
"""

from __future__ import annotations

from collections.abc import Iterator

from sortedcontainers import SortedDict

from qtxconn.sim.model import Side, SimOrder


class Level:
    """One price. `total` is what the market sees: ambient plus own lots."""

    __slots__ = ("ambient", "orders", "own", "settled", "settled_ms")

    def __init__(self) -> None:
        self.ambient = 0
        self.own = 0
        self.orders: dict[int, SimOrder] = {}
        # Rule 5. Above 0: printed lots that the ambient quantity does not show yet. Below 0: lots that a
        # decrease has already taken from in front of the first own order and that a print of the same time
        # may still explain.
        self.settled = 0
        self.settled_ms = 0

    @property
    def total(self) -> int:
        return self.ambient + self.own

    @property
    def head(self) -> SimOrder:
        """The own order that is first in time; the level must have one."""
        return next(iter(self.orders.values()))

    def set_ambient(self, quantity: int, time_ms: int) -> None:
        """The recording's word: `quantity` ambient lots as of transaction time `time_ms` (rules 2, 4, 5)."""
        before, self.ambient = self.ambient, quantity
        if not self.orders:
            return
        lost = before - quantity
        if self.settled > 0:
            if lost > 0:
                explained = min(lost, self.settled)
                # The print has already advanced the queue by these lots.
                lost -= explained
                before -= explained
                self.settled -= explained
            if time_ms > self.settled_ms:
                self.settled = 0
        if lost > 0:
            advanced = self._cancel(lost, before)
            self.settled = min(self.settled, 0) - advanced if time_ms == self.settled_ms else -advanced
            self.settled_ms = time_ms
        for order in self.orders.values():
            order.ahead = min(order.ahead, quantity)

    def cancel_ambient(self, quantity: int) -> None:
        """Background orders of `quantity` lots (at most what there is) are cancelled (rule 4)."""
        if self.orders and quantity:
            self._cancel(quantity, self.ambient)
        self.ambient -= quantity

    def _cancel(self, lost: int, before: int) -> int:
        """Advance every own order by its share of `lost` out of `before`; returns the first one's advance."""
        first = None
        for order in self.orders.values():
            advance = lost * min(order.ahead, before) // before
            order.ahead -= advance
            if first is None:
                first = advance
        return first or 0

    def consume_ambient(self, quantity: int) -> None:
        """An aggressor takes `quantity` ambient lots from the front (rule 3)."""
        self.ambient -= quantity
        for order in self.orders.values():
            order.ahead = max(0, order.ahead - quantity)

    def advance(self, quantity: int, time_ms: int) -> None:
        """A print of `time_ms` moves the queue by `quantity` ambient lots.

        What is displayed stays (rules 5, 6).
        """
        for order in self.orders.values():
            if order.joined_ms < time_ms:
                order.ahead = max(0, order.ahead - quantity)

    def unexplained(self, printed: int, time_ms: int) -> int:
        """Of a print of `printed` lots, those that no earlier decrease has accounted for (rule 5)."""
        if self.settled < 0 and time_ms > self.settled_ms:
            self.settled = 0
        explained = min(printed, -self.settled) if self.settled < 0 else 0
        self.settled += printed
        self.settled_ms = max(self.settled_ms, time_ms)
        return printed - explained

    def join(self, order: SimOrder) -> None:
        """Rule 1."""
        if not self.orders:
            self.settled = 0
        order.ahead = self.ambient
        self.orders[order.order_id] = order
        self.own += order.remaining

    def leave(self, order: SimOrder) -> None:
        """`order` is filled or leaves the book."""
        del self.orders[order.order_id]
        self.own -= order.remaining
        order.ahead = 0


class BookSide:
    """The levels of one side, best price known at all times."""

    __slots__ = ("best", "changed", "levels", "side")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.levels: SortedDict = SortedDict()
        self.best = 0
        """Best price in ticks; 0 when the side is empty."""
        self.changed: set[int] = set()
        """Prices whose total has changed since the last depth update."""

    def reaches(self, limit: int) -> bool:
        """Whether an aggressor with limit price `limit` (ticks) can trade with this side."""
        return self.best != 0 and (self.best >= limit if self.side is Side.BUY else self.best <= limit)

    def level(self, price: int) -> Level:
        """The level at `price`, made if need be; the caller puts something in it."""
        found = self.levels.get(price)
        if found is None:
            found = self.levels[price] = Level()
            if self.best == 0 or (price > self.best if self.side is Side.BUY else price < self.best):
                self.best = price
        return found

    def touched(self, price: int, level: Level) -> None:
        """`level` has changed: note it, and drop it when it is empty."""
        self.changed.add(price)
        if level.ambient == 0 and level.own == 0:
            del self.levels[price]
            if price == self.best:
                self.best = self._find_best()

    def _find_best(self) -> int:
        if not self.levels:
            return 0
        return self.levels.peekitem(-1 if self.side is Side.BUY else 0)[0]

    def total_at(self, price: int) -> int:
        """Lots at `price`, 0 where there are none."""
        found = self.levels.get(price)
        return found.ambient + found.own if found is not None else 0

    def prices(self) -> Iterator[int]:
        """All prices, best first."""
        return reversed(self.levels) if self.side is Side.BUY else iter(self.levels)

    def prices_before(self, price: int) -> Iterator[int]:
        """The prices better than `price`, best first."""
        if self.best == 0 or self.best == price:
            return iter(())
        if self.side is Side.BUY:
            return self.levels.irange(price, None, inclusive=(False, True), reverse=True)
        return self.levels.irange(None, price, inclusive=(True, False))

    def prices_behind(self, price: int) -> Iterator[int]:
        """The prices worse than `price`, ascending."""
        if self.side is Side.BUY:
            return self.levels.irange(None, price, inclusive=(True, False))
        return self.levels.irange(price, None, inclusive=(False, True))
