"""Pods without a job: one Workload for a lone pod, one for a group once it is complete."""

from typing import Any

import pytest

from bayplan.wire.errors import Malformed
from bayplan.wire.podgroups import pod_group
from bayplan.wire.pods import PodObject
from bayplan.wire.read import read
from bayplan.wire.workload import Context, workload
from bayplan.workloads.podgroup import lone, native_group, plain_group, role

NOTHING = Context()
GROUP = "kueue.x-k8s.io/pod-group-name"
TOTAL = "kueue.x-k8s.io/pod-group-total-count"


def pod(name: str, cpu: str = "1", total: str | None = "2", **metadata: Any) -> dict:
    notes = {TOTAL: total} if total else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ml", "uid": f"u-{name}", "labels": {GROUP: "g"}, "annotations": notes}
        | metadata,
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}], "nodeName": ""},
    }


def members(*pods: dict) -> list[tuple[dict, PodObject]]:
    return [(p, read(p, PodObject)) for p in pods]


def test_a_lone_pod_is_a_workload_of_one() -> None:
    queued = pod("p", labels={"kueue.x-k8s.io/queue-name": "q"}, annotations={"bayplan.dev/runtime-seconds": "5"})
    read_ = workload(lone(queued, NOTHING), NOTHING)
    assert (read_.owner, read_.queue_name, read_.count, read_.runtime_s) == ("Pod/p", "q", 1, 5)


def test_a_group_waits_for_its_last_pod() -> None:
    assert plain_group("g", members(pod("a")), NOTHING) is None
    made = plain_group("g", members(pod("a"), pod("b")), NOTHING)
    assert made is not None
    assert (made["metadata"]["name"], len(made["metadata"]["ownerReferences"])) == ("g", 2)
    assert workload(made, NOTHING).owner == "PodGroup/g"


def test_pods_that_ask_alike_are_one_set() -> None:
    made = plain_group("g", members(pod("a", "4", "3"), pod("b", "1", "3"), pod("c", "1", "3")), NOTHING)
    assert made is not None
    assert sorted(s["count"] for s in made["spec"]["podSets"]) == [1, 2]
    names = {s["name"] for s in made["spec"]["podSets"]}
    assert names == {role(p) for _, p in members(pod("a", "4"), pod("b", "1"))}


def test_a_group_without_its_total_is_malformed() -> None:
    with pytest.raises(Malformed, match=r"Pod ml/a: metadata.annotations.*total-count.*is required"):
        plain_group("g", members(pod("a", total=None)), NOTHING)


def native(min_count: int | None) -> dict:
    policy: dict = {"gang": {"minCount": min_count}} if min_count else {"basic": {}}
    constraints = {"topology": [{"key": "rack"}]}
    spec = {"schedulingPolicy": policy, "schedulingConstraints": constraints, "priority": 7}
    return {
        "apiVersion": "scheduling.k8s.io/v1beta1",
        "kind": "PodGroup",
        "metadata": {"name": "g", "namespace": "ml", "uid": "ug"},
        "spec": spec,
    }


def test_a_native_gang_is_admitted_with_its_topology_and_priority() -> None:
    owner = native(2)
    gang = pod_group(owner)
    assert native_group(gang, owner, members(pod("a")), NOTHING) is None
    made = native_group(gang, owner, members(pod("a"), pod("b")), NOTHING)
    assert made is not None
    read_ = workload(made, NOTHING)
    assert (read_.priority, read_.count, read_.pod_sets[0].topology.required) == (7, 2, "rack")


def test_a_basic_group_is_no_gang() -> None:
    owner = native(None)
    assert native_group(pod_group(owner), owner, members(pod("a"), pod("b")), NOTHING) is None
