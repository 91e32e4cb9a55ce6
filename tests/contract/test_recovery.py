"""What becomes of what was promised and cannot be kept: gangs without a node, devices without a pod."""

from __future__ import annotations

import time
from typing import Any

from bayplan.model.policy import Policy
from bayplan.wire.times import rfc3339
from tests.cluster.checks import sound
from tests.cluster.world import job, pod, template, true_conditions
from tests.contract.bodies import Body

POLICY = Policy()
RACK = "topology.bayplan.dev/rack"


def lose(body: Body, node: str) -> None:
    """The node has died: it, its devices and its pods are taken out of the cluster."""
    world = body.world
    pods = [name for name, home in world.bound().items() if home == node]
    world.delete("Node", node)
    for piece in world.all("ResourceSlice"):
        if piece["spec"].get("nodeName") == node:
            world.delete("ResourceSlice", piece["metadata"]["name"])
    for name in pods:
        world.delete("Pod", name, "team-a", grace=0)


def test_a_gang_that_lost_a_node_is_evicted_after_the_grace_and_runs_whole_elsewhere(body: Body) -> None:
    world = body.world
    world.fleet("h100 4 h100-80gb")
    gang = job("gang", pods=2, claim="eight", rack=True)
    gang["spec"]["template"]["metadata"]["annotations"]["bayplan.dev/runtime-seconds"] = "100000"
    world.create(template("eight", gpus=8), gang)
    first = body.until(lambda: len(b := world.bound()) == 2 and b)
    body.leap(20)
    lose(body, min(first.values()))

    def workload() -> dict[str, Any]:
        (found,) = world.all("Workload", "team-a")
        return found

    def suspended() -> bool:
        return bool((world.get("Job", "gang", "team-a") or {})["spec"]["suspend"])

    body.until(
        lambda: [c for c in workload()["status"]["conditions"] if (c["type"], c["status"]) == ("PodsReady", "False")]
    )
    assert len(world.bound()) == 1 and not suspended()
    body.leap(POLICY.recovery_timeout_s)
    body.until(lambda: suspended() and not world.bound(), 30)
    assert "Evicted" in true_conditions(workload()) and workload()["status"]["requeueState"]["count"] == 1
    body.leap(60)
    second = body.until(lambda: len(b := world.bound()) == 2 and b, 30)
    assert not {*first.values()} & {*second.values()}
    body.settled()
    assert sound(world) == [] and body.findings == []


# --- devices that have to be made ready ----------------------------------------------------------------------------


def attaching(body: Body) -> None:
    """A node whose devices must be attached before their pods are bound, and may turn out broken."""
    body.world.fleet("h100 1 h100-80gb")
    for piece in body.world.all("ResourceSlice"):
        conditions = {"bindingConditions": ["attached"], "bindingFailureConditions": ["broken"]}
        devices = [d | conditions for d in piece["spec"]["devices"]]
        body.world.patch("ResourceSlice", piece["metadata"]["name"], {"spec": {"devices": devices}})
    # one watch may be ahead of another: a pod could be seen before its devices' conditions
    body.until(lambda: [d for s in body.cycle().snapshot.slices for d in s.spec.devices if d.binding_conditions])
    body.world.create(template("four", gpus=4))


def allocated(body: Body) -> list[dict[str, Any]]:
    return [c for c in body.world.all("ResourceClaim", "team-a") if (c.get("status") or {}).get("allocation")]


def tell(body: Body, claim: dict[str, Any], condition: str) -> None:
    """What a driver writes of the devices of a claim."""
    now = rfc3339(int(time.time()))
    told = [{"type": condition, "status": "True", "reason": "Driver", "message": "", "lastTransitionTime": now}]
    results = claim["status"]["allocation"]["devices"]["results"]
    devices = [{k: r[k] for k in ("driver", "pool", "device")} | {"conditions": told} for r in results]
    body.world.patch("ResourceClaim", claim["metadata"]["name"], {"status": {"devices": devices}}, "team-a", "status")


def test_a_gang_is_bound_when_all_its_devices_are_attached(body: Body) -> None:
    attaching(body)
    body.world.create(job("train", pods=2, claim="four"))
    first, second = body.until(lambda: len(a := allocated(body)) == 2 and a)
    tell(body, first, "attached")
    body.settled()
    assert body.world.bound() == {}
    tell(body, second, "attached")
    body.until(lambda: len(body.world.bound()) == 2)
    assert sound(body.world) == [] and body.findings == []


def test_devices_that_fail_are_given_back_and_decided_again(body: Body) -> None:
    attaching(body)
    body.world.create(pod("p", claim="four"))
    (claim,) = body.until(lambda: allocated(body))
    before = claim["status"]["allocation"]["allocationTimestamp"]
    body.leap(5)
    tell(body, claim, "broken")
    body.until(lambda: (a := allocated(body)) and a[0]["status"]["allocation"]["allocationTimestamp"] != before)
    assert not allocated(body)[0]["status"].get("devices") and body.world.bound() == {}
    tell(body, allocated(body)[0], "attached")
    body.until(lambda: body.world.bound())
    assert sound(body.world) == [] and body.findings == []


def test_devices_that_are_never_made_ready_are_given_back(body: Body) -> None:
    attaching(body)
    body.world.create(pod("p", claim="four"))
    (claim,) = body.until(lambda: allocated(body))
    before = claim["status"]["allocation"]["allocationTimestamp"]
    body.leap(POLICY.binding_timeout_s)
    body.until(lambda: (a := allocated(body)) and a[0]["status"]["allocation"]["allocationTimestamp"] != before)
    assert body.world.bound() == {} and body.findings == []


def test_a_pod_that_cannot_be_bound_any_more_holds_no_devices(body: Body) -> None:
    attaching(body)
    body.world.create(pod("p", claim="four"))
    body.until(lambda: allocated(body))
    body.world.patch("Node", "h100-000", {"spec": {"unschedulable": True}})
    body.until(lambda: not allocated(body))
    (claim,) = body.world.all("ResourceClaim", "team-a")
    assert not (claim.get("status") or {}).get("reservedFor")
    body.world.patch("Node", "h100-000", {"spec": {"unschedulable": None}})
    tell(body, body.until(lambda: allocated(body))[0], "attached")
    body.until(lambda: body.world.bound())
    assert sound(body.world) == [] and body.findings == []
