"""RayCluster, RayJob and RayService (ray.io/v1): a head, worker groups of replicas × hosts, and a job's submitter.

The autoscaler rides in the head pod as a sidecar and the submitter is a pod of its own; both ask for what KubeRay
gives them by default, so that quota and node see what will really be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayplan.wire.read import Json
from bayplan.wire.workload import Context
from bayplan.workloads.base import JobKind, Outcome, Path, PodSetSource, at, by_conditions, count_at, list_at, object_at

_AUTOSCALER = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}
_SUBMITTER = {"requests": {"cpu": "500m", "memory": "200Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}


def _cluster(job: Json, path: Path) -> tuple[PodSetSource, ...]:
    head_path: Path = (*path, "headGroupSpec", "template")
    head = _head(object_at(job, head_path), object_at(job, path))
    groups_path: Path = (*path, "workerGroupSpecs")
    groups = range(len(list_at(job, groups_path)))
    return (PodSetSource("head", 1, head, head_path), *(_group(job, (*groups_path, i)) for i in groups))


def _head(template: Json, cluster: Json) -> Json:
    if not at(cluster, ("enableInTreeAutoscaling",), False):
        return template
    resources = at(cluster, ("autoscalerOptions", "resources"), _AUTOSCALER)
    return _with_container(template, {"name": "autoscaler", "resources": resources})


def _group(job: Json, path: Path) -> PodSetSource:
    hosts = count_at(job, (*path, "numOfHosts"), 1)
    template: Path = (*path, "template")
    return PodSetSource(
        name=str(at(job, (*path, "groupName"), "")),
        count=count_at(job, (*path, "replicas"), 1) * hosts,
        template=object_at(job, template),
        path=template,
        min_count=count_at(job, (*path, "minReplicas"), 0) * hosts or None,
    )


def _with_container(template: Json, container: dict[str, Any]) -> Json:
    spec = object_at(template, ("spec",))
    return {**template, "spec": {**spec, "containers": [*list_at(spec, ("containers",)), container]}}


def _ray_job(job: Json, context: Context) -> Mapping[str, tuple[PodSetSource, ...]]:
    sets = _cluster(job, ("spec", "rayClusterSpec"))
    mode = at(job, ("spec", "submissionMode"), "K8sJobMode")
    if mode == "SidecarMode":
        head = _with_container(sets[0].template, {"name": "submitter", "resources": _SUBMITTER})
        return {"": (PodSetSource("head", 1, head, sets[0].path), *sets[1:])}
    if mode != "K8sJobMode":
        return {"": sets}
    path: Path = ("spec", "submitterPodTemplate")
    if at(job, path) is not None:
        return {"": (*sets, PodSetSource("submitter", 1, object_at(job, path), path))}
    default = {"spec": {"restartPolicy": "Never", "containers": [{"name": "submitter", "resources": _SUBMITTER}]}}
    return {"": (*sets, PodSetSource("submitter", 1, default))}


def _ray_job_outcome(job: Json) -> Outcome | None:
    match at(job, ("status", "jobStatus")):
        case "SUCCEEDED":
            return Outcome(True, at(job, ("status", "message")) or "Job finished successfully")
        case "FAILED" | "STOPPED":
            return Outcome(False, at(job, ("status", "message")) or "Job failed")
    return None


RAY_JOB = JobKind("ray.io", "RayJob", "rayjobs", ("spec", "suspend"), _ray_job, _ray_job_outcome)
RAY_CLUSTER = JobKind(
    "ray.io",
    "RayCluster",
    "rayclusters",
    ("spec", "suspend"),
    lambda job, context: {"": _cluster(job, ("spec",))},
    by_conditions((), ()),
)
RAY_SERVICE = JobKind(
    "ray.io",
    "RayService",
    "rayservices",
    ("spec", "rayClusterConfig", "suspend"),
    lambda job, context: {"": _cluster(job, ("spec", "rayClusterConfig"))},
    by_conditions((), ()),
)
