"""How libraries declare functions: a signature in words beside the Python function that implements it.

"string.charAt(int) -> string" is a method, "size(string) -> int" and "sets.contains(list<A>, list<A>) -> bool"
are plain functions. The implementation gets the receiver first; it raises EvalError when there is no result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from bayplan.cel.types import ATOMS, Type, parse_type
from bayplan.cel.values import KINDS, Value

Implementation = Callable[..., Value]
_F = TypeVar("_F", bound=Implementation)

_SIGNATURE = re.compile(r"(?:(?P<receiver>[A-Za-z<>, ]+)\.)?(?P<name>[^( ]+)\((?P<args>.*)\) -> (?P<result>.+)")


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature of a function; `args` include the receiver of a method."""

    function: str
    member: bool
    args: tuple[Type, ...]
    result: Type
    implementation: Implementation

    def accepts(self, classes: tuple[type, ...]) -> bool:
        """Whether values of these Python classes fit, looking at the outermost type only."""
        return all(
            wanted.is_param or wanted.is_dynamic or wanted.name == KINDS.get(given)
            for wanted, given in zip(self.args, classes, strict=True)
        )


class Library:
    """A set of declarations, filled by the decorator `declare`."""

    def __init__(self) -> None:
        self.overloads: list[Overload] = []

    def declare(self, *signatures: str) -> Callable[[_F], _F]:
        def register(implementation: _F) -> _F:
            for signature in signatures:
                self.add(signature, implementation)
            return implementation

        return register

    def add(self, signature: str, implementation: Implementation) -> None:
        self.overloads.append(_overload(signature, implementation))


class Functions:
    """All functions of an environment by name."""

    def __init__(self, libraries: Iterable[Library]) -> None:
        self._by_name: dict[tuple[str, bool, int], list[Overload]] = {}
        self._names: set[str] = set()
        for library in libraries:
            for overload in library.overloads:
                key = overload.function, overload.member, len(overload.args)
                self._by_name.setdefault(key, []).append(overload)
                self._names.add(overload.function)

    def knows(self, name: str) -> bool:
        return name in self._names

    def named(self, name: str, member: bool, arity: int) -> tuple[Overload, ...]:
        """Overloads with so many arguments, a method's receiver counted."""
        return tuple(self._by_name.get((name, member, arity), ()))


def _overload(signature: str, implementation: Implementation) -> Overload:
    match = _SIGNATURE.fullmatch(signature)
    assert match is not None, signature
    receiver, name = match["receiver"], match["name"]
    args = [parse_type(arg) for arg in _split(match["args"])]
    is_type = receiver is not None and re.split("<", receiver)[0] in ATOMS | {"list", "map", "opt", "A"}
    if is_type:
        args.insert(0, parse_type(receiver))
    elif receiver is not None:
        name = f"{receiver}.{name}"
    return Overload(name, is_type, tuple(args), parse_type(match["result"]), implementation)


def _split(args: str) -> list[str]:
    """Cuts at the commas outside angle brackets."""
    parts, depth = [""], 0
    for char in args:
        depth += (char == "<") - (char == ">")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part for part in parts if part.strip()]
