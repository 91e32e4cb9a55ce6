"""Every fixture reads; older spellings read as the newer ones."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import yaml

from bayplan.wire import devices, kinds, queues
from bayplan.wire.errors import Malformed
from bayplan.wire.podgroups import pod_group, pod_groups
from tests.shared import shared


def fixtures() -> list:
    found = []
    for path in sorted(shared("fixtures").rglob("*.yaml")):
        found += [pytest.param(o, id=f"{path.stem} {o['kind']}") for o in yaml.safe_load_all(path.read_text()) if o]
    return found


@pytest.mark.parametrize("obj", fixtures())
def test_fixtures_read_alike_from_json_and_from_bytes(obj: dict) -> None:
    found = kinds.READERS.get(kinds.group_kind(obj))
    if found is not None:
        reader = found[1]
        assert reader(obj) == reader(msgspec.json.encode(obj))


SLICE = {"driver": "d", "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}, "nodeName": "n"}
REQUEST = {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}


OLDER = [
    (
        "v1beta1 devices are basic",
        devices.resource_slice,
        {
            "devices": [
                {"name": "g", "basic": {"attributes": {"x": {"int": 1}}, "capacity": {"memory": {"value": "8Gi"}}}}
            ]
        },
        {"devices": [{"name": "g", "attributes": {"x": {"int": 1}}, "capacity": {"memory": {"value": "8Gi"}}}]},
    ),
    (
        "v1alpha3 capacities are bare",
        devices.resource_slice,
        {"devices": [{"name": "g", "basic": {"capacity": {"memory": "8Gi"}}}]},
        {"devices": [{"name": "g", "capacity": {"memory": {"value": "8Gi"}}}]},
    ),
    (
        "v1beta1 requests are flat",
        devices.resource_claim,
        {"devices": {"requests": [{"name": "r", **REQUEST}]}},
        {"devices": {"requests": [{"name": "r", "exactly": REQUEST}]}},
    ),
    (
        "so are those of templates",
        devices.resource_claim_template,
        {"spec": {"devices": {"requests": [{"name": "r", **REQUEST}]}}},
        {"spec": {"devices": {"requests": [{"name": "r", "exactly": REQUEST}]}}},
    ),
    (
        "prioritised lists always stood by themselves",
        devices.resource_claim,
        {"devices": {"requests": [{"name": "r", "firstAvailable": [{"name": "a", **REQUEST}]}]}},
        {"devices": {"requests": [{"name": "r", "firstAvailable": [{"name": "a", **REQUEST}]}]}},
    ),
]


@pytest.mark.parametrize(("reader", "old", "new"), [o[1:] for o in OLDER], ids=[o[0] for o in OLDER])
def test_older_device_api(reader, old: dict, new: dict) -> None:
    base = SLICE if reader is devices.resource_slice else {}
    name = {"metadata": {"name": "x"}}
    beta = {"apiVersion": "resource.k8s.io/v1beta1", **name, "spec": {**base, **old}}
    v1 = {"apiVersion": "resource.k8s.io/v1", **name, "spec": {**base, **new}}
    assert reader(beta) == reader(v1) == reader(msgspec.json.encode(beta))


@pytest.mark.parametrize("read", [queues.cluster_queue, queues.local_queue], ids=["ClusterQueue", "LocalQueue"])
def test_the_isolation_a_queue_demands_is_read_and_its_words_are_checked(read: Callable[[Any], Any]) -> None:
    def annotated(word: str) -> dict[str, Any]:
        return {"kind": "Queue", "metadata": {"name": "q", "annotations": {"bayplan.dev/isolation": word}}}

    assert read(annotated("memory-limit")).isolation == "memory-limit"
    assert read({"metadata": {"name": "q"}}).isolation == "none"
    with pytest.raises(Malformed, match=r"Queue q: metadata.annotations\[bayplan.dev/isolation\]: expected one of"):
        read(annotated("strong"))


def test_v1beta1_cluster_queues_read_as_v1beta2() -> None:
    old = {"cohort": "c", "flavorFungibility": {"whenCanBorrow": "Borrow", "whenCanPreempt": "TryNextFlavor"}}
    new = {
        "cohortName": "c",
        "flavorFungibility": {"whenCanBorrow": "MayStopSearch", "whenCanPreempt": "TryNextFlavor"},
    }
    name = {"metadata": {"name": "q"}}
    assert queues.cluster_queue({**name, "spec": old}) == queues.cluster_queue({**name, "spec": new})


SELECTORS = [("absent selects no namespace", {}, True), ("null does too", {"namespaceSelector": None}, True)]
SELECTORS += [("an empty one selects all", {"namespaceSelector": {}}, False)]


@pytest.mark.parametrize(("spec", "none"), [s[1:] for s in SELECTORS], ids=[s[0] for s in SELECTORS])
def test_namespace_selectors(spec: dict, none: bool) -> None:
    queue = queues.cluster_queue({"metadata": {"name": "q"}, "spec": spec})
    assert (queue.spec.namespace_selector is None) is none


def native(kind: str) -> list[dict]:
    path = shared("fixtures/jobs/kube-native-workload.yaml")
    return [o for o in yaml.safe_load_all(path.read_text()) if o["kind"] == kind and "scheduling" in o["apiVersion"]]


def test_gangs_of_three_releases_are_one_intent() -> None:
    alpha1, alpha2, beta1 = (pod_groups(o)[0] for o in native("Workload"))
    assert alpha1.min_count == alpha2.min_count == beta1.min_count == 4
    assert (alpha2.topology_key, beta1.topology_key) == (
        "cloud.google.com/gce-topology-block",
        "fabric.topograph.run/tier-0",
    )
    assert beta1.claims[0].resource_claim_template_name == "imex-channel"
    older, newer = map(pod_group, native("PodGroup"))
    assert (older.name, older.min_count) == ("w136-workers", 4)
    assert (newer.priority, newer.topology_key) == (1000, "fabric.topograph.run/tier-0")


def test_a_gang_of_none_is_malformed() -> None:
    group = {"metadata": {"name": "g"}, "spec": {"schedulingPolicy": {"gang": {"minCount": 0}}}}
    with pytest.raises(Malformed, match="minCount: expected at least 1"):
        pod_group(group)
