# Delivery of events: whom an event is for, and calling them.

cdef class PubSub:
    cdef readonly int listener_errors
    cdef object _logger
    cdef dict _by_tag       # tag -> [listener]
    cdef object _order, _trade, _error      # the typed listeners, or None
    # Event class -> whom to call. Replaced, never changed: a listener may add and remove listeners while called.
    cdef dict _targets

    cdef tuple c_listeners(self, object event_class)    # whom events of a class of EVENT_ROUTES are for
    cdef int c_call(self, tuple listeners, object event) except -1
    cdef object _find_targets(self, object changed_tag=*)
