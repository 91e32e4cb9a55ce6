"""Nodes and the device slices NVIDIA's DRA driver announces for them: whole GPUs, shares by memory, MIG by counters.

Shapes as `gpu.nvidia.com` publishes them: device `gpu-<minor>`, pool = node, counters in a slice of their own; the MIG
table is NVIDIA's for 80 GB cards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from bayplan.model.base import Metadata
from bayplan.model.device import (
    CapacityRequestPolicy,
    CapacityRequestPolicyRange,
    CELDeviceSelector,
    Counter,
    CounterSet,
    Device,
    DeviceAttribute,
    DeviceCapacity,
    DeviceClass,
    DeviceClassSpec,
    DeviceCounterConsumption,
    DeviceSelector,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
)
from bayplan.model.node import Node
from bayplan.model.quantity import Quantity

DRIVER = "gpu.nvidia.com"
GPU, MIG = "nvidia.com/gpu", "mig.nvidia.com"
LEVELS = {
    "zone": "topology.kubernetes.io/zone",
    "block": "topology.bayplan.dev/block",
    "rack": "topology.bayplan.dev/rack",
    "host": "kubernetes.io/hostname",
}
PRODUCTS = {
    "h100": ("NVIDIA H100 80GB HBM3", "Hopper", "81559Mi"),
    "a100": ("NVIDIA A100-SXM4-80GB", "Ampere", "80Gi"),
    "l40s": ("NVIDIA L40S", "Ada Lovelace", "46068Mi"),
}


class Partition(NamedTuple):
    """A MIG profile of an 80 GB card: memory in MiB and SMs on an A100 and an H100, memory slices, possible starts."""

    profile: str
    number: int
    a100: tuple[int, int]
    h100: tuple[int, int]
    width: int
    starts: tuple[int, ...]
    media: int = 0


PARTITIONS = (
    Partition("1g.10gb", 19, (9728, 14), (9984, 16), 1, (0, 1, 2, 3, 4, 5, 6)),
    Partition("1g.10gb+me", 20, (9728, 14), (9984, 16), 1, (0, 1, 2, 3, 4, 5, 6), 1),
    Partition("1g.20gb", 15, (19968, 14), (20096, 26), 2, (0, 2, 4, 6)),
    Partition("2g.20gb", 14, (19968, 28), (20096, 32), 2, (0, 2, 4)),
    Partition("3g.40gb", 9, (40192, 42), (40448, 60), 4, (0, 4)),
    Partition("4g.40gb", 5, (40192, 56), (40448, 64), 4, (0,)),
    Partition("7g.80gb", 0, (80896, 98), (81152, 132), 8, (0,), 1),
)


def selector(expression: str) -> DeviceSelector:
    return DeviceSelector(cel=CELDeviceSelector(expression=expression))


def device_class(name: str, *expressions: str, extended: str = "") -> DeviceClass:
    spec = DeviceClassSpec(selectors=tuple(map(selector, expressions)), extended_resource_name=extended)
    return DeviceClass(metadata=Metadata(name=name), spec=spec)


_TYPE = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{{}}'"
CLASSES = {
    DRIVER: device_class(DRIVER, _TYPE.format("gpu"), extended=GPU),
    MIG: device_class(MIG, _TYPE.format("mig")),
}


def gpu_node(
    name: str, gpus: int, model: str = "h100", *, rack: str = "r0", block: str = "b0"
) -> tuple[Node, tuple[ResourceSlice, ...]]:
    """A node of 96 cores and 1 TiB with these GPUs, and the ResourceSlices that announce them."""
    plain = {"cpu": 96_000, "memory": 1 << 40, "pods": 110}
    node = Node(
        name=name,
        labels={LEVELS["block"]: block, LEVELS["rack"]: rack, LEVELS["host"]: name},
        allocatable=plain | ({GPU: gpus} if model == "plugin" else {}),
    )
    if model in ("plugin", "none") or not gpus:
        return node, ()
    if model.endswith("mig"):
        return node, mig_slices(name, gpus, model.removesuffix("mig"))
    if model.endswith("share"):
        return node, share_slices(name, gpus, model.removesuffix("share"))
    return node, (slice_of(name, [gpu_device(name, i, model) for i in range(gpus)]),)


def slice_of(
    node: str, devices: Iterable[Device] = (), counters: Iterable[CounterSet] = (), *, number: int = 0, of: int = 1
) -> ResourceSlice:
    return ResourceSlice(
        metadata=Metadata(name=f"{node}-{DRIVER}-{number:05}"),
        spec=ResourceSliceSpec(
            driver=DRIVER,
            pool=ResourcePool(name=node, generation=1, resource_slice_count=of),
            node_name=node,
            devices=tuple(devices),
            shared_counters=tuple(counters),
        ),
    )


def gpu_device(node: str, minor: int, model: str, **more: object) -> Device:
    product, architecture, memory = PRODUCTS[model]
    device = Device(
        name=f"gpu-{minor}",
        attributes=_attributes(minor, product, architecture)
        | {"type": DeviceAttribute(string="gpu"), "uuid": DeviceAttribute(string=f"GPU-{node}-{minor}")},
        capacity={"memory": DeviceCapacity(value=Quantity.parse(memory))},
    )
    return msgspec.structs.replace(device, **more)


def _attributes(minor: int, product: str, architecture: str) -> dict[str, DeviceAttribute]:
    return {
        "productName": DeviceAttribute(string=product),
        "architecture": DeviceAttribute(string=architecture),
        "driverVersion": DeviceAttribute(version="580.126.20"),
        "resource.kubernetes.io/numaNode": DeviceAttribute(int_=minor // 4),
        "resource.kubernetes.io/pcieRoot": DeviceAttribute(string=f"pci0000:{minor // 2:02x}"),
    }


def share_slices(node: str, gpus: int, model: str = "a100") -> tuple[ResourceSlice, ...]:
    """GPUs whose memory several claims may share, by the MiB; a claim that asks for no memory gets the whole card."""
    memory, step = Quantity.parse(PRODUCTS[model][2]), Quantity.parse("1Mi")
    policy = CapacityRequestPolicy(
        default=memory, valid_range=CapacityRequestPolicyRange(min=step, max=memory, step=step)
    )
    capacity = {"memory": DeviceCapacity(value=memory, request_policy=policy)}
    cards = (gpu_device(node, i, model, capacity=capacity, allow_multiple_allocations=True) for i in range(gpus))
    return (slice_of(node, cards),)


def mig_slices(node: str, gpus: int, model: str = "a100") -> tuple[ResourceSlice, ...]:
    """Every partition of every GPU, held apart by counters; Hopper announces the whole GPU beside them."""
    full = _consumes(0, PARTITIONS[-1], model, 0)
    sets = [CounterSet(name=f"gpu-{i}-counter-set", counters=full[0].counters) for i in range(gpus)]
    slices = [slice_of(node, counters=sets, of=gpus + 1)]
    for i in range(gpus):
        devices = [_partition(node, i, model, p, start) for p in PARTITIONS for start in p.starts]
        if model == "h100":
            devices.insert(0, gpu_device(node, i, model, consumes_counters=_consumes(i, PARTITIONS[-1], model, 0)))
        slices.append(slice_of(node, devices, number=i + 1, of=gpus + 1))
    return tuple(slices)


def _partition(node: str, minor: int, model: str, part: Partition, start: int) -> Device:
    slug = part.profile.replace(".", "").replace("+", "-")
    product, architecture, _ = PRODUCTS[model]
    return Device(
        name=f"gpu-{minor}-mig-{slug}-{part.number}-{start}",
        attributes=_attributes(minor, product, architecture)
        | {
            "type": DeviceAttribute(string="mig"),
            "profile": DeviceAttribute(string=part.profile),
            "parentUUID": DeviceAttribute(string=f"GPU-{node}-{minor}"),
        },
        capacity={"memory": DeviceCapacity(value=Quantity.parse(f"{getattr(part, model)[0]}Mi"))},
        consumes_counters=_consumes(minor, part, model, start),
    )


def _consumes(minor: int, part: Partition, model: str, start: int) -> tuple[DeviceCounterConsumption, ...]:
    memory, sms = getattr(part, model)
    amounts = {"memory": f"{memory}Mi", "multiprocessors": str(sms), "ofa-engines": str(part.media)}
    amounts |= {f"memory-slice-{i}": "1" for i in range(start, start + part.width)}
    counters = {name: Counter(value=Quantity.parse(amount)) for name, amount in amounts.items()}
    return (DeviceCounterConsumption(counter_set=f"gpu-{minor}-counter-set", counters=counters),)
