"""Kueue's Workload object and the pod templates in it, read into the model's unit of admission.

A pod template names things that live elsewhere (claim templates, priority classes): `Context` holds them, so that
reading stays a function of its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.model.base import Noun, Value
from bayplan.model.device import ResourceClaim, ResourceClaimTemplate
from bayplan.model.node import NodeSelector, NodeSelectorTerm
from bayplan.model.queue import PriorityClass, WorkloadPriorityClass
from bayplan.model.workload import (
    Admission,
    PodClaim,
    PodSet,
    PodSetAssignment,
    PodTemplate,
    TopologyRequest,
    Workload,
)
from bayplan.wire.assignment import TopologyAssignment, pods_per_node
from bayplan.wire.errors import Malformed
from bayplan.wire.meta import Condition, ObjectMeta, condition, is_true, isolation, timestamp, whole
from bayplan.wire.names import (
    ADMITTED,
    FINISHED,
    IS_GROUP_WORKLOAD,
    JOB_OWNER_GVK,
    JOB_OWNER_NAME,
    NO_QUEUE,
    PODS_READY,
    PREFERRED_TOPOLOGY,
    QUOTA_RESERVED,
    RECOVERY,
    REQUIRED_TOPOLOGY,
    RUNTIME_SECONDS,
)
from bayplan.wire.podgroups import Gang
from bayplan.wire.pods import PodObject, PodResourceClaim, PodSpec, containers_using, extended, requests
from bayplan.wire.read import Json, read

NO_ANNOTATIONS: Mapping[str, str] = {}


class Context(Value, frozen=True):
    """The objects templates and priorities refer to, by key."""

    claim_templates: Mapping[str, ResourceClaimTemplate] = {}
    priority_classes: Mapping[str, PriorityClass] = {}
    workload_priority_classes: Mapping[str, WorkloadPriorityClass] = {}
    training_runtimes: Mapping[str, Any] = {}
    claims: Mapping[str, ResourceClaim] = {}
    pod_groups: Mapping[str, Gang] = {}


class TopologyRequestObject(Noun, frozen=True):
    required: str = ""
    preferred: str = ""


class PodSetObject(Noun, frozen=True):
    name: str = "main"
    count: int = 1
    template: PodObject = PodObject()
    topology_request: TopologyRequestObject | None = None


class PriorityClassRef(Noun, frozen=True):
    kind: str = ""
    name: str = ""


class WorkloadSpec(Noun, frozen=True):
    pod_sets: tuple[PodSetObject, ...] = ()
    queue_name: str = ""
    priority: int | None = None
    priority_class_ref: PriorityClassRef | None = None
    priority_class_name: str = ""
    priority_class_source: str = ""
    active: bool = True
    maximum_execution_time_seconds: int = 0


class PodSetAssignmentObject(Noun, frozen=True):
    name: str = "main"
    flavors: dict[str, str] = {}
    count: int = 0
    topology_assignment: TopologyAssignment | None = None


class AdmissionObject(Noun, frozen=True):
    cluster_queue: str = ""
    pod_set_assignments: tuple[PodSetAssignmentObject, ...] = ()


class ReclaimablePod(Noun, frozen=True):
    """Pods of a pod set that have ended for good; their quota is free."""

    name: str
    count: int = 0


class RequeueState(Noun, frozen=True):
    """How often the workload has been evicted because it was not complete, and when it is considered again."""

    count: int = 0
    requeue_at: str = ""


class WorkloadStatus(Noun, frozen=True):
    admission: AdmissionObject | None = None
    requeue_state: RequeueState | None = None
    reclaimable_pods: tuple[ReclaimablePod, ...] = ()
    conditions: tuple[Condition, ...] = ()


class WorkloadObject(Noun, frozen=True):
    metadata: ObjectMeta
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    @property
    def finished(self) -> bool:
        return is_true(self.status.conditions, FINISHED)

    def counts(self) -> dict[str, int]:
        """Pods that each pod set still asks for: those that ended for good are taken off."""
        ended = {r.name: r.count for r in self.status.reclaimable_pods}
        return {s.name: max(0, s.count - ended.get(s.name, 0)) for s in self.spec.pod_sets}


def workload(source: bytes | Json | WorkloadObject, context: Context) -> Workload:
    """The Workload as the scheduler reads it. Raises Malformed."""
    obj = source if isinstance(source, WorkloadObject) else read(source, WorkloadObject)
    try:
        return _workload(obj, context)
    except Malformed as error:
        raise error.of(f"Workload {obj.metadata.key}") from error


def pod_template(
    spec: PodSpec, namespace: str, context: Context, annotations: Mapping[str, str] = NO_ANNOTATIONS
) -> PodTemplate:
    """What one pod of this spec, with these annotations, asks of a node. Raises Malformed.

    A claim whose template does not exist (yet) has neither `template` nor `claim`. A claim of its own name, or of the
    pod's group, that has its devices already asks for none, and ties the pod to their nodes instead.
    """
    affinity = spec.affinity.node_affinity if spec.affinity else None
    selector = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    named = spec.scheduling_group
    group = context.pod_groups.get(f"{namespace}/{named.pod_group_name}") if named else None
    claims = tuple(
        _pod_claim(c, namespace, context, containers_using(spec, c.name), group.claim(c) if group else "")
        for c in spec.resource_claims
    )
    for claim in claims:
        held = context.claims.get(claim.claim)
        if held and held.status.allocation and held.status.allocation.node_selector:
            selector = _both(selector, held.status.allocation.node_selector)
    return PodTemplate(
        requests=requests(spec),
        claims=claims,
        node_selector=tuple(sorted(spec.node_selector.items())),
        node_affinity=selector,
        tolerations=spec.tolerations,
        isolation=isolation(annotations),
        extended=extended(spec),
    )


def claims_named(obj: WorkloadObject) -> tuple[str, ...]:
    """Keys of the claims, claim templates and groups with claims that the Workload's pods name."""
    specs = [s.template.spec for s in obj.spec.pod_sets if s.template.spec.resource_claims]
    names = [c.resource_claim_template_name or c.resource_claim_name for s in specs for c in s.resource_claims]
    names += [s.scheduling_group.pod_group_name for s in specs if s.scheduling_group]
    return tuple(f"{obj.metadata.namespace}/{name}" for name in names)


def topology_request(annotations: Mapping[str, str]) -> TopologyRequest:
    """The topology a pod template's annotations ask for; a required level wins over a preferred one."""
    required = annotations.get(REQUIRED_TOPOLOGY, "")
    return TopologyRequest(required=required, preferred="" if required else annotations.get(PREFERRED_TOPOLOGY, ""))


def _pod_claim(claim: PodResourceClaim, namespace: str, context: Context, containers: int, of_group: str) -> PodClaim:
    key = of_group or (f"{namespace}/{claim.resource_claim_name}" if claim.resource_claim_name else "")
    known = context.claims.get(key)
    if known is not None:
        spec = known.spec if known.status.allocation is None else None
    else:
        made_from = context.claim_templates.get(f"{namespace}/{claim.resource_claim_template_name}")
        spec = made_from.spec.spec if made_from else None
    return PodClaim(name=claim.name, template=spec, claim=key, containers=containers)


def _both(one: NodeSelector | None, other: NodeSelector) -> NodeSelector:
    """Nodes that both select."""
    if one is None:
        return other
    return NodeSelector(
        node_selector_terms=tuple(
            NodeSelectorTerm(
                match_expressions=a.match_expressions + b.match_expressions,
                match_fields=a.match_fields + b.match_fields,
            )
            for a in one.node_selector_terms
            for b in other.node_selector_terms
        )
    )


def _workload(obj: WorkloadObject, context: Context) -> Workload:
    meta, spec = obj.metadata, obj.spec
    if not spec.pod_sets:
        raise Malformed("spec.podSets", "expected at least one pod set")
    priority, policy = _priority(spec, context)
    counts = obj.counts()
    return Workload(
        namespace=meta.namespace,
        name=meta.name,
        pod_sets=tuple(_pod_set(s, i, meta.namespace, counts[s.name], context) for i, s in enumerate(spec.pod_sets)),
        uid=meta.uid,
        resource_version=meta.resource_version,
        owner=_owner(meta),
        queue_name=spec.queue_name,
        priority=priority,
        preemption_policy=policy,
        created_s=timestamp(meta.creation_timestamp, "metadata.creationTimestamp"),
        active=spec.active,
        runtime_s=_runtime(meta, spec),
        admission=_admission(obj.status),
        preempting=_preempting(obj.status),
        unready_s=_unready(obj.status),
        requeue_at_s=_requeue_at(obj.status),
    )


def _pod_set(source: PodSetObject, index: int, namespace: str, count: int, context: Context) -> PodSet:
    path = f"spec.podSets[{index}]"
    if source.count < 0:
        raise Malformed(f"{path}.count", f"expected a number of pods, got {source.count}")
    asked, annotations = source.topology_request, source.template.metadata.annotations
    if asked is None:
        topology = topology_request(annotations)
    else:
        topology = TopologyRequest(required=asked.required, preferred="" if asked.required else asked.preferred)
    try:
        template = pod_template(source.template.spec, namespace, context, annotations)
    except Malformed as error:
        raise error.within(f"{path}.template") from error
    return PodSet(name=source.name, count=count, template=template, topology=topology)


def _owner(meta: ObjectMeta) -> str:
    if IS_GROUP_WORKLOAD in meta.annotations:
        return f"PodGroup/{meta.name}"
    owner = meta.controller() or next(iter(meta.owner_references), None)
    if owner:
        return f"{owner.kind}/{owner.name}"
    kind = meta.annotations.get(JOB_OWNER_GVK, "").rpartition("Kind=")[2] or "Workload"
    return f"{kind}/{meta.annotations.get(JOB_OWNER_NAME) or meta.name}"


def _priority(spec: WorkloadSpec, context: Context) -> tuple[int, str]:
    """Priority and preemption policy; the number written in the Workload wins over its class."""
    ref = spec.priority_class_ref
    name = ref.name if ref else spec.priority_class_name
    kind = ref.kind if ref else spec.priority_class_source.rpartition("/")[2]
    if kind.lower() == "workloadpriorityclass":
        found = context.workload_priority_classes.get(name)
        value, policy = (found.value if found else 0), "PreemptLowerPriority"
    else:
        pod_class = context.priority_classes.get(name)
        value, policy = (pod_class.value, pod_class.preemption_policy) if pod_class else (0, "PreemptLowerPriority")
    return (value if spec.priority is None else spec.priority), policy


def _runtime(meta: ObjectMeta, spec: WorkloadSpec) -> int:
    declared = whole(meta.annotations, RUNTIME_SECONDS, "metadata.annotations")
    return spec.maximum_execution_time_seconds if declared is None else declared


def _preempting(status: WorkloadStatus) -> bool:
    """Whether the scheduler's last word was that others leave for it."""
    reserved = condition(status.conditions, QUOTA_RESERVED)
    return reserved is not None and reserved.status == "False" and reserved.reason == "WaitingForPreemptedWorkloads"


def _unready(status: WorkloadStatus) -> int:
    ready = condition(status.conditions, PODS_READY)
    if ready is None or ready.status != "False" or ready.reason != RECOVERY:
        return 0
    return timestamp(ready.last_transition_time, "status.conditions")


def _requeue_at(status: WorkloadStatus) -> int:
    at = status.requeue_state.requeue_at if status.requeue_state else ""
    return timestamp(at, "status.requeueState.requeueAt") if at else 0


def _admission(status: WorkloadStatus) -> Admission | None:
    given = status.admission
    if given is None:
        return None
    since = condition(status.conditions, ADMITTED) or condition(status.conditions, QUOTA_RESERVED)
    return Admission(
        cluster_queue="" if given.cluster_queue == NO_QUEUE else given.cluster_queue,
        pod_sets=tuple(_assignment(a, i) for i, a in enumerate(given.pod_set_assignments)),
        admitted_s=timestamp(since.last_transition_time, "status.conditions") if since else 0,
    )


def _assignment(source: PodSetAssignmentObject, index: int) -> PodSetAssignment:
    try:
        nodes = pods_per_node(source.topology_assignment)
    except Malformed as error:
        raise error.within(f"status.admission.podSetAssignments[{index}]") from error
    return PodSetAssignment(name=source.name, flavors=tuple(sorted(source.flavors.items())), nodes=nodes)
