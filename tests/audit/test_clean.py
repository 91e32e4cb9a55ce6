"""Plans that are right although they look odd: no finding."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.model.base import Metadata
from bayplan.model.device import DeviceToleration
from bayplan.model.node import Taint, Toleration
from bayplan.model.plan import Evict, Hold, Place, Plan
from bayplan.model.policy import Policy
from bayplan.model.queue import ClusterQueuePreemption, ResourceFlavor, ResourceFlavorSpec
from bayplan.model.reason import WaitingForPreemptedWorkloads
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodClaim
from tests.audit.plans import (
    Spoil,
    both,
    change,
    claim,
    devices,
    evict,
    node,
    plan,
    queue,
    results,
    template,
    workload,
    world,
)
from tests.audit.test_findings import TAINT
from tests.make import cluster, place, with_pods

SAME = ClusterQueuePreemption(within_cluster_queue="LowerOrNewerEqualPriority")
POLICY = Policy()


def _clean(snapshot: Snapshot, made: Plan) -> bool:
    return audit(snapshot, POLICY, made) == ()


def test_an_empty_plan_for_a_quiet_cluster() -> None:
    assert _clean(cluster("a=8", running="old:8@a", queues="team=8"), Plan())


def test_a_gang_that_lost_a_pod_is_completed() -> None:
    before = with_pods(cluster("r1/a=8 r1/b=8", "gang:2x8@rack", queues="team=16"), "default/gang")
    whole = plan(before, gang="a,b").placed()[0]
    after = before.placing(whole)
    lost = "default/gang-main-1"
    missing = change(whole.pods[1], pod="", claims=tuple(change(c, claim="") for c in whole.pods[1].claims))
    world_now = after.replace(
        pods={k: p for k, p in after.pods.items() if k != lost},
        claims={k: c for k, c in after.claims.items() if not k.startswith(lost)},
    )
    assert _clean(world_now, Plan(decisions=(change(whole, pods=(missing,)),)))


def test_pods_whose_claims_are_allocated_only_need_binding() -> None:
    before = with_pods(cluster("a=8", "job:2x4"), "default/job")
    whole = plan(before, job="a").placed()[0]
    half = before.replace(claims=before.placing(whole).claims)
    assert _clean(half, Plan(decisions=(whole,)))
    bare = change(whole, pods=tuple(change(p, claims=()) for p in whole.pods))
    assert _clean(half, Plan(decisions=(bare,)))


def test_two_pods_share_one_claim() -> None:
    before = with_pods(cluster("a=2", "pair:2x1"), "default/pair")
    shared = "default/pair-main-0-gpu"
    direct = (PodClaim(name="gpu", claim=shared),)
    world_now, made = template("pair", claims=direct)(before, plan(before, pair="a"))
    pods = {k: change(p, claims=(("gpu", shared),)) for k, p in world_now.pods.items()}
    world_now = world_now.replace(pods=pods, claims={shared: world_now.claims[shared]})
    first, second = made.placed()[0].pods
    same = change(second, claims=first.claims)
    assert _clean(world_now, Plan(decisions=(change(made.placed()[0], pods=(first, same)),)))


def test_administration_looks_at_a_busy_gpu() -> None:
    before = cluster("a=1", "probe:1", running="old:1@a")
    label = {"resource.kubernetes.io/admin-access": "true"}
    before = before.replace(
        namespaces={"default": change(before.namespaces["default"], metadata=Metadata(name="default", labels=label))}
    )
    free = before.without("default/old")
    spoil = both(
        claim("probe", admin_access=True), results("probe", lambda r: tuple(change(x, admin_access=True) for x in r))
    )
    assert _clean(*spoil(before, plan(free, probe="a")))


def test_all_gpus_of_a_node_are_all() -> None:
    before = cluster("a=4", "job:4")
    assert _clean(*claim("job", allocation_mode="All", count=1)(before, plan(before, job="a")))


def test_tolerated_taints_are_no_barrier() -> None:
    before = cluster("a=4", "job:4")
    spoil = both(
        devices("a", lambda d: change(d, taints=(TAINT,))),
        claim("job", tolerations=(DeviceToleration(operator="Exists"),)),
        node("a", taints=(Taint(key="gpu", effect="NoSchedule"),), unschedulable=True),
        template("job", tolerations=(Toleration(operator="Exists"),)),
    )
    assert _clean(*spoil(before, plan(before, job="a")))


def test_a_flavor_brings_its_tolerations() -> None:
    before = cluster("a=4", "job:4", queues="team=4")
    flavor = ResourceFlavor(
        metadata=Metadata(name="default"),
        spec=ResourceFlavorSpec(tolerations=(Toleration(key="gpu", operator="Exists"),)),
    )
    tainted = node("a", taints=(Taint(key="gpu", effect="NoSchedule"),))
    spoil = both(tainted, world(lambda s: s.replace(flavors={"default": flavor})))
    assert _clean(*spoil(before, plan(before, job="a")))


def test_an_inherited_excess_stops_nobody() -> None:
    """A queue has lost its quota and a node its memory under a running job; other queues and nodes go on."""
    before = cluster("a=8 b=8", "new:8", running="rest/old:8@a", queues="team=8 rest=8")
    spoil = both(queue("rest", resource_groups=()), node("a", allocatable={}))
    assert _clean(*spoil(before, plan(before, new="b")))


VICTIMS = cluster("a=8", "high:8!9", running="low:8!1@a", queues="team=8")
ALIKE = cluster("a=8", "high:8!1", running="low:8!1@a", queues="team=8", preemption=SAME)
LENT = cluster("a=8", "mine/high:8", running="theirs/low:8!5@a", queues="mine=8@org theirs=0@org")
OLDER = msgspec.structs.replace(ALIKE.workloads["default/high"], created_s=0)


@pytest.mark.parametrize(
    "snapshot",
    [VICTIMS, ALIKE.with_workload(OLDER), LENT],
    ids=["of lower priority", "as important and newer", "on lent quota that is reclaimed"],
)
def test_a_workload_makes_room_for_one(snapshot: Snapshot) -> None:
    assert _clean(snapshot, plan(snapshot, evict("low", "high"), high="a"))
    waits = Hold("default/high", reasons=(WaitingForPreemptedWorkloads(victims=("default/low",)),))
    assert _clean(snapshot, Plan(decisions=(evict("low", "high"), waits)))


@pytest.mark.parametrize(
    "cause",
    [workload("low", active=False), queue("team", stop_policy="HoldAndDrain"), node("a", ready=False)],
    ids=["it was deactivated", "its queue is drained", "its node is lost"],
)
def test_a_workload_leaves_for_nobody_when(cause: Spoil) -> None:
    leaves = Plan(decisions=(Evict("default/low", preemptor="", reason="Deactivated"), *plan(VICTIMS).held()))
    assert _clean(*cause(VICTIMS, leaves))


def test_work_without_a_queue_needs_no_quota() -> None:
    before = cluster("a=8", "job:8")
    made = plan(before, job="a")
    assert isinstance(made.decisions[0], Place) and not made.decisions[0].cluster_queue
    assert _clean(before, made)
    assert place(before, "default/job", "a") == made.decisions[0]
