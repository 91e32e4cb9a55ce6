"""What can be wrong with a value, as small rules that combine: the shape of an object is written down once, as data.

A rule is a function of a value (parsed JSON, None = absent) and its field path; it yields Findings. The vocabulary of
finding types is that of apimachinery's `field.Error`, so that a finding reads as the API server's own refusal; two
types are ours: a field the API does not know, and JSON of the wrong type (both refused before validation upstream).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from bayplan.model.base import Value
from bayplan.model.quantity import Quantity, QuantityError

Json: TypeAlias = dict[str, Any]

REQUIRED = "Required value"
INVALID = "Invalid value"
UNSUPPORTED = "Unsupported value"
DUPLICATE = "Duplicate value"
FORBIDDEN = "Forbidden"
NOT_FOUND = "Not found"
TOO_LONG = "Too long"
TOO_MANY = "Too many"
UNKNOWN_FIELD = "Unknown field"
WRONG_TYPE = "Wrong type"

_SHOWN_MAX = 80
_WITHOUT_VALUE = (REQUIRED, FORBIDDEN, TOO_LONG, UNKNOWN_FIELD)


class Finding(Value, frozen=True):
    """One thing the API refuses: the field path, the type (constants above), the value as shown, and a sentence."""

    path: str
    type: str
    value: str = ""
    message: str = ""

    def __str__(self) -> str:
        """`path: type: value: message`, as the API server words it."""
        shown = "" if self.type in _WITHOUT_VALUE else self.value
        return ": ".join(part for part in (self.path, self.type, shown, self.message) if part)


Rule: TypeAlias = Callable[[Any, str], Iterator[Finding]]
Problem: TypeAlias = tuple[str, str]
"""(finding type, message) of a text"""
Format: TypeAlias = Callable[[str], Iterator[Problem]]


def finding(path: str, type: str, value: object = None, message: str = "") -> Finding:
    return Finding(path, type, shown(value), message)


def shown(value: object) -> str:
    """A value as a person wrote it, cut where it gets long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, Mapping | list | tuple):
        text = "object" if isinstance(value, Mapping) else "array"
    else:
        text = "null" if value is None else str(value)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."


def child(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


# -- reading JSON that may have any shape


def mapping(value: Any) -> Json:
    """The value if it is an object, else an empty one (its rule tells that it is none)."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Json]:
    """The objects in a list; [] if it is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def words(value: Any) -> list[str]:
    """The texts in a list; [] if it is none."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def is_set(value: Any) -> bool:
    """Whether a member of a union counts as given: not absent, empty text, empty list or false."""
    return value is not None and value is not False and value != "" and value != []


# -- rules


def anything(value: Any, path: str) -> Iterator[Finding]:
    yield from ()


def always(rule: Rule, absent: Any) -> Rule:
    """The rule, run on `absent` where the field is not there (a field that is no pointer upstream)."""
    return lambda value, path: rule(absent if value is None else value, path)


def required(rule: Rule) -> Rule:
    """The field must be there and not be empty text; only then the rule is asked."""

    def check(value: Any, path: str) -> Iterator[Finding]:
        if value is None or value == "":
            yield finding(path, REQUIRED)
        else:
            yield from rule(value, path)

    return check


def immutable(old: Any) -> Rule:
    def check(value: Any, path: str) -> Iterator[Finding]:
        if value != old:
            yield finding(path, INVALID, value, "field is immutable")

    return check


def _typed(kind: type | tuple[type, ...], expected: str, check: Callable[[Any, str], Iterator[Finding]]) -> Rule:
    def rule(value: Any, path: str) -> Iterator[Finding]:
        if value is None:
            return
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            yield finding(path, WRONG_TYPE, value, f"must be {expected}")
        else:
            yield from check(value, path)

    return rule


def text(*formats: Format) -> Rule:
    """A string that every format accepts."""

    def check(value: str, path: str) -> Iterator[Finding]:
        for form in formats:
            yield from problems(form, value, path)

    return _typed(str, "a string", check)


def problems(form: Format, value: str, path: str) -> Iterator[Finding]:
    return (finding(path, type, value, message) for type, message in form(value))


flag: Rule = _typed(bool, "true or false", anything)


def only_true(value: Any, path: str) -> Iterator[Finding]:
    yield from flag(value, path)
    if value is False:
        yield finding(path, INVALID, value, "must be either unset or set to true")


def whole(least: int | None = None, most: int | None = None) -> Rule:
    """An integer within bounds."""

    def check(value: int, path: str) -> Iterator[Finding]:
        if least is not None and value < least:
            yield finding(path, INVALID, value, f"must be at least {least}")
        if most is not None and value > most:
            yield finding(path, INVALID, value, f"must be at most {most}")

    return _typed(int, "a whole number", check)


def choice(*options: str) -> Rule:
    def check(value: str, path: str) -> Iterator[Finding]:
        if value not in options:
            allowed = ", ".join(f'"{option}"' for option in options)
            yield finding(path, UNSUPPORTED, value, f"supported values: {allowed}")

    return _typed(str, "a string", check)


def quantity(value: Any, path: str) -> Iterator[Finding]:
    if value is None:
        return
    try:
        Quantity.of_json(value)
    except QuantityError as error:
        yield finding(path, WRONG_TYPE, value, str(error))


def listed(item: Rule, most: int | None = None, key: Callable[[Any], Hashable] | None = None) -> Rule:
    """A list of at most `most` items (a longer one is not looked into), no two with equal keys."""

    def check(value: list[Any], path: str) -> Iterator[Finding]:
        if most is not None and len(value) > most:
            yield finding(path, TOO_MANY, len(value), f"must have at most {most} items")
            return
        for index, each in enumerate(value):
            yield from item(each, f"{path}[{index}]")
        if key:
            yield from _repeated(value, path, key)

    return _typed(list, "a list", check)


def _repeated(value: list[Any], path: str, key: Callable[[Any], Hashable]) -> Iterator[Finding]:
    seen: set[Hashable] = set()
    for index, each in enumerate(value):
        found = key(each)
        if found in seen:
            yield finding(f"{path}[{index}]", DUPLICATE, found if isinstance(found, str) else each)
        seen.add(found)


def by(*names: str) -> Callable[[Any], Hashable]:
    """The key of an item of a list: its fields of these names (one: the value itself)."""

    def key(item: Any) -> Hashable:
        found = tuple(str(mapping(item).get(name) or "") for name in names)
        return found[0] if len(found) == 1 else found

    return key


def mapped(key: Format, item: Rule, most: int | None = None, key_most: int | None = None) -> Rule:
    """An object used as a map; a wrong key is a finding of the map, not of the entry. Long keys are cut in paths."""

    def check(value: Json, path: str) -> Iterator[Finding]:
        if most is not None and len(value) > most:
            yield finding(path, TOO_MANY, len(value), f"must have at most {most} items")
            return
        for name, each in value.items():
            yield from problems(key, str(name), path)
            yield from item(each, f"{path}[{_cut(str(name), key_most)}]")

    return _typed(dict, "an object", check)


def _cut(name: str, most: int | None) -> str:
    """A long key with its middle left out, as the API server shortens it."""
    if most is None or len(name) <= most:
        return name
    left = most - 3
    return name[: (left + 1) // 2] + "..." + name[len(name) - left // 2 :]


def obj(fields: Mapping[str, Rule], *together: Rule) -> Rule:
    """An object of these fields, judged in its own order. A field outside is an UNKNOWN_FIELD.

    `together` are rules about the object as a whole, run if its fields have their types.
    """
    # Most fields of most objects are absent, and most rules have nothing to say of that.
    needed = tuple(name for name, rule in fields.items() if any(rule(None, "")))

    def check(value: Json, path: str) -> Iterator[Finding]:
        of_type = True
        for name in (*value, *(name for name in needed if name not in value)):
            rule, given = fields.get(name), value.get(name)
            if rule is None:
                yield finding(child(path, name), UNKNOWN_FIELD)
            elif given is not None or name in needed:
                for found in rule(given, child(path, name)):
                    of_type = of_type and found.type != WRONG_TYPE
                    yield found
        if of_type:
            for rule in together:
                yield from rule(value, path)

    return _typed(dict, "an object", check)


def exactly_one(names: Iterable[str], need: str) -> Rule:
    """Of these fields of an object one is set, no more."""
    choices = tuple(names)

    def check(value: Json, path: str) -> Iterator[Finding]:
        given = [name for name in choices if is_set(value.get(name))]
        if not given:
            yield finding(path, REQUIRED, None, need)
        elif len(given) > 1:
            yield finding(path, INVALID, " and ".join(given), f"{need}, but {len(given)} are set")

    return check
