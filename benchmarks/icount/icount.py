"""Instructions and allocations per operation of the hot paths, counted by callgrind: the CI gate on speed.

    python benchmarks/icount/icount.py check      against icount.json; status 1 if a path grew by more than 2 %
    python benchmarks/icount/icount.py record     writes icount.json anew

Each driver here runs a job N times; what is inside icount::measured() counts (driver.hpp). The figure is the same on
every run, whatever else the machine does, and another one with another compiler: a check with another compiler than the
record's prints and does not judge. Needs no package.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # this file is run by its path

from scripts.cxx import cxx_command  # noqa: E402

RECORD = HERE / "icount.json"
# The oldest x86-64 with AVX2, on which the goals were set (reference figures of callgrind know no -march=native).
ARCHITECTURE = "-march=x86-64-v3"
INCLUDES = (ROOT / "include", ROOT / "benchmarks" / "limits", HERE)
FLAGS = ("-std=c++17", "-O2", "-DNDEBUG", "-g0", ARCHITECTURE, "-pthread", *(f"-I{path}" for path in INCLUDES))
OPERATIONS = 10_000
TOLERANCE = 0.02
ALLOCATORS = re.compile(r"^(malloc|calloc|realloc|posix_memalign|aligned_alloc|operator new.*)$")


def compiler_name(command: list[str]) -> str:
    """ "g++ 12": the major version decides what code comes out."""
    version = subprocess.run([*command, "-dumpversion"], capture_output=True, text=True, check=True).stdout
    program = [word for word in command if not word.startswith("-")][-1]  # behind a launcher, before its flags
    return f"{Path(program).name} {version.partition('.')[0].strip()}"


def drivers(directory: Path, pattern: str = "*") -> Iterator[tuple[str, Path]]:
    """(name, program) of every driver here whose name fits, compiled."""
    for source in sorted(HERE.glob(f"{pattern}.cpp")):
        program = directory / source.stem
        done = subprocess.run([*cxx_command(), *FLAGS, str(source), "-o", str(program)], check=False)
        if done.returncode != 0:
            sys.exit(f"icount: {source.name} does not compile")
        yield source.stem, program


def count(program: Path, job: str, operations: int, directory: Path) -> tuple[int, int]:
    """(instructions, allocations) of all operations."""
    out = directory / "callgrind.out"
    collect = ("--collect-atstart=no", "--toggle-collect=*icount::measured*")
    options = ("--tool=callgrind", f"--callgrind-out-file={out}", *collect)
    command = ["valgrind", *options, str(program), job, str(operations)]
    # What is preloaded into this process, as by `make sanitize`, is not to be counted.
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode != 0:
        sys.exit(f"icount: {program.name} {job}: status {done.returncode}: {done.stderr[-1000:]}")
    return parse_callgrind(out.read_text())


def parse_callgrind(text: str) -> tuple[int, int]:
    """(instructions, calls of allocating functions) of a callgrind output file.

    Format: valgrind's "Callgrind Format Specification": names are compressed as "(id) name", a call is a "cfn=" line
    with the callee and a "calls=" line with how often.
    """
    names: dict[str, str] = {}
    callee, allocations, total = "", 0, 0
    for line in text.splitlines():
        if match := re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line):
            number, name = match.groups()
            if name:
                names[number] = name
            if line.startswith("c"):
                callee = names[number]
        elif line.startswith("calls="):
            if ALLOCATORS.match(callee.partition("'")[0].partition("(")[0]):
                allocations += int(line[6:].partition(" ")[0])
        elif line.startswith(("summary:", "totals:")):
            total = int(line.split()[1])
    return total, allocations


def measure() -> dict[str, dict[str, float]]:
    """DRIVER/JOB -> {"instructions", "allocations"}, per operation."""
    figures = {}
    with tempfile.TemporaryDirectory(prefix="icount") as name:
        directory = Path(name)
        for driver, program in drivers(directory):
            jobs = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
            for job in jobs:
                instructions, allocations = count(program, job, OPERATIONS, directory)
                if instructions < OPERATIONS:
                    sys.exit(f"icount: {driver}/{job}: nothing was counted: is it inside icount::measured()?")
                figure = {
                    "instructions": round(instructions / OPERATIONS, 1),
                    "allocations": round(allocations / OPERATIONS, 3),
                }
                figures[f"{driver}/{job}"] = figure
                print(f"{driver}/{job}".ljust(28), *(f"{value:10g}" for value in figure.values()), flush=True)
    return figures


def problems(recorded: dict[str, dict[str, float]], now: dict[str, dict[str, float]]) -> list[str]:
    """What got worse, or is not on record, one line each."""
    found = []
    for job in sorted({*recorded, *now}):
        if job not in recorded or job not in now:
            found.append(f"{job} is {'not on record' if job in now else 'gone'}: make icount-record")
            continue
        before, after = recorded[job]["instructions"], now[job]["instructions"]
        if after > before * (1 + TOLERANCE) + 0.5:
            found.append(f"{job}: {after:g} instructions, {before:g} on record")
        if now[job]["allocations"] > recorded[job]["allocations"]:
            found.append(f"{job}: {now[job]['allocations']:g} allocations, {recorded[job]['allocations']:g} on record")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=("check", "record"))
    action = parser.parse_args().action
    if shutil.which("valgrind") is None:
        print("icount: valgrind is not installed: skipped" if action == "check" else "icount: valgrind is needed")
        return 0 if action == "check" else 1
    try:
        name = compiler_name(cxx_command())
    except FileNotFoundError as error:
        sys.exit(f"icount: {error}")
    print(f"{'':28} {'Ir':>10} {'allocations':>10}   per operation")
    now = measure()
    if action == "record":
        RECORD.write_text(json.dumps({"compiler": name, "flags": ARCHITECTURE, "operations": now}, indent=2) + "\n")
        return 0
    record = json.loads(RECORD.read_text())
    found = problems(record["operations"], now)
    for line in found:
        print(f"icount: {line}")
    if record["compiler"] != name:
        print(f"icount: recorded with {record['compiler']}, counted with {name}: not judged")
        return 0
    print("icount: " + (f"{len(found)} worse than the record" if found else "no path grew"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
