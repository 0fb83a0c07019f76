# Where client order ids come from.

from libc.stdint cimport uint32_t, uint64_t
from libcpp.memory cimport unique_ptr

from qtxconn.core.clock cimport Clock


cdef extern from "qtxconn/order_id.hpp" namespace "qtxconn" nogil:
    const uint64_t kOrderIdEpochS
    const uint32_t kOrderIdInstanceMax
    const int kOrderIdCounterBits
    const int kOrderIdInstanceBits

    cdef cppclass OrderIdSource:
        OrderIdSource(uint32_t instance, uint64_t first_second) noexcept
        uint64_t next(uint64_t now_s) noexcept
        void raise_above(uint64_t id) noexcept
        uint64_t high_water_s() noexcept


cdef class ClientIdSource:
    cdef readonly int instance          # unlike any other process's
    cdef int _lease                     # descriptor of the locked lease file
    cdef int _owner_pid
    cdef object _directory
    cdef object _wanted                 # the instance asked for, or None
    cdef int _instance_max
    cdef uint64_t _used_max             # of what the lease file keeps
    cdef uint64_t _reserved             # what it keeps: ids up to it may have been used

    cdef uint64_t c_next(self) except 0
    cdef int _lease_from(self, object directory, object instance, int instance_max, uint64_t used_max) except -1
    cdef int _acquire(self) except -1
    cdef void _let_go(self) noexcept
    cdef int _hold_lease(self) except -1
    cdef int _start_above(self, uint64_t used) except -1
    cdef int _reserve(self, uint64_t used) except -1


cdef class ClientIds(ClientIdSource):
    cdef unique_ptr[OrderIdSource] _source
    cdef Clock _clock


cdef class NumericClientIds(ClientIdSource):
    cdef uint64_t _counter              # the last one drawn
    cdef int _counter_bits
