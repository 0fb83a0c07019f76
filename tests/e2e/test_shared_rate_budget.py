"""Two processes trade for one account within one rate limit of the venue, and one that is killed blocks nobody."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from qtxconn.sim.binance.limits import Limits
from qtxconn.sim.binance.server import BinanceServer
from qtxconn.sim.model import Instrument, Side
from qtxconn.sim.process import WallClock
from qtxconn.sim.venue import Venue

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

KEY, SECRET = "budget-key", "budget-secret"
TRADER = Path(__file__).with_name("budget_trader.py")
LIMIT = 30


@pytest.fixture
async def server() -> AsyncIterator[BinanceServer]:
    venue = Venue([Instrument("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.001"))], WallClock())
    engine = venue.engine("BTCUSDT")
    engine.add_ambient(Side.BUY, 600_000, 1_000)
    engine.add_ambient(Side.SELL, 600_001, 1_000)
    engine.publish()
    venue.open_account(KEY, SECRET)
    server = BinanceServer(venue, limits=Limits(orders_10s=LIMIT))
    await server.start()
    yield server
    await server.stop()


async def start(server: BinanceServer, rate_budget: str, orders: int) -> asyncio.subprocess.Process:
    endpoints = orjson.dumps(server.endpoints()).decode()
    command = (str(TRADER), endpoints, KEY, SECRET, rate_budget, str(orders), str(LIMIT))
    return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)


async def test_two_connectors_never_exceed_the_limit_and_a_killed_one_does_not_block_the_other(
    server: BinanceServer, tmp_path: Path
) -> None:
    traders = [await start(server, str(tmp_path), LIMIT) for _ in range(2)]
    try:
        for trader in traders:
            for _ in range(5):
                assert await trader.stdout.readline() == b"placed\n"
        traders[0].kill()
        output, _ = await traders[1].communicate()
        assert output.splitlines() == [b"placed"] * (LIMIT - 5)  # beyond what was left of the first window
        assert traders[1].returncode == 0
        assert not server.rates.refusals
    finally:
        for trader in traders:
            if trader.returncode is None:
                trader.kill()
            await trader.wait()


async def test_without_a_shared_budget_they_do(server: BinanceServer) -> None:
    traders = [await start(server, "local", LIMIT) for _ in range(2)]
    await asyncio.gather(*(trader.communicate() for trader in traders))
    assert server.rates.refusals[429]
