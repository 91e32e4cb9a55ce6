"""ResourceSlice: what a driver may announce (KEP-4381; counters 4815, taints 5055, capacity 5075, node resources 5517).

Limits are those of resource.k8s.io/v1 `types.go`. On update the capacity and taints of a device that did not change are
not judged again, so that a slice stored under older rules can still be updated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from bayplan.lint.capacity import plain_capacity, shared_capacity
from bayplan.lint.common import binding_conditions, binding_fields, node_selector, taint
from bayplan.lint.formats import (
    ATTRIBUTE_NAME_MAX,
    LABEL_MAX,
    at_most,
    attribute_name,
    dns_label,
    dns_subdomain,
    driver_name,
    full_attribute_name,
    is_node_resource,
    pool_name,
    unset_or,
)
from bayplan.lint.rules import (
    INVALID,
    NOT_FOUND,
    REQUIRED,
    Finding,
    Json,
    Problem,
    Rule,
    always,
    anything,
    by,
    child,
    exactly_one,
    finding,
    flag,
    immutable,
    is_set,
    items,
    listed,
    mapped,
    mapping,
    obj,
    only_true,
    quantity,
    required,
    shown,
    text,
    whole,
)
from bayplan.model.quantity import Quantity, QuantityError
from bayplan.model.semver import Semver, SemverError

DEVICES_MAX = 128
DEVICES_WITH_MORE_MAX = 64  # where a device has taints, counters or list attributes
COUNTER_SETS_MAX = 8
COUNTERS_MAX = 32
CONSUMPTIONS_MAX = 2
ATTRIBUTES_AND_CAPACITIES_MAX = 32
ATTRIBUTE_VALUES_MAX = 48
ATTRIBUTE_BYTES_MAX = 64
TAINTS_MAX = 16

_LISTS = ("bools", "ints", "strings", "versions")
_VALUES = frozenset(("bool", "int", "string", "version", *_LISTS))
_PLACES = ("nodeName", "nodeSelector", "allNodes")


def slice_spec(old: Json | None) -> Rule:
    """The spec of a new slice, or of one that was `old`."""

    def check(value: Any, path: str) -> Iterator[Finding]:
        spec = mapping(value)
        devices = items(spec.get("devices"))
        olds = {str(each.get("name")): each for each in items(mapping(old).get("devices"))}
        most = DEVICES_WITH_MORE_MAX if any(map(_needs_more, devices)) else DEVICES_MAX
        one = _device(olds, spec.get("perDeviceNodeSelection") is True)
        yield from obj({**_SPEC, "devices": listed(one, most, by("name"))}, *_SPEC_TOGETHER)(value, path)
        if old is not None:
            yield from _kept(spec, old, path)

    return always(check, {})


def _kept(spec: Json, old: Json, path: str) -> Iterator[Finding]:
    pool, old_pool = mapping(spec.get("pool")), mapping(old.get("pool"))
    yield from immutable(old_pool.get("name"))(pool.get("name"), child(path, "pool.name"))
    for name in ("driver", "nodeName"):
        yield from immutable(old.get(name))(spec.get(name), child(path, name))


def _needs_more(device: Json) -> bool:
    attributes = mapping(device.get("attributes")).values()
    has_lists = any(mapping(each).get(name) is not None for each in attributes for name in _LISTS)
    return has_lists or bool(device.get("taints")) or bool(device.get("consumesCounters"))


def _either(value: Json, path: str) -> Iterator[Finding]:
    if value.get("sharedCounters") is not None and value.get("devices") is not None:
        yield finding(path, INVALID, "", "only one of `sharedCounters` or `devices` is allowed")


# -- devices


def _device(olds: Mapping[str, Json], selects_nodes: bool) -> Rule:
    def check(value: Any, path: str) -> Iterator[Finding]:
        device = mapping(value)
        old = olds.get(str(device.get("name")))
        kept = [] if old is None else [name for name in ("capacity", "taints") if device.get(name) == old.get(name)]
        is_shared = device.get("allowMultipleAllocations") is True
        yield from _device_of(is_shared, selects_nodes, tuple(kept))(value, path)

    return check


@lru_cache(maxsize=16)
def _device_of(is_shared: bool, selects_nodes: bool, kept: tuple[str, ...]) -> Rule:
    """A device: one that claims share, one that names its nodes, and what of it is as it was stored."""
    capacity = mapped(attribute_name, shared_capacity if is_shared else plain_capacity, key_most=ATTRIBUTE_NAME_MAX)
    fields: dict[str, Rule] = {
        **_DEVICE,
        "capacity": capacity,
        "taints": listed(taint(), TAINTS_MAX),
        **(_PLACE if selects_nodes else dict.fromkeys(_PLACES, anything)),
        **dict.fromkeys(kept, anything),
    }
    place = exactly_one(_PLACES, _PLACE_NEED) if selects_nodes else _no_place
    return obj(fields, _attributes_fit, binding_conditions, _node_resources, place)


def _no_place(value: Json, path: str) -> Iterator[Finding]:
    given = [name for name in _PLACES if value.get(name) is not None]
    if given:
        yield finding(path, INVALID, None, f"{given[0]} is allowed only with perDeviceNodeSelection in the spec")


def _attributes_fit(value: Json, path: str) -> Iterator[Finding]:
    attributes, capacity = mapping(value.get("attributes")), mapping(value.get("capacity"))
    entries = len(attributes) + len(capacity)
    if entries > ATTRIBUTES_AND_CAPACITIES_MAX:
        most = ATTRIBUTES_AND_CAPACITIES_MAX
        yield finding(path, INVALID, entries, f"the total number of attributes and capacities must not exceed {most}")
    values = sum(_values(mapping(each)) for each in attributes.values())
    if values > ATTRIBUTE_VALUES_MAX:
        most = ATTRIBUTE_VALUES_MAX
        yield finding(path, INVALID, values, f"the total number of attribute values must not exceed {most}")


def _values(attribute: Json) -> int:
    """How many values an attribute counts for."""
    return sum(len(each) for each in attribute.values() if isinstance(each, list)) or 1


def _version(value: str) -> Iterator[Problem]:
    try:
        Semver.parse(value)
    except SemverError:
        yield INVALID, "must be a version as semver.org 2.0.0 has it (like 1.2.3)"
    yield from at_most(ATTRIBUTE_BYTES_MAX)(value)


def _one_value(value: Json, path: str) -> Iterator[Finding]:
    given = [name for name, each in value.items() if each is not None and name in _VALUES]
    if len(given) != 1:
        yield finding(path, INVALID, " and ".join(given), "exactly one value must be specified")


_ATTRIBUTE = obj(
    {
        "bool": flag,
        "int": whole(),
        "string": text(at_most(ATTRIBUTE_BYTES_MAX)),
        "version": text(_version),
        "bools": listed(flag),
        "ints": listed(whole()),
        "strings": listed(text(at_most(ATTRIBUTE_BYTES_MAX))),
        "versions": listed(text(_version)),
    },
    _one_value,
)
_COUNTERS = required(mapped(dns_label, obj({"value": quantity}), COUNTERS_MAX, LABEL_MAX))


def _counters(value: Any, path: str) -> Iterator[Finding]:
    """A map that must not be empty."""
    yield from _COUNTERS(value or None, path)


# -- resources of the node (1.36: nodeAllocatableResourceMappings; 1.37: nodeAllocatableResources)


def _amount(least: int, need: str) -> Rule:
    """A quantity of at least so many billionths."""

    def check(value: Any, path: str) -> Iterator[Finding]:
        yield from quantity(value, path)
        if value is None:
            return
        try:
            too_small = Quantity.of_json(value).nano < least
        except QuantityError:
            return
        if too_small:
            yield finding(path, INVALID, str(value), need)

    return check


_POSITIVE = _amount(1, "must be positive")
_NOT_NEGATIVE = _amount(0, "must be non-negative")


def _some_of(*names: str, missing: str = INVALID) -> Rule:
    need = f"at least one of {' or '.join(names)} must be set"

    def check(value: Json, path: str) -> Iterator[Finding]:
        if all(value.get(name) is None for name in names):
            yield finding(path, missing, "", need)

    return check


def _together(one: str, other: str) -> Rule:
    def check(value: Json, path: str) -> Iterator[Finding]:
        for mine, its in ((one, other), (other, one)):
            if value.get(mine) is None and value.get(its) is not None:
                yield finding(child(path, mine), REQUIRED, None, f"is required when {its} is set")

    return check


_MAPPING_1_36 = obj(
    {"capacityKey": text(), "allocationMultiplier": _POSITIVE}, _some_of("allocationMultiplier", "capacityKey")
)
_NODE_RESOURCE = obj(
    {
        "mapping": obj(
            {"capacityKey": text(), "capacityMultiplier": _POSITIVE, "deviceMultiplier": _POSITIVE},
            _together("capacityKey", "capacityMultiplier"),
        ),
        "overhead": obj({"perPod": _NOT_NEGATIVE, "perContainer": _NOT_NEGATIVE}, _some_of("perPod", "perContainer")),
    },
    _some_of("mapping", "overhead", missing=REQUIRED),
)


def _any_key(name: str) -> Iterator[Problem]:
    yield from ()


def _node_resources(value: Json, path: str) -> Iterator[Finding]:
    """A node resource must be one of the node's own, and stand for a capacity the device has."""
    capacity = mapping(value.get("capacity"))
    for field, inner in (("nodeAllocatableResourceMappings", ""), ("nodeAllocatableResources", "mapping")):
        for name, entry in mapping(value.get(field)).items():
            at = f"{child(path, field)}[{name}]"
            if not is_node_resource(name):
                yield finding(at, INVALID, name, "must be a node allocatable resource (like cpu or memory)")
            held, held_at = (entry.get(inner), child(at, inner)) if inner else (entry, at)
            key = mapping(held).get("capacityKey")
            if key == "":
                yield finding(child(held_at, "capacityKey"), INVALID, key, "must not be an empty string")
            elif key is not None and key not in capacity:
                yield finding(child(held_at, "capacityKey"), NOT_FOUND, key)


_PLACE_NEED = (
    "exactly one of `nodeName`, `nodeSelector` or `allNodes` is required on a device"
    " where the spec sets `perDeviceNodeSelection`"
)
_PLACE: dict[str, Rule] = {
    "nodeName": text(unset_or(dns_subdomain)),
    "nodeSelector": node_selector,
    "allNodes": only_true,
}
_DEVICE: dict[str, Rule] = {
    "name": always(text(dns_label), ""),
    "attributes": mapped(attribute_name, always(_ATTRIBUTE, {}), key_most=ATTRIBUTE_NAME_MAX),
    "consumesCounters": listed(
        obj({"counterSet": required(text(dns_label)), "counters": _counters}), CONSUMPTIONS_MAX, by("counterSet")
    ),
    "bindsToNode": flag,
    **binding_fields,
    "allowMultipleAllocations": flag,
    "nodeAllocatableResourceMappings": mapped(_any_key, _MAPPING_1_36),
    "nodeAllocatableResources": mapped(_any_key, _NODE_RESOURCE),
}


# -- the spec


def _one_term(value: Any, path: str) -> Iterator[Finding]:
    """A slice's own selector has one term, so that selectors of several slices can be joined."""
    yield from node_selector(value, path)
    terms = mapping(value).get("nodeSelectorTerms")
    if value is not None and len(terms if isinstance(terms, list) else ()) != 1:
        yield finding(child(path, "nodeSelectorTerms"), INVALID, terms, "must have exactly one node selector term")


def _skips(value: Json, path: str) -> Iterator[Finding]:
    skipped = value.get("skipNodeOperations") or ()
    if "NodePrepareResources" in skipped and not {"NodeUnprepareResources", "*"} & set(map(str, skipped)):
        at = child(path, "skipNodeOperations")
        yield finding(at, INVALID, ", ".join(map(str, skipped)), "to skip preparing, skip unpreparing too")


def _partition_types(value: Json, path: str) -> Iterator[Finding]:
    """Every device that consumes counters says what type of partition it is."""
    name = value.get("partitionTypeAttribute")
    if name is None or any(full_attribute_name(name)):
        return
    consumers = [(i, d) for i, d in enumerate(items(value.get("devices"))) if d.get("consumesCounters")]
    if not consumers:
        yield finding(child(path, "partitionTypeAttribute"), INVALID, name, "no device of this slice consumes counters")
    for index, device in consumers:
        attributes = mapping(device.get("attributes"))
        attribute = attributes.get(name) or attributes.get(name.removeprefix(f"{value.get('driver')}/"))
        at = f"{child(path, 'devices')}[{index}].attributes[{name}]"
        if attribute is None:
            yield finding(at, REQUIRED, None, "partitionTypeAttribute names it and the device consumes counters")
        elif not is_set(mapping(attribute).get("string")) and mapping(attribute).get("string") != "":
            yield finding(at, INVALID, shown(attribute), "must be a string, because partitionTypeAttribute names it")


_SPEC: dict[str, Rule] = {
    "driver": always(text(driver_name), ""),
    "pool": always(
        obj(
            {
                "name": always(text(pool_name), ""),
                "resourceSliceCount": always(whole(least=1), 0),
                "generation": whole(least=0),
            }
        ),
        {},
    ),
    "nodeName": text(unset_or(dns_subdomain)),
    "nodeSelector": _one_term,
    "allNodes": only_true,
    "perDeviceNodeSelection": only_true,
    "sharedCounters": listed(
        obj({"name": required(text(dns_label)), "counters": _counters}), COUNTER_SETS_MAX, by("name")
    ),
    "partitionTypeAttribute": text(full_attribute_name),
    "skipNodeOperations": listed(text(), key=str),
}
_SPEC_TOGETHER: tuple[Rule, ...] = (
    exactly_one(
        (*_PLACES, "perDeviceNodeSelection"),
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required",
    ),
    _either,
    _skips,
    _partition_types,
)
