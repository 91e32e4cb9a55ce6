"""Label and field selectors as predicates (apimachinery `labels.Parse`, `fields.ParseSelector`).

`a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, `a>1`, `a<1`; comma means and. As in Kubernetes
`!=` and `notin` also hold for objects that lack the label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from bayplan.clusters.embedded.errors import bad_request

Labels = Mapping[str, str]
Predicate = Callable[[Labels], bool]

_KEY = r"[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?"
_SET = re.compile(rf"(?P<key>{_KEY})\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)")
_COMPARE = re.compile(rf"(?P<key>{_KEY})\s*(?P<op>==|!=|=|>|<)\s*(?P<value>[A-Za-z0-9._-]*)")
_EXISTS = re.compile(rf"(?P<not>!?)\s*(?P<key>{_KEY})")


@lru_cache(maxsize=1024)
def label_selector(text: str) -> Predicate:
    """A predicate over labels; ApiError 400 naming the requirement that does not parse."""
    return _all_of([_label_requirement(part) for part in _split(text)])


def selector_of(spec: Mapping[str, Any] | None) -> Predicate:
    """A predicate from a LabelSelector object (`matchLabels`, `matchExpressions`); None matches nothing."""
    if spec is None:
        return lambda labels: False
    return label_selector(selector_text(spec))


def selector_text(spec: Mapping[str, Any]) -> str:
    """A LabelSelector object (or a plain label map) in the one-line form."""
    if "matchLabels" not in spec and "matchExpressions" not in spec:
        return ",".join(f"{key}={value}" for key, value in spec.items() if isinstance(value, str))
    parts = [f"{key}={value}" for key, value in (spec.get("matchLabels") or {}).items()]
    for rule in spec.get("matchExpressions") or []:
        key, values = rule["key"], ",".join(rule.get("values") or [])
        parts.append(
            {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}.get(
                rule["operator"], f"!{key}"
            )
        )
    return ",".join(parts)


def _split(text: str) -> list[str]:
    parts = re.split(r",(?![^()]*\))", text)
    return [part.strip() for part in parts if part.strip()]


def _all_of(parts: list[Predicate]) -> Predicate:
    if not parts:
        return lambda labels: True
    if len(parts) == 1:
        return parts[0]
    return lambda labels: all(part(labels) for part in parts)


def _label_requirement(part: str) -> Predicate:
    if found := _SET.fullmatch(part):
        key, values = found["key"], frozenset(value.strip() for value in found["values"].split(","))
        if found["op"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _COMPARE.fullmatch(part):
        return _comparison(found["key"], found["op"], found["value"])
    if found := _EXISTS.fullmatch(part):
        key, wanted = found["key"], not found["not"]
        return lambda labels: (key in labels) is wanted
    raise bad_request(f"unable to parse requirement in label selector: {part!r}")


def _comparison(key: str, op: str, value: str) -> Predicate:
    if op in ("=", "=="):
        return lambda labels: labels.get(key) == value
    if op == "!=":
        return lambda labels: labels.get(key) != value
    if not re.fullmatch(r"-?\d+", value):
        raise bad_request(f"label selector: for {op!r} the value of {key!r} must be an integer, not {value!r}")
    bound = int(value)

    def compares(labels: Labels) -> bool:
        have = labels.get(key, "")
        return bool(re.fullmatch(r"-?\d+", have)) and (int(have) > bound if op == ">" else int(have) < bound)

    return compares


def field_selector(text: str, allowed: tuple[str, ...], kind: str) -> Predicate:
    """A predicate over the field values of one kind; ApiError 400 for a field that the kind does not index."""
    parts: list[Predicate] = []
    for part in _split(text):
        found = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", part)
        if not found:
            raise bad_request(f"invalid field selector {text!r}: expected field=value, found {part!r}")
        key, op, value = found[1].strip(), found[2], found[3].strip()
        if key not in ("metadata.name", "metadata.namespace", *allowed):
            raise bad_request(f'field label not supported for {kind}: "{key}"')
        parts.append(_field_test(key, value, op != "!="))
    return _all_of(parts)


def _field_test(key: str, value: str, equal: bool) -> Predicate:
    return lambda fields: (fields.get(key, "") == value) is equal
