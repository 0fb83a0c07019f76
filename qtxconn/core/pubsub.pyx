"""Delivery of events to listeners: by tag, and to the typed order, trade and error listeners."""

from types import FunctionType

from qtxconn.core.events import EVENT_ROUTES, TradeEventListener
from qtxconn.core.types import AccountEvent, MarketEvent


cdef object _callable(object listener):
    """What calling the listener comes to: an object's own `__call__`, which is then not looked up for each event."""
    return listener.__call__ if isinstance(getattr(type(listener), "__call__", None), FunctionType) else listener


cdef class PubSub:
    """Calls listeners in the order they were added. One that raises is logged and counted, and stops nobody."""

    def __init__(self, logger):
        self._logger = logger
        self._by_tag = {}
        self._order = None
        self._trade = None
        self._error = None
        self._targets = dict.fromkeys(EVENT_ROUTES, ())

    def add_listener(self, event_tag, listener):
        """Adding the same listener twice is one registration. The connector keeps a strong reference."""
        if not isinstance(event_tag, (MarketEvent, AccountEvent)):
            raise TypeError(f"event_tag is {event_tag!r}; it must be a MarketEvent or an AccountEvent")
        if not callable(listener):
            raise TypeError(f"listener is {listener!r}; it must be callable with the event")
        listeners = self._by_tag.setdefault(event_tag, [])
        if listener not in listeners:
            listeners.append(listener)
            self._find_targets(event_tag)

    def remove_listener(self, event_tag, listener):
        listeners = self._by_tag.get(event_tag, [])
        if listener in listeners:
            listeners.remove(listener)
            self._find_targets(event_tag)

    def get_listeners(self, event_tag):
        return list(self._by_tag.get(event_tag, ()))

    def set_order_event_listener(self, listener):
        self._order = listener
        self._find_targets()

    def set_trade_event_listener(self, listener):
        self._trade = listener
        self._find_targets()

    def set_error_event_listener(self, listener):
        self._error = listener

    def publish(self, event):
        """Delivers an order or trade event (one of EVENT_ROUTES)."""
        self.c_call(self.c_listeners(type(event)), event)

    def publish_to(self, event_tag, event):
        """Delivers an event that only has a tag (funding, position mode, ...)."""
        self.c_call(tuple(self._by_tag.get(event_tag, ())), event)

    def publish_error(self, event):
        self._logger.warning("%s: %s", event.kind, event.message)
        handler = getattr(self._error, "on_error", None)
        self.c_call(() if handler is None else (handler,), event)

    cdef object _find_targets(self, object changed_tag=None):
        for kind, (tag, method) in EVENT_ROUTES.items():
            if changed_tag is not None and tag is not changed_tag:
                continue
            typed = self._trade if hasattr(TradeEventListener, method) else self._order
            # A listener need not derive from our bases: what it does not define it does not want to hear.
            handler = getattr(typed, method, None)
            self._targets[kind] = (
                *[_callable(listener) for listener in self._by_tag.get(tag, ())],
                *(() if handler is None else (handler,)),
            )

    cdef tuple c_listeners(self, object event_class):
        return self._targets[event_class]

    cdef int c_call(self, tuple listeners, object event) except -1:
        for listener in listeners:
            try:
                listener(event)
            except Exception:
                self.listener_errors += 1
                self._logger.exception("a listener raised on %s; the others go on", type(event).__name__)
        return 0
