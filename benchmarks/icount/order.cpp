// Instructions of a step in an order's life: tracked, acknowledged, two fills, released, with 1,000 others live.
#include <cstddef>
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

constexpr icount::Job kJobs[] = {{"transition", step}};

}  // namespace

int main(int argc, char** argv) { return icount::main(argc, argv, kJobs); }
