# The base of every connector.

from qtxconn.core.client_ids cimport ClientIdSource
from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.core.clock cimport Clock
from qtxconn.core.connector_hooks cimport ConnectorHooks
from qtxconn.core.fixed cimport Fixed
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_book cimport OrderBook
from qtxconn.core.order_journal cimport OrderJournalBase
from qtxconn.core.trading_rule cimport TradingRule


cdef class ConnectorBase(ConnectorHooks):
    cdef readonly Clock _clock
    cdef readonly ClientOrderTracker _order_tracker
    cdef readonly ClientIdSource _client_ids
    cdef readonly OrderJournalBase _journal       # None: orders are not kept
    cdef readonly object _pubsub                  # PubSub
    cdef readonly list _trading_pairs             # list[str]
    cdef readonly bint _trading_required
    cdef readonly dict _trading_rules             # pair -> TradingRule, of the traded pairs
    cdef readonly dict _order_books               # pair -> OrderBook
    cdef dict _pair_of_symbol                     # the venue's symbol -> pair, of all its pairs
    cdef dict _symbol_of_pair
    cdef dict _balances                           # asset -> (total, available)
    cdef readonly dict _order_options               # client order id -> extra keywords of buy() and sell()
    cdef set _placing                             # client order ids whose submit has not come back
    cdef dict _resolving                          # client order id being asked about -> the failed cancel's error
    cdef set _tasks
    cdef object _lifecycle                        # asyncio.Lock: connect() and disconnect() one at a time
    cdef object _connecting                       # the task that holds it in connect()
    cdef object _logger
    cdef bint _initialized                        # the network is open and the rules are known
    cdef bint _connected                          # connect() has finished
    cdef bint _live                               # the user stream is up
    cdef bint _balances_known
    cdef bint _poll_due                           # the user stream was down: ask about every order
    cdef public long long user_stream_received_ns  # wall time at which the newest user-stream message came in
    cdef object __weakref__

    # Validates, quantises, makes the id, tracks, submits. The order comes back tracked; raises OrderValidationError.
    cdef InFlightOrder c_create_order(
        self, object trade_type, str trading_pair, object amount, object order_type, object price,
        object position_action, dict options
    )
    cdef Fixed _exact(self, object value, str what) except *
