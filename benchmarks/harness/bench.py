"""What a job's set-up is given: sizes, cores, names, and the compiler for its limit programs."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from benchmarks.harness.jobs import BenchError, Sample
from qtxconn.perf.latency import LatencyRecorder
from scripts.cxx import cxx_command

ROOT = Path(__file__).resolve().parents[2]
LIMITS = ROOT / "benchmarks" / "limits"
STRATEGIES = ROOT / "benchmarks" / "strategies"
COMPILE_FLAGS = ("-std=c++17", "-O2", "-DNDEBUG", "-pthread")
PROGRAM_TIMEOUT_S = 120.0
REAL_TIME_PRIORITY = 10


def cache_directory() -> Path:
    """Where compiled programs are kept: XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qtxconn" / "bench"


def compile_flags() -> tuple[str, ...]:
    """The same for limits and for ours in C++. Wheels cannot be made for one processor, so neither is a limit."""
    return (*COMPILE_FLAGS, "-march=x86-64-v2") if platform.machine() == "x86_64" else COMPILE_FLAGS


def digest(*parts: str | bytes) -> str:
    value = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        value.update(len(data).to_bytes(8, "little") + data)
    return value.hexdigest()[:16]


def sample_from_json(text: str) -> Sample:
    """Reads the one JSON object that a program prints (benchmarks/limits/measure.hpp)."""
    fields = json.loads(text)
    recorder = None
    if fields.get("histogram"):
        recorder = LatencyRecorder()
        for duration_ns, times in fields["histogram"]:
            recorder.record_many(duration_ns, times)
    return Sample(fields.get("value"), fields.get("checksum"), recorder, fields.get("facts", {}))


@contextmanager
def burst(cpu: int | None) -> Iterator[None]:
    """Runs this process on `cpu` with real-time priority, where that is allowed; children inherit both.

    Round robin, so that two threads of a row which share the core cannot lock each other out. The kernel gives other
    work 50 ms of each second all the same: keep bursts below 0.9 s.
    """
    if cpu is None:
        yield
        return
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    real_time = set_real_time(True)
    try:
        yield
    finally:
        if real_time:
            set_real_time(False)
        os.sched_setaffinity(0, cpus)


def set_real_time(on: bool) -> bool:
    """Gives this process real-time priority, or takes it back. -> whether the system let us."""
    policy, priority = (os.SCHED_RR, REAL_TIME_PRIORITY) if on else (os.SCHED_OTHER, 0)
    try:
        os.sched_setscheduler(0, policy, os.sched_param(priority))
    except PermissionError:
        return False
    return True


class Bench:
    """The setting of one run. `directory` is temporary and belongs to the job."""

    def __init__(self, directory: Path, *, quick: bool = False, seed: int = 1) -> None:
        self.directory = directory
        self.quick = quick
        self.seed = seed
        cpus = sorted(os.sched_getaffinity(0))
        self.venue_cpu = cpus[0]
        self.client_cpu = cpus[-1]

    def scaled(self, full: int, *, quick: int) -> int:
        return quick if self.quick else full

    def name(self, suffix: str) -> str:
        """A name for a shared-memory segment that no other run uses."""
        return f"/qtxbench_{os.getpid()}_{suffix}"

    @cached_property
    def compiler(self) -> list[str]:
        try:
            return cxx_command()
        except FileNotFoundError as error:
            raise BenchError(f"the limits are compiled on this machine, and {error}") from None

    @cached_property
    def _headers(self) -> bytes:
        headers = sorted([*(ROOT / "include").rglob("*.hpp"), *LIMITS.glob("*.hpp")])
        return b"".join(header.read_bytes() for header in headers)

    def compile(self, source: str) -> Path:
        """Compiles benchmarks/limits/SOURCE unless the cache holds the very same. -> the program.

        Raises BenchError with the compiler's words.
        """
        path = LIMITS / source
        options = [*compile_flags(), f"-I{ROOT / 'include'}", f"-I{LIMITS}"]
        key = digest(self._compiler_version, *options, self._headers, path.read_bytes())
        program = cache_directory() / f"{path.stem}-{key}"
        if not program.exists():
            self._make(program, [*self.compiler, *options, str(path)])
        return program

    def compile_cython(self, source: str) -> Path:
        """Compiles benchmarks/strategies/SOURCE against this checkout. -> the directory to import it from.

        Raises BenchError with the compiler's words.
        """
        path = STRATEGIES / source
        include = sysconfig.get_paths()["include"]
        options = [*compile_flags(), "-fPIC", "-shared", f"-I{ROOT / 'include'}", f"-I{include}"]
        declarations = b"".join(pxd.read_bytes() for pxd in sorted((ROOT / "qtxconn").rglob("*.pxd")))
        key = digest(self._compiler_version, sys.version, *options, self._headers, declarations, path.read_bytes())
        module = cache_directory() / key / f"{path.stem}{sysconfig.get_config_var('EXT_SUFFIX')}"
        if not module.exists():
            translated = self.directory / f"{path.stem}.cpp"
            cython = [sys.executable, "-m", "cython", "-3", "--cplus", "-I", str(ROOT), str(path)]
            self._make(translated, cython)
            self._make(module, [*self.compiler, *options, str(translated)])
        return module.parent

    @cached_property
    def _compiler_version(self) -> str:
        return subprocess.run([*self.compiler, "--version"], capture_output=True, text=True, check=True).stdout

    def _make(self, target: Path, command: list[str]) -> None:
        """Runs a compiler that takes -o; the target appears only when it is whole."""
        target.parent.mkdir(parents=True, exist_ok=True)
        made = target.with_name(f"{os.getpid()}-{target.name}")
        done = subprocess.run([*command, "-o", str(made)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"{Path(command[-1]).name} does not compile: {done.stderr.strip()[-2000:]}")
        made.rename(target)

    def run(self, program: Path, *arguments: object) -> Sample:
        """Runs a program that prints one JSON object. Raises BenchError when it fails."""
        command = [str(program), *map(str, arguments)]
        what = f"{program.stem.rpartition('-')[0]} {' '.join(command[1:])}"
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{what}: not done after {PROGRAM_TIMEOUT_S:g} s") from None
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip()[-500:]
            raise BenchError(f"{what}: status {done.returncode}: {words}")
        return sample_from_json(done.stdout)
