"""The kinds of resource.k8s.io as one table: how each is checked when it is made, changed, or its status is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from bayplan.lint.claims import claim_spec, claim_status
from bayplan.lint.common import (
    CONFIGS_MAX,
    Gates,
    conditions,
    configuration,
    metadata,
    metadata_update,
    selectors,
    taint,
    template_metadata,
)
from bayplan.lint.formats import (
    at_most,
    dns_label,
    dns_subdomain,
    driver_name,
    extended_resource,
    pool_name,
    unset_or,
)
from bayplan.lint.rules import (
    Finding,
    Json,
    Rule,
    always,
    anything,
    immutable,
    listed,
    mapping,
    obj,
    required,
    text,
    whole,
)
from bayplan.lint.slices import slice_spec

GROUP = "resource.k8s.io"
POOL_LIMIT_MAX = 1000
POOL_CONDITIONS_MAX = 10
POOL_ERROR_BYTES_MAX = 256

Check = Callable[[Json, Gates], Iterator[Finding]]
Change = Callable[[Json, Json, Gates], Iterator[Finding]]


class Kind(NamedTuple):
    """The checks of one kind; a kind without `status` has none."""

    namespaced: bool
    create: Check
    update: Change
    status: Change | None = None


def _object(meta: Rule, spec: Rule) -> Rule:
    """A whole object. Status has its own rules: it is written apart, and ignored on create."""
    return obj({"apiVersion": text(), "kind": text(), "metadata": meta, "spec": spec, "status": anything})


# -- ResourceSlice


def _new_slice(new: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata(False), slice_spec(None))(new, "")


def _changed_slice(new: Json, old: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata_update(old), slice_spec(mapping(old.get("spec"))))(new, "")


# -- DeviceClass


def _new_class(new: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata(False), _class_spec({}, gates))(new, "")


def _changed_class(new: Json, old: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata_update(old), _class_spec(mapping(old.get("spec")), gates))(new, "")


def _class_spec(old: Json, gates: Gates) -> Rule:
    """Selectors and config that stay as they were stored are not judged by limits that came later."""

    def check(value: Json, path: str) -> Iterator[Finding]:
        spec = mapping(value)
        is_stored = bool(old) and spec.get("config") == old.get("config")
        choose = selectors(gates) if not old or spec.get("selectors") != old.get("selectors") else anything
        fields: dict[str, Rule] = {
            "selectors": choose,
            "config": listed(configuration({}, is_stored), CONFIGS_MAX),
            "extendedResourceName": text(extended_resource),
        }
        yield from obj(fields)(value, path)

    return always(check, {})


# -- ResourceClaim, ResourceClaimTemplate


def _new_claim(new: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata(True), claim_spec(gates))(new, "")


def _changed_claim(new: Json, old: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata_update(old), immutable(old.get("spec")))(new, "")


def _claim_status(new: Json, old: Json, gates: Gates) -> Iterator[Finding]:
    yield from always(metadata_update(old), {})(new.get("metadata"), "metadata")
    yield from claim_status(new, old)


def _new_template(new: Json, gates: Gates) -> Iterator[Finding]:
    spec = always(obj({"metadata": template_metadata, "spec": claim_spec(gates)}), {})
    yield from _object(metadata(True), spec)(new, "")


# -- DeviceTaintRule


def _new_taint_rule(new: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata(False), _taint_spec({}))(new, "")


def _changed_taint_rule(new: Json, old: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata_update(old), _taint_spec(mapping(old.get("spec"))))(new, "")


def _taint_spec(old: Json) -> Rule:
    chosen = obj({"driver": text(driver_name), "pool": text(pool_name), "device": text(dns_label)})
    return always(obj({"deviceSelector": chosen, "taint": always(taint(old.get("taint")), {})}), {})


def _status_conditions(new: Json, old: Json, gates: Gates) -> Iterator[Finding]:
    yield from metadata_update(old)(new.get("metadata"), "metadata")
    yield from conditions()(mapping(new.get("status")).get("conditions"), "status.conditions")


# -- ResourcePoolStatusRequest

_POOL_QUERY = always(
    obj(
        {
            "driver": required(text(driver_name)),
            "poolName": text(pool_name),
            "limit": whole(least=1, most=POOL_LIMIT_MAX),
        }
    ),
    {},
)


def _new_pool_query(new: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata(False), _POOL_QUERY)(new, "")


def _changed_spec(new: Json, old: Json, gates: Gates) -> Iterator[Finding]:
    yield from _object(metadata_update(old), immutable(old.get("spec")))(new, "")


_COUNT = whole(least=0)
_COUNTS = [
    "generation",
    "resourceSliceCount",
    "totalDevices",
    "allocatedDevices",
    "availableDevices",
    "unavailableDevices",
]
_POOL = obj(
    {
        "driver": required(text(driver_name)),
        "poolName": required(text(pool_name)),
        "nodeName": text(unset_or(dns_subdomain)),
        "validationError": text(at_most(POOL_ERROR_BYTES_MAX)),
        **dict.fromkeys(_COUNTS, _COUNT),
    }
)
_POOL_ANSWER = obj(
    {
        "poolCount": _COUNT,
        "pools": listed(_POOL, POOL_LIMIT_MAX),
        "conditions": conditions(POOL_CONDITIONS_MAX),
    }
)


def _pool_status(new: Json, old: Json, gates: Gates) -> Iterator[Finding]:
    """An answer is written once, and judged only then."""
    yield from metadata_update(old)(new.get("metadata"), "metadata")
    answer = _POOL_ANSWER if old.get("status") is None else immutable(old["status"])
    yield from answer(new.get("status"), "status")


KINDS: dict[str, Kind] = {
    "ResourceSlice": Kind(False, _new_slice, _changed_slice),
    "ResourceClaim": Kind(True, _new_claim, _changed_claim, _claim_status),
    "ResourceClaimTemplate": Kind(True, _new_template, _changed_spec),
    "DeviceClass": Kind(False, _new_class, _changed_class),
    "DeviceTaintRule": Kind(False, _new_taint_rule, _changed_taint_rule, _status_conditions),
    "ResourcePoolStatusRequest": Kind(False, _new_pool_query, _changed_spec, _pool_status),
}
