"""The .pyi files of the compiled modules say what is there: every public name, with the parameters it really has."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

from qtxconn.core import connectors

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "qtxconn").rglob("*.pyx"))


def stub_of(module: str) -> ast.Module:
    path = ROOT.joinpath(*module.split(".")).with_suffix(".pyi")
    assert path.is_file(), f"{module} has no stub"
    return ast.parse(path.read_text())


def names_in(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Names that a module or class body defines. Imports are not re-exports."""
    found: dict[str, ast.stmt] = {}
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
    return found


def public_names(module: str) -> set[str]:
    """Names that a compiled module defines itself: what it imports it does not own."""
    loaded = importlib.import_module(module)
    source = ROOT.joinpath(*module.split(".")).with_suffix(".pyx").read_text()
    constants = set(re.findall(r"^([A-Z][A-Z0-9_]*) = ", source, re.M))
    own = {name for name, value in vars(loaded).items() if getattr(value, "__module__", None) == module}
    return {name for name in own | constants if not name.startswith("_")}


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = node.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return names + [argument.arg for argument in (arguments.vararg, arguments.kwarg) if argument is not None]


def constructor_parameters(cls: type) -> list[str]:
    """Names from the signature that Cython puts into the docstring: `Clock(str name, *, int limit=3)`."""
    inside = (cls.__doc__ or "").partition("\n")[0].partition("(")[2].rstrip(")")
    names = [part.partition("=")[0].split()[-1].strip("*") for part in inside.split(",") if part.strip()]
    return [name for name in names if name]


def check_class(cls: type, node: ast.ClassDef) -> list[str]:
    stub = names_in(node.body)
    if issubclass(cls, tuple):
        return [] if list(cls._fields) == list(stub) else [f"{cls.__name__} has the fields {cls._fields}"]
    wrong = [f"{cls.__name__}.{name} is not in the stub" for name in vars(cls) if name[0] != "_" and name not in stub]
    for name, member in stub.items():
        if not hasattr(cls, name):
            wrong.append(f"{cls.__name__}.{name} is in the stub only")
            continue
        if not isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        real = inspect.getattr_static(cls, name)
        real = getattr(real, "__func__", real)
        is_property = any(isinstance(mark, ast.Name) and mark.id == "property" for mark in member.decorator_list)
        if is_property == callable(real):
            wrong.append(f"{cls.__name__}.{name} is {'no' if is_property else 'a'} property")
        elif name == "__init__":
            if set(parameters(member)[1:]) != set(constructor_parameters(cls)):
                wrong.append(f"{cls.__name__}: the constructor takes {constructor_parameters(cls)}")
        elif callable(real) and not is_property:
            if set(parameters(member)) != set(inspect.signature(real).parameters):
                wrong.append(f"{cls.__name__}.{name}{inspect.signature(real)} has other parameters in the stub")
            if isinstance(member, ast.AsyncFunctionDef) != inspect.iscoroutinefunction(real):
                wrong.append(f"{cls.__name__}.{name}: coroutine or not?")
    return wrong


@pytest.mark.parametrize("module", MODULES)
def test_the_stub_says_what_is_there(module: str) -> None:
    loaded, stub = importlib.import_module(module), names_in(stub_of(module).body)
    assert public_names(module) == set(stub)
    wrong = []
    for name, node in stub.items():
        real = getattr(loaded, name)
        if isinstance(node, ast.ClassDef):
            wrong += check_class(real, node)
        elif isinstance(node, ast.FunctionDef) and parameters(node) != list(inspect.signature(real).parameters):
            wrong.append(f"{name}{inspect.signature(real)} has other parameters in the stub")
    assert not wrong, "\n".join(wrong)


def test_the_hooks_are_in_the_stubs() -> None:
    written = set()
    for module in ("qtxconn.core.connector_hooks", "qtxconn.core.perpetual_derivative_base"):
        for node in stub_of(module).body:
            if isinstance(node, ast.ClassDef):
                written |= set(names_in(node.body))
    assert not set(connectors._COROUTINE_HOOKS) - written
