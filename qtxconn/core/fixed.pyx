"""Conversion between decimal.Decimal and the exact C decimals of include/qtxconn/fixed.hpp."""


from decimal import Context, Decimal

from qtxconn.errors import AmountError


cdef object _Decimal = Decimal      # C globals: looked up without a dictionary
# As Decimal(text), without what calling a class costs; more digits than a Fixed has are never rounded.
cdef object _create_decimal = Context(prec=40).create_decimal


cdef extern from *:
    """
    // The inside of a decimal.Decimal of CPython's _decimal module, which has no C functions: to read a value by way of
    // its text takes ten times as long. From `flags` to `coefficient` it is libmpdec's mpd_t, in words of 19 digits.
    // Whether it is so is tried out at import.
    struct DecimalInside {
        PyObject_HEAD
        Py_hash_t hash;
        uint8_t flags;
        Py_ssize_t exponent, digits, words, words_allocated;
        const uint64_t* coefficient;
        uint64_t small_coefficient[4];
    };

    // False for what is not a number of one word, kept inside, with decimals as a Fixed has them. `value` must have the
    // size of a DecimalInside.
    static bool read_decimal(PyObject* value, qtxconn::Fixed& out) {
        const DecimalInside* inside = reinterpret_cast<const DecimalInside*>(value);
        const bool is_number = (inside->flags & 14) == 0;  // the others are infinity and NaN
        if (!is_number || inside->words != 1 || inside->coefficient != inside->small_coefficient ||
            inside->exponent > 0 || inside->exponent < -qtxconn::kFixedScaleMax ||
            inside->small_coefficient[0] > INT64_MAX) {
            return false;
        }
        int64_t units = static_cast<int64_t>(inside->small_coefficient[0]);
        int32_t scale = static_cast<int32_t>(-inside->exponent);
        for (; scale > 0 && units % 10 == 0; --scale) {
            units /= 10;
        }
        out = qtxconn::Fixed{(inside->flags & 1) != 0 ? -units : units, scale};
        return true;
    }
    """
    cbool read_decimal(object value, Fixed& out)
    const size_t kDecimalSize "sizeof(DecimalInside)"


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
    if _reads_decimals and type(value) is _Decimal and read_decimal(value, result):
        return result
    return _fixed_from_text(value)


cdef Fixed _fixed_from_text(object value) except *:
    cdef Fixed result
    cdef Py_ssize_t size = 0
    cdef const char* text
    cdef FixedError error
    if not isinstance(value, str):
        if not isinstance(value, (Decimal, int)) or isinstance(value, bool):
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


cdef bint _try_reading_decimals() except -1:
    """Whether what read_decimal() makes of numbers is what their text says, and of others nothing."""
    cdef Fixed read, told
    if _Decimal.__basicsize__ != kDecimalSize:
        return False
    for text in ("0", "7", "-12.50", "1e-18", "9223372036854775807"):
        told = _fixed_from_text(text)
        if not read_decimal(_Decimal(text), read) or read.units != told.units or read.scale != told.scale:
            return False
    for text in ("NaN", "sNaN", "Infinity", "-Infinity", "9223372036854775808", "1e-19"):
        if read_decimal(_Decimal(text), read):
            return False
    return True


cdef bint _reads_decimals = _try_reading_decimals()


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
