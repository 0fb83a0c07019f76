# The shared-memory order queue for Cython: cimport OrderQueue and call its c_* methods from nogil code.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport unique_ptr


cdef extern from "qtxconn/qtx_wait.hpp" namespace "qtxconn::qtx" nogil:
    cdef cppclass WaitPolicy:
        int64_t spin_ns
        int64_t yield_ns
        int64_t sleep_min_ns
        int64_t sleep_max_ns
        int64_t linger_ns


cdef extern from "qtxconn/qtx_segment.hpp" namespace "qtxconn::qtx" nogil:
    const int64_t kSlotCount
    const size_t kDecimalTextSize
    const size_t kNameTextSize
    const size_t kResMsgSize
    const size_t kSegmentSize

    cdef enum class QueueStatus(int):
        ok
        full
        stalled
        text_too_long
        foreign_producer
        replaced
        closed
        corrupt
        no_answer
        not_outstanding
        timed_out
        wrong_order
        unanswered

    const char* describe(QueueStatus status) noexcept

    cdef enum class MapStatus(int):
        ok
        missing
        exists
        denied
        wrong_size
        wrong_owner
        shared_access
        locked
        corrupt
        bad_name
        failed

    cdef struct TextView:
        const char* data
        size_t size

    # A text that is too long is refused when it is published.
    cdef cppclass SlotText "qtxconn::qtx::SlotText<1>":
        void assign(TextView text) noexcept

    TextView bounded_text(const char* text, size_t capacity) noexcept

    cdef struct OrderSlot:
        int64_t mode
        int64_t side
        int64_t pos_side
        uint64_t client_order_id
        uint64_t order_type
        uint64_t price_match
        uint64_t place_ts_ns
        uint64_t res_ts_ns
        const char* size       # char[32]
        const char* price      # char[32]
        const char* api_key    # char[100]
        const char* api_secret  # char[100]
        const char* symbol     # char[100]
        const char* res_msg    # char[10000]


cdef extern from "qtxconn/qtx_segment_map.hpp" namespace "qtxconn::qtx" nogil:
    cdef cppclass SegmentMap:
        SegmentMap() noexcept
        MapStatus attach(const char* name, cbool allow_shared_access) noexcept
        MapStatus create(const char* name) noexcept
        cbool intact() noexcept
        void close() noexcept
        int error_number() noexcept
        int64_t actual_size() noexcept


cdef extern from "qtxconn/qtx_order_producer.hpp" namespace "qtxconn::qtx" nogil:
    # One for each symbol, filled once; then only what differs from order to order is set.
    cdef cppclass OrderRequest:
        OrderRequest() noexcept
        int64_t mode
        int64_t side
        int64_t pos_side
        uint64_t client_order_id
        uint64_t order_type
        uint64_t price_match
        uint64_t place_ts_ns
        SlotText size       # 31 bytes of decimal text
        SlotText price      # 31
        SlotText symbol     # 99
        TextView api_key    # these two in mode 0 only
        TextView api_secret

    cdef cppclass AnswerView:
        AnswerView() noexcept
        int slot
        cbool late
        int64_t mode
        uint64_t client_order_id
        uint64_t place_ts_ns
        uint64_t res_ts_ns
        TextView message

    cdef cppclass QueueProducer:
        QueueStatus take(int slot, AnswerView& answer) noexcept
        QueueStatus take_any(AnswerView& answer) noexcept
        void release(const AnswerView& answer) noexcept
        cbool expire(int slot) noexcept
        QueueStatus wait(int slot, const WaitPolicy& policy, int64_t timeout_ns, AnswerView& answer) noexcept
        int outstanding() noexcept
        void inspect() noexcept
        void close(QueueStatus reason) noexcept
        QueueStatus closed() noexcept
        uint64_t published_count() noexcept
        uint64_t refused_count() noexcept
        uint64_t expired_count() noexcept
        uint64_t withdrawn_count() noexcept
        int retired_count() noexcept


cdef extern from "qtxconn/qtx_order_consumer.hpp" namespace "qtxconn::qtx" nogil:
    cdef cppclass QueueConsumer:
        cbool pending() noexcept
        const OrderSlot* peek(int& slot) noexcept
        void advance() noexcept
        QueueStatus answer(int slot, TextView message, uint64_t res_ts_ns) noexcept


cdef extern from "qtxconn/qtx_watcher.hpp" namespace "qtxconn::qtx" nogil:
    cdef cppclass EventFd:
        int fd() noexcept
        void signal() noexcept
        void clear() noexcept


cdef extern from "qtxconn/qtx_order_client.hpp" namespace "qtxconn::qtx" nogil:
    cdef cppclass AnswerWatcher "qtxconn::qtx::Watcher<qtxconn::qtx::AnswerSource>":
        cbool start() noexcept
        void stop() noexcept
        EventFd& event() noexcept

    cdef cppclass RequestWatcher "qtxconn::qtx::Watcher<qtxconn::qtx::RequestSource>":
        cbool start() noexcept
        void stop() noexcept
        EventFd& event() noexcept

    cdef cppclass OrderClient:
        OrderClient(const SegmentMap& map, int64_t stall_limit_ns, cbool wipe_secrets, const WaitPolicy& policy)
        int submit(const OrderRequest& request) noexcept
        QueueProducer producer
        AnswerWatcher watcher

    cdef cppclass OrderManager:
        OrderManager(const SegmentMap& map, const WaitPolicy& policy)
        QueueConsumer consumer
        RequestWatcher watcher


cdef class OrderQueue:
    cdef:
        readonly str name
        unique_ptr[SegmentMap] _map
        unique_ptr[OrderClient] _client   # null once closed
        WaitPolicy _policy
        int _waiting  # threads inside wait_answer; under the GIL

    # From any thread, without the GIL. Each returns the slot (0..99) or a negative QueueStatus: then nothing was
    # published. Texts need no terminator. `place_ts_ns` is wall time.
    cdef int c_submit(self, const OrderRequest& request) noexcept nogil
    cdef int c_submit_place(self, uint64_t client_order_id, TextView symbol, int64_t side, TextView size,
                            TextView price, uint64_t order_type, uint64_t place_ts_ns) noexcept nogil
    cdef int c_submit_cancel(self, uint64_t client_order_id, TextView symbol, uint64_t place_ts_ns) noexcept nogil

    # After QueueStatus.ok the caller reads `answer.message` in place and then calls c_release.
    cdef QueueStatus c_take(self, int slot, AnswerView& answer) noexcept nogil
    cdef QueueStatus c_take_any(self, AnswerView& answer) noexcept nogil
    cdef void c_release(self, const AnswerView& answer) noexcept nogil

    cdef OrderClient* _open_client(self) except NULL


cdef class OrderManagerQueue:
    cdef:
        readonly str name
        unique_ptr[SegmentMap] _map
        unique_ptr[OrderManager] _manager  # null once closed

    cdef OrderManager* _open_manager(self) except NULL
