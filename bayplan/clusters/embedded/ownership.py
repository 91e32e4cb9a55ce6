"""Who owns which field: the arithmetic of server-side apply (KEP-555, structured-merge-diff).

An object is flattened to leaves, path → value. A path is a tuple of fieldsV1 elements: `f:name` for a field,
`k:{"name":"a"}` for an item of a keyed list, `v:"x"` for a member of a set; an atomic list or map is one leaf. A
manager owns a set of paths.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.clusters.embedded.listrules import Path, Rules

FieldPath = tuple[str, ...]
Leaves = dict[FieldPath, Any]

# Set by the server or the identity of the object: never owned.
_UNOWNED_METADATA = frozenset(
    (
        "name",
        "namespace",
        "generateName",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    )
)


@dataclass(slots=True)
class Manager:
    """One entry of managedFields."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = ""
    paths: set[FieldPath] = field(default_factory=set)

    @property
    def identity(self) -> tuple[str, str, str]:
        return (self.name, self.operation, self.subresource)


def leaves_of(obj: Mapping[str, Any], rules: Rules) -> Leaves:
    """Everything in the object that can be owned."""
    found: Leaves = {}
    for key, value in obj.items():
        if key == "metadata":
            value = {name: item for name, item in value.items() if name not in _UNOWNED_METADATA}
            if not value:
                continue
        if key not in ("apiVersion", "kind") and value is not None:
            _flatten(value, rules, (key,), (f"f:{key}",), found)
    return found


def _flatten(value: Any, rules: Rules, path: Path, at: FieldPath, found: Leaves) -> None:
    if isinstance(value, dict) and value and not rules.of_map(path):
        for key, item in value.items():
            if item is not None:
                _flatten(item, rules, (*path, key), (*at, f"f:{key}"), found)
        return
    if isinstance(value, list) and value:
        rule = rules.of_list(path)
        if rule.type == "set":
            found.update({(*at, f"v:{_compact(item)}"): item for item in value})
            return
        keys = [rules.key(rule, item) for item in value] if rule.type == "map" else []
        if keys and None not in keys:
            for key, item in zip(keys, value, strict=True):
                place = (*at, f"k:{_compact(dict(key or ()))}")
                found[place] = None
                _flatten(item, rules, path, place, found)
            return
    found[at] = value


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def to_fields_v1(paths: Iterable[FieldPath]) -> dict[str, Any]:
    """The fieldsV1 tree of a set of paths, sorted."""
    tree: dict[str, Any] = {}
    ordered = sorted(paths)
    inner = {path[:size] for path in ordered for size in range(1, len(path))}
    for path in ordered:
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        if path in inner or path[-1].startswith("k:"):
            node["."] = {}
    return tree


def from_fields_v1(tree: Mapping[str, Any], at: FieldPath = ()) -> set[FieldPath]:
    found: set[FieldPath] = set()
    for part, below in tree.items():
        if part == ".":
            found.add(at)
        elif below:
            found |= from_fields_v1(below, (*at, part))
        else:
            found.add((*at, part))
    return found


def read_managers(entries: Iterable[Mapping[str, Any]] | None) -> list[Manager]:
    """The managers in an object's managedFields."""
    return [
        Manager(
            entry.get("manager", ""),
            entry.get("operation", "Update"),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
            entry.get("time", ""),
            from_fields_v1(entry.get("fieldsV1") or {}),
        )
        for entry in entries or ()
        if entry
    ]


def write_managers(managers: Iterable[Manager]) -> list[dict[str, Any]]:
    """managedFields, without managers that own nothing."""
    entries = []
    for manager in sorted(managers, key=lambda each: (each.operation, each.time, each.name, each.subresource)):
        if manager.paths:
            entry: dict[str, Any] = {"manager": manager.name, "operation": manager.operation}
            entry |= {"apiVersion": manager.api_version, "time": manager.time}
            entry |= {"fieldsType": "FieldsV1", "fieldsV1": to_fields_v1(manager.paths)}
            entries.append(entry | ({"subresource": manager.subresource} if manager.subresource else {}))
    return entries


def changed_paths(old: Leaves, new: Leaves) -> tuple[set[FieldPath], set[FieldPath]]:
    """The paths that are new or differ, and those that are gone."""
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    return changed, {path for path in old if path not in new}


def shown(path: FieldPath) -> str:
    """A path as kubectl shows it: `.spec.containers[name="a"].image`."""
    text = ""
    for part in path:
        kind, _, rest = part.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            pairs = json.loads(rest)
            text += "[" + ",".join(f"{key}={_compact(value)}" for key, value in pairs.items()) + "]"
        else:
            text += f"[={rest}]"
    return text
