"""From an event of the C++ store to the payload that Python listeners receive."""

from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libcpp.vector cimport vector

from qtxconn.core.fixed cimport compare, fixed_to_decimal
from qtxconn.core.in_flight_order cimport (
    InFlightOrder,
    fill_to_trade_update,
    ns_to_seconds,
    order_type_to_python,
    position_name,
    trade_type_to_python,
)
from qtxconn.core.order_store cimport OrderEvent, OrderEventKind, OrderRecord, OrderStore, TradeType

from dataclasses import fields

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


cdef extern from *:
    """
    #include <structmember.h>

    // A new instance, past the constructor of its Python class; `size` is of a tuple.
    static PyObject* new_instance(PyObject* type, Py_ssize_t size) {
        return ((PyTypeObject*)type)->tp_alloc((PyTypeObject*)type, size);
    }

    // Where in an instance the slot of this member descriptor is; -1 if it is none.
    static Py_ssize_t slot_offset(PyObject* descriptor) {
        if (!PyObject_TypeCheck(descriptor, &PyMemberDescr_Type)) {
            return -1;
        }
        const PyMemberDef* member = ((PyMemberDescrObject*)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }

    // Sets a slot of a new instance.
    static void set_slot(PyObject* instance, Py_ssize_t offset, PyObject* value) {
        Py_INCREF(value);
        *(PyObject**)((char*)instance + offset) = value;
    }
    """
    object new_instance(object type, Py_ssize_t size)
    Py_ssize_t slot_offset(object descriptor)
    void set_slot(object instance, Py_ssize_t offset, object value)


cdef class _SlottedEvent:
    """Makes instances of a dataclass with slots by filling the slots: its `__init__` does the same, and is Python."""

    cdef object _class
    cdef vector[Py_ssize_t] _offsets

    def __cinit__(self, event_class):
        self._class = event_class
        for field in fields(event_class):
            self._offsets.push_back(slot_offset(getattr(event_class, field.name)))
            if self._offsets.back() < 0:
                raise TypeError(f"{event_class.__name__}.{field.name} is no slot")

    cdef object make(self, tuple values):
        cdef object event = new_instance(self._class, 0)
        cdef size_t i
        for i in range(self._offsets.size()):
            set_slot(event, self._offsets[i], values[i])
        return event


# By kind of event, 0 is none: the class for a sell and for a buy.
cdef tuple _CLASSES = (
    None,
    (SellOrderCreatedEvent, BuyOrderCreatedEvent),
    (OrderFilledEvent, OrderFilledEvent),
    (SellOrderCompletedEvent, BuyOrderCompletedEvent),
    (OrderCancelledEvent, OrderCancelledEvent),
    (MarketOrderFailureEvent, MarketOrderFailureEvent),
    (OrderExpiredEvent, OrderExpiredEvent),
    None,       # overfill: an alarm
    (OrderFilledEvent, OrderFilledEvent),
    None,       # replaced: an alarm
    (OrderAmendedEvent, OrderAmendedEvent),
)
cdef _SlottedEvent _buy_created = _SlottedEvent(BuyOrderCreatedEvent)
cdef _SlottedEvent _sell_created = _SlottedEvent(SellOrderCreatedEvent)
cdef _SlottedEvent _buy_completed = _SlottedEvent(BuyOrderCompletedEvent)
cdef _SlottedEvent _sell_completed = _SlottedEvent(SellOrderCompletedEvent)
cdef object _Filled = OrderFilledEvent      # a C global: looked up without a dictionary


cdef object order_event_class(OrderEventKind kind, TradeType side):
    return (<tuple>_CLASSES[<int>kind])[side == TradeType.buy]


cdef object order_event_payload(
    InFlightOrder order, OrderStore* store, const OrderEvent& event, tuple told, tuple failure
):
    cdef double timestamp = ns_to_seconds(event.time_ns)
    cdef OrderRecord* record = order.c_record()
    cdef bint buy = record.trade_type == TradeType.buy
    if event.kind == OrderEventKind.filled or event.kind == OrderEventKind.late_fill:
        return _filled(order, store, event, told)
    if event.kind == OrderEventKind.created:
        return (_buy_created if buy else _sell_created).make((
            timestamp, order_type_to_python(record.order_type), order.trading_pair, order.c_amount(),
            order.c_price(), order.client_order_id, ns_to_seconds(record.created_ns), order.c_exchange_order_id(),
            record.leverage, position_name(record.position),
        ))
    if event.kind == OrderEventKind.completed:
        base, quote = order.trading_pair.split("-")
        return (_buy_completed if buy else _sell_completed).make((
            timestamp, order.client_order_id, base, quote, order.c_executed_base(),
            fixed_to_decimal(record.executed_quote()), order_type_to_python(record.order_type),
            order.c_exchange_order_id(),
        ))
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
    cdef object filled
    cdef Py_ssize_t i = 0
    if told is None:    # queued by a listener, or by C++
        told = <tuple>fill_to_trade_update(store, order, store.fill(event.fill))
    trade_id, price, amount, fee = told[0], told[5], told[6], told[8]
    if compare(event.amount, store.fill(event.fill).amount()) != 0:
        amount = fixed_to_decimal(event.amount)     # the rest was told by a provisional fill
    filled = new_instance(_Filled, 12)
    for field in (
        ns_to_seconds(event.time_ns), order.client_order_id, order.trading_pair,
        trade_type_to_python(record.trade_type), order_type_to_python(record.order_type), price, amount, fee,
        trade_id, order.c_exchange_order_id() or "", record.leverage, position_name(record.position),
    ):
        Py_INCREF(field)
        PyTuple_SET_ITEM(filled, i, field)
        i += 1
    return filled
