"""A claim of a PodGroup (KEP-5729): made once, allocated once, reserved for the group, gone with it."""

from __future__ import annotations

from typing import Any

import pytest

from bayplan.clusters.embedded.errors import ApiError
from tests.embedded.world import CLAIMS, WORKLOADS, World

GROUPS = "podgroups.scheduling.k8s.io"


def group(world: World, name: str = "gang", *, pods: int = 2, **claim: str) -> dict[str, Any]:
    policy = {"gang": {"minCount": pods}} if pods else {"basic": {}}
    spec: dict[str, Any] = {"schedulingPolicy": policy}
    if claim:
        spec["resourceClaims"] = [{"name": "gpu", **claim}]
    return world.store.create(GROUPS, "default", {"metadata": {"name": name}, "spec": spec})


def members(world: World, *names: str, group: str = "gang", ask: str = "2", own: str = "", **more: Any) -> None:
    """Pods of the group that name its claim, and one of their own."""
    for name in names:
        template = world.template(ask, **more)
        spec = template["spec"] | {"schedulingGroup": {"podGroupName": group}}
        if own:
            spec["resourceClaims"].append({"name": "own", "resourceClaimTemplateName": world.claim_template(own)})
        metadata = template["metadata"] | {"name": name}
        world.store.create("pods", "default", {"metadata": metadata, "spec": spec})


def nodes(world: World) -> dict[str, str]:
    return {p["metadata"]["name"]: p["spec"].get("nodeName", "") for p in world.pods()}


def reserved(claim: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = (claim.get("status") or {}).get("reservedFor") or ()
    return [(r.get("apiGroup", ""), r["resource"], r["name"]) for r in found]


FOR_GANG = [("scheduling.k8s.io", "podgroups", "gang")]


@pytest.mark.parametrize("order", ["group first", "pods first"])
def test_one_claim_is_made_for_the_gang_and_reserved_for_the_group(order: str) -> None:
    world = World("a=8 b=8")
    steps = [
        lambda: group(world, pods=3, resourceClaimTemplateName=world.claim_template("2")),
        lambda: members(world, "p0", "p1", "p2", own="1", runtime=60),
    ]
    for step in steps if order == "group first" else reversed(steps):
        step()
        world.run(2)
    assert len({*nodes(world).values()}) == 1 and "" not in nodes(world).values()
    made = world.get(GROUPS, "gang")["status"]["resourceClaimStatuses"]
    (shared,) = [c for c in world.all(CLAIMS) if c["metadata"]["name"] == made[0]["resourceClaimName"]]
    assert made == [{"name": "gpu", "resourceClaimName": shared["metadata"]["name"]}]
    assert shared["metadata"]["name"].startswith("gang-gpu-")
    assert [(o["kind"], o["controller"]) for o in shared["metadata"]["ownerReferences"]] == [("PodGroup", True)]
    assert reserved(shared) == FOR_GANG
    for pod in world.pods():
        statuses = {s["name"]: s["resourceClaimName"] for s in pod["status"]["resourceClaimStatuses"]}
        assert statuses["gpu"] == shared["metadata"]["name"]
        assert reserved(world.get(CLAIMS, statuses["own"])) == [("", "pods", pod["metadata"]["name"])]
    assert len(world.all(CLAIMS)) == 4 and len(world.devices_taken()) == 5


def test_a_claim_of_another_template_is_the_pods_own() -> None:
    """Only what says the same in every field is the group's (kubernetes' BindTo)."""
    world = World("a=8")
    group(world, resourceClaimTemplateName=world.claim_template("4"))
    members(world, "p0", "p1", ask="2", runtime=60)
    world.run(2)
    assert len(world.devices_taken()) == 4 and len(world.all(CLAIMS)) == 3
    assert sorted(reserved(c) for c in world.all(CLAIMS)) == [[], [("", "pods", "p0")], [("", "pods", "p1")]]


def test_a_claim_made_by_hand_may_be_the_groups() -> None:
    world = World("a=8 b=8")
    spec = world.store.get("resourceclaimtemplates.resource.k8s.io", "default", world.claim_template("2"))["spec"]
    world.store.create(CLAIMS, "default", {"metadata": {"name": "ours"}, "spec": spec["spec"]})
    group(world, resourceClaimName="ours")
    for name in ("p0", "p1"):
        template = world.template("0", runtime=60)
        named = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "ours"}]}
        spec = template["spec"] | named | {"schedulingGroup": {"podGroupName": "gang"}}
        world.store.create("pods", "default", {"metadata": template["metadata"] | {"name": name}, "spec": spec})
    world.run(2)
    assert len({*nodes(world).values()}) == 1 and reserved(world.get(CLAIMS, "ours")) == FOR_GANG
    world.store.delete(GROUPS, "default", "gang")
    world.settle()
    assert reserved(world.get(CLAIMS, "ours")) == [] and world.devices_taken() == []


def test_the_devices_stay_the_groups_until_it_is_deleted() -> None:
    world = World("a=4")
    group(world, resourceClaimTemplateName=world.claim_template("4"))
    members(world, "p0", "p1", ask="4", runtime=3)
    world.run(6)
    assert len(world.pods("Succeeded")) == 2 and len(world.devices_taken()) == 4
    world.pod("next", "4", runtime=60)
    world.run(2)
    assert nodes(world)["next"] == ""
    world.store.delete(GROUPS, "default", "gang")
    world.run(3)
    assert nodes(world)["next"] == "a"
    assert [reserved(c) for c in world.all(CLAIMS)] == [[("", "pods", "next")]]


def test_a_group_that_is_ended_for_others_gives_its_devices_back() -> None:
    """Its PodGroup lives on and would keep them for ever."""
    world = World("a=4")
    world.priority("urgent", 1000)
    group(world, resourceClaimTemplateName=world.claim_template("4"))
    members(world, "p0", "p1", ask="4", runtime=600)
    world.run(2)
    assert nodes(world) == {"p0": "a", "p1": "a"}
    world.pod("urgent", "4", priority="urgent", runtime=60)
    world.run(40)
    assert nodes(world).get("urgent") == "a"
    (shared,) = [c for c in world.all(CLAIMS) if c["metadata"]["name"].startswith("gang-gpu-")]
    assert reserved(shared) == [] and not shared["status"].get("allocation")
    # whose pods are made again runs when there is room again
    members(world, "q0", "q1", ask="4", runtime=60)
    world.run(90)
    assert {n: nodes(world).get(n) for n in ("q0", "q1")} == {"q0": "a", "q1": "a"}
    assert reserved(world.get(CLAIMS, shared["metadata"]["name"])) == FOR_GANG


def test_pods_of_a_basic_group_share_its_claim_one_by_one() -> None:
    world = World("a=8 b=8")
    group(world, pods=0, resourceClaimTemplateName=world.claim_template("2"))
    members(world, "p0", runtime=60)
    world.run(2)
    members(world, "p1", "p2", runtime=60)
    world.run(2)
    assert len({*nodes(world).values()}) == 1 and "" not in nodes(world).values()
    assert len(world.devices_taken()) == 2 and [reserved(c) for c in world.all(CLAIMS)] == [FOR_GANG]
    assert len(world.all(WORKLOADS)) == 3


def test_a_group_has_four_claims_at_most_each_of_one_source() -> None:
    world = World()
    both = {"name": "x", "resourceClaimName": "a", "resourceClaimTemplateName": "b"}
    for claims, why in (
        ([{"name": f"c{i}", "resourceClaimName": "a"} for i in range(5)], "at most 4 items"),
        ([both], "must specify one of"),
        ([{"name": "x", "resourceClaimName": "a"}] * 2, "Duplicate"),
    ):
        spec = {"schedulingPolicy": {"gang": {"minCount": 1}}, "resourceClaims": claims}
        with pytest.raises(ApiError, match=why):
            world.store.create(GROUPS, "default", {"metadata": {"name": "bad"}, "spec": spec})
