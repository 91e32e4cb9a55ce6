"""Whole decisions on small worlds."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.core import decide, describe
from bayplan.model.device import ExactDeviceRequest, ResourceClaimConsumerReference
from bayplan.model.node import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from bayplan.model.queue import ClusterQueuePreemption
from bayplan.model.reason import TopologyPlacementFailed
from bayplan.model.workload import PodClaim
from tests.core.scenes import POLICY, decided, in_words
from tests.devices import LEVELS, MIG, selector
from tests.make import claim_of, cluster

SCENES = [
    ("priority goes first", "a=8", "low:8 high:8!9", "", "", {"high": "a", "low": "held: TopologyPlacementFailed"}),
    ("age breaks ties", "a=8", "first:8 second:8", "", "", {"first": "a", "second": "held: TopologyPlacementFailed"}),
    ("a gang gets one rack", "r1/a=8 r2/b=8 r2/c=8", "gang:2x8@rack", "", "", {"gang": "b c"}),
    (
        "a gang too large for any rack waits although the fleet has room",
        "r1/a=8 r2/b=8",
        "gang:2x8@rack",
        "",
        "",
        {"gang": "held: TopologyPlacementFailed"},
    ),
    ("a preferred rack is left when it has to be", "r1/a=8 r2/b=8", "gang:2x8~rack", "", "", {"gang": "a b"}),
    ("the tightest rack is taken", "r1/a=8 r1/b=8 r1/c=8 r2/d=8 r2/e=8", "gang:2x8@rack", "", "", {"gang": "d e"}),
    (
        "two gangs that want one rack: one runs, one waits",
        "r1/a=8 r1/b=8",
        "x:2x8@rack y:2x8@rack",
        "",
        "",
        {"x": "a b", "y": "held: TopologyPlacementFailed"},
    ),
    ("a gang without a wish still stays together", "r1/a=8 r2/b=8 r2/c=8", "gang:2x8", "", "", {"gang": "b c"}),
    ("a small gang fills one node", "a=8 b=8", "gang:4x2", "", "", {"gang": "a a a a"}),
    ("single GPUs keep whole nodes whole", "a=8 b=8", "x:1 y:1 z:1", "", "", {"x": "a", "y": "a", "z": "a"}),
    ("a broken node is used up first", "a=8 b=8", "x:1", "old:3@b", "", {"x": "b"}),
    (
        "six 12Gi services share one card",
        "a=1:a100share b=1:a100share",
        "s1:12Gi s2:12Gi s3:12Gi s4:12Gi s5:12Gi s6:12Gi s7:12Gi",
        "",
        "",
        {"s1": "a", "s2": "a", "s3": "a", "s4": "a", "s5": "a", "s6": "a", "s7": "b"},
    ),
    (
        "seven 1g.10gb partitions fill one card",
        "a=1:a100mig b=1:a100mig",
        "m:7x1g.10gb",
        "",
        "",
        {"m": " ".join("a" * 7)},
    ),
    (
        "a share goes where GPUs are shared, a whole GPU where they are whole",
        "a=8 b=2:a100share",
        "whole:8 share:12Gi",
        "",
        "",
        {"whole": "a", "share": "b"},
    ),
    (
        "quota stops what devices would allow",
        "a=8",
        "x:4 y:8",
        "",
        "team=8",
        {"x": "a", "y": "held: WaitingForQuota"},
    ),
    ("more than the queue could ever have", "a=8 b=8", "x:16", "", "team=8", {"x": "held: ExceedsMaxQuota"}),
    (
        "a cohort lends what nobody uses",
        "a=8 b=8",
        "one/x:2x8",
        "",
        "one=8@all two=8@all",
        {"x": "a b"},
    ),
    (
        "lent quota comes back",
        "a=8 b=8",
        "two/y:8",
        "one/x:2x8@a,b",
        "one=8@all two=8@all",
        {"x": "evicted by y (InCohortReclamation)", "y": "held: WaitingForPreemptedWorkloads"},
    ),
    (
        "the cheapest gang leaves, devices included",
        "a=8 b=8",
        "high:8!9",
        "low:8!1@a lower:8!0@b",
        "",
        {"lower": "evicted by high (Preempted)", "high": "held: WaitingForPreemptedWorkloads"},
    ),
    (
        "a gang with a required rack ends only gangs of that rack",
        "r1/a=8 r1/b=8 r2/c=8",
        "high:2x8@rack!9",
        "x:8@a y:8@c",
        "",
        {"x": "evicted by high (Preempted)", "high": "held: WaitingForPreemptedWorkloads"},
    ),
    (
        "nobody is ended when it would not help",
        "a=8 b=8",
        "high:3x8!9",
        "low:8@a",
        "",
        {"high": "held: TopologyPlacementFailed"},
    ),
    ("equals are not ended", "a=8", "late:8", "early:8@a", "", {"late": "held: TopologyPlacementFailed"}),
]


@pytest.mark.parametrize(
    ("nodes", "workloads", "running", "queues", "expected"), [s[1:] for s in SCENES], ids=[s[0] for s in SCENES]
)
def test_decides(nodes: str, workloads: str, running: str, queues: str, expected: dict[str, str]) -> None:
    snapshot = cluster(nodes, workloads, running=running, queues=queues)
    assert decided(snapshot) == expected
    assert audit(snapshot, POLICY, decide(snapshot, POLICY, now_s=1000)) == ()


def test_deciding_again_after_a_plan_changes_nothing() -> None:
    snapshot = cluster("r1/a=8 r1/b=8 r2/c=8", "x:2x8@rack y:4 z:9x8 s:1 t:1", running="old:2@c")
    after = snapshot.carried_out(decide(snapshot, POLICY, now_s=1000))
    again = decide(after, POLICY, now_s=1001)
    assert again.placed() == () and again.evicted() == ()
    assert [h.workload for h in again.held()] == ["default/z"]


def test_same_in_same_out() -> None:
    snapshot = cluster("n*8=8", " ".join(f"w{i}:{1 + i % 5}" for i in range(30)))
    shuffled = snapshot.replace(
        nodes=dict(reversed(snapshot.nodes.items())), workloads=dict(reversed(snapshot.workloads.items()))
    )
    assert decide(snapshot, POLICY, now_s=5) == decide(shuffled, POLICY, now_s=5)


def test_a_preemptor_waits_for_its_victims_and_then_starts() -> None:
    snapshot = cluster("a=8", "high:8!9 low:1", running="old:8@a")
    leaving = {k: msgspec.structs.replace(p, terminating=True) for k, p in snapshot.pods.items()}
    evicted = snapshot.replace(
        pods=leaving, workloads={k: w for k, w in snapshot.workloads.items() if k != "default/old"}
    )
    assert decided(evicted) == {
        "high": "held: WaitingForPreemptedWorkloads",
        "low": "held: TopologyPlacementFailed",
    }
    gone = evicted.replace(pods={}, claims={})
    assert decided(gone)["high"] == "a"


def test_a_preemptor_waits_for_devices_whose_pods_have_gone_and_ends_nobody_else() -> None:
    """Pods go at once, their claims are released by a controller a little later."""
    snapshot = cluster("a=8 b=8", "high:8!9", running="old:8@a other:8@b")
    used = ResourceClaimConsumerReference(resource="pods", name="old-0", uid="gone")
    claims = {
        k: msgspec.structs.replace(c, status=msgspec.structs.replace(c.status, reserved_for=(used,)))
        for k, c in snapshot.claims.items()
        if k.startswith("default/old")
    }
    assert claims
    left = snapshot.replace(
        pods={k: p for k, p in snapshot.pods.items() if p.workload != "default/old"},
        workloads={k: w for k, w in snapshot.workloads.items() if k != "default/old"},
        claims=snapshot.claims | claims,
    )
    plan = decide(left, POLICY, now_s=1)
    assert not plan.evicted()
    (hold,) = plan.held()
    assert describe(hold, left).endswith("waits for devices that are being given back")
    freed = left.replace(claims={k: c for k, c in left.claims.items() if k not in claims})
    assert decided(freed)["high"] == "a"


def test_an_admitted_gang_gets_its_missing_pods_at_the_nodes_of_its_admission() -> None:
    snapshot = cluster("r1/a=8 r1/b=8 r2/c=8", "gang:2x8@rack")
    (place,) = decide(snapshot, POLICY, now_s=1).placed()
    admitted = snapshot.placing(place, now_s=1)
    lost = {k: p for k, p in admitted.pods.items() if p.index != 1}
    kept = {c for p in lost.values() for _, c in p.claims}
    half = admitted.replace(pods=lost, claims={k: c for k, c in admitted.claims.items() if k in kept})
    rival = cluster("", "rival:8!99").workloads["default/rival"]
    assert decided(half.with_workload(rival)) == {"gang": "b", "rival": "c"}


def test_a_strict_fifo_queue_does_not_pass_its_head() -> None:
    snapshot = cluster("a=8", "big:9x8 small:1", queues="team=200")
    queue = snapshot.cluster_queues["team"]
    strict = msgspec.structs.replace(queue, spec=msgspec.structs.replace(queue.spec, queueing_strategy="StrictFIFO"))
    assert decided(snapshot.replace(cluster_queues={"team": strict})) == {
        "big": "held: TopologyPlacementFailed",
        "small": "held: WaitingForHigherPriority",
    }


def test_without_a_preemption_policy_a_queue_ends_nobody() -> None:
    never = ClusterQueuePreemption()
    snapshot = cluster("a=8", "high:8!9", running="low:8@a", queues="team=16", preemption=never)
    assert decided(snapshot) == {"high": "held: TopologyPlacementFailed"}


def test_pod_sets_that_can_go_to_one_place_only_are_placed_first() -> None:
    """kube-scheduler takes pods in a fixed order without backtracking and refuses this gang for ever."""
    snapshot = cluster("a=8 b=8", "gang:8+8")
    gang = snapshot.workloads["default/gang"]
    pinned = msgspec.structs.replace(gang.pod_sets[1].template, node_selector=(("kubernetes.io/hostname", "a"),))
    sets = gang.pod_sets[0], msgspec.structs.replace(gang.pod_sets[1], template=pinned)
    assert decided(snapshot.with_workload(msgspec.structs.replace(gang, pod_sets=sets))) == {"gang": "b a"}


def test_a_hold_names_who_has_what_is_missing() -> None:
    snapshot = cluster("r1/a=8 r1/b=8", "gang:2x8@rack", running="old:4@a other:2@b")
    (hold,) = decide(snapshot, POLICY, now_s=1).held()
    (reason,) = hold.reasons
    assert [(h.workload, h.amount) for h in reason.holders] == [("default/old", 4), ("default/other", 2)]  # type: ignore[union-attr]
    assert reason.ever  # type: ignore[union-attr]


def test_an_impossible_gang_is_told_never() -> None:
    snapshot = cluster("r1/a=8 r1/b=8", "gang:3x8@rack")
    (hold,) = decide(snapshot, POLICY, now_s=1).held()
    assert not hold.reasons[0].ever and hold.reasons[0].pods_best == 2  # type: ignore[union-attr]


def test_never_is_said_before_a_quota_that_is_only_full_now() -> None:
    snapshot = cluster("r1/a=8 r1/b=8", "gang:3x8@rack", running="old:8@a", queues="team=24")
    (hold,) = decide(snapshot, POLICY, now_s=1).held()
    assert isinstance(hold.reasons[0], TopologyPlacementFailed) and not hold.reasons[0].ever


def test_an_unknown_score_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"policy.score: expected one of .*, got 'magic'"):
        decide(cluster("a=8", "x:1"), msgspec.structs.replace(POLICY, score="magic"), now_s=1)


def test_a_queue_gives_back_no_more_than_it_borrowed() -> None:
    """Queue one borrows 4; two asks for 8 of its own 8 and gets what was borrowed, not one's own."""
    snapshot = cluster("a=8 b=8", "two/y:8", running="one/x:4@a one/z:8@b", queues="one=8@all two=8@all")
    assert decided(snapshot) == {
        "x": "evicted by y (InCohortReclamation)",
        "y": "held: WaitingForPreemptedWorkloads",
    }


def test_what_is_leaving_is_waited_for_rather_than_ending_more() -> None:
    snapshot = cluster("a=8 b=8", "high:8!9", running="old:8@a other:8@b")
    leaving = {k: msgspec.structs.replace(p, terminating=p.workload == "default/old") for k, p in snapshot.pods.items()}
    gone = {k: w for k, w in snapshot.workloads.items() if k != "default/old"}
    plan = decide(snapshot.replace(pods=leaving, workloads=gone), POLICY, now_s=1)
    assert plan.evicted() == ()
    assert plan.held()[0].reasons[0].victims == ("default/old",)  # type: ignore[union-attr]


def test_a_reclaim_is_not_taken_back_by_the_borrower_it_ended() -> None:
    """y of queue two ends the borrower x; x is older, and would borrow the same quota again and be ended again."""
    snapshot = cluster("a=8 b=8", "two/y:8", running="one/x:2x8@a,b", queues="one=8@all two=8@all")
    plan = decide(snapshot, POLICY, now_s=1000)
    assert in_words(plan)["x"] == "evicted by y (InCohortReclamation)"
    after = snapshot.carried_out(plan)
    assert decided(after) == {"y": "a", "x": "held: WaitingForQuota"}


def test_the_best_rack_is_one_the_gang_could_ever_use() -> None:
    snapshot = cluster("r1/a=8:l40s r2/b=8 r2/c=8", "gang:2x8@rack", running="old:8@b other:8@c")
    gang = snapshot.workloads["default/gang"]
    pinned = msgspec.structs.replace(
        gang.pod_sets[0].template,
        node_affinity=NodeSelector((NodeSelectorTerm((NodeSelectorRequirement(LEVELS["rack"], "In", ("r2",)),)),)),
    )
    sets = (msgspec.structs.replace(gang.pod_sets[0], template=pinned),)
    (hold,) = decide(snapshot.with_workload(msgspec.structs.replace(gang, pod_sets=sets)), POLICY, now_s=1).held()
    assert hold.reasons[0].domain == "b0/r2"  # type: ignore[union-attr]


def test_a_preemptor_takes_the_room_it_made_before_anybody_else() -> None:
    """Queue one's head cannot start even by borrowing; its next in line, s, ends the borrower x for quota of its own.

    x is older and would borrow the same quota again in the next cycle, to be ended again, for ever.
    """
    snapshot = cluster("a=8 b=8", "one/head:3x8 one/s:8", running="two/x:2x8@a,b", queues="one=8@all two=8@all")
    x = msgspec.structs.replace(snapshot.workloads["default/x"], created_s=0)
    world = snapshot.with_workload(x)
    plan = decide(world, POLICY, now_s=1000)
    assert in_words(plan)["x"] == "evicted by s (InCohortReclamation)"
    after = world.carried_out(plan, now_s=1000)
    assert after.workloads["default/s"].preempting
    assert decided(after)["s"] == "a"
    settled = after.carried_out(decide(after, POLICY, now_s=1001), now_s=1001)
    for now_s in range(1002, 1007):
        plan = decide(settled, POLICY, now_s=now_s)
        assert not plan.evicted() and not plan.placed()
        settled = settled.carried_out(plan, now_s=now_s)


def test_a_workload_of_no_pods_is_admitted_and_done_with() -> None:
    snapshot = cluster("a=8", "idle:1", queues="team=8")
    idle = snapshot.workloads["default/idle"]
    none = msgspec.structs.replace(idle, pod_sets=(msgspec.structs.replace(idle.pod_sets[0], count=0),))
    world = snapshot.with_workload(none)
    plan = decide(world, POLICY, now_s=1)
    assert in_words(plan) == {"idle": ""} and audit(world, POLICY, plan) == ()
    assert decide(world.carried_out(plan), POLICY, now_s=2).decisions == ()


def test_an_admitted_gang_outlives_the_flavor_it_was_charged_to() -> None:
    snapshot = cluster("a=8", running="old:8@a", queues="team=8")
    lost = snapshot.replace(flavors={}, pods={}, claims={})
    assert decided(lost) == {"old": "a"}


def test_a_claim_for_memory_gets_the_smallest_partition_that_will_do() -> None:
    snapshot = cluster("a=2:a100mig", "x:1g.10gb")
    enough = selector("device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('12Gi')) >= 0")
    asked = claim_of(ExactDeviceRequest(device_class_name=MIG, selectors=(enough,)))
    x = snapshot.workloads["default/x"]
    template = msgspec.structs.replace(x.pod_sets[0].template, claims=(PodClaim(name="gpu", template=asked),))
    sets = (msgspec.structs.replace(x.pod_sets[0], template=template),)
    (place,) = decide(snapshot.with_workload(msgspec.structs.replace(x, pod_sets=sets)), POLICY, now_s=1).placed()
    assert "1g20gb" in place.pods[0].claims[0].allocation.devices.results[0].device
