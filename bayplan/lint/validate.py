"""One way in: what the API would refuse about an object of resource.k8s.io.

The rules are those of v1 (v1beta2 has the same shape; DeviceTaintRule and ResourcePoolStatusRequest have one shape in
all their versions). v1beta1 spells claims and slices differently and is not judged.
"""

from __future__ import annotations

from bayplan.lint.common import ALL_ON, Gates
from bayplan.lint.kinds import GROUP, KINDS, Kind
from bayplan.lint.rules import UNKNOWN_FIELD, Finding, Json

_OLDER_SHAPES = ("v1beta1", "v1alpha3")
_ONE_SHAPE = ("DeviceTaintRule", "ResourcePoolStatusRequest", "DeviceClass")


def kind_of(obj: Json) -> Kind | None:
    """How objects like this one are checked; None for a kind or a version that is not."""
    group, _, version = str(obj.get("apiVersion") or "").partition("/")
    name = str(obj.get("kind") or "")
    if group != GROUP or (version in _OLDER_SHAPES and name not in _ONE_SHAPE):
        return None
    return KINDS.get(name)


def validate(new: Json, old: Json | None = None, gates: Gates = ALL_ON) -> list[Finding]:
    """What the API server would answer to creating `new`, or to changing `old` into it. [] = accepted, or not ours.

    Both are parsed JSON after defaulting. A change is judged by the rules of an update, and by those of a status
    update where the status differs. Unknown fields are not among the findings: a server drops them.
    """
    return [found for found in validate_strictly(new, old, gates) if found.type != UNKNOWN_FIELD]


def validate_strictly(new: Json, old: Json | None = None, gates: Gates = ALL_ON) -> list[Finding]:
    """As `validate`, with unknown fields, which kubectl's strict validation refuses."""
    kind = kind_of(new)
    if kind is None:
        return []
    if old is None:
        return list(kind.create(new, gates))
    found = list(kind.update(new, old, gates))
    if kind.status and new.get("status") != old.get("status"):
        found += (each for each in kind.status(new, old, gates) if each not in found)
    return found


def validate_status(new: Json, old: Json, gates: Gates = ALL_ON) -> list[Finding]:
    """What the API server would answer to a status update."""
    kind = kind_of(new)
    if kind is None or kind.status is None:
        return []
    return [found for found in kind.status(new, old, gates) if found.type != UNKNOWN_FIELD]
