"""batch/v1 Job: one pod set, min(parallelism, completions) pods; `spec.scheduling` is upstream's word for the wish."""

from __future__ import annotations

from collections.abc import Mapping

from bayplan.wire.names import MIN_PARALLELISM
from bayplan.wire.read import Json
from bayplan.wire.workload import Context
from bayplan.workloads.base import JobKind, Path, PodSetSource, at, by_conditions, count_at, object_at

TOPOLOGY_KEY: Path = ("scheduling", "schedulingConstraints", "topology", 0, "key")


def pods_at_once(source: Json, path: Path) -> int:
    """How many pods of the Job whose spec stands at `path` run at the same time at most."""
    parallelism = count_at(source, (*path, "parallelism"), 1)
    return min(parallelism, count_at(source, (*path, "completions"), parallelism))


def _gangs(job: Json, context: Context) -> Mapping[str, tuple[PodSetSource, ...]]:
    path: Path = ("spec", "template")
    minimum = at(job, ("metadata", "annotations", MIN_PARALLELISM))
    main = PodSetSource(
        name="main",
        count=pods_at_once(job, ("spec",)),
        template=object_at(job, path),
        path=path,
        min_count=int(minimum) if minimum and minimum.isdigit() else None,
        topology=at(job, ("spec", *TOPOLOGY_KEY), ""),
    )
    return {"": (main,)}


KIND = JobKind("batch", "Job", "jobs", ("spec", "suspend"), _gangs, by_conditions(("Complete",), ("Failed",)))
