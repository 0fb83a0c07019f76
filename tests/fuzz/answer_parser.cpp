// Fuzz target: any bytes in an order slot's res_msg give a bounded view and an answer whose texts lie inside it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "qtxconn/qtx_answer.hpp"
#include "qtxconn/qtx_segment.hpp"

namespace qtx = qtxconn::qtx;

namespace {

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

bool inside(std::string_view part, const char* data, std::size_t size) {
    return part.empty() || (part.data() >= data && part.data() + part.size() <= data + size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    static volatile unsigned sink = 0;
    if (size == 0) {
        return 0;
    }
    // A copy of exactly the field's bytes, so that the sanitizer sees one beyond them.
    const std::size_t capacity = size < qtx::kResMsgSize ? size : qtx::kResMsgSize;
    const std::vector<char> field(bytes, bytes + capacity);
    const qtx::TextView message = qtx::bounded_text(field.data(), capacity);
    require(message.size <= capacity);
    const qtx::ParsedAnswer answer = qtx::parse_answer(message.data, message.size);
    require(inside(answer.message, message.data, message.size) && inside(answer.payload, message.data, message.size));
    require(answer.kind == qtx::AnswerKind::accepted || answer.payload.empty());
    unsigned sum = static_cast<unsigned>(answer.kind) + static_cast<unsigned>(answer.code);
    for (const std::string_view name : {std::string_view("orderId"), std::string_view("executedQty")}) {
        const std::string_view value = qtx::answer_field(answer.payload, name);
        require(inside(value, message.data, message.size));
        for (const char c : value) {
            sum += static_cast<unsigned char>(c);
        }
    }
    for (const char c : answer.message) {
        sum += static_cast<unsigned char>(c);
    }
    sink = sink + sum;
    return 0;
}
