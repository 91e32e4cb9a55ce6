"""Static types of CEL (https://github.com/google/cel-spec/blob/master/doc/langdef.md#values).

`dyn` and `any` switch checking off; a name that starts with "$" is a type parameter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Type:
    """A type and its parameters: `list(int)` is Type("list", (INT,))."""

    name: str
    params: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if not self.params:
            return _SHOWN.get(self.name, self.name.removeprefix("$"))
        return f"{_SHOWN.get(self.name, self.name)}({', '.join(map(str, self.params))})"

    @property
    def is_param(self) -> bool:
        return self.name.startswith("$")

    @property
    def is_dynamic(self) -> bool:
        return self.name in ("dyn", "any")


_SHOWN = {
    "opt": "optional_type",
    "Quantity": "kubernetes.Quantity",
    "Semver": "kubernetes.Semver",
    "URL": "kubernetes.URL",
    "IP": "net.IP",
    "CIDR": "net.CIDR",
    "Format": "kubernetes.NamedFormat",
}

DYN, ANY, NULL, BOOL = Type("dyn"), Type("any"), Type("null"), Type("bool")
INT, UINT, DOUBLE = Type("int"), Type("uint"), Type("double")
STRING, BYTES = Type("string"), Type("bytes")

ATOMS = frozenset(
    [
        "dyn",
        "any",
        "null",
        "bool",
        "int",
        "uint",
        "double",
        "string",
        "bytes",
        "timestamp",
        "duration",
        "Quantity",
        "Semver",
        "IP",
        "CIDR",
        "URL",
        "Format",
    ]
)
_CONTAINERS = frozenset({"list", "map", "opt", "type"})
_TOKEN = re.compile(r"\s*([A-Za-z]+|[<>,])")


# The types of real expressions have a handful of parts; nested bindings could double them dozens of times.
MAX_PARTS = 64


def is_large(t: Type) -> bool:
    """Whether a type has more than MAX_PARTS parts; looks no further than that."""
    parts, pending = 0, [t]
    while pending and parts <= MAX_PARTS:
        parts += 1
        pending.extend(pending.pop().params)
    return parts > MAX_PARTS


def list_of(item: Type) -> Type:
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    return Type("opt", (value,))


def parse_type(text: str) -> Type:
    """The type `list<A>` or `map<string, int>` denotes; one capital letter is a type parameter."""
    tokens = _TOKEN.findall(text)
    parsed = _take(tokens)
    assert not tokens, text
    return parsed


def _take(tokens: list[str]) -> Type:
    name = tokens.pop(0)
    if len(name) == 1 and name.isupper():
        return Type("$" + name)
    assert name in ATOMS or name in _CONTAINERS, name
    params: list[Type] = []
    if tokens and tokens[0] == "<":
        while tokens.pop(0) != ">":
            params.append(_take(tokens))
    return Type(name, tuple(params))


class Substitution:
    """What the type parameters of one expression stand for; grows while calls are checked."""

    __slots__ = ("_bound", "_fresh", "_order")

    def __init__(self) -> None:
        self._bound: dict[str, Type] = {}
        self._order: list[str] = []
        self._fresh = 0

    def fresh(self) -> Type:
        self._fresh += 1
        return Type(f"${self._fresh}")

    def renamed(self, types: tuple[Type, ...]) -> tuple[Type, ...]:
        """The types with every parameter replaced by a fresh one, the same name by the same."""
        names: dict[str, Type] = {}
        return tuple(self._rename(t, names) for t in types)

    def _rename(self, t: Type, names: dict[str, Type]) -> Type:
        if t.is_param:
            if t.name not in names:
                names[t.name] = self.fresh()
            return names[t.name]
        return Type(t.name, tuple(self._rename(p, names) for p in t.params)) if t.params else t

    def resolve(self, t: Type) -> Type:
        """The type with bound parameters filled in."""
        while t.is_param and t.name in self._bound:
            t = self._bound[t.name]
        return Type(t.name, tuple(self.resolve(p) for p in t.params)) if t.params else t

    def final(self, t: Type) -> Type:
        """As `resolve`, with parameters nothing has bound taken as dyn."""
        t = self.resolve(t)
        if t.is_param:
            return DYN
        return Type(t.name, tuple(self.final(p) for p in t.params)) if t.params else t

    def accept_all(self, wanted: tuple[Type, ...], given: tuple[Type, ...]) -> bool:
        """Whether each given type is assignable to its wanted one; binds parameters only if all are."""
        before = len(self._order)
        if all(self._accept(w, g) for w, g in zip(wanted, given, strict=True)):
            return True
        while len(self._order) > before:
            del self._bound[self._order.pop()]
        return False

    def accept(self, wanted: Type, given: Type) -> bool:
        return self.accept_all((wanted,), (given,))

    def _accept(self, wanted: Type, given: Type) -> bool:
        wanted, given = self.resolve(wanted), self.resolve(given)
        if wanted == given:
            return True
        if wanted.is_param or given.is_param:
            return self._bind(wanted, given) if wanted.is_param else self._bind(given, wanted)
        if wanted.is_dynamic or given.is_dynamic:
            return True
        if given == NULL:
            return wanted.name not in _NEVER_NULL
        if wanted.name == given.name == "type":
            return True
        if wanted.name != given.name or len(wanted.params) != len(given.params):
            return False
        return all(self._accept(w, g) for w, g in zip(wanted.params, given.params, strict=True))

    def _bind(self, param: Type, to: Type) -> bool:
        if _mentions(to, param):
            return False
        self._bound[param.name] = to
        self._order.append(param.name)
        return True


_NEVER_NULL = frozenset({"bool", "int", "uint", "double", "string", "bytes", "list", "map", "type"})


def _mentions(t: Type, param: Type) -> bool:
    return t == param or any(_mentions(p, param) for p in t.params)
