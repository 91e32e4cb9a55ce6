"""Optional values (cel-go OptionalTypes). The syntax `a.?b`, `a[?b]`, `[?x]`, `{?k: v}` is the compiler's."""

from __future__ import annotations

from bayplan.cel.errors import NO_OVERLOAD, EvalError
from bayplan.cel.registry import Library
from bayplan.cel.values import NONE, Optional, Value, is_zero

LIBRARY = Library()
_declare = LIBRARY.declare


@_declare("optional.of(A) -> opt<A>")
def _of(value: Value) -> Optional:
    return Optional(True, value)


@_declare("optional.ofNonZeroValue(A) -> opt<A>")
def _of_non_zero(value: Value) -> Optional:
    return NONE if is_zero(value) else Optional(True, value)


@_declare("optional.none() -> opt<A>")
def _none() -> Optional:
    return NONE


@_declare("opt<A>.hasValue() -> bool")
def _has_value(optional: Optional) -> bool:
    return optional.present


@_declare("opt<A>.value() -> A")
def _value(optional: Optional) -> Value:
    if not optional.present:
        raise EvalError("optional.none() dereference")
    return optional.value


# `or` and `orValue` are compiled to short-circuit; these stand in for operands that are already values.
@_declare("opt<A>.or(opt<A>) -> opt<A>")
def _or(optional: Optional, other: Optional) -> Optional:
    return optional if optional.present else other


@_declare("opt<A>.orValue(A) -> A")
def _or_value(optional: Optional, other: Value) -> Value:
    return optional.value if optional.present else other


@_declare("optional.unwrap(list<opt<A>>) -> list<A>", "list<opt<A>>.unwrapOpt() -> list<A>")
def _unwrap(items: tuple[Optional, ...]) -> tuple[Value, ...]:
    if not all(isinstance(item, Optional) for item in items):
        raise EvalError(NO_OVERLOAD)
    return tuple(item.value for item in items if item.present)
