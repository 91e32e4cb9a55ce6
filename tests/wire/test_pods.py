"""What a pod takes from a node, and what a node offers, in integers."""

import pytest

from bayplan.wire import pods
from bayplan.wire.errors import Malformed
from bayplan.wire.read import read


def pod(spec: dict, **metadata: object) -> dict:
    named = {"name": "p", "namespace": "ml", **metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": spec}


def box(requests: dict | None = None, limits: dict | None = None, **more: object) -> dict:
    resources = {k: v for k, v in (("requests", requests), ("limits", limits)) if v is not None}
    return {"name": "c", "resources": resources, **more}


def sidecar(requests: dict) -> dict:
    return box(requests, restartPolicy="Always")


REQUESTS = [
    ("a pod without requests takes only its slot", {"containers": [box()]}, {}),
    ("containers add up", {"containers": [box({"cpu": "1"}), box({"cpu": "500m"})]}, {"cpu": 1500}),
    ("a limit without a request is a request", {"containers": [box(None, {"g": 2})]}, {"g": 2}),
    ("a request wins over a limit", {"containers": [box({"cpu": "1"}, {"cpu": "4"})]}, {"cpu": 1000}),
    (
        "an init container counts where it is larger",
        {"containers": [box({"cpu": "1"})], "initContainers": [box({"cpu": "3", "memory": "1Gi"})]},
        {"cpu": 3000, "memory": 2**30},
    ),
    (
        "init containers run one after another",
        {"containers": [box({"cpu": "1"})], "initContainers": [box({"cpu": "2"}), box({"cpu": "2"})]},
        {"cpu": 2000},
    ),
    (
        "a sidecar stays beside the containers",
        {"containers": [box({"cpu": "1"})], "initContainers": [sidecar({"cpu": "1"})]},
        {"cpu": 2000},
    ),
    (
        "a later init container runs beside earlier sidecars",
        {"containers": [box({"cpu": "1"})], "initContainers": [sidecar({"cpu": "1"}), box({"cpu": "5"})]},
        {"cpu": 6000},
    ),
    (
        "an earlier init container runs before later sidecars",
        {"containers": [box({"cpu": "1"})], "initContainers": [box({"cpu": "2"}), sidecar({"cpu": "1"})]},
        {"cpu": 2000},
    ),
    ("overhead comes on top", {"containers": [box({"cpu": "1"})], "overhead": {"cpu": "250m"}}, {"cpu": 1250}),
    (
        "pod-level requests win over the sum",
        {"containers": [box({"cpu": "1", "g": "1"})], "resources": {"requests": {"cpu": "4"}}},
        {"cpu": 4000, "g": 1},
    ),
    ("fractions of a byte round up", {"containers": [box({"memory": "1500m"})]}, {"memory": 2}),
    ("a fraction of a millicore rounds up", {"containers": [box({"cpu": "100u"})]}, {"cpu": 1}),
    ("a request of zero is none", {"containers": [box({"cpu": "0"})]}, {}),
    ("numbers are quantities too", {"containers": [box({"cpu": 2, "g": 1})]}, {"cpu": 2000, "g": 1}),
]


@pytest.mark.parametrize(("spec", "expected"), [r[1:] for r in REQUESTS], ids=[r[0] for r in REQUESTS])
def test_effective_requests(spec: dict, expected: dict[str, int]) -> None:
    assert dict(pods.pod(pod(spec)).requests) == {**expected, "pods": 1}


def test_membership_comes_from_the_marks_a_start_leaves() -> None:
    marked = pod(
        {"containers": []},
        labels={
            "kueue.x-k8s.io/podset": "workers",
            "batch.kubernetes.io/job-completion-index": "3",
            "jobset.sigs.k8s.io/job-index": "2",
        },
        annotations={"kueue.x-k8s.io/workload": "jobset-x", "bayplan.dev/parallelism": "4"},
    )
    read = pods.pod(marked)
    assert (read.workload, read.pod_set, read.index) == ("ml/jobset-x", "workers", 2 * 4 + 3)


def test_claims_are_named_directly_or_by_the_status() -> None:
    source = pod(
        {
            "containers": [],
            "resourceClaims": [
                {"name": "own", "resourceClaimName": "shared"},
                {"name": "gpu", "resourceClaimTemplateName": "t"},
                {"name": "late", "resourceClaimTemplateName": "t"},
            ],
        }
    )
    source["status"] = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "p-gpu-x"}]}
    assert pods.pod(source).claims == (("own", "ml/shared"), ("gpu", "ml/p-gpu-x"))


NODES = [
    ("a node without conditions is ready", {}, (True, False)),
    (
        "a node whose Ready is False is not",
        {"status": {"conditions": [{"type": "Ready", "status": "False"}]}},
        (False, False),
    ),
    ("a node whose Ready is Unknown is not", {"status": {"conditions": [{"type": "Ready"}]}}, (False, False)),
    ("a cordoned node is unschedulable", {"spec": {"unschedulable": True}}, (True, True)),
]


@pytest.mark.parametrize(("parts", "expected"), [n[1:] for n in NODES], ids=[n[0] for n in NODES])
def test_nodes(parts: dict, expected: tuple[bool, bool]) -> None:
    node = pods.node({"kind": "Node", "metadata": {"name": "n"}, **parts})
    assert (node.ready, node.unschedulable) == expected


def test_allocatable_is_millicores_bytes_and_units() -> None:
    amounts = {"cpu": "96", "memory": "1Ti", "nvidia.com/gpu": "8", "pods": "110"}
    node = pods.node({"metadata": {"name": "n"}, "status": {"allocatable": amounts}})
    assert node.allocatable == {"cpu": 96_000, "memory": 2**40, "nvidia.com/gpu": 8, "pods": 110}


@pytest.mark.parametrize("resource", ["cpu", "memory", "nvidia.com/gpu", "hugepages-2Mi"])
def test_an_amount_survives_its_spelling(resource: str) -> None:
    for amount in (0, 1, 1500, 2**31):
        assert pods.amount(resource, pods.quantity(resource, amount)) == amount


BAD = [
    (
        "an impossible quantity is named with its path",
        pod({"containers": [box(), box({"memory": "1Gi", "nvidia.com/gpu": "1", "cpu": "lots"})]}),
        "Pod ml/p: spec.containers[1].resources.requests.cpu: quantities must match",
    ),
    (
        "a key with a prefix stands in brackets",
        pod({"containers": [box({"cpu": "1", "nvidia.com/gpu": "x"})]}),
        "Pod ml/p: spec.containers[0].resources.requests[nvidia.com/gpu]: quantities must match",
    ),
    (
        "a wrong type is named with its path",
        pod({"containers": 3}),
        "Pod ml/p: spec.containers: expected 'array', got 'int'",
    ),
    (
        "a rank that is no number is named with its label",
        pod({"containers": []}, labels={"kueue.x-k8s.io/pod-group-pod-index": "two"}),
        "Pod ml/p: metadata.labels[kueue.x-k8s.io/pod-group-pod-index]: expected a whole number, got 'two'",
    ),
]


@pytest.mark.parametrize(("source", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_malformed(source: dict, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        pods.pod(source)
    assert str(caught.value).startswith(message)


def test_extended_resources_are_listed_by_container_under_kube_schedulers_names() -> None:
    shared, implicit = {"cpu": "1", "nvidia.com/gpu": "2"}, "deviceclass.resource.kubernetes.io/mig"
    native = {"hugepages-2Mi": "4Mi", "batch.kubernetes.io/x": "1"}
    spec = {"initContainers": [box(shared)], "containers": [box(limits={implicit: "1"}), box(native), box(shared)]}
    found = pods.extended(read(spec, pods.PodSpec))
    assert [(e.name, e.resource, e.count) for e in found] == [
        ("container-0-request-1", "nvidia.com/gpu", 2),
        ("container-1-request-0", implicit, 1),
        ("container-3-request-1", "nvidia.com/gpu", 2),
    ]


def test_the_claim_of_a_pods_extended_resources_is_one_of_its_claims() -> None:
    made = pod({"containers": []}) | {"status": {"extendedResourceClaimStatus": {"resourceClaimName": "p-x-1"}}}
    assert pods.pod(made).claims == (("<extended-resources>", "ml/p-x-1"),)


def test_bytes_that_are_no_json_object_are_malformed() -> None:
    for text in (b"[]", b"{", b"7"):
        with pytest.raises(Malformed):
            pods.pod(text)


def test_nulls_of_go_clients_are_absent_fields() -> None:
    source = pod(
        {"containers": [{"name": "c", "resources": {"limits": None}}], "tolerations": None}, creationTimestamp=None
    )
    assert pods.pod(source).requests == (("pods", 1),)
