"""The rules of style that a machine can check, on every file of the project."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("qtxconn", "include", "tests", "examples", "benchmarks", "scripts", "docs", ".ci")
GENERATED = {"build", "__pycache__", ".venv", "dist", "corpus"}  # a corpus is bytes that a fuzzer found
COMMENT = {".pxd": "# ", ".hpp": "// ", ".cpp": "// ", ".py": '"""', ".pyi": '"""', ".pyx": '"""'}
LINES_MAX = 800
# In these layers time, randomness, ids and whatever reaches outside come from one place, so that a simulation can own
# them (docs/simulation.md).
CLOCKED = ("core", "net", "qtx", "exchanges")
# Where the default source is named; and the files that processes share, which no simulation asks for.
SEAMS = {"core/clock.pyx", "core/client_ids.pyx", "core/environment.py", "net/shared_budget.py"}
# The simulated layers reach the outside through aiohttp and the clock only; `hash` of a text differs in every process.
SIMULATED = ("core", "net", "exchanges")
SHARED_FILES = {"net/shared_budget.py"}  # between processes, by its nature; simulated processes have a budget each
OUTSIDE = re.compile(
    r"\basyncio\.(?:sleep|open_connection|start_server|to_thread)\b|\brun_in_executor\b|\bthreading\.\w+"
    r"|^\s*(?:import|from)\s+(?:socket|subprocess|threading|multiprocessing|ssl)\b|(?<![\w.])(?:open|hash)\(|\bos\.open\("
    r"|\.(?:read|write)_(?:text|bytes)\(",
    re.M,
)
AMBIENT = {
    "time": ["time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"],
    "datetime": ["now", "utcnow", "today"],
    "random": [],
    "uuid": [],
    "secrets": [],
    "os": ["urandom", "getrandom"],
}
AMBIENT_CPP = re.compile(r"clock_gettime|gettimeofday|std::chrono|std::rand\b|random_device|\btime\(")
MARKERS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
# No path of anybody's machine. Written so that this file does not name any.
MACHINE_PATHS = re.compile(r"(?<![\w.])/" + r"(?:work|root|home/\w+|tmp/\w+|opt/\w+|Users/\w+)\b")


def files(root: Path, *suffixes: str) -> Iterator[Path]:
    """The project's own files with one of these suffixes, generated ones left out."""
    candidates = [path for folder in FOLDERS for path in (root / folder).rglob("*")]
    candidates += [path for path in root.iterdir() if not path.name.startswith(".")]
    for path in sorted(candidates):
        relative = path.relative_to(root)
        if not path.is_file() or GENERATED & set(relative.parts) or (suffixes and path.suffix not in suffixes):
            continue
        is_cython_output = path.suffix in (".cpp", ".c") and path.with_suffix(".pyx").exists()
        if path.suffix in (".so", ".pyc", ".o") or is_cython_output or "egg-info" in str(relative):
            continue
        yield path


def text_files(root: Path) -> Iterator[tuple[str, str]]:
    for path in files(root):
        if path.suffix not in (".gz", ".png", ".json"):
            yield str(path.relative_to(root)), path.read_text()


def test_every_source_file_names_its_subject_first(root: Path) -> None:
    missing = []
    for path in files(root, *COMMENT):
        first = path.read_text().partition("\n")[0]
        begin = COMMENT[path.suffix]
        if not first.startswith(begin) or len(first) < len(begin) + 15:
            missing.append(str(path.relative_to(root)))
    assert not missing, f"no first line that states the subject: {missing}"


def test_no_file_is_too_long(root: Path) -> None:
    lengths = {str(path.relative_to(root)): len(path.read_text().splitlines()) for path in files(root, *COMMENT)}
    too_long = {name: count for name, count in lengths.items() if count > LINES_MAX}
    assert not too_long, f"more than {LINES_MAX} lines, time to split: {too_long}"


def test_nothing_is_left_to_do(root: Path) -> None:
    found = [f"{name}: {match[0]}" for name, text in text_files(root) for match in MARKERS.finditer(text)]
    assert not found


def test_no_machine_is_named(root: Path) -> None:
    found = [f"{name}: {match[0]}" for name, text in text_files(root) for match in MACHINE_PATHS.finditer(text)]
    assert not found


def test_no_cpdef(root: Path) -> None:
    """A cpdef method looks its override up in a dict on every call: cdef with a Python twin instead."""
    found = [path.name for path in files(root, ".pyx", ".pxd") if re.search(r"^\s*cpdef\b", path.read_text(), re.M)]
    assert not found


def ambient_calls(text: str) -> list[str]:
    """Uses of clocks, random numbers and ids in Python source: imports of such names, and calls through a module."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in AMBIENT and not AMBIENT[alias.name]]
        elif isinstance(node, ast.ImportFrom) and node.module in AMBIENT:
            banned = AMBIENT[node.module]
            names = [alias.name for alias in node.names if not banned or alias.name in banned]
            found += [f"{node.module}.{name}" for name in names]
        elif isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in AMBIENT.get(owner, ()):
                found.append(f"{owner}.{node.attr}")
    return found


def ambient_calls_of_cython(text: str) -> list[str]:
    calls = "|".join(rf"\b{module}\.(?:{'|'.join(names)})\b" for module, names in AMBIENT.items() if names)
    imports = "|".join(module for module, names in AMBIENT.items() if not names)
    return re.findall(rf"(?:{calls})|^\s*(?:import|from)\s+(?:{imports})\b", re.sub(r"#[^\n]*", "", text), re.M)


def test_time_and_chance_come_from_the_clock(root: Path) -> None:
    found = []
    for layer in CLOCKED:
        for path in sorted((root / "qtxconn" / layer).rglob("*.py*")):
            name = str(path.relative_to(root / "qtxconn"))
            if path.suffix not in (".py", ".pyx") or name in SEAMS:
                continue
            check = ambient_calls if path.suffix == ".py" else ambient_calls_of_cython
            found += [f"{name}: {call}" for call in check(path.read_text())]
    for header in (root / "include").rglob("*.hpp"):
        if header.name != "clock.hpp":
            code = re.sub(r"//[^\n]*", "", header.read_text())
            found += [f"{header.name}: {call}" for call in AMBIENT_CPP.findall(code)]
    assert not found


@pytest.mark.parametrize(
    "source", ["import time\ntime.time()", "from time import monotonic_ns", "import random", "datetime.datetime.now()"]
)
def test_an_ambient_clock_is_noticed(source: str) -> None:
    assert ambient_calls(source)
    assert not ambient_calls("import time\ntime.gmtime(0)")


def test_the_simulated_layers_reach_outside_through_seams_only(root: Path) -> None:
    found = []
    for layer in SIMULATED:
        for path in sorted((root / "qtxconn" / layer).rglob("*.py*")):
            name = str(path.relative_to(root / "qtxconn"))
            if path.suffix in (".py", ".pyx") and name not in SEAMS | SHARED_FILES:
                code = re.sub(r"#[^\n]*", "", path.read_text())
                found += [f"{name}: {match[0].strip()}" for match in OUTSIDE.finditer(code)]
    assert not found


@pytest.mark.parametrize(
    "source", ["await asyncio.sleep(1)", "import socket", "open(path)", "hash(name)", "loop.run_in_executor(None, f)"]
)
def test_reaching_outside_is_noticed(source: str) -> None:
    assert OUTSIDE.search(source)
    assert not OUTSIDE.search("await self._clock.sleep(1); self.is_open(); reopen(x); order.hash(1)")


# -- the tools ---------------------------------------------------------------------------------------------


def run(*command: str | Path, cwd: Path) -> None:
    # cython-lint calls pycodestyle, which is installed beside it.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-6000:]}{done.stderr[-2000:]}"


def tool(name: str) -> Path:
    """The command as installed beside this interpreter; the test environment has it."""
    return Path(sys.executable).parent / name


def test_ruff_check(root: Path) -> None:
    run(tool("ruff"), "check", ".", cwd=root)


def test_ruff_format(root: Path) -> None:
    run(tool("ruff"), "format", "--check", ".", cwd=root)


def test_cython_lint(root: Path) -> None:
    run(tool("cython-lint"), *files(root, ".pyx", ".pxd"), cwd=root)


def test_clang_format(root: Path) -> None:
    run(tool("clang-format"), "--dry-run", "-Werror", *files(root, ".hpp", ".cpp"), cwd=root)
