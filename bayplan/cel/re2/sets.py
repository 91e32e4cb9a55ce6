"""Sets of characters as ranges of code points: the named classes of RE2, negation and case folding."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]
MAX_CODE = 0x10FFFF


def normal(ranges: list[tuple[int, int]]) -> Ranges:
    """Sorted and merged."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], high)
        else:
            merged.append((low, high))
    return tuple(merged)


def negated(ranges: Ranges) -> Ranges:
    result, next_code = [], 0
    for low, high in ranges:
        if low > next_code:
            result.append((next_code, low - 1))
        next_code = high + 1
    if next_code <= MAX_CODE:
        result.append((next_code, MAX_CODE))
    return tuple(result)


def folded(ranges: Ranges) -> Ranges:
    """With the other cases of every letter; exact for ranges of up to a thousand characters, ASCII beyond."""
    more = list(ranges)
    for low, high in ranges:
        if high - low > 1000:
            low, high = low, min(high, 0x7F)
        for code in range(low, high + 1):
            char = chr(code)
            others = {char.lower(), char.upper(), *_FOLD_EXTRAS.get(char.lower(), "")}
            more.extend((ord(other), ord(other)) for other in others if len(other) == 1)
    return normal(more)


# Letters outside ASCII that fold to ASCII ones: long s and the Kelvin sign.
_FOLD_EXTRAS = {"s": "ſsS", "k": "\u212akK", "ſ": "sSſ"}

_DIGIT: Ranges = ((48, 57),)
_SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
PERL = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGIT,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": _WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
CATEGORIES = frozenset(
    {"L", "M", "N", "P", "S", "Z", "C", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No"}
    | {"Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cs"}
)


@lru_cache(maxsize=8)
def category(name: str) -> Ranges:
    codes = (code for code in range(MAX_CODE + 1) if unicodedata.category(chr(code)).startswith(name))
    if name == "C":
        codes = (code for code in range(MAX_CODE + 1) if unicodedata.category(chr(code)) in ("Cc", "Cf", "Co", "Cs"))
    return normal([(code, code) for code in codes])
