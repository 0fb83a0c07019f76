"""What the documents say is true: commands exist, programs run, names of files and functions are right."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from qtxconn.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])
PROGRAMS = [
    pytest.param(program, id=f"{document.stem}-{number}")
    for document in DOCUMENTS
    for number, program in enumerate(re.findall(r"^```python\n(.*?)^```", document.read_text(), re.M | re.S))
]


def commands() -> list[tuple[str, str]]:
    """(document, command line) of every line that starts with a prompt in a console block."""
    return [
        (document.name, line)
        for document in DOCUMENTS
        for block in re.findall(r"^```console\n(.*?)^```", document.read_text(), re.M | re.S)
        for line in re.findall(r"^\$ (.*)$", block, re.M)
    ]


def test_there_are_documents() -> None:
    assert len(DOCUMENTS) >= 8
    assert len(PROGRAMS) >= 3
    assert ("README.md", "make demo") in commands()
    assert ("README.md", "make test") in commands()


@pytest.mark.parametrize(("document", "command"), commands())
def test_a_command_exists(document: str, command: str) -> None:
    """make targets are in the Makefile, qtxconn commands and their options are those of the command line."""
    words = shlex.split(command, comments=True)
    words = [word for word in words if word != "&" and not re.match(r"^[A-Z_]+=", word)]
    if words[0] == "make" and "-C" not in words:
        directory = ROOT if document != "README.md" or len(words) > 1 else ROOT / "examples" / "cpp_client"
        targets = re.findall(r"^(\w+):", (directory / "Makefile").read_text(), re.M)
        assert all(word in targets for word in words[1:] if re.fullmatch(r"\w+", word))
    elif words[0] == "make":
        assert (ROOT / words[words.index("-C") + 1] / "Makefile").is_file()
    elif words[0] == "qtxconn":
        assert words[1] in COMMANDS
        run = [sys.executable, "-m", "qtxconn", words[1], "--help"]
        text = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        assert all(word in text for word in words if word.startswith("--"))
    else:
        assert words[0] in ("pip", "python", "./client")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_runs(program: str, tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_the_first_program_is_the_example() -> None:
    (first, *_) = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert (ROOT / "examples" / "quickstart.py").read_text().partition("\n\n")[2] == first


@pytest.mark.e2e
def test_the_demo_command_runs(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "qtxconn", "demo", "--seconds", "2", "--seed", "7", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def references() -> list[tuple[str, str, str]]:
    """(document, file, name) of everything in backticks that looks like a path of the repository."""
    found = []
    for document in DOCUMENTS:
        text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
        for token in re.findall(r"`([\w./-]+(?::\w+)?)`", text):
            path, _, name = token.partition(":")
            if path.split("/")[0] in ("qtxconn", "include", "tests", "docs", "examples") and "/" in path:
                found.append((document.name, path, name))
    return found


@pytest.mark.parametrize(("document", "path", "name"), references())
def test_a_reference_leads_somewhere(document: str, path: str, name: str) -> None:
    if path == "qtxconn/include":  # in a wheel
        return
    assert (ROOT / path).exists(), f"{document} names {path}"
    if name:
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), f"{document}: there is no {name} in {path}"
