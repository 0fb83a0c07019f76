# Base of perpetual-futures exchanges.

from qtxconn.core.connector_base cimport ConnectorBase


cdef class PerpetualDerivativeBase(ConnectorBase):
    cdef dict _positions            # pair -> Position (one-way mode)
    cdef dict _funding              # pair -> FundingInfo
    cdef dict _leverage             # pair -> int
    cdef readonly object _position_mode
