"""Room is kept for whoever has waited too long, and only for those."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.core import decide
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.core.scenes import POLICY, in_words
from tests.make import cluster

change = msgspec.structs.replace
PATIENT = change(POLICY, reserve_after_s=600)


def words(world: Snapshot, policy: Policy = PATIENT, *, now_s: int = 5000) -> dict[str, str]:
    plan = decide(world, policy, now_s=now_s)
    assert [str(f) for f in audit(world, policy, plan)] == []
    return in_words(plan)


def overtaken(policy: Policy, *, seconds: int = 40) -> int | None:
    """When a gang for both nodes starts while every second the oldest pod ends and a new one comes; None: never."""
    world = cluster("a=2 b=2", "gang:2x2", running="p0:1@a p1:1@a p2:1@b p3:1@b")
    for second in range(seconds):
        now_s = 1000 + second
        newcomer = cluster("a=2", f"late{second}:1").workloads[f"default/late{second}"]
        world = world.with_workload(change(newcomer, created_s=now_s))
        plan = decide(world, policy, now_s=now_s)
        world = world.carried_out(plan, now_s=now_s)
        if world.workloads["default/gang"].admission is not None:
            return second
        started = [w for w in world.workloads.values() if w.admission]
        if started:
            world = world.without(min(started, key=lambda w: (w.admission.admitted_s, w.key)).key)  # type: ignore[union-attr]
    return None


def test_a_gang_for_the_whole_cluster_does_not_starve_behind_single_pods() -> None:
    assert overtaken(POLICY) is None
    started = overtaken(change(POLICY, reserve_after_s=5))
    assert started is not None and started <= 5 + 4


def test_room_is_kept_only_after_the_time() -> None:
    world = cluster("a=2 b=2", "gang:2x2 late:1", running="old:1@a")
    assert words(world, now_s=100) == {"gang": "held: TopologyPlacementFailed", "late": "a"}
    assert words(world) == {
        "gang": "held: TopologyPlacementFailed RoomKept",
        "late": "held: WaitingForHigherPriority",
    }


def test_who_comes_first_may_still_start_there() -> None:
    assert words(cluster("a=2", "gang:2 high:1!9", running="old:1@a"))["high"] == "a"


def test_room_is_kept_where_it_is_there_soonest() -> None:
    gang = "gang:2x2 late:1"
    assert words(cluster("a=2 b=2 c=2", gang, running="x:1%9000@a y:1%100@b z:1%100@c"))["late"] == "a"
    assert words(cluster("a=2 b=2 c=2", gang, running="x:1%100@a y:1%9000@b z:1%100@c"))["late"] == "b"
    assert words(cluster("a=2 b=2 c=2", gang, running="x:1%100@a y:1%100@b z:1@c"))["late"] == "c"


@pytest.mark.parametrize(
    ("runs", "late", "starts"),
    [
        ("old:1%9000@a", "late:1%4000", "a"),  # gone at 9000, when the last of those that run there is
        ("old:1%9000@a", "late:1%4100", "held: WaitingForHigherPriority"),
        ("old:1%9000@a", "late:1", "held: WaitingForHigherPriority"),  # nobody knows when it ends
        ("old:1@a", "late:1%10", "held: WaitingForHigherPriority"),  # nobody knows when the room is free
        ("old:1%4000@a", "late:1%10", "held: WaitingForHigherPriority"),  # overdue: it may be free at any moment
    ],
)
def test_kept_room_is_filled_back_by_who_ends_in_time(runs: str, late: str, starts: str) -> None:
    world = cluster("a=2 b=2 c=1", f"gang:2x2 {late}", running=f"elsewhere:1@c {runs}")
    assert words(world)["late"] == starts


def test_kept_room_is_filled_back_once() -> None:
    found = words(cluster("a=2 b=2", "gang:2x2 x:1%100 y:1%100 z:1%100 v:1%100", running="old:1%9000@a"))
    assert sorted(found[name] for name in "vxyz") == ["a", "b", "b", "held: TopologyPlacementFailed"]
    assert found["gang"] == "held: TopologyPlacementFailed RoomKept"


def test_filling_back_does_not_put_the_gang_off() -> None:
    """With ends known the gang starts when the last of those that ran does, however much fills back."""

    def started(fill: bool) -> int:
        world = cluster("a=2 b=2", "gang:2x2", running="p0:1%1010@a p1:1%1015@b")
        for now_s in range(1000, 1040):
            if fill:
                newcomer = cluster("a=2", f"late{now_s}:1%3").workloads[f"default/late{now_s}"]
                world = world.with_workload(change(newcomer, created_s=now_s))
            policy = change(POLICY, reserve_after_s=1)
            world = world.carried_out(decide(world, policy, now_s=now_s), now_s=now_s)
            if world.workloads["default/gang"].admission is not None:
                return now_s
            for workload in list(world.workloads.values()):
                if workload.admission and workload.admission.admitted_s + workload.runtime_s <= now_s + 1:
                    world = world.without(workload.key)
        raise AssertionError("the gang starves")

    assert started(fill=True) == started(fill=False) > 1010


def test_nothing_is_kept_for_who_could_never_start() -> None:
    assert words(cluster("a=2", "gang:2x2 late:1"))["late"] == "a"


def test_a_queue_lets_nobody_pass_whoever_lacks_quota_for_too_long() -> None:
    world = cluster("a=8", "gang:3 late:1", running="q/old:2@a", queues="q=4")
    assert words(world, now_s=100)["late"] == "a"
    assert words(world)["late"] == "held: WaitingForHigherPriority"


@pytest.mark.parametrize("policy", [POLICY, PATIENT])
def test_deciding_again_changes_nothing(policy: Policy) -> None:
    world = cluster("a=2 b=2", "gang:2x2 late:1", running="old:1@a")
    first = decide(world, policy, now_s=5000)
    assert decide(world, policy, now_s=5000) == first
