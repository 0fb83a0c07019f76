# Recording durations from Python and nogil Cython.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint64_t
from libcpp.memory cimport unique_ptr


cdef extern from "qtxconn/latency_histogram.hpp" namespace "qtxconn" nogil:
    const size_t kLatencyBuckets "qtxconn::LatencyHistogram::kBucketCount"

    cdef cppclass LatencyHistogram:
        LatencyHistogram() except +
        void record(int64_t duration_ns) noexcept
        void record_many(int64_t duration_ns, uint64_t times) noexcept
        uint64_t count() noexcept
        uint64_t negative_count() noexcept
        int64_t min_ns() noexcept
        int64_t max_ns() noexcept
        double mean_ns() noexcept
        int64_t percentile_ns(double fraction) noexcept
        uint64_t bucket_values(size_t i) noexcept
        int64_t bucket_edge_ns(size_t i) noexcept
        void merge(const LatencyHistogram& other) noexcept
        void reset() noexcept


cdef class LatencyRecorder:
    cdef readonly str name
    cdef unique_ptr[LatencyHistogram] _histogram

    cdef void c_record(self, int64_t duration_ns) noexcept nogil
    cdef LatencyHistogram* c_histogram(self) noexcept nogil
