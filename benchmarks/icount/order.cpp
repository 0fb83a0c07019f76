// Instructions of a step in an order's life: tracked, acknowledged, two fills, released, with 1,000 others live; and
// what each id adds that is no number.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "driver.hpp"
#include "order_session.hpp"

namespace {

constexpr std::size_t kWarmUp = 12'000;  // orders, after which the tables have their size

void step(long operations) {
    order_session::Session session;
    session.run(order_session::make_messages(kWarmUp));
    const auto orders = static_cast<std::size_t>(operations) / order_session::kTransitions;
    const std::vector<order_session::Message> messages = order_session::make_messages(orders);
    session.events = 0;
    icount::measured([&] { session.run(messages); });
    icount::require(session.events == 4 * orders);
}

// A UUID from its text to a stored id, and the one of 1,000 ids ago let go. There are three in an order with two fills.
void text_id(long operations) {
    constexpr std::size_t kKept = 1000;
    constexpr std::size_t kWarmUpIds = 2 * kKept;
    qtxconn::VenueIdTable table;
    std::vector<std::array<char, 37>> texts(kWarmUpIds + static_cast<std::size_t>(operations));
    for (std::size_t i = 0; i < texts.size(); ++i) {
        std::snprintf(texts[i].data(), texts[i].size(), "0f9da948-a6fb-4c45-9edc-%012zu", i * 7919 % 1'000'000'000'000);
    }
    std::vector<qtxconn::VenueId> kept(texts.size());
    const auto run = [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            kept[i] = table.intern({texts[i].data(), texts[i].size() - 1});
            table.keep(kept[i]);
            if (i >= kKept) {
                table.let_go(kept[i - kKept]);
            }
        }
    };
    run(0, kWarmUpIds);
    icount::measured([&] { run(kWarmUpIds, texts.size()); });
    icount::require(table.size() >= kKept && table.size() <= kKept + qtxconn::VenueIdTable::kIdle);
}

constexpr icount::Job kJobs[] = {{"transition", step}, {"text-id", text_id}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
