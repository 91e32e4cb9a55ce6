"""Jobs of every kind into Workloads: the fixtures, and the rules each kind adds."""

from typing import Any

import pytest
import yaml

from bayplan.model import codec
from bayplan.model.queue import PriorityClass, ResourceFlavor, WorkloadPriorityClass
from bayplan.wire.errors import Malformed
from bayplan.wire.kinds import group_kind
from bayplan.wire.workload import Context, workload
from bayplan.workloads import KINDS, kind_of
from bayplan.workloads.translate import (
    managed,
    restore,
    start,
    started,
    stop,
    suspended,
    workload_name,
    workloads,
)
from tests.shared import shared

QUEUE = {"kueue.x-k8s.io/queue-name": "q"}
POD = {"spec": {"containers": [{"name": "w", "resources": {"requests": {"cpu": "1"}}}]}}
NOTHING = Context()


def fixture(file: str, kind: str, nth: int = 0) -> dict:
    objects = yaml.safe_load_all(shared(f"fixtures/jobs/{file}.yaml").read_text())
    return [o for o in objects if o and o["kind"] == kind][nth]


def made(job: dict, context: Context = NOTHING) -> list[dict]:
    kind = kind_of(*group_kind(job))
    assert kind is not None
    return [dict(w) for w in workloads(kind, job, context)]


def sets(job: dict, context: Context = NOTHING) -> list[dict[str, int]]:
    return [{s["name"]: s["count"] for s in w["spec"]["podSets"]} for w in made(job, context)]


def job(spec: dict | None = None, template: dict | None = None, **metadata: Any) -> dict:
    named = {"name": "j", "namespace": "ml", "uid": "u", "labels": QUEUE, **metadata}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": named,
        "spec": {"template": {**POD, **(template or {})}, **(spec or {})},
    }


FIXTURES = [
    ("an indexed Job is one set", "job", "Job", 0, [{"main": 4}]),
    ("a JobSet is one set per replicated job", "jobset", "JobSet", 0, [{"driver": 1, "workers": 8}]),
    (
        "a LeaderWorkerSet is a gang per replica",
        "leaderworkerset",
        "LeaderWorkerSet",
        0,
        [{"leader": 1, "worker": 1}, {"leader": 1, "worker": 1}],
    ),
    ("a RayJob brings its submitter", "ray", "RayJob", 0, [{"head": 1, "gpu": 2, "submitter": 1}]),
    ("a RayService is its active cluster", "ray", "RayService", 0, [{"head": 1, "gpu": 1}]),
    ("a PyTorchJob puts its master first", "kubeflow", "PyTorchJob", 0, [{"master": 1, "worker": 2}]),
]


@pytest.mark.parametrize(("file", "kind", "nth", "expected"), [f[1:] for f in FIXTURES], ids=[f[0] for f in FIXTURES])
def test_pod_sets_of_fixtures(file: str, kind: str, nth: int, expected: list) -> None:
    found = sets(fixture(file, kind, nth))
    assert found == expected
    assert [list(s) for s in found] == [list(s) for s in expected]


def test_a_train_job_takes_its_pods_from_its_runtime() -> None:
    train = fixture("kubeflow", "TrainJob")
    context = Context(training_runtimes={"torch-distributed": fixture("kubeflow", "ClusterTrainingRuntime")})
    assert sets(train, context) == [{"node": 4}]
    read = workload(made(train, context)[0], context)
    assert dict(read.pod_sets[0].template.requests)["nvidia.com/gpu"] == 8
    with pytest.raises(
        Malformed, match=r"TrainJob team-a/ft: spec.runtimeRef: ClusterTrainingRuntime 'torch-distributed'"
    ):
        made(train)


def test_the_ray_autoscaler_rides_in_the_head() -> None:
    read = workload(made(fixture("ray", "RayJob"))[0], NOTHING)
    assert dict(read.pod_sets[0].template.requests)["cpu"] == 2500


PODS_AT_ONCE = [
    ("one by default", {}, 1),
    ("parallelism", {"parallelism": 4}, 4),
    ("no more than there is to complete", {"parallelism": 4, "completions": 3}, 3),
    ("no more than may run at once", {"parallelism": 2, "completions": 9}, 2),
]


@pytest.mark.parametrize(("spec", "expected"), [p[1:] for p in PODS_AT_ONCE], ids=[p[0] for p in PODS_AT_ONCE])
def test_a_job_runs_at_once(spec: dict, expected: int) -> None:
    assert sets(job(spec)) == [{"main": expected}]


RUNTIMES = [
    ("declared on the job", job(annotations={"bayplan.dev/runtime-seconds": "7"}), 7),
    ("declared by a label", job(labels={**QUEUE, "bayplan.dev/runtime-seconds": "7"}), 7),
    ("declared on its pods", job(template={"metadata": {"annotations": {"bayplan.dev/runtime-seconds": "8"}}}), 8),
    ("bounded by the job's deadline", job({"activeDeadlineSeconds": 9}), 9),
    ("bounded by its pods' deadline", job(template={"spec": {**POD["spec"], "activeDeadlineSeconds": 10}}), 10),
    ("bounded by Kueue's label", job(labels={**QUEUE, "kueue.x-k8s.io/max-exec-time-seconds": "11"}), 11),
    ("unknown", job(), 0),
]


@pytest.mark.parametrize(("source", "expected"), [r[1:] for r in RUNTIMES], ids=[f"run time {r[0]}" for r in RUNTIMES])
def test_run_time(source: dict, expected: int) -> None:
    assert workload(made(source)[0], NOTHING).runtime_s == expected


def test_topology_wishes_are_read_from_pods_or_from_the_scheduling_block() -> None:
    required = workload(made(fixture("job", "Job"))[0], NOTHING).pod_sets[0].topology
    native = workload(made(fixture("job", "Job", 1))[0], NOTHING).pod_sets[0].topology
    preferred = workload(made(fixture("jobset", "JobSet"))[0], NOTHING).pod_sets[1].topology
    assert required.required == "cloud.google.com/gce-topology-block"
    assert native.required == "fabric.topograph.run/tier-0"
    assert (preferred.required, preferred.preferred) == ("", "cloud.google.com/gce-topology-block")


CLASSES = Context(
    priority_classes={
        "high": codec.from_builtins({"metadata": {"name": "high"}, "value": 90}, PriorityClass),
        "usual": codec.from_builtins({"metadata": {"name": "usual"}, "value": 3, "globalDefault": True}, PriorityClass),
    },
    workload_priority_classes={
        "research": codec.from_builtins({"metadata": {"name": "research"}, "value": 40}, WorkloadPriorityClass)
    },
)
PRIORITIES = [
    (
        "its workload priority class first",
        job(
            labels={**QUEUE, "kueue.x-k8s.io/priority-class": "research"},
            template={"spec": {**POD["spec"], "priorityClassName": "high"}},
        ),
        40,
    ),
    ("then its pods' priority class", job(template={"spec": {**POD["spec"], "priorityClassName": "high"}}), 90),
    ("then the cluster's default", job(), 3),
]


@pytest.mark.parametrize(
    ("source", "expected"), [p[1:] for p in PRIORITIES], ids=[f"priority is {p[0]}" for p in PRIORITIES]
)
def test_priority(source: dict, expected: int) -> None:
    assert workload(made(source, CLASSES)[0], CLASSES).priority == expected


def test_ours_are_jobs_with_a_queue_or_with_our_scheduler() -> None:
    kind = kind_of("batch", "Job")
    assert kind is not None
    ours = {"spec": {**POD["spec"], "schedulerName": "bayplan"}}
    assert managed(kind, job(), NOTHING)
    assert managed(kind, job(template=ours, labels={}), NOTHING)
    assert not managed(kind, job(labels={}), NOTHING)


# --- starting and stopping


def apply(target: Any, patch: Any) -> Any:
    """RFC 7396, by the book."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = apply(target.get(key), value)
    return target


SPOT_TOLERATION = {"key": "spot", "operator": "Exists"}
SPOT = codec.from_builtins(
    {
        "metadata": {"name": "spot"},
        "spec": {"nodeLabels": {"tier": "spot", "zone": "z1"}, "tolerations": [SPOT_TOLERATION]},
    },
    ResourceFlavor,
)
SWITCHED = [
    pytest.param(fixture_name, id=f"a {fixture_name[1]}")
    for fixture_name in [
        ("job", "Job"),
        ("jobset", "JobSet"),
        ("ray", "RayJob"),
        ("ray", "RayService"),
        ("kubeflow", "PyTorchJob"),
    ]
]


@pytest.mark.parametrize("named", SWITCHED)
def test_start_marks_the_pods_and_stop_and_restore_undo_it(named: tuple[str, str]) -> None:
    source = fixture(*named)
    kind = kind_of(*group_kind(source))
    assert kind is not None
    pod_sets = [s for w in made(source) for s in w["spec"]["podSets"]]
    patch = start(kind, source, "w", NOTHING, {s["name"]: [SPOT] for s in pod_sets})
    assert not started(kind, source, NOTHING)
    running = apply(source, patch)
    assert not suspended(kind, running)
    marked = [s for gang in kind.gangs(running, NOTHING).values() for s in gang if s.path]
    assert marked
    for pod_set in marked:
        assert pod_set.template["metadata"]["annotations"]["kueue.x-k8s.io/workload"] == "w"
        assert pod_set.template["metadata"]["labels"]["kueue.x-k8s.io/podset"] == pod_set.name
        assert pod_set.template["spec"]["nodeSelector"]["tier"] == "spot"
        assert SPOT_TOLERATION in pod_set.template["spec"]["tolerations"]
    assert sets(running) == sets(source)
    stopped = apply(running, stop(kind, running))
    assert suspended(kind, stopped)
    assert stop(kind, stopped) is None
    assert started(kind, stopped, NOTHING)
    back = apply(stopped, restore(kind, stopped, NOTHING, pod_sets))
    assert not started(kind, back, NOTHING)
    assert made(back) == made(source)


def test_what_a_pod_says_itself_stays_when_flavors_confine_it() -> None:
    kind = kind_of("batch", "Job")
    assert kind is not None
    own = {"nodeSelector": {"tier": "gold", "disk": "ssd"}, "tolerations": [SPOT_TOLERATION]}
    source = job(template={"spec": {**POD["spec"], **own}})
    running = apply(source, start(kind, source, "w", NOTHING, {"main": [SPOT]}))
    spec = running["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"tier": "gold", "disk": "ssd", "zone": "z1"}
    assert spec["tolerations"] == [SPOT_TOLERATION]
    suspended_ = apply(running, stop(kind, running))
    back = apply(suspended_, restore(kind, suspended_, NOTHING, made(source)[0]["spec"]["podSets"]))
    assert back["spec"]["template"]["spec"] == source["spec"]["template"]["spec"]


def test_a_started_jobset_tells_its_pods_how_wide_a_job_is() -> None:
    source = fixture("jobset", "JobSet")
    kind = kind_of(*group_kind(source))
    assert kind is not None
    patch = start(kind, source, "w", NOTHING, {})
    assert patch is not None
    workers = patch["spec"]["replicatedJobs"][1]
    assert workers["template"]["spec"]["template"]["metadata"]["annotations"]["bayplan.dev/parallelism"] == "4"
    assert workers["replicas"] == 2, "a list is written whole"


# --- names, registry, errors


def test_names_tell_two_jobs_of_one_name_apart_and_fit() -> None:
    assert workload_name("Job", "train", "u1") != workload_name("Job", "train", "u2")
    assert workload_name("Job", "train", "u1").startswith("job-train-")
    assert len(workload_name("LeaderWorkerSet", "x" * 80, "u", "0")) <= 63


def test_every_kind_is_found_by_its_group_and_kind() -> None:
    assert [kind_of(k.group, k.kind) for k in KINDS] == list(KINDS)
    assert kind_of("", "Pod") is None


BAD = [
    ("a Job without a template", job({"template": None}), "Job ml/j: spec.template: is required"),
    (
        "a Job with a negative parallelism",
        job({"parallelism": -1}),
        "Job ml/j: spec.parallelism: expected a whole number, got -1",
    ),
    (
        "a Job with a run time in words",
        job(annotations={"bayplan.dev/runtime-seconds": "an hour"}),
        "Job ml/j: metadata.annotations[bayplan.dev/runtime-seconds]: expected a whole number, got 'an hour'",
    ),
]


@pytest.mark.parametrize(("source", "message"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_malformed(source: dict, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        made(source)
    assert str(caught.value) == message
