"""KEP-5517 in both of its spellings."""

from __future__ import annotations

from typing import Any

import pytest

from bayplan.model.codec import from_builtins, to_builtins
from bayplan.model.device import AllocationResult
from bayplan.wire.allocatable import declaring, statuses
from bayplan.wire.devices import resource_slice
from bayplan.wire.pods import PodSpec

OLD = {"cpu": {"capacityKey": "x/cpu", "allocationMultiplier": "2"}, "memory": {"allocationMultiplier": "1Gi"}}
NEW = {
    "cpu": {"mapping": {"capacityKey": "x/cpu", "capacityMultiplier": "2"}},
    "memory": {"mapping": {"deviceMultiplier": "1Gi"}},
}
COSTS = {"memory": {"overhead": {"perPod": "16Gi", "perContainer": "512Mi"}}}


def piece(generation: int = 1, name: str = "d", **device: Any) -> dict[str, Any]:
    pool = {"name": "p", "generation": generation, "resourceSliceCount": 1}
    spec = {"driver": "x", "nodeName": "n", "pool": pool, "devices": [{"name": name, **device}]}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"}, "spec": spec}


def given(*amounts: str) -> AllocationResult:
    found = [
        {"request": "r", "driver": "x", "pool": "p", "device": "d", **({"consumedCapacity": {"x/cpu": a}} if a else {})}
        for a in amounts
    ]
    return from_builtins({"devices": {"results": found}}, AllocationResult)


def told(allocation: AllocationResult, containers: int = 1, **device: Any) -> list[Any]:
    using = {"resources": {"claims": [{"name": "c"}]}}
    spec = {"initContainers": [{"name": "init"}], "containers": [{"name": f"m{i}", **using} for i in range(containers)]}
    devices = declaring([resource_slice(piece(**device))])
    return statuses(from_builtins(spec, PodSpec), {"c": ("claim", allocation)}, devices)


@pytest.mark.parametrize("version", ["v1", "v1beta2", "v1beta1"])
def test_a_device_of_1_36_reads_as_one_of_1_37(version: str) -> None:
    new, old = piece(nodeAllocatableResources=NEW), piece(nodeAllocatableResourceMappings=OLD)
    if version == "v1beta1":
        old["spec"]["devices"] = [{"name": "d", "basic": {"nodeAllocatableResourceMappings": OLD}}]
    old["apiVersion"] = f"resource.k8s.io/{version}"
    (read,) = resource_slice(old).spec.devices
    assert to_builtins(read) == to_builtins(resource_slice(new).spec.devices[0])


@pytest.mark.parametrize("field", [{"nodeAllocatableResourceMappings": OLD}, {"nodeAllocatableResources": NEW}])
def test_a_status_says_what_is_mapped_as_both_releases_do(field: dict[str, Any]) -> None:
    assert told(given("4", "1500m"), containers=2, **field) == [
        {
            "resourceClaimName": "claim",
            "containers": ["m0", "m1"],
            "resources": {"cpu": "11", "memory": "2Gi"},
            "mapping": [{"name": "cpu", "quantity": "11"}, {"name": "memory", "quantity": "2Gi"}],
        }
    ]


def test_overhead_is_told_apart_from_what_is_mapped() -> None:
    (found,) = told(given(""), nodeAllocatableResources=COSTS)
    assert found["overhead"] == [{"name": "memory", "perPod": "16Gi", "perContainer": "512Mi"}]
    assert "resources" not in found and "mapping" not in found


def test_nothing_is_said_of_a_claim_that_no_container_uses_nor_of_other_devices() -> None:
    assert told(given("4"), containers=0, nodeAllocatableResourceMappings=OLD) == []
    assert told(given("4"), name="other", nodeAllocatableResourceMappings=OLD) == []
    assert told(given("4")) == []


def test_the_newest_generation_of_a_pool_counts() -> None:
    slices = [
        resource_slice(piece(generation=2, nodeAllocatableResources=COSTS)),
        resource_slice(piece(generation=1, nodeAllocatableResources=NEW)),
    ]
    (device,) = declaring(slices).values()
    assert sorted(device.node_allocatable_resources) == ["memory"]
