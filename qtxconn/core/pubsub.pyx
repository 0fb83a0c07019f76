"""Delivery of events to listeners: by tag, and to the typed order, trade and error listeners."""

from qtxconn.core.events import EVENT_ROUTES, TradeEventListener


cdef class PubSub:
    """Calls listeners in the order they were added. One that raises is logged and counted, and stops nobody."""

    cdef readonly int listener_errors
    cdef object _logger
    cdef dict _by_tag       # tag -> [listener]
    cdef object _order, _trade, _error      # the typed listeners, or None
    # Event class -> whom to call. Replaced, never changed: a listener may add and remove listeners while called.
    cdef dict _targets
    cdef dict __dict__      # of subclasses, and of tests that put something in the place of a method

    def __init__(self, logger):
        self._logger = logger
        self._by_tag = {}
        self._order = None
        self._trade = None
        self._error = None
        self._targets = dict.fromkeys(EVENT_ROUTES, ())

    def add_listener(self, event_tag, listener):
        """Adding the same listener twice is one registration. The connector keeps a strong reference."""
        listeners = self._by_tag.setdefault(event_tag, [])
        if listener not in listeners:
            listeners.append(listener)
            self._find_targets()

    def remove_listener(self, event_tag, listener):
        listeners = self._by_tag.get(event_tag, [])
        if listener in listeners:
            listeners.remove(listener)
            self._find_targets()

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
        self._call(self._targets[type(event)], event)

    def publish_to(self, event_tag, event):
        """Delivers an event that only has a tag (funding, position mode, ...)."""
        self._call(tuple(self._by_tag.get(event_tag, ())), event)

    def publish_error(self, event):
        self._logger.warning("%s: %s", event.kind, event.message)
        handler = getattr(self._error, "on_error", None)
        self._call(() if handler is None else (handler,), event)

    cdef object _find_targets(self):
        for kind, (tag, method) in EVENT_ROUTES.items():
            typed = self._trade if hasattr(TradeEventListener, method) else self._order
            # A listener need not derive from our bases: what it does not define it does not want to hear.
            handler = getattr(typed, method, None)
            self._targets[kind] = (*self._by_tag.get(tag, ()), *(() if handler is None else (handler,)))

    cdef int _call(self, tuple listeners, object event) except -1:
        for listener in listeners:
            try:
                listener(event)
            except Exception:
                self.listener_errors += 1
                self._logger.exception("a listener raised on %s; the others go on", type(event).__name__)
        return 0
