"""JobSet (jobset.x-k8s.io): one pod set per replicated job, replicas × pods at once of its Job template."""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.wire.errors import Malformed
from bayplan.wire.read import Json
from bayplan.wire.workload import Context
from bayplan.workloads.base import JobKind, Path, PodSetSource, by_conditions, count_at, list_at, object_at, spelled
from bayplan.workloads.job import pods_at_once


def _gangs(jobset: Json, context: Context) -> Mapping[str, tuple[PodSetSource, ...]]:
    path: Path = ("spec", "replicatedJobs")
    return {"": tuple(_pod_set(jobset, (*path, i)) for i in range(len(list_at(jobset, path))))}


def _pod_set(jobset: Json, path: Path) -> PodSetSource:
    replicated = object_at(jobset, path)
    width = pods_at_once(jobset, (*path, "template", "spec"))
    template: Path = (*path, "template", "spec", "template")
    name = replicated.get("name")
    if not isinstance(name, str) or not name:
        raise Malformed(spelled((*path, "name")), "is required")
    return PodSetSource(
        name=name,
        count=count_at(jobset, (*path, "replicas"), 1) * width,
        template=object_at(jobset, template),
        path=template,
        width=width,
    )


KIND = JobKind(
    "jobset.x-k8s.io", "JobSet", "jobsets", ("spec", "suspend"), _gangs, by_conditions(("Completed",), ("Failed",))
)
