"""`qtxconn bench`: what it prints and writes, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qtxconn.cli.bench import bench, find_checkout
from qtxconn.errors import ConfigurationError, QtxconnError


def invoke(root: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(bench, ["--directory", str(root), *map(str, arguments)], standalone_mode=False)


def test_it_lists_the_jobs_with_their_questions(root: Path) -> None:
    told = invoke(root, "--list").output
    assert "tick_to_trade" in told
    assert "A price changes at the venue: how long until the venue has our order?" in told


def test_it_writes_json_and_histograms_and_compares(root: Path, tmp_path: Path) -> None:
    report_path, directory = tmp_path / "report.json", tmp_path / "histograms"
    first = invoke(root, "probe", "journal-record", "--quick", "--json", report_path, "--hgrm", directory)
    assert first.exit_code == 0, first.output
    report = json.loads(report_path.read_text())
    assert [job["name"] for job in report["jobs"]] == ["probe", "journal-record"]
    assert {"processor", "kernel", "governor", "commit", "compiler", "python"} <= set(report["environment"])
    assert report["jobs"][0]["rows"][0]["median"] > 0
    names = sorted(path.name for path in directory.iterdir())
    assert names == [f"journal-record.{row}.hgrm" for row in ("copy-248-B-and-release", "fill", "intent")]
    again = invoke(root, "probe", "--quick", "--compare", report_path)
    assert again.return_value in (0, 1), again.output
    assert "beside the older run" in again.output


def test_it_writes_one_offline_page(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    page = tmp_path / "report.html"
    assert invoke(root, "journal-record", "--quick", "--html", page).exit_code == 0
    text = page.read_text()
    assert "Plotly.newPlot" in text
    assert "src=" not in text.partition("</script>")[2]  # nothing is fetched
    assert "What does it cost to have an order on record before it leaves?" in text


def test_the_page_is_refused_before_anything_is_measured(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke(root, "--html", tmp_path / "report.html")
    assert isinstance(result.exception, QtxconnError)
    assert "pip install 'qtxconn[bench]'" in str(result.exception)


def test_outside_a_checkout_it_says_what_to_do(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="they are part of a checkout of qtxconn"):
        find_checkout(tmp_path)
    monkeypatch.chdir(root / "docs")
    assert find_checkout(None) == root


def test_a_report_of_something_else_is_refused(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"a": 1}')
    result = invoke(root, "probe", "--compare", other)
    assert isinstance(result.exception, ConfigurationError)
    assert "is no report of 'qtxconn bench --json'" in str(result.exception)


def test_an_unknown_benchmark_is_refused(root: Path) -> None:
    result = invoke(root, "nothing")
    assert isinstance(result.exception, QtxconnError)
    assert "there are" in str(result.exception)
