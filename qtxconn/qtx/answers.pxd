# What an order manager's answer says, for strategies without the GIL: give parse_answer the AnswerView's message.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t
from libcpp cimport bool as cbool
from libcpp.string_view cimport string_view


cdef extern from "qtxconn/qtx_answer.hpp" namespace "qtxconn::qtx" nogil:
    cdef enum class AnswerKind(uint8_t):
        unclear     # ask the venue
        accepted    # the request was carried out
        refused     # the venue's error; without a code it is not certain what it means

    # Texts point into the message, JSON escapes as they stand there.
    cdef cppclass ParsedAnswer:
        AnswerKind kind
        cbool has_code
        cbool has_http_status
        int64_t code
        int64_t http_status
        string_view message     # of a refusal
        string_view payload     # of an acceptance: the order as a JSON object; empty for plain text

    ParsedAnswer c_parse_answer "qtxconn::qtx::parse_answer"(const char* data, size_t size) noexcept
    # A member of the payload, such as "executedQty", without quotes; empty if it is not there.
    string_view answer_field(string_view payload, string_view name) noexcept
