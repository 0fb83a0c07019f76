"""What an order manager's answer says: every dialect of `res_msg`, from bytes to a value. Pure; trusts nothing."""

from typing import NamedTuple

import orjson


class Accepted(NamedTuple):
    """The venue has carried out the request. `payload` is its order object, empty where the answer is plain text."""

    payload: dict
    text: str


class Refused(NamedTuple):
    """The venue's error. `code` is None where the answer names none: then it is not certain what it means."""

    code: int | None
    message: str
    http_status: int | None


class Unclear(NamedTuple):
    """Neither accepted nor refused can be read from this: ask the venue."""

    text: str


Answer = Accepted | Refused | Unclear


def parse_answer(bytes message not None) -> Answer:
    """Reads one `res_msg`, already cut at its terminator. Any bytes give an answer; nothing raises."""
    cdef ParsedAnswer answer = c_parse_answer(message, <size_t> len(message))
    if answer.kind == AnswerKind.accepted:
        payload = _bytes(answer.payload)
        try:
            return Accepted(orjson.loads(payload) if payload else {}, _shown(message))
        except orjson.JSONDecodeError:  # a number or a text that only orjson refuses
            return Unclear(f"not JSON: {_shown(message)}")
    if answer.kind == AnswerKind.refused:
        return Refused(
            answer.code if answer.has_code else None,
            _shown(_unescaped(_bytes(answer.message))),
            answer.http_status if answer.has_http_status else None,
        )
    return Unclear(_shown(message) or "the order manager answered with nothing")


cdef bytes _bytes(string_view text):
    return text.data()[:text.size()] if text.size() else b""


cdef bytes _unescaped(bytes text):
    """A JSON string's own text; what is none stays as it is."""
    if b"\\" not in text:
        return text
    try:
        return orjson.loads(b'"%b"' % text).encode()
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return text


cdef str _shown(bytes text):
    """Short, on one line, printable."""
    cdef Py_ssize_t most = 300
    shown = text.decode("utf-8", "replace").strip("\0 \t\r\n")
    line = "".join([char if char.isprintable() else "?" for char in shown[:most]])
    return line if len(shown) <= most else line + "..."
