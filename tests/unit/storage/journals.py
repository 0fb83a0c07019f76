"""What the journal's tests share: an exchange with a journal, run after run at the same venue."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from qtxconn.storage.journal import OrderJournal

from ..core.conftest import PAIR, MemoryExchange, MemoryVenue, StepClock, settle, trade_update, turns

__all__ = [
    "PAIR",
    "Account",
    "MemoryVenue",
    "Run",
    "StepClock",
    "damage",
    "patch",
    "run",
    "settle",
    "trade_update",
    "turns",
]

RECORD = 256


class Account(MemoryExchange):
    """The exchange in memory, with an account's name."""

    account = "api-key-of-the-test"

    def _account_name(self) -> str:
        return self.account


@dataclasses.dataclass
class Run:
    """One process's life: its connector and its journal."""

    exchange: Account
    journal: OrderJournal
    clock: StepClock

    def buy(self, amount: str = "0.01", price: str = "59000") -> str:
        return self.exchange.buy(PAIR, amount, price=price)


@asynccontextmanager
async def run(path: Path, venue: MemoryVenue, *, connect: bool = True, **options: Any) -> AsyncIterator[Run]:
    """A connector on the journal at `path` and this venue. What it leaves at the end is what a killed process leaves:
    nothing is ended, and disconnecting is not written down."""
    names = ("client_order_id_prefix",)
    own = {name: options.pop(name) for name in names if name in options}
    journal = OrderJournal(path, **options)
    clock = StepClock()
    exchange = Account(clock=clock, journal=journal, **own)
    exchange.venue = venue
    exchange.cancel_answer = venue.report
    try:
        if connect:
            await exchange.connect()
        yield Run(exchange, journal, clock)
    finally:
        journal.close()
        exchange.fail.clear()
        for event in exchange.hold.values():
            event.set()
        await exchange.disconnect()


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def damage(path: Path, record: int, at: int = 40) -> None:
    """Flips a bit of a record (0 is the first)."""
    offset = (record + 1) * RECORD + at
    byte = path.read_bytes()[offset]
    patch(path, offset, bytes([byte ^ 1]))
