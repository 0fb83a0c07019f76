"""JSON written in all the ways that JSON allows, and in some that it does not."""

from __future__ import annotations

import random as random_module
from typing import Any

import orjson

BLANKS = ("", "", "", " ", "\n", "\t", "\r\n  ")
EXTRAS: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 12.5, 1e300, "text", 'quo"te', "\\", "\u20ac"),
    *([], {}, [[{"e": 1}]]),
)


def bad_texts() -> list[str]:
    """Texts in the place of a price or amount that no scanner may take for one."""
    return [
        *("", " ", "-", ".", "-1", "+1", "1.", ".5", "1e1", "1E-2", "NaN", "Infinity", "0x10", "1,0", "1 ", " 1"),
        *("1_0", "12345678901234567890", "1" + "0" * 40, "0." + "0" * 40 + "1", "1.2.3", "--1", "1-", "\\u0031"),
        "\uff11",  # a digit, but none of ASCII
    ]


def written(value: Any, random: random_module.Random) -> bytes:
    """The value as JSON: keys in any order and unknown ones among them, blanks anywhere."""

    def blank() -> str:
        return random.choice(BLANKS)

    def write(item: Any) -> str:
        if isinstance(item, dict):
            members = list(item.items())
            if random.random() < 0.3:
                members += [(f"z{n}", random.choice(EXTRAS)) for n in range(random.randint(1, 3))]
            random.shuffle(members)
            inside = f"{blank()},{blank()}".join(f"{write(k)}{blank()}:{blank()}{write(v)}" for k, v in members)
            return f"{{{blank()}{inside}{blank()}}}"
        if isinstance(item, list | tuple):
            return f"[{blank()}{f'{blank()},{blank()}'.join(map(write, item))}{blank()}]"
        return orjson.dumps(item).decode()

    return f"{blank()}{write(value)}{blank()}".encode()


def mangled(raw: bytes, random: random_module.Random) -> bytes:
    """The bytes with a little damage: bytes changed, dropped, doubled, or a piece moved."""
    data = bytearray(raw)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(data)) if data else 0
        match random.randrange(5):
            case 0 if data:
                data[at] = random.choice(b'0123456789"\\,:{}[].-eE tfn\x00\x1f\x7f\x80\xff')
            case 1 if data:
                del data[at]
            case 2:
                data[at:at] = random.choice((b'"', b"0", b",", b"{}", b"\\", b" ", b"\xc3\xa9", b'"e":"trade",', b"e"))
            case 3:
                data[at:at] = data[at : at + random.randint(1, 20)]
            case 4:
                data = data[:at]
    return bytes(data)
