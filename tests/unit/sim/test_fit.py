"""Fitting: the committed figures are what the recording gives; the parts on made-up data; errors."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from qtxconn.sim.fit import aggressors, distribution, gap_cv2, main, prints_of, sign_lean
from qtxconn.sim.flow_model import BIN_EDGES


@pytest.mark.recording
def test_refitting_gives_the_committed_figures(shared_dir, tmp_path):
    out = tmp_path / "flow.json"
    assert main([str(shared_dir / "data/binance-usdm/btcusdt_20240808.gz"), "--out", str(out)]) == 0
    assert out.read_bytes() == resources.files("qtxconn.sim").joinpath("flow_btcusdt.json").read_bytes()


def test_distribution_keeps_the_mean():
    values = np.arange(1.0, 1001.0)
    means = distribution(values)
    widths = np.diff([0.0, *BIN_EDGES])
    assert float(np.dot(means, widths)) == pytest.approx(values.mean())
    assert means == sorted(means)
    assert distribution([3.0]) == [3.0] * len(BIN_EDGES)


def test_aggressors_are_prints_of_one_time_and_side():
    prints = np.array([(1, 10, 2, 1), (1, 10, 3, 1), (1, 9, 4, -1), (2, 9, 1, -1), (2, 8, 5, -1)])
    at_touch, every = aggressors(prints)
    assert every.tolist() == [[1, 1, 5, 1, 2], [1, -1, 4, 1, 1], [2, -1, 6, 2, 2]]
    assert at_touch.tolist() == every[:2].tolist()


def test_sign_lean_finds_what_was_put_in():
    rng = np.random.default_rng(1)
    bias, switch, lean, signs = 0.6, 0.02, 1, []
    for _ in range(60_000):
        if rng.random() < switch:
            lean = -lean
        signs.append(lean if rng.random() < (1 + bias) / 2 else -lean)
    found_bias, found_switch = sign_lean(np.array(signs))
    assert found_bias == pytest.approx(bias, rel=0.1)
    assert found_switch == pytest.approx(switch, rel=0.2)
    assert sign_lean(np.array([1, -1] * 50))[1] <= 0.5


def test_prints_power_law():
    lots = np.array([1, 4, 16, 64, 256])
    every = np.column_stack([lots, lots, lots, lots, np.array([2, 4, 8, 16, 32])])
    factor, power = prints_of(every)
    assert (factor, power) == (pytest.approx(2.0), pytest.approx(0.5))


def test_gap_cv2_of_a_regular_and_a_random_process():
    assert gap_cv2(np.arange(0, 1000, 10)) == 0
    random = np.cumsum(np.random.default_rng(1).exponential(10, 20_000))
    assert gap_cv2(random) == pytest.approx(1, rel=0.05)


def test_missing_recording_is_one_line_and_status_2(tmp_path, capsys):
    assert main([str(tmp_path / "none.gz"), "--out", str(tmp_path / "x.json")]) == 2
    error = capsys.readouterr().err
    assert "does not exist" in error
    assert error.count("\n") == 1
