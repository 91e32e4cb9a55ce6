"""A job into the Kueue Workloads that stand for it, and the patches that start and stop the job.

Kueue's conventions hold (names, owner references, annotations on the pods it starts), so that a cluster that runs
Kueue's job controllers and one that runs ours show the same objects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bayplan.model import codec
from bayplan.model.queue import ResourceFlavor
from bayplan.wire.errors import Malformed
from bayplan.wire.meta import whole
from bayplan.wire.names import (
    MAX_EXEC_TIME,
    PARALLELISM,
    POD_SET,
    PREFERRED_TOPOLOGY,
    QUEUE_NAME,
    REQUIRED_TOPOLOGY,
    RUNTIME_SECONDS,
    SCHEDULER,
    UNCONSTRAINED_TOPOLOGY,
    WORKLOAD,
    WORKLOAD_PRIORITY_CLASS,
)
from bayplan.wire.patches import Patch
from bayplan.wire.read import Json, title
from bayplan.wire.workload import Context
from bayplan.workloads.base import JobKind, Path, PodSetSource, at, count_at

_API = "kueue.x-k8s.io/v1beta2"
_NAME_MAX = 63
_MARKS = (WORKLOAD, PARALLELISM, POD_SET)


def managed(kind: JobKind, job: Json, context: Context) -> bool:
    """Whether the job is ours to admit: it names a queue, or its pods name our scheduler."""
    if at(job, ("metadata", "labels", QUEUE_NAME)):
        return True
    sources = (s for gang in kind.gangs(job, context).values() for s in gang)
    return any(at(s.template, ("spec", "schedulerName")) == SCHEDULER for s in sources)


def workloads(kind: JobKind, job: Json, context: Context) -> tuple[Json, ...]:
    """The Workloads of a job, as API objects without status. Raises Malformed, naming the job."""
    try:
        return tuple(_workload(kind, job, part, sets, context) for part, sets in kind.gangs(job, context).items())
    except Malformed as error:
        raise error.of(title(job)) from error


def suspended(kind: JobKind, job: Json) -> bool:
    return bool(kind.suspend) and bool(at(job, kind.suspend, False))


def start(
    kind: JobKind, job: Json, workload: str, context: Context, flavors: Mapping[str, Iterable[ResourceFlavor]]
) -> Patch | None:
    """Patch that lets an admitted job make its pods; None if it has no switch.

    The pods are marked with their Workload and pod set, and confined to the nodes of the `flavors` of their pod set:
    whichever scheduler they name puts them where their quota is.
    """
    if not kind.suspend:
        return None
    patch: Patch = _nested(job, kind.suspend, False)
    for source in _templates(kind, job, context):
        annotations = {WORKLOAD: workload} | ({PARALLELISM: str(source.width)} if source.width else {})
        marks: Patch = {"metadata": {"labels": {POD_SET: source.name}, "annotations": annotations}}
        confined = _confined(at(source.template, ("spec",), {}), flavors.get(source.name, ()))
        if confined:
            marks["spec"] = confined
        patch = joined(patch, _nested(merged(job, patch), source.path, marks))
    return patch


def started(kind: JobKind, job: Json, context: Context) -> bool:
    """Whether the job's templates hold what `start` wrote into them."""
    templates = (s.template for s in _templates(kind, job, context))
    return any(WORKLOAD in at(t, ("metadata", "annotations"), {}) for t in templates)


def restore(kind: JobKind, job: Json, context: Context, pod_sets: Iterable[Json]) -> Patch:
    """Patch that takes out of a job's templates what `start` wrote; `pod_sets` of its Workloads say how they were."""
    originals: dict[str, Json] = {s["name"]: s["template"] for s in pod_sets}
    patch: Patch = {}
    for source in _templates(kind, job, context):
        meta, spec = (at(source.template, (part,), {}) for part in ("metadata", "spec"))
        original = originals.get(source.name, source.template)
        fields = ("labels", "annotations")
        then = {f: _back(meta.get(f), at(original, ("metadata", f))) for f in fields}
        back: Patch = {
            "metadata": then if original.get("metadata") else None,
            "spec": {"nodeSelector": _back(spec.get("nodeSelector"), at(original, ("spec", "nodeSelector")))},
        }
        if spec.get("tolerations") != at(original, ("spec", "tolerations")):
            back["spec"]["tolerations"] = at(original, ("spec", "tolerations"))
        patch = joined(patch, _nested(merged(job, patch), source.path, back))
    return patch


def stop(kind: JobKind, job: Json) -> Patch | None:
    """Patch that suspends a job again; None if it is, or has no switch."""
    return _nested(job, kind.suspend, True) if kind.suspend and not suspended(kind, job) else None


def workload_name(kind: str, name: str, uid: str, part: str = "") -> str:
    """`job-train-a-1f2e3`: kind, name, and five digits that tell two jobs of one name apart."""
    digest = hashlib.sha256(f"{kind}/{name}/{uid}/{part}".encode()).hexdigest()[:5]
    stem = "-".join(p for p in (kind.lower(), name, part) if p)
    return f"{stem[: _NAME_MAX - 6].rstrip('-.')}-{digest}"


def workload_object(
    *,
    name: str,
    namespace: str,
    owners: Iterable[Json],
    labels: Mapping[str, str],
    sets: Iterable[PodSetSource],
    runtime_s: int,
    context: Context,
    annotations: Mapping[str, str] | None = None,
) -> Json:
    """A Workload for pod sets, whoever owns them. `labels` are the owner's: queue, priority class."""
    listed = tuple(sets)
    notes = dict(annotations or {}) | ({RUNTIME_SECONDS: str(runtime_s)} if runtime_s else {})
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "ownerReferences": list(owners)}
    if notes:
        metadata["annotations"] = notes
    spec: dict[str, Any] = {"active": True, "podSets": [_pod_set(s) for s in listed]}
    if labels.get(QUEUE_NAME):
        spec["queueName"] = labels[QUEUE_NAME]
    limit_s = whole(labels, MAX_EXEC_TIME, "metadata.labels")
    if limit_s:
        spec["maximumExecutionTimeSeconds"] = limit_s
    spec |= _priority(labels, listed, context)
    return {"apiVersion": _API, "kind": "Workload", "metadata": metadata, "spec": spec}


def declared_runtime(source: Json, path: str = "metadata") -> int:
    """Seconds an object's annotation or label declares; 0 = none. Raises Malformed."""
    for field in ("annotations", "labels"):
        declared = whole(at(source, ("metadata", field), {}), RUNTIME_SECONDS, f"{path}.{field}")
        if declared is not None:
            return declared
    return 0


def owner_reference(owner: Json, *, controller: bool = True) -> Json:
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        **({"controller": True, "blockOwnerDeletion": True} if controller else {}),
    }


def _workload(kind: JobKind, job: Json, part: str, sets: tuple[PodSetSource, ...], context: Context) -> Json:
    metadata = job["metadata"]
    return workload_object(
        name=workload_name(kind.kind, metadata["name"], metadata.get("uid", ""), part),
        namespace=metadata.get("namespace", ""),
        owners=[owner_reference(job)],
        labels=metadata.get("labels") or {},
        sets=[s for s in sets if s.count > 0],
        runtime_s=_runtime(job, sets),
        context=context,
    )


def _runtime(job: Json, sets: tuple[PodSetSource, ...]) -> int:
    """Declared on the job or the longest of its templates; else the deadline of the job, or of its pods."""
    declared = declared_runtime(job) or max(
        (declared_runtime(s.template, "template.metadata") for s in sets), default=0
    )
    deadline: Path = ("spec", "activeDeadlineSeconds")
    return declared or count_at(job, deadline, 0) or max((count_at(s.template, deadline, 0) for s in sets), default=0)


def _pod_set(source: PodSetSource) -> Json:
    pod_set: dict[str, Any] = {"name": source.name, "count": source.count, "template": source.template}
    if source.min_count is not None and source.min_count < source.count:
        pod_set["minCount"] = source.min_count
    topology = _topology(source)
    return pod_set | ({"topologyRequest": topology} if topology else {})


def _topology(source: PodSetSource) -> dict[str, Any]:
    annotations = at(source.template, ("metadata", "annotations"), {})
    if annotations.get(REQUIRED_TOPOLOGY) or source.topology:
        return {"required": annotations.get(REQUIRED_TOPOLOGY) or source.topology}
    if annotations.get(PREFERRED_TOPOLOGY):
        return {"preferred": annotations[PREFERRED_TOPOLOGY]}
    return {"unconstrained": True} if annotations.get(UNCONSTRAINED_TOPOLOGY) == "true" else {}


def _priority(labels: Mapping[str, str], sets: tuple[PodSetSource, ...], context: Context) -> dict[str, Any]:
    """The WorkloadPriorityClass the owner names, else the first PriorityClass its pods name, else the default one."""
    name = labels.get(WORKLOAD_PRIORITY_CLASS)
    if name:
        found = context.workload_priority_classes.get(name)
        ref = {"group": "kueue.x-k8s.io", "kind": "WorkloadPriorityClass", "name": name}
        return {"priorityClassRef": ref} | ({"priority": found.value} if found else {})
    specs = [at(s.template, ("spec",), {}) for s in sets]
    name = next((spec["priorityClassName"] for spec in specs if spec.get("priorityClassName")), "")
    default = next((c for _, c in sorted(context.priority_classes.items()) if c.global_default), None)
    pod_class = context.priority_classes.get(name) if name else default
    number = next((spec["priority"] for spec in specs if spec.get("priority") is not None), None)
    if pod_class is None:
        return {"priority": number or 0}
    ref = {"group": "scheduling.k8s.io", "kind": "PriorityClass", "name": pod_class.metadata.name}
    return {"priorityClassRef": ref, "priority": pod_class.value if number is None else number}


def _templates(kind: JobKind, job: Json, context: Context) -> Iterator[PodSetSource]:
    """The pod sets whose templates stand in the job itself."""
    return (s for gang in kind.gangs(job, context).values() for s in gang if s.path)


def _confined(spec: Json, flavors: Iterable[ResourceFlavor]) -> dict[str, Any]:
    """What flavors add to a pod's spec: their nodes' labels and tolerations. What the pod says itself stays."""
    labels: dict[str, str] = {}
    tolerations: list[Any] = list(spec.get("tolerations") or ())
    for flavor in flavors:
        labels |= {k: v for k, v in flavor.spec.node_labels.items() if k not in (spec.get("nodeSelector") or {})}
        added = (codec.to_builtins(t) for t in flavor.spec.tolerations)
        tolerations += [t for t in added if t not in tolerations]
    found: dict[str, Any] = {"nodeSelector": labels} if labels else {}
    return found | ({"tolerations": tolerations} if len(tolerations) > len(spec.get("tolerations") or ()) else {})


def _back(current: Mapping[str, str] | None, original: Mapping[str, str] | None) -> dict[str, str | None] | None:
    """Merge patch from the current labels, annotations or selector to the original ones, without our marks."""
    if original is None:
        return None
    wanted = {k: v for k, v in original.items() if k not in _MARKS}
    have = current or {}
    changed: dict[str, str | None] = {k: v for k, v in wanted.items() if have.get(k) != v}
    return changed | {k: None for k in have if k not in wanted}


def joined(one: Patch, other: Patch) -> Patch:
    """Two merge patches as one, the second on top."""
    whole = dict(one)
    for key, value in other.items():
        before = whole.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        whole[key] = joined(dict(before), dict(value)) if both else value  # type: ignore[arg-type]
    return whole


def _nested(source: Any, path: Path, value: Any) -> Any:
    """A merge patch that sets `value` at `path`; a list on the way is written whole, as merge patches demand."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        inner = source.get(step) if isinstance(source, Mapping) else None
        return {step: _nested(inner, rest, value)}
    changed = merged(source[step], _nested(source[step], rest, value))
    return [*source[:step], changed, *source[step + 1 :]]


def merged(target: Any, patch: Any) -> Any:
    """`target` with a JSON merge patch applied (RFC 7396); what did not change is shared."""
    if not isinstance(patch, dict):
        return patch
    whole: dict[str, Any] = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            whole.pop(key, None)
        else:
            whole[key] = merged(whole.get(key), value)
    return whole
