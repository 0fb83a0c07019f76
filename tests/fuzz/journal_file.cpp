// A journal file that anybody may have written: what the reader takes for whole is sound, and nothing else is read.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "qtxconn/order_journal.hpp"

namespace {

using namespace qtxconn;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

void require_number(const JournalNumber& number) {
    const Fixed value = fixed_of(number);
    char text[kFixedTextMax];
    const std::size_t size = format_fixed(value, text);
    Fixed again;
    require(size <= kFixedTextMax && parse_fixed(text, size, again) == FixedError::ok && again == value);
}

// Reads all that recovery reads of a record.
void consume(const JournalRecord& record) {
    require(record.client_id != 0);
    switch (record.kind) {
        case JournalKind::intent:
            require_number(record.intent.price);
            require_number(record.intent.amount);
            require(!record.intent.client_order_id.view().empty() && !record.intent.trading_pair.view().empty());
            require(record.intent.amount.units > 0);
            break;
        case JournalKind::submitted:
        case JournalKind::unknown: break;
        case JournalKind::ack: require(record.ack.exchange_order_id.view().size() <= kVenueIdTextMax); break;
        case JournalKind::reject: require(record.reject.reason.view().size() <= 47); break;
        case JournalKind::fill:
            require_number(record.fill.price);
            require_number(record.fill.amount);
            require_number(record.fill.quote);
            require_number(record.fill.fee);
            require(!record.fill.trade_id.view().empty() && record.fill.fee_asset.view().size() <= 15);
            break;
        case JournalKind::fee:
            require_number(record.fee.amount);
            require(!record.fee.trade_id.view().empty() && !record.fee.asset.view().empty());
            break;
        case JournalKind::end:
            require(is_terminal(record.state));
            require_number(record.end.executed_base);
            require_number(record.end.executed_quote);
            break;
        case JournalKind::amend:
            require_number(record.amend.price);
            require_number(record.amend.amount);
            require(record.amend.price.units >= 0 && record.amend.amount.units > 0);
            break;
        default: std::abort();
    }
}

// Nobody guesses a checksum: with this the damage lies behind it, as a writer with a bug, or an attacker, would do.
void repair(JournalHeader& header, std::vector<JournalRecord>& records) {
    std::memcpy(header.magic, kJournalMagic, sizeof kJournalMagic);
    header.version = kJournalVersion;
    header.record_size = kJournalRecordSize;
    header.capacity = records.size();
    header.crc = journal_crc(header);
    for (std::size_t i = 0; i < records.size(); ++i) {
        records[i].sequence = header.first_sequence + i;
        records[i].crc = journal_crc(records[i], records[i].sequence);
    }
}

}  // namespace

// The input: one byte that says whether checksums are repaired, then the file.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1 + kJournalRecordSize) {
        return 0;
    }
    JournalHeader header;
    std::memcpy(static_cast<void*>(&header), data + 1, sizeof header);
    const std::uint8_t* rest = data + 1 + sizeof header;
    std::vector<JournalRecord> records((size - 1 - sizeof header) / kJournalRecordSize);
    if (!records.empty()) {
        std::memcpy(static_cast<void*>(records.data()), rest, records.size() * kJournalRecordSize);
    }
    if (data[0] % 2 == 1) {
        records.resize(records.size() < kJournalCapacityMin ? kJournalCapacityMin : records.size());
        repair(header, records);
    }
    const std::uint64_t file_size = (records.size() + 1) * kJournalRecordSize;
    if (check_journal_header(header, file_size) != JournalFault::none) {
        return 0;
    }
    const JournalScan scan = scan_journal(records.data(), header.capacity, header.first_sequence);
    require(scan.used <= header.capacity && scan.damaged <= scan.used);
    std::uint64_t whole = 0;
    for (std::uint64_t i = 0; i < scan.used; ++i) {
        if (is_journal_record(records[i], header.first_sequence + i)) {
            consume(records[i]);
            ++whole;
        }
    }
    require(whole + scan.damaged == scan.used);
    return 0;
}
