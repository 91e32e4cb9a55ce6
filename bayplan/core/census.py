"""Which pods use a claim, wait for a node or leave, who has devices where, and which claims nobody alive has.

Each is a memo of a pure function of a snapshot's pods and claims, which never change, brought along by what differs.
"""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.core.extended import scalar_devices
from bayplan.model.device import ResourceClaim
from bayplan.model.snapshot import Snapshot
from bayplan.model.table import Groups, differences
from bayplan.model.workload import Pod

_NOBODY: Mapping[str, Pod] = {}


def _moving(pod: Pod) -> tuple[str, ...]:
    return ("waiting",) if not pod.node else ("leaving",) if pod.terminating else ()


def _reserved_for(claim: ResourceClaim) -> list[str]:
    """The keys of the pods that it is reserved for."""
    users = claim.status.reserved_for if claim.status.allocation is not None else ()
    return [f"{claim.metadata.namespace}/{user.name}" for user in users]


_by_movement = Groups[str, Pod](_moving)
_by_claim = Groups[str, Pod](lambda pod: [claim for _, claim in pod.claims])
_by_user = Groups[str, ResourceClaim](_reserved_for)
_devices: list[tuple[Mapping[str, Pod], Mapping[str, ResourceClaim], dict[str, dict[str, int]]]] = [({}, {}, {})]
_orphans: list[tuple[Mapping[str, Pod], Mapping[str, ResourceClaim], Mapping[str, None]]] = [({}, {}, {})]


def users(snapshot: Snapshot, claim: str) -> Mapping[str, Pod]:
    """The pods that use a claim, by key."""
    return _by_claim.of(snapshot.pods).get(claim, _NOBODY)


def waiting(snapshot: Snapshot) -> Mapping[str, Pod]:
    """The pods without a node, by key."""
    return _by_movement.of(snapshot.pods).get("waiting", _NOBODY)


def leaving(snapshot: Snapshot) -> tuple[Pod, ...]:
    """The pods that are about to free what they have on their nodes, by name."""
    found = _by_movement.of(snapshot.pods).get("leaving", _NOBODY)
    return tuple(found[key] for key in sorted(found))


def devices_on(snapshot: Snapshot, pods_on: Mapping[str, Mapping[str, Pod]]) -> Mapping[str, Mapping[str, int]]:
    """How many devices each workload has through its pods on each node, and each pod in no workload."""
    pods, claims, known = _devices[0]
    if pods is snapshot.pods and claims is snapshot.claims:
        return known
    touched = {p.node: None for _, old, new in differences(pods, snapshot.pods) for p in (old, new) if p is not None}
    for key, _, _ in differences(claims, snapshot.claims):
        touched |= {p.node: None for p in users(snapshot, key).values()}
    found = known.copy()
    for node in touched:
        found[node] = {}
        for pod in pods_on.get(node, _NOBODY).values():
            many, owner = _devices_of(pod, snapshot.claims), pod.workload or pod.key
            if many:
                found[node][owner] = found[node].get(owner, 0) + many
    _devices[0] = snapshot.pods, snapshot.claims, found
    return found


def _devices_of(pod: Pod, claims: Mapping[str, ResourceClaim]) -> int:
    many = scalar_devices(pod)
    for _, key in pod.claims:
        allocation = claims[key].status.allocation if key in claims else None
        many += len(allocation.devices.results) if allocation is not None else 0
    return many


def orphans(snapshot: Snapshot) -> Mapping[str, None]:
    """Claims whose pods have gone, and whose devices somebody is about to take back.

    A group outlives its pods: its claims are none of these.
    """
    pods, claims, known = _orphans[0]
    if pods is snapshot.pods and claims is snapshot.claims:
        return known
    reserved = _by_user.of(snapshot.claims)
    touched = {key: None for key, _, _ in differences(claims, snapshot.claims)}
    for pod, _, _ in differences(pods, snapshot.pods):
        touched |= dict.fromkeys(reserved.get(pod, ()))
    found = dict(known)
    for key in touched:
        found.pop(key, None)
        claim = snapshot.claims.get(key)
        if claim is not None and _is_orphan(claim, snapshot.pods):
            found[key] = None
    _orphans[0] = snapshot.pods, snapshot.claims, found
    return found


def _is_orphan(claim: ResourceClaim, pods: Mapping[str, Pod]) -> bool:
    users = claim.status.reserved_for
    if claim.status.allocation is None or not users:
        return False
    known = [pods.get(f"{claim.metadata.namespace}/{u.name}") for u in users]
    return not any(u.of_group or (p is not None and p.uid == u.uid) for u, p in zip(users, known, strict=True))
