"""The order book as Python sees it: exact Decimals and numpy views over the C++ book, and whether it may be trusted."""

from decimal import Decimal

import numpy as np

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cython.operator cimport dereference as deref
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint64_t
from libc.string cimport memcpy
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
from qtxconn.core.l2_book cimport (
    BookInvalid,
    BookLayout,
    BookLevel,
    BookQuery,
    L2Book,
    LastTrade,
    Side,
    high_half,
    int128,
    join_int128,
    low_half,
    take_lots,
    take_quote,
    take_to_price,
)

from qtxconn.core.book_types import LEVEL_DTYPE, BookSnapshot, OrderBookQueryResult
from qtxconn.core.clock import SYSTEM_CLOCK
from qtxconn.errors import AmountError, ConfigurationError, MessageError

cdef Py_ssize_t _DEPTH_MAX = 65536     # L2Book::kLevelsMax
cdef size_t _DEPTH_MARGIN = 64          # levels that may come while room is made for a copy

_INVALID_NAMES = {
    <int>BookInvalid.none: None,
    <int>BookInvalid.empty: "empty",
    <int>BookInvalid.crossed: "crossed",
    <int>BookInvalid.gap: "gap",
    <int>BookInvalid.disconnected: "disconnected",
}
_INVALID_CODES = {"gap": <int>BookInvalid.gap, "disconnected": <int>BookInvalid.disconnected}


cdef dict _touch_dtype():
    cdef L2Book book
    cdef BookLayout at = book.layout()
    fields = {
        "sequence": ("<u8", at.sequence), "bid_price": ("<i8", at.bid_price), "bid_size": ("<i8", at.bid_size),
        "ask_price": ("<i8", at.ask_price), "ask_size": ("<i8", at.ask_size), "revision": ("<u8", at.revision),
        "last_update_id": ("<u8", at.last_update_id), "last_update_ns": ("<i8", at.last_update_ns),
        "valid_since_ns": ("<i8", at.valid_since_ns), "invalid": ("u1", at.invalid),
    }
    formats, offsets = zip(*fields.values(), strict=True)
    return {"names": list(fields), "formats": formats, "offsets": offsets, "itemsize": sizeof(L2Book)}


_TOUCH_DTYPE = np.dtype(_touch_dtype())


cdef class _BookMemory:
    """Read-only buffer over a book's own memory, which it keeps alive."""

    cdef OrderBook _owner

    def __cinit__(self, OrderBook owner not None):
        self._owner = owner

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self._owner.c_book(), sizeof(L2Book), 1, flags)


cdef object _level_array(const vector[BookLevel]& levels):
    array = np.empty(levels.size(), LEVEL_DTYPE)
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    if not levels.empty():  # memcpy() takes no null pointer, not even for nothing
        memcpy(view.buf, levels.data(), levels.size() * sizeof(BookLevel))
    PyBuffer_Release(&view)
    return array


cdef object _exact(object units, int scale):
    # units * 10^-scale as a Decimal without trailing zeros, whatever the context's precision.
    while scale > 0 and units % 10 == 0:
        units //= 10
        scale -= 1
    return Decimal(f"{units}E-{scale}") if scale else Decimal(units)


cdef object _to_int(int128 value):
    return (<object>high_half(value) << 64) | <object>low_half(value)


cdef int128 _to_int128(object value) except *:
    value = min(value, 2**127 - 1)     # more than any book's sums
    return join_int128(<int64_t>(value >> 64), <uint64_t>(value & (2**64 - 1)))


cdef FixedError _counted(Fixed value, Fixed* step, int64_t& count) noexcept nogil:
    # `value` in steps. If it is no multiple, the step becomes the decimal one of which both are multiples.
    cdef FixedError error = to_increments(value, step[0], Rounding.down, count)
    if error == FixedError.inexact:
        step.scale = max(step.scale, value.scale)
        step.units = 1
    return error


cdef class OrderBook:
    """L2 book of one pair. Prices are Decimals in quote per base, amounts in base asset.

    Inside, a price is a count of ticks and an amount a count of lots. Without a tick or lot size (None), and when a
    message carries a number that is no multiple, the book goes on with a finer decimal step and loses nothing but
    speed: `price_step` and `size_step` say what a count of one is worth now. What is negative, no number or too long
    for 64-bit counts is a MessageError and changes nothing.

    Reads are safe while another thread applies market data. A book that is not `valid` still shows what it holds, and
    `invalid_reason` says what is wrong: "empty", "crossed", "gap" or "disconnected".
    """

    def __cinit__(self, *args, **kwargs):
        self._book = make_unique[L2Book]()     # once: views and feeds point at it

    def __init__(self, str trading_pair not None, tick_size, lot_size, *, Clock clock not None=SYSTEM_CLOCK):
        self.trading_pair = trading_pair
        self._clock = clock
        self.c_tick_size = fixed_from(1 if tick_size is None else tick_size)
        self.c_lot_size = fixed_from(1 if lot_size is None else lot_size)
        if self.c_tick_size.units <= 0 or self.c_lot_size.units <= 0:
            raise ConfigurationError(f"{trading_pair}: tick size and lot size of a book must be positive")
        self.tick_size = None if tick_size is None else fixed_to_decimal(self.c_tick_size)
        self.lot_size = None if lot_size is None else fixed_to_decimal(self.c_lot_size)
        self._tick_power = 10.0**self.c_tick_size.scale

    cdef L2Book* c_book(self) noexcept nogil:
        return self._book.get()

    cdef int c_fix_steps(self) except -1:
        if self.tick_size is None or self.lot_size is None:
            raise ConfigurationError(f"{self.trading_pair}: a book fed with binary numbers needs its tick size and "
                                     "lot size: pass both to OrderBook")
        if self.price_step != self.tick_size or self.size_step != self.lot_size:
            raise ConfigurationError(f"{self.trading_pair}: the book has taken numbers off its tick or lot size; "
                                     "make a new one with the venue's present sizes")
        self._steps_fixed = True
        return 0

    # -- writing ---------------------------------------------------------------------------------------------

    def apply_snapshot(self, bids, asks, update_id, int64_t timestamp_ns=0):
        """Replaces the book. `bids` and `asks` are iterables of (price, amount) as Decimals or decimal text;
        `timestamp_ns` is the local time of receipt (now if 0)."""
        self._apply(bids, asks, update_id, timestamp_ns, True)

    def apply_diffs(self, bids, asks, update_id, int64_t timestamp_ns=0) -> bool:
        """Sets the given levels; amount 0 removes one. False: the update is older than the book, which stays."""
        if update_id < self.c_book().last_update_id():
            return False
        self._apply(bids, asks, update_id, timestamp_ns, False)
        return True

    cdef int _apply(self, object bids, object asks, object update_id, int64_t timestamp_ns, bint snapshot) except -1:
        # Everything is read before the first level is touched: a malformed message changes nothing.
        cdef vector[ExactLevel] exact[2]
        cdef vector[BookLevel] levels[2]
        cdef uint64_t number = update_id
        exact[0] = self._read(bids)
        exact[1] = self._read(asks)
        cdef Fixed tick = self.c_tick_size
        cdef Fixed lot = self.c_lot_size
        while self._count(exact[0], levels[0], &tick, &lot) or self._count(exact[1], levels[1], &tick, &lot):
            pass
        self._refine(tick, lot)
        return self.c_apply_levels(
            levels[0].data(), levels[0].size(), levels[1].data(), levels[1].size(), number, timestamp_ns, snapshot
        )

    cdef int c_apply_levels(
        self, const BookLevel* bids, size_t bid_count, const BookLevel* asks, size_t ask_count, uint64_t update_id,
        int64_t timestamp_ns, bint snapshot
    ) except -1:
        cdef L2Book* book = self.c_book()
        if timestamp_ns == 0:
            timestamp_ns = self._clock.c_now_ns()
        with nogil:
            book.lock.lock()
            if snapshot:
                book.begin_snapshot()
            book.set_levels(Side.bid, bids, bid_count)
            book.set_levels(Side.ask, asks, ask_count)
            book.commit(update_id, timestamp_ns)
            book.lock.unlock()
        return 0

    cdef vector[ExactLevel] _read(self, object entries) except *:
        cdef vector[ExactLevel] levels
        cdef ExactLevel level
        for price, amount in entries:
            level.price = self._positive(price, "price")
            level.size = self._positive(amount, "amount")
            levels.push_back(level)
        return levels

    cdef Fixed _positive(self, object value, str what) except *:
        cdef Fixed fixed
        try:
            fixed = fixed_from(value)
        except AmountError as problem:
            raise MessageError(f"{self.trading_pair}: {what}: {problem}") from None
        if fixed.units < 0:
            raise MessageError(f"{self.trading_pair}: {what} {value} is negative")
        return fixed

    cdef int _count(
        self, const vector[ExactLevel]& exact, vector[BookLevel]& counts, Fixed* tick, Fixed* lot
    ) except -1:
        # The levels as counts. 1: `tick` or `lot` became finer, so all levels of the message have to be counted again.
        cdef FixedError price_error, size_error
        cdef size_t i
        counts.resize(exact.size())
        for i in range(exact.size()):
            price_error = _counted(exact[i].price, tick, counts[i].price)
            size_error = _counted(exact[i].size, lot, counts[i].size)
            if price_error == FixedError.inexact or size_error == FixedError.inexact:
                return 1
            if price_error != FixedError.ok or size_error != FixedError.ok:
                raise MessageError(
                    f"{self.trading_pair}: amount {fixed_to_decimal(exact[i].size)} at price "
                    f"{fixed_to_decimal(exact[i].price)} is too much to be counted in steps of "
                    f"{fixed_to_decimal(lot[0])} and {fixed_to_decimal(tick[0])}"
                )
        return 0

    cdef int _refine(self, Fixed tick, Fixed lot) except -1:
        cdef int64_t price_factor = 1
        cdef int64_t size_factor = 1
        cdef bint fits
        cdef L2Book* book = self.c_book()
        fits = to_increments(self.c_tick_size, tick, Rounding.down, price_factor) == FixedError.ok
        fits = fits and to_increments(self.c_lot_size, lot, Rounding.down, size_factor) == FixedError.ok
        if price_factor == 1 and size_factor == 1:
            return 0
        if self._steps_fixed:
            raise MessageError(f"{self.trading_pair}: a price or amount is no multiple of {self.tick_size} or "
                               f"{self.lot_size}")
        book.lock.lock()
        fits = fits and book.rescale(price_factor, size_factor)
        if fits:
            self.c_tick_size = tick
            self.c_lot_size = lot
            self._tick_power = 10.0**tick.scale
        book.lock.unlock()
        if not fits:
            raise MessageError(f"{self.trading_pair}: the book's levels cannot be counted in steps of "
                               f"{fixed_to_decimal(tick)} and {fixed_to_decimal(lot)}")
        return 0

    def apply_trade(self, price, amount, bint is_buy, int64_t timestamp_ns=0):
        """Notes the last public trade; `is_buy` is the taker's side."""
        cdef LastTrade trade
        cdef vector[ExactLevel] exact = self._read([(price, amount)])
        cdef vector[BookLevel] counts
        cdef Fixed tick = self.c_tick_size
        cdef Fixed lot = self.c_lot_size
        while self._count(exact, counts, &tick, &lot):
            pass
        self._refine(tick, lot)
        trade.price = counts[0].price
        trade.size = counts[0].size
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

    # -- state -----------------------------------------------------------------------------------------------

    @property
    def price_step(self):
        """What a tick count of one is worth, in quote per base: the tick size, or a finer decimal step."""
        return fixed_to_decimal(self.c_tick_size)

    @property
    def size_step(self):
        """What a lot count of one is worth, in base asset: the lot size, or a finer decimal step."""
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

    # -- the touch -------------------------------------------------------------------------------------------

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
    def touch(self):
        """(best bid, best ask) as floats nearest to the prices, for signals and displays; None on an empty side."""
        cdef L2Book* book = self.c_book()
        book.lock.lock()
        cdef int64_t bid = book.best_bid_ticks()
        cdef int64_t ask = book.best_ask_ticks()
        cdef bint has_bid = book.best_bid_lots() != 0
        cdef bint has_ask = book.best_ask_lots() != 0
        book.lock.unlock()
        return self.c_float_price(bid) if has_bid else None, self.c_float_price(ask) if has_ask else None

    @property
    def mid_price(self):
        """Mean of the best prices, exact; None while a side is empty."""
        cdef L2Book* book = self.c_book()
        book.lock.lock()
        cdef bint whole = book.best_bid_lots() != 0 and book.best_ask_lots() != 0
        cdef int64_t bid = book.best_bid_ticks()
        cdef int64_t ask = book.best_ask_ticks()
        book.lock.unlock()
        return (self.c_price(bid) + self.c_price(ask)) / 2 if whole else None

    @property
    def last_trade_price(self):
        cdef int64_t ticks = self.c_book().last_trade().price
        return self.c_price(ticks) if ticks else None

    def get_price(self, bint is_buy):
        """Price at which a taker would trade: best ask for a buy, best bid for a sell; None on an empty side."""
        return self._best(Side.ask if is_buy else Side.bid, False)

    def live_touch(self):
        """The touch as numpy sees it in the book's own memory: a read-only structured array of no dimension.

        A view, not a copy: its fields change with the book, and it keeps the book alive. Fields: `bid_price`,
        `bid_size`, `ask_price`, `ask_size` (ticks and lots; size 0: no level), `revision`, `last_update_id`,
        `last_update_ns`, `valid_since_ns` (the last time the book became valid), `invalid` (0 while it is valid)
        and `sequence`, which is odd while another thread writes. Values belong to one message if `sequence` was the
        same even number before and after they were read.
        """
        return np.frombuffer(_BookMemory(self), _TOUCH_DTYPE, 1).reshape(())

    # -- levels ----------------------------------------------------------------------------------------------

    def bid_entries(self, Py_ssize_t depth=20):
        """[(price, amount)] of the best `depth` bids, best first."""
        return self._entries(Side.bid, depth)

    def ask_entries(self, Py_ssize_t depth=20):
        return self._entries(Side.ask, depth)

    def depth_into(self, bids, asks) -> tuple:
        """Copies the best levels of both sides, of one moment, into arrays of yours: (bids copied, asks copied).

        `bids` and `asks` are one-dimensional, contiguous numpy arrays of `LEVEL_DTYPE` (ticks and lots), best level
        first; what is beyond the number returned is left as it was. Nothing is allocated, so the arrays can be used
        again for every message. There is no view on the levels themselves: near the touch they are a ring of ticks.
        """
        cdef Py_buffer views[2]
        cdef size_t copied[2]
        cdef L2Book* book = self.c_book()
        for array in (bids, asks):
            if getattr(array, "dtype", None) != LEVEL_DTYPE or array.ndim != 1:
                raise ValueError("levels go into one-dimensional numpy arrays of LEVEL_DTYPE")
        PyObject_GetBuffer(bids, &views[0], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
        try:
            PyObject_GetBuffer(asks, &views[1], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
            book.lock.lock()
            copied[0] = book.copy_levels(Side.bid, <BookLevel*>views[0].buf, views[0].len // sizeof(BookLevel))
            copied[1] = book.copy_levels(Side.ask, <BookLevel*>views[1].buf, views[1].len // sizeof(BookLevel))
            book.lock.unlock()
            PyBuffer_Release(&views[1])
        finally:
            PyBuffer_Release(&views[0])
        return copied[0], copied[1]

    def snapshot(self, Py_ssize_t depth=_DEPTH_MAX):
        """A copy of the best `depth` levels of both sides, as numpy arrays, with what says how good it is."""
        cdef L2Book* book = self.c_book()
        cdef vector[BookLevel] bids, asks
        book.lock.lock()
        while not (self._copy(Side.bid, depth, bids) and self._copy(Side.ask, depth, asks)):
            book.lock.unlock()
            bids.resize(book.depth(Side.bid) + _DEPTH_MARGIN)
            asks.resize(book.depth(Side.ask) + _DEPTH_MARGIN)
            book.lock.lock()
        cdef uint64_t update_id = book.last_update_id()
        cdef int64_t update_ns = book.last_update_ns()
        cdef uint64_t revision = book.revision()
        cdef int reason = <int>book.invalid_reason()
        book.lock.unlock()
        return BookSnapshot(_level_array(bids), _level_array(asks), update_id, update_ns, revision,
                            _INVALID_NAMES[reason])

    # -- what a taker would get ------------------------------------------------------------------------------

    def get_price_for_volume(self, bint is_buy, volume):
        """Worst price that a taker of `volume` (base asset) would pay."""
        worst, _, taken = self._take_volume(is_buy, volume)
        return OrderBookQueryResult(None, fixed_to_decimal(fixed_from(volume)), worst, taken, worst is not None)

    def get_vwap_for_volume(self, bint is_buy, volume):
        """Mean price that a taker of `volume` (base asset) would pay, weighted by amount.

        The mean is a quotient: it is rounded to the precision of the Decimal context, once.
        """
        worst, quote, taken = self._take_volume(is_buy, volume)
        mean = None if worst is None else quote / taken
        return OrderBookQueryResult(None, fixed_to_decimal(fixed_from(volume)), mean, taken, worst is not None)

    def get_quote_volume_for_base_amount(self, bint is_buy, base_amount):
        """What a taker of `base_amount` (base asset) would pay or receive in all, in quote asset."""
        worst, quote, _ = self._take_volume(is_buy, base_amount)
        return OrderBookQueryResult(None, fixed_to_decimal(fixed_from(base_amount)), worst, quote, worst is not None)

    def get_price_for_quote_volume(self, bint is_buy, quote_volume):
        """Worst price for a taker who spends or receives `quote_volume` (quote asset)."""
        worst, quote, _, _ = self._take_quote(is_buy, quote_volume)
        return OrderBookQueryResult(None, fixed_to_decimal(fixed_from(quote_volume)), worst, quote, worst is not None)

    def get_vwap_for_quote_volume(self, bint is_buy, quote_volume):
        """Mean price for a taker who spends or receives `quote_volume` (quote asset); rounded as above."""
        worst, quote, _, mean = self._take_quote(is_buy, quote_volume)
        return OrderBookQueryResult(None, fixed_to_decimal(fixed_from(quote_volume)), mean, quote, worst is not None)

    def get_base_amount_for_quote_volume(self, bint is_buy, quote_volume):
        """Amount (base asset) that a taker gets or gives for `quote_volume` (quote asset); rounded as above."""
        worst, _, base, _ = self._take_quote(is_buy, quote_volume)
        return OrderBookQueryResult(None, fixed_to_decimal(fixed_from(quote_volume)), worst, base, worst is not None)

    def get_volume_for_price(self, bint is_buy, price):
        """Amount (base asset) that a taker could trade at `price` or better; `result_price` is the last level's."""
        cdef BookQuery query = self._take_price(is_buy, price)
        last = self.c_price(query.price) if _to_int(query.lots) else None
        return OrderBookQueryResult(fixed_to_decimal(fixed_from(price)), None, last, self._base(query))

    def get_quote_volume_for_price(self, bint is_buy, price):
        """Amount (quote asset) that a taker could trade at `price` or better; `result_price` is the last level's."""
        cdef BookQuery query = self._take_price(is_buy, price)
        last = self.c_price(query.price) if _to_int(query.lots) else None
        return OrderBookQueryResult(fixed_to_decimal(fixed_from(price)), None, last, self._quote(query))

    cdef tuple _take_volume(self, bint is_buy, object volume):
        # -> (worst price or None, quote amount, base amount) of taking a volume, or what there is.
        cdef Fixed wanted = fixed_from(volume)
        if wanted.units <= 0:
            raise AmountError(f"{self.trading_pair}: a volume must be positive, not {volume}")
        # Base amounts are counted in 10^-(scale + lot_scale), in Python's unbounded integers from here on.
        scale, lot_scale, tick_scale = wanted.scale, self.c_lot_size.scale, self.c_tick_size.scale
        base = <object>wanted.units * 10**lot_scale
        per_lot = <object>self.c_lot_size.units * 10**scale
        cdef int128 lots = _to_int128(-(-base // per_lot))
        cdef L2Book* book = self.c_book()
        book.lock.lock()
        cdef BookQuery query = take_lots(deref(book), Side.ask if is_buy else Side.bid, lots)
        book.lock.unlock()
        if not query.complete:
            return None, self._quote(query), self._base(query)
        rest = base - _to_int(query.lots) * per_lot
        quote = (_to_int(query.tick_lots) * per_lot + query.price * rest) * self.c_tick_size.units
        return self.c_price(query.price), _exact(quote, scale + lot_scale + tick_scale), fixed_to_decimal(wanted)

    cdef tuple _take_quote(self, bint is_buy, object quote):
        # -> (worst price or None, quote amount, base amount, mean price or None) of taking an amount of quote.
        cdef Fixed wanted = fixed_from(quote)
        if wanted.units <= 0:
            raise AmountError(f"{self.trading_pair}: a volume must be positive, not {quote}")
        # Quote amounts are counted in 10^-all, in Python's unbounded integers from here on.
        scale, lot_scale, tick_scale = wanted.scale, self.c_lot_size.scale, self.c_tick_size.scale
        all = scale + lot_scale + tick_scale
        amount = <object>wanted.units * 10**(tick_scale + lot_scale)
        per_tick_lot = <object>self.c_tick_size.units * self.c_lot_size.units * 10**scale
        cdef int128 tick_lots = _to_int128(-(-amount // per_tick_lot))
        cdef L2Book* book = self.c_book()
        book.lock.lock()
        cdef BookQuery query = take_quote(deref(book), Side.ask if is_buy else Side.bid, tick_lots)
        book.lock.unlock()
        if not query.complete:
            return None, self._quote(query), self._base(query), None
        # base amount = whole lots + rest / price, as one quotient.
        price = <object>query.price * self.c_tick_size.units
        rest = amount - _to_int(query.tick_lots) * per_tick_lot
        numerator = _exact(_to_int(query.lots) * self.c_lot_size.units * 10**scale * price + rest, all)
        base = numerator / _exact(price, tick_scale)
        mean = _exact(<object>wanted.units * price, scale + tick_scale) / numerator
        return self.c_price(query.price), fixed_to_decimal(wanted), base, mean

    cdef BookQuery _take_price(self, bint is_buy, object price) except *:
        cdef int64_t limit = 0
        cdef Rounding inwards = Rounding.floor if is_buy else Rounding.ceiling
        cdef Fixed exact = fixed_from(price)
        cdef BookQuery query
        cdef L2Book* book = self.c_book()
        if to_increments(exact, self.c_tick_size, inwards, limit) == FixedError.overflow:
            limit = INT64_MAX if exact.units > 0 else INT64_MIN
        book.lock.lock()
        query = take_to_price(deref(book), Side.ask if is_buy else Side.bid, limit)
        book.lock.unlock()
        return query

    cdef object _base(self, const BookQuery& query):
        return _exact(_to_int(query.lots) * self.c_lot_size.units, self.c_lot_size.scale)

    cdef object _quote(self, const BookQuery& query):
        if query.overflow:
            raise AmountError(f"{self.trading_pair}: the book's levels add up to more than can be held exactly")
        return _exact(_to_int(query.tick_lots) * self.c_tick_size.units * self.c_lot_size.units,
                      self.c_tick_size.scale + self.c_lot_size.scale)

    # -- inside ----------------------------------------------------------------------------------------------

    cdef object c_price(self, int64_t ticks):
        cdef Fixed value
        return fixed_to_decimal(fixed_checked(from_increments(ticks, self.c_tick_size, value), value))

    cdef object c_amount(self, int64_t lots):
        cdef Fixed value
        return fixed_to_decimal(fixed_checked(from_increments(lots, self.c_lot_size, value), value))

    cdef double c_float_price(self, int64_t ticks) noexcept nogil:
        # Exact product and one rounding, wherever ticks * units is below 2^53.
        return <double>ticks * <double>self.c_tick_size.units / self._tick_power

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

    cdef bint _copy(self, Side side, Py_ssize_t depth, vector[BookLevel]& levels) noexcept:
        # Under the lock, where nothing may fail: copies if there is room, and then cuts `levels` to what there is.
        cdef L2Book* book = self.c_book()
        cdef size_t count = min(<size_t>max(depth, 0), book.depth(side))
        if levels.size() < count:
            return False
        levels.resize(book.copy_levels(side, levels.data(), count))
        return True

    cdef vector[BookLevel] _levels(self, Side side, Py_ssize_t depth) except *:
        cdef vector[BookLevel] levels
        cdef L2Book* book = self.c_book()
        book.lock.lock()
        while not self._copy(side, depth, levels):
            book.lock.unlock()
            levels.resize(book.depth(side) + _DEPTH_MARGIN)
            book.lock.lock()
        book.lock.unlock()
        return levels

    cdef list _entries(self, Side side, Py_ssize_t depth):
        cdef vector[BookLevel] levels = self._levels(side, depth)
        cdef size_t i
        return [(self.c_price(levels[i].price), self.c_amount(levels[i].size)) for i in range(levels.size())]

    def __repr__(self):
        state = "valid" if self.valid else f"invalid: {self.invalid_reason}"
        return f"OrderBook({self.trading_pair!r}, {self.best_bid} / {self.best_ask}, {state})"
