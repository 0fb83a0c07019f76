"""Says in one line what is missing to build qtxconn here, and how to get it; prints nothing if all is there.

    python scripts/check_build_tools.py [--venv]

Exit status 2 when something is missing. With --venv the venv module is checked too. Leaves nothing behind.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig

PROBE = "#include <{}>\n"
PYTHON_MIN = (3, 11)


def compiler() -> "list[str]":
    """The C++ compiler that setuptools will use."""
    return shlex.split(os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "g++")


def compiles(command: "list[str]", header: str) -> bool:
    """Whether a file with this one include passes the compiler as C++17; writes no file."""
    include = sysconfig.get_path("include")
    probe = [*command, "-std=c++17", "-fsyntax-only", "-I", include, "-x", "c++", "-"]
    return subprocess.run(probe, input=PROBE.format(header), text=True, capture_output=True).returncode == 0


def has_venv() -> bool:
    try:
        import ensurepip  # noqa: F401  (distributions split it off from venv)
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def missing(with_venv: bool) -> "str | None":
    version = "{}.{}".format(*sys.version_info[:2])
    if sys.version_info < PYTHON_MIN:
        return f"Python {version} is too old: install Python 3.11 or newer, or name one, as in 'make PYTHON=python3.12'"
    if with_venv and not has_venv():
        return f"Python has no venv module: install it, for example 'apt install python{version}-venv', then try again"
    command = compiler()
    if shutil.which(command[0]) is None:
        return f"no C++ compiler ({command[0]} not found): install one, for example 'apt install g++', then try again"
    if not compiles(command, "charconv"):
        return f"the C++ compiler {command[0]} has no C++17: install g++ 9 or newer, or name another one in CXX"
    if not compiles(command, "Python.h"):
        return f"no Python headers: install them, for example 'apt install python{version}-dev', then try again"
    return None


if __name__ == "__main__":
    problem = missing("--venv" in sys.argv[1:])
    if problem is not None:
        print(f"qtxconn: {problem}")
        sys.exit(2)
