"""Worlds in one line: `cluster("r1/a=8 r1/b=8 r2/c=4", "low:8 high:8!9 gang:4x8@rack", running="old:8!1@a")`.

nodes      `[[block/]rack/]name=GPUS[:MODEL]`, MODEL of h100 a100 l40s (whole GPUs), a100share h100share (memory by
           the byte), a100mig h100mig (partitions by counters), plugin (nvidia.com/gpu of a device plugin), none.
           `n*30=8` is thirty nodes n0 … n29. The keyword `gpu` is the model where a node names none.
workloads  `[queue/]name:PODS[+PODS…]` and any of `!PRIORITY`, `@LEVEL` (required topology), `~LEVEL` (preferred),
           `%SECONDS` (declared run time). PODS is `[COUNTx]ASK`; ASK is GPUs (`8`), a share (`12Gi`), a partition
           (`1g.10gb`), a device plugin's GPUs (`8gpu`) or cores alone (`4cpu`). Created one second apart, in order.
running    the same, admitted and bound: `@a,b` names the nodes, filled rank by rank.
queues     `name=GPUS[@cohort]`: a ClusterQueue and a LocalQueue of namespace "default". A workload that names no
           queue goes to the first; without any queue there is no quota.

`tests.devices` makes the nodes, `tests.firstfit` places what runs; both are here by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from bayplan.model.base import Metadata
from bayplan.model.device import (
    CapacityRequirements,
    DeviceClaim,
    DeviceRequest,
    ExactDeviceRequest,
    ResourceClaimSpec,
    ResourceSlice,
)
from bayplan.model.node import Node
from bayplan.model.quantity import Quantity
from bayplan.model.queue import (
    ClusterQueue,
    ClusterQueuePreemption,
    ClusterQueueSpec,
    FlavorQuotas,
    LabelSelector,
    LocalQueue,
    LocalQueueSpec,
    Namespace,
    ResourceFlavor,
    ResourceGroup,
    ResourceQuota,
)
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodClaim, PodSet, PodTemplate, TopologyRequest, Workload
from tests.devices import CLASSES, DRIVER, GPU, LEVELS, MIG, gpu_node, mig_slices, selector, share_slices
from tests.firstfit import Shelf, place, with_pods

__all__ = [
    "CLASSES",
    "DRIVER",
    "GPU",
    "LEVELS",
    "MIG",
    "Shelf",
    "claim",
    "claim_of",
    "cluster",
    "gpu_node",
    "mig_slices",
    "place",
    "share_slices",
    "template",
    "with_pods",
    "workload",
]

PREEMPTION = ClusterQueuePreemption(within_cluster_queue="LowerPriority", reclaim_within_cohort="Any")


def cluster(
    nodes: str = "",
    workloads: str = "",
    *,
    running: str = "",
    queues: str = "",
    gpu: str = "h100",
    preemption: ClusterQueuePreemption = PREEMPTION,
) -> Snapshot:
    """The world these lines describe; see the module's docstring."""
    snapshot = Snapshot(
        device_classes=CLASSES,
        namespaces={"default": Namespace(metadata=Metadata(name="default"))},
        **_queues(queues, preemption),  # type: ignore[arg-type]
    )
    for node, slices in _nodes(nodes, gpu):
        snapshot = snapshot.replace(nodes=snapshot.nodes | {node.name: node}, slices=snapshot.slices + slices)
    first = next(iter(snapshot.local_queues.values())).metadata.name if queues else ""
    created_s = 1
    for token in running.split():
        spec, _, where = token.rpartition("@")
        made = workload(spec, created_s=created_s, queue=first)
        snapshot = with_pods(snapshot.with_workload(made), made.key)
        snapshot = snapshot.placing(place(snapshot, made.key, *where.split(",")), now_s=created_s)
        created_s += 1
    pending = {}
    for token in workloads.split():
        made = workload(token, created_s=created_s, queue=first)
        pending[made.key] = made
        created_s += 1
    return snapshot.replace(workloads=snapshot.workloads | pending)


# Nodes and their devices


def _nodes(text: str, gpu: str) -> Iterator[tuple[Node, tuple[ResourceSlice, ...]]]:
    for token in text.split():
        path, _, size = token.partition("=")
        gpus, _, model = size.partition(":")
        *above, name = path.split("/")
        rack, block = (above[-1] if above else "r0"), (above[-2] if len(above) > 1 else "b0")
        stem, _, many = name.partition("*")
        for each in [f"{stem}{i}" for i in range(int(many))] if many else [name]:
            yield gpu_node(each, int(gpus), model or gpu, rack=rack, block=block)


# Workloads


_WORKLOAD = re.compile(r"(?:(?P<queue>[\w.-]+)/)?(?P<name>[\w.-]+):(?P<sets>[\w.+-]+?)(?P<marks>(?:[!@~%][\w.-]+)*)")
_ASK = re.compile(r"(?:(?P<count>\d+)x)?(?P<ask>\d+[GM]i|\dg\.\d+gb(?:\+me)?|\d+gpu|\d+cpu|\d+)")


def workload(text: str, *, created_s: int = 1, queue: str = "") -> Workload:
    """A pending workload of namespace "default" from its one-word description."""
    match = _WORKLOAD.fullmatch(text)
    assert match, f"not a workload: {text}"
    marks = {mark[0]: mark[1:] for mark in re.findall(r"[!@~%][\w.-]+", match["marks"])}
    topology = TopologyRequest(
        required=LEVELS.get(marks.get("@", ""), ""), preferred=LEVELS.get(marks.get("~", ""), "")
    )
    asks = list(_ASK.finditer(match["sets"]))
    assert "+".join(a[0] for a in asks) == match["sets"], f"not pods: {match['sets']}"
    names = ["main"] if len(asks) == 1 else [f"set-{i}" for i in range(len(asks))]
    return Workload(
        namespace="default",
        name=match["name"],
        uid=f"uid-{match['name']}",
        owner=f"Job/{match['name']}",
        queue_name=match["queue"] or queue,
        priority=int(marks.get("!", 0)),
        created_s=created_s,
        runtime_s=int(marks.get("%", 0)),
        pod_sets=tuple(
            PodSet(name=n, count=int(a["count"] or 1), template=template(a["ask"]), topology=topology)
            for n, a in zip(names, asks, strict=True)
        ),
    )


def template(ask: str) -> PodTemplate:
    """What one pod asks for: `8`, `12Gi`, `1g.10gb`, `8gpu` or `4cpu`."""
    if ask.endswith("cpu"):
        return PodTemplate(requests=(("cpu", 1000 * int(ask[:-3])), ("pods", 1)))
    if ask.endswith("gpu"):
        return PodTemplate(requests=((GPU, int(ask[:-3])), ("pods", 1)))
    return PodTemplate(
        requests=(("pods", 1),), claims=(PodClaim(name="gpu", template=claim(ask)),) if ask != "0" else ()
    )


def claim(ask: str) -> ResourceClaimSpec:
    """One request, "gpu", for whole GPUs (`8`), a share of one (`12Gi`) or a partition (`1g.10gb`)."""
    if ask.endswith("i"):
        share = CapacityRequirements(requests={"memory": Quantity.parse(ask)})
        return claim_of(ExactDeviceRequest(device_class_name=DRIVER, capacity=share))
    if "g." in ask:
        profile = selector(f"device.attributes['{DRIVER}'].profile == '{ask}'")
        return claim_of(ExactDeviceRequest(device_class_name=MIG, selectors=(profile,)))
    return claim_of(ExactDeviceRequest(device_class_name=DRIVER, count=int(ask)))


def claim_of(exactly: ExactDeviceRequest, **more: object) -> ResourceClaimSpec:
    devices = DeviceClaim(requests=(DeviceRequest(name="gpu", exactly=exactly),))
    return ResourceClaimSpec(devices=msgspec.structs.replace(devices, **more))


def _queues(text: str, preemption: ClusterQueuePreemption) -> dict[str, object]:
    cluster_queues, local_queues = {}, {}
    for token in text.split():
        name, _, size = token.partition("=")
        gpus, _, cohort = size.partition("@")
        quotas = tuple(
            ResourceQuota(name=r, nominal_quota=Quantity.of(amount))
            for r, amount in (("cpu", 10_000), (GPU, int(gpus)), (MIG, 7 * int(gpus)))
        )
        group = ResourceGroup(
            covered_resources=tuple(q.name for q in quotas), flavors=(FlavorQuotas(name="default", resources=quotas),)
        )
        cluster_queues[name] = ClusterQueue(
            metadata=Metadata(name=name),
            spec=ClusterQueueSpec(
                resource_groups=(group,),
                cohort_name=cohort,
                namespace_selector=LabelSelector(),
                preemption=preemption,
            ),
        )
        local_queues[f"default/{name}"] = LocalQueue(
            metadata=Metadata(name=name, namespace="default"), spec=LocalQueueSpec(cluster_queue=name)
        )
    flavors = {"default": ResourceFlavor(metadata=Metadata(name="default"))} if text else {}
    return {"cluster_queues": cluster_queues, "local_queues": local_queues, "flavors": flavors}
