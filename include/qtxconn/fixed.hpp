// Exact decimal numbers: an int64 count of units of 10^-scale. Every operation is exact or reports an error.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qtxconn {

__extension__ typedef __int128 int128;

// value = units * 10^-scale, with scale 0..18 and |units| <= 9'223'372'036'854'775'807: 18 significant digits always
// fit. 60000.10 BTC-USDT, a tick of 0.0000000001 and 92 billion units of a token are all exact. Results that need more
// are FixedError::overflow, never a wrapped or rounded number. Parsing and arithmetic drop trailing zeros, so equal
// values have equal fields.
struct Fixed {
    std::int64_t units = 0;
    std::int32_t scale = 0;
};

enum class FixedError : std::uint8_t {
    ok = 0,
    syntax = 1,    // not a decimal number
    overflow = 2,  // more digits than fit
    inexact = 3,   // not a multiple of the unit asked for
};

// How a price or an amount is brought onto its grid. Never implied: every call names one.
enum class Rounding : std::uint8_t {
    down = 0,     // towards zero
    up = 1,       // away from zero
    floor = 2,    // towards minus infinity: passive for a buy price, aggressive for a sell price
    ceiling = 3,  // towards plus infinity: aggressive for a buy price, passive for a sell price
};

constexpr std::int32_t kFixedScaleMax = 18;
constexpr std::size_t kFixedTextMax = 22;  // sign, 19 digits, point, leading zero

namespace detail {

constexpr std::int64_t kPow10[19] = {1LL,
                                     10LL,
                                     100LL,
                                     1000LL,
                                     10000LL,
                                     100000LL,
                                     1000000LL,
                                     10000000LL,
                                     100000000LL,
                                     1000000000LL,
                                     10000000000LL,
                                     100000000000LL,
                                     1000000000000LL,
                                     10000000000000LL,
                                     100000000000000LL,
                                     1000000000000000LL,
                                     10000000000000000LL,
                                     100000000000000000LL,
                                     1000000000000000000LL};

constexpr int128 kInt64Max = static_cast<int128>(INT64_MAX);

// Drops trailing zeros, then narrows. |wide| must be below 2^127 / 10.
inline FixedError narrow(int128 wide, std::int32_t scale, Fixed& out) noexcept {
    while (scale > 0 && (scale > kFixedScaleMax || wide % 10 == 0)) {
        if (wide % 10 != 0) {
            return FixedError::overflow;
        }
        wide /= 10;
        --scale;
    }
    if (wide > kInt64Max || wide < -kInt64Max) {
        return FixedError::overflow;
    }
    out.units = static_cast<std::int64_t>(wide);
    out.scale = scale;
    return FixedError::ok;
}

}  // namespace detail

// Units of `value` at `scale`, as 128 bits; exact for every valid Fixed and scale 0..18 not below value.scale.
inline int128 units_at(Fixed value, std::int32_t scale) noexcept {
    return static_cast<int128>(value.units) * detail::kPow10[scale - value.scale];
}

namespace detail {

// Brings both to the larger scale, if that fits 64 bits: it nearly always does.
inline bool to_common_scale(Fixed& a, Fixed& b) noexcept {
    if (a.scale < b.scale) {
        const bool overflow = __builtin_mul_overflow(a.units, kPow10[b.scale - a.scale], &a.units);
        a.scale = b.scale;
        return !overflow;
    }
    const bool overflow = __builtin_mul_overflow(b.units, kPow10[a.scale - b.scale], &b.units);
    b.scale = a.scale;
    return !overflow;
}

}  // namespace detail

inline int compare(Fixed a, Fixed b) noexcept {
    Fixed left = a;
    Fixed right = b;
    if (detail::to_common_scale(left, right)) {
        return left.units < right.units ? -1 : (left.units > right.units ? 1 : 0);
    }
    const std::int32_t scale = a.scale > b.scale ? a.scale : b.scale;
    const int128 wide_left = units_at(a, scale);
    const int128 wide_right = units_at(b, scale);
    return wide_left < wide_right ? -1 : (wide_left > wide_right ? 1 : 0);
}

inline bool operator==(Fixed a, Fixed b) noexcept { return compare(a, b) == 0; }
inline bool operator!=(Fixed a, Fixed b) noexcept { return compare(a, b) != 0; }
inline bool operator<(Fixed a, Fixed b) noexcept { return compare(a, b) < 0; }
inline bool operator>(Fixed a, Fixed b) noexcept { return compare(a, b) > 0; }
inline bool operator<=(Fixed a, Fixed b) noexcept { return compare(a, b) <= 0; }
inline bool operator>=(Fixed a, Fixed b) noexcept { return compare(a, b) >= 0; }

inline FixedError add(Fixed a, Fixed b, Fixed& out) noexcept {
    Fixed left = a;
    Fixed right = b;
    std::int64_t units = 0;
    if (detail::to_common_scale(left, right) && !__builtin_add_overflow(left.units, right.units, &units) &&
        units != INT64_MIN) {
        std::int32_t scale = left.scale;
        for (; scale > 0 && units % 10 == 0; --scale) {
            units /= 10;
        }
        out = Fixed{units, scale};
        return FixedError::ok;
    }
    const std::int32_t scale = a.scale > b.scale ? a.scale : b.scale;
    return detail::narrow(units_at(a, scale) + units_at(b, scale), scale, out);
}

inline FixedError subtract(Fixed a, Fixed b, Fixed& out) noexcept { return add(a, Fixed{-b.units, b.scale}, out); }

inline FixedError multiply(Fixed a, Fixed b, Fixed& out) noexcept {
    return detail::narrow(static_cast<int128>(a.units) * b.units, a.scale + b.scale, out);
}

// `count` units of `increment` (ticks to a price, lots to an amount).
inline FixedError from_increments(std::int64_t count, Fixed increment, Fixed& out) noexcept {
    return detail::narrow(static_cast<int128>(count) * increment.units, increment.scale, out);
}

namespace detail {

// The whole multiple of `divisor` (> 0) next to `number` in the direction asked for, as a count.
inline int128 rounded_quotient(int128 number, int128 divisor, Rounding rounding) noexcept {
    const int128 quotient = number / divisor;
    if (number % divisor == 0) {
        return quotient;
    }
    const bool negative = number < 0;
    const bool away = rounding == Rounding::up || (rounding == Rounding::floor && negative) ||
                      (rounding == Rounding::ceiling && !negative);
    return away ? quotient + (negative ? -1 : 1) : quotient;
}

}  // namespace detail

// How many times `increment` (> 0) fits into `value`; FixedError::inexact leaves the count rounded as asked in `out`.
inline FixedError to_increments(Fixed value, Fixed increment, Rounding rounding, std::int64_t& out) noexcept {
    if (increment.units <= 0) {
        return FixedError::syntax;
    }
    const std::int32_t scale = value.scale > increment.scale ? value.scale : increment.scale;
    const int128 number = units_at(value, scale);
    const int128 divisor = units_at(increment, scale);
    const int128 count = detail::rounded_quotient(number, divisor, rounding);
    if (count > detail::kInt64Max || count < -detail::kInt64Max) {
        return FixedError::overflow;
    }
    out = static_cast<std::int64_t>(count);
    return number % divisor == 0 ? FixedError::ok : FixedError::inexact;
}

// Brings `value` onto the grid of `increment` (> 0).
inline FixedError quantize(Fixed value, Fixed increment, Rounding rounding, Fixed& out) noexcept {
    if (increment.units <= 0) {
        return FixedError::syntax;
    }
    const std::int32_t scale = value.scale > increment.scale ? value.scale : increment.scale;
    const int128 divisor = units_at(increment, scale);
    return detail::narrow(detail::rounded_quotient(units_at(value, scale), divisor, rounding) * divisor, scale, out);
}

namespace detail {

// Digits with at most one point, too few to overflow: what nearly every text is. False for all others.
inline bool parse_plain(const char* text, std::size_t size, Fixed& out) noexcept {
    if (size > 18) {
        return false;
    }
    std::int64_t units = 0;
    std::size_t decimals_from = size + 1;  // none
    for (std::size_t i = 0; i < size; ++i) {
        const unsigned digit = static_cast<unsigned char>(text[i]) - unsigned{'0'};
        if (digit <= 9) {
            units = units * 10 + static_cast<std::int64_t>(digit);
        } else if (text[i] == '.' && decimals_from > size) {
            decimals_from = i + 1;
        } else {
            return false;
        }
    }
    if (size == 0 || (size == 1 && decimals_from == 1)) {
        return false;
    }
    auto scale = static_cast<std::int32_t>(decimals_from > size ? 0 : size - decimals_from);
    for (; scale > 0 && units % 10 == 0; --scale) {
        units /= 10;
    }
    out = Fixed{units, scale};
    return true;
}

}  // namespace detail

// Reads "-12.50", "+3", ".5", "1e-8", "1E+3". Nothing else: no blanks, no NaN, no infinity, no separators.
inline FixedError parse_fixed(const char* text, std::size_t size, Fixed& out) noexcept {
    if (detail::parse_plain(text, size, out)) {
        return FixedError::ok;
    }
    std::size_t i = 0;
    bool negative = false;
    if (i < size && (text[i] == '-' || text[i] == '+')) {
        negative = text[i] == '-';
        ++i;
    }
    std::int64_t units = 0;
    std::int32_t scale = 0;
    std::int32_t zeros = 0;  // trailing zeros seen but not yet taken in: they need no digits if nothing follows
    bool digits = false;
    bool point = false;
    for (; i < size; ++i) {
        const char c = text[i];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9') {
            break;
        }
        digits = true;
        if (point) {
            ++scale;
        }
        if (c == '0') {
            ++zeros;
            if (zeros > 64) {
                return FixedError::overflow;
            }
            continue;
        }
        for (std::int32_t z = 0; z <= zeros; ++z) {
            if (units > INT64_MAX / 10) {
                return FixedError::overflow;
            }
            units *= 10;
        }
        zeros = 0;
        const std::int64_t digit = c - '0';
        if (units > INT64_MAX - digit) {
            return FixedError::overflow;
        }
        units += digit;
    }
    if (!digits) {
        return FixedError::syntax;
    }
    scale -= zeros;  // the pending zeros are not part of `units`
    if (i < size && (text[i] == 'e' || text[i] == 'E')) {
        ++i;
        bool exponent_negative = false;
        if (i < size && (text[i] == '-' || text[i] == '+')) {
            exponent_negative = text[i] == '-';
            ++i;
        }
        if (i == size) {
            return FixedError::syntax;
        }
        std::int32_t exponent = 0;
        for (; i < size; ++i) {
            if (text[i] < '0' || text[i] > '9') {
                return FixedError::syntax;
            }
            exponent = exponent * 10 + (text[i] - '0');
            if (exponent > 64) {
                return FixedError::overflow;
            }
        }
        scale += exponent_negative ? exponent : -exponent;
    }
    if (i != size) {
        return FixedError::syntax;
    }
    if (units == 0) {
        out = Fixed{};
        return FixedError::ok;
    }
    for (; scale < 0; ++scale) {
        if (units > INT64_MAX / 10) {
            return FixedError::overflow;
        }
        units *= 10;
    }
    if (scale > kFixedScaleMax) {
        return FixedError::overflow;
    }
    return detail::narrow(negative ? -static_cast<int128>(units) : static_cast<int128>(units), scale, out);
}

// Writes plain decimal text ("60000.1", "-0.05") without a terminator; returns its length. `out` holds kFixedTextMax.
inline std::size_t format_fixed(Fixed value, char* out) noexcept {
    char reversed[kFixedTextMax] = {};
    std::size_t count = 0;
    std::uint64_t rest =
        value.units < 0 ? 0 - static_cast<std::uint64_t>(value.units) : static_cast<std::uint64_t>(value.units);
    std::int32_t position = 0;
    do {
        if (position == value.scale && position > 0) {
            reversed[count++] = '.';
        }
        reversed[count++] = static_cast<char>('0' + rest % 10);
        rest /= 10;
        ++position;
    } while (rest != 0 || position <= value.scale);
    std::size_t size = 0;
    if (value.units < 0) {
        out[size++] = '-';
    }
    while (count > 0) {
        out[size++] = reversed[--count];
    }
    return size;
}

// Nearest double, for display and for wires that carry doubles. Never for accounting.
inline double to_double(Fixed value) noexcept {
    return static_cast<double>(value.units) / static_cast<double>(detail::kPow10[value.scale]);
}

}  // namespace qtxconn
