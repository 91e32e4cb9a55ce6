"""Kubeflow: TrainJob (Trainer v2, whose pods stand in a runtime) and the training operator's jobs (v1, MPI v2beta1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.wire.errors import Malformed
from bayplan.wire.read import Json
from bayplan.wire.workload import Context
from bayplan.workloads.base import JobKind, Path, PodSetSource, at, by_conditions, count_at, list_at, object_at
from bayplan.workloads.job import pods_at_once

_STEP = "trainer.kubeflow.org/trainjob-ancestor-step"


def _train_job(job: Json, context: Context) -> Mapping[str, tuple[PodSetSource, ...]]:
    runtime = _runtime(job, context)
    path: Path = ("spec", "template", "spec", "replicatedJobs")
    return {"": tuple(_step(job, runtime, (*path, i)) for i in range(len(list_at(runtime, path))))}


def _runtime(job: Json, context: Context) -> Json:
    kind = at(job, ("spec", "runtimeRef", "kind"), "ClusterTrainingRuntime")
    name = at(job, ("spec", "runtimeRef", "name"), "")
    key = name if kind == "ClusterTrainingRuntime" else f"{at(job, ('metadata', 'namespace'), '')}/{name}"
    found = context.training_runtimes.get(key)
    if not isinstance(found, Mapping):
        raise Malformed("spec.runtimeRef", f"{kind} {key!r} does not exist")
    return found


def _step(job: Json, runtime: Json, path: Path) -> PodSetSource:
    """One replicated job of the runtime; the one marked as trainer takes its size and resources from the TrainJob."""
    template = object_at(runtime, (*path, "template", "spec", "template"))
    width = pods_at_once(runtime, (*path, "template", "spec"))
    count = count_at(runtime, (*path, "replicas"), 1) * width
    if at(runtime, (*path, "template", "metadata", "labels", _STEP)) == "trainer":
        nodes = count_at(runtime, ("spec", "mlPolicy", "numNodes"), count)
        count = count_at(job, ("spec", "trainer", "numNodes"), nodes)
        template = _sized(template, at(job, ("spec", "trainer", "resourcesPerNode")))
    return PodSetSource(str(at(runtime, (*path, "name"), "")), count, template)


def _sized(template: Json, resources: Any) -> Json:
    if not isinstance(resources, Mapping):
        return template
    spec = object_at(template, ("spec",))
    first, *rest = list_at(spec, ("containers",)) or [{}]
    return {**template, "spec": {**spec, "containers": [{**first, "resources": resources}, *rest]}}


def _replicas(field: str, order: tuple[str, ...]) -> Any:
    """The pod sets of a v1 job: one per replica type, those that hold rank 0 first."""

    def gangs(job: Json, context: Context) -> Mapping[str, tuple[PodSetSource, ...]]:
        types = object_at(job, ("spec", field))
        known = [t for t in order if t in types] + sorted(t for t in types if t not in order)
        return {"": tuple(_replica(job, ("spec", field, t), t) for t in known)}

    return gangs


def _replica(job: Json, path: Path, type: str) -> PodSetSource:
    template: Path = (*path, "template")
    return PodSetSource(type.lower(), count_at(job, (*path, "replicas"), 1), object_at(job, template), template)


def _v1(kind: str, plural: str, field: str, *order: str) -> JobKind:
    ended = by_conditions(("Succeeded",), ("Failed",))
    return JobKind("kubeflow.org", kind, plural, ("spec", "runPolicy", "suspend"), _replicas(field, order), ended)


TRAIN_JOB = JobKind(
    "trainer.kubeflow.org",
    "TrainJob",
    "trainjobs",
    ("spec", "suspend"),
    _train_job,
    by_conditions(("Complete",), ("Failed",)),
)
PYTORCH_JOB = _v1("PyTorchJob", "pytorchjobs", "pytorchReplicaSpecs", "Master", "Worker")
TF_JOB = _v1("TFJob", "tfjobs", "tfReplicaSpecs", "Chief", "Master", "PS", "Worker")
MPI_JOB = _v1("MPIJob", "mpijobs", "mpiReplicaSpecs", "Launcher", "Worker")
