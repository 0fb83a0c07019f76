"""Where a run was made: processor, kernel, compiler, versions, commit; and what about it spoils figures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import sysconfig
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import qtxconn
from benchmarks.harness.bench import ROOT, Bench, compile_flags, set_real_time

PACKAGES = (
    "Cython", "numpy", "uvloop", "aiohttp", "orjson", "msgspec", "pysimdjson", "picows", "order-book",
    "sortedcontainers", "nautilus_trader",
)  # fmt: skip
CPU_FILES = Path("/sys/devices/system/cpu")


def read(path: Path | str) -> str:
    """A file's text without the white space around it; "" where it cannot be read."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.M)
    return found[1].strip() if found else ""


def _output(*command: str | Path) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _commit() -> str:
    changed = " and uncommitted changes" if _output("git", "status", "--porcelain") else ""
    return (_output("git", "rev-parse", "--short=12", "HEAD") or "not a git checkout") + changed


def _installed(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _mitigations() -> str:
    files = sorted((CPU_FILES / "vulnerabilities").glob("*"))
    active = [file.name for file in files if read(file).startswith("Mitigation")]
    return ", ".join(active) or "none"


def _build_options() -> str:
    """How the compiled modules were built: the optimisation the last build in place has left, else of a wheel."""
    modes = sorted((path for path in (ROOT / "build").glob("*/lib")), key=lambda path: path.stat().st_mtime)
    return modes[-1].parent.name if modes else "O2"


def environment(bench: Bench) -> dict[str, Any]:
    """The block that every result carries. Keys are for reading, values text or numbers."""
    cpuinfo = read("/proc/cpuinfo")
    command_line = read("/proc/cmdline")
    isolated = " ".join(re.findall(r"(?:isolcpus|nohz_full|rcu_nocbs)=\S+", command_line))
    real_time = set_real_time(True)
    if real_time:
        set_real_time(False)
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "qtxconn": qtxconn.__version__,
        "processor": _first(r"^model name\s*:\s*(.*)$", cpuinfo) or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "venue_core": bench.venue_cpu,
        "client_core": bench.client_cpu,
        "hypervisor": "hypervisor" in _first(r"^flags\s*:\s*(.*)$", cpuinfo).split(),
        "governor": read(CPU_FILES / "cpu0/cpufreq/scaling_governor") or "not visible",
        "turbo": {"0": "on", "1": "off"}.get(read(CPU_FILES / "intel_pstate/no_turbo"), "not visible"),
        "smt": read(CPU_FILES / "smt/control") or "not visible",
        "isolated": isolated or "no",
        "mitigations": _mitigations(),
        "kernel": platform.release(),
        "clock_source": read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "real_time": real_time,
        "socket_buffer_max": int(read("/proc/sys/net/core/rmem_max") or 0),
        "load_average": round(os.getloadavg()[0], 2),
        "compiler": _output(*bench.compiler, "--version").partition("\n")[0],
        "flags": " ".join(compile_flags()),
        "extension_build": _build_options(),
        "from_checkout": Path(qtxconn.__file__).resolve().is_relative_to(ROOT),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gil": "off" if sysconfig.get_config_var("Py_GIL_DISABLED") and not sys._is_gil_enabled() else "on",
        "packages": {package: version for package in PACKAGES if (version := _installed(package))},
    }


def warnings(block: dict[str, Any]) -> list[str]:
    """What a reader of the figures should know about the machine."""
    found = []
    if block["cores"] < 2 or block["venue_core"] == block["client_core"]:
        found.append("one core only: everything between two processes is the scheduler's figure")
    if block["hypervisor"]:
        found.append("a virtual machine: the highest percentiles are the host's")
    if block["isolated"] == "no":
        found.append("no isolated cores (isolcpus, nohz_full): other work interrupts the rows; figures are indicative")
    if not block["real_time"]:
        found.append("no right to real-time priority: run as root, or with CAP_SYS_NICE")
    if block["governor"] not in ("performance", "not visible"):
        found.append(f"the frequency governor is {block['governor']!r}, not 'performance'")
    if block["load_average"] > 0.5 * block["cores"]:
        found.append(f"load average {block['load_average']} at the start: the machine was busy")
    if not block["from_checkout"]:
        found.append("qtxconn is not imported from this checkout: commit and limits may belong to another version")
    if block["extension_build"] not in ("O2", "O3"):
        found.append(f"the compiled modules were built with {block['extension_build']}, not -O2")
    return found
