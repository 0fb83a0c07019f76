// Fixed against a model in __int128: exact or an error, never wrapped or rounded unasked.
#include "qtxconn/fixed.hpp"

#include <random>
#include <string>
#include <string_view>

#include "check.hpp"

using namespace qtxconn;

namespace {

std::mt19937_64 rng(20240808);

Fixed parse(std::string_view text) {
    Fixed value;
    CHECK(parse_fixed(text.data(), text.size(), value) == FixedError::ok);
    return value;
}

FixedError parse_error(std::string_view text) {
    Fixed value{7, 3};
    const FixedError error = parse_fixed(text.data(), text.size(), value);
    CHECK(error == FixedError::ok || (value.units == 7 && value.scale == 3));  // an error writes nothing
    return error;
}

std::string format(Fixed value) {
    char text[kFixedTextMax];
    const std::size_t size = format_fixed(value, text);
    CHECK(size <= kFixedTextMax);
    return {text, size};
}

// A normalised value of any magnitude and scale.
Fixed random_fixed() {
    const int digits = static_cast<int>(rng() % 19) + 1;
    std::int64_t units = static_cast<std::int64_t>(rng() % static_cast<std::uint64_t>(detail::kPow10[digits - 1])) + 1;
    if (rng() % 8 == 0) {
        units = INT64_MAX - static_cast<std::int64_t>(rng() % 3);
    }
    Fixed value;
    const auto scale = static_cast<std::int32_t>(rng() % 19);
    CHECK(detail::narrow(rng() % 2 == 0 ? units : -units, scale, value) == FixedError::ok);
    return value;
}

bool fits(int128 wide, std::int32_t scale) {
    while (scale > 0 && wide % 10 == 0) {
        wide /= 10;
        --scale;
    }
    return scale <= 18 && wide <= INT64_MAX && wide >= -static_cast<int128>(INT64_MAX);
}

void parse_reads_decimal_text_and_nothing_else() {
    struct Case {
        const char* text;
        std::int64_t units;
        std::int32_t scale;
    };
    for (const Case& c :
         {Case{"-12.50", -125, 1}, Case{"+3", 3, 0}, Case{".5", 5, 1}, Case{"1e-8", 1, 8}, Case{"1E+3", 1000, 0},
          Case{"0", 0, 0}, Case{"-0.000", 0, 0}, Case{"000120.0300", 12003, 2}, Case{"1.", 1, 0}, Case{"10e-19", 1, 18},
          Case{"0e60", 0, 0}, Case{"5e18", 5000000000000000000, 0}, Case{"9223372036854775807", INT64_MAX, 0},
          Case{"-9223372036854775807", -INT64_MAX, 0}, Case{"9.223372036854775807", INT64_MAX, 18},
          Case{"0.000000000000000001", 1, 18}}) {
        const Fixed value = parse(c.text);
        CHECK(value.units == c.units);
        CHECK(value.scale == c.scale);
    }
    for (const char* text :
         {"",    "-",    "+",   ".",   "-.",  "e5",        "1e",  "1e+", "1e5.0", "1.2.3", " 1",      "1 ",
          "1,5", "0x10", "NaN", "nan", "inf", "-Infinity", "1_0", "--1", "+-1",   "1e--3", "\xd9\xa1"}) {
        CHECK(parse_error(text) == FixedError::syntax);
    }
    for (const char* text : {"9223372036854775808", "-9223372036854775808", "1e19", "1e-19", "0.0000000000000000001",
                             "99999999999999999999", "1e99999999999999999999", "1e-99999999999999999999",
                             "9.2233720368547758071", "123456789012345678.12"}) {
        CHECK(parse_error(text) == FixedError::overflow);
    }
    CHECK(parse_error(std::string(100000, '9')) == FixedError::overflow);
    CHECK(parse_error(std::string(100000, '0') + "1") == FixedError::overflow);
    CHECK(parse_error(std::string_view("1\0", 2)) == FixedError::syntax);
}

void parse_undoes_format_for_every_value() {
    for (int i = 0; i < 200000; ++i) {
        const Fixed value = random_fixed();
        const Fixed back = parse(format(value));
        CHECK(back.units == value.units && back.scale == value.scale);
    }
    CHECK(format(Fixed{-INT64_MAX, 18}) == "-9.223372036854775807");
    CHECK(format(Fixed{-1, 18}) == "-0.000000000000000001");
    CHECK(format(Fixed{}) == "0");
}

void arithmetic_is_exact_or_overflow() {
    for (int i = 0; i < 300000; ++i) {
        const Fixed a = random_fixed();
        const Fixed b = random_fixed();
        const std::int32_t scale = a.scale > b.scale ? a.scale : b.scale;
        const int128 left = static_cast<int128>(a.units) * detail::kPow10[scale - a.scale];
        const int128 right = static_cast<int128>(b.units) * detail::kPow10[scale - b.scale];
        Fixed out;
        const bool sum_ok = add(a, b, out) == FixedError::ok;
        CHECK(sum_ok == fits(left + right, scale));
        CHECK(!sum_ok || units_at(out, scale) == left + right);
        const bool difference_ok = subtract(a, b, out) == FixedError::ok;
        CHECK(difference_ok == fits(left - right, scale));
        CHECK(!difference_ok || units_at(out, scale) == left - right);
        const int128 product = static_cast<int128>(a.units) * b.units;
        const bool product_ok = multiply(a, b, out) == FixedError::ok;
        CHECK(product_ok == fits(product, a.scale + b.scale));
        if (product_ok) {
            int128 wide = out.units;
            for (std::int32_t s = out.scale; s < a.scale + b.scale; ++s) {
                wide *= 10;
            }
            CHECK(wide == product);
        }
        CHECK(compare(a, b) == (left < right ? -1 : left > right ? 1 : 0));
        CHECK(compare(a, b) == -compare(b, a));
        CHECK((a == b) == (a.units == b.units && a.scale == b.scale));  // normalised: equal means same fields
    }
    Fixed out{5, 1};
    CHECK(add(Fixed{INT64_MAX, 0}, Fixed{1, 0}, out) == FixedError::overflow);
    CHECK(subtract(Fixed{-INT64_MAX, 0}, Fixed{1, 0}, out) == FixedError::overflow);
    CHECK(multiply(Fixed{INT64_MAX, 0}, Fixed{2, 0}, out) == FixedError::overflow);
    CHECK(multiply(Fixed{1, 10}, Fixed{1, 9}, out) == FixedError::overflow);  // 19 decimals
    CHECK(multiply(Fixed{5, 10}, Fixed{2, 9}, out) == FixedError::ok);        // 1e-18
    CHECK(out.units == 1 && out.scale == 18);
}

void rounding_goes_where_its_name_says() {
    const auto rounded = [](const char* value, const char* increment, Rounding mode) {
        Fixed out;
        CHECK(quantize(parse(value), parse(increment), mode, out) == FixedError::ok);
        return format(out);
    };
    CHECK(rounded("1.27", "0.05", Rounding::down) == "1.25");
    CHECK(rounded("1.27", "0.05", Rounding::up) == "1.3");
    CHECK(rounded("1.27", "0.05", Rounding::floor) == "1.25");
    CHECK(rounded("1.27", "0.05", Rounding::ceiling) == "1.3");
    CHECK(rounded("-1.27", "0.05", Rounding::down) == "-1.25");
    CHECK(rounded("-1.27", "0.05", Rounding::up) == "-1.3");
    CHECK(rounded("-1.27", "0.05", Rounding::floor) == "-1.3");
    CHECK(rounded("-1.27", "0.05", Rounding::ceiling) == "-1.25");
    for (const Rounding mode : {Rounding::down, Rounding::up, Rounding::floor, Rounding::ceiling}) {
        CHECK(rounded("60000.1", "0.1", mode) == "60000.1");  // on the grid nothing moves
        CHECK(rounded("-60000.1", "0.1", mode) == "-60000.1");
        CHECK(rounded("0", "0.1", mode) == "0");
    }
    std::int64_t count = 0;
    CHECK(to_increments(parse("1"), Fixed{}, Rounding::down, count) == FixedError::syntax);
    CHECK(to_increments(parse("1"), parse("-0.1"), Rounding::down, count) == FixedError::syntax);
    CHECK(to_increments(parse("9223372036854775807"), parse("0.1"), Rounding::down, count) == FixedError::overflow);
    Fixed out;
    CHECK(quantize(parse("9223372036854775807"), parse("2"), Rounding::up, out) == FixedError::overflow);
}

void rounding_agrees_with_floor_division() {
    for (int i = 0; i < 200000; ++i) {
        const Fixed value = random_fixed();
        Fixed increment = random_fixed();
        increment.units = increment.units < 0 ? -increment.units : increment.units;
        const std::int32_t scale = value.scale > increment.scale ? value.scale : increment.scale;
        const int128 number = units_at(value, scale);
        const int128 divisor = units_at(increment, scale);
        int128 floored = number / divisor - (number % divisor < 0 ? 1 : 0);
        const int128 ceiled = floored + (number % divisor != 0 ? 1 : 0);
        for (const Rounding mode : {Rounding::down, Rounding::up, Rounding::floor, Rounding::ceiling}) {
            const bool low = mode == Rounding::floor || (mode == Rounding::down && number > 0) ||
                             (mode == Rounding::up && number < 0);
            const int128 wanted = low ? floored : ceiled;
            std::int64_t count = 0;
            const FixedError error = to_increments(value, increment, mode, count);
            if (wanted > INT64_MAX || wanted < -static_cast<int128>(INT64_MAX)) {
                CHECK(error == FixedError::overflow);
            } else {
                CHECK(error == (number % divisor == 0 ? FixedError::ok : FixedError::inexact));
                CHECK(count == wanted);
            }
        }
    }
}

}  // namespace

int main() {
    parse_reads_decimal_text_and_nothing_else();
    parse_undoes_format_for_every_value();
    arithmetic_is_exact_or_overflow();
    rounding_goes_where_its_name_says();
    rounding_agrees_with_floor_division();
    return 0;
}
