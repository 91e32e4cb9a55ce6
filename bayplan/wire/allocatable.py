"""What devices hand out or cost of their node's own resources (KEP-5517), as 1.36 and as 1.37 spell it.

1.36 has `nodeAllocatableResourceMappings` on a device and `resources` in a pod's status, 1.37 has
`nodeAllocatableResources` there and `mapping` and `overhead` here. Devices are read as 1.37's; a status says both, and
an API server keeps what it knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.model.device import (
    AllocationResult,
    Device,
    NodeAllocatableOverhead,
    NodeAllocatableResource,
    ResourceSlice,
)
from bayplan.model.quantity import NANO, Quantity
from bayplan.wire.pods import PodSpec
from bayplan.wire.read import Json

DeviceId = tuple[str, str, str]

MAPPINGS = "nodeAllocatableResourceMappings"


def modern(device: Any) -> Any:
    """A device of 1.36 in 1.37's shape."""
    if not isinstance(device, dict) or not isinstance(device.get(MAPPINGS), dict):
        return device
    mapped = {resource: {"mapping": _mapping(entry)} for resource, entry in device[MAPPINGS].items()}
    return {k: v for k, v in device.items() if k != MAPPINGS} | {"nodeAllocatableResources": mapped}


def _mapping(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    multiplier = "capacityMultiplier" if entry.get("capacityKey") else "deviceMultiplier"
    return {multiplier if k == "allocationMultiplier" else k: v for k, v in entry.items()}


def declaring(slices: Iterable[ResourceSlice]) -> dict[DeviceId, Device]:
    """The devices that hand out or cost some of their node, of the newest generation of their pools."""
    specs = sorted((s.spec for s in slices), key=lambda s: s.pool.generation)
    return {(s.driver, s.pool.name, d.name): d for s in specs for d in s.devices if d.node_allocatable_resources}


def statuses(
    spec: PodSpec, given: Mapping[str, tuple[str, AllocationResult]], devices: Mapping[DeviceId, Device]
) -> list[Json]:
    """`status.nodeAllocatableResourceClaimStatuses` of a pod; `given` is the object and the devices behind each claim.

    A claim that no container refers to is left out: the API takes none.
    """
    found = []
    for name, (claim, allocation) in given.items():
        users = [
            c.name for c in (*spec.init_containers, *spec.containers) if any(r.name == name for r in c.resources.claims)
        ]
        says = _sum(allocation, devices)
        if users and says:
            found.append({"resourceClaimName": claim, "containers": users} | says)
    return sorted(found, key=lambda s: s["resourceClaimName"])


def _sum(allocation: AllocationResult, devices: Mapping[DeviceId, Device]) -> dict[str, Any]:
    mapped: dict[str, int] = {}
    per_pod: dict[str, int] = {}
    per_container: dict[str, int] = {}
    for result in allocation.devices.results:
        device = devices.get((result.driver, result.pool, result.device))
        if device is None or result.admin_access:
            continue
        capacity = {n: c.value for n, c in device.capacity.items()} | result.consumed_capacity
        for resource, declared in device.node_allocatable_resources.items():
            mapped[resource] = mapped.get(resource, 0) + _mapped(declared, capacity)
            overhead = declared.overhead or NodeAllocatableOverhead()
            for sums, quantity in ((per_pod, overhead.per_pod), (per_container, overhead.per_container)):
                if quantity is not None:
                    sums[resource] = sums.get(resource, 0) + quantity.nano
    mapping = {r: _quantity(r, n) for r, n in sorted(mapped.items()) if n}
    parts = ("perPod", per_pod), ("perContainer", per_container)
    costs = [{"name": r} | {k: _quantity(r, s[r]) for k, s in parts if r in s} for r in sorted(per_pod | per_container)]
    said: dict[str, Any] = {}
    if mapping:
        said |= {"resources": mapping, "mapping": [{"name": r, "quantity": q} for r, q in mapping.items()]}
    return said | ({"overhead": costs} if costs else {})


def _mapped(declared: NodeAllocatableResource, capacity: Mapping[str, Quantity]) -> int:
    mapping = declared.mapping
    if mapping is None:
        return 0
    if not mapping.capacity_key:
        return mapping.device_multiplier.nano if mapping.device_multiplier is not None else 0
    factor = mapping.capacity_multiplier.nano if mapping.capacity_multiplier is not None else NANO
    return capacity[mapping.capacity_key].nano * factor // NANO if mapping.capacity_key in capacity else 0


def _quantity(resource: str, nano: int) -> str:
    is_bytes = resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-")
    return str(Quantity(nano, "BinarySI" if is_bytes else "DecimalSI"))
