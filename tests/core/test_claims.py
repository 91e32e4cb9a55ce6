"""Claims that are not simply made for one pod: allocated before the pod is bound, named directly, shared."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.core import decide
from bayplan.model.base import Metadata
from bayplan.model.device import (
    CELDeviceSelector,
    Device,
    DeviceClass,
    DeviceClassSpec,
    DeviceSelector,
    ExactDeviceRequest,
    ResourceClaim,
    ResourceClaimConsumerReference,
    ResourceClaimSpec,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
)
from bayplan.model.node import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from bayplan.model.reason import PendingEvaluation, WaitingForPreemptedWorkloads, WaitingForQuota
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Pod, PodClaim, PodSet, PodTemplate, TopologyRequest, Workload
from tests.core.scenes import POLICY, decided, in_words
from tests.make import DRIVER, LEVELS, claim, claim_of, cluster


def sharing(snapshot: Snapshot, *, pods: int, sets: int = 1) -> Snapshot:
    """The snapshot with a gang whose pods all name one existing claim of two GPUs."""
    shared = ResourceClaim(metadata=Metadata(name="shared", namespace="default"), spec=claim("2"))
    template = PodTemplate(
        requests=(("pods", 1),), claims=(PodClaim(name="gpu", template=shared.spec, claim="default/shared"),)
    )
    gang = Workload(
        namespace="default",
        name="gang",
        pod_sets=tuple(PodSet(name=f"set-{i}", count=pods, template=template) for i in range(sets)),
    )
    return snapshot.replace(claims=snapshot.claims | {"default/shared": shared}).with_workload(gang)


@pytest.mark.parametrize(("pods", "sets"), [(1, 1), (4, 1), (2, 2)], ids=["one pod", "a gang", "two pod sets"])
def test_pods_that_share_a_claim_go_where_its_devices_are(pods: int, sets: int) -> None:
    snapshot = sharing(cluster("a=1 b=8 c=8"), pods=pods, sets=sets)
    plan = decide(snapshot, POLICY, now_s=1)
    assert audit(snapshot, POLICY, plan) == ()
    (place,) = plan.placed()
    assert {p.node for p in place.pods} == {"b"}
    given = [c.claim for p in place.pods for c in p.claims]
    assert given == ["default/shared"] and len(place.pods) == pods * sets


def test_a_second_workload_follows_a_claim_that_this_cycle_allocated() -> None:
    snapshot = sharing(cluster("a=8 b=8"), pods=1)
    gang = snapshot.workloads["default/gang"]
    second = msgspec.structs.replace(gang, name="later", created_s=5)
    plan = decide(snapshot.with_workload(second), POLICY, now_s=1)
    assert [d.workload for d in plan.placed()] == ["default/gang", "default/later"]
    assert len({p.node for d in plan.placed() for p in d.pods}) == 1
    assert audit(snapshot.with_workload(second), POLICY, plan) == ()


def test_a_pod_whose_claim_is_allocated_but_which_is_not_bound_goes_to_its_devices() -> None:
    """Somebody stopped between the two writes."""
    snapshot = cluster("a=8 b=8 c=8", "gang:2x8")
    (place,) = decide(snapshot, POLICY, now_s=1).placed()
    after = snapshot.placing(place, now_s=1)
    half = {k: msgspec.structs.replace(p, node="") if p.index == 1 else p for k, p in after.pods.items()}
    lost = next(p.node for p in after.pods.values() if p.index == 1)
    world = after.replace(pods=half)
    assert decided(world) == {"gang": lost}
    assert audit(world, POLICY, decide(world, POLICY, now_s=2)) == ()


def test_all_devices_of_a_node_are_charged_each() -> None:
    everything = ExactDeviceRequest(device_class_name=DRIVER, allocation_mode="All")
    snapshot = cluster("a=8", "x:1", queues="team=7")
    template = PodTemplate(requests=(("pods", 1),), claims=(PodClaim(name="gpu", template=claim_of(everything)),))
    x = msgspec.structs.replace(
        snapshot.workloads["default/x"], pod_sets=(PodSet(name="main", count=1, template=template),)
    )
    assert decided(snapshot.with_workload(x)) == {"x": "held: ExceedsMaxQuota"}
    assert decided(cluster("a=8", queues="team=8").with_workload(x)) == {"x": "a"}


# --- whom a shared claim takes along -----------------------------------------------------------------------------


def crew(snapshot: Snapshot, *, pods: int, cpu: int, asked: ResourceClaimSpec, required: str = "") -> Snapshot:
    """The snapshot with a gang that shares a claim of its group; each pod takes so many cores."""
    shared = ResourceClaim(metadata=Metadata(name="shared", namespace="default"), spec=asked)
    template = PodTemplate(
        requests=(("cpu", cpu * 1000), ("pods", 1)),
        claims=(PodClaim(name="gpu", template=asked, claim="default/shared"),),
    )
    sets = (PodSet(name="main", count=pods, template=template, topology=TopologyRequest(required=required)),)
    gang = Workload(namespace="default", name="gang", pod_sets=sets)
    return snapshot.replace(claims=snapshot.claims | {"default/shared": shared}).with_workload(gang)


def cores(snapshot: Snapshot, **cores: int) -> Snapshot:
    """The snapshot with nodes of so many cores."""
    nodes = {
        name: msgspec.structs.replace(
            snapshot.nodes[name], allocatable=dict(snapshot.nodes[name].allocatable) | {"cpu": n * 1000}
        )
        for name, n in cores.items()
    }
    return snapshot.replace(nodes=snapshot.nodes | nodes)


def network(snapshot: Snapshot, *, zone: str = "", count: int = 1) -> Snapshot:
    """The snapshot with devices that every node reaches, or every node of the rack `zone`."""
    only = NodeSelector((NodeSelectorTerm((NodeSelectorRequirement(LEVELS["rack"], "In", (zone,)),)),))
    reach = {"node_selector": only} if zone else {"all_nodes": True}
    devices = (*(Device(name=f"port-{i}") for i in range(count)),)
    pool = ResourcePool(name=f"net-{zone}")
    made = ResourceSlice(ResourceSliceSpec(driver="net", pool=pool, devices=devices, **reach))  # type: ignore[arg-type]
    classes = {"net": DeviceClass(Metadata(name="net"), DeviceClassSpec(selectors=(_driver("net"),)))}
    return snapshot.replace(slices=(*snapshot.slices, made), device_classes=dict(snapshot.device_classes) | classes)


def _driver(name: str) -> DeviceSelector:
    return DeviceSelector(cel=CELDeviceSelector(expression=f"device.driver == '{name}'"))


PORT = claim_of(ExactDeviceRequest(device_class_name="net"))


def nodes_of(snapshot: Snapshot) -> list[str]:
    plan = decide(snapshot, POLICY, now_s=1)
    assert audit(snapshot, POLICY, plan) == ()
    return sorted(p.node for d in plan.placed() for p in d.pods)


def test_the_devices_are_taken_where_the_whole_gang_has_room() -> None:
    """The node that suits the first pod best has none for the others."""
    snapshot = cores(cluster("a=2 b=8 c=8"), a=4, b=10, c=40)
    assert nodes_of(crew(snapshot, pods=4, cpu=4, asked=claim("2"))) == ["c"] * 4
    assert nodes_of(crew(cores(snapshot, c=12), pods=4, cpu=4, asked=claim("2"))) == []


def test_what_all_nodes_reach_spans_nodes() -> None:
    snapshot = network(cores(cluster("a=0 b=0 c=0"), a=8, b=8, c=4))
    assert nodes_of(crew(snapshot, pods=5, cpu=4, asked=PORT)) == ["a", "a", "b", "b", "c"]
    assert nodes_of(crew(snapshot, pods=6, cpu=4, asked=PORT)) == []


def test_what_some_nodes_reach_keeps_the_gang_among_them() -> None:
    snapshot = network(network(cores(cluster("r1/a=0 r1/b=0 r2/c=0 r2/d=0"), a=8, b=4, c=8, d=8), zone="r1"), zone="r2")
    assert nodes_of(crew(snapshot, pods=4, cpu=4, asked=PORT)) == ["c", "c", "d", "d"]
    assert nodes_of(crew(snapshot, pods=5, cpu=4, asked=PORT)) == []


def test_one_that_follows_stays_in_the_rack_of_the_first() -> None:
    snapshot = network(cores(cluster("r1/a=0 r1/b=0 r2/c=0 r2/d=0"), a=8, b=4, c=8, d=8))
    gang = crew(snapshot, pods=4, cpu=4, asked=PORT, required=LEVELS["rack"])
    assert nodes_of(gang) == ["c", "c", "d", "d"]
    assert nodes_of(crew(snapshot, pods=5, cpu=4, asked=PORT, required=LEVELS["rack"])) == []
    assert len(nodes_of(crew(snapshot, pods=5, cpu=4, asked=PORT))) == 5


def test_pods_whose_template_does_not_tell_are_seen_to_share() -> None:
    """A Job's pods that its own controller put into a group."""
    world = crew(cores(cluster("a=2 b=8"), a=4, b=40), pods=4, cpu=4, asked=claim("2"))
    gang = world.workloads["default/gang"]
    (main,) = gang.pod_sets
    blind = msgspec.structs.replace(main.template, claims=(PodClaim(name="gpu", template=claim("2")),))
    world = world.with_workload(
        msgspec.structs.replace(gang, pod_sets=(msgspec.structs.replace(main, template=blind),))
    )
    pods = {
        f"default/p{i}": Pod(
            namespace="default",
            name=f"p{i}",
            uid=f"u{i}",
            workload="default/gang",
            pod_set="main",
            index=i,
            requests=main.template.requests,
            claims=(("gpu", "default/shared"),),
        )
        for i in range(4)
    }
    world = world.replace(pods=pods)
    assert nodes_of(world) == ["b"] * 4
    (place,) = decide(world, POLICY, now_s=1).placed()
    assert [c.claim for p in place.pods for c in p.claims] == ["default/shared"]


def test_a_shared_claim_is_charged_once_before_and_after_it_has_its_devices() -> None:
    snapshot = cluster("a=8", "next:1", queues="team=4")
    world = crew(snapshot, pods=3, cpu=1, asked=claim("4"))
    before = world.with_workload(msgspec.structs.replace(world.workloads["default/gang"], queue_name="team"))
    plan = decide(before, POLICY, now_s=1)
    assert audit(before, POLICY, plan) == ()
    assert in_words(plan) == {"gang": "a a a", "next": "held: WaitingForQuota"}, "gang was made first"
    after = before.placing(plan.placed()[0])
    running = after.workloads["default/gang"]
    (main,) = running.pod_sets
    given = msgspec.structs.replace(main.template, claims=(PodClaim(name="gpu", claim="default/shared"),))
    running = msgspec.structs.replace(running, pod_sets=(msgspec.structs.replace(main, template=given),))
    later = after.with_workload(running)
    assert decided(later) == {"next": "held: WaitingForQuota"}
    (hold,) = decide(later, POLICY, now_s=1).held()
    (reason,) = hold.reasons
    assert isinstance(reason, WaitingForQuota) and reason.available_milli == 0


# --- a group that has no pods any more ---------------------------------------------------------------------------


def deserted(snapshot: Snapshot) -> Snapshot:
    """The gang's pods are gone; the claim of its group, which lives on, still has all eight GPUs of node "a"."""
    world = crew(snapshot.replace(workloads={}), pods=2, cpu=1, asked=claim("8"))
    gone = world.placing(decide(world, POLICY, now_s=1).placed()[0])
    held = gone.claims["default/shared"]
    group = ResourceClaimConsumerReference("podgroups", "g", "uid-g", api_group="scheduling.k8s.io")
    held = msgspec.structs.replace(held, status=msgspec.structs.replace(held.status, reserved_for=(group,)))
    return snapshot.replace(claims={"default/shared": held})


def test_what_a_group_keeps_is_not_about_to_be_given_back() -> None:
    """It has finished: whoever deletes the group frees its devices, and nobody knows when."""
    world = deserted(cluster("a=8", "next:8"))
    assert decided(world) == {"next": "held: TopologyPlacementFailed"}


def test_what_a_gang_that_was_ended_left_behind_is_freed_before_it_is_looked_at_again() -> None:
    world = deserted(cluster("a=8", "next:8!9"))
    (main,) = crew(world, pods=2, cpu=1, asked=claim("8")).workloads["default/gang"].pod_sets
    asks = msgspec.structs.replace(main.template, claims=(PodClaim(name="gpu", claim="default/shared"),))
    sets = (msgspec.structs.replace(main, template=asks),)
    world = world.with_workload(Workload(namespace="default", name="gang", pod_sets=sets))
    plan = decide(world, POLICY, now_s=1)
    assert audit(world, POLICY, plan) == ()
    assert [d.claims for d in plan.deallocated()] == [("default/shared",)]
    reasons = {h.workload: type(h.reasons[0]) for h in plan.held()}
    assert reasons == {"default/next": WaitingForPreemptedWorkloads, "default/gang": PendingEvaluation}
