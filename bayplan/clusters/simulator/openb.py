"""The openb trace: GPU nodes and pods of a production cluster (Alibaba cluster-trace-gpu-v2023, Apache-2.0).

Every GPU becomes a device that many claims may share, with a consumable capacity of a thousand thousandths and the
model as an attribute. A pod that takes a part of one GPU claims that many thousandths, a pod of several GPUs claims
all thousandths of each, and a list of allowed models becomes a selector.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bayplan.clusters.simulator.table import rows
from bayplan.model.base import Metadata
from bayplan.model.device import (
    CapacityRequestPolicy,
    CapacityRequestPolicyRange,
    CapacityRequirements,
    CELDeviceSelector,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceClaim,
    DeviceClass,
    DeviceClassSpec,
    DeviceRequest,
    DeviceSelector,
    ExactDeviceRequest,
    ResourceClaimSpec,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
)
from bayplan.model.node import Node
from bayplan.model.quantity import Quantity
from bayplan.model.queue import Namespace
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodClaim, PodSet, PodTemplate, Workload

DRIVER = "gpu.openb.bayplan.dev"
CAPACITY = "milli"
NAMESPACE = "openb"
WHOLE = 1000
PODS_PER_NODE = 1001  # the published simulator's limit


class OpenbPod(NamedTuple):
    """One row of a pod list. `gpu_milli` is per GPU; `models` are those allowed, () = any. Times in s, -1 = none."""

    name: str
    cpu_milli: int
    memory_mib: int
    gpus: int
    gpu_milli: int
    models: tuple[str, ...]
    created_s: int = 0
    deleted_s: int = 0

    @property
    def total_milli(self) -> int:
        return self.gpus * self.gpu_milli


def read_nodes(path: Path) -> Snapshot:
    """The empty cluster of a node list. Raises Malformed or OSError."""
    nodes: dict[str, Node] = {}
    slices: list[ResourceSlice] = []
    for row in rows(path, ("sn", "cpu_milli", "memory_mib", "gpu", "model")):
        name, gpus = row.text("sn"), row.whole("gpu")
        if not name or name in nodes:
            raise row.wrong("sn", f"expected a name that is not there yet, got '{name}'")
        amounts = {"cpu": row.whole("cpu_milli"), "memory": row.whole("memory_mib") << 20, "pods": PODS_PER_NODE}
        nodes[name] = Node(name=name, labels={"kubernetes.io/hostname": name}, allocatable=amounts)
        if gpus:
            slices.append(_slice(name, gpus, row.text("model")))
    selector = DeviceSelector(cel=CELDeviceSelector(f"device.driver == '{DRIVER}'"))
    made = DeviceClass(metadata=Metadata(name=DRIVER), spec=DeviceClassSpec(selectors=(selector,)))
    return Snapshot(
        nodes=nodes,
        slices=tuple(slices),
        device_classes={DRIVER: made},
        namespaces={NAMESPACE: Namespace(metadata=Metadata(name=NAMESPACE))},
    )


def read_pods(path: Path) -> tuple[OpenbPod, ...]:
    """The rows of a pod list, by name. Raises Malformed or OSError."""
    pods = []
    for row in rows(path, ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")):
        gpus = row.whole("num_gpu")
        milli = row.whole("gpu_milli") if gpus else 0
        if gpus and not 1 <= milli <= WHOLE:
            raise row.wrong("gpu_milli", f"expected 1 to {WHOLE}, got {milli}")
        if gpus > 1 and milli != WHOLE:
            raise row.wrong("gpu_milli", f"expected {WHOLE} for {gpus} GPUs, got {milli}")
        spec = row.text("gpu_spec") if gpus else ""
        pods.append(
            OpenbPod(
                name=row.text("name"),
                cpu_milli=row.whole("cpu_milli"),
                memory_mib=row.whole("memory_mib"),
                gpus=gpus,
                gpu_milli=milli,
                models=tuple(sorted({m for m in spec.split("|") if m})),
                created_s=row.whole("creation_time") if row.text("creation_time") else -1,
                deleted_s=row.whole("deletion_time") if row.text("deletion_time") else -1,
            )
        )
    return tuple(sorted(pods))


def workload_of(pod: OpenbPod, *, name: str = "", created_s: int = 0, runtime_s: int = 0) -> Workload:
    """The pod as a Workload of one pod."""
    requests = [("cpu", pod.cpu_milli), ("memory", pod.memory_mib << 20), ("pods", 1)]
    claims = (PodClaim(name="gpu", template=_claim(pod.gpus, pod.gpu_milli, pod.models)),) if pod.gpus else ()
    return Workload(
        namespace=NAMESPACE,
        name=name or pod.name,
        pod_sets=(PodSet("main", 1, PodTemplate(requests=tuple(requests), claims=claims)),),
        owner=f"Pod/{name or pod.name}",
        created_s=created_s,
        runtime_s=runtime_s,
    )


def capacity_milli(snapshot: Snapshot) -> int:
    """Thousandths of all GPUs."""
    return WHOLE * sum(len(s.spec.devices) for s in snapshot.slices)


def total_milli(pods: Iterable[OpenbPod]) -> int:
    return sum(p.total_milli for p in pods)


def _slice(node: str, gpus: int, model: str) -> ResourceSlice:
    whole = Quantity.of(WHOLE)
    policy = CapacityRequestPolicy(
        default=whole, valid_range=CapacityRequestPolicyRange(min=Quantity.of(1), max=whole, step=Quantity.of(1))
    )
    devices = tuple(
        Device(
            name=f"gpu-{i}",
            attributes={"model": DeviceAttribute(string=model)},
            capacity={CAPACITY: DeviceCapacity(value=whole, request_policy=policy)},
            allow_multiple_allocations=True,
        )
        for i in range(gpus)
    )
    spec = ResourceSliceSpec(driver=DRIVER, pool=ResourcePool(name=node), node_name=node, devices=devices)
    return ResourceSlice(spec=spec, metadata=Metadata(name=node))


def _claim(gpus: int, milli: int, models: tuple[str, ...]) -> ResourceClaimSpec:
    listed = ", ".join(f"'{m}'" for m in models)
    selectors = (DeviceSelector(cel=CELDeviceSelector(f"device.attributes['{DRIVER}'].model in [{listed}]")),)
    exactly = ExactDeviceRequest(
        device_class_name=DRIVER,
        selectors=selectors if models else (),
        count=gpus,
        capacity=CapacityRequirements(requests={CAPACITY: Quantity.of(milli)}),
    )
    return ResourceClaimSpec(devices=DeviceClaim(requests=(DeviceRequest(name="gpu", exactly=exactly),)))
