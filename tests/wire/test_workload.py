"""Kueue's Workload in and out: admission in both spellings, conditions as Kueue writes them."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bayplan.model import codec
from bayplan.model.device import AllocationResult
from bayplan.model.device import ResourceClaimConsumerReference as Consumer
from bayplan.model.isolation import Isolation
from bayplan.model.plan import Evict, Place
from bayplan.model.queue import PriorityClass, WorkloadPriorityClass
from bayplan.model.workload import PodSetAssignment
from bayplan.wire import patches
from bayplan.wire.assignment import TopologyAssignment, pods_per_node, topology_assignment
from bayplan.wire.errors import Malformed
from bayplan.wire.workload import Context, workload
from tests.shared import shared

TEMPLATE = {"spec": {"containers": [{"name": "w", "resources": {"requests": {"cpu": "2"}}}]}}


def source(spec: dict | None = None, status: dict | None = None, **metadata: Any) -> dict:
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {"name": "w", "namespace": "ml", "resourceVersion": "7", **metadata},
        "spec": {"podSets": [{"name": "main", "count": 4, "template": TEMPLATE}], **(spec or {})},
        "status": status or {},
    }


def test_the_fixture_reads_whole() -> None:
    objects = yaml.safe_load_all(shared("fixtures/jobs/kueue-workload.yaml").read_text())
    read = workload(next(iter(objects)), Context())
    assert read.admission is not None
    assert read.admission.cluster_queue == "research"
    assert read.admission.pod_sets[0].nodes == (("hgx-node-0", 2), ("hgx-node-1", 2))
    assert read.pod_sets[0].topology.required == "cloud.google.com/gce-topology-block"
    assert (read.owner, read.priority, read.count) == ("Job/train-a", 100, 4)


PRIORITIES = [
    (
        "the number in the Workload wins",
        {"priority": 5, "priorityClassRef": {"kind": "PriorityClass", "name": "hi"}},
        5,
    ),
    ("else its pod priority class counts", {"priorityClassRef": {"kind": "PriorityClass", "name": "hi"}}, 90),
    ("or its workload priority class", {"priorityClassRef": {"kind": "WorkloadPriorityClass", "name": "hi"}}, 40),
    (
        "v1beta1 names class and source",
        {"priorityClassName": "hi", "priorityClassSource": "kueue.x-k8s.io/workloadpriorityclass"},
        40,
    ),
    ("a class that is gone counts nothing", {"priorityClassRef": {"kind": "PriorityClass", "name": "lo"}}, 0),
    ("none is zero", {}, 0),
]


@pytest.mark.parametrize(("spec", "expected"), [p[1:] for p in PRIORITIES], ids=[p[0] for p in PRIORITIES])
def test_priority(spec: dict, expected: int) -> None:
    named = {"metadata": {"name": "hi"}}
    context = Context(
        priority_classes={"hi": codec.from_builtins({**named, "value": 90}, PriorityClass)},
        workload_priority_classes={"hi": codec.from_builtins({**named, "value": 40}, WorkloadPriorityClass)},
    )
    assert workload(source(spec), context).priority == expected


RUNTIMES = [
    ("the annotation is the declared run time", {"annotations": {"bayplan.dev/runtime-seconds": "60"}}, {}, 60),
    ("else the longest allowed time is", {}, {"maximumExecutionTimeSeconds": 90}, 90),
    ("else it is not known", {}, {}, 0),
]


@pytest.mark.parametrize(("metadata", "spec", "expected"), [r[1:] for r in RUNTIMES], ids=[r[0] for r in RUNTIMES])
def test_run_time(metadata: dict, spec: dict, expected: int) -> None:
    assert workload(source(spec, **metadata), Context()).runtime_s == expected


def test_the_isolation_a_pod_accepts_is_read_and_its_words_are_checked() -> None:
    def annotated(word: str) -> dict:
        template = TEMPLATE | {"metadata": {"annotations": {"bayplan.dev/isolation": word}}}
        return source({"podSets": [{"name": "main", "count": 1, "template": template}]})

    assert workload(annotated("hardware"), Context()).pod_sets[0].template.isolation is Isolation.HARDWARE
    assert workload(source(), Context()).pod_sets[0].template.isolation is Isolation.NONE
    message = (
        r"Workload ml/w: spec.podSets\[0\].template.metadata.annotations\[bayplan.dev/isolation\]: "
        "expected one of hardware, memory-limit, none, got 'strong'"
    )
    with pytest.raises(Malformed, match=message):
        workload(annotated("strong"), Context())


def test_pods_that_ended_for_good_are_no_longer_asked_for() -> None:
    read = workload(source(status={"reclaimablePods": [{"name": "main", "count": 3}]}), Context())
    assert read.pod_sets[0].count == 1


MALFORMED = [
    ("a Workload needs pod sets", {"podSets": []}, {}, "Workload ml/w: spec.podSets: expected at least one pod set"),
    (
        "a run time is a whole number",
        {},
        {"annotations": {"bayplan.dev/runtime-seconds": "1h"}},
        "Workload ml/w: metadata.annotations[bayplan.dev/runtime-seconds]: expected a whole number, got '1h'",
    ),
    (
        "a count is a number",
        {"podSets": [{"count": "many"}]},
        {},
        "Workload ml/w: spec.podSets[0].count: expected 'int', got 'str'",
    ),
]


@pytest.mark.parametrize(("spec", "metadata", "message"), [m[1:] for m in MALFORMED], ids=[m[0] for m in MALFORMED])
def test_malformed(spec: dict, metadata: dict, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        workload(source(spec, **metadata), Context())
    assert str(caught.value) == message


# --- topology assignment


ASSIGNMENTS = [
    ("v1beta1 lists domains", {"domains": [{"values": ["r1", "a"], "count": 2}, {"values": ["r1", "b"], "count": 1}]}),
    (
        "v1beta2 packs them by columns",
        {
            "slices": [
                {
                    "domainCount": 2,
                    "valuesPerLevel": [{"universal": "r1"}, {"individual": {"roots": ["a", "b"]}}],
                    "podCounts": {"individual": [2, 1]},
                }
            ]
        },
    ),
    (
        "v1beta2 may hold several slices",
        {
            "slices": [
                {"domainCount": 1, "valuesPerLevel": [{"universal": "a"}], "podCounts": {"universal": 2}},
                {"domainCount": 1, "valuesPerLevel": [{"universal": "b"}], "podCounts": {"universal": 1}},
            ]
        },
    ),
]


@pytest.mark.parametrize("given_", [a[1] for a in ASSIGNMENTS], ids=[a[0] for a in ASSIGNMENTS])
def test_assignments_read_alike(given_: dict) -> None:
    levels = {"levels": ["rack", "kubernetes.io/hostname"]}
    assert pods_per_node(codec.from_builtins(levels | given_, TopologyAssignment)) == (("a", 2), ("b", 1))


def test_an_assignment_that_stops_above_hosts_names_no_nodes() -> None:
    racks = {"levels": ["rack"], "domains": [{"values": ["r1"], "count": 2}]}
    assert pods_per_node(codec.from_builtins(racks, TopologyAssignment)) == ()


def test_columns_of_unequal_length_are_malformed() -> None:
    short = {"domainCount": 2, "valuesPerLevel": [{"individual": {"roots": ["a"]}}], "podCounts": {"universal": 1}}
    with pytest.raises(Malformed, match="expected 2 domains, got 1 names"):
        pods_per_node(
            codec.from_builtins({"levels": ["kubernetes.io/hostname"], "slices": [short]}, TopologyAssignment)
        )


NAMES = st.text("ab-1", min_size=1, max_size=6)


@given(st.lists(st.tuples(NAMES, st.integers(1, 9)), min_size=1, max_size=6, unique_by=lambda pair: pair[0]))
def test_an_assignment_survives_its_packing(nodes: list[tuple[str, int]]) -> None:
    packed = codec.from_builtins(topology_assignment(tuple(nodes)), TopologyAssignment)
    assert pods_per_node(packed) == tuple(nodes)
    individual = packed.slices[0].values_per_level[0].individual
    assert individual is None or all(individual.roots), "Kueue refuses empty roots"


# --- what is written


def conditions(patch: dict) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in patch["status"]["conditions"]}


def merged(obj: dict, patch: dict) -> dict:
    return {**obj, "status": {**obj["status"], **patch["status"]}}


PLACE = Place(
    workload="ml/w",
    pods=(),
    cluster_queue="cq",
    pod_sets=(PodSetAssignment(name="main", flavors=(("cpu", "default"),), nodes=(("a", 3), ("b", 1))),),
)


def test_an_admission_reads_back_as_it_was_decided() -> None:
    obj = source()
    patch = patches.admit(obj, workload(obj, Context()), PLACE, 1000)
    assert conditions(patch) == {"QuotaReserved": ("True", "QuotaReserved"), "Admitted": ("True", "Admitted")}
    assert patch["metadata"] == {"resourceVersion": "7"}
    assignment = patch["status"]["admission"]["podSetAssignments"][0]
    assert (assignment["count"], assignment["resourceUsage"]) == (4, {"cpu": "8"})
    read = workload(merged(obj, patch), Context()).admission
    assert read is not None
    assert (read.cluster_queue, read.pod_sets, read.admitted_s) == ("cq", PLACE.pod_sets, 1000)


def test_a_hold_says_its_reason_once() -> None:
    obj = source()
    patch = patches.hold(obj, "WaitingForQuota", "needs 8", 1000)
    assert patch is not None
    assert conditions(patch) == {"QuotaReserved": ("False", "WaitingForQuota")}
    assert patches.hold(merged(obj, patch), "WaitingForQuota", "needs 8", 2000) is None


def test_an_eviction_uses_kueues_words_and_admission_takes_them_back() -> None:
    obj = source()
    obj = merged(obj, patches.admit(obj, workload(obj, Context()), PLACE, 1000))
    evicted = patches.evict(obj, Evict("ml/w", "ml/big", "InClusterQueue"), 2000)
    assert evicted is not None
    assert evicted["status"]["admission"] is None
    assert conditions(evicted) == {
        "QuotaReserved": ("False", "Pending"),
        "Admitted": ("False", "NoReservation"),
        "Evicted": ("True", "Preempted"),
        "Preempted": ("True", "InClusterQueue"),
    }
    obj = merged(obj, evicted)
    assert patches.evict(obj, Evict("ml/w", "ml/big", "InClusterQueue"), 3000) is None
    again = conditions(patches.admit(obj, workload(obj, Context()), PLACE, 4000))
    assert again["Evicted"] == again["Preempted"] == ("False", "QuotaReserved")


def test_conditions_of_others_are_kept() -> None:
    foreign = {"type": "PodsReady", "status": "True", "reason": "x", "message": "", "ours": False}
    patch = patches.hold(source(status={"conditions": [foreign]}), "Pending", "", 1)
    assert patch is not None
    assert patch["status"]["conditions"][0] == foreign


def test_a_claim_is_reserved_for_each_pod_and_freed_with_the_last() -> None:
    claim: dict = {"metadata": {"name": "c", "namespace": "ml", "resourceVersion": "3"}, "status": {}}
    allocation = AllocationResult()
    first = patches.allocate(claim, allocation, Consumer("pods", "p1", "u1"), 0)
    assert first is not None
    claim = merged(claim, first)
    assert patches.allocate(claim, allocation, Consumer("pods", "p1", "u1"), 0) is None
    second = patches.allocate(claim, allocation, Consumer("pods", "p2", "u2"), 0)
    assert second is not None
    assert "allocation" not in second["status"], "devices are given once"
    claim = merged(claim, second)
    one_left = patches.release(claim, frozenset({"u1"}))
    assert one_left is not None
    assert "allocation" not in one_left["status"]
    claim = merged(claim, one_left)
    none_left = patches.release(claim, frozenset({"u2"}))
    assert none_left is not None
    assert none_left["status"] == {"reservedFor": None, "allocation": None, "devices": None}
