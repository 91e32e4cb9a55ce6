"""Lists: the Kubernetes library (isSorted, sum, min, max, indexOf, lastIndexOf) and cel-go's extension v3."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import pairwise

from bayplan.cel.errors import NO_OVERLOAD, EvalError
from bayplan.cel.registry import Library
from bayplan.cel.stdlib.standard import LIBRARY as STANDARD
from bayplan.cel.stdlib.standard import MAX_ITEMS
from bayplan.cel.values import NONE, Duration, Optional, Uint, Value, comparable, equals

LIBRARY = Library()
_declare = LIBRARY.declare
List = tuple[Value, ...]

_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_SUM_OF_NOTHING: dict[str, Value] = {"int": 0, "uint": Uint(0), "double": 0.0, "duration": Duration(0)}


_NUMBERS = (int, float, Duration)  # Uint is an int


def _in_order(left: Value, right: Value) -> bool:
    if not comparable(left, right):
        raise EvalError(NO_OVERLOAD)
    return bool(left <= right)


def _is_sorted(items: List) -> bool:
    return all(_in_order(left, right) for left, right in pairwise(items))


def _extreme(name: str, better: Callable[[Value, Value], bool]) -> Callable[[List], Value]:
    def find(items: List) -> Value:
        if not items:
            raise EvalError(f"{name} called on empty list")
        return reduce(lambda best, item: item if better(item, best) else best, items)

    return find


_minimum = _extreme("min", lambda item, best: not _in_order(best, item))
_maximum = _extreme("max", lambda item, best: not _in_order(item, best))

for _kind in _COMPARABLE:
    LIBRARY.add(f"list<{_kind}>.isSorted() -> bool", _is_sorted)
    LIBRARY.add(f"list<{_kind}>.min() -> {_kind}", _minimum)
    LIBRARY.add(f"list<{_kind}>.max() -> {_kind}", _maximum)

_ADDITIONS = [overload for overload in STANDARD.overloads if overload.function == "_+_"]


def _sum(kind: str) -> Callable[[List], Value]:
    def total(items: List) -> Value:
        if not items:
            return _SUM_OF_NOTHING[kind]
        if not isinstance(items[0], _NUMBERS) or isinstance(items[0], bool):
            raise EvalError(NO_OVERLOAD)
        return reduce(_added, items)

    return total


def _added(left: Value, right: Value) -> Value:
    if isinstance(left, Duration) and isinstance(right, Duration):
        return Duration(left.nanos + right.nanos)
    classes = type(left), type(right)
    for overload in _ADDITIONS:
        if overload.accepts(classes):
            return overload.implementation(left, right)
    raise EvalError(NO_OVERLOAD)


for _kind in _SUM_OF_NOTHING:
    LIBRARY.add(f"list<{_kind}>.sum() -> {_kind}", _sum(_kind))


@_declare("list<A>.indexOf(A) -> int")
def _index_of(items: List, wanted: Value) -> int:
    return next((at for at, item in enumerate(items) if equals(item, wanted)), -1)


@_declare("list<A>.lastIndexOf(A) -> int")
def _last_index_of(items: List, wanted: Value) -> int:
    return next((at for at in range(len(items) - 1, -1, -1) if equals(items[at], wanted)), -1)


@_declare("list<A>.slice(int, int) -> list<A>")
def _slice(items: List, start: int, end: int) -> List:
    if start < 0 or end < 0:
        raise EvalError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvalError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(items):
        raise EvalError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


@_declare("list<list<A>>.flatten() -> list<A>", "list<A>.flatten() -> list<dyn>")
def _flatten(items: List) -> List:
    return _flatten_to(items, 1)


@_declare("list<dyn>.flatten(int) -> list<dyn>")
def _flatten_to(items: List, depth: int) -> List:
    if depth < 0:
        raise EvalError("level must be non-negative")
    for _ in range(depth):
        if not any(isinstance(item, tuple) for item in items):
            break
        if sum(len(item) if isinstance(item, tuple) else 1 for item in items) > MAX_ITEMS:
            raise EvalError(f"result has more than {MAX_ITEMS} elements")
        items = tuple(inner for item in items for inner in (item if isinstance(item, tuple) else (item,)))
    return items


@_declare("lists.range(int) -> list<int>")
def _range(count: int) -> List:
    if count > MAX_ITEMS:
        raise EvalError(f"lists.range() is limited to {MAX_ITEMS} items")
    return tuple(range(count))


@_declare("list<A>.reverse() -> list<A>")
def _reverse(items: List) -> List:
    return items[::-1]


@_declare("list<A>.distinct() -> list<A>")
def _distinct(items: List) -> List:
    seen: dict[tuple[bool, Value], None] = {}
    rest: list[Value] = []
    result: list[Value] = []
    for item in items:
        if isinstance(item, str | int | float | bytes):
            key = isinstance(item, bool), item
            if key in seen:
                continue
            seen[key] = None
        elif any(equals(item, other) for other in rest):
            continue
        else:
            rest.append(item)
        result.append(item)
    return tuple(result)


def sort_by_keys(items: List, keys: List) -> List:
    """The items in the order of their keys, which must be of one comparable type; stable."""
    for key in keys:
        if type(key) is not type(keys[0]):
            raise EvalError("list elements must have the same type")
        if not comparable(key, key):
            raise EvalError("list elements must be comparable")
    order = sorted(range(len(items)), key=lambda at: keys[at])
    return tuple(items[at] for at in order)


def _sort(items: List) -> List:
    return sort_by_keys(items, items)


for _kind in _COMPARABLE:
    LIBRARY.add(f"list<{_kind}>.sort() -> list<{_kind}>", _sort)


@_declare("list<A>.first() -> opt<A>")
def _first(items: List) -> Optional:
    return Optional(True, items[0]) if items else NONE


@_declare("list<A>.last() -> opt<A>")
def _last(items: List) -> Optional:
    return Optional(True, items[-1]) if items else NONE
