# The base of Cython listeners to a tracker's events.

from qtxconn.core.order_store cimport OrderEvent, OrderStore


cdef class OrderEventSink:
    # Called for every event of the tracker, in their order, after the journal has it and before Python listeners hear
    # of it. It may look into the store and call its process_* functions: the events of that follow this one.
    cdef void c_on_event(self, OrderStore* store, const OrderEvent& event) noexcept nogil
