// Decimal text from a wire: whatever parse_fixed accepts is in range, right, and comes back the same.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "qtxconn/fixed.hpp"

namespace {

using namespace qtxconn;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

bool in_range(Fixed value) { return value.scale >= 0 && value.scale <= kFixedScaleMax && value.units != INT64_MIN; }

// The parser's value beside the C library's, which rounds to a long double.
void check_value(const std::string& text, Fixed value) {
    const long double near = std::strtold(text.c_str(), nullptr);
    const long double got = static_cast<long double>(value.units) / std::pow(10.0L, value.scale);
    require(std::fabs(near - got) <= std::fabs(near) * 1e-17L);
}

void check_text(Fixed value) {
    char text[kFixedTextMax];
    const std::size_t size = format_fixed(value, text);
    require(size > 0 && size <= kFixedTextMax);
    Fixed again;
    require(parse_fixed(text, size, again) == FixedError::ok);
    require(again.units == value.units && again.scale == value.scale);
}

// On the grid, and less than one increment away.
void check_grid(Fixed value, Fixed increment) {
    for (const Rounding rounding : {Rounding::down, Rounding::up, Rounding::floor, Rounding::ceiling}) {
        Fixed rounded;
        if (quantize(value, increment, rounding, rounded) != FixedError::ok) {
            continue;
        }
        require(in_range(rounded));
        std::int64_t count = 0;
        const FixedError error = to_increments(rounded, increment, Rounding::down, count);
        require(error == FixedError::ok || error == FixedError::overflow);
        Fixed distance;
        if (subtract(value, rounded, distance) == FixedError::ok) {
            distance.units = distance.units < 0 ? -distance.units : distance.units;
            require(distance < increment);
        }
    }
}

}  // namespace

// The input: a number, and after a line feed another one.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string input(reinterpret_cast<const char*>(data), size);
    const std::size_t cut = input.find('\n');
    const std::string texts[2] = {input.substr(0, cut), cut == std::string::npos ? "1" : input.substr(cut + 1)};
    Fixed values[2];
    for (int i = 0; i < 2; ++i) {
        const FixedError error = parse_fixed(texts[i].data(), texts[i].size(), values[i]);
        if (error != FixedError::ok) {
            return 0;
        }
        require(in_range(values[i]));
        require(texts[i].find_first_not_of("0123456789.-+eE") == std::string::npos);
        check_value(texts[i], values[i]);
        check_text(values[i]);
    }
    const Fixed a = values[0];
    const Fixed b = values[1];
    Fixed sum;
    Fixed back;
    if (add(a, b, sum) == FixedError::ok && subtract(sum, b, back) == FixedError::ok) {
        require(in_range(sum) && back == a);
    }
    Fixed product;
    if (multiply(a, b, product) == FixedError::ok) {
        Fixed swapped;
        require(in_range(product) && multiply(b, a, swapped) == FixedError::ok && swapped == product);
    }
    require((compare(a, b) < 0) == (compare(b, a) > 0));
    if (b.units > 0) {
        check_grid(a, b);
    }
    return 0;
}
