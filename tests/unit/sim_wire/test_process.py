"""The market driver, accounts on the command line, hosts, and `--help` at no cost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.cli.venue import check_host, parse_account
from qtxconn.sim import process
from qtxconn.sim.model import NS_PER_MS, NS_PER_S, SimClock
from qtxconn.sim.process import STEP_MAX_NS, drive_market


class EvenMarket:
    """An event every millisecond, `count` of them; notes what it was stepped to and when."""

    finished = False

    def __init__(self, clock: SimClock, start_ns: int, count: int) -> None:
        self.clock = clock
        self.due = [start_ns + i * NS_PER_MS for i in range(count)]
        self.steps: list[tuple[int, int]] = []

    def next_event_ns(self) -> int | None:
        return self.due[0] if self.due else None

    def step(self, until_ns: int) -> int:
        before = len(self.due)
        self.due = [due for due in self.due if due > until_ns]
        self.steps.append((until_ns, self.clock.now_ns()))
        return before - len(self.due)


async def test_a_market_behind_schedule_catches_up_in_short_steps_with_turns_for_others(caplog) -> None:
    clock = SimClock()
    start_ns = clock.now_ns()
    market = EvenMarket(clock, start_ns, 1_000)
    clock.advance_to(start_ns + NS_PER_S)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await drive_market(market, clock)
    task.cancel()
    assert turns >= len(market.steps) >= 1_000 // 6
    assert all(until <= clock.now_ns() for until, _ in market.steps)
    assert market.steps[0][0] == start_ns + STEP_MAX_NS
    [record] = [r for r in caplog.records if r.levelname == "WARNING"]
    assert "behind schedule" in record.message


async def test_a_market_on_schedule_is_never_stepped_early(monkeypatch) -> None:
    clock = SimClock()
    market = EvenMarket(clock, clock.now_ns() + NS_PER_S, 50)
    due = list(market.due)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.advance_to(clock.now_ns() + int(seconds * NS_PER_S) + 100_000)  # a timer is a little late

    monkeypatch.setattr(process.asyncio, "sleep", sleep)
    await drive_market(market, clock)
    assert [at for _, at in market.steps] == [d + 100_000 for d in due]  # late, but delays do not add up
    assert sum(slept) > 0


async def test_the_end_of_a_market_ends_its_driver() -> None:
    clock = SimClock()
    await drive_market(EvenMarket(clock, clock.now_ns(), 0), clock)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("k:s", ("k", "s", "", Decimal(100_000))),
        ("k:s:p", ("k", "s", "p", Decimal(100_000))),
        ("k:s::5000", ("k", "s", "", Decimal(5000))),
        ("k:s:p:0.5", ("k", "s", "p", Decimal("0.5"))),
        ("k:s:p:", ("k", "s", "p", Decimal(100_000))),
    ],
)
def test_accounts(text, expected) -> None:
    account = parse_account(text)
    assert (account.api_key, account.api_secret, account.passphrase, account.balance) == expected
    assert "'s'" not in repr(account)


@given(
    st.text(max_size=30),
    st.sampled_from(["", ":hush::x", ":hush::-1", ":hush::nan", ":hush:a:b:c", ": hush"]),
)
def test_a_malformed_account_never_shows_its_secret(key, rest) -> None:
    with pytest.raises(click.BadParameter) as caught:
        parse_account(key.replace("hush", "").replace(":", "") + rest)
    assert "hush" not in caught.value.format_message()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_loopback_hosts(host) -> None:
    assert check_host(host, False).startswith("127.0.0.")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_other_hosts_must_be_wanted(host) -> None:
    with pytest.raises(click.BadParameter, match="--allow-non-loopback"):
        check_host(host, False)
    assert check_host(host, True) == host


def test_help_imports_no_command(root: Path) -> None:
    code = (
        "import sys\nfrom qtxconn.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "assert 'aiohttp' not in sys.modules and 'qtxconn.cli.venue' not in sys.modules\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "venue" in result.stdout
    assert "demo" in result.stdout
