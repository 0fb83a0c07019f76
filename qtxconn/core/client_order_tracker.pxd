# The tracker as Python and Cython use it; the store and the state machine are C++.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libcpp.memory cimport unique_ptr

from qtxconn.core.clock cimport Clock
from qtxconn.core.fixed cimport Fixed
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_journal cimport OrderJournalBase
from qtxconn.core.order_store cimport (
    Applied,
    OrderEvent,
    OrderState,
    OrderStore,
    TransitionReason,
    VenueIdOutcome,
)
from qtxconn.core.pubsub cimport PubSub


cdef class ClientOrderTracker:
    cdef unique_ptr[OrderStore] _store
    cdef readonly Clock clock
    cdef readonly str client_order_id_prefix
    cdef readonly int finished_orders_max       # ended orders that are remembered, by count
    cdef readonly double finished_orders_ttl_s  # and by time
    cdef readonly bint itemised_fills           # the venue reports executions one by one
    cdef readonly int orphan_count              # updates of orders that never became known
    cdef readonly int adopted_count
    cdef public OrderJournalBase journal  # what happens to orders is written to it before listeners hear of it
    cdef public object market_price         # (trading pair) -> Decimal or None, for executions without a price
    cdef PubSub _pubsub
    cdef list _sinks            # OrderEventSinks, told before the pubsub's listeners
    cdef object _logger
    cdef object _parked         # ParkedUpdates
    cdef bint _some_parked      # False: certainly none
    cdef dict _active           # client order id -> InFlightOrder, not ended
    cdef dict _finished         # the same for ended orders, oldest first
    cdef object _ended          # deque of them: a dict finds its oldest only by passing those that were removed
    cdef list _by_slot          # slot -> InFlightOrder, or None
    cdef dict _foreign_ids      # client ids that are not ours: text -> number
    cdef list _assets           # names of the store's assets, by number - 1
    cdef dict _failures         # client order id -> (message, type), until the failure event
    cdef uint64_t _next_foreign_id
    cdef bint _delivering
    cdef int32_t _told_number   # number of the fill being booked, and the update it came in: its event hands on the
    cdef tuple _told_fields     # Decimals and the fee as they were given

    cdef OrderStore* c_store(self) noexcept
    cdef uint64_t c_client_id(self, str client_order_id) except? 0
    cdef uint32_t c_symbol(self, str trading_pair) except? 0
    cdef InFlightOrder c_find(self, str client_order_id, str exchange_order_id, str trading_pair=*)
    cdef void c_mark(self, InFlightOrder order, OrderState state, TransitionReason reason=*)
    cdef void c_deliver(self)
    # -- private ---------------------------------------------------------------------------------------------
    cdef void _release(self, InFlightOrder order)
    cdef InFlightOrder _order_of(self, object update, str client_order_id, str exchange_order_id, str trading_pair)
    cdef object _unmatched(self, object update, bint has_id)
    cdef object _orphan(self, object update)
    cdef object _replay_parked(self, InFlightOrder order)
    cdef VenueIdOutcome _take_exchange_id(self, InFlightOrder order, str exchange_order_id) except *
    cdef InFlightOrder _survivor(self, InFlightOrder order, str exchange_order_id, object shown)
    cdef object _amend(self, InFlightOrder order, dict misc, int64_t venue_ns)
    cdef object _book_provisional(self, InFlightOrder order, Fixed executed, int64_t venue_ns)
    cdef void _restore_fills(self, InFlightOrder order)
    cdef int _restore_fill(self, InFlightOrder order, object update) except -1
    cdef void _deliver_one(self, OrderEvent event)
    cdef void _tell_sinks(self, OrderEvent event) noexcept
    cdef void _finish(self, InFlightOrder order)
    cdef void _forget_oldest(self)
    cdef void _forget_first(self)
    cdef void _alarm(self, str kind, InFlightOrder order, str message)
