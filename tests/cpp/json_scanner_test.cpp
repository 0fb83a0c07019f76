// JsonScanner: what it takes and what it leaves, numbers against parse_fixed, and no byte beyond the end.
#include "qtxconn/json_scanner.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"

using namespace qtxconn;

namespace {

// The text in memory of exactly its size, so that the sanitizer sees every byte read beyond it.
struct Exact {
    explicit Exact(std::string_view text) : data(new char[text.size()]), size(text.size()) {
        text.copy(data.get(), size);
    }
    std::string_view view() const { return {data.get(), size}; }
    std::unique_ptr<char[]> data;
    std::size_t size;
};

bool skips(std::string_view text) {
    const Exact exact(text);
    JsonScanner json(exact.view());
    return json.skip() && json.end();
}

bool reads(std::string_view text, Fixed& out) {
    const Exact exact(text);
    JsonScanner json(exact.view());
    return json.decimal(out) && json.end();
}

bool counts(std::string_view text, Fixed increment, std::int64_t& out) {
    const Exact exact(text);
    JsonScanner json(exact.view());
    return json.increments(increment, out) && json.end();
}

std::uint64_t next_random(std::uint64_t& state) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return state >> 33;
}

void test_values_that_are_skipped() {
    for (const char* text :
         {"0", "-1", "12.50", "true", "false", "null", R"("")", R"("a longer string of text, 1234567890")", "[]", "{}",
          "[1, \"x\" ,[ ] , {\"a\":{}}]", " { \"k\" : [ null ] , \"key of some length\":-0.5 } ", "\t\r\n1\n"}) {
        CHECK(skips(text));
    }
    for (const char* text : {"",           " ",          "01",
                             "-",          "+1",         "1.",
                             ".5",         "1e5",        "tru",
                             "True",       "nul",        "\"",
                             "\"open",     "\"esc\\n\"", "\"caf\xC3\xA9\"",
                             "\"tab\t\"",  "[",          "[1",
                             "[1,]",       "[,1]",       "[1 2]",
                             "{",          "{\"a\"}",    "{\"a\":}",
                             "{\"a\":1,}", "{a:1}",      "{\"a\":1 \"b\":2}",
                             "1 2",        "]",          "1234567890123456789"}) {
        CHECK(!skips(text));
    }
    CHECK(!skips(std::string_view("1\0", 2)));
    CHECK(!skips(std::string_view("\"\0\"", 3)));
}

void test_depth_is_limited() {
    for (const int depth : {JsonScanner::kDepthMax, JsonScanner::kDepthMax + 1}) {
        const auto size = static_cast<std::size_t>(depth);
        CHECK(skips(std::string(size, '[') + std::string(size, ']')) == (depth == JsonScanner::kDepthMax));
    }
    CHECK(!skips(std::string(1'000'000, '[')));
}

void test_strings_of_every_length() {
    for (std::size_t size = 0; size < 40; ++size) {
        const std::string inside(size, 'x');
        const Exact exact('"' + inside + '"');
        std::string_view out;
        JsonScanner json(exact.view());
        CHECK(json.string(out) && out == inside && json.end());
        for (std::size_t at = 0; at < size; ++at) {
            for (const char bad : {'\\', '\n', '\0', '\x80', '\xFF', '"'}) {
                std::string text = '"' + inside + '"';
                text[at + 1] = bad;
                CHECK(!skips(text));
            }
        }
    }
}

void test_integers() {
    std::int64_t out = 0;
    for (const std::int64_t value : {std::int64_t{0}, std::int64_t{7}, std::int64_t{12345678}, std::int64_t{123456789},
                                     (std::int64_t{1} << 53) + 1, std::int64_t{999'999'999'999'999'999}}) {
        const Exact exact(std::to_string(value));
        JsonScanner json(exact.view());
        CHECK(json.integer(out) && out == value && json.end());
    }
    for (const char* text : {"", "-1", "00", "01", "1000000000000000000", "99999999999999999999", "\"1\"", "x"}) {
        CHECK(!JsonScanner(text).integer(out));
    }
    JsonScanner real("1.5");
    CHECK(!(real.integer(out) && real.end()));
}

void test_decimals() {
    Fixed out;
    struct {
        const char* text;
        std::int64_t units;
        std::int32_t scale;
    } const cases[] = {{"\"0\"", 0, 0},
                       {"\"0.000\"", 0, 0},
                       {"\"-0.0\"", 0, 0},
                       {"\"0.00100000\"", 1, 3},
                       {"\"61800.20\"", 618002, 1},
                       {"\"7100.500000\"", 71005, 1},
                       {"\"100\"", 100, 0},
                       {"\"-0.01000000\"", -1, 2},
                       {"\"12345678\"", 12345678, 0},
                       {"\"0.12345678\"", 12345678, 8},
                       {"\"123456789.123456789\"", 123456789123456789, 9},
                       {"\"999999999999999999\"", 999999999999999999, 0}};
    for (const auto& c : cases) {
        CHECK(reads(c.text, out) && out.units == c.units && out.scale == c.scale);
    }
    for (const char* text : {"",
                             "\"",
                             "\"\"",
                             "\"-\"",
                             "\".5\"",
                             "\"5.\"",
                             "\"+5\"",
                             "\"1e3\"",
                             "\"1.2.3\"",
                             "\" 1\"",
                             "\"1 \"",
                             "\"1",
                             "1",
                             "\"1\\u0030\"",
                             "\"1\x80\"",
                             "\"1234567890123456789\"",
                             "\"0.000000000000000000\"",
                             "\"1,5\"",
                             "\"--1\"",
                             "\"-1.\""}) {
        CHECK(!reads(text, out));
    }
}

// Random decimal texts of any shape, with more text behind them or none: the same number as parse_fixed reads.
void test_decimals_against_parse_fixed() {
    std::uint64_t state = 1;
    for (int n = 0; n < 200'000; ++n) {
        std::string digits;
        const auto whole = 1 + next_random(state) % 11;
        const auto decimals = next_random(state) % 11;
        for (std::uint64_t i = 0; i < whole + decimals; ++i) {
            if (i == whole) {
                digits += '.';
            }
            digits += static_cast<char>('0' + (next_random(state) % 2 != 0 ? next_random(state) % 10 : 0));
        }
        if (next_random(state) % 4 == 0) {
            digits.insert(0, "-");
        }
        const std::string text = '"' + digits + '"' + std::string(next_random(state) % 10, ' ');
        Fixed wanted;
        Fixed out;
        const bool fits = whole + decimals <= 18;
        CHECK(parse_fixed(digits.data(), digits.size(), wanted) == FixedError::ok || !fits);
        CHECK(reads(text, out) == fits);
        if (!fits) {
            continue;
        }
        CHECK(out.units == wanted.units && out.scale == wanted.scale);
        const Fixed increment{static_cast<std::int64_t>(1 + next_random(state) % 3 * 2),
                              static_cast<std::int32_t>(next_random(state) % 5)};
        std::int64_t count = 0;
        std::int64_t exact = 0;
        const bool is_multiple =
            to_increments(wanted, increment, Rounding::down, exact) == FixedError::ok && exact >= 0;
        CHECK(counts(text, increment, count) == is_multiple);
        CHECK(!is_multiple || count == exact);
    }
}

void test_increments_that_do_not_fit() {
    std::int64_t out = 0;
    CHECK(counts("\"9.223372036854775\"", Fixed{1, 18}, out) && out == 9'223'372'036'854'775'000);
    CHECK(!counts("\"9.3\"", Fixed{1, 18}, out));
    CHECK(!counts("\"999999999999999999\"", Fixed{1, 3}, out));
    CHECK(!counts("\"1\"", Fixed{0, 0}, out));
    CHECK(!counts("\"1\"", Fixed{-1, 0}, out));
}

// Columns of changing widths, some characters wrong: each pair is what its two texts are when read alone, whatever
// stood before it, and the first pair that is wrong ends the scan.
void test_pairs_of_changing_widths() {
    std::uint64_t state = 11;
    int whole_rows = 0;
    for (int round = 0; round < 20'000; ++round) {
        const Fixed steps[] = {Fixed{static_cast<std::int64_t>(1 + 4 * (next_random(state) % 2)),
                                     static_cast<std::int32_t>(next_random(state) % 5)},
                               Fixed{1, static_cast<std::int32_t>(next_random(state) % 12)}};
        JsonScanner::Column first(steps[0]);
        JsonScanner::Column second(steps[1]);
        std::vector<std::string> texts;
        std::string row;
        for (int level = 0; level < 4; ++level) {
            for (const char* opening : {"[\"", ",\""}) {
                std::string text;
                const std::uint64_t whole = next_random(state) % 8 == 0 ? next_random(state) % 10 : 2;
                const std::uint64_t fraction = next_random(state) % 8 == 0 ? next_random(state) % 10 : 3;
                for (std::uint64_t i = 0; i < whole + 1 + fraction; ++i) {
                    const bool zero = i > whole && next_random(state) % 2 == 0;
                    text += i == whole ? '.' : zero ? '0' : static_cast<char>('0' + next_random(state) % 10);
                }
                if (next_random(state) % 16 == 0) {
                    text.erase(whole, 1);  // the point
                } else if (next_random(state) % 16 == 0) {
                    text[next_random(state) % text.size()] = "./:-+ e\x7f\x80\xff,["[next_random(state) % 12];
                }
                texts.push_back('"' + text + '"');
                row += opening + text + '"';
            }
            row += ']';
        }
        const Exact exact(row);
        JsonScanner json(exact.view());
        bool good = true;
        for (std::size_t i = 0; good && i < texts.size(); i += 2) {
            std::int64_t wanted[2] = {}, found[2] = {};
            good = counts(texts[i], steps[0], wanted[0]) && counts(texts[i + 1], steps[1], wanted[1]);
            CHECK(json.increments_pair(first, second, found[0], found[1]) == good);
            CHECK(!good || (found[0] == wanted[0] && found[1] == wanted[1]));
        }
        CHECK(!good || json.end());
        whole_rows += good ? 1 : 0;
    }
    CHECK(whole_rows > 100);
}

void test_keys() {
    // Names of one, two and more letters, at the end of the text and before it, with blanks and without.
    for (const std::string name : {"a", "Z", "ab", "pP", "a1", "1", "_", "abc", "a longer name", ""}) {
        for (const std::string blank : {"", " ", "\n\t"}) {
            const Exact exact("{" + blank + '"' + name + '"' + blank + ":" + blank + "1" + blank + "}");
            JsonScanner json(exact.view());
            std::string seen = "none";
            CHECK(json.object([&](std::string_view key) {
                seen = key;
                return json.skip();
            }));
            CHECK(seen == name && json.end());
        }
    }
    for (const char* text :
         {R"({"""":1})", R"({"\":1,"a":1})", R"({"a\":1,"b":1})", R"({"a"1:2})", "{\"\x01\":100000}"}) {
        CHECK(!skips(text));
    }
}

}  // namespace

int main() {
    test_values_that_are_skipped();
    test_depth_is_limited();
    test_strings_of_every_length();
    test_integers();
    test_decimals();
    test_decimals_against_parse_fixed();
    test_increments_that_do_not_fit();
    test_pairs_of_changing_widths();
    test_keys();
    return 0;
}
