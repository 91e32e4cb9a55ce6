"""Workloads: what is admitted as one, and the pods that carry it out.

A Workload is Kueue's unit of admission (a gang of pod sets); every Job, JobSet, pod group or lone pod is one. Times are
whole seconds since the epoch; amounts are integers (`cpu` in millicores, byte resources in bytes, the rest in units).
"""

from __future__ import annotations

from bayplan.model.base import Value
from bayplan.model.device import ResourceClaimSpec
from bayplan.model.isolation import Isolation
from bayplan.model.node import NodeSelector, Toleration

Amounts = tuple[tuple[str, int], ...]
"""Resource amounts, sorted by resource name."""


class PodClaim(Value, frozen=True):
    """One entry of `spec.resourceClaims`: a claim made for the pod from `template`, or the existing claim `claim`.

    `claim` is `namespace/name`; for a templated claim it is empty until the claim object exists. `containers` refer to
    it.
    """

    name: str
    template: ResourceClaimSpec | None = None
    claim: str = ""
    containers: int = 1


EXTENDED_CLAIM = "<extended-resources>"
"""The name of the claim that serves a pod's extended resources (KEP-5004): no claim a person writes can have it."""

IMPLICIT_RESOURCE = "deviceclass.resource.kubernetes.io/"
"""Before the name of any DeviceClass: its implicit extended resource."""


class ExtendedRequest(Value, frozen=True):
    """`count` of an extended resource for one container; `name` is the request's, were devices to serve it."""

    name: str
    resource: str
    count: int


class PodTemplate(Value, frozen=True):
    """What one pod asks of a node. Equal templates are one question.

    `isolation` is the least it accepts; `elsewhere` are resources that the node must not offer itself, because devices
    are to serve them.
    """

    requests: Amounts = ()
    claims: tuple[PodClaim, ...] = ()
    node_selector: tuple[tuple[str, str], ...] = ()
    node_affinity: NodeSelector | None = None
    tolerations: tuple[Toleration, ...] = ()
    isolation: Isolation = Isolation.NONE
    extended: tuple[ExtendedRequest, ...] = ()
    elsewhere: tuple[str, ...] = ()


class TopologyRequest(Value, frozen=True):
    """Kueue's topologyRequest: at most one of a `required` or a `preferred` level (a node label key)."""

    required: str = ""
    preferred: str = ""


class PodSet(Value, frozen=True):
    name: str
    count: int
    template: PodTemplate
    topology: TopologyRequest = TopologyRequest()


class PodSetAssignment(Value, frozen=True):
    """What admission gave a pod set: flavors per resource and pods per node, in rank order."""

    name: str
    flavors: tuple[tuple[str, str], ...] = ()
    nodes: tuple[tuple[str, int], ...] = ()


class Admission(Value, frozen=True):
    cluster_queue: str
    pod_sets: tuple[PodSetAssignment, ...] = ()
    admitted_s: int = 0


class Workload(Value, frozen=True):
    """`owner` is what people call it (`Job/train-llama`); `runtime_s` the declared or learnt run time, 0 = unknown."""

    namespace: str
    name: str
    pod_sets: tuple[PodSet, ...]
    uid: str = ""
    resource_version: str = ""
    owner: str = ""
    queue_name: str = ""
    priority: int = 0
    preemption_policy: str = "PreemptLowerPriority"
    created_s: int = 0
    active: bool = True
    runtime_s: int = 0
    admission: Admission | None = None
    preempting: bool = False
    """It has ended others and waits for their room: nobody else may take it."""
    unready_s: int = 0
    """Since when an admitted workload has been without some of its pods (PodsReady is False); 0 = it is not."""
    requeue_at_s: int = 0
    """Until when one that could not be completed is left alone (`status.requeueState`)."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def count(self) -> int:
        return sum(s.count for s in self.pod_sets)


class Pod(Value, frozen=True):
    """A pod that exists and has not ended. `workload` is the key of the Workload it belongs to, empty if foreign.

    `claims` maps the pod's claim names to the keys of their ResourceClaims, `containers` to how many containers refer
    to them, where that is not one; `node` is empty until it is bound.
    """

    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    workload: str = ""
    pod_set: str = ""
    index: int = -1
    node: str = ""
    requests: Amounts = ()
    claims: tuple[tuple[str, str], ...] = ()
    containers: tuple[tuple[str, int], ...] = ()
    priority: int = 0
    started_s: int = 0
    terminating: bool = False

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"
