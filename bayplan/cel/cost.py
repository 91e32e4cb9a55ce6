"""The worst case of an expression, known before it runs: from the greatest sizes its input can have.

It follows upstream's estimate (cel-go's checker, Kubernetes' cost library), which the API server holds against the
limit when a selector is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
from bayplan.cel.charges import (
    FOLD_END,
    FOLD_START,
    FOLD_STEP,
    LIST_COST,
    MAP_COST,
    REGEX_FACTOR,
    STRING_FACTOR,
    UNLIMITED,
    per_character,
)
from bayplan.cel.types import Type
from bayplan.cel.values import Value, size

MAX_INCLUDES = 48


@dataclass(frozen=True, slots=True)
class Shape:
    """The greatest size of a value, and the shapes of what it holds: `fields` by name, else `keys` and `items`."""

    size: int = UNLIMITED
    keys: Shape | None = None
    items: Shape | None = None
    fields: Mapping[str, Shape] | None = None


UNKNOWN = Shape()
SCALAR = Shape(1)
_FIXED_SIZE = frozenset({"bool", "int", "uint", "double", "timestamp", "duration"})
Estimate = tuple[int, Shape]


def estimate(root: Node, variables: Mapping[str, Shape]) -> int:
    """The most an evaluation can cost, UNLIMITED if no bound is known."""
    return min(_Estimator(variables).cost(root)[0], UNLIMITED)


def _wider(left: Shape | None, right: Shape | None) -> Shape:
    if left is None or right is None:
        return left or right or Shape(0)
    return Shape(max(left.size, right.size), left.keys or right.keys, left.items or right.items)


def _typed(type: Type) -> Shape:
    return SCALAR if type.name in _FIXED_SIZE else UNKNOWN


class _Estimator:
    def __init__(self, variables: Mapping[str, Shape]) -> None:
        self._scopes: list[tuple[str, Shape]] = list(variables.items())

    def cost(self, node: Node) -> Estimate:
        return self._COSTS[type(node)](self, node)

    def _within(self, names: Sequence[tuple[str, Shape]], body: Node) -> Estimate:
        self._scopes.extend(names)
        result = self.cost(body)
        del self._scopes[len(self._scopes) - len(names) :]
        return result

    def _literal(self, node: Literal) -> Estimate:
        return 0, Shape(size(node.value))

    def _ident(self, node: Ident) -> Estimate:
        for name, shape in reversed(self._scopes):
            if name == node.name:
                return 1, shape
        return 1, _typed(node.type)

    def _select(self, node: Select) -> Estimate:
        cost, shape = self.cost(node.operand)
        if node.test:
            return cost, SCALAR
        step = 0 if node.operand.type.is_dynamic and not node.optional else 1
        found = (shape.fields or {}).get(node.field) or shape.items or _typed(node.type)
        return cost + step, found

    def _index(self, node: Index) -> Estimate:
        cost, shape = self.cost(node.operand)
        return cost + self.cost(node.key)[0] + 1, shape.items or _typed(node.type)

    def _call(self, node: Call) -> Estimate:
        estimates = [self.cost(arg) for arg in node.all_args]
        shapes = [shape for _, shape in estimates]
        own, result = _call_cost(node, shapes)
        if node.function == "_?_:_":
            condition, yes, no = (cost for cost, _ in estimates)
            return condition + max(yes, no), result
        return sum(cost for cost, _ in estimates) + own, result

    def _logic(self, node: Logic) -> Estimate:
        return sum(self.cost(term)[0] for term in node.terms), SCALAR

    def _list(self, node: ListExpr) -> Estimate:
        total, items = LIST_COST, Shape(0)
        for item in node.items:
            cost, shape = self.cost(item)
            total, items = total + cost, _wider(items, shape)
        return total, Shape(len(node.items), items=items)

    def _map(self, node: MapExpr) -> Estimate:
        total, keys, items = MAP_COST, Shape(0), Shape(0)
        for key, value, _ in node.entries:
            key_cost, key_shape = self.cost(key)
            value_cost, value_shape = self.cost(value)
            total, keys, items = total + key_cost + value_cost, _wider(keys, key_shape), _wider(items, value_shape)
        return total, Shape(len(node.entries), keys, items)

    def _fold(self, node: Fold) -> Estimate:
        total, over = self.cost(node.range)
        item = over.items or UNKNOWN
        key = SCALAR if node.range.type.name == "list" else over.keys or UNKNOWN
        single = item if node.range.type.name == "list" else key
        names = list(zip(node.names, (key, item) if len(node.names) == 2 else (single,), strict=True))
        step, shape = self._within(names, node.body)
        if node.condition is not None:
            step += self._within(names, node.condition)[0]
        step += FOLD_STEP[node.kind]
        total += FOLD_START.get(node.kind, 0) + FOLD_END.get(node.kind, 1)
        result = {"filter": Shape(over.size, items=single)}.get(node.kind) or Shape(over.size, items=shape)
        loop = UNLIMITED if over.size >= UNLIMITED else over.size * step
        return total + loop, SCALAR if node.type.name == "bool" else result

    def _bind(self, node: Bind) -> Estimate:
        cost, shape = self.cost(node.init)
        body, result = self._within([(node.name, shape)], node.body)
        return LIST_COST + cost + body, result

    def _opt_map(self, node: OptMap) -> Estimate:
        cost, shape = self.cost(node.target)
        body, result = self._within([(node.name, shape)], node.body)
        return LIST_COST + cost + body + 3, result

    def _sort_by(self, node: SortBy) -> Estimate:
        cost, shape = self.cost(node.target)
        key, _ = self._within([(node.name, shape.items or UNKNOWN)], node.key)
        loops = UNLIMITED if shape.size >= UNLIMITED else shape.size * (key + 12) + shape.size**2
        return cost + 2 * LIST_COST + loops, shape

    _COSTS: Mapping[type[Node], Callable[[_Estimator, Value], Estimate]] = {
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


def _call_cost(node: Call, shapes: Sequence[Shape]) -> Estimate:
    """The cost of a call apart from its arguments, and the shape of its result."""
    special = _ESTIMATES.get(node.function)
    if special is not None:
        return special(node, shapes)
    return 1, _typed(node.type)


def _plain(result: Callable[[Sequence[Shape]], Shape], factor: float) -> Callable[[Call, Sequence[Shape]], Estimate]:
    return lambda node, shapes: (per_character(shapes[0].size, factor), result(shapes))


def _estimate_compared(node: Call, shapes: Sequence[Shape]) -> Estimate:
    opaque = all(arg.type.name in ("Quantity", "Semver", "IP", "CIDR") for arg in node.all_args)
    return 1 if opaque else per_character(min(shape.size for shape in shapes)), SCALAR


def _estimate_ordered(node: Call, shapes: Sequence[Shape]) -> Estimate:
    by_length = any(overload.args[0].name in ("string", "bytes") for overload in node.overloads)
    return _estimate_compared(node, shapes) if by_length else (1, SCALAR)


def _estimate_added(node: Call, shapes: Sequence[Shape]) -> Estimate:
    total = min(shapes[0].size + shapes[1].size, UNLIMITED)
    by_length = any(overload.args[0].name in ("string", "bytes") for overload in node.overloads)
    cost = max(per_character(total), 1) if by_length else 1
    return cost, Shape(total, items=_wider(shapes[0].items, shapes[1].items))


def _estimate_in(node: Call, shapes: Sequence[Shape]) -> Estimate:
    in_list = any(overload.args[1].name == "list" for overload in node.overloads)
    return max(shapes[1].size, 1) if in_list else 1, SCALAR


def _estimate_regex(node: Call, shapes: Sequence[Shape]) -> Estimate:
    text, pattern = shapes[0].size, shapes[1].size
    cost = per_character(text + 1) * per_character(pattern, REGEX_FACTOR)
    return cost, SCALAR if node.function == "matches" else Shape(text, items=Shape(text))


def _estimate_contains(node: Call, shapes: Sequence[Shape]) -> Estimate:
    return per_character(shapes[0].size) * per_character(shapes[1].size), SCALAR


def _estimate_replace(node: Call, shapes: Sequence[Shape]) -> Estimate:
    text, old, new = (shape.size for shape in shapes[:3])
    exact = isinstance(node.args[0], Literal) and old > 0
    count = 0 if exact and new <= old else -(-text // old) if exact else text + 1
    return per_character(text, 2 * STRING_FACTOR), Shape(min(text + count * new, UNLIMITED))


def _estimate_join(node: Call, shapes: Sequence[Shape]) -> Estimate:
    count, item = shapes[0].size, (shapes[0].items or UNKNOWN).size
    separator = shapes[1].size if len(shapes) > 1 else 0
    length = min(count * item + max(count - 1, 0) * separator, UNLIMITED)
    return per_character(length, 2 * STRING_FACTOR), Shape(length)


def _estimate_scan(node: Call, shapes: Sequence[Shape]) -> Estimate:
    over = shapes[0]
    if node.all_args[0].type.name != "list":
        return per_character(over.size), SCALAR
    item = node.all_args[0].type.params[0]
    extra = per_character((over.items or UNKNOWN).size) if item.name in ("string", "bytes") else 0
    return min(over.size * (1 + extra), UNLIMITED), over.items or _typed(node.type)


def _estimate_pairs(node: Call, shapes: Sequence[Shape]) -> Estimate:
    factor = 2 if node.function == "sets.equivalent" else 1
    return min(1 + factor * shapes[0].size * shapes[1].size, UNLIMITED), SCALAR


def _estimate_list(node: Call, shapes: Sequence[Shape]) -> Estimate:
    over = shapes[0]
    if node.function == "lists.range":
        literal = node.args[0]
        count = literal.value if isinstance(literal, Literal) else UNLIMITED
        return min(LIST_COST + 1 + count, UNLIMITED), Shape(count, items=SCALAR)
    if node.function == "flatten":
        return UNLIMITED, UNKNOWN
    cost = over.size if node.function == "slice" else over.size**2
    return min(LIST_COST + 1 + cost, UNLIMITED), over


def _keeps(shapes: Sequence[Shape]) -> Shape:
    return Shape(shapes[0].size)


def _estimate_size_kept(node: Call, shapes: Sequence[Shape]) -> Estimate:
    return 1, shapes[0]


def _estimate_either(node: Call, shapes: Sequence[Shape]) -> Estimate:
    return 1, _wider(shapes[0], shapes[1])


def _estimate_text(node: Call, shapes: Sequence[Shape]) -> Estimate:
    return per_character(shapes[0].size), Shape(min(shapes[0].size * 4 + 2, UNLIMITED))


_ESTIMATES: Mapping[str, Callable[[Call, Sequence[Shape]], Estimate]] = {
    **dict.fromkeys(("_==_", "_!=_"), _estimate_compared),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _estimate_ordered),
    "_+_": _estimate_added,
    "@in": _estimate_in,
    "_?_:_": lambda node, shapes: (0, _wider(shapes[1], shapes[2])),
    **dict.fromkeys(("matches", "find", "findAll"), _estimate_regex),
    "contains": _estimate_contains,
    **dict.fromkeys(("startsWith", "endsWith"), lambda node, shapes: (per_character(shapes[0].size), SCALAR)),
    "replace": _estimate_replace,
    "split": _plain(lambda shapes: Shape(shapes[0].size, items=Shape(shapes[0].size)), 2 * STRING_FACTOR),
    "join": _estimate_join,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _estimate_scan),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim"), _plain(_keeps, STRING_FACTOR)),
    **dict.fromkeys(("quantity", "isQuantity", "semver", "isSemver"), _plain(lambda shapes: SCALAR, STRING_FACTOR)),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "ip", "isURL"), _plain(lambda shapes: SCALAR, STRING_FACTOR)),
    "ip.isCanonical": _plain(lambda shapes: SCALAR, 2 * STRING_FACTOR),
    "includes": lambda node, shapes: (MAX_INCLUDES, SCALAR),
    "validate": lambda node, shapes: (per_character(shapes[1].size + 1) * 300, UNKNOWN),
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects"), _estimate_pairs),
    **dict.fromkeys(("slice", "flatten", "lists.range", "reverse", "distinct", "sort"), _estimate_list),
    **dict.fromkeys(("containsIP", "containsCIDR"), lambda node, shapes: (7 + per_character(shapes[1].size), SCALAR)),
    **dict.fromkeys(("dyn", "optional.of", "optional.ofNonZeroValue", "value"), _estimate_size_kept),
    **dict.fromkeys(("or", "orValue"), _estimate_either),
    **dict.fromkeys(("bytes", "strings.quote", "string"), _estimate_text),
    "format": _plain(lambda shapes: UNKNOWN, STRING_FACTOR),
    "charAt": lambda node, shapes: (1, SCALAR),
}
