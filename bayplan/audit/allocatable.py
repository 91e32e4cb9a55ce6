"""What the devices of each pod take of their node's cores and memory (KEP-5517), added up from allocations.

Each allocated device counts as its driver declares: a multiple of the capacity consumed, or an amount per device, and
overhead per pod and per container that refers to the claim.
"""

from __future__ import annotations

from collections.abc import Iterator

from bayplan.audit.aftermath import Aftermath, Placed
from bayplan.audit.pools import Pools
from bayplan.model.device import (
    AllocationResult,
    DeviceRequestAllocationResult,
    NodeAllocatableResource,
    ResourceSlice,
)
from bayplan.model.quantity import Quantity
from bayplan.model.workload import Amounts, Pod

UNIT = 10**9

_last: list[tuple[tuple[ResourceSlice, ...], bool]] = [((), False)]


def _declared(slices: tuple[ResourceSlice, ...]) -> bool:
    """Whether any device costs its node anything; known by identity, for slices hardly ever change."""
    if _last[0][0] is not slices:
        _last[0] = slices, any(d.node_allocatable_resources for s in slices for d in s.spec.devices)
    return _last[0][1]


class Allocatable:
    def __init__(self, after: Aftermath, pools: Pools) -> None:
        self._after, self._pools = after, pools
        self._on = "DRANodeAllocatableResources" in after.policy.features and _declared(after.snapshot.slices)

    def staying(self, pod: Pod) -> Amounts:
        if not self._on:
            return ()
        users = dict(pod.containers)
        held = ((self._after.held(key), users.get(name, 1)) for name, key in pod.claims)
        return self._sum(pod.node, [(has, many) for has, many in held if has is not None])

    def placed(self, placed: Placed) -> Amounts:
        """Of a pod that is placed now, for the claims that are allocated with it."""
        if not self._on:
            return ()
        users = {c.name: c.containers for c in placed.pod_set.template.claims}
        held = [(c.allocation, users.get(c.name, 1)) for c in placed.placement.claims]
        return self._sum(placed.placement.node, held)

    def _sum(self, node: str, held: list[tuple[AllocationResult, int]]) -> Amounts:
        nanos: dict[str, int] = {}
        for allocation, containers in held:
            for result in allocation.devices.results:
                for resource, nano in self._device(node, result, containers):
                    nanos[resource] = nanos.get(resource, 0) + nano
        amounts = {r: -(-n // (UNIT // 1000 if r == "cpu" else UNIT)) for r, n in nanos.items()}
        return tuple(sorted(amounts.items()))

    def _device(self, node: str, result: DeviceRequestAllocationResult, containers: int) -> Iterator[tuple[str, int]]:
        found = self._pools.find((result.driver, result.pool, result.device), node)
        if isinstance(found, str) or result.admin_access:
            return
        capacity = {n: c.value for n, c in found.device.capacity.items()} | result.consumed_capacity
        for resource, declared in found.device.node_allocatable_resources.items():
            yield resource, _mapped(declared, capacity) + _overhead(declared, containers)


def _mapped(declared: NodeAllocatableResource, capacity: dict[str, Quantity]) -> int:
    mapping = declared.mapping
    if mapping is None:
        return 0
    if not mapping.capacity_key:
        return mapping.device_multiplier.nano if mapping.device_multiplier else 0
    factor = mapping.capacity_multiplier.nano if mapping.capacity_multiplier else UNIT
    base = capacity.get(mapping.capacity_key)
    return base.nano * factor // UNIT if base else 0


def _overhead(declared: NodeAllocatableResource, containers: int) -> int:
    overhead = declared.overhead
    if overhead is None:
        return 0
    per_pod = overhead.per_pod.nano if overhead.per_pod else 0
    return per_pod + containers * (overhead.per_container.nano if overhead.per_container else 0)
