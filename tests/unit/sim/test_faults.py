"""The fault script: what it accepts, which rule applies when, and that chance is its seed's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtxconn.errors import ConfigurationError
from qtxconn.sim.faults import FaultRule, FaultScript, RequestFault, StreamFault
from qtxconn.sim.model import NS_PER_S, SimClock


@pytest.fixture
def script(clock) -> FaultScript:
    return FaultScript(clock.now_ns)


def rule(fault: str, **more) -> FaultRule:
    return FaultRule.parse({"fault": fault, **more})


def wait(clock: SimClock, seconds: float) -> None:
    clock.advance_to(clock.now_ns() + int(seconds * NS_PER_S))


def test_a_script_of_json() -> None:
    text = '{"seed": 7, "rules": [{"fault": "banned", "where": "GET *", "retry_after_s": 120}, {"fault": "lost"}]}'
    seed, [banned, lost] = FaultScript.parse(text)
    assert (seed, banned.fault, banned.where, banned.retry_after_s) == (7, RequestFault.BANNED, "GET *", 120)
    assert (lost.fault, lost.where, lost.probability) == (StreamFault.LOST, "*", 1.0)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"rules": {}}',
        '{"rule": []}',
        '{"seed": "x"}',
        '{"rules": [{}]}',
        '{"rules": [{"fault": "none"}]}',
        '{"rules": [{"fault": "melted"}]}',
        '{"rules": [{"fault": "lost", "wher": "*"}]}',
        '{"rules": [{"fault": "lost", "probability": 2}]}',
        '{"rules": [{"fault": "lost", "count": 1.5}]}',
        '{"rules": [{"fault": "lost", "count": true}]}',
        '{"rules": [{"fault": "lost", "status": 200}]}',
        '{"rules": [{"fault": "lost", "delay_s": -1}]}',
        '{"rules": [{"fault": "disconnect", "every_s": 0}]}',
        '{"rules": [{"fault": "lost", "where": 3}]}',
    ],
)
def test_what_is_no_script_is_refused(text) -> None:
    with pytest.raises(ConfigurationError):
        FaultScript.parse(text)


@given(st.text(max_size=40) | st.recursive(st.none() | st.integers() | st.text(max_size=9), st.lists).map(str))
def test_any_text_is_a_script_or_refused(text) -> None:
    try:
        FaultScript.parse(text)
    except ConfigurationError:
        pass


def test_the_first_rule_that_applies_decides(script) -> None:
    script.load([rule("banned", where="GET *"), rule("late", where="*order*")])
    assert script.request("GET /fapi/v1/order").fault is RequestFault.BANNED
    assert script.request("POST /fapi/v1/order").fault is RequestFault.LATE
    assert script.request("POST /fapi/v1/leverage") is None
    assert script.message("user ORDER_TRADE_UPDATE") is None


def test_count_skip_and_times(script, clock) -> None:
    script.load([rule("late", skip=1, count=2, from_s=1, until_s=10)])
    hits = []
    for _ in range(5):
        hits.append(script.request("x") is not None)
        wait(clock, 0.9)
    assert hits == [False, False, False, True, True]  # before its time, before its time, spared, twice
    assert script.request("x") is None
    script.load([rule("late", until_s=1)])
    wait(clock, 1)
    assert script.request("x") is None


def test_chance_is_the_seeds(script) -> None:
    def draw(seed: int) -> list[bool]:
        script.load([rule("lost", probability=0.3)], seed)
        return [script.message("m") is not None for _ in range(1_000)]

    assert draw(1) == draw(1) != draw(2)
    assert 230 < sum(draw(3)) < 370


def test_timed_faults(script, clock) -> None:
    script.load([rule("disconnect", from_s=5), rule("expire listen keys", from_s=2, every_s=2, count=2)])
    seen = []
    for _ in range(10):
        wait(clock, 1)
        seen += [(round(script.now_s), str(due.fault)) for due in script.due()]
    assert seen == [(2, "expire listen keys"), (4, "expire listen keys"), (5, "disconnect")]


def test_clock_skew_holds_between_its_times(script, clock) -> None:
    script.load([rule("clock skew", skew_s=-5, from_s=1, until_s=2)])
    seen = []
    for _ in range(3):
        seen.append(script.skew_ns() / NS_PER_S)
        wait(clock, 1)
    assert seen == [0, -5, 0]
    assert not script.due()
    script.clear()
    assert script.skew_ns() == 0


def test_rules_show_what_they_did(script) -> None:
    script.add(rule("lost", skip=1))
    for _ in range(3):
        script.message("m")
    [shown] = script.to_wire()["rules"]
    assert (shown["fault"], shown["seen"], shown["fired"]) == ("lost", 3, 2)
