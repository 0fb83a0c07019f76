"""Reading a recorded market session: gzip, each line a receive time (ns), a space and Binance's message.

A message is `{"stream": "<symbol>@depth@0ms" | "<symbol>@bookTicker" | "<symbol>@trade", "data": {...}}` as
Binance USD-M's combined streams send it, or a REST depth snapshot `{"lastUpdateId", "bids", "asks", ...}`, which
names its symbol only where `qtxconn record` has added it. A recording may start in the middle of a session and may
do without a snapshot.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from qtxconn.errors import ConfigurationError

DEPTH, TICKER, TRADE, SNAPSHOT = "depth", "bookTicker", "trade", "snapshot"


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """One line.

    `kind` is DEPTH, TICKER, TRADE, SNAPSHOT or another stream's name; `symbol` is "" for a snapshot that names none.
    """

    line: int
    """Counted from 1."""
    receive_ns: int
    kind: str
    symbol: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecordingSpan:
    """What `check_recording` found."""

    messages: int
    first_ns: int
    last_ns: int


def read_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line number, receive time ns, JSON) per line. Raises ConfigurationError with one clear line."""
    if not path.is_file():
        raise ConfigurationError(f"recording {path} does not exist; give the path of a .gz recording")
    number = 0
    try:
        with gzip.open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                stamp, space, message = line.partition(b" ")
                if not space or not stamp.isdigit():
                    raise ConfigurationError(
                        f"recording {path}, line {number}: expected a receive time in ns, a space and JSON"
                    )
                yield number, int(stamp), message
    except EOFError:
        raise ConfigurationError(
            f"recording {path} is cut off after line {number}; fetch or record the whole file again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        where = f" after line {number}" if number else ""
        raise ConfigurationError(f"recording {path} is not an intact gzip file{where}: {error}") from None
    if number == 0:
        raise ConfigurationError(f"recording {path} is empty")


def check_recording(path: Path) -> RecordingSpan:
    """Read the whole file once, without parsing the messages. Raises ConfigurationError as `read_lines`."""
    first_ns = last_ns = messages = 0
    for number, receive_ns, _ in read_lines(path):
        messages = number
        first_ns = first_ns or receive_ns
        last_ns = max(last_ns, receive_ns)
    return RecordingSpan(messages, first_ns, last_ns)


def read_recording(path: Path) -> Iterator[RecordedMessage]:
    """Every message in order. Raises ConfigurationError naming the line that is malformed."""
    for number, receive_ns, text in read_lines(path):
        try:
            message = orjson.loads(text)
            if "lastUpdateId" in message:
                yield RecordedMessage(number, receive_ns, SNAPSHOT, message.get("symbol", ""), message)
                continue
            symbol, _, channel = message["stream"].partition("@")
            yield RecordedMessage(number, receive_ns, channel.partition("@")[0], symbol.upper(), message["data"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"recording {path}, line {number}: not a stream message ({type(error).__name__}: {error})"
            ) from None


def text_scaler(step: Decimal) -> Callable[[str], int]:
    """A function from decimal text to exact multiples of `step`.

    It raises ValueError where it does not divide.
    """
    numerator, denominator = (1 / step).as_integer_ratio()
    factors: dict[int, tuple[int, int]] = {}

    def scale(text: str) -> int:
        whole, _, fraction = text.partition(".")
        digits = len(fraction)
        if digits not in factors:
            factors[digits] = (numerator, denominator * 10**digits)
        up, down = factors[digits]
        steps, rest = divmod(int(whole + fraction) * up, down)
        if rest or steps < 0:
            raise ValueError(f"{text} is not a multiple of {step}")
        return steps

    return scale
