"""The C++ compiler that benchmarks, fuzzing and the tests of headers call. Needs no package."""

from __future__ import annotations

import os
import shlex
import shutil

DEFAULTS = ("g++", "clang++", "c++")


def cxx_command() -> list[str]:
    """The words of CXX, which may begin with a launcher ("ccache g++") and end with flags, or the first of g++, clang++
    and c++. Raises FileNotFoundError that says what to install."""
    named = shlex.split(os.environ.get("CXX", ""))
    command = named or [name for name in DEFAULTS if shutil.which(name)][:1]
    if not command or shutil.which(command[0]) is None:
        missing = f"there is no {named[0]!r}, which CXX names" if named else "there is no C++ compiler"
        raise FileNotFoundError(f"{missing}: install g++, or set CXX")
    return command
