"""What the core asks of a journal of orders. This one keeps nothing; OrderJournal of qtxconn.storage does."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string_view cimport string_view

from qtxconn.core.fixed cimport Fixed, compare, fixed_from
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_store cimport (
    Fee,
    Fill,
    OrderEvent,
    OrderEventKind,
    OrderRecord,
    OrderState,
    OrderStore,
    is_terminal,
    kNoAsset,
)


cdef class OrderJournalBase:
    """A journal that keeps nothing, and the shape of one that does."""

    cdef int c_write_order(self, InFlightOrder order, uint64_t client_id, double dead_after_s) except -1:
        cdef OrderRecord* record = order.c_record()
        cdef Fixed trigger
        if order.trigger_price is not None:
            trigger = fixed_from(order.trigger_price)
        self.c_intent(
            client_id, order.client_order_id, order.trading_pair, <uint8_t>record.trade_type,
            <uint8_t>record.order_type, <uint8_t>record.position, record.price(), record.amount(), record.created_ns,
            record.created_ns + <int64_t>(dead_after_s * 1e9), trigger
        )
        return 0

    cdef void c_write_event(self, OrderStore* store, const OrderEvent& event, tuple failure) noexcept:
        cdef OrderRecord* record = &store.at(event.slot)
        cdef Fill fill
        cdef Fee fee
        cdef uint32_t more = 0
        cdef char[20] number
        if record.is_external:
            return      # it was not placed here: there is no intent that the records could belong to
        if event.kind == OrderEventKind.created:
            self.c_ack(record.client_id, store.ids().text(record.exchange_id, number), record.venue_ns, event.time_ns)
        elif (event.kind == OrderEventKind.filled or event.kind == OrderEventKind.late_fill
                or event.kind == OrderEventKind.replaced):
            fill = store.fill(event.fill)
            if event.kind != OrderEventKind.replaced and compare(event.amount, fill.amount()) < 0:
                return      # the rest of a fill that replaced provisional ones: it was written with that
            fee = store.fee(fill, 1)
            while fee.asset != kNoAsset:
                self.c_fee(
                    record.client_id, store.ids().text(fill.trade_id, number), store.asset(fee.asset), fee.amount,
                    event.time_ns
                )
                more += 1
                fee = store.fee(fill, more + 1)
            fee = store.fee(fill, 0)
            self.c_fill(
                record.client_id, store.ids().text(fill.trade_id, number), store.asset(fee.asset), fill.price(),
                fill.amount(), fill.quote(), fee.amount, fill.is_taker, fill.venue_ns, more, event.time_ns
            )
        elif event.kind == OrderEventKind.amended:
            self.c_ack(record.client_id, store.ids().text(record.exchange_id, number), record.venue_ns, event.time_ns)
            self.c_amend(record.client_id, record.price(), record.amount(), event.time_ns)
        elif event.kind == OrderEventKind.failed:
            self.c_write_refusal(record.client_id, failure[1] if failure is not None else None, event.time_ns)
        elif is_terminal(record.state) and event.kind <= OrderEventKind.expired:
            self.c_end(record.client_id, record.state, record.executed_base(), record.executed_quote(), event.time_ns)

    cdef void c_write_refusal(self, uint64_t client_id, str reason, int64_t now_ns) noexcept:
        # The kind of error only: a venue's words could repeat what must not be kept.
        cdef bytes text = (reason or "").encode()
        self.c_reject(client_id, string_view(<const char*>text, <size_t>len(text)), now_ns)

    cdef int c_intent(
        self, uint64_t client_id, str client_order_id, str trading_pair, uint8_t trade_type, uint8_t order_type,
        uint8_t position, Fixed price, Fixed amount, int64_t created_ns, int64_t dead_after_ns, Fixed trigger
    ) except -1:
        return 0

    cdef void c_submitted(self, uint64_t client_id, int64_t now_ns) noexcept:
        pass

    cdef void c_unknown(self, uint64_t client_id, int64_t now_ns) noexcept:
        pass

    cdef void c_ack(self, uint64_t client_id, string_view exchange_order_id, int64_t venue_ns, int64_t now_ns) noexcept:
        pass

    cdef void c_reject(self, uint64_t client_id, string_view reason, int64_t now_ns) noexcept:
        pass

    cdef void c_fill(
        self, uint64_t client_id, string_view trade_id, string_view fee_asset, Fixed price, Fixed amount, Fixed quote,
        Fixed fee, cbool is_taker, int64_t venue_ns, uint32_t more_fees, int64_t now_ns
    ) noexcept:
        pass

    cdef void c_fee(
        self, uint64_t client_id, string_view trade_id, string_view asset, Fixed amount, int64_t now_ns
    ) noexcept:
        pass

    cdef void c_amend(self, uint64_t client_id, Fixed price, Fixed amount, int64_t now_ns) noexcept:
        pass

    cdef void c_end(
        self, uint64_t client_id, OrderState state, Fixed executed_base, Fixed executed_quote, int64_t now_ns
    ) noexcept:
        pass

    def write_order(self, InFlightOrder order not None, uint64_t client_id, double dead_after_s) -> None:
        """For users of a tracker without a connector: before the order, under this number, is tracked and sent.
        `dead_after_s` seconds later the venue cannot accept it any more. Raises JournalError: it must not be sent."""
        self.c_write_order(order, client_id, dead_after_s)

    @property
    def refusal(self):
        """Why new orders are refused, in one line, or None."""
        return None

    def restore(self, connector) -> list:
        """Gives the orders that an earlier process left to the connector's tracker; -> those that had not ended. Again
        for the same connector: nothing. Raises JournalError or ConfigurationError if they are not this connector's."""
        return []

    def maintain(self) -> None:
        """Called about once a second, off the way of orders: makes room, tries again what had failed."""
