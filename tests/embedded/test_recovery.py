"""Gangs that lose a node, and devices that have to be made ready: over the whole embedded cluster, in virtual time."""

from bayplan.model.policy import Policy
from bayplan.wire.times import rfc3339, seconds
from tests.embedded.world import CLAIMS, JOBS, SLICES, WORKLOADS, World

GRACE_S = Policy().recovery_timeout_s


def lose(world: World, name: str) -> None:
    """The node dies and is taken out of the cluster, with what its driver had published."""
    for piece in world.store.list(SLICES)[0]:
        if piece["spec"].get("nodeName") == name:
            world.store.delete(SLICES, None, piece["metadata"]["name"])
    world.store.delete("nodes", None, name)


def nodes(world: World) -> list[str]:
    return sorted(p["spec"].get("nodeName", "") for p in world.pods())


def test_a_gang_that_loses_a_node_is_evicted_after_the_grace_and_runs_whole_elsewhere() -> None:
    world = World("r1/a=8 r1/b=8 r2/c=8 r2/d=8", queues="team=16")
    rack = {"podset-required-topology": "topology.bayplan.dev/rack"}
    world.job("gang", count=2, runtime=5000, spec={"backoffLimit": 100}, **rack)
    world.run(3)
    assert nodes(world) == ["a", "b"]
    created = world.workload("gang")["metadata"]["creationTimestamp"]
    world.run(20)
    lose(world, "b")
    world.run(3)
    assert nodes(world) == ["", "a"]
    name = world.workload("gang")["metadata"]["name"]
    (ready,) = (c for c in world.workload("gang")["status"]["conditions"] if c["type"] == "PodsReady")
    assert (ready["status"], ready["reason"]) == ("False", "WaitForRecovery")
    world.run(GRACE_S - 5)
    assert nodes(world) == ["", "a"] and not world.get(JOBS, "gang")["spec"]["suspend"]
    world.run(10)
    assert world.get(JOBS, "gang")["spec"]["suspend"]
    assert (world.pods(), world.devices_taken()) == ([], [])
    assert world.conditions(WORKLOADS, name)["Evicted"] == "PodsReadyTimeout"
    assert "EvictedDueToPodsReadyTimeout" in world.events(name)
    state = world.workload("gang")["status"]["requeueState"]
    assert state["count"] == 1 and 0 < seconds(state["requeueAt"]) - world.at_s <= 60
    world.run(70)
    assert nodes(world) == ["c", "d"]
    assert world.workload("gang")["metadata"]["creationTimestamp"] == created
    true = world.conditions(WORKLOADS, name)
    assert "Evicted" not in true and true["Requeued"] == "BackoffFinished"


def test_a_gang_that_gets_its_pod_back_in_time_goes_on() -> None:
    world = World("r1/a=8 r1/b=8", queues="team=16")
    world.job("gang", count=2, runtime=5000, spec={"backoffLimit": 100})
    world.run(20)
    lost = world.store.get("nodes", None, "b")
    pieces = [s for s in world.store.list(SLICES)[0] if s["spec"].get("nodeName") == "b"]
    lose(world, "b")
    world.run(100)
    assert nodes(world) == ["", "a"]
    for resource, obj in (("nodes", lost), *((SLICES, s) for s in pieces)):
        fresh = {k: obj["metadata"][k] for k in ("name", "labels") if k in obj["metadata"]}
        world.store.create(resource, None, {**obj, "metadata": fresh})
    world.run(3)
    assert nodes(world) == ["a", "b"]
    assert "bayplan.dev/why" not in world.workload("gang")["metadata"]["annotations"]
    assert world.conditions(WORKLOADS, world.workload("gang")["metadata"]["name"])["PodsReady"] == "Recovered"
    world.run(GRACE_S + 10)
    assert nodes(world) == ["a", "b"], "the time that ran is forgotten"


def test_a_pod_is_bound_when_its_devices_are_attached_and_not_before() -> None:
    world = attaching("a=8 b=8")
    world.job("train", "8", count=2, runtime=5000)
    world.run(5)
    assert nodes(world) == ["", ""] and len(world.devices_taken()) == 16
    assert "is not attached yet" in world.workload("train")["metadata"]["annotations"]["bayplan.dev/why"]
    first, second = world.all(CLAIMS)
    tell(world, first, attached="True")
    world.run(3)
    assert nodes(world) == ["", ""]
    tell(world, second, attached="True")
    world.run(3)
    assert nodes(world) == ["a", "b"]


def test_devices_that_fail_or_take_too_long_are_given_back() -> None:
    world = attaching("a=8")
    world.job("train", "8", runtime=5000)
    world.run(3)
    (claim,) = world.all(CLAIMS)
    began = claim["status"]["allocation"]["allocationTimestamp"]
    tell(world, claim, broken="True")
    world.run(3)
    (claim,) = world.all(CLAIMS)
    assert claim["status"]["allocation"]["allocationTimestamp"] > began, "decided again"
    assert not claim["status"].get("devices") and nodes(world) == [""]
    began = claim["status"]["allocation"]["allocationTimestamp"]
    world.run(Policy().binding_timeout_s + 3)
    (claim,) = world.all(CLAIMS)
    assert claim["status"]["allocation"]["allocationTimestamp"] > began


def test_a_pod_that_cannot_be_bound_gives_its_devices_to_one_that_can() -> None:
    world = attaching("a=8")
    world.pod("first", runtime=5000)
    world.run(3)
    assert len(world.devices_taken()) == 8
    world.store.patch("nodes", None, "a", {"spec": {"unschedulable": True}})
    world.run(3)
    assert world.devices_taken() == [] and world.all(CLAIMS)[0]["metadata"].get("finalizers") is None
    assert nodes(world) == [""]


def attaching(spec: str) -> World:
    """A world whose devices must be attached before their pods are bound, and may be broken."""
    world = World(spec, queues="team=16")
    for piece in world.store.list(SLICES)[0]:
        devices = [d | {"bindingConditions": ["attached"]} for d in piece["spec"]["devices"]]
        devices = [d | {"bindingFailureConditions": ["broken"]} for d in devices]
        world.store.patch(SLICES, None, piece["metadata"]["name"], {"spec": {"devices": devices}})
    return world


def tell(world: World, claim: dict, **conditions: str) -> None:
    """What a driver writes of the devices of a claim."""
    now = {"lastTransitionTime": rfc3339(world.at_s)}
    told = [{"type": t, "status": s, "reason": "Driver", "message": "", **now} for t, s in conditions.items()]
    devices = [
        {**{k: r[k] for k in ("driver", "pool", "device")}, "conditions": told}
        for r in claim["status"]["allocation"]["devices"]["results"]
    ]
    world.store.patch(
        CLAIMS, "default", claim["metadata"]["name"], {"status": {"devices": devices}}, subresource="status"
    )
