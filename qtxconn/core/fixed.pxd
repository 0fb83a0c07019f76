# Exact decimals in C (include/qtxconn/fixed.hpp) and their conversion to and from decimal.Decimal.

from libc.stdint cimport int32_t, int64_t
from libcpp cimport bool as cbool


cdef extern from "qtxconn/fixed.hpp" namespace "qtxconn" nogil:
    cdef cppclass Fixed:
        int64_t units
        int32_t scale

    cdef enum class FixedError(unsigned char):
        ok
        syntax
        overflow
        inexact

    cdef enum class Rounding(unsigned char):
        down
        up
        floor
        ceiling

    const size_t kFixedTextMax
    FixedError parse_fixed(const char* text, size_t size, Fixed& out) noexcept
    size_t format_fixed(Fixed value, char* out) noexcept
    FixedError add(Fixed a, Fixed b, Fixed& out) noexcept
    FixedError subtract(Fixed a, Fixed b, Fixed& out) noexcept
    FixedError multiply(Fixed a, Fixed b, Fixed& out) noexcept
    FixedError quantize(Fixed value, Fixed increment, Rounding rounding, Fixed& out) noexcept
    FixedError to_increments(Fixed value, Fixed increment, Rounding rounding, int64_t& out) noexcept
    FixedError from_increments(int64_t count, Fixed increment, Fixed& out) noexcept
    int compare(Fixed a, Fixed b) noexcept
    double to_double(Fixed value) noexcept


cdef Fixed fixed_from(object value) except *      # Decimal, int or decimal text; AmountError for anything else
cdef object fixed_to_decimal(Fixed value)         # decimal.Decimal
cdef str fixed_to_text(Fixed value)               # plain decimal text, no exponent
cdef Fixed fixed_checked(FixedError error, Fixed value) except *   # value, or AmountError
