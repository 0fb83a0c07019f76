# A connector's orders.

from qtxconn.core.client_ids cimport ClientIdSource
from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.core.clock cimport Clock
from qtxconn.core.connector_hooks cimport ConnectorHooks
from qtxconn.core.fixed cimport Fixed
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_journal cimport OrderJournalBase
from qtxconn.core.trading_rule cimport TradingRule


cdef class ConnectorOrders(ConnectorHooks):
    cdef readonly Clock _clock
    cdef readonly ClientOrderTracker _order_tracker
    cdef readonly ClientIdSource _client_ids
    cdef readonly OrderJournalBase _journal       # None: orders are not kept
    cdef readonly object _pubsub                  # PubSub
    cdef readonly bint _trading_required
    cdef readonly dict _trading_rules             # pair -> TradingRule, of the traded pairs
    cdef readonly dict _order_options             # client order id -> extra keywords of buy() and sell()
    cdef readonly set _placing                    # client order ids whose request may still leave: dead-after waits
    cdef dict _resolving                          # client order id being asked about -> what the venue did not confirm
    cdef set _tasks
    cdef object _logger
    cdef bint _connected                          # connect() has finished
    cdef bint _poll_due                           # the user stream was down: ask about every order

    # Validates, quantises, makes the id, tracks, submits. The order comes back tracked; raises OrderValidationError.
    cdef InFlightOrder c_create_order(
        self, object trade_type, str trading_pair, object amount, object order_type, object price,
        object position_action, dict options
    )
    # The same without submitting.
    cdef InFlightOrder c_track_order(
        self, object trade_type, str trading_pair, object amount, object order_type, object price,
        object position_action, dict options
    )
    cdef int _fit(self, TradingRule rule, object trade_type, Fixed* price, Fixed* amount, bint is_limit) except -1
    cdef Fixed _exact(self, object value, str what) except *
