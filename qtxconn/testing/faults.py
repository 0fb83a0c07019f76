"""Fault plans: what goes wrong between a connector and a venue, drawn from a seed, a random subset for each."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from qtxconn.sim.faults import RequestFault, StreamFault

RETRY_AFTER_S = {RequestFault.RATE_LIMITED: 1.0, RequestFault.BANNED: 20.0}
READ_LAG_MAX_S = 2.0  # the time after which "no such order" counts must be longer
# The faults that both worlds of the simulation know, in the order in which they are drawn.
REQUEST_FAULTS = (
    RequestFault.REFUSED,
    RequestFault.LOST_REQUEST,
    RequestFault.LOST_ANSWER,
    RequestFault.RESET_BEFORE,
    RequestFault.RESET_AFTER,
    RequestFault.RESET_THEN_LATE,
    RequestFault.LATE,
    RequestFault.ERROR_BEFORE,
    RequestFault.ERROR_AFTER,
    RequestFault.RATE_LIMITED,
    RequestFault.BANNED,
)
STREAM_FAULTS = (StreamFault.DUPLICATE, StreamFault.REORDER, StreamFault.BREAK)


@dataclass(frozen=True, slots=True)
class Outage:
    """No request and no message gets through from `start_s` to `end_s` of virtual time."""

    start_s: float
    end_s: float


@dataclass
class FaultPlan:
    """One seed's faults. `FaultPlan.draw` makes one; `heal` ends them all."""

    rng: random.Random
    latency_s: float = 0.001  # mean of one way
    request_faults: dict[RequestFault, float] = field(default_factory=dict)  # probability of each
    stream_faults: dict[StreamFault, float] = field(default_factory=dict)
    read_lag_s: float = 0.0  # for so long the venue's queries do not see a new order
    outages: tuple[Outage, ...] = ()
    clock_steps: tuple[tuple[float, float], ...] = ()  # (when, seconds by which the client's wall clock jumps)
    kills_s: tuple[float, ...] = ()  # when the client's process dies
    kill_connecting: float = 0.0  # probability that a process dies before it is connected, too
    journal_records: int | None = None  # capacity of the client's journal; None: it has none
    listen_key_s: float | None = None  # life of a listen key, where the venue has such; None: the usual hour
    chunked: bool = False  # bytes arrive in pieces
    funding_s: float | None = None  # when the venue settles funding; None: not in this run
    order_stream: bool = False  # orders go over a WebSocket, where the connector can do that
    countdown_s: float = 60.0  # of the dead-man's switch, where there is one; 0: off
    started_s: float | None = None  # virtual time from which on there are faults; outages count from it
    paused: bool = False

    @classmethod
    def draw(cls, seed: int, duration_s: float) -> FaultPlan:
        """The plan of a seed for a run of `duration_s`: every kind is on in some seeds only, and then now and then or
        often. Kinds that are always on a little hide each other's failures."""
        rng = random.Random(f"faults {seed}")
        calm = rng.random() < 0.05
        weights = (0.0, 0.0, 0.0, 0.05, 0.25)
        plan = cls(rng, latency_s=rng.choice((0.0005, 0.005, 0.05, 0.3)))
        if calm:
            return plan
        plan.request_faults = {kind: p for kind in REQUEST_FAULTS if (p := rng.choice(weights))}
        plan.stream_faults = {kind: p for kind in STREAM_FAULTS if (p := rng.choice(weights))}
        if StreamFault.BREAK in plan.stream_faults:
            plan.stream_faults[StreamFault.BREAK] /= 3  # each costs a reconnect: more would be an outage
        if RequestFault.BANNED in plan.request_faults:
            plan.request_faults[RequestFault.BANNED] /= 10  # each costs twenty seconds
        plan.read_lag_s = rng.choice((0.0, 0.0, 0.2, READ_LAG_MAX_S))
        plan.outages = tuple(
            Outage(start, start + rng.choice((0.5, 3.0, 15.0)))
            for start in sorted(rng.uniform(0.0, duration_s) for _ in range(rng.choice((0, 0, 1, 2))))
        )
        plan.clock_steps = tuple(
            (rng.uniform(0.0, duration_s), rng.choice((-5.0, -0.5, 0.5, 5.0)))
            for _ in range(rng.choice((0, 0, 0, 1, 3)))
        )
        plan.chunked = rng.random() < 0.3
        plan.listen_key_s = rng.choice((None, None, 4.0, 15.0))
        plan.funding_s = rng.uniform(0.0, duration_s) if rng.random() < 0.25 else None
        plan.countdown_s = rng.choice((0.0, 12.0, 60.0))
        plan.order_stream = rng.random() < 0.25
        if rng.random() < 0.25:
            plan.kills_s = tuple(sorted(rng.uniform(0.0, duration_s) for _ in range(rng.choice((1, 1, 2, 3)))))
            plan.kill_connecting = rng.choice((0.0, 0.0, 0.4))
            # Small ones are rolled in the middle of it; without one the next process knows nothing of this one.
            plan.journal_records = rng.choice((None, 24, 64, 1024, 1024))
        return plan

    def __str__(self) -> str:
        requests = {kind.value: p for kind, p in self.request_faults.items()}
        streams = {kind.value: p for kind, p in self.stream_faults.items()}
        return (
            f"latency {self.latency_s} s, requests {requests}, stream {streams}, read lag {self.read_lag_s} s, "
            f"outages {[(round(o.start_s, 3), round(o.end_s, 3)) for o in self.outages]}, clock steps "
            f"{len(self.clock_steps)}, kills {[round(s, 3) for s in self.kills_s]} {self.kill_connecting}, journal "
            f"{self.journal_records}, listen key {self.listen_key_s} s, chunked {self.chunked}, funding "
            f"{self.funding_s and round(self.funding_s, 3)}, countdown {self.countdown_s} s, order stream "
            f"{self.order_stream}"
        )

    def start(self, now_s: float) -> None:
        """The faults begin."""
        self.started_s = now_s

    def pause(self) -> None:
        """No faults for now."""
        self.paused = True

    def go_on(self) -> None:
        """Faults again, if they were paused."""
        self.paused = False

    def heal(self) -> None:
        """From here on everything works, without much delay."""
        self.latency_s = min(self.latency_s, 0.05)
        self.request_faults = {}
        self.stream_faults = {}
        self.read_lag_s = 0.0
        self.outages = ()
        self.kill_connecting = 0.0
        self.chunked = False

    def in_outage(self, now_s: float) -> bool:
        if self.started_s is None or self.paused:
            return False
        return any(outage.start_s <= now_s - self.started_s < outage.end_s for outage in self.outages)

    def delay_s(self) -> float:
        """One way of one message."""
        return self.rng.expovariate(1.0) * self.latency_s

    def late_s(self) -> float:
        """Of a request that is late: around what a client waits for, and around what a venue still takes."""
        return self.rng.uniform(0.5, 20.0)

    def after_reset_s(self) -> float:
        """Of a request whose connection is gone: the venue still takes it, after it has been asked about."""
        return self.rng.uniform(0.1, 4.5)

    def request_fault(self, now_s: float) -> RequestFault:
        if self.started_s is None or self.paused:
            return RequestFault.NONE
        if self.in_outage(now_s):
            return self.rng.choice((RequestFault.REFUSED, RequestFault.LOST_REQUEST))
        for kind, probability in self.request_faults.items():
            if self.rng.random() < probability:
                return kind
        return RequestFault.NONE

    def stream_fault(self, now_s: float) -> StreamFault:
        if self.started_s is None or self.paused:
            return StreamFault.NONE
        if self.in_outage(now_s):
            return StreamFault.BREAK
        for kind, probability in self.stream_faults.items():
            if self.rng.random() < probability:
                return kind
        return StreamFault.NONE
