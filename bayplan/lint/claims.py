"""ResourceClaim and ResourceClaimTemplate: what may be asked, and what may be written into a claim's status.

KEP-4381, prioritised lists 4816, capacity requests 5075, device status 4817; limits of resource.k8s.io/v1 `types.go`.
A spec never changes once made; an allocation never changes once written, and is judged only when it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayplan.lint.common import (
    CONFIGS_MAX,
    TOLERATIONS_MAX,
    Gates,
    binding_conditions,
    binding_fields,
    conditions,
    configuration,
    node_selector,
    parameters,
    selectors,
    toleration,
)
from bayplan.lint.formats import (
    at_most,
    attribute_name,
    dns_label,
    dns_subdomain,
    driver_name,
    filled,
    full_attribute_name,
    interface_address,
    pool_name,
    uid,
)
from bayplan.lint.rules import (
    FORBIDDEN,
    INVALID,
    REQUIRED,
    UNSUPPORTED,
    Finding,
    Format,
    Json,
    Problem,
    Rule,
    always,
    by,
    child,
    choice,
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
    problems,
    quantity,
    required,
    text,
    whole,
)

REQUESTS_MAX = 32
CONSTRAINTS_MAX = 32
ALTERNATIVES_MAX = 8
RESULTS_MAX = 32
RESERVED_FOR_MAX = 256
NETWORK_ADDRESSES_MAX = 16
INTERFACE_NAME_BYTES_MAX = 256
HARDWARE_ADDRESS_BYTES_MAX = 128


def claim_spec(gates: Gates) -> Rule:
    """The spec of a claim."""
    return always(obj({"devices": always(_devices(gates), {})}), {})


def _devices(gates: Gates) -> Rule:
    def check(value: Any, path: str) -> Iterator[Finding]:
        refs = _request_refs(request_names(mapping(value)))
        fields = {
            "requests": listed(_request(gates), REQUESTS_MAX, by("name")),
            "constraints": listed(_constraint(gates, refs), CONSTRAINTS_MAX),
            "config": listed(configuration({"requests": refs}), CONFIGS_MAX),
        }
        yield from obj(fields)(value, path)

    return check


def request_names(devices: Json) -> frozenset[str]:
    """What constraints, config and results may refer to: `request` and `request/subrequest`."""
    names: list[str] = []
    for request in items(devices.get("requests")):
        name = str(request.get("name") or "")
        names += [name, *(f"{name}/{sub.get('name') or ''}" for sub in items(request.get("firstAvailable")))]
    return frozenset(names)


def _request_ref(names: frozenset[str]) -> Format:
    def form(ref: str) -> Iterator[Problem]:
        parts = ref.split("/")
        if len(parts) <= 2:
            for part in parts:
                yield from dns_label(part)
        if len(parts) > 2 or ref not in names:
            yield INVALID, "must name a request of the claim, or a request and a subrequest with a '/' between them"

    return form


def _request_refs(names: frozenset[str]) -> Rule:
    return listed(text(_request_ref(names)), REQUESTS_MAX, key=str)


# -- requests


def _request(gates: Gates) -> Rule:
    asked = _asked(gates)
    exactly = obj({**asked, "adminAccess": flag}, _mode)
    alternative = obj({"name": always(text(dns_label), ""), **asked}, _mode)
    alternatives = listed(alternative, ALTERNATIVES_MAX, by("name"))
    one = exactly_one(("exactly", "firstAvailable"), "exactly one of `exactly` or `firstAvailable` is required")

    def check(value: Any, path: str) -> Iterator[Finding]:
        request = mapping(value)
        both = all(is_set(request.get(name)) for name in ("exactly", "firstAvailable"))
        forms = {"exactly": exactly, "firstAvailable": alternatives}
        fields: dict[str, Rule] = {"name": always(text(dns_label), "")}
        fields |= dict.fromkeys(forms, _unread) if both else forms
        yield from obj(fields, one)(value, path)

    return check


def _unread(value: Any, path: str) -> Iterator[Finding]:
    """Of two that exclude one another neither is looked into."""
    yield from ()


def _asked(gates: Gates) -> dict[str, Rule]:
    """What `exactly` and an alternative have in common."""
    return {
        "deviceClassName": always(text(filled(dns_subdomain)), ""),
        "selectors": selectors(gates),
        "allocationMode": text(),
        "count": whole(),
        "tolerations": listed(toleration, TOLERATIONS_MAX),
        "capacity": obj({"requests": mapped(attribute_name, quantity)}),
    }


def _mode(value: Json, path: str) -> Iterator[Finding]:
    mode, count, at = value.get("allocationMode") or "", value.get("count") or 0, child(path, "count")
    if mode == "ExactCount":
        if count <= 0:
            yield finding(at, INVALID, count, "must be greater than zero")
    elif mode == "All":
        if count:
            yield finding(at, INVALID, count, "must not be specified when allocationMode is 'All'")
    else:
        yield finding(child(path, "allocationMode"), UNSUPPORTED, mode, 'supported values: "All", "ExactCount"')


def _constraint(gates: Gates, refs: Rule) -> Rule:
    def one_attribute(value: Json, path: str) -> Iterator[Finding]:
        for name in ("matchAttribute", "distinctAttribute"):
            if value.get(name) is not None:
                yield from problems(full_attribute_name, value[name], child(path, name))
                return
        if gates.consumable_capacity:
            need = "exactly one of `matchAttribute` or `distinctAttribute` is required"
            yield finding(path, REQUIRED, None, need)
        else:
            yield finding(child(path, "matchAttribute"), REQUIRED)

    return obj({"requests": refs, "matchAttribute": text(), "distinctAttribute": text()}, one_attribute)


# -- status


def claim_status(new: Json, old: Json, path: str = "status") -> Iterator[Finding]:
    """What a claim's status may become; `new` and `old` are whole claims."""
    status, before = mapping(new.get("status")), mapping(old.get("status"))
    names = request_names(mapping(mapping(new.get("spec")).get("devices")))
    allocation = _allocation(names) if before.get("allocation") is None else _kept_allocation(before["allocation"])
    fields: dict[str, Rule] = {
        "reservedFor": listed(_CONSUMER, RESERVED_FOR_MAX, by("uid")),
        "devices": listed(_device_status(_allocated(status)), key=_device_key),
        "allocation": allocation,
    }
    yield from obj(fields)(status, path)
    yield from _reservations(new, status, before, child(path, "reservedFor"))


def _reservations(new: Json, status: Json, before: Json, path: str) -> Iterator[Finding]:
    reserved = status.get("reservedFor") or []
    if not reserved:
        return
    if status.get("allocation") is None:
        yield finding(path, FORBIDDEN, None, "may not be specified while nothing is allocated")
    elif mapping(new.get("metadata")).get("deletionTimestamp"):
        known = before.get("reservedFor") or []
        if any(each not in known for each in reserved):
            yield finding(path, FORBIDDEN, None, "no new entries once the claim is being deleted")


_CONSUMER = obj({"apiGroup": text(), "resource": required(text()), "name": required(text()), "uid": required(text())})


def _kept_allocation(old: Any) -> Rule:
    def check(value: Any, path: str) -> Iterator[Finding]:
        if value is not None:
            yield from immutable(old)(value, path)

    return check


def _allocation(names: frozenset[str]) -> Rule:
    refs = _request_refs(names)
    result = obj(
        {
            "request": always(text(_request_ref(names)), ""),
            "driver": always(text(driver_name), ""),
            "pool": always(text(pool_name), ""),
            "device": always(text(dns_label), ""),
            "adminAccess": flag,
            "tolerations": listed(toleration, TOLERATIONS_MAX),
            **binding_fields,
            "shareID": text(uid),
            "consumedCapacity": mapped(attribute_name, quantity),
        },
        binding_conditions,
    )
    source = required(choice("FromClaim", "FromClass"))
    devices = obj(
        {
            "results": listed(result, RESULTS_MAX),
            "config": listed(configuration({"source": source, "requests": refs}), 2 * CONFIGS_MAX),
        }
    )
    return obj({"devices": devices, "nodeSelector": node_selector, "allocationTimestamp": text()})


def _device_key(device: Any) -> tuple[str, ...]:
    return tuple(str(mapping(device).get(name) or "") for name in ("driver", "pool", "device", "shareID"))


def _allocated(status: Json) -> frozenset[tuple[str, ...]]:
    devices = mapping(mapping(status.get("allocation")).get("devices"))
    return frozenset(map(_device_key, items(devices.get("results"))))


def _device_status(allocated: frozenset[tuple[str, ...]]) -> Rule:
    def is_allocated(value: Json, path: str) -> Iterator[Finding]:
        key = _device_key(value)
        if key not in allocated:
            yield finding(path, INVALID, "/".join(filter(None, key)), "must be an allocated device in the claim")

    return obj(
        {
            "driver": always(text(driver_name), ""),
            "pool": always(text(pool_name), ""),
            "device": always(text(dns_label), ""),
            "shareID": text(uid),
            "conditions": conditions(),
            "data": parameters(required=False),
            "networkData": _NETWORK,
        },
        is_allocated,
    )


_NETWORK = obj(
    {
        "interfaceName": text(at_most(INTERFACE_NAME_BYTES_MAX)),
        "hardwareAddress": text(at_most(HARDWARE_ADDRESS_BYTES_MAX)),
        "ips": listed(text(interface_address), NETWORK_ADDRESSES_MAX, key=str),
    }
)
