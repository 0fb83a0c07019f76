// What an order manager's answer says: every dialect of `res_msg`, from bytes to a value. Trusts nothing, allocates
// nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qtxconn::qtx {

// Three dialects. Binance's WebSocket API: {"status":200,"result":{...}} or
// {"status":400,"error":{"code":..,"msg":..}}. The same without the envelope: {"orderId":..} or {"code":..,"msg":..}.
// Plain text: "success ...", "executed ...", "cancelled ...", "error: ... code: -2011 ...". Whatever is neither surely
// accepted nor surely refused is `unclear`: then the venue has to be asked.
enum class AnswerKind : std::uint8_t {
    unclear = 0,
    accepted = 1,  // the request was carried out
    refused = 2,   // the venue's error; without a code it is not certain what it means
};

// The texts point into the message, and are as they stand there: JSON escapes are not undone.
struct ParsedAnswer {
    AnswerKind kind = AnswerKind::unclear;
    bool has_code = false;
    bool has_http_status = false;
    std::int64_t code = 0;
    std::int64_t http_status = 0;
    std::string_view message;  // of a refusal: the error's text, or all of the answer
    std::string_view payload;  // of an acceptance: the order as a JSON object; empty for plain text
};

namespace detail {

inline bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
inline bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
inline char to_lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
inline bool is_word(char c) noexcept { return is_digit(c) || c == '_' || (to_lower(c) >= 'a' && to_lower(c) <= 'z'); }

// Walks over JSON text and stops at the first byte that is not JSON. Nesting costs a bit, not stack.
class JsonCursor {
public:
    explicit JsonCursor(std::string_view text) noexcept : text_(text) {}

    bool at_end() noexcept {
        skip_spaces();
        return at_ == text_.size();
    }

    bool take(char wanted) noexcept {
        skip_spaces();
        return accept(wanted);
    }

    // A string; `out` is what stands between the quotes.
    bool string(std::string_view& out) noexcept {
        if (!take('"')) {
            return false;
        }
        const std::size_t begin = at_;
        for (; at_ < text_.size(); ++at_) {
            const char c = text_[at_];
            if (c == '"') {
                out = text_.substr(begin, at_++ - begin);
                return true;
            }
            const auto byte = static_cast<unsigned char>(c);
            if (byte < 0x20 || (c == '\\' && !escape()) || (byte >= 0x80 && !multibyte())) {
                return false;
            }
        }
        return false;
    }

    // Any value; `out` is its text.
    bool value(std::string_view& out) noexcept {
        skip_spaces();
        const std::size_t begin = at_;
        std::uint64_t is_object = 0;  // a bit for each open bracket, the innermost the lowest
        int depth = 0;
        for (;;) {
            skip_spaces();
            const char c = at_ < text_.size() ? text_[at_] : '\0';
            bool opened = false;
            if (c == '{' || c == '[') {
                if (++depth > kDepthMax) {
                    return false;
                }
                ++at_;
                is_object = is_object << 1 | (c == '{' ? 1U : 0U);
                opened = !take(c == '{' ? '}' : ']');
                if (!opened) {
                    is_object >>= 1;
                    --depth;
                }
            } else if (!scalar()) {
                return false;
            }
            while (!opened && depth > 0 && !take(',')) {  // the value was its container's last
                if (!take((is_object & 1) != 0 ? '}' : ']')) {
                    return false;
                }
                is_object >>= 1;
                --depth;
            }
            if (depth == 0) {
                out = text_.substr(begin, at_ - begin);
                return true;
            }
            std::string_view key;
            if ((is_object & 1) != 0 && !(string(key) && take(':'))) {
                return false;
            }
        }
    }

private:
    static constexpr int kDepthMax = 60;

    void skip_spaces() noexcept {
        while (at_ < text_.size() && is_space(text_[at_])) {
            ++at_;
        }
    }

    bool accept(char wanted) noexcept {
        const bool there = at_ < text_.size() && text_[at_] == wanted;
        at_ += there ? 1 : 0;
        return there;
    }

    // At a backslash; leaves the last byte of the escape to be stepped over.
    bool escape() noexcept {
        ++at_;
        const char c = at_ < text_.size() ? text_[at_] : '\0';
        if (c != 'u') {
            return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
        }
        for (int i = 0; i < 4; ++i) {
            const char digit = ++at_ < text_.size() ? to_lower(text_[at_]) : '\0';
            if (!is_digit(digit) && !(digit >= 'a' && digit <= 'f')) {
                return false;
            }
        }
        return true;
    }

    // At a byte above 0x7F: one UTF-8 sequence, neither overlong nor a surrogate; leaves its last byte to be stepped
    // over.
    bool multibyte() noexcept {
        const auto byte = [&](std::size_t at) {
            return at < text_.size() ? static_cast<unsigned char>(text_[at]) : static_cast<unsigned char>(0);
        };
        const std::uint32_t lead = byte(at_);
        const std::size_t tail = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        std::uint32_t point = lead & (0x3FU >> tail);
        for (std::size_t i = 1; i <= tail; ++i) {
            if ((byte(at_ + i) & 0xC0U) != 0x80U) {
                return false;
            }
            point = point << 6 | (byte(at_ + i) & 0x3FU);
        }
        at_ += tail;
        const std::uint32_t least = tail == 1 ? 0x80 : tail == 2 ? 0x800 : 0x10000;
        return lead >= 0xC0 && lead < 0xF8 && point >= least && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
    }

    bool scalar() noexcept {
        std::string_view text;
        const char c = at_ < text_.size() ? text_[at_] : '\0';
        return c == '"' ? string(text) : c == '-' || is_digit(c) ? number() : word();
    }

    bool word() noexcept {
        for (const std::string_view word :
             {std::string_view("null"), std::string_view("true"), std::string_view("false")}) {
            if (text_.substr(at_, word.size()) == word) {
                at_ += word.size();
                return true;
            }
        }
        return false;
    }

    bool digits() noexcept {
        const std::size_t begin = at_;
        while (at_ < text_.size() && is_digit(text_[at_])) {
            ++at_;
        }
        return at_ > begin;
    }

    bool number() noexcept {
        accept('-');
        if (!accept('0') && !digits()) {
            return false;
        }
        if (accept('.') && !digits()) {
            return false;
        }
        if (accept('e') || accept('E')) {
            if (!accept('+')) {
                accept('-');
            }
            return digits();
        }
        return true;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

// Calls `see(key, value)` for each member of a JSON object. False: it is none, or not JSON to its end.
template <class See>
bool each_member(std::string_view text, See see) noexcept {
    JsonCursor cursor(text);
    if (!cursor.take('{')) {
        return false;
    }
    if (cursor.take('}')) {
        return cursor.at_end();
    }
    do {
        std::string_view key;
        std::string_view value;
        if (!cursor.string(key) || !cursor.take(':') || !cursor.value(value)) {
            return false;
        }
        see(key, value);
    } while (cursor.take(','));
    return cursor.take('}') && cursor.at_end();
}

inline std::string_view unquoted(std::string_view value) noexcept {
    return !value.empty() && value.front() == '"' ? value.substr(1, value.size() - 2) : value;
}

// A whole number of up to 18 digits, as a JSON number or as text.
inline bool read_integer(std::string_view value, std::int64_t& out) noexcept {
    std::string_view digits = unquoted(value);
    const bool negative = !digits.empty() && digits.front() == '-';
    digits.remove_prefix(negative ? 1 : 0);
    if (digits.empty() || digits.size() > 18) {
        return false;
    }
    std::int64_t number = 0;
    for (const char c : digits) {
        if (!is_digit(c)) {
            return false;
        }
        number = number * 10 + (c - '0');
    }
    out = negative ? -number : number;
    return true;
}

// Whether `word` (lower case) stands at `at`, as a word of its own; -1 is before the text.
inline bool word_at(std::string_view text, std::size_t at, std::string_view word) noexcept {
    if (text.size() - at < word.size() || (at > 0 && is_word(text[at - 1]))) {
        return false;
    }
    for (std::size_t i = 0; i < word.size(); ++i) {
        if (to_lower(text[at + i]) != word[i]) {
            return false;
        }
    }
    return at + word.size() == text.size() || !is_word(text[at + word.size()]);
}

// The number after `code` and a colon or an equals sign, quoted or not, of up to 9 digits; the first there is.
inline bool find_code(std::string_view text, std::int64_t& out) noexcept {
    for (std::size_t begin = 0; begin + 4 < text.size(); ++begin) {
        std::size_t at = begin;
        for (const char c : {'c', 'o', 'd', 'e'}) {
            at += at < text.size() && to_lower(text[at]) == c ? 1 : 0;
        }
        if (at != begin + 4) {
            continue;
        }
        const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
        const auto skip = [&](bool wanted) { at += wanted ? 1 : 0; };
        skip(peek() == '"' || peek() == '\'' || peek() == '\\');
        skip(peek() == '"');
        while (is_space(peek())) {
            ++at;
        }
        if (peek() != ':' && peek() != '=') {
            continue;
        }
        ++at;
        while (is_space(peek())) {
            ++at;
        }
        skip(peek() == '"' || peek() == '\'' || peek() == '\\');
        skip(peek() == '"');
        const std::size_t number = at;
        skip(peek() == '-');
        while (is_digit(peek())) {
            ++at;
        }
        if (at - number <= 10 && read_integer(text.substr(number, at - number), out)) {
            return true;
        }
    }
    return false;
}

inline bool is_refusal_code(std::int64_t code) noexcept { return code != 0 && code != 200; }

inline void parse_json_answer(std::string_view text, ParsedAnswer& answer) noexcept {
    std::string_view status;
    std::string_view error;
    std::string_view result;
    std::string_view code;
    std::string_view message;
    bool has_order_id = false;
    if (!each_member(text, [&](std::string_view key, std::string_view value) {
            if (key == "status") {
                status = value;
            } else if (key == "error") {
                error = value;
            } else if (key == "result") {
                result = value;
            } else if (key == "code") {
                code = value;
            } else if (key == "msg" || (key == "message" && message.empty())) {
                message = value;
            } else if (key == "orderId") {
                has_order_id = true;
            }
        })) {
        return;
    }
    answer.has_http_status = read_integer(status, answer.http_status);
    const auto refuse = [&](std::string_view why) {
        answer.kind = AnswerKind::refused;
        answer.message = why.size() > 2 && why.front() == '"' ? unquoted(why) : text;
    };
    const auto read_error = [&](std::string_view object) {
        code = message = {};
        each_member(object, [&](std::string_view key, std::string_view value) {
            if (key == "code") {
                code = value;
            } else if (key == "msg" || (key == "message" && message.empty())) {
                message = value;
            }
        });
        answer.has_code = read_integer(code, answer.code);
    };
    if (!error.empty() && error.front() == '{') {
        read_error(error);
        return refuse(message);
    }
    if (!error.empty() && error != "null" && error != "false" && error != "\"\"" && error != "0" && error != "[]") {
        answer.has_code = find_code(error, answer.code);
        return refuse(error);
    }
    if (!result.empty() && result.front() == '{') {
        read_error(result);
        const bool good_status = !answer.has_http_status || (answer.http_status >= 200 && answer.http_status < 300);
        if ((answer.has_code && answer.code < 0) || !good_status) {
            return refuse(message);
        }
        answer.kind = AnswerKind::accepted;
        answer.payload = result;
        return;
    }
    answer.has_code = read_integer(code, answer.code);
    if (answer.has_code && is_refusal_code(answer.code)) {
        return refuse(message);
    }
    if (has_order_id) {
        answer.kind = AnswerKind::accepted;
        answer.payload = text;
    } else if (answer.has_http_status && answer.http_status >= 400) {
        refuse(message);
    }
}

inline void parse_text_answer(std::string_view text, ParsedAnswer& answer) noexcept {
    answer.message = text;
    answer.has_code = find_code(text, answer.code);
    if (answer.has_code && is_refusal_code(answer.code)) {
        answer.kind = AnswerKind::refused;
        return;
    }
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (const std::string_view word :
             {std::string_view("error"), std::string_view("failed"), std::string_view("failure"),
              std::string_view("rejected"), std::string_view("reject"), std::string_view("refused"),
              std::string_view("invalid"), std::string_view("denied"), std::string_view("timeout")}) {
            if (word_at(text, at, word)) {
                answer.kind = AnswerKind::refused;
                return;
            }
        }
    }
    std::size_t begin = 0;
    while (begin < text.size() && !is_word(text[begin])) {
        ++begin;
    }
    bool accepted = answer.has_code;
    for (const std::string_view word :
         {std::string_view("success"), std::string_view("successful"), std::string_view("executed"),
          std::string_view("ok"), std::string_view("accepted"), std::string_view("placed"),
          std::string_view("cancelled"), std::string_view("canceled")}) {
        accepted = accepted || word_at(text, begin, word);
    }
    answer.kind = accepted ? AnswerKind::accepted : AnswerKind::unclear;
}

}  // namespace detail

// Reads one `res_msg`, already cut at its terminator.
inline ParsedAnswer parse_answer(const char* data, std::size_t size) noexcept {
    std::string_view text(data, size);
    const auto is_padding = [](char c) { return c == '\0' || detail::is_space(c); };
    while (!text.empty() && is_padding(text.back())) {
        text.remove_suffix(1);
    }
    while (!text.empty() && is_padding(text.front())) {
        text.remove_prefix(1);
    }
    ParsedAnswer answer;
    if (text.empty()) {
        return answer;
    }
    if (text.front() == '{') {
        detail::parse_json_answer(text, answer);
    } else {
        detail::parse_text_answer(text, answer);
    }
    return answer;
}

// One member of an answer's payload, such as "executedQty": a text without its quotes, anything else as it stands;
// empty if it is not there.
inline std::string_view answer_field(std::string_view payload, std::string_view name) noexcept {
    std::string_view found;
    detail::each_member(payload, [&](std::string_view key, std::string_view value) {
        if (key == name) {
            found = detail::unquoted(value);
        }
    });
    return found;
}

}  // namespace qtxconn::qtx
