// Order transitions in plain C++: a bare hash and slab, qtxconn's tracker on the same script, and the memory it takes.
//
//     order_tracker bare|tracker ORDERS   ns per transition
//     order_tracker memory                bytes of a live order with two fills; RSS growth over 1,000,000 orders
//
// One order is five transitions: track, acknowledge, two fills, stop. The bare program is the limit of the job: 64-bit
// ids, integer amounts, one check that a trade id was not seen, and nothing else: no text ids, no events, no audit.
#include <sys/resource.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "measure.hpp"
#include "order_session.hpp"

using order_session::kLive;
using order_session::kTransitions;
using order_session::make_messages;
using order_session::Message;
using order_session::Session;

namespace {

// -- the limit -------------------------------------------------------------------------------------------------

struct BareOrder {
    std::uint64_t client_id;
    std::uint64_t venue_id;
    std::int64_t price, amount, executed, quote;
    std::int64_t created_ns, updated_ns;
    std::uint64_t trades[4];
    std::uint32_t trade_count;
    std::uint8_t state, side, type, position;
    std::uint64_t spare[3];
};
static_assert(sizeof(BareOrder) == 128);

class BareTracker {
public:
    BareTracker() : cells_(4096), slab_(2048) {
        for (std::uint32_t i = 2048; i > 0; --i) {
            free_.push_back(i - 1);
        }
    }

    void track(std::uint64_t id, std::int64_t now) {
        const std::uint32_t slot = free_.back();
        free_.pop_back();
        BareOrder& order = slab_[slot];
        std::memset(&order, 0, sizeof order);
        order.client_id = id;
        order.amount = 1000;
        order.price = 600001;
        order.created_ns = now;
        std::size_t i = home(id);
        while (cells_[i].id != 0) {
            i = (i + 1) & kMask;
        }
        cells_[i] = Cell{id, slot};
    }

    void acknowledge(std::uint64_t id, std::uint64_t venue_id, std::int64_t now) {
        BareOrder& order = slab_[cells_[find(id)].slot];
        order.venue_id = venue_id;
        order.state = 1;
        order.updated_ns = now;
    }

    bool fill(std::uint64_t id, std::uint64_t trade, std::int64_t amount, std::int64_t price, std::int64_t now) {
        BareOrder& order = slab_[cells_[find(id)].slot];
        for (std::uint32_t i = 0; i < order.trade_count; ++i) {
            if (order.trades[i] == trade) {
                return false;
            }
        }
        order.trades[order.trade_count++ & 3] = trade;
        order.executed += amount;
        order.quote += amount * price;
        order.state = order.executed == order.amount ? 5 : 4;
        order.updated_ns = now;
        return true;
    }

    void stop(std::uint64_t id) {
        std::size_t hole = find(id);
        free_.push_back(cells_[hole].slot);
        for (std::size_t i = (hole + 1) & kMask; cells_[i].id != 0; i = (i + 1) & kMask) {
            if (((i - home(cells_[i].id)) & kMask) >= ((i - hole) & kMask)) {
                cells_[hole] = cells_[i];
                hole = i;
            }
        }
        cells_[hole] = Cell{0, 0};
    }

private:
    static constexpr std::size_t kMask = 4095;
    struct Cell {
        std::uint64_t id;
        std::uint32_t slot;
    };
    static std::size_t home(std::uint64_t id) { return (id * 0x9E3779B97F4A7C15ULL) >> 52; }
    std::size_t find(std::uint64_t id) const {
        std::size_t i = home(id);
        while (cells_[i].id != id) {
            i = (i + 1) & kMask;
        }
        return i;
    }
    std::vector<Cell> cells_;
    std::vector<BareOrder> slab_;
    std::vector<std::uint32_t> free_;
};

std::uint64_t run_bare(std::size_t orders) {
    static BareTracker tracker;
    static std::uint64_t next_id = 1;
    static std::uint64_t oldest = 1;
    std::uint64_t booked = 0;
    for (; next_id - oldest < kLive; ++next_id) {
        tracker.track(next_id, 1);
    }
    for (std::size_t i = 0; i < orders; ++i) {
        const std::uint64_t id = next_id++;
        const auto now = static_cast<std::int64_t>(id);
        tracker.track(id, now);
        tracker.acknowledge(id, id + 7, now + 1);
        booked += tracker.fill(id, 2 * id, 400, 600001, now + 2);
        booked += tracker.fill(id, 2 * id + 1, 600, 600001, now + 3);
        tracker.stop(oldest++);
    }
    return booked;
}

// -- figures ---------------------------------------------------------------------------------------------------

long rss_kib() {
    std::FILE* file = std::fopen("/proc/self/status", "r");
    char line[128];
    long kib = 0;
    while (std::fgets(line, sizeof line, file) != nullptr) {
        if (std::sscanf(line, "VmRSS: %ld", &kib) == 1) {
            break;
        }
    }
    std::fclose(file);
    return kib;
}

// The first orders, which fill the tables, are not timed.
void time_bare(std::size_t orders, measure::Result& result) {
    run_bare(kLive);
    const std::int64_t begin = measure::now_ns();
    const std::uint64_t booked = run_bare(orders);
    result.value(static_cast<double>(measure::now_ns() - begin) / static_cast<double>(orders * kTransitions));
    result.checksum(booked);
}

void time_tracker(std::size_t orders, measure::Result& result) {
    Session session;
    session.run(make_messages(kLive));
    const std::vector<Message> messages = make_messages(orders);
    session.events = 0;
    const std::int64_t begin = measure::now_ns();
    session.run(messages);
    result.value(static_cast<double>(measure::now_ns() - begin) / static_cast<double>(orders * kTransitions));
    result.checksum(session.events / 2);  // an order has four events, two of them fills
}

void memory(measure::Result& result) {
    Session session;
    long before = 0;
    for (int i = 0; i < 100; ++i) {
        const std::vector<Message> messages = make_messages(10000);
        session.run(messages);
        if (i == 0) {
            before = rss_kib();
        }
    }
    result.value(static_cast<double>(sizeof(qtxconn::InFlightOrder) + 2 * sizeof(qtxconn::Fill)));
    result.fact("rss_growth_kib", static_cast<double>(rss_kib() - before));
}

}  // namespace

int main(int argc, char** argv) {
    const std::string mode = argc > 1 ? argv[1] : "";
    const auto orders = static_cast<std::size_t>(measure::argument(argc, argv, 2, 20'000));
    measure::Result result;
    if (mode == "bare") {
        time_bare(orders, result);
    } else if (mode == "tracker") {
        time_tracker(orders, result);
    } else if (mode == "memory") {
        memory(result);
    } else {
        return 2;
    }
    result.print();
    return 0;
}
