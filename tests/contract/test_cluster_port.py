"""What every body of the Cluster port promises, asked of each in the same words: the twin is exact where this looks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bayplan.clusters.simulator.fleetfile import parse_fleet
from bayplan.clusters.simulator.objects import fleet_objects, snapshot_of
from bayplan.core import decide
from bayplan.model.codec import to_json
from bayplan.model.plan import Plan
from bayplan.model.policy import Policy
from bayplan.model.snapshot import Snapshot
from tests.cluster.checks import sound
from tests.cluster.world import fleet_text, job, pod, pod_group, template, true_conditions
from tests.contract.bodies import Body

FLEET = ("h100 2 h100-80gb", "sh 1 a100-80gb-shared")


def furnish(body: Body) -> None:
    body.world.fleet(*FLEET)
    body.world.create(template("one", gpus=1), template("four", gpus=4), template("share", memory="12Gi"))


def test_a_snapshot_stays_the_same_object_while_nothing_happens(body: Body) -> None:
    furnish(body)
    body.until(lambda: len(body.cluster.observe().nodes) == 3 and body.cluster.observe().device_classes)
    body.settled()
    assert body.cluster.observe() is body.cluster.observe()


def test_what_is_placed_is_bound_with_its_devices(body: Body) -> None:
    furnish(body)
    body.world.create(pod("whole", claim="one"), pod("part", claim="share"), pod("plain"))
    assert set(body.until(lambda: len(b := body.world.bound()) == 3 and b)) == {"whole", "part", "plain"}
    assert sound(body.world) == [] and body.findings == []


def test_the_next_snapshot_shows_what_was_applied(body: Body) -> None:
    furnish(body)
    body.world.create(pod("plain"))
    body.until(lambda: body.world.bound())
    assert [p.node != "" for p in body.cluster.observe().pods.values()] == [True]


def test_carrying_out_twice_equals_once(body: Body) -> None:
    furnish(body)
    body.world.create(pod("whole", claim="one"))

    def placed() -> Plan | None:
        snapshot = body.cluster.observe()
        plan = decide(snapshot, Policy(), now_s=0)
        ready = any(p.pod and p.claims and p.claims[0].claim for d in plan.placed() for p in d.pods)
        return plan if ready and not body.world.bound() else None

    for _ in range(200):
        plan = placed()
        if plan and body.cluster.apply(plan).bound:  # else the world had moved on, and it is decided again
            break
        body.cluster.wait(0.05)
    assert plan is not None or body.world.bound()
    if plan is None:  # a body that does everything in one step has bound it by itself
        return
    second = body.cluster.apply(plan)
    assert second.bound == ()
    assert body.world.bound() and sound(body.world) == []


def test_the_pods_of_a_group_share_its_claim(body: Body) -> None:
    """KEP-5729: one claim, made and allocated once, reserved for the group; its devices are free when that is gone."""
    furnish(body)
    body.world.create(pod_group("gang", pods=3, claim="four"))
    grouped = {"schedulingGroup": {"podGroupName": "gang"}}
    body.world.create(*(pod(f"p-{i}", claim="four", **grouped) for i in range(3)))
    nodes = body.until(lambda: len(b := body.world.bound()) == 3 and b)
    assert len({*nodes.values()}) == 1 and sound(body.world) == [] and body.findings == []
    (claim,) = body.world.all("ResourceClaim", "team-a")
    (reserved,) = claim["status"]["reservedFor"]
    assert (reserved["apiGroup"], reserved["resource"], reserved["name"]) == ("scheduling.k8s.io", "podgroups", "gang")
    body.settled()
    for name in nodes:
        body.world.delete("Pod", name, "team-a", grace=0)
    body.world.delete("PodGroup", "gang", "team-a")
    left = "ResourceClaim", "Workload"
    body.until(lambda: not any(body.world.all(kind, "team-a") for kind in left), 90)
    body.world.create(*(pod(f"q-{i}", claim="four") for i in range(4)))
    assert body.until(lambda: len(b := body.world.bound()) == 4 and b)


def test_cores_that_devices_hand_out_are_told_to_kubelets(body: Body) -> None:
    """KEP-5517 as 1.36 spells it: they come out of the node, and the pod's status says how many there are."""
    furnish(body)
    mappings = {
        "cpu": {"capacityKey": "dra.cpu/cpu", "allocationMultiplier": "1"},
        "memory": {"allocationMultiplier": "2Gi"},
    }
    cores = {"name": "group", "allowMultipleAllocations": True, "capacity": {"dra.cpu/cpu": {"value": "100"}}}
    pool = {"name": "h100-000-cpu", "generation": 1, "resourceSliceCount": 1}
    devices = [cores | {"nodeAllocatableResourceMappings": mappings}]
    exactly = {"deviceClassName": "dra.cpu", "capacity": {"requests": {"dra.cpu/cpu": "10"}}}
    ten = template("ten", gpus=1)
    ten["spec"]["spec"]["devices"]["requests"][0]["exactly"] = exactly
    body.world.create(
        _dra("DeviceClass", "dra.cpu", selectors=[{"cel": {"expression": "device.driver == 'dra.cpu'"}}]),
        _dra("ResourceSlice", "cpu", driver="dra.cpu", pool=pool, nodeName="h100-000", devices=devices),
        ten,
        *(pod(f"p-{i}", claim="ten") for i in range(6)),
    )
    nodes = body.until(lambda: len(b := body.world.bound()) == 5 and b)
    assert {*nodes.values()} == {"h100-000"}, "of 64 cores 5 pods take 11 each"
    body.settled()
    assert len(body.world.bound()) == 5 and body.findings == []
    for name in nodes:
        status = (body.world.get("Pod", name, "team-a") or {})["status"]
        (told,) = status["nodeAllocatableResourceClaimStatuses"]
        assert told["resourceClaimName"] == status["resourceClaimStatuses"][0]["resourceClaimName"]
        assert (told["containers"], told["resources"]) == (["c"], {"cpu": "10", "memory": "2Gi"})


def _dra(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_a_decision_the_world_has_overtaken_is_a_conflict(body: Body) -> None:
    furnish(body)
    body.world.create(job("train", pods=1, claim="four"))

    def planned() -> Plan | None:
        plan = decide(body.cluster.observe(), Policy(), now_s=0)
        return plan if plan.placed() else None

    plan = None
    while plan is None:
        plan = planned()
        body.cluster.wait(0.05)
    stale = Plan(tuple(msgspec.structs.replace(d, resource_version="1") for d in plan.decisions), plan.revision)
    applied = body.cluster.apply(stale)
    assert [c.workload for c in applied.conflicts] == [plan.placed()[0].workload]
    assert applied.admitted == () and body.world.bound() == {}


def test_a_job_is_admitted_unsuspended_and_bound_whole(body: Body) -> None:
    furnish(body)
    body.world.create(job("train", pods=2, claim="four", rack=True))
    body.until(lambda: len(body.world.bound()) == 2)
    (workload,) = body.world.all("Workload", "team-a")
    assert {"QuotaReserved", "Admitted"} <= set(true_conditions(workload))
    assert (body.world.get("Job", "train", "team-a") or {})["spec"]["suspend"] is False
    body.settled()
    assert sound(body.world) == [] and body.findings == []


def test_what_waits_says_why_on_the_object_people_know(body: Body) -> None:
    furnish(body)
    body.world.create(job("huge", pods=3, claim="four", rack=True), job("train", pods=9, claim="four"))

    def why(name: str) -> str:
        found = body.world.get("Job", name, "team-a") or {"metadata": {}}
        return str((found["metadata"].get("annotations") or {}).get("bayplan.dev/why", ""))

    body.until(lambda: why("train"))
    assert "gpu" in why("train")
    assert (body.world.get("Job", "train", "team-a") or {})["spec"]["suspend"] is True


def test_an_evicted_job_is_suspended_and_the_other_runs(body: Body) -> None:
    body.world.fleet("h100 1 h100-80gb")
    body.world.create(template("four", gpus=4), job("low", pods=2, claim="four", priority="low"))
    body.until(lambda: len(body.world.bound()) == 2)
    body.world.create(job("high", pods=2, claim="four", priority="high"))
    body.until(lambda: len([n for n in body.world.bound() if n.startswith("high")]) == 2, 60)
    assert (body.world.get("Job", "low", "team-a") or {})["spec"]["suspend"] is True
    body.settled()
    assert sound(body.world) == []


@pytest.mark.parametrize("scheduler", ["bayplan", "default-scheduler"])
def test_a_job_is_confined_to_its_flavor_while_it_is_admitted(body: Body, scheduler: str) -> None:
    """Whoever schedules its pods puts them where their quota is; evicted, the job is as its owner wrote it."""
    body.world.fleet("h100 1 h100-80gb", "spare 1 h100-80gb")
    (flavor, *_) = body.world.all("ResourceFlavor")
    labels = flavor["spec"]["nodeLabels"]
    own = {"nodeSelector": {"kubernetes.io/os": "linux"}, "schedulerName": scheduler}
    for node in body.world.all("Node"):
        body.world.patch("Node", node["metadata"]["name"], {"metadata": {"labels": {"kubernetes.io/os": "linux"}}})
    body.world.create(job("low", pods=1, cpu="60", priority="low", **own))

    def low() -> dict[str, Any]:
        return (body.world.get("Job", "low", "team-a") or {})["spec"]

    body.until(lambda: not low()["suspend"])
    chosen = low()["template"]["spec"]["nodeSelector"]
    assert chosen["kubernetes.io/os"] == "linux" and chosen.keys() >= labels.keys()
    (workload,) = body.world.all("Workload", "team-a")
    original = workload["spec"]["podSets"][0]["template"]
    body.world.patch("Workload", workload["metadata"]["name"], {"spec": {"active": False}}, "team-a")
    body.until(lambda: low()["suspend"] and low()["template"]["spec"]["nodeSelector"] == own["nodeSelector"])
    assert "kueue.x-k8s.io/workload" not in (low()["template"]["metadata"].get("annotations") or {})
    body.settled()
    (workload,) = body.world.all("Workload", "team-a")
    assert workload["spec"]["podSets"][0]["template"] == original
    body.world.patch("Workload", workload["metadata"]["name"], {"spec": {"active": True}}, "team-a")
    body.until(lambda: not low()["suspend"] and low()["template"]["spec"]["nodeSelector"] == chosen)


def test_equal_clusters_are_read_as_equal_snapshots(body: Body) -> None:
    """Nodes, devices and queues as one reads them, whatever serves them: the reference is this very fleet's objects."""
    furnish(body)
    expected = snapshot_of(fleet_objects(parse_fleet(fleet_text(*FLEET), "fleet.yaml")))
    parts = ("nodes", "slices", "cluster_queues", "device_classes")  # each comes by a watch of its own

    def whole() -> Snapshot | None:
        seen = body.cluster.observe()
        return seen if all(len(getattr(seen, p)) == len(getattr(expected, p)) for p in parts) else None

    seen = body.until(whole)
    for name, node in expected.nodes.items():
        mine = seen.nodes[name]
        assert (mine.labels, mine.allocatable, mine.taints) == (node.labels, node.allocatable, node.taints)
    assert sorted(map(to_json, (s.spec for s in seen.slices))) == sorted(
        map(to_json, (s.spec for s in expected.slices))
    )
    for name, queue in expected.cluster_queues.items():
        assert seen.cluster_queues[name].spec.resource_groups == queue.spec.resource_groups
    for name, made in expected.device_classes.items():
        assert seen.device_classes[name].spec == made.spec
