"""Pods without a job: a lone pod, Kueue's plain pod group, and a scheduling.k8s.io group. One Workload each.

A group is complete when as many pods exist as it announces; before that there is nothing to admit. Its pods fall into
pod sets by *role*: pods that ask a node for the same are interchangeable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from bayplan.model import codec
from bayplan.model.isolation import ANNOTATION as ISOLATION
from bayplan.wire.errors import Malformed
from bayplan.wire.meta import whole
from bayplan.wire.names import (
    IS_GROUP_WORKLOAD,
    POD_GROUP_NAME,
    POD_GROUP_TOTAL,
    POD_SET,
    PREFERRED_TOPOLOGY,
    REQUIRED_TOPOLOGY,
    UNCONSTRAINED_TOPOLOGY,
)
from bayplan.wire.podgroups import Gang
from bayplan.wire.pods import PodObject
from bayplan.wire.read import Json, title
from bayplan.wire.workload import Context, pod_template
from bayplan.workloads.base import PodSetSource, at, count_at
from bayplan.workloads.translate import declared_runtime, owner_reference, workload_name, workload_object

# Of a pod's annotations, those that its pod set must keep to mean the same.
_KEPT = (REQUIRED_TOPOLOGY, PREFERRED_TOPOLOGY, UNCONSTRAINED_TOPOLOGY, ISOLATION)
_EMPTY = Context()


def group_name(pod: PodObject) -> str:
    """The group a pod says it belongs to; "" for a lone pod."""
    named = pod.metadata.labels.get(POD_GROUP_NAME, "")
    if named or pod.spec.scheduling_group is not None:
        return named or (pod.spec.scheduling_group.pod_group_name if pod.spec.scheduling_group else "")
    ref = pod.spec.workload_ref
    return ".".join(p for p in (ref.name, ref.pod_group, ref.pod_group_replica_key) if p) if ref else ""


def role(pod: PodObject) -> str:
    """The name of a pod's set in its group: its label, else eight digits of what it asks of a node."""
    labelled = pod.metadata.labels.get(POD_SET)
    if labelled:
        return labelled
    asked = codec.to_json(pod_template(pod.spec, "", _EMPTY)) + codec.to_json(pod.spec.resource_claims)
    asked += pod.metadata.annotations.get(ISOLATION, "").encode()
    return hashlib.sha256(asked).hexdigest()[:8]


def lone(pod: Json, context: Context) -> Json:
    """The Workload of a pod that is alone. Raises Malformed."""
    metadata = pod["metadata"]
    try:
        return workload_object(
            name=workload_name("Pod", metadata["name"], metadata.get("uid", "")),
            namespace=metadata.get("namespace", ""),
            owners=[owner_reference(pod)],
            labels=metadata.get("labels") or {},
            sets=[_pod_set("main", 1, pod, "")],
            runtime_s=_runtime(pod),
            context=context,
        )
    except Malformed as error:
        raise error.of(title(pod)) from error


def plain_group(name: str, pods: Sequence[tuple[Json, PodObject]], context: Context) -> Json | None:
    """The Workload of Kueue's plain pod group; None while pods are missing. Raises Malformed."""
    first, typed = pods[0]
    total = whole(typed.metadata.annotations, POD_GROUP_TOTAL, "metadata.annotations")
    if total is None:
        path = f"metadata.annotations[{POD_GROUP_TOTAL}]"
        raise Malformed(path, "is required on the pods of a group").of(title(first))
    if len(pods) < total:
        return None
    return _group(name, pods[:total], owners=pods[:total], topology="", context=context)


def native_group(gang: Gang, owner: Json, pods: Sequence[tuple[Json, PodObject]], context: Context) -> Json | None:
    """The Workload of a gang of `owner` (a PodGroup, a native Workload); None if it is none, or while pods are missing.

    Raises Malformed.
    """
    if not gang.min_count or len(pods) < gang.min_count:
        return None
    made = _group(gang.name, pods, owners=(), topology=gang.topology_key, context=context)
    spec: dict[str, Any] = {**made["spec"]}
    pod_class = context.priority_classes.get(gang.priority_class)
    priority = gang.priority if gang.priority is not None else (pod_class.value if pod_class else None)
    if priority is not None:
        spec["priority"] = priority
    return {**made, "metadata": {**made["metadata"], "ownerReferences": [owner_reference(owner)]}, "spec": spec}


def _group(
    name: str,
    pods: Sequence[tuple[Json, PodObject]],
    *,
    owners: Sequence[tuple[Json, PodObject]],
    topology: str,
    context: Context,
) -> Json:
    roles: dict[str, list[Json]] = {}
    for pod, typed in pods:
        roles.setdefault(role(typed), []).append(pod)
    first = pods[0][0]
    return workload_object(
        name=name,
        namespace=first["metadata"].get("namespace", ""),
        owners=[owner_reference(pod, controller=False) for pod, _ in owners],
        labels=first["metadata"].get("labels") or {},
        sets=[_pod_set(r, len(members), members[0], topology) for r, members in sorted(roles.items())],
        runtime_s=max(_runtime(pod) for pod, _ in pods),
        context=context,
        annotations={IS_GROUP_WORKLOAD: "true"},
    )


def _pod_set(name: str, count: int, pod: Json, topology: str) -> PodSetSource:
    annotations = at(pod, ("metadata", "annotations"), {})
    kept = {k: annotations[k] for k in _KEPT if k in annotations}
    spec = {k: v for k, v in pod["spec"].items() if k != "nodeName"}
    template = {"metadata": {"annotations": kept} if kept else {}, "spec": spec}
    return PodSetSource(name, count, template, topology=topology)


def _runtime(pod: Json) -> int:
    return declared_runtime(pod) or count_at(pod, ("spec", "activeDeadlineSeconds"), 0)
