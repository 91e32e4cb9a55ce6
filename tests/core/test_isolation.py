"""Tenants do not meet on a device that keeps nobody apart, and who asks for isolation gets it or hears why not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.audit import audit
from bayplan.core import decide
from bayplan.core.allocate import Terms
from bayplan.core.explain import describe
from bayplan.core.setup import placer_for
from bayplan.model.isolation import Isolation
from bayplan.model.policy import Policy
from bayplan.model.reason import DevicesNotFound, TopologyPlacementFailed
from bayplan.model.snapshot import Snapshot
from tests.core.scenes import POLICY, decided
from tests.make import cluster, template

SHARING = msgspec.structs.replace(POLICY, share_between_tenants=True)
HARDWARE, MEMORY_LIMIT = Isolation.HARDWARE, Isolation.MEMORY_LIMIT


def rivals(snapshot: Snapshot, *names: str, tenant: str = "rival") -> Snapshot:
    """The snapshot with these pending workloads in another namespace."""
    moved = {}
    for key, workload in snapshot.workloads.items():
        if workload.name in names:
            workload = msgspec.structs.replace(workload, namespace=tenant, queue_name="")
            key = workload.key
        moved[key] = workload
    return snapshot.replace(workloads=moved)


def accepting(snapshot: Snapshot, name: str, least: Isolation) -> Snapshot:
    workload = snapshot.workloads[f"default/{name}"]
    sets = tuple(
        msgspec.structs.replace(s, template=msgspec.structs.replace(s.template, isolation=least))
        for s in workload.pod_sets
    )
    return snapshot.with_workload(msgspec.structs.replace(workload, pod_sets=sets))


def only_reason(snapshot: Snapshot, name: str) -> tuple[object, str]:
    """Why the one workload that is held is held, and in words."""
    plan = decide(snapshot, POLICY, now_s=1)
    assert audit(snapshot, POLICY, plan) == ()
    (hold,) = [h for h in plan.held() if h.workload.endswith(f"/{name}")]
    return hold.reasons[0], describe(hold, snapshot)


ONE_CARD = rivals(cluster("a=1:a100share", "new:12Gi", running="old:12Gi@a"), "new")


def test_another_tenants_card_is_refused_and_the_reason_says_so() -> None:
    reason, words = only_reason(ONE_CARD, "new")
    assert isinstance(reason, TopologyPlacementFailed)
    assert reason.lacking == (("tenants", 1),) and reason.ever
    assert "1 have room only beside another tenant's work" in words


def test_the_policy_lets_tenants_share() -> None:
    assert decided(ONE_CARD, policy=SHARING) == {"new": "a"}
    assert audit(ONE_CARD, SHARING, decide(ONE_CARD, SHARING, now_s=1)) == ()


def test_a_full_card_lacks_devices_whoever_has_it() -> None:
    reason, _ = only_reason(rivals(cluster("a=1:a100share", "new:12Gi", running="old:80Gi@a"), "new"), "new")
    assert isinstance(reason, TopologyPlacementFailed) and reason.lacking == (("devices", 1),)


@pytest.mark.parametrize("pods", [1, 6], ids=["a service", "six services"])
def test_one_tenant_fills_a_card_and_the_other_gets_the_next(pods: int) -> None:
    snapshot = rivals(cluster("a=2:a100share", f"mine:{pods}x12Gi theirs:{pods}x12Gi"), "theirs")
    plan = decide(snapshot, POLICY, now_s=1)
    assert audit(snapshot, POLICY, plan) == ()
    cards = [{c.allocation.devices.results[0].device for p in d.pods for c in p.claims} for d in plan.placed()]
    assert [len(c) for c in cards] == [1, 1] and cards[0] != cards[1]


def test_a_card_is_anyones_again_when_its_tenant_has_left() -> None:
    alone = ONE_CARD.without("default/old")
    world = alone.carried_out(decide(alone, POLICY, now_s=1))
    assert {c.metadata.namespace for c in world.claims.values()} == {"rival"}
    mine = cluster("a=1:a100share", "late:12Gi").workloads["default/late"]
    assert decided(world.with_workload(mine)) == {"late": "held: TopologyPlacementFailed"}
    assert decided(world.without("rival/new").with_workload(mine)) == {"late": "a"}


def test_a_preemptor_ends_all_of_a_tenants_work_on_a_card() -> None:
    snapshot = rivals(cluster("a=1:a100share", "new:12Gi!9", running="old:12Gi!1@a older:12Gi!1@a"), "new")
    assert decided(snapshot) == {
        "old": "evicted by new (Preempted)",
        "older": "evicted by new (Preempted)",
        "new": "held: WaitingForPreemptedWorkloads",
    }


def test_nobody_joins_tenants_that_share_already() -> None:
    mixed = ONE_CARD.carried_out(decide(ONE_CARD, SHARING, now_s=1))
    mine = cluster("a=1:a100share", "late:12Gi").workloads["default/late"]
    assert decided(mixed.with_workload(mine)) == {"late": "held: TopologyPlacementFailed"}
    assert audit(mixed, POLICY, decide(mixed, POLICY, now_s=1)) == ()


@pytest.mark.parametrize("ask", ["1", "8", "1g.10gb", "2gpu", "4cpu"])
def test_who_gets_whole_devices_and_partitions_asks_the_same_whoever_it_is(ask: str) -> None:
    snapshot = cluster("a=8 b=8:a100mig c=8:plugin d=2:a100share", f"w:{ask}")
    book = placer_for(snapshot, POLICY, snapshot.workloads.values()).book
    shapes = {book.shape(template(ask), Terms(t, least)) for t in ("x", "y") for least in Isolation}
    assert len(shapes) == 1


# --- the least that is accepted --------------------------------------------------------------------------------------

SHARE_OR_CARD = cluster("a=1:a100share b=1", "job:12Gi", running="old:12Gi@a")


def demanding(snapshot: Snapshot, local: Isolation, queue: Isolation) -> Snapshot:
    replace = msgspec.structs.replace
    return snapshot.replace(
        local_queues={k: replace(q, isolation=local) for k, q in snapshot.local_queues.items()},
        cluster_queues={k: replace(q, isolation=queue) for k, q in snapshot.cluster_queues.items()},
    )


@pytest.mark.parametrize("least", [HARDWARE, MEMORY_LIMIT])
def test_who_accepts_no_less_gets_a_card_of_its_own(least: Isolation) -> None:
    assert decided(SHARE_OR_CARD) == {"job": "a"}
    snapshot = accepting(SHARE_OR_CARD, "job", least)
    assert decided(snapshot) == {"job": "b"}
    assert audit(snapshot, POLICY, decide(snapshot, POLICY, now_s=1)) == ()


@pytest.mark.parametrize(("local", "queue"), [(HARDWARE, Isolation.NONE), (Isolation.NONE, HARDWARE)])
def test_a_queue_demands_isolation_of_all_its_work(local: Isolation, queue: Isolation) -> None:
    snapshot = demanding(cluster("a=1:a100share b=1", "job:12Gi", running="old:12Gi@a", queues="team=8"), local, queue)
    assert decided(snapshot) == {"job": "b"}
    assert audit(snapshot, POLICY, decide(snapshot, POLICY, now_s=1)) == ()


def test_a_wait_for_isolation_says_so() -> None:
    snapshot = accepting(cluster("a=1:a100share b=1", "job:12Gi", running="old:1@b"), "job", HARDWARE)
    reason, words = only_reason(snapshot, "job")
    assert isinstance(reason, TopologyPlacementFailed)
    assert reason.lacking == (("devices", 1), ("isolation", 1))
    assert "1 have room only where less isolates it than asked" in words


def test_a_fleet_without_isolation_can_never_serve() -> None:
    reason, words = only_reason(accepting(cluster("a=1:a100share", "job:12Gi"), "job", HARDWARE), "job")
    assert isinstance(reason, DevicesNotFound)
    assert "keeps its users apart as asked (isolation: hardware)" in words


# --- whatever happens ------------------------------------------------------------------------------------------------

ASKS = ("12Gi", "2x12Gi", "3x30Gi", "1", "40Gi", "1g.10gb")
wishes = st.tuples(st.sampled_from(ASKS), st.integers(0, 2), st.sampled_from(["x", "y", "z"]))


@settings(max_examples=40, deadline=None)
@given(waves=st.lists(st.lists(wishes, min_size=1, max_size=5), min_size=1, max_size=3))
def test_no_card_ever_has_two_tenants(waves: list[list[tuple[str, int, str]]]) -> None:
    world = cluster("a=2:a100share b=1:h100share c=1 d=1:a100mig")
    for i, wave in enumerate(waves):
        for j, (ask, priority, tenant) in enumerate(wave):
            name = f"w{i}-{j}"
            added = rivals(cluster("", f"{name}:{ask}!{priority}"), name, tenant=tenant)
            world = world.with_workload(added.workloads[f"{tenant}/{name}"])
        plan = decide(world, Policy(), now_s=1000)
        assert [str(finding) for finding in audit(world, Policy(), plan)] == []
        world = world.carried_out(plan)
    owners: dict[tuple[str, str], set[str]] = {}
    for claim in world.claims.values():
        assert claim.status.allocation is not None
        for result in claim.status.allocation.devices.results:
            owners.setdefault((result.pool, result.device), set()).add(claim.metadata.namespace)
    assert all(len(tenants) == 1 for tenants in owners.values())
