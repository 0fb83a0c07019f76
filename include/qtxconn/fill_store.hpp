// The fills of all orders: each trade once in the account, found by its id, with what was charged for it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qtxconn/hash_chains.hpp"
#include "qtxconn/in_flight_order.hpp"
#include "qtxconn/slab.hpp"
#include "qtxconn/venue_ids.hpp"

namespace qtxconn {

// Fills are keyed by (symbol, trade id, side): a trade with oneself has both sides under one id. The newest
// `forgotten_max` fills of released orders stay known, so that a repeat of them is still told from a new fill.
class FillStore {
public:
    FillStore(const Slab<InFlightOrder>& orders, VenueIdTable& ids, std::size_t forgotten_max)
        : orders_(orders), ids_(ids), forgotten_(forgotten_max + 1), forgotten_max_(forgotten_max) {}

    Fill& at(std::int32_t number) noexcept { return fills_.at(static_cast<std::uint32_t>(number)); }
    const Fill& at(std::int32_t number) const noexcept { return fills_.at(static_cast<std::uint32_t>(number)); }
    std::size_t size() const noexcept { return by_trade_id_.size(); }

    // -- trades ------------------------------------------------------------------------------------------------

    // The bucket of a trade: for find(), and for the append() that follows on it.
    std::uint32_t& bucket(std::uint32_t symbol, VenueId trade_id) noexcept {
        return by_trade_id_.bucket(key_of(symbol, trade_id));
    }
    std::uint32_t bucket(std::uint32_t symbol, VenueId trade_id) const noexcept {
        return by_trade_id_.bucket(key_of(symbol, trade_id));
    }

    // The fill with this trade id, also a forgotten one; kNoFill if it is new.
    std::int32_t find(std::uint32_t bucket, std::uint32_t symbol, VenueId trade_id, TradeType side) const noexcept {
        return static_cast<std::int32_t>(HashChains::find(  // kNone is kNoFill
            bucket, [this](std::uint32_t number) { return fills_.at(number).next_by_trade_id; },
            [&](std::uint32_t number) {
                const Fill& fill = fills_.at(number);
                return fill.trade_id == trade_id && is_trade_of(fill, symbol, side);
            }));
    }

    // What a fill with a trade id that is known is; `changed` if it may be booked: its order is tracked anew.
    [[gnu::noinline]] Applied repeated(const InFlightOrder& order, std::uint32_t slot, std::int32_t known) {
        const Fill& other = at(known);
        if (!is_forgotten(other)) {
            return other.order == slot ? Applied::duplicate_fill : Applied::foreign;
        }
        const ForgottenOrder& owner = forgotten_order_of(other);
        if (owner.client_id == order.client_id) {
            unindex(known, order.symbol);
            return Applied::changed;
        }
        return owner.client_id == 0 ? Applied::duplicate_fill : Applied::foreign;
    }

    // Stores a fill as the last of an order's, under its trade's bucket unless it is provisional; -> its number.
    std::int32_t append(InFlightOrder& order, std::uint32_t slot, const Fill& fill, std::uint32_t& bucket) {
        const std::uint32_t taken = fills_.take();
        const auto number = static_cast<std::int32_t>(taken);
        Fill& mine = fills_.at(taken);
        mine = fill;
        mine.next = kNoFill;
        mine.order = slot;
        (order.last_fill == kNoFill ? order.first_fill : at(order.last_fill).next) = number;
        order.last_fill = number;
        ids_.keep(mine.trade_id);
        if (mine.is_provisional) {
            order.has_provisional = true;
        } else {
            index(bucket, taken);
        }
        return number;
    }

    // Takes a provisional fill out of an order's.
    void remove_provisional(InFlightOrder& order, std::int32_t number) {
        std::int32_t before = kNoFill;
        for (std::int32_t earlier = order.first_fill; earlier != number; earlier = at(earlier).next) {
            before = earlier;
        }
        (before == kNoFill ? order.first_fill : at(before).next) = at(number).next;
        if (order.last_fill == number) {
            order.last_fill = before;
        }
        put_back(number);
    }

    // Of an order that is released: its fills stay findable as forgotten ones, until newer ones push them out.
    void forget_all(const InFlightOrder& order) {
        const std::int32_t first = order.has_provisional ? without_provisional(order.first_fill) : order.first_fill;
        if (first != kNoFill) {
            forget(first, order.client_id, order.symbol, order.trade_type);
        }
    }

    // Makes room for a fill to be put back that an order's sums count already.
    void unforget(const InFlightOrder& order, VenueId trade_id) {
        const std::int32_t known = find(bucket(order.symbol, trade_id), order.symbol, trade_id, order.trade_type);
        if (known != kNoFill && is_forgotten(at(known))) {
            unindex(known, order.symbol);
        }
    }

    // A trade of no known order.
    void remember(std::uint32_t symbol, VenueId trade_id) {
        const std::uint32_t number = fills_.take();
        fills_.at(number) = Fill{};
        fills_.at(number).trade_id = trade_id;
        ids_.keep(trade_id);
        index(bucket(symbol, trade_id), number);
        forget(static_cast<std::int32_t>(number), 0, symbol, kAnySide);
    }

    // -- fees --------------------------------------------------------------------------------------------------

    // Number of an asset in which fees are paid; kNoAsset for a new one when kAssetsMax are known.
    std::uint32_t intern_asset(std::string_view asset) {
        const auto known = std::find(assets_.begin(), assets_.end(), asset);
        if (known != assets_.end()) {
            return static_cast<std::uint32_t>(known - assets_.begin()) + 1;
        }
        if (assets_.size() == kAssetsMax) {
            return kNoAsset;
        }
        assets_.emplace_back(asset);
        return static_cast<std::uint32_t>(assets_.size());
    }

    std::string_view asset(std::uint32_t number) const noexcept {
        return number == kNoAsset || number > assets_.size() ? std::string_view{} : assets_[number - 1];
    }

    // Stores fees beside the one that the fill has.
    [[gnu::noinline]] void add_fees(Fill& fill, const Fee* more, std::size_t count) {
        std::uint32_t following = kNone;
        for (std::size_t i = count + 1; i > 0; --i) {
            const std::uint32_t number = fees_.take();
            fees_.at(number) = StoredFee{i == 1 ? fill.fee() : more[i - 2], following};
            following = number;
        }
        fill.fee_asset = kSeveralFees;
        fill.fee_units = following;
    }

    // Fee `number` of a fill, from 0; its asset is kNoAsset if there are fewer.
    Fee fee(const Fill& fill, std::size_t number) const noexcept {
        if (fill.fee_asset != kSeveralFees) {
            return number == 0 ? fill.fee() : Fee{};
        }
        auto stored = static_cast<std::uint32_t>(fill.fee_units);
        for (; stored != kNone && number > 0; --number) {
            stored = fees_.at(stored).next;
        }
        return stored == kNone ? Fee{} : fees_.at(stored).fee;
    }

private:
    static constexpr std::uint32_t kNone = UINT32_MAX;
    static constexpr std::uint32_t kForgotten = 1U << 31;  // in Fill::order: with the place in the ring

    // A released order, as far as its fills need it to be known again.
    struct ForgottenOrder {
        std::uint64_t client_id = 0;  // 0: of no order that was known
        std::int32_t first_fill = kNoFill;
        std::uint32_t symbol = 0;
        TradeType trade_type = kAnySide;
    };

    struct StoredFee {
        Fee fee;
        std::uint32_t next = kNone;
        std::uint32_t& link() noexcept { return next; }
    };

    struct Link {
        FillStore* store;
        std::uint32_t& operator()(std::uint32_t number) const { return store->fills_.at(number).next_by_trade_id; }
    };

    static std::uint64_t key_of(std::uint32_t symbol, VenueId trade_id) noexcept {
        return trade_id + (static_cast<std::uint64_t>(symbol) << 40);
    }

    static bool is_forgotten(const Fill& fill) noexcept { return fill.order >= kForgotten; }
    const ForgottenOrder& forgotten_order_of(const Fill& fill) const noexcept {
        return forgotten_[fill.order & ~kForgotten];
    }
    std::uint32_t symbol_of(const Fill& fill) const noexcept {
        return is_forgotten(fill) ? forgotten_order_of(fill).symbol : orders_.at(fill.order).symbol;
    }
    TradeType side_of(const Fill& fill) const noexcept {
        return is_forgotten(fill) ? forgotten_order_of(fill).trade_type : orders_.at(fill.order).trade_type;
    }
    bool is_trade_of(const Fill& fill, std::uint32_t symbol, TradeType side) const noexcept {
        const TradeType traded = side_of(fill);
        return symbol_of(fill) == symbol && (traded == side || traded == kAnySide || side == kAnySide);
    }

    void index(std::uint32_t& bucket, std::uint32_t number) {
        by_trade_id_.insert(bucket, number, Link{this}, [this](std::uint32_t other) {
            return key_of(symbol_of(fills_.at(other)), fills_.at(other).trade_id);
        });
    }

    void unindex(std::int32_t number, std::uint32_t symbol) {
        by_trade_id_.erase(key_of(symbol, at(number).trade_id), static_cast<std::uint32_t>(number), Link{this});
    }

    // Takes in the fills of an order, then lets go of the oldest that are too many.
    void forget(std::int32_t first, std::uint64_t client_id, std::uint32_t symbol, TradeType side) {
        ForgottenOrder& place = forgotten_[next_forgotten_];
        place.client_id = client_id;
        place.first_fill = first;
        place.symbol = symbol;
        place.trade_type = side;
        for (std::int32_t number = first; number != kNoFill; number = at(number).next) {
            at(number).order = kForgotten | next_forgotten_;
            ++forgotten_count_;
        }
        next_forgotten_ = place_after(next_forgotten_);
        while (forgotten_count_ > forgotten_max_) {
            ForgottenOrder& oldest = forgotten_[oldest_forgotten_];
            const std::int32_t gone = oldest.first_fill;
            oldest.first_fill = at(gone).next;
            if (oldest.first_fill == kNoFill) {
                oldest_forgotten_ = place_after(oldest_forgotten_);
            }
            unindex(gone, oldest.symbol);
            put_back(gone);
            --forgotten_count_;
        }
    }

    std::uint32_t place_after(std::uint32_t place) const noexcept { return place == forgotten_max_ ? 0 : place + 1; }

    // The first of what is left of these fills.
    [[gnu::noinline]] std::int32_t without_provisional(std::int32_t number) {
        std::int32_t first = kNoFill;
        for (std::int32_t* link = &first; number != kNoFill;) {
            const std::int32_t following = at(number).next;
            if (at(number).is_provisional) {
                put_back(number);
            } else {
                *link = number;
                link = &at(number).next;
            }
            number = following;
            *link = kNoFill;
        }
        return first;
    }

    // Frees the record of a fill that is in no index.
    void put_back(std::int32_t number) {
        const Fill& fill = at(number);
        ids_.let_go(fill.trade_id);
        if (fill.fee_asset == kSeveralFees) {
            put_back_fees(static_cast<std::uint32_t>(fill.fee_units));
        }
        fills_.put_back(static_cast<std::uint32_t>(number));
    }

    [[gnu::noinline]] void put_back_fees(std::uint32_t number) {
        while (number != kNone) {
            const std::uint32_t following = fees_.at(number).next;
            fees_.put_back(number);
            number = following;
        }
    }

    const Slab<InFlightOrder>& orders_;
    VenueIdTable& ids_;
    Slab<Fill> fills_;
    Slab<StoredFee> fees_;  // of fills with several
    HashChains by_trade_id_;
    std::vector<ForgottenOrder> forgotten_;  // a ring of those with fills, of which there are forgotten_max_ at most
    std::size_t forgotten_max_;
    std::size_t forgotten_count_ = 0;  // fills
    std::uint32_t next_forgotten_ = 0;
    std::uint32_t oldest_forgotten_ = 0;
    std::vector<std::string> assets_;
};

}  // namespace qtxconn
