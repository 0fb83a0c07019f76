"""The base of Cython listeners to a tracker's events: no Python object is made for them."""

from qtxconn.core.order_store cimport OrderEvent, OrderStore


cdef class OrderEventSink:
    """Subclass it in Cython and define `c_on_event`; `ClientOrderTracker.add_event_sink` takes it."""

    cdef void c_on_event(self, OrderStore* store, const OrderEvent& event) noexcept nogil:
        pass
