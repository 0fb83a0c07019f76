// Whether data still comes: LIVE, STALE or DEAD for each symbol, from bytes, understood messages and its own updates.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "qtxconn/qtx_feed.hpp"

namespace qtxconn::qtx {

enum class SymbolState : std::uint8_t {
    unsubscribed = 0,
    live = 1,   // updated lately
    stale = 2,  // not lately, though its socket brings data of others: a quiet market, or a lost subscription
    dead = 3,   // its socket brings nothing that is understood, or the symbol has been stale for too long
};

// Why a subscription has to be made anew.
enum class Trouble : std::uint8_t {
    silence = 0,        // dead: its socket brings nothing
    noise = 1,          // dead: its socket brings nothing that is understood
    quiet = 2,          // dead: stale for too long
    no_full_depth = 3,  // the first depth message does not come
    loss = 4,           // messages were lost, and no full depth message will come by itself
};

struct SymbolTrouble {
    int symbol;
    Trouble trouble;
};

struct LivenessLimits {
    std::int64_t stale_ns;
    std::int64_t dead_ns;
    std::int64_t full_depth_ns;  // after a subscription
    bool heals_itself;           // DepthSemantics::replace: the next depth message makes the book right again
};

// For one thread, the event loop's. Nothing is measured on the way of a packet: look() compares what was counted with
// what it saw the last time. Times are monotonic.
class Liveness {
public:
    explicit Liveness(const LivenessLimits& limits) noexcept : limits_(limits) {}

    // The symbol is subscribed; its data comes on `socket`.
    void subscribed(const Feed& feed, int symbol, int socket, std::int64_t now_ns) {
        const auto at = static_cast<std::size_t>(symbol);
        symbols_.resize(std::max(symbols_.size(), at + 1));
        symbols_[at].updates = {feed.symbol(symbol).received_ns.get(), now_ns};
        symbols_[at].subscribed_ns = now_ns;
        symbols_[at].socket = socket;
        symbols_[at].state = SymbolState::live;
    }

    void unsubscribed(int symbol) {
        if (static_cast<std::size_t>(symbol) < symbols_.size()) {
            symbols_[static_cast<std::size_t>(symbol)].state = SymbolState::unsubscribed;
        }
    }

    // Judges all symbols; those in trouble go to the end of `out`.
    void look(Feed& feed, std::int64_t now_ns, std::vector<SymbolTrouble>& out) {
        feed.read_activity(activity_);
        sockets_.resize(activity_.size());
        for (std::size_t i = 0; i < sockets_.size(); ++i) {
            sockets_[i].bytes.look(static_cast<std::int64_t>(activity_[i].bytes), now_ns);
            sockets_[i].messages.look(static_cast<std::int64_t>(activity_[i].messages), now_ns);
        }
        for (std::size_t i = 0; i < symbols_.size(); ++i) {
            Symbol& symbol = symbols_[i];
            if (symbol.state == SymbolState::unsubscribed) {
                continue;
            }
            const FeedSymbol& fed = feed.symbol(static_cast<int>(i));
            symbol.updates.look(fed.received_ns.get(), now_ns);
            symbol.state = judge(symbol, now_ns);
            const Socket& socket = sockets_[static_cast<std::size_t>(symbol.socket)];
            Trouble trouble;
            if (symbol.state == SymbolState::dead) {
                trouble = is_fresh(socket.messages, now_ns) ? Trouble::quiet
                          : is_fresh(socket.bytes, now_ns)  ? Trouble::noise
                                                            : Trouble::silence;
            } else if (!fed.seen_full.get()) {
                if (now_ns - symbol.subscribed_ns < limits_.full_depth_ns) {
                    continue;
                }
                trouble = Trouble::no_full_depth;
            } else if (!fed.synchronised.get() && !limits_.heals_itself) {
                trouble = Trouble::loss;
            } else {
                continue;
            }
            out.push_back({static_cast<int>(i), trouble});
        }
    }

    SymbolState state(int symbol) const noexcept {
        const auto at = static_cast<std::size_t>(symbol);
        return at < symbols_.size() ? symbols_[at].state : SymbolState::unsubscribed;
    }

private:
    struct Watch {
        std::int64_t seen = 0;
        std::int64_t changed_ns = 0;

        void look(std::int64_t value, std::int64_t now_ns) noexcept {
            changed_ns = value != seen ? now_ns : changed_ns;
            seen = value;
        }
    };

    struct Symbol {
        Watch updates;
        std::int64_t subscribed_ns = 0;
        int socket = -1;
        SymbolState state = SymbolState::unsubscribed;
    };

    struct Socket {
        Watch bytes;
        Watch messages;
    };

    bool is_fresh(const Watch& watch, std::int64_t now_ns) const noexcept {
        return now_ns - watch.changed_ns < limits_.stale_ns;
    }

    SymbolState judge(const Symbol& symbol, std::int64_t now_ns) const noexcept {
        if (is_fresh(symbol.updates, now_ns)) {
            return SymbolState::live;
        }
        const bool fed = is_fresh(sockets_[static_cast<std::size_t>(symbol.socket)].messages, now_ns);
        return !fed || now_ns - symbol.updates.changed_ns >= limits_.dead_ns ? SymbolState::dead : SymbolState::stale;
    }

    const LivenessLimits limits_;
    std::vector<Symbol> symbols_;
    std::vector<Socket> sockets_;
    std::vector<SocketActivity> activity_;
};

}  // namespace qtxconn::qtx
