"""A fleet as Kubernetes objects: what an API server would hold if the cluster existed.

Nodes and ResourceSlices as their kubelet and driver would publish them; Kueue's ResourceFlavors, Topology and queues
as an administrator would write them. The same objects fill the embedded cluster and, read by `bayplan.wire`, a
Snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bayplan.clusters.simulator.fleetfile import Fleet, NodeGroup, Team, Work
from bayplan.clusters.simulator.hardware import DRIVER, resource_slices
from bayplan.model.snapshot import Snapshot
from bayplan.wire.kinds import READERS, group_kind
from bayplan.wire.names import HOSTNAME
from bayplan.wire.pods import quantity

Json = dict[str, Any]

POOL = "bayplan.dev/pool"
"""Node label: the group a node belongs to. ResourceFlavors select by it."""
BLOCK = "topology.bayplan.dev/block"
RACK = "topology.bayplan.dev/rack"
TOPOLOGY = "default"
GPU_CLASS, MIG_CLASS = "gpu.nvidia.com", "mig.nvidia.com"
GPU_QUOTA = "nvidia.com/gpu"
COVERED = ("cpu", "memory", GPU_QUOTA, MIG_CLASS)
_KUEUE = "kueue.x-k8s.io/v1beta2"
_DRA = "resource.k8s.io/v1"


def fleet_objects(fleet: Fleet) -> list[Json]:
    """Every object of the cluster before any work arrives; what others refer to comes first."""
    made = [_topology(), *map(_device_class, (("gpu", GPU_CLASS, GPU_QUOTA), ("mig", MIG_CLASS, "")))]
    made += [_priority_class(name, value) for name, value in fleet.priorities.items()]
    made += [_flavor(group) for group in fleet.nodes]
    for group in fleet.nodes:
        for index in range(group.count):
            made += node_objects(group, index)
    for team in fleet.teams:
        made += _team(team, fleet)
        made += [t for work in fleet.work if (t := claim_template(work, team.name))]
    return made + [dict(o) for o in fleet.objects]


def snapshot_of(objects: list[Json]) -> Snapshot:
    """The Snapshot of these objects; kinds no decision reads are left out. Raises Malformed."""
    fields: dict[str, Any] = {"slices": [], "taint_rules": []}
    for obj in objects:
        field, read = READERS.get(group_kind(obj), ("", None))
        if read is None:
            continue
        found = read(obj)
        if field in ("slices", "taint_rules"):
            fields[field].append(found)
        else:
            key = found.name if field == "nodes" else found.metadata.key
            fields.setdefault(field, {})[key] = found
    return Snapshot(**fields | {"slices": tuple(fields["slices"]), "taint_rules": tuple(fields["taint_rules"])})


def node_objects(group: NodeGroup, index: int) -> Iterator[Json]:
    """The Node and its ResourceSlices."""
    name, model = group.node(index), group.model
    rack = index // group.rack_size
    block = rack // group.racks_per_block
    amounts = {"cpu": str(group.cpu), "memory": str(group.memory), "pods": str(group.pods)}
    labels = {
        HOSTNAME: name,
        POOL: group.name,
        BLOCK: f"{group.name}-b{block}",
        RACK: f"{group.name}-b{block}-r{rack % group.racks_per_block}",
    }
    if model is not None:
        labels["nvidia.com/gpu.product"] = model.product.replace(" ", "-")
    yield {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels | group.labels},
        "spec": {"taints": [_taint(t.key, t.value, t.effect) for t in group.taints]} if group.taints else {},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated"}],
            "addresses": [{"type": "Hostname", "address": name}],
        },
    }
    if model is not None:
        yield from resource_slices(name, model, group.gpus_per_node)


def claim_template(work: Work, namespace: str) -> Json | None:
    """The ResourceClaimTemplate the pods of this work name; None when they ask for no device."""
    request: Json = {"deviceClassName": GPU_CLASS}
    if work.gpus:
        request |= {"allocationMode": "ExactCount", "count": work.gpus}
    elif work.gpu_memory is not None:
        request |= {"capacity": {"requests": {"memory": str(work.gpu_memory)}}, "selectors": [_cel("shared")]}
    elif work.partition:
        request = {"deviceClassName": MIG_CLASS, "selectors": [_cel("partition", work.partition)]}
    else:
        return None
    return {
        "apiVersion": _DRA,
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": work.name, "namespace": namespace},
        "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": request}]}}},
    }


def _cel(what: str, value: str = "") -> Json:
    expressions = {
        # a card that is not shared would be given away whole for the sake of a slice
        "shared": "device.allowMultipleAllocations",
        "partition": f"device.attributes['{DRIVER}'].profile == '{value}'",
    }
    return {"cel": {"expression": expressions[what]}}


def _device_class(described: tuple[str, str, str]) -> Json:
    kind, name, extended = described
    expression = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'"
    spec: Json = {"selectors": [{"cel": {"expression": expression}}]}
    if extended:
        spec["extendedResourceName"] = extended
    return {"apiVersion": _DRA, "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec}


def _topology() -> Json:
    levels = [{"nodeLabel": label} for label in (BLOCK, RACK, HOSTNAME)]
    return {"apiVersion": _KUEUE, "kind": "Topology", "metadata": {"name": TOPOLOGY}, "spec": {"levels": levels}}


def _priority_class(name: str, value: int) -> Json:
    return {"apiVersion": _KUEUE, "kind": "WorkloadPriorityClass", "metadata": {"name": name}, "value": value}


def _flavor(group: NodeGroup) -> Json:
    """One flavor per node group; who gets its quota also tolerates its taints."""
    spec: Json = {"nodeLabels": {POOL: group.name}, "topologyName": TOPOLOGY}
    if group.taints:
        spec["tolerations"] = [
            {"key": t.key, "operator": "Equal", "value": t.value, "effect": t.effect} for t in group.taints
        ]
    return {"apiVersion": _KUEUE, "kind": "ResourceFlavor", "metadata": {"name": group.name}, "spec": spec}


def _team(team: Team, fleet: Fleet) -> Iterator[Json]:
    """Namespace, ClusterQueue and LocalQueue, all named after the team."""
    flavors = [
        {"name": name, "resources": [{"name": r, "nominalQuota": q} for r, q in _quota(fleet, name, units).items()]}
        for name, units in team.quota.items()
    ]
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team.name}}
    yield {
        "apiVersion": _KUEUE,
        "kind": "ClusterQueue",
        "metadata": {"name": team.name},
        "spec": {
            "cohortName": fleet.cohort,
            "namespaceSelector": {},
            "fairSharing": {"weight": str(team.weight)},
            "preemption": {"reclaimWithinCohort": "Any", "withinClusterQueue": "LowerPriority"},
            "resourceGroups": [{"coveredResources": list(COVERED), "flavors": flavors}] if flavors else [],
        },
    }
    yield {
        "apiVersion": _KUEUE,
        "kind": "LocalQueue",
        "metadata": {"name": team.name, "namespace": team.name},
        "spec": {"clusterQueue": team.name},
    }


def _quota(fleet: Fleet, group_name: str, units: int) -> dict[str, str]:
    """Quota of `units` GPUs of a group: the GPUs, as many MIG partitions as they can be cut into, and the same share
    of its CPU and memory."""
    group = fleet.group(group_name)
    assert group is not None, "checked when the file was read"
    model = group.model
    cpu = -(-group.cpu.milli * group.count * units // group.units)
    memory = -(-group.memory.value * group.count * units // group.units)
    partitions = max((len(p.starts) for p in model.profiles), default=0) if model else 0
    whole = model is not None and (model.mode != "mig" or model.full_beside_mig)
    return {
        "cpu": str(quantity("cpu", cpu)),
        "memory": str(quantity("memory", memory)),
        GPU_QUOTA: str(units if whole else 0),
        MIG_CLASS: str(units * partitions),
    }


def _taint(key: str, value: str, effect: str) -> Json:
    return {"key": key, "effect": effect} | ({"value": value} if value else {})
