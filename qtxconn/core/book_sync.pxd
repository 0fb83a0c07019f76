# The rule of chained ids, for a scanner that has a diff as counts.

from libc.stdint cimport int64_t

from qtxconn.core.l2_book cimport BookLevel
from qtxconn.core.order_book cimport OrderBook

cdef enum:
    NO_ID = -1


cdef class BookSync:
    cdef readonly OrderBook book
    cdef readonly object gaps
    cdef readonly object outdated     # diffs that repeated what was known
    cdef object _kept                 # deque of DepthDiff
    cdef int64_t _last_id             # NO_ID: waits for a snapshot
    cdef bint _is_snapshot_only       # the first diff has yet to reach over the snapshot

    # Takes a diff (levels as ticks and lots of `book`) if it simply continues the chain, as nearly all do. False: it
    # does not, and nothing was done; process_diff() decides what it is.
    cdef bint c_process_levels(
        self, int64_t last_id, int64_t prev_id, const BookLevel* bids, size_t bid_count, const BookLevel* asks,
        size_t ask_count, int64_t received_ns
    ) except -1
    cdef object _keep(self, object diff)
    cdef object _apply(self, object diff)
    cdef void _check(self) noexcept
