"""What goes wrong at a venue: the vocabulary of faults, and a script of rules that says which and when.

A script is rules, tried in order; the first that applies to a request or a message decides. Chance is drawn from the
script's seed, so the same traffic meets the same faults. As JSON:

    {"seed": 7, "rules": [
      {"fault": "error after", "where": "POST /fapi/v1/order", "probability": 0.1, "status": 503, "code": -1007},
      {"fault": "lost", "where": "stream *@depth*", "from_s": 10, "until_s": 12},
      {"fault": "expire listen keys", "from_s": 30, "every_s": 60, "count": 3}]}

`where` is a pattern with `*` and `?` over what the dialect calls a request ("POST /fapi/v1/order", "ws order.place") or
a message ("stream btcusdt@depth", "user ORDER_TRADE_UPDATE"). Times count from the start of the script.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import orjson

from qtxconn.errors import ConfigurationError
from qtxconn.sim.model import NS_PER_MS, NS_PER_S


class RequestFault(StrEnum):
    """What becomes of one request."""

    NONE = "none"
    REFUSED = "refused"
    """No connection: nothing arrives."""
    LOST_REQUEST = "lost request"
    """It never arrives, and nobody says so."""
    LOST_ANSWER = "lost answer"
    """Carried out; the answer never arrives."""
    RESET_BEFORE = "reset before"
    """The connection breaks before it is carried out."""
    RESET_AFTER = "reset after"
    """The connection breaks after it was carried out."""
    RESET_THEN_LATE = "reset then late"
    """The connection breaks at once, and `delay_s` later it arrives all the same."""
    LATE = "late"
    """It arrives `delay_s` later, perhaps after the sender has given up."""
    SLOW_ANSWER = "slow answer"
    """Carried out at once; the answer takes `delay_s`."""
    ERROR_BEFORE = "error before"
    """`status` with `code` and `message`, not carried out."""
    ERROR_AFTER = "error after"
    """`status` with `code` and `message`, and yet carried out."""
    RATE_LIMITED = "rate limited"
    """HTTP 429 with Retry-After `retry_after_s` (of the WebSocket API: status 429 with retryAfter)."""
    BANNED = "banned"
    """HTTP 418 likewise."""
    HTML = "html"
    """A web page with status 200, as proxies send; not carried out."""
    GZIP_BOMB = "gzip bomb"
    """Status 200 and 64 MiB of blanks, compressed to some 64 kB; not carried out. HTTP only."""
    UNKNOWN_FIELDS = "unknown fields"
    """Carried out; the objects of the answer have a field that nobody has heard of."""
    TORN = "torn"
    """Carried out; the connection breaks in the middle of the answer."""


class StreamFault(StrEnum):
    """What becomes of one message of a stream."""

    NONE = "none"
    LOST = "lost"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    """It comes after the next one, `delay_s` later at most."""
    STALL = "stall"
    """It and all that follow on its stream wait `delay_s`, in order."""
    BREAK = "break"
    """The connection breaks in the middle of it."""


class TimedFault(StrEnum):
    """What happens on its own, at `from_s` and then every `every_s`."""

    EXPIRE_LISTEN_KEYS = "expire listen keys"
    DISCONNECT = "disconnect"
    """Every WebSocket is closed."""
    CLOCK_SKEW = "clock skew"
    """The clock that judges requests runs `skew_s` ahead (negative: behind) from `from_s` to `until_s`."""


Fault = RequestFault | StreamFault | TimedFault
_FAULTS: dict[str, Fault] = {
    fault.value: fault for kind in (RequestFault, StreamFault, TimedFault) for fault in kind if fault.value != "none"
}
_MAX_S = 1e9


@dataclass(slots=True)
class FaultRule:
    """One line of a script. Times in seconds of the script."""

    fault: Fault
    where: str = "*"
    probability: float = 1.0
    count: int | None = None
    """It happens so often at most."""
    skip: int = 0
    """It spares the first so many that it would apply to."""
    from_s: float = 0.0
    until_s: float | None = None
    every_s: float | None = None
    """Timed faults only: they happen again."""
    delay_s: float = 1.0
    status: int = 503
    code: int = -1007
    message: str = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    retry_after_s: int = 1
    skew_s: float = 0.0
    seen: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)

    @classmethod
    def parse(cls, data: Any) -> FaultRule:
        """A rule of a JSON object. Raises ConfigurationError saying what is wrong with it."""
        if not isinstance(data, dict) or data.get("fault") not in _FAULTS:
            raise ConfigurationError(f"a fault rule needs a fault, one of: {', '.join(_FAULTS)}")
        rule = cls(_FAULTS[data["fault"]])
        known = {entry.name: entry for entry in fields(cls) if entry.init}
        for name, value in data.items():
            if name not in known:
                raise ConfigurationError(f"fault rule {data['fault']!r}: {name!r} is not one of: {', '.join(known)}")
            if name == "fault":
                continue
            if not cls._legal(name, value):
                raise ConfigurationError(f"fault rule {data['fault']!r}: {name} cannot be {value!r}")
            setattr(rule, name, value)
        return rule

    @staticmethod
    def _legal(name: str, value: Any) -> bool:
        if name in ("where", "message"):
            return isinstance(value, str) and len(value) <= 1000
        if name in ("count", "until_s", "every_s") and value is None:
            return True
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if name in ("count", "skip", "retry_after_s"):
            return isinstance(value, int) and 0 <= value <= _MAX_S
        if name in ("status", "code"):
            return isinstance(value, int) and (400 <= value <= 599 if name == "status" else abs(value) < 10**6)
        if name == "probability":
            return 0 <= value <= 1
        if name == "skew_s":
            return abs(value) <= _MAX_S
        return (value > 0 if name == "every_s" else value >= 0) and value <= _MAX_S

    def to_wire(self) -> dict[str, Any]:
        """As JSON, with what it has done so far."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def applies(self, what: str, now_s: float, rng: random.Random) -> bool:
        """Whether it happens to `what` now; counts."""
        if now_s < self.from_s or (self.until_s is not None and now_s >= self.until_s):
            return False
        if (self.count is not None and self.fired >= self.count) or not fnmatchcase(what, self.where):
            return False
        self.seen += 1
        if self.seen <= self.skip or rng.random() >= self.probability:
            return False
        self.fired += 1
        return True


class FaultScript:
    """The rules in force. `now_ns` gives the time; the script starts with the first `load`."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._start_ns = 0
        self._rng = random.Random(0)
        self._requests: list[FaultRule] = []
        self._messages: list[FaultRule] = []
        self._timed: list[FaultRule] = []
        self.seed = 0

    @staticmethod
    def parse(text: str | bytes) -> tuple[int, list[FaultRule]]:
        """Seed and rules of a script in JSON. Raises ConfigurationError."""
        try:
            data = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(f"the fault script is not JSON: {error}") from None
        if not isinstance(data, dict) or not isinstance(data.get("rules", []), list) or data.keys() - {"seed", "rules"}:
            raise ConfigurationError('a fault script is {"seed": number, "rules": [...]}')
        seed = data.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ConfigurationError(f"the seed of a fault script cannot be {seed!r}")
        return seed, [FaultRule.parse(rule) for rule in data.get("rules", [])]

    def load(self, rules: Iterable[FaultRule], seed: int = 0) -> None:
        """Replace all rules and start anew: time, counts and chance."""
        self.clear()
        self.seed = seed
        self._start_ns = self._now_ns()
        self._rng = random.Random(f"faults {seed}")
        for rule in rules:
            self.add(rule)

    def add(self, rule: FaultRule) -> None:
        """One more rule, after the others."""
        if not self._start_ns:
            self._start_ns = self._now_ns()
        kinds = {RequestFault: self._requests, StreamFault: self._messages, TimedFault: self._timed}
        kinds[type(rule.fault)].append(rule)

    def clear(self) -> None:
        """No more faults."""
        self._requests.clear()
        self._messages.clear()
        self._timed.clear()

    @property
    def now_s(self) -> float:
        """Seconds since the script was loaded."""
        return (self._now_ns() - self._start_ns) / NS_PER_S

    @property
    def time_ms(self) -> int:
        """The venue's time."""
        return self._now_ns() // NS_PER_MS

    @property
    def spares_messages(self) -> bool:
        """Whether there is no rule for messages at all."""
        return not self._messages

    @property
    def spares_requests(self) -> bool:
        return not self._requests

    def request(self, what: str) -> FaultRule | None:
        """The rule that happens to the request `what`, if any."""
        return self._first(self._requests, what)

    def message(self, what: str) -> FaultRule | None:
        """The rule that happens to the message `what`, if any."""
        return self._first(self._messages, what)

    def _first(self, rules: list[FaultRule], what: str) -> FaultRule | None:
        now_s = self.now_s
        return next((rule for rule in rules if rule.applies(what, now_s, self._rng)), None)

    def due(self) -> list[FaultRule]:
        """The timed rules whose time has come; each is due once, or every `every_s`."""
        now_s = self.now_s
        found = []
        for rule in self._timed:
            if rule.fault is TimedFault.CLOCK_SKEW or (rule.count is not None and rule.fired >= rule.count):
                continue
            if rule.until_s is not None and now_s >= rule.until_s:
                continue
            due_s = rule.from_s + rule.fired * (rule.every_s or 0.0)
            if now_s >= due_s and (rule.every_s or not rule.fired):
                rule.fired += 1
                found.append(rule)
        return found

    def skew_ns(self) -> int:
        """How far the clock that judges requests runs ahead now."""
        now_s = self.now_s
        return sum(
            int(rule.skew_s * NS_PER_S)
            for rule in self._timed
            if rule.fault is TimedFault.CLOCK_SKEW
            and rule.from_s <= now_s
            and (rule.until_s is None or now_s < rule.until_s)
        )

    def to_wire(self) -> dict[str, Any]:
        """The script with its counts, as JSON."""
        rules = [*self._requests, *self._messages, *self._timed]
        return {"seed": self.seed, "now_s": self.now_s, "rules": [rule.to_wire() for rule in rules]}
