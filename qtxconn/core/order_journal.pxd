# What the core asks of a journal of orders; qtxconn.storage implements it.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string_view cimport string_view

from qtxconn.core.fixed cimport Fixed
from qtxconn.core.in_flight_order cimport InFlightOrder
from qtxconn.core.order_store cimport OrderEvent, OrderState, OrderStore


cdef class OrderJournalBase:
    # -- what the core calls: from orders and events to records
    cdef int c_write_order(self, InFlightOrder order, uint64_t client_id, double dead_after_s) except -1
    cdef void c_write_event(self, OrderStore* store, const OrderEvent& event, tuple failure) noexcept
    cdef void c_write_refusal(self, uint64_t client_id, str reason, int64_t now_ns) noexcept

    # -- what an implementation writes
    # Before an order is tracked. Raises JournalError if it cannot be kept: then it must not be sent.
    cdef int c_intent(
        self, uint64_t client_id, str client_order_id, str trading_pair, uint8_t trade_type, uint8_t order_type,
        uint8_t position, Fixed price, Fixed amount, int64_t created_ns, int64_t dead_after_ns, Fixed trigger
    ) except -1
    # What became of it; these never raise and never block. `now_ns` is local wall time, `venue_ns` the venue's.
    cdef void c_submitted(self, uint64_t client_id, int64_t now_ns) noexcept
    cdef void c_unknown(self, uint64_t client_id, int64_t now_ns) noexcept
    cdef void c_ack(self, uint64_t client_id, string_view exchange_order_id, int64_t venue_ns, int64_t now_ns) noexcept
    cdef void c_reject(self, uint64_t client_id, string_view reason, int64_t now_ns) noexcept
    cdef void c_fill(
        self, uint64_t client_id, string_view trade_id, string_view fee_asset, Fixed price, Fixed amount, Fixed quote,
        Fixed fee, cbool is_taker, int64_t venue_ns, uint32_t more_fees, int64_t now_ns
    ) noexcept
    # Before their fill: the `more_fees` beyond its first.
    cdef void c_fee(
        self, uint64_t client_id, string_view trade_id, string_view asset, Fixed amount, int64_t now_ns
    ) noexcept
    cdef void c_amend(self, uint64_t client_id, Fixed price, Fixed amount, int64_t now_ns) noexcept
    cdef void c_end(
        self, uint64_t client_id, OrderState state, Fixed executed_base, Fixed executed_quote, int64_t now_ns
    ) noexcept
