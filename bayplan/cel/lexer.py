"""Text to tokens (https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax)."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from bayplan.cel.values import INT_MAX, UINT_MAX, Uint, Value

Kind = Literal["value", "name", "op", "end"]


class Token(NamedTuple):
    """`text` is the name or operator; `value` the constant of a "value" token."""

    kind: Kind
    text: str
    position: int
    value: Value = None


class SourceError(Exception):
    """A problem at an offset of the source."""

    def __init__(self, position: int, message: str) -> None:
        super().__init__(message)
        self.position = position


_TOKEN = re.compile(
    r"""
      (?P<space>   (?: [\t\n\f\r ] | //[^\n]* )+ )
    | (?P<string>  (?: [rR][bB]? | [bB][rR]? )? (?: \"\"\" | ''' | \" | ' ) )
    | (?P<float>   (?: [0-9]+\.[0-9]+ | \.[0-9]+ ) (?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+ )
    | (?P<int>     (?: 0x[0-9a-fA-F]+ | [0-9]+ ) [uU]? )
    | (?P<name>    [A-Za-z_][A-Za-z0-9_]* )
    | (?P<op>      && | \|\| | == | != | <= | >= | [-+*/%<>!?:.,()\[\]{}] )
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))",
    re.DOTALL,
)
_SIMPLE_ESCAPES = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)) | {c: c for c in "\\'\"`?"}
_CONSTANTS = {"true": True, "false": False, "null": None}


def tokenize(source: str) -> list[Token]:
    """All tokens, closed by one of kind "end"; raises SourceError.

    Integers stay positive here: the parser joins a minus sign to the number after it.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise SourceError(
                position, f"Syntax error: token recognition error at: '{source[position : position + 1]}'"
            )
        kind, text = match.lastgroup, match.group()
        end = match.end()
        if kind == "string":
            value, end = _string(source, position, text)
            tokens.append(Token("value", text, position, value))
        elif kind == "float":
            tokens.append(Token("value", text, position, float(text)))
        elif kind == "int":
            tokens.append(Token("value", text, position, _integer(text, position)))
        elif kind == "name" and text in _CONSTANTS:
            tokens.append(Token("value", text, position, _CONSTANTS[text]))
        elif kind == "name":
            tokens.append(Token("op" if text == "in" else "name", text, position))
        elif kind == "op":
            tokens.append(Token("op", text, position))
        position = end
    tokens.append(Token("end", "<EOF>", len(source)))
    return tokens


def _integer(text: str, position: int) -> int:
    digits = text.rstrip("uU")
    number = int(digits, 16) if digits.startswith("0x") else int(digits) if len(digits) <= 20 else UINT_MAX + 1
    if digits != text:
        if number > UINT_MAX:
            raise SourceError(position, "invalid uint literal")
        return Uint(number)
    if number > INT_MAX + 1:
        raise SourceError(position, "invalid int literal")
    return number


def _string(source: str, position: int, opening: str) -> tuple[str | bytes, int]:
    """The constant that starts at `position` and the offset behind it."""
    quote = opening.lstrip("rRbB")
    prefix = opening[: len(opening) - len(quote)].lower()
    start = position + len(opening)
    end = start
    while not source.startswith(quote, end):
        if end >= len(source) or (len(quote) == 1 and source[end] in "\r\n"):
            raise SourceError(position, f"Syntax error: token recognition error at: '{source[position:end]}'")
        end += 2 if source[end] == "\\" and "r" not in prefix else 1
    body = source[start:end]
    if "b" in prefix:
        return (body.encode() if "r" in prefix else _unescape_bytes(body, position)), end + len(quote)
    return (body if "r" in prefix else _unescape(body, position)), end + len(quote)


def _code(match: re.Match[str], position: int) -> tuple[int, bool]:
    """The number an escape denotes, and whether it was written as a byte (\\x, octal)."""
    hex2, upper_hex2, u4, u8, octal, simple = match.groups()
    if simple is not None:
        if simple not in _SIMPLE_ESCAPES:
            raise SourceError(position, f"Syntax error: token recognition error at: '\\{simple}'")
        return ord(_SIMPLE_ESCAPES[simple]), False
    if octal is not None:
        return int(octal, 8), True
    if hex2 or upper_hex2:
        return int(hex2 or upper_hex2, 16), True
    code = int(u4 or u8, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise SourceError(position, "invalid unicode code point")
    return code, False


def _unescape(body: str, position: int) -> str:
    return _ESCAPE.sub(lambda match: chr(_code(match, position)[0]), body) if "\\" in body else body


def _unescape_bytes(body: str, position: int) -> bytes:
    result, last = b"", 0
    for match in _ESCAPE.finditer(body):
        code, is_byte = _code(match, position)
        result += body[last : match.start()].encode() + (bytes([code]) if is_byte else chr(code).encode())
        last = match.end()
    return result + body[last:].encode()
