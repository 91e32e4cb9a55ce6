"""Claims that have devices and no running pod: whether those can be used yet, and whether anybody is about to.

Devices are allocated before their pod is bound. Some must be made ready in between (binding conditions, KEP-5007), and
sometimes the pod cannot be bound after all. Who waits for anything else holds no devices: they are freed, and found
anew when its turn comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bayplan.core import census
from bayplan.model.device import DeviceRequestAllocationResult, ResourceClaim
from bayplan.model.plan import AnyDecision, Deallocate, Hold, Place
from bayplan.model.reason import DeviceBindingFailed, WaitingForDevices
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod

Blocked = WaitingForDevices | DeviceBindingFailed


def blocked(snapshot: Snapshot, pods: Iterable[Pod], *, now_s: int, timeout_s: int) -> Blocked | None:
    """Why the devices that these pods have cannot be used yet: one that never will be first, else the longest wait."""
    held = (snapshot.claims.get(key) for p in pods if not p.node for _, key in p.claims)
    found = [b for c in held if c is not None for b in _of_claim(c, now_s, timeout_s)]
    return max(found, key=_gravity, default=None)


def left_behind(snapshot: Snapshot) -> dict[str, str]:
    """Claims of groups all of whose pods are gone, and the pending workload that each is for.

    Such a claim outlives the pods that used it. When the gang was ended for others, its devices are for them.
    """
    found: dict[str, str] = {}
    for name, workload in snapshot.workloads.items():
        if workload.admission is None:
            for key in (c.claim for s in workload.pod_sets for c in s.template.claims if c.claim):
                claim = snapshot.claims.get(key)
                if claim is not None and _serves_only(claim, {}):
                    found.setdefault(key, name)
    return {key: name for key, name in found.items() if not census.users(snapshot, key)}


def deallocations(
    snapshot: Snapshot, decisions: Iterable[AnyDecision], left: Mapping[str, str]
) -> Iterator[Deallocate]:
    """Frees what was `left` behind, and what is allocated for pods that this plan neither binds nor keeps waiting.

    Only a claim all of whose consumers are such pods: one with a running pod, or a stranger's, is in use.
    """
    served: set[str] = set()
    awaiting: set[str] = set()
    for decision in decisions:
        if isinstance(decision, Place):
            served.update(p.pod for p in decision.pods)
        elif isinstance(decision, Hold) and any(isinstance(r, WaitingForDevices) for r in decision.reasons):
            awaiting.add(decision.workload)
    idle: dict[str, Pod] = {}
    for key, pod in census.waiting(snapshot).items():
        known = pod.claims and pod.workload in snapshot.workloads
        if known and key not in served and pod.workload not in awaiting:
            idle[pod.uid] = pod
    freed: dict[str, dict[str, None]] = {}
    for key, name in left.items():
        freed.setdefault(name, {})[key] = None
    for pod in idle.values():
        for _, key in pod.claims:
            claim = snapshot.claims.get(key)
            if claim is not None and _serves_only(claim, idle) and not _in_use(snapshot, key, claim, idle):
                freed.setdefault(pod.workload, {})[key] = None
    told: set[str] = set()
    for workload, claims in sorted(freed.items()):
        mine = tuple(k for k in sorted(claims) if k not in told)
        told.update(mine)
        if mine:
            yield Deallocate(workload, mine, snapshot.workloads[workload].resource_version)


def _serves_only(claim: ResourceClaim, pods: dict[str, Pod]) -> bool:
    """Whether it is allocated and reserved, and for none but these (by uid) and groups."""
    status = claim.status
    known = (r.uid in pods or r.of_group for r in status.reserved_for)
    return status.allocation is not None and bool(status.reserved_for) and all(known)


def _in_use(snapshot: Snapshot, key: str, claim: ResourceClaim, pods: Mapping[str, Pod]) -> bool:
    """Whether others than these pods use the claim of a group."""
    of_group = any(r.of_group for r in claim.status.reserved_for)
    return of_group and any(p.uid not in pods for p in census.users(snapshot, key).values())


def _of_claim(claim: ResourceClaim, now_s: int, timeout_s: int) -> Iterator[Blocked]:
    allocation = claim.status.allocation
    if allocation is None or not any(r.binding_conditions for r in allocation.devices.results):
        return
    told = {
        (d.driver, d.pool, d.device, d.share_id): frozenset(c.type for c in d.conditions if c.status == "True")
        for d in claim.status.devices
    }
    until_s = claim.status.allocated_s + timeout_s if claim.status.allocated_s else 0
    for result in allocation.devices.results:
        true = told.get((result.driver, result.pool, result.device, result.share_id), frozenset())
        blocking = _of_device(claim, result, true, until_s, now_s)
        if blocking is not None:
            yield blocking


def _of_device(
    claim: ResourceClaim, result: DeviceRequestAllocationResult, true: frozenset[str], until_s: int, now_s: int
) -> Blocked | None:
    name, device = claim.metadata.key, f"{result.driver}/{result.pool}/{result.device}"
    failure = next((c for c in result.binding_failure_conditions if c in true), "")
    if failure and result.binding_conditions:
        return DeviceBindingFailed(name, device, failure)
    missing = tuple(c for c in result.binding_conditions if c not in true)
    if not missing:
        return None
    if until_s and now_s >= until_s:
        return DeviceBindingFailed(name, device)
    return WaitingForDevices(name, device, missing, until_s)


def _gravity(reason: Blocked) -> tuple[bool, int, str, str]:
    until_s = reason.until_s if isinstance(reason, WaitingForDevices) else 0
    return isinstance(reason, DeviceBindingFailed), until_s, reason.claim, reason.device
