// What a strategy gives to the feed to be called inside its receive loop.
#pragma once

#include <cstdint>

#include "qtxconn/l2_book.hpp"

namespace qtxconn::qtx {

struct FeedTrade {
    int symbol = -1;               // the number that Feed::add_symbol gave
    bool is_buy = false;           // the taker's side
    std::int64_t price = 0;        // ticks
    std::int64_t size = 0;         // lots
    std::int64_t event_ms = 0;     // exchange event time
    std::int64_t received_ns = 0;  // kernel receive time, wall clock
};

// Called by the thread that receives, between a datagram and the next, and by no two threads at a time: every
// microsecond spent here is one of latency for the next datagram. Inside, the book may be read without its lock, orders
// submitted, and every method of the feed called. Python's GIL is not held; it may be taken.
//
// `on_book`: one message has been applied (received_ns: kernel receive time, wall clock), or the book has become
// invalid without one (received_ns 0): look at book->valid() before trusting it. `on_trade`: a public trade; the book
// has it as its last trade already.
struct FeedHandler {
    void* context = nullptr;
    void (*on_book)(void* context, int symbol, const L2Book* book, std::int64_t received_ns) = nullptr;
    void (*on_trade)(void* context, const FeedTrade* trade) = nullptr;
};

}  // namespace qtxconn::qtx
