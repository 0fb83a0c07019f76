"""The base of Cython listeners to a tracker's events: no Python object is made for them."""

class OrderEventSink:
    """Subclass it in Cython and define `c_on_event`; `ClientOrderTracker.add_event_sink` takes it."""
