"""Claims that are not simply made for one pod: allocated before the pod is bound, named directly, shared."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.core import decide
from bayplan.model.base import Metadata
from bayplan.model.device import ExactDeviceRequest, ResourceClaim
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodClaim, PodSet, PodTemplate, Workload
from tests.core.scenes import POLICY, decided
from tests.make import DRIVER, claim, claim_of, cluster


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
