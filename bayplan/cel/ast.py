"""The tree of an expression. Macros stay whole (`Fold`, `Bind`, ...) so that each compiles to one Python loop.

`position` is the offset in the source that error messages point at; `type` is filled in by the checker. Every
node knows its `depth`, which the parser bounds: later passes recurse over the tree.
"""

from __future__ import annotations

from typing import Any
from typing import Literal as OneOf

from bayplan.cel.registry import Overload
from bayplan.cel.types import DYN, Type

FoldKind = OneOf["all", "exists", "exists_one", "map", "filter", "transformList", "transformMap", "transformMapEntry"]


class Node:
    """Base of all nodes."""

    __slots__ = ("depth", "position", "type")

    def __init__(self, position: int, *children: Node | None) -> None:
        self.position = position
        self.type: Type = DYN
        self.depth: int = 1 + max((child.depth for child in children if child is not None), default=0)


class Literal(Node):
    __slots__ = ("value",)

    def __init__(self, position: int, value: Any) -> None:
        super().__init__(position)
        self.value = value


class Ident(Node):
    __slots__ = ("name",)

    def __init__(self, position: int, name: str) -> None:
        super().__init__(position)
        self.name = name


class Select(Node):
    """`operand.field`; `optional` is `operand.?field`, `test` is `has(operand.field)`."""

    __slots__ = ("field", "operand", "optional", "test")

    def __init__(self, position: int, operand: Node, field: str, optional: bool, test: bool = False) -> None:
        super().__init__(position, operand)
        self.operand = operand
        self.field = field
        self.optional = optional
        self.test = test


class Index(Node):
    """`operand[key]`, or `operand[?key]` when optional."""

    __slots__ = ("key", "operand", "optional")

    def __init__(self, position: int, operand: Node, key: Node, optional: bool) -> None:
        super().__init__(position, operand, key)
        self.operand = operand
        self.key = key
        self.optional = optional


class Call(Node):
    """A function, a method (`target` set) or an operator (`_+_`, `!_`, ...).

    The checker fills `overloads` with those that fit the static types, and turns `optional.of(x)` from a method
    of `optional` into the function of that name.
    """

    __slots__ = ("args", "function", "overloads", "target")

    def __init__(self, position: int, function: str, target: Node | None, args: list[Node]) -> None:
        super().__init__(position, target, *args)
        self.function = function
        self.target = target
        self.args = args
        self.overloads: tuple[Overload, ...] = ()

    @property
    def all_args(self) -> list[Node]:
        return self.args if self.target is None else [self.target, *self.args]


class Logic(Node):
    """`a && b && c` (`conjunction`) or `a || b || c`, flat: long chains must not make deep trees."""

    __slots__ = ("conjunction", "terms")

    def __init__(self, position: int, conjunction: bool, terms: list[Node]) -> None:
        super().__init__(position, *terms)
        self.conjunction = conjunction
        self.terms = terms

    def append(self, term: Node) -> None:
        self.terms.append(term)
        self.depth = max(self.depth, term.depth + 1)


class ListExpr(Node):
    """`[a, ?b]`; `optionals` holds the indexes of the items written with "?"."""

    __slots__ = ("items", "optionals")

    def __init__(self, position: int, items: list[Node], optionals: frozenset[int]) -> None:
        super().__init__(position, *items)
        self.items = items
        self.optionals = optionals


class MapExpr(Node):
    """`{k: v, ?k: v}` as (key, value, optional) entries."""

    __slots__ = ("entries",)

    def __init__(self, position: int, entries: list[tuple[Node, Node, bool]]) -> None:
        super().__init__(position, *(node for key, value, _ in entries for node in (key, value)))
        self.entries = entries


class Fold(Node):
    """A comprehension macro over `range` with one or two variables.

    `body` is the predicate or the transform (a map for `transformMapEntry`), `condition` the optional filter of
    `map` and the transforms.
    """

    __slots__ = ("body", "condition", "kind", "names", "range")

    def __init__(
        self,
        position: int,
        kind: FoldKind,
        range: Node,
        names: tuple[str, ...],
        condition: Node | None,
        body: Node,
    ) -> None:
        super().__init__(position, range, condition, body)
        self.kind = kind
        self.range = range
        self.names = names
        self.condition = condition
        self.body = body


class Bind(Node):
    """`cel.bind(name, init, body)`."""

    __slots__ = ("body", "init", "name")

    def __init__(self, position: int, name: str, init: Node, body: Node) -> None:
        super().__init__(position, init, body)
        self.name = name
        self.init = init
        self.body = body


class OptMap(Node):
    """`target.optMap(name, body)`, or `optFlatMap` when `flat`."""

    __slots__ = ("body", "flat", "name", "target")

    def __init__(self, position: int, target: Node, name: str, body: Node, flat: bool) -> None:
        super().__init__(position, target, body)
        self.target = target
        self.name = name
        self.body = body
        self.flat = flat


class SortBy(Node):
    """`target.sortBy(name, key)`."""

    __slots__ = ("key", "name", "target")

    def __init__(self, position: int, target: Node, name: str, key: Node) -> None:
        super().__init__(position, target, key)
        self.target = target
        self.name = name
        self.key = key
