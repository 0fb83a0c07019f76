// A cursor over JSON text for readers that know the shape they expect. It gives the right value or none.
#pragma once

#include <algorithm>
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
    using Characters [[gnu::vector_size(16)]] = unsigned char;
    using Words [[gnu::vector_size(16)]] = std::uint64_t;

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

    // The same as a count of steps (> 0), of which it must be a multiple that is not negative.
    bool increments(Fixed step, std::int64_t& out) noexcept {
        Fixed value;
        return decimal(value) && value.units >= 0 && value.scale <= step.scale &&
               !__builtin_mul_overflow(value.units, detail::kPow10[step.scale - value.scale], &out) &&
               divide(out, step.units);
    }

    // Numbers that are told one below the other, as a count of `step` each. Most texts of a column look like the one
    // before: as many digits, and the same characters around them.
    class Column {
    public:
        explicit Column(Fixed step_) noexcept : step(step_) {}

    private:
        friend class JsonScanner;

        Fixed step;
        // What the last text looked like, and what stood behind it: each character, with '0' for the digits that count,
        // and by how much it may differ: 9 for these, 0 for others, 255 beyond the text.
        Characters shape = {};
        Characters slack = {};
        std::ptrdiff_t size = 0;         // 0: there was none yet
        std::ptrdiff_t fraction_at = 0;  // behind the point
        unsigned drop_behind_whole = 0;  // bits, of a word with the whole digits in front
        unsigned make_room = 0;          // bits, behind them for the fraction's
        unsigned drop_behind_fraction = 0;
        std::int64_t power = 1;  // what the last digit that counts is worth, in units of the step's scale
    };

    // An array of two such counts, as the levels of books are written: ["60000.10","0.002"].
    bool increments_pair(Column& first, Column& second, std::int64_t& out_first, std::int64_t& out_second) noexcept {
        return short_pair(first, second, out_first, out_second) ||
               (take('[') && increments(first.step, out_first) && take(',') && increments(second.step, out_second) &&
                take(']'));
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

    // -- columns: where a text ends is not looked for but known from the one before, and then checked ---------------
    // (Were it looked for, the next text could not be begun before it is found.)

    static constexpr int kShapeMax = sizeof(Characters);

    // A pair of which each number has up to eight digits that count. False, with nothing taken, for any other text.
    bool short_pair(Column& first, Column& second, std::int64_t& out_first, std::int64_t& out_second) noexcept {
        constexpr std::ptrdiff_t kRoom = 2 + 2 * (kShapeMax + 1);
        if (end_ - at_ < kRoom || std::memcmp(at_, R"([")", 2) != 0) {
            return false;
        }
        const char* const text = at_ + 2;
        if (second.size == 0 || any(misfit(first, text) | misfit(second, text + first.size))) {
            if (!reshape(first, text, R"(",")") || !reshape(second, text + first.size, R"("])")) {
                return false;
            }
        }
        out_first = units(first, text);
        out_second = units(second, text + first.size);
        if (!divide(out_first, first.step.units) || !divide(out_second, second.step.units)) {
            return false;
        }
        at_ = text + first.size + second.size;
        return true;
    }

    // Marks the characters in which a text differs from the column's shape.
    static Characters misfit(const Column& column, const char* text) noexcept {
        Characters characters;
        std::memcpy(&characters, text, sizeof characters);
        return reinterpret_cast<Characters>((characters ^ column.shape) > column.slack);
    }

    static bool any(Characters marks) noexcept {
        const auto words = reinterpret_cast<Words>(marks);
        return (words[0] | words[1]) != 0;
    }

    static std::int64_t units(const Column& column, const char* text) noexcept {
        const std::uint64_t whole = (load(text) ^ each('0')) << column.drop_behind_whole >> column.make_room;
        const std::uint64_t fraction = (load(text + column.fraction_at) ^ each('0'))
                                       << column.drop_behind_fraction << 8;  // by 64 in all where there is none
        return static_cast<std::int64_t>(eight_digits(whole | fraction)) * column.power;
    }

    // Gives a column the shape of this text and of what has to follow it; false if it has none.
    [[gnu::noinline]] static bool reshape(Column& column, const char* text, std::string_view behind) noexcept {
        const int whole = count_digits(text);
        const bool has_point = text[whole] == '.';
        const int fraction = has_point ? count_digits(text + whole + 1) : 0;
        const int counted = std::min(fraction, column.step.scale);  // those beyond must be zeros
        const int end = whole + (has_point ? 1 + fraction : 0);
        const int size = end + static_cast<int>(behind.size());
        if (whole == 0 || (has_point && fraction == 0) || counted < 0 || whole + counted > 8 || size > kShapeMax ||
            column.step.scale - counted > kDigitsMax - 8) {
            return false;
        }
        const auto at = [](int i) { return static_cast<unsigned char>(i); };
        constexpr Characters kIndex = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        const auto is_digit = (kIndex < at(whole)) | ((kIndex > at(whole)) & (kIndex <= at(whole + counted)));
        Characters shape = kIndex == at(whole) ? Characters{} + '.' : Characters{} + '0';
        for (int i = end; i < size; ++i) {
            shape[i] = behind[i - end];
        }
        Column made = column;
        made.shape = shape;
        made.slack = (reinterpret_cast<Characters>(is_digit) & 9) | reinterpret_cast<Characters>(kIndex >= at(size));
        if (any(misfit(made, text))) {
            return false;
        }
        made.size = size;
        made.fraction_at = whole + 1;
        made.drop_behind_whole = 8 * static_cast<unsigned>(8 - whole);
        made.make_room = 8 * static_cast<unsigned>(counted);
        made.drop_behind_fraction = 8 * static_cast<unsigned>(7 - counted);
        made.power = detail::kPow10[column.step.scale - counted];
        column = made;
        return true;
    }

    // At the beginning of a text, up to eight.
    static int count_digits(const char* text) noexcept {
        std::uint64_t others = 0;
        digit_values(load(text), others);
        return others == 0 ? 8 : first_of(others);
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
