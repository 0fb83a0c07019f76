"""The order book as Python sees it: exact Decimals over the C++ book, and whether it may be trusted."""

from decimal import Decimal

from libc.stdint cimport int64_t, uint64_t
from libcpp.memory cimport make_unique
from libcpp.vector cimport vector

from qtxconn.core.clock cimport Clock
from qtxconn.core.fixed cimport (
    Fixed,
    FixedError,
    Rounding,
    fixed_checked,
    fixed_from,
    fixed_to_decimal,
    from_increments,
    to_increments,
)
from qtxconn.core.l2_book cimport BookInvalid, BookLevel, L2Book, LastTrade, Side

from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import AmountError, ConfigurationError, MessageError

cdef Py_ssize_t _DEPTH_MAX = 65536     # L2Book::kLevelsMax

_INVALID_NAMES = {
    <int>BookInvalid.none: None,
    <int>BookInvalid.empty: "empty",
    <int>BookInvalid.crossed: "crossed",
    <int>BookInvalid.gap: "gap",
    <int>BookInvalid.disconnected: "disconnected",
}
_INVALID_CODES = {"gap": <int>BookInvalid.gap, "disconnected": <int>BookInvalid.disconnected}


cdef class OrderBook:
    """L2 book of one pair. Prices are Decimals in quote per base, amounts in base asset.

    Inside, a price is a count of ticks and an amount a count of lots; a number off that grid is a MessageError and
    changes nothing. Reads are safe while another thread applies market data. A book that is not `valid` still shows
    what it holds, and `invalid_reason` says what is wrong: "empty", "crossed", "gap" or "disconnected".
    """

    def __init__(self, str trading_pair not None, tick_size, lot_size, *, Clock clock not None=SYSTEM_CLOCK):
        self.trading_pair = trading_pair
        self._clock = clock
        self.c_tick_size = fixed_from(tick_size)
        self.c_lot_size = fixed_from(lot_size)
        if self.c_tick_size.units <= 0 or self.c_lot_size.units <= 0:
            raise ConfigurationError(f"{trading_pair}: tick size and lot size of a book must be positive")
        self._book = make_unique[L2Book]()

    cdef L2Book* c_book(self) noexcept nogil:
        return self._book.get()

    # -- writing ---------------------------------------------------------------------------------------------

    def apply_snapshot(self, bids, asks, update_id, int64_t timestamp_ns=0):
        """Replaces the book. `bids` and `asks` are iterables of (price, amount) as Decimals or decimal text;
        `timestamp_ns` is when it was received (now, if 0)."""
        self._apply(bids, asks, update_id, timestamp_ns, True)

    def apply_diffs(self, bids, asks, update_id, int64_t timestamp_ns=0):
        """Sets the given levels; amount 0 removes one."""
        self._apply(bids, asks, update_id, timestamp_ns, False)

    cdef int _apply(self, object bids, object asks, object update_id, int64_t timestamp_ns, bint snapshot) except -1:
        # Everything is read before the first level is touched: a malformed message changes nothing.
        cdef vector[BookLevel] levels[2]
        cdef BookLevel level
        cdef int side
        for side, entries in enumerate((bids, asks)):
            for price, amount in entries:
                level.price = self._count(price, self.c_tick_size, "price")
                level.size = self._count(amount, self.c_lot_size, "amount")
                levels[side].push_back(level)
        cdef uint64_t number = update_id
        return self.c_apply_levels(
            levels[0].data(), levels[0].size(), levels[1].data(), levels[1].size(), number, timestamp_ns, snapshot
        )

    cdef int c_apply_levels(
        self, const BookLevel* bids, size_t bid_count, const BookLevel* asks, size_t ask_count, uint64_t update_id,
        int64_t timestamp_ns, bint snapshot
    ) except -1:
        cdef L2Book* book = self.c_book()
        cdef size_t i
        if timestamp_ns == 0:
            timestamp_ns = self._clock.c_now_ns()
        with nogil:
            book.lock.lock()
            if snapshot:
                book.begin_snapshot()
            for i in range(bid_count):
                book.set_level(Side.bid, bids[i].price, bids[i].size)
            for i in range(ask_count):
                book.set_level(Side.ask, asks[i].price, asks[i].size)
            book.commit(update_id, timestamp_ns)
            book.lock.unlock()
        return 0

    cdef int64_t _count(self, object value, Fixed increment, str what) except? -1:
        cdef int64_t count = 0
        cdef FixedError error
        try:
            error = to_increments(fixed_from(value), increment, Rounding.down, count)
        except AmountError as problem:
            raise MessageError(f"{self.trading_pair}: {what}: {problem}") from None
        if error != FixedError.ok or count < 0:
            raise MessageError(f"{self.trading_pair}: {what} {value} is negative or no multiple of "
                               f"{fixed_to_decimal(increment)}")
        return count

    def apply_trade(self, price, amount, bint is_buy, int64_t timestamp_ns=0):
        """Notes the last public trade; `is_buy` is the taker's side."""
        cdef LastTrade trade
        trade.price = self._count(price, self.c_tick_size, "price")
        trade.size = self._count(amount, self.c_lot_size, "amount")
        trade.time_ns = timestamp_ns
        trade.taker_side = Side.bid if is_buy else Side.ask
        cdef L2Book* book = self.c_book()
        book.lock.lock()
        book.set_trade(trade)
        book.lock.unlock()

    def invalidate(self, str reason not None="gap"):
        """The book lost touch ("gap" or "disconnected"): it stays invalid until the next snapshot."""
        if reason not in _INVALID_CODES:
            raise ValueError(f"reason {reason!r} is none of {sorted(_INVALID_CODES)}")
        cdef int code = _INVALID_CODES[reason]
        cdef L2Book* book = self.c_book()
        cdef int64_t now_ns = self._clock.c_now_ns()
        book.lock.lock()
        book.invalidate(<BookInvalid>code, now_ns)
        book.lock.unlock()

    # -- reading ---------------------------------------------------------------------------------------------

    @property
    def tick_size(self):
        return fixed_to_decimal(self.c_tick_size)

    @property
    def lot_size(self):
        return fixed_to_decimal(self.c_lot_size)

    @property
    def valid(self) -> bool:
        return self.c_book().valid()

    @property
    def invalid_reason(self):
        """None while the book is valid, else "empty", "crossed", "gap" or "disconnected"."""
        return _INVALID_NAMES[<int>self.c_book().invalid_reason()]

    @property
    def valid_since_ns(self) -> int:
        """Local wall time since which the book has been valid without a break; 0 while it is not."""
        return self.c_book().valid_since_ns()

    @property
    def last_update_id(self) -> int:
        return self.c_book().last_update_id()

    @property
    def last_update_ns(self) -> int:
        """Local wall time at which the newest message was applied."""
        return self.c_book().last_update_ns()

    @property
    def revision(self) -> int:
        """Grows with every message applied; equal revisions mean an unchanged book."""
        return self.c_book().revision()

    @property
    def best_bid(self):
        """Highest bid price, or None on an empty side. The same holds for the other tops."""
        return self._best(Side.bid, False)

    @property
    def best_ask(self):
        return self._best(Side.ask, False)

    @property
    def best_bid_size(self):
        return self._best(Side.bid, True)

    @property
    def best_ask_size(self):
        return self._best(Side.ask, True)

    @property
    def mid_price(self):
        """Mean of the best prices, exact; None while a side is empty."""
        cdef L2Book* book = self.c_book()
        cdef int64_t bid = 0, ask = 0
        book.lock.lock()
        if book.best(Side.bid) != NULL and book.best(Side.ask) != NULL:
            bid = book.best(Side.bid).price
            ask = book.best(Side.ask).price
        book.lock.unlock()
        return (self.c_price(bid) + self.c_price(ask)) / 2 if bid or ask else None

    @property
    def last_trade_price(self):
        cdef int64_t ticks = self.c_book().last_trade().price
        return self.c_price(ticks) if ticks else None

    def get_price(self, bint is_buy):
        """Price at which a taker would trade: best ask for a buy, best bid for a sell; None on an empty side."""
        return self._best(Side.ask if is_buy else Side.bid, False)

    def bid_entries(self, Py_ssize_t depth=20):
        """[(price, amount)] of the best `depth` bids, best first."""
        return self._entries(Side.bid, depth)

    def ask_entries(self, Py_ssize_t depth=20):
        return self._entries(Side.ask, depth)

    def get_price_for_volume(self, bint is_buy, volume):
        """Worst price that a taker of `volume` (base asset, rounded up to the lot) would pay, or None if the book
        holds less than that."""
        worst, _, _ = self._take(is_buy, volume)
        return None if worst is None else self.c_price(worst)

    def get_vwap_for_volume(self, bint is_buy, volume):
        """Mean price that a taker of `volume` would pay, weighted by amount, or None as above. The quotient is rounded
        to the precision of the Decimal context."""
        worst, lots, tick_lots = self._take(is_buy, volume)
        return None if worst is None else Decimal(tick_lots) * self.tick_size / lots

    def get_volume_for_price(self, bint is_buy, price):
        """Amount (base asset) that a taker could trade at `price` or better."""
        limit = fixed_to_decimal(fixed_from(price))
        total = Decimal(0)
        for level, amount in self._entries(Side.ask if is_buy else Side.bid, _DEPTH_MAX):
            if level > limit if is_buy else level < limit:
                break
            total += amount
        return total

    cdef tuple _take(self, bint is_buy, object volume):
        # -> (worst ticks or None, lots, sum of ticks * lots) of taking a volume, in Python's unbounded integers.
        cdef int64_t wanted = 0
        cdef FixedError error = to_increments(fixed_from(volume), self.c_lot_size, Rounding.up, wanted)
        if (error != FixedError.ok and error != FixedError.inexact) or wanted <= 0:
            raise AmountError(f"{self.trading_pair}: a volume must be positive, not {volume}")
        cdef vector[BookLevel] levels = self._levels(Side.ask if is_buy else Side.bid, _DEPTH_MAX)
        cdef int64_t rest = wanted
        cdef int64_t taken
        cdef size_t i
        tick_lots = 0
        for i in range(levels.size()):
            taken = min(rest, levels[i].size)
            tick_lots += <object>levels[i].price * <object>taken
            rest -= taken
            if rest == 0:
                return levels[i].price, wanted, tick_lots
        return None, wanted, tick_lots

    cdef object c_price(self, int64_t ticks):
        cdef Fixed value
        return fixed_to_decimal(fixed_checked(from_increments(ticks, self.c_tick_size, value), value))

    cdef object c_amount(self, int64_t lots):
        cdef Fixed value
        return fixed_to_decimal(fixed_checked(from_increments(lots, self.c_lot_size, value), value))

    cdef object _best(self, Side side, bint size):
        cdef L2Book* book = self.c_book()
        cdef BookLevel top
        cdef const BookLevel* best
        book.lock.lock()
        best = book.best(side)
        if best != NULL:
            top = best[0]
        book.lock.unlock()
        if best == NULL:
            return None
        return self.c_amount(top.size) if size else self.c_price(top.price)

    cdef vector[BookLevel] _levels(self, Side side, Py_ssize_t depth) except *:
        # Room is made before the lock is taken: nothing that can fail happens under it.
        cdef vector[BookLevel] levels
        cdef L2Book* book = self.c_book()
        cdef size_t count = <size_t>min(max(depth, 0), _DEPTH_MAX)
        cdef size_t i
        levels.reserve(count)
        book.lock.lock()
        for i in range(min(count, book.depth(side))):
            levels.push_back(book.level(side, i)[0])
        book.lock.unlock()
        return levels

    cdef list _entries(self, Side side, Py_ssize_t depth):
        cdef vector[BookLevel] levels = self._levels(side, depth)
        cdef size_t i
        return [(self.c_price(levels[i].price), self.c_amount(levels[i].size)) for i in range(levels.size())]

    def __repr__(self):
        state = "valid" if self.valid else f"invalid: {self.invalid_reason}"
        return f"OrderBook({self.trading_pair!r}, {self.best_bid} / {self.best_ask}, {state})"
