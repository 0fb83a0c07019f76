"""What an order manager's answer says: every dialect of `res_msg`, from bytes to a value. Pure; trusts nothing."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import orjson

# Beyond this an answer is no order result. The slot holds 10,000 bytes.
ANSWER_BYTES_MAX = 10_000
_TEXT_MAX = 300  # of a message that is shown to people

_CODE = re.compile(r"code[\"']?\s*[:=]\s*[\"']?(-?\d{1,9})(?!\d)", re.IGNORECASE)
_REFUSED = re.compile(r"\b(error|failed|failure|rejected|reject|refused|invalid|denied|timeout)\b", re.IGNORECASE)
_ACCEPTED = re.compile(r"^\W*(success|successful|executed|ok|accepted|placed|cancelled|canceled)\b", re.IGNORECASE)


class Accepted(NamedTuple):
    """The venue has carried out the request. `payload` is its order object, empty where the answer is plain text."""

    payload: dict[str, Any]
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


def parse_answer(message: bytes) -> Answer:
    """Reads one `res_msg`, already cut at its terminator. Any bytes give an answer; nothing raises."""
    text = message[:ANSWER_BYTES_MAX].decode("utf-8", "replace").strip("\0 \t\r\n")
    if not text:
        return Unclear("the order manager answered with nothing")
    if text[0] == "{":
        try:
            answer = orjson.loads(message.strip(b"\0 \t\r\n"))
        except orjson.JSONDecodeError:
            return Unclear(f"not JSON: {_shown(text)}")
        return _parse_json(answer, text)
    return _parse_text(text)


def _parse_json(answer: dict[str, Any], text: str) -> Answer:
    status = _integer(answer.get("status"))
    error = answer.get("error")
    if isinstance(error, dict):
        return Refused(_integer(error.get("code")), _message(error, text), status)
    if error:
        return Refused(_code_in(str(error)), _shown(str(error)), status)
    result = answer.get("result")
    if isinstance(result, dict):
        code = _integer(result.get("code"))
        if code is not None and code < 0:
            return Refused(code, _message(result, text), status)
        if status is None or 200 <= status < 300:
            return Accepted(result, _shown(text))
        return Refused(code, _message(result, text), status)
    code = _integer(answer.get("code"))
    if code is not None and code not in (0, 200):
        return Refused(code, _message(answer, text), status)
    if "orderId" in answer:
        return Accepted(answer, _shown(text))
    if status is not None and status >= 400:
        return Refused(code, _message(answer, text), status)
    return Unclear(_shown(text))


def _parse_text(text: str) -> Answer:
    code = _code_in(text)
    if code is not None and code not in (0, 200):
        return Refused(code, _shown(text), None)
    if _REFUSED.search(text):
        return Refused(None, _shown(text), None)
    if _ACCEPTED.search(text) or code is not None:
        return Accepted({}, _shown(text))
    return Unclear(_shown(text))


def _code_in(text: str) -> int | None:
    found = _CODE.search(text)
    return int(found.group(1)) if found else None


def _integer(value: object) -> int | None:
    """A JSON integer, or one written as text; None for anything else (True is no number)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    return None


def _message(answer: dict[str, Any], text: str) -> str:
    message = answer.get("msg", answer.get("message"))
    return _shown(message if isinstance(message, str) and message else text)


def _shown(text: str) -> str:
    """Short, on one line, printable."""
    line = "".join(char if char.isprintable() else "?" for char in text[:_TEXT_MAX])
    return line if len(text) <= _TEXT_MAX else line + "..."
