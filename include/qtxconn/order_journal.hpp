// The order journal: what was meant, sent and heard of every order, in mapped memory that a killed process leaves
// whole.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "qtxconn/crc32c.hpp"
#include "qtxconn/enums.hpp"
#include "qtxconn/fixed.hpp"
#include "qtxconn/in_flight_order.hpp"

namespace qtxconn {

// -- the file --------------------------------------------------------------------------------------------------
//
// One header, then `capacity` records, each 256 bytes, little-endian. Bytes named nowhere are zero.
//
//   header   0         8       12       16         24               32                  40           48    52     256
//            +---------+-------+--------+----------+----------------+-------------------+------------+-----+-------+
//            | magic   |version|rec.size| capacity | first sequence | highest client id | created ns | crc |   0   |
//            +---------+-------+--------+----------+----------------+-------------------+------------+-----+-------+
//
//   record   0         8      12    13     14     15   16          24        32                                 256
//            +---------+------+-----+------+------+----+-----------+---------+------------------------------------+
//            | sequence| crc  |kind |state |taker | 0  | client id | time ns | body, by kind                      |
//            +---------+------+-----+------+------+----+-----------+---------+------------------------------------+
//
//   intent  32      48       64           72              80        88     89     90    91   96          144
//            +-------+--------+------------+---------------+---------+------+------+-----+----+-----------+------+
//            | price | amount | created ns | dead after ns | account | side | type | pos | 0  | client id | pair |
//            +-------+--------+------------+---------------+---------+------+------+-----+----+-----------+------+
//           192       208
//            +---------+---
//            | trigger | 0
//            +---------+---
//
//   fill    32      48       64      80    96         104        176         192    196
//            +-------+--------+-------+-----+----------+----------+-----------+------+---
//            | price | amount | quote | fee | venue ns | trade id | fee asset | more | 0
//            +-------+--------+-------+-----+----------+----------+-----------+------+---
//
//   fee     32       48         120     136         ack     32         40             112
//            +--------+----------+-------+---                +----------+-------------+---
//            | amount | trade id | asset | 0                 | venue ns | exchange id | 0
//            +--------+----------+-------+---                +----------+-------------+---
//
//   amend   32      48       64                     reject  32       80
//            +-------+--------+---                           +--------+---
//            | price | amount | 0                            | reason | 0
//            +-------+--------+---                           +--------+---
//
//   end     32              48               64
//            +---------------+----------------+---
//            | executed base | executed quote | 0
//            +---------------+----------------+---
//
// A number is 8 bytes of units, 4 of scale, 4 of zero. A text is one byte of length and the bytes. The crc of a record
// goes over its sequence, then over bytes 12 to 255. A record is written body first; the release store of its sequence
// makes it count. Record i has the sequence `first sequence` + i, so that none counts at another one's place.
//
// A fill has its first fee in it, and `more` says how many others there are: each is a record of its own before the
// fill, so that a fill that counts has all of its fees. Version 1 is the same without them, and without triggers.

constexpr char kJournalMagic[8] = {'Q', 'T', 'X', 'J', 'R', 'N', 'L', '\n'};
constexpr std::uint32_t kJournalVersion = 2;     // that is written
constexpr std::uint32_t kJournalVersionMin = 1;  // that is read
constexpr std::size_t kJournalRecordSize = 256;
constexpr std::uint64_t kJournalCapacityMin = 16;
constexpr std::uint64_t kJournalCapacityMax = 1ULL << 24;

enum class JournalKind : std::uint8_t {
    intent = 1,     // an order is about to be tracked and sent
    submitted = 2,  // its first byte is about to leave
    ack = 3,        // the venue has it, under this id
    reject = 4,     // it ended by refusal: the venue's, or ours before anything left
    unknown = 5,    // no answer
    fill = 6,       // one execution
    end = 7,        // it ended: filled, cancelled or expired
    amend = 8,      // the venue has given it this price and amount
    fee = 9,        // a further fee of the fill with this trade id, which follows
};

// Exact number without padding, so that no byte of the file is left to chance.
struct JournalNumber {
    std::int64_t units;
    std::int32_t scale;
    std::int32_t zero;
};

template <std::size_t N>
struct JournalText {
    static_assert(N >= 2 && N <= 256, "the length is one byte");
    std::uint8_t size;
    char data[N - 1];

    bool assign(std::string_view text) noexcept {
        if (text.size() > N - 1) {
            return false;
        }
        size = static_cast<std::uint8_t>(text.size());
        if (!text.empty()) {
            std::memcpy(data, text.data(), text.size());
        }
        return true;
    }
    bool valid() const noexcept { return size <= N - 1; }
    std::string_view view() const noexcept { return {data, size <= N - 1 ? size : 0U}; }
};

struct JournalHeader {
    char magic[8];
    std::uint32_t version;
    std::uint32_t record_size;
    std::uint64_t capacity;
    std::uint64_t first_sequence;
    std::uint64_t highest_client_id;  // of all orders of earlier files
    std::int64_t created_ns;
    std::uint32_t crc;  // of the bytes before it
    unsigned char zero[204];
};

struct JournalIntent {
    JournalNumber price;
    JournalNumber amount;
    std::int64_t created_ns;
    std::int64_t dead_after_ns;  // wall time from which the venue cannot accept the order any more
    std::uint64_t account;       // hash that tells accounts apart
    std::uint8_t trade_type;
    std::uint8_t order_type;
    std::uint8_t position;
    std::uint8_t zero[5];
    JournalText<48> client_order_id;
    JournalText<48> trading_pair;
    JournalNumber trigger;  // price of a conditional order; 0: none
};

struct JournalAck {
    std::int64_t venue_ns;
    JournalText<kVenueIdTextMax + 1> exchange_order_id;
};

struct JournalReject {
    JournalText<48> reason;
};

struct JournalFill {
    JournalNumber price;
    JournalNumber amount;
    JournalNumber quote;
    JournalNumber fee;
    std::int64_t venue_ns;
    JournalText<kVenueIdTextMax + 1> trade_id;
    JournalText<16> fee_asset;
    std::uint32_t more_fees;  // so many records of the kind `fee`, the last of this trade, belong to it
    std::uint32_t zero;
};

struct JournalAmend {
    JournalNumber price;
    JournalNumber amount;
};

struct JournalFee {
    JournalNumber amount;
    JournalText<kVenueIdTextMax + 1> trade_id;
    JournalText<16> asset;
};

struct JournalEnd {
    JournalNumber executed_base;
    JournalNumber executed_quote;
};

struct JournalRecord {
    std::uint64_t sequence;
    std::uint32_t crc;
    JournalKind kind;
    OrderState state;  // of an end
    bool is_taker;     // of a fill
    std::uint8_t zero;
    std::uint64_t client_id;
    std::int64_t time_ns;  // local wall time
    union {
        JournalIntent intent;
        JournalAck ack;
        JournalReject reject;
        JournalFill fill;
        JournalEnd end;
        JournalAmend amend;
        JournalFee fee;
        unsigned char body[224];
    };
};

static_assert(sizeof(JournalHeader) == kJournalRecordSize && offsetof(JournalHeader, version) == 8 &&
              offsetof(JournalHeader, record_size) == 12 && offsetof(JournalHeader, capacity) == 16 &&
              offsetof(JournalHeader, first_sequence) == 24 && offsetof(JournalHeader, highest_client_id) == 32 &&
              offsetof(JournalHeader, created_ns) == 40 && offsetof(JournalHeader, crc) == 48);
static_assert(sizeof(JournalRecord) == kJournalRecordSize && offsetof(JournalRecord, crc) == 8 &&
              offsetof(JournalRecord, kind) == 12 && offsetof(JournalRecord, state) == 13 &&
              offsetof(JournalRecord, is_taker) == 14 && offsetof(JournalRecord, client_id) == 16 &&
              offsetof(JournalRecord, time_ns) == 24 && offsetof(JournalRecord, body) == 32);
static_assert(offsetof(JournalIntent, amount) == 16 && offsetof(JournalIntent, created_ns) == 32 &&
              offsetof(JournalIntent, dead_after_ns) == 40 && offsetof(JournalIntent, account) == 48 &&
              offsetof(JournalIntent, trade_type) == 56 && offsetof(JournalIntent, order_type) == 57 &&
              offsetof(JournalIntent, position) == 58 && offsetof(JournalIntent, client_order_id) == 64 &&
              offsetof(JournalIntent, trading_pair) == 112 && offsetof(JournalIntent, trigger) == 160 &&
              sizeof(JournalIntent) == 176);
static_assert(offsetof(JournalAck, exchange_order_id) == 8 && sizeof(JournalAck) == 80);
static_assert(sizeof(JournalReject) == 48);
static_assert(offsetof(JournalFill, quote) == 32 && offsetof(JournalFill, fee) == 48 &&
              offsetof(JournalFill, venue_ns) == 64 && offsetof(JournalFill, trade_id) == 72 &&
              offsetof(JournalFill, fee_asset) == 144 && offsetof(JournalFill, more_fees) == 160 &&
              sizeof(JournalFill) == 168);
static_assert(offsetof(JournalEnd, executed_quote) == 16 && sizeof(JournalEnd) == 32);
static_assert(offsetof(JournalAmend, amount) == 16 && sizeof(JournalAmend) == 32);
static_assert(offsetof(JournalFee, trade_id) == 16 && offsetof(JournalFee, asset) == 88 && sizeof(JournalFee) == 104);

inline JournalNumber journal_number(Fixed value) noexcept { return {value.units, value.scale, 0}; }
inline Fixed fixed_of(const JournalNumber& number) noexcept { return {number.units, number.scale}; }

// -- checking --------------------------------------------------------------------------------------------------

inline std::uint32_t journal_crc(const JournalRecord& record, std::uint64_t sequence) noexcept {
    constexpr std::size_t kFrom = offsetof(JournalRecord, kind);
    return crc32c(reinterpret_cast<const unsigned char*>(&record) + kFrom, kJournalRecordSize - kFrom,
                  crc32c(&sequence, sizeof(sequence)));
}

inline std::uint32_t journal_crc(const JournalHeader& header) noexcept {
    return crc32c(&header, offsetof(JournalHeader, crc));
}

namespace detail {

inline bool is_number(const JournalNumber& number) noexcept {
    return number.scale >= 0 && number.scale <= kFixedScaleMax && number.zero == 0 && number.units != INT64_MIN;
}

inline bool is_sound(const JournalIntent& intent) noexcept {
    return is_number(intent.price) && is_number(intent.amount) && intent.amount.units > 0 && intent.created_ns >= 0 &&
           (intent.trade_type == 1 || intent.trade_type == 2) && is_order_type(intent.order_type) &&
           is_number(intent.trigger) && intent.trigger.units >= 0 && intent.position <= 2 &&
           intent.client_order_id.valid() && intent.client_order_id.size > 0 && intent.trading_pair.valid() &&
           intent.trading_pair.size > 0;
}

inline bool is_sound(const JournalFill& fill) noexcept {
    return is_number(fill.price) && is_number(fill.amount) && is_number(fill.quote) && is_number(fill.fee) &&
           fill.amount.units > 0 && fill.price.units >= 0 && fill.quote.units >= 0 && fill.trade_id.valid() &&
           fill.trade_id.size > 0 && fill.fee_asset.valid();
}

inline bool is_sound(const JournalFee& fee) noexcept {
    return is_number(fee.amount) && fee.trade_id.valid() && fee.trade_id.size > 0 && fee.asset.valid() &&
           fee.asset.size > 0;
}

}  // namespace detail

// Whether this is the record with that sequence, whole, and with nothing in it that this code would not write.
inline bool is_journal_record(const JournalRecord& record, std::uint64_t sequence) noexcept {
    unsigned char flags[4];
    std::memcpy(flags, reinterpret_cast<const unsigned char*>(&record) + offsetof(JournalRecord, kind), 4);
    if (record.sequence != sequence || record.crc != journal_crc(record, sequence) || record.client_id == 0 ||
        flags[2] > 1 || flags[3] != 0) {
        return false;
    }
    switch (record.kind) {
        case JournalKind::intent: return detail::is_sound(record.intent);
        case JournalKind::submitted:
        case JournalKind::unknown: return true;
        case JournalKind::ack: return record.ack.exchange_order_id.valid();
        case JournalKind::reject: return record.reject.reason.valid();
        case JournalKind::fill: return detail::is_sound(record.fill);
        case JournalKind::fee: return detail::is_sound(record.fee);
        case JournalKind::end:
            return is_order_state(flags[1]) && is_terminal(record.state) &&
                   detail::is_number(record.end.executed_base) && detail::is_number(record.end.executed_quote);
        case JournalKind::amend:
            return detail::is_number(record.amend.price) && detail::is_number(record.amend.amount) &&
                   record.amend.price.units >= 0 && record.amend.amount.units > 0;
        default: return false;
    }
}

enum class JournalFault : std::uint8_t { none = 0, magic = 1, version = 2, header = 3, size = 4 };

inline void make_journal_header(JournalHeader& header, std::uint64_t capacity, std::uint64_t first_sequence,
                                std::uint64_t highest_client_id, std::int64_t created_ns) noexcept {
    std::memset(&header, 0, sizeof(header));
    std::memcpy(header.magic, kJournalMagic, sizeof(kJournalMagic));
    header.version = kJournalVersion;
    header.record_size = kJournalRecordSize;
    header.capacity = capacity;
    header.first_sequence = first_sequence;
    header.highest_client_id = highest_client_id;
    header.created_ns = created_ns;
    header.crc = journal_crc(header);
}

// `file_size` in bytes, of which at least the header's must be readable.
inline JournalFault check_journal_header(const JournalHeader& header, std::uint64_t file_size) noexcept {
    if (std::memcmp(header.magic, kJournalMagic, sizeof(kJournalMagic)) != 0) {
        return JournalFault::magic;
    }
    if (header.version < kJournalVersionMin || header.version > kJournalVersion) {
        return JournalFault::version;
    }
    if (header.record_size != kJournalRecordSize || header.crc != journal_crc(header) || header.first_sequence == 0 ||
        header.first_sequence > UINT64_MAX / 2 || header.capacity < kJournalCapacityMin ||
        header.capacity > kJournalCapacityMax) {
        return JournalFault::header;
    }
    return file_size == (header.capacity + 1) * kJournalRecordSize ? JournalFault::none : JournalFault::size;
}

struct JournalScan {
    std::uint64_t used = 0;     // records up to and including the last one that is whole
    std::uint64_t damaged = 0;  // of these, how many are not whole
    std::uint64_t first_damaged = 0;
};

// What is not whole after the last whole record is a torn tail: its writer was stopped in the middle of it. What is not
// whole before it is damage.
inline JournalScan scan_journal(const JournalRecord* records, std::uint64_t capacity,
                                std::uint64_t first_sequence) noexcept {
    JournalScan scan;
    std::uint64_t doubtful = 0;
    for (std::uint64_t i = 0; i < capacity; ++i) {
        if (is_journal_record(records[i], first_sequence + i)) {
            if (doubtful > 0 && scan.damaged == 0) {
                scan.first_damaged = scan.used;
            }
            scan.damaged += doubtful;
            doubtful = 0;
            scan.used = i + 1;
        } else {
            ++doubtful;
        }
    }
    return scan;
}

// -- writing ---------------------------------------------------------------------------------------------------

// Appends to mapped records; allocates nothing and never blocks. One thread. An eighth of the file is kept from new
// orders, so that what becomes of those that are out can still be written.
class JournalWriter {
public:
    void reset(JournalRecord* records, std::uint64_t capacity, std::uint64_t used,
               std::uint64_t first_sequence) noexcept {
        records_ = records;
        capacity_ = capacity;
        used_ = used;
        first_sequence_ = first_sequence;
        written_.store(first_sequence + used - 1, std::memory_order_release);
    }

    std::uint64_t used() const noexcept { return used_; }
    std::uint64_t capacity() const noexcept { return capacity_; }
    std::uint64_t next_sequence() const noexcept { return first_sequence_ + used_; }
    const std::atomic<std::uint64_t>& written() const noexcept { return written_; }  // the newest sequence
    bool has_room_for_orders() const noexcept { return used_ < capacity_ - capacity_ / 8; }
    bool is_full() const noexcept { return used_ == capacity_; }

    // Each returns false, with nothing written, if there is no room or a text does not fit.

    bool intent(std::uint64_t client_id, std::string_view client_order_id, std::string_view trading_pair,
                std::uint8_t trade_type, std::uint8_t order_type, std::uint8_t position, Fixed price, Fixed amount,
                std::int64_t created_ns, std::int64_t dead_after_ns, std::uint64_t account,
                Fixed trigger = {}) noexcept {
        if (!has_room_for_orders()) {
            return false;
        }
        JournalRecord& record = begin(JournalKind::intent, client_id, created_ns);
        JournalIntent& body = record.intent;
        if (!body.client_order_id.assign(client_order_id) || !body.trading_pair.assign(trading_pair)) {
            return false;
        }
        body.price = journal_number(price);
        body.amount = journal_number(amount);
        body.trigger = journal_number(trigger);
        body.created_ns = created_ns;
        body.dead_after_ns = dead_after_ns;
        body.account = account;
        body.trade_type = trade_type;
        body.order_type = order_type;
        body.position = position;
        return commit(record);
    }

    // submitted or unknown: kinds without a body.
    bool mark(JournalKind kind, std::uint64_t client_id, std::int64_t time_ns) noexcept {
        return !is_full() && commit(begin(kind, client_id, time_ns));
    }

    bool ack(std::uint64_t client_id, std::string_view exchange_order_id, std::int64_t venue_ns,
             std::int64_t time_ns) noexcept {
        if (is_full()) {
            return false;
        }
        JournalRecord& record = begin(JournalKind::ack, client_id, time_ns);
        record.ack.venue_ns = venue_ns;
        return record.ack.exchange_order_id.assign(exchange_order_id) && commit(record);
    }

    // `reason` is cut to what fits.
    bool reject(std::uint64_t client_id, std::string_view reason, std::int64_t time_ns) noexcept {
        if (is_full()) {
            return false;
        }
        JournalRecord& record = begin(JournalKind::reject, client_id, time_ns);
        record.state = OrderState::failed;
        record.reject.reason.assign(reason.substr(0, sizeof(record.reject.reason.data)));
        return commit(record);
    }

    bool fill(std::uint64_t client_id, std::string_view trade_id, std::string_view fee_asset, Fixed price, Fixed amount,
              Fixed quote, Fixed fee, bool is_taker, std::int64_t venue_ns, std::int64_t time_ns,
              std::uint32_t more_fees = 0) noexcept {
        if (is_full()) {
            return false;
        }
        JournalRecord& record = begin(JournalKind::fill, client_id, time_ns);
        JournalFill& body = record.fill;
        if (!body.trade_id.assign(trade_id) || !body.fee_asset.assign(fee_asset)) {
            return false;
        }
        body.price = journal_number(price);
        body.amount = journal_number(amount);
        body.quote = journal_number(quote);
        body.fee = journal_number(fee);
        body.more_fees = more_fees;
        body.venue_ns = venue_ns;
        record.is_taker = is_taker;
        return commit(record);
    }

    // Before the fill whose first fee is another.
    bool fee(std::uint64_t client_id, std::string_view trade_id, std::string_view asset, Fixed amount,
             std::int64_t time_ns) noexcept {
        if (is_full()) {
            return false;
        }
        JournalRecord& record = begin(JournalKind::fee, client_id, time_ns);
        record.fee.amount = journal_number(amount);
        return record.fee.trade_id.assign(trade_id) && record.fee.asset.assign(asset) && commit(record);
    }

    bool end(std::uint64_t client_id, OrderState state, Fixed executed_base, Fixed executed_quote,
             std::int64_t time_ns) noexcept {
        if (is_full()) {
            return false;
        }
        JournalRecord& record = begin(JournalKind::end, client_id, time_ns);
        record.state = state;
        record.end.executed_base = journal_number(executed_base);
        record.end.executed_quote = journal_number(executed_quote);
        return commit(record);
    }

    bool amend(std::uint64_t client_id, Fixed price, Fixed amount, std::int64_t time_ns) noexcept {
        if (is_full()) {
            return false;
        }
        JournalRecord& record = begin(JournalKind::amend, client_id, time_ns);
        record.amend.price = journal_number(price);
        record.amend.amount = journal_number(amount);
        return commit(record);
    }

    // Takes over a whole record of an earlier file, under the next sequence.
    bool copy(const JournalRecord& source) noexcept {
        if (is_full()) {
            return false;
        }
        JournalRecord& record = records_[used_];
        std::memcpy(reinterpret_cast<unsigned char*>(&record) + offsetof(JournalRecord, kind),
                    reinterpret_cast<const unsigned char*>(&source) + offsetof(JournalRecord, kind),
                    kJournalRecordSize - offsetof(JournalRecord, kind));
        return commit(record);
    }

private:
    // The place may hold a torn record: it does not count while its body is rewritten.
    JournalRecord& begin(JournalKind kind, std::uint64_t client_id, std::int64_t time_ns) noexcept {
        JournalRecord& record = records_[used_];
        std::memset(static_cast<void*>(&record), 0, sizeof(record));
        record.kind = kind;
        record.client_id = client_id;
        record.time_ns = time_ns;
        return record;
    }

    bool commit(JournalRecord& record) noexcept {
        const std::uint64_t sequence = next_sequence();
        record.crc = journal_crc(record, sequence);
        __atomic_store_n(&record.sequence, sequence, __ATOMIC_RELEASE);
        ++used_;
        written_.store(sequence, std::memory_order_release);
        return true;
    }

    JournalRecord* records_ = nullptr;
    std::uint64_t capacity_ = 0;
    std::uint64_t used_ = 0;
    std::uint64_t first_sequence_ = 1;
    std::atomic<std::uint64_t> written_{0};
};

}  // namespace qtxconn
