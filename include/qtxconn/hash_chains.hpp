// A hash index over records that link themselves: a bucket is the number of its first record, a record knows the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qtxconn {

// Four bytes a bucket and four in each record: no second copy of a key, no tombstones, and removing is one short walk.
// `link` gives a reference to the next number in a record, `key_of` its key; different keys share buckets, so find()
// asks `matches` about each candidate, and the caller compares the real key. Allocates only when it grows.
class HashChains {
public:
    static constexpr std::uint32_t kNone = UINT32_MAX;

    explicit HashChains(std::size_t capacity = 1024) {
        std::size_t buckets = 16;
        while (buckets < capacity) {
            buckets *= 2;
        }
        set_buckets(buckets);
    }

    template <typename Link, typename Matches>
    std::uint32_t find(std::uint64_t key, Link link, Matches matches) const {
        std::uint32_t record = heads_[home(key)];
        while (record != kNone && !matches(record)) {
            record = link(record);
        }
        return record;
    }

    template <typename Link, typename KeyOf>
    void insert(std::uint64_t key, std::uint32_t record, Link link, KeyOf key_of) {
        if (size_ == buckets_) {
            grow(link, key_of);
        }
        push(key, record, link);
        ++size_;
    }

    // No effect if the record is not there under this key.
    template <typename Link>
    void erase(std::uint64_t key, std::uint32_t record, Link link) {
        for (std::uint32_t* at = &heads_[home(key)]; *at != kNone; at = &link(*at)) {
            if (*at == record) {
                *at = link(record);
                --size_;
                return;
            }
        }
    }

    std::size_t size() const noexcept { return size_; }

private:
    // Fibonacci hashing: numbers that follow each other, as ids do, spread evenly.
    std::size_t home(std::uint64_t key) const noexcept {
        return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> shift_);
    }

    void set_buckets(std::size_t buckets) {
        heads_.assign(buckets, kNone);
        buckets_ = buckets;
        for (shift_ = 64; buckets > 1; buckets /= 2) {
            --shift_;
        }
    }

    template <typename Link>
    void push(std::uint64_t key, std::uint32_t record, Link link) {
        std::uint32_t& head = heads_[home(key)];
        link(record) = head;
        head = record;
    }

    template <typename Link, typename KeyOf>
    [[gnu::noinline, gnu::cold]] void grow(Link link, KeyOf key_of) {
        std::vector<std::uint32_t> old;
        old.swap(heads_);
        set_buckets(2 * old.size());
        for (const std::uint32_t head : old) {
            for (std::uint32_t record = head; record != kNone;) {
                const std::uint32_t following = link(record);
                push(key_of(record), record, link);
                record = following;
            }
        }
    }

    std::vector<std::uint32_t> heads_;
    std::size_t buckets_ = 0;
    std::size_t size_ = 0;
    unsigned shift_ = 64;  // less log2 of the number of buckets, of which there are two or more
};

}  // namespace qtxconn
