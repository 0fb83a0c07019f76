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
    qtxconn::VenueIdTable table;
    std::vector<std::array<char, 37>> texts(kKept + static_cast<std::size_t>(operations));
    for (std::size_t i = 0; i < texts.size(); ++i) {
        std::snprintf(texts[i].data(), texts[i].size(), "0f9da948-a6fb-4c45-9edc-%012zu", i * 7919 % 1'000'000'000'000);
    }
    std::vector<qtxconn::VenueId> kept;
    const auto take_in = [&](const std::array<char, 37>& text) {
        kept.push_back(table.intern({text.data(), text.size() - 1}));
        table.keep(kept.back());
    };
    kept.reserve(texts.size());
    for (std::size_t i = 0; i < kKept; ++i) {
        take_in(texts[i]);
    }
    icount::measured([&] {
        for (std::size_t i = kKept; i < texts.size(); ++i) {
            take_in(texts[i]);
            table.let_go(kept[i - kKept]);
        }
    });
    icount::require(table.size() >= kKept && table.size() <= kKept + qtxconn::VenueIdTable::kIdle);
}

constexpr icount::Job kJobs[] = {{"transition", step}, {"text-id", text_id}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
