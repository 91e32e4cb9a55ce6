"""`metadata` as the wire carries it, and the parts every kind shares: owners and conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.model.base import Metadata, Noun
from bayplan.model.isolation import ANNOTATION, Isolation
from bayplan.wire.errors import Malformed
from bayplan.wire.times import seconds


class OwnerReference(Noun, frozen=True):
    kind: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    controller: bool = False


class ObjectMeta(Metadata, frozen=True):
    owner_references: tuple[OwnerReference, ...] = ()

    def controller(self) -> OwnerReference | None:
        return next((o for o in self.owner_references if o.controller), None)


class Condition(Noun, frozen=True):
    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


def condition(conditions: Iterable[Condition], type: str) -> Condition | None:
    return next((c for c in conditions if c.type == type), None)


def is_true(conditions: Iterable[Condition], type: str) -> bool:
    found = condition(conditions, type)
    return found is not None and found.status == "True"


def timestamp(text: str, field_path: str) -> int:
    """Seconds of a timestamp field. Raises Malformed."""
    try:
        return seconds(text)
    except ValueError as error:
        raise Malformed(field_path, str(error)) from error


def whole(fields: Mapping[str, str], key: str, field_path: str) -> int | None:
    """A label or annotation that must be a whole number ≥ 0; None where it is absent. Raises Malformed."""
    text = fields.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Malformed(f"{field_path}[{key}]", f"expected a whole number, got {text!r}")
    return int(text)


def isolation(annotations: Mapping[str, str]) -> Isolation:
    """The isolation an object's annotation asks for; none where it is absent. Raises Malformed."""
    text = annotations.get(ANNOTATION, Isolation.NONE)
    if text not in _CLASSES:
        known = ", ".join(_CLASSES)
        raise Malformed(f"metadata.annotations[{ANNOTATION}]", f"expected one of {known}, got {text!r}")
    return Isolation(text)


_CLASSES = tuple(Isolation)


def key_of(source: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name`, of parsed JSON."""
    metadata = source["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
