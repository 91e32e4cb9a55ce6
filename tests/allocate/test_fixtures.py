"""Slices as real drivers publish them."""

from __future__ import annotations

import pytest
import yaml

from bayplan.core.allocate import Catalog
from bayplan.model.codec import from_builtins
from bayplan.model.device import (
    CapacityRequirements,
    DeviceClass,
    DeviceRequest,
    ExactDeviceRequest,
    ResourceClaimSpec,
    ResourceSlice,
)
from bayplan.model.node import Node
from tests.allocate.worlds import amount, selectors, spec
from tests.shared import shared

TABLE = {"1g.10gb": 7, "1g.10gb+me": 1, "1g.20gb": 4, "2g.20gb": 3, "3g.40gb": 2, "4g.40gb": 1, "7g.80gb": 1}


class Fixture:
    """One fixture file's first node and its devices."""

    def __init__(self, file: str) -> None:
        self.slices = [from_builtins(s, ResourceSlice) for s in _documents(file) if s["kind"] == "ResourceSlice"]
        self.node = next(s.spec.node_name for s in self.slices if s.spec.node_name)
        classes = [from_builtins(c, DeviceClass) for c in _documents("deviceclasses.yaml")]
        known = {c.metadata.name: c for c in classes}
        self.catalog = Catalog(self.slices, known, {self.node: Node(name=self.node)})

    @property
    def gpus(self) -> int:
        return sum(len(s.spec.shared_counters) for s in self.slices if s.spec.node_name == self.node)

    def count(self, *parts: DeviceRequest) -> int:
        """How many pods with such a claim an empty node holds."""
        claims: tuple[ResourceClaimSpec, ...] = (spec(*parts),)
        ask = self.catalog.ask(claims)
        assert self.catalog.problem(ask) is None
        taken, wide = self.catalog.start(self.node, ()), self.catalog.start("", ())
        return self.catalog.count(self.catalog.kind(self.node), self.catalog.state(self.node, taken, wide), ask)


def _documents(file: str) -> list[dict[str, object]]:
    return [d for d in yaml.safe_load_all(shared(f"fixtures/{file}").read_text()) if d]


def one(of: str, *where: str, count: int = 1, **capacity: str) -> DeviceRequest:
    amounts = {name: amount(value) for name, value in capacity.items()}
    wanted = CapacityRequirements(amounts) if amounts else None
    return DeviceRequest("r", exactly=ExactDeviceRequest(of, selectors(*where), count=count, capacity=wanted))


@pytest.mark.parametrize("file", ["nvidia-h100-dynamic-mig.yaml", "nvidia-a100-80gb-dynamic-mig.yaml"])
@pytest.mark.parametrize(("profile", "each"), TABLE.items())
def test_every_mig_profile_as_often_as_nvidia_says(file: str, profile: str, each: int) -> None:
    fixture = Fixture(file)
    wanted = one("mig.nvidia.com", f"device.attributes['gpu.nvidia.com'].profile == '{profile}'")
    assert fixture.count(wanted) == each * fixture.gpus


def test_healthy_whole_gpus_only() -> None:
    assert Fixture("nvidia-h100-hgx8.yaml").count(one("gpu.nvidia.com")) == 7


@pytest.mark.parametrize(
    ("file", "wanted", "expected"),
    [
        ("nvidia-h100-shares-memory.yaml", one("gpu.nvidia.com", memory="12Gi"), 12),
        ("nvidia-h100-shares-memory.yaml", one("gpu.nvidia.com"), 2),
        ("dra-cpu-grouped.yaml", DeviceRequest("r", exactly=ExactDeviceRequest("dra.cpu")), 2),
        ("google-tpu-v6e.yaml", one("tpu.google.com", count=4), 1),
    ],
    ids=["12Gi shares of two 80 GB GPUs", "a share of everything is the GPU", "CPU groups", "TPU chips of a node"],
)
def test_as_many_as_fit(file: str, wanted: DeviceRequest, expected: int) -> None:
    assert Fixture(file).count(wanted) == expected
