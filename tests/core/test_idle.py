"""Admitted workloads that are not whole, and devices that were allocated and are not used."""

from __future__ import annotations

import msgspec
import pytest

from bayplan.audit import audit
from bayplan.core import decide
from bayplan.model.device import AllocatedDeviceStatus, DeviceCondition, ResourceClaimConsumerReference
from bayplan.model.plan import Deallocate, Place
from bayplan.model.snapshot import Snapshot
from tests.core.scenes import POLICY, decided, in_words
from tests.make import cluster

change = msgspec.structs.replace


def without_node(world: Snapshot, name: str) -> Snapshot:
    """The node has died, and with it its pods and their claims."""
    gone = [k for k, p in world.pods.items() if p.node == name]
    claims = {c for k in gone for _, c in world.pods[k].claims}
    return world.replace(
        nodes={k: n for k, n in world.nodes.items() if k != name},
        slices=tuple(s for s in world.slices if s.spec.node_name != name),
        pods={k: p for k, p in world.pods.items() if k not in gone},
        claims={k: c for k, c in world.claims.items() if k not in claims},
    )


def unbound(world: Snapshot, index: int = 0) -> Snapshot:
    """The gang's pod of this rank has its devices, reserved for it, and was not bound."""
    (key,) = (k for k, p in world.pods.items() if p.index == index)
    pod = change(world.pods[key], node="", uid="uid-pod")
    ((_, name),) = pod.claims
    reserved = (ResourceClaimConsumerReference("pods", pod.name, pod.uid),)
    claim = world.claims[name]
    claim = change(claim, status=change(claim.status, reserved_for=reserved))
    return world.replace(pods=world.pods | {key: pod}, claims=world.claims | {name: claim})


def sound(world: Snapshot, *, now_s: int = 1000) -> dict[str, str]:
    plan = decide(world, POLICY, now_s=now_s)
    assert [str(f) for f in audit(world, POLICY, plan)] == []
    return in_words(plan)


# --- gangs that lost pods ----------------------------------------------------------------------------------------


def test_a_lost_pod_comes_back_in_the_rack_of_the_others() -> None:
    world = without_node(cluster("r1/a=8 r1/b=8 r1/c=8 r2/d=8", running="gang:2x8@rack@a,b"), "b")
    assert sound(world) == {"gang": "c"}


def test_a_gang_is_never_completed_in_another_rack() -> None:
    world = without_node(cluster("r1/a=8 r1/b=8 r2/c=8 r2/d=8", running="gang:2x8@rack@a,b"), "b")
    assert sound(world) == {"gang": "held: TopologyPlacementFailed"}


def late(world: Snapshot, since_s: int = 100) -> Snapshot:
    return world.with_workload(change(world.workloads["default/gang"], unready_s=since_s))


TIMES = [
    ("within the grace it is retried", 399, "held: TopologyPlacementFailed"),
    ("after the grace it is ended", 400, "evicted by  (PodsReadyTimeout)"),
]


@pytest.mark.parametrize(("now_s", "expected"), [t[1:] for t in TIMES], ids=[t[0] for t in TIMES])
def test_a_gang_that_cannot_be_completed(now_s: int, expected: str) -> None:
    world = without_node(cluster("r1/a=8 r1/b=8 r2/c=8 r2/d=8", running="gang:2x8@rack@a,b"), "b")
    assert sound(late(world), now_s=now_s) == {"gang": expected}


def test_a_grace_of_zero_is_for_ever() -> None:
    world = late(without_node(cluster("r1/a=8 r1/b=8", running="gang:2x8@rack@a,b"), "b"))
    patient = change(POLICY, recovery_timeout_s=0)
    assert in_words(decide(world, patient, now_s=10**9)) == {"gang": "held: TopologyPlacementFailed"}


def test_a_pod_that_is_there_and_fits_is_bound_even_late() -> None:
    world = late(unbound(cluster("a=8 b=8", running="gang:2x8@a,b")))
    assert sound(world, now_s=500) == {"gang": "a"}
    assert sound(world, now_s=700) == {"gang": "evicted by  (PodsReadyTimeout)"}


def test_an_evicted_gang_frees_its_quota_at_once_and_waits_for_its_turn() -> None:
    world = late(
        without_node(cluster("r1/a=8 r1/b=8 r2/c=8", "next:8", running="gang:2x8@rack@a,b", queues="q=16"), "b")
    )
    assert sound(world, now_s=399)["next"] == "held: WaitingForQuota"
    assert sound(world, now_s=400) == {"gang": "evicted by  (PodsReadyTimeout)", "next": "c"}
    waiting = change(world.workloads["default/gang"], admission=None, unready_s=0, requeue_at_s=500)
    again = world.without("default/gang").with_workload(waiting)
    assert decided(again, now_s=499)["gang"] == "held: OnHold"
    assert decided(again, now_s=500)["gang"] == "held: TopologyPlacementFailed"


# --- devices that nobody uses ------------------------------------------------------------------------------------


def test_devices_of_a_pod_that_cannot_be_bound_are_freed() -> None:
    world = unbound(cluster("a=8 b=8", running="gang:2x8@a,b"))
    full = change(world.nodes["a"], unschedulable=True)
    world = world.replace(nodes=world.nodes | {"a": full})
    (freed,) = decide(world, POLICY, now_s=1).deallocated()
    assert freed == Deallocate("default/gang", ("default/gang-main-0-gpu",))
    assert sound(world) == {"gang": "held: TopologyPlacementFailed"}
    world = world.freeing(freed.claims)
    assert decide(world, POLICY, now_s=1).deallocated() == ()


def test_devices_somebody_else_has_reserved_are_left_alone() -> None:
    world = unbound(cluster("a=8 b=8", running="gang:2x8@a,b"))
    world = world.replace(nodes=world.nodes | {"a": change(world.nodes["a"], unschedulable=True)})
    key = "default/gang-main-0-gpu"
    claim = world.claims[key]
    both = (*claim.status.reserved_for, ResourceClaimConsumerReference("pods", "stranger", "uid-stranger"))
    shared = world.replace(claims=world.claims | {key: change(claim, status=change(claim.status, reserved_for=both))})
    assert decide(shared, POLICY, now_s=1).deallocated() == ()
    nobody = world.replace(claims=world.claims | {key: change(claim, status=change(claim.status, reserved_for=()))})
    assert decide(nobody, POLICY, now_s=1).deallocated() == ()


def test_a_claim_that_two_waiting_pods_share_is_freed_once() -> None:
    world = unbound(cluster("a=8", "other:8", running="gang:1x8@a", queues="q=64"))
    ((name, claim),) = world.claims.items()
    (first,) = world.pods.values()
    second = change(first, name="other", uid="uid-other", workload="default/other")
    both = (*claim.status.reserved_for, ResourceClaimConsumerReference("pods", "other", "uid-other"))
    world = world.replace(
        pods=world.pods | {second.key: second},
        claims={name: change(claim, status=change(claim.status, reserved_for=both))},
        nodes={"a": change(world.nodes["a"], unschedulable=True)},
    )
    assert [d.claims for d in decide(world, POLICY, now_s=1).deallocated()] == [(name,)]
    assert sound(world) == {"gang": "held: TopologyPlacementFailed", "other": "held: TopologyPlacementFailed"}


def test_a_workload_whose_admission_is_gone_keeps_no_devices_while_it_waits() -> None:
    world = unbound(cluster("a=8", "high:8!9", running="gang:1x8@a", queues="q=8"))
    evicted = change(world.workloads["default/gang"], admission=None, requeue_at_s=2000)
    plan = decide(world.with_workload(evicted), POLICY, now_s=1000)
    assert [d.claims for d in plan.deallocated()] == [("default/gang-main-0-gpu",)]
    assert in_words(plan)["gang"] == "held: OnHold"


# --- binding conditions ------------------------------------------------------------------------------------------


def bindable(world: Snapshot) -> Snapshot:
    """Every device has to be attached before its pod may be bound, and may turn out broken."""
    slices = tuple(
        change(
            s,
            spec=change(
                s.spec,
                devices=tuple(
                    change(d, binding_conditions=("attached",), binding_failure_conditions=("broken",))
                    for d in s.spec.devices
                ),
            ),
        )
        for s in world.slices
    )
    return world.replace(slices=slices)


def prepared(*true: str) -> Snapshot:
    """A gang of two whose devices on a and b were allocated at 1000; `true` holds of all devices."""
    world = bindable(cluster("a=8 b=8 c=8", "gang:2x8"))
    (place,) = decide(world, POLICY, now_s=1000).placed()
    assert place.prepares
    world = world.placing(place, now_s=1000)
    conditions = tuple(DeviceCondition(type=t, status="True") for t in true)
    for number, (key, pod) in enumerate(sorted(world.pods.items())):
        ((_, name),) = pod.claims
        claim = world.claims[name]
        assert claim.status.allocation is not None
        told = tuple(
            AllocatedDeviceStatus(r.driver, r.pool, r.device, conditions=conditions)
            for r in claim.status.allocation.devices.results
        )
        uid = f"uid-{number}"
        reserved = (ResourceClaimConsumerReference("pods", pod.name, uid),)
        status = change(claim.status, devices=told, reserved_for=reserved, allocated_s=1000)
        world = world.replace(
            pods=world.pods | {key: change(pod, node="", uid=uid)},
            claims=world.claims | {name: change(claim, status=status)},
        )
    return world


def test_a_pod_waits_until_its_devices_are_attached() -> None:
    world = prepared()
    plan = decide(world, POLICY, now_s=1010)
    assert sound(world, now_s=1010) == {"gang": "held: WaitingForDevices"}
    assert plan.deallocated() == ()
    (hold,) = plan.held()
    assert hold.reasons[0].until_s == 1600  # type: ignore[union-attr]


def test_a_gang_is_bound_when_all_its_devices_are_attached() -> None:
    world = prepared("attached")
    assert sound(world, now_s=1010) == {"gang": "a b"}
    assert not decide(world, POLICY, now_s=1010).placed()[0].prepares


@pytest.mark.parametrize(("true", "now_s"), [(("attached", "broken"), 1010), ((), 1600)], ids=["broken", "too late"])
def test_devices_that_fail_are_given_back_and_others_sought(true: tuple[str, ...], now_s: int) -> None:
    world = prepared(*true)
    assert sound(world, now_s=now_s) == {"gang": "held: DeviceBindingFailed"}
    (freed,) = decide(world, POLICY, now_s=now_s).deallocated()
    assert len(freed.claims) == 2
    again = decide(world.freeing(freed.claims), POLICY, now_s=now_s)
    assert [type(d) for d in again.decisions] == [Place] and again.placed()[0].prepares


def test_the_audit_sees_a_pod_that_is_bound_too_early() -> None:
    (ready,) = decide(prepared("attached"), POLICY, now_s=1010).placed()
    for world, expected in ((prepared(), "is not attached"), (prepared("attached", "broken"), "is broken")):
        found = [str(f) for f in audit(world, POLICY, change(decide(world, POLICY, now_s=1010), decisions=(ready,)))]
        assert found and all(expected in text for text in found)
