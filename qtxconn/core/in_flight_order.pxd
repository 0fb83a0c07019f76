# An order as Python sees it: a view on the record in the tracker's store.

from libc.stdint cimport int64_t, uint32_t
from libcpp.string_view cimport string_view
from libcpp.vector cimport vector

from qtxconn.core.fixed cimport Fixed
from qtxconn.core.order_store cimport (
    Fill,
    OrderRecord,
    OrderState,
    OrderStore,
    OrderType,
    PositionAction,
    TradeType,
    VenueId,
)


cdef class InFlightOrder:
    cdef readonly str client_order_id     # text form: prefix and the digits of the 64-bit id
    cdef readonly str trading_pair
    cdef readonly object trigger_price    # Decimal, of a conditional order; None: not one, or trailing from the start
    cdef OrderStore* _store               # null while the record is our own (not tracked yet, or no longer)
    cdef uint32_t _slot
    cdef OrderRecord _own
    cdef dict _own_fills                  # trade id -> TradeUpdate, of an order that was read back
    cdef vector[Fill] _kept_fills         # those of an order that was tracked, where they say all by themselves
    cdef list _assets                     # of their fees: names by number - 1
    cdef list _own_past_ids               # exchange_order_ids but the last, once detached
    cdef object _owner                    # the tracker that keeps _store alive
    cdef list _waiters                    # futures woken at the next change
    cdef object _amount                   # Decimals as they were given, so that no event converts them again
    cdef object _price
    cdef str _exchange_order_id           # text form of _exchange_id; of the record's once not tracked
    cdef VenueId _exchange_id
    cdef InFlightOrder _successor         # the external order under which this one, believed gone, lives on
    cdef Fixed _carried                   # executed amount that a predecessor has booked of the venue's order
    cdef int64_t _end_reported_ns         # monotonic, 0 while the venue has reported no end
    cdef object _reported_quote           # executed amount in quote that the venue has reported, or None
    cdef object __weakref__

    cdef OrderRecord* c_record(self) noexcept
    cdef str c_exchange_order_id(self)    # the values of the properties, without the cost of one
    cdef object c_price(self)
    cdef object c_amount(self)
    cdef object c_executed_base(self)
    cdef void c_attach(self, object owner, OrderStore* store, uint32_t slot)
    cdef void c_detach(self, list assets)
    cdef bint _keep_plain_fills(self)
    cdef void c_wake(self)


cdef object order_type_to_python(OrderType order_type)
cdef object trade_type_to_python(TradeType trade_type)
cdef object position_to_python(PositionAction position)
cdef str position_name(PositionAction position)
cdef object state_to_python(OrderState state)
cdef OrderState state_from_python(object state) except *
cdef str text_of(string_view text)
cdef string_view view_of(str text) except *
cdef str venue_id_text(OrderStore* store, VenueId venue_id)
cdef object fill_to_trade_update(OrderStore* store, InFlightOrder order, const Fill& fill)
cdef int64_t seconds_to_ns(double seconds) noexcept nogil
cdef double ns_to_seconds(int64_t ns) noexcept nogil
