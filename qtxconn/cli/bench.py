"""`qtxconn bench`: runs the checkout's benchmarks, prints tables with ratios, writes JSON, HTML and histograms."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console

from qtxconn.errors import ConfigurationError

_HARNESS = Path("benchmarks") / "harness" / "__init__.py"
PLAIN_WIDTH = 160  # of tables in a file or a pipe
OUTPUT = click.Path(dir_okay=False, writable=True, path_type=Path)


def find_checkout(directory: Path | None) -> Path:
    """The directory that holds benchmarks/: the given one, or the current one or a parent of it."""
    start = (directory or Path.cwd()).resolve()
    for candidate in (start,) if directory is not None else (start, *start.parents):
        if (candidate / _HARNESS).is_file():
            return candidate
    raise ConfigurationError(
        f"there are no benchmarks in {start}: they are part of a checkout of qtxconn, not of the package; "
        "change to one, or name it with --directory"
    )


def read_report(path: Path) -> dict[str, Any]:
    """A report that `--json` wrote."""
    try:
        report = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {error}") from None
    if not isinstance(report, dict) or report.get("format") != 1:
        raise ConfigurationError(f"{path} is no report of 'qtxconn bench --json'")
    return report


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "only_list", is_flag=True, help="Say which benchmarks there are, and run none.")
@click.option("--quick", is_flag=True, help="Small sizes and three rounds: shows that everything runs.")
@click.option("--json", "json_path", type=OUTPUT, help="Write the report, with all histograms, to this file.")
@click.option("--html", "html_path", type=OUTPUT, help="Write one offline page with percentile plots to this file.")
@click.option(
    "--hgrm",
    "hgrm_directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each latency row in HdrHistogram's text format into this directory.",
)
@click.option("--compare", "old_path", type=OUTPUT, help="Compare with an older report; status 1 if a row got slower.")
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), help="The checkout. [default: this one]")
@click.option("--seed", type=click.IntRange(0, 2**31), default=1, show_default=True, help="Of the generated data.")
def bench(
    names: tuple[str, ...],
    only_list: bool,
    quick: bool,
    json_path: Path | None,
    html_path: Path | None,
    hgrm_directory: Path | None,
    old_path: Path | None,
    directory: Path | None,
    seed: int,
) -> int:
    """Run limits, peers and qtxconn alternately; print medians, percentiles and ratios.

    NAME is a job or a module of benchmarks/; without one everything runs. Exit status 1 if rows disagree about what
    they computed, or one failed.
    """
    root = find_checkout(directory)
    old = read_report(old_path) if old_path is not None else None
    sys.path.insert(0, str(root))
    runner = importlib.import_module("benchmarks.harness.runner")
    results = importlib.import_module("benchmarks.harness.results")
    table = importlib.import_module("benchmarks.harness.table")
    console = Console()
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    if only_list:
        for module, jobs in runner.find_jobs().items():
            for job in jobs:
                click.echo(f"{module:16} {job.name:24} {job.question}")
        return 0
    jobs = runner.choose_jobs(names)
    page = importlib.import_module("benchmarks.harness.page") if html_path is not None else None
    if page is not None:
        page.check_plotly()  # before minutes of measuring
    with console.status("") as status:
        report = runner.run_jobs(
            jobs, quick=quick, seed=seed, say=status.update, show=lambda job: table.print_job(job, console)
        )
    console.print()
    table.print_environment(report, console)
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))
    if html_path is not None and page is not None:
        html_path.write_text(page.build_page(report, old))
    if hgrm_directory is not None:
        importlib.import_module("benchmarks.harness.hgrm").write_hgrm_files(report, hgrm_directory)
    slower = False
    if old is not None:
        changes = results.compare(old, report)
        table.print_changes(changes, console)
        slower = any(change.verdict == "slower" for change in changes)
    return 1 if slower or any(job["error"] for job in report["jobs"]) else 0
