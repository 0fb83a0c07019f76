// Ids as venues write them, held as 64-bit numbers: decimal ids are their own number, other texts are kept in a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "qtxconn/hash_chains.hpp"
#include "qtxconn/text.hpp"

namespace qtxconn {

// Order and trade ids inside the tracker. 1 to 2^63 - 1 is the decimal text of that number, without leading zeros. From
// 2^63 on it stands for any other text (a UUID, a 0x hash) in the table that gave it. Equal ids are equal texts.
using VenueId = std::uint64_t;

constexpr VenueId kNoVenueId = 0;
constexpr VenueId kFirstTextId = 1ULL << 63;
constexpr std::size_t kVenueIdTextMax = 71;

constexpr bool is_text_id(VenueId id) noexcept { return id >= kFirstTextId; }

// The number of a plain decimal text from 1 to 2^63 - 1; kNoVenueId for any other text.
inline VenueId parse_number_id(std::string_view text) noexcept {
    if (text.empty() || text.size() > 19 || text[0] == '0') {
        return kNoVenueId;
    }
    std::uint64_t number = 0;
    for (const char c : text) {
        const unsigned digit = static_cast<unsigned char>(c) - unsigned{'0'};
        if (digit > 9) {
            return kNoVenueId;
        }
        number = number * 10 + digit;  // 19 digits fit 64 bits
    }
    return number < kFirstTextId ? number : kNoVenueId;
}

// Writes the decimal text of a number id; `out` holds 20 characters.
inline std::string_view write_number_id(VenueId id, char* out) noexcept {
    char* begin = out + 20;
    char* const end = begin;
    do {
        *--begin = static_cast<char>('0' + id % 10);
        id /= 10;
    } while (id != 0);
    return {begin, static_cast<std::size_t>(end - begin)};
}

// The texts of ids that are no numbers, each once, counted by those who keep them. A text that nobody keeps goes when
// kIdle others were let go after it: so an id can be made first and kept later, and ids that come to nothing cost no
// memory. An id carries the generation of its place: one of a text that is gone never stands for another text.
class VenueIdTable {
public:
    static constexpr std::size_t kIdle = 64;

    VenueIdTable() : by_text_(16) {}

    // The id of a text; kNoVenueId if it is empty, too long, or a text that the table does not have.
    VenueId find(std::string_view text) const noexcept {
        const VenueId number = parse_number_id(text);
        if (number != kNoVenueId || text.empty() || text.size() > kVenueIdTextMax) {
            return number;
        }
        const std::uint32_t hash = hash_text(text);
        const std::uint32_t place = find_text(by_text_.bucket(hash), hash, text);
        return place == HashChains::kNone ? kNoVenueId : id_of(place);
    }

    // The same, taking in a text that it does not have.
    VenueId intern(std::string_view text) {
        const VenueId number = parse_number_id(text);
        if (number != kNoVenueId || text.empty() || text.size() > kVenueIdTextMax) {
            return number;
        }
        const std::uint32_t hash = hash_text(text);
        std::uint32_t& bucket = by_text_.bucket(hash);
        std::uint32_t place = find_text(bucket, hash, text);
        if (place != HashChains::kNone) {
            return id_of(place);
        }
        if (free_.empty()) {
            place = static_cast<std::uint32_t>(entries_.size());
            entries_.emplace_back();
        } else {
            place = free_.back();
            free_.pop_back();
        }
        entries_[place].text.assign(text);
        entries_[place].hash = hash;
        by_text_.insert(bucket, place, Link{this}, [&](std::uint32_t other) { return entries_[other].hash; });
        rest(id_of(place));
        return id_of(place);
    }

    // Whoever stores an id keeps it, and lets go of it once.
    void keep(VenueId id) noexcept {
        if (is_text_id(id)) {
            keep_text(id);
        }
    }

    void let_go(VenueId id) noexcept {
        if (is_text_id(id)) {
            let_text_go(id);
        }
    }

    // `buffer` holds 20 characters; the result is in it, or in the table until the text goes.
    std::string_view text(VenueId id, char* buffer) const noexcept {
        if (!is_text_id(id)) {
            return id == kNoVenueId ? std::string_view{} : write_number_id(id, buffer);
        }
        return is_current(id) ? entries_[place_of(id)].text.view() : std::string_view{};
    }

    std::size_t size() const noexcept { return by_text_.size(); }

private:
    struct Entry {
        Text<kVenueIdTextMax + 1> text;
        std::uint32_t hash = 0;
        std::uint32_t keepers = 0;
        std::uint32_t generation = 0;
        std::uint32_t next = HashChains::kNone;
    };
    struct Link {
        VenueIdTable* table;
        std::uint32_t& operator()(std::uint32_t place) const noexcept { return table->entries_[place].next; }
    };

    static std::uint32_t place_of(VenueId id) noexcept { return static_cast<std::uint32_t>(id); }
    VenueId id_of(std::uint32_t place) const noexcept {
        return kFirstTextId | static_cast<VenueId>(entries_[place].generation) << 32 | place;
    }
    bool is_current(VenueId id) const noexcept { return place_of(id) < entries_.size() && id_of(place_of(id)) == id; }
    std::uint32_t find_text(std::uint32_t bucket, std::uint32_t hash, std::string_view text) const noexcept {
        return HashChains::find(
            bucket, [&](std::uint32_t place) { return entries_[place].next; },
            [&](std::uint32_t place) { return entries_[place].hash == hash && entries_[place].text.view() == text; });
    }

    [[gnu::noinline]] void keep_text(VenueId id) noexcept {
        if (is_current(id)) {
            ++entries_[place_of(id)].keepers;
        }
    }

    [[gnu::noinline]] void let_text_go(VenueId id) noexcept {
        if (is_current(id) && --entries_[place_of(id)].keepers == 0) {
            rest(id);
        }
    }

    // Nobody keeps this text now; the one that has waited longest goes.
    void rest(VenueId id) noexcept {
        const VenueId oldest = idle_[next_idle_];
        idle_[next_idle_] = id;
        next_idle_ = (next_idle_ + 1) % kIdle;
        if (!is_text_id(oldest) || !is_current(oldest) || entries_[place_of(oldest)].keepers != 0 || oldest == id) {
            return;
        }
        Entry& entry = entries_[place_of(oldest)];
        by_text_.erase(entry.hash, place_of(oldest), Link{this});
        entry.text.clear();
        entry.generation = (entry.generation + 1) & 0x7FFFFFFFU;
        free_.push_back(place_of(oldest));
    }

    std::vector<Entry> entries_;
    std::vector<std::uint32_t> free_;
    HashChains by_text_;
    VenueId idle_[kIdle] = {};
    std::size_t next_idle_ = 0;
};

}  // namespace qtxconn
