"""Kueue's queueing nouns (kueue.x-k8s.io/v1beta2)."""

from __future__ import annotations

from bayplan.model.base import Metadata, Noun
from bayplan.model.isolation import Isolation
from bayplan.model.node import Taint, Toleration
from bayplan.model.quantity import Quantity


class ResourceQuota(Noun, frozen=True):
    name: str
    nominal_quota: Quantity
    borrowing_limit: Quantity | None = None
    lending_limit: Quantity | None = None


class FlavorQuotas(Noun, frozen=True):
    name: str
    resources: tuple[ResourceQuota, ...] = ()


class ResourceGroup(Noun, frozen=True):
    covered_resources: tuple[str, ...] = ()
    flavors: tuple[FlavorQuotas, ...] = ()


class LabelSelectorRequirement(Noun, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(Noun, frozen=True):
    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()


class BorrowWithinCohort(Noun, frozen=True):
    policy: str = "Never"
    max_priority_threshold: int | None = None


class ClusterQueuePreemption(Noun, frozen=True):
    reclaim_within_cohort: str = "Never"
    within_cluster_queue: str = "Never"
    borrow_within_cohort: BorrowWithinCohort | None = None


class FlavorFungibility(Noun, frozen=True):
    when_can_borrow: str = "MayStopSearch"
    when_can_preempt: str = "TryNextFlavor"
    preference: str = ""


class FairSharing(Noun, frozen=True):
    weight: Quantity | None = None


class ClusterQueueSpec(Noun, frozen=True):
    resource_groups: tuple[ResourceGroup, ...] = ()
    cohort_name: str = ""
    queueing_strategy: str = "BestEffortFIFO"
    namespace_selector: LabelSelector | None = None
    flavor_fungibility: FlavorFungibility = FlavorFungibility()
    preemption: ClusterQueuePreemption = ClusterQueuePreemption()
    stop_policy: str = "None"
    fair_sharing: FairSharing | None = None


class ClusterQueue(Noun, frozen=True):
    """`isolation` is the least it demands of its work, from its annotation."""

    metadata: Metadata
    spec: ClusterQueueSpec = ClusterQueueSpec()
    isolation: Isolation = Isolation.NONE


class CohortSpec(Noun, frozen=True):
    parent_name: str = ""
    resource_groups: tuple[ResourceGroup, ...] = ()
    fair_sharing: FairSharing | None = None


class Cohort(Noun, frozen=True):
    metadata: Metadata
    spec: CohortSpec = CohortSpec()


class LocalQueueSpec(Noun, frozen=True):
    cluster_queue: str = ""
    stop_policy: str = "None"


class LocalQueue(Noun, frozen=True):
    """`isolation` is the least it demands of its work, from its annotation."""

    metadata: Metadata
    spec: LocalQueueSpec = LocalQueueSpec()
    isolation: Isolation = Isolation.NONE


class ResourceFlavorSpec(Noun, frozen=True):
    node_labels: dict[str, str] = {}
    node_taints: tuple[Taint, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    topology_name: str = ""


class ResourceFlavor(Noun, frozen=True):
    metadata: Metadata
    spec: ResourceFlavorSpec = ResourceFlavorSpec()


class TopologyLevel(Noun, frozen=True):
    node_label: str


class TopologySpec(Noun, frozen=True):
    levels: tuple[TopologyLevel, ...] = ()


class Topology(Noun, frozen=True):
    """Levels from the widest to the narrowest."""

    metadata: Metadata
    spec: TopologySpec = TopologySpec()


class WorkloadPriorityClass(Noun, frozen=True):
    metadata: Metadata
    value: int = 0


class PriorityClass(Noun, frozen=True):
    """scheduling.k8s.io/v1."""

    metadata: Metadata
    value: int = 0
    global_default: bool = False
    preemption_policy: str = "PreemptLowerPriority"


class Namespace(Noun, frozen=True):
    """core/v1."""

    metadata: Metadata
