# Base of spot exchanges.

from qtxconn.core.connector_base cimport ConnectorBase


cdef class SpotExchangeBase(ConnectorBase):
    pass
