"""The mirror: unchanged objects are the same instances, and what refers to another object follows it."""

from typing import Any

import pytest

from bayplan.runtime.mirror import POD, WORKLOAD, GroupKind, Mirror

NODE: GroupKind = ("", "Node")
CLAIM: GroupKind = ("resource.k8s.io", "ResourceClaim")
TEMPLATE: GroupKind = ("resource.k8s.io", "ResourceClaimTemplate")
GROUP: GroupKind = ("scheduling.k8s.io", "PodGroup")
CLASS: GroupKind = ("scheduling.k8s.io", "PriorityClass")

CONTAINERS = [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]
DEVICES = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu"}}]}}


def named(name: str, version: int = 1, **more: Any) -> dict:
    return {"name": name, "namespace": "ml", "uid": f"u-{name}", "resourceVersion": str(version), **more}


def pod(name: str, version: int = 1, spec: dict | None = None, status: dict | None = None, **meta: Any) -> dict:
    body = {"containers": CONTAINERS, **(spec or {})}
    return {"kind": "Pod", "metadata": named(name, version, **meta), "spec": body, "status": status or {}}


def workload(name: str, version: int = 1, owners: list | None = None, status: dict | None = None, **spec: Any) -> dict:
    sets = [{"name": "main", "count": 1, "template": {"spec": {"containers": CONTAINERS, **spec}}}]
    return {
        "kind": "Workload",
        "metadata": named(name, version, ownerReferences=owners or []),
        "spec": {"podSets": sets},
        "status": status or {},
    }


def owner(kind: str, name: str) -> dict:
    return {"kind": kind, "name": name, "uid": f"u-{name}"}


def node(name: str, version: int = 1, **spec: Any) -> dict:
    return {"kind": "Node", "metadata": {"name": name, "resourceVersion": str(version)}, "spec": spec}


def test_nothing_new_is_the_same_snapshot() -> None:
    mirror = Mirror()
    mirror.put(NODE, "a", node("a"), "1")
    first = mirror.snapshot()
    mirror.put(NODE, "a", node("a", version=2), "2")
    assert mirror.snapshot() is first, "only a version changed"
    mirror.put(NODE, "a", node("a", version=3, unschedulable=True), "3")
    changed = mirror.snapshot()
    assert changed.nodes["a"].unschedulable
    assert (first.revision, changed.revision) == ("1", "3")


def test_what_did_not_change_is_shared() -> None:
    mirror = Mirror()
    for name in ("b", "a"):
        mirror.put(NODE, name, node(name))
    mirror.put(WORKLOAD, "ml/w", workload("w"))
    before = mirror.snapshot()
    mirror.put(NODE, "a", node("a", unschedulable=True))
    after = mirror.snapshot()
    assert after.nodes["b"] is before.nodes["b"]
    assert after.workloads is before.workloads
    assert list(after.nodes) == ["a", "b"], "in order of name, whatever the order of arrival"


def test_a_workloads_version_is_that_of_its_last_change_a_decision_could_see() -> None:
    mirror = Mirror()
    mirror.put(WORKLOAD, "ml/w", workload("w", version=1))
    mirror.snapshot()
    mirror.put(WORKLOAD, "ml/w", workload("w", version=2, status={"conditions": [{"type": "QuotaReserved"}]}))
    assert mirror.snapshot().workloads["ml/w"].resource_version == "1"
    mirror.put(WORKLOAD, "ml/w", workload("w", version=3, nodeSelector={"x": "y"}))
    assert mirror.snapshot().workloads["ml/w"].resource_version == "3"


def test_what_has_ended_is_not_in_a_snapshot() -> None:
    mirror = Mirror()
    mirror.put(POD, "ml/p", pod("p"))
    mirror.put(WORKLOAD, "ml/w", workload("w"))
    assert mirror.snapshot().pods
    mirror.put(POD, "ml/p", pod("p", status={"phase": "Succeeded"}))
    mirror.put(WORKLOAD, "ml/w", workload("w", status={"conditions": [{"type": "Finished", "status": "True"}]}))
    ended = mirror.snapshot()
    assert (ended.pods, ended.workloads) == ({}, {})


def test_a_claim_template_that_comes_late_reaches_its_workloads() -> None:
    mirror = Mirror()
    claims = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
    mirror.put(WORKLOAD, "ml/w", workload("w", resourceClaims=claims))

    def template() -> object:
        return mirror.snapshot().workloads["ml/w"].pod_sets[0].template.claims[0].template

    assert template() is None
    mirror.put(TEMPLATE, "ml/t", {"metadata": named("t"), "spec": {"spec": DEVICES}})
    assert template() is not None
    mirror.drop(TEMPLATE, "ml/t")
    assert template() is None


def test_pods_of_a_group_share_its_claim_from_before_it_is_made_until_it_has_devices() -> None:
    mirror = Mirror()
    claims = [{"name": "gpu", "resourceClaimTemplateName": "t"}, {"name": "own", "resourceClaimTemplateName": "t"}]
    grouped = {"resourceClaims": claims, "schedulingGroup": {"podGroupName": "g"}}
    mirror.put(WORKLOAD, "ml/w", workload("w", **grouped))
    mirror.put(TEMPLATE, "ml/t", {"metadata": named("t"), "spec": {"spec": DEVICES}})

    def asked() -> list[tuple[str, bool]]:
        template = mirror.snapshot().workloads["ml/w"].pod_sets[0].template
        return [(c.claim, c.template is not None) for c in template.claims]

    assert asked() == [("", True), ("", True)]
    spec = {"schedulingPolicy": {"gang": {"minCount": 1}}, "resourceClaims": claims[:1]}
    mirror.put(GROUP, "ml/g", {"metadata": named("g"), "spec": spec})
    assert asked() == [("ml/g/gpu", True), ("", True)], "no claim can have that name"
    made = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "g-gpu-1"}]}
    mirror.put(GROUP, "ml/g", {"metadata": named("g", 2), "spec": spec, "status": made})
    mirror.put(CLAIM, "ml/g-gpu-1", {"metadata": named("g-gpu-1"), "spec": DEVICES})
    assert asked() == [("ml/g-gpu-1", True), ("", True)]
    terms = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]
    given = {"allocation": {"nodeSelector": {"nodeSelectorTerms": terms}}}
    mirror.put(CLAIM, "ml/g-gpu-1", {"metadata": named("g-gpu-1", 2), "spec": DEVICES, "status": given})
    assert asked() == [("ml/g-gpu-1", False), ("", True)]
    affinity = mirror.snapshot().workloads["ml/w"].pod_sets[0].template.node_affinity
    assert affinity is not None and affinity.matches("a", {}) and not affinity.matches("b", {})
    mirror.drop(GROUP, "ml/g")
    assert asked() == [("", True), ("", True)]


def test_a_claim_that_has_its_devices_ties_its_pods_to_their_node() -> None:
    mirror = Mirror()
    mirror.put(WORKLOAD, "ml/w", workload("w", resourceClaims=[{"name": "gpu", "resourceClaimName": "c"}]))
    mirror.put(CLAIM, "ml/c", {"metadata": named("c"), "spec": DEVICES})
    asking = mirror.snapshot().workloads["ml/w"].pod_sets[0].template
    assert asking.claims[0].template is not None
    assert asking.claims[0].claim == "ml/c"
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}
    status = {"allocation": {"devices": {}, "nodeSelector": {"nodeSelectorTerms": [term]}}}
    mirror.put(CLAIM, "ml/c", {"metadata": named("c"), "spec": DEVICES, "status": status})
    tied = mirror.snapshot().workloads["ml/w"].pod_sets[0].template
    assert tied.claims[0].template is None
    assert tied.node_affinity is not None
    assert tied.node_affinity.matches("a", {})
    assert not tied.node_affinity.matches("b", {})


def test_a_priority_class_that_changes_reaches_its_workloads() -> None:
    mirror = Mirror()
    source = workload("w")
    source["spec"]["priorityClassRef"] = {"kind": "PriorityClass", "name": "hi"}
    mirror.put(WORKLOAD, "ml/w", source)
    assert mirror.snapshot().workloads["ml/w"].priority == 0
    mirror.put(CLASS, "hi", {"metadata": {"name": "hi"}, "value": 9})
    assert mirror.snapshot().workloads["ml/w"].priority == 9


MEMBERS = [
    ("by its own annotation", pod("p", annotations={"kueue.x-k8s.io/workload": "w"}), []),
    ("as the pod the Workload was made of", pod("p"), [owner("Pod", "p")]),
    (
        "through its controller",
        pod("p", ownerReferences=[{**owner("Job", "j"), "controller": True}]),
        [owner("Job", "j")],
    ),
    ("through its PodGroup", pod("p", spec={"schedulingGroup": {"podGroupName": "g"}}), [owner("PodGroup", "g")]),
]


@pytest.mark.parametrize("pod_first", [True, False], ids=["pod first", "workload first"])
@pytest.mark.parametrize(("member", "owners"), [m[1:] for m in MEMBERS], ids=[m[0] for m in MEMBERS])
def test_a_pod_finds_its_workload(member: dict, owners: list, pod_first: bool) -> None:
    mirror = Mirror()
    arrivals: list[tuple[GroupKind, str, dict]] = [
        (POD, "ml/p", member),
        (WORKLOAD, "ml/w", workload("w", owners=owners)),
    ]
    for arrival in arrivals if pod_first else reversed(arrivals):
        mirror.put(*arrival)
        mirror.snapshot()
    found = mirror.snapshot().pods["ml/p"]
    assert (found.workload, found.pod_set) == ("ml/w", "main")


def test_what_cannot_be_read_is_left_out_and_named() -> None:
    mirror = Mirror()
    mirror.put(NODE, "a", node("a"))
    mirror.put(NODE, "a", {"metadata": {"name": "a"}, "spec": {"taints": "many"}})
    mirror.put(WORKLOAD, "ml/w", {"metadata": named("w"), "spec": {}})
    assert mirror.snapshot().nodes == {}
    assert {name: e.field_path for name, e in mirror.problems.items()} == {
        "Node a": "spec.taints",
        "Workload ml/w": "spec.podSets",
    }
    mirror.put(NODE, "a", node("a"))
    mirror.drop(WORKLOAD, "ml/w")
    assert mirror.snapshot().nodes
    assert mirror.problems == {}
