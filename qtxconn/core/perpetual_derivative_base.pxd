# Base of perpetual-futures exchanges.

from qtxconn.core.connector_base cimport ConnectorBase


cdef class PerpetualDerivativeBase(ConnectorBase):
    cdef dict _positions            # pair, in hedge mode with the side -> Position
    cdef dict _funding              # pair -> FundingInfo
    cdef dict _leverage             # pair -> int
    cdef readonly object _position_mode
    cdef dict _booked_funding       # payment id -> its time, of the last hour
    cdef double _funding_booked_s   # time of the newest booked payment; -1 before the first connect()
    cdef double _funding_since_s    # venue time of the first connect(): earlier payments are not told
