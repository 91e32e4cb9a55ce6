"""Nobody shares a device that keeps nobody apart with another tenant, or one that isolates less than was asked for.

A tenant is a namespace. A device of which several claims have shares keeps them apart only where the hardware cuts it
(partitions) or the kernel does (CPUs, network interfaces); time slicing and MPS without a memory limit keep nobody
apart, MPS with one only memory. Who has all of a device shares it with nobody.
"""

from __future__ import annotations

from collections.abc import Iterator

from bayplan.audit.aftermath import Aftermath, Given, Placed
from bayplan.audit.findings import Finding, IsolationTooWeak, TenantsMixed
from bayplan.audit.pools import DeviceId
from bayplan.model.device import AllocationResult, Device, DeviceRequestAllocationResult
from bayplan.model.isolation import Isolation

CUT_BY_HARDWARE = {"mig", "amdgpu-partition", "vf"}
CUT_BY_KERNEL = {"dra.cpu", "dra.memory", "dra.net"}


def audit_isolation(after: Aftermath) -> Iterator[Finding]:
    if not after.policy.share_between_tenants:
        yield from _mixed(after)
    for placed in after.placed:
        wanted = _wanted(after, placed)
        if wanted is not Isolation.NONE:
            yield from _weak(placed, wanted)


def _mixed(after: Aftermath) -> Iterator[TenantsMixed]:
    new: dict[DeviceId, list[str]] = {}
    tenants: dict[DeviceId, list[str]] = {}
    for given in after.given.values():
        for identity, device, result in _taken(given):
            if _apart(device, result) is Isolation.NONE:
                new.setdefault(identity, []).append(given.claim)
                tenants.setdefault(identity, []).append(given.namespace)
    for pool in {identity[:2]: None for identity in new}:
        for claim, allocation in after.holding(pool):
            for result in allocation.devices.results:
                identity = result.driver, result.pool, result.device
                if identity in new and identity[:2] == pool and not result.admin_access:
                    tenants[identity].append(claim.partition("/")[0])
    for identity, claims in new.items():
        met = tuple(sorted({*tenants[identity]}))
        if len(met) > 1:
            yield TenantsMixed("/".join(identity), claims[-1], met)


def _weak(placed: Placed, wanted: Isolation) -> Iterator[IsolationTooWeak]:
    for given in placed.given:
        for identity, device, result in _taken(given):
            settings = [_of_settings(s) for s in _settings(given.allocation, result)]
            found = min((_apart(device, result), *settings), key=_STEPS.index)
            if _STEPS.index(found) < _STEPS.index(wanted):
                yield IsolationTooWeak(given.claim, "/".join(identity), found, wanted)


_STEPS = (Isolation.NONE, Isolation.MEMORY_LIMIT, Isolation.HARDWARE)


def _wanted(after: Aftermath, placed: Placed) -> Isolation:
    """The most of what the pod, its LocalQueue and its ClusterQueue ask for."""
    snapshot, workload = after.snapshot, placed.workload
    asked = placed.pod_set.template.isolation
    if not workload.queue_name and workload.admission is None:
        return asked
    local = snapshot.local_queues.get(f"{workload.namespace}/{workload.queue_name}")
    queue = snapshot.cluster_queues.get(
        workload.admission.cluster_queue if workload.admission else local.spec.cluster_queue if local else ""
    )
    others = [source.isolation for source in (local, queue) if source is not None]
    return max((asked, *others), key=_STEPS.index)


def _taken(given: Given) -> Iterator[tuple[DeviceId, Device, DeviceRequestAllocationResult]]:
    for served in given.served:
        if served.seen is not None and not served.result.admin_access:
            yield served.identity, served.seen.device, served.result


def _apart(device: Device, result: DeviceRequestAllocationResult) -> Isolation:
    """What the device itself puts between the claims that have it."""
    if not device.allow_multiple_allocations:
        return Isolation.HARDWARE
    kind = device.attributes.get("type")
    if kind is not None and kind.string in CUT_BY_HARDWARE:
        return Isolation.HARDWARE
    if result.driver in CUT_BY_KERNEL:
        return Isolation.MEMORY_LIMIT
    consumed = {name: amount.nano for name, amount in result.consumed_capacity.items()}
    rest = [c.value.nano - consumed.get(name, 0) for name, c in device.capacity.items()]
    return Isolation.HARDWARE if consumed and max(rest) <= 0 else Isolation.NONE


def _settings(allocation: AllocationResult, result: DeviceRequestAllocationResult) -> Iterator[dict[str, object]]:
    """The drivers' `sharing` settings that concern a result."""
    for entry in allocation.devices.config:
        concerned = not entry.requests or {result.request, result.request.partition("/")[0]} & {*entry.requests}
        if concerned and entry.opaque is not None and entry.opaque.driver == result.driver:
            sharing = entry.opaque.parameters.get("sharing") if isinstance(entry.opaque.parameters, dict) else None
            if isinstance(sharing, dict):
                yield sharing


def _of_settings(sharing: dict[str, object]) -> Isolation:
    match sharing:
        case {"strategy": "TimeSlicing"}:
            return Isolation.NONE
        case {"strategy": "MPS", "mpsConfig": {"defaultPinnedDeviceMemoryLimit": limit}} if limit:
            return Isolation.MEMORY_LIMIT
        case {"strategy": "MPS", "mpsConfig": {"defaultPerDevicePinnedMemoryLimit": limit}} if limit:
            return Isolation.MEMORY_LIMIT
        case {"strategy": "MPS"}:
            return Isolation.NONE
    return Isolation.HARDWARE
