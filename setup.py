"""The compiled part of the build: Cython extensions and the header copy. Metadata is in pyproject.toml.

Environment variables select the build:

    QTXCONN_DEBUG=1       -O0 -g, Cython's checks on
    QTXCONN_SANITIZE=...  comma-separated sanitizers for compiler and linker, for example address,undefined
    QTXCONN_COVERAGE=1    line tracing for the Cython.Coverage plugin, C++ beside the .pyx
    QTXCONN_OPT=-O1       optimisation level of a normal build (default -O2)
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
HEADERS = sorted((ROOT / "include" / "qtxconn").glob("*.hpp"))


def flag(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


DEBUG, COVERAGE = flag("QTXCONN_DEBUG"), flag("QTXCONN_COVERAGE")
SANITIZE = os.environ.get("QTXCONN_SANITIZE", "")


class BuildPyWithHeaders(build_py):
    """Copies include/qtxconn into the package, so that `qtxconn.get_include()` works from a wheel."""

    def _header_targets(self) -> list[tuple[Path, Path]]:
        if self.editable_mode:
            return []
        target = Path(self.build_lib) / "qtxconn" / "include" / "qtxconn"
        return [(header, target / header.name) for header in HEADERS]

    def run(self) -> None:
        super().run()
        for source, target in self._header_targets():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return super().get_outputs(include_bytecode) + [str(target) for _, target in self._header_targets()]


def compile_args() -> tuple[list[str], list[str]]:
    compiler = ["-std=c++17", "-fvisibility=hidden", "-fno-strict-overflow"]
    linker: list[str] = []
    if SANITIZE:
        compiler += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all", "-O1", "-g", "-fno-omit-frame-pointer"]
        compiler += ["-fno-wrapv"]  # where overflow is defined, as by Python's own flags, UBSan does not see it
        linker += [f"-fsanitize={SANITIZE}"]
    elif DEBUG:
        compiler += ["-O0", "-g"]
    else:
        compiler += [os.environ.get("QTXCONN_OPT", "-O2"), "-g0", "-DNDEBUG"]
    return compiler, linker


def extensions() -> list[Extension]:
    compiler, linker = compile_args()
    macros = [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
    return [
        Extension(
            str(source.relative_to(ROOT).with_suffix("")).replace(os.sep, "."),
            [str(source.relative_to(ROOT))],
            language="c++",
            include_dirs=["include"],
            depends=[str(header.relative_to(ROOT)) for header in HEADERS],
            extra_compile_args=compiler,
            extra_link_args=linker,
            define_macros=macros if COVERAGE else [],
        )
        for source in sorted((ROOT / "qtxconn").rglob("*.pyx"))
    ]


def build_mode() -> str:
    """Names the build directory: modules compiled with other settings are never taken for up to date."""
    if SANITIZE:
        return "sanitize-" + SANITIZE.replace(",", "-")
    return "debug" if DEBUG else "coverage" if COVERAGE else os.environ.get("QTXCONN_OPT", "-O2").strip("-")


class BuildExtWithCython(build_ext):
    """Runs Cython when something is compiled and not before, so that an sdist needs none, and uses all cores."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = len(os.sched_getaffinity(0))
        if self.inplace:
            # Editable installs are given a temporary directory and would compile everything each time.
            self.build_lib, self.build_temp = f"build/{build_mode()}/lib", f"build/{build_mode()}/temp"
        else:
            self.force = True

    def run(self) -> None:
        from Cython.Build import cythonize

        tools = subprocess.run([sys.executable, ROOT / "scripts" / "check_build_tools.py"], stdout=subprocess.PIPE)
        if tools.returncode != 0:
            print(tools.stdout.decode().strip(), file=sys.stderr)
            sys.exit(2)
        translated = cythonize(
            self.extensions,
            build_dir=None if COVERAGE else "build/cython-debug" if DEBUG else "build/cython",
            compiler_directives={
                "language_level": 3,
                "embedsignature": True,
                "boundscheck": DEBUG,
                "wraparound": False,
                "initializedcheck": DEBUG,
                "cdivision": True,
                "linetrace": COVERAGE,
            },
        )
        results = {extension.name: extension for extension in translated}
        for extension in self.extensions:
            extension.sources, extension.depends = results[extension.name].sources, results[extension.name].depends
        super().run()


setup(ext_modules=extensions(), cmdclass={"build_py": BuildPyWithHeaders, "build_ext": BuildExtWithCython})
