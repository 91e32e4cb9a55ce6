"""Values of CEL as Python objects, their equality, order and size.

bool, int, float, str, bytes, None, tuple (list) and dict (map) stand for themselves; the classes here are the
rest. Numbers of different kinds are equal when their values are; a bool is no number.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

from bayplan.cel.errors import NO_OVERLOAD, EvalError
from bayplan.model.quantity import Quantity
from bayplan.model.semver import Semver

Value: TypeAlias = Any

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1


class Uint(int):
    """An unsigned 64-bit integer."""

    __slots__ = ()


class Timestamp(msgspec.Struct, frozen=True, order=True, gc=False):
    """A moment, in nanoseconds since 1970-01-01 UTC."""

    nanos: int


class Duration(msgspec.Struct, frozen=True, order=True, gc=False):
    """A span of time in nanoseconds."""

    nanos: int


class TypeValue(msgspec.Struct, frozen=True, gc=False):
    """A type as a value: what `type(x)` gives and `int` names."""

    name: str


class Optional(msgspec.Struct, frozen=True):
    """`optional.of(value)` when `present`, else `optional.none()`."""

    present: bool
    value: Value = None


NONE = Optional(False)


class IP(msgspec.Struct, frozen=True, gc=False):
    address: ipaddress.IPv4Address | ipaddress.IPv6Address


class CIDR(msgspec.Struct, frozen=True, gc=False):
    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface


class URL(msgspec.Struct, frozen=True):
    """The parts of an absolute URL; `query` holds unescaped values by name."""

    scheme: str
    host: str
    hostname: str
    port: str
    escaped_path: str
    query: tuple[tuple[str, tuple[str, ...]], ...]


class Format(msgspec.Struct, frozen=True, gc=False):
    """A named string format; `regex_size` is what the cost model takes its regex to be."""

    name: str
    regex_size: int


class DefaultMap(dict[Value, Value]):
    """A map in which every unknown key finds an empty map (DRA's attribute and capacity domains)."""

    __slots__ = ()

    def __missing__(self, key: Value) -> Value:
        return EMPTY_MAP


EMPTY_MAP: dict[Value, Value] = {}

# The name of each Python class in overload signatures.
KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    type(None): "null",
    tuple: "list",
    dict: "map",
    DefaultMap: "map",
    Timestamp: "timestamp",
    Duration: "duration",
    TypeValue: "type",
    Optional: "opt",
    Quantity: "Quantity",
    Semver: "Semver",
    IP: "IP",
    CIDR: "CIDR",
    URL: "URL",
    Format: "Format",
}

# What `type(x)` calls them, and (where it differs) what Go's "%T" does in upstream's messages.
TYPE_NAMES = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
    "opt": "optional_type",
    "Quantity": "kubernetes.Quantity",
    "Semver": "kubernetes.Semver",
    "URL": "kubernetes.URL",
    "IP": "net.IP",
    "CIDR": "net.CIDR",
    "Format": "kubernetes.NamedFormat",
}
_GO_PACKAGE_CEL = frozenset({"Quantity", "Semver", "URL", "IP", "CIDR", "Format"})


def kind_of(value: Value) -> str:
    return KINDS.get(type(value), "device")


def type_name(value: Value) -> str:
    kind = kind_of(value)
    return TYPE_NAMES.get(kind, kind)


def go_type(value: Value) -> str:
    """The Go type upstream names in "got '...', expected iterable type"."""
    kind = kind_of(value)
    if kind in _GO_PACKAGE_CEL:
        return f"cel.{kind}"
    return "*types.Optional" if kind == "opt" else f"types.{kind.capitalize()}"


_PLAIN = frozenset({bool, int, float, str, bytes, type(None), Uint, Quantity, Semver, Timestamp, Duration})


# How much of two nested values a comparison looks at: a few `cel.bind` can build a value that is small in memory
# (shared parts) and endless to walk through.
MAX_STEPS = 100_000


def take_step(steps: list[int]) -> None:
    steps[0] -= 1
    if steps[0] < 0:
        raise EvalError(f"value has more than {MAX_STEPS} parts")


def equals(left: Value, right: Value) -> bool:
    """CEL's `==`: false for values of different kinds."""
    kind = type(left)
    if kind is type(right) and kind in _PLAIN:
        return bool(left == right)
    return _deep_equals(left, right, [MAX_STEPS])


def _deep_equals(left: Value, right: Value, steps: list[int]) -> bool:
    take_step(steps)
    if (type(left) is bool) is not (type(right) is bool):
        return False
    if isinstance(left, tuple):
        if not isinstance(right, tuple) or len(left) != len(right):
            return False
        return all(_deep_equals(one, other, steps) for one, other in zip(left, right, strict=True))
    if isinstance(left, dict):
        if not isinstance(right, dict) or len(left) != len(right):
            return False
        return all(contains(right, key) and _deep_equals(item, lookup(right, key), steps) for key, item in left.items())
    if isinstance(left, Optional):
        if not isinstance(right, Optional) or left.present is not right.present:
            return False
        return _deep_equals(left.value, right.value, steps)
    return bool(left == right)


_MISSING = object()


def find(mapping: Mapping[Value, Value], key: Value) -> Value:
    """The value under a key, or a private marker that `is_missing` knows."""
    if type(key) is str:
        try:
            return mapping[key]
        except KeyError:
            return _MISSING
    if type(mapping) is DefaultMap:
        return EMPTY_MAP
    if not isinstance(key, int | float):
        return _MISSING
    value = mapping.get(key, _MISSING)
    # Python's dict takes True for 1: make sure the key found is of the same sort.
    if value is not _MISSING and any(k == key and (type(k) is bool) is (type(key) is bool) for k in mapping):
        return value
    return _MISSING


def is_missing(value: Value) -> bool:
    return value is _MISSING


def contains(mapping: Mapping[Value, Value], key: Value) -> bool:
    if type(mapping) is DefaultMap:
        return type(key) is str and key in mapping
    return find(mapping, key) is not _MISSING


def lookup(mapping: Mapping[Value, Value], key: Value) -> Value:
    """`mapping[key]`; raises EvalError "no such key"."""
    value = find(mapping, key)
    if value is _MISSING:
        raise EvalError(f"no such key: {show_key(key)}")
    return value


def sorted_keys(mapping: Mapping[Value, Value]) -> list[Value]:
    """The order in which macros walk a map: the language leaves it open, the same map must give the same walk."""
    return sorted(mapping, key=lambda key: (isinstance(key, str), key))


def show_key(key: Value) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def index(container: Value, key: Value) -> Value:
    """`container[key]` for lists and maps."""
    if isinstance(container, dict):
        return lookup(container, key)
    if isinstance(container, tuple):
        return container[list_position(container, key)]
    raise EvalError(NO_OVERLOAD)


def list_position(items: tuple[Value, ...], key: Value) -> int:
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    if isinstance(key, bool) or not isinstance(key, int):
        raise EvalError(f"unsupported index type '{type_name(key)}' in list")
    if not 0 <= key < len(items):
        raise EvalError(f"index out of bounds: {int(key)}")
    return int(key)


_NUMBERS = (int, float)
_ORDERED = frozenset({bool, str, bytes, Timestamp, Duration})


def comparable(left: Value, right: Value) -> bool:
    """Whether `<` is defined for the two."""
    if type(left) is type(right) and type(left) in _ORDERED:
        return True
    return (
        isinstance(left, _NUMBERS)
        and isinstance(right, _NUMBERS)
        and type(left) is not bool
        and type(right) is not bool
    )


def size(value: Value) -> int:
    """How long a string, bytes, list or map is; 1 for anything else (the cost model's measure)."""
    if isinstance(value, str | bytes | tuple | dict):
        return len(value)
    if isinstance(value, Optional) and value.present:
        return size(value.value)
    return 1


def is_zero(value: Value) -> bool:
    """Whether `optional.ofNonZeroValue` takes the value for absent."""
    if isinstance(value, Optional):
        return not value.present
    if isinstance(value, Timestamp | Duration):
        return value.nanos == 0
    return value is None or (isinstance(value, bool | int | float | str | bytes | tuple | dict) and not value)
