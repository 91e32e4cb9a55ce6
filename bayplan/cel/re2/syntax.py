"""RE2 patterns to a tree of sets, sequences, choices and repetitions.

Flags (`i m s U`), escapes, classes and case folding are resolved here, so an engine sees only character ranges.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from bayplan.cel.re2.sets import CATEGORIES, MAX_CODE, PERL, POSIX, Ranges, category, folded, negated, normal

Assertion = Literal["text-start", "text-end", "line-start", "line-end", "word", "not-word"]

_CONTROL = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
# Go's limits: a repetition counts to 1000, nested ones multiply to no more; groups nest 1000 deep (we: 50).
MAX_REPEAT = 1000
MAX_NESTING = 50
MAX_LENGTH = 10_240


class PatternError(ValueError):
    """The pattern is not RE2; the message says why in Go's words."""


class Chars(msgspec.Struct, frozen=True):
    """One character out of sorted, disjoint, inclusive ranges of code points."""

    ranges: Ranges


class Assert(msgspec.Struct, frozen=True):
    what: Assertion


class Sequence(msgspec.Struct, frozen=True):
    parts: tuple[Tree, ...]


class Choice(msgspec.Struct, frozen=True):
    """Alternatives, the earlier preferred."""

    branches: tuple[Tree, ...]


class Repeat(msgspec.Struct, frozen=True):
    """`least` to `most` times (None: without end), as often as possible if greedy."""

    body: Tree
    least: int
    most: int | None
    greedy: bool


Tree: TypeAlias = "Chars | Assert | Sequence | Choice | Repeat"

EMPTY = Sequence(())


def parse(pattern: str) -> Tree:
    """Raises PatternError."""
    if len(pattern) > MAX_LENGTH:
        raise PatternError(f"expression is longer than {MAX_LENGTH} characters")
    parser = _Parser(pattern)
    tree = parser.choice(0)
    if parser.position < len(pattern):
        raise PatternError(f"unexpected ): `{pattern}`")
    return tree


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self.position = 0
        self._flags: frozenset[str] = frozenset()

    def _at(self, text: str) -> bool:
        return self._text.startswith(text, self.position)

    def _skip(self, text: str) -> bool:
        if self._at(text):
            self.position += len(text)
            return True
        return False

    def choice(self, nesting: int) -> Tree:
        if nesting > MAX_NESTING:
            raise PatternError(f"expression nests more than {MAX_NESTING} levels deep")
        flags = self._flags
        branches = [self._sequence(nesting)]
        while self._skip("|"):
            branches.append(self._sequence(nesting))
        self._flags = flags
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _sequence(self, nesting: int) -> Tree:
        parts: list[Tree] = []
        while self.position < len(self._text) and not self._at("|") and not self._at(")"):
            start = self.position
            atom = self._atom(nesting)
            if atom is not None:
                parts.append(self._repeated(atom, start))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeated(self, atom: Tree, start: int) -> Tree:
        before = self.position
        count = self._count()
        if count is None:
            return atom
        least, most = count
        greedy = self._skip("?") is ("U" in self._flags)
        operator_end = self.position
        if self._count() is not None:
            raise PatternError(f"invalid nested repetition operator: `{self._text[before : self.position]}`")
        self.position = operator_end
        repeat = Repeat(atom, least, most, greedy)
        if _repetitions(repeat) > MAX_REPEAT:
            raise PatternError(f"invalid repeat count: `{self._text[before : self.position]}`")
        return repeat

    def _count(self) -> tuple[int, int | None] | None:
        """Takes `*`, `+`, `?` or `{n,m}`; None if there is none (a brace that is no count is a character)."""
        for operator, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._skip(operator):
                return bounds
        if not self._at("{"):
            return None
        end = self._text.find("}", self.position)
        low, comma, high = self._text[self.position + 1 : end].partition(",")
        digits = low.isdecimal() and low.isascii() and (not high or (high.isdecimal() and high.isascii()))
        if end < 0 or not digits:
            return None
        shown = self._text[self.position : end + 1]
        least = int(low) if len(low) < 9 else MAX_REPEAT + 1
        most = (int(high) if len(high) < 9 else MAX_REPEAT + 1) if high else (None if comma else least)
        if least > MAX_REPEAT or (most is not None and (most > MAX_REPEAT or most < least)):
            raise PatternError(f"invalid repeat count: `{shown}`")
        self.position = end + 1
        return least, most

    def _atom(self, nesting: int) -> Tree | None:
        """One atom; None for a bare flag group such as `(?i)`."""
        char = self._text[self.position]
        if char in "*+?":
            raise PatternError(f"missing argument to repetition operator: `{char}`")
        if char == "{":
            before = self.position
            if self._count() is not None:
                shown = self._text[before : self.position]
                raise PatternError(f"missing argument to repetition operator: `{shown}`")
        if char == "(":
            return self._group(nesting)
        if char == "[":
            return Chars(self._class())
        if char == "\\":
            return self._escape()
        self.position += 1
        if char == ".":
            return Chars(((0, MAX_CODE),) if "s" in self._flags else negated(((10, 10),)))
        if char == "^":
            return Assert("line-start" if "m" in self._flags else "text-start")
        if char == "$":
            return Assert("line-end" if "m" in self._flags else "text-end")
        return self._literal(ord(char))

    def _literal(self, code: int) -> Chars:
        return Chars(self._cased(((code, code),)))

    def _cased(self, ranges: Ranges) -> Ranges:
        return folded(ranges) if "i" in self._flags else ranges

    def _group(self, nesting: int) -> Tree | None:
        start = self.position
        self.position += 1
        if not self._skip("?"):
            return self._closed(nesting, start)
        if self._at("P<") or (self._at("<") and self._text[self.position + 1 : self.position + 2] not in ("=", "!")):
            end = self._text.find(">", self.position)
            name = self._text[self._text.find("<", self.position) + 1 : end] if end > 0 else ""
            if not name or not all(c.isalnum() or c == "_" for c in name) or not name.isascii():
                raise PatternError(f"invalid named capture: `{self._text[start : end + 1 if end > 0 else None]}`")
            self.position = end + 1
            return self._closed(nesting, start)
        return self._flag_group(nesting, start)

    def _flag_group(self, nesting: int, start: int) -> Tree | None:
        before, flags, negative, some = self._flags, set(self._flags), False, False
        while self.position < len(self._text):
            char = self._text[self.position]
            self.position += 1
            if char in "imsU":
                (flags.discard if negative else flags.add)(char)
                some = True
            elif char == "-" and not negative:
                negative, some = True, False
            elif char in ":)" and (some or not negative):
                self._flags = frozenset(flags)
                if char == ")":
                    return None
                tree = self._closed(nesting, start)
                self._flags = before
                return tree
            else:
                break
        raise PatternError(f"invalid or unsupported Perl syntax: `{self._text[start : self.position]}`")

    def _closed(self, nesting: int, start: int) -> Tree:
        tree = self.choice(nesting + 1)
        if not self._skip(")"):
            raise PatternError(f"missing closing ): `{self._text}`")
        return tree

    # -- escapes

    def _escape(self) -> Tree:
        following = self._text[self.position + 1 : self.position + 2]
        assertions: dict[str, Assertion] = {"A": "text-start", "z": "text-end", "b": "word", "B": "not-word"}
        if following in assertions:
            self.position += 2
            return Assert(assertions[following])
        if following == "Q":
            return self._quoted()
        ranges = self._class_escape()
        return Chars(self._cased(ranges)) if ranges is not None else self._literal(self._code())

    def _quoted(self) -> Tree:
        end = self._text.find("\\E", self.position + 2)
        body = self._text[self.position + 2 : end if end >= 0 else None]
        self.position = end + 2 if end >= 0 else len(self._text)
        parts: list[Tree] = [self._literal(ord(char)) for char in body]
        if parts and self.position < len(self._text):
            parts[-1] = self._repeated(parts[-1], self.position)
        return Sequence(tuple(parts))

    def _class_escape(self) -> Ranges | None:
        """Takes `\\d`, `\\W`, `\\pL`, `\\P{Nd}` and the like."""
        following = self._text[self.position + 1 : self.position + 2]
        if following and following in "dswDSW":
            self.position += 2
            ranges = PERL[following.lower()]
            return negated(ranges) if following.isupper() else ranges
        if following and following in "pP":
            return self._unicode_class(following == "P")
        return None

    def _unicode_class(self, negative: bool) -> Ranges:
        start = self.position
        self.position += 2
        if self._skip("{"):
            end = self._text.find("}", self.position)
            name = self._text[self.position : end] if end >= 0 else ""
            self.position = end + 1 if end >= 0 else len(self._text)
        else:
            name = self._text[self.position : self.position + 1]
            self.position += 1
        if name.startswith("^"):
            name, negative = name[1:], not negative
        if name not in CATEGORIES:
            raise PatternError(f"invalid character class range: `{self._text[start : self.position]}`")
        return negated(category(name)) if negative else category(name)

    def _code(self) -> int:
        """Takes an escape that stands for one character."""
        start = self.position
        self.position += 2
        char = self._text[start + 1 : start + 2]
        if not char:
            raise PatternError("trailing backslash at end of expression: ``")
        if char in _CONTROL:
            return _CONTROL[char]
        if char == "x":
            return self._hex(start)
        if char == "0" or (char in "1234567" and self._text[self.position : self.position + 1] in tuple("01234567")):
            digits = char
            while len(digits) < 3 and self._text[self.position : self.position + 1] in tuple("01234567"):
                digits += self._text[self.position]
                self.position += 1
            return int(digits, 8)
        if ord(char) < 0x80 and not char.isalnum():
            return ord(char)
        raise PatternError(f"invalid escape sequence: `{self._text[start : self.position]}`")

    def _hex(self, start: int) -> int:
        if self._skip("{"):
            end = self._text.find("}", self.position)
            digits = self._text[self.position : end] if end >= 0 else ""
            self.position = end + 1
        else:
            digits = self._text[self.position : self.position + 2]
            self.position += 2
            digits = digits if len(digits) == 2 else ""
        hexadecimal = digits and len(digits) <= 8 and all(c in "0123456789abcdefABCDEF" for c in digits)
        if not hexadecimal or int(digits, 16) > MAX_CODE:
            raise PatternError(f"invalid escape sequence: `{self._text[start : self.position]}`")
        return int(digits, 16)

    # -- bracket classes

    def _class(self) -> Ranges:
        start = self.position
        self.position += 1
        negative = self._skip("^")
        ranges: list[tuple[int, int]] = []
        first = True
        while first or not self._at("]"):
            first = False
            if self.position >= len(self._text):
                raise PatternError(f"missing closing ]: `{self._text[start:]}`")
            ranges.extend(self._class_item())
        self.position += 1
        cased = self._cased(normal(ranges))
        return negated(cased) if negative else cased

    def _class_item(self) -> Ranges:
        named = self._posix()
        if named is None and self._at("\\"):
            named = self._class_escape()
        if named is not None:
            return named
        start = self.position
        low = high = self._class_code()
        if self._at("-") and self._text[self.position + 1 : self.position + 2] not in ("]", ""):
            self.position += 1
            high = self._class_code()
        if high < low:
            raise PatternError(f"invalid character class range: `{self._text[start : self.position]}`")
        return ((low, high),)

    def _class_code(self) -> int:
        if self._at("\\"):
            return self._code()
        if self.position >= len(self._text):
            raise PatternError(f"missing closing ]: `{self._text}`")
        self.position += 1
        return ord(self._text[self.position - 1])

    def _posix(self) -> Ranges | None:
        end = self._text.find(":]", self.position + 2)
        if not self._at("[:") or end < 0:
            return None
        name = self._text[self.position + 2 : end]
        shown = self._text[self.position : end + 2]
        self.position = end + 2
        known = POSIX.get(name.removeprefix("^"))
        if known is None:
            raise PatternError(f"invalid character class range: `{shown}`")
        return negated(known) if name.startswith("^") else known


def _repetitions(tree: Tree) -> int:
    """The largest product of nested counts."""
    if isinstance(tree, Repeat):
        count = max(tree.least, tree.most or 1, 1)
        return count * _repetitions(tree.body)
    if isinstance(tree, Sequence):
        return max(map(_repetitions, tree.parts), default=1)
    return max(map(_repetitions, tree.branches), default=1) if isinstance(tree, Choice) else 1
