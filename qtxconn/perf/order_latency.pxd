# How long orders take, from the stages that a tracker stamps.

from qtxconn.core.order_event_sink cimport OrderEventSink
from qtxconn.core.order_store cimport OrderEvent, OrderStore
from qtxconn.perf.latency cimport LatencyRecorder


cdef class OrderLatencySink(OrderEventSink):
    cdef readonly LatencyRecorder submit_to_ack         # first byte out -> first word of the venue
    cdef readonly LatencyRecorder submit_to_first_fill
    cdef readonly LatencyRecorder submit_to_end

    cdef void c_on_event(self, OrderStore* store, const OrderEvent& event) noexcept nogil
