# The order journal as a file; its bytes are in include/qtxconn/order_journal.hpp.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport unique_ptr
from libcpp.string_view cimport string_view

from qtxconn.core.clock cimport Clock
from qtxconn.core.fixed cimport Fixed
from qtxconn.core.order_journal cimport OrderJournalBase
from qtxconn.core.order_store cimport OrderState


cdef extern from "<atomic>" namespace "std" nogil:
    cdef cppclass atomic_uint64 "std::atomic<std::uint64_t>":
        pass


cdef extern from "qtxconn/order_journal.hpp" namespace "qtxconn" nogil:
    cdef enum class JournalKind(uint8_t):
        intent
        submitted
        ack
        reject
        unknown
        fill
        end
        amend
        fee

    cdef enum class JournalFault(uint8_t):
        none
        magic
        version
        header
        size

    cdef cppclass JournalNumber:
        pass

    cdef cppclass JournalText "qtxconn::JournalText<48>":
        string_view view() noexcept

    cdef cppclass JournalVenueText "qtxconn::JournalText<72>":
        string_view view() noexcept

    cdef cppclass JournalAssetText "qtxconn::JournalText<16>":
        string_view view() noexcept

    cdef cppclass JournalHeader:
        uint32_t version
        uint64_t capacity, first_sequence, highest_client_id
        int64_t created_ns

    cdef cppclass JournalIntent:
        JournalNumber price, amount, trigger
        int64_t created_ns, dead_after_ns
        uint64_t account
        uint8_t trade_type, order_type, position
        JournalText client_order_id, trading_pair

    cdef cppclass JournalAck:
        int64_t venue_ns
        JournalVenueText exchange_order_id

    cdef cppclass JournalReject:
        JournalText reason

    cdef cppclass JournalFill:
        JournalNumber price, amount, quote, fee
        int64_t venue_ns
        JournalVenueText trade_id
        JournalAssetText fee_asset
        uint32_t more_fees

    cdef cppclass JournalEnd:
        JournalNumber executed_base, executed_quote

    cdef cppclass JournalAmend:
        JournalNumber price, amount

    cdef cppclass JournalFee:
        JournalNumber amount
        JournalVenueText trade_id
        JournalAssetText asset

    cdef cppclass JournalRecord:
        uint64_t sequence
        JournalKind kind
        OrderState state
        cbool is_taker
        uint64_t client_id
        int64_t time_ns
        JournalIntent intent
        JournalAck ack
        JournalReject reject
        JournalFill fill
        JournalEnd end
        JournalAmend amend
        JournalFee fee

    cdef cppclass JournalScan:
        uint64_t used, damaged, first_damaged

    cdef cppclass JournalWriter:
        void reset(JournalRecord* records, uint64_t capacity, uint64_t used, uint64_t first_sequence) noexcept
        uint64_t used() noexcept
        uint64_t capacity() noexcept
        uint64_t next_sequence() noexcept
        const atomic_uint64& written() noexcept
        cbool has_room_for_orders() noexcept
        cbool is_full() noexcept
        cbool intent(
            uint64_t client_id, string_view client_order_id, string_view trading_pair, uint8_t trade_type,
            uint8_t order_type, uint8_t position, Fixed price, Fixed amount, int64_t created_ns, int64_t dead_after_ns,
            uint64_t account, Fixed trigger
        ) noexcept
        cbool mark(JournalKind kind, uint64_t client_id, int64_t time_ns) noexcept
        cbool ack(uint64_t client_id, string_view exchange_order_id, int64_t venue_ns, int64_t time_ns) noexcept
        cbool reject(uint64_t client_id, string_view reason, int64_t time_ns) noexcept
        cbool fill(
            uint64_t client_id, string_view trade_id, string_view fee_asset, Fixed price, Fixed amount, Fixed quote,
            Fixed fee, cbool is_taker, int64_t venue_ns, int64_t time_ns, uint32_t more_fees
        ) noexcept
        cbool fee(
            uint64_t client_id, string_view trade_id, string_view asset, Fixed amount, int64_t time_ns
        ) noexcept
        cbool end(
            uint64_t client_id, OrderState state, Fixed executed_base, Fixed executed_quote, int64_t time_ns
        ) noexcept
        cbool amend(uint64_t client_id, Fixed price, Fixed amount, int64_t time_ns) noexcept
        cbool copy(const JournalRecord& source) noexcept

    const size_t kJournalRecordSize
    const uint64_t kJournalCapacityMin
    const uint64_t kJournalCapacityMax
    const uint32_t kJournalVersion
    const uint32_t kJournalVersionMin
    Fixed fixed_of(const JournalNumber& number) noexcept
    cbool is_journal_record(const JournalRecord& record, uint64_t sequence) noexcept
    void make_journal_header(
        JournalHeader& header, uint64_t capacity, uint64_t first_sequence, uint64_t highest_client_id,
        int64_t created_ns
    ) noexcept
    JournalFault check_journal_header(const JournalHeader& header, uint64_t file_size) noexcept
    JournalScan scan_journal(const JournalRecord* records, uint64_t capacity, uint64_t first_sequence) noexcept


cdef extern from "qtxconn/journal_flusher.hpp" namespace "qtxconn" nogil:
    cdef cppclass JournalFlusher:
        JournalFlusher() except +
        void start(int descriptor, const atomic_uint64& written, int64_t interval_ns) except +
        void replace(int descriptor) except +
        void stop() noexcept
        int error() noexcept


# One journal file in memory, unmapped and closed with this object.
cdef class JournalFile:
    cdef readonly str path
    cdef readonly int descriptor
    cdef char* _address
    cdef size_t _size

    cdef JournalHeader* header(self) noexcept
    cdef JournalRecord* records(self) noexcept
    cdef int map(self, bint writable) except -1


cdef class OrderJournal(OrderJournalBase):
    cdef readonly str path
    cdef readonly str durability        # "process", "group" or "power"
    cdef readonly unsigned long long dropped_records  # that found no room: after a restart the venue is asked instead
    cdef readonly int rolls
    cdef readonly unsigned long long highest_client_id
    cdef JournalFile _file
    cdef unique_ptr[JournalWriter] _writer
    cdef unique_ptr[JournalFlusher] _flusher
    cdef Clock _clock
    cdef object _history
    cdef object _connector              # weak reference to the connector served
    cdef list _restored                 # its orders from an earlier process that had not ended
    cdef str _refusal
    cdef uint64_t _capacity
    cdef uint64_t _account
    cdef int _lock
    cdef bint _usable                   # open, and in the process that opened it
    cdef bint _sync_before_send
    cdef object __weakref__

    # For a strategy that writes its records without the GIL, from one thread, while nobody else uses this object.
    # Orders are taken until the file is 7/8 full (`intent` returns false: do not send); maintain() makes room, between
    # two runs of the loop. Raises JournalError if orders are refused, ConfigurationError with durability "power", which
    # waits for the disk.
    cdef JournalWriter* c_writer(self) except NULL

    cdef int _open(self, bint skip_damaged) except -1
    cdef int _roll(self) except -1
    cdef void _renew(self) noexcept
    cdef void _touch_ahead(self) noexcept
    cdef bint _has_room(self) noexcept
    cdef void _count(self, bint written) noexcept
    cdef int _sync(self, uint64_t client_id, int64_t now_ns) except -1
