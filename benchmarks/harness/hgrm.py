"""Writes the latency rows of a report as HdrHistogram text files, one a row, values in microseconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtxconn.perf.report import hdr_text


def write_hgrm_files(report: Mapping[str, Any], directory: Path) -> list[Path]:
    """JOB.ROW.hgrm for every row that has a histogram. -> the files."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for job in report["jobs"]:
        for row in job["rows"]:
            if row.get("histogram"):
                label = re.sub(r"[^A-Za-z0-9]+", "-", row["label"]).strip("-")
                written.append(directory / f"{job['name']}.{label}.hgrm")
                written[-1].write_text(hdr_text(row["histogram"]))
    return written
