# The sockets of a feed and what they carry.

from libc.stdint cimport int64_t
from libcpp.memory cimport unique_ptr

from qtxconn.core.order_book cimport OrderBook
from qtxconn.qtx.feed_core cimport Feed, FeedOptions, Liveness, LivenessLimits


cdef class FeedLink:
    cdef:
        readonly str host
        readonly int port
        readonly dict sockets           # socket number -> _Socket
        unique_ptr[Feed] _feed
        unique_ptr[Liveness] _liveness
        str _ip
        tuple _multicast                # (group, port, interface) or None
        int _data_socket                # of the multicast group; -1: data comes where it was asked for
        int _receive_buffer_bytes
        int _symbols_per_socket
        dict _roomy                     # those of the sockets that carry fewer than symbols_per_socket

    cdef int c_init(self, const FeedOptions& options, const LivenessLimits& limits) except -1
    cdef Feed* c_feed(self) noexcept nogil
