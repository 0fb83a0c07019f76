# The order record, state machine and store in C++ (include/qtxconn/in_flight_order.hpp, client_order_tracker.hpp).

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
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
        stop_market
        stop_limit
        take_profit_market
        take_profit_limit
        trailing_stop_market

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


cdef extern from "qtxconn/venue_ids.hpp" namespace "qtxconn" nogil:
    ctypedef uint64_t VenueId       # of orders and trades: a number, or a text in the store's table

    const VenueId kNoVenueId
    VenueId parse_number_id(string_view text) noexcept
    const size_t kVenueIdTextMax
    cbool is_text_id(VenueId id) noexcept

    cdef cppclass VenueIdTable:
        VenueId find(string_view text) noexcept
        VenueId intern(string_view text) except +
        string_view text(VenueId id, char* buffer) noexcept     # the buffer holds 20 characters
        size_t size() noexcept


cdef extern from "qtxconn/in_flight_order.hpp" namespace "qtxconn" nogil:
    cbool is_terminal(OrderState state) noexcept
    cbool is_order_state(uint8_t value) noexcept
    cbool can_move(OrderState source, OrderState target) noexcept

    cdef cppclass Fee:
        uint32_t asset
        Fixed amount

    cdef cppclass Fill:
        VenueId trade_id
        int64_t venue_ns
        uint32_t order
        int32_t next
        uint32_t fee_asset, is_taker, is_provisional
        Fixed price() noexcept
        Fixed amount() noexcept
        Fixed quote() noexcept
        Fee fee() noexcept      # unless fee_asset is kSeveralFees
        void set_price(Fixed value) noexcept
        void set_amount(Fixed value) noexcept
        void set_quote(Fixed value) noexcept
        void set_fee(Fee fee) noexcept

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
        VenueId exchange_id
        int64_t executed_units      # of base_scale; the other amounts through the functions below
        int64_t created_ns, submitted_ns, acked_ns, first_fill_ns, amended_ns, venue_ns
        uint32_t generation, symbol
        int32_t first_fill, last_fill, past_id
        uint16_t leverage, not_found_count
        uint32_t transition_count
        OrderState state, reported, resume
        TradeType trade_type
        OrderType order_type
        PositionAction position
        cbool created_sent, terminal_sent, is_external, ended_by_absence
        Fixed price() noexcept
        Fixed amount() noexcept
        Fixed executed_base() noexcept
        Fixed reported_base() noexcept
        Fixed executed_quote() noexcept
        void set_price(Fixed value) noexcept
        void set_amount(Fixed value) noexcept
        void set_executed_quote(Fixed value) noexcept
        int64_t done_ns() noexcept
        Transition transition(uint32_t number) noexcept

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
    const uint32_t kNoAsset, kSeveralFees
    const uint32_t kTransitionsKept
    Applied to_base_units(OrderRecord& order, Fixed value, int64_t& units) noexcept
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
        amended

    cdef cppclass OrderEvent:
        OrderEventKind kind
        uint32_t slot, generation
        int32_t fill
        int64_t time_ns
        Fixed amount, price

    ctypedef void (*OrderListenerFunction)(void* context, OrderStore& store, const OrderEvent& event) noexcept

    cdef cppclass OrderListener:
        void* context
        OrderListenerFunction on_event

    cdef enum class VenueIdOutcome(uint8_t):
        head
        learned
        past
        taken

    cdef cppclass OrderStore "qtxconn::ClientOrderTracker":
        OrderStore() except +
        uint32_t intern_symbol(string_view symbol) except +
        string_view symbol(uint32_t number) noexcept
        uint32_t intern_asset(string_view asset) except +
        string_view asset(uint32_t number) noexcept
        VenueIdTable& ids() noexcept
        uint32_t start_tracking(const OrderRecord& order) except +
        void release(uint32_t slot) except +
        uint32_t find(uint64_t client_id) noexcept
        uint32_t find_exchange_id(string_view exchange_order_id, uint32_t symbol) noexcept
        uint32_t find_exchange_id(VenueId id, uint32_t symbol) noexcept
        int32_t find_trade(uint32_t symbol, VenueId trade_id) noexcept
        VenueId past_id(int32_t past) noexcept
        int32_t next_past_id(int32_t past) noexcept
        OrderRecord& at(uint32_t slot) noexcept
        const Fill& fill(int32_t number) noexcept
        Fee fee(const Fill& fill, size_t number) noexcept
        size_t size() noexcept
        Applied process_state(      # a venue's report
            uint32_t slot, OrderState next, int64_t venue_ns, Fixed executed, int64_t now_ns
        ) except +
        Applied process_state(
            uint32_t slot, OrderState next, int64_t venue_ns, Fixed executed, int64_t now_ns, TransitionReason reason
        ) except +
        Applied process_fill(uint32_t slot, const Fill& fill, int64_t now_ns) except +
        Applied process_fill(
            uint32_t slot, const Fill& fill, int64_t now_ns, const Fee* more_fees, size_t more_fees_count
        ) except +
        void restore_fill(
            uint32_t slot, const Fill& fill, const Fee* more_fees, size_t more_fees_count
        ) except +
        void remember_trade(uint32_t symbol, VenueId trade_id) except +
        Applied process_revert(uint32_t slot, int64_t now_ns) noexcept
        Applied process_amend(uint32_t slot, Fixed price, Fixed amount, int64_t venue_ns, int64_t now_ns) except +
        VenueIdOutcome process_exchange_id(uint32_t slot, VenueId id) except +
        Applied count(Applied applied) noexcept
        uint64_t applied_count(Applied applied) noexcept
        void keep_events(cbool keep) noexcept
        void add_listener(OrderListener listener) except +
        void remove_listener(void* context) noexcept
        const OrderEvent* next_event() noexcept     # valid until the next update; null when there is none

    const uint32_t kNoSlot "qtxconn::ClientOrderTracker::kNone"
