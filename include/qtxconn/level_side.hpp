// One side of a book: a sorted array for few or scattered levels, and in front of it a ring of ticks for many dense
// ones.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "qtxconn/enums.hpp"

namespace qtxconn {

struct BookLevel {
    std::int64_t price = 0;  // ticks
    std::int64_t size = 0;   // lots, > 0 while the level exists
};

// A price is held as a key: unsigned, and greater means better on either side, so that one code serves both without a
// branch on the side. With base = a multiple of 64 and best = the greatest key:
//
//            sorted array          |            ring of kRing ticks             |
//     deepest ... nearest (back)  base ........ best ... room for a better one  base + kRing
//
// The array holds exactly the levels below `base`, so no level is in both and no two keys of the ring share a slot
// (slot = key modulo kRing). When the touch drifts out of the ring, or near its lower end, `recentre` moves the base
// and carries the levels it passes from one to the other. In ring mode the best level of a side is in the ring.
//
// A side begins as an array (window_ == 0) and takes a ring once it has kRingLevels levels of which half would be in
// it. So a quiet symbol costs a few hundred bytes, and a grid much finer than the levels' distance (an unknown tick)
// stays with the array. Memory only grows: nothing is allocated once a side has been as large as it gets. The array has
// room for every level of the side at any time, so a ring that moves allocates nothing either.
class LevelSide {
public:
    static constexpr std::size_t kRing = 8192;  // ticks
    static constexpr std::size_t kRingLevels = 64;
    static constexpr std::size_t kLevelsMax = 65536;  // beyond it the deepest level is dropped and counted

    explicit LevelSide(Side side) noexcept : flip_(kSignBit - static_cast<std::uint64_t>(side)) {}

    // Sets the size at a price; a size of 0 or less removes the level, if there is one.
    void set(std::int64_t price, std::int64_t size) {
        const std::uint64_t key = key_of(price);
        if (key - base_ < window_ && count_ < reserved_) {
            set_in_ring(key, size);
        } else {
            set_elsewhere(key, size);
        }
    }

    // As set() for one after the other; faster where they are near each other, as the levels of a message are.
    [[gnu::noinline]] void set_levels(const BookLevel* level, std::size_t count) {
        const BookLevel* const end = level + count;
        if (count_ + count > kLevelsMax) {
            set_each(level, end);
        } else if (window_ != 0) {
            set_in_ring(level, end);
        } else if (level = set_from_top(level, end); level == end || set_by_tick(level, end)) {
            array_has_changed();
        } else {
            set_each(level, end);
        }
    }

    // This is the best level from now on: better ones are gone. The size is positive.
    void set_best(std::int64_t price, std::int64_t size) {
        if (best_.price != price || best_.size <= 0) {
            move_best(price, size);
        } else if (window_ == 0) {
            best_.size = array_.back().size = size;
        } else {
            best_.size = size;
            ring_[kWords + best_key_ % kRing] = static_cast<std::uint64_t>(size);
        }
    }

    [[gnu::noinline]] void remove_best() {
        if (best_.size > 0) {
            set(best_.price, 0);
        }
    }

    void clear() noexcept {
        if (window_ != 0) {
            std::fill_n(ring_.get(), kWords, 0);
        }
        array_.clear();
        count_ = 0;
        set_best_empty();
    }

    // Multiplies every price and size: the grid became finer. The products fit (the caller has looked).
    void rescale(std::int64_t price_factor, std::int64_t size_factor) noexcept {
        if (window_ != 0) {
            spill(kRing);
            window_ = 0;
            ring_.reset();
            ring_retry_ = kRingLevels;
        }
        for (BookLevel& level : array_) {
            level.price *= price_factor;
            level.size *= size_factor;
        }
        take_best_of_array();
    }

    const BookLevel& best() const noexcept { return best_; }  // size 0: the side is empty

    // Whether a level of this side at `price` would meet the best of the other one. Of two keys of one price, one on
    // either side, each is the other's complement.
    bool crosses(std::int64_t price, const LevelSide& other) const noexcept {
        return other.best_.size > 0 && ~other.best_key_ <= key_of(price);
    }

    std::size_t count() const noexcept { return count_; }
    std::uint64_t dropped() const noexcept { return dropped_; }
    bool has_ring() const noexcept { return window_ != 0; }

    // Size at a price, 0 where there is no level.
    std::int64_t size_at(std::int64_t price) const noexcept {
        const std::uint64_t key = key_of(price);
        if (key - base_ < window_) {
            return (ring_[word_of(key)] >> (key % 64) & 1) != 0 ? ring_size_at(key) : 0;
        }
        const std::size_t at = lower_bound(array_.size(), key);
        return at < array_.size() && array_[at].price == price ? array_[at].size : 0;
    }

    // Calls visit(level) from the best level on, until it returns false.
    template <typename Visit>
    void for_each(Visit visit) const {
        if (window_ != 0 && best_.size > 0) {
            for (std::uint64_t at = best_key_ / 64 * 64;; at -= 64) {
                for (std::uint64_t bits = ring_[word_of(at)]; bits != 0;) {
                    const std::uint64_t key = at + highest_bit(bits);
                    if (!visit(BookLevel{price_of(key), ring_size_at(key)})) {
                        return;
                    }
                    bits ^= std::uint64_t{1} << (key % 64);
                }
                if (at == base_) {
                    break;
                }
            }
        }
        for (auto level = array_.rbegin(); level != array_.rend(); ++level) {
            if (!visit(*level)) {
                return;
            }
        }
    }

private:
    static constexpr std::uint64_t kSignBit = std::uint64_t{1} << 63;
    static constexpr std::size_t kWords = kRing / 64;
    // The best level is put here, so that it may rise by a quarter of the ring, or fall by five eighths, before the
    // ring has to move again.
    static constexpr std::uint64_t kBelowBest = kRing / 4 * 3;
    static constexpr std::uint64_t kLow = kRing / 8;
    static constexpr std::uint64_t kSpread = 512;  // ticks
    static constexpr std::uint64_t kBaseMax = UINT64_MAX - kRing + 1;
    static_assert(kBaseMax % 64 == 0);

    // Bids: the sign bit flipped, so that order survives. Asks: all others flipped too, which reverses it.
    std::uint64_t key_of(std::int64_t price) const noexcept { return static_cast<std::uint64_t>(price) ^ flip_; }
    std::int64_t price_of(std::uint64_t key) const noexcept { return static_cast<std::int64_t>(key ^ flip_); }
    static std::size_t word_of(std::uint64_t key) noexcept { return key % kRing / 64; }
    static std::uint64_t highest_bit(std::uint64_t bits) noexcept {
        return 63 - static_cast<std::uint64_t>(__builtin_clzll(bits));
    }

    // The ring is one block: kWords words of occupancy, then a size for every tick, which is only read where the bit
    // of its tick is set.
    std::int64_t ring_size_at(std::uint64_t key) const noexcept {
        return static_cast<std::int64_t>(ring_[kWords + key % kRing]);
    }

    // Sets a level where sizes lie by tick, with a bit for each tick that has one; by how much their number changes.
    // Without a branch on what is there and what comes, since neither is likely.
    static std::uint32_t put(std::uint64_t* words, std::uint64_t* sizes, std::uint64_t tick,
                             std::int64_t size) noexcept {
        const std::uint64_t has = size > 0 ? 1 : 0;
        const std::uint64_t old = words[tick / 64];
        words[tick / 64] = (old & ~(std::uint64_t{1} << tick % 64)) | has << tick % 64;
        sizes[tick] = static_cast<std::uint64_t>(size);
        return static_cast<std::uint32_t>(has) - static_cast<std::uint32_t>(old >> tick % 64 & 1);
    }

    [[gnu::noinline]] void set_each(const BookLevel* level, const BookLevel* end) {
        for (; level != end; ++level) {
            set(level->price, level->size);
        }
    }

    // The array has room for one more level.
    void set_in_ring(std::uint64_t key, std::int64_t size) noexcept {
        count_ += put(ring_.get(), ring_.get() + kWords, key % kRing, size);
        if (key >= best_key_) {
            find_best(key);
        }
    }

    // All of these, and then the best is looked for once.
    [[gnu::noinline]] void set_in_ring(const BookLevel* level, const BookLevel* end) {
        reserve(count_ + static_cast<std::size_t>(end - level));
        std::uint64_t* const ring = ring_.get();
        std::uint64_t highest = std::max(best_key_, base_);
        for (; level != end; ++level) {
            const std::uint64_t key = key_of(level->price);
            if (key - base_ < kRing) {
                count_ += put(ring, ring + kWords, key % kRing, level->size);
                highest = std::max(highest, key);
            } else {
                find_best(highest);
                set_elsewhere(key, level->size);
                highest = std::max(best_key_, base_);
            }
        }
        find_best(highest);
    }

    // The best level is at `key` or deeper, and was in the ring before the last change.
    void find_best(std::uint64_t key) noexcept {
        std::uint64_t at = key / 64 * 64;
        std::uint64_t bits = ring_[word_of(key)] & (~std::uint64_t{0} >> (63 - key % 64));
        while (bits == 0) {
            if (at == base_) {
                take_best_into_ring();
                return;
            }
            at -= 64;
            bits = ring_[word_of(at)];
        }
        best_key_ = at + highest_bit(bits);
        best_ = BookLevel{price_of(best_key_), ring_size_at(best_key_)};
        if (best_key_ - base_ < kLow && !array_.empty()) {
            recentre(best_key_);
        }
    }

    // The ring ran empty.
    [[gnu::noinline]] void take_best_into_ring() noexcept {
        if (array_.empty()) {
            set_best_empty();
            return;
        }
        best_ = array_.back();
        best_key_ = key_of(best_.price);
        recentre(best_key_);
    }

    void set_best_empty() noexcept {
        best_ = BookLevel{};
        best_key_ = 0;
    }

    void take_best_of_array() noexcept {
        if (array_.empty()) {
            set_best_empty();
        } else {
            best_ = array_.back();
            best_key_ = key_of(best_.price);
        }
    }

    [[gnu::noinline]] void set_elsewhere(std::uint64_t key, std::int64_t size) {
        if (window_ == 0) {
            set_in_array(key, size);
            array_has_changed();
            return;
        }
        if (key < base_ && best_.size > 0) {
            set_in_array(key, size);
            return;
        }
        if (size_at(price_of(key)) == 0) {
            if (size <= 0) {
                return;
            }
            if (count_ >= reserved_) {
                make_room();
            }
            if (key - base_ >= window_) {
                recentre(key);
            }
        }
        set_in_ring(key, size);
    }

    [[gnu::noinline]] void move_best(std::int64_t price, std::int64_t size) {
        const std::uint64_t key = key_of(price);
        if (window_ != 0) {
            while (best_.size > 0 && best_key_ > key) {
                remove_best();
            }
            set(price, size);
            return;
        }
        while (!array_.empty() && key_of(array_.back().price) > key) {
            array_.pop_back();
        }
        count_ = static_cast<std::uint32_t>(array_.size());
        if (!array_.empty() && array_.back().price == price) {
            array_.back().size = size;
        } else {
            insert_into_array(array_.size(), BookLevel{price, size});
        }
        array_has_changed();
    }

    // Messages that tell the best level first begin with what is better than all there are, or takes the best away;
    // behind it they often change nothing but sizes. The first level that is something else.
    [[gnu::always_inline]] const BookLevel* set_from_top(const BookLevel* const begin, const BookLevel* const end) {
        const BookLevel* level = begin;
        std::uint64_t last_key = UINT64_MAX;
        std::size_t better = 0;
        for (; level != end; ++level) {
            const std::uint64_t key = key_of(level->price);
            if (key >= last_key || key < best_key_ || (key == best_key_ && (level->size > 0 || array_.empty()))) {
                break;
            }
            if (key == best_key_) {
                array_.pop_back();
                take_best_of_array();
            }
            better += level->size > 0 ? 1 : 0;
            last_key = key;
        }
        const BookLevel* next = level;
        level += set_run(level, end);
        reserve(array_.size() + better);
        while (better != 0) {
            if ((--next)->size > 0) {
                array_.push_back(*next);
                --better;
            }
        }
        count_ = static_cast<std::uint32_t>(array_.size());
        return level;
    }

    using LevelBits [[gnu::vector_size(sizeof(BookLevel))]] = std::uint64_t;  // price, size

    static LevelBits bits_of(const BookLevel& level) noexcept {
        LevelBits bits;
        std::memcpy(&bits, &level, sizeof bits);
        return bits;
    }

    // Sets the sizes of levels that are at the same prices as the best ones, until one is not; of how many.
    [[gnu::always_inline]] std::ptrdiff_t set_run(const BookLevel* level, const BookLevel* end) noexcept {
        BookLevel* at = array_.data() + array_.size();
        const std::ptrdiff_t count = std::min(end - level, at - array_.data());
        LevelBits is_gone = {};  // the uppermost bit of its sizes: some size is 0 or less
        std::ptrdiff_t done = 0;
        for (; done + 4 <= count; done += 4) {
            const LevelBits first = bits_of(level[0]), second = bits_of(level[1]);
            const LevelBits third = bits_of(level[2]), fourth = bits_of(level[3]);
            const LevelBits differ = (first ^ bits_of(at[-1])) | (second ^ bits_of(at[-2])) |
                                     (third ^ bits_of(at[-3])) | (fourth ^ bits_of(at[-4]));
            if (differ[0] != 0) {
                break;
            }
            std::memcpy(static_cast<void*>(at - 1), &first, sizeof first);
            std::memcpy(static_cast<void*>(at - 2), &second, sizeof first);
            std::memcpy(static_cast<void*>(at - 3), &third, sizeof first);
            std::memcpy(static_cast<void*>(at - 4), &fourth, sizeof first);
            is_gone |= (first - 1) | (second - 1) | (third - 1) | (fourth - 1);
            at -= 4;
            level += 4;
        }
        std::uint64_t gone = is_gone[1];
        for (; done != count && (--at)->price == level->price; ++done, ++level) {
            at->size = level->size;
            gone |= static_cast<std::uint64_t>(level->size) - 1;
        }
        if (gone >> 63 != 0) {
            erase_gone(array_.size() - static_cast<std::size_t>(done));
        }
        return done;
    }

    [[gnu::noinline]] void erase_gone(std::size_t from) noexcept {
        const auto is_gone = [](const BookLevel& one) { return one.size <= 0; };
        array_.erase(std::remove_if(array_.begin() + static_cast<std::ptrdiff_t>(from), array_.end(), is_gone),
                     array_.end());
    }

    // Sets levels that are near each other: they and those between which they come are laid out by tick, and read back
    // in order. False, with nothing done: they are too far apart, or not sorted at all.
    [[gnu::noinline]] bool set_by_tick(const BookLevel* level, const BookLevel* end) {
        const std::uint64_t one = key_of(level->price);
        const std::uint64_t other = key_of(end[-1].price);
        const std::uint64_t low = std::min(one, other);
        const std::uint64_t span = std::max(one, other) - low;
        if (span >= kSpread) {
            return false;
        }
        std::uint64_t words[kSpread / 64] = {};  // as in the ring: a bit for each tick that has a level,
        std::uint64_t sizes[kSpread];            // and its size
        std::size_t last = array_.size();
        while (last != 0 && key_of(array_[last - 1].price) > low + span) {
            --last;
        }
        std::size_t first = last;
        for (; first != 0 && key_of(array_[first - 1].price) >= low; --first) {
            const std::uint64_t tick = key_of(array_[first - 1].price) - low;
            words[tick / 64] |= std::uint64_t{1} << tick % 64;
            sizes[tick] = static_cast<std::uint64_t>(array_[first - 1].size);
        }
        bool inside = true;
        for (; level != end; ++level) {
            const std::uint64_t tick = key_of(level->price) - low;
            inside &= tick <= span;
            put(words, sizes, tick % kSpread, level->size);
        }
        if (!inside) {
            return false;
        }
        std::size_t count = 0;
        for (std::uint64_t word = 0; word <= span / 64; ++word) {
            count += static_cast<std::size_t>(__builtin_popcountll(words[word]));
        }
        make_place(first, last, count);
        BookLevel* to = array_.data() + first;
        for (std::uint64_t word = 0; word <= span / 64; ++word) {
            for (std::uint64_t bits = words[word]; bits != 0; bits &= bits - 1) {
                const std::uint64_t tick = word * 64 + static_cast<std::uint64_t>(__builtin_ctzll(bits));
                *to++ = BookLevel{price_of(low + tick), static_cast<std::int64_t>(sizes[tick])};
            }
        }
        return true;
    }

    // Moves the levels from `last` on to where there is place for `count` others between them and those before `first`.
    void make_place(std::size_t first, std::size_t last, std::size_t count) {
        const std::size_t above = array_.size() - last;
        const std::size_t size = first + count + above;
        if (size > array_.size()) {
            reserve(size);
            array_.resize(size);
        }
        if (above != 0) {
            BookLevel* const levels = array_.data();
            std::memmove(static_cast<void*>(levels + first + count), levels + last, above * sizeof *levels);
        }
        array_.resize(size);
        count_ = static_cast<std::uint32_t>(size);
    }

    void array_has_changed() {
        take_best_of_array();
        if (count_ >= ring_retry_) {
            make_ring();
        }
    }

    void set_in_array(std::uint64_t key, std::int64_t size) {
        const std::size_t at = find_in_array(key);
        const bool exists = at < array_.size() && array_[at].price == price_of(key);
        if (exists && size > 0) {
            array_[at].size = size;
        } else if (exists) {
            array_.erase(array_.begin() + static_cast<std::ptrdiff_t>(at));
            --count_;
        } else if (size > 0) {
            insert_into_array(at, BookLevel{price_of(key), size});
        }
    }

    // Where a key is, or would go. Searched from the back, because most changes are near the touch, then by bisection.
    std::size_t find_in_array(std::uint64_t key) const noexcept {
        constexpr std::size_t kLinear = 8;
        std::size_t at = array_.size();
        const std::size_t near = at - std::min(kLinear, at);
        while (at != near && key_of(array_[at - 1].price) >= key) {
            --at;
        }
        return at == near ? lower_bound(near, key) : at;
    }

    // The first of the `end` deepest levels that is not below `key`.
    std::size_t lower_bound(std::size_t end, std::uint64_t key) const noexcept {
        const auto last = array_.begin() + static_cast<std::ptrdiff_t>(end);
        const auto is_below = [this](const BookLevel& level, std::uint64_t wanted) {
            return key_of(level.price) < wanted;
        };
        return static_cast<std::size_t>(std::lower_bound(array_.begin(), last, key, is_below) - array_.begin());
    }

    void insert_into_array(std::size_t at, const BookLevel& level) {
        if (count_ >= reserved_) {
            if (count_ >= kLevelsMax && at == 0) {
                ++dropped_;  // deeper than all the others
                return;
            }
            at -= make_room();
        }
        array_.insert(array_.begin() + static_cast<std::ptrdiff_t>(at), level);
        ++count_;
    }

    // Room for `count` levels, at most kLevelsMax. Grows by a quarter each time, since many books hold about as many
    // levels as they ever will.
    void reserve(std::size_t count) {
        if (count > reserved_) {
            constexpr std::size_t kStep = 4;
            const std::size_t grown = std::max(count, array_.capacity() + array_.capacity() / 4);
            array_.reserve(std::min((grown + kStep - 1) / kStep * kStep, kLevelsMax));
            reserved_ = static_cast<std::uint32_t>(array_.capacity());
        }
    }

    // Room for one more level, by growth or else by dropping the deepest. How many were dropped.
    [[gnu::noinline]] std::size_t make_room() {
        if (count_ < kLevelsMax) {
            reserve(std::size_t{count_} + 1);
            return 0;
        }
        array_.erase(array_.begin());  // never empty: a ring has fewer slots than kLevelsMax
        --count_;
        ++dropped_;
        return 1;
    }

    // Takes a ring if at least half of the levels would be in it; else looks again when there are twice as many.
    void make_ring() noexcept {
        const std::uint64_t base = base_for(best_key_);
        const auto inside = std::count_if(array_.begin(), array_.end(),
                                          [this, base](const BookLevel& level) { return key_of(level.price) >= base; });
        ring_retry_ = count_ * 2;
        if (static_cast<std::size_t>(inside) * 2 < count_) {
            return;
        }
        ring_.reset(new (std::nothrow) std::uint64_t[kWords + kRing]);
        if (ring_ == nullptr) {
            return;
        }
        std::fill_n(ring_.get(), kWords, 0);
        window_ = kRing;
        base_ = kBaseMax;
        recentre(best_key_);
    }

    static std::uint64_t base_for(std::uint64_t best_key) noexcept {
        const std::uint64_t base = best_key > kBelowBest ? (best_key - kBelowBest) / 64 * 64 : 0;
        return std::min(base, kBaseMax);
    }

    // Moves the ring to where `best_key`, which no level surpasses, has its place.
    [[gnu::noinline]] void recentre(std::uint64_t best_key) noexcept {
        const std::uint64_t base = base_for(best_key);
        if (base > base_) {
            spill(std::min<std::uint64_t>(base - base_, kRing));
            base_ = base;
            return;
        }
        base_ = base;
        while (!array_.empty() && key_of(array_.back().price) >= base) {
            const std::uint64_t key = key_of(array_.back().price);
            ring_[word_of(key)] |= std::uint64_t{1} << (key % 64);
            ring_[kWords + key % kRing] = static_cast<std::uint64_t>(array_.back().size);
            array_.pop_back();
        }
    }

    // Levels in the ring's first `ticks` (a multiple of 64) go to the back of the array, deepest first.
    void spill(std::uint64_t ticks) noexcept {
        for (std::uint64_t at = base_; at != base_ + ticks; at += 64) {
            for (std::uint64_t& bits = ring_[word_of(at)]; bits != 0; bits &= bits - 1) {
                const std::uint64_t key = at + static_cast<std::uint64_t>(__builtin_ctzll(bits));
                array_.push_back(BookLevel{price_of(key), ring_size_at(key)});
            }
        }
    }

    BookLevel best_;
    std::uint64_t best_key_ = 0;
    std::uint64_t base_ = 0;
    std::uint64_t window_ = 0;  // kRing, or 0 without a ring
    std::uint64_t flip_;
    std::unique_ptr<std::uint64_t[]> ring_;
    std::vector<BookLevel> array_;  // worst first; capacity for all levels of the side
    std::uint32_t count_ = 0;
    std::uint32_t reserved_ = 0;  // capacity of the array
    std::uint32_t ring_retry_ = kRingLevels;
    std::uint64_t dropped_ = 0;
};

}  // namespace qtxconn
