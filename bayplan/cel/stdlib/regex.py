"""Regular expressions: `matches` of the language and the Kubernetes `find`, `findAll`. RE2 throughout."""

from __future__ import annotations

from bayplan.cel import re2
from bayplan.cel.errors import EvalError
from bayplan.cel.registry import Library

LIBRARY = Library()
_declare = LIBRARY.declare


def _compiled(pattern: str) -> re2.Pattern:
    try:
        return re2.compile(pattern)
    except re2.PatternError as error:
        raise EvalError(f"error parsing regexp: {error}") from None


def validate(pattern: str) -> None:
    """Raises EvalError if the pattern is not RE2."""
    _compiled(pattern)


def _search(text: str, pattern: str) -> re2.Span | None:
    try:
        return _compiled(pattern).search(text)
    except re2.WorkError as error:
        raise EvalError(str(error)) from None


@_declare("matches(string, string) -> bool", "string.matches(string) -> bool")
def _matches(text: str, pattern: str) -> bool:
    return _search(text, pattern) is not None


@_declare("string.find(string) -> string")
def _find(text: str, pattern: str) -> str:
    span = _search(text, pattern)
    return text[span[0] : span[1]] if span else ""


@_declare("string.findAll(string) -> list<string>")
def _find_all(text: str, pattern: str) -> tuple[str, ...]:
    return _find_some(text, pattern, -1)


@_declare("string.findAll(string, int) -> list<string>")
def _find_some(text: str, pattern: str, limit: int) -> tuple[str, ...]:
    try:
        spans = _compiled(pattern).find_all(text, limit)
    except re2.WorkError as error:
        raise EvalError(str(error)) from None
    return tuple(text[start:end] for start, end in spans)
