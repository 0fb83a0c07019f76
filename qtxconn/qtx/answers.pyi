"""Types of the order manager's answers."""

from typing import Any, NamedTuple

class Accepted(NamedTuple):
    payload: dict[str, Any]
    text: str

class Refused(NamedTuple):
    code: int | None
    message: str
    http_status: int | None

class Unclear(NamedTuple):
    text: str

Answer = Accepted | Refused | Unclear

def parse_answer(message: bytes) -> Answer: ...
