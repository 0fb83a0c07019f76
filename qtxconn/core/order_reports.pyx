"""A venue's report on an order, from plain numbers to the tracker: the common case of the tracker's two `process_*`."""

from libc.stdint cimport int64_t, uint32_t
from libcpp.string_view cimport string_view

from qtxconn.core.client_order_tracker cimport ClientOrderTracker
from qtxconn.core.fixed cimport Fixed, FixedError, compare, fixed_to_text, multiply
from qtxconn.core.in_flight_order cimport InFlightOrder, state_to_python
from qtxconn.core.order_store cimport (
    Applied,
    Fee,
    Fill,
    OrderRecord,
    OrderState,
    OrderStore,
    OrderType,
    TransitionReason,
    is_terminal,
    kNoAsset,
    kNoFill,
    kNoSlot,
    kNoVenueId,
)


cdef bint c_process_report(ClientOrderTracker tracker, const OrderReport& report) except -1:
    cdef OrderStore* store = tracker.c_store()
    cdef uint32_t slot = store.find(report.client_id)
    if slot == kNoSlot or report.exchange_id == kNoVenueId or report.state == OrderState.failed:
        return False
    cdef OrderRecord* record = &store.at(slot)
    cdef InFlightOrder order = <InFlightOrder>tracker._by_slot[slot]
    if (
        record.symbol != report.symbol or is_terminal(record.state) or not tracker.itemised_fills
        or order._carried.units != 0 or compare(report.amount, record.amount()) != 0
        or (record.order_type != OrderType.market and compare(report.price, record.price()) != 0)
    ):
        return False
    cdef bint is_learned = record.exchange_id == kNoVenueId
    if record.exchange_id != report.exchange_id and not (
        is_learned and not tracker._some_parked
        and store.find_exchange_id(report.exchange_id, report.symbol) == kNoSlot
    ):
        return False
    cdef Fill fill
    if report.trade_id != kNoVenueId and not _build_fill(tracker, report, fill):
        return False

    # From here on it is taken.
    cdef int64_t now_ns = tracker.clock.c_now_ns()
    if is_learned:
        store.process_exchange_id(slot, report.exchange_id)
    if report.trade_id != kNoVenueId and store.process_fill(slot, fill, now_ns) == Applied.bad_amount:
        tracker._alarm("bad_amount", order, f"fill {report.trade_id} of {order.client_order_id} refused: "
                       f"{fixed_to_text(report.fill_amount)} at {fixed_to_text(report.fill_price)} is no possible "
                       "execution")
    cdef Applied applied = store.process_state(
        slot, report.state, report.venue_ns, report.executed, now_ns, TransitionReason.report
    )
    if is_terminal(report.state) and order._end_reported_ns == 0:
        order._end_reported_ns = tracker.clock.c_monotonic_ns()
    if applied == Applied.illegal:
        tracker._logger.warning("%s: %s cannot become %s; ignored", order.client_order_id,
                                order.current_state.name, state_to_python(report.state).name)
    tracker.c_deliver()
    order.c_wake()
    return True


cdef bint _build_fill(ClientOrderTracker tracker, const OrderReport& report, Fill& fill) except -1:
    # False: it was booked before, is another order's, or is not to be held exactly.
    cdef OrderStore* store = tracker.c_store()
    cdef Fixed quote
    cdef Fee fee
    if (
        store.find_trade(report.symbol, report.trade_id) != kNoFill or report.fill_price.units < 0
        or multiply(report.fill_price, report.fill_amount, quote) != FixedError.ok
    ):
        return False
    if not report.fee_asset.empty():
        fee.asset = _known_asset(tracker, report.fee_asset)
        fee.amount = report.fee
        if fee.asset == kNoAsset:
            return False
        fill.set_fee(fee)
    fill.trade_id = report.trade_id
    fill.venue_ns = report.venue_ns
    fill.is_taker = report.is_taker
    fill.set_price(report.fill_price)
    fill.set_amount(report.fill_amount)
    fill.set_quote(quote)
    return True


cdef uint32_t _known_asset(ClientOrderTracker tracker, string_view name):
    # There are few; the first fee in a new one is taken in by process_trade_update().
    cdef OrderStore* store = tracker.c_store()
    cdef uint32_t number
    for number in range(1, <uint32_t>len(tracker._assets) + 1):
        if store.asset(number) == name:
            return number
    return kNoAsset
