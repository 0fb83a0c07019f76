# The order record, state machine and store in C++ (include/qtxconn/in_flight_order.hpp, client_order_tracker.hpp).

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.string cimport string
from libcpp.string_view cimport string_view

from qtxconn.core.fixed cimport Fixed


cdef extern from "qtxconn/enums.hpp" namespace "qtxconn" nogil:
    cdef enum class TradeType(uint8_t):
        buy
        sell

    cdef enum class OrderType(uint8_t):
        market
        limit
        limit_maker

    cdef enum class PositionAction(uint8_t):
        nil
        open
        close

    cdef enum class OrderState(uint8_t):
        pending_create
        open
        pending_cancel
        canceled
        partially_filled
        filled
        failed
        pending_submit
        pending_update
        unknown
        expired


cdef extern from "qtxconn/text.hpp" namespace "qtxconn" nogil:
    cdef cppclass VenueOrderId "qtxconn::HashedText<48>":    # trade ids are the same type
        cbool assign(string_view text) noexcept
        cbool empty() noexcept
        string_view view() noexcept

    cdef cppclass AssetName "qtxconn::Text<16>":
        cbool assign(string_view text) noexcept
        string_view view() noexcept


cdef extern from "qtxconn/in_flight_order.hpp" namespace "qtxconn" nogil:
    cbool is_terminal(OrderState state) noexcept
    cbool is_order_state(uint8_t value) noexcept
    cbool can_move(OrderState source, OrderState target) noexcept

    cdef cppclass Fill:
        VenueOrderId trade_id
        AssetName fee_asset
        Fixed price, amount, quote, fee
        int64_t venue_ns, received_ns
        int32_t next
        cbool is_taker, is_provisional
        TradeType trade_type
        uint32_t symbol, order
        uint64_t client_id

    cdef enum class TransitionReason(uint8_t):
        local
        report
        fill
        refusal
        absence

    cdef cppclass Transition:
        int64_t time_ns
        OrderState source "from"
        OrderState target "to"
        TransitionReason reason

    cdef cppclass OrderRecord "qtxconn::InFlightOrder":
        uint64_t client_id
        uint32_t generation, symbol
        OrderState state, reported, resume
        TradeType trade_type
        OrderType order_type
        PositionAction position
        cbool created_sent, terminal_sent, is_external, ended_by_absence
        int32_t leverage
        Fixed price, amount, executed_base, executed_quote, reported_base
        VenueOrderId exchange_order_id
        int64_t created_ns, submitted_ns, acked_ns, first_fill_ns, done_ns, venue_ns
        int32_t first_fill, last_fill
        uint32_t fill_count, provisional_count
        int32_t past_id
        uint32_t transition_count
        Transition* transitions

    cdef enum class Applied(uint8_t):
        changed
        unchanged
        stale
        terminal
        illegal
        duplicate_fill
        overfill
        bad_amount
        unknown_order
        foreign
        superseded

    const int32_t kNoFill, kNoId
    const uint32_t kTransitionsKept
    cbool is_executed(const OrderRecord& order) noexcept
    cbool is_end_due(const OrderRecord& order) noexcept


cdef extern from "qtxconn/client_order_tracker.hpp" namespace "qtxconn" nogil:
    cdef enum class OrderEventKind(uint8_t):
        created
        filled
        completed
        cancelled
        failed
        expired
        overfill
        late_fill
        replaced

    cdef cppclass OrderEvent:
        OrderEventKind kind
        uint32_t slot, generation
        int32_t fill
        int64_t time_ns
        Fixed amount

    cdef enum class VenueId(uint8_t):
        head
        learned
        past
        taken

    cdef cppclass OrderStore "qtxconn::ClientOrderTracker":
        OrderStore() except +
        uint32_t intern_symbol(string_view symbol) except +
        string_view symbol(uint32_t number) noexcept
        uint32_t start_tracking(const OrderRecord& order) except +
        void release(uint32_t slot) except +
        uint32_t find(uint64_t client_id) noexcept
        uint32_t find_exchange_id(string_view exchange_order_id, uint32_t symbol) noexcept
        int32_t find_trade(uint32_t symbol, const VenueOrderId& trade_id) noexcept
        const VenueOrderId& past_id(int32_t past) noexcept
        int32_t next_past_id(int32_t past) noexcept
        OrderRecord& at(uint32_t slot) noexcept
        const Fill& fill(int32_t number) noexcept
        size_t size() noexcept
        Applied process_state(      # a venue's report
            uint32_t slot, OrderState next, int64_t venue_ns, Fixed executed, int64_t now_ns
        ) except +
        Applied process_state(
            uint32_t slot, OrderState next, int64_t venue_ns, Fixed executed, int64_t now_ns, TransitionReason reason
        ) except +
        Applied process_fill(uint32_t slot, const Fill& fill, int64_t now_ns) except +
        void restore_fill(uint32_t slot, const Fill& fill) except +
        void remember_trade(uint32_t symbol, const VenueOrderId& trade_id) except +
        Applied process_revert(uint32_t slot, int64_t now_ns) noexcept
        VenueId process_exchange_id(uint32_t slot, const VenueOrderId& id) except +
        Applied count(Applied applied) noexcept
        uint64_t applied_count(Applied applied) noexcept
        cbool next_event(OrderEvent& out) noexcept

    const uint32_t kNoSlot "qtxconn::ClientOrderTracker::kNone"
