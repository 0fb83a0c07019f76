// A log-linear histogram of durations in ns: fixed memory, O(1) record, percentiles within 0.8 % of the true value.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace qtxconn {

// Values below 128 ns are counted exactly; above, each power of two is split into 128 equal buckets, so that a bucket's
// upper edge is at most 1/128 above any value in it, up to the largest int64 (292 years). 57 KiB, of which a recording
// thread touches the few lines its values fall into. Negative durations (a clock that stepped back) are not recorded
// but counted, so that they cannot hide.
class LatencyHistogram {
public:
    static constexpr std::uint32_t kSubBits = 7;
    static constexpr std::uint32_t kSubCount = 1U << kSubBits;
    static constexpr std::size_t kBucketCount = (63 - kSubBits + 1) * kSubCount;

    void record(std::int64_t duration_ns) noexcept { record_many(duration_ns, 1); }

    void record_many(std::int64_t duration_ns, std::uint64_t times) noexcept {
        if (duration_ns < 0) {
            negative_count_ += times;
            return;
        }
        if (times == 0) {
            return;
        }
        const auto value = static_cast<std::uint64_t>(duration_ns);
        buckets_[bucket_of(value)] += times;
        count_ += times;
        sum_ns_ += value * times;
        if (value < min_ns_) {
            min_ns_ = value;
        }
        if (value > max_ns_) {
            max_ns_ = value;
        }
    }

    std::uint64_t count() const noexcept { return count_; }
    std::uint64_t negative_count() const noexcept { return negative_count_; }
    std::int64_t min_ns() const noexcept { return count_ == 0 ? 0 : static_cast<std::int64_t>(min_ns_); }
    std::int64_t max_ns() const noexcept { return static_cast<std::int64_t>(max_ns_); }
    double mean_ns() const noexcept {
        return count_ == 0 ? 0.0 : static_cast<double>(sum_ns_) / static_cast<double>(count_);
    }

    // Smallest recorded magnitude that at least `fraction` (0..1) of the values do not exceed; the upper edge of its
    // bucket, never above the maximum. 0 when nothing was recorded.
    std::int64_t percentile_ns(double fraction) const noexcept {
        if (count_ == 0) {
            return 0;
        }
        const double wanted = fraction * static_cast<double>(count_);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < kBucketCount; ++i) {
            seen += buckets_[i];
            if (seen > 0 && static_cast<double>(seen) >= wanted) {
                return bucket_edge_ns(i);
            }
        }
        return max_ns();
    }

    // Bucket i < kBucketCount, in ascending order: how many values, and its upper edge, which is never above the
    // maximum. record_many() of the pairs makes a histogram with the same percentiles.
    std::uint64_t bucket_values(std::size_t i) const noexcept { return buckets_[i]; }
    std::int64_t bucket_edge_ns(std::size_t i) const noexcept {
        const std::uint64_t edge = upper_edge(i);
        return static_cast<std::int64_t>(edge < max_ns_ ? edge : max_ns_);
    }

    void merge(const LatencyHistogram& other) noexcept {
        for (std::size_t i = 0; i < kBucketCount; ++i) {
            buckets_[i] += other.buckets_[i];
        }
        count_ += other.count_;
        negative_count_ += other.negative_count_;
        sum_ns_ += other.sum_ns_;
        min_ns_ = other.min_ns_ < min_ns_ ? other.min_ns_ : min_ns_;
        max_ns_ = other.max_ns_ > max_ns_ ? other.max_ns_ : max_ns_;
    }

    void reset() noexcept { *this = LatencyHistogram{}; }

private:
    static std::size_t bucket_of(std::uint64_t value) noexcept {
        if (value < kSubCount) {
            return static_cast<std::size_t>(value);
        }
        const auto exponent = static_cast<std::uint32_t>(63 - __builtin_clzll(value));
        const std::uint32_t shift = exponent - kSubBits;
        return static_cast<std::size_t>((shift + 1) * kSubCount + ((value >> shift) - kSubCount));
    }

    static std::uint64_t upper_edge(std::size_t bucket) noexcept {
        if (bucket < kSubCount) {
            return bucket;
        }
        const std::uint64_t shift = bucket / kSubCount - 1;
        const std::uint64_t sub = bucket % kSubCount + kSubCount;
        return ((sub + 1) << shift) - 1;
    }

    std::array<std::uint64_t, kBucketCount> buckets_{};
    std::uint64_t count_ = 0;
    std::uint64_t negative_count_ = 0;
    std::uint64_t sum_ns_ = 0;
    std::uint64_t min_ns_ = UINT64_MAX;
    std::uint64_t max_ns_ = 0;
};

}  // namespace qtxconn
