# From a TradeUpdate to the fill that the C++ store keeps.

from libc.stdint cimport uint64_t
from libcpp.vector cimport vector

from qtxconn.core.fixed cimport Fixed
from qtxconn.core.order_store cimport Fee, Fill, OrderStore

cdef tuple fields_of(object named, Py_ssize_t count)
cdef str provisional_trade_id(uint64_t client_id, Fixed executed)

# `fields` are those of a TradeUpdate. Raises AmountError.
cdef int parse_fill(OrderStore* store, tuple fields, Fill* fill) except -1

# Fees beyond the first go to `more`; -> what could not be kept, in words, or None. `assets` names the store's assets,
# by number - 1.
cdef str parse_fees(OrderStore* store, list assets, object fee, Fill* fill, vector[Fee]& more)
cdef Fee parse_fee(OrderStore* store, list assets, str token, object amount) except *
