// The client's end of the order queue: publishes orders, takes answers, gives up on those that do not come.
#pragma once

#include <string.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "qtxconn/clock.hpp"
#include "qtxconn/qtx_segment.hpp"
#include "qtxconn/qtx_wait.hpp"
#include "qtxconn/spin_lock.hpp"

namespace qtxconn::qtx {

// What is published. It begins as an order slot does, so that publishing is a copy: a strategy keeps one for each
// symbol and changes what differs from order to order.
struct OrderRequest {
    std::int64_t mode = kModePlace;
    std::int64_t side = 0;
    std::int64_t pos_side = 0;  // one-way mode: always 0
    std::uint64_t client_order_id = 0;
    std::uint64_t order_type = 0;
    std::uint64_t price_match = 0;
    std::uint64_t place_ts_ns = 0;  // wall clock; must not be 0
    std::uint64_t res_ts_ns = 0;    // published as 0, whatever it is
    SlotText<kDecimalTextSize> size;
    SlotText<kDecimalTextSize> price;
    SlotText<kNameTextSize> symbol;
    TextView api_key;  // mode 0 only
    TextView api_secret;

    // Whether each text leaves room for its terminator.
    bool fits() const noexcept {
        return (size.data[kDecimalTextSize - 1] | price.data[kDecimalTextSize - 1] | symbol.data[kNameTextSize - 1]) ==
                   0 &&
               (mode != kModeRegisterKey || (api_key.size < kNameTextSize && api_secret.size < kNameTextSize));
    }
};

static_assert(offsetof(OrderRequest, place_ts_ns) == kPlaceTsOffset && offsetof(OrderRequest, size) == kSizeOffset &&
              offsetof(OrderRequest, price) == kPriceOffset && sizeof(OrderRequest::price) == kDecimalTextSize);

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
// A slot carries the next order only once its answer was taken: an order manager that answers late can then never
// answer into another order. The ring is strictly in order, so a slot whose answer never comes would block it. Once
// such an order was given up on (expire), the queue goes past its slot by publishing there, each time round, a cancel
// of an order that does not exist, whose answer nobody reads: a late answer falls into it and does no harm. Such a slot
// is retired for the life of the segment; with kRetiredMax of them the order manager is taken to be broken, and orders
// are refused.
//
// An order that is given up on before the order manager has picked it up is taken back: one store turns it, where it
// stands, into a cancel of itself. It cannot be sent to the venue hours later, when the manager goes on.
class QueueProducer {
public:
    static constexpr int kRetiredMax = 10;

    // `stall_limit_ns`: with orders waiting that long and not one taken, further ones are refused. It is also how long
    // an earlier client's order may stay without an answer before its slot is retired.
    explicit QueueProducer(Segment& segment, std::int64_t stall_limit_ns, bool wipe_secrets = true) noexcept
        : segment_(segment), stall_limit_ns_(stall_limit_ns), wipe_secrets_(wipe_secrets) {
        const std::int64_t from_idx = detail::load_acquire(segment_.from_idx);
        const std::int64_t to_idx = detail::load_acquire(segment_.to_idx);
        if (!detail::in_ring(from_idx) || !detail::in_ring(to_idx)) {
            close(QueueStatus::corrupt);
            return;
        }
        to_idx_ = to_idx;
        unread_ = detail::distance(from_idx, to_idx);
        for (int slot = 0; slot < kSlotCount; ++slot) {
            const OrderSlot& order = segment_.slots[slot];
            // Left by an earlier client and still without an answer: not ours to use. In the slot that comes next it
            // may also have been stopped while it wrote; nothing is waited for there.
            const bool unanswered = order.place_ts_ns != 0 && detail::load_acquire(order.res_ts_ns) == 0;
            records_[slot].place_ts_ns = slot == to_idx ? kLongAgo : order.place_ts_ns;
            records_[slot].state.store(unanswered ? State::foreign : State::fresh, std::memory_order_relaxed);
        }
    }

    QueueProducer(const QueueProducer&) = delete;
    QueueProducer& operator=(const QueueProducer&) = delete;

    ~QueueProducer() {
        for (int slot = 0; slot < kSlotCount; ++slot) {
            forget_secret(slot);
        }
    }

    // Fills the next slot and hands it to the order manager. Returns the slot (0..99) or a negative QueueStatus, in
    // which case nothing was published.
    int publish(const OrderRequest& request) noexcept {
        if (!lock_.try_lock()) {
            return publish_contended(request);
        }
        const Segment& segment = segment_;
        const std::int64_t next = to_idx_;
        const Record& record = records_[next];
        // The usual case, without a call: nobody waits, and the next slot's last answer was taken.
        const bool usual = detail::load_acquire(segment.from_idx) == next &&
                           __atomic_load_n(&segment.to_idx, __ATOMIC_RELAXED) == next &&
                           record.state.load(std::memory_order_acquire) == State::idle && !record.holds_secret &&
                           request.mode != kModeRegisterKey && request.fits() &&
                           closed_.load(std::memory_order_relaxed) == static_cast<int>(QueueStatus::ok);
        if (!usual) {
            return publish_carefully(request);
        }
        unread_ = 0;
        const int slot = put(request);
        lock_.unlock();
        return slot;
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
        forget_secret(slot);
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

    // Gives up on an answer without freeing the slot: it may still come, and take() then says `late`. An order to place
    // that the order manager has not picked up is taken back, and a secret that it has picked up is wiped. Returns
    // whether an order was taken back: only a manager that was reading this very slot can still act on it.
    bool expire(int slot) noexcept {
        Record& record = records_[slot];
        State awaiting = State::awaiting;
        if (!record.state.compare_exchange_strong(awaiting, State::taking, std::memory_order_acq_rel)) {
            return false;
        }
        const bool taken_back = record.mode == kModePlace && !picked_up(slot) && take_back(slot);
        if (picked_up(slot)) {
            forget_secret(slot);
        }
        expired_count_.fetch_add(1, std::memory_order_relaxed);
        record.state.store(State::expired, std::memory_order_release);
        return taken_back;
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

    // What a publish would notice, for when there is none.
    void inspect() noexcept {
        lock_.lock();
        check_indices(detail::load_acquire(segment_.from_idx));
        lock_.unlock();
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
    std::uint64_t withdrawn_count() const noexcept { return withdrawn_count_.load(std::memory_order_relaxed); }
    int retired_count() const noexcept { return retired_count_.load(std::memory_order_relaxed); }  // slots

private:
    static constexpr int kWords = 2;
    static constexpr std::uint64_t kLongAgo = 0;

    enum class State : std::uint8_t {
        fresh,     // not used by us yet: may hold an earlier client's text
        idle,      // ours, clean but for the header
        awaiting,  // published, no answer taken
        expired,   // given up on, still without an answer
        taking,    // its answer is being read
        foreign,   // an earlier client's order without an answer
        retired,   // never answered, passed over from now on
    };

    struct alignas(64) Record {
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

    [[gnu::noinline]] int publish_contended(const OrderRequest& request) noexcept {
        lock_.lock();
        return publish_carefully(request);
    }

    // All cases, with the lock held; releases it.
    [[gnu::noinline]] int publish_carefully(const OrderRequest& request) noexcept {
        const int result = publish_locked(request);
        lock_.unlock();
        return result;
    }

    int publish_locked(const OrderRequest& request) noexcept {
        if (!request.fits()) {
            return static_cast<int>(QueueStatus::text_too_long);
        }
        const std::int64_t from_idx = detail::load_acquire(segment_.from_idx);
        if (closed() != QueueStatus::ok || !check_indices(from_idx)) {
            return refuse(closed());
        }
        if (unread_ != 0 && is_overdue(records_[from_idx], request.place_ts_ns)) {
            return refuse(QueueStatus::stalled);
        }
        while (unread_ + 1 < kSlotCount) {
            const auto slot = static_cast<int>(to_idx_);
            const State state = records_[slot].state.load(std::memory_order_acquire);
            if (state == State::idle || clean(slot, state)) {
                fill_secret(slot, request);
                return put(request);
            }
            const QueueStatus passed = pass(slot, state, request);
            if (passed != QueueStatus::ok) {
                return refuse(passed);
            }
        }
        return refuse(QueueStatus::full);
    }

    // Fills the next slot, which is free, and hands it to the order manager.
    [[gnu::always_inline]] int put(const OrderRequest& request) noexcept {
        const auto slot = static_cast<int>(to_idx_);
        fill(slot, request);
        records_[slot].state.store(State::awaiting, std::memory_order_release);
        // Before the order is visible, so that its answer cannot come unwatched. Sequentially consistent: pairs with a
        // watcher that announces its sleep and then looks here.
        outstanding_[slot / 64].fetch_or(std::uint64_t{1} << (slot % 64), std::memory_order_seq_cst);
        advance();
        published_count_.store(published_count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return slot;
    }

    // The segment's indices must be what our own moves and the order manager's steps forward have made them. Anything
    // else closes the queue.
    bool check_indices(std::int64_t from_idx) noexcept {
        const std::int64_t to_idx = __atomic_load_n(&segment_.to_idx, __ATOMIC_RELAXED);
        if (to_idx == to_idx_ && detail::in_ring(from_idx)) {
            const std::int64_t unread = detail::distance(from_idx, to_idx_);
            if (unread <= unread_) {
                unread_ = unread;
                return true;
            }
        }
        close(what_happened(from_idx, to_idx));
        return false;
    }

    QueueStatus what_happened(std::int64_t from_idx, std::int64_t to_idx) const noexcept {
        if (to_idx == to_idx_) {
            return QueueStatus::corrupt;
        }
        // Both at zero and our newest order gone: the order manager has started anew in the same segment.
        const std::int64_t newest = to_idx_ == 0 ? kSlotCount - 1 : to_idx_ - 1;
        const bool anew = to_idx == 0 && from_idx == 0 && segment_.slots[newest].place_ts_ns == 0;
        return anew ? QueueStatus::replaced : QueueStatus::foreign_producer;
    }

    void fill(int slot, const OrderRequest& request) noexcept {
        Record& record = records_[slot];
        OrderSlot& order = segment_.slots[slot];
        detail::copy<kResTsOffset>(&order, &request);
        __atomic_store_n(&order.res_ts_ns, std::uint64_t{0}, __ATOMIC_RELAXED);  // a watcher may be looking
        detail::copy<kDecimalTextSize>(order.size, request.size.data);
        detail::copy<kDecimalTextSize>(order.price, request.price.data);
        detail::copy<kNameTextSize>(order.symbol, request.symbol.data);
        record.mode = request.mode;
        record.client_order_id = request.client_order_id;
        record.place_ts_ns = request.place_ts_ns;
    }

    void fill_secret(int slot, const OrderRequest& request) noexcept {
        forget_secret(slot, true);
        if (request.mode == kModeRegisterKey) {
            OrderSlot& order = segment_.slots[slot];
            memcpy(order.api_key, request.api_key.data, request.api_key.size);
            memcpy(order.api_secret, request.api_secret.data, request.api_secret.size);
            records_[slot].holds_secret = true;
        }
    }

    void advance() noexcept {
        to_idx_ = detail::next_idx(to_idx_);
        ++unread_;
        detail::store_release(segment_.to_idx, to_idx_);
    }

    // Whether a slot that an earlier client used can be used now; then it is cleared.
    bool clean(int slot, State state) noexcept {
        OrderSlot& order = segment_.slots[slot];
        if (state != State::fresh && !(state == State::foreign && detail::load_acquire(order.res_ts_ns) != 0)) {
            return false;
        }
        memset(order.api_key, 0, kNameTextSize);
        memset(order.api_secret, 0, kNameTextSize);
        memset(order.res_msg, 0, kResMsgSize);
        return true;
    }

    // Goes past a slot whose order was never answered.
    QueueStatus pass(int slot, State state, const OrderRequest& request) noexcept {
        Record& record = records_[slot];
        OrderSlot& order = segment_.slots[slot];
        if (state != State::retired) {
            const bool given_up =
                state == State::expired || (state == State::foreign && is_overdue(record, request.place_ts_ns));
            if (!given_up || detail::load_acquire(order.res_ts_ns) != 0) {
                return QueueStatus::full;  // until its answer has come and was taken
            }
            if (retired_count() == kRetiredMax) {
                return QueueStatus::unanswered;
            }
            if (!record.state.compare_exchange_strong(state, State::retired, std::memory_order_acq_rel)) {
                return QueueStatus::full;  // being taken this moment
            }
            clear_outstanding(slot);
            forget_secret(slot);
            retired_count_.fetch_add(1, std::memory_order_relaxed);
        }
        OrderRequest nothing;
        nothing.mode = kModeCancel;
        nothing.client_order_id = kNoOrderId;
        nothing.place_ts_ns = request.place_ts_ns;
        nothing.symbol = request.symbol;
        fill(slot, nothing);
        advance();
        return QueueStatus::ok;
    }

    bool is_overdue(const Record& record, std::uint64_t now_ns) const noexcept {
        return record.place_ts_ns == kLongAgo ||
               static_cast<std::int64_t>(now_ns - record.place_ts_ns) > stall_limit_ns_;
    }

    // One store, so that the order manager reads either the order or the cancel, never a mixture.
    bool take_back(int slot) noexcept {
        std::int64_t mode = kModePlace;
        if (!__atomic_compare_exchange_n(&segment_.slots[slot].mode, &mode, std::int64_t{kModeCancel}, false,
                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            return false;
        }
        withdrawn_count_.fetch_add(1, std::memory_order_relaxed);
        return !picked_up(slot);
    }

    // Whether the consumer's index has passed a published slot.
    bool picked_up(int slot) const noexcept {
        const std::int64_t from_idx = detail::load_acquire(segment_.from_idx);
        const std::int64_t to_idx = detail::load_acquire(segment_.to_idx);
        return !detail::in_ring(from_idx) || !detail::in_ring(to_idx) ||
               detail::distance(from_idx, slot) >= detail::distance(from_idx, to_idx);
    }

    void clear_outstanding(int slot) noexcept {
        outstanding_[slot / 64].fetch_and(~(std::uint64_t{1} << (slot % 64)), std::memory_order_acq_rel);
    }

    // What is not wiped with the answer is wiped when the slot carries another order.
    void forget_secret(int slot, bool always = false) noexcept {
        if (records_[slot].holds_secret && (wipe_secrets_ || always)) {
            records_[slot].holds_secret = false;
            explicit_bzero(segment_.slots[slot].api_key, kNameTextSize);
            explicit_bzero(segment_.slots[slot].api_secret, kNameTextSize);
        }
    }

    Segment& segment_;
    const std::int64_t stall_limit_ns_;
    const bool wipe_secrets_;
    SpinLock lock_;
    std::int64_t to_idx_ = 0;  // ours; a difference to the segment's is another producer
    std::int64_t unread_ = 0;  // published and not picked up, when last looked at
    std::atomic<int> closed_{static_cast<int>(QueueStatus::ok)};
    std::atomic<std::uint64_t> outstanding_[kWords] = {};
    std::atomic<std::uint64_t> published_count_{0};
    std::atomic<std::uint64_t> refused_count_{0};
    std::atomic<std::uint64_t> expired_count_{0};
    std::atomic<std::uint64_t> withdrawn_count_{0};
    std::atomic<int> retired_count_{0};
    Record records_[kSlotCount];
};

}  // namespace qtxconn::qtx
