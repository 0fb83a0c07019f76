"""Conversion between decimal.Decimal and the exact C decimals of include/qtxconn/fixed.hpp."""


from decimal import Context, Decimal

from qtxconn.errors import AmountError


cdef object _Decimal = Decimal      # C globals: looked up without a dictionary
# As Decimal(text), without what calling a class costs; more digits than a Fixed has are never rounded.
cdef object _create_decimal = Context(prec=40).create_decimal


cdef extern from "Python.h":
    str PyObject_Str(object value)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    str PyUnicode_FromStringAndSize(const char* text, Py_ssize_t size)


cdef object _refused(object value, FixedError error):
    if error == FixedError.overflow:
        return AmountError(f"{value!r} has more than 18 digits or decimals and cannot be held exactly")
    return AmountError(f"{value!r} is not a decimal number")


cdef Fixed fixed_from(object value) except *:
    cdef Fixed result
    cdef Py_ssize_t size = 0
    cdef const char* text
    cdef FixedError error
    if not isinstance(value, str):
        if type(value) is not _Decimal and (not isinstance(value, (Decimal, int)) or isinstance(value, bool)):
            raise AmountError(f"{value!r} is a {type(value).__name__}; pass a Decimal, an int or decimal text, "
                              "which are exact")
        value = PyObject_Str(value)     # not by the name `str`, which is looked up and called
    try:
        text = PyUnicode_AsUTF8AndSize(value, &size)
    except UnicodeEncodeError:
        raise _refused(value, FixedError.syntax) from None
    error = parse_fixed(text, <size_t>size, result)
    if error != FixedError.ok:
        raise _refused(value, error)
    return result


cdef str fixed_to_text(Fixed value):
    cdef char text[32]
    cdef size_t size = format_fixed(value, text)
    return PyUnicode_FromStringAndSize(text, <Py_ssize_t>size)


cdef object fixed_to_decimal(Fixed value):
    return _create_decimal(fixed_to_text(value))


cdef Fixed fixed_checked(FixedError error, Fixed value) except *:
    if error != FixedError.ok:
        raise AmountError("the result has more than 18 digits or decimals and cannot be held exactly")
    return value


def decimal_round_trip(value):
    """The value as the core holds it: exact, without trailing zeros. Raises AmountError where it cannot be held."""
    return fixed_to_decimal(fixed_from(value))


def quantize_decimal(value, increment, str rounding):
    """`value` on the grid of `increment`; rounding is "down", "up", "floor" or "ceiling"."""
    cdef Fixed result
    cdef Rounding mode
    if rounding == "down":
        mode = Rounding.down
    elif rounding == "up":
        mode = Rounding.up
    elif rounding == "floor":
        mode = Rounding.floor
    elif rounding == "ceiling":
        mode = Rounding.ceiling
    else:
        raise ValueError(f"rounding {rounding!r} is none of down, up, floor, ceiling")
    cdef FixedError error = quantize(fixed_from(value), fixed_from(increment), mode, result)
    if error == FixedError.syntax:
        raise AmountError(f"the increment must be positive, not {increment!r}")
    return fixed_to_decimal(fixed_checked(error, result))
