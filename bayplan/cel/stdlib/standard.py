"""Operators and conversions of the language itself (cel-spec "Standard definitions").

Integers are 64 bits wide: what does not fit is an error, never a wrapped number. Division truncates toward zero.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal

from bayplan.cel.errors import EvalError
from bayplan.cel.registry import Library
from bayplan.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    TypeValue,
    Uint,
    Value,
    contains,
    equals,
    type_name,
)

LIBRARY = Library()
_declare = LIBRARY.declare

_NUMERIC = ("int", "uint", "double")


def _checked_int(number: int) -> int:
    if INT_MIN <= number <= INT_MAX:
        return number
    raise EvalError("integer overflow")


def _checked_uint(number: int) -> Uint:
    if 0 <= number <= UINT_MAX:
        return Uint(number)
    raise EvalError("unsigned integer overflow")


def _arithmetic(symbol: str, operate: Callable[[int, int], int]) -> None:
    LIBRARY.add(f"_{symbol}_(int, int) -> int", lambda a, b: _checked_int(operate(a, b)))
    LIBRARY.add(f"_{symbol}_(uint, uint) -> uint", lambda a, b: _checked_uint(operate(int(a), int(b))))


def _divide(a: int, b: int) -> int:
    if b == 0:
        raise EvalError("division by zero")
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _modulo(a: int, b: int) -> int:
    if b == 0:
        raise EvalError("modulus by zero")
    return a - b * _divide(a, b)


def _divide_doubles(a: float, b: float) -> float:
    if b != 0:
        return a / b
    if a == 0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1, b)


_arithmetic("+", lambda a, b: a + b)
_arithmetic("-", lambda a, b: a - b)
_arithmetic("*", lambda a, b: a * b)
_arithmetic("/", _divide)
_arithmetic("%", _modulo)
LIBRARY.add("_+_(double, double) -> double", lambda a, b: a + b)
LIBRARY.add("_-_(double, double) -> double", lambda a, b: a - b)
LIBRARY.add("_*_(double, double) -> double", lambda a, b: a * b)
LIBRARY.add("_/_(double, double) -> double", _divide_doubles)
LIBRARY.add("-_(int) -> int", lambda a: _checked_int(-a))
LIBRARY.add("-_(double) -> double", lambda a: -a)
LIBRARY.add("!_(bool) -> bool", lambda a: not a)

# Upstream joins lists without copying; here their size has to be bounded.
MAX_ITEMS = 1_000_000


@_declare("_+_(string, string) -> string", "_+_(bytes, bytes) -> bytes", "_+_(list<A>, list<A>) -> list<A>")
def _joined(a: Value, b: Value) -> Value:
    if len(a) + len(b) > MAX_ITEMS:
        raise EvalError(f"result has more than {MAX_ITEMS} elements")
    return a + b


_COMPARISONS: dict[str, Callable[[Value, Value], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
for _symbol, _compare in _COMPARISONS.items():
    for _kind in ("bool", "string", "bytes", "timestamp", "duration"):
        LIBRARY.add(f"_{_symbol}_({_kind}, {_kind}) -> bool", _compare)
    for _left in _NUMERIC:
        for _right in _NUMERIC:
            LIBRARY.add(f"_{_symbol}_({_left}, {_right}) -> bool", _compare)

# The compiler evaluates one branch only; the declaration is for its types.
LIBRARY.add("_?_:_(bool, A, A) -> A", lambda condition, yes, no: yes if condition else no)
LIBRARY.add("_==_(A, A) -> bool", equals)
LIBRARY.add("_!=_(A, A) -> bool", lambda a, b: not equals(a, b))


@_declare("@in(A, list<A>) -> bool")
def _in_list(item: Value, items: tuple[Value, ...]) -> bool:
    return any(equals(item, other) for other in items)


@_declare("@in(A, map<A, B>) -> bool")
def _in_map(key: Value, mapping: dict[Value, Value]) -> bool:
    return contains(mapping, key)


for _kind in ("string", "bytes", "list<A>", "map<A, B>"):
    LIBRARY.add(f"size({_kind}) -> int", len)
    LIBRARY.add(f"{_kind}.size() -> int", len)


@_declare("type(A) -> type<A>")
def _type(value: Value) -> TypeValue:
    return TypeValue(type_name(value))


LIBRARY.add("dyn(A) -> dyn", lambda value: value)


def _conversion_error(source: str, target: str) -> EvalError:
    return EvalError(f"type conversion error from '{source}' to '{target}'")


# -- to bool


@_declare("bool(bool) -> bool")
def _bool(value: bool) -> bool:
    return value


@_declare("bool(string) -> bool")
def _bool_of_string(text: str) -> bool:
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise _conversion_error("string", "bool")


# -- to numbers

_DECIMAL = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity|nan)", re.I | re.ASCII)


@_declare("int(int) -> int", "int(uint) -> int")
def _int(value: int) -> int:
    return _checked_int(int(value))


@_declare("int(double) -> int")
def _int_of_double(value: float) -> int:
    if not INT_MIN < value < INT_MAX:
        raise EvalError("integer overflow")
    return int(value)


@_declare("int(string) -> int")
def _int_of_string(text: str) -> int:
    if not _DECIMAL.fullmatch(text) or not INT_MIN <= int(text) <= INT_MAX:
        raise _conversion_error("string", "int")
    return int(text)


@_declare("uint(uint) -> uint", "uint(int) -> uint")
def _uint(value: int) -> Uint:
    return _checked_uint(int(value))


@_declare("uint(double) -> uint")
def _uint_of_double(value: float) -> Uint:
    if not 0 <= value < UINT_MAX:
        raise EvalError("unsigned integer overflow")
    return Uint(int(value))


@_declare("uint(string) -> uint")
def _uint_of_string(text: str) -> Uint:
    if not re.fullmatch("[0-9]{1,30}", text, re.ASCII) or int(text) > UINT_MAX:
        raise _conversion_error("string", "uint")
    return Uint(int(text))


@_declare("double(double) -> double", "double(int) -> double", "double(uint) -> double")
def _double(value: float) -> float:
    return float(value)


@_declare("double(string) -> double")
def _double_of_string(text: str) -> float:
    if not _FLOAT.fullmatch(text):
        raise _conversion_error("string", "double")
    return float(text)


# -- to string and bytes


def show_double(value: float) -> str:
    """The shortest text that reads back the same, in Go's "%g" layout."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, figures, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    digits, power = "".join(map(str, figures)), len(figures) - 1 + exponent
    if -4 <= power < 6:
        return f"{value:.{max(-exponent, 0)}f}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if sign else ''}{digits[0]}{tail}e{power:+03d}"


@_declare("string(string) -> string")
def _string(text: str) -> str:
    return text


LIBRARY.add("string(bool) -> string", lambda value: "true" if value else "false")
LIBRARY.add("string(int) -> string", lambda value: str(int(value)))
LIBRARY.add("string(uint) -> string", lambda value: str(int(value)))
LIBRARY.add("string(double) -> string", show_double)


@_declare("string(bytes) -> string")
def _string_of_bytes(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EvalError("invalid UTF-8 in bytes, cannot convert to string") from None


LIBRARY.add("bytes(bytes) -> bytes", lambda data: data)
LIBRARY.add("bytes(string) -> bytes", lambda text: text.encode("utf-8", "surrogatepass"))

LIBRARY.add("string.contains(string) -> bool", lambda text, part: part in text)
LIBRARY.add("string.startsWith(string) -> bool", lambda text, part: text.startswith(part))
LIBRARY.add("string.endsWith(string) -> bool", lambda text, part: text.endswith(part))
