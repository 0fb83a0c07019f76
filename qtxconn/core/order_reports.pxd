# What a venue's stream says about an order, applied to the tracker without a Python object.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp.string_view cimport string_view

from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.core.fixed cimport Fixed
from qtxconn.core.order_store cimport OrderState, VenueId


cdef struct OrderReport:
    uint64_t client_id         # number of the client order id
    VenueId exchange_id        # the venue's order id
    uint32_t symbol            # the store's number of the trading pair
    OrderState state
    int64_t venue_ns           # the venue's clock
    Fixed price                # of the order, quote per base; 0 where it has none
    Fixed amount               # of the order, base asset
    Fixed executed             # so far, base asset
    VenueId trade_id           # of the execution that is reported; 0: none is
    Fixed fill_price           # quote per base
    Fixed fill_amount          # base asset, > 0
    Fixed fee                  # negative is a rebate
    string_view fee_asset      # empty: no fee was told
    bint is_taker


# Books the execution and the state of an order in its plain course, as process_trade_update() and
# process_order_update() would, and delivers the events. False: nothing was done, because those two have more to decide:
# an order that is not known, has ended, was amended or had another venue id, a first venue id while updates are parked
# for theirs, a repeated or foreign trade, a rejection, an amount that cannot be held.
cdef bint c_process_report(ClientOrderTracker tracker, const OrderReport& report) except -1
