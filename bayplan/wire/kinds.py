"""Which objects the scheduler reads, where in a Snapshot each belongs, and how it is read. One line per kind.

Pods and Workloads are not here: they refer to other objects (`bayplan.wire.pods`, `bayplan.wire.workload`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bayplan.wire import devices, pods, queues
from bayplan.wire.read import Json

Reader = Callable[[bytes | Json], Any]

READERS: dict[tuple[str, str], tuple[str, Reader]] = {
    ("", "Node"): ("nodes", pods.node),
    ("", "Namespace"): ("namespaces", queues.namespace),
    ("scheduling.k8s.io", "PriorityClass"): ("priority_classes", queues.priority_class),
    ("resource.k8s.io", "ResourceSlice"): ("slices", devices.resource_slice),
    ("resource.k8s.io", "DeviceClass"): ("device_classes", devices.device_class),
    ("resource.k8s.io", "ResourceClaim"): ("claims", devices.resource_claim),
    ("resource.k8s.io", "DeviceTaintRule"): ("taint_rules", devices.device_taint_rule),
    ("kueue.x-k8s.io", "ClusterQueue"): ("cluster_queues", queues.cluster_queue),
    ("kueue.x-k8s.io", "Cohort"): ("cohorts", queues.cohort),
    ("kueue.x-k8s.io", "LocalQueue"): ("local_queues", queues.local_queue),
    ("kueue.x-k8s.io", "ResourceFlavor"): ("flavors", queues.resource_flavor),
    ("kueue.x-k8s.io", "Topology"): ("topologies", queues.topology),
    ("kueue.x-k8s.io", "WorkloadPriorityClass"): ("workload_priority_classes", queues.workload_priority_class),
}
"""(API group, kind) → (field of Snapshot, reader)."""


def group_kind(source: Json) -> tuple[str, str]:
    """API group and kind of an object."""
    group, slash, _ = str(source.get("apiVersion", "")).rpartition("/")
    return (group if slash else ""), str(source.get("kind", ""))
