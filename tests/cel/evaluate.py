"""Evaluates any expression, whatever its type (selectors proper must be bool), and shows how it was read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from bayplan.cel import DeviceView, EvalError
from bayplan.cel.ast import (
    Bind,
    Call,
    Fold,
    Ident,
    Index,
    ListExpr,
    Literal,
    Logic,
    MapExpr,
    Node,
    OptMap,
    Select,
    SortBy,
)
from bayplan.cel.checker import check
from bayplan.cel.compile import Program
from bayplan.cel.device import MAX_COST, DeviceRoot, environment
from bayplan.cel.parser import parse

NOTHING = DeviceView("dra.example.com")


def _checked(expression: str) -> Node:
    root = parse(expression)
    problems = check(root, environment(True, True))
    assert not problems, problems
    return root


def value_of(expression: str, device: DeviceView = NOTHING, metered: bool = False) -> Any:
    """The value; raises EvalError. Fails the test if the expression does not compile."""
    return Program(_checked(expression), DeviceRoot(), MAX_COST, metered).evaluate(device)


def spent_on(expression: str, device: DeviceView) -> int:
    """The cost units an evaluation takes."""
    program = Program(_checked(expression), DeviceRoot(), MAX_COST, metered=True)
    frame = program.frame(device)
    with suppress(EvalError):
        program.run(frame)
    return MAX_COST - frame[1]


def bracketed(node: Node) -> str:
    """The expression as it was understood, in brackets; constants as single names."""
    if isinstance(node, Literal):
        return repr(node.value) if isinstance(node.value, str) else "0"
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select):
        chosen = f"({bracketed(node.operand)}.{'?' if node.optional else ''}{node.field})"
        return f"has{chosen}" if node.test else chosen
    if isinstance(node, Index):
        return f"({bracketed(node.operand)})[{'?' if node.optional else ''}{bracketed(node.key)}]"
    if isinstance(node, Logic):
        return "(" + (" && " if node.conjunction else " || ").join(map(bracketed, node.terms)) + ")"
    if isinstance(node, ListExpr):
        return f"[{', '.join(map(bracketed, node.items))}]"
    if isinstance(node, MapExpr):
        return "{" + ", ".join(f"{bracketed(key)}: {bracketed(value)}" for key, value, _ in node.entries) + "}"
    return _macro(node) if not isinstance(node, Call) else _call(node)


def _call(node: Call) -> str:
    args = [bracketed(arg) for arg in node.args]
    if node.function == "_?_:_":
        return f"({args[0]} ? {args[1]} : {args[2]})"
    if node.function in ("!_", "-_"):
        return f"({node.function[0]}{args[0]})"
    if len(args) == 2 and (node.function == "@in" or node.function.startswith("_")):
        return f"({args[0]} {node.function.strip('_@')} {args[1]})"
    target = f"({bracketed(node.target)})." if node.target is not None else ""
    return f"{target}{node.function}({', '.join(args)})"


def _macro(node: Node) -> str:
    if isinstance(node, Bind):
        return f"cel.bind({node.name}, {bracketed(node.init)}, {bracketed(node.body)})"
    if isinstance(node, OptMap):
        return (
            f"({bracketed(node.target)}).{'optFlatMap' if node.flat else 'optMap'}({node.name}, {bracketed(node.body)})"
        )
    if isinstance(node, SortBy):
        return f"({bracketed(node.target)}).sortBy({node.name}, {bracketed(node.key)})"
    assert isinstance(node, Fold)
    parts = [*node.names, *([bracketed(node.condition)] if node.condition else []), bracketed(node.body)]
    return f"({bracketed(node.range)}).{node.kind}({', '.join(parts)})"
