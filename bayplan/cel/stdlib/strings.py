"""The strings extension, version 2 (cel-go/ext), and `reverse`. Positions count Unicode code points."""

from __future__ import annotations

import math
from collections.abc import Callable

from bayplan.cel.errors import EvalError
from bayplan.cel.registry import Library
from bayplan.cel.stdlib.standard import show_double
from bayplan.cel.stdlib.time import show_duration, show_timestamp
from bayplan.cel.values import Duration, Timestamp, TypeValue, Value, kind_of, type_name

LIBRARY = Library()
_declare = LIBRARY.declare

# What a selector may build: upstream bounds work by cost alone, which charges a result only when it is read.
MAX_RESULT = 1_000_000


def _bounded(size: int) -> None:
    if size > MAX_RESULT:
        raise EvalError(f"string result is longer than {MAX_RESULT} characters")


@_declare("string.charAt(int) -> string")
def _char_at(text: str, position: int) -> str:
    if not 0 <= position <= len(text):
        raise EvalError(f"index out of range: {position}")
    return text[position : position + 1]


@_declare("string.indexOf(string) -> int")
def _index_of(text: str, part: str) -> int:
    return text.find(part)


@_declare("string.indexOf(string, int) -> int")
def _index_of_from(text: str, part: str, start: int) -> int:
    if not 0 <= start <= len(text):
        raise EvalError(f"index out of range: {start}")
    return text.find(part, start)


@_declare("string.lastIndexOf(string) -> int")
def _last_index_of(text: str, part: str) -> int:
    return text.rfind(part)


@_declare("string.lastIndexOf(string, int) -> int")
def _last_index_of_before(text: str, part: str, last: int) -> int:
    if not 0 <= last <= len(text):
        raise EvalError(f"index out of range: {last}")
    return text.rfind(part, 0, last + len(part))


@_declare("string.lowerAscii() -> string")
def _lower(text: str) -> str:
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)


@_declare("string.upperAscii() -> string")
def _upper(text: str) -> str:
    return text.upper() if text.isascii() else "".join(c.upper() if c.isascii() else c for c in text)


@_declare("string.replace(string, string) -> string")
def _replace(text: str, old: str, new: str) -> str:
    return _replace_some(text, old, new, -1)


@_declare("string.replace(string, string, int) -> string")
def _replace_some(text: str, old: str, new: str, limit: int) -> str:
    found = text.count(old)
    _bounded(len(text) + len(new) * (found if limit < 0 else min(found, limit)))
    return text.replace(old, new, limit)


@_declare("string.split(string) -> list<string>")
def _split(text: str, separator: str) -> tuple[str, ...]:
    return tuple(text.split(separator)) if separator else tuple(text)


@_declare("string.split(string, int) -> list<string>")
def _split_some(text: str, separator: str, limit: int) -> tuple[str, ...]:
    if limit == 0:
        return ()
    if limit < 0:
        return _split(text, separator)
    if separator:
        return tuple(text.split(separator, limit - 1))
    return (*text[: limit - 1], text[limit - 1 :]) if text[limit - 1 :] else tuple(text)


@_declare("string.substring(int) -> string")
def _substring_from(text: str, start: int) -> str:
    if not 0 <= start <= len(text):
        raise EvalError(f"index out of range: {start}")
    return text[start:]


@_declare("string.substring(int, int) -> string")
def _substring(text: str, start: int, end: int) -> str:
    if start > end:
        raise EvalError(f"invalid substring range. start: {start}, end: {end}")
    for position in (start, end):
        if not 0 <= position <= len(text):
            raise EvalError(f"index out of range: {position}")
    return text[start:end]


# Unicode's White_Space property, which Go trims; Python would also strip the separators U+001C..U+001F.
_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
_WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"


@_declare("string.trim() -> string")
def _trim(text: str) -> str:
    return text.strip(_WHITE_SPACE)


@_declare("string.reverse() -> string")
def _reverse(text: str) -> str:
    return text[::-1]


@_declare("list<string>.join() -> string")
def _join(parts: tuple[Value, ...]) -> str:
    return _join_with(parts, "")


@_declare("list<string>.join(string) -> string")
def _join_with(parts: tuple[Value, ...], separator: str) -> str:
    for part in parts:
        if not isinstance(part, str):
            raise EvalError(f"join: invalid input: {type_name(part)}")
    _bounded(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


_QUOTED = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    '"': r"\"",
}


@_declare("strings.quote(string) -> string")
def _quote(text: str) -> str:
    return '"' + "".join(_QUOTED.get(char, char) for char in text) + '"'


# -- format


@_declare("string.format(list<dyn>) -> string")
def _format(template: str, args: tuple[Value, ...]) -> str:
    out: list[str] = []
    used = position = 0
    while position < len(template):
        char = template[position]
        position += 1
        if char != "%":
            out.append(char)
            continue
        if template.startswith("%", position):
            out.append("%")
            position += 1
            continue
        position, precision, verb = _clause(template, position)
        if used >= len(args):
            raise EvalError(f"index {used} out of range")
        out.append(_formatted(args[used], verb, precision))
        _bounded(sum(map(len, out[-2:])))
        used += 1
    _bounded(sum(map(len, out)))
    return "".join(out)


def _clause(template: str, position: int) -> tuple[int, int | None, str]:
    """The offset behind a clause like ".3f", its precision and its verb."""
    precision: int | None = None
    if template.startswith(".", position):
        end = position + 1
        while end < len(template) and template[end].isdecimal():
            end += 1
        digits = template[position + 1 : end]
        if not digits or len(digits) > 3:
            raise EvalError(f"error while parsing precision: {digits!r} is not a precision below 1000")
        precision, position = int(digits), end
    if position >= len(template):
        raise EvalError("unexpected end of string")
    return position + 1, precision, template[position]


def _formatted(value: Value, verb: str, precision: int | None) -> str:
    formatter = _VERBS.get(verb)
    if formatter is None:
        raise EvalError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
    return formatter(value, 6 if precision is None else precision)


def _as_string(value: Value, precision: int = 6) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return "Infinity" if value == math.inf else "-Infinity" if value == -math.inf else show_double(value)
    if isinstance(value, TypeValue):
        return value.name
    if isinstance(value, Timestamp):
        return show_timestamp(value)
    if isinstance(value, Duration):
        return show_duration(value)
    if isinstance(value, tuple):
        return f"[{_comma_joined([_as_string(item) for item in value])}]"
    if isinstance(value, dict):
        entries = [f"{_as_string(key)}: {_as_string(item)}" for key, item in value.items()]
        return f"{{{_comma_joined(sorted(entries))}}}"
    if value is None:
        return "null"
    raise _bad_argument("string", "strings, numbers, bools, bytes, types, times, lists, maps, null", value)


def _comma_joined(parts: list[str]) -> str:
    _bounded(sum(map(len, parts)))
    return ", ".join(parts)


def _bad_argument(clause: str, wanted: str, value: Value) -> EvalError:
    return EvalError(
        f"error during formatting: {clause} clause can only be used on {wanted}, was given {kind_of(value)}"
    )


def _integer(value: Value, clause: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    raise _bad_argument(clause, "integers", value)


def _as_decimal(value: Value, precision: int) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return _as_string(value)
    return str(_integer(value, "decimal"))


def _as_float(value: Value, style: str, precision: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad_argument("fixed-point" if style == "f" else "scientific", "numbers", value)
    return f"{float(value):.{precision}{style}}" if math.isfinite(value) else _as_string(float(value))


def _as_binary(value: Value, precision: int) -> str:
    return str(int(value)) if isinstance(value, bool) else format(_integer(value, "binary"), "b")


def _as_hex(value: Value, precision: int) -> str:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").hex()
    return value.hex() if isinstance(value, bytes) else format(_integer(value, "hex"), "x")


_VERBS: dict[str, Callable[[Value, int], str]] = {
    "s": _as_string,
    "d": _as_decimal,
    "f": lambda value, precision: _as_float(value, "f", precision),
    "e": lambda value, precision: _as_float(value, "e", precision),
    "b": _as_binary,
    "x": _as_hex,
    "X": lambda value, precision: _as_hex(value, precision).upper(),
    "o": lambda value, precision: format(_integer(value, "octal"), "o"),
}
