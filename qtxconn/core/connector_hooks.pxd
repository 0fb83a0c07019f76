# What an exchange writes.


cdef class ConnectorHooks:
    pass
