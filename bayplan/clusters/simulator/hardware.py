"""GPU models, and the ResourceSlices NVIDIA's DRA driver announces for a node of each.

Attributes, capacities and counters are those of `gpu.nvidia.com` (dra-driver-nvidia-gpu 0.5-dev): whole GPUs; GPUs
whose memory is consumable (KEP-5075, ConsumableShares by memory); or MIG partitions drawn from shared counters
(KEP-4815, DynamicMIG), every profile at every placement. Hopper announces the full GPU beside its partitions, Ampere
only the partitions. Ids are functions of the node's name, so that two runs are alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from bayplan.model.base import Value
from bayplan.model.mig import A100_PROFILES, H100_PROFILES, Engines, Profile

DRIVER = "gpu.nvidia.com"
# (bus, root complex, NUMA node) of the eight GPUs of an HGX board
_PCI = (
    ("1b", "15", 0),
    ("43", "37", 0),
    ("52", "48", 0),
    ("61", "59", 0),
    ("9d", "97", 1),
    ("c3", "b7", 1),
    ("d1", "c7", 1),
    ("df", "d7", 1),
)

Json = dict[str, Any]


class Model(Value, frozen=True):
    """A GPU model. `mode` is whole, shared (consumable memory) or mig; `full_beside_mig` as Hopper announces it."""

    product: str
    architecture: str
    compute: str
    memory_mib: int
    per_node: int
    mode: str = "whole"
    profiles: tuple[Profile, ...] = ()
    full_beside_mig: bool = False


_A100 = ("NVIDIA A100-SXM4-80GB", "Ampere", "8.0.0", 81920, 8)
_H100 = ("NVIDIA H100 80GB HBM3", "Hopper", "9.0.0", 81559, 8)

MODELS: dict[str, Model] = {
    "h100-80gb": Model(*_H100),
    "h100-80gb-mig": Model(*_H100, mode="mig", profiles=H100_PROFILES, full_beside_mig=True),
    "h100-80gb-shared": Model(*_H100, mode="shared"),
    "a100-80gb": Model(*_A100),
    "a100-80gb-mig": Model(*_A100, mode="mig", profiles=A100_PROFILES),
    "a100-80gb-shared": Model(*_A100, mode="shared"),
    "l40s-48gb": Model("NVIDIA L40S", "Ada Lovelace", "8.9.0", 46068, 4),
}
"""The names a fleet file may use."""


def resource_slices(node: str, model: Model, gpus: int) -> list[Json]:
    """The ResourceSlices of a node with `gpus` (1…8) cards of this model, as JSON."""
    assert 1 <= gpus <= len(_PCI)
    if model.mode != "mig":
        return _slices(node, [{"devices": [_full(node, i, model) for i in range(gpus)]}])
    # counters in a slice of their own, as Kubernetes 1.35 wants them, then one slice per card
    counters = [{"name": _counter_set(i), "counters": _counters(model)} for i in range(gpus)]
    return _slices(node, [{"sharedCounters": counters}, *({"devices": [*_mig(node, i, model)]} for i in range(gpus))])


def _slices(node: str, parts: list[Json]) -> list[Json]:
    pool = {"name": node, "generation": 1, "resourceSliceCount": len(parts)}
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{node}-{DRIVER}-{i:05d}"},
            "spec": {"driver": DRIVER, "nodeName": node, "pool": pool} | part,
        }
        for i, part in enumerate(parts)
    ]


def _full(node: str, index: int, model: Model) -> Json:
    """A whole GPU; where its memory is shared, claims take it by the MiB and by default take all of it."""
    memory = f"{model.memory_mib}Mi"
    attributes = _attributes(index, model) | {
        "type": {"string": "gpu"},
        "uuid": {"string": _uuid(node, index)},
    }
    device: Json = {"name": f"gpu-{index}", "attributes": attributes, "capacity": {"memory": {"value": memory}}}
    if model.mode == "shared":
        policy = {"default": memory, "validRange": {"min": "1Mi", "max": memory, "step": "1Mi"}}
        device["capacity"]["memory"]["requestPolicy"] = policy
        device["allowMultipleAllocations"] = True
    return device


def _mig(node: str, index: int, model: Model) -> Iterator[Json]:
    largest = model.profiles[-1]
    if model.full_beside_mig:
        # under MIG the full card has what its largest profile has
        yield _full(node, index, model) | _share(index, largest, 0)
    for profile in model.profiles:
        short = profile.name.replace(".", "").replace("+", "-")
        for start in profile.starts:
            attributes = _attributes(index, model) | {
                "type": {"string": "mig"},
                "profile": {"string": profile.name},
                "parentUUID": {"string": _uuid(node, index)},
            }
            name = f"gpu-{index}-mig-{short}-{profile.number}-{start}"
            yield {"name": name, "attributes": attributes} | _share(index, profile, start)


def _share(index: int, profile: Profile, start: int) -> Json:
    """What a partition has (`capacity`) and what it takes from its card (`consumesCounters`)."""
    memory, e = f"{profile.memory_mib}Mi", profile.engines
    capacity = {
        "memory": memory,
        "multiprocessors": str(e.multiprocessors),
        "copyEngines": str(e.copy_engines),
        "decoders": str(e.decoders),
        "encoders": "0",
        "jpegEngines": str(e.jpeg_engines),
        "ofaEngines": str(e.ofa_engines),
    }
    slots = {f"memory-slice-{i}": "1" for i in range(start, start + profile.width)}
    consumed = {
        "counterSet": _counter_set(index),
        "counters": _values(_engine_counters(e) | {"memory": memory} | slots),
    }
    return {"capacity": _values(capacity), "consumesCounters": [consumed]}


def _counters(model: Model) -> Json:
    """All that one card offers: the maxima over its profiles and its eight memory slices."""
    engines = Engines(*(max(amounts) for amounts in zip(*(p.engines for p in model.profiles), strict=True)))
    memory = {"memory": f"{max(p.memory_mib for p in model.profiles)}Mi"}
    return _values(_engine_counters(engines) | memory | {f"memory-slice-{i}": "1" for i in range(8)})


def _engine_counters(engines: Engines) -> dict[str, str]:
    amounts = {name.replace("_", "-"): str(amount) for name, amount in engines._asdict().items()}
    return amounts | {"encoders": "0"}


def _values(amounts: dict[str, str]) -> Json:
    return {name: {"value": amount} for name, amount in sorted(amounts.items())}


def _counter_set(index: int) -> str:
    return f"gpu-{index}-counter-set"


def _attributes(index: int, model: Model) -> Json:
    bus, root, numa = _PCI[index]
    # heterogeneous memory management is reported from Hopper on
    addressing = {} if model.architecture == "Ampere" else {"addressingMode": {"string": "HMM"}}
    return addressing | {
        "architecture": {"string": model.architecture},
        "brand": {"string": "Nvidia"},
        "cudaComputeCapability": {"version": model.compute},
        "cudaDriverVersion": {"version": "13.0.0"},
        "driverVersion": {"version": "580.126.20"},
        "productName": {"string": model.product},
        "resource.kubernetes.io/numaNode": {"int": numa},
        "resource.kubernetes.io/pciBusID": {"string": f"0000:{bus}:00.0"},
        "resource.kubernetes.io/pcieRoot": {"string": f"pci0000:{root}"},
    }


def _uuid(node: str, index: int) -> str:
    digest = hashlib.blake2b(f"{node}/{index}".encode(), digest_size=16).hexdigest()
    return f"GPU-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"
