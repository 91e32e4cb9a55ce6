"""resource.k8s.io into the model: v1 as it is, older spellings by translation (v1beta2 is v1's shape)."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from bayplan.model.device import (
    DeviceClass,
    DeviceTaintRule,
    ResourceClaim,
    ResourceClaimTemplate,
    ResourceSlice,
)
from bayplan.wire.allocatable import MAPPINGS, modern
from bayplan.wire.errors import Malformed
from bayplan.wire.meta import timestamp
from bayplan.wire.read import Json, parsed, read

T = TypeVar("T")

_BETA = ("resource.k8s.io/v1beta1", "resource.k8s.io/v1alpha3")
_FLAT = ("deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity")


def resource_slice(source: bytes | Json) -> ResourceSlice:
    """Raises Malformed, as all of these."""
    if isinstance(source, bytes) and MAPPINGS.encode() not in source:
        return _read(source, ResourceSlice)
    obj = parsed(source)
    spec = obj.get("spec")
    if isinstance(spec, dict) and isinstance(spec.get("devices"), list):
        devices = [modern(_modern_device(d)) for d in spec["devices"]]
        obj = {**obj, "spec": {**spec, "devices": devices}}
    return _read(obj, ResourceSlice)


def device_class(source: bytes | Json) -> DeviceClass:
    return _read(source, DeviceClass)


def resource_claim(source: bytes | Json) -> ResourceClaim:
    claim = _read(source, ResourceClaim)
    allocation = claim.status.allocation
    if allocation is None or not allocation.allocation_timestamp:
        return claim
    path = "status.allocation.allocationTimestamp"
    try:
        at_s = timestamp(allocation.allocation_timestamp, path)
    except Malformed as error:
        raise error.of(f"ResourceClaim {claim.metadata.key}") from error
    return msgspec.structs.replace(claim, status=msgspec.structs.replace(claim.status, allocated_s=at_s))


def resource_claim_template(source: bytes | Json) -> ResourceClaimTemplate:
    return _read(source, ResourceClaimTemplate)


def device_taint_rule(source: bytes | Json) -> DeviceTaintRule:
    return _read(source, DeviceTaintRule)


def _read(source: bytes | Json, kind: type[T]) -> T:
    if isinstance(source, bytes) and b"v1beta1" not in source and b"v1alpha3" not in source:
        return read(source, kind)
    obj = parsed(source)
    if obj.get("apiVersion") in _BETA and isinstance(obj.get("spec"), dict):
        obj = {**obj, "spec": _modern(obj["spec"])}
    return read(obj, kind)


def _modern(spec: dict[str, Any]) -> dict[str, Any]:
    """A v1beta1 spec (of a slice, a claim or a claim template) in v1's shape."""
    devices = spec.get("devices")
    if isinstance(devices, list):
        return {**spec, "devices": [_modern_device(d) for d in devices]}
    if isinstance(devices, dict) and isinstance(devices.get("requests"), list):
        return {**spec, "devices": {**devices, "requests": [_modern_request(r) for r in devices["requests"]]}}
    if isinstance(spec.get("spec"), dict):
        return {**spec, "spec": _modern(spec["spec"])}
    return spec


def _modern_device(device: Any) -> Any:
    if not isinstance(device, dict) or not isinstance(device.get("basic"), dict):
        return device
    basic = device["basic"]
    capacity = basic.get("capacity")
    if isinstance(capacity, dict):
        # v1alpha3 held the bare quantity.
        basic = {**basic, "capacity": {k: v if isinstance(v, dict) else {"value": v} for k, v in capacity.items()}}
    return {k: v for k, v in device.items() if k != "basic"} | basic


def _modern_request(request: Any) -> Any:
    if not isinstance(request, dict) or "deviceClassName" not in request:
        return request
    flat = {k: v for k, v in request.items() if k in _FLAT}
    return {k: v for k, v in request.items() if k not in _FLAT} | {"exactly": flat}
