"""From an event of the C++ store to the payload that Python listeners receive: for Cython only."""
