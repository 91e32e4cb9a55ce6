"""Two engines for one tree, and the choice between them.

`backtrack` is Python's `re` on a translated pattern; `simulate` is Pike's machine (Cox, "Regular Expression
Matching: the Virtual Machine Approach"). Both find the leftmost match and prefer as RE2 does.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import TypeAlias

from bayplan.cel.re2.syntax import (
    Assert,
    Assertion,
    Chars,
    Choice,
    PatternError,
    Repeat,
    Sequence,
    Tree,
    parse,
)

Span: TypeAlias = tuple[int, int]

# How many steps a backtracking search may take at the very worst (a tenth of a second), and how large a program
# may be.
MAX_BACKTRACKING = 10_000_000
MAX_PROGRAM = 2_000
# Characters times instructions of one call: a second or two, far beyond any attribute of a device.
MAX_WORK = 5_000_000


class WorkError(RuntimeError):
    """The text is too long for so large a pattern."""


@lru_cache(maxsize=1024)
def compile(pattern: str) -> Pattern:
    """The pattern, ready to search; raises PatternError."""
    return Pattern(parse(pattern))


class Pattern:
    """A compiled pattern."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._python = re.compile(_translated(tree))
        self._program = _Program(tree)
        # The longest text that is cheap to backtrack over, at most a million characters; -1 if not even "" is.
        self._cheap_length = bisect_left(range(MAX_BACKTRACKING // 10), True, key=self._is_expensive) - 1

    def search(self, text: str, start: int = 0) -> Span | None:
        """The leftmost match at or behind `start`, as (start, end) offsets; raises WorkError."""
        if self.is_cheap(len(text) - start):
            return self.backtrack(text, start)
        if self._work(text, start) > MAX_WORK:
            raise WorkError(f"matching takes more than {MAX_WORK} steps")
        return self.simulate(text, start)

    def _work(self, text: str, start: int) -> int:
        return (len(text) - start + 1) * self._program.size

    def is_cheap(self, length: int) -> bool:
        """Whether backtracking over so many characters is bounded by MAX_BACKTRACKING steps."""
        return length <= self._cheap_length

    def _is_expensive(self, length: int) -> bool:
        return (length + 1) * self._program.size * _ways(self._tree, length + 1) > MAX_BACKTRACKING

    def backtrack(self, text: str, start: int = 0) -> Span | None:
        match = self._python.search(text, start)
        return match.span() if match else None

    def simulate(self, text: str, start: int = 0) -> Span | None:
        return self._program.search(text, start)

    def find_all(self, text: str, limit: int = -1) -> list[Span]:
        """Successive matches, at most `limit` unless negative; no empty match right behind another match."""
        spans: list[Span] = []
        position, last_end, work = 0, -1, 0
        while len(spans) != limit and position <= len(text):
            work += 0 if self.is_cheap(len(text) - position) else self._work(text, position)
            if work > MAX_WORK:
                raise WorkError(f"matching takes more than {MAX_WORK} steps")
            span = self.search(text, position)
            if span is None:
                break
            if span[0] < span[1] or span[0] != last_end:
                spans.append(span)
                last_end = span[1]
            position = span[1] if span[1] > position else position + 1
        return spans


def _ways(tree: Tree, length: int) -> float:
    """An upper bound on the ways a backtracking engine can match from one position."""
    if isinstance(tree, Sequence):
        product = 1.0
        for part in tree.parts:
            product *= _ways(part, length)
        return product
    if isinstance(tree, Choice):
        return sum(_ways(branch, length) for branch in tree.branches)
    if not isinstance(tree, Repeat):
        return 1
    body = _ways(tree.body, length)
    if tree.most == tree.least and body == 1:
        return 1
    if isinstance(tree.body, Chars):
        return length if tree.most is None else min(length, tree.most - tree.least + 1)
    if tree.most is not None and tree.most <= 3:
        return sum(body**count for count in range(tree.least, tree.most + 1))
    return float("inf")


# -- Python's engine

_PYTHON_ASSERTIONS: dict[Assertion, str] = {
    "text-start": r"\A",
    "text-end": r"\Z",
    "line-start": "(?m:^)",
    "line-end": r"(?=\n|\Z)",
    "word": r"(?a:\b)",
    "not-word": r"(?a:(?!\b))",
}


def _translated(tree: Tree) -> str:
    if isinstance(tree, Chars):
        return _translated_set(tree)
    if isinstance(tree, Assert):
        return _PYTHON_ASSERTIONS[tree.what]
    if isinstance(tree, Sequence):
        return "".join(map(_translated, tree.parts))
    if isinstance(tree, Choice):
        return "(?:" + "|".join(map(_translated, tree.branches)) + ")"
    most = "" if tree.most is None else str(tree.most)
    return f"(?:{_translated(tree.body)}){{{tree.least},{most}}}{'' if tree.greedy else '?'}"


def _translated_set(chars: Chars) -> str:
    if not chars.ranges:
        return "(?!)"
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in chars.ranges) + "]"


# -- the simulation


class _Program:
    """Instructions and, beside each step or assertion, implicitly the next one."""

    def __init__(self, tree: Tree) -> None:
        self._code: list[tuple[str, object]] = []
        self._emit_tree(tree)
        self._emit("match", None)
        self.size = len(self._code)

    def _emit(self, kind: str, argument: object) -> int:
        if len(self._code) >= MAX_PROGRAM:
            raise PatternError("expression too large")
        self._code.append((kind, argument))
        return len(self._code) - 1

    def _emit_tree(self, tree: Tree) -> None:
        if isinstance(tree, Chars):
            self._emit("chars", ([low for low, _ in tree.ranges], [high for _, high in tree.ranges]))
        elif isinstance(tree, Assert):
            self._emit("assert", tree.what)
        elif isinstance(tree, Sequence):
            for part in tree.parts:
                self._emit_tree(part)
        elif isinstance(tree, Choice):
            self._emit_choice(tree)
        else:
            self._emit_repeat(tree)

    def _emit_choice(self, tree: Choice) -> None:
        jumps: list[int] = []
        for branch in tree.branches[:-1]:
            fork = self._emit("fork", None)
            self._emit_tree(branch)
            jumps.append(self._emit("jump", None))
            self._code[fork] = "fork", (fork + 1, len(self._code))
        self._emit_tree(tree.branches[-1])
        for jump in jumps:
            self._code[jump] = "jump", len(self._code)

    def _emit_repeat(self, tree: Repeat) -> None:
        forks: list[int] = []
        if tree.most is None:
            # x* is (x+)?: a body that prefers to be empty must not be entered twice (golang/go#46123).
            if tree.least == 0:
                forks.append(self._emit("fork", None))
            for _ in range(tree.least - 1):
                self._emit_tree(tree.body)
            start = len(self._code)
            self._emit_tree(tree.body)
            again, behind = start, len(self._code) + 1
            self._emit("fork", (again, behind) if tree.greedy else (behind, again))
        else:
            for _ in range(tree.least):
                self._emit_tree(tree.body)
            for _ in range(tree.most - tree.least):
                forks.append(self._emit("fork", None))
                self._emit_tree(tree.body)
        for fork in forks:
            self._set_fork(fork, tree.greedy)

    def _set_fork(self, fork: int, greedy: bool) -> None:
        inside, behind = fork + 1, len(self._code)
        self._code[fork] = "fork", (inside, behind) if greedy else (behind, inside)

    def search(self, text: str, start: int) -> Span | None:
        """Threads are (instruction, where its match started), in order of preference."""
        found: Span | None = None
        threads: list[tuple[int, int]] = []
        for position in range(start, len(text) + 1):
            seen: set[int] = set()
            ready: list[tuple[int, int]] = []
            for instruction, began in threads:
                self._follow(instruction, began, text, position, seen, ready)
            if found is None:
                self._follow(0, position, text, position, seen, ready)
            threads = []
            code = ord(text[position]) if position < len(text) else -1
            for instruction, began in ready:
                kind, argument = self._code[instruction]
                if kind == "match":
                    found = began, position
                    break
                if _steps(argument, code):
                    threads.append((instruction + 1, began))
            if not threads and found is not None:
                break
        return found

    def _follow(
        self,
        instruction: int,
        began: int,
        text: str,
        position: int,
        seen: set[int],
        ready: list[tuple[int, int]],
    ) -> None:
        """Adds the steps reachable without taking a character, most preferred first."""
        stack = [instruction]
        while stack:
            at = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            kind, argument = self._code[at]
            if kind == "fork":
                assert isinstance(argument, tuple)
                stack.extend(reversed(argument))
            elif kind == "jump":
                assert isinstance(argument, int)
                stack.append(argument)
            elif kind == "assert":
                if _holds(argument, text, position):
                    stack.append(at + 1)
            else:
                ready.append((at, began))


def _steps(ranges: object, code: int) -> bool:
    assert isinstance(ranges, tuple)
    lows, highs = ranges
    at = bisect_right(lows, code) - 1
    return at >= 0 and code <= highs[at]


def _holds(what: object, text: str, position: int) -> bool:
    if what == "text-start":
        return position == 0
    if what == "text-end":
        return position == len(text)
    if what == "line-start":
        return position == 0 or text[position - 1] == "\n"
    if what == "line-end":
        return position == len(text) or text[position] == "\n"
    boundary = _is_word(text, position - 1) is not _is_word(text, position)
    return boundary is (what == "word")


def _is_word(text: str, position: int) -> bool:
    if not 0 <= position < len(text):
        return False
    char = text[position]
    return char.isascii() and (char.isalnum() or char == "_")
