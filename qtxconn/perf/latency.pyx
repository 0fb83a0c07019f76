"""Recording durations: one fixed-size histogram per leg of the way, written from Python or nogil Cython."""

from libcpp.memory cimport make_unique

# The columns of every latency report.
PERCENTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "p99.9": 0.999}


cdef class LatencyRecorder:
    """Durations in ns of one leg. Percentiles are at most 0.8 % too high (include/qtxconn/latency_histogram.hpp);
    minimum, maximum and count are exact. One thread writes; reading while it does gives a slightly older picture.
    """

    def __init__(self, str name=""):
        self.name = name
        self._histogram = make_unique[LatencyHistogram]()

    cdef void c_record(self, int64_t duration_ns) noexcept nogil:
        self._histogram.get().record(duration_ns)

    cdef LatencyHistogram* c_histogram(self) noexcept nogil:
        return self._histogram.get()

    def record(self, int64_t duration_ns) -> None:
        """Counts one duration. A negative one (a clock stepped back) only raises `negative_count`."""
        self._histogram.get().record(duration_ns)

    def record_many(self, int64_t duration_ns, uint64_t times) -> None:
        """Counts `times` equal durations."""
        self._histogram.get().record_many(duration_ns, times)

    @property
    def count(self) -> int:
        return self._histogram.get().count()

    @property
    def negative_count(self) -> int:
        return self._histogram.get().negative_count()

    def percentile(self, double fraction) -> int:
        """Duration in ns that `fraction` (0 to 1) of the values do not exceed; 0 when nothing was recorded."""
        if not 0.0 <= fraction <= 1.0:
            raise ValueError(f"a percentile's fraction lies between 0 and 1, not {fraction}")
        return self._histogram.get().percentile_ns(fraction)

    def summary(self) -> dict:
        """{"p50", "p90", "p99", "p99.9", "max", "count"}; durations in ns."""
        row = {column: self.percentile(fraction) for column, fraction in PERCENTILES.items()}
        row["max"] = self._histogram.get().max_ns()
        row["count"] = self.count
        return row

    def buckets(self) -> list:
        """[(duration in ns, how many values), ...] in ascending order: the upper edge of every bucket that holds any.

        `record_many` of each pair makes a recorder with the same percentiles.
        """
        cdef LatencyHistogram* histogram = self._histogram.get()
        cdef size_t i
        pairs = []
        for i in range(kLatencyBuckets):
            if histogram.bucket_values(i):
                pairs.append((histogram.bucket_edge_ns(i), histogram.bucket_values(i)))
        return pairs

    def merge(self, LatencyRecorder other not None) -> None:
        """Adds everything `other` has recorded."""
        self._histogram.get().merge(other._histogram.get()[0])

    def reset(self) -> None:
        self._histogram.get().reset()
