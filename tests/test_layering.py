"""The walls between the layers: no module imports or cimports from above its own layer, also not in a function."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

# Lower layers first. A package may import its own and those in rows below, never a neighbour in its row.
ROWS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("core",),
    ("net", "perf"),
    ("qtx", "exchanges"),
    ("orders", "storage"),
    ("gateway", "sim"),
    ("testing",),
    ("cli",),
)
RANK = {layer: rank for rank, row in enumerate(ROWS) for layer in row}
# The package's own front door: `__init__` names everything and loads it on demand; `__main__` starts the command line.
FRONT_DOOR = {"__init__", "__main__"}
FRONT_DOOR_NAMES = {"qtxconn", "qtxconn.__version__", "qtxconn.get_include"}  # what a module may take through it
# Beyond the rows.
FORBIDDEN_PAIRS = {
    ("sim", "exchanges"): "a venue's dialect is written twice, so that both sides cannot share a mistake"
}
# Modules of others that a layer must not know: the core knows no transport.
FORBIDDEN_MODULES = {"core": {"aiohttp", "socket", "ssl", "selectors", "http", "urllib", "websockets"}}

_CYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<source>[\w.]+)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n]*)"
    r"|c?import[ \t]+(?P<plain>[^\n]*))",
    re.M,
)


def imports_of_python(text: str, module: str) -> set[str]:
    """Absolute names of all modules that Python source imports anywhere, `from x import y` as both x and x.y."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parent = module.split(".")[: -node.level]
                source = ".".join([*parent, source] if source else parent)
            found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            callee = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if callee in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.add(node.args[0].value)
    return found


def imports_of_cython(text: str) -> set[str]:
    """The same for .pyx and .pxd source."""
    text = re.sub(r'"""(?:.|\n)*?"""', "", text)
    text = re.sub(r"#[^\n]*", "", text)
    found = set()
    for match in _CYTHON_IMPORT.finditer(text):
        if match["source"]:
            names = [name.split(" as ")[0].strip() for name in match["names"].strip("()").split(",")]
            found |= {match["source"], *(f"{match['source']}.{name}" for name in names if name)}
        else:
            found |= {name.split(" as ")[0].strip() for name in match["plain"].split(",")}
    return found


def layer_of(module: str) -> str | None:
    """core of qtxconn.core.types; None for the package itself and for other packages."""
    parts = module.split(".")
    return parts[1] if parts[0] == "qtxconn" and len(parts) > 1 else None


def violations(module: str, imported: set[str]) -> list[str]:
    """One line for each import that goes through a wall."""
    layer = layer_of(module)
    if layer is None or layer in FRONT_DOOR:
        return []
    if layer not in RANK:
        return [f"{module}: the layer {layer!r} is not in the house (docs/architecture.md)"]
    found = []
    for name in sorted(imported):
        target = layer_of(name)
        if name.split(".")[0] in FORBIDDEN_MODULES.get(layer, ()):
            found.append(f"{module} imports {name}: {layer} knows no transport")
        elif (layer, target) in FORBIDDEN_PAIRS:
            found.append(f"{module} imports {name}: {FORBIDDEN_PAIRS[layer, target]}")
        elif target is not None and target not in RANK and name not in FRONT_DOOR_NAMES:
            found.append(f"{module} imports {name}: name the module that defines it, not the front door")
        elif target in RANK and target != layer and RANK[target] >= RANK[layer]:
            found.append(f"{module} imports {name}: {target} is not below {layer}")
    return found


def module_name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts)


def source_imports(path: Path, module: str) -> set[str]:
    text = path.read_text()
    return imports_of_python(text, module) if path.suffix == ".py" else imports_of_cython(text)


def test_every_import_goes_down(root: Path) -> None:
    sources = [path for suffix in ("py", "pyx", "pxd") for path in (root / "qtxconn").rglob(f"*.{suffix}")]
    assert len(sources) > 30
    found = [
        line
        for path in sorted(sources)
        for line in violations(module_name(path, root), source_imports(path, module_name(path, root)))
    ]
    assert not found, "\n".join(found)


def test_headers_include_no_python(root: Path) -> None:
    found = [path.name for path in (root / "include").rglob("*.hpp") if "Python.h" in path.read_text()]
    assert not found


def test_headers_of_the_core_know_no_venue(root: Path) -> None:
    """A header that is named after a feed or a venue may include the others, and none of those it."""
    found = [
        f"{path.name} includes {name}"
        for path in (root / "include").rglob("*.hpp")
        for name in re.findall(r'#include "qtxconn/([a-z]+)_\w+\.hpp"', path.read_text())
        if name in ("qtx", "binance") and not path.name.startswith(f"{name}_")
    ]
    assert not found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("qtxconn.core.types", "from qtxconn.net.rest import RestClient"),
        ("qtxconn.core.types", "def f():\n    import qtxconn.exchanges.binance"),
        ("qtxconn.core.types", "import importlib\nimportlib.import_module('qtxconn.qtx.hybrid')"),
        ("qtxconn.core.types", "import socket"),
        ("qtxconn.qtx.hybrid", "from qtxconn import exchanges"),
        ("qtxconn.exchanges.binance.connector", "from qtxconn.qtx.hybrid import QtxHybridMixin"),
        ("qtxconn.exchanges.binance.connector", "from ...sim import venue"),
        ("qtxconn.sim.process", "from qtxconn.exchanges.binance.auth import sign"),
        ("qtxconn.perf.latency", "import qtxconn.net.rest"),
        ("qtxconn.attic.old", "import os"),
        ("qtxconn.core.types", "from qtxconn import QtxPerpetualDerivative"),
    ],
)
def test_a_breach_is_noticed(module: str, source: str) -> None:
    assert violations(module, imports_of_python(source, module))


@pytest.mark.parametrize(
    "source",
    [
        "from qtxconn.qtx.order_queue cimport OrderQueue",
        "from qtxconn.qtx.order_queue cimport (\n    OrderQueue,\n    TextView,\n)",
        "cimport qtxconn.qtx.order_queue",
        "cdef int f():\n    from qtxconn.qtx import order_queue",
        "from qtxconn cimport qtx",
    ],
)
def test_a_breach_in_cython_is_noticed(source: str) -> None:
    assert violations("qtxconn.core.connector_base", imports_of_cython(source))


def test_imports_downwards_pass() -> None:
    source = (
        "import asyncio\nfrom qtxconn import __version__\n"
        "from qtxconn.core.types import OrderType\nfrom qtxconn.errors import QtxconnError"
    )
    assert not violations("qtxconn.qtx.hybrid", imports_of_python(source, "qtxconn.qtx.hybrid"))
    assert not violations("qtxconn.sim.venue", imports_of_python("from . import book", "qtxconn.sim.venue"))
