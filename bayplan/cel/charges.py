"""What each step of an evaluation costs, in upstream's units.

A name, a field or an index costs 1, a new list 10, a new map 30, a call what it does to its strings and lists
(a tenth of a unit per character). Kubernetes bounds the sum at 1,000,000 for a selector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from bayplan.cel.values import CIDR, IP, MAX_STEPS, URL, Format, Value, size, take_step
from bayplan.model.quantity import Quantity
from bayplan.model.semver import Semver

LIST_COST, MAP_COST = 10, 30
UNLIMITED = 2**64 - 1
STRING_FACTOR, REGEX_FACTOR = 0.1, 0.25

# Per element of a macro's loop, besides its bodies; and once at the end.
FOLD_STEP = {
    "all": 3,
    "exists": 4,
    "exists_one": 2,
    "filter": 13,
    "map": 12,
    "transformList": 12,
    "transformMap": 2,
    "transformMapEntry": 2,
}
FOLD_END = {"exists_one": 2}
FOLD_START = {"map": LIST_COST, "filter": LIST_COST, "transformList": LIST_COST}
FOLD_START |= {"transformMap": MAP_COST, "transformMapEntry": MAP_COST}


def per_character(count: int, factor: float = STRING_FACTOR) -> int:
    if count >= UNLIMITED:
        return UNLIMITED
    return min(math.ceil(round(count * factor, 6)), UNLIMITED)


# The charge for a call, given its arguments and its result.

_OPAQUE = Quantity | Semver | IP | CIDR | URL | Format


def _first(factor: float) -> Callable[[Sequence[Value], Value], int]:
    return lambda args, result: per_character(size(args[0]), factor)


def _smaller(args: Sequence[Value], result: Value) -> int:
    if isinstance(args[0], _OPAQUE):
        return 1
    return per_character(min(size(args[0]), size(args[1])))


def _ordered(args: Sequence[Value], result: Value) -> int:
    return _smaller(args, result) if isinstance(args[0], str | bytes) else 1


def _added(args: Sequence[Value], result: Value) -> int:
    return per_character(size(args[0]) + size(args[1])) if isinstance(args[0], str | bytes) else 1


def _regex(args: Sequence[Value], result: Value) -> int:
    return per_character(size(args[0]) + 1) * per_character(size(args[1]), REGEX_FACTOR)


def _traversed(args: Sequence[Value], result: Value) -> int:
    """Strings and bytes by length, lists and maps by what they hold, anything else 1."""
    return _traversal(args[0], [MAX_STEPS])


def _traversal(value: Value, steps: list[int]) -> int:
    take_step(steps)
    if isinstance(value, str | bytes):
        return int(len(value) * STRING_FACTOR)
    if isinstance(value, tuple):
        return sum(_traversal(item, steps) for item in value)
    if isinstance(value, dict):
        return sum(_traversal(key, steps) + _traversal(item, steps) for key, item in value.items())
    return 1


def _pairs(args: Sequence[Value], result: Value) -> int:
    return 1 + size(args[0]) * size(args[1])


CHARGES: Mapping[str, Callable[[Sequence[Value], Value], int]] = {
    "_==_": _smaller,
    "_!=_": _smaller,
    "_<_": _ordered,
    "_<=_": _ordered,
    "_>_": _ordered,
    "_>=_": _ordered,
    "_+_": _added,
    "@in": lambda args, result: size(args[1]) if isinstance(args[1], tuple) else 1,
    "startsWith": lambda args, result: per_character(size(args[0])),
    "endsWith": lambda args, result: per_character(size(args[0])),
    "contains": lambda args, result: per_character(size(args[0])) * per_character(size(args[1])),
    "matches": _regex,
    "find": _regex,
    "findAll": _regex,
    "bytes": _first(STRING_FACTOR),
    "format": _first(STRING_FACTOR),
    "strings.quote": _first(STRING_FACTOR),
    "string": lambda args, result: per_character(len(args[0])) if isinstance(args[0], bytes) else 1,
    "includes": lambda args, result: 1,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traversed),
    **dict.fromkeys(("url", "isURL", "lowerAscii", "upperAscii", "substring", "trim"), _first(STRING_FACTOR)),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "ip"), _first(STRING_FACTOR)),
    **dict.fromkeys(("quantity", "isQuantity", "semver", "isSemver"), _first(STRING_FACTOR)),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _first(2 * STRING_FACTOR)),
    "join": lambda args, result: per_character(size(result), 2 * STRING_FACTOR),
    "validate": lambda args, result: per_character(size(args[1]) + 1) * per_character(args[0].regex_size, REGEX_FACTOR),
    **dict.fromkeys(("sets.contains", "sets.intersects"), _pairs),
    "sets.equivalent": lambda args, result: 1 + 2 * size(args[0]) * size(args[1]),
    **dict.fromkeys(("slice", "flatten", "lists.range"), lambda args, result: LIST_COST + 1 + size(result)),
    **dict.fromkeys(("reverse", "distinct", "sort"), lambda args, result: LIST_COST + 1 + size(args[0]) ** 2),
    **dict.fromkeys(("containsIP", "containsCIDR"), lambda args, result: 4 + per_character(size(args[1]))),
}
