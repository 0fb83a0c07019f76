// The journal's records: checksums, every kind there and back, torn and damaged files, and room kept for what is out.
#include "qtxconn/order_journal.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"

using namespace qtxconn;

namespace {

constexpr std::uint64_t kCapacity = 64;

struct Memory {
    std::vector<JournalRecord> records;
    JournalWriter writer;
    explicit Memory(std::uint64_t capacity = kCapacity, std::uint64_t first = 1) : records(capacity) {
        writer.reset(records.data(), capacity, 0, first);
    }
    bool intent(std::uint64_t id) {
        return writer.intent(id, std::to_string(id), "BTC-USDT", 1, 2, 0, Fixed{600001, 1}, Fixed{2, 3}, 1000, 2000,
                             77);
    }
};

void test_crc() {
    // The check value of CRC-32C, and the all-zero and all-one vectors of RFC 3720.
    CHECK(crc32c("123456789", 9) == 0xE3069283U);
    const std::string zeros(32, '\0');
    CHECK(crc32c(zeros.data(), 32) == 0x8A9136AAU);
    const std::string ones(32, '\xFF');
    CHECK(crc32c(ones.data(), 32) == 0x62A8AB43U);
    CHECK(crc32c("6789", 4, crc32c("12345", 5)) == 0xE3069283U);
    CHECK(crc32c(nullptr, 0) == 0);
    std::mt19937_64 random(7);
    for (std::size_t size = 0; size < 300; ++size) {
        std::string bytes(size, '\0');
        for (char& byte : bytes) {
            byte = static_cast<char>(random());
        }
        const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
        CHECK(crc32c(data, size) == ~detail::crc32c_table(~0U, data, size));
    }
}

void test_every_kind() {
    Memory memory;
    CHECK(memory.intent(5));
    CHECK(memory.writer.mark(JournalKind::submitted, 5, 1001));
    CHECK(memory.writer.mark(JournalKind::unknown, 5, 1002));
    CHECK(memory.writer.ack(5, "venue-1", 999, 1003));
    CHECK(memory.writer.fill(5, "t1", "USDT", Fixed{6, 0}, Fixed{1, 3}, Fixed{6, 3}, Fixed{-1, 2}, true, 998, 1004));
    CHECK(memory.writer.end(5, OrderState::canceled, Fixed{1, 3}, Fixed{6, 3}, 1005));
    CHECK(memory.writer.reject(6, std::string(80, 'x'), 1006));
    CHECK(memory.writer.fee(5, "t2", "BNB", Fixed{-7, 5}, 1007));
    const JournalScan scan = scan_journal(memory.records.data(), kCapacity, 1);
    CHECK(scan.used == 8 && scan.damaged == 0);
    const JournalRecord& intent = memory.records[0];
    CHECK(intent.kind == JournalKind::intent && intent.client_id == 5 && intent.intent.account == 77);
    CHECK(intent.intent.client_order_id.view() == "5" && intent.intent.trading_pair.view() == "BTC-USDT");
    CHECK(fixed_of(intent.intent.price).units == 600001 && fixed_of(intent.intent.price).scale == 1);
    CHECK(memory.records[3].ack.exchange_order_id.view() == "venue-1");
    CHECK(memory.records[4].fill.fee.units == -1 && memory.records[4].is_taker);
    CHECK(memory.records[4].fill.fee_asset.view() == "USDT");
    CHECK(memory.records[5].state == OrderState::canceled);
    CHECK(memory.records[6].reject.reason.view().size() == 47);
    CHECK(memory.records[7].fee.trade_id.view() == "t2" && memory.records[7].fee.asset.view() == "BNB");
    CHECK(memory.records[7].fee.amount.units == -7 && memory.records[7].fee.amount.scale == 5);
}

void test_texts_that_do_not_fit_are_refused() {
    Memory memory;
    const std::string text(48, 'x');
    CHECK(!memory.writer.intent(5, text, "BTC-USDT", 1, 2, 0, Fixed{}, Fixed{1, 0}, 1, 2, 3));
    CHECK(!memory.writer.intent(5, "5", text, 1, 2, 0, Fixed{}, Fixed{1, 0}, 1, 2, 3));
    const std::string id(kVenueIdTextMax + 1, 'x');
    CHECK(!memory.writer.ack(5, id, 1, 1));
    CHECK(!memory.writer.fill(5, id, "USDT", Fixed{}, Fixed{1, 0}, Fixed{}, Fixed{}, true, 1, 1));
    CHECK(!memory.writer.fee(5, id, "BNB", Fixed{}, 1) && !memory.writer.fee(5, "t", std::string(16, 'x'), Fixed{}, 1));
    CHECK(memory.writer.used() == 0);
    CHECK(memory.intent(5));  // and the next one overwrites what was begun
    CHECK(scan_journal(memory.records.data(), kCapacity, 1).used == 1);
}

void test_room_is_kept_for_what_is_out() {
    Memory memory;
    std::uint64_t id = 1;
    while (memory.intent(id)) {
        ++id;
    }
    CHECK(memory.writer.used() == kCapacity - kCapacity / 8 && !memory.writer.is_full());
    while (memory.writer.mark(JournalKind::unknown, 1, 1)) {
    }
    CHECK(memory.writer.is_full());
    CHECK(!memory.writer.ack(1, "a", 1, 1) && !memory.writer.reject(1, "a", 1) &&
          !memory.writer.copy(memory.records[0]));
    CHECK(scan_journal(memory.records.data(), kCapacity, 1).used == kCapacity);
}

// Any one bit of any record changed: that record does not count, and whether it is the tail decides what it is called.
void test_every_flipped_bit_is_noticed() {
    Memory memory;
    for (std::uint64_t id = 1; id <= 3; ++id) {
        CHECK(memory.intent(id));
    }
    auto* bytes = reinterpret_cast<unsigned char*>(memory.records.data());
    for (std::size_t i = 0; i < 3 * kJournalRecordSize; ++i) {
        for (int bit = 0; bit < 8; ++bit) {
            bytes[i] = static_cast<unsigned char>(bytes[i] ^ (1U << bit));
            const JournalScan scan = scan_journal(memory.records.data(), kCapacity, 1);
            const std::size_t hit = i / kJournalRecordSize;
            if (hit == 2) {
                CHECK(scan.used == 2 && scan.damaged == 0);
            } else {
                CHECK(scan.used == 3 && scan.damaged == 1 && scan.first_damaged == hit);
            }
            bytes[i] = static_cast<unsigned char>(bytes[i] ^ (1U << bit));
        }
    }
}

// A record that is whole but stands elsewhere, or in a file with other sequences, does not count.
void test_a_record_counts_only_in_its_place() {
    Memory memory;
    CHECK(memory.intent(1) && memory.intent(2));
    CHECK(!is_journal_record(memory.records[0], 2));
    std::swap(memory.records[0], memory.records[1]);
    CHECK(scan_journal(memory.records.data(), kCapacity, 1).used == 0);
    CHECK(scan_journal(memory.records.data(), kCapacity, 9).used == 0);
}

// Fields out of range under a right checksum: somebody wrote this on purpose.
void test_forged_records_are_refused() {
    const auto refused = [](auto forge) {
        Memory memory;
        CHECK(memory.intent(1));
        CHECK(memory.writer.fill(1, "t", "USDT", Fixed{1, 0}, Fixed{1, 0}, Fixed{1, 0}, Fixed{}, true, 1, 1));
        CHECK(memory.writer.end(1, OrderState::filled, Fixed{}, Fixed{}, 1));
        CHECK(memory.writer.ack(1, "a", 1, 1));
        CHECK(memory.writer.fee(1, "t", "USDT", Fixed{1, 0}, 1));
        forge(memory.records);
        std::size_t sound = 0;
        for (std::size_t i = 0; i < 5; ++i) {
            memory.records[i].crc = journal_crc(memory.records[i], i + 1);
            sound += is_journal_record(memory.records[i], i + 1) ? 1U : 0U;
        }
        return sound == 4;
    };
    using Records = std::vector<JournalRecord>;
    CHECK(refused([](Records& r) { r[0].client_id = 0; }));
    CHECK(refused([](Records& r) { r[0].kind = static_cast<JournalKind>(99); }));
    CHECK(refused([](Records& r) { r[0].zero = 1; }));
    CHECK(refused([](Records& r) { r[0].intent.price.scale = 19; }));
    CHECK(refused([](Records& r) { r[0].intent.price.scale = -1; }));
    CHECK(refused([](Records& r) { r[0].intent.amount.units = 0; }));
    CHECK(refused([](Records& r) { r[0].intent.amount.units = INT64_MIN; }));
    CHECK(refused([](Records& r) { r[0].intent.trade_type = 3; }));
    CHECK(refused([](Records& r) { r[0].intent.order_type = 0; }));
    CHECK(refused([](Records& r) { r[0].intent.order_type = 4; }));
    CHECK(refused([](Records& r) { r[0].intent.trigger.units = -1; }));
    CHECK(refused([](Records& r) { r[0].intent.trigger.scale = 19; }));
    CHECK(refused([](Records& r) { r[0].intent.position = 9; }));
    CHECK(refused([](Records& r) { r[0].intent.client_order_id.size = 255; }));
    CHECK(refused([](Records& r) { r[0].intent.trading_pair.size = 0; }));
    CHECK(refused([](Records& r) { r[1].fill.trade_id.size = kVenueIdTextMax + 1; }));
    CHECK(refused([](Records& r) { r[1].fill.fee_asset.size = 16; }));
    CHECK(refused([](Records& r) { r[1].fill.quote.units = -1; }));
    CHECK(refused([](Records& r) { r[2].state = OrderState::open; }));
    CHECK(refused([](Records& r) { r[2].state = static_cast<OrderState>(200); }));
    CHECK(refused([](Records& r) { r[3].ack.exchange_order_id.size = 200; }));
    CHECK(refused([](Records& r) { r[4].fee.asset.size = 0; }));
    CHECK(refused([](Records& r) { r[4].fee.trade_id.size = 0; }));
    CHECK(refused([](Records& r) { r[4].fee.amount.scale = 19; }));
}

void test_header() {
    JournalHeader header;
    make_journal_header(header, kCapacity, 1, 42, 1000);
    const std::uint64_t size = (kCapacity + 1) * kJournalRecordSize;
    CHECK(check_journal_header(header, size) == JournalFault::none);
    CHECK(check_journal_header(header, size - 1) == JournalFault::size);
    CHECK(check_journal_header(header, size + 256) == JournalFault::size);
    for (std::size_t i = 0; i < 52; ++i) {
        JournalHeader bad = header;
        reinterpret_cast<unsigned char*>(&bad)[i] ^= 1U;
        CHECK(check_journal_header(bad, size) != JournalFault::none);
    }
    for (const std::uint32_t version : {kJournalVersionMin, kJournalVersion, kJournalVersion + 1}) {
        JournalHeader other = header;
        other.version = version;
        other.crc = journal_crc(other);
        CHECK(check_journal_header(other, size) ==
              (version > kJournalVersion ? JournalFault::version : JournalFault::none));
    }
    // A right checksum over numbers that would overflow a length.
    make_journal_header(header, UINT64_MAX, 1, 42, 1000);
    CHECK(check_journal_header(header, 0) == JournalFault::header);
    make_journal_header(header, kCapacity, 0, 42, 1000);
    CHECK(check_journal_header(header, size) == JournalFault::header);
}

void test_copy_renumbers() {
    Memory before;
    CHECK(before.intent(1) && before.intent(2) && before.writer.ack(2, "a", 1, 1));
    Memory after(kCapacity, 100);
    CHECK(after.writer.copy(before.records[1]) && after.writer.copy(before.records[2]));
    CHECK(scan_journal(after.records.data(), kCapacity, 100).used == 2);
    CHECK(after.writer.written().load() == 101 && after.records[0].client_id == 2);
}

}  // namespace

int main() {
    test_crc();
    test_every_kind();
    test_texts_that_do_not_fit_are_refused();
    test_room_is_kept_for_what_is_out();
    test_every_flipped_bit_is_noticed();
    test_a_record_counts_only_in_its_place();
    test_forged_records_are_refused();
    test_header();
    test_copy_renumbers();
    return 0;
}
