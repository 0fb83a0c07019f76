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

// For one thread, the event loop's. Nothing is measured on the way of a packet: look() compares what was counted with
// what it saw the last time. Times are monotonic.
class Liveness {
public:
    Liveness(std::int64_t stale_ns, std::int64_t dead_ns) noexcept : stale_ns_(stale_ns), dead_ns_(dead_ns) {}

    // The symbol is subscribed; its data comes on `socket`.
    void subscribed(const Feed& feed, int symbol, int socket, std::int64_t now_ns) {
        const auto at = static_cast<std::size_t>(symbol);
        symbols_.resize(std::max(symbols_.size(), at + 1));
        const std::int64_t received_ns = feed.symbol(symbol).received_ns.get();
        symbols_[at] = {static_cast<std::uint64_t>(received_ns), now_ns, socket, SymbolState::live};
    }

    void unsubscribed(int symbol) {
        if (static_cast<std::size_t>(symbol) < symbols_.size()) {
            symbols_[static_cast<std::size_t>(symbol)].state = SymbolState::unsubscribed;
        }
    }

    // Judges all symbols; those whose state has changed go to the end of `out`.
    void look(Feed& feed, std::int64_t now_ns, std::vector<int>& out) {
        feed.read_activity(activity_);
        sockets_.resize(activity_.size());
        for (std::size_t i = 0; i < sockets_.size(); ++i) {
            sockets_[i].bytes.look(activity_[i].bytes, now_ns);
            sockets_[i].messages.look(activity_[i].messages, now_ns);
        }
        for (std::size_t i = 0; i < symbols_.size(); ++i) {
            Symbol& symbol = symbols_[i];
            if (symbol.state == SymbolState::unsubscribed) {
                continue;
            }
            const std::int64_t received_ns = feed.symbol(static_cast<int>(i)).received_ns.get();
            symbol.updates.look(static_cast<std::uint64_t>(received_ns), now_ns);
            const SymbolState state = judge(symbol, now_ns);
            if (state != symbol.state) {
                symbol.state = state;
                out.push_back(static_cast<int>(i));
            }
        }
    }

    SymbolState state(int symbol) const noexcept {
        const auto at = static_cast<std::size_t>(symbol);
        return at < symbols_.size() ? symbols_[at].state : SymbolState::unsubscribed;
    }

    // Of what a socket has brought lately; for saying why a symbol is dead.
    bool has_bytes(int socket, std::int64_t now_ns) const noexcept {
        const auto at = static_cast<std::size_t>(socket);
        return at < sockets_.size() && now_ns - sockets_[at].bytes.changed_ns < stale_ns_;
    }
    bool has_messages(int socket, std::int64_t now_ns) const noexcept {
        const auto at = static_cast<std::size_t>(socket);
        return at < sockets_.size() && now_ns - sockets_[at].messages.changed_ns < stale_ns_;
    }

private:
    struct Watch {
        std::uint64_t seen = 0;
        std::int64_t changed_ns = 0;

        void look(std::uint64_t value, std::int64_t now_ns) noexcept {
            changed_ns = value != seen ? now_ns : changed_ns;
            seen = value;
        }
    };

    struct Symbol {
        Symbol() noexcept = default;
        Symbol(std::uint64_t seen, std::int64_t now_ns, int socket_, SymbolState state_) noexcept
            : updates{seen, now_ns}, socket(socket_), state(state_) {}

        Watch updates;
        int socket = -1;
        SymbolState state = SymbolState::unsubscribed;
    };

    struct Socket {
        Watch bytes;
        Watch messages;
    };

    SymbolState judge(const Symbol& symbol, std::int64_t now_ns) const noexcept {
        const std::int64_t quiet_ns = now_ns - symbol.updates.changed_ns;
        if (quiet_ns < stale_ns_) {
            return SymbolState::live;
        }
        return quiet_ns >= dead_ns_ || !has_messages(symbol.socket, now_ns) ? SymbolState::dead : SymbolState::stale;
    }

    const std::int64_t stale_ns_;
    const std::int64_t dead_ns_;
    std::vector<Symbol> symbols_;
    std::vector<Socket> sockets_;
    std::vector<SocketActivity> activity_;
};

}  // namespace qtxconn::qtx
