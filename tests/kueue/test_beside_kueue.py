"""A running Kueue admits, Bayplan places: each does its part and leaves the other's alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.checks import sound
from tests.cluster.process import Brain
from tests.cluster.world import World, job, pod, template, true_conditions
from tests.controlplane.run import ControlPlane

BESIDE = ("--no-leader-elect", "--queues=kueue")
KUEUE = "kueue.x-k8s.io/v1beta2"


def furnish(world: World, gpus: int = 16) -> None:
    """Two nodes of eight GPUs, and a queue of Kueue's for `gpus` of them."""
    world.fleet("h100 2 h100-80gb", queues=False)
    world.create(template("four", gpus=4))
    quota = {"cpu": "100", "memory": "1Ti", "nvidia.com/gpu": str(gpus)}
    flavor = {"name": "any", "resources": [{"name": k, "nominalQuota": v} for k, v in quota.items()]}
    world.create(
        {"apiVersion": KUEUE, "kind": "ResourceFlavor", "metadata": {"name": "any"}},
        *(
            {"apiVersion": KUEUE, "kind": "WorkloadPriorityClass", "metadata": {"name": name}, "value": value}
            for name, value in (("high", 1000), ("low", 0))
        ),
        {
            "apiVersion": KUEUE,
            "kind": "ClusterQueue",
            "metadata": {"name": "team-a"},
            "spec": {
                "namespaceSelector": {},
                "preemption": {"withinClusterQueue": "LowerPriority"},
                "resourceGroups": [{"coveredResources": list(quota), "flavors": [flavor]}],
            },
        },
        {
            "apiVersion": KUEUE,
            "kind": "LocalQueue",
            "metadata": {"name": "team-a", "namespace": "team-a"},
            "spec": {"clusterQueue": "team-a"},
        },
    )


@pytest.fixture
def brain(plane: ControlPlane, world: World) -> Iterator[Brain]:
    with Brain(plane, *BESIDE) as brain:
        brain.wait_ready(60)
        yield brain


def by_kueue_alone(world: World) -> bool:
    """Whether nobody but Kueue has written Workloads, and it has."""
    writers = {m["manager"] for w in world.all("Workload") for m in w["metadata"]["managedFields"]}
    assert writers and all(name.startswith("kueue") for name in writers), writers
    return True


def test_kueue_admits_and_bayplan_binds(world: World, brain: Brain) -> None:
    furnish(world)
    world.create(job("train", pods=4, claim="four"))
    world.until_bound(4, seconds=60)
    (workload,) = world.all("Workload")
    assert {"QuotaReserved", "Admitted"} <= set(true_conditions(workload))
    assert (world.get("Job", "train", "team-a") or {})["spec"]["suspend"] is False
    assert by_kueue_alone(world)
    assert [name for name in brain.metrics() if 'code="403"' in name] == []
    assert sound(world) == []


def test_what_kueue_holds_back_is_left_alone(world: World, brain: Brain) -> None:
    furnish(world, gpus=8)
    world.create(job("first", pods=2, claim="four"))
    world.until_bound(2, seconds=60)
    world.create(job("second", pods=2, claim="four"), pod("lone", cpu="1"))
    world.until_bound(3, seconds=60)  # lone pods in no queue are nobody else's
    second = next(w for w in world.all("Workload") if w["metadata"]["name"].startswith("job-second"))
    assert "QuotaReserved" not in true_conditions(second)
    assert (world.get("Job", "second", "team-a") or {})["spec"]["suspend"] is True
    world.delete("Job", "first", "team-a")
    world.eventually(lambda: len([n for n in world.bound() if n.startswith("second")]) == 2, 60)
    assert by_kueue_alone(world)


def test_whom_kueue_evicts_bayplan_lets_go(world: World, brain: Brain) -> None:
    furnish(world, gpus=8)
    world.create(job("low", pods=2, claim="four", priority="low"))
    world.until_bound(2, seconds=60)
    world.create(job("high", pods=2, claim="four", priority="high"))
    world.eventually(lambda: len([n for n in world.bound() if n.startswith("high")]) == 2, 90)
    low = next(w for w in world.all("Workload") if w["metadata"]["name"].startswith("job-low"))
    assert "Evicted" in true_conditions(low)
    refused = [name for name in brain.metrics() if 'code="403"' in name]
    assert refused == []
    world.eventually(lambda: sound(world) == [], 30, lambda: str(sound(world)))


def test_without_being_told_bayplan_steps_aside(plane: ControlPlane, world: World) -> None:
    furnish(world)
    world.eventually(lambda: (world.get("ClusterQueue", "team-a") or {})["metadata"].get("finalizers"))
    world.create(job("train", pods=2, claim="four"))
    with Brain(plane, "--no-leader-elect") as brain:
        assert brain.process is not None
        assert brain.process.wait(60) == 3
        assert "run with --queues=kueue" in brain.log()
    assert world.bound() == {}
    assert by_kueue_alone(world)
