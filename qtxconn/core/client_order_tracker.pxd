# The tracker as Python and Cython use it; the store and the state machine are C++.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp.memory cimport unique_ptr

from qtxconn.core.clock cimport Clock
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_journal cimport OrderJournalBase
from qtxconn.core.order_store cimport Fill, OrderEvent, OrderState, OrderStore


cdef class ClientOrderTracker:
    cdef unique_ptr[OrderStore] _store
    cdef readonly Clock clock
    cdef readonly str client_order_id_prefix
    cdef readonly int finished_orders_max
    cdef public OrderJournalBase journal  # what happens to orders is written to it before listeners hear of it
    cdef object _pubsub
    cdef object _logger
    cdef dict _active           # client order id -> InFlightOrder, not ended
    cdef object _finished       # OrderedDict: the same for ended orders, oldest first
    cdef dict _by_slot          # slot -> InFlightOrder
    cdef dict _foreign_ids      # client ids that are not ours: text -> number
    cdef dict _failures         # client order id -> (message, type), until the failure event
    cdef uint64_t _next_foreign_id
    cdef bint _delivering

    cdef OrderStore* c_store(self) noexcept
    cdef uint64_t c_client_id(self, str client_order_id) except? 0
    cdef uint32_t c_find(self, str client_order_id, str exchange_order_id, str trading_pair=*) except? 0
    cdef void c_mark(self, InFlightOrder order, OrderState state)
    cdef void c_deliver(self)
    # -- private ---------------------------------------------------------------------------------------------
    cdef void _release(self, InFlightOrder order)
    cdef uint32_t _slot_of(self, object update) except? 0
    cdef void _learn_exchange_id(self, InFlightOrder order, str exchange_order_id)
    cdef int _parse_fill(self, object update, Fill* fill) except -1
    cdef str _parse_fee(self, object update, Fill* fill)
    cdef void _restore_fills(self, InFlightOrder order)
    cdef int _restore_fill(self, InFlightOrder order, object update) except -1
    cdef void _deliver_one(self, OrderEvent event)
    cdef object _payload(self, InFlightOrder order, OrderEvent event)
    cdef void _finish(self, InFlightOrder order)
    cdef void _forget_oldest(self)
    cdef void _alarm(self, str kind, InFlightOrder order, str message)
