# From an event of the C++ store to the payload that Python listeners receive.

from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_store cimport OrderEvent, OrderStore

# `told`: of a fill, the fields of the TradeUpdate that brought it, or None; `failure`: (message, kind), or None.
cdef object order_event_payload(
    InFlightOrder order, OrderStore* store, const OrderEvent& event, tuple told, tuple failure
)
