"""Small checks that validation is made of: each takes a field path and a value and returns what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bayplan.clusters.embedded.errors import FieldError, bad_value, missing, unsupported
from bayplan.model.quantity import Quantity, QuantityError

Errors = list[FieldError]

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
QUALIFIED_NAME = re.compile(
    r"((?=.{1,253}/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def mapping(path: str, value: Any, *, required: bool = False) -> Errors:
    """A JSON object, or absent unless required."""
    if value is None:
        return [missing(path)] if required else []
    return [] if isinstance(value, dict) else [bad_value(path, value, "expected an object")]


def sub(value: Any, *names: str) -> Mapping[str, Any]:
    """A map below `value`, or an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def each(path: str, value: Any, check: Callable[[str, Mapping[str, Any]], Errors]) -> Errors:
    """Run `check` on every item of a list of objects."""
    if value is None:
        return []
    if not isinstance(value, list):
        return [bad_value(path, value, "expected a list")]
    found: Errors = []
    for index, item in enumerate(value):
        at = f"{path}[{index}]"
        found += check(at, item) if isinstance(item, dict) else [bad_value(at, item, "expected an object")]
    return found


def named(path: str, value: Any, pattern: re.Pattern[str], what: str) -> Errors:
    """A required name of a given shape."""
    if value in (None, ""):
        return [missing(path)]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        return [bad_value(path, value, f"must be {what}")]
    return []


def label_name(path: str, value: Any) -> Errors:
    return named(path, value, DNS_LABEL, "a lowercase RFC 1123 label: a-z 0-9 -, at most 63 characters")


def subdomain(path: str, value: Any) -> Errors:
    return named(path, value, DNS_SUBDOMAIN, "a lowercase RFC 1123 subdomain: a-z 0-9 - ., at most 253 characters")


def one_of(path: str, value: Any, allowed: tuple[str, ...], *, required: bool = False) -> Errors:
    if value is None:
        return [missing(path)] if required else []
    return [] if value in allowed else [unsupported(path, value, allowed)]


def whole(path: str, value: Any, *, least: int = 0, required: bool = False) -> Errors:
    """An integer of at least `least`."""
    if value is None:
        return [missing(path)] if required else []
    if not isinstance(value, int) or isinstance(value, bool):
        return [bad_value(path, value, "expected a whole number")]
    return [] if value >= least else [bad_value(path, value, f"must be greater than or equal to {least}")]


def quantity(path: str, value: Any, *, least: int | None = 0) -> Errors:
    """A resource quantity, not negative unless `least` is None."""
    try:
        amount = Quantity.of_json(value)
    except QuantityError as error:
        return [bad_value(path, value, str(error))]
    if least is not None and amount < Quantity.of(least):
        return [bad_value(path, value, f"must be greater than or equal to {least}")]
    return []


def quantities(path: str, value: Any) -> Errors:
    """A map of resource names to quantities."""
    if found := mapping(path, value):
        return found
    problems: Errors = []
    for name, amount in (value or {}).items():
        if not QUALIFIED_NAME.fullmatch(name):
            problems.append(bad_value(f"{path}.{name}", name, "must be a qualified resource name"))
        problems += quantity(f"{path}[{name}]", amount)
    return problems


def unique(path: str, values: Iterator[Any], name: str) -> Errors:
    """No value twice; `name` is the field within an item, for the path of the second one."""
    seen: list[Any] = []
    problems: Errors = []
    for index, value in enumerate(values):
        if value is not None and value in seen:
            at = f"{path}[{index}]" + (f".{name}" if name else "")
            problems.append(FieldError(at, f'Duplicate value: "{value}"', "FieldValueDuplicate"))
        seen.append(value)
    return problems
