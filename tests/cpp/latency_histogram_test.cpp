// The histogram's percentiles against a sorted list of the same values.
#include "qtxconn/latency_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "check.hpp"

using qtxconn::LatencyHistogram;

namespace {

constexpr double kFractions[] = {0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0};

std::int64_t exact_percentile(const std::vector<std::int64_t>& sorted, double fraction) {
    const auto rank = static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(sorted.size())));
    return sorted[rank == 0 ? 0 : rank - 1];
}

void percentiles_are_within_a_128th_above_the_true_value() {
    std::mt19937_64 rng(7);
    for (int round = 0; round < 40; ++round) {
        std::lognormal_distribution<double> shape(4.0 + round * 0.4, 0.2 + round * 0.05);
        LatencyHistogram histogram;
        std::vector<std::int64_t> values;
        for (int i = 0; i < 5000; ++i) {
            const auto value = static_cast<std::int64_t>(std::min(shape(rng), 9e18));
            values.push_back(value);
            histogram.record(value);
        }
        std::sort(values.begin(), values.end());
        for (const double fraction : kFractions) {
            const std::int64_t wanted = exact_percentile(values, fraction);
            const std::int64_t got = histogram.percentile_ns(fraction);
            CHECK(got >= wanted);
            CHECK(static_cast<double>(got) <= static_cast<double>(wanted) * (1.0 + 1.0 / 128));
        }
        CHECK(histogram.percentile_ns(1.0) == values.back());
        CHECK(histogram.min_ns() == values.front());
        CHECK(histogram.max_ns() == values.back());
        CHECK(histogram.count() == values.size());
    }
}

void small_values_are_exact() {
    LatencyHistogram histogram;
    for (int value = 0; value < 128; ++value) {
        histogram.record(value);
    }
    for (int value = 1; value <= 128; ++value) {
        CHECK(histogram.percentile_ns(value / 128.0) == value - 1);
    }
    CHECK(histogram.mean_ns() == 63.5);
}

void the_largest_and_the_negative_values_do_not_break_it() {
    LatencyHistogram histogram;
    CHECK(histogram.percentile_ns(0.5) == 0 && histogram.min_ns() == 0 && histogram.max_ns() == 0);
    CHECK(histogram.mean_ns() == 0.0);
    histogram.record(-5);
    CHECK(histogram.count() == 0 && histogram.negative_count() == 1);
    for (int bit = 0; bit < 63; ++bit) {
        histogram.record(std::int64_t{1} << bit);
        histogram.record((std::int64_t{1} << bit) - 1);
    }
    histogram.record(INT64_MAX);
    CHECK(histogram.percentile_ns(1.0) == INT64_MAX);
    CHECK(histogram.min_ns() == 0);
}

void merging_is_recording_both() {
    LatencyHistogram one, two, both;
    for (int i = 1; i < 3000; ++i) {
        (i % 3 == 0 ? one : two).record(i * 37);
        both.record(i * 37);
    }
    two.record(-1);
    one.merge(two);
    for (const double fraction : kFractions) {
        CHECK(one.percentile_ns(fraction) == both.percentile_ns(fraction));
    }
    CHECK(one.count() == both.count() && one.negative_count() == 1 && one.mean_ns() == both.mean_ns());
    one.reset();
    CHECK(one.count() == 0 && one.max_ns() == 0);
}

void buckets_make_an_equal_histogram() {
    LatencyHistogram original, copy;
    for (std::int64_t value = 1; value < 5'000'000'000; value = value * 9 / 8 + 1) {
        original.record_many(value, static_cast<std::uint64_t>(value % 7));
    }
    for (std::size_t i = 0; i < LatencyHistogram::kBucketCount; ++i) {
        copy.record_many(original.bucket_edge_ns(i), original.bucket_values(i));
    }
    for (const double fraction : kFractions) {
        CHECK(copy.percentile_ns(fraction) == original.percentile_ns(fraction));
    }
    CHECK(copy.count() == original.count() && copy.count() > 0 && copy.max_ns() == original.max_ns());
}

}  // namespace

int main() {
    percentiles_are_within_a_128th_above_the_true_value();
    small_values_are_exact();
    the_largest_and_the_negative_values_do_not_break_it();
    merging_is_recording_both();
    buckets_make_an_equal_histogram();
    return 0;
}
