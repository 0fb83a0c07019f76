"""`Strategy`: what a feed calls inside its receive loop, to subclass in Cython or in Python."""

import logging

from libc.math cimport NAN
from libc.stdint cimport int64_t

from qtxconn.core.fixed cimport Fixed
from qtxconn.core.l2_book cimport L2Book, Side
from qtxconn.core.order_book cimport OrderBook

_logger = logging.getLogger("qtxconn.qtx.strategy")


cdef double _value(int64_t count, Fixed increment) noexcept nogil:
    """The double nearest to the decimal that a count of increments is: one rounding, at the quotient."""
    cdef double power = 1.0
    cdef int i
    for i in range(increment.scale):
        power *= 10.0
    return <double>(count * increment.units) / power


cdef void _on_book(void* context, int symbol, const L2Book* book, int64_t received_ns) noexcept nogil:
    (<Strategy>context).c_on_book(symbol, book, received_ns)


cdef void _on_trade(void* context, const FeedTrade* trade) noexcept nogil:
    (<Strategy>context).c_on_trade(trade)


cdef class Strategy:
    """Give one to `UdpFeed.set_strategy()`. Its methods run in the thread that receives, between a datagram and the next:
    the time they take is latency of the next datagram, and nothing is conflated.

    In Python override `on_book` and `on_trade`; what they raise is logged. In Cython override `c_on_book` and
    `c_on_trade` instead, which are called without the GIL.
    """

    def __cinit__(self, *args, **kwargs):
        self._books = []
        self._wants_book = type(self).on_book is not Strategy.on_book
        self._wants_trade = type(self).on_trade is not Strategy.on_trade

    def on_book(self, book, double bid, double ask):
        """The book has changed. `bid` and `ask` are its best prices in quote per base, NaN while it is not valid; `book`
        is the OrderBook with all the rest."""

    def on_trade(self, book, double price, double amount, bint is_buy):
        """A public trade: quote per base, base asset, the taker's side."""

    cdef void c_on_book(self, int symbol, const L2Book* book, int64_t received_ns) noexcept nogil:
        if self._wants_book:
            with gil:
                _call_on_book(self, symbol, book)

    cdef void c_on_trade(self, const FeedTrade* trade) noexcept nogil:
        if self._wants_trade:
            with gil:
                _call_on_trade(self, trade)

    cdef FeedHandler c_handler(self) noexcept:
        cdef FeedHandler handler
        handler.context = <void*>self
        handler.on_book = _on_book
        handler.on_trade = _on_trade
        return handler

    cdef int c_add_book(self, int symbol, OrderBook book) except -1:
        while len(self._books) <= symbol:
            self._books.append(None)
        self._books[symbol] = book
        return 0


cdef void _call_on_book(Strategy strategy, int symbol, const L2Book* shown) noexcept:
    cdef OrderBook book = strategy._books[symbol]
    cdef double bid = NAN
    cdef double ask = NAN
    if shown.valid():
        bid = _value(shown.best(Side.bid).price, book.c_tick_size)
        ask = _value(shown.best(Side.ask).price, book.c_tick_size)
    try:
        strategy.on_book(book, bid, ask)
    except Exception:
        _logger.exception("on_book(%s) failed", book.trading_pair)


cdef void _call_on_trade(Strategy strategy, const FeedTrade* trade) noexcept:
    cdef OrderBook book = strategy._books[trade.symbol]
    cdef double price = _value(trade.price, book.c_tick_size)
    try:
        strategy.on_trade(book, price, _value(trade.size, book.c_lot_size), trade.is_buy)
    except Exception:
        _logger.exception("on_trade(%s) failed", book.trading_pair)
