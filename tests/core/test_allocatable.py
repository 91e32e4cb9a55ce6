"""Devices that stand for cores, or cost memory beside, take them from their node (KEP-5517)."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.audit.findings import NodeOverfull
from bayplan.core import decide
from bayplan.core.explain import describe
from bayplan.model.codec import from_builtins
from bayplan.model.device import (
    CapacityRequirements,
    Device,
    DeviceCapacity,
    NodeAllocatableResource,
    ResourceClaimSpec,
)
from bayplan.model.node import Node
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodClaim, PodSet, PodTemplate, Workload
from tests.allocate.worlds import amount, classes, device, request, slice_of, spec

BLIND = Policy(features=tuple(f for f in Policy().features if f != "DRANodeAllocatableResources"))
GIB = 1 << 30


def allocatable(**resources: dict[str, object]) -> dict[str, NodeAllocatableResource]:
    return {r: from_builtins(v, NodeAllocatableResource) for r, v in resources.items()}


def cores(name: str, many: int) -> Device:
    """A group of cores that pods have shares of, as dra.cpu publishes them."""
    mapping = {"capacityKey": "dra.cpu/cpu", "capacityMultiplier": "1"}
    return Device(
        name=name,
        capacity={"dra.cpu/cpu": DeviceCapacity(amount(many))},
        allow_multiple_allocations=True,
        node_allocatable_resources=allocatable(cpu={"mapping": mapping}),
    )


def world(*devices: Device, **pods: tuple[int, ResourceClaimSpec | None, int, int]) -> Snapshot:
    """A node of 16 cores and 64 GiB with these devices; per workload how many pods, their claim, cores of their own,
    and how many containers use the claim."""
    node = Node(name="node", allocatable={"cpu": 16_000, "memory": 64 * GIB, "pods": 110})
    snapshot = Snapshot(device_classes=classes()).with_nodes([node], [slice_of(*devices)])
    for at, (name, (count, claim, cpu, containers)) in enumerate(pods.items()):
        claims = (PodClaim(name="c", template=claim, containers=containers),) if claim else ()
        template = PodTemplate(requests=(("cpu", cpu * 1000), ("pods", 1)), claims=claims)
        sets = (PodSet(name="main", count=count, template=template),)
        snapshot = snapshot.with_workload(Workload(namespace="default", name=name, pod_sets=sets, created_s=at))
    return snapshot


def share(many: int) -> ResourceClaimSpec:
    asked = request("cpu")
    assert asked.exactly is not None
    wanted = CapacityRequirements({"dra.cpu/cpu": amount(many)})
    return spec(msgspec.structs.replace(asked, exactly=msgspec.structs.replace(asked.exactly, capacity=wanted)))


def placed(snapshot: Snapshot, policy: Policy = Policy()) -> list[str]:  # noqa: B008
    plan = decide(snapshot, policy, now_s=9)
    assert audit(snapshot, policy, plan) == ()
    return [d.workload.partition("/")[2] for d in plan.placed()]


def test_cores_by_claim_and_by_request_come_from_one_node() -> None:
    both = {"claims": (1, share(10), 0, 1), "requests": (1, None, 8, 1)}
    assert placed(world(cores("group", 16), **both)) == ["claims"]
    assert placed(world(cores("group", 16), **both), BLIND) == ["claims", "requests"]
    assert placed(world(cores("group", 16), first=both["requests"], second=both["claims"])) == ["first"]


def test_what_runs_counts_and_what_ends_is_free_again() -> None:
    before = world(cores("group", 16), old=(1, share(10), 0, 1))
    (old,) = decide(before, Policy(), now_s=9).placed()
    after = before.placing(old).with_workload(world(cores("group", 16), new=(1, None, 8, 1)).workloads["default/new"])
    assert placed(after) == []
    (hold,) = decide(after, Policy(), now_s=9).held()
    assert "lack cpu" in describe(hold, after)
    urgent = msgspec.structs.replace(after.workloads["default/new"], priority=5)
    plan = decide(after.with_workload(urgent), Policy(), now_s=9)
    assert [e.workload for e in plan.evicted()] == ["default/old"]
    assert placed(after.without("default/old")) == ["new"]


def test_a_gang_is_as_large_as_the_cores_allow() -> None:
    assert placed(world(cores("group", 64), gang=(4, share(3), 1, 1))) == ["gang"]
    assert placed(world(cores("group", 64), gang=(5, share(3), 1, 1))) == []


@pytest.mark.parametrize(("containers", "pods"), [(0, 4), (1, 3), (3, 2), (7, 1)])
def test_overhead_per_pod_and_per_container(containers: int, pods: int) -> None:
    """64 GiB: 16 GiB a pod, and 5 GiB for every container with the GPU."""
    costs = allocatable(memory={"overhead": {"perPod": "16Gi", "perContainer": "5Gi"}})
    gpus = [msgspec.structs.replace(device(f"gpu-{i}"), node_allocatable_resources=costs) for i in range(8)]
    asks = {f"w{i}": (1, spec(request("gpu")), 0, containers) for i in range(5)}
    assert len(placed(world(*gpus, **asks))) == pods


def test_whole_devices_that_stand_for_cores() -> None:
    each = allocatable(cpu={"mapping": {"deviceMultiplier": "8"}})
    ccx = [msgspec.structs.replace(device(f"ccx-{i}"), node_allocatable_resources=each) for i in range(4)]
    assert placed(world(*ccx, three=(1, spec(request("r", count=3)), 0, 1))) == []
    assert placed(world(*ccx, two=(1, spec(request("r", count=2)), 0, 1))) == ["two"]


def test_the_audit_finds_a_node_overfull_by_its_devices() -> None:
    snapshot = world(cores("group", 16), claims=(1, share(10), 0, 1), requests=(1, None, 8, 1))
    plan: Plan = decide(snapshot, BLIND, now_s=9)
    assert NodeOverfull("node", "cpu", 18_000, 16_000) in audit(snapshot, Policy(), plan)
