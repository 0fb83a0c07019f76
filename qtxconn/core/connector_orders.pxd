# A connector's orders.

from qtxconn.core.client_ids cimport ClientIdSource
from qtxconn.core.fixed cimport Fixed
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_outcomes cimport OrderOutcomes
from qtxconn.core.trading_rule cimport TradingRule


cdef class ConnectorOrders(OrderOutcomes):
    cdef readonly ClientIdSource _client_ids
    cdef readonly bint _trading_required
    cdef readonly dict _trading_rules             # pair -> TradingRule, of the traded pairs
    cdef readonly dict _order_options             # client order id -> extra keywords of buy() and sell()
    cdef bint _connected                          # connect() has finished

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
    cdef int c_require_connected(self) except -1
    cdef int _fit(self, TradingRule rule, object trade_type, Fixed* price, Fixed* amount, bint is_limit) except -1
    cdef object _fit_trigger(self, TradingRule rule, bint up, object trigger_price)
    cdef Fixed _exact(self, object value, str what) except *
