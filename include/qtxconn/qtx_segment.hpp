// The QTX order queue: a POSIX shared-memory ring of 100 orders, its byte layout, and both ends of it.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "qtxconn/clock.hpp"
#include "qtxconn/qtx_wait.hpp"
#include "qtxconn/spin_lock.hpp"

namespace qtxconn::qtx {

// -- layout (little-endian, LP64) --------------------------------------------------------------------------------
//
//   segment, 1,043,216 bytes                 one order slot, 10,432 bytes
//   +---------+------------------------+     +-------+-----------------------------------------------------------+
//   |       0 | from_idx  int64        |     |     0 | mode            int64   0 register key, 1 place, -1 cancel |
//   |       8 | to_idx    int64        |     |     8 | side            int64   1 buy, -1 sell                     |
//   +---------+------------------------+     |    16 | pos_side        int64   1 long, 0 both, -1 short           |
//   |      16 | slot[0]                |     |    24 | client_order_id uint64                                     |
//   |  10,448 | slot[1]                |     |    32 | order_type      uint64  0 IOC, 1 post-only, 2 GTC, 3 FOK   |
//   |     ... |                        |     |    40 | price_match     uint64                                     |
//   |1,032,784| slot[99]               |     |    48 | place_ts_ns     uint64  when the client placed it          |
//   +---------+------------------------+     |    56 | res_ts_ns       uint64  non-zero: the answer is complete   |
//                                            |    64 | size            char[32]   decimal text                    |
//   producer: fill slot[to_idx], then        |    96 | price           char[32]   decimal text                    |
//     release-store to_idx + 1 (mod 100)     |   128 | api_key         char[100]  mode 0 only                     |
//   consumer: acquire-load to_idx, read,     |   228 | api_secret      char[100]  mode 0 only                     |
//     release-store from_idx + 1; later      |   328 | symbol          char[100]                                  |
//     res_msg, then release-store res_ts_ns  |   428 | res_msg         char[10000]  the answer, text              |
//                                            |10,428 | padding to a multiple of 8                                 |
//                                            +-------+-----------------------------------------------------------+

constexpr std::int64_t kSlotCount = 100;
constexpr std::size_t kSlotSize = 10432;
constexpr std::size_t kSegmentSize = 1043216;

constexpr std::size_t kFromIdxOffset = 0;
constexpr std::size_t kToIdxOffset = 8;
constexpr std::size_t kSlotsOffset = 16;

constexpr std::size_t kModeOffset = 0;
constexpr std::size_t kSideOffset = 8;
constexpr std::size_t kPosSideOffset = 16;
constexpr std::size_t kClientOrderIdOffset = 24;
constexpr std::size_t kOrderTypeOffset = 32;
constexpr std::size_t kPriceMatchOffset = 40;
constexpr std::size_t kPlaceTsOffset = 48;
constexpr std::size_t kResTsOffset = 56;
constexpr std::size_t kSizeOffset = 64;
constexpr std::size_t kPriceOffset = 96;
constexpr std::size_t kApiKeyOffset = 128;
constexpr std::size_t kApiSecretOffset = 228;
constexpr std::size_t kSymbolOffset = 328;
constexpr std::size_t kResMsgOffset = 428;

constexpr std::size_t kDecimalTextSize = 32;
constexpr std::size_t kNameTextSize = 100;
constexpr std::size_t kResMsgSize = 10000;

struct OrderSlot {
    std::int64_t mode;
    std::int64_t side;
    std::int64_t pos_side;
    std::uint64_t client_order_id;
    std::uint64_t order_type;
    std::uint64_t price_match;
    std::uint64_t place_ts_ns;
    std::uint64_t res_ts_ns;
    char size[kDecimalTextSize];
    char price[kDecimalTextSize];
    char api_key[kNameTextSize];
    char api_secret[kNameTextSize];
    char symbol[kNameTextSize];
    char res_msg[kResMsgSize];
    char padding[4];
};

struct Segment {
    std::int64_t from_idx;
    std::int64_t to_idx;
    OrderSlot slots[kSlotCount];
};

static_assert(sizeof(OrderSlot) == kSlotSize);
static_assert(offsetof(OrderSlot, mode) == kModeOffset);
static_assert(offsetof(OrderSlot, side) == kSideOffset);
static_assert(offsetof(OrderSlot, pos_side) == kPosSideOffset);
static_assert(offsetof(OrderSlot, client_order_id) == kClientOrderIdOffset);
static_assert(offsetof(OrderSlot, order_type) == kOrderTypeOffset);
static_assert(offsetof(OrderSlot, price_match) == kPriceMatchOffset);
static_assert(offsetof(OrderSlot, place_ts_ns) == kPlaceTsOffset);
static_assert(offsetof(OrderSlot, res_ts_ns) == kResTsOffset);
static_assert(offsetof(OrderSlot, size) == kSizeOffset);
static_assert(offsetof(OrderSlot, price) == kPriceOffset);
static_assert(offsetof(OrderSlot, api_key) == kApiKeyOffset);
static_assert(offsetof(OrderSlot, api_secret) == kApiSecretOffset);
static_assert(offsetof(OrderSlot, symbol) == kSymbolOffset);
static_assert(offsetof(OrderSlot, res_msg) == kResMsgOffset);
static_assert(sizeof(Segment) == kSegmentSize);
static_assert(offsetof(Segment, from_idx) == kFromIdxOffset);
static_assert(offsetof(Segment, to_idx) == kToIdxOffset);
static_assert(offsetof(Segment, slots) == kSlotsOffset);

enum Mode : std::int64_t { kModeRegisterKey = 0, kModePlace = 1, kModeCancel = -1 };
enum WireSide : std::int64_t { kSideBuy = 1, kSideSell = -1 };
enum WireOrderType : std::uint64_t { kTypeIoc = 0, kTypePostOnly = 1, kTypeGtc = 2, kTypeFok = 3 };

// -- results -----------------------------------------------------------------------------------------------------

// Everything but `ok` is negative, so that a function can return a slot number or a status in one int.
enum class QueueStatus : int {
    ok = 0,
    full = -1,              // all 99 usable slots hold orders the consumer has not picked up, or the next slot's
                            // answer has not been taken; nothing was published
    stalled = -2,           // the consumer has not moved for the stall limit although orders wait; nothing published
    text_too_long = -3,     // a text does not fit its field with its terminator; nothing was published
    foreign_producer = -4,  // to_idx was moved by someone else: the queue is closed for good
    replaced = -5,          // the segment was unlinked, re-created or truncated: attach again
    closed = -6,
    corrupt = -7,          // an index is outside 0..99
    no_answer = -8,        // not (yet) answered
    not_outstanding = -9,  // no order of ours waits in this slot
    timed_out = -10,
    wrong_order = -11,  // the slot no longer holds the order it is said to hold
};

inline const char* describe(QueueStatus status) noexcept {
    switch (status) {
        case QueueStatus::ok: return "ok";
        case QueueStatus::full: return "the order queue is full";
        case QueueStatus::stalled: return "the order manager does not take orders from the queue";
        case QueueStatus::text_too_long: return "a text is too long for its field";
        case QueueStatus::foreign_producer: return "another producer writes to this queue";
        case QueueStatus::replaced: return "the segment was replaced or truncated";
        case QueueStatus::closed: return "the queue is closed";
        case QueueStatus::corrupt: return "the segment's indices are out of range";
        case QueueStatus::no_answer: return "no answer yet";
        case QueueStatus::not_outstanding: return "no order is outstanding in this slot";
        case QueueStatus::timed_out: return "no answer in time";
        case QueueStatus::wrong_order: return "the slot holds another order";
    }
    return "unknown status";
}

enum class MapStatus : int {
    ok = 0,
    missing,        // no segment of this name
    exists,         // create: the name is taken
    denied,         // the system refuses access
    wrong_size,     // not exactly kSegmentSize bytes
    wrong_owner,    // belongs to another user
    shared_access,  // group or others may read or write it
    locked,         // another producer of ours is attached
    corrupt,        // an index is outside 0..99
    bad_name,       // not "/name" of at most 254 characters without another slash
    failed,         // see `error_number`
};

// -- bounded text ------------------------------------------------------------------------------------------------

struct TextView {
    const char* data = "";
    std::size_t size = 0;
};

// Length of a text field that its writer may have left without a terminator.
inline std::size_t bounded_length(const char* text, std::size_t capacity) noexcept {
    const void* end = memchr(text, 0, capacity);
    return end == nullptr ? capacity : static_cast<std::size_t>(static_cast<const char*>(end) - text);
}

inline TextView bounded_text(const char* text, std::size_t capacity) noexcept {
    return {text, bounded_length(text, capacity)};
}

namespace detail {

inline std::int64_t load_acquire(const std::int64_t& value) noexcept {
    return __atomic_load_n(&value, __ATOMIC_ACQUIRE);
}

inline std::uint64_t load_acquire(const std::uint64_t& value) noexcept {
    return __atomic_load_n(&value, __ATOMIC_ACQUIRE);
}

inline void store_release(std::int64_t& target, std::int64_t value) noexcept {
    __atomic_store_n(&target, value, __ATOMIC_RELEASE);
}

inline void store_release(std::uint64_t& target, std::uint64_t value) noexcept {
    __atomic_store_n(&target, value, __ATOMIC_RELEASE);
}

inline bool in_ring(std::int64_t idx) noexcept { return idx >= 0 && idx < kSlotCount; }

inline std::int64_t next_idx(std::int64_t idx) noexcept { return idx + 1 == kSlotCount ? 0 : idx + 1; }

inline void fill_text(char* field, std::size_t capacity, TextView text) noexcept {
    memcpy(field, text.data, text.size);
    memset(field + text.size, 0, capacity - text.size);
}

}  // namespace detail

// -- mapping -----------------------------------------------------------------------------------------------------

// Owns the mapping; the creator also owns the name. Nothing throws: every step returns a MapStatus. What no client can
// prevent: a process of the same user that truncates the segment ends this one with SIGBUS at the next touch. intact()
// finds it earlier where it is asked in time.
class SegmentMap {
public:
    SegmentMap() noexcept = default;
    SegmentMap(const SegmentMap&) = delete;
    SegmentMap& operator=(const SegmentMap&) = delete;
    ~SegmentMap() { close(); }

    // The producer's side: maps an existing segment. Before a byte is touched: exact size, our own user, nobody else
    // may read or write it (unless `allow_shared_access`), no second producer of ours (an advisory lock).
    MapStatus attach(const char* name, bool allow_shared_access) noexcept {
        MapStatus status = open_name(name, O_RDWR, 0);
        if (status != MapStatus::ok) {
            return status;
        }
        struct stat info{};
        if (fstat(fd_, &info) != 0) {
            return fail(MapStatus::failed);
        }
        if (info.st_size != static_cast<off_t>(kSegmentSize)) {
            actual_size_ = static_cast<std::int64_t>(info.st_size);
            return fail(MapStatus::wrong_size);
        }
        if (!allow_shared_access) {
            if (info.st_uid != geteuid()) {
                return fail(MapStatus::wrong_owner);
            }
            if ((info.st_mode & 077) != 0) {
                return fail(MapStatus::shared_access);
            }
        }
        if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
            return fail(errno == EWOULDBLOCK ? MapStatus::locked : MapStatus::failed);
        }
        status = map();
        if (status == MapStatus::ok && !(detail::in_ring(detail::load_acquire(segment_->from_idx)) &&
                                         detail::in_ring(detail::load_acquire(segment_->to_idx)))) {
            status = fail(MapStatus::corrupt);
        }
        return status;
    }

    // The consumer's side: makes the segment, empty, for our own user only.
    MapStatus create(const char* name) noexcept {
        const MapStatus status = open_name(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (status != MapStatus::ok) {
            return status;
        }
        owns_name_ = true;
        if (fchmod(fd_, 0600) != 0 || ftruncate(fd_, static_cast<off_t>(kSegmentSize)) != 0) {
            return fail(MapStatus::failed);
        }
        return map();
    }

    // Whether the name still leads to the memory we hold, in full. A system call; for heartbeats and time-outs.
    bool intact() const noexcept {
        struct stat info{};
        return fd_ >= 0 && fstat(fd_, &info) == 0 && info.st_nlink > 0 &&
               info.st_size == static_cast<off_t>(kSegmentSize);
    }

    void close() noexcept {
        if (segment_ != nullptr) {
            munmap(segment_, kSegmentSize);
            segment_ = nullptr;
        }
        // Only while it is still ours: someone may have unlinked it and made a new one of the same name.
        if (owns_name_ && intact()) {
            shm_unlink(name_);
        }
        owns_name_ = false;
        if (fd_ >= 0) {
            ::close(fd_);
            fd_ = -1;
        }
    }

    Segment* get() const noexcept { return segment_; }
    int error_number() const noexcept { return error_number_; }
    std::int64_t actual_size() const noexcept { return actual_size_; }  // bytes, after MapStatus::wrong_size

private:
    static constexpr std::size_t kNameMax = 255;

    MapStatus open_name(const char* name, int flags, mode_t mode) noexcept {
        close();
        const std::size_t length = strnlen(name, kNameMax + 1);
        if (length < 2 || length > kNameMax || name[0] != '/' || strchr(name + 1, '/') != nullptr) {
            return MapStatus::bad_name;
        }
        memcpy(name_, name, length + 1);
        fd_ = shm_open(name_, flags | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd_ >= 0) {
            return MapStatus::ok;
        }
        error_number_ = errno;
        switch (error_number_) {
            case ENOENT: return MapStatus::missing;
            case EEXIST: return MapStatus::exists;
            case EACCES: return MapStatus::denied;
            default: return MapStatus::failed;
        }
    }

    MapStatus map() noexcept {
        // Populated at once: no page fault on the first order.
        void* memory = mmap(nullptr, kSegmentSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
        if (memory == MAP_FAILED) {
            return fail(MapStatus::failed);
        }
        segment_ = static_cast<Segment*>(memory);
        // Keys pass through here: keep them out of core files and, where the limit allows, out of swap.
        madvise(memory, kSegmentSize, MADV_DONTDUMP);
        mlock(memory, kSegmentSize);
        return MapStatus::ok;
    }

    MapStatus fail(MapStatus status) noexcept {
        error_number_ = errno;
        close();
        return status;
    }

    Segment* segment_ = nullptr;
    std::int64_t actual_size_ = 0;
    int fd_ = -1;
    int error_number_ = 0;
    bool owns_name_ = false;
    char name_[kNameMax + 1] = {};
};

// -- producer ----------------------------------------------------------------------------------------------------

struct OrderRequest {
    std::int64_t mode = kModePlace;
    std::int64_t side = 0;
    std::int64_t pos_side = 0;  // one-way mode: always 0
    std::uint64_t client_order_id = 0;
    std::uint64_t order_type = 0;
    std::uint64_t price_match = 0;
    std::uint64_t place_ts_ns = 0;  // wall clock; must not be 0
    TextView size;
    TextView price;
    TextView symbol;
    TextView api_key;
    TextView api_secret;
};

// An answer read in place. `message` points into the segment and holds until QueueProducer::release().
struct AnswerView {
    int slot = -1;
    bool late = false;  // came after the order had been given up on
    std::int64_t mode = 0;
    std::uint64_t client_order_id = 0;
    std::uint64_t place_ts_ns = 0;
    std::uint64_t res_ts_ns = 0;
    TextView message;
};

// The client's end. Any number of threads may publish and take; each answer goes to exactly one of them.
//
// A slot is used again only once its answer was taken, however long that takes: an order manager that answers late can
// then never answer into another order. The ring is strictly in order, so one order that is never answered blocks the
// queue after 99 further ones; that is reported as `full`, and heals with the answer or with a new segment.
class QueueProducer {
public:
    // `stall_limit_ns`: with orders waiting that long and not one taken, further ones are refused.
    explicit QueueProducer(Segment& segment, std::int64_t stall_limit_ns, bool wipe_secrets = true) noexcept
        : segment_(segment), stall_limit_ns_(stall_limit_ns), wipe_secrets_(wipe_secrets) {
        to_idx_ = detail::load_acquire(segment_.to_idx);
        for (int slot = 0; slot < kSlotCount; ++slot) {
            const OrderSlot& order = segment_.slots[slot];
            // Left by an earlier client and still without an answer: not ours to use.
            const bool unanswered = order.place_ts_ns != 0 && detail::load_acquire(order.res_ts_ns) == 0;
            records_[slot].state.store(unanswered ? State::foreign : State::fresh, std::memory_order_relaxed);
        }
    }

    QueueProducer(const QueueProducer&) = delete;
    QueueProducer& operator=(const QueueProducer&) = delete;

    ~QueueProducer() {
        for (int slot = 0; slot < kSlotCount; ++slot) {
            if (records_[slot].holds_secret) {
                wipe_secret(segment_.slots[slot]);
            }
        }
    }

    // Fills the next slot and hands it to the order manager. Returns the slot (0..99) or a negative QueueStatus, in
    // which case nothing was published.
    int publish(const OrderRequest& request) noexcept {
        if (request.size.size >= kDecimalTextSize || request.price.size >= kDecimalTextSize ||
            request.symbol.size >= kNameTextSize || request.api_key.size >= kNameTextSize ||
            request.api_secret.size >= kNameTextSize) {
            return static_cast<int>(QueueStatus::text_too_long);
        }
        lock_.lock();
        const int result = publish_locked(request);
        lock_.unlock();
        return result;
    }

    // Takes the answer of `slot` if it is there. After `ok` the caller reads `answer` and must call release(slot).
    QueueStatus take(int slot, AnswerView& answer) noexcept {
        Record& record = records_[slot];
        State state = record.state.load(std::memory_order_acquire);
        if (state != State::awaiting && state != State::expired) {
            return QueueStatus::not_outstanding;
        }
        OrderSlot& order = segment_.slots[slot];
        if (detail::load_acquire(order.res_ts_ns) == 0) {
            return QueueStatus::no_answer;
        }
        // Whoever wins this takes the answer; a failure is another thread's take or expire.
        while (!record.state.compare_exchange_weak(state, State::taking, std::memory_order_acq_rel)) {
            if (state != State::awaiting && state != State::expired) {
                return QueueStatus::not_outstanding;
            }
        }
        // Asked again, now that the slot is ours: meanwhile another thread may have taken that answer, and the slot may
        // carry a new order.
        const std::uint64_t res_ts_ns = detail::load_acquire(order.res_ts_ns);
        if (res_ts_ns == 0) {
            record.state.store(state, std::memory_order_release);
            return QueueStatus::no_answer;
        }
        if (order.client_order_id != record.client_order_id) {
            clear_outstanding(slot);  // nothing of ours can come here any more
            record.state.store(State::foreign, std::memory_order_release);
            close(QueueStatus::foreign_producer);
            return QueueStatus::wrong_order;
        }
        clear_outstanding(slot);
        if (record.holds_secret) {
            wipe_secret(order);
            record.holds_secret = false;
        }
        answer.slot = slot;
        answer.late = state == State::expired;
        answer.mode = record.mode;
        answer.client_order_id = record.client_order_id;
        answer.place_ts_ns = record.place_ts_ns;
        answer.res_ts_ns = res_ts_ns;
        answer.message = bounded_text(order.res_msg, kResMsgSize);
        return QueueStatus::ok;
    }

    // Takes the first answer there is, in slot order.
    QueueStatus take_any(AnswerView& answer) noexcept {
        for (int word = 0; word < kWords; ++word) {
            std::uint64_t bits = outstanding_[word].load(std::memory_order_acquire);
            while (bits != 0) {
                const int slot = word * 64 + __builtin_ctzll(bits);
                bits &= bits - 1;
                if (take(slot, answer) == QueueStatus::ok) {
                    return QueueStatus::ok;
                }
            }
        }
        return QueueStatus::no_answer;
    }

    // Ends a take: the answer is wiped, its length only, and the slot may carry the next order.
    void release(const AnswerView& answer) noexcept {
        memset(segment_.slots[answer.slot].res_msg, 0, answer.message.size);
        records_[answer.slot].state.store(State::idle, std::memory_order_release);
    }

    // Gives up on an answer without freeing the slot: it may still come, and take() then says `late`. A secret that
    // the order manager has picked up is wiped now.
    void expire(int slot) noexcept {
        Record& record = records_[slot];
        State awaiting = State::awaiting;
        if (!record.state.compare_exchange_strong(awaiting, State::taking, std::memory_order_acq_rel)) {
            return;
        }
        if (record.holds_secret && picked_up(slot)) {
            wipe_secret(segment_.slots[slot]);
            record.holds_secret = false;
        }
        expired_count_.fetch_add(1, std::memory_order_relaxed);
        record.state.store(State::expired, std::memory_order_release);
    }

    // Waits in this thread for the answer of one slot.
    QueueStatus wait(int slot, const WaitPolicy& policy, std::int64_t timeout_ns, AnswerView& answer) noexcept {
        Backoff backoff(policy);
        const std::int64_t deadline_ns = monotonic_ns() + timeout_ns;
        for (;;) {
            const QueueStatus status = take(slot, answer);
            if (status != QueueStatus::no_answer) {
                return status;
            }
            if (closed() != QueueStatus::ok) {
                return closed();
            }
            if (backoff.pause(deadline_ns) >= deadline_ns) {
                return take(slot, answer) == QueueStatus::ok ? QueueStatus::ok : QueueStatus::timed_out;
            }
        }
    }

    // Whether some outstanding order has its answer.
    bool answer_ready() const noexcept {
        for (int word = 0; word < kWords; ++word) {
            std::uint64_t bits = outstanding_[word].load(std::memory_order_acquire);
            while (bits != 0) {
                const int slot = word * 64 + __builtin_ctzll(bits);
                bits &= bits - 1;
                if (detail::load_acquire(segment_.slots[slot].res_ts_ns) != 0) {
                    return true;
                }
            }
        }
        return false;
    }

    int outstanding() const noexcept {
        int count = 0;
        for (const auto& word : outstanding_) {
            count += __builtin_popcountll(word.load(std::memory_order_seq_cst));
        }
        return count;
    }

    // No further order is accepted; `reason` is what publish() then returns. The first reason stays.
    void close(QueueStatus reason) noexcept {
        int open = static_cast<int>(QueueStatus::ok);
        closed_.compare_exchange_strong(open, static_cast<int>(reason), std::memory_order_acq_rel);
    }

    QueueStatus closed() const noexcept { return static_cast<QueueStatus>(closed_.load(std::memory_order_acquire)); }

    std::uint64_t published_count() const noexcept { return published_count_.load(std::memory_order_relaxed); }
    std::uint64_t refused_count() const noexcept { return refused_count_.load(std::memory_order_relaxed); }
    std::uint64_t expired_count() const noexcept { return expired_count_.load(std::memory_order_relaxed); }

private:
    static constexpr int kWords = 2;

    enum class State : std::uint8_t {
        fresh,     // not used by us yet: may hold an earlier client's text
        idle,      // ours, clean but for the header
        awaiting,  // published, no answer taken
        expired,   // given up on, still without an answer
        taking,    // its answer is being read
        foreign,   // an earlier client's order without an answer
    };

    struct Record {
        std::atomic<State> state{State::fresh};
        bool holds_secret = false;
        std::int64_t mode = 0;
        std::uint64_t client_order_id = 0;
        std::uint64_t place_ts_ns = 0;
    };

    int refuse(QueueStatus status) noexcept {
        refused_count_.fetch_add(1, std::memory_order_relaxed);
        return static_cast<int>(status);
    }

    int publish_locked(const OrderRequest& request) noexcept {
        if (closed() != QueueStatus::ok) {
            return refuse(closed());
        }
        const std::int64_t from_idx = detail::load_acquire(segment_.from_idx);
        if (__atomic_load_n(&segment_.to_idx, __ATOMIC_RELAXED) != to_idx_) {
            close(QueueStatus::foreign_producer);
            return refuse(QueueStatus::foreign_producer);
        }
        if (!detail::in_ring(from_idx)) {
            close(QueueStatus::corrupt);
            return refuse(QueueStatus::corrupt);
        }
        const std::int64_t next = detail::next_idx(to_idx_);
        if (next == from_idx) {
            return refuse(QueueStatus::full);
        }
        if (from_idx != to_idx_ && stalled(from_idx, request.place_ts_ns)) {
            return refuse(QueueStatus::stalled);
        }
        Record& record = records_[to_idx_];
        OrderSlot& order = segment_.slots[to_idx_];
        State state = record.state.load(std::memory_order_acquire);
        if (state == State::foreign && detail::load_acquire(order.res_ts_ns) != 0) {
            state = State::fresh;
        }
        if (state == State::fresh) {
            memset(order.api_key, 0, kSlotSize - kApiKeyOffset);
        } else if (state != State::idle) {
            return refuse(QueueStatus::full);
        }

        order.mode = request.mode;
        order.side = request.side;
        order.pos_side = request.pos_side;
        order.client_order_id = request.client_order_id;
        order.order_type = request.order_type;
        order.price_match = request.price_match;
        order.place_ts_ns = request.place_ts_ns;
        __atomic_store_n(&order.res_ts_ns, std::uint64_t{0}, __ATOMIC_RELAXED);  // a watcher may be looking
        detail::fill_text(order.size, kDecimalTextSize, request.size);
        detail::fill_text(order.price, kDecimalTextSize, request.price);
        detail::fill_text(order.symbol, kNameTextSize, request.symbol);
        if (request.mode == kModeRegisterKey) {
            detail::fill_text(order.api_key, kNameTextSize, request.api_key);
            detail::fill_text(order.api_secret, kNameTextSize, request.api_secret);
            record.holds_secret = wipe_secrets_;
        }
        record.mode = request.mode;
        record.client_order_id = request.client_order_id;
        record.place_ts_ns = request.place_ts_ns;
        record.state.store(State::awaiting, std::memory_order_release);
        const auto slot = static_cast<int>(to_idx_);
        // Before the order is visible, so that its answer cannot come unwatched. Sequentially consistent: pairs with a
        // watcher that announces its sleep and then looks here.
        outstanding_[slot / 64].fetch_or(std::uint64_t{1} << (slot % 64), std::memory_order_seq_cst);
        to_idx_ = next;
        detail::store_release(segment_.to_idx, next);
        published_count_.fetch_add(1, std::memory_order_relaxed);
        return slot;
    }

    // The oldest order that waits is ours (a foreign one has no record) and was published too long ago.
    bool stalled(std::int64_t from_idx, std::uint64_t now_ns) const noexcept {
        const Record& oldest = records_[from_idx];
        const State state = oldest.state.load(std::memory_order_relaxed);
        return (state == State::awaiting || state == State::expired) &&
               static_cast<std::int64_t>(now_ns - oldest.place_ts_ns) > stall_limit_ns_;
    }

    // Whether the consumer's index has passed a published slot.
    bool picked_up(int slot) const noexcept {
        const std::int64_t from_idx = detail::load_acquire(segment_.from_idx);
        const std::int64_t to_idx = detail::load_acquire(segment_.to_idx);
        const std::int64_t waiting = (to_idx - from_idx + kSlotCount) % kSlotCount;
        return (slot - from_idx + kSlotCount) % kSlotCount >= waiting;
    }

    void clear_outstanding(int slot) noexcept {
        outstanding_[slot / 64].fetch_and(~(std::uint64_t{1} << (slot % 64)), std::memory_order_acq_rel);
    }

    static void wipe_secret(OrderSlot& order) noexcept {
        explicit_bzero(order.api_key, kNameTextSize);
        explicit_bzero(order.api_secret, kNameTextSize);
    }

    Segment& segment_;
    const std::int64_t stall_limit_ns_;
    const bool wipe_secrets_;
    SpinLock lock_;
    std::int64_t to_idx_ = 0;  // ours; a difference to the segment's is another producer
    std::atomic<int> closed_{static_cast<int>(QueueStatus::ok)};
    std::atomic<std::uint64_t> outstanding_[kWords] = {};
    std::atomic<std::uint64_t> published_count_{0};
    std::atomic<std::uint64_t> refused_count_{0};
    std::atomic<std::uint64_t> expired_count_{0};
    Record records_[kSlotCount];
};

// -- consumer ----------------------------------------------------------------------------------------------------

// The order manager's end. One thread takes and answers; pending() may be called from another.
class QueueConsumer {
public:
    explicit QueueConsumer(Segment& segment) noexcept
        : segment_(segment), from_idx_(detail::load_acquire(segment.from_idx)) {}

    QueueConsumer(const QueueConsumer&) = delete;
    QueueConsumer& operator=(const QueueConsumer&) = delete;

    bool pending() const noexcept {
        const std::int64_t to_idx = detail::load_acquire(segment_.to_idx);
        return detail::in_ring(to_idx) && to_idx != from_idx_.load(std::memory_order_acquire);
    }

    // The next order, which stays in place until advance(); null when there is none. Its texts come from another
    // process: read them with bounded_text().
    const OrderSlot* peek(int& slot) const noexcept {
        const std::int64_t to_idx = detail::load_acquire(segment_.to_idx);
        const std::int64_t from_idx = from_idx_.load(std::memory_order_relaxed);
        if (to_idx == from_idx || !detail::in_ring(to_idx)) {
            return nullptr;
        }
        slot = static_cast<int>(from_idx);
        return &segment_.slots[from_idx];
    }

    // The order of peek() has been read: remember which it was, and tell the producer.
    void advance() noexcept {
        const std::int64_t from_idx = from_idx_.load(std::memory_order_relaxed);
        taken_[from_idx] = {segment_.slots[from_idx].client_order_id, segment_.slots[from_idx].place_ts_ns, true};
        const std::int64_t next = detail::next_idx(from_idx);
        from_idx_.store(next, std::memory_order_release);
        taken_count_.fetch_add(1, std::memory_order_relaxed);
        detail::store_release(segment_.from_idx, next);
    }

    std::uint64_t taken_count() const noexcept { return taken_count_.load(std::memory_order_relaxed); }

    // Writes the answer, cut to what fits with its terminator, and completes it with the time. Refuses a slot that has
    // been answered, or that no longer holds the order taken from it.
    QueueStatus answer(int slot, TextView message, std::uint64_t res_ts_ns) noexcept {
        if (slot < 0 || slot >= kSlotCount || !taken_[slot].waiting) {
            return QueueStatus::not_outstanding;
        }
        Taken& taken = taken_[slot];
        OrderSlot& order = segment_.slots[slot];
        taken.waiting = false;
        if (order.client_order_id != taken.client_order_id || order.place_ts_ns != taken.place_ts_ns) {
            return QueueStatus::wrong_order;
        }
        const std::size_t size = message.size < kResMsgSize ? message.size : kResMsgSize - 1;
        memcpy(order.res_msg, message.data, size);
        order.res_msg[size] = '\0';
        detail::store_release(order.res_ts_ns, res_ts_ns);
        return QueueStatus::ok;
    }

private:
    struct Taken {
        std::uint64_t client_order_id = 0;
        std::uint64_t place_ts_ns = 0;
        bool waiting = false;
    };

    Segment& segment_;
    std::atomic<std::int64_t> from_idx_;
    std::atomic<std::uint64_t> taken_count_{0};
    Taken taken_[kSlotCount] = {};
};

}  // namespace qtxconn::qtx
