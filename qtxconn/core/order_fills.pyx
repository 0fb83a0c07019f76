"""From a TradeUpdate to the fill that the C++ store keeps: its ids, amounts and fees."""

from libc.stdint cimport uint32_t, uint64_t
from libcpp.string_view cimport string_view
from libcpp.vector cimport vector

from qtxconn.core.fixed cimport Fixed, fixed_from, fixed_to_text
from qtxconn.core.in_flight_order cimport seconds_to_ns, text_of, view_of
from qtxconn.core.order_store cimport Fee, Fill, OrderStore, kNoAsset, kNoVenueId, kVenueIdTextMax

from qtxconn.core.types import PROVISIONAL_TRADE_ID
from qtxconn.errors import AmountError

# A C global of it. The trade id of a provisional fill is this, the order's number, the executed amount.
cdef str PROVISIONAL = PROVISIONAL_TRADE_ID
cdef size_t ASSET_NAME_MAX = 15     # bytes; what the journal keeps of one


cdef tuple fields_of(object named, Py_ssize_t count):
    """A NamedTuple as the tuple that it is: nothing is copied, and no field looked up by name."""
    if not isinstance(named, tuple) or len(<tuple>named) != count:
        raise TypeError(f"{named!r} is no tuple of {count} fields")
    return <tuple>named


cdef str provisional_trade_id(uint64_t client_id, Fixed executed):
    return f"{PROVISIONAL}{client_id}-{fixed_to_text(executed)}"


cdef int parse_fill(OrderStore* store, tuple fields, Fill* fill) except -1:
    cdef str trade_id = fields[0]
    cdef string_view text
    if not trade_id:
        raise AmountError("it has no trade id, so a repeat could not be told from a new fill")
    text = view_of(trade_id)
    fill.set_price(fixed_from(fields[5]))
    fill.set_amount(fixed_from(fields[6]))
    fill.set_quote(fixed_from(fields[7]))
    fill.trade_id = store.ids().intern(text)
    if fill.trade_id == kNoVenueId:
        raise AmountError(f"trade id {trade_id!r} is too long ({kVenueIdTextMax} bytes at most)")
    fill.venue_ns = seconds_to_ns(fields[4])
    fill.is_taker = bool(fields[9])
    fill.is_provisional = text.substr(0, 4) == view_of(PROVISIONAL)
    return 0


cdef str parse_fees(OrderStore* store, list assets, object fee, Fill* fill, vector[Fee]& more):
    # What cannot be kept of a fee is said, and never costs the fill itself: the position comes first.
    if fee is None:
        return None
    cdef Fee first, parsed
    cdef str problem = None
    for charged in fee.flat_fees:
        try:
            token, amount = fields_of(charged, 2)
            parsed = parse_fee(store, assets, token, amount)
        except AmountError as error:
            problem = f"fee not kept: {error}"
            continue
        if first.asset == kNoAsset:
            first = parsed
        else:
            more.push_back(parsed)
    fill.set_fee(first)
    if fee.percent:
        problem = f"only the flat fees are kept of {fee!r}"
    return problem


cdef Fee parse_fee(OrderStore* store, list assets, str token, object amount) except *:
    cdef Fee fee
    cdef string_view name = view_of(token)
    fee.amount = fixed_from(amount)
    if not 1 <= name.size() <= ASSET_NAME_MAX:
        raise AmountError(f"asset {token!r} is no name of 1 to {ASSET_NAME_MAX} bytes")
    fee.asset = store.intern_asset(name)
    if fee.asset == kNoAsset:
        raise AmountError(f"asset {token!r} is one too many")
    while len(assets) < fee.asset:
        assets.append(text_of(store.asset(<uint32_t>len(assets) + 1)))
    return fee
