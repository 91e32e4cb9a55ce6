"""Pods and nodes (core/v1): partial structs of what a scheduler reads, and the resources a pod takes from a node.

What a pod takes is the larger of its running containers and of each step of its start-up, sidecars counted from the
moment they start, plus overhead (KEP-753); pod-level requests win where they are given (KEP-2837); a limit without a
request is a request, as the API server defaults it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.model.base import Noun
from bayplan.model.node import Node, NodeSelector, Taint, Toleration
from bayplan.model.quantity import Quantity
from bayplan.model.workload import EXTENDED_CLAIM, IMPLICIT_RESOURCE, Amounts, ExtendedRequest, Pod
from bayplan.wire.errors import Malformed
from bayplan.wire.meta import Condition, ObjectMeta, condition, timestamp, whole
from bayplan.wire.names import (
    COMPLETION_INDEX,
    JOBSET_JOB_INDEX,
    PARALLELISM,
    POD_GROUP_INDEX,
    POD_SET,
    WORKLOAD,
)
from bayplan.wire.read import Json, read

Quantities = dict[str, Quantity]


class ContainerClaim(Noun, frozen=True):
    name: str


class Resources(Noun, frozen=True):
    requests: Quantities = {}
    limits: Quantities = {}
    claims: tuple[ContainerClaim, ...] = ()

    def effective(self) -> Quantities:
        return self.limits | self.requests if self.limits else self.requests


class Container(Noun, frozen=True):
    name: str = ""
    restart_policy: str = ""
    resources: Resources = Resources()


class NodeAffinity(Noun, frozen=True):
    required_during_scheduling_ignored_during_execution: NodeSelector | None = None


class Affinity(Noun, frozen=True):
    node_affinity: NodeAffinity | None = None


class PodResourceClaim(Noun, frozen=True):
    name: str
    resource_claim_name: str = ""
    resource_claim_template_name: str = ""


class SchedulingGroup(Noun, frozen=True):
    pod_group_name: str = ""


class WorkloadReference(Noun, frozen=True):
    """`spec.workloadRef` of scheduling.k8s.io/v1alpha1 (Kubernetes 1.35)."""

    name: str = ""
    pod_group: str = ""
    pod_group_replica_key: str = ""


class PodSpec(Noun, frozen=True):
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    resources: Resources = Resources()
    overhead: Quantities = {}
    node_name: str = ""
    node_selector: dict[str, str] = {}
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    scheduler_name: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    preemption_policy: str = ""
    restart_policy: str = "Always"
    active_deadline_seconds: int = 0
    resource_claims: tuple[PodResourceClaim, ...] = ()
    scheduling_group: SchedulingGroup | None = None
    workload_ref: WorkloadReference | None = None


class ClaimStatus(Noun, frozen=True):
    name: str
    resource_claim_name: str = ""


class ExtendedClaimStatus(Noun, frozen=True):
    """`status.extendedResourceClaimStatus` (KEP-5004)."""

    resource_claim_name: str = ""


class PodStatus(Noun, frozen=True):
    phase: str = ""
    start_time: str = ""
    conditions: tuple[Condition, ...] = ()
    resource_claim_statuses: tuple[ClaimStatus, ...] = ()
    extended_resource_claim_status: ExtendedClaimStatus | None = None


class PodObject(Noun, frozen=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ended(self) -> bool:
        return self.status.phase in ("Succeeded", "Failed")


class NodeSpec(Noun, frozen=True):
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class NodeStatus(Noun, frozen=True):
    allocatable: Quantities = {}
    conditions: tuple[Condition, ...] = ()


class NodeObject(Noun, frozen=True):
    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


def amount(resource: str, quantity: Quantity) -> int:
    """The integer the model counts: millicores for `cpu`, bytes or units for everything else, rounded up."""
    return quantity.milli if resource == "cpu" else quantity.value


def quantity(resource: str, amount: int) -> Quantity:
    """The quantity the API spells for an amount of the model."""
    if resource == "cpu":
        return Quantity(amount * 10**6)
    is_bytes = resource in ("memory", "ephemeral-storage") or resource.startswith("hugepages-")
    return Quantity.of(amount, "BinarySI" if is_bytes else "DecimalSI")


def requests(spec: PodSpec) -> Amounts:
    """What one pod takes from a node, `pods: 1` included, sorted by resource."""
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, _amounts(container.resources.effective()))
    if spec.init_containers:
        _cover(total, _start_up(spec.init_containers, total))
    total.update(_amounts(spec.resources.effective()))
    _add(total, _amounts(spec.overhead))
    total["pods"] = 1
    return tuple(sorted((r, n) for r, n in total.items() if n))


def containers_using(spec: PodSpec, claim: str) -> int:
    """How many containers refer to a claim of the pod."""
    return sum(claim in [c.name for c in x.resources.claims] for x in (*spec.init_containers, *spec.containers))


def extended(spec: PodSpec) -> tuple[ExtendedRequest, ...]:
    """What each container asks of extended resources, with the names kube-scheduler would give the requests."""
    return tuple(
        ExtendedRequest(name=extended_name(i, j), resource=resource, count=count)
        for i, container in enumerate((*spec.init_containers, *spec.containers))
        for wanted in (container.resources.effective(),)
        for j, resource in enumerate(sorted(wanted))
        if is_extended(resource) and (count := amount(resource, wanted[resource]))
    )


def extended_name(container: int, resource: int) -> str:
    """The name of a request: init containers are counted first, resources among all of the container, by name."""
    return f"container-{container}-request-{resource}"


def is_extended(resource: str) -> bool:
    """Whether a resource is one that Kubernetes itself knows nothing of."""
    domain, slash, _ = resource.partition("/")
    if not slash:
        return False
    native = domain == "kubernetes.io" or (
        domain.endswith(".kubernetes.io") and not resource.startswith(IMPLICIT_RESOURCE)
    )
    return not native


def pod(source: bytes | Json | PodObject) -> Pod:
    """A pod as the scheduler reads it; its Workload is the one its own annotation names, if any. Raises Malformed."""
    read_ = source if isinstance(source, PodObject) else read(source, PodObject)
    try:
        return _pod(read_)
    except Malformed as error:
        raise error.of(f"Pod {read_.metadata.key}") from error


def node(source: bytes | Json) -> Node:
    """A node; ready unless its Ready condition says otherwise. Raises Malformed."""
    obj = read(source, NodeObject)
    ready = condition(obj.status.conditions, "Ready")
    return Node(
        name=obj.metadata.name,
        labels=obj.metadata.labels,
        taints=obj.spec.taints,
        allocatable={r: amount(r, q) for r, q in obj.status.allocatable.items()},
        unschedulable=obj.spec.unschedulable,
        ready=ready is None or ready.status == "True",
        resource_version=obj.metadata.resource_version,
    )


def _pod(obj: PodObject) -> Pod:
    meta, spec = obj.metadata, obj.spec
    workload = meta.annotations.get(WORKLOAD, "")
    return Pod(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        workload=f"{meta.namespace}/{workload}" if workload else "",
        pod_set=meta.labels.get(POD_SET, ""),
        index=_index(meta),
        node=spec.node_name,
        requests=requests(spec),
        claims=_claims(obj),
        containers=tuple((c.name, n) for c in spec.resource_claims if (n := containers_using(spec, c.name)) != 1),
        priority=spec.priority or 0,
        started_s=_started(obj),
        terminating=bool(meta.deletion_timestamp),
    )


def _index(meta: ObjectMeta) -> int:
    """The rank a pod's labels give it in its pod set; -1 where they give none."""
    for fields, path in ((meta.labels, "metadata.labels"), (meta.annotations, "metadata.annotations")):
        own = whole(fields, COMPLETION_INDEX, path)
        if own is not None:
            job = whole(meta.labels, JOBSET_JOB_INDEX, "metadata.labels") or 0
            width = whole(meta.annotations, PARALLELISM, "metadata.annotations") or 0
            return job * width + own
    group = whole(meta.labels, POD_GROUP_INDEX, "metadata.labels")
    return -1 if group is None else group


def _claims(obj: PodObject) -> tuple[tuple[str, str], ...]:
    made = {s.name: s.resource_claim_name for s in obj.status.resource_claim_statuses if s.resource_claim_name}
    named = [(c.name, c.resource_claim_name or made.get(c.name, "")) for c in obj.spec.resource_claims]
    special = obj.status.extended_resource_claim_status
    if special is not None:
        named.append((EXTENDED_CLAIM, special.resource_claim_name))
    return tuple((name, f"{obj.metadata.namespace}/{claim}") for name, claim in named if claim)


def _started(obj: PodObject) -> int:
    if obj.status.start_time:
        return timestamp(obj.status.start_time, "status.startTime")
    scheduled = condition(obj.status.conditions, "PodScheduled")
    if scheduled is None or scheduled.status != "True":
        return 0
    return timestamp(scheduled.last_transition_time, "status.conditions[PodScheduled].lastTransitionTime")


def _amounts(quantities: Quantities) -> dict[str, int]:
    return {r: amount(r, q) for r, q in quantities.items()}


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for resource, n in more.items():
        total[resource] = total.get(resource, 0) + n


def _cover(total: dict[str, int], peak: Mapping[str, int]) -> None:
    for resource, n in peak.items():
        total[resource] = max(total.get(resource, 0), n)


def _start_up(steps: tuple[Container, ...], total: dict[str, int]) -> dict[str, int]:
    """The peak of start-up; sidecars, which stay, are added to `total` as well."""
    peak: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for step in steps:
        needs = _amounts(step.resources.effective())
        if step.restart_policy == "Always":
            _add(sidecars, needs)
            _add(total, needs)
            _cover(peak, sidecars)
        else:
            during = dict(sidecars)
            _add(during, needs)
            _cover(peak, during)
    return peak
