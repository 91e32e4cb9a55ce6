"""Which parts of a device an expression can depend on, known without evaluating it.

A path is a chain of constant selections from `device`: `device.attributes["gpu.nvidia.com"].type`. Selectors read a
few of them, so a scheduler evaluates a selector once per distinct tuple of those values, not once per device.
"""

from __future__ import annotations

from typing import Literal as OneOf
from typing import NamedTuple, TypeAlias

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

DEVICE = "device"
Read: TypeAlias = tuple[str, ...]


class Path(NamedTuple):
    """The selections from `device` on, and how the last one is meant: its value, its presence, or an optional."""

    fields: tuple[str, ...]
    mode: OneOf["value", "has", "optional"]


def path_of(node: Node) -> Path | None:
    """The path a node denotes, None if it is none (or goes on behind an optional step)."""
    return _path(node, {DEVICE: ()})


def _path(node: Node, names: dict[str, tuple[str, ...] | None]) -> Path | None:
    if isinstance(node, Ident):
        fields = names.get(node.name)
        return Path(fields, "value") if fields is not None else None
    step = _step(node)
    if step is None:
        return None
    operand, field, mode = step
    before = _path(operand, names)
    if before is None or before.mode != "value" or len(before.fields) == _DEPTH.get(before.fields[:1], 1):
        return None
    return Path((*before.fields, field), mode)


# `driver` has no inside to select from; the maps have domains and ids.
_DEPTH: dict[tuple[str, ...], int] = {(): 9, ("attributes",): 3, ("capacity",): 3}


def _step(node: Node) -> tuple[Node, str, OneOf["value", "has", "optional"]] | None:
    if isinstance(node, Select):
        return node.operand, node.field, "has" if node.test else "optional" if node.optional else "value"
    if isinstance(node, Index) and isinstance(node.key, Literal) and isinstance(node.key.value, str):
        return node.operand, node.key.value, "optional" if node.optional else "value"
    return None


def reads_of(root: Node) -> tuple[Read, ...] | None:
    """The shortest list of reads that decides the value, sorted; None if `device` itself is used as a value."""
    reader = _Reader()
    reader.visit(root, {DEVICE: ()})
    found = sorted(reader.reads)
    if () in found:
        return None
    return tuple(read for read in found if not any(read[:length] in reader.reads for length in range(1, len(read))))


class _Reader:
    def __init__(self) -> None:
        self.reads: dict[Read, None] = {}

    def visit(self, node: Node | None, names: dict[str, tuple[str, ...] | None]) -> None:
        """`names` says what each variable stands for: a path (its reads count where it is used), else None."""
        if node is None:
            return
        path = _path(node, names)
        if path is not None:
            self.reads[path.fields] = None
        elif isinstance(node, Call) and node.function == "@in" and self._membership(node, names):
            pass
        elif isinstance(node, Bind):
            self._bind(node, names)
        elif isinstance(node, Fold):
            self.visit(node.range, names)
            inside = names | dict.fromkeys(node.names)
            self.visit(node.condition, inside)
            self.visit(node.body, inside)
        elif isinstance(node, OptMap | SortBy):
            self.visit(node.target, names)
            self.visit(node.body if isinstance(node, OptMap) else node.key, names | {node.name: None})
        else:
            for child in _children(node):
                self.visit(child, names)

    def _membership(self, node: Call, names: dict[str, tuple[str, ...] | None]) -> bool:
        """`"id" in device.attributes["domain"]` depends on that id alone."""
        key, container = node.args[0], _path(node.args[1], names)
        is_domain = container is not None and container.mode == "value" and len(container.fields) == 2
        if not (is_domain and isinstance(key, Literal) and isinstance(key.value, str)):
            return False
        assert container is not None
        self.reads[(*container.fields, key.value)] = None
        return True

    def _bind(self, node: Bind, names: dict[str, tuple[str, ...] | None]) -> None:
        path = _path(node.init, names)
        if path is not None and path.mode == "value":
            self.visit(node.body, names | {node.name: path.fields})
        else:
            self.visit(node.init, names)
            self.visit(node.body, names | {node.name: None})


def _children(node: Node) -> list[Node]:
    if isinstance(node, Select):
        return [node.operand]
    if isinstance(node, Index):
        return [node.operand, node.key]
    if isinstance(node, Call):
        return node.all_args
    if isinstance(node, Logic):
        return node.terms
    if isinstance(node, ListExpr):
        return node.items
    if isinstance(node, MapExpr):
        return [child for key, value, _ in node.entries for child in (key, value)]
    return []
