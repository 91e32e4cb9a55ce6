"""Server-side apply and the bookkeeping of managedFields (KEP-555).

Tracking starts with the first write that names a manager; what an untracked object holds when it is first applied
to belongs to `before-first-apply`. From then on every write is attributed.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from bayplan.clusters.embedded.errors import ApiError, bad_request
from bayplan.clusters.embedded.listrules import Path, Rules
from bayplan.clusters.embedded.ownership import (
    FieldPath,
    Leaves,
    Manager,
    changed_paths,
    leaves_of,
    read_managers,
    shown,
    write_managers,
)

Object = dict[str, Any]
# Who wrote when the writer of a tracked object names no manager.
UNNAMED_MANAGER = "unknown"
# `kubectl apply --server-side` continues what `kubectl apply` began: the same person, no conflict.
_CLIENT_SIDE_APPLY = "kubectl-client-side-apply"


def track(old: Mapping[str, Any] | None, new: Object, rules: Rules, manager: str, subresource: str, now: str) -> None:
    """Attribute an ordinary write: what changed belongs to `manager`, what is gone to nobody. Changes `new`."""
    before = (old or {}).get("metadata", {}).get("managedFields")
    entries = new["metadata"].get("managedFields")
    if old is not None and not before and not entries:
        return
    if not manager and not entries:
        return
    was = leaves_of(old, rules) if old else {}
    changed, gone = changed_paths(was, leaves_of(new, rules))
    if not changed and not gone:
        return
    managers = read_managers(entries)
    me = Manager(manager or UNNAMED_MANAGER, "Update", new["apiVersion"], subresource)
    mine = next((each for each in managers if each.identity == me.identity), None)
    for each in managers:
        if each is not mine:
            each.paths -= changed | gone
    if mine is None:
        managers.append(mine := me)
    mine.paths = (mine.paths | changed) - gone
    mine.time, mine.api_version = now, new["apiVersion"]
    new["metadata"]["managedFields"] = write_managers(managers)


def apply(
    live: Mapping[str, Any] | None,
    applied: Object,
    rules: Rules,
    *,
    manager: str,
    subresource: str = "",
    force: bool = False,
    now: str,
) -> Object:
    """The object after applying a configuration; ApiError 409 naming the managers that own what would change."""
    if applied.get("metadata", {}).get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    wanted = leaves_of(applied, rules)
    me = Manager(manager, "Apply", applied["apiVersion"], subresource, now, set(wanted))
    if live is None:
        fresh = copy.deepcopy(applied)
        fresh.setdefault("metadata", {})["managedFields"] = write_managers([me])
        return fresh
    have = leaves_of(live, rules)
    managers = read_managers(live["metadata"].get("managedFields")) or [_before_first_apply(live, have)]
    others = [each for each in managers if each.identity != me.identity]
    mine = next((each for each in managers if each.identity == me.identity), None)
    changed = {path for path, value in wanted.items() if path not in have or have[path] != value}
    _settle_conflicts(manager, others, changed, force)
    merged: Object = _merge(copy.deepcopy(live), applied, rules, ())
    if mine is not None:
        _give_up(merged, mine.paths - me.paths, others, wanted, rules)
        if mine.paths == me.paths and not changed:
            me.time = mine.time
    left = leaves_of(merged, rules)
    for each in others:
        each.paths &= left.keys()
    merged["metadata"]["managedFields"] = write_managers([*others, me])
    return merged


def _before_first_apply(live: Mapping[str, Any], have: Leaves) -> Manager:
    created = live["metadata"].get("creationTimestamp", "")
    return Manager("before-first-apply", "Update", live["apiVersion"], "", created, set(have))


def _settle_conflicts(me: str, others: list[Manager], changed: set[FieldPath], force: bool) -> None:
    """Refuse, or with `force` take the disputed fields away from their owners."""
    disputes = [(each, sorted(path for path in each.paths & changed if not _item(path))) for each in others]
    for each, paths in disputes:
        if me == "kubectl" and each.name == _CLIENT_SIDE_APPLY:
            each.paths -= set(paths)
            paths.clear()
    disputes = [(each, paths) for each, paths in disputes if paths]
    if disputes and not force:
        raise _conflict(disputes)
    for each, paths in disputes:
        each.paths -= set(paths)


def _item(path: FieldPath) -> bool:
    """Whether the path is a list item itself: that two managers both want it there is no dispute."""
    return path[-1].startswith(("k:", "v:"))


def _conflict(disputes: list[tuple[Manager, list[FieldPath]]]) -> ApiError:
    count = sum(len(paths) for _, paths in disputes)
    causes, parts = [], []
    for manager, paths in disputes:
        via = f' with subresource "{manager.subresource}"' if manager.subresource else ""
        who = f'"{manager.name}"{via} using {manager.api_version}'
        causes += [
            {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": shown(path)}
            for path in paths
        ]
        if len(paths) == 1:
            parts.append(f"conflict with {who}: {shown(paths[0])}")
        else:
            parts.append(f"conflicts with {who}:\n" + "\n".join(f"- {shown(path)}" for path in paths))
    message = f"Apply failed with {count} conflict{'s' if count > 1 else ''}: " + "\n".join(parts)
    return ApiError(409, "Conflict", message, {"causes": causes})


def _merge(live: Any, applied: Any, rules: Rules, path: Path) -> Any:
    if isinstance(applied, Mapping) and isinstance(live, Mapping) and not (path and rules.of_map(path)):
        merged = dict(live)
        for key, value in applied.items():
            if value is not None:
                merged[key] = _merge(live.get(key), value, rules, (*path, key))
        return merged
    if isinstance(applied, list) and isinstance(live, list):
        return _merge_list(live, applied, rules, path)
    return copy.deepcopy(applied)


def _merge_list(live: list[Any], applied: list[Any], rules: Rules, path: Path) -> list[Any]:
    rule = rules.of_list(path)
    if rule.type == "set":
        return [*live, *(item for item in applied if item not in live)]
    keys = [rules.key(rule, item) for item in applied]
    if rule.type == "atomic" or None in keys:
        return copy.deepcopy(applied)
    merged = list(live)
    for key, item in zip(keys, applied, strict=True):
        place = next((i for i, each in enumerate(merged) if rules.key(rule, each) == key), None)
        if place is None:
            merged.append(copy.deepcopy(item))
        else:
            merged[place] = _merge(merged[place], item, rules, path)
    return merged


def _give_up(merged: Object, dropped: set[FieldPath], others: list[Manager], wanted: Leaves, rules: Rules) -> None:
    """Take out the fields that this manager owned, applies no longer, and nobody else owns."""
    kept = set(wanted).union(*(each.paths for each in others))
    inside = {path[:size] for path in kept for size in range(1, len(path) + 1)}
    for path in sorted(dropped - inside, key=lambda each: (len(each), each)):
        if not _names_its_item(path):
            _take_out(merged, path, (), rules, inside)


def _names_its_item(path: FieldPath) -> bool:
    """Whether the leaf is a key of the list item around it: it goes with the item or not at all."""
    return len(path) > 1 and path[-2].startswith("k:") and path[-1][2:] in json.loads(path[-2][2:])


def _take_out(node: Any, path: FieldPath, at: FieldPath, rules: Rules, inside: set[FieldPath]) -> None:
    """Remove the leaf at `path` below `node`, and parents that this leaves empty."""
    part, rest = path[0], path[1:]
    here = (*at, part)
    child = _child(node, part, _names(at), rules)
    if child is _ABSENT:
        return
    if rest:
        _take_out(child, rest, here, rules, inside)
        if child not in ({}, []) or here in inside:
            return
    if isinstance(node, dict):
        node.pop(part[2:], None)
    elif isinstance(node, list):
        node[:] = [item for item in node if item is not child]


_ABSENT = object()


def _names(at: FieldPath) -> Path:
    return tuple(part[2:] for part in at if part.startswith("f:"))


def _child(node: Any, part: str, path: Path, rules: Rules) -> Any:
    kind, _, name = part.partition(":")
    if kind == "f":
        return node.get(name, _ABSENT) if isinstance(node, dict) else _ABSENT
    if not isinstance(node, list):
        return _ABSENT
    rule = rules.of_list(path)
    for item in node:
        here = leaves_of({"x": [item]}, Rules(lambda _: rule, rules.of_map))
        if any(len(leaf) > 1 and leaf[1] == part for leaf in here):
            return item
    return _ABSENT
