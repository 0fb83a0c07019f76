// A cursor over JSON text for readers that know the shape they expect. It gives the right value or none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "qtxconn/fixed.hpp"

namespace qtxconn {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "eight characters are looked at as one little-endian word");

// Every reader returns false for anything but what it names: malformed text, but also what JSON allows and this does
// not take (escapes and non-ASCII in strings, exponents, numbers beyond 18 digits, nesting beyond kDepthMax). After a
// false the scanner is of no further use: the caller gives the text to a full parser. What is accepted is JSON that
// every parser reads the same. Nothing is copied or allocated: strings are views into the text, which must outlive
// them. No byte beyond the end is read.
//
//     JsonScanner json(text);
//     json.object([&](std::string_view key) { return key == "id" ? json.integer(id) : json.skip(); }) && json.end();
class JsonScanner {
public:
    static constexpr int kDepthMax = 16;   // of values that are skipped
    static constexpr int kDigitsMax = 18;  // of a number: what always fits an int64

    explicit JsonScanner(std::string_view text) noexcept : at_(text.data()), end_(text.data() + text.size()) {}

    // -- structure ---------------------------------------------------------------------------------------------

    // An object; `member(key)` must read the value that follows, and stops the scan by returning false.
    template <typename Member>
    bool object(Member member) noexcept {
        if (!take('{')) {
            return false;
        }
        if (take('}')) {
            return true;
        }
        do {
            std::string_view name;
            if (!key(name) || !member(name)) {
                return false;
            }
        } while (take(','));
        return take('}');
    }

    // An array; `element()` must read one value.
    template <typename Element>
    bool array(Element element) noexcept {
        if (!take('[')) {
            return false;
        }
        if (take(']')) {
            return true;
        }
        do {
            if (!element()) {
                return false;
            }
        } while (take(','));
        return take(']');
    }

    // One mark of punctuation, with blanks before it.
    bool take(char mark) noexcept { return take_here(mark) || (skip_blanks() && take_here(mark)); }

    // Nothing but blanks is left.
    bool end() noexcept {
        skip_blanks();
        return at_ == end_;
    }

    // -- values ------------------------------------------------------------------------------------------------

    // A string of ASCII without escapes.
    bool string(std::string_view& out) noexcept {
        if (!take('"')) {
            return false;
        }
        const char* const begin = at_;
        std::uint64_t special = 0;
        while (special == 0 && end_ - at_ >= 8) {
            special = special_characters(load(at_));
            at_ += special == 0 ? 8 : first_of(special);
        }
        while (special == 0 && at_ != end_ && is_plain(*at_)) {
            ++at_;
        }
        out = std::string_view(begin, static_cast<std::size_t>(at_ - begin));
        return take_here('"');
    }

    // A whole number that is not negative.
    bool integer(std::int64_t& out) noexcept {
        skip_blanks();
        const char* const begin = at_;
        std::uint64_t value = 0;
        int count = 0;
        if (!digits(value, count) || count == 0 || (*begin == '0' && count > 1)) {
            return false;
        }
        out = static_cast<std::int64_t>(value);
        return true;
    }

    bool boolean(bool& out) noexcept {
        skip_blanks();
        out = at_ != end_ && *at_ == 't';
        return out ? literal("true") : literal("false");
    }

    bool null() noexcept { return literal("null"); }

    // Decimal text in quotes ("-12.50"), exactly.
    bool decimal(Fixed& out) noexcept { return take('"') && (short_decimal(out) || long_decimal(out)); }

    // How wide the last decimal was, in bits: eight a digit, before and behind the point.
    struct Widths {
        unsigned whole = 8;
        unsigned fraction = 8;
    };

    // A count is worth `step` (> 0). Texts of one column are mostly as wide as the one before, which is tried first.
    struct Increments {
        Fixed step;
        Widths widths;
    };

    // The same as a count of increments, of which it must be a multiple that is not negative.
    bool increments(Fixed step, std::int64_t& out) noexcept {
        Increments column{step, {}};
        return take('"') && units(column, out) && divide(out, step.units);
    }

    // An array of two such counts, as the levels of books are written: ["60000.10","0.002"].
    bool increments_pair(Increments& first, Increments& second, std::int64_t& out_first,
                         std::int64_t& out_second) noexcept {
        return (take_text(R"([")") || (take('[') && take('"'))) && units(first, out_first) &&
               (take_text(R"(,")") || (take(',') && take('"'))) && units(second, out_second) && take(']') &&
               divide(out_first, first.step.units) && divide(out_second, second.step.units);
    }

    // Any value, which is checked all the same.
    bool skip(int depth = kDepthMax) noexcept {
        skip_blanks();
        if (at_ == end_) {
            return false;
        }
        std::string_view ignored;
        switch (*at_) {
            case '"': return string(ignored);
            case '{': return depth > 0 && object([&](std::string_view) { return skip(depth - 1); });
            case '[': return depth > 0 && array([&] { return skip(depth - 1); });
            case 't': return literal("true");
            case 'f': return literal("false");
            case 'n': return literal("null");
            default: return number();
        }
    }

private:
    // -- words of eight characters: the first one is the lowest byte -------------------------------------------

    static constexpr std::uint64_t each(std::uint64_t byte) noexcept { return byte * 0x0101010101010101ULL; }
    static constexpr std::uint64_t kHighBits = 0x8080808080808080ULL;
    static constexpr std::uint64_t kTopBit = 1ULL << 63;

    static std::uint64_t load(const char* from) noexcept {
        std::uint64_t word = 0;
        std::memcpy(&word, from, sizeof word);
        return word;
    }

    // The lowest bit that is set belongs to the first special character; those above may be wrong.
    static int first_of(std::uint64_t marks) noexcept { return __builtin_ctzll(marks) / 8; }

    static std::uint64_t zero_bytes(std::uint64_t word) noexcept { return (word - each(1)) & ~word & kHighBits; }

    // A quote, a backslash, a control character, or no ASCII.
    static std::uint64_t special_characters(std::uint64_t word) noexcept {
        return zero_bytes(word ^ each('"')) | zero_bytes(word ^ each('\\')) | ((word - each(0x20)) & kHighBits) |
               (word & kHighBits);
    }

    // Of a word of digit values 0 to 9, one a byte, the first one weighing most.
    static std::uint64_t eight_digits(std::uint64_t values) noexcept {
        values = values * 10 + (values >> 8);
        constexpr std::uint64_t kPairs = 0x000000FF000000FFULL;
        return ((values & kPairs) * (100 + (1000000ULL << 32)) + ((values >> 16) & kPairs) * (1 + (10000ULL << 32))) >>
               32;
    }

    // The digits' values, and marks on the bytes that are none. Exact up to the first such byte; for ASCII, everywhere.
    static std::uint64_t digit_values(std::uint64_t word, std::uint64_t& others) noexcept {
        word ^= each('0');
        others = ((word + each(0x76)) | word) & kHighBits;
        return word;
    }

    // -- characters --------------------------------------------------------------------------------------------

    static bool is_plain(char c) noexcept {
        const auto code = static_cast<unsigned char>(c);
        return code >= 0x20 && code < 0x80 && c != '"' && c != '\\';
    }
    static bool is_letter(char c) noexcept { return static_cast<unsigned char>((c | 0x20) - 'a') < 26; }
    static bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

    // Whether there was something to skip.
    bool skip_blanks() noexcept {
        if (at_ == end_ || *at_ > ' ') {
            return false;
        }
        const char* const begin = at_;
        while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) {
            ++at_;
        }
        return at_ != begin;
    }

    bool take_here(char c) noexcept {
        if (at_ == end_ || *at_ != c) {
            return false;
        }
        ++at_;
        return true;
    }

    // Two characters without blanks. False, with nothing taken, if there is something else.
    bool take_text(const char (&text)[3]) noexcept {
        if (end_ - at_ < 2 || std::memcmp(at_, text, 2) != 0) {
            return false;
        }
        at_ += 2;
        return true;
    }

    template <std::size_t N>
    bool literal(const char (&word)[N]) noexcept {
        constexpr std::ptrdiff_t kSize = N - 1;
        skip_blanks();
        if (end_ - at_ < kSize || std::memcmp(at_, word, kSize) != 0) {
            return false;
        }
        at_ += kSize;
        return true;
    }

    // The name of a member and the colon. Names of one or two letters are told by a mask, and the next step then waits
    // for a branch that is foretold, not for a length to be found.
    bool key(std::string_view& out) noexcept {
        if (end_ - at_ >= 8) {
            const std::uint64_t word = load(at_);
            if ((word & 0xFFFF00FF) == 0x3A220022 && is_letter(at_[1])) {
                out = std::string_view(at_ + 1, 1);
                at_ += 4;
                return true;
            }
            if ((word & 0xFFFF0000FF) == 0x3A22000022 && is_letter(at_[1]) && is_letter(at_[2])) {
                out = std::string_view(at_ + 1, 2);
                at_ += 5;
                return true;
            }
        }
        return string(out) && take(':');
    }

    // Appends the digits here to `value`, and their number to `count`; none is not an error, too many is.
    bool digits(std::uint64_t& value, int& count) noexcept {
        while (end_ - at_ >= 8) {
            std::uint64_t others = 0;
            const std::uint64_t values = digit_values(load(at_), others);
            const int found = others == 0 ? 8 : first_of(others);
            if (found == 0) {
                return true;
            }
            count += found;
            if (count > kDigitsMax) {
                return false;
            }
            value = value * static_cast<std::uint64_t>(detail::kPow10[found]) + eight_digits(values << 8 * (8 - found));
            at_ += found;
            if (found < 8) {
                return true;
            }
        }
        for (; at_ != end_ && is_digit(*at_); ++at_) {
            if (++count > kDigitsMax) {
                return false;
            }
            value = value * 10 + static_cast<std::uint64_t>(*at_ - '0');
        }
        return true;
    }

    // Decimal text of up to eight characters and its closing quote, as most prices and amounts are, from one word: the
    // point is taken out, and trailing zeros are shifted out. False, with nothing taken, for any other text.
    bool short_decimal(Fixed& out) noexcept {
        if (end_ - at_ < 9) {
            return false;
        }
        const std::uint64_t word = load(at_);
        std::uint64_t others = 0;
        std::uint64_t values = digit_values(word, others);
        if ((word & kHighBits) != 0 || others == 0) {
            return false;
        }
        const int whole = first_of(others);
        int size = whole;
        if (at_[whole] == '.') {
            others &= others - 1;
            size = others == 0 ? 8 : first_of(others);
            const std::uint64_t before = (1ULL << 8 * whole) - 1;
            values = (values & before) | ((values >> 8) & ~before);
        }
        if (whole == 0 || at_[size] != '"' || size == whole + 1) {
            return false;
        }
        int scale = size == whole ? 0 : size - whole - 1;
        values <<= 8 * (8 - whole - scale);
        if (values == 0) {
            scale = 0;
        } else if (const int zeros = __builtin_clzll(values) / 8; zeros != 0 && scale != 0) {
            const int dropped = zeros < scale ? zeros : scale;
            values <<= 8 * dropped;
            scale -= dropped;
        }
        out.units = static_cast<std::int64_t>(eight_digits(values));
        out.scale = scale;
        at_ += size + 1;
        return true;
    }

    // Decimal text of any length behind its opening quote, with its closing one.
    bool long_decimal(Fixed& out) noexcept {
        const bool negative = take_here('-');
        std::uint64_t units = 0;
        int whole = 0;
        if (!digits(units, whole) || whole == 0) {
            return false;
        }
        int count = whole;
        if (take_here('.') && (!digits(units, count) || count == whole)) {
            return false;
        }
        std::int32_t scale = units == 0 ? 0 : count - whole;
        for (; scale > 0 && units % 10 == 0; --scale) {
            units /= 10;
        }
        out.units = negative ? -static_cast<std::int64_t>(units) : static_cast<std::int64_t>(units);
        out.scale = scale;
        return take_here('"');
    }

    // Decimal text behind its opening quote, with its closing one, as units of the step's scale.
    bool units(Increments& column, std::int64_t& out) noexcept {
        return short_units(column.step.scale, column.widths, out) || long_units(column.step.scale, out);
    }

    // Of up to eight digits in all and a point between them. Where the text ends is guessed and then checked, by a
    // branch: were it calculated, the next text could not be begun before that is done. False, with nothing taken, for
    // any other text.
    bool short_units(std::int32_t scale, Widths& widths, std::int64_t& out) noexcept {
        if (end_ - at_ < 16 || (!has(widths) && !measure(widths))) {
            return false;
        }
        const char* const fraction = at_ + widths.whole / 8 + 1;
        const std::uint64_t before = (load(at_) ^ each('0')) << (64 - widths.whole) >> widths.fraction;
        const std::uint64_t after = (load(fraction) ^ each('0')) << (64 - widths.fraction);
        std::uint64_t values = before | after;
        const int missing = scale - static_cast<int>(widths.fraction / 8);
        if (missing < 0) {  // those beyond the scale must be zeros
            const int extra_bits = -8 * missing;
            if (scale < 0 || values >> (64 - extra_bits) != 0) {
                return false;
            }
            values <<= extra_bits;
        }
        if (missing > 10) {
            return false;
        }
        out = static_cast<std::int64_t>(eight_digits(values)) * (missing > 0 ? detail::kPow10[missing] : 1);
        at_ = fraction + widths.fraction / 8 + 1;
        return true;
    }

    // Whether there are so many digits here, a point, so many digits, and a quote. 16 characters can be read.
    bool has(const Widths& widths) const noexcept {
        const std::uint64_t first = load(at_);
        const std::uint64_t second = load(at_ + widths.whole / 8 + 1);
        std::uint64_t behind_whole = 0;
        std::uint64_t behind_fraction = 0;
        digit_values(first, behind_whole);
        digit_values(second, behind_fraction);
        return behind_whole << (56 - widths.whole) == kTopBit && behind_fraction << (56 - widths.fraction) == kTopBit &&
               (first >> widths.whole & 0xFF) == '.' && (second >> widths.fraction & 0xFF) == '"';
    }

    // The widths of the text here; false if it is none for short_units().
    [[gnu::noinline]] bool measure(Widths& out) const noexcept {
        std::uint64_t others = 0;
        digit_values(load(at_), others);
        const int whole = others == 0 ? 0 : first_of(others);
        digit_values(load(at_ + whole + 1), others);
        const int fraction = others == 0 ? 0 : first_of(others);
        if (whole == 0 || fraction == 0 || whole + fraction > 8) {
            return false;
        }
        out = Widths{8 * static_cast<unsigned>(whole), 8 * static_cast<unsigned>(fraction)};
        return has(out);
    }

    // The same for text of any length.
    [[gnu::noinline]] bool long_units(std::int32_t scale, std::int64_t& out) noexcept {
        Fixed value;
        return long_decimal(value) && value.units >= 0 && value.scale <= scale &&
               !__builtin_mul_overflow(value.units, detail::kPow10[scale - value.scale], &out);
    }

    // Units to a count of increments; false if they are no multiple.
    static bool divide(std::int64_t& units, std::int64_t increment) noexcept {
        if (increment == 1) {
            return true;
        }
        if (increment <= 0 || units % increment != 0) {
            return false;
        }
        units /= increment;
        return true;
    }

    // A bare number, only checked. One with an exponent, or so long that a parser could call it infinite, is refused.
    bool number() noexcept {
        take_here('-');
        const char* const begin = at_;
        std::uint64_t ignored = 0;
        int whole = 0;
        if (!digits(ignored, whole) || whole == 0 || (*begin == '0' && whole > 1)) {
            return false;
        }
        int count = 0;
        return !take_here('.') || (digits(ignored, count) && count > 0);
    }

    const char* at_;
    const char* end_;
};

}  // namespace qtxconn
