// Instructions of a journal record: an intent, and a fill.
#include <cstdint>
#include <string_view>
#include <vector>

#include "driver.hpp"
#include "qtxconn/order_journal.hpp"

namespace {

using namespace qtxconn;

constexpr std::string_view kId = "1234567890123456789";

template <class Write>
void run(long operations, Write write) {
    std::vector<JournalRecord> records(static_cast<std::size_t>(operations) * 8 / 7 + 16);
    JournalWriter writer;
    writer.reset(records.data(), records.size(), 0, 1);
    icount::measured([&] {
        for (long i = 1; i <= operations; ++i) {
            icount::require(write(writer, static_cast<std::uint64_t>(i)));
        }
    });
}

void intent(long operations) {
    run(operations, [](JournalWriter& writer, std::uint64_t id) {
        return writer.intent(id, kId, "BTC-USDT", 1, 2, 0, Fixed{600001, 1}, Fixed{2, 3}, 1000, 2000, 77);
    });
}

void fill(long operations) {
    run(operations, [](JournalWriter& writer, std::uint64_t id) {
        return writer.fill(id, kId, "USDT", Fixed{600001, 1}, Fixed{2, 3}, Fixed{1200002, 4}, Fixed{1, 5}, true, 1, 2);
    });
}

constexpr icount::Job kJobs[] = {{"intent", intent}, {"fill", fill}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
