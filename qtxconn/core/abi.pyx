"""The number of the binary interface that the installed package was built with."""


cdef int abi_version() noexcept nogil:
    return QTXCONN_ABI
