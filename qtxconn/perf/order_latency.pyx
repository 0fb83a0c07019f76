"""How long orders take: the percentiles of each stage, from a tracker's events and without a Python object for any."""

from qtxconn.core.order_event_sink cimport OrderEventSink
from qtxconn.core.order_store cimport OrderEvent, OrderEventKind, OrderRecord, OrderStore
from qtxconn.perf.latency cimport LatencyRecorder


cdef class OrderLatencySink(OrderEventSink):
    """Records, in ns by the local wall clock, what passes between the first byte of an order going out and the first
    word of the venue, the first fill, and the end. `tracker.add_event_sink(OrderLatencySink())`."""

    def __init__(self):
        self.submit_to_ack = LatencyRecorder("submit -> ack")
        self.submit_to_first_fill = LatencyRecorder("submit -> first fill")
        self.submit_to_end = LatencyRecorder("submit -> end")

    cdef void c_on_event(self, OrderStore* store, const OrderEvent& event) noexcept nogil:
        cdef OrderRecord* order = &store.at(event.slot)
        if order.submitted_ns == 0:
            return      # not sent by this process
        if event.kind == OrderEventKind.created:
            self.submit_to_ack.c_record(order.acked_ns - order.submitted_ns)
        elif event.kind == OrderEventKind.filled and event.fill == order.first_fill:
            self.submit_to_first_fill.c_record(order.first_fill_ns - order.submitted_ns)
        elif OrderEventKind.completed <= event.kind <= OrderEventKind.expired:
            self.submit_to_end.c_record(order.done_ns() - order.submitted_ns)
