"""Types of the latencies of orders."""

from qtxconn.core.order_event_sink import OrderEventSink
from qtxconn.perf.latency import LatencyRecorder

class OrderLatencySink(OrderEventSink):
    """What passes between sending an order and its stages, in ns; see `ClientOrderTracker.add_event_sink`."""

    def __init__(self) -> None: ...
    @property
    def submit_to_ack(self) -> LatencyRecorder: ...
    @property
    def submit_to_first_fill(self) -> LatencyRecorder: ...
    @property
    def submit_to_end(self) -> LatencyRecorder: ...
