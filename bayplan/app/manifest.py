"""A file of Kubernetes objects, read as `kubectl apply` would and checked whole before anything is made of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bayplan.app.errors import BadInput
from bayplan.app.observed import Observed
from bayplan.lint import Finding, validate_strictly
from bayplan.lint.defaults import with_defaults
from bayplan.model.base import Value
from bayplan.runtime.mirror import KINDS, POD, WORKLOAD, GroupKind, Mirror
from bayplan.wire.errors import Malformed
from bayplan.wire.kinds import group_kind
from bayplan.wire.meta import key_of
from bayplan.wire.names import POD_GROUP_NAME, QUEUE_NAME, SCHEDULER
from bayplan.wire.pods import PodObject
from bayplan.wire.read import read, title
from bayplan.wire.times import rfc3339
from bayplan.wire.workload import Context
from bayplan.workloads import kind_of
from bayplan.workloads.podgroup import lone, plain_group
from bayplan.workloads.translate import managed, workloads

Json = dict[str, Any]

_REPLICATED = (("apps", "Deployment"), ("apps", "ReplicaSet"), ("apps", "StatefulSet"))
_CLUSTER_SCOPED = frozenset(
    (
        "Namespace",
        "Node",
        "PriorityClass",
        "DeviceClass",
        "ResourceSlice",
        "DeviceTaintRule",
        "ClusterQueue",
        "Cohort",
        "ResourceFlavor",
        "Topology",
        "WorkloadPriorityClass",
        "ClusterTrainingRuntime",
    )
)


class Added(Value, frozen=True):
    """A world with the file's objects in it, and the keys of the workloads they are."""

    observed: Observed
    workloads: tuple[str, ...]


def read_manifest(path: Path, namespace: str) -> list[Json]:
    """The objects of a YAML or JSON file (`-` = standard input), `List`s opened. Raises BadInput."""
    source = "standard input" if str(path) == "-" else str(path)
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(source, "", error.strerror or "cannot be read") from error
    except UnicodeDecodeError as error:
        raise BadInput(source, f"byte {error.start}", "expected UTF-8 text") from error
    objects = [o for document in _documents(source, text) for o in _opened(source, document)]
    for obj in objects:
        _check(source, obj)
        if obj["kind"] not in _CLUSTER_SCOPED:
            obj["metadata"].setdefault("namespace", namespace)
    return objects


def add(seen: Observed, mirror: Mirror, source: str, objects: list[Json]) -> Added:
    """The observed world with these objects created now. Raises BadInput if none of them is a workload of ours.

    `mirror` holds the observed world and takes the objects in; `source` is where they were read.
    """
    jobs: list[Json] = []
    for i, obj in enumerate(objects):
        kind = group_kind(obj)
        _stamp(obj, i, seen.now_s)
        if kind in KINDS and kind != POD:
            _put(mirror, source, kind, obj)
        elif kind == POD or kind in _REPLICATED or kind_of(*kind):
            jobs.append(obj)
    context = mirror.context()
    keys: list[str] = []
    try:
        for made in _workloads(jobs, context):
            _stamp(made, len(keys), seen.now_s)
            _put(mirror, source, WORKLOAD, made)
            keys.append(key_of(made))
    except Malformed as error:
        raise BadInput(source, "", str(error)) from error
    if not keys:
        raise BadInput(source, "", _nothing(jobs))
    return Added(msgspec.structs.replace(seen, snapshot=mirror.snapshot()), tuple(keys))


def _documents(source: str, text: str) -> list[Any]:
    try:
        return [d for d in yaml.safe_load_all(text) if d is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or "not YAML")
        raise BadInput(source, f"line {mark.line + 1}" if mark else "", problem) from error


def _opened(source: str, document: Any) -> Iterator[Json]:
    if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document:
        for item in document["items"] or ():
            yield from _opened(source, item)
    elif isinstance(document, dict):
        yield document
    else:
        raise BadInput(source, "", f"expected Kubernetes objects, got {type(document).__name__}")


def _check(source: str, obj: Json) -> None:
    for field in ("apiVersion", "kind"):
        if not isinstance(obj.get(field), str):
            raise BadInput(source, field, "is required on every object")
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name", metadata.get("generateName")), str):
        raise BadInput(source, f"{obj['kind']}: metadata.name", "is required")
    metadata.setdefault("name", f"{metadata.get('generateName')}0")
    for found in validate_strictly(with_defaults(obj)):
        sentence = " ".join(str(Finding("", found.type, found.value, found.message)).split())
        raise BadInput(source, f"{title(obj)}: {found.path}", sentence)


def _stamp(obj: Json, index: int, now_s: int) -> None:
    """What the API server would add: created now, hence last among equals."""
    metadata = obj["metadata"]
    metadata.setdefault("uid", f"planned-{obj['kind']}-{index}")
    metadata.setdefault("creationTimestamp", rfc3339(now_s))


def _put(mirror: Mirror, source: str, kind: GroupKind, obj: Json) -> None:
    mirror.put(kind, key_of(obj), obj)
    mirror.snapshot()  # workloads are read here
    problem = mirror.problems.get(f"{kind[1]} {key_of(obj)}")
    if problem is not None:
        raise BadInput(source, "", str(problem)) from problem


def _workloads(jobs: list[Json], context: Context) -> Iterator[Json]:
    """The Workloads the controllers would make of these objects. Raises Malformed."""
    groups: dict[str, list[tuple[Json, PodObject]]] = {}
    for job in jobs:
        kind = kind_of(*group_kind(job))
        if kind is not None:
            if managed(kind, job, context):
                yield from map(dict, workloads(kind, job, context))
            continue
        for pod in _pods(job):
            if not _is_ours(pod):
                continue
            group = pod["metadata"].get("labels", {}).get(POD_GROUP_NAME)
            if group:
                groups.setdefault(group, []).append((pod, read(pod, PodObject)))
            else:
                yield dict(lone(pod, context))
    for name, members in groups.items():
        made = plain_group(name, members, context)
        if made is not None:
            yield dict(made)


def _pods(obj: Json) -> Iterator[Json]:
    """The object if it is a pod, else the pods of its replicas."""
    if obj["kind"] == "Pod":
        yield obj
        return
    spec = obj.get("spec") or {}
    template = spec.get("template") or {}
    for i in range(spec.get("replicas", 1)):
        metadata = {**(template.get("metadata") or {}), **_named(obj, i)}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template.get("spec") or {}}


def _named(obj: Json, index: int) -> Json:
    metadata = obj["metadata"]
    return {
        "name": f"{metadata['name']}-{index}",
        "namespace": metadata["namespace"],
        "uid": f"{metadata['uid']}-{index}",
    }


def _is_ours(pod: Mapping[str, Any]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return bool(labels.get(QUEUE_NAME)) or (pod.get("spec") or {}).get("schedulerName") == SCHEDULER


def _nothing(jobs: list[Json]) -> str:
    if not jobs:
        return "expected a Job, JobSet, Deployment, Pod or another kind of job; the file has none"
    return f"{title(jobs[0])} is not Bayplan's: expected the label {QUEUE_NAME} or schedulerName: {SCHEDULER}"
