"""The rules of the house that a machine can check: purity, layers, docstrings."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PURE = ("model", "cel", "core", "audit", "whatif", "wire", "workloads", "lint")
EFFECTS = {
    "a clock": ("time", "sched", "timeit"),
    "chance": ("random", "secrets", "uuid"),
    "concurrency": ("asyncio", "concurrent", "multiprocessing", "signal", "threading"),
    "the machine": ("io", "os", "pathlib", "shutil", "sqlite3", "subprocess", "sys", "tempfile"),
    "a network": ("aiohttp", "http", "httpx", "httpx2", "requests", "socket", "ssl", "urllib3"),
    "a log": ("logging", "warnings"),
}
FORBIDDEN_MODULES = {module: effect for effect, modules in EFFECTS.items() for module in modules}
FORBIDDEN_CALLS = frozenset(("open", "print", "input", "exec", "eval", "breakpoint", "globals", "__import__"))
ORDERING = ("list", "tuple", "enumerate", "iter", "zip")
CLOCKS = frozenset(("now", "utcnow", "today"))
LINES_MAX = 600  # beyond this no file is about one idea; most stay under 400

ALL = sorted((ROOT / "bayplan").rglob("*.py"))
MODULES = {str(path.relative_to(ROOT)): path for path in ALL if path.stat().st_size}
PURE_MODULES = {name: path for name, path in MODULES.items() if name.split("/")[1] in PURE}


@pytest.mark.parametrize("name", PURE_MODULES)
def test_effects_are_arguments_in(name: str) -> None:
    tree = ast.parse(PURE_MODULES[name].read_text())
    assert [f"{name}:{line}: {what}" for line, what in _effects(tree)] == []


@pytest.mark.parametrize("name", MODULES)
def test_a_docstring_says_what_it_is_about(name: str) -> None:
    assert ast.get_docstring(ast.parse(MODULES[name].read_text())), f"{name} has no module docstring"


@pytest.mark.parametrize("name", MODULES)
def test_one_idea_fits_in(name: str) -> None:
    lines = len(MODULES[name].read_text().splitlines())
    assert lines <= LINES_MAX, f"{name} has {lines} lines: split it by idea"


def test_imports_point_down_only() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("import os.path", "imports os, the machine"),
        ("from time import monotonic", "imports time, a clock"),
        ("print(1)", "calls print"),
        ("from datetime import datetime\ndatetime.now()", "reads the clock: now"),
        ("for x in {1, 2}: pass", "iterates over a set"),
        ("[x for x in set(y)]", "iterates over a set"),
        ("list({x for x in y})", "iterates over a set"),
    ],
)
def test_the_checker_sees(code: str, complaint: str) -> None:
    assert [what for _, what in _effects(ast.parse(code))] == [complaint]


@pytest.mark.parametrize("code", ["sorted({1, 2})", "x in {1, 2}", "for x in sorted(set(y)): pass", "len({x})"])
def test_the_checker_lets_pass(code: str) -> None:
    assert list(_effects(ast.parse(code))) == []


def _effects(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (
                    (node.lineno, f"imports {m}, {FORBIDDEN_MODULES[m]}")
                    for a in names
                    if (m := _top(a.name)) in FORBIDDEN_MODULES
                )
            case ast.ImportFrom(module=str(module), level=0) if _top(module) in FORBIDDEN_MODULES:
                yield node.lineno, f"imports {_top(module)}, {FORBIDDEN_MODULES[_top(module)]}"
            case ast.Call(func=ast.Name(id=called)) if called in FORBIDDEN_CALLS:
                yield node.lineno, f"calls {called}"
            case ast.Call(func=ast.Name(id=called), args=[first, *_]) if called in ORDERING and _is_set(first):
                yield node.lineno, "iterates over a set"
            case ast.Attribute(value=ast.Name(id="datetime" | "date"), attr=attr) if attr in CLOCKS:
                yield node.lineno, f"reads the clock: {attr}"
            case ast.For(iter=over) | ast.comprehension(iter=over) if _is_set(over):
                yield over.lineno, "iterates over a set"


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_set(node: ast.expr) -> bool:
    """Whether the expression is plainly a set, whose order is not the same in every run."""
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
    return False
