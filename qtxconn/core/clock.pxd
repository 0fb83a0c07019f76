# The one source of time.

from libc.stdint cimport int64_t


cdef extern from "qtxconn/clock.hpp" namespace "qtxconn" nogil:
    int64_t wall_ns() noexcept
    int64_t monotonic_ns() noexcept


cdef class Clock:
    cdef bint _python_now           # a Python subclass gives the time: c_now_ns asks it
    cdef bint _python_monotonic
    cdef int64_t c_now_ns(self) noexcept nogil          # wall time, ns since the Unix epoch
    cdef int64_t c_monotonic_ns(self) noexcept nogil    # for durations
