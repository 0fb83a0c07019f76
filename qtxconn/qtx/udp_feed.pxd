# The QTX market-data feed for Cython: cimport UdpFeed and give it a Strategy or a FeedHandler (see strategy.pxd).

from libc.stdint cimport int64_t, uint64_t
from libcpp.vector cimport vector

from qtxconn.core.clock cimport Clock
from qtxconn.qtx.feed_core cimport Feed, FeedNews
from qtxconn.qtx.feed_link cimport FeedLink
from qtxconn.qtx.strategy cimport FeedHandler, Strategy


cdef class UdpFeed:
    cdef:
        readonly str driver
        readonly str state              # "stopped", "connected" or "reconnecting"
        public object on_book           # (trading_pair: str) -> None, on the event loop's thread
        public object on_trade          # (trading_pair, price: Decimal, size: Decimal, is_buy: bool, time_s: float)
        FeedLink _link
        Feed* _feed                     # the link's
        Strategy _strategy              # kept alive while the feed calls it
        Clock _clock
        object _loop                    # the running loop between start() and stop()
        object _housekeeping            # asyncio.Task
        set _renewals                   # asyncio.Task
        object _backoff                 # of the whole connection
        int64_t _connected_ns           # monotonic time of the last start or reconnection
        bint _waits_for_room            # a queue with overflow="block" is full: nothing is received
        object _sequence                # a rule, or rules by prefix of the feed symbol
        int64_t _spin_ns
        int64_t _yield_ns
        int _cpu
        double _subscribe_timeout_s
        dict _subscriptions             # trading pair -> _Subscription
        list _by_number                 # symbol number -> _Subscription, for ever
        set _left                       # symbols that were unsubscribed, whose confirmations may come
        list _pings                     # asyncio.Future
        bint _dispatching
        vector[int] _changed
        double _message_rate
        uint64_t _rate_messages
        int64_t _rate_since_ns

    # For strategies in Cython and C++: valid while this object lives.
    cdef Feed* c_feed(self) noexcept nogil
    cdef int c_poll(self, int max_n) noexcept nogil
    cdef void c_set_handler(self, FeedHandler handler) noexcept

    cdef int _dispatch(self) except -1
    cdef int _call_back(self) except -1
    cdef int _dispatch_news(self) except -1
    cdef bint _deliver(self, const FeedNews* news) except -1
    cdef int _dispatch_texts(self) except -1
