# What became of a connector's orders.

from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.core.clock cimport Clock
from qtxconn.core.connector_hooks cimport ConnectorHooks
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_journal cimport OrderJournalBase


cdef class OrderOutcomes(ConnectorHooks):
    cdef readonly Clock _clock
    cdef readonly ClientOrderTracker _order_tracker
    cdef readonly OrderJournalBase _journal       # None: orders are not kept
    cdef readonly object _pubsub                  # PubSub
    cdef readonly set _placing                    # client order ids whose request may still leave: dead-after waits
    cdef dict _resolving                          # client order id being asked about -> what the venue did not confirm
    cdef set _tasks
    cdef object _logger
    cdef bint _poll_due                           # the user stream was down: ask about every order
