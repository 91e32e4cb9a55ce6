"""`nvidia.com/gpu: 2` where no device plugin offers it: served by devices, as KEP-5004 has it."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.audit import findings as f
from bayplan.core import decide
from bayplan.model.plan import Plan
from bayplan.model.reason import DevicesNotFound, TopologyPlacementFailed
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import EXTENDED_CLAIM, ExtendedRequest, PodTemplate
from tests.core.scenes import POLICY, decided
from tests.make import DRIVER, GPU, cluster

replace = msgspec.structs.replace
IMPLICIT = f"deviceclass.resource.kubernetes.io/{DRIVER}"


def asking(snapshot: Snapshot, *counts: int, resource: str = GPU) -> Snapshot:
    """Every pending workload's pods have one container for each count, which asks that many of the resource."""
    template = PodTemplate(
        requests=((resource, sum(counts)), ("pods", 1)),
        extended=tuple(ExtendedRequest(f"container-{i}-request-0", resource, n) for i, n in enumerate(counts)),
    )
    for key, workload in snapshot.workloads.items():
        if workload.admission is None:
            sets = tuple(replace(s, template=template) for s in workload.pod_sets)
            snapshot = snapshot.replace(workloads=snapshot.workloads | {key: replace(workload, pod_sets=sets)})
    return snapshot


def planned(snapshot: Snapshot) -> Plan:
    plan = decide(snapshot, POLICY, now_s=1)
    assert [str(x) for x in audit(snapshot, POLICY, plan)] == []
    return plan


@pytest.mark.parametrize("resource", [GPU, IMPLICIT], ids=["the class' own name for it", "the implicit name"])
def test_devices_serve_what_no_node_offers(resource: str) -> None:
    (place,) = planned(asking(cluster("a=8", "job:2"), 2, 1, resource=resource)).placed()
    (given,) = place.pods[0].claims
    assert (given.name, given.claim) == (EXTENDED_CLAIM, "")
    assert given.spec is not None and [r.name for r in given.spec.devices.requests] == [
        "container-0-request-0",
        "container-1-request-0",
    ]
    assert [r.request for r in given.allocation.devices.results] == [
        "container-0-request-0",
        "container-0-request-0",
        "container-1-request-0",
    ]


def test_nodes_with_a_device_plugin_count_their_own() -> None:
    (place,) = planned(asking(cluster("a=8:plugin", "job:2"), 2)).placed()
    assert place.pods[0].claims == ()


def test_the_other_sort_of_node_is_used_when_one_is_full() -> None:
    """One pod on the plugin's GPUs, one on devices; the third waits."""
    world = asking(cluster("a=4:plugin b=4", "x:4 y:4 z:4"), 4)
    assert decided(world) == {"x": "a", "y": "b", "z": "held: TopologyPlacementFailed TopologyPlacementFailed"}
    planned(world)


def test_a_bound_pod_keeps_its_devices_and_its_quota() -> None:
    world = asking(cluster("a=4 b=4:plugin", "x:4 y:2", queues="team=4"), 4)
    first = world.without("default/y")
    after = first.carried_out(planned(first))
    assert decided(after.with_workload(world.workloads["default/y"])) == {"y": "held: WaitingForQuota"}
    more = asking(cluster("", "z:4"), 4).workloads["default/z"]
    assert decided(after.with_workload(more)) == {"z": "a" if next(iter(after.pods.values())).node == "b" else "b"}


def test_a_node_that_has_both_serves_by_its_plugin_alone() -> None:
    world = asking(cluster("a=8", "x:4 y:4"), 4)
    both = replace(world.nodes["a"], allocatable=world.nodes["a"].allocatable | {GPU: 4})
    world = world.replace(nodes={"a": both})
    (place,) = planned(world).placed()
    assert place.pods[0].claims == ()


def test_a_gang_takes_one_sort_of_node() -> None:
    world = asking(cluster("a=4:plugin b=4 c=4", "gang:2x4"), 4)
    assert decided(world) == {"gang": "b c"}
    planned(world)


def test_devices_that_are_not_there_are_a_reason() -> None:
    (hold,) = decide(asking(cluster("a=8:a100mig", "job:1"), 1), POLICY, now_s=1).held()
    assert isinstance(hold.reasons[0], DevicesNotFound)


def test_without_the_feature_nobody_serves_it() -> None:
    off = replace(POLICY, features=tuple(x for x in POLICY.features if x != "DRAExtendedResource"))
    (hold,) = decide(asking(cluster("a=8", "job:1"), 1), off, now_s=1).held()
    assert isinstance(hold.reasons[0], TopologyPlacementFailed) and hold.reasons[0].lacking == ((GPU, 1),)


def test_a_newer_class_of_the_same_name_serves() -> None:
    world = asking(cluster("a=8", "job:1"), 1)
    old = world.device_classes[DRIVER]
    newer = replace(old, metadata=replace(old.metadata, name="new", creation_timestamp="2026-01-01T00:00:00Z"))
    plan = planned(world.replace(device_classes=world.device_classes | {"new": newer}))
    spec = plan.placed()[0].pods[0].claims[0].spec
    assert spec is not None and spec.devices.requests[0].exactly is not None
    assert spec.devices.requests[0].exactly.device_class_name == "new"


def test_audit_finds_a_pod_without_the_devices_that_serve_it() -> None:
    world = asking(cluster("a=8", "job:2"), 2)
    (place,) = planned(world).placed()
    bare = replace(place, pods=(replace(place.pods[0], claims=()),))
    kinds = {type(x) for x in audit(world, POLICY, Plan(decisions=(bare,)))}
    assert kinds == {f.ClaimUnserved, f.NodeOverfull}


def test_audit_finds_devices_beside_a_device_plugin() -> None:
    world = asking(cluster("a=8", "job:2"), 2)
    plan = planned(world)
    offering = replace(world.nodes["a"], allocatable=world.nodes["a"].allocatable | {GPU: 8})
    spoilt = world.replace(nodes={"a": offering})
    assert [type(x) for x in audit(spoilt, POLICY, plan)] == [f.ClaimUnknown]
