"""The report as one offline HTML page: a sentence, a table and percentile plots for each job, plotly's code inlined."""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from benchmarks.harness.jobs import BenchError
from benchmarks.harness.results import compare, saturation
from benchmarks.harness.table import PERCENTILE_COLUMNS, format_facts, format_figure, format_ratio, ratio_title
from qtxconn.perf.report import format_duration, percentile_distribution

COLOURS = {"limit": ("#0b7285", "#3bc9db"), "ours": ("#c92a2a", "#ff8787", "#862e9c"), "peer": ("#495057", "#adb5bd")}
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
MARKED = (0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #212529; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; }
h2 { font-size: 1.3rem; margin-top: 3rem; border-top: 1px solid #dee2e6; padding-top: 1.2rem; }
table { border-collapse: collapse; font-size: .9rem; margin: .8rem 0; }
td, th { padding: .25rem .7rem; text-align: right; }
th { border-bottom: 2px solid #adb5bd; }
td:first-child, th:first-child, td:last-child, th:last-child { text-align: left; }
tr.ours td { font-weight: 600; } tr.limit td { color: #0b7285; } tr.peer td { color: #495057; }
.sentence { font-size: 1.05rem; } .reached { color: #2b8a3e; } .missed, .failed { color: #c92a2a; }
.unknown, .noise { color: #b8650a; } .small { color: #495057; font-size: .85rem; } dt { font-weight: 600; }
"""

GLOSSARY = """
<dl class="small">
<dt>limit</dt>
<dd>A plain C or C++ program that does exactly this job and nothing else, on the same bytes, in the same run.
Nothing written in another way is expected to beat it; the ratio to it is what the convenience costs.</dd>
<dt>p50, p99, p99.9</dt><dd>Of 100 (1,000) messages the slowest one (one in 1,000) took at least this long. p50 is the
usual case. Every message counts, and its time starts when it was <em>due</em>: a stall is charged to all it
delayed.</dd>
<dt>range</dt><dd>Lowest and highest of the rounds. With seven rounds the true median lies between them with 98 %.</dd>
<dt>interruptions</dt><dd>The grey line: what an empty loop on the same core saw at the same time. Where a row's line
follows it, the machine is to blame and not the row.</dd>
<dt>noisy</dt>
<dd>The canary, a spinning round trip before and after the job, was not steady: only ratios far apart count.</dd>
</dl>
"""


def check_plotly() -> None:
    """Raises BenchError where plotly is missing, before anything is measured."""
    if importlib.util.find_spec("plotly") is None:
        raise BenchError("the HTML report needs plotly: pip install 'qtxconn[bench]'")


def build_page(report: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> str:
    """The whole page. `old`: an older report to compare with."""
    check_plotly()
    from plotly.offline import get_plotlyjs

    block = report["environment"]
    size = " Small sizes (--quick): it shows that everything runs, not how fast." if report["quick"] else ""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'><title>qtxconn latency report</title>",
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body>",
        "<h1>qtxconn: latency and cost beside C and beside peers</h1>",
        f"<p>{escape(block['time'])}, commit {escape(block['commit'])}, {escape(block['processor'])}.{size}</p>",
        *(f"<p class='noise'>{escape(text)}</p>" for text in report["warnings"]),
        *_summary(report),
        GLOSSARY,
    ]
    for job in report["jobs"]:
        parts += _job(job)
    if old is not None:
        parts += _changes(old, report)
    parts += _environment(block)
    parts.append("</body></html>")
    return "\n".join(parts)


def _summary(report: Mapping[str, Any]) -> Iterator[str]:
    """One line a job: the question, and what was found first."""
    yield "<ul>"
    for job in report["jobs"]:
        found = "failed." if job["error"] else next(_sentences(job), "no row ran.")
        missed = sum(goal["reached"] is False for goal in job["goals"])
        goals = f" <span class='missed'>{missed} of {len(job['goals'])} goals missed.</span>" if missed else ""
        yield f"<li><a href='#{job['name']}'>{escape(job['question'])}</a> {escape(found)}{goals}</li>"
    yield "</ul>"


# -- a job -------------------------------------------------------------------------------------------------------


def _job(job: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2 id='{job['name']}'>{escape(job['name'])}: {escape(job['question'])}</h2>"
    if job["error"]:
        yield f"<p class='failed'>Failed: {escape(job['error'])}</p>"
    for text in _sentences(job):
        yield f"<p class='sentence'>{escape(text)}</p>"
    if job["noise"]:
        yield f"<p class='noise'>Noisy: {escape(job['noise'])}.</p>"
    yield from _table(job)
    for goal in job["goals"]:
        word = {True: "reached", False: "missed", None: "unknown"}[goal["reached"]]
        ratio = "a row is missing" if goal["ratio"] is None else f"measured {goal['ratio']:.3g}"
        yield f"<div class='{word}'>{word}: {escape(goal['row'])} {escape(goal['text'])} ({ratio})</div>"
    yield _bars(job)
    if any(row.get("histogram") for row in job["rows"]):
        yield _percentiles(job)
    if any(row["load"] is not None and "percentiles" in row for row in job["rows"]):
        yield _load_curve(job)


def _sentences(job: Mapping[str, Any]) -> Iterator[str]:
    """What the figures say, in words: ours beside the limit and beside the best peer, without loads."""
    done = [row for row in job["rows"] if "median" in row and row["load"] is None]
    peers = [row for row in done if row["kind"] == "peer"]
    for row in (row for row in done if row["kind"] == "ours"):
        text = f"{row['label']}: {format_figure(row['median'])} {job['unit']}"
        if row.get("ratios") and row["limit"] != row["label"]:
            text += f", {statistics.median(row['ratios']):.2f} times {row['limit']}"
        if peers and row["median"] > 0:
            pick, sign = (max, -1) if job["higher_is_better"] else (min, 1)
            best = pick(peers, key=lambda peer: peer["median"])
            gain = (best["median"] / row["median"]) ** sign
            if gain >= 1:
                text += f"; {format_ratio(gain).replace(' x', ' times')} better than {best['label']}"
        yield text + "."
    for name, load in saturation(job["rows"]).items():
        yield f"{name} kept up without a loss at {load:,.0f} messages a second."


def _table(job: Mapping[str, Any]) -> Iterator[str]:
    has_percentiles = any("percentiles" in row for row in job["rows"])
    columns = ["", job["unit"], "range", *(PERCENTILE_COLUMNS if has_percentiles else ()), ratio_title(job), "facts"]
    yield "<table><tr>" + "".join(f"<th>{escape(column)}</th>" for column in columns) + "</tr>"
    for row in job["rows"]:
        if "median" not in row:
            cells = [row["label"], "-", *[""] * (len(columns) - 3), row["missing"] or "not run"]
        else:
            figures = row["figures"]
            cells = [row["label"], format_figure(row["median"])]
            cells.append(f"{format_figure(min(figures))} .. {format_figure(max(figures))}")
            if has_percentiles:
                shown = row.get("percentiles")
                cells += [format_duration(int(shown[column])) if shown else "" for column in PERCENTILE_COLUMNS]
            cells.append(format_ratio(statistics.median(row["ratios"])) if row.get("ratios") else "")
            cells.append(format_facts(row["facts"]))
        yield f"<tr class='{row['kind']}'>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table>"


# -- plots -------------------------------------------------------------------------------------------------------


def _line(job: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Colour by kind, dash by place among the rows of a kind: the same in every plot of a job."""
    place = [other["label"] for other in job["rows"] if other["kind"] == row["kind"]].index(row["label"])
    colours = COLOURS[row["kind"]]
    return {"color": colours[place % len(colours)], "dash": DASHES[place // len(colours) % len(DASHES)]}


def _figure(title: str, **axes: Any) -> Any:
    from plotly.graph_objects import Figure

    figure = Figure()
    figure.update_layout(
        title={"text": title, "font": {"size": 15}},
        template="plotly_white",
        height=430,
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        **axes,
    )
    return figure


def _html(figure: Any) -> str:
    return figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})


def _bars(job: Mapping[str, Any]) -> str:
    """Medians with the range of the rounds, on a logarithmic axis."""
    rows = [row for row in reversed(job["rows"]) if "median" in row and row["median"] > 0]
    figure = _figure(
        "median, with the range of the rounds",
        xaxis={"title": job["unit"], "type": "log", "dtick": "D2"},
        showlegend=False,
    )
    figure.update_layout(height=120 + 30 * len(rows))
    figure.add_bar(
        orientation="h",
        y=[row["label"] for row in rows],
        x=[row["median"] for row in rows],
        marker_color=[COLOURS[row["kind"]][0] for row in rows],
        text=[format_figure(row["median"]) for row in rows],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [max(row["figures"]) - row["median"] for row in rows],
            "arrayminus": [row["median"] - min(row["figures"]) for row in rows],
        },
    )
    return _html(figure)


def _percentiles(job: Mapping[str, Any]) -> str:
    """Duration over percentile, the latter so that each further 9 takes the same width."""
    ticks = [1 / (1 - fraction) for fraction in MARKED]
    figure = _figure(
        "how long, for which share of the messages",
        xaxis={
            "type": "log",
            "title": "percentile",
            "tickvals": ticks,
            "ticktext": [f"{100 * fraction:g} %" for fraction in MARKED],
        },
        yaxis={"type": "log", "title": "microseconds", "dtick": "D2"},
    )
    interruptions = {"label": "interruptions (empty loop)", "histogram": job["interruptions"]}
    for row in [*job["rows"], interruptions]:
        points = [(1 / (1 - share), ns / 1e3) for ns, share, _ in _points(row) if share < 1]
        line = _line(job, row) if "kind" in row else {"color": "#ced4da", "dash": "solid"}
        if points:
            x, y = zip(*points, strict=True)
            hover = [f"{100 * (1 - 1 / value):.4g} %" for value in x]
            figure.add_scatter(
                x=x, y=y, name=row["label"], line=line, text=hover, hovertemplate="%{text}: %{y:.3g} us"
            )  # fmt: skip
    return _html(figure)


def _points(row: Mapping[str, Any]) -> Iterator[tuple[int, float, int]]:
    return percentile_distribution([(value, times) for value, times in row.get("histogram") or ()])


def _load_curve(job: Mapping[str, Any]) -> str:
    """p50 and p99 over the load; a cross where messages were lost."""
    figure = _figure(
        "latency over load (p50 with a line, p99 dotted; a cross: messages were lost)",
        xaxis={"type": "log", "title": "messages a second, intended"},
        yaxis={"type": "log", "title": "microseconds", "dtick": "D2"},
    )
    names = list(dict.fromkeys(row["name"] for row in job["rows"] if row["load"] is not None))
    for place, name in enumerate(names):
        rows = [row for row in job["rows"] if row["name"] == name and "percentiles" in row]
        palette = [colour for colours in COLOURS.values() for colour in colours]
        for column, dash in (("p50", "solid"), ("p99", "dot")):
            figure.add_scatter(
                x=[row["load"] for row in rows],
                y=[row["percentiles"][column] / 1e3 for row in rows],
                name=f"{name}, {column}",
                line={"color": palette[place % len(palette)], "dash": dash},
                mode="lines+markers",
                marker={"symbol": ["x" if row["facts"].get("lost", 0) else "circle" for row in rows], "size": 9},
            )
    return _html(figure)


# -- the rest ----------------------------------------------------------------------------------------------------


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Beside the older run</h2><table><tr><th>job, row</th><th>then</th><th>now</th><th>verdict</th></tr>"
    for change in compare(old, new):
        then = "-" if change.old is None else f"{format_figure(change.old)} {change.unit}"
        now = f"{format_figure(change.new)} {change.unit}"
        cells = (f"{change.job}: {change.label}", then, now, change.verdict)
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table>"


def _environment(block: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>The machine</h2><table>"
    for name, value in block.items():
        if isinstance(value, dict):
            value = ", ".join(f"{package} {version}" for package, version in value.items())
        yield f"<tr><td>{escape(name.replace('_', ' '))}</td><td>{escape(str(value))}</td></tr>"
    yield "</table>"
