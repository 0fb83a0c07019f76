// Order transitions in plain C++: a bare hash and slab, qtxconn's tracker on the same script, and the memory it takes.
//
//     order_tracker bare|indexed|tracker ORDERS   ns per transition
//     order_tracker memory                        bytes of a live order with two fills; RSS growth over 1,000,000
//     orders
//
// One order is five transitions: track, acknowledge, two fills, stop. The bare program is the least that can be called
// tracking: 64-bit ids, integer amounts, one check that the order has not seen a trade id, and nothing else: no venue
// ids, no events, no audit. The indexed one does what makes an order safe, still without scales, states and text ids:
// it finds an order by both ids and a trade by its id in the whole account, keeps every fill and the trade ids of 4,096
// forgotten ones, and queues events that are taken.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
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

// -- the limit with every index ----------------------------------------------------------------------------------

template <unsigned Bits>
class Index {
public:
    Index() : cells_(std::size_t{1} << Bits) {}

    // The number of a key, or 0. Keys and numbers are not 0.
    std::uint32_t find(std::uint64_t key) const { return cells_[place_of(key)].number; }

    // False: it is known.
    bool insert(std::uint64_t key, std::uint32_t number) {
        Cell& cell = cells_[place_of(key)];
        if (cell.key != 0) {
            return false;
        }
        cell = Cell{key, number};
        return true;
    }

    void erase(std::uint64_t key) {
        std::size_t hole = place_of(key);
        for (std::size_t i = (hole + 1) & kMask; cells_[i].key != 0; i = (i + 1) & kMask) {
            if (((i - home(cells_[i].key)) & kMask) >= ((i - hole) & kMask)) {
                cells_[hole] = cells_[i];
                hole = i;
            }
        }
        cells_[hole] = Cell{0, 0};
    }

private:
    static constexpr std::size_t kMask = (std::size_t{1} << Bits) - 1;
    struct Cell {
        std::uint64_t key;
        std::uint32_t number;
    };
    static std::size_t home(std::uint64_t key) { return (key * 0x9E3779B97F4A7C15ULL) >> (64 - Bits); }
    std::size_t place_of(std::uint64_t key) const {
        std::size_t i = home(key);
        while (cells_[i].key != 0 && cells_[i].key != key) {
            i = (i + 1) & kMask;
        }
        return i;
    }
    std::vector<Cell> cells_;
};

class IndexedTracker {
public:
    struct Event {
        std::uint8_t kind;
        std::uint32_t slot, fill;
        std::int64_t time_ns;
    };

    IndexedTracker() : slab_(2048), fills_(16384), forgotten_(4096), events_(64) {
        for (std::uint32_t i = 2048; i > 1; --i) {
            free_.push_back(i - 1);
        }
        for (std::uint32_t i = 16384; i > 1; --i) {
            free_fills_.push_back(i - 1);
        }
    }

    void track(std::uint64_t id, std::int64_t now) {
        const std::uint32_t slot = free_.back();
        if (!by_client_id_.insert(id, slot)) {
            return;
        }
        free_.pop_back();
        BareOrder& order = slab_[slot].order;
        std::memset(&slab_[slot], 0, sizeof slab_[slot]);
        order.client_id = id;
        order.amount = 1000;
        order.price = 600001;
        order.created_ns = now;
    }

    void acknowledge(std::uint64_t id, std::uint64_t venue_id, std::int64_t now) {
        const std::uint32_t slot = by_client_id_.find(id);
        BareOrder& order = slab_[slot].order;
        if (slot == 0 || order.state != 0 || !by_venue_id_.insert(venue_id, slot)) {
            return;
        }
        order.venue_id = venue_id;
        order.state = 1;
        order.updated_ns = now;
        events_[event_count_++] = Event{1, slot, 0, now};
    }

    bool fill(std::uint64_t id, std::uint64_t trade, std::int64_t amount, std::int64_t price, std::int64_t now) {
        const std::uint32_t slot = by_client_id_.find(id);
        const std::uint32_t number = free_fills_.back();
        Kept& kept = slab_[slot];
        if (slot == 0 || kept.order.executed + amount > kept.order.amount || !by_trade_id_.insert(trade, number)) {
            return false;
        }
        free_fills_.pop_back();
        fills_[number] = BareFill{trade, price, amount, amount * price, 96, now, slot, 0};
        (kept.last_fill == 0 ? kept.first_fill : fills_[kept.last_fill].next) = number;
        kept.last_fill = number;
        kept.order.executed += amount;
        kept.order.quote += amount * price;
        kept.order.updated_ns = now;
        kept.order.state = 4;
        events_[event_count_++] = Event{2, slot, number, now};
        if (kept.order.executed == kept.order.amount) {
            kept.order.state = 5;
            events_[event_count_++] = Event{3, slot, 0, now};
        }
        return true;
    }

    void stop(std::uint64_t id) {
        const std::uint32_t slot = by_client_id_.find(id);
        by_client_id_.erase(id);
        if (slab_[slot].order.venue_id != 0) {
            by_venue_id_.erase(slab_[slot].order.venue_id);
        }
        for (std::uint32_t number = slab_[slot].first_fill; number != 0; number = fills_[number].next) {
            std::uint32_t& oldest = forgotten_[forgotten_count_++ & 4095];
            if (oldest != 0) {
                by_trade_id_.erase(fills_[oldest].trade_id);
                free_fills_.push_back(oldest);
            }
            oldest = number;
        }
        free_.push_back(slot);
    }

    std::size_t take_events() {
        std::size_t kinds = 0;
        for (std::size_t i = 0; i < event_count_; ++i) {
            kinds += events_[i].kind;
        }
        event_count_ = 0;
        return kinds;
    }

private:
    struct BareFill {
        std::uint64_t trade_id;
        std::int64_t price, amount, quote, fee, venue_ns;
        std::uint32_t order, next;
    };
    struct Kept {
        BareOrder order;
        std::uint32_t first_fill, last_fill;
    };
    Index<12> by_client_id_;
    Index<12> by_venue_id_;
    Index<15> by_trade_id_;
    std::vector<Kept> slab_;
    std::vector<BareFill> fills_;
    std::vector<std::uint32_t> free_, free_fills_, forgotten_;
    std::size_t forgotten_count_ = 0;
    std::vector<Event> events_;
    std::size_t event_count_ = 0;
};

// -- figures ---------------------------------------------------------------------------------------------------

// A run of orders with 1,000 others live; -> how many fills were booked.
template <class Tracker>
std::uint64_t run_limit(std::size_t orders) {
    static Tracker tracker;
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
        if constexpr (std::is_same_v<Tracker, IndexedTracker>) {
            booked += tracker.take_events() == 8 ? 0 : 1;
        }
        tracker.stop(oldest++);
    }
    return booked;
}

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
template <class Tracker>
void time_limit(std::size_t orders, measure::Result& result) {
    run_limit<Tracker>(8 * kLive);
    const std::int64_t begin = measure::now_ns();
    const std::uint64_t booked = run_limit<Tracker>(orders);
    result.value(static_cast<double>(measure::now_ns() - begin) / static_cast<double>(orders * kTransitions));
    result.checksum(booked);
}

// What the parser makes of messages is a few at a time, so that it is in the cache, and is not timed.
void time_tracker(std::size_t orders, measure::Result& result) {
    constexpr std::size_t kBatch = 250;
    Session session;
    session.run(make_messages(8 * kLive));
    session.events = 0;
    std::int64_t elapsed_ns = 0;
    for (std::size_t done = 0; done < orders; done += kBatch) {
        const std::vector<Message> messages = make_messages(std::min(kBatch, orders - done));
        const std::int64_t begin = measure::now_ns();
        session.run(messages);
        elapsed_ns += measure::now_ns() - begin;
    }
    result.value(static_cast<double>(elapsed_ns) / static_cast<double>(orders * kTransitions));
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
        time_limit<BareTracker>(orders, result);
    } else if (mode == "indexed") {
        time_limit<IndexedTracker>(orders, result);
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
