"""What users install: the sdist, the wheel built from it, and packages of their own compiled against the wheel."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CXX_FLAGS = "-std=c++17 -O1 -Wall -Wextra -Wpedantic -Wconversion -Werror"
PACKAGE_FILES = ("*.py", "*.pyx", "*.pxd", "*.pyi", "*.json", "py.typed")


def run(*command: str | Path, cwd: Path, timeout: float = 400, **env: str) -> str:
    """Standard output of a command that must succeed; PYTHON* variables of the test run are not passed on."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=clean | env, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def package_payload(root: Path) -> set[str]:
    """What the wheel must hold, from the checkout: one compiled module per .pyx, and the headers inside the package."""
    sources = {path for pattern in PACKAGE_FILES for path in (root / "qtxconn").rglob(pattern)}
    names = {str(path.relative_to(root)) for path in sources if path.suffix != ".pyx"}
    names |= {f"{path.relative_to(root).with_suffix('')}.so" for path in sources if path.suffix == ".pyx"}
    return names | {f"qtxconn/include/qtxconn/{path.name}" for path in (root / "include" / "qtxconn").glob("*.hpp")}


# -- building once -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdist(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, made in a copy of the tree: the checkout stays as it is."""
    tree = tmp_path_factory.mktemp("tree") / "qtxconn"
    ignored = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", "__pycache__", "*.so", ".*_cache")
    shutil.copytree(root, tree, ignore=ignored)
    run(sys.executable, "-c", "from setuptools.build_meta import build_sdist; build_sdist('dist')", cwd=tree)
    (archive,) = (tree / "dist").glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, from the sdist alone."""
    directory = tmp_path_factory.mktemp("wheels")
    run(
        *(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", directory, sdist),
        cwd=directory,
        QTXCONN_OPT="-O1",
    )
    (archive,) = directory.glob("*.whl")
    return archive


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel unpacked; on PYTHONPATH it comes before the checkout's editable install."""
    directory = tmp_path_factory.mktemp("site")
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", directory, wheel, cwd=directory)
    return directory


@pytest.fixture
def venue(site: Path, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Endpoints of a venue that runs from the installed wheel."""
    with subprocess.Popen(
        [sys.executable, "-m", "qtxconn", "venue", "--speak", "binance"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


# -- the archives ------------------------------------------------------------------------------------------


def test_the_sdist_is_complete(sdist: Path, root: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = {str(path.relative_to(root)) for pattern in PACKAGE_FILES for path in (root / "qtxconn").rglob(pattern)}
    sources |= {str(path.relative_to(root)) for path in (root / "include").rglob("*.hpp")}
    sources |= {str(path.relative_to(root)) for path in (root / "tests").rglob("*.py")}
    sources |= {"LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "setup.py"}
    sources |= {"scripts/check_build_tools.py", "examples/cython_strategy/setup.py", "docs/architecture.md"}
    assert not sources - names
    assert not [name for name in names if name.endswith((".so", ".cpp.o", ".pyc"))]


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path, root: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    payload = {re.sub(r"\.cpython-[\w-]+\.so$", ".so", name) for name in names if ".dist-info/" not in name}
    assert payload == package_payload(root)


def test_the_wheel_imports_with_warnings_as_errors(site: Path, tmp_path: Path) -> None:
    script = (
        f"import qtxconn; assert qtxconn.__file__.startswith({str(site)!r}), qtxconn.__file__\n"
        "from pathlib import Path\n"
        "assert Path(qtxconn.get_include(), 'qtxconn', 'abi.hpp').is_file()\n"
        "for name in qtxconn.__all__: getattr(qtxconn, name)\n"
    )
    run(sys.executable, "-W", "error", "-c", script, cwd=tmp_path, PYTHONPATH=str(site))


def test_the_command_runs_from_the_wheel(site: Path, tmp_path: Path) -> None:
    output = run(sys.executable, "-W", "error", "-m", "qtxconn", "--help", cwd=tmp_path, PYTHONPATH=str(site))
    assert "venue" in output


# -- packages of others ------------------------------------------------------------------------------------


def test_the_cython_example_builds_in_isolation_and_trades(wheel: Path, site: Path, root: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(
        root / "examples" / "cython_strategy", source, ignore=shutil.ignore_patterns("build", "*.egg-info", "*.cpp")
    )
    run(
        *(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--find-links", wheel.parent),
        *("--target", target, source),
        cwd=tmp_path,
    )
    path = os.pathsep.join((str(target), str(site)))
    output = run(
        *(sys.executable, "-m", "imbalance_strategy.run", "--seconds", "30", "--orders", "5"),
        cwd=tmp_path,
        PYTHONPATH=path,
    )
    report = dict(line.split(None, 1) for line in output.splitlines())
    assert int(report["packets"]) >= int(report["book_changes"]) > 0
    orders, filled, rejected = (int(report[name]) for name in ("orders", "filled", "rejected"))
    assert orders == 5
    assert filled > 0
    assert report["unanswered"] == "0"
    # Each order was created and ended, or refused only; the listener heard of it all, and the journal has it.
    assert int(report["events"]) == 2 * orders + filled - rejected
    assert report["journal"].startswith(f"{3 * orders + filled} records, 0 orders have not ended")


def test_the_cpp_example_builds_from_the_headers_and_trades(
    site: Path, venue: dict[str, Any], root: Path, tmp_path: Path
) -> None:
    source = tmp_path / "cpp_client"
    shutil.copytree(root / "examples" / "cpp_client", source, ignore=shutil.ignore_patterns("client"))
    run("make", "-s", f"INCLUDE={site / 'qtxconn' / 'include'}", cwd=source)
    host, port = venue["qtx_udp"].split(":")
    output = run(
        *("./client", host, port, venue["qtx_symbols"][0], venue["qtx_shm"], venue["symbols"][0]),
        cwd=source,
        QTX_API_KEY=venue["api_key"],
        QTX_API_SECRET=venue["api_secret"],
    )
    order = output.splitlines()[-1]
    assert order.startswith("order: answered")
    assert '"status":200' in order


def test_a_module_built_against_another_abi_is_refused(site: Path, tmp_path: Path) -> None:
    """The consumer's headers say another number than the installed package: a clean ImportError, no crash."""
    headers = tmp_path / "include"
    shutil.copytree(site / "qtxconn" / "include", headers)
    abi = headers / "qtxconn" / "abi.hpp"
    abi.write_text(re.sub(r"(#define QTXCONN_ABI) \d+", r"\1 4711", abi.read_text()))
    (tmp_path / "consumer.pyx").write_text("from qtxconn cimport import_qtxconn\nimport_qtxconn()\n")
    (tmp_path / "setup.py").write_text(
        "from Cython.Build import cythonize\nfrom setuptools import Extension, setup\n"
        "setup(ext_modules=cythonize([Extension('consumer', ['consumer.pyx'], language='c++',\n"
        f"    include_dirs=[{str(headers)!r}], extra_compile_args=['-std=c++17', '-O0'])]))\n"
    )
    path = str(site)
    run(sys.executable, "setup.py", "-q", "build_ext", "--inplace", cwd=tmp_path, PYTHONPATH=path)
    script = "try:\n    import consumer\nexcept ImportError as error:\n    print(error)\n"
    output = run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=path)
    assert "built against qtxconn ABI 4711" in output
    assert "rebuild" in output


@pytest.mark.parametrize("compiler", ["g++"])
def test_every_header_compiles_alone(root: Path, tmp_path: Path, compiler: str) -> None:
    for header in sorted((root / "include" / "qtxconn").glob("*.hpp")):
        unit = tmp_path / f"{header.stem}.cpp"
        unit.write_text(f'#include "qtxconn/{header.name}"\n')
        run(compiler, *CXX_FLAGS.split(), "-fsyntax-only", "-I", root / "include", unit, cwd=tmp_path)


def test_import_is_cheap(root: Path) -> None:
    """`import qtxconn` costs under 150 ms of CPU beyond numpy: nothing heavy is loaded before it is used."""
    script = (
        "import sys, time\nimport numpy\nbefore = set(sys.modules)\nstart = time.process_time()\nimport qtxconn\n"
        "spent = time.process_time() - start\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(spent, *sorted(loaded & {'aiohttp', 'pydantic', 'rich', 'click', 'asyncio'}))"
    )
    spent, *heavy = run(sys.executable, "-c", script, cwd=root).split()
    assert float(spent) < 0.150
    assert not heavy


def test_using_the_public_names_is_cheap(root: Path) -> None:
    script = (
        "import time, numpy\nstart = time.process_time()\nimport qtxconn\n"
        "qtxconn.ConnectorBase, qtxconn.OrderType\nprint(time.process_time() - start)"
    )
    assert float(run(sys.executable, "-c", script, cwd=root)) < 0.5
