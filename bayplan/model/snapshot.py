"""Snapshot: the cluster at one moment. It never changes; a what-if is another snapshot that shares almost all of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bayplan.model.base import Metadata, Value
from bayplan.model.device import (
    DeviceClass,
    DeviceTaintRule,
    ResourceClaim,
    ResourceClaimSpec,
    ResourceClaimStatus,
    ResourceSlice,
)
from bayplan.model.node import Node
from bayplan.model.plan import ClaimAllocation, Place, Plan, PodPlacement
from bayplan.model.queue import (
    ClusterQueue,
    Cohort,
    LocalQueue,
    Namespace,
    PriorityClass,
    ResourceFlavor,
    Topology,
    WorkloadPriorityClass,
)
from bayplan.model.reason import WaitingForPreemptedWorkloads
from bayplan.model.workload import Admission, Pod, PodTemplate, Workload


class Snapshot(Value, frozen=True):
    """Objects by key (`namespace/name`, or `name`). Pods and workloads that have ended are not in it."""

    nodes: dict[str, Node] = {}
    pods: dict[str, Pod] = {}
    workloads: dict[str, Workload] = {}
    claims: dict[str, ResourceClaim] = {}
    slices: tuple[ResourceSlice, ...] = ()
    device_classes: dict[str, DeviceClass] = {}
    taint_rules: tuple[DeviceTaintRule, ...] = ()
    namespaces: dict[str, Namespace] = {}
    priority_classes: dict[str, PriorityClass] = {}
    workload_priority_classes: dict[str, WorkloadPriorityClass] = {}
    cluster_queues: dict[str, ClusterQueue] = {}
    cohorts: dict[str, Cohort] = {}
    local_queues: dict[str, LocalQueue] = {}
    flavors: dict[str, ResourceFlavor] = {}
    topologies: dict[str, Topology] = {}
    revision: str = ""

    def replace(self, **changes: object) -> Snapshot:
        """A snapshot that differs in these fields and shares the rest."""
        return msgspec.structs.replace(self, **changes)

    def with_nodes(self, nodes: Iterable[Node], slices: Iterable[ResourceSlice] = ()) -> Snapshot:
        """These nodes (and their devices) added or replaced."""
        added = {n.name: n for n in nodes}
        kept = tuple(s for s in self.slices if s.spec.node_name not in added)
        return self.replace(nodes=self.nodes | added, slices=kept + tuple(slices))

    def with_workload(self, workload: Workload) -> Snapshot:
        return self.replace(workloads=self.workloads | {workload.key: workload})

    def without(self, *workloads: str) -> Snapshot:
        """These workloads gone, with their pods and the claims made for those pods."""
        gone = frozenset(workloads)
        pods = {k: p for k, p in self.pods.items() if p.workload not in gone}
        kept_claims = {c for p in pods.values() for _, c in p.claims}
        dropped = {c for p in self.pods.values() if p.workload in gone for _, c in p.claims if c not in kept_claims}
        return self.replace(
            workloads={k: w for k, w in self.workloads.items() if k not in gone},
            pods=pods,
            claims={k: c for k, c in self.claims.items() if k not in dropped},
        )

    def carried_out(self, plan: Plan, *, now_s: int = 0) -> Snapshot:
        """The plan carried out, and all that was leaving gone: the ended wait again, preemptors for their room."""
        world = self
        for evict in plan.evicted():
            waiting = msgspec.structs.replace(self.workloads[evict.workload], admission=None, unready_s=0)
            world = world.without(evict.workload).with_workload(waiting)
        world = world.freeing(c for d in plan.deallocated() for c in d.claims)
        for place in plan.placed():
            world = world.placing(place, now_s=now_s)
        return world.replace(pods={k: p for k, p in world.pods.items() if not p.terminating}).told(plan)

    def freeing(self, claims: Iterable[str]) -> Snapshot:
        """These claims without devices and consumers."""
        freed = {k: msgspec.structs.replace(self.claims[k], status=ResourceClaimStatus()) for k in claims}
        return self.replace(claims=self.claims | freed) if freed else self

    def told(self, plan: Plan) -> Snapshot:
        """Every held workload knows whether others leave for it."""
        changed = _preempting(self, plan)
        return self.replace(workloads=self.workloads | changed) if changed else self

    def placing(self, place: Place, *, now_s: int = 0) -> Snapshot:
        """The decision carried out: the workload admitted, its pods bound, its claims allocated."""
        workload = self.workloads[place.workload]
        templates = {s.name: s.template for s in workload.pod_sets}
        pods: dict[str, Pod] = {}
        claims: dict[str, ResourceClaim] = {}
        for placement in place.pods:
            pod, made = _bound(self, workload, placement, templates[placement.pod_set], now_s)
            pods[pod.key] = pod
            claims.update(made)
        admission = workload.admission or Admission(
            cluster_queue=place.cluster_queue, pod_sets=place.pod_sets, admitted_s=now_s
        )
        admitted = msgspec.structs.replace(workload, admission=admission, preempting=False, unready_s=0)
        return self.replace(
            workloads=self.workloads | {workload.key: admitted},
            pods=self.pods | pods,
            claims=self.claims | claims,
        )


def _preempting(world: Snapshot, plan: Plan) -> dict[str, Workload]:
    """The held workloads whose standing as preemptors the plan changes."""
    changed = {}
    for hold in plan.held():
        waits = any(isinstance(r, WaitingForPreemptedWorkloads) for r in hold.reasons)
        workload = world.workloads[hold.workload]
        if workload.preempting != waits:
            changed[hold.workload] = msgspec.structs.replace(workload, preempting=waits)
    return changed


def _bound(
    snapshot: Snapshot,
    workload: Workload,
    placement: PodPlacement,
    template: PodTemplate,
    now_s: int,
) -> tuple[Pod, dict[str, ResourceClaim]]:
    key = placement.pod or f"{workload.key}-{placement.pod_set}-{placement.index}"
    claims = dict(_allocated(snapshot, key, c) for c in placement.claims)
    names = tuple((c.name, k) for c, k in zip(placement.claims, claims, strict=True))
    known = snapshot.pods.get(key)
    if known is not None:
        inherited = dict(known.claims) | dict(names)
        return msgspec.structs.replace(
            known, node=placement.node, started_s=now_s, claims=tuple(inherited.items())
        ), claims
    return Pod(
        namespace=workload.namespace,
        name=key.removeprefix(workload.namespace + "/"),
        workload=workload.key,
        pod_set=placement.pod_set,
        index=placement.index,
        node=placement.node,
        requests=template.requests,
        claims=names,
        containers=tuple((c.name, c.containers) for c in template.claims if c.containers != 1),
        priority=workload.priority,
        started_s=now_s,
    ), claims


def _allocated(snapshot: Snapshot, pod: str, given: ClaimAllocation) -> tuple[str, ResourceClaim]:
    key = given.claim or f"{pod}-{given.name}"
    status = ResourceClaimStatus(allocation=given.allocation)
    known = snapshot.claims.get(key)
    if known is not None:
        return key, msgspec.structs.replace(known, status=status)
    namespace, _, name = key.partition("/")
    spec = given.spec or ResourceClaimSpec()
    return key, ResourceClaim(metadata=Metadata(name=name, namespace=namespace), spec=spec, status=status)
