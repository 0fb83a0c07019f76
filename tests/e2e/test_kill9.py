"""kill -9 of a trading process, again and again: no order is lost, none is sent twice, the amounts are the venue's."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import random
import signal
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from qtxconn.sim.launch import VenueProcess

KEY, SECRET = "kill9-canary-key", "kill9-canary-secret"
TRADER = Path(__file__).with_name("kill9_trader.py")
KILLS = int(os.environ.get("QTXCONN_KILLS", "20"))
KILLS_AT_A_VENUE = 20  # each connect() costs weight, and a minute has 2,400
READY_S = 60.0
TRADES_S = 3.0  # the longest that a process which kills itself is waited for
POINTS = [
    "outside", "journalled and tracked, not sent", "outside", "on its way", "accepted, not heard", "outside",
    "cancelled, not heard", "filled", "created", "asking", "on its way",
]  # fmt: skip
ENDED = {"FILLED", "CANCELED", "EXPIRED", "REJECTED"}

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120 + 10 * KILLS)]


class Ledger:
    """What the venue has, and what the processes have said so far."""

    def __init__(self, venue: VenueProcess, session: aiohttp.ClientSession) -> None:
        self._rest, self._session = venue.endpoints["rest"], session
        self.orders: dict[str, dict[str, Any]] = {}
        self.known: dict[str, list[str]] = {}

    async def _get(self, path: str, **params: Any) -> Any:
        query = urlencode(params | {"timestamp": time.time_ns() // 1_000_000, "recvWindow": 5000})
        signature = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self._rest}{path}?{query}&signature={signature}"
        async with self._session.get(url, headers={"X-MBX-APIKEY": KEY}) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def read(self) -> None:
        """All orders of the venue. One that was sent twice would be there twice."""
        after = 1
        seen = {}
        while page := await self._get("/fapi/v1/allOrders", symbol="BTCUSDT", orderId=after, limit=1000):
            for order in page:
                assert order["clientOrderId"] not in seen, f"{order['clientOrderId']} was sent twice"
                seen[order["clientOrderId"]] = order
            after = max(order["orderId"] for order in page) + 1
        assert self.orders.keys() <= seen.keys()
        self.orders = seen

    async def position(self) -> Decimal:
        rows = await self._get("/fapi/v2/positionRisk", symbol="BTCUSDT")
        return sum((Decimal(row["positionAmt"]) for row in rows), Decimal(0))

    def compare(self, said: list[list[str]], every: bool) -> None:
        """`every`: the file has not been rolled, so that it knows each order there ever was."""
        self.known |= {order[0]: order for order in said}
        restored = {order[0] for order in said}
        for order_id, state, executed, _ in said:
            there = self.orders.get(order_id)
            if there is None:
                assert (state, Decimal(executed)) == ("FAILED", 0), f"{order_id} is {state}, and the venue has none"
                continue
            assert Decimal(executed) == Decimal(there["executedQty"]), f"{order_id}: {executed} of {there}"
            assert (state in {"OPEN", "PARTIALLY_FILLED"}) == (there["status"] not in ENDED), (
                f"{order_id}: {state} {there}"
            )
        for order_id, there in self.orders.items():
            if every or there["status"] not in ENDED:
                assert order_id in restored, f"{order_id} was lost: {there}"

    def exposure(self) -> Decimal:
        return sum(
            (Decimal(executed) * (1 if side == "BUY" else -1) for _, _, executed, side in self.known.values()),
            Decimal(0),
        )


def files_with(directory: Path, *secrets: str) -> list[Path]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path for path in files if any(secret.encode() in path.read_bytes() for secret in secrets)]


async def live_and_die(ledger: Ledger, arguments: dict[str, Any], chance: random.Random, every: bool) -> None:
    """One process: what it restores is compared with the venue, then it trades until it is dead."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(TRADER), json.dumps(arguments),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )  # fmt: skip
    errors = asyncio.ensure_future(process.stderr.read())
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY_S)
        if line:
            await ledger.read()
            ledger.compare(json.loads(line)["orders"], every)
            if every:
                assert ledger.exposure() == await ledger.position()
            process.stdin.write(b"go\n")
            outside = arguments["kill"] == "outside"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), chance.random() * 0.5 if outside else TRADES_S)
    finally:
        # Not process.kill(): it looks first whether the process has ended, and then nobody learns how.
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        text = (await errors).decode()
        process._transport.close()
    assert process.returncode == -9, text
    assert SECRET not in text
    assert line or arguments["kill"] in ("asking", "filled", "created"), f"it ended before it was ready:\n{text}"


async def kill_again_and_again(directory: Path, capacity: int, numbers: range) -> None:
    """A venue, a journal, and a process for each number; then one more, to compare what the last has left."""
    chance = random.Random(f"kill9 {capacity} {numbers}")
    kept_whole = capacity > 64
    options = ["--speak", "binance", "--account", f"{KEY}:{SECRET}::10000000", "--seed", "5"]
    async with VenueProcess(options) as venue, aiohttp.ClientSession() as session:
        ledger = Ledger(venue, session)
        arguments = {
            "endpoints": venue.endpoints,
            "key": KEY,
            "secret": SECRET,
            "journal": str(directory / "orders.journal"),
            "capacity": capacity,
        }
        for number in numbers:
            point = POINTS[number % len(POINTS)]
            arguments |= {"kill": point, "after": chance.randrange(8), "seed": number}
            await live_and_die(ledger, arguments, chance, kept_whole)
        await live_and_die(ledger, arguments | {"kill": "outside", "after": 0}, chance, kept_whole)
        assert len(ledger.orders) > len(numbers)  # it did trade
    assert not files_with(directory, KEY, SECRET)


@pytest.mark.parametrize(("capacity", "share"), [(65_536, 0.7), (64, 0.3)], ids=["kept whole", "rolled all the time"])
async def test_kill9(capacity: int, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTXCONN_STATE_DIR", str(tmp_path / "state"))
    kills = max(2, round(KILLS * share))
    for first in range(0, kills, KILLS_AT_A_VENUE):
        directory = tmp_path / str(first)
        await kill_again_and_again(directory, capacity, range(first, min(first + KILLS_AT_A_VENUE, kills)))
