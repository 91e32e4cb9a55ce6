"""Everything Bayplan writes to a cluster, as merge patches and bodies that hold only the fields it owns.

A patch that replaces a list (conditions, reservedFor) carries the resourceVersion it was made from, so that a stale
one is refused. A function returns None where the object already says so: writing twice equals writing once.
Condition types, reasons and messages are Kueue's (kueue.x-k8s.io/v1beta2 Workload).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.model import codec
from bayplan.model.device import AllocationResult, ResourceClaimConsumerReference, ResourceClaimSpec
from bayplan.model.plan import Evict, Place
from bayplan.model.workload import PodSet, PodSetAssignment, Workload
from bayplan.wire.assignment import topology_assignment
from bayplan.wire.conditions import has_true, with_condition
from bayplan.wire.names import (
    ADMITTED,
    CLAIM_FINALIZER,
    EVICTED,
    FINISHED,
    NO_QUEUE,
    PODS_READY,
    PODS_READY_TIMEOUT,
    PREEMPTED,
    QUOTA_RESERVED,
    RECOVERY,
    REQUEUED,
    START,
    WHY,
)
from bayplan.wire.pods import extended_name, quantity
from bayplan.wire.read import Json
from bayplan.wire.times import rfc3339, seconds

EXTENDED_RESOURCE_CLAIM = "resource.kubernetes.io/extended-resource-claim"
"""Annotation on a claim that was made for a pod's extended resources."""

Patch = dict[str, Any]

BACKOFF_S = 60  # Kueue's backoffBaseSeconds: doubled each time a workload could not be completed
BACKOFF_MAX_S = 3600

_CAUSE = {
    "InClusterQueue": "prioritization in the ClusterQueue",
    "InCohortReclamation": "reclamation within the cohort",
    "InCohortFairSharing": "Fair Sharing within the cohort",
    "InCohortReclaimWhileBorrowing": "reclamation within the cohort while borrowing",
}


def admit(obj: Json, workload: Workload, place: Place, now_s: int) -> Patch:
    """Status patch of a Kueue Workload: its admission, and what that changes in its conditions."""
    sets = {s.name: s for s in workload.pod_sets}
    admission = {
        "clusterQueue": place.cluster_queue or NO_QUEUE,
        "podSetAssignments": [_assignment(a, sets[a.name]) for a in place.pod_sets],
    }
    status = _status(obj)
    conditions: Any = [c for c in status.get("conditions") or () if c.get("type") != PODS_READY]
    for old in conditions:
        if old.get("type") in (EVICTED, PREEMPTED) and old.get("status") == "True":
            before = f"Previously: {old.get('message', '')}"
            conditions = _set(obj, conditions, old["type"], False, QUOTA_RESERVED, before, now_s)
    if any(c.get("type") == REQUEUED and c.get("status") == "False" for c in conditions):
        conditions = _set(obj, conditions, REQUEUED, True, "BackoffFinished", "The backoff has finished", now_s)
    reserved = f"Quota reserved in ClusterQueue {place.cluster_queue}"
    conditions = _set(obj, conditions, QUOTA_RESERVED, True, QUOTA_RESERVED, reserved, now_s)
    conditions = _set(obj, conditions, ADMITTED, True, ADMITTED, "The workload is admitted", now_s)
    return _versioned(obj, {"status": {"admission": admission, "conditions": conditions}})


def hold(obj: Json, reason: str, message: str, now_s: int) -> Patch | None:
    """Status patch that says why a Workload waits; `reason` is the tag of its first Reason."""
    old = _status(obj).get("conditions")
    new = _set(obj, old, QUOTA_RESERVED, False, reason, message, now_s)
    return None if new == (old or []) else _versioned(obj, {"status": {"conditions": new}})


def evict(obj: Json, decision: Evict, now_s: int) -> Patch | None:
    """Status patch that takes a Workload's admission away, for the sake of another or because it is not complete."""
    if decision.reason == PODS_READY_TIMEOUT:
        return _requeue(obj, now_s)
    cause = _CAUSE.get(decision.reason, decision.reason)
    message = f"Preempted to accommodate a workload ({decision.preemptor}) due to {cause}"
    patch = _unadmit(obj, PREEMPTED, message, now_s)
    if patch is not None:
        conditions = patch["status"]["conditions"]
        patch["status"]["conditions"] = _set(obj, conditions, PREEMPTED, True, decision.reason, message, now_s)
    return patch


def _requeue(obj: Json, now_s: int) -> Patch | None:
    """It keeps its place in the order; how long it is left alone doubles while it keeps failing."""
    meta, status = obj["metadata"], _status(obj)
    message = f"Exceeded the PodsReady timeout {meta.get('namespace')}/{meta['name']}"
    patch = _unadmit(obj, PODS_READY_TIMEOUT, message, now_s)
    if patch is None:
        return None
    admitted: Json = next((c for c in status.get("conditions") or () if c.get("type") == ADMITTED), {})
    ran_s = now_s - seconds(admitted.get("lastTransitionTime") or rfc3339(now_s))
    before = int((status.get("requeueState") or {}).get("count") or 0) if ran_s < BACKOFF_MAX_S else 0
    at_s = now_s + min(BACKOFF_MAX_S, BACKOFF_S * 2 ** min(before, 16))
    patch["status"]["requeueState"] = {"count": before + 1, "requeueAt": rfc3339(at_s)}
    conditions = patch["status"]["conditions"]
    patch["status"]["conditions"] = _set(obj, conditions, REQUEUED, False, PODS_READY_TIMEOUT, message, now_s)
    return patch


def unready(obj: Json, message: str, now_s: int) -> Patch | None:
    """Status patch of an admitted Workload that lacks pods: from now on its time runs."""
    conditions = _status(obj).get("conditions")
    if any(c.get("type") == PODS_READY and c.get("status") == "False" for c in conditions or ()):
        return None
    return _versioned(
        obj, {"status": {"conditions": _set(obj, conditions, PODS_READY, False, RECOVERY, message, now_s)}}
    )


def recovered(obj: Json, now_s: int) -> Patch | None:
    """Status patch of an admitted Workload that lacked pods and has them all again."""
    conditions = _status(obj).get("conditions")
    if not any(c.get("type") == PODS_READY and c.get("status") == "False" for c in conditions or ()):
        return None
    message = "Every pod has a node again"
    return _versioned(
        obj, {"status": {"conditions": _set(obj, conditions, PODS_READY, True, "Recovered", message, now_s)}}
    )


def deactivate(obj: Json, now_s: int) -> Patch | None:
    """Status patch that takes the admission of a Workload away whose `spec.active` has become false."""
    return _unadmit(obj, "Deactivated", "The workload is deactivated", now_s)


def finish(obj: Json, succeeded: bool, message: str, now_s: int) -> Patch | None:
    """Status patch of a Workload whose job has ended."""
    status = _status(obj)
    if has_true(status.get("conditions"), FINISHED):
        return None
    reason = "Succeeded" if succeeded else "Failed"
    return _versioned(
        obj, {"status": {"conditions": _set(obj, status.get("conditions"), FINISHED, True, reason, message, now_s)}}
    )


def remark(obj: Json, *, why: str, start: str) -> Patch | None:
    """Metadata patch of the annotations kubectl shows as WHY and START; "" removes one."""
    have = obj["metadata"].get("annotations") or {}
    wanted = {WHY: why or None, START: start or None}
    changed = {k: v for k, v in wanted.items() if have.get(k) != v}
    return {"metadata": {"annotations": changed}} if changed else None


def allocate(
    claim: Json, allocation: AllocationResult, consumer: ResourceClaimConsumerReference, now_s: int
) -> Patch | None:
    """Status patch that gives devices to a claim and reserves it for a pod or its group (added to those that share it).

    Where devices have to be made ready, the time of allocation is written: the wait for them has an end.
    """
    status = _status(claim)
    reserved = status.get("reservedFor") or []
    changed: Patch = {}
    if status.get("allocation") is None:
        changed["allocation"] = codec.to_builtins(allocation)
        if any(r.binding_conditions for r in allocation.devices.results):
            changed["allocation"]["allocationTimestamp"] = rfc3339(now_s)
    if all(r.get("uid") != consumer.uid for r in reserved):
        changed["reservedFor"] = [*reserved, codec.to_builtins(consumer)]
    return _versioned(claim, {"status": changed}) if changed else None


def extended_claim(pod: Json, spec: ResourceClaimSpec) -> Json:
    """The ResourceClaim that serves a pod's extended resources (KEP-5004), owned by the pod."""
    meta = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {
            "generateName": f"{meta['name']}-extended-resources-",
            "namespace": meta["namespace"],
            "annotations": {EXTENDED_RESOURCE_CLAIM: "true"},
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "spec": codec.to_builtins(spec),
    }


def is_extended_claim(claim: Json) -> bool:
    return (claim["metadata"].get("annotations") or {}).get(EXTENDED_RESOURCE_CLAIM) == "true"


def extended_status(pod: Json, claim: str, spec: ResourceClaimSpec) -> Patch:
    """Status patch that tells a pod's kubelet which request of that claim is for which container."""
    names = {r.name for r in spec.devices.requests}
    containers = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    mappings = [
        {"containerName": c["name"], "resourceName": resource, "requestName": extended_name(i, j)}
        for i, c in enumerate(containers)
        for j, resource in enumerate(sorted(_effective(c)))
        if extended_name(i, j) in names
    ]
    return {"status": {"extendedResourceClaimStatus": {"resourceClaimName": claim, "requestMappings": mappings}}}


def _effective(container: Json) -> set[str]:
    resources = container.get("resources") or {}
    return {*(resources.get("requests") or ()), *(resources.get("limits") or ())}


def protect(claim: Json) -> Patch | None:
    """Metadata patch of a claim that is about to get devices: it cannot be deleted while it has them."""
    finalizers = claim["metadata"].get("finalizers") or []
    if CLAIM_FINALIZER in finalizers:
        return None
    return _versioned(claim, {"metadata": {"finalizers": [*finalizers, CLAIM_FINALIZER]}})


def unprotect(claim: Json) -> Patch | None:
    """Metadata patch of a claim that has given its devices back."""
    finalizers = claim["metadata"].get("finalizers") or []
    if CLAIM_FINALIZER not in finalizers or _status(claim).get("allocation"):
        return None
    return _versioned(claim, {"metadata": {"finalizers": [f for f in finalizers if f != CLAIM_FINALIZER]}})


def release(claim: Json, gone: frozenset[str]) -> Patch | None:
    """Status patch that takes consumers (uids) off a claim and frees its devices with the last one."""
    reserved = _status(claim).get("reservedFor") or []
    kept = [r for r in reserved if r.get("uid") not in gone]
    if len(kept) == len(reserved):
        return None
    changed: Patch = {"reservedFor": kept or None}
    if not kept:
        changed |= {"allocation": None, "devices": None}
    return _versioned(claim, {"status": changed})


def deallocate(claim: Json, consumers: frozenset[str], groups: bool = False) -> Patch | None:
    """Status patch that frees a claim's devices where nobody but these (uids) was to use them; None otherwise.

    `groups` says that this also holds of whichever group the claim is reserved for.
    """
    status = _status(claim)
    reserved = status.get("reservedFor") or []
    others = [r for r in reserved if r.get("uid") not in consumers and not (groups and is_group(r))]
    if status.get("allocation") is None or others:
        return None
    return _versioned(claim, {"status": {"allocation": None, "reservedFor": None, "devices": None}})


def is_group(consumer: Json) -> bool:
    """Whether an entry of `reservedFor` is a PodGroup (KEP-5729)."""
    return (consumer.get("apiGroup"), consumer.get("resource")) == ("scheduling.k8s.io", "podgroups")


def binding(
    namespace: str, pod: str, node: str, *, uid: str = "", annotations: Mapping[str, str] | None = None
) -> Json:
    """Body for `pods/binding`: refused for another pod of that name; the annotations become the pod's."""
    metadata: Patch = {"name": pod, "namespace": namespace}
    if uid:
        metadata["uid"] = uid
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": metadata,
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }


def _unadmit(obj: Json, reason: str, message: str, now_s: int) -> Patch | None:
    status = _status(obj)
    if status.get("admission") is None:
        return None
    conditions = _set(obj, status.get("conditions"), EVICTED, True, reason, message, now_s)
    conditions = _set(obj, conditions, QUOTA_RESERVED, False, "Pending", message, now_s)
    conditions = _set(obj, conditions, ADMITTED, False, "NoReservation", "The workload has no reservation", now_s)
    return _versioned(obj, {"status": {"admission": None, "conditions": conditions}})


def _assignment(given: PodSetAssignment, pod_set: PodSet) -> Json:
    usage = {r: str(quantity(r, n * pod_set.count)) for r, n in pod_set.template.requests if r != "pods"}
    assignment: Patch = {
        "name": given.name,
        "count": pod_set.count,
        "flavors": dict(given.flavors),
        "resourceUsage": usage,
    }
    if given.nodes:
        assignment["topologyAssignment"] = topology_assignment(given.nodes)
    return assignment


def _status(obj: Json) -> Json:
    return obj.get("status") or {}


def _set(obj: Json, conditions: Any, type: str, status: bool, reason: str, message: str, now_s: int) -> Any:
    generation = obj["metadata"].get("generation", 0)
    return with_condition(conditions, type, status, reason, message, now_s, generation=generation)


def _versioned(obj: Json, patch: Patch) -> Patch:
    version = obj["metadata"].get("resourceVersion")
    metadata = {"resourceVersion": version} | patch.get("metadata", {})
    return patch | {"metadata": metadata} if version else patch
