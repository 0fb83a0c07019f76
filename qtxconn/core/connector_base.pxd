# The base of every connector.

from qtxconn.core.connector_orders cimport ConnectorOrders


cdef class ConnectorBase(ConnectorOrders):
    cdef readonly list _trading_pairs             # list[str]
    cdef object _dead_mans_switch                 # DeadMansSwitch, or None: off
    cdef bint _cancel_on_disconnect
    cdef readonly dict _order_books               # pair -> OrderBook
    cdef dict _book_tickers                       # pair -> (since when the book was valid, BookTicker)
    cdef dict _pair_of_symbol                     # the venue's symbol -> pair, of all its pairs
    cdef dict _symbol_of_pair
    cdef dict _balances                           # asset -> (total, available)
    cdef object _lifecycle                        # asyncio.Lock: connect() and disconnect() one at a time
    cdef object _connecting                       # the task that holds it in connect()
    cdef bint _initialized                        # the network is open and the rules are known
    cdef bint _live                               # the user stream is up
    cdef bint _balances_known
    cdef bint _balances_stale                     # a look at them is under way
    cdef double _stream_broke_s                   # venue time at which the user stream was lost
    cdef long long _recovered_ns                  # monotonic: the newest recovery began
    cdef object _recovering                       # its task, for a message that could not be read
    cdef dict _news_s                             # balance or position -> venue time of the newest word on it
    cdef public long long user_stream_received_ns  # wall time at which the newest user-stream message came in
    cdef object __weakref__
