"""Strategic merge patch: a merge patch that knows which lists are keyed (apimachinery `strategicpatch`).

Directives: `$patch: delete|replace|merge` in a map or a list item, `$deleteFromPrimitiveList/<field>`,
`$setElementOrder/<field>`, `$retainKeys`. Pure; the target is never changed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from bayplan.clusters.embedded.errors import bad_request
from bayplan.clusters.embedded.listrules import ListRule, Path, Rules

_DELETE_ITEMS = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_merge(target: Mapping[str, Any], patch: Mapping[str, Any], rules: Rules, path: Path = ()) -> Any:
    """The target with the patch merged in; ApiError 400 for a directive that makes no sense."""
    directive = patch.get("$patch")
    if directive == "replace":
        return _clean({key: value for key, value in patch.items() if key != "$patch"})
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"unknown patch type found: {directive}")
    merged = dict(target)
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_field(merged, key, value, rules, (*path, key))
    _delete_members(merged, patch)
    _order_lists(merged, patch, target, rules, path)
    return merged


def _merge_field(merged: dict[str, Any], key: str, value: Any, rules: Rules, path: Path) -> None:
    current = merged.get(key)
    if value is None:
        merged.pop(key, None)
    elif isinstance(value, Mapping):
        if value.get("$patch") == "delete":
            merged.pop(key, None)
        else:
            merged[key] = strategic_merge(current if isinstance(current, Mapping) else {}, value, rules, path)
    elif isinstance(value, list):
        merged[key] = _merge_list(current if isinstance(current, list) else [], value, rules, path)
    else:
        merged[key] = value


def _merge_list(current: list[Any], patch: list[Any], rules: Rules, path: Path) -> list[Any]:
    rule = rules.of_list(path)
    if any(isinstance(item, Mapping) and item.get("$patch") == "replace" for item in patch):
        kept = [item for item in patch if not (isinstance(item, Mapping) and item.get("$patch") == "replace")]
        return [_clean(item) for item in kept]
    if rule.type == "set":
        return [*current, *(item for item in patch if item not in current)]
    if rule.type == "atomic" or not rule.patch_key:
        return [_clean(item) for item in patch]
    return _merge_keyed(current, patch, rule.patch_key, rules, path)


def _merge_keyed(current: list[Any], patch: list[Any], key: str, rules: Rules, path: Path) -> list[Any]:
    merged = list(current)
    for item in patch:
        if not isinstance(item, Mapping) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((i for i, each in enumerate(merged) if _key_of(each, key) == item[key]), None)
        if item.get("$patch") == "delete":
            merged = [each for each in merged if _key_of(each, key) != item[key]]
        elif place is None:
            merged.append(strategic_merge({}, item, rules, path))
        else:
            merged[place] = strategic_merge(merged[place], item, rules, path)
    return merged


def _key_of(item: Any, key: str) -> Any:
    return item.get(key) if isinstance(item, Mapping) else None


def _delete_members(merged: dict[str, Any], patch: Mapping[str, Any]) -> None:
    for directive, values in patch.items():
        field = directive.removeprefix(_DELETE_ITEMS)
        if field != directive and isinstance(merged.get(field), list):
            merged[field] = [item for item in merged[field] if item not in values]


def _order_lists(
    merged: dict[str, Any], patch: Mapping[str, Any], target: Mapping[str, Any], rules: Rules, path: Path
) -> None:
    """Lists that merge get the order the patch asks for, or that of its own items."""
    for key, value in patch.items():
        field = key.removeprefix(_ORDER)
        rule = rules.of_list((*path, field))
        merges = rule.type == "set" or rule.patch_key
        if not merges or not isinstance(value, list) or not isinstance(merged.get(field), list):
            continue
        if field != key or _ORDER + field not in patch:
            before = target.get(field)
            merged[field] = _ordered(merged[field], value, before if isinstance(before, list) else [], rule)


def _ordered(items: list[Any], order: list[Any], before: list[Any], rule: ListRule) -> list[Any]:
    """Named items in the order given; the others stay before those named ones that they were before."""
    wanted = [_name(value, rule) for value in order]
    places = {str(_name(item, rule)): index for index, item in reversed(list(enumerate(before)))}
    named = sorted((i for i in items if _name(i, rule) in wanted), key=lambda i: wanted.index(_name(i, rule)))
    others = [item for item in items if _name(item, rule) not in wanted]
    result: list[Any] = []
    while named and others:
        mine, its = places.get(str(_name(others[0], rule))), places.get(str(_name(named[0], rule)))
        first = others if mine is not None and its is not None and mine < its else named
        result.append(first.pop(0))
    return result + others + named


def _name(value: Any, rule: ListRule) -> Any:
    return value.get(rule.patch_key) if isinstance(value, Mapping) else value


def _clean(value: Any) -> Any:
    """A copy without directives and nulls."""
    if isinstance(value, Mapping):
        return {k: _clean(v) for k, v in value.items() if not k.startswith("$") and v is not None}
    return [_clean(item) for item in value] if isinstance(value, list) else copy.deepcopy(value)
