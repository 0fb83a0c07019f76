# From an event of the C++ store to the payload that Python listeners receive.

from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_store cimport OrderEvent, OrderEventKind, OrderStore, TradeType

cdef object order_event_class(OrderEventKind kind, TradeType side)      # of no alarm

# `told`: of a fill, the TradeUpdate that brought it, or None; `failure`: (message, kind), or None.
cdef object order_event_payload(
    InFlightOrder order, OrderStore* store, const OrderEvent& event, tuple told, tuple failure
)
