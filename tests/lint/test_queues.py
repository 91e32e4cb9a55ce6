"""Advice on Kueue's objects and on jobs, each rule once."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.lint import lint
from tests.lint.objects import (
    Json,
    ask,
    claim,
    cluster_queue,
    container,
    device,
    device_class,
    job,
    kueue,
    quota,
    resource_slice,
)
from tests.lint.test_validation import JSON, places

FLAVOR = kueue("ResourceFlavor", "default")
LOCAL = kueue("LocalQueue", "main", "ml", clusterQueue="team")
TOPOLOGY = kueue("Topology", "dc", levels=[{"nodeLabel": "rack"}, {"nodeLabel": "kubernetes.io/hostname"}])
QUEUE = cluster_queue("team", quota("cpu"))
GROUPS = "spec.resourceGroups"
LABEL = "metadata.labels[kueue.x-k8s.io/queue-name]"
POD = "spec.template.spec"
NOTES = "spec.template.metadata.annotations"
CPU = [container(cpu="1")]
GPUS = [device_class("gpu", "true", "nvidia.com/gpu"), resource_slice("n", device("g"))]
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"rack": "r1"}}}


def without(obj: Json, field: str) -> Json:
    return {**obj, "spec": {key: value for key, value in obj["spec"].items() if key != field}}


def topology_job(**annotations: str) -> Json:
    notes = {f"kueue.x-k8s.io/podset-{key.replace('_', '-')}": value for key, value in annotations.items()}
    return job(6, "main", notes, containers=CPU)


CASES = [
    ("a plain queue", QUEUE, [FLAVOR], []),
    (
        "a queue for no namespace",
        without(QUEUE, "namespaceSelector"),
        [FLAVOR],
        [("warning", "spec.namespaceSelector")],
    ),
    (
        "a flavor that is not there",
        cluster_queue("q", quota(), flavor="h100"),
        [FLAVOR],
        [("warning", f"{GROUPS}[0].flavors[0].name")],
    ),
    ("a flavor, of which no other is known", cluster_queue("q", quota(), flavor="h100"), [], []),
    ("a cohort spelt as in v1beta1", cluster_queue("q", cohort="c"), [], [("warning", "spec.cohort")]),
    (
        "fungibility spelt as in v1beta1",
        cluster_queue("q", flavorFungibility={"whenCanBorrow": "Borrow"}),
        [],
        [("warning", "spec.flavorFungibility.whenCanBorrow")],
    ),
    (
        "borrowing without a cohort",
        cluster_queue("q", quota(borrowingLimit=1)),
        [],
        [("warning", f"{GROUPS}[0].flavors[0].resources[0].borrowingLimit")],
    ),
    (
        "lending more than there is",
        cluster_queue("q", quota(nominal=2, lendingLimit=3), cohortName="c", preemption={"reclaimWithinCohort": "Any"}),
        [],
        [("warning", f"{GROUPS}[0].flavors[0].resources[0].lendingLimit")],
    ),
    (
        "lending for ever",
        cluster_queue("q", quota(), cohortName="c"),
        [],
        [("hint", "spec.preemption.reclaimWithinCohort")],
    ),
    ("lending nothing", cluster_queue("q", quota(lendingLimit=0), cohortName="c"), [], []),
    (
        "borrowing by force without reclaiming",
        cluster_queue("q", quota(), preemption={"borrowWithinCohort": {"policy": "LowerPriority"}}),
        [],
        [("warning", "spec.preemption.borrowWithinCohort")],
    ),
    (
        "a resource in two groups",
        cluster_queue("q", resourceGroups=cluster_queue("q", quota())["spec"]["resourceGroups"] * 2),
        [],
        [("warning", GROUPS)] * 2,
    ),
    (
        "quota of a resource the group does not cover",
        cluster_queue(
            "q",
            resourceGroups=[{"coveredResources": ["cpu"], "flavors": [{"name": "f", "resources": [quota("memory")]}]}],
        ),
        [],
        [("warning", f"{GROUPS}[0].flavors[0].resources")],
    ),
    ("no weight", cluster_queue("q", fairSharing={"weight": "0"}), [], [("hint", "spec.fairSharing.weight")]),
    (
        "one strict line for two flavors",
        cluster_queue(
            "q",
            queueingStrategy="StrictFIFO",
            resourceGroups=[
                {
                    "coveredResources": ["cpu"],
                    "flavors": [{"name": name, "resources": [quota()]} for name in ("a", "b")],
                }
            ],
        ),
        [],
        [("hint", "spec.queueingStrategy")],
    ),
    (
        "cohorts in a circle",
        kueue("Cohort", "a", parentName="b"),
        [kueue("Cohort", "b", parentName="a")],
        [("warning", "spec.parentName")],
    ),
    ("a cohort below a root", kueue("Cohort", "a", parentName="b"), [kueue("Cohort", "b")], []),
    (
        "a local queue of nothing",
        kueue("LocalQueue", "l", "ml", clusterQueue="other"),
        [QUEUE],
        [("warning", "spec.clusterQueue")],
    ),
    (
        "a flavor with a topology and no labels",
        kueue("ResourceFlavor", "f", topologyName="dc"),
        [],
        [("warning", "spec.nodeLabels")],
    ),
    (
        "a flavor with a topology that is not there",
        kueue("ResourceFlavor", "f", topologyName="x", nodeLabels={"a": "b"}),
        [TOPOLOGY],
        [("warning", "spec.topologyName")],
    ),
    (
        "a topology that ends at racks",
        kueue("Topology", "t", levels=[{"nodeLabel": "rack"}]),
        [NODE],
        [("hint", "spec.levels")],
    ),
    (
        "hosts above racks",
        kueue("Topology", "t", levels=[{"nodeLabel": "kubernetes.io/hostname"}, {"nodeLabel": "rack"}]),
        [],
        [("warning", "spec.levels")],
    ),
    ("a node without a level", TOPOLOGY, [NODE], [("hint", "spec.levels[1].nodeLabel")]),
    ("a job in its queue", job(queue="main", containers=CPU), [QUEUE, LOCAL, FLAVOR], []),
    ("a job in no queue", job(containers=CPU), [QUEUE, LOCAL], [("hint", LABEL)]),
    ("a job of ours in no queue", job(containers=CPU, schedulerName="bayplan"), [QUEUE, LOCAL], []),
    ("a job in a queue that is not there", job(queue="other", containers=CPU), [QUEUE, LOCAL], [("warning", LABEL)]),
    (
        "a job that asks what the queue has none of",
        job(queue="main", containers=[container(memory="1Gi")]),
        [QUEUE, LOCAL],
        [("warning", LABEL)],
    ),
    ("a job that asks nothing", job(queue="main"), [QUEUE, LOCAL], [("hint", LABEL)]),
    (
        "a request beyond its limit",
        job(containers=[container({"cpu": "1"}, cpu="2")]),
        [],
        [("warning", f"{POD}.containers[0].resources.requests[cpu]")],
    ),
    (
        "a GPU requested without a limit",
        job(containers=[container(**{"nvidia.com/gpu": 1})]),
        [],
        [("warning", f"{POD}.containers[0].resources.requests[nvidia.com/gpu]")],
    ),
    (
        "eight pods with one claim",
        job(8, resourceClaims=[{"name": "g", "resourceClaimName": "claim"}]),
        [],
        [("warning", f"{POD}.resourceClaims[0].resourceClaimName")],
    ),
    (
        "a claim named directly in a queue",
        job(1, "main", containers=CPU, resourceClaims=[{"name": "g", "resourceClaimName": "claim"}]),
        [],
        [("hint", f"{POD}.resourceClaims[0].resourceClaimName")],
    ),
    (
        "a template that is not there",
        job(resourceClaims=[{"name": "g", "resourceClaimTemplateName": "x"}]),
        [claim(ask(), kind="ResourceClaimTemplate")],
        [("warning", f"{POD}.resourceClaims[0].resourceClaimTemplateName")],
    ),
    (
        "devices the queue has no quota of",
        job(1, "main", containers=CPU, resourceClaims=[{"name": "g", "resourceClaimTemplateName": "claim"}]),
        [QUEUE, LOCAL, claim(ask(), kind="ResourceClaimTemplate"), device_class("gpu", "true", "nvidia.com/gpu")],
        [("warning", LABEL)],
    ),
    ("slices that divide", topology_job(slice_size="3"), [], []),
    (
        "slices that do not divide",
        topology_job(slice_size="4"),
        [],
        [("warning", f"{NOTES}[kueue.x-k8s.io/podset-slice-size]")],
    ),
    (
        "a level nobody has",
        topology_job(required_topology="block"),
        [TOPOLOGY],
        [("warning", f"{NOTES}[kueue.x-k8s.io/podset-required-topology]")],
    ),
    (
        "one host preferred",
        topology_job(preferred_topology="kubernetes.io/hostname"),
        [TOPOLOGY],
        [("hint", f"{NOTES}[kueue.x-k8s.io/podset-preferred-topology]")],
    ),
]


@pytest.mark.parametrize(("obj", "around", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_advice_on(obj: Json, around: list[Json], expected: list[tuple[str, str]]) -> None:
    notes = lint([obj], around)[0]
    assert [(note.severity, note.path) for note in notes] == expected
    assert all(note.message and note.mend for note in notes)


def test_what_a_controller_made_gets_no_advice() -> None:
    owned = job(queue="other", containers=CPU)
    owned["metadata"]["ownerReferences"] = [{"kind": "JobSet", "name": "train", "controller": True}]
    assert lint([owned], [QUEUE, LOCAL])[0] == []


@given(st.data())
def test_no_shape_of_a_queue_or_a_job_makes_it_fail(data: st.DataObject) -> None:
    around = [QUEUE, LOCAL, FLAVOR, TOPOLOGY, NODE]
    samples = [QUEUE, LOCAL, TOPOLOGY, kueue("Cohort", "a", parentName="b"), topology_job(slice_size="4")]
    obj = copy.deepcopy(data.draw(st.sampled_from(samples)))
    path = data.draw(st.sampled_from([place for place in places(obj) if len(place) > 1 or place == ("spec",)]))
    at = obj
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = data.draw(JSON)
    lint([obj, *around])
