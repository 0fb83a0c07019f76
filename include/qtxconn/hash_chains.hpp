// A hash index over records that link themselves: a bucket is the number of its first record, a record knows the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qtxconn {

// Four bytes a bucket and four in each record: no second copy of a key, no tombstones, and removing is one short walk.
// There are at least two buckets a record, so that most hold one or none. `link` gives a reference to the next number
// in a record, `key_of` its key; different keys share buckets, so find() asks `matches` about each candidate, and the
// caller compares the real key. Allocates only when it grows.
class HashChains {
public:
    static constexpr std::uint32_t kNone = UINT32_MAX;

    explicit HashChains(std::size_t capacity = 1024) {
        std::size_t buckets = 16;
        while (buckets / 2 < capacity) {
            buckets *= 2;
        }
        set_buckets(buckets);
    }

    // The first record of the bucket of a key: for find(), and for the insert() that follows on it.
    std::uint32_t& bucket(std::uint64_t key) noexcept { return heads_[home(key)]; }
    std::uint32_t bucket(std::uint64_t key) const noexcept { return heads_[home(key)]; }

    // The record that matches, from the first of a bucket on; kNone if there is none.
    template <typename Link, typename Matches>
    static std::uint32_t find(std::uint32_t record, Link link, Matches matches) {
        while (record != kNone && !matches(record)) {
            record = link(record);
        }
        return record;
    }

    template <typename Link, typename KeyOf>
    void insert(std::uint32_t& bucket, std::uint32_t record, Link link, KeyOf key_of) {
        link(record) = bucket;
        bucket = record;
        if (--room_ == 0) {
            grow(link, key_of);
        }
    }

    // No effect if the record is not there under this key.
    template <typename Link>
    void erase(std::uint64_t key, std::uint32_t record, Link link) {
        std::uint32_t* at = &bucket(key);
        while (*at != record) {
            if (*at == kNone) {
                return;
            }
            at = &link(*at);
        }
        *at = link(record);
        ++room_;
    }

    std::size_t size() const noexcept { return heads_.size() / 2 - room_; }

private:
    // Fibonacci hashing: numbers that follow each other, as ids do, spread evenly.
    std::size_t home(std::uint64_t key) const noexcept {
        return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> shift_);
    }

    void set_buckets(std::size_t buckets) {
        heads_.assign(buckets, kNone);
        room_ = buckets / 2;
        for (shift_ = 64; buckets > 1; buckets /= 2) {
            --shift_;
        }
    }

    template <typename Link, typename KeyOf>
    [[gnu::noinline, gnu::cold]] void grow(Link link, KeyOf key_of) {
        std::vector<std::uint32_t> old;
        old.swap(heads_);
        set_buckets(2 * old.size());
        room_ -= old.size() / 2;
        for (const std::uint32_t head : old) {
            for (std::uint32_t record = head; record != kNone;) {
                const std::uint32_t following = link(record);
                std::uint32_t& first = bucket(key_of(record));
                link(record) = first;
                first = record;
                record = following;
            }
        }
    }

    std::vector<std::uint32_t> heads_;
    std::size_t room_ = 0;  // records that may still come before it grows
    unsigned shift_ = 64;   // less log2 of the number of buckets, of which there are two or more
};

}  // namespace qtxconn
