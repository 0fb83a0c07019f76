"""From an event of the C++ store to the payload that Python listeners receive."""

from qtxconn.core.fixed cimport compare, fixed_to_decimal
from qtxconn.core.in_flight_order cimport (
    InFlightOrder,
    fill_to_trade_update,
    ns_to_seconds,
    order_type_to_python,
    position_to_python,
    trade_type_to_python,
)
from qtxconn.core.order_store cimport OrderEvent, OrderEventKind, OrderRecord, OrderStore, TradeType

from qtxconn.core.events import (
    BuyOrderCompletedEvent,
    BuyOrderCreatedEvent,
    MarketOrderFailureEvent,
    OrderAmendedEvent,
    OrderCancelledEvent,
    OrderExpiredEvent,
    OrderFilledEvent,
    SellOrderCompletedEvent,
    SellOrderCreatedEvent,
)

cdef object _new_tuple = tuple.__new__      # past a NamedTuple's own constructor, which is Python code
cdef object _BuyCreated = BuyOrderCreatedEvent      # C globals: looked up without a dictionary
cdef object _SellCreated = SellOrderCreatedEvent
cdef object _BuyCompleted = BuyOrderCompletedEvent
cdef object _SellCompleted = SellOrderCompletedEvent
cdef object _Filled = OrderFilledEvent


cdef object order_event_payload(
    InFlightOrder order, OrderStore* store, const OrderEvent& event, tuple told, tuple failure
):
    cdef double timestamp = ns_to_seconds(event.time_ns)
    cdef OrderRecord* record = order.c_record()
    cdef bint buy = record.trade_type == TradeType.buy
    if event.kind == OrderEventKind.filled or event.kind == OrderEventKind.late_fill:
        return _filled(order, store, event, told)
    if event.kind == OrderEventKind.created:
        return (_BuyCreated if buy else _SellCreated)(
            timestamp, order_type_to_python(record.order_type), order.trading_pair, order.c_amount(),
            order.c_price(), order.client_order_id, ns_to_seconds(record.created_ns), order.c_exchange_order_id(),
            record.leverage, position_to_python(record.position)._value_,
        )
    if event.kind == OrderEventKind.completed:
        base, quote = order.trading_pair.split("-")
        return (_BuyCompleted if buy else _SellCompleted)(
            timestamp, order.client_order_id, base, quote, order.executed_amount_base,
            fixed_to_decimal(record.executed_quote()), order_type_to_python(record.order_type),
            order.c_exchange_order_id(),
        )
    if event.kind == OrderEventKind.amended:
        order._price = order._amount = None     # as they were before
        return OrderAmendedEvent(
            timestamp, order.client_order_id, order.trading_pair,
            fixed_to_decimal(event.price) if event.price.units != 0 else None, order.c_price(),
            fixed_to_decimal(event.amount), order.c_amount(), order.c_exchange_order_id(),
        )
    if event.kind == OrderEventKind.cancelled:
        return OrderCancelledEvent(timestamp, order.client_order_id, order.exchange_order_id)
    if event.kind == OrderEventKind.expired:
        return OrderExpiredEvent(timestamp, order.client_order_id, order.exchange_order_id)
    message, error_type = failure or (None, None)
    return MarketOrderFailureEvent(timestamp, order.client_order_id, order.order_type, message, error_type)


cdef object _filled(InFlightOrder order, OrderStore* store, const OrderEvent& event, tuple told):
    cdef OrderRecord* record = order.c_record()
    if told is None:    # queued by a listener, or by C++
        told = tuple(fill_to_trade_update(store, order, store.fill(event.fill)))
    trade_id, _, _, _, _, price, amount, _, fee, _ = told
    if compare(event.amount, store.fill(event.fill).amount()) != 0:
        amount = fixed_to_decimal(event.amount)     # the rest was told by a provisional fill
    return _new_tuple(_Filled, (
        ns_to_seconds(event.time_ns), order.client_order_id, order.trading_pair,
        trade_type_to_python(record.trade_type), order_type_to_python(record.order_type), price, amount, fee,
        trade_id, order.c_exchange_order_id() or "", record.leverage, position_to_python(record.position)._value_,
    ))
