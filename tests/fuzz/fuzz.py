"""Fuzzes the targets beside this file with AddressSanitizer and UndefinedBehaviorSanitizer.

    python tests/fuzz/fuzz.py [TARGET ...] [--seconds 60] [--seed 1] [--keep]

With clang++ by libFuzzer, else with g++ and the mutator in driver.cpp. `--seconds 0` only replays the corpus. The input
that breaks a target is left under build/fuzz/TARGET, and the command that shows it again is printed. `--keep` adds
inputs that reached something new to the corpus. Needs no package.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # this file is run by its path

from scripts.cxx import cxx_command  # noqa: E402

DRIVER = HERE / "driver.cpp"
CORPUS = HERE / "corpus"
# Signed overflow is undefined, as in a plain build, so that UBSan sees it.
FLAGS = ("-std=c++17", "-O1", "-g", "-fno-omit-frame-pointer", "-fno-wrapv", "-fno-sanitize-recover=all")
KEPT_BYTES_MAX = 4096
RUN_MARGIN_S = 120
REPORT_LINES = 80


def targets(names: list[str]) -> list[Path]:
    """The sources of these targets, of all if none is named."""
    known = {path.stem: path for path in sorted(HERE.glob("*.cpp")) if path != DRIVER}
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"fuzz: there is no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


def has_libfuzzer(directory: Path) -> bool:
    """Whether clang++ is here and can link its fuzzer."""
    if shutil.which("clang++") is None:
        return False
    source = directory / "probe.cpp"
    source.write_text('extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n')
    command = ["clang++", "-fsanitize=fuzzer,address", str(source), "-o", str(directory / "probe")]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def compile_target(source: Path, directory: Path, libfuzzer: bool) -> Path:
    """-> the program."""
    program = directory / source.stem
    include = f"-I{ROOT / 'include'}"
    if libfuzzer:
        sanitize = "-fsanitize=fuzzer,address,undefined"
        commands = [["clang++", *FLAGS, sanitize, include, str(source), "-o", str(program)]]
    else:
        try:
            compiler = cxx_command()
        except FileNotFoundError as error:
            sys.exit(f"fuzz: {error}")
        sanitize, coverage = "-fsanitize=address,undefined", "-fsanitize-coverage=trace-pc"
        parts = [directory / f"{source.stem}.o", directory / "driver.o"]
        commands = [
            [*compiler, *FLAGS, sanitize, coverage, include, "-c", str(source), "-o", str(parts[0])],
            [*compiler, *FLAGS, sanitize, "-c", str(DRIVER), "-o", str(parts[1])],
            [*compiler, sanitize, *map(str, parts), "-pthread", "-o", str(program)],
        ]
    for command in commands:
        subprocess.run(command, check=True)
    return program


def command_line(program: Path, seconds: int, seed: int, work: Path, libfuzzer: bool) -> list[str]:
    """How to run a target; new inputs go to `work`."""
    corpus = CORPUS / program.stem
    if not libfuzzer:
        return [str(program), str(seconds), str(seed), str(work), str(corpus)]
    length = ["-runs=0"] if seconds == 0 else [f"-max_total_time={seconds}"]
    found = work / "found"
    found.mkdir(exist_ok=True)
    options = [*length, f"-seed={seed}", "-max_len=8192", "-timeout=10", f"-artifact_prefix={work}/crash-"]
    options += ["-print_final_stats=1"]
    return [str(program), *options, str(found), *([str(corpus)] if corpus.is_dir() else [])]


def keep(work: Path, corpus: Path) -> int:
    """Copies new inputs into the corpus, named by their content. -> how many."""
    corpus.mkdir(parents=True, exist_ok=True)
    added = 0
    for path in [*work.glob("new-*"), *work.glob("found/*")]:
        content = path.read_bytes()
        target = corpus / hashlib.sha256(content).hexdigest()[:16]
        if len(content) <= KEPT_BYTES_MAX and not target.exists():
            target.write_bytes(content)
            added += 1
    return added


def fuzz(source: Path, seconds: int, seed: int, work: Path, libfuzzer: bool) -> bool:
    """Runs one target. -> whether it held."""
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    program = compile_target(source, work, libfuzzer)
    command = command_line(program, seconds, seed, work, libfuzzer)
    # What another sanitizer run may have left in the environment would change what is found.
    environment = {name: value for name, value in os.environ.items() if not name.endswith(("SAN_OPTIONS", "PRELOAD"))}
    log = work / "log"
    patience_s = seconds + RUN_MARGIN_S
    with log.open("w") as output:
        done = subprocess.run(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False, timeout=patience_s
        )
    lines = log.read_text(errors="replace").splitlines()
    if done.returncode == 0:
        # libFuzzer tells much; these are the figures of its last lines.
        told = [line.removeprefix("stat::") for line in lines if line.startswith("stat::") or not libfuzzer]
        print(f"  {', '.join(told)}")
        return True
    print("\n".join(lines[-REPORT_LINES:]))
    print(f"fuzz: {source.stem} FAILED; again: {' '.join(command)}")
    for crash in sorted(work.glob("crash*")):
        print(f"fuzz: the input: {crash}: {crash.read_bytes()[:64]!r}")
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; 0 only replays the corpus")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="add what reached something new to the corpus")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "fuzz", help="where programs and crashes go")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        libfuzzer = has_libfuzzer(Path(directory))
    print(f"fuzz: {'libFuzzer' if libfuzzer else 'tests/fuzz/driver.cpp with g++'}, {arguments.seconds} s a target")
    held = True
    for source in targets(arguments.targets):
        print(f"fuzz: {source.stem}", flush=True)
        work = arguments.work / source.stem
        held &= fuzz(source, arguments.seconds, arguments.seed, work, libfuzzer)
        if held and arguments.keep:
            print(f"fuzz: {keep(work, CORPUS / source.stem)} inputs added to the corpus")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
