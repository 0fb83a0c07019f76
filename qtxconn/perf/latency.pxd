# Recording durations from Python and nogil Cython.

from libc.stdint cimport int64_t, uint64_t
from libcpp.memory cimport unique_ptr


cdef extern from "qtxconn/latency_histogram.hpp" namespace "qtxconn" nogil:
    cdef cppclass LatencyHistogram:
        LatencyHistogram() except +
        void record(int64_t duration_ns) noexcept
        uint64_t count() noexcept
        uint64_t negative_count() noexcept
        int64_t min_ns() noexcept
        int64_t max_ns() noexcept
        double mean_ns() noexcept
        int64_t percentile_ns(double fraction) noexcept
        void merge(const LatencyHistogram& other) noexcept
        void reset() noexcept


cdef class LatencyRecorder:
    cdef readonly str name
    cdef unique_ptr[LatencyHistogram] _histogram

    cdef void c_record(self, int64_t duration_ns) noexcept nogil
    cdef LatencyHistogram* c_histogram(self) noexcept nogil
