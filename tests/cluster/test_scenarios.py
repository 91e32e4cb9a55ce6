"""What a user asks for, on a real API server: each test is a fleet, some work, and where it must end up."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.cluster.checks import sound
from tests.cluster.process import Brain
from tests.cluster.world import World, claim_spec, job, pod, pod_group, template, true_conditions

RACK = "topology.bayplan.dev/rack"


def racks(world: World) -> dict[str, str]:
    return {n["metadata"]["name"]: n["metadata"]["labels"].get(RACK, "") for n in world.all("Node")}


def test_exclusive_gpus_are_given_once(world: World, brain: Brain) -> None:
    world.fleet("h100 2 h100-80gb")
    world.create(template("one", gpus=1), *(pod(f"p-{i}", claim="one") for i in range(17)))
    nodes = world.until_bound(16)
    assert Counter(nodes.values()) == {"h100-000": 8, "h100-001": 8}
    waiting = world.eventually(lambda: [p for p in world.all("Pod") if not p["spec"].get("nodeName")])
    assert len(waiting) == 1
    assert sound(world) == []


def test_shares_of_12Gi_fill_one_card_before_the_next(world: World, brain: Brain) -> None:
    world.fleet("sh 4 a100-80gb-shared")
    world.create(template("share", memory="12Gi"), *(pod(f"s-{i}", claim="share") for i in range(12)))
    assert len(frozenset(world.until_bound(12).values())) == 1
    devices = Counter(
        r["device"] for c in world.all("ResourceClaim") for r in c["status"]["allocation"]["devices"]["results"]
    )
    assert sorted(devices.values()) == [6, 6]
    assert sound(world) == []


def test_mig_partitions_are_cut_from_counters(world: World, brain: Brain) -> None:
    world.fleet("mig 1 a100-80gb-mig")
    world.create(template("big", profile="3g.40gb"), template("small", profile="1g.10gb"))
    world.create(*(pod(f"b-{i}", claim="big") for i in range(8)), *(pod(f"s-{i}", claim="small") for i in range(24)))
    world.until_bound(32)
    assert sound(world) == []


def test_a_gang_that_needs_one_rack_gets_one(world: World, brain: Brain) -> None:
    world.fleet("h100 6 h100-80gb")
    world.create(template("four", gpus=4), job("gang", pods=4, claim="four", rack=True))
    nodes = world.until_bound(4)
    assert len({racks(world)[n] for n in nodes.values()}) == 1
    assert sound(world) == []


def test_a_job_is_suspended_until_its_queue_admits_it(world: World, brain: Brain) -> None:
    world.fleet("h100 1 h100-80gb")
    world.create(template("four", gpus=4), job("first", pods=2, claim="four"))
    world.until_bound(2)
    world.create(job("second", pods=2, claim="four"))

    def why() -> str:
        found = (world.get("Job", "second", "team-a") or {})["metadata"].get("annotations") or {}
        return str(found.get("bayplan.dev/why", ""))

    world.eventually(why)
    assert (world.get("Job", "second", "team-a") or {})["spec"]["suspend"] is True
    assert len(world.bound()) == 2 and sound(world) == []
    world.delete("Job", "first", "team-a")
    world.eventually(lambda: len([n for n in world.bound() if n.startswith("second")]) == 2)
    assert sound(world) == []


def test_higher_priority_takes_the_gpus_of_lower(world: World, brain: Brain) -> None:
    world.fleet("h100 1 h100-80gb")
    world.create(template("four", gpus=4), job("low", pods=2, claim="four", priority="low"))
    world.until_bound(2)
    world.create(job("high", pods=2, claim="four", priority="high"))
    world.eventually(lambda: [n for n in world.bound() if n.startswith("high")] and len(world.bound()) == 2)
    evicted = next(w for w in world.all("Workload") if w["metadata"]["name"].startswith("job-low"))
    assert "Evicted" in true_conditions(evicted)
    assert (world.get("Job", "low", "team-a") or {})["spec"]["suspend"] is True
    world.eventually(lambda: sound(world) == [], 15, lambda: str(sound(world)))


def test_a_priority_pod_displaces_the_holder_of_a_device(world: World, brain: Brain) -> None:
    world.fleet("h100 1 h100-80gb")
    world.create(
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "urgent"}, "value": 1000}
    )
    world.create(template("eight", gpus=8), pod("low", claim="eight"))
    world.until_bound(1)
    world.create(pod("high", claim="eight", priorityClassName="urgent"))
    world.eventually(lambda: set(world.bound()) == {"high"})
    world.eventually(lambda: sound(world) == [], 15, lambda: str(sound(world)))


def test_a_lost_node_gives_its_pods_up_and_the_job_runs_elsewhere(world: World, brain: Brain) -> None:
    world.fleet("h100 2 h100-80gb")
    world.create(template("eight", gpus=8), job("one", pods=1, claim="eight"))
    lost = next(iter(world.until_bound(1).values()))
    world.delete("Node", lost)
    for piece in world.all("ResourceSlice"):
        if piece["spec"].get("nodeName") == lost:
            world.delete("ResourceSlice", piece["metadata"]["name"])
    for each in world.all("Pod"):  # what the pod garbage collector does within a minute
        world.delete("Pod", each["metadata"]["name"], each["metadata"]["namespace"], grace=0)
    world.eventually(lambda: any(n != lost for n in world.bound().values()), 60)
    world.eventually(lambda: sound(world) == [], 15, lambda: str(sound(world)))


def test_a_tainted_node_is_for_those_that_tolerate_it(world: World, brain: Brain) -> None:
    world.fleet("h100 1 h100-80gb", "spare 1 h100-80gb")
    world.patch("Node", "h100-000", {"spec": {"taints": [{"key": "broken", "effect": "NoSchedule"}]}})
    world.create(template("four", gpus=4), *(pod(f"p-{i}", claim="four") for i in range(3)))
    assert set(world.until_bound(2).values()) == {"spare-000"}
    tolerant = [{"key": "broken", "operator": "Exists"}]
    world.create(pod("tolerant", claim="four", tolerations=tolerant))
    assert world.until_bound(3)["tolerant"] == "h100-000"
    assert sound(world) == []


def test_a_claim_made_by_hand_is_shared_by_the_pods_that_name_it(world: World, brain: Brain) -> None:
    world.fleet("h100 2 h100-80gb")
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "ours", "namespace": "team-a"},
        "spec": claim_spec(gpus=2),
    }
    world.create(claim, *(pod(f"p-{i}", claim="=ours") for i in range(3)))
    assert len(frozenset(world.until_bound(3).values())) == 1
    reserved = (world.get("ResourceClaim", "ours", "team-a") or {})["status"]["reservedFor"]
    assert len(reserved) == 3 and sound(world) == []


def test_pods_of_another_scheduler_are_counted_and_never_bound(world: World, brain: Brain) -> None:
    world.fleet("h100 1 h100-80gb")
    world.create(pod("foreign", cpu="60", schedulerName="somebody-else", nodeName="h100-000"))
    world.create(pod("waiting", cpu="1", schedulerName="somebody-else"))
    world.create(pod("fits", cpu="4"), pod("does-not", cpu="5"))
    world.until_bound(2)
    assert set(world.bound()) == {"foreign", "fits"}
    assert sound(world) == []


def test_a_pod_that_is_deleted_while_it_waits_holds_nothing(world: World, brain: Brain) -> None:
    world.fleet("h100 1 h100-80gb")
    world.create(template("eight", gpus=8), pod("first", claim="eight"))
    world.until_bound(1)
    world.create(pod("second", claim="eight"), pod("third", claim="eight"))
    world.delete("Pod", "second", "team-a", grace=0)
    world.delete("Pod", "first", "team-a", grace=0)
    world.eventually(lambda: set(world.bound()) == {"third"})
    world.eventually(lambda: sound(world) == [], 15, lambda: str(sound(world)))


@pytest.mark.parametrize("count", [3, 1])
def test_a_native_pod_group_is_bound_whole_or_not_at_all(world: World, brain: Brain, count: int) -> None:
    world.fleet("h100 1 h100-80gb")
    world.create(pod_group("gang", pods=3), template("two", gpus=2))
    world.create(
        *(pod(f"p-{i}", claim="two", schedulingGroup={"podGroupName": "gang"}) for i in range(count)), pod("lone")
    )
    world.until_bound(4 if count == 3 else 1)
    assert sound(world) == []


def test_the_claim_of_a_pod_group_keeps_its_gang_together(world: World, brain: Brain) -> None:
    """KEP-5729; that a pod of such a gang is bound where its claim is not is kubernetes#140087."""
    world.fleet("h100 3 h100-80gb")
    group = pod_group("gang", pods=4, claim="two")
    world.create(group, template("two", gpus=2), pod("filler", cpu="40"))
    where = {"schedulingGroup": {"podGroupName": "gang"}}
    world.create(*(pod(f"p-{i}", claim="two", cpu="14", **where) for i in range(4)))
    nodes = world.until_bound(5)
    assert len({nodes[f"p-{i}"] for i in range(4)}) == 1, "56 cores beside the GPUs: not where the filler is"
    (claim,) = world.all("ResourceClaim")
    assert [r["resource"] for r in claim["status"]["reservedFor"]] == ["podgroups"]
    assert sound(world) == []


def test_health_readiness_and_metrics_answer(world: World, brain: Brain) -> None:
    world.fleet("h100 1 h100-80gb")
    world.create(template("one", gpus=1), pod("p", claim="one"))
    world.until_bound(1)
    assert (brain.probe("/healthz"), brain.probe("/readyz"), brain.probe("/nothing")) == (200, 200, 404)
    metrics = world.eventually(lambda: (m := brain.metrics())["bayplan_bound_pods_total"] >= 1 and m)
    assert metrics["bayplan_leader"] == 1
    assert metrics['bayplan_api_writes_total{code="201",resource="pods",verb="POST"}'] == 1
