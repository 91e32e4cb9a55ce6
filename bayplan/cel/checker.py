"""Static types: names resolved, overloads chosen, literals of one kind (cel-spec "Gradual type checking").

Follows the options Kubernetes sets: list and map literals are homogeneous, numbers of different kinds compare,
patterns of `matches` and constants of `duration` and `timestamp` are validated when they are literals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

from bayplan.cel import types
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
from bayplan.cel.errors import EvalError
from bayplan.cel.registry import Functions
from bayplan.cel.types import BOOL, DYN, INT, STRING, Substitution, Type, list_of, map_of, optional_of
from bayplan.cel.values import TYPE_NAMES, Uint, Value

_TYPE_IDENTS = {
    name: types.Type("type", (types.Type(kind),))
    for kind in (
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "list",
        "map",
        "null",
        "type",
        "timestamp",
        "duration",
    )
    for name in (TYPE_NAMES.get(kind, kind),)
}
TYPE_IDENTS = frozenset(_TYPE_IDENTS)


class Problem(NamedTuple):
    position: int
    message: str


class Environment(NamedTuple):
    """What an expression may use: variables, the fields of object types, functions, checks of literal arguments.

    `validators` map a function to a check of its last argument when that is a string literal.
    """

    variables: Mapping[str, Type]
    fields: Mapping[str, Mapping[str, Type]]
    functions: Functions
    validators: Mapping[str, Callable[[str], None]]


def check(root: Node, environment: Environment) -> list[Problem]:
    """Sets every node's type; returns what is wrong, in source order. The tree is usable if nothing is."""
    checker = _Checker(environment)
    checker.check(root)
    checker.finish()
    return sorted(checker.problems)


# Calls whose literal arguments may mix types.
_MIXED_ARGUMENTS = frozenset({"format"})


class _Checker:
    def __init__(self, environment: Environment) -> None:
        self._env = environment
        self._subst = Substitution()
        self._scopes: list[tuple[str, Type]] = []
        self._nodes: list[Node] = []
        self._mixed = 0
        self._alike: list[list[Node]] = []
        self.problems: list[Problem] = []

    def finish(self) -> None:
        for node in self._nodes:
            node.type = self._subst.final(node.type)
        if not self.problems:
            for nodes in self._alike:
                self._expect_alike(nodes)

    def _expect_alike(self, nodes: list[Node]) -> None:
        """The elements of one literal must have one type, known to be the same: dyn is not int."""
        wanted, *rest = [node.type for node in nodes] or [DYN]
        for node, found in zip(nodes[1:], rest, strict=True):
            if found != wanted:
                self._problem(node, f"expected type '{wanted}' but found '{found}'")
                break

    def check(self, node: Node) -> Type:
        found = self._subst.resolve(self._CHECKS[type(node)](self, node))
        node.type = DYN if types.is_large(found) else found
        self._nodes.append(node)
        return node.type

    def _problem(self, node: Node, message: str) -> Type:
        self.problems.append(Problem(node.position, message))
        return DYN

    def _variable(self, name: str) -> Type | None:
        for known, its_type in reversed(self._scopes):
            if known == name:
                return its_type
        return self._env.variables.get(name) or _TYPE_IDENTS.get(name)

    def _within(self, names: list[tuple[str, Type]], *bodies: Node | None) -> list[Type]:
        self._scopes.extend(names)
        result = [self.check(body) for body in bodies if body is not None]
        del self._scopes[len(self._scopes) - len(names) :]
        return result

    def _literal(self, node: Literal) -> Type:
        value = node.value
        if value is None:
            return types.NULL
        if isinstance(value, Uint):
            return types.UINT
        return {bool: BOOL, int: INT, float: types.DOUBLE, str: STRING, bytes: types.BYTES}[type(value)]

    def _ident(self, node: Ident) -> Type:
        found = self._variable(node.name)
        return found or self._problem(node, f"undeclared reference to '{node.name}' (in container '')")

    def _select(self, node: Select) -> Type:
        name = qualified_name(node)
        if name in _TYPE_IDENTS and self._variable(str(name).split(".")[0]) is None:
            return _TYPE_IDENTS[str(name)]
        operand = self.check(node.operand)
        was_optional = operand.name == "opt"
        result = self._field(node, operand.params[0] if was_optional else operand)
        if node.test:
            return BOOL
        return optional_of(result) if was_optional or node.optional else result

    def _field(self, node: Select, operand: Type) -> Type:
        operand = self._subst.resolve(operand)
        if operand.is_dynamic or operand.is_param:
            return DYN
        if operand.name == "map":
            if not self._subst.accept(operand.params[0], STRING):
                return self._problem(node, f"type '{operand}' does not support field selection")
            return operand.params[1]
        if operand.name in self._env.fields:
            field = self._env.fields[operand.name].get(node.field)
            return field or self._problem(node, f"undefined field '{node.field}'")
        return self._problem(node, f"type '{operand}' does not support field selection")

    def _index(self, node: Index) -> Type:
        operand, key = self.check(node.operand), self.check(node.key)
        was_optional = operand.name == "opt"
        container = self._subst.resolve(operand.params[0]) if was_optional else operand
        wanted, result = _indexed(container)
        if result is None or not self._subst.accept(wanted, key):
            name = "_[?_]" if node.optional else "_[_]"
            return self._no_overload(node, name, (operand, key), False)
        return optional_of(result) if was_optional or node.optional else result

    def _no_overload(self, node: Node, function: str, args: tuple[Type, ...], member: bool) -> Type:
        shown = [str(self._subst.final(arg)) for arg in args]
        form = f"{shown[0]}.({', '.join(shown[1:])})" if member else f"({', '.join(shown)})"
        return self._problem(node, f"found no matching overload for '{function}' applied to '{form}'")

    def _call(self, node: Call) -> Type:
        self._fold_namespace(node)
        functions = self._env.functions
        self._mixed += node.function in _MIXED_ARGUMENTS
        args = tuple(self.check(arg) for arg in node.all_args)
        self._mixed -= node.function in _MIXED_ARGUMENTS
        if not functions.knows(node.function):
            return self._problem(node, f"undeclared reference to '{node.function}' (in container '')")
        member = node.target is not None
        fitting = []
        result: Type | None = None
        for overload in functions.named(node.function, member, len(args)):
            *wanted, returned = self._subst.renamed((*overload.args, overload.result))
            if self._subst.accept_all(tuple(wanted), args):
                fitting.append(overload)
                returned = self._subst.resolve(returned)
                result = returned if result in (None, returned) else DYN
        if result is None:
            return self._no_overload(node, node.function, args, member)
        node.overloads = tuple(fitting)
        self._validate(node)
        return result

    def _validate(self, node: Call) -> None:
        validator = self._env.validators.get(node.function)
        last = node.args[-1] if node.args else None
        if validator is None or not isinstance(last, Literal) or not isinstance(last.value, str):
            return
        try:
            validator(last.value)
        except EvalError as error:
            self._problem(last, f"invalid {node.function} argument: {error}")

    def _fold_namespace(self, node: Call) -> None:
        """Turns the method `of` of `optional` into the function `optional.of`, unless `optional` is a variable."""
        if node.target is None:
            return
        namespace = qualified_name(node.target)
        if namespace is None or self._variable(namespace.split(".")[0]) is not None:
            return
        if self._env.functions.knows(f"{namespace}.{node.function}"):
            node.function, node.target = f"{namespace}.{node.function}", None

    def _logic(self, node: Logic) -> Type:
        function = "_&&_" if node.conjunction else "_||_"
        found = tuple(self.check(term) for term in node.terms)
        for left, right in pairwise(found):
            if not self._subst.accept_all((BOOL, BOOL), (left, right)):
                return self._no_overload(node, function, (left, right), False)
        return BOOL

    def _list(self, node: ListExpr) -> Type:
        item: Type | None = None
        for position, child in enumerate(node.items):
            item = self._joined(item, self._element(child, position in node.optionals))
        self._note_alike([item for at, item in enumerate(node.items) if at not in node.optionals])
        return list_of(item or self._subst.fresh())

    def _element(self, child: Node, optional: bool) -> Type:
        found = self.check(child)
        if not optional or found.is_dynamic:
            return found
        if found.name != "opt":
            return self._problem(child, f"expected type 'optional_type(dyn)' but found '{found}'")
        return self._subst.resolve(found.params[0])

    def _joined(self, so_far: Type | None, found: Type) -> Type:
        if so_far is None:
            return found
        if self._subst.accept(so_far, found):
            return so_far if so_far.is_dynamic or not found.is_dynamic else found
        return DYN

    def _note_alike(self, nodes: list[Node]) -> None:
        if not self._mixed:
            self._alike.append(nodes)

    def _map(self, node: MapExpr) -> Type:
        key: Type | None = None
        value: Type | None = None
        for entry_key, entry_value, optional in node.entries:
            key = self._joined(key, self.check(entry_key))
            value = self._joined(value, self._element(entry_value, optional))
        self._note_alike([entry_key for entry_key, _, _ in node.entries])
        self._note_alike([entry_value for _, entry_value, optional in node.entries if not optional])
        return map_of(key or self._subst.fresh(), value or self._subst.fresh())

    def _fold(self, node: Fold) -> Type:
        names = self._iterated(node, self.check(node.range))
        if node.condition is not None:
            self._expect_bool(node.condition, self._within(names, node.condition)[0])
        (body,) = self._within(names, node.body)
        if node.kind in ("all", "exists", "exists_one", "filter"):
            self._expect_bool(node.body, body)
        if node.kind == "filter":
            return list_of(names[0][1])
        if node.kind in ("map", "transformList"):
            return list_of(body)
        if node.kind == "transformMap":
            return map_of(names[0][1], body)
        if node.kind == "transformMapEntry":
            if not self._subst.accept(map_of(DYN, DYN), body):
                return self._problem(node.body, f"expected a map of new entries but found '{body}'")
            return body if body.name == "map" else map_of(DYN, DYN)
        return BOOL

    def _expect_bool(self, node: Node, found: Type) -> None:
        if not self._subst.accept(BOOL, found):
            self._problem(node, f"expected type 'bool' but found '{self._subst.final(found)}'")

    def _iterated(self, node: Fold, over: Type) -> list[tuple[str, Type]]:
        """The types of the loop variables."""
        first, second = DYN, DYN
        if over.name == "list":
            first, second = (INT if len(node.names) == 2 else over.params[0]), over.params[0]
        elif over.name == "map":
            first, second = over.params
        elif over.name != "dyn" and not over.is_param:
            self._problem(
                node.range,
                f"expression of type '{over}' cannot be range of a comprehension (must be list, map, or dynamic)",
            )
        return list(zip(node.names, (first, second), strict=False))

    def _bind(self, node: Bind) -> Type:
        return self._within([(node.name, self.check(node.init))], node.body)[0]

    def _opt_map(self, node: OptMap) -> Type:
        target = self.check(node.target)
        inner = self._subst.fresh()
        if not self._subst.accept(optional_of(inner), target):
            return self._no_overload(node, "optFlatMap" if node.flat else "optMap", (target,), True)
        (body,) = self._within([(node.name, self._subst.resolve(inner))], node.body)
        if not node.flat:
            return optional_of(body)
        if not self._subst.accept(optional_of(self._subst.fresh()), body):
            return self._problem(node.body, f"expected type 'optional_type(dyn)' but found '{body}'")
        return body

    def _sort_by(self, node: SortBy) -> Type:
        target = self.check(node.target)
        item = self._subst.fresh()
        if not self._subst.accept(list_of(item), target):
            return self._no_overload(node, "sortBy", (target,), True)
        (key,) = self._within([(node.name, self._subst.resolve(item))], node.key)
        if not key.is_dynamic and not key.is_param and key.name not in SORTABLE:
            return self._no_overload(node, "sortBy", (target, key), True)
        return list_of(item)

    _CHECKS: Mapping[type[Node], Callable[[_Checker, Value], Type]] = {
        Literal: _literal,
        Ident: _ident,
        Select: _select,
        Index: _index,
        Call: _call,
        Logic: _logic,
        ListExpr: _list,
        MapExpr: _map,
        Fold: _fold,
        Bind: _bind,
        OptMap: _opt_map,
        SortBy: _sort_by,
    }


SORTABLE = frozenset({"int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"})


def qualified_name(node: Node) -> str | None:
    """`a.b.c` of nothing but plain selections, else None."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.optional and not node.test:
        prefix = qualified_name(node.operand)
        return prefix and f"{prefix}.{node.field}"
    return None


def _indexed(container: Type) -> tuple[Type, Type | None]:
    """The type of key a container wants and what it gives, None if it cannot be indexed."""
    if container.is_dynamic or container.is_param:
        return DYN, DYN
    if container.name == "list":
        return INT, container.params[0]
    if container.name == "map":
        return container.params[0], container.params[1]
    return DYN, None
