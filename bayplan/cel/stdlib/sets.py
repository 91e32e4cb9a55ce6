"""The sets extension of cel-go: lists compared as sets, elements by CEL's equality."""

from __future__ import annotations

from bayplan.cel.registry import Library
from bayplan.cel.values import Value, equals

LIBRARY = Library()
_declare = LIBRARY.declare
List = tuple[Value, ...]


def _has(items: List, wanted: Value) -> bool:
    return any(equals(item, wanted) for item in items)


@_declare("sets.contains(list<A>, list<A>) -> bool")
def _contains(items: List, wanted: List) -> bool:
    return all(_has(items, item) for item in wanted)


@_declare("sets.equivalent(list<A>, list<A>) -> bool")
def _equivalent(left: List, right: List) -> bool:
    return _contains(left, right) and _contains(right, left)


@_declare("sets.intersects(list<A>, list<A>) -> bool")
def _intersects(left: List, right: List) -> bool:
    return any(_has(right, item) for item in left)
