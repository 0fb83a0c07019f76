# The check that every compiled consumer makes before it uses anything else of this package:
#
#     from qtxconn cimport import_qtxconn
#     import_qtxconn()


cdef extern from "qtxconn/abi.hpp" nogil:
    const int QTXCONN_ABI


cdef int abi_version() noexcept nogil     # of the installed package


# Compiled into the consumer, so QTXCONN_ABI is the number the consumer was built with.
cdef inline int import_qtxconn() except -1:
    if abi_version() != QTXCONN_ABI:
        raise ImportError(
            f"this module was built against qtxconn ABI {QTXCONN_ABI} and the installed qtxconn has ABI "
            f"{abi_version()}: rebuild the module against the installed version"
        )
    return 0
